"""All nodes lose their power, and node4 does not come back; nobody has marked it offline. The time until the last of
the instances without a disk on node4 runs. The others, on live nodes with node4 as secondary, cannot start without
force: ours must use up none of their tries and must not leave their disks inactive, and when node4 is back, at most
two runs must bring everything up."""

from __future__ import annotations

from typing import Any

from benchmark.bench import Bench
from benchmark.recovery import recover
from benchmark.table import Row, faster, seconds
from lab.cluster import Instance
from lab.lab import Lab

NAME = "dead-node"
NODES = 4
DEAD = "node4"
TIMES_FASTER = 4
RUNS_AFTERWARDS = 2


def original(bench: Bench) -> dict[str, Any]:
    return bench.measured(f"{NAME}/original", lambda: _original(bench))


def measure(bench: Bench) -> list[Row]:
    before, after = original(bench), bench.measured(f"{NAME}/ours", lambda: _ours(bench))
    what = (
        f"Power cut, {bench.instances} DRBD instances, one of {NODES} nodes stays dead: "
        f"until the {after['wanted']} instances without a disk on it run"
    )
    times = before["seconds"], after["seconds"]
    return [Row(what, seconds(times[0]), seconds(times[1]), *faster(*times, TIMES_FASTER))]


def _original(bench: Bench) -> dict[str, Any]:
    lab = bench.lab(NODES)
    instances = _outage(lab)
    started, recovery = recover(lab, _untouched(lab, instances), original=True)
    # The rest of the run takes long, and is only for instances that do not count here.
    started.kill()
    bench.drop()
    return recovery.figure()


def _ours(bench: Bench) -> dict[str, Any]:
    lab = bench.lab(NODES)
    instances = _outage(lab)
    started, recovery = recover(lab, _untouched(lab, instances), original=False)
    started.wait()
    dead = lab.cluster.nodes[DEAD]
    doomed = {name for name, instance in instances.items() if dead.host in instance.snodes}
    bench.expect("tries counted while a node is dead", {n: t for n, t in lab.tries().items() if n in doomed and t}, {})
    bench.expect("disks_active while a node is dead", _disks(lab.cluster.instances()), _disks(instances))

    lab.cluster.power_on(dead)
    lab.cluster.wait_until_ready()
    for _ in range(RUNS_AFTERWARDS):
        if not _down(lab):
            break
        lab.watch()
    bench.expect(f"not running {RUNS_AFTERWARDS} runs after the node is back", _down(lab), {})
    bench.expect("disks_active after the node is back", _disks(lab.cluster.instances()), _disks(instances))
    return recovery.figure()


def _outage(lab: Lab) -> dict[str, Instance]:
    """Returns the instances as they were before."""
    cluster = lab.cluster
    before = cluster.instances()
    cluster.power_cut()
    cluster.power_on(*[node for name, node in cluster.nodes.items() if name != DEAD])
    cluster.wait_until_ready()
    return before


def _untouched(lab: Lab, instances: dict[str, Instance]) -> set[str]:
    dead = lab.cluster.nodes[DEAD].host
    return {name for name, instance in instances.items() if dead not in (instance.pnode, *instance.snodes)}


def _disks(instances: dict[str, Instance]) -> dict[str, bool]:
    return {name: instance.disks_active for name, instance in sorted(instances.items())}


def _down(lab: Lab) -> dict[str, str]:
    return {name: status for name, status in lab.cluster.status().items() if status != "running"}
