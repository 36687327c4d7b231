"""The instances and the hook of `hook` on twelve nodes instead of four, with ours: more nodes must not make it
slower, with 5 % allowed for chance. Once as Ganeti sets a cluster up, with ten master candidates, to which it writes
every job and every change of its configuration; once with four, as on four nodes."""

from __future__ import annotations

from typing import Any

from benchmark.bench import Bench
from benchmark.parts import hook
from benchmark.table import Row, seconds
from lab.cluster import Cluster

NAME = "twelve-nodes"
NODES = 12
TOLERANCE = 0.05


def measure(bench: Bench) -> list[Row]:
    few = hook.ours(bench)["seconds"]
    usual = bench.measured(f"{NAME}/ours", lambda: hook.recovered(bench, NODES, original=False))["seconds"]
    same = bench.measured(f"{NAME}/same-candidates", lambda: _with_candidates(bench, hook.NODES))["seconds"]
    what = f"The same instances on {NODES} nodes"
    return [_row(what, few, usual), _row(f"{what}, {hook.NODES} of them master candidates", few, same)]


def _row(what: str, few: float | None, many: float | None) -> Row:
    target = f"no slower than on {hook.NODES} nodes (within {TOLERANCE:.0%})"
    if few is None or many is None:
        return Row(what, "-", seconds(many), "-", target, False)
    return Row(what, "-", seconds(many), f"{many / few:.2f} of the time", target, many <= few * (1 + TOLERANCE))


def _with_candidates(bench: Bench, count: int) -> dict[str, Any]:
    def limit(cluster: Cluster) -> None:
        cluster.gnt("cluster", "modify", f"--candidate-pool-size={count}")
        for node in list(cluster.nodes.values())[count:]:
            if dict(cluster.query("node", ["name", "master_candidate"]))[node.host]:
                cluster.gnt("node", "modify", "--master-candidate=no", node.host)

    return hook.recovered(bench, NODES, original=False, prepare=limit)
