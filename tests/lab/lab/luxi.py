"""Queries to luxid, the way Ganeti's own tools make them: JSON and a byte 3 on a Unix socket."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

END = b"\x03"
TIMEOUT_SECONDS = 90


class LuxiError(Exception):
    """luxid refused the request or does not answer."""


def call(path: Path, method: str, *args: Any) -> Any:
    request = json.dumps({"method": method, "args": args}).encode() + END
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT_SECONDS)
            connection.connect(str(path))
            connection.sendall(request)
            while not answer.endswith(END):
                chunk = connection.recv(65536)
                if not chunk:
                    raise LuxiError(f"luxid closed the connection after {method}")
                answer += chunk
    except OSError as error:
        raise LuxiError(f"luxid does not answer {method}: {error}") from error
    message = json.loads(answer[:-1])
    if not message["success"]:
        raise LuxiError(f"{method}: {message['result']}")
    return message["result"]
