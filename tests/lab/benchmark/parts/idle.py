"""A run that finds nothing to do: the processor time of the watcher's own processes, median of several runs."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from benchmark.bench import Bench
from benchmark.table import Row
from lab import usage
from lab.node import Node
from lab.usage import Usage

NAME = "idle"
NODES = 4
RUNS = 7
TIMES_LESS = 20


def original(bench: Bench) -> dict[str, Any]:
    return bench.measured(f"{NAME}/original", lambda: _runs(bench, usage.of_original))


def measure(bench: Bench) -> list[Row]:
    before, after = original(bench), bench.measured(f"{NAME}/ours", lambda: _runs(bench, usage.of_ours))
    less = before["cpu"] / after["cpu"]
    target = f"less than 1/{TIMES_LESS}"
    what = f"Nothing to do, {bench.instances} DRBD instances: own CPU"
    cpu = [f"{figure['cpu'] * 1000:.0f} ms" for figure in (before, after)]
    return [Row(what, *cpu, f"1/{less:.0f}", target, less > TIMES_LESS)]


def _runs(bench: Bench, run: Callable[[Node], Usage]) -> dict[str, Any]:
    lab = bench.lab(NODES)
    # The first one writes files that the others find.
    runs = [run(lab.master) for _ in range(1 + RUNS)][1:]
    return {"cpu": median(each.cpu for each in runs), "memory_mib": max(each.memory_mib for each in runs)}
