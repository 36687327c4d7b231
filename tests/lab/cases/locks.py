"""Two runs at once, and the locks that keep them apart."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.commands import wait_until
from lab.lab import Lab
from lab.runner import case

# /var/lock is a link to /run/lock, which points to the wrong place from outside the node.
WATCHER_LOCK = "/var/lock/ganeti-watcher.lock"
WATCHER_LOCK_FILE = "/run/lock/ganeti-watcher.lock"


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Holds the exclusive lock of a file."""
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


@case()
def two_runs_at_once(lab: Lab) -> None:
    """While one run waits for a slow start, a second one begins. It finds the group's state file locked, says so in
    the original's words and leaves at once; the instance is started once."""
    cluster = lab.cluster
    victim = next(iter(cluster.instances()))
    cluster.hold_starts()
    cluster.crash(victim)

    first = lab.start_watch()
    wait_until("the first run is at work", lambda: "Restarting instance" in first.log_text, 60)
    second = lab.start_watch()
    try:
        wait_until("the second run leaves while the first is at work", lambda: not second.is_running, 60)
    finally:
        cluster.release_starts()
    second_run, first_run = second.wait(), first.wait()
    lab.expect("refusals", len(second_run.logged("Can't acquire lock on state file", "ERROR")), 1)
    lab.expect("exit code of the second run", second_run.code, 0)
    lab.expect("exit code of the first run", first_run.code, 0)
    lab.expect("jobs of both runs", first_run.job_summaries(), [f"INSTANCE_STARTUP({victim})"])
    lab.expect("restart lines of both runs", len(first_run.logged("Restarting instance")), 1)
    lab.expect("tries in the state file", lab.tries(), {victim: 1})


@case()
def state_file_locked_by_somebody(lab: Lab) -> None:
    """Something holds the lock of the group's state file: nothing is touched, not even the state, and the run says
    why. A run for the whole cluster does not fail because of that; a run for this group alone does."""
    cluster = lab.cluster
    victim = next(iter(cluster.instances()))
    cluster.crash(victim)
    state = lab.state()
    with held(lab.state_file()):
        run = lab.watch()
        alone = lab.watch("--node-group", lab.cluster.groups()["default"])
    lab.expect("refusals", len(run.logged("Can't acquire lock on state file", "ERROR")), 1)
    lab.expect("exit code", run.code, 0)
    lab.expect("exit code of the group alone", alone.code, 1)
    lab.expect("jobs", run.job_summaries(verify=True), [])
    lab.expect("state", lab.state(), state)


@case()
def watcher_lock_held_exclusively(lab: Lab) -> None:
    """As during `gnt-cluster renew-crypto`: the run leaves at once with 0, says in the original's words that the lock
    is held, and touches nothing."""
    cluster = lab.cluster
    cluster.crash(next(iter(cluster.instances())))
    with held(lab.master.path(WATCHER_LOCK_FILE)):
        run = lab.watch()
    lab.expect("exit code", run.code, 0)
    lab.expect("refusals", len(run.logged(f"Can't acquire lock on {WATCHER_LOCK}: ", "ERROR")), 1)
    lab.expect("groups watched", run.logged("Watcher for node group"), [])
    lab.expect("jobs", run.job_summaries(verify=True), [])
    if not lab.settings.original:
        lab.expect("log lines of more than one line", run.continuation_lines, [])
