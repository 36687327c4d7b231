"""Where systemd manages the daemons: no unit is started against the administrator's will, and none is stopped for
good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lab import daemons
from lab.commands import wait_until
from lab.lab import Lab
from lab.node import Node
from lab.runner import case
from lab.watcher import PROGRAM, Run

# The original probes a hung WConfD three times, a minute each, before it stops it.
REFUSED_SECONDS = 600
MARKER = "/run/systemd/system"
UNITS = "/run/lab/units"
SYSTEMCTL = "/usr/local/sbin/systemctl"
RAPI, WCONFD, MOND = "ganeti-rapi", "ganeti-wconfd", "ganeti-mond"
ACTIVE = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "UnitFileState": "enabled"}
OF_AN_ACTIVE_ONE = {**ACTIVE, "Result": "success", "CanStart": "yes"}
STOPPED = {"ActiveState": "inactive", "SubState": "dead"}


@contextmanager
def _supervised(lab: Lab, node: Node) -> Iterator[Node]:
    """Gives the node a unit for every daemon; emulation/systemctl says what such a unit is."""
    wanted = daemons.ON_EVERY_NODE + (daemons.ON_THE_MASTER if node is lab.master else [])
    node.path(MARKER).mkdir(parents=True)
    node.path(UNITS).mkdir()
    node.path(SYSTEMCTL).symlink_to("/run/lab/emulation/systemctl")
    for daemon in wanted:
        _set(node, daemon)
    # Without a reason to run it ends on its own.
    _set(node, "ganeti-kvmd", UnitFileState="disabled", **STOPPED)
    try:
        yield node
    finally:
        node.path(SYSTEMCTL).unlink()
        node.run("rm", "-r", MARKER, UNITS)
        for daemon in wanted:
            daemons.start(node, daemon)


def _set(node: Node, daemon: str, **values: str) -> None:
    unit = {**OF_AN_ACTIVE_ONE, **values}
    node.path(f"{UNITS}/{daemon}.service").write_text("".join(f"{key}={value}\n" for key, value in unit.items()))


def _journal(node: Node) -> list[str]:
    """The calls of systemctl."""
    file = node.path(f"{UNITS}/journal")
    return file.read_text().splitlines() if file.exists() else []


def _about(run: Run, daemon: str) -> list[str]:
    return [line for line in map(str, run.log) if daemon in line and "RunCmd" not in line]


@case(ours_only="it starts no unit that is not active, failed or not")
def failed_unit(lab: Lab) -> None:
    """A daemon has failed and systemd has given up on its unit, which is enabled: one run starts the unit. Units that
    run are left alone."""
    with _supervised(lab, lab.master) as node:
        daemons.kill(node, RAPI)
        _set(node, RAPI, ActiveState="failed", SubState="failed", Result="signal")
        run = lab.watch()
        lab.expect("exit code", run.code, 0)
        lab.expect("what systemctl was told", _journal(node), [f"start {RAPI}.service"])
        lab.expect_that("the daemon runs", daemons.runs(node, RAPI))


@case(ours_only="it says the same error in every run")
def units_that_are_not_wanted(lab: Lab) -> None:
    """Units that are masked, disabled, or were stopped by somebody are left alone. Each is reported once and not in
    every run, until it runs again."""
    with _supervised(lab, lab.cluster.nodes["node2"]) as node:
        left_alone = {
            "ganeti-noded": {"LoadState": "masked", "UnitFileState": "masked", "CanStart": "no"},
            "ganeti-confd": {"UnitFileState": "disabled", "ActiveState": "failed", "SubState": "failed"},
            MOND: {},
        }
        for daemon, values in left_alone.items():
            daemons.kill(node, daemon)
            _set(node, daemon, **{**STOPPED, **values})
        first, second = lab.watch(node=node), lab.watch(node=node)
        lab.expect("what systemctl was told", _journal(node), [])
        lab.expect("exit codes", (first.code, second.code), (0, 0))
        for daemon in left_alone:
            lab.expect(f"lines about {daemon}", (len(_about(first, daemon)), len(_about(second, daemon))), (1, 0))
            lab.expect_that(f"{daemon} is left alone", not daemons.runs(node, daemon))
        warned = first.logged("will not restart", "WARNING")
        lab.expect("what an administrator is warned of", [MOND in line for line in warned], [True])

        node.run("systemctl", "start", f"{MOND}.service")
        third, fourth = lab.watch(node=node), lab.watch(node=node)
        said = (third.logged(f"Daemon '{MOND}' is running again"), _about(fourth, MOND))
        lab.expect("when it runs again", said, ([f"Daemon '{MOND}' is running again"], []))


@case()
def hung_daemon_under_systemd(lab: Lab) -> None:
    """WConfD hangs where systemd manages it: its unit is restarted. If the unit could not be started again, it is not
    stopped either, and the run says why."""
    with _supervised(lab, lab.master) as node:
        before = daemons.pid(node, WCONFD)
        daemons.signal(node, WCONFD, "STOP")
        if lab.settings.original:
            return _stopped_for_good(lab, node)
        _set(node, WCONFD, LoadState="masked", UnitFileState="masked", CanStart="no")
        run = lab.watch()
        lab.expect("what systemctl was told about a masked unit", _journal(node), [])
        lab.expect_that("a masked one is not stopped", daemons.pid(node, WCONFD) == before)
        lab.expect("errors", len(run.logged("WConfD is not responding and was not restarted", "ERROR")), 1)
        _set(node, WCONFD)
        run = lab.watch()
        lab.expect("what systemctl was told", _journal(node), [f"restart {WCONFD}.service"])
        lab.expect("exit code", run.code, 0)
        lab.expect_that("it runs", daemons.runs(node, WCONFD))
        lab.expect_that("it is a new one", daemons.pid(node, WCONFD) != before)
        lab.expect("words after the restart", len(run.logged("WConfD answers again after its restart", "INFO")), 1)


def _stopped_for_good(lab: Lab, node: Node) -> None:
    """The original stops the unit, and then does not start it, because it is not active."""
    started = lab.start_watch()
    wait_until("it has refused to start the unit", lambda: "will not restart" in started.log_text, REFUSED_SECONDS)
    lab.expect("what systemctl was told", _journal(node), [f"stop {WCONFD}.service"])
    lab.expect_that("it is gone", not daemons.runs(node, WCONFD))
    # Now it waits for the daemon that it has stopped, for more than five minutes.
    node.run("pkill", "-KILL", "-f", PROGRAM)
    lab.fact(f"WConfD is stopped for good: {', '.join(started.wait().troubles)}")
