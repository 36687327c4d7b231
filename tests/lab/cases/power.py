"""Power cuts: of the whole cluster, of one node, and of a node that stays dead."""

from __future__ import annotations

from lab.lab import Lab
from lab.node import Node
from lab.runner import case


@case()
def power_cut_on_all_nodes(lab: Lab) -> None:
    """All nodes lose their power and come back. One run restarts every instance, once, and repairs every DRBD link;
    the boot ids are kept; the next run records the successes and does nothing else."""
    cluster = lab.cluster
    names = list(cluster.instances())
    cluster.power_cut()
    cluster.power_on()
    cluster.wait_until_ready()
    lab.expect("before the run", cluster.status(), dict.fromkeys(names, "ERROR_down"))

    run = lab.watch()
    lab.fact(f"recovery run: {run.seconds:.1f} s for {len(names)} instances")
    lab.expect("exit code", run.code, 0)
    lab.expect("restarted, attempt", run.restarts(), dict.fromkeys(names, 1))
    lab.expect("number of restart lines", len(run.logged("Restarting instance")), len(names))
    lab.expect("jobs", sorted(run.job_summaries()), sorted(f"INSTANCE_STARTUP({name})" for name in names))
    lab.expect("warnings and errors", run.troubles, [])
    lab.expect("after the run", cluster.status(), dict.fromkeys(names, "running"))
    cluster.wait_until_synced()
    lab.expect("minors that are not Connected and UpToDate on both sides", cluster.broken_links(), [])
    lab.expect("number of minors", len(cluster.drbd()), 2 * len(names))
    lab.expect("boot ids in the state file", lab.state()["node"], lab.boot_ids())
    lab.expect("tries in the state file", lab.tries(), dict.fromkeys(names, 1))

    run = lab.watch()
    lab.fact(f"next run: {run.seconds:.1f} s")
    group = cluster.groups()["default"]
    lab.expect("exit code of the next run", run.code, 0)
    lab.expect("noted as succeeded", run.succeeded(), sorted(names))
    lab.expect("jobs of the next run", run.job_summaries(verify=True), [f"GROUP_VERIFY_DISKS({group})"])
    lab.expect("tries left in the state file", lab.tries(), {})


@case(nodes=3)
def one_node_power_cycled(lab: Lab) -> None:
    """One node loses its power and comes back. Its primaries are restarted, the instances that
    have it as secondary get their disks activated, and all links are whole again."""
    cluster = lab.cluster
    node = cluster.nodes["node3"]
    primaries = sorted(instance.name for instance in cluster.instances_of(node))
    secondaries = sorted(instance.name for instance in cluster.instances_of(node, secondary=True))
    old_boot_id = node.boot_id
    cluster.power_cut(node)
    cluster.power_on(node)
    cluster.wait_until_ready()

    run = lab.watch()
    lab.fact(f"{len(primaries)} restarts and {len(secondaries)} activations in {run.seconds:.1f} s")
    startups = [f"INSTANCE_STARTUP({name})" for name in primaries]
    activations = [f"INSTANCE_ACTIVATE_DISKS({name})" for name in secondaries]
    lab.expect("exit code", run.code, 0)
    lab.expect("restarted, attempt", run.restarts(), dict.fromkeys(primaries, 1))
    activated = sorted(line.split("'")[1] for line in run.logged("Activating disks for instance", "INFO"))
    lab.expect("activated", activated, secondaries)
    lab.expect("jobs", sorted(run.job_summaries()), sorted(startups + activations))
    lab.expect("warnings and errors", run.troubles, [])
    lab.expect("instances that do not run", _not_running(lab), {})
    cluster.wait_until_synced()
    lab.expect("minors that are not Connected and UpToDate on both sides", cluster.broken_links(), [])
    lab.expect("boot ids in the state file", lab.state()["node"], lab.boot_ids())
    lab.expect_that("the node has a new boot id", node.boot_id != old_boot_id)

    run = lab.watch()
    lab.expect("noted as succeeded", run.succeeded(), primaries)
    lab.expect("jobs of the next run", run.job_summaries(), [])


@case(nodes=4)
def one_node_dead(lab: Lab) -> None:
    """A node is dead and nobody has marked it offline. Its instances are ERROR_nodedown and left alone; an instance
    that is down on the healthy nodes is restarted all the same. When the node is back, its instances are restarted."""
    node = lab.cluster.nodes["node4"]
    boot_ids = lab.boot_ids()
    lab.cluster.power_cut(node)
    _others_are_cared_for(lab, node, "ERROR_nodedown")
    lab.expect("boot ids in the state file", lab.state()["node"], boot_ids)

    primaries = [instance.name for instance in lab.cluster.instances_of(node)]
    lab.cluster.power_on(node)
    lab.cluster.wait_until_ready()
    run = lab.watch()
    lab.expect("restarted when the node is back", run.restarts(), dict.fromkeys(primaries, 1))
    lab.expect("instances that do not run", _not_running(lab), {})
    lab.cluster.wait_until_synced()
    lab.expect("minors that are not Connected and UpToDate on both sides", lab.cluster.broken_links(), [])


@case(nodes=4)
def one_node_dead_and_marked_offline(lab: Lab) -> None:
    """The same, but the administrator has marked the dead node offline: ERROR_nodeoffline."""
    node = lab.cluster.nodes["node4"]
    lab.cluster.power_cut(node)
    lab.cluster.gnt("node", "modify", "--offline=yes", node.host)
    _others_are_cared_for(lab, node, "ERROR_nodeoffline")


def _others_are_cared_for(lab: Lab, dead: Node, expected_status: str) -> None:
    cluster = lab.cluster
    instances = cluster.instances()
    abandoned = [instance.name for instance in instances.values() if instance.pnode == dead.host]
    healthy = next(i.name for i in instances.values() if dead.host not in (i.pnode, *i.snodes))
    cluster.crash(healthy)
    expected = {name: "running" for name in instances} | dict.fromkeys(abandoned, expected_status)
    lab.expect("before the run", cluster.status(), expected | {healthy: "ERROR_down"})

    run = lab.watch()
    lab.fact(f"run with a dead node ({expected_status}): {run.seconds:.1f} s")
    lab.expect("exit code", run.code, 0)
    lab.expect("restarted, attempt", run.restarts(), {healthy: 1})
    lab.expect("jobs", run.job_summaries(), [f"INSTANCE_STARTUP({healthy})"])
    lab.expect("after the run", cluster.status(), expected)
    lab.expect("tries in the state file", lab.tries(), {healthy: 1})
    lab.expect("the status file shows what was found", lab.status_file(), expected | {healthy: "ERROR_down"})

    # Without verify-disks, which would only wait for the dead node once more.
    run = lab.watch("--no-verify-disks")
    lab.expect("noted as succeeded", run.succeeded(), [healthy])
    lab.expect("jobs of the next run", run.job_summaries(), [])


def _not_running(lab: Lab) -> dict[str, str]:
    return {name: status for name, status in lab.cluster.status().items() if status != "running"}
