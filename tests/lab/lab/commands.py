"""Commands of the machine that the lab runs on, and waiting with a deadline."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence


class LabError(Exception):
    """The lab itself could not do something; the text says what."""


def run(*command: str, text: str | None = None) -> str:
    """Runs a command that must succeed; returns its output."""
    done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        output = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise LabError(f"{' '.join(command)}: exit code {done.returncode}\n{output}")
    return done.stdout


def wait_until(
    what: str, condition: Callable[[], bool], seconds: float, not_yet: Sequence[type[Exception]] = ()
) -> None:
    """Polls until the condition holds; exceptions of the kinds in `not_yet` mean that it does not hold yet."""
    deadline = time.monotonic() + seconds
    last = ""
    while True:
        try:
            if condition():
                return
        except tuple(not_yet) as error:
            last = f" ({error!r})"
        if time.monotonic() > deadline:
            raise LabError(f"not within {seconds:.0f} s: {what}{last}")
        time.sleep(0.05)
