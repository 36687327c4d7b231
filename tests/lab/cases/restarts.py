"""Instances that cannot be started."""

from __future__ import annotations

from lab.lab import Lab
from lab.runner import case

TRIES = 5


@case()
def instance_that_can_never_start(lab: Lab) -> None:
    """Five tries over five runs, giving up on the sixth, then only a warning, from ours when an hour is over; another
    instance that is down is restarted as usual. Once the first is repaired by hand, its record is dropped."""
    cluster = lab.cluster
    hopeless, other, *_ = cluster.instances()
    cluster.unable_to_start(hopeless)
    cluster.crash(hopeless)
    cluster.crash(other)

    for attempt in range(1, TRIES + 1):
        run = lab.watch()
        expected = {hopeless: attempt, other: 1} if attempt == 1 else {hopeless: attempt}
        lab.expect(f"exit code of run {attempt}", run.code, 0)
        lab.expect(f"restarted in run {attempt}", run.restarts(), expected)
        errors = [line for line in run.logged("Error while restarting instance", "ERROR") if hopeless in line]
        lab.expect(f"errors about the start in run {attempt}", len(errors), 1)
        lab.expect(f"tries after run {attempt}", lab.tries(), expected)
        if not lab.settings.original:
            lab.expect(f"log lines of more than one line in run {attempt}", run.continuation_lines, [])
    lab.expect("the other instance", cluster.status()[other], "running")

    run = lab.watch()
    lab.expect("jobs of the sixth run", run.job_summaries(), [])
    lab.expect("giving up", len([line for line in run.logged("giving up", "ERROR") if hopeless in line]), 1)
    lab.expect("troubles of the sixth run", len(run.troubles), 1)
    lab.expect("tries after giving up", lab.tries(), {hopeless: TRIES + 1})
    shared = _shared(lab)

    run = lab.watch()
    lab.expect("jobs of the seventh run", run.job_summaries(), [])
    if not lab.settings.original:
        lab.expect("troubles of the seventh run", run.troubles, [])
        lab.told_an_hour_ago()
        run = lab.watch()
        lab.expect("jobs an hour later", run.job_summaries(), [])
    exhausted = [line for line in run.logged("retries exhausted", "WARNING") if hopeless in line]
    lab.expect("warnings after giving up", len(exhausted), 1)
    lab.expect("troubles after giving up", len(run.troubles), 1)
    lab.expect("state after that", _shared(lab), shared)

    cluster.remove_start_hook()
    cluster.gnt("instance", "start", hopeless)
    run = lab.watch()
    lab.expect("noted as succeeded after the repair", run.succeeded(), [hopeless])
    lab.expect("jobs after the repair", run.job_summaries(), [])
    lab.expect("tries after the repair", lab.tries(), {})


def _shared(lab: Lab) -> dict[str, object]:
    """The part of the state file that both watchers use."""
    state = lab.state()
    return {key: state[key] for key in ("instance", "node")}
