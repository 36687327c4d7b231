"""One run of a watcher after an outage, and what comes up meanwhile."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from lab.commands import wait_until
from lab.lab import Lab
from lab.watcher import Started

# The original needs about 800 s for the slowest of these.
LIMIT_SECONDS = 3600


@dataclass(frozen=True)
class Recovery:
    """`seconds` until the last of `wanted` instances ran, or None; `curve`: how many ran from which second on."""

    seconds: float | None
    wanted: int
    curve: list[tuple[float, int]]

    def figure(self) -> dict[str, Any]:
        return asdict(self)


def recover(lab: Lab, wanted: set[str], *, original: bool) -> tuple[Started, Recovery]:
    """Starts a run as cron does, without options, and returns when all of these instances run, or when it has ended.

    The time ends with the last instance, not with the run: what either watcher does afterwards, such as verifying
    disks, does not count.
    """
    curve = [(0.0, len(lab.cluster.up()))]
    began = time.monotonic()
    started = lab.start_watch(original=original, seconds=LIMIT_SECONDS)
    reached = False

    def look() -> bool:
        nonlocal reached
        ended = not started.is_running
        up = lab.cluster.up()
        if len(up) != curve[-1][1]:
            curve.append((round(time.monotonic() - began, 2), len(up)))
        reached = wanted <= up
        return reached or ended

    wait_until("the instances run, or the watcher has ended", look, LIMIT_SECONDS + 60)
    seconds = round(time.monotonic() - began, 2) if reached else None
    return started, Recovery(seconds, len(wanted), curve)
