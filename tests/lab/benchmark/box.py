"""A cluster in a box (examples/serve_box.rs), served by a separate process, and a watcher that is measured on it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import luxi
from lab.__main__ import scratch
from lab.cluster import drop_in
from lab.commands import LabError, wait_until
from lab.node import EMULATION
from lab.usage import Usage

# Short, like all names here: the path of a socket has at most 107 bytes.
DOMAIN = "lab"
LUXI_SOCKET = "var/run/ganeti/socket/ganeti-query"
START_SECONDS = 120
JOBS_SECONDS = 300

# The machine's daemons: those that would be probed do not exist, the others run.
DAEMON_UTIL = """#!/bin/sh
case $2 in ganeti-rapi | ganeti-wconfd) exit 1 ;; esac
"""


@dataclass(frozen=True)
class Size:
    instances: int
    nodes: int
    groups: int

    def __str__(self) -> str:
        return f"{self.instances:,} instances on {self.nodes} nodes in {self.groups} groups"

    def scenario(self) -> str:
        """The groups have equal parts; a secondary is the next node of its primary's group."""
        per_group = self.nodes // self.groups
        lines = [f'domain = "{DOMAIN}"']
        lines += [f'[[group]]\nname = "group{group}"' for group in range(self.groups)]
        for node in range(self.nodes):
            lines += [f'[[node]]\nname = "node{node}"\ngroup = "group{node // per_group}"']
        for instance in range(self.instances):
            primary = instance % self.nodes
            first = primary // per_group * per_group
            secondary = first + (primary - first + 1) % per_group
            lines += [f'[[instance]]\nname = "inst{instance}"\nprimary = "node{primary}"\nsecondary = "node{secondary}"']
        return "\n".join(lines) + "\n"


class Box:
    """Serves until the context is left."""

    def __init__(self, program: Path, size: Size) -> None:
        self._directory = scratch() / "box"
        self._directory.mkdir()
        scenario, self._machine = self._directory / "cluster.toml", self._directory / "machine"
        scenario.write_text(size.scenario())
        drop_in(self._machine / "daemon-util", DAEMON_UTIL, 0o755)
        self._process = subprocess.Popen([program, scenario, self._directory], stdout=subprocess.PIPE, encoding="utf-8")
        # It prints how to find its master: GANETI_ROOTDIR=... GANETI_HOSTNAME=...
        self._environment = dict(word.split("=", 1) for word in self._line().split())
        self._root = Path(self._environment["GANETI_ROOTDIR"])
        wait_until("the box answers", lambda: bool(self._query("node", ["name"])), START_SECONDS, [luxi.LuxiError])
        self._remember_boot_ids()

    def __enter__(self) -> Box:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        shutil.rmtree(self._directory)

    def watch(self, program: Path) -> Usage:
        """One run of a watcher, once the jobs of the previous run have ended."""
        wait_until("no job is pending", self._no_job_is_pending, JOBS_SECONDS)
        environment = os.environ | self._environment | {"GANETI_WATCHER_MACHINE": str(self._machine)}
        measure = [EMULATION / "measure", program]
        done = subprocess.run(measure, env=environment, capture_output=True, encoding="utf-8", errors="replace")
        if done.returncode:
            log = (self._root / "var/log/ganeti/watcher.log").read_text(errors="replace").splitlines()[-15:]
            raise LabError("\n".join(["the measured run in the box failed:", done.stderr, *log]))
        cpu, helpers_cpu, memory = (float(word) for word in done.stdout.split()[-3:])
        return Usage(0, cpu, helpers_cpu, memory / 1024)

    def jobs(self) -> list[str]:
        return [" ".join(summary) for (summary,) in self._query("job", ["summary"])]

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise LabError("the box did not start; see above")
        return line

    def _query(self, what: str, fields: list[str]) -> list[list[Any]]:
        rows = luxi.call(self._root / LUXI_SOCKET, "Query", what, fields, None)["data"]
        return [[value for _, value in row] for row in rows]

    def _no_job_is_pending(self) -> bool:
        return all(status in ("success", "error", "canceled") for (status,) in self._query("job", ["status"]))

    def _remember_boot_ids(self) -> None:
        """As if a watcher had run before; without it, all disks would be activated."""
        states: dict[str, Any] = {}
        for name, boot_id, group in self._query("node", ["name", "bootid", "group.uuid"]):
            states.setdefault(group, {"instance": {}, "node": {}})["node"][name] = {"bootid": boot_id}
        for group, state in states.items():
            (self._root / f"var/lib/ganeti/watcher.{group}.data").write_text(json.dumps(state) + "\n")
