"""What ours costs beside the original, on the same cluster. Not run unless asked for."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from lab import usage
from lab.lab import Lab
from lab.node import Node
from lab.runner import case
from lab.usage import Usage

IDLE_RUNS = 7
RECOVERIES = 3
LARGE = 20


@case(figures=True, ours_only="there is nothing to compare it with")
def figures(lab: Lab) -> None:
    """The wall time of the run after a power cut on all nodes; then time, own CPU seconds and peak
    memory of runs that find nothing to do. Medians of several repetitions, each recovery from the
    same restored cluster."""
    original_recovery, original_idle = _measure(lab, usage.of_original)
    our_recovery, our_idle = _measure(lab, usage.of_ours)
    recoveries = f"{lab.settings.instances} DRBD instances, median of {len(our_recovery)} and {IDLE_RUNS} runs"
    lab.fact(f"{recoveries:52} {'original':>9} {'ours':>9} {'ratio':>7}")
    _row(lab, "power cut on all nodes, wall s", original_recovery, our_recovery)
    _row(lab, "nothing to do, wall s", [u.wall for u in original_idle], [u.wall for u in our_idle])
    _row(lab, "nothing to do, CPU s, own processes", [u.cpu for u in original_idle], [u.cpu for u in our_idle])
    everything = [u.cpu + u.helpers_cpu for u in original_idle]
    _row(lab, "nothing to do, CPU s, with programs it ran", everything, [u.cpu + u.helpers_cpu for u in our_idle])
    _row(lab, "nothing to do, peak MiB", [u.memory_mib for u in original_idle], [u.memory_mib for u in our_idle])


def _measure(lab: Lab, run: Callable[[Node], Usage]) -> tuple[list[float], list[Usage]]:
    recoveries = []
    for _ in range(1 if lab.settings.instances > LARGE else RECOVERIES):
        lab.restore()
        lab.cluster.power_cut()
        lab.cluster.power_on()
        lab.cluster.wait_until_ready()
        recoveries.append(run(lab.master).wall)
        lab.expect("instances that do not run", [n for n, s in lab.cluster.status().items() if s != "running"], [])
        lab.cluster.wait_until_synced()
        lab.expect("minors that are not Connected and UpToDate on both sides", lab.cluster.broken_links(), [])
    run(lab.master)
    return recoveries, [run(lab.master) for _ in range(IDLE_RUNS)]


def _row(lab: Lab, what: str, original: list[float], ours: list[float]) -> None:
    before, after = median(original), median(ours)
    lab.fact(f"{what:52} {before:9.3f} {after:9.3f} {after / before:7.3f}")
