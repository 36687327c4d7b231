"""Where the daemons are not as they should be, and nodes that are not the master."""

from __future__ import annotations

from lab.lab import Lab
from lab.runner import case

START_LUXID = "daemon-util check-and-start ganeti-luxid"


@case()
def luxid_stopped(lab: Lab) -> None:
    """luxid does not run on the master. It is started once, through daemon-util, and the run
    goes on: an instance that is down is restarted."""
    cluster = lab.cluster
    victim = next(iter(cluster.instances()))
    cluster.crash(victim)
    cluster.daemon_util(lab.master, "stop", "ganeti-luxid")
    run = lab.watch()
    cluster.daemon_util(lab.master, "check", "ganeti-luxid")
    lab.expect("exit code", run.code, 0)
    lab.expect("warnings that luxid is down", len(run.logged("Luxi daemon seems to be down", "WARNING")), 1)
    lab.expect("starts of luxid", len(run.logged(START_LUXID)), 1)
    lab.expect("restarted, attempt", run.restarts(), {victim: 1})
    lab.expect("the instance", cluster.status()[victim], "running")
    lab.expect("jobs", run.job_summaries(), [f"INSTANCE_STARTUP({victim})"])


@case()
def node_that_is_not_the_master(lab: Lab) -> None:
    """On any other node a run ends quietly with 0: no output, no job, no state file."""
    cluster = lab.cluster
    cluster.crash(next(iter(cluster.instances())))
    for node in cluster.nodes.values():
        if node is lab.master:
            continue
        run = lab.watch(node=node)
        lab.expect(f"exit code on {node.name}", run.code, 0)
        lab.expect(f"output on {node.name}", run.output + run.errors, "")
        lab.expect(f"warnings and errors on {node.name}", run.troubles, [])
        lab.expect(f"groups watched on {node.name}", run.logged("Watcher for node group"), [])
        lab.expect(f"jobs after {node.name}", run.job_summaries(verify=True), [])
        state_files = [path.name for path in node.path("/var/lib/ganeti").glob("watcher.*")]
        lab.expect(f"state files on {node.name}", state_files, [])
