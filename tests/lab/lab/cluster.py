"""A running cluster: its nodes, what its master says, and what an administrator does with it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import luxi
from lab.commands import LabError, wait_until
from lab.drbd import Status
from lab.network import DOMAIN
from lab.node import Node
from lab.storage import Storage

LUXI_SOCKET = "/run/ganeti/socket/ganeti-query"
FAKE_INSTANCES = "/run/ganeti/fake-hypervisor"
SERIAL = "/var/lib/ganeti/queue/serial"
START_HOOK = "/etc/ganeti/hooks/instance-start-pre.d/lab"
RELEASED = "/run/lab/released"
READY_SECONDS = 120
JOB_SECONDS = 300


@dataclass(frozen=True)
class Instance:
    name: str
    status: str
    admin_state: str
    disks_active: bool
    pnode: str
    snodes: tuple[str, ...]
    group: str


@dataclass(frozen=True)
class Job:
    id: int
    summary: str
    status: str
    result: Any

    def __str__(self) -> str:
        return f"{self.id} {self.summary} {self.status}"


class Cluster:
    def __init__(self, nodes: list[Node], storage: Storage) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.master = nodes[0]
        self.storage = storage

    # Power.

    def power_on(self, *nodes: Node) -> None:
        """Boots these nodes side by side; returns when Ganeti runs on them."""
        switched_on = nodes or tuple(self.nodes.values())
        for node in switched_on:
            node.power_on()
        for node in switched_on:
            node.wait_for_boot()

    def power_cut(self, *nodes: Node) -> None:
        cut = nodes or tuple(self.nodes.values())
        self.storage.power_cut([node.name for node in cut])
        for node in cut:
            node.power_cut()

    def wait_until_ready(self) -> None:
        """Waits until luxid answers and every running node reports its boot id."""
        expected = {node.host: node.boot_id for node in self.nodes.values() if node.is_on}

        def ready() -> bool:
            told = {name: boot_id for name, boot_id, _ in self.query("node", ["name", "bootid", "offline"])}
            return all(told.get(name) == boot_id for name, boot_id in expected.items())

        try:
            wait_until("luxid answers and knows all boot ids", ready, READY_SECONDS, [luxi.LuxiError])
        except LabError:
            # A master that got too few votes in its first minute gives up. Where a node is dead and the machine is
            # busy, that happens; an administrator starts it again.
            self.master.try_run("/usr/lib/ganeti/daemon-util", "start-all")
            wait_until("luxid answers after a second start", ready, READY_SECONDS, [luxi.LuxiError])

    # Queries to the master.

    def luxi(self, method: str, *args: Any) -> Any:
        return luxi.call(self.master.path(LUXI_SOCKET), method, *args)

    def query(self, what: str, fields: list[str]) -> list[list[Any]]:
        rows = self.luxi("Query", what, fields, None)["data"]
        return [[value for _, value in row] for row in rows]

    def instances(self) -> dict[str, Instance]:
        fields = ["name", "status", "admin_state", "disks_active", "pnode", "snodes", "pnode.group"]
        rows = self.query("instance", fields)
        return {row[0]: Instance(row[0], row[1], row[2], row[3], row[4], tuple(row[5]), row[6]) for row in rows}

    def groups(self) -> dict[str, str]:
        """Name to UUID."""
        return dict(self.query("group", ["name", "uuid"]))

    def configuration(self) -> list[Any]:
        """What a case can change and the next one must find unchanged."""
        parameters = self.luxi("QueryClusterInfo")
        return [
            sorted(self.query("instance", ["name", "admin_state", "disks_active", "pnode", "snodes", "tags"])),
            sorted(self.query("node", ["name", "offline", "drained", "group", "master_candidate"])),
            sorted(self.query("group", ["name", "uuid"])),
            self.luxi("QueryConfigValues", ["master_node", "drain_flag"]),
            [parameters[name] for name in ("enabled_user_shutdown", "maintain_node_health", "max_running_jobs")],
        ]

    # Jobs.

    def last_job(self) -> int:
        return int(self.master.path(SERIAL).read_text())

    def jobs_after(self, last: int) -> list[Job]:
        """The jobs submitted since then, archived ones too."""
        ids = list(range(last + 1, self.last_job() + 1))
        if not ids:
            return []
        rows = self.luxi("QueryJobs", ids, ["id", "summary", "status", "opresult"])
        return [Job(row[0], " ".join(row[1]), row[2], row[3]) for row in rows if row[0] is not None]

    def wait_for_jobs(self) -> None:
        def none_pending() -> bool:
            rows = self.query("job", ["status"])
            return all(status in ("success", "error", "canceled") for (status,) in rows)

        wait_until("no job is pending", none_pending, JOB_SECONDS)

    # The fake hypervisor.

    def crash(self, instance: str) -> None:
        """Ends the instance as a crash inside it would; Ganeti does not know."""
        (self.node_of(instance).path(FAKE_INSTANCES) / instance).unlink()

    def shut_down_by_user(self, instance: str) -> None:
        """Ends the instance as its own user would, from inside."""
        file = self.node_of(instance).path(FAKE_INSTANCES) / instance
        file.write_text(file.read_text() + "1\n")

    def unable_to_start(self, instance: str) -> None:
        """From now on every start of this instance fails, because of a hook such as an administrator could have."""
        self.start_hook(f'[ "$GANETI_INSTANCE_NAME" != {instance} ] || {{ echo "the lab says no"; exit 1; }}')

    def start_hook(self, script: str) -> None:
        """Makes the nodes run this shell script before an instance is started."""
        for node in self.nodes.values():
            drop_in(node.path(START_HOOK), f"#!/bin/sh\n{script}\n", 0o755)

    def hold_starts(self) -> None:
        """From now on every start of an instance waits, until `release_starts`."""
        self.start_hook(f"while [ ! -e {RELEASED} ]; do sleep 0.1; done")

    def release_starts(self) -> None:
        for node in self.nodes.values():
            node.path(RELEASED).touch()

    def remove_start_hook(self) -> None:
        for node in self.nodes.values():
            node.path(START_HOOK).unlink()

    def running_files(self) -> dict[str, dict[str, str]]:
        """Node, instance: what the fake hypervisor keeps about it."""
        return {
            node.name: {file.name: file.read_text() for file in node.path(FAKE_INSTANCES).iterdir()}
            for node in self.nodes.values()
        }

    def up(self) -> set[str]:
        """The instances that run now; looking costs Ganeti nothing."""
        directories = [node.path(FAKE_INSTANCES) for node in self.nodes.values() if node.is_on]
        files = {file for directory in directories if directory.exists() for file in os.listdir(directory)}
        # The file of an instance gets its name only when it is complete.
        return {file for file in files if file.endswith(f".{DOMAIN}")}

    def put_running_files(self, files: dict[str, dict[str, str]]) -> None:
        for name, instances in files.items():
            directory = self.nodes[name].path(FAKE_INSTANCES)
            directory.mkdir(mode=0o775, exist_ok=True)
            for file in directory.iterdir():
                if file.name not in instances:
                    file.unlink()
            for instance, text in instances.items():
                (directory / instance).write_text(text)

    def node_of(self, instance: str) -> Node:
        return self.node_called(self.instances()[instance].pnode)

    def node_called(self, host: str) -> Node:
        return self.nodes[host.partition(".")[0]]

    # DRBD.

    def drbd(self) -> list[Status]:
        return self.storage.drbd_status()

    def broken_links(self) -> list[str]:
        return [str(status) for status in self.drbd() if not status.whole]

    def wait_until_synced(self, seconds: float = 60) -> None:
        def synced() -> bool:
            return not any("Sync" in status.connection for status in self.drbd())

        wait_until("no resync runs", synced, seconds)

    # The administrator's commands.

    def gnt(self, *command: str) -> str:
        """Runs one of the gnt-* commands on the master: gnt("instance", "list")."""
        return self.master.run(f"gnt-{command[0]}", *command[1:])

    def daemon_util(self, node: Node, *command: str) -> str:
        return node.run("/usr/lib/ganeti/daemon-util", *command)

    def instances_of(self, node: Node, *, secondary: bool = False) -> list[Instance]:
        def on_node(instance: Instance) -> bool:
            return node.host in instance.snodes if secondary else instance.pnode == node.host

        return [instance for instance in self.instances().values() if on_node(instance)]

    def status(self) -> dict[str, str]:
        return {name: instance.status for name, instance in self.instances().items()}

    def wait_for_status(self, status: str, *names: str) -> None:
        def reached() -> bool:
            instances = self.instances()
            return all(instances[name].status == status for name in names or instances)

        wait_until(f"{', '.join(names) or 'every instance'} is {status}", reached, READY_SECONDS)


def drop_in(path: Path, text: str, mode: int = 0o644) -> None:
    """Writes a file that Ganeti or the watcher is to find."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
