"""DRBD 8.4 as Ganeti sees it: what the kernels of all nodes would hold.

Two minors are connected when each one's local address is the other's remote.
Which side is newer is told by generation identifiers in the metadata, as in DRBD:
a primary without its peer begins a new generation, and whoever has the other's
generation in its history is the source of the resync. Two sides that both went on
alone have a split brain and stay StandAlone.

The minors die with the power of their node; the metadata survives it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

RESYNC_SECONDS = 1.0


class ToolError(Exception):
    """What the tool would print to stderr before it exits with an error."""


@dataclass
class Metadata:
    """What DRBD keeps on the metadata device of one side."""

    generation: str = ""
    history: list[str] = field(default_factory=list)
    consistent: bool = False

    def new_generation(self) -> None:
        if self.generation:
            self.history.append(self.generation)
        self.generation = uuid.uuid4().hex

    def take_over(self, source: Metadata) -> None:
        self.generation = source.generation
        self.history = list(source.history)
        self.consistent = True


@dataclass
class Minor:
    """One configured minor in the kernel of one node."""

    resource: str
    number: int
    disk: str | None = None
    meta: str | None = None
    local: str | None = None
    remote: str | None = None
    primary: bool = False
    connected: bool = False
    agreed: bool = False
    sync: str | None = None
    sync_ends: float = 0.0

    def disconnect(self) -> None:
        self.local = self.remote = None
        self.lose_peer()

    def lose_peer(self) -> None:
        self.connected = self.agreed = False
        self.sync = None


@dataclass(frozen=True)
class Status:
    """One minor as a line of /proc/drbd says it."""

    node: str
    minor: int
    connection: str
    roles: str
    disks: str

    @property
    def whole(self) -> bool:
        return self.connection == "Connected" and self.disks == "UpToDate/UpToDate"

    def __str__(self) -> str:
        return f"{self.node} drbd{self.minor} {self.connection} {self.roles} {self.disks}"


class Drbd:
    """The minors and the metadata of all nodes, and the links between them."""

    def __init__(self, nodes: list[str]) -> None:
        self.minors: dict[str, dict[int, Minor]] = {node: {} for node in nodes}
        self.metadata: dict[str, dict[str, Metadata]] = {node: {} for node in nodes}
        self._links: dict[tuple[str, str], tuple[str, Minor]] = {}

    # The commands, each on one node.

    def new_minor(self, node: str, resource: str, number: int) -> None:
        self.minors[node].setdefault(number, Minor(resource, number))

    def create_metadata(self, node: str, meta: str) -> None:
        self.metadata[node][meta] = Metadata()

    def attach(self, node: str, number: int, disk: str, meta: str) -> None:
        minor = self._minor(node, number)
        if minor.disk:
            raise ToolError(f"{number}: Failure: (124) Device is attached to a disk (use detach first)")
        if meta not in self.metadata[node]:
            raise ToolError(f"{number}: Failure: (119) No valid meta-data signature found.")
        minor.disk, minor.meta = disk, meta

    def detach(self, node: str, number: int) -> None:
        minor = self._minor(node, number)
        peer = self._peer(minor)
        minor.disk = minor.meta = None
        minor.agreed, minor.sync = False, None
        if peer:
            other_node, other = peer
            other.agreed, other.sync = False, None
            self._go_on_alone(other_node, other, minor.primary or other.primary)

    def connect(self, node: str, resource: str, local: str, remote: str) -> None:
        minor = self._resource(node, resource)
        if minor.local:
            raise ToolError(f"{resource}: Failure: (125) Device has a net-config (use disconnect first)")
        minor.local, minor.remote = local, remote
        self._find_links()

    def disconnect(self, node: str, local: str, remote: str) -> None:
        for minor in self.minors[node].values():
            if (minor.local, minor.remote) == (local, remote):
                minor.disconnect()
                self._find_links()
                self._go_on_alone(node, minor, minor.primary)
                return
        raise ToolError("Failure: (162) Invalid configuration request: unknown connection")

    def make_primary(self, node: str, number: int, force: bool) -> None:
        minor = self._minor(node, number)
        peer = self._peer(minor)
        if minor.primary:
            return
        if peer and peer[1].primary:
            raise ToolError(f"{number}: State change failed: (-1) Multiple primaries not allowed by config")
        metadata = self._metadata(node, minor)
        if force and metadata and not metadata.consistent:
            metadata.consistent = True
            metadata.new_generation()
            minor.agreed = False
            if peer:
                peer[1].agreed = False
        if not (metadata and metadata.consistent) and not (peer and self._consistent(*peer)):
            raise ToolError(f"{number}: State change failed: (-2) Need access to UpToDate data")
        minor.primary = True
        if not peer:
            self._go_on_alone(node, minor, True)

    def make_secondary(self, node: str, number: int) -> None:
        self._minor(node, number).primary = False

    def down(self, node: str, resource: str) -> None:
        for number, minor in list(self.minors[node].items()):
            if minor.resource == resource:
                del self.minors[node][number]
        self._find_links()

    def power_cut(self, nodes: list[str]) -> None:
        """Forget the minors of these nodes, at the same instant."""
        for node in nodes:
            self.minors[node].clear()
        self._find_links()

    # What follows from the commands.

    def settle(self, now: float) -> None:
        """Let peers find or lose each other and resyncs end."""
        for node, minor in self._everywhere():
            peer = self._peer(minor)
            if peer is None and minor.connected:
                minor.lose_peer()
                self._go_on_alone(node, minor, minor.primary)
            elif peer is not None:
                minor.connected = True
                self._agree(node, minor, *peer, now)
        for node, minor in self._everywhere():
            if minor.sync and now >= minor.sync_ends:
                self._end_of_resync(node, minor)

    @property
    def resyncing(self) -> bool:
        return any(minor.sync for _, minor in self._everywhere())

    def status(self, node: str) -> list[Status]:
        return [self._status(node, minor) for _, minor in sorted(self.minors[node].items())]

    def proc_drbd(self, node: str) -> str:
        """The text of /proc/drbd on this node."""
        lines = ["version: 8.4.11 (api:1/proto:86-101)", "srcversion: 0"]
        for number, minor in sorted(self.minors[node].items()):
            status = self._status(node, minor)
            lines.append(f"{number:2}: cs:{status.connection} ro:{status.roles} ds:{status.disks} C r-----")
            lines.append("    ns:0 nr:0 dw:0 dr:0 al:0 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0")
            if minor.sync:
                lines.append("\t[=====>....] sync'ed: 50.0% (512/1024)M\n\tfinish: 0:00:01 speed: 512 (512) K/sec")
        return "\n".join(lines) + "\n"

    def show(self, node: str, number: int) -> str:
        """The text of `drbdsetup show`."""
        minor = self._minor(node, number)
        lines = [f"resource {minor.resource} {{", "    _this_host {"]
        if minor.local:
            lines.append(f"        address\t\t\tipv4 {minor.local};")
        lines += ["        volume 0 {", f"            device\t\t\tminor {number};"]
        if minor.disk:
            lines += [f'            disk\t\t\t"{minor.disk}";', f'            meta-disk\t\t\t"{minor.meta}";']
        lines += ["        }", "    }"]
        if minor.remote:
            lines += ["    _remote_host {", f"        address\t\t\tipv4 {minor.remote};", "    }"]
        return "\n".join([*lines, "}"]) + "\n"

    def backing_devices(self, node: str) -> set[str]:
        return {dev for minor in self.minors[node].values() for dev in (minor.disk, minor.meta) if dev}

    def dump(self) -> dict[str, Any]:
        return {
            "minors": {node: [asdict(m) for m in minors.values()] for node, minors in self.minors.items()},
            "metadata": {
                node: {dev: asdict(data) for dev, data in all_data.items()} for node, all_data in self.metadata.items()
            },
        }

    def load(self, saved: dict[str, Any], with_minors: bool) -> None:
        for node, minors in saved["minors"].items():
            self.minors[node] = {m["number"]: Minor(**m) for m in minors} if with_minors else {}
            self.metadata[node] = {dev: Metadata(**data) for dev, data in saved["metadata"][node].items()}
        self._find_links()

    def _everywhere(self) -> Iterator[tuple[str, Minor]]:
        for node, minors in self.minors.items():
            for minor in minors.values():
                yield node, minor

    def _minor(self, node: str, number: int) -> Minor:
        try:
            return self.minors[node][number]
        except KeyError:
            raise ToolError(f"{number}: Failure: (127) Device minor not allocated") from None

    def _resource(self, node: str, resource: str) -> Minor:
        for minor in self.minors[node].values():
            if minor.resource == resource:
                return minor
        raise ToolError(f"{resource}: Failure: (158) Unknown resource")

    def _peer(self, minor: Minor) -> tuple[str, Minor] | None:
        if minor.local is None or minor.remote is None:
            return None
        return self._links.get((minor.remote, minor.local))

    def _find_links(self) -> None:
        self._links = {(m.local, m.remote): (node, m) for node, m in self._everywhere() if m.local and m.remote}

    def _metadata(self, node: str, minor: Minor) -> Metadata | None:
        return self.metadata[node][minor.meta] if minor.meta else None

    def _consistent(self, node: str, minor: Minor) -> bool:
        metadata = self._metadata(node, minor)
        return metadata is not None and metadata.consistent

    def _go_on_alone(self, node: str, minor: Minor, written_to: bool) -> None:
        """From here on only this side has what is written."""
        metadata = self._metadata(node, minor)
        if written_to and metadata and metadata.consistent:
            metadata.new_generation()

    def _agree(self, node: str, minor: Minor, other_node: str, other: Minor, now: float) -> None:
        mine, theirs = self._metadata(node, minor), self._metadata(other_node, other)
        if mine is None or theirs is None or (minor.agreed and other.agreed):
            return
        minor.agreed = other.agreed = True
        if mine.generation == theirs.generation:
            return
        if not theirs.generation or theirs.generation in mine.history:
            source, target, stale = minor, other, theirs
        elif not mine.generation or mine.generation in theirs.history:
            source, target, stale = other, minor, mine
        else:
            minor.disconnect()
            other.disconnect()
            self._find_links()
            return
        stale.consistent = False
        source.sync, target.sync = "SyncSource", "SyncTarget"
        source.sync_ends = target.sync_ends = now + RESYNC_SECONDS

    def _end_of_resync(self, node: str, minor: Minor) -> None:
        peer = self._peer(minor)
        if peer and minor.sync == "SyncTarget":
            mine, theirs = self._metadata(node, minor), self._metadata(*peer)
            if mine and theirs:
                mine.take_over(theirs)
            minor.sync = peer[1].sync = None

    def _status(self, node: str, minor: Minor) -> Status:
        peer = self._peer(minor)
        if minor.local is None:
            connection = "StandAlone"
        elif peer is None:
            connection = "WFConnection"
        else:
            connection = minor.sync or "Connected"
        peer_role = _role(peer[1]) if peer else "Unknown"
        peer_disk = self._disk(*peer) if peer else "DUnknown"
        roles, disks = f"{_role(minor)}/{peer_role}", f"{self._disk(node, minor)}/{peer_disk}"
        return Status(node, minor.number, connection, roles, disks)

    def _disk(self, node: str, minor: Minor) -> str:
        metadata = self._metadata(node, minor)
        if metadata is None:
            return "Diskless"
        return "UpToDate" if metadata.consistent else "Inconsistent"


def _role(minor: Minor) -> str:
    return "Primary" if minor.primary else "Secondary"
