"""All nodes lose their power and come back, and every start takes 5 s longer, because of a hook that runs before it
on all of the instance's nodes at once. The time until the last instance runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmark.bench import Bench
from benchmark.recovery import recover
from benchmark.table import Row, faster, seconds
from lab.cluster import Cluster

NAME = "hook"
NODES = 4
HOOK_SECONDS = 5
TIMES_FASTER = 5


def original(bench: Bench) -> dict[str, Any]:
    return bench.measured(f"{NAME}/original", lambda: recovered(bench, NODES, original=True))


def ours(bench: Bench) -> dict[str, Any]:
    return bench.measured(f"{NAME}/ours", lambda: recovered(bench, NODES, original=False))


def measure(bench: Bench) -> list[Row]:
    before, after = original(bench)["seconds"], ours(bench)["seconds"]
    what = f"Power cut, {bench.instances} DRBD instances, {NODES} nodes, starts {HOOK_SECONDS} s longer: until all run"
    return [Row(what, seconds(before), seconds(after), *faster(before, after, TIMES_FASTER))]


def recovered(
    bench: Bench, nodes: int, *, original: bool, prepare: Callable[[Cluster], None] | None = None
) -> dict[str, Any]:
    """Measures, and checks that the cluster is whole again."""
    lab = bench.lab(nodes)
    cluster = lab.cluster
    if prepare:
        prepare(cluster)
    names = set(cluster.instances())
    cluster.start_hook(f"sleep {HOOK_SECONDS}")
    cluster.power_cut()
    cluster.power_on()
    cluster.wait_until_ready()
    started, recovery = recover(lab, names, original=original)
    run = started.wait()
    who = f"{'the original' if original else 'ours'} on {nodes} nodes"
    bench.expect(f"{who}: exit code", run.code, 0)
    bench.expect(f"{who}: restarted, attempt", run.restarts(), dict.fromkeys(names, 1))
    bench.expect(f"{who}: not running", [name for name, status in cluster.status().items() if status != "running"], [])
    cluster.wait_until_synced()
    bench.expect(f"{who}: broken DRBD links", cluster.broken_links(), [])
    return recovery.figure()
