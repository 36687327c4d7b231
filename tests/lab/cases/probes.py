"""The master's RAPI and WConfD: hung ones are restarted, healthy ones are left alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lab import daemons
from lab.commands import LabError, wait_until
from lab.lab import Lab
from lab.runner import case

RAPI, WCONFD = "ganeti-rapi", "ganeti-wconfd"
DEFAULTS = "/etc/default/ganeti"
LISTENING_SECONDS = 60
# A run that has not ended by then waits forever: all of Ganeti's own waits are shorter.
FOR_EVER = 180


def _answers(lab: Lab, url: str) -> bool:
    return lab.master.try_run("curl", "--insecure", "--silent", "--max-time", "10", f"{url}/version").returncode == 0


@case()
def rapi_hung(lab: Lab) -> None:
    """RAPI hangs: its socket is open, but it does not answer. One run restarts it, sees it answer, and does the rest
    of its work."""
    victim = next(iter(lab.cluster.instances()))
    lab.cluster.crash(victim)
    before = daemons.pid(lab.master, RAPI)
    daemons.signal(lab.master, RAPI, "STOP")
    started = lab.start_watch()
    if lab.settings.original:
        try:
            wait_until("the run has ended", lambda: not started.is_running, FOR_EVER)
            lab.expect_that("it does not wait forever", False)
        except LabError:
            lab.fact(f"after {FOR_EVER} s still waiting; last in its log: {started.log_text.splitlines()[-1]}")
        daemons.kill(lab.master, RAPI)
        started.wait()
        return daemons.start(lab.master, RAPI)
    run = lab.last_run = started.wait()
    lab.expect("exit code", run.code, 0)
    lab.expect("restarts", len(run.logged("Couldn't get answer from remote API, restarting daemon", "WARNING")), 1)
    lab.expect("errors", [line for line in run.troubles if line.startswith(("ERROR", "CRITICAL"))], [])
    lab.expect_that("it is a new one", daemons.pid(lab.master, RAPI) != before)
    lab.expect_that("it answers", _answers(lab, "https://127.0.0.1:5080"))
    lab.expect("the instance", lab.cluster.status()[victim], "running")
    lab.fact(f"RAPI answers again and {victim} runs after {run.seconds:.1f} s")


@case()
def wconfd_hung(lab: Lab) -> None:
    """WConfD hangs. One run restarts it, and only then asks for jobs, which need it: an instance
    that is down is started."""
    victim = next(iter(lab.cluster.instances()))
    lab.cluster.crash(victim)
    before = daemons.pid(lab.master, WCONFD)
    daemons.signal(lab.master, WCONFD, "STOP")
    run = lab.watch()
    if lab.settings.original:
        # It is killed in the end, and start-stop-daemon refuses the pid file that it leaves; see cases/daemons.py.
        lab.expect_that("it stays down", not daemons.runs(lab.master, WCONFD))
        lab.fact(f"after {run.seconds:.0f} s, exit code {run.code}: {', '.join(run.troubles)}")
        return daemons.start(lab.master, WCONFD)
    lab.expect("exit code", run.code, 0)
    lab.expect("restarts", len(run.logged("WConfD not responsive, restarting daemon", "WARNING")), 1)
    lab.expect_that("it runs", daemons.runs(lab.master, WCONFD))
    lab.expect_that("it is a new one", daemons.pid(lab.master, WCONFD) != before)
    lab.expect("the instance", lab.cluster.status()[victim], "running")
    lab.fact(f"WConfD answers again and {victim} runs after {run.seconds:.1f} s")


@case()
def healthy_rapi_elsewhere(lab: Lab) -> None:
    """RAPI was told to listen on another address, on another port, or without TLS. It answers, so
    no run restarts it or complains."""
    address = lab.master.run("hostname", "--ip-address").split()[0]
    for arguments, url in (
        (f"-b {address} --require-authentication", f"https://{address}:5080"),
        ("-b 127.0.0.1 -p 5099", "https://127.0.0.1:5099"),
        ("-b 127.0.0.1 --no-ssl", "http://127.0.0.1:5080"),
    ):
        with _rapi_with(lab, arguments):
            wait_until(f"RAPI listens at {url}", lambda url=url: _answers(lab, url), LISTENING_SECONDS)
            before = daemons.pid(lab.master, RAPI)
            run = lab.watch()
            lab.expect(f"exit code with {arguments}", run.code, 0)
            is_same = daemons.pid(lab.master, RAPI) == before
            if lab.settings.original:
                lab.expect_that(f"restarted with {arguments}", not is_same)
                lab.fact(f"{arguments}: {', '.join(run.troubles)}")
                continue
            lab.expect(f"words with {arguments}", run.troubles, [])
            lab.expect_that(f"left alone with {arguments}", is_same)


@contextmanager
def _rapi_with(lab: Lab, arguments: str) -> Iterator[None]:
    """Runs RAPI with these arguments for a while."""
    defaults = lab.master.path(DEFAULTS)
    before = defaults.read_text()
    try:
        defaults.write_text(f'{before}\nRAPI_ARGS="{arguments}"\n')
        _restart(lab)
        yield
    finally:
        defaults.write_text(before)
        _restart(lab)


def _restart(lab: Lab) -> None:
    lab.cluster.daemon_util(lab.master, "stop", RAPI)
    lab.cluster.daemon_util(lab.master, "start", RAPI)
