"""The wires: one bridge, and one cable from it into every node.

The lab moves itself into a network namespace of its own before it makes anything,
so no packet of the cluster ever comes near the machine's own network.
"""

from __future__ import annotations

import ctypes
import itertools
import os

from lab.commands import run

CLONE_NEWNET = 0x40000000
BRIDGE = "lab"
DOMAIN = "lab"
PREFIX_LENGTH = 16
CLUSTER_NAME = f"cluster.{DOMAIN}"
CLUSTER_ADDRESS = "10.77.255.1"

_cables = itertools.count()


def node_address(index: int) -> str:
    return f"10.77.0.{index}"


def instance_address(index: int) -> str:
    return f"10.77.{1 + index // 250}.{1 + index % 250}"


def hosts_file(nodes: list[str], instances: list[str]) -> str:
    """The one /etc/hosts of all nodes; there is no name server in the lab."""
    lines = ["127.0.0.1 localhost", f"{CLUSTER_ADDRESS} {CLUSTER_NAME}"]
    lines += [f"{node_address(i)} {name}.{DOMAIN} {name}" for i, name in enumerate(nodes, 1)]
    lines += [f"{instance_address(i)} {name}" for i, name in enumerate(instances)]
    return "\n".join(lines) + "\n"


def enter() -> None:
    """Leaves the machine's network for good and sets the bridge up."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare: " + os.strerror(ctypes.get_errno()))
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0")
    run("ip", "link", "set", BRIDGE, "up")


def plug_in(index: int, pid: int) -> None:
    """Lays the cable into the namespace of this process.

    The far end has the same hardware address at every boot, so that no node has to
    forget a stale one; the near end has a new name, as the old may not be gone yet.
    """
    near, far = f"n{index}c{next(_cables)}", f"02:00:0a:4d:00:{index:02x}"
    run("ip", "link", "add", near, "master", BRIDGE, "type", "veth", "peer", "eth0", "address", far, "netns", str(pid))
    run("ip", "link", "set", near, "up")
