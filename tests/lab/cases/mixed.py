"""Switching to ours and back: both watchers use the same files."""

from __future__ import annotations

from lab.lab import Lab
from lab.runner import case


@case(nodes=3)
def original_goes_on_after_ours(lab: Lab) -> None:
    """Ours repairs a cluster after one node's power cut, with one instance that can never start. The original then
    runs on our files: it records the successes, starts nothing twice, activates nothing again, and counts on from
    there."""
    _takes_over(lab, first_is_original=False)


@case(nodes=3)
def ours_goes_on_after_the_original(lab: Lab) -> None:
    """The same the other way round: ours runs on the original's files."""
    _takes_over(lab, first_is_original=True)


def _takes_over(lab: Lab, first_is_original: bool) -> None:
    cluster = lab.cluster
    node = cluster.nodes["node3"]
    primaries = sorted(instance.name for instance in cluster.instances_of(node))
    hopeless = next(name for name in cluster.instances() if name not in primaries)
    cluster.unable_to_start(hopeless)
    cluster.power_cut(node)
    cluster.power_on(node)
    cluster.wait_until_ready()
    cluster.crash(hopeless)

    run = lab.watch(original=first_is_original)
    lab.expect("restarted by the first", run.restarts(), dict.fromkeys([hopeless, *primaries], 1))
    lab.expect("tries after the first", lab.tries(), dict.fromkeys([hopeless, *primaries], 1))
    lab.expect("boot ids after the first", lab.state()["node"], lab.boot_ids())
    recorded = lab.state()["instance"][hopeless]["restart_when"]

    run = lab.watch(original=not first_is_original)
    lab.expect("exit code of the second", run.code, 0)
    lab.expect("noted as succeeded by the second", run.succeeded(), primaries)
    lab.expect("restarted by the second", run.restarts(), {hopeless: 2})
    lab.expect("jobs of the second", run.job_summaries(), [f"INSTANCE_STARTUP({hopeless})"])
    lab.expect("tries after the second", lab.tries(), {hopeless: 2})
    lab.expect("boot ids after the second", lab.state()["node"], lab.boot_ids())
    later = lab.state()["instance"][hopeless]["restart_when"]
    lab.expect_that("the time of the last try moved on", later > recorded, (recorded, later))

    run = lab.watch(original=first_is_original)
    lab.expect("restarted by the first again", run.restarts(), {hopeless: 3})
    lab.expect("jobs of the first again", run.job_summaries(), [f"INSTANCE_STARTUP({hopeless})"])
    lab.expect("tries at the end", lab.tries(), {hopeless: 3})
