"""What a case works with: a clean cluster, the watcher, and a place to report findings."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import luxi
from lab.build import Image, node_names
from lab.cluster import RELEASED, Cluster
from lab.commands import LabError
from lab.node import Node
from lab.storage import Storage
from lab.watcher import CRON_ONCE, LOG, ORIGINAL, PROGRAM, RUN_SECONDS, WITH_DRBD, Run, Started, UnderTest

STATE_DIRECTORY = "/var/lib/ganeti"
HOOKS = "/etc/ganeti/hooks"
HOUR = 3600


@dataclass(frozen=True)
class Settings:
    suite: str
    nodes: int
    instances: int
    under_test: UnderTest
    watcher_source: str

    @property
    def original(self) -> bool:
        """The program under test is Debian's own."""
        return self.under_test.program is None


class Lab:
    def __init__(self, settings: Settings, image: Image, scratch: Path) -> None:
        self.settings = settings
        self._image = image
        self._running = image.running
        self._scratch = scratch
        self._cluster: Cluster | None = None
        self._configuration: list[Any] | None = None
        self.failures: list[str] = []
        self.facts: list[str] = []
        self.last_run: Run | None = None

    @staticmethod
    def node_directory(scratch: Path, node: str) -> Path:
        return scratch / "nodes" / node

    @property
    def cluster(self) -> Cluster:
        assert self._cluster is not None
        return self._cluster

    @property
    def master(self) -> Node:
        return self.cluster.master

    @property
    def ganeti(self) -> tuple[int, int]:
        """The release of Ganeti in the nodes' root, such as (3, 1)."""
        major, minor = os.readlink(self._image.root / "etc/ganeti/share").rpartition("/")[2].split(".")
        return int(major), int(minor)

    # The state that every case starts from.

    def calm(self) -> None:
        """Everything runs, nothing is left of earlier cases, and a watcher has run here before.

        What does not change Ganeti's configuration is put back in place; for anything else
        the saved cluster is restored.
        """
        try:
            if self._cluster is not None and self._put_back():
                return
        except (LabError, luxi.LuxiError, OSError):
            pass
        self.restore()

    def restore(self) -> None:
        """Boots the saved cluster again."""
        self.drop()
        names = node_names(self.settings.nodes)
        nodes = [
            Node(
                name,
                index,
                self.node_directory(self._scratch, name),
                self._image.layers(name),
                self.settings.under_test.program,
            )
            for index, name in enumerate(names, 1)
        ]
        storage = Storage({node.name: node.directory / "storage" for node in nodes})
        cluster = self._cluster = Cluster(nodes, storage)
        cluster.power_on()
        cluster.wait_until_ready()
        self._configuration = cluster.configuration()
        self._put_back()

    def drop(self) -> None:
        """Forgets the cluster; the next case starts from a restored one."""
        if self._cluster is None:
            return
        self.cluster.power_cut()
        self.cluster.storage.close()
        for node in self.cluster.nodes.values():
            shutil.rmtree(node.directory)
        self._cluster = None

    def _put_back(self) -> bool:
        cluster = self.cluster
        if cluster.configuration() != self._configuration:
            return False
        off = [node for node in cluster.nodes.values() if not node.is_on]
        if off:
            cluster.power_on(*off)
        cluster.wait_until_ready()
        cluster.wait_for_jobs()
        cluster.storage.load(self._running["storage"], with_minors=True)
        cluster.put_running_files(self._running["files"])
        for node in cluster.nodes.values():
            for file in node.path(STATE_DIRECTORY).glob("watcher.*"):
                shutil.rmtree(file) if file.is_dir() else file.unlink()
            shutil.rmtree(node.path(HOOKS), ignore_errors=True)
            node.path(LOG).unlink(missing_ok=True)
            node.path(RELEASED).unlink(missing_ok=True)
        self.write_state({"instance": {}, "node": self.boot_ids()})
        return cluster.configuration() == self._configuration

    # The watcher.

    def watch(
        self, *arguments: str, node: Node | None = None, original: bool = False, with_drbd: bool = False
    ) -> Run:
        """Runs the watcher under test (or the original) as cron would; `with_drbd`: with a /proc/drbd."""
        self.last_run = self.start_watch(*arguments, node=node, original=original, with_drbd=with_drbd).wait()
        return self.last_run

    def start_watch(
        self,
        *arguments: str,
        node: Node | None = None,
        original: bool = False,
        with_drbd: bool = False,
        seconds: int = RUN_SECONDS,
    ) -> Started:
        """The same without waiting for its end; it is killed if it takes longer than `seconds`."""
        command = [WITH_DRBD] * with_drbd + [ORIGINAL if original else PROGRAM, *arguments]
        return Started(self.cluster, node or self.master, command, seconds)

    def cron_runs_it(self, node: Node | None = None) -> Run:
        """Debian's own cron runs Ganeti's own line once, whatever watcher that starts."""
        self.last_run = Started(self.cluster, node or self.master, [CRON_ONCE]).wait()
        return self.last_run

    def state_file(self, group: str = "default") -> Path:
        return self.master.path(f"{STATE_DIRECTORY}/watcher.{self.cluster.groups()[group]}.data")

    def state(self, group: str = "default") -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.state_file(group).read_text())
        return content

    def write_state(self, state: dict[str, Any], group: str = "default") -> None:
        self.state_file(group).write_text(json.dumps(state) + "\n")

    def told_an_hour_ago(self, group: str = "default") -> None:
        """Makes ours say what lasts once more, as it does after an hour."""
        state = self.state(group)
        for told in state["recovery"]["told"].values():
            told["at"] -= HOUR
        self.write_state(state, group)

    def tries(self, group: str = "default") -> dict[str, int]:
        """Instance to number of counted restarts."""
        return {name: record.get("restart_count", 0) for name, record in self.state(group)["instance"].items()}

    def status_file(self, path: str = "/run/ganeti/instance-status") -> dict[str, str]:
        """Instance to status, as other programs read them."""
        return dict(line.split(" ", 1) for line in self.master.path(path).read_text().splitlines())

    def boot_ids(self) -> dict[str, dict[str, str]]:
        """The boot ids of all nodes, as the state file keeps them."""
        return {node.host: {"bootid": node.boot_id} for node in self.cluster.nodes.values()}

    # What a case says.

    def expect(self, what: str, found: object, expected: object) -> None:
        """Found and expected must be equal; a case goes on after a difference."""
        if found != expected:
            self.failures.append(f"{what}\n  expected: {_short(expected)}\n  found:    {_short(found)}")

    def expect_that(self, what: str, holds: bool, found: object = None) -> None:
        if not holds:
            self.failures.append(what + ("" if found is None else f"\n  found:    {_short(found)}"))

    def fact(self, text: str) -> None:
        """Something worth showing, such as a measured figure."""
        self.facts.append(text)

    def log_tail(self, lines: int = 25) -> list[str]:
        if self._cluster is None or not self.master.is_on or not self.master.path(LOG).exists():
            return []
        return self.master.path(LOG).read_text(errors="replace").splitlines()[-lines:]


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 1500 else text[:1500] + " ..."
