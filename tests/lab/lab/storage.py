"""The storage of all nodes: LVM, DRBD, and the tools that Ganeti calls for them.

One thread of the lab answers the stand-in that each node has under the tools' names
(emulation/storage). So the lab sees and sets the state of all nodes at one place,
and what the kernel of a node would forget at a power cut is forgotten here.
"""

from __future__ import annotations

import getopt
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lab.drbd import Drbd, Minor, Status, ToolError

VOLUME_GROUP = "xenvg"
GROUP_MIB = 4 * 1024 * 1024
EXTENT_MIB = 4
PHYSICAL_VOLUME = "/dev/lab"
DEVICE_MAPPER_MAJOR = 253
TICK_SECONDS = 0.2


@dataclass
class LogicalVolume:
    size_mib: int
    tags: list[str] = field(default_factory=list)


class Storage:
    """Answers the tools on every node; safe to use from the lab's other threads."""

    def __init__(self, directories: dict[str, Path]) -> None:
        self._directories = directories
        self._volumes: dict[str, dict[str, LogicalVolume]] = {node: {} for node in directories}
        self._drbd = Drbd(list(directories))
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        for node, directory in directories.items():
            directory.mkdir(parents=True)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(directory / "socket"))
            listener.listen(64)
            self._selector.register(listener, selectors.EVENT_READ, node)
        self._publish()
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="storage", daemon=True)
        self._thread.start()

    # For the lab.

    def drbd_status(self) -> list[Status]:
        """Every minor of every node."""
        with self._lock:
            return [status for node in self._directories for status in self._drbd.status(node)]

    def minors_of(self, instance: str) -> dict[str, Minor]:
        """Node to minor; Ganeti tags the volumes with their instance."""
        found = {}
        with self._lock:
            for node, volumes in self._volumes.items():
                names = {name for name, volume in volumes.items() if f"originstname+{instance}" in volume.tags}
                for minor in self._drbd.minors[node].values():
                    if minor.disk and minor.disk.rpartition("/")[2] in names:
                        found[node] = replace(minor)
        return found

    def power_cut(self, nodes: list[str]) -> None:
        with self._lock:
            self._drbd.power_cut(nodes)
            self._publish()

    def run(self, node: str, *command: str) -> None:
        """Does what an administrator would do with a tool on this node."""
        with self._lock:
            self._tool(node, list(command))
            self._publish()

    def dump(self) -> dict[str, Any]:
        with self._lock:
            volumes = {
                node: {name: asdict(lv) for name, lv in volumes.items()} for node, volumes in self._volumes.items()
            }
            return {"volumes": volumes, "drbd": self._drbd.dump()}

    def load(self, saved: dict[str, Any], with_minors: bool) -> None:
        """Puts back what was dumped; without minors it is as after a power cut."""
        with self._lock:
            for node, volumes in saved["volumes"].items():
                self._volumes[node] = {name: LogicalVolume(**lv) for name, lv in volumes.items()}
            self._drbd.load(saved["drbd"], with_minors)
            self._publish()

    def close(self) -> None:
        self._closing = True
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()

    # For the nodes.

    def _serve(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select(TICK_SECONDS):
                assert isinstance(key.fileobj, socket.socket)
                connection, _ = key.fileobj.accept()
                with connection:
                    self._answer(key.data, connection)
            with self._lock:
                if self._drbd.resyncing:
                    self._publish()

    def _answer(self, node: str, connection: socket.socket) -> None:
        connection.settimeout(10)
        request = b""
        try:
            while chunk := connection.recv(65536):
                request += chunk
            code, output, error = self._try_tool(node, request.decode().split("\0"))
            connection.sendall(f"{code}\0{output}\0{error}".encode())
        except OSError:
            pass  # the power of the node was cut meanwhile

    def _try_tool(self, node: str, command: list[str]) -> tuple[int, str, str]:
        with self._lock:
            try:
                output = self._tool(node, command)
            except (ToolError, getopt.GetoptError) as error:
                return 10, "", f"{error}\n"
            except (LookupError, ValueError) as error:
                return 20, "", f"not emulated: {command}: {error!r}\n"
            self._publish()
            return 0, output, ""

    def _tool(self, node: str, command: list[str]) -> str:
        name, *args = command
        if name == "drbdsetup":
            return self._drbdsetup(node, *args)
        if name == "drbdmeta":
            return self._drbdmeta(node, args)
        if name == "dd":
            return ""  # wipes of metadata devices; nothing is stored on them
        options, operands = getopt.gnu_getopt(args, "o:L:n:W:i:fa:", LONG_OPTIONS)
        tool: Callable[[str, dict[str, str], list[str]], str] = getattr(self, f"_{name}")
        return tool(node, dict(options), operands)

    def _drbdsetup(self, node: str, action: str, *args: str) -> str:
        drbd = self._drbd
        if action in ("new-resource", "disk-options", "pause-sync", "resume-sync", "resize"):
            return ""
        if action == "new-minor":
            drbd.new_minor(node, args[0], int(args[1]))
        elif action == "attach":
            drbd.attach(node, int(args[0]), args[1], args[2])
        elif action == "detach":
            drbd.detach(node, int(args[0]))
        elif action == "connect":
            drbd.connect(node, args[0], _address(args[1]), _address(args[2]))
        elif action == "disconnect":
            drbd.disconnect(node, _address(args[0]), _address(args[1]))
        elif action == "primary":
            drbd.make_primary(node, int(args[0]), "--force" in args)
        elif action == "secondary":
            drbd.make_secondary(node, int(args[0]))
        elif action == "down":
            drbd.down(node, args[0])
        elif action == "show":
            return drbd.show(node, int(args[0]))
        else:
            raise ValueError(action)
        return ""

    def _drbdmeta(self, node: str, args: list[str]) -> str:
        if args[-1] == "create-md":
            self._drbd.create_metadata(node, next(arg for arg in args if arg.startswith(f"/dev/{VOLUME_GROUP}/")))
        return ""

    def _blockdev(self, node: str, options: dict[str, str], operands: list[str]) -> str:
        size = self._volume(node, operands[0])[1].size_mib * 1024 * 1024
        return f"{size}\n" if "--getsize64" in options else f"{size // 512}\n"

    def _lvcreate(self, node: str, options: dict[str, str], operands: list[str]) -> str:
        name = options["-n"]
        if name in self._volumes[node]:
            raise ToolError(f'Logical Volume "{name}" already exists in volume group "{VOLUME_GROUP}"')
        self._volumes[node][name] = LogicalVolume(_mebibytes(options["-L"]))
        return ""

    def _lvremove(self, node: str, options: dict[str, str], operands: list[str]) -> str:
        name, _ = self._volume(node, operands[0])
        if f"/dev/{VOLUME_GROUP}/{name}" in self._drbd.backing_devices(node):
            raise ToolError(f"Logical volume {VOLUME_GROUP}/{name} in use.")
        del self._volumes[node][name]
        return ""

    def _lvrename(self, node: str, options: dict[str, str], operands: list[str]) -> str:
        self._volumes[node][operands[2]] = self._volumes[node].pop(operands[1])
        return ""

    def _lvextend(self, node: str, options: dict[str, str], operands: list[str]) -> str:
        _, volume = self._volume(node, operands[0])
        if "--test" not in options:
            volume.size_mib += _mebibytes(options["-L"].lstrip("+"))
        return ""

    def _lvchange(self, node: str, options: dict[str, str], operands: list[str]) -> str:
        _, volume = self._volume(node, operands[0])
        if "--addtag" in options:
            volume.tags.append(options["--addtag"])
        if "--deltag" in options and options["--deltag"] in volume.tags:
            volume.tags.remove(options["--deltag"])
        return ""

    def _lvs(self, node: str, options: dict[str, str], operands: list[str]) -> str:
        if operands and operands[0] != VOLUME_GROUP:
            wanted = [self._volume(node, operands[0])[0]]
        else:
            wanted = list(self._volumes[node])
        in_use = self._drbd.backing_devices(node)
        rows = []
        for index, (name, volume) in enumerate(self._volumes[node].items()):
            if name not in wanted:
                continue
            # The sixth character is what Ganeti takes for "online".
            is_open = f"/dev/{VOLUME_GROUP}/{name}" in in_use
            rows.append(
                self._group_fields(node, options)
                | {
                    "lv_name": name,
                    "lv_size": _size(volume.size_mib, options),
                    "lv_attr": "-wi-ao----" if is_open else "-wi-a-----",
                    "lv_kernel_major": str(DEVICE_MAPPER_MAJOR),
                    "lv_kernel_minor": str(index),
                    "stripes": "1",
                    "devices": f"{PHYSICAL_VOLUME}({index})",
                    "tags": ",".join(volume.tags),
                }
            )
        return _table(rows, options, "lv_")

    def _vgs(self, node: str, options: dict[str, str], operands: list[str]) -> str:
        return _table([self._group_fields(node, options)], options, "vg_")

    def _pvs(self, node: str, options: dict[str, str], operands: list[str]) -> str:
        group = self._group_fields(node, options)
        names = list(self._volumes[node]) if "lv_name" in _fields(options, "pv_") else [""]
        row = {"pv_name": PHYSICAL_VOLUME, "pv_size": group["vg_size"], "pv_free": group["vg_free"], "pv_attr": "a--"}
        return _table([group | row | {"lv_name": name} for name in names], options, "pv_")

    def _group_fields(self, node: str, options: dict[str, str]) -> dict[str, str]:
        used = sum(volume.size_mib for volume in self._volumes[node].values())
        return {
            "vg_name": VOLUME_GROUP,
            "vg_attr": "wz--n-",
            "vg_size": _size(GROUP_MIB, options),
            "vg_free": _size(GROUP_MIB - used, options),
            "vg_extent_size": _size(EXTENT_MIB, options),
        }

    def _volume(self, node: str, path: str) -> tuple[str, LogicalVolume]:
        name = path.rpartition("/")[2]
        if name not in self._volumes[node]:
            raise ToolError(f'Failed to find logical volume "{path}"')
        return name, self._volumes[node][name]

    def _publish(self) -> None:
        """Brings the files that a node reads up to date: /proc/drbd and the volumes."""
        self._drbd.settle(time.monotonic())
        for node, directory in self._directories.items():
            _write_if_changed(directory / "proc-drbd", self._drbd.proc_drbd(node))
            volumes = directory / VOLUME_GROUP
            volumes.mkdir(exist_ok=True)
            there = set(os.listdir(volumes))
            for name in self._volumes[node].keys() - there:
                with open(volumes / name, "wb") as sparse:
                    sparse.truncate(self._volumes[node][name].size_mib * 1024 * 1024)
            for name in there - self._volumes[node].keys():
                (volumes / name).unlink()


LONG_OPTIONS = (
    "noheadings nosuffix unbuffered units= separator= options= addtag= deltag= alloc= test getsize getsize64"
).split()


def _address(text: str) -> str:
    """ipv4:10.77.0.1:11000 -> 10.77.0.1:11000"""
    return text.partition(":")[2]


def _mebibytes(text: str) -> int:
    number, unit = int(text[:-1]), text[-1]
    return number // 1024 if unit == "k" else number


def _size(mib: int, options: dict[str, str]) -> str:
    return f"{mib * 1024}.00" if options.get("--units") == "k" else f"{mib}.00"


def _fields(options: dict[str, str], prefix: str) -> list[str]:
    names = (options.get("-o") or options["--options"]).split(",")
    return [prefix + name if name in ("name", "size") else name for name in names]


def _table(rows: list[dict[str, str]], options: dict[str, str], prefix: str) -> str:
    separator = options.get("--separator", " ")
    fields = _fields(options, prefix)
    return "".join("  " + separator.join(row[name] for name in fields) + "\n" for row in rows)


def _write_if_changed(path: Path, text: str) -> None:
    if path.exists() and path.read_text() == text:
        return
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)
