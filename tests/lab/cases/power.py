"""Power cuts: of the whole cluster, of one node, and of a node that stays dead."""

from __future__ import annotations

from lab.lab import Lab
from lab.runner import case
from lab.watcher import Run


def restarted(run: Run) -> dict[str, int]:
    """Instance to number of its lines in the log that say it is tried for the first time."""
    lines = run.logged("Restarting instance '", "INFO")
    names = [line.split("'")[1] for line in lines if line.endswith("(attempt #1)")]
    return {name: names.count(name) for name in names}


@case()
def power_cut_on_all_nodes(lab: Lab) -> None:
    """All nodes lose their power and come back. One run restarts every instance, once, and
    mends every DRBD link; the boot ids are kept; the next run notes the successes and does
    nothing else."""
    cluster = lab.cluster
    names = list(cluster.instances())
    cluster.power_cut()
    cluster.power_on()
    cluster.wait_until_ready()
    down = {name: instance.status for name, instance in cluster.instances().items()}
    lab.expect("before the run", down, dict.fromkeys(names, "ERROR_down"))

    run = lab.watch()
    lab.fact(f"recovery run: {run.seconds:.1f} s for {len(names)} instances")
    lab.expect("exit code", run.code, 0)
    lab.expect("restart lines, attempt #1", restarted(run), dict.fromkeys(names, 1))
    lab.expect("jobs", sorted(run.job_summaries()), sorted(f"INSTANCE_STARTUP({name})" for name in names))
    lab.expect("warnings and errors", run.troubles, [])
    status = {name: instance.status for name, instance in cluster.instances().items()}
    lab.expect("after the run", status, dict.fromkeys(names, "running"))
    cluster.wait_until_synced()
    lab.expect("minors that are not Connected and UpToDate on both sides", cluster.broken_links(), [])
    lab.expect("number of minors", len(cluster.drbd()), 2 * len(names))
    lab.expect("boot ids in the state file", lab.state()["node"], lab.boot_ids())
    lab.expect("tries in the state file", lab.tries(), dict.fromkeys(names, 1))

    run = lab.watch()
    lab.fact(f"next run: {run.seconds:.1f} s")
    succeeded = sorted(line.split("'")[1] for line in run.logged("Restart of instance '") if "succeeded" in line)
    lab.expect("exit code of the next run", run.code, 0)
    lab.expect("noted as succeeded", succeeded, sorted(names))
    lab.expect("jobs of the next run", run.job_summaries(), [])
    lab.expect("tries left in the state file", lab.tries(), {})
