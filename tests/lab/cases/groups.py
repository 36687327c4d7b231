"""More than one node group."""

from __future__ import annotations

from cases.locks import held
from lab.lab import Lab
from lab.runner import case


def make_second_group(lab: Lab) -> list[str]:
    """Moves nodes 3 and 4 into a group of their own; returns the instances that this splits."""
    cluster = lab.cluster
    nodes = [cluster.nodes["node3"].host, cluster.nodes["node4"].host]
    cluster.gnt("group", "add", "second")
    cluster.gnt("group", "assign-nodes", "--force", "second", *nodes)
    return [
        instance.name
        for instance in cluster.instances().values()
        if any((instance.pnode in nodes) != (secondary in nodes) for secondary in instance.snodes)
    ]


@case(nodes=4)
def two_groups_and_a_split_instance(lab: Lab) -> None:
    """Two groups, each with an instance that is down, and one instance whose nodes are in different groups, down as
    well. Each group is looked after with a state file of its own; the split instance is reported as ignored, not
    restarted, and left out of the status files."""
    cluster = lab.cluster
    split = make_second_group(lab)
    instances = cluster.instances()
    whole = {name: instance for name, instance in instances.items() if name not in split}
    victims = [next(name for name, i in whole.items() if i.group == group) for group in ("default", "second")]
    for name in (*victims, *split):
        cluster.crash(name)

    run = lab.watch()
    lab.fact(f"first run over two groups: {run.seconds:.1f} s")
    ignored = sorted(line.split("'")[1] for line in run.logged("Ignoring split instance", "ERROR"))
    second = cluster.groups()["second"]
    lab.expect("exit code", run.code, 0)
    lab.expect("groups watched", len(run.logged("Watcher for node group")), 2)
    lab.expect("ignored as split", ignored, sorted(split))
    lab.expect("restarted, attempt", run.restarts(), dict.fromkeys(victims, 1))
    expected = dict.fromkeys(instances, "running") | dict.fromkeys(split, "ERROR_down")
    lab.expect("after the run", cluster.status(), expected)
    lab.expect("tries in the first group's state", lab.tries(), {victims[0]: 1})
    lab.expect("tries in the second group's state", lab.tries("second"), {victims[1]: 1})
    boot_ids = {host: ids for host, ids in lab.boot_ids().items() if host.startswith(("node3", "node4"))}
    lab.expect("boot ids in the second group's state", lab.state("second")["node"], boot_ids)
    seen = {name: "ERROR_down" if name in victims else "running" for name in whole}
    seen_in_second = {name: status for name, status in seen.items() if whole[name].group == "second"}
    lab.expect("status file of both groups", lab.status_file(), seen)
    second_file = f"/var/lib/ganeti/watcher.{second}.instance-status"
    lab.expect("status file of the second group", lab.status_file(second_file), seen_in_second)

    run = lab.watch()
    lab.expect("noted as succeeded", run.succeeded(), sorted(victims))
    lab.expect("jobs of the next run", run.job_summaries(), [])


@case(nodes=4)
def busy_group_does_not_stop_the_other(lab: Lab) -> None:
    """The first group cannot be looked after, because an earlier run still holds its state file. The second group is
    looked after all the same."""
    cluster = lab.cluster
    make_second_group(lab)
    groups = {instance.group: name for name, instance in reversed(cluster.instances().items())}
    cluster.crash(groups["default"])
    cluster.crash(groups["second"])
    with held(lab.state_file("default")):
        run = lab.watch("--no-verify-disks")
    lab.expect("exit code", run.code, 0)
    lab.expect("restarted, attempt", run.restarts(), {groups["second"]: 1})
    lab.expect("the second group's instance", cluster.status()[groups["second"]], "running")
    lab.expect("the first group's instance", cluster.status()[groups["default"]], "ERROR_down")
    lab.expect("tries in the second group's state", lab.tries("second"), {groups["second"]: 1})
    lab.expect("tries in the first group's state", lab.tries(), {})


@case(nodes=4)
def group_that_cannot_be_asked_about(lab: Lab) -> None:
    """The master's own list of groups does not have the first group yet, so its run fails before it queries anything.
    The second group is looked after all the same."""
    cluster = lab.cluster
    make_second_group(lab)
    known = lab.master.path("/var/lib/ganeti/ssconf_nodegroups")
    victim = next(i.name for i in cluster.instances().values() if i.group == "second")
    cluster.crash(victim)
    lines = known.read_text().splitlines()
    known.chmod(0o644)
    known.write_text("".join(f"{line}\n" for line in lines if line.split()[1] != "default"))
    run = lab.watch("--no-verify-disks")
    default = cluster.groups()["default"]
    lab.expect("exit code", run.code, 0 if lab.settings.original else 1)
    lab.expect_that("the log names the failed group", any(default in line for line in run.troubles), run.troubles)
    lab.expect("restarted, attempt", run.restarts(), {victim: 1})
    lab.expect("tries in the second group's state", lab.tries("second"), {victim: 1})
