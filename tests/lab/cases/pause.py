"""The pause that an administrator sets, and invalid pause files."""

from __future__ import annotations

import time

from lab.lab import HOUR, STATE_DIRECTORY, Lab
from lab.runner import case
from lab.watcher import Run

PAUSE_FILE = f"{STATE_DIRECTORY}/watcher.pause"


@case()
def paused_for_an_hour(lab: Lab) -> None:
    """`gnt-cluster watcher pause 1h`: a run leaves with 0 and does nothing at all, `gnt-cluster watcher info` agrees,
    `--ignore-pause` repairs nevertheless and leaves the pause in force."""
    cluster = lab.cluster
    victim = next(iter(cluster.instances()))
    cluster.crash(victim)
    cluster.gnt("cluster", "watcher", "pause", "1h")
    state = lab.state()
    lab.expect_that("info says paused", "paused until" in _info(lab), _info(lab))

    run = lab.watch()
    lab.expect("exit code when paused", run.code, 0)
    lab.expect("log when paused", run.log_text, "")
    lab.expect("jobs when paused", run.job_summaries(verify=True), [])
    lab.expect("output when paused", run.output + run.errors, "")
    lab.expect("state when paused", lab.state(), state)

    run = lab.watch("--ignore-pause")
    lab.expect("exit code with --ignore-pause", run.code, 0)
    lab.expect("restarted with --ignore-pause", run.restarts(), {victim: 1})
    lab.expect("the instance", cluster.status()[victim], "running")
    lab.expect_that("info still says paused", "paused until" in _info(lab), _info(lab))

    cluster.gnt("cluster", "watcher", "continue")
    lab.expect_that("info says not paused", "not paused" in _info(lab), _info(lab))
    run = lab.watch()
    lab.expect("noted as succeeded", run.succeeded(), [victim])


@case()
def expired_pause_file(lab: Lab) -> None:
    """A pause that has ended has no effect: the run works. Its file stays for another hour, then a run deletes it."""
    file = lab.master.path(PAUSE_FILE)
    file.write_text(f"{int(time.time()) - 60}\n")
    _runs(lab, lab.watch(), "ended a minute ago")
    lab.expect_that("the file of a pause that ended a minute ago is kept", file.exists())
    lab.expect_that("info says not paused", "not paused" in _info(lab), _info(lab))

    file.write_text(f"{int(time.time()) - 2 * HOUR}\n")
    _runs(lab, lab.watch(), "ended two hours ago")
    lab.expect_that("the file of a pause that ended two hours ago is deleted", not file.exists())


@case()
def garbage_pause_file(lab: Lab) -> None:
    """A pause file that is not a number causes one warning and is deleted, and the run works."""
    file = lab.master.path(PAUSE_FILE)
    for garbage in ("tomorrow\n", ""):
        file.write_text(garbage)
        run = lab.watch()
        _runs(lab, run, f"{garbage!r}")
        lab.expect(f"warnings about {garbage!r}", len(run.troubles), 1)
        lab.expect_that(f"the file with {garbage!r} is deleted", not file.exists())


def _runs(lab: Lab, run: Run, which: str) -> None:
    lab.expect(f"exit code, pause {which}", run.code, 0)
    lab.expect(f"groups watched, pause {which}", len(run.logged("Watcher for node group")), 1)


def _info(lab: Lab) -> str:
    return lab.cluster.gnt("cluster", "watcher", "info").strip()
