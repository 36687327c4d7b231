"""The processes of Ganeti's daemons on a node, as an outage leaves them."""

from __future__ import annotations

from pathlib import Path

from lab.commands import wait_until
from lab.node import Node

ON_EVERY_NODE = ["ganeti-noded", "ganeti-confd", "ganeti-mond"]
ON_THE_MASTER = ["ganeti-luxid", "ganeti-rapi", "ganeti-wconfd"]
DAEMON_UTIL = "/usr/lib/ganeti/daemon-util"
GONE_SECONDS = 60


def pid(node: Node, daemon: str) -> int:
    """The process id that the daemon had when it was started."""
    return int(pid_file(node, daemon).read_text())


def runs(node: Node, daemon: str) -> bool:
    """Checks as daemon-util does where there is no systemd."""
    check = ["start-stop-daemon", "--stop", "--signal", "0", "--quiet", "--name", daemon]
    return node.try_run(*check, "--pidfile", f"/run/ganeti/{daemon}.pid").returncode == 0


def pid_file(node: Node, daemon: str) -> Path:
    return node.path(f"/run/ganeti/{daemon}.pid")


def start(node: Node, daemon: str) -> None:
    """Starts a daemon that was killed: daemon-util alone refuses to, because of the pid file that is left."""
    if not runs(node, daemon):
        pid_file(node, daemon).unlink(missing_ok=True)
        node.run(DAEMON_UTIL, "start", daemon)


def signal(node: Node, daemon: str, name: str) -> None:
    node.run("kill", "-s", name, str(pid(node, daemon)))


def kill(node: Node, daemon: str) -> None:
    """Ends it as a crash would; returns when it is gone."""
    signal(node, daemon, "KILL")
    wait_until(f"{daemon} on {node.name} is gone", lambda: not runs(node, daemon), GONE_SECONDS)
