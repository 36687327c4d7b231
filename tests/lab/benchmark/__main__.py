"""The command line; see README.md in the directory above."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmark import parts, plot, table
from benchmark.bench import Bench
from benchmark.figures import Figures
from lab import network, roots, watcher
from lab.__main__ import cache, scratch
from lab.commands import LabError, run


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests/lab/bench",
        description="Compares the watcher with Debian's original, prints a table, and fails if a target is missed.",
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="measure only these; default: all")
    parser.add_argument("--list", action="store_true", help="list the parts")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="only draw the stored recoveries as an SVG")
    parser.add_argument(
        "--watcher",
        default="this repository",
        metavar="PATH",
        help="the program to measure (default: built from this repository)",
    )
    parser.add_argument("--instances", type=int, default=62, metavar="N", help="DRBD instances (default 62)")
    parser.add_argument("--suite", default="bookworm", help="Debian release: bullseye, bookworm (default), trixie")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to write figures.json and table.md")
    parser.add_argument("--reuse", type=Path, metavar="FILE", help="take the original's figures from this figures.json")
    parser.add_argument("--original-only", action="store_true", help="only measure the original, for --reuse")
    return parser.parse_args()


def main() -> int:
    options = parse()
    output = options.output or Path(os.environ["GANETI_WATCHER_LAB"]) / "bench"
    if options.list:
        return parts.show_list()
    if options.plot:
        plot.draw(Figures.load(output), options.plot)
        return 0
    if options.watcher == "original":
        raise LabError("--watcher names the program to compare with the original")
    selected = parts.select(options.parts)
    figures = Figures.begin(output, options.suite, options.instances, options.reuse)
    # The namespaces are this process's own: the mount ends with it.
    scratch().mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "mode=755", "ganeti-watcher-lab", str(scratch()))
    under_test = watcher.under_test(options.watcher, scratch())
    box = watcher.built_example("serve_box") if parts.MANY_INSTANCES in selected else None
    root = roots.root(cache(), options.suite)
    network.enter()
    bench = Bench(figures, root, under_test, box)
    if options.original_only:
        parts.measure_original(bench, selected)
        return 0
    rows = parts.measure(bench, selected)
    text = table.markdown(figures, rows)
    (output / "table.md").write_text(text)
    print(f"\n{text}")
    for trouble in bench.troubles:
        print(f"wrong: {trouble}")
    missed = [row for row in rows if not row.met]
    print(f"{len(rows) - len(missed)} of {len(rows)} reached, {len(bench.troubles)} other things wrong")
    return 1 if missed or bench.troubles else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        print(f"the benchmark cannot go on: {error}", file=sys.stderr)
        sys.exit(2)
