"""What Ganeti's own quality assurance expects of a watcher, rewritten."""

from __future__ import annotations

from lab.lab import Lab
from lab.runner import case

TRIES = 5


def shut_down_behind_the_scenes(lab: Lab, instance: str) -> None:
    """The instance is down but should be up: what the watcher is for."""
    lab.cluster.gnt("instance", "shutdown", "--no-remember", instance)
    lab.cluster.wait_for_status("ERROR_down", instance)


@case()
def qa_pause_and_resume(lab: Lab) -> None:
    """A paused watcher leaves an instance down that was shut down without being remembered;
    once resumed it brings it back."""
    victim = next(iter(lab.cluster.instances()))
    lab.cluster.gnt("cluster", "watcher", "pause", "4h")
    shut_down_behind_the_scenes(lab, victim)
    run = lab.watch()
    lab.expect("exit code when paused", run.code, 0)
    lab.expect("the instance when paused", lab.cluster.status()[victim], "ERROR_down")

    lab.cluster.gnt("cluster", "watcher", "continue")
    run = lab.watch()
    lab.expect("exit code when resumed", run.code, 0)
    lab.expect("the instance when resumed", lab.cluster.status()[victim], "running")


@case()
def qa_automatic_restart(lab: Lab) -> None:
    """An instance shut down with --no-remember is started by the next run, with its disks."""
    victim = next(iter(lab.cluster.instances()))
    shut_down_behind_the_scenes(lab, victim)
    run = lab.watch()
    lab.expect("exit code", run.code, 0)
    lab.expect("restarted, attempt", run.restarts(), {victim: 1})
    lab.expect("jobs", run.job_summaries(), [f"INSTANCE_STARTUP({victim})"])
    lab.expect("the instance", lab.cluster.status()[victim], "running")
    lab.expect("minors that are not Connected and UpToDate on both sides", lab.cluster.broken_links(), [])


@case()
def qa_five_consecutive_failures(lab: Lab) -> None:
    """An instance that is down again at every run is restarted five times in a row and then no more. Once it is
    started by hand its record is dropped, and the watcher looks after it again."""
    cluster = lab.cluster
    victim = next(iter(cluster.instances()))
    for attempt in range(1, TRIES + 1):
        shut_down_behind_the_scenes(lab, victim)
        run = lab.watch()
        lab.expect(f"restarted, failure {attempt}", run.restarts(), {victim: attempt})
        lab.expect(f"the instance, failure {attempt}", cluster.status()[victim], "running")

    shut_down_behind_the_scenes(lab, victim)
    for which in ("first", "second"):
        run = lab.watch()
        lab.expect(f"jobs of the {which} run after that", run.job_summaries(), [])
        lab.expect(f"the instance after the {which} run", cluster.status()[victim], "ERROR_down")

    cluster.gnt("instance", "start", victim)
    lab.watch()
    lab.expect("tries once it was started by hand", lab.tries(), {})
    shut_down_behind_the_scenes(lab, victim)
    run = lab.watch()
    lab.expect("restarted after that", run.restarts(), {victim: 1})
