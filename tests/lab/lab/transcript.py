"""What an administrator types on a node and sees, kept for display."""

from __future__ import annotations

from lab.lab import Lab
from lab.node import Node


def typed(lab: Lab, node: Node, command: str, *, fails: bool = False) -> str:
    """Runs a shell command on a node, shows it and its output, and returns the output."""
    done = node.try_run("sh", "-c", f"exec 2>&1 </dev/null; export DEBIAN_FRONTEND=noninteractive; {command}")
    lab.fact(f"{node.name}# {command}\n{done.stdout}".rstrip())
    lab.expect_that(f"{command}: {'must fail' if fails else 'exit code 0'}", bool(done.returncode) == fails, done.stdout)
    return done.stdout
