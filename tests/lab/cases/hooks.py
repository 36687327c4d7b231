"""The site's watcher hooks."""

from __future__ import annotations

from lab.cluster import drop_in
from lab.commands import wait_until
from lab.lab import HOOKS, Lab
from lab.runner import case

RAN = "/run/lab/hooks-that-ran"
NOTE = f'#!/bin/sh\necho "${{0##*/}} $# $LC_ALL $PWD $(cat)" >>{RAN}\n'

BAD = {
    "20-fails": "echo reason; echo more >&2; exit 7",
    "30-is-killed": "kill -KILL $$",
    "40-prints-much-and-fails": "yes | head -c 3000000; exit 1",
}
GOOD = {"10-first": "", "50-prints-much": "yes | head -c 3000000", "90-last": ""}
SKIPPED = ["60-not-executable", "70.bad-name"]


def _put(lab: Lab, hooks: dict[str, str]) -> None:
    """Hooks that record that they ran, and how, before they do anything else."""
    lab.master.path(RAN).unlink(missing_ok=True)
    for name, text in hooks.items():
        drop_in(lab.master.path(f"{HOOKS}/watcher/{name}"), f"{NOTE}{text}\n", 0o755)


def _ran(lab: Lab) -> list[str]:
    return lab.master.path(RAN).read_text().splitlines()


@case()
def hooks_of_every_kind(lab: Lab) -> None:
    """Hooks run in the order of their names, without arguments and input, from / and with LC_ALL=C. One that fails,
    is killed or prints megabytes causes one warning and stops neither the others nor the run; a file that is not
    executable or has a bad name is not a hook."""
    victim = next(iter(lab.cluster.instances()))
    lab.cluster.crash(victim)
    hooks = {**GOOD, **BAD}
    _put(lab, hooks | dict.fromkeys(SKIPPED, ""))
    lab.master.path(f"{HOOKS}/watcher/60-not-executable").chmod(0o644)

    run = lab.watch("-d")
    lab.expect("exit code", run.code, 0)
    lab.expect("what ran", _ran(lab), [f"{name} 0 C / " for name in sorted(hooks)])
    lab.expect("skipped", [name for name in SKIPPED if run.logged(f"Watcher hook {name}: skipped")], SKIPPED)
    lab.expect("successes", [name for name in GOOD if run.logged(f"Watcher hook {name}: success", "DEBUG")], list(GOOD))
    lab.expect("the instance", lab.cluster.status()[victim], "running")
    log = run.log_text
    said = "(output: reason\nmore" in log.replace("\\n", "\n")
    lab.expect_that("the output of a hook that fails is in the log", said)
    warned = [name for name in BAD if run.logged(f"Watcher hook {name}: failed", "WARNING")]
    lab.fact(f"log of {len(log)} bytes, {run.seconds:.1f} s")
    if lab.settings.original:
        # It cannot format the line about a signal, and says so on stderr; it logs all that a hook prints.
        lab.expect("warnings", warned, ["20-fails", "40-prints-much-and-fails"])
        lab.fact([line for line in run.errors.splitlines() if "Error" in line][-1])
        return
    lab.expect("warnings", warned, list(BAD))
    lab.expect_that("the signal is named", bool(run.logged("30-is-killed: failed (killed by SIGKILL)")))
    lab.expect_that("the log stays small", len(log) < 200_000, len(log))


@case(ours_only="it waits for a hook forever")
def hook_that_hangs(lab: Lab) -> None:
    """A hook that never ends is killed, with everything it has started, when its time is up; the next one runs, and
    so does the rest of the run."""
    victim = next(iter(lab.cluster.instances()))
    lab.cluster.crash(victim)
    child = "/run/lab/child-of-a-hook"
    _put(lab, {"10-hangs": f"trap '' TERM; sleep 3600 & echo $! >{child}; while :; do wait; done", "20-next": ""})
    run = lab.watch("--kill-hooks-after=2s")
    lab.expect("exit code", run.code, 0)
    lab.expect("what ran", [line.split()[0] for line in _ran(lab)], ["10-hangs", "20-next"])
    words = "Watcher hook 10-hangs: failed (still running after 2 s, killed with its process group)"
    lab.expect("warnings", len(run.logged(words, "WARNING")), 1)
    pid = lab.master.path(child).read_text().strip()
    wait_until("what it started is gone", lambda: lab.master.try_run("kill", "-0", pid).returncode != 0, 20)
    lab.expect("the instance", lab.cluster.status()[victim], "running")
