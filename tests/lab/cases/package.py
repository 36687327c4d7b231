"""The Debian package on a live cluster: install it, live with it, go back."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

from lab.cluster import drop_in
from lab.lab import Lab
from lab.node import Node
from lab.roots import PACKAGE_DIRECTORY
from lab.runner import case
from lab.transcript import typed
from lab.watcher import ORIGINAL, PROGRAM, Run

PACKAGE = "ganeti-watcher.deb"
INSTALL = f"apt-get install -y ./{PACKAGE}"
REMOVE = "apt-get remove -y ganeti-watcher"
PURGE = "apt-get purge -y ganeti-watcher"
WHICH = "ganeti-watcher --version"
LINK = "../share/ganeti/default/ganeti-watcher"


@case(ours_only="it is our package", package=True, nodes=3)
def package_installed_used_and_removed(lab: Lab) -> None:
    """Debian's cluster as it is, its watcher run by cron's own line. Our package is installed on every node; the same
    line runs ours; all nodes lose their power and ours brings everything back; the package is removed, and the same
    line runs the original again with the same files: tries go on counting, nothing is started twice."""
    with debian_s_own(lab):
        cluster = lab.cluster
        names = list(cluster.instances())
        hopeless = names[0]
        cluster.unable_to_start(hopeless)
        cluster.crash(hopeless)
        run = by_cron(lab)
        lab.expect("restarted by the original", run.restarts(), {hopeless: 1})

        for node in cluster.nodes.values():
            typed(lab, node, INSTALL)
        lab.expect_that("ours is called", "(Rust)" in typed(lab, lab.master, WHICH))
        typed(lab, lab.master, "dpkg-divert --list '*ganeti-watcher*'")
        example = "/usr/share/doc/ganeti-watcher/examples/logrotate"
        typed(lab, lab.master, f"logrotate --force --state /tmp/state {example} && ls /var/log/ganeti/watcher.log*")
        lab.expect("units that were enabled", lab.master.run("find", "/etc/systemd/system", "-name", "*watcher*"), "")
        run = by_cron(lab)
        lab.expect("restarted by ours", run.restarts(), {hopeless: 2})
        lab.expect("jobs", run.job_summaries(), [f"INSTANCE_STARTUP({hopeless})"])
        lab.expect("tries", lab.tries(), {hopeless: 2})
        run = by_cron(lab, cluster.nodes["node2"])
        lab.expect("jobs of a node that is not the master", run.job_summaries(), [])

        cluster.power_cut()
        lab.fact("(all nodes lose their power, and get it back)")
        cluster.power_on()
        cluster.wait_until_ready()
        run = by_cron(lab)
        lab.fact(f"({run.seconds:.1f} s)")
        lab.expect("restarted after the power cut", run.restarts(), {**dict.fromkeys(names, 1), hopeless: 3})
        typed(lab, lab.master, "gnt-instance list -o name,status")
        others = {name: status for name, status in cluster.status().items() if name != hopeless}
        lab.expect("after the power cut", others, dict.fromkeys(names[1:], "running"))
        cluster.wait_until_synced()

        for node in cluster.nodes.values():
            typed(lab, node, REMOVE)
        lab.expect_that("the original is called", "(Rust)" not in typed(lab, lab.master, WHICH))
        lab.expect("its link", lab.master.run("readlink", PROGRAM).strip(), LINK)
        lab.expect("diversions left", lab.master.run("dpkg-divert", "--list", "*ganeti-watcher*"), "")
        run = by_cron(lab)
        lab.expect("noted as succeeded by the original", run.succeeded(), sorted(names[1:]))
        lab.expect("restarted by the original again", run.restarts(), {hopeless: 4})
        lab.expect("jobs of the original", run.job_summaries(), [f"INSTANCE_STARTUP({hopeless})"])


@case(ours_only="it is our package", package=True)
def package_outlives_upgrades_of_ganeti(lab: Lab) -> None:
    """With our package installed, Ganeti's is reinstalled and upgraded, and the version links are switched as by
    `gnt-cluster upgrade`: cron's line runs ours throughout, and what is diverted is Ganeti's newest. Ours is
    installed once more over itself. In the end Ganeti's watcher comes back through the new links."""
    with debian_s_own(lab):
        node = lab.master
        typed(lab, node, INSTALL)
        typed(lab, node, f"dpkg --install {PACKAGE_DIRECTORY}/ganeti.deb")
        still_ours(lab, "after Ganeti's package was reinstalled")

        typed(lab, node, newer_ganeti())
        typed(lab, node, "dpkg --install newer-ganeti.deb && dpkg-query --show ganeti")
        still_ours(lab, "after Ganeti's package was upgraded")
        typed(lab, node, INSTALL.replace("install", "install --reinstall", 1))
        still_ours(lab, "after ours was reinstalled")

        version = node.run("readlink", "/etc/ganeti/share").strip().rpartition("/")[2]
        for kind in ("share", "lib"):
            new = f"/usr/{kind}/ganeti/lab"
            typed(lab, node, f"cp -a /usr/{kind}/ganeti/{version} {new} && ln -snf {new} /etc/ganeti/{kind}")
        still_ours(lab, "after the switch of version links")

        typed(lab, node, REMOVE)
        lab.expect("the link", node.run("readlink", "-f", PROGRAM).strip(), "/usr/share/ganeti/lab/ganeti-watcher")
        run = by_cron(lab)
        lab.expect("jobs of the original", run.job_summaries(), [])
        lab.expect("troubles of the original", run.troubles, [])


@case(ours_only="it is our package", package=True)
def package_that_is_purged_leaves_the_shared_files(lab: Lab) -> None:
    """State, status, log and pause stay when our package is purged. When Ganeti's package is removed with ours still
    installed, both go, and the files of neither are in the other's way when Ganeti's comes back."""
    with debian_s_own(lab):
        node = lab.master
        typed(lab, node, INSTALL)
        lab.cluster.crash(next(iter(lab.cluster.instances())))
        by_cron(lab)
        typed(lab, node, "gnt-cluster watcher pause 1h")
        kept = shared_files(node)
        lab.expect_that("state, status, log and pause are there", len(kept) >= 5, sorted(kept))
        typed(lab, node, PURGE)
        lab.expect("after the purge", shared_files(node), kept)
        lab.expect("the original is back", node.run("readlink", PROGRAM).strip(), LINK)

        other = lab.cluster.nodes["node2"]
        typed(lab, other, INSTALL)
        typed(lab, other, "dpkg --remove ganeti-watcher ganeti")
        leftovers = other.run("sh", "-c", "ls /usr/sbin/ganeti-watcher* /usr/share/man/man8/ganeti-watcher* 2>/dev/null; true")
        lab.expect("left of both", leftovers, "")
        typed(lab, other, f"dpkg --install {PACKAGE_DIRECTORY}/ganeti.deb")
        lab.expect("Ganeti's is back", other.run("readlink", PROGRAM).strip(), LINK)


@case(ours_only="it is our package", package=True)
def package_refuses_an_installation_by_hand(lab: Lab) -> None:
    """Where somebody has already put a watcher in the original's place by hand, in one of three ways, the package
    says so, says what to do, and changes nothing; once that is done it installs. If it cannot be unpacked, everything
    is as before."""
    node = lab.master
    try:
        shutil.copy(lab.settings.under_test.package, node.path(f"/root/{PACKAGE}"))
        before = node.run("dpkg-divert", "--list", "*ganeti-watcher*")
        said = typed(lab, node, f"cd; {INSTALL}", fails=True)
        advice = f"rm -f {PROGRAM} && dpkg-divert --rename --remove {PROGRAM}"
        lab.expect_that("what to do is said", advice in said, said)
        lab.expect("diversions", node.run("dpkg-divert", "--list", "*ganeti-watcher*"), before)
        lab.expect_that("both watchers are there", node.path(PROGRAM).is_file() and node.path(ORIGINAL).is_symlink())
        typed(lab, node, advice)

        node.run("sh", "-c", f"mv {PROGRAM} {ORIGINAL} && cp /bin/true {PROGRAM}")
        said = typed(lab, node, f"cd; {INSTALL}", fails=True)
        lab.expect_that("what to do is said of a moved file", f"mv {ORIGINAL} {PROGRAM}" in said, said)
        typed(lab, node, f"mv {ORIGINAL} {PROGRAM}")

        node.run("sh", "-c", f"rm {PROGRAM} && cp /bin/true {PROGRAM}")
        said = typed(lab, node, f"cd; {INSTALL}", fails=True)
        lab.expect_that("what to do is said of a replaced file", "install --reinstall ganeti" in said, said)
        lab.expect_that("the replaced file is as it was", node.path(PROGRAM).is_file() and not node.path(ORIGINAL).is_symlink())
        node.run("ln", "-sf", LINK, PROGRAM)

        # Another package has one of our files, so dpkg fails half-way.
        in_the_way = node.path("/root/in-the-way")
        drop_in(in_the_way / "usr/share/fish/vendor_completions.d/ganeti-watcher.fish", "")
        control = "Package: in-the-way\nVersion: 1\nArchitecture: all\nMaintainer: the lab <lab@lab>\nDescription: x\n"
        drop_in(in_the_way / "DEBIAN/control", control)
        node.run("sh", "-c", "dpkg-deb --build /root/in-the-way && dpkg --install /root/in-the-way.deb")
        typed(lab, node, f"cd; {INSTALL}", fails=True)
        lab.expect("Ganeti's link after a failed unpack", node.run("readlink", PROGRAM).strip(), LINK)
        lab.expect("diversions after it", node.run("dpkg-divert", "--list", "*ganeti-watcher*"), "")
        lab.expect_that("no copy is left after it", not node.path(ORIGINAL).is_symlink())
        node.run("dpkg", "--remove", "in-the-way")

        typed(lab, node, f"cd; {INSTALL}")
        lab.expect_that("ours is called", "(Rust)" in typed(lab, node, WHICH))
    finally:
        lab.drop()


@contextlib.contextmanager
def debian_s_own(lab: Lab) -> Iterator[None]:
    """The watcher's place holds nothing from the lab, and our package is ready on every node. The cluster is restored
    afterwards."""
    try:
        for node in lab.cluster.nodes.values():
            # So that the next boot does not put the lab's watcher back.
            node.watcher = None
            node.run("sh", "-c", f"rm {PROGRAM} && dpkg-divert --quiet --local --rename --remove {PROGRAM}")
            lab.expect("Debian's own watcher", node.run("readlink", PROGRAM).strip(), LINK)
            shutil.copy(lab.settings.under_test.package, node.path(f"/{PACKAGE}"))
            # As on any machine, daemons are restarted when their package is installed; noded with the lab's tools first.
            node.run("sed", "-i", "s,^PATH=,&/usr/local/sbin:,", "/etc/init.d/ganeti")
            drop_in(node.path("/usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 0\n", 0o755)
        yield
    finally:
        lab.drop()


def by_cron(lab: Lab, node: Node | None = None) -> Run:
    """A run by cron's own line, which has nothing to mail."""
    run = lab.cron_runs_it(node)
    log = "\n".join(str(line) for line in run.log if "RunCmd" not in line.message)
    lab.fact(f"(cron: {run.output.splitlines()[0] if run.output else run.errors}; watcher.log:)\n{log}")
    lab.expect("cron", [run.code, [line for line in run.output.splitlines() if "ganeti-watcher" not in line]], [0, []])
    return run


def still_ours(lab: Lab, when: str) -> None:
    node = lab.master
    lab.expect_that(f"{when}: ours is called", "(Rust)" in typed(lab, node, WHICH))
    lab.expect(f"{when}: the diverted link", node.run("readlink", ORIGINAL).strip(), LINK)
    run = by_cron(lab)
    lab.expect(f"{when}: troubles", run.troubles, [])
    lab.expect(f"{when}: jobs", run.job_summaries(), [])


def newer_ganeti() -> str:
    """Makes the same package with a later version."""
    return (
        f"dpkg-deb --raw-extract {PACKAGE_DIRECTORY}/ganeti.deb newer && "
        "sed -i 's/^Version: .*/&+lab1/' newer/DEBIAN/control && "
        "dpkg-deb --root-owner-group --build newer newer-ganeti.deb"
    )


def shared_files(node: Node) -> dict[str, bytes]:
    places = [node.path("/var/lib/ganeti"), node.path("/var/log/ganeti"), node.path("/run/ganeti")]
    found = [file for place in places for file in [*place.glob("watcher.*"), *place.glob("instance-status")]]
    return {file.name: file.read_bytes() for file in found}
