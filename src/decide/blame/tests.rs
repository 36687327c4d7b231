use super::*;

use Blame::{Instance, Master, Node, Peer, Queue, Unknown};

const SILENT: bool = true;
const ANSWERS: bool = false;

pub(super) fn error(class: &str, message: &str, code: Option<&str>) -> JobFailure {
    let error = GanetiError { class: class.into(), message: message.into(), code: code.map(Into::into) };
    JobFailure::Error(error)
}

fn execution(message: &str, silent_secondary: bool) -> Blame {
    Blame::of(&error("OpExecError", message, None), true, silent_secondary)
}

fn prerequisite(message: &str, code: &str) -> Blame {
    Blame::of(&error("OpPrereqError", message, Some(code)), true, ANSWERS)
}

#[test]
fn only_the_instance_and_the_unknown_use_up_a_try() {
    for (blame, uses_up) in
        [(Instance, true), (Node, false), (Peer, false), (Queue, false), (Master, false), (Unknown, true)]
    {
        assert_eq!(blame.uses_up_a_try(), uses_up, "{blame:?}");
    }
}

#[test]
fn jobs_that_end_without_an_error_of_ganeti_s() {
    for (failure, blame) in [
        (JobFailure::Canceled, Queue),
        (JobFailure::Lost, Unknown),
        (JobFailure::Text("detected death of job 4711".into()), Master),
        (JobFailure::Text("job 4711 failed to start: GenericError \"fork\"".into()), Master),
        (JobFailure::Text("[[1]]".into()), Unknown),
    ] {
        assert_eq!(Blame::of(&failure, true, SILENT), blame, "{failure}");
    }
}

#[test]
fn classes_tell_by_themselves() {
    for (class, message, blame) in [
        ("HooksAbort", r#"[[["n1","instance-start-pre.d/quota","quota exceeded"]]]"#, Instance),
        ("HooksAbort", r#"[[["n1","instance-start-pre.d/x","Hook script execution error: 8"]]]"#, Node),
        ("HooksFailure", "Communication Failure", Master),
        ("HypervisorError", "Parameter 'kernel_path' is missing", Instance),
        ("ConfigurationError", "Unknown instance '1b4e28ba'", Master),
        ("LockError", "File already locked", Master),
        ("NoMasterError", "/run/ganeti/socket/ganeti-wconfd", Master),
        ("TimeoutError", "Connect timed out", Master),
        ("GenericError", "Requested lock is not available", Master),
        ("ResolverError", "n1", Master),
        ("JobQueueDrainError", "Job queue is drained", Queue),
        ("ProgrammerError", "Nested retry loop detected", Unknown),
        ("ErrorOfTheFuture", "", Unknown),
    ] {
        assert_eq!(Blame::of(&error(class, message, None), true, SILENT), blame, "{class} {message}");
    }
}

#[test]
fn prerequisites_tell_by_their_code() {
    for (message, code, blame) in [
        (
            "Not enough memory on node n1 for starting instance i1: needed 4096 MiB, available 512 MiB",
            "insufficient_resources",
            Node,
        ),
        ("Error checking bridges on destination node 'n1': Missing bridges br0", "environment_error", Node),
        (
            "Error checking node n1: Error 7: Failed to connect to 192.0.2.1 port 1811",
            "environment_error",
            Node,
        ),
        ("Can't compute free memory on node n1, result was 'None'", "environment_error", Node),
        ("Can't use offline node: n1", "wrong_state", Node),
        (
            "Instance 'i1' is marked to be offline, can't use instance from outside down, up states",
            "wrong_state",
            Instance,
        ),
        ("Instance 'i1' not known", "unknown_entity", Instance),
        ("The name 'n1' cannot be resolved", "resolver_error", Master),
        ("Something that is new", "internal_error", Unknown),
    ] {
        assert_eq!(prerequisite(message, code), blame, "{message}");
    }
    assert_eq!(Blame::of(&error("OpPrereqError", "no code", None), true, ANSWERS), Unknown);
}

#[test]
fn disks_that_cannot_be_assembled_are_the_silent_secondary_s_fault() {
    for message in [
        "Disk consistency error",
        "Cannot activate block devices",
        "Could not start instance 'i1': Block device error: drbd3: can't make drbd device primary: -2",
    ] {
        assert_eq!(execution(message, SILENT), Peer, "{message}");
        assert_eq!(execution(message, ANSWERS), Instance, "{message}");
    }
    let handshake = "DRBD handshake did not complete on 1 secondary node(s); refusing to promote\n  - n2: ";
    for why in ["timeout waiting for handshake", "RPC error: Error 7: Failed to connect"] {
        assert_eq!(execution(&format!("{handshake}{why}"), ANSWERS), Peer, "{why}");
    }
}

#[test]
fn what_the_node_answers_is_told_from_no_answer() {
    for (answer, blame) in [
        ("Error 7: Failed to connect to 192.0.2.1 port 1811: Connection refused", Node),
        ("Error 28: Operation timed out after 900000 milliseconds with 0 bytes received", Node),
        ("Node is marked offline", Node),
        ("No error information", Node),
        ("RPC layer error: invalid result length (3), expected 2", Node),
        ("Error while executing backend function: [Errno 30] Read-only file system", Node),
        ("<html>\n<head>\n<title>Error response</title>", Node),
        ("Hypervisor error: Failed to start instance i1: exited with exit code 1 (-boot: no disk)", Instance),
        ("Hypervisor error: Failed to start instance i1: already running", Instance),
        ("Hypervisor error: Cdrom ISO image '/srv/x.iso' is not accessible", Instance),
        (
            "Hypervisor error: Failed to start instance i1: exited with exit code 1 (qemu: cannot set up \
             guest memory 'pc.ram': Cannot allocate memory)",
            Node,
        ),
        (
            "Hypervisor error: Failed to start instance i1: exited with exit code 1 (failed to free memory \
             for the domain). Moved config file to /var/log/ganeti/xen",
            Node,
        ),
        ("Hypervisor error: Failed to configure interface tap0: exited with exit code 1; network", Node),
        ("Hypervisor error: Failed to open /dev/net/tun", Node),
        ("Hypervisor error: vhost_net is configured but it is not available", Node),
        ("Hypervisor error: Unable to get KVM version", Node),
        ("Failed to stop instance 'i1': Failed to stop instance i1: exited with exit code 1", Instance),
        ("Error in the guest: it is none of curl's", Instance),
    ] {
        for doing in ["start", "shutdown"] {
            let message = format!("Could not {doing} instance 'i1': {answer}");
            assert_eq!(execution(&message, ANSWERS), blame, "{message}");
        }
    }
}

#[test]
fn other_errors_of_the_job_itself() {
    for (message, blame) in [
        ("", Master),
        ("[Errno 28] No space left on device", Master),
        ("[Errno 111] Connection refused", Master),
        ("Preceding opcode failed", Queue),
        ("Internal assertion error: please report this as a bug.", Unknown),
        ("Could not start instance", Unknown),
    ] {
        assert_eq!(execution(message, SILENT), blame, "{message}");
    }
}

#[test]
fn a_primary_that_does_not_answer_is_to_blame_for_what_is_not_the_queue_s_or_the_master_s() {
    for (failure, blame) in [
        (error("OpExecError", "Disk consistency error", None), Node),
        (error("HooksAbort", "[]", None), Node),
        (error("ErrorOfTheFuture", "", None), Node),
        (JobFailure::Lost, Node),
        (JobFailure::Canceled, Queue),
        (error("ConfigurationError", "", None), Master),
    ] {
        for silent_secondary in [SILENT, ANSWERS] {
            assert_eq!(Blame::of(&failure, false, silent_secondary), blame, "{failure}");
        }
    }
}
