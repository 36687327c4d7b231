"""What verify-disks finds, and the options that restrict it."""

from __future__ import annotations

from lab.drbd import Minor
from lab.lab import Lab
from lab.runner import case


def cut_link(lab: Lab, instance: str) -> None:
    """Leaves the instance's link StandAlone on its secondary, as network trouble can."""
    node, minor = _secondary_side(lab, instance)
    lab.cluster.storage.run(node, "drbdsetup", "disconnect", f"ipv4:{minor.local}", f"ipv4:{minor.remote}")


def detach_disk(lab: Lab, instance: str) -> None:
    """Detaches the disk of the instance's secondary, as after a disk failure."""
    node, minor = _secondary_side(lab, instance)
    lab.cluster.storage.run(node, "drbdsetup", "detach", str(minor.number))


def _secondary_side(lab: Lab, instance: str) -> tuple[str, Minor]:
    node = lab.cluster.node_called(lab.cluster.instances()[instance].snodes[0]).name
    return node, lab.cluster.storage.minors_of(instance)[node]


@case()
def broken_links_are_activated_again(lab: Lab) -> None:
    """One instance's link is StandAlone, another's secondary has lost its disk. verify-disks finds
    both, their disks are activated, and after a resync both links are whole."""
    cluster = lab.cluster
    standalone, diskless, *_ = cluster.instances()
    cut_link(lab, standalone)
    detach_disk(lab, diskless)
    lab.expect("broken sides before the run", len(cluster.broken_links()), 4)

    run = lab.watch()
    activated = " ".join(run.job_summaries())
    lab.expect("exit code", run.code, 0)
    lab.expect("warnings and errors", run.troubles, [])
    lab.expect("restarted", run.restarts(), {})
    for name in (standalone, diskless):
        lab.expect(f"activations of {name}", activated.count(f"INSTANCE_ACTIVATE_DISKS({name})"), 1)
    lab.expect("jobs of all kinds that did not succeed", [str(j) for j in run.jobs if j.status != "success"], [])
    cluster.wait_until_synced()
    lab.expect("minors that are not Connected and UpToDate on both sides", cluster.broken_links(), [])

    run = lab.watch()
    lab.expect("jobs of the next run", run.job_summaries(), [])


@case()
def no_verify_disks(lab: Lab) -> None:
    """With --no-verify-disks nothing looks for broken links, so a StandAlone one stays."""
    cut_link(lab, next(iter(lab.cluster.instances())))
    broken = lab.cluster.broken_links()
    run = lab.watch("--no-verify-disks")
    lab.expect("exit code", run.code, 0)
    lab.expect("groups watched", len(run.logged("Watcher for node group")), 1)
    lab.expect("jobs", run.job_summaries(verify=True), [])
    lab.expect("broken sides", lab.cluster.broken_links(), broken)


@case(before=(3, 1), ours_only="Ganeti 3.0's watcher does not know the option")
def no_strict_on_ganeti_3_0(lab: Lab) -> None:
    """--no-strict came with Ganeti 3.1. On 3.0 it causes a one-line warning, and disks are verified strictly, which
    is all that 3.0 can do."""
    run = lab.watch("--no-strict")
    group = lab.cluster.groups()["default"]
    lab.expect("exit code", run.code, 0)
    lab.expect("jobs", [str(job).partition(" ")[2] for job in run.jobs], [f"GROUP_VERIFY_DISKS({group}) success"])
    lab.expect("warnings", ["strict" in line for line in run.troubles], [True])
