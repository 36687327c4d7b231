"""The parts of the benchmark, in the order in which they are measured."""

from __future__ import annotations

import inspect
from types import ModuleType

from benchmark.bench import Bench
from benchmark.parts import dead_node, hook, idle, many_instances, twelve_nodes
from benchmark.table import Row
from lab.commands import LabError

# Each has `NAME`, `measure` for its rows, and `original` if there is one to compare with.
ALL = [hook, twelve_nodes, dead_node, idle, many_instances]
MANY_INSTANCES = many_instances


def show_list() -> int:
    for part in ALL:
        print(f"{part.NAME}\n    {' '.join((inspect.getdoc(part) or '').split())}")
    return 0


def select(names: list[str]) -> list[ModuleType]:
    known = {part.NAME: part for part in ALL}
    for name in names:
        if name not in known:
            raise LabError(f"no such part: {name} (tests/lab/bench --list)")
    return [part for part in ALL if not names or part.NAME in names]


def measure(bench: Bench, selected: list[ModuleType]) -> list[Row]:
    return [row for part in selected for row in part.measure(bench)]


def measure_original(bench: Bench, selected: list[ModuleType]) -> None:
    for part in selected:
        if hasattr(part, "original"):
            part.original(bench)
