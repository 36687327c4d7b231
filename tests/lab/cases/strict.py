"""Cron's own calls of the watcher, and verifications beside a job that holds the lock of a node.

Since Ganeti 3.1 cron runs the watcher with --no-strict, except every half hour: its verification of disks then waits
for no lock. In earlier versions every run waits for all of them.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cases.disks import cut_link
from lab.cluster import Cluster
from lab.commands import wait_until
from lab.lab import Lab
from lab.node import Node
from lab.runner import case
from lab.watcher import PROGRAM, Run, Started

CRON_FILE = "/etc/cron.d/ganeti"
# Minutes and arguments of each line that runs the watcher.
BEFORE_3_1 = {"*/5": ""}
SINCE_3_1 = {"5-25/5,35-55/5": "--no-strict", "*/30": ""}
# Longer than any case: whatever holds a lock is told when to release it.
DELAY_SECONDS = "3600"
WAITS_SECONDS = 60


def _lines_of_cron(lab: Lab) -> dict[str, str]:
    """Minutes to command."""
    lines = [line.split(None, 6) for line in _cron_file(lab) if PROGRAM in line]
    lab.expect("who cron calls the watcher as", {line[5] for line in lines}, {"root"})
    return {line[0]: line[6] for line in lines}


def _cron_file(lab: Lab) -> list[str]:
    return lab.master.path(CRON_FILE).read_text().splitlines()


def _run_as_cron(lab: Lab, line: str) -> Run:
    paths = [each for each in _cron_file(lab) if each.startswith("PATH=")]
    environment = [*paths, "HOME=/root", "LOGNAME=root", "SHELL=/bin/sh"]
    command = ["env", "-i", *environment, "/bin/sh", "-c", line]
    lab.last_run = Started(lab.cluster, lab.master, command).wait()
    return lab.last_run


def _strictness(lab: Lab, run: Run) -> list[Any]:
    """The strictness of each verification of this run."""
    rows = lab.cluster.luxi("QueryJobs", [job.id for job in run.jobs], ["ops"])
    opcodes = [opcode for (of_a_job,) in rows for opcode in of_a_job]
    return [opcode.get("is_strict") for opcode in opcodes if opcode["OP_ID"] == "OP_GROUP_VERIFY_DISKS"]


@case()
def lines_of_ganetis_cron_file(lab: Lab) -> None:
    """Every line of Ganeti's cron file that runs the watcher, run as cron does: an instance that is down is
    restarted, a broken link is repaired, and nothing is printed that cron would mail. Ganeti 3.0 has one line; 3.1
    has two, and verifies disks as the line says."""
    cluster = lab.cluster
    victim, broken, *_ = cluster.instances()
    knows_strict = lab.ganeti >= (3, 1)
    lines = _lines_of_cron(lab)
    arguments = {minutes: line.rpartition(PROGRAM)[2].strip() for minutes, line in lines.items()}
    lab.expect("the lines", arguments, SINCE_3_1 if knows_strict else BEFORE_3_1)
    for minutes, line in lines.items():
        cluster.crash(victim)
        cut_link(lab, broken)
        run = _run_as_cron(lab, line)
        lab.expect(f"{minutes}: exit code", run.code, 0)
        if not lab.settings.original:
            lab.expect(f"{minutes}: what cron would mail", run.output + run.errors, "")
        lab.expect(f"{minutes}: warnings and errors", run.troubles, [])
        lab.expect(f"{minutes}: restarted", run.restarts(), {victim: 1})
        lab.expect(f"{minutes}: activated", run.job_summaries()[1:], [f"INSTANCE_ACTIVATE_DISKS({broken})"])
        strict = [None] if not knows_strict else ["--no-strict" not in line]
        lab.expect(f"{minutes}: strict verification", _strictness(lab, run), strict)
        cluster.wait_until_synced()
        lab.expect(f"{minutes}: broken links", cluster.broken_links(), [])
        lab.fact(f"{minutes}: {run.seconds:.1f} s")
        again = lab.watch("--no-verify-disks")
        lab.expect(f"{minutes}: noted as succeeded by the next run", again.succeeded(), [victim])


@case(since=(3, 1))
def not_strict_beside_a_locked_node(lab: Lab) -> None:
    """A job holds the lock of one node. A run with --no-strict does not wait for it: the verification fails on one of
    Ganeti's own assertions, which one line reports as not verified this time, and which costs the run nothing else.
    Once the lock is free, such a run repairs what is broken."""
    cluster = lab.cluster
    victim, broken, *_ = cluster.instances()
    cluster.crash(victim)
    cut_link(lab, broken)
    with locked(lab, cluster.nodes["node3"]):
        run = lab.watch("--no-strict")
    lab.expect("exit code", run.code, 0)
    lab.expect("restarted", run.restarts(), {victim: 1})
    lab.expect("the instance", cluster.status()[victim], "running")
    lab.expect("tries in the state file", lab.tries(), {victim: 1})
    verifications = [job for job in run.jobs if "VERIFY_DISKS" in job.summary]
    lab.expect("verifications", [job.status for job in verifications], ["error"])
    said = ["nodes changed while we kept the lock" in str(job.result) for job in verifications]
    lab.expect("Ganeti's assertion in their results", said, [True])
    lab.expect("activations", run.job_summaries(), [f"INSTANCE_STARTUP({victim})"])
    lab.fact(f"{run.seconds:.1f} s beside a locked node")
    if lab.settings.original:
        lab.fact(f"{len(run.continuation_lines)} lines of traceback; troubles: {', '.join(run.troubles)}")
    else:
        lab.expect("warnings and errors", run.troubles, [])
        lab.expect("lines that say so", len(run.logged("not verified this time: a node is busy", "INFO")), 1)
        lab.expect("log lines of more than one line", run.continuation_lines, [])

    run = lab.watch("--no-strict")
    lab.expect("warnings and errors once the lock is free", run.troubles, [])
    lab.expect("noted as succeeded", run.succeeded(), [victim])
    lab.expect("jobs once the lock is free", run.job_summaries(), [f"INSTANCE_ACTIVATE_DISKS({broken})"])
    cluster.wait_until_synced()
    lab.expect("broken links", cluster.broken_links(), [])


@case(since=(3, 1), ours_only="it asks for the same start once more, and waits for it")
def not_strict_beside_a_locked_instance(lab: Lab) -> None:
    """A job holds the lock of one instance, whose start waits for it. A run with --no-strict leaves that one out,
    verifies the others and repairs what is broken, all while the job goes on."""
    cluster = lab.cluster
    busy, _, broken, *_ = cluster.instances()
    cluster.crash(busy)
    cluster.hold_starts()
    cluster.gnt("instance", "start", "--submit", busy)
    start = cluster.last_job()
    wait_until("the start waits for its hook", lambda: _status(cluster, start) == "running", WAITS_SECONDS)
    cut_link(lab, broken)
    try:
        run = lab.watch("--no-strict")
        lab.expect("the start after the run", _status(cluster, start), "running")
    finally:
        cluster.release_starts()
    lab.expect("exit code", run.code, 0)
    lab.expect("warnings and errors", run.troubles, [])
    lab.expect("jobs", run.job_summaries(), [f"INSTANCE_ACTIVATE_DISKS({broken})"])
    lab.expect("their ends", [job.status for job in run.jobs], ["success"] * 2)
    cluster.wait_until_synced()
    lab.expect("broken links", cluster.broken_links(), [])
    cluster.wait_for_status("running", busy)
    lab.expect("jobs once it runs", lab.watch("--no-strict").job_summaries(), [])


@case()
def strict_beside_a_locked_node(lab: Lab) -> None:
    """The same without --no-strict: the verification waits for the lock, and the instance that is down does not wait
    with it. Once the lock is free, the same run repairs what is broken."""
    cluster = lab.cluster
    victim, broken, *_ = cluster.instances()
    cluster.crash(victim)
    cut_link(lab, broken)
    with locked(lab, cluster.nodes["node3"]):
        started = lab.start_watch()
        wait_until("the verification waits", lambda: waiting(cluster) == ["GROUP_VERIFY_DISKS"], WAITS_SECONDS)
        lab.expect("the instance while it waits", cluster.status()[victim], "running")
    run = lab.last_run = started.wait()
    lab.expect("exit code", run.code, 0)
    lab.expect("warnings and errors", run.troubles, [])
    lab.expect("restarted", run.restarts(), {victim: 1})
    wanted = [f"INSTANCE_STARTUP({victim})", f"INSTANCE_ACTIVATE_DISKS({broken})"]
    lab.expect("jobs", run.job_summaries(), wanted)
    cluster.wait_until_synced()
    lab.expect("broken links", cluster.broken_links(), [])


def _status(cluster: Cluster, job: int) -> str:
    ((status,),) = cluster.luxi("QueryJobs", [job], ["status"])
    return str(status)


def waiting(cluster: Cluster) -> list[str]:
    """The kinds of opcodes of the jobs that wait for a lock."""
    rows = cluster.query("job", ["summary", "status"])
    return [re.sub(r"\(.*", "", summary[0]) for summary, status in rows if status == "waiting"]


@contextmanager
def locked(lab: Lab, node: Node) -> Iterator[None]:
    """Makes a job hold the lock of this node, as one that moves disks would."""
    delay = ["debug", "delay", "--no-master", "-n", node.host, "--interruptible", "--submit", DELAY_SECONDS]
    lab.cluster.gnt(*delay)
    job = lab.cluster.last_job()

    def doors() -> list[str]:
        ((log,),) = lab.cluster.luxi("QueryJobs", [job], ["oplog"])
        return [message[0] for of_an_opcode in log for _, _, kind, message in of_an_opcode if kind == "delay-test"]

    wait_until("a job holds the lock", lambda: bool(doors()), WAITS_SECONDS)
    try:
        yield
    finally:
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(str(lab.master.path(doors()[0])))
            door.sendall(b".")
    lab.cluster.master.run("gnt-job", "wait", str(job))
