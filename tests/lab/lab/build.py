"""The recipe of the cluster that all cases start from, and how it is saved and restored."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import network
from lab.cache import Cache
from lab.cluster import Cluster
from lab.commands import run, wait_until
from lab.node import Node
from lab.storage import VOLUME_GROUP, Storage

FILE_STORAGE = "/srv/ganeti/file-storage"
INSTANCE_MIB = 128
DISK_MIB = 1024

# What a saved cluster depends on, besides its root.
RECIPE = ("build.py", "drbd.py", "storage.py")

# Primary and secondary of the first eight instances, repeated for more. Nodes 1 and 2
# and nodes 3 and 4 are partners; the one pair (2, 3) is split when they become two groups.
PAIRS = [(1, 2), (2, 1), (3, 4), (4, 3), (1, 2), (2, 3), (3, 4), (4, 3)]


@dataclass(frozen=True)
class Image:
    """A built cluster, powered off: where its nodes' layers are, and what ran on it."""

    directory: Path
    root: Path

    def layers(self, node: str) -> list[Path]:
        return [self.directory / node, self.root]

    @property
    def running(self) -> dict[str, Any]:
        """The storage and the instances when everything ran."""
        saved: dict[str, Any] = json.loads((self.directory / "running.json").read_text())
        return saved


def node_names(count: int) -> list[str]:
    return [f"node{i}" for i in range(1, count + 1)]


def pair(instance: int, nodes: int) -> tuple[int, int]:
    if nodes == 4:
        return PAIRS[instance % len(PAIRS)]
    return instance % nodes + 1, (instance + 1) % nodes + 1


def image(cache: Cache, suite: str, root: Path, scratch: Path, nodes: int, instances: int) -> Image:
    sources = b"".join((Path(__file__).parent / name).read_bytes() for name in RECIPE)
    recipe = sources + f"{root.name} {nodes} {instances}".encode()
    digest = hashlib.sha256(recipe).hexdigest()[:12]
    # Each suite's own name: the cluster of another suite is none that this one replaces.
    name = f"cluster-{suite}-{nodes}-nodes-{instances}-instances"
    return Image(cache.kept(name, digest, lambda place: _build(place, root, scratch, nodes, instances)), root)


def _build(place: Path, root: Path, scratch: Path, node_count: int, instance_count: int) -> None:
    names = [f"inst{i}.{network.DOMAIN}" for i in range(1, instance_count + 1)]
    nodes = [Node(name, index, scratch / name, layers=[root]) for index, name in enumerate(node_names(node_count), 1)]
    storage = Storage({node.name: node.directory / "storage" for node in nodes})
    cluster = Cluster(nodes, storage)
    for node in nodes:
        etc = node.directory / "upper/etc"
        (etc / "ganeti").mkdir(parents=True)
        (etc / "hosts").write_text(network.hosts_file([node.name for node in nodes], names))
        (etc / "ganeti/file-storage-paths").write_text(FILE_STORAGE + "\n")
        (node.directory / f"upper{FILE_STORAGE}").mkdir(parents=True)
    cluster.power_on()
    try:
        _init(cluster)
        _create_instances(cluster, names)
        _save(cluster, place)
    finally:
        cluster.power_cut()
        storage.close()
        shutil.rmtree(scratch)


def _init(cluster: Cluster) -> None:
    cluster.gnt(
        *["cluster", "init", "--enabled-hypervisors=fake", "--enabled-disk-templates=drbd,plain,diskless,file"],
        *["--vg-name", VOLUME_GROUP, "--drbd-usermode-helper", "/bin/true", "--master-netdev=eth0"],
        *["--nic-parameters", "link=eth0,mode=routed", "--no-etc-hosts", "--no-ssh-init"],
        *[f"--file-storage-dir={FILE_STORAGE}", "--default-iallocator=hail", network.CLUSTER_NAME],
    )
    for node in list(cluster.nodes.values())[1:]:
        cluster.gnt("node", "add", "--no-ssh-key-check", node.host)
    cluster.wait_until_ready()


def _create_instances(cluster: Cluster, names: list[str]) -> None:
    nodes = list(cluster.nodes.values())
    wanted = []
    for index, name in enumerate(names):
        primary, secondary = pair(index, len(nodes))
        wanted.append(
            {
                "mode": "create",
                "instance_name": name,
                "os_type": "noop",
                "hypervisor": "fake",
                "disk_template": "drbd",
                "disks": [{"size": DISK_MIB}],
                "nics": [{"ip": network.instance_address(index)}],
                "beparams": {"minmem": INSTANCE_MIB, "maxmem": INSTANCE_MIB, "vcpus": 1},
                "pnode": nodes[primary - 1].host,
                "snode": nodes[secondary - 1].host,
                "ip_check": False,
                "name_check": False,
                "wait_for_sync": False,
                "start": True,
            }
        )
    cluster.master.path("/root/instances.json").write_text(json.dumps(wanted))
    cluster.master.run("gnt-instance", "batch-create", "/root/instances.json", seconds=60 + 20 * len(names))
    cluster.wait_for_jobs()
    cluster.wait_for_status("running")
    wait_until("every DRBD link is whole", lambda: not cluster.broken_links(), 120)


def _save(cluster: Cluster, place: Path) -> None:
    """Keeps what ran, then stops Ganeti in good order, so that no file is half written."""
    running = {
        "storage": cluster.storage.dump(),
        "files": cluster.running_files(),
    }
    for node in cluster.nodes.values():
        cluster.daemon_util(node, "stop-all")
    for node in cluster.nodes.values():
        run("cp", "--archive", "--sparse=always", str(node.directory / "upper"), str(place / node.name))
    (place / "running.json").write_text(json.dumps(running))
