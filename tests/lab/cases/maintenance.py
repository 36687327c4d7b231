"""Node maintenance: a node that was marked offline stops running what it must not run.

A node that is marked offline gets no news of the cluster; what its own files say is as old as that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from lab import confd
from lab.cluster import FAKE_INSTANCES
from lab.lab import STATE_DIRECTORY, Lab
from lab.node import Node
from lab.runner import case
from lab.watcher import Run

NODE = "node3"
STATUS_FILE = "/run/lab/storage/proc-drbd"
KVM_PIDS = "/run/ganeti/kvm-hypervisor/pid"
KVM_NAMES = ["kvm1.lab", "kvm2.lab"]
KVM_STRANGER = "a-stranger.lab"


def _wanted(lab: Lab) -> Node:
    """Switches node maintenance on; returns the node that the case uses."""
    lab.cluster.gnt("cluster", "modify", "--maintain-node-health=yes")
    return lab.cluster.nodes[NODE]


def _mark_offline(lab: Lab) -> Node:
    """A node that all the others consider offline, while everything on it still runs."""
    node = _wanted(lab)
    lab.cluster.gnt("node", "modify", "--offline=yes", node.host)
    confd.wait_for_role(confd.OFFLINE, node, [other for other in lab.cluster.nodes.values() if other is not node])
    return node


def _running(node: Node) -> list[str]:
    return sorted(file.name for file in node.path(FAKE_INSTANCES).iterdir())


def _minors(lab: Lab, node: Node) -> list[int]:
    return [status.minor for status in lab.cluster.drbd() if status.node == node.name]


def _elsewhere(lab: Lab, node: Node) -> dict[str, list[str]]:
    return {other.name: _running(other) for other in lab.cluster.nodes.values() if other is not node}


def _lives(node: Node, pid: str) -> bool:
    """A process that has ended but was not waited for has no command line any more."""
    try:
        return bool(node.path(f"/proc/{pid}/cmdline").read_bytes())
    except FileNotFoundError:
        return False


def _last_words(run: Run) -> str:
    """What the original says last when it gives up: the end of a traceback."""
    return run.continuation_lines[-1] if run.continuation_lines else "\n".join(run.troubles)


@case(nodes=4)
def node_marked_offline(lab: Lab) -> None:
    """A node is marked offline while its instances run and its DRBD minors are connected. One run on it stops all of
    them and touches no other node; before that, --dry-run only says so."""
    node = _mark_offline(lab)
    instances, minors, elsewhere = _running(node), _minors(lab, node), _elsewhere(lab, node)
    lab.expect_that("there is something to stop", len(instances) > 1 and len(minors) > 2, (instances, minors))
    if not lab.settings.original:
        run = lab.watch("--dry-run", node=node, with_drbd=True)
        lab.expect("exit code of the dry run", run.code, 0)
        for what, names in (("instances", instances), ("DRBD minors", minors)):
            said = [line for line in run.output.splitlines() if f"Would shut down {what}" in line]
            lab.expect(f"{what} that the dry run would stop", [_listed(line) for line in said], [list(map(str, names))])
        lab.expect("after the dry run", (_running(node), _minors(lab, node)), (instances, minors))

    run = lab.watch(node=node, with_drbd=True)
    lab.expect("exit code", run.code, 0)
    lab.expect("instances", _running(node), [])
    lab.expect("DRBD minors", _minors(lab, node), [])
    lab.expect("on the other nodes", _elsewhere(lab, node), elsewhere)
    lab.expect("lines that say so", len(run.logged("should not be", "INFO")), 2)
    lab.fact(f"{len(instances)} instances and {len(minors)} minors gone after {run.seconds:.1f} s")

    again = lab.watch(node=node, with_drbd=True)
    lab.expect("exit code of the next run", again.code, 0)
    lab.expect("what the next run stops", again.logged("should not be"), [])


def _listed(line: str) -> list[str]:
    return sorted(line.rpartition(": ")[2].split(", "))


@case(nodes=4)
def candidates_that_do_not_agree(lab: Lab) -> None:
    """Nothing is stopped on a node that only one master candidate calls offline, nor on one that all call offline
    when too few of them answer. The run says which it is, and ends well."""
    cluster, node = lab.cluster, _wanted(lab)
    running = _running(node), _minors(lab, node)
    liar = cluster.nodes["node2"]
    with _confd_stopped(lab, [liar]):
        _call_offline(liar, node)
    confd.wait_for_role(confd.OFFLINE, node, [liar])
    others = [other for other in cluster.nodes.values() if other is not liar]
    confd.wait_for_role(confd.CANDIDATE, node, others)
    run = lab.watch(node=node, with_drbd=True)
    lab.expect("exit code, one says so", run.code, 0)
    lab.expect("warnings, one says so", len(run.logged("Inconsistent replies, not doing anything", "WARNING")), 1)
    lab.expect("what runs, one says so", (_running(node), _minors(lab, node)), running)

    _mark_offline(lab)
    with _confd_stopped(lab, [lab.master, liar]):
        run = lab.watch(node=node, with_drbd=True)
    lab.expect("exit code, too few answer", run.code, 0)
    lab.expect("warnings, too few answer", len(run.logged("Confd query timed out", "WARNING")), 1)
    lab.expect("what runs, too few answer", (_running(node), _minors(lab, node)), running)
    lab.fact(f"too few answers: given up after {run.seconds:.1f} s")

    confd.wait_for_role(confd.OFFLINE, node, [lab.master, liar])
    lab.watch(node=node, with_drbd=True)
    lab.expect("what runs when all answer", (_running(node), _minors(lab, node)), ([], []))


@contextmanager
def _confd_stopped(lab: Lab, nodes: list[Node]) -> Iterator[None]:
    for node in nodes:
        lab.cluster.daemon_util(node, "stop", "ganeti-confd")
    yield
    for node in nodes:
        lab.cluster.daemon_util(node, "start", "ganeti-confd")


def _call_offline(liar: Node, node: Node) -> None:
    """Changes one candidate's copy of the configuration; its serial number stays that of the others."""
    file = liar.path(f"{STATE_DIRECTORY}/config.data")
    configuration = json.loads(file.read_text())
    for each in configuration["nodes"].values():
        if each["name"] == node.host:
            each["offline"] = True
    file.write_text(json.dumps(configuration))


@case(nodes=4)
def maintenance_with_a_second_equals_sign(lab: Lab) -> None:
    """A hypervisor parameter has a '=' in its value, as kernel arguments do: a node that is marked
    offline stops its instances and minors nevertheless."""
    node = _mark_offline(lab)
    with node.path(f"{STATE_DIRECTORY}/ssconf_hvparams_kvm").open("a") as parameters:
        parameters.write("kernel_args=ro console=ttyS0\n")
    run = lab.watch(node=node, with_drbd=True)
    if lab.settings.original:
        lab.expect("exit code", run.code, 1)
        lab.expect_that("what runs runs on", bool(_running(node) and _minors(lab, node)))
        return lab.fact(_last_words(run))
    lab.expect("exit code", run.code, 0)
    lab.expect("errors", run.troubles[1:], [])
    lab.expect("what runs", (_running(node), _minors(lab, node)), ([], []))


@case(nodes=4)
def maintenance_without_drbd(lab: Lab) -> None:
    """DRBD's module is not loaded on a node that is marked offline: its instances are stopped, and
    the run ends well."""
    node = _mark_offline(lab)
    node.path(STATUS_FILE).unlink()
    run = lab.watch(node=node, with_drbd=True)
    lab.expect("instances", _running(node), [])
    if lab.settings.original:
        lab.expect("exit code", run.code, 1)
        return lab.fact(_last_words(run))
    lab.expect("exit code", run.code, 0)
    lab.expect("errors", run.troubles[1:], [])


@case(nodes=4)
def kvm_instances_on_a_node_marked_offline(lab: Lab) -> None:
    """Real qemu processes run on a node that is marked offline. One run ends all of them, then the DRBD minors. It
    spares somebody else's process whose id is in an old pid file, and a guest that Ganeti does not know, which it
    names."""
    node = _mark_offline(lab)
    node.path(f"{STATE_DIRECTORY}/ssconf_hypervisor_list").write_text("kvm\nfake\n")
    node.path(KVM_PIDS).mkdir(parents=True, exist_ok=True)
    with node.path(f"{STATE_DIRECTORY}/ssconf_instance_list").open("a") as known:
        known.writelines(f"{name}\n" for name in KVM_NAMES)
    strangers = [] if lab.settings.original else [KVM_STRANGER]
    for name in KVM_NAMES + strangers:
        machine = ["-machine", "none", "-nodefaults", "-display", "none", "-S", "-daemonize"]
        node.run("qemu-system-x86_64", "-name", name, *machine, "-pidfile", f"{KVM_PIDS}/{name}")
    processes = {name: node.path(f"{KVM_PIDS}/{name}").read_text().strip() for name in KVM_NAMES}
    noded = node.path("/run/ganeti/ganeti-noded.pid").read_text()
    node.path(f"{KVM_PIDS}/gone.lab").write_text(noded)

    run = lab.watch(node=node, with_drbd=True)
    alive = [name for name, pid in processes.items() if _lives(node, pid)]
    lab.expect_that("noded runs on", node.try_run("kill", "-0", noded.strip()).returncode == 0)
    if lab.settings.original:
        lab.expect("exit code", run.code, 1)
        lab.expect("qemu processes that live on", len(alive), len(KVM_NAMES) - 1)
        lab.fact(f"{len(alive)} of {len(KVM_NAMES)} qemu processes live on: {_last_words(run)}")
        lab.fact(f"and {len(_running(node))} other instances and {len(_minors(lab, node))} DRBD minors")
        return
    lab.expect("exit code", run.code, 0)
    lab.expect("qemu processes that live on", alive, [])
    lab.expect_that("the stranger lives on", _lives(node, node.path(f"{KVM_PIDS}/{KVM_STRANGER}").read_text().strip()))
    left = run.logged("Not stopping guests that are not known to be running Ganeti instances", "WARNING")
    lab.expect("warnings that name the stranger", [KVM_STRANGER in str(line) for line in left], [True])
    lab.expect("other troubles", len(run.troubles), 2)
    lab.expect("what else runs", (_running(node), _minors(lab, node)), ([], []))
    lab.fact(f"{len(processes)} qemu processes gone after {run.seconds:.1f} s")
