"""The command line; see README.md."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from lab import network, roots, runner, watcher
from lab.build import image
from lab.cache import Cache
from lab.commands import LabError, run
from lab.lab import Lab, Settings
from lab.node import ENVIRONMENT


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests/lab/run",
        description="Runs a watcher on a real Ganeti cluster and checks what it does.",
        epilog="tests/lab/run up: only boot a cluster and keep it. tests/lab/run shell NODE [COMMAND]: enter it.",
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="run only these; default: all")
    parser.add_argument("--instances", type=int, default=8, metavar="N", help="number of DRBD instances (default 8)")
    parser.add_argument("--nodes", type=int, default=4, metavar="N", help="number of nodes (default 4)")
    parser.add_argument("--suite", default="bookworm", help="Debian release: bullseye, bookworm (default), trixie")
    parser.add_argument(
        "--watcher",
        default="this repository",
        metavar="PATH",
        help="the program or package under test, or 'original' for Debian's (default: built from this repository)",
    )
    parser.add_argument("--figures", action="store_true", help="compare our costs with the original's instead")
    parser.add_argument("--list", action="store_true", help="list the cases")
    parser.add_argument("--keep", action="store_true", help="keep the cluster after the last case until Ctrl-C")
    return parser.parse_args()


def shell(node: str, command: list[str]) -> None:
    """Replaces this process with a command on a node of the running lab."""
    try:
        pid = Lab.node_directory(scratch(), node).joinpath("pid").read_text().strip()
    except OSError:
        raise LabError(f"the running lab has no node called {node} (or not yet)") from None
    enter = ["nsenter", "-t", pid, "-m", "-u", "-i", "-n", "-p", "-r", "-w", "env", "-i", "TERM=linux", *ENVIRONMENT]
    os.execvp(enter[0], [*enter, *(command or ["bash", "-l"])])


def scratch() -> Path:
    return Path(os.environ["GANETI_WATCHER_LAB"]) / "run"


def cache() -> Cache:
    return Cache(Path(os.environ["GANETI_WATCHER_LAB"]), Path(os.environ["GANETI_WATCHER_LAB_UNFINISHED"]))


def keep() -> None:
    print("The cluster stays up. From another terminal: tests/lab/run shell node1. Ctrl-C ends it.", flush=True)
    signal.pause()


def main() -> int:
    if sys.argv[1:2] == ["shell"]:
        shell(sys.argv[2] if len(sys.argv) > 2 else "node1", sys.argv[3:])
    options = parse()
    if options.list:
        return runner.show_list()
    only_boot = options.cases == ["up"]
    cases = [] if only_boot else runner.select(options.cases, options.figures)
    # The namespaces are this process's own: the mount ends with it.
    scratch().mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "mode=755", "ganeti-watcher-lab", str(scratch()))
    root = roots.root(cache(), options.suite)
    under_test = watcher.under_test(options.watcher, scratch())
    network.enter()
    settings = Settings(options.suite, options.nodes, options.instances, under_test, options.watcher)
    built = image(cache(), options.suite, root, scratch() / "build", options.nodes, options.instances)
    lab = Lab(settings, built, scratch())
    if only_boot:
        lab.calm()
        keep()
    failed = runner.run_all(lab, cases, options.keep)
    if options.keep:
        keep()
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        print(f"the lab cannot go on: {error}", file=sys.stderr)
        sys.exit(2)
