"""State files that cannot be used."""

from __future__ import annotations

import json
import shutil

from lab.lab import Lab
from lab.runner import case

UNUSABLE: dict[str, bytes] = {
    "truncated": b'{"instance": {"inst1.lab": {"restart_when": 17953',
    "not JSON": b"instance: {}\nnode: {}\n",
    "not UTF-8": b'{"instance": {}, "node": {"node\xff\xfe": {}}}\n',
    "a list": b"[1, 2, 3]\n",
    "objects where numbers belong": b'{"instance": {"inst1.lab": {"restart_count": {}}}, "node": {}}\n',
    "instances in a list": b'{"instance": ["inst1.lab"], "node": {}}\n',
}


@case()
def empty_state_file(lab: Lab) -> None:
    """An empty state file is an empty state, as after a first run that was cut short: no complaint, and every node
    looks rebooted."""
    lab.state_file().write_bytes(b"")
    _only_one_instance_up(lab)
    run = lab.watch()
    lab.expect("exit code", run.code, 0)
    lab.expect("warnings and errors", run.troubles, [])
    lab.expect("boot ids in the state file", lab.state()["node"], lab.boot_ids())


@case(ours_only="a state file that is not an object ends the original, and none is kept for later")
def unusable_state_file(lab: Lab) -> None:
    """Truncated, not JSON, not UTF-8, or JSON of the wrong shape: reported in one line, set aside
    beside the state file with its content, and the run goes on from an empty state."""
    victim = _only_one_instance_up(lab)
    file = lab.state_file()
    for which, content in UNUSABLE.items():
        file.write_bytes(content)
        lab.cluster.crash(victim)
        _run_goes_on(lab, which, victim)
        aside = [path for path in file.parent.glob(f"{file.name}.bad*") if path.is_file()]
        lab.expect(f"{which}: set aside", [path.read_bytes() for path in aside], [content])
        for path in aside:
            path.unlink()


@case(ours_only="the original cannot open a directory and ends")
def directory_in_place_of_the_state_file(lab: Lab) -> None:
    """What is in the state file's place cannot even be opened as a file: reported in one line, set aside with
    everything in it, and the run goes on."""
    victim = _only_one_instance_up(lab)
    file = lab.state_file()
    file.unlink()
    file.mkdir()
    (file / "somebody's notes").write_text("keep me\n")
    lab.cluster.crash(victim)
    _run_goes_on(lab, "directory", victim)
    aside = [path for path in file.parent.glob(f"{file.name}.bad*") if path.is_dir()]
    lab.expect("set aside", [[inside.name for inside in path.iterdir()] for path in aside], [["somebody's notes"]])
    for path in aside:
        shutil.rmtree(path)


def _only_one_instance_up(lab: Lab) -> str:
    """Stops all instances but one, so that an empty state does not call for many activations."""
    keep, *others = lab.cluster.instances()
    lab.cluster.gnt("instance", "stop", "--force-multiple", *others)
    return keep


def _run_goes_on(lab: Lab, which: str, victim: str) -> None:
    run = lab.watch()
    lab.expect(f"{which}: exit code", run.code, 0)
    lab.expect(f"{which}: lines that report it", len(run.troubles), 1)
    lab.expect(f"{which}: log lines of more than one line", run.continuation_lines, [])
    lab.expect(f"{which}: restarted", run.restarts(), {victim: 1})
    lab.expect(f"{which}: the instance", lab.cluster.status()[victim], "running")
    try:
        lab.expect(f"{which}: tries in the new state", lab.tries(), {victim: 1})
        lab.expect(f"{which}: boot ids in the new state", lab.state()["node"], lab.boot_ids())
    except (OSError, json.JSONDecodeError) as error:
        lab.expect_that(f"{which}: there is a new state", False, error)
