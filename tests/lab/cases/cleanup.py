"""Instances that their own user shut down from inside."""

from __future__ import annotations

from lab.lab import Lab
from lab.runner import case


@case()
def instance_shut_down_by_its_user(lab: Lab) -> None:
    """With user shutdown allowed, an instance shut down from inside is not restarted: what is left of it is cleaned
    up once, by a shutdown that is recorded as the user's."""
    cluster = lab.cluster
    victim = next(iter(cluster.instances()))
    cluster.gnt("cluster", "modify", "--user-shutdown=yes")
    cluster.shut_down_by_user(victim)
    lab.expect("before the run", cluster.status()[victim], "USER_down")

    run = lab.watch()
    said = run.logged("was shutdown by the user, cleaning up", "INFO")
    lab.expect("exit code", run.code, 0)
    lab.expect("lines about the clean-up", [victim in line for line in said], [True])
    lab.expect("restarted", run.restarts(), {})
    lab.expect("jobs", [str(job).partition(" ")[2] for job in run.jobs][:1], [f"INSTANCE_SHUTDOWN({victim}) success"])
    lab.expect("number of jobs", len(run.job_summaries()), 1)
    instance = cluster.instances()[victim]
    lab.expect("after the run", (instance.status, instance.admin_state), ("USER_down", "down"))

    run = lab.watch()
    lab.expect("jobs of the next run", run.job_summaries(), [])
    lab.expect("tries in the state file", lab.tries(), {})
