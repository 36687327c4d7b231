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

SERVICE = "ganeti-watcher.service"
TIMER = "ganeti-watcher.timer"
DROP_IN = f"/etc/systemd/system/{SERVICE}.d"
EXAMPLES = "/usr/share/doc/ganeti-watcher/examples"


@case(ours_only="they are our units", package=True)
def timer_instead_of_cron(lab: Lab) -> None:
    """Nothing is enabled by the installation. While Ganeti's line of cron is there the service does nothing, fails and
    says why; without it a run repairs the cluster and starts a daemon, which outlives the run, and the timer calls the
    next run. Removal takes the timer away and brings the original back."""
    with debian_s_own(lab):
        node = master_with_systemd(lab)
        typed(lab, node, INSTALL)
        typed(lab, node, f"systemd-run --quiet --pipe --wait systemd-analyze --man=no verify /lib/systemd/system/{SERVICE} /lib/systemd/system/{TIMER}")
        lab.expect("enabled", node.try_run("systemctl", "is-enabled", TIMER).stdout.strip(), "disabled")
        lab.expect("active", node.try_run("systemctl", "is-active", TIMER).stdout.strip(), "inactive")

        typed(lab, node, f"systemctl start {SERVICE}", fails=True)
        said = typed(lab, node, f"journalctl --quiet --output=cat --unit={SERVICE}")
        lab.expect_that("the conflict is said in the journal", "/etc/cron.d/ganeti" in said)
        lab.expect("lines of the log about it", node.path(LOG).read_text().count("cron calls the watcher"), 1)

        down = next(iter(lab.cluster.instances()))
        lab.cluster.crash(down)
        typed(lab, node, "sed -i 's,^.*ganeti-watcher,#&,' /etc/cron.d/ganeti && grep -c '^#.*ganeti-watcher' /etc/cron.d/ganeti")
        lab.cluster.daemon_util(node, "stop", "ganeti-mond")
        typed(lab, node, f"systemctl start {SERVICE}")
        lab.expect("the instance", lab.cluster.status()[down], "running")
        typed(lab, node, "/usr/lib/ganeti/daemon-util check ganeti-mond && pgrep --list-name ganeti-mond")
        typed(lab, node, f"systemctl start {SERVICE} && systemctl show --property=Result {SERVICE}")
        typed(lab, node, "/usr/lib/ganeti/daemon-util check ganeti-mond")

        typed(lab, node, f"systemctl enable --now {TIMER}")
        typed(lab, node, f"systemctl show --property=TimersCalendar {TIMER}")
        lab.cluster.crash(down)
        # Nobody waits five minutes for what is the same every second.
        drop_in(node.path(f"/etc/systemd/system/{TIMER}.d/lab.conf"), "[Timer]\nOnCalendar=*:*:*\n")
        typed(lab, node, f"systemctl daemon-reload && systemctl restart {TIMER}")
        lab.cluster.wait_for_status("running", down)

        said = typed(lab, node, REMOVE)
        lab.expect_that("what is left to do is said", "take the comment" in said, said)
        lab.expect("active after the removal", node.try_run("systemctl", "is-active", TIMER).stdout.strip(), "inactive")
        typed(lab, node, f"systemctl start {TIMER}", fails=True)
        lab.expect("the original is back", node.run("readlink", PROGRAM).strip(), LINK)


@case(ours_only="they are our units", package=True)
def timer_with_hardening(lab: Lab) -> None:
    """With the hardening that is an example in the package a run does what it did without: it asks every daemon,
    writes its files, and starts an instance that is down."""
    with debian_s_own(lab):
        node = master_with_systemd(lab)
        typed(lab, node, INSTALL)
        typed(lab, node, "sed -i 's,^.*ganeti-watcher,#&,' /etc/cron.d/ganeti")
        typed(lab, node, f"mkdir {DROP_IN} && cp {EXAMPLES}/hardening.conf {DROP_IN}/ && systemctl daemon-reload")
        down = next(iter(lab.cluster.instances()))
        lab.cluster.crash(down)
        typed(lab, node, f"systemctl start {SERVICE}")
        lab.expect("the instance", lab.cluster.status()[down], "running")
        log = node.path(LOG).read_text()
        lab.fact(log)
        lab.expect_that("nothing to complain of", not any(level in log for level in ("WARNING", "ERROR")), log)
        lab.expect("tries", lab.tries(), {down: 1})


def master_with_systemd(lab: Lab) -> Node:
    """The master's power is cut, and it comes back with systemd; its instances are down until the watcher comes."""
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
