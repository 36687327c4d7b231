"""Queries one node's confd, as Ganeti's own client would; runs inside a node, which has the key."""

from __future__ import annotations

from lab.commands import wait_until
from lab.node import Node

OFFLINE = 2
CANDIDATE = 1
READY_SECONDS = 120

CLIENT = """
import hashlib, hmac, json, socket, sys, time, uuid
key = open("/var/lib/ganeti/hmac.key", "rb").read()
salt, question = str(int(time.time())), {"protocol": 1, "type": 1, "query": sys.argv[2], "rsalt": str(uuid.uuid4())}
message = json.dumps(question)
digest = hmac.new(key, (salt + message).encode(), hashlib.sha1).hexdigest()
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(2)
asking.connect((sys.argv[1], 1814))
try:
    asking.send(b"plj0" + json.dumps({"msg": message, "salt": salt, "hmac": digest}).encode())
    print(json.loads(json.loads(asking.recv(65536)[4:])["msg"])["answer"])
except OSError:
    print("none")
"""


def role(asked: Node, about: Node) -> str:
    """The role of another node according to confd on one node, or "none"."""
    return asked.run("python3", "-c", CLIENT, asked.host, about.host).strip()


def wait_for_role(wanted: int, about: Node, asked: list[Node]) -> None:
    """Waits until each of these confds says so: their copies of the configuration arrive late."""
    for node in asked:
        what = f"confd on {node.name} says that the role of {about.name} is {wanted}"
        wait_until(what, lambda node=node: role(node, about) == str(wanted), READY_SECONDS)
