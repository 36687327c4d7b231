"""What one run of a watcher costs: time, its own CPU seconds, its peak memory."""

from __future__ import annotations

import time
from dataclasses import dataclass

from lab.commands import LabError
from lab.node import Node
from lab.watcher import ORIGINAL, PROGRAM

USAGE_FILE = "/run/lab/usage"
ACCOUNT = "/run/lab/emulation/account"

MEASURE = "/run/lab/emulation/measure"


@dataclass(frozen=True)
class Usage:
    """`cpu` is that of the watcher's own processes, `helpers_cpu` that of programs that it ran."""

    wall: float
    cpu: float
    helpers_cpu: float
    memory_mib: float


def of_original(node: Node) -> Usage:
    """Memory is that of its largest process, although it has one per group besides the first."""
    node.path(USAGE_FILE).unlink(missing_ok=True)
    began = time.monotonic()
    node.run(ACCOUNT, USAGE_FILE, ORIGINAL)
    wall = time.monotonic() - began
    rows = [[float(word) for word in line.split()] for line in node.path(USAGE_FILE).read_text().splitlines()]
    return Usage(wall, sum(row[0] for row in rows), sum(row[1] for row in rows), max(row[2] for row in rows) / 1024)


def of_ours(node: Node) -> Usage:
    """Memory is that of the watcher itself; programs that it runs are counted separately."""
    began = time.monotonic()
    done = node.try_run(MEASURE, PROGRAM)
    wall = time.monotonic() - began
    if done.returncode:
        raise LabError(f"the measured run failed: {done.stderr}")
    cpu, helpers_cpu, memory = (float(word) for word in done.stdout.split()[-3:])
    return Usage(wall, cpu, helpers_cpu, memory / 1024)
