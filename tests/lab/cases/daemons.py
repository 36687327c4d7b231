"""Daemons that are not as they should be, and nodes that are not the master."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lab import daemons
from lab.commands import wait_until
from lab.lab import Lab
from lab.node import Node
from lab.runner import case
from lab.watcher import LOG

# On Debian 12 only ours can start these again when they were killed and left their pid files.
STAY_DOWN = ["ganeti-confd", "ganeti-luxid", "ganeti-rapi", "ganeti-wconfd"]
NODED = "ganeti-noded"
LET_GO = "/run/lab-let-go"
LOCK_SECONDS = 30
START_LUXID = "daemon-util check-and-start ganeti-luxid"


@case()
def luxid_stopped(lab: Lab) -> None:
    """luxid is not running on the master. It is started once, through daemon-util, and the run goes on: an instance
    that is down is restarted."""
    cluster = lab.cluster
    victim = next(iter(cluster.instances()))
    cluster.crash(victim)
    cluster.daemon_util(lab.master, "stop", "ganeti-luxid")
    run = lab.watch()
    cluster.daemon_util(lab.master, "check", "ganeti-luxid")
    lab.expect("exit code", run.code, 0)
    lab.expect("warnings that luxid is down", len(run.logged("Luxi daemon seems to be down", "WARNING")), 1)
    lab.expect("starts of luxid", len(run.logged(START_LUXID)), 1)
    lab.expect("restarted, attempt", run.restarts(), {victim: 1})
    lab.expect("the instance", cluster.status()[victim], "running")
    lab.expect("jobs", run.job_summaries(), [f"INSTANCE_STARTUP({victim})"])


@case()
def every_daemon_killed(lab: Lab) -> None:
    """Every daemon that Ganeti needs is killed, on the master and on another node: one run on each
    brings all of them back, through daemon-util and in the original's order. The run on the master
    goes on to its other work: an instance that is down is restarted."""
    cluster = lab.cluster
    victim = next(iter(cluster.instances()))
    cluster.crash(victim)
    other = cluster.nodes["node2"]
    for node, wanted in ((other, daemons.ON_EVERY_NODE), (lab.master, daemons.ON_EVERY_NODE + daemons.ON_THE_MASTER)):
        before = {daemon: daemons.pid(node, daemon) for daemon in wanted}
        for daemon in wanted:
            daemons.kill(node, daemon)
        run = lab.watch(node=node)
        if lab.settings.original:
            # start-stop-daemon refuses pid files that are not root's, and the killed daemons have left theirs.
            down = [name for name in wanted if not daemons.runs(node, name)]
            lab.expect(f"{node.name}: daemons that stay down", down, [name for name in wanted if name in STAY_DOWN])
            lab.fact(f"{node.name}: exit code {run.code}, down: {', '.join(down)}; {run.troubles[0]}")
            for daemon in wanted:
                daemons.start(node, daemon)
            continue
        lab.expect(f"exit code on {node.name}", run.code, 0)
        lab.expect(f"errors on {node.name}", [line for line in run.troubles if line.startswith("ERROR")], [])
        down = [name for name in wanted if not daemons.runs(node, name)]
        lab.expect(f"{node.name}: daemons that do not run", down, [])
        same = [name for name in wanted if daemons.pid(node, name) == before[name]]
        lab.expect(f"{node.name}: daemons that are the old ones", same, [])
        started = list(dict.fromkeys(line.split()[-1] for line in run.logged("check-and-start", "INFO")))
        expected = [*daemons.ON_EVERY_NODE, "ganeti-kvmd", *(daemons.ON_THE_MASTER if node is lab.master else [])]
        lab.expect(f"{node.name}: ensured, in this order", started, expected)
        # None is so slow to write its pid file that a run would wait for it.
        lab.expect(f"{node.name}: starts that seemed to come to nothing", run.logged("Trying again to start"), [])
        lab.fact(f"{node.name}: {len(wanted)} killed daemons back after {run.seconds:.1f} s")
    if not lab.settings.original:
        lab.expect("the instance", cluster.status()[victim], "running")


@case()
def kvmd_killed(lab: Lab) -> None:
    """kvmd stays up only where there is KVM and users may shut their instances down. If it is killed there, one run
    brings it back; where it ends on its own, no run complains."""
    node = lab.cluster.nodes["node2"]
    run = lab.watch(node=node)
    lab.expect("exit code where it is not wanted", run.code, 0)
    lab.expect("words where it is not wanted", run.troubles, [])
    with _said_by_the_cluster(node, {"enabled_user_shutdown": "True", "hypervisor_list": "fake\nkvm"}):
        lab.watch(node=node)
        before = daemons.pid(node, "ganeti-kvmd")
        lab.expect_that("it runs where it is wanted", daemons.runs(node, "ganeti-kvmd"))
        daemons.kill(node, "ganeti-kvmd")
        run = lab.watch(node=node)
        lab.expect("exit code", run.code, 0)
        if lab.settings.original:
            return lab.fact(", ".join(run.troubles))
        lab.expect("words", run.troubles, [])
        lab.expect_that("it runs again", daemons.runs(node, "ganeti-kvmd"))
        lab.expect_that("it is a new one", daemons.pid(node, "ganeti-kvmd") != before)
        daemons.kill(node, "ganeti-kvmd")


@contextmanager
def _said_by_the_cluster(node: Node, values: dict[str, str]) -> Iterator[None]:
    """Makes ssconf on this node say something else for a while."""
    files = {node.path(f"/var/lib/ganeti/ssconf_{key}"): text for key, text in values.items()}
    before = {path: path.read_text() for path in files}
    try:
        for path, text in files.items():
            path.write_text(text + "\n")
        yield
    finally:
        for path, text in before.items():
            path.write_text(text)


@case(ours_only="it believes daemon-util, and says nothing")
def noded_killed_while_a_child_holds_its_pid_file(lab: Lab) -> None:
    """noded is killed, and the lock of its pid file is still held, as by a child that serves a request. daemon-util
    says that it has started noded, but it has not. A run tries again, and is content if the lock is free by then; a
    run during which the lock stays held says in one error that noded does not run. The next run starts it."""
    node = lab.cluster.nodes["node2"]
    for until, comes_back in ((f"grep -q 'Trying again to start' {LOG}", True), (f"test -e {LET_GO}", False)):
        daemons.kill(node, NODED)
        _hold_pid_file(node, NODED, until)
        run = lab.watch(node=node)
        lab.expect("exit code", run.code, 0)
        lab.expect("starts", len(run.logged(f"daemon-util check-and-start {NODED}")), 2)
        lab.expect("what is wrong", ["does not run" in line for line in run.troubles], [] if comes_back else [True])
        lab.expect("noded runs", daemons.runs(node, NODED), comes_back)
        lab.fact(f"{run.seconds:.1f} s; {'; '.join(run.troubles) or 'no error'}")
    node.path(LET_GO).touch()
    wait_until("the lock is free", lambda: _is_free(node, NODED), LOCK_SECONDS)
    run = lab.watch(node=node)
    lab.expect("what is wrong in the next run", run.troubles, [])
    lab.expect_that("noded runs after the next run", daemons.runs(node, NODED))
    node.path(LET_GO).unlink()


def _hold_pid_file(node: Node, daemon: str, until: str) -> None:
    """Takes the lock that the daemon had, until a shell command succeeds."""
    waits = f"until {until}; do sleep 0.05; done"
    holder = f"setsid flock --no-fork /run/ganeti/{daemon}.pid sh -c \"{waits}\" </dev/null >/dev/null 2>&1 &"
    node.run("sh", "-c", holder)
    wait_until("the lock is held", lambda: not _is_free(node, daemon), LOCK_SECONDS)


def _is_free(node: Node, daemon: str) -> bool:
    return node.try_run("flock", "--nonblock", f"/run/ganeti/{daemon}.pid", "true").returncode == 0


@case()
def old_master_after_a_failover(lab: Lab) -> None:
    """Another node has become the master. A run on the old one leaves quietly with 0 and starts
    none of the master's daemons; one on the new master does a master's work."""
    cluster = lab.cluster
    old, new = lab.master, cluster.nodes["node2"]
    new.run("gnt-cluster", "master-failover")
    cluster.master = new
    cluster.wait_until_ready()
    # Without a state file of its own the new master's first run would activate every disk.
    lab.write_state({"instance": {}, "node": lab.boot_ids()})
    victim = next(iter(cluster.instances()))
    cluster.crash(victim)

    run = lab.watch(node=old)
    lab.expect("exit code on the old master", run.code, 0)
    lab.expect("output on the old master", run.output + run.errors, "")
    lab.expect("warnings and errors on the old master", run.troubles, [])
    lab.expect("jobs of the old master", run.job_summaries(verify=True), [])
    started = [name for name in daemons.ON_THE_MASTER if daemons.runs(old, name)]
    lab.expect("the master's daemons on the old one", started, [])

    run = lab.watch()
    lab.expect("exit code on the new master", run.code, 0)
    lab.expect("jobs of the new master", run.job_summaries(), [f"INSTANCE_STARTUP({victim})"])
    lab.expect("the instance", cluster.status()[victim], "running")


@case()
def node_that_is_not_the_master(lab: Lab) -> None:
    """On any other node a run ends quietly with 0: no output, no job, no state file."""
    cluster = lab.cluster
    cluster.crash(next(iter(cluster.instances())))
    for node in cluster.nodes.values():
        if node is lab.master:
            continue
        run = lab.watch(node=node)
        lab.expect(f"exit code on {node.name}", run.code, 0)
        lab.expect(f"output on {node.name}", run.output + run.errors, "")
        lab.expect(f"warnings and errors on {node.name}", run.troubles, [])
        lab.expect(f"groups watched on {node.name}", run.logged("Watcher for node group"), [])
        lab.expect(f"jobs after {node.name}", run.job_summaries(verify=True), [])
        state_files = [path.name for path in node.path("/var/lib/ganeti").glob("watcher.*")]
        lab.expect(f"state files on {node.name}", state_files, [])
