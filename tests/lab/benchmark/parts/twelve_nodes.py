"""The instances and the hook of `hook` on twelve nodes instead of four, with ours: more nodes must not make it
slower. 5 % are allowed for chance."""

from __future__ import annotations

from benchmark.bench import Bench
from benchmark.parts import hook
from benchmark.table import Row, seconds

NAME = "twelve-nodes"
NODES = 12
TOLERANCE = 0.05


def measure(bench: Bench) -> list[Row]:
    few = hook.ours(bench)["seconds"]
    many = bench.measured(f"{NAME}/ours", lambda: hook.recovered(bench, NODES, original=False))["seconds"]
    what = f"The same instances on {NODES} nodes"
    wanted = f"no slower than on {hook.NODES} nodes (and {TOLERANCE:.0%})"
    if few is None or many is None:
        return [Row(what, "-", seconds(many), "-", wanted, False)]
    return [Row(what, "-", seconds(many), f"{many / few:.2f} of the time", wanted, many <= few * (1 + TOLERANCE))]
