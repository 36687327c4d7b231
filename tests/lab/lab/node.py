"""A node: a set of namespaces over a copy-on-write root, with a switch for its power."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from lab import network
from lab.commands import LabError, run, wait_until

EMULATION = Path(__file__).resolve().parent.parent / "emulation"
ENVIRONMENT = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C"]
BOOT_SECONDS = 120
COMMAND_SECONDS = 600


@dataclass
class Node:
    name: str
    index: int
    directory: Path
    layers: list[Path] = field(default_factory=list)
    watcher: Path | None = None
    systemd: bool = False
    """The next boot has systemd as its first process, not the lab's shell."""
    pid: int = 0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"{self.name}.{network.DOMAIN}"

    @property
    def is_on(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def boot_id(self) -> str:
        return (self.directory / "boot-id").read_text().strip()

    def power_on(self) -> None:
        """Starts the boot; `wait_for_boot` waits for its end."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "boot-id").write_text(f"{uuid.uuid4()}\n")
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "NODE_DIR": str(self.directory),
            "LAYERS": ":".join(str(layer) for layer in self.layers),
            "HOST": self.host,
            "ADDRESS": f"{network.node_address(self.index)}/{network.PREFIX_LENGTH}",
            "EMULATION": str(EMULATION),
            "WATCHER": str(self.watcher or ""),
            "CONTROL_GROUP": self._control_group if self.systemd else "",
        }
        namespaces = ["--pid", "--mount", "--uts", "--ipc", "--net", "--propagation", "private"]
        with open(self.directory / "console", "ab") as console:
            self._process = subprocess.Popen(
                ["unshare", "--fork", "--kill-child", *namespaces, str(EMULATION / "init")],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        wait_until(f"{self.name} has a first process", lambda: bool(children.read_text().split()), 10)
        self.pid = int(children.read_text().split()[0])
        (self.directory / "pid").write_text(f"{self.pid}\n")
        network.plug_in(self.index, self.pid)

    @property
    def _control_group(self) -> str:
        # tests/lab/run removes them all by the first part.
        return f"{os.environ['GANETI_WATCHER_LAB_CONTROL_GROUP']}/{self.name}"

    def wait_for_boot(self) -> None:
        def booted() -> bool:
            if not self.is_on:
                raise LabError(f"{self.name} did not boot:\n{self.console()}")
            return self.path("/run/lab/booted").exists()

        wait_until(f"{self.name} has booted", booted, BOOT_SECONDS)

    def power_cut(self) -> None:
        """Ends every process of the node at once; its disks keep their content."""
        if self._process is None:
            return
        if self.is_on:
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait()
        self._process, self.pid = None, 0
        if self.systemd:
            run(str(EMULATION / "control-group"), "remove", self._control_group)

    def path(self, path: str) -> Path:
        """A path of the running node, as seen from outside."""
        return Path(f"/proc/{self.pid}/root{path}")

    def command(self, *command: str) -> list[str]:
        """The command to execute outside that runs this command inside."""
        enter = ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-r", "-w"]
        return [*enter, "env", "-i", *ENVIRONMENT, *command]

    def start(self, *command: str, seconds: int = COMMAND_SECONDS) -> subprocess.Popen[str]:
        """Starts a command inside; the node itself ends it if it takes too long."""
        return subprocess.Popen(
            self.command("timeout", "-s", "KILL", str(seconds), *command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )

    def try_run(self, *command: str, seconds: int = COMMAND_SECONDS) -> subprocess.CompletedProcess[str]:
        process = self.start(*command, seconds=seconds)
        output, errors = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def run(self, *command: str, seconds: int = COMMAND_SECONDS) -> str:
        """Runs a command that must succeed; returns its output."""
        done = self.try_run(*command, seconds=seconds)
        if done.returncode:
            raise LabError(
                f"{self.name}: {' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}".rstrip()
            )
        return done.stdout

    def console(self) -> str:
        return (self.directory / "console").read_text(errors="replace")
