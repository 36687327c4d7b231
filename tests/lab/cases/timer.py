"""The units of our package, on a master whose first process is a real systemd."""

from __future__ import annotations

from lab.cluster import drop_in
from lab.commands import wait_until
from lab.lab import Lab
from lab.node import Node
from lab.runner import case
from lab.transcript import typed
from lab.watcher import LOG

from cases.package import INSTALL, LINK, PROGRAM, REMOVE, debian_s_own
from cases.strict import locked, waiting

SERVICE = "ganeti-watcher.service"
TIMER = "ganeti-watcher.timer"
DROP_IN = f"/etc/systemd/system/{SERVICE}.d"
EXAMPLES = "/usr/share/doc/ganeti-watcher/examples"


@case(ours_only="they are our units", package=True, nodes=4)
def timer_instead_of_cron(lab: Lab) -> None:
    """Installation enables nothing. While Ganeti's cron lines are there the service does nothing, fails and says why.
    Without them a run repairs the cluster and starts a daemon, which outlives the run, also beside a run that waits
    for a lock; and the timer starts the next run. Removal takes the timer away, also for a later installation, and
    brings the original back."""
    with debian_s_own(lab):
        node = master_with_systemd(lab)
        typed(lab, node, INSTALL)
        typed(lab, node, f"systemd-run --quiet --pipe --wait systemd-analyze --man=no verify /lib/systemd/system/{SERVICE} /lib/systemd/system/{TIMER}")
        lab.expect("enabled", node.try_run("systemctl", "is-enabled", TIMER).stdout.strip(), "disabled")
        lab.expect("active", node.try_run("systemctl", "is-active", TIMER).stdout.strip(), "inactive")

        typed(lab, node, f"systemctl start {SERVICE}", fails=True)
        said = typed(lab, node, f"journalctl --quiet --output=cat --unit={SERVICE}")
        lab.expect_that("the conflict is said in the journal", "/etc/cron.d/ganeti" in said)
        lab.expect("lines of the log about it", node.path(LOG).read_text().count("cron call the watcher"), 1)

        down = next(iter(lab.cluster.instances()))
        lab.cluster.crash(down)
        typed(lab, node, "sed -i 's,^.*ganeti-watcher,#&,' /etc/cron.d/ganeti && grep -c '^#.*ganeti-watcher' /etc/cron.d/ganeti")
        lab.cluster.daemon_util(node, "stop", "ganeti-mond")
        typed(lab, node, f"systemctl start {SERVICE}")
        lab.cluster.wait_for_status("running", down)
        typed(lab, node, "/usr/lib/ganeti/daemon-util check ganeti-mond && pgrep --list-name ganeti-mond")
        busy = lab.cluster.nodes["node4"]
        with locked(lab, busy):
            lab.fact("(somebody's job holds the lock of a node, so the verification of disks waits)")
            typed(lab, node, f"systemctl start {SERVICE} && systemctl show --property=Result {SERVICE}")
            wait_until("a verification waits", lambda: "GROUP_VERIFY_DISKS" in waiting(lab.cluster), 60)
            other = elsewhere(lab, busy)
            lab.cluster.crash(other)
            typed(lab, node, f"systemctl start {SERVICE}")
            lab.cluster.wait_for_status("running", other)
        typed(lab, node, "/usr/lib/ganeti/daemon-util check ganeti-mond")

        typed(lab, node, f"systemctl enable --now {TIMER}")
        typed(lab, node, f"systemctl show --property=TimersCalendar {TIMER}")
        lab.cluster.crash(down)
        # No need to wait five minutes: every second works the same way.
        drop_in(node.path(f"/etc/systemd/system/{TIMER}.d/lab.conf"), "[Timer]\nOnCalendar=*:*:*\n")
        typed(lab, node, f"systemctl daemon-reload && systemctl restart {TIMER}")
        lab.cluster.wait_for_status("running", down)

        lab.cluster.wait_for_jobs()
        said = typed(lab, node, REMOVE)
        lab.expect_that("what is left to do is said", "uncomment" in said, said)
        lab.expect("active after the removal", node.try_run("systemctl", "is-active", TIMER).stdout.strip(), "inactive")
        typed(lab, node, f"systemctl start {TIMER}", fails=True)
        typed(lab, node, INSTALL)
        lab.expect("enabled by a new installation", node.try_run("systemctl", "is-enabled", TIMER).stdout.strip(), "disabled")
        typed(lab, node, REMOVE)
        lab.expect("the original is back", node.run("readlink", PROGRAM).strip(), LINK)


@case(ours_only="they are our units", package=True)
def timer_with_hardening(lab: Lab) -> None:
    """With the package's example of hardening a run does what it did without: it queries every daemon, writes its
    files, and starts an instance that is down."""
    with debian_s_own(lab):
        node = master_with_systemd(lab)
        typed(lab, node, INSTALL)
        typed(lab, node, "sed -i 's,^.*ganeti-watcher,#&,' /etc/cron.d/ganeti")
        typed(lab, node, f"mkdir {DROP_IN} && cp {EXAMPLES}/hardening.conf {DROP_IN}/ && systemctl daemon-reload")
        down = next(iter(lab.cluster.instances()))
        lab.cluster.crash(down)
        typed(lab, node, f"systemctl start {SERVICE}")
        lab.cluster.wait_for_status("running", down)
        wait_until("its try is on record", lambda: lab.tries() == {down: 1}, 60)
        log = node.path(LOG).read_text()
        lab.fact(log)
        lab.expect_that("nothing to complain of", not any(level in log for level in ("WARNING", "ERROR")), log)


def master_with_systemd(lab: Lab) -> Node:
    """The master's power is cut, and it comes back with systemd; its instances are down until the watcher runs."""
    node = lab.master
    lab.cluster.power_cut(node)
    node.systemd = True
    lab.cluster.power_on(node)
    lab.cluster.wait_until_ready()
    for instance in lab.cluster.instances_of(node):
        lab.cluster.gnt("instance", "startup", instance.name)
    for instance in lab.cluster.instances_of(node, secondary=True):
        lab.cluster.gnt("instance", "activate-disks", instance.name)
    lab.write_state({"instance": {}, "node": lab.boot_ids()})
    return node


def elsewhere(lab: Lab, node: Node) -> str:
    """An instance without a disk on this node."""
    return next(each.name for each in lab.cluster.instances().values() if node.host not in (each.pnode, *each.snodes))
