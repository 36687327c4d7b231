"""Ten thousand instances on 200 nodes in 20 groups, and a tenth of that, in a cluster in a box that another process
serves; nothing to do. Processor time (user and system, median) and peak memory of the watcher alone."""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmark.bench import Bench
from benchmark.box import Box, Size
from benchmark.table import Row

NAME = "many-instances"
LARGE = Size(instances=10_000, nodes=200, groups=20)
SMALL = Size(instances=1_000, nodes=20, groups=2)
RUNS = 5
CPU_SECONDS = 0.3
MEMORY_MIB = 64


def measure(bench: Bench) -> list[Row]:
    # The cluster's daemons would use a part of the machine.
    bench.drop()
    small, large = (_measured(bench, size) for size in (SMALL, LARGE))
    what = f"Nothing to do, {LARGE}"
    cpu, memory = large["cpu"], large["memory_mib"]
    growth = {key: large[key] / small[key] for key in ("cpu", "memory_mib")}
    linear = LARGE.instances / SMALL.instances
    ratio = f"CPU {growth['cpu']:.1f}, memory {growth['memory_mib']:.1f} times"
    return [
        Row(f"{what}: own CPU", "-", f"{cpu * 1000:.0f} ms", "-", f"under {CPU_SECONDS} s", cpu < CPU_SECONDS),
        Row(f"{what}: peak memory", "-", f"{memory:.0f} MiB", "-", f"under {MEMORY_MIB} MiB", memory < MEMORY_MIB),
        Row(
            f"Growth from {SMALL}",
            *["-", f"from {small['cpu'] * 1000:.0f} ms and {small['memory_mib']:.0f} MiB", ratio],
            *[f"at most {linear:g} times", max(growth.values()) <= linear],
        ),
    ]


def _measured(bench: Bench, size: Size) -> dict[str, Any]:
    return bench.measured(f"{NAME}/{size.instances}", lambda: _runs(bench, size))


def _runs(bench: Bench, size: Size) -> dict[str, Any]:
    program = bench.under_test.program
    assert bench.box is not None and program is not None
    with Box(bench.box, size) as box:
        # The first one writes files that the others find.
        runs = [box.watch(program) for _ in range(1 + RUNS)][1:]
        others = [job for job in box.jobs() if not job.startswith("GROUP_VERIFY_DISKS")]
        bench.expect(f"{size}: jobs besides verify-disks", others, [])
    cpu = [each.cpu for each in runs]
    return {"cpu": median(cpu), "all": cpu, "memory_mib": max(each.memory_mib for each in runs)}
