"""The watcher under test: where it comes from, and what one run of it did."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lab.cluster import Cluster, Job
from lab.commands import LabError, run
from lab.node import Node

REPOSITORY = Path(__file__).resolve().parents[3]
PROGRAM = "/usr/sbin/ganeti-watcher"
ORIGINAL = "/usr/sbin/ganeti-watcher.distrib"
WITH_DRBD = "/run/lab/emulation/with-drbd"
CRON_ONCE = "/run/lab/emulation/cron-once"
LOG = "/var/log/ganeti/watcher.log"
RUN_SECONDS = 900

LOG_LINE = re.compile(
    r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}: (?P<program>\S+) pid=(?P<pid>\d+)(?: \S+:\d+)?"
    r" (?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) (?P<message>.*)$"
)

RESTARTS_SUCCEEDED = "Restart of instances succeeded: "
RESTART_LINE = re.compile(r"Restarting instance '(?P<name>[^']+)' \(attempt #(?P<attempt>\d+)\)")


@dataclass(frozen=True)
class LogLine:
    level: str
    message: str

    def __str__(self) -> str:
        return f"{self.level} {self.message}"


@dataclass(frozen=True)
class Run:
    """One run of a watcher: what it said, wrote and submitted."""

    code: int
    output: str
    errors: str
    seconds: float
    log_text: str
    jobs: list[Job]

    @property
    def log(self) -> list[LogLine]:
        matches = (LOG_LINE.match(line) for line in self.log_text.splitlines())
        return [LogLine(match["level"], match["message"]) for match in matches if match]

    @property
    def continuation_lines(self) -> list[str]:
        """Lines of the log that continue the line before, such as those of a traceback."""
        return [line for line in self.log_text.splitlines() if not LOG_LINE.match(line)]

    def logged(self, fragment: str, level: str | None = None) -> list[str]:
        """The messages that contain this text."""
        return [line.message for line in self.log if fragment in line.message and level in (None, line.level)]

    def restarts(self) -> dict[str, int]:
        """Instance to number of the attempt, from the log."""
        matches = (RESTART_LINE.fullmatch(message) for message in self.logged("Restarting instance", "INFO"))
        return {match["name"]: int(match["attempt"]) for match in matches if match}

    def succeeded(self) -> list[str]:
        """The instances whose earlier restart this run recorded as a success."""
        each = [line.split("'")[1] for line in self.logged("Restart of instance '") if "succeeded" in line]
        # More than a few have one line from ours.
        together = [line.removeprefix(RESTARTS_SUCCEEDED) for line in self.logged(RESTARTS_SUCCEEDED, "INFO")]
        return sorted([*each, *(name for names in together for name in names.split(", "))])

    @property
    def troubles(self) -> list[str]:
        return [str(line) for line in self.log if line.level not in ("DEBUG", "INFO")]

    def job_summaries(self, *, verify: bool = False) -> list[str]:
        """The submitted jobs, in order; verify-disks only if asked for."""
        return [job.summary for job in self.jobs if verify or "VERIFY_DISKS" not in job.summary]


@dataclass(frozen=True)
class UnderTest:
    """What the lab tests; no program means Debian's original. A program from a package comes with its package."""

    program: Path | None
    package: Path | None = None


def under_test(wanted: str, scratch: Path) -> UnderTest:
    """Private copies of the program under test and its package."""
    if wanted == "original":
        return UnderTest(None)
    if wanted != "this repository" and not wanted.endswith(".deb"):
        if not os.access(wanted, os.X_OK):
            raise LabError(f"no such program: {wanted}")
        return UnderTest(Path(shutil.copy(wanted, scratch / "ganeti-watcher")))
    # What is tested is what is shipped.
    source = _built_package(scratch) if wanted == "this repository" else Path(wanted)
    if not source.exists():
        raise LabError(f"no such package: {source}")
    package = scratch / "ganeti-watcher.deb"
    if source != package:
        shutil.copy(source, package)
    run("dpkg-deb", "-x", str(package), str(scratch / "package"))
    return UnderTest(scratch / "package/usr/sbin/ganeti-watcher", package)


def _built_package(scratch: Path) -> Path:
    if not (REPOSITORY / "Cargo.toml").exists():
        raise LabError("nothing to build in this repository yet; try --watcher original")
    (scratch / "built").mkdir()
    if subprocess.run([REPOSITORY / "packaging/build", str(scratch / "built")], stdout=subprocess.DEVNULL).returncode:
        raise LabError("packaging/build failed")
    return next((scratch / "built").glob("*.deb"))


def built_example(name: str) -> Path:
    """An example of this repository, built."""
    build = ["cargo", "build", "--release", "--example", name]
    if subprocess.run([*build, "--quiet"], cwd=REPOSITORY).returncode:
        raise LabError(f"{' '.join(build)} failed")
    target = os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target"
    return REPOSITORY / target / "release/examples" / name


class Started:
    """A run in progress; `wait` returns what it did."""

    def __init__(self, cluster: Cluster, node: Node, command: list[str], seconds: int = RUN_SECONDS) -> None:
        self._cluster = cluster
        self._log = node.path(LOG)
        self._log_begins = self._log.stat().st_size if self._log.exists() else 0
        self._jobs_begin = cluster.last_job()
        self._began = time.monotonic()
        self._process = node.start(*command, seconds=seconds)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def log_text(self) -> str:
        if not self._log.exists():
            return ""
        return self._log.read_bytes()[self._log_begins :].decode(errors="replace")

    def wait(self) -> Run:
        output, errors = self._process.communicate()
        seconds = time.monotonic() - self._began
        jobs = self._cluster.jobs_after(self._jobs_begin)
        return Run(self._process.returncode, output, errors, seconds, self.log_text, jobs)

    def kill(self) -> None:
        """Ends all processes of the run at once, so it saves nothing; its jobs go on."""
        for pid in [*_descendants(self._process.pid), self._process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.communicate()


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [each for child in children for each in [child, *_descendants(child)]]
