"""Recovery with care: silent nodes, tries that are not used up, order, and mirrors that are missing."""

from __future__ import annotations

from lab.cluster import Cluster, Instance
from lab.lab import Lab
from lab.node import Node
from lab.runner import case
from lab.watcher import PROGRAM, Run

NO_TRIES = "failures that are not the instance's cost it no try"


@case(nodes=4, ours_only=NO_TRIES)
def power_cut_with_a_dead_node(lab: Lab) -> None:
    """All nodes lose their power, and the last one does not come back; nobody has marked it offline. Instances that
    can start without it do. Those that have it as secondary or as primary wait, are named with what to do, and lose no
    try; the disks of the former stay marked as active. When the node is back, everything is up after one run."""
    cluster = lab.cluster
    dead = list(cluster.nodes.values())[-1]
    waiting, on_dead, free = _by_dead_node(cluster, dead)
    disks_active = {name: instance.disks_active for name, instance in cluster.instances().items()}
    cluster.power_cut()
    cluster.power_on(*[node for node in cluster.nodes.values() if node is not dead])
    cluster.wait_until_ready()

    run = lab.watch("--no-verify-disks")
    lab.fact(f"{len(free)} of {len(disks_active)} instances started in {run.seconds:.1f} s without {dead.host}")
    lab.expect("exit code", run.code, 0)
    lab.expect("restarted, attempt", run.restarts(), dict.fromkeys(free, 1))
    lab.expect("jobs", sorted(run.job_summaries()), sorted(f"INSTANCE_STARTUP({name})" for name in free))
    expected = dict.fromkeys(free, "running") | dict.fromkeys(on_dead, "ERROR_nodedown")
    lab.expect("after the run", cluster.status(), expected | dict.fromkeys(waiting, "ERROR_down"))
    lab.expect("tries in the state file", lab.tries(), dict.fromkeys(free, 1))
    _names_what_to_do(lab, run, dead, waiting)
    _names_what_to_do(lab, run, dead, on_dead, "primary_silent")

    run = lab.watch("--no-verify-disks")
    lab.expect("jobs of the next run", run.job_summaries(), [])
    lab.expect("tries after the next run", lab.tries(), {})
    found = {name: instance.disks_active for name, instance in cluster.instances().items()}
    lab.expect("marks of active disks", found, disks_active)

    cluster.power_on(dead)
    cluster.wait_until_ready()
    run = lab.watch()
    lab.expect("restarted when the node is back", run.restarts(), dict.fromkeys(waiting + on_dead, 1))
    _everything_is_whole(lab)


@case(ours_only=NO_TRIES)
def queue_drained_for_six_runs(lab: Lab) -> None:
    """`gnt-cluster queue drain` during six runs: nothing is submitted and no try is used up; the original would use
    up all five. Every run reports the queue, and the first one what waits for it. Once the queue is open, the instance
    is started at once."""
    cluster = lab.cluster
    victim = next(iter(cluster.instances()))
    cluster.crash(victim)
    cluster.gnt("cluster", "queue", "drain")
    drained = "ERROR Job queue is drained, can't maintain cluster state"
    opens = "'gnt-cluster queue undrain' opens it [drained]"
    waits = f"WARNING Not starting instance '{victim}': the job queue is drained; {opens}"
    for number in range(1, 7):
        run = lab.watch()
        lab.expect(f"exit code of run {number}", run.code, 0)
        lab.expect(f"jobs of run {number}", run.job_summaries(verify=True), [])
        lab.expect(f"troubles of run {number}", run.troubles, [drained, waits] if number == 1 else [drained])
    lab.expect("tries after six runs", lab.tries(), {})
    cluster.gnt("cluster", "queue", "undrain")
    lab.expect("restarted when the queue is open", lab.watch().restarts(), {victim: 1})


@case(nodes=4, ours_only=NO_TRIES)
def secondary_silent_for_twelve_runs(lab: Lab) -> None:
    """An instance is down and its secondary node does not answer for twelve runs, an hour with cron. The instance is
    never submitted, is named by the first run and again after an hour, and is started by the first run after the
    node's return."""
    cluster = lab.cluster
    dead = list(cluster.nodes.values())[-1]
    victim = next(name for name, instance in cluster.instances().items() if dead.host in instance.snodes)
    cluster.crash(victim)
    cluster.power_cut(dead)
    for number in range(1, 13):
        run = lab.watch("--no-verify-disks")
        lab.expect(f"jobs of run {number}", run.job_summaries(), [])
        if number == 1:
            _names_what_to_do(lab, run, dead, [victim])
        else:
            lab.expect(f"what run {number} says again", run.troubles, [])
    lab.expect("tries", lab.tries(), {})
    lab.told_an_hour_ago()
    _names_what_to_do(lab, lab.watch("--no-verify-disks"), dead, [victim])
    cluster.power_on(dead)
    cluster.wait_until_ready()
    on_dead = [instance.name for instance in cluster.instances_of(dead)]
    lab.expect("restarted", lab.watch().restarts(), dict.fromkeys([victim, *on_dead], 1))
    _everything_is_whole(lab)


@case(nodes=4, ours_only="the original starts nothing without its mirror")
def started_without_its_mirror(lab: Lab) -> None:
    """With `--start-degraded` an instance whose secondary stays silent is started on its primary alone, with force
    and a warning. It is reported, and again after an hour, until the secondary is back and its mirror is whole. An
    instance whose own disk is not up to date is refused by DRBD, and keeps waiting."""
    cluster = lab.cluster
    dead = list(cluster.nodes.values())[-1]
    victim = next(instance for instance in cluster.instances().values() if dead.host in instance.snodes)
    cluster.crash(victim.name)
    cluster.power_cut(dead)
    option = ("--no-verify-disks", "--start-degraded=1s")
    lab.expect("jobs of the run that finds it", lab.watch(*option).job_summaries(), [])
    run = lab.watch(*option)
    lab.expect("jobs of the next run", run.job_summaries(), [f"INSTANCE_STARTUP({victim.name})"])
    lab.expect("warned", len(run.logged("on its primary node alone", "WARNING")), 1)
    after = cluster.instances()[victim.name]
    lab.expect("the instance", (after.status, after.disks_active), ("running", True))
    lab.expect("told at once", _without_mirror(run), [victim.name])
    run = lab.watch(*option)
    lab.expect("told while nothing changes", _without_mirror(run), [])
    lab.expect("jobs while the node is away", run.job_summaries(), [])
    lab.told_an_hour_ago()
    lab.expect("told again after an hour", _without_mirror(lab.watch(*option)), [victim.name])

    cluster.power_on(dead)
    cluster.wait_until_ready()
    first = lab.watch(*option)
    _everything_is_whole(lab)
    second = lab.watch(*option)
    told = [line for run in (first, second) for line in run.logged(f"mirror of instance '{victim.name}' is whole")]
    lab.expect("told once that the mirror is whole", len(told), 1)
    lab.expect("told of nothing any more", _without_mirror(lab.watch(*option)), [])


@case(nodes=3, ours_only="the original knows no tags")
def tags_decide_who_starts_and_when(lab: Lab) -> None:
    """Tags on real objects: one instance is never started, one before all others, and one has an unreadable tag,
    which causes a warning; it is started as if it had none."""
    cluster = lab.cluster
    names = list(cluster.instances())
    never, first, odd = names[0], names[-1], names[1]
    cluster.gnt("instance", "add-tags", never, "ganeti:watcher:start:never")
    cluster.gnt("instance", "add-tags", first, "ganeti:watcher:start:tier:1")
    cluster.gnt("instance", "add-tags", odd, "ganeti:watcher:start:someday")
    cluster.power_cut()
    cluster.power_on()
    cluster.wait_until_ready()
    run = lab.watch()
    started = [name for name in names if name != never]
    lab.expect("restarted, attempt", run.restarts(), dict.fromkeys(started, 1))
    lab.expect("the first job", run.job_summaries()[0], f"INSTANCE_STARTUP({first})")
    rows = cluster.luxi("QueryJobs", [job.id for job in run.jobs], ["summary", "received_ts", "end_ts"])
    starts = [(tuple(received), tuple(end)) for summary, received, end in rows if "STARTUP" in summary[0]]
    lab.expect_that("the others were submitted after its end", all(other[0] >= starts[0][1] for other in starts[1:]))
    lab.expect("the one that never starts", cluster.status()[never], "ERROR_down")
    lab.expect("warnings", len([line for line in run.troubles if "ganeti:watcher:start:someday" in line]), 1)


@case(ours_only="the original has no such command")
def retry_gives_tries_back(lab: Lab) -> None:
    """An instance that was given up after five tries is started again by the run after `ganeti-watcher retry`, and
    nobody has to delete a state file."""
    cluster = lab.cluster
    victim = next(iter(cluster.instances()))
    cluster.unable_to_start(victim)
    cluster.crash(victim)
    for _ in range(6):
        lab.watch("--no-verify-disks")
    lab.expect("tries", lab.tries(), {victim: 6})
    cluster.remove_start_hook()
    lab.expect("jobs when given up", lab.watch("--no-verify-disks").job_summaries(), [])
    told = lab.master.run(PROGRAM, "retry", victim.partition(".")[0])
    lab.expect_that("the command tells of the instance", victim in told, told)
    lab.expect("restarted", lab.watch("--no-verify-disks").restarts(), {victim: 1})
    lab.expect("the instance", cluster.status()[victim], "running")


def _by_dead_node(cluster: Cluster, dead: Node) -> tuple[list[str], list[str], list[str]]:
    """The instances that have the node as secondary, as primary, and not at all."""
    instances = cluster.instances().values()

    def names(wanted: str) -> list[str]:
        def role(instance: Instance) -> str:
            if instance.pnode == dead.host:
                return "primary"
            return "secondary" if dead.host in instance.snodes else "none"

        return [instance.name for instance in instances if role(instance) == wanted]

    return names("secondary"), names("primary"), names("none")


def _names_what_to_do(lab: Lab, run: Run, dead: Node, waiting: list[str], code: str = "secondary_silent") -> None:
    told = run.logged(f"gnt-node modify --offline yes {dead.host}", "WARNING")
    lines = [line for line in told if line.endswith(f"[{code}]")]
    lab.expect(f"warnings that say what to do, {code}", len(lines), 1)
    named = all(name in line for name in waiting for line in lines)
    lab.expect_that(f"they name every instance that waits, {code}", named, lines)


def _without_mirror(run: Run) -> list[str]:
    return [line.split("'")[1] for line in run.logged("was started without its secondary node", "WARNING")]


def _everything_is_whole(lab: Lab) -> None:
    cluster = lab.cluster
    not_running = {name: status for name, status in cluster.status().items() if status != "running"}
    lab.expect("instances that do not run", not_running, {})
    cluster.wait_until_synced()
    lab.expect("minors that are not Connected and UpToDate on both sides", cluster.broken_links(), [])
