//! Who is to blame for a failed job. Only the instance's own failures use up its tries: an outage, a full
//! node or a locked configuration must not make the watcher give an instance up.
//!
//! Error classes and codes say most of it, from Ganeti 2.15 to 3.2. What only the text says is in
//! `causes.rs`. The job logs of disks that cannot be assembled are not read: the error says "Disk consistency
//! error" whatever the reason.

mod causes;

pub use causes::Cause;

use crate::cluster::{GanetiError, JobFailure};
pub use crate::memory::recovery::Blame;

impl Blame {
    /// The blame for a start or an activation of disks that failed. `primary_answers` is what is known after
    /// the failure. `silent_secondary` says whether a secondary that is not marked offline fails to answer.
    #[must_use]
    pub fn of(failure: &JobFailure, primary_answers: bool, silent_secondary: bool) -> Self {
        let blame = match failure {
            JobFailure::Canceled => Self::Queue,
            JobFailure::Lost => Self::Unknown,
            JobFailure::Text(text) => of_text(text),
            JobFailure::Error(error) => of_error(error, silent_secondary),
        };
        match blame {
            // Whatever the error says: nothing can be done on a node that is away.
            Self::Instance | Self::Peer | Self::Unknown if !primary_answers => Self::Node,
            blame => blame,
        }
    }

    /// Whether the failure counts against the instance. An unknown one does: otherwise a job that fails in an
    /// unforeseen way would be submitted forever.
    #[must_use]
    pub fn uses_up_a_try(self) -> bool {
        matches!(self, Self::Instance | Self::Unknown)
    }
}

/// Results that are not encoded errors come from luxid (`JQScheduler.hs: checkForDeath, failJobs`).
fn of_text(text: &str) -> Blame {
    if text.starts_with("detected death of job ") || text.contains(" failed to start: ") {
        Blame::Master
    } else {
        Blame::Unknown
    }
}

fn of_error(error: &GanetiError, silent_secondary: bool) -> Blame {
    match error.class.as_str() {
        "OpPrereqError" => of_prerequisite(error),
        "OpExecError" => of_execution(&error.message, silent_secondary),
        // A hook that refuses is the site's own verdict on this instance. A hook that cannot be run has said
        // nothing (`backend.py: HooksRunner.RunHooks`).
        "HooksAbort" if error.message.contains("Hook script execution error") => Blame::Node,
        "HooksAbort" => Blame::Instance,
        // Parameters that the master finds wrong (`hypervisor/hv_base.py: CheckParameterSyntax`).
        "HypervisorError" => Blame::Instance,
        "JobCanceled" | "JobQueueError" | "JobQueueDrainError" | "JobQueueFull" => Blame::Queue,
        // The job's process and its configuration.
        "ConfigurationError"
        | "ConfigVersionMismatch"
        | "ConfigVerifyError"
        | "HooksFailure"
        | "JobFileCorrupted"
        | "LockError"
        | "PidFileLockError"
        | "ResolverError" => Blame::Master,
        // What WConfD answers (`rpc/client.py: CallRPCMethod`), or that it is absent (`rpc/errors.py`).
        "GenericError"
        | "LuxiError"
        | "ProtocolError"
        | "ConnectionClosedError"
        | "TimeoutError"
        | "RequestError"
        | "NoMasterError"
        | "PermissionError" => Blame::Master,
        _ => Blame::Unknown,
    }
}

/// `LUInstanceStartup.CheckPrereq` asks only the primary, so that is the node with the problem.
fn of_prerequisite(error: &GanetiError) -> Blame {
    match error.code.as_deref() {
        // Memory (`instance_utils.py: CheckNodeFreeMemory`).
        Some("insufficient_resources" | "temp_insufficient_resources") => Blame::Node,
        // Bridges, and any call that the node does not answer (`CheckNicsBridgesExist`, `RpcResult.Raise`).
        Some("environment_error") => Blame::Node,
        // `common.py: CheckNodeOnline`; the code is the same for an instance in the wrong state.
        Some("wrong_state") if error.message.starts_with("Can't use offline node") => Blame::Node,
        Some("wrong_state" | "unknown_entity" | "wrong_input" | "resource_not_unique" | "already_exists") => {
            Blame::Instance
        }
        Some("resolver_error") => Blame::Master,
        _ => Blame::Unknown,
    }
}

fn of_execution(message: &str, silent_secondary: bool) -> Blame {
    let disks = if silent_secondary { Blame::Peer } else { Blame::Instance };
    match message {
        // `instance_storage.py: StartInstanceDisks, LUInstanceActivateDisks.Exec`.
        "Disk consistency error" | "Cannot activate block devices" => disks,
        // `jqueue/__init__.py: _JobProcessor`: this opcode was not tried.
        "Preceding opcode failed" => Blame::Queue,
        // `utils.RetryTimeout` has no text: another job held the configuration for 30 s (`config/__init__.py:
        // _SetInstanceStatus`).
        "" => Blame::Master,
        // A bare `OSError` is the job's own: its files, or its connection to WConfD (`jqueue:
        // _EncodeOpError`).
        _ if message.starts_with("[Errno ") => Blame::Master,
        // Ganeti 3.2 (`instance_storage.py: AssembleInstanceDisks`).
        _ if message.starts_with("DRBD handshake did not complete") => Blame::Peer,
        _ => node_s_answer(message).map_or(Blame::Unknown, |answer| of_answer(answer, disks)),
    }
}

/// What the primary, or the connection to it, said to `instance_start` or `instance_shutdown`
/// (`instance_operation.py: LUInstanceStartup.Exec`, `rpc/node.py: RpcResult.Raise`). Some versions leave
/// the instance's name out.
fn node_s_answer(message: &str) -> Option<&str> {
    if let Some(answer) = message.strip_prefix("Could not start instance: ") {
        return Some(answer);
    }
    let told = ["Could not start instance '", "Could not shutdown instance '"];
    let rest = told.iter().find_map(|start| message.strip_prefix(start))?;
    rest.split_once("': ").map(|(_, answer)| answer)
}

fn of_answer(answer: &str, disks: Blame) -> Blame {
    if is_no_answer(answer) {
        return Blame::Node;
    }
    if answer.starts_with("Block device error: ") {
        return disks;
    }
    match Cause::of_text(answer) {
        Cause::Memory | Cause::Hypervisor | Cause::Network | Cause::Ganeti => Blame::Node,
        // The node daemon is fine; it just cannot start or stop this instance.
        Cause::Storage | Cause::Configuration | Cause::Unknown => Blame::Instance,
    }
}

impl Cause {
    /// What a start failed of. Only a Ganeti error says.
    #[must_use]
    pub fn of(failure: &JobFailure) -> Self {
        let JobFailure::Error(GanetiError { class, message, code }) = failure else { return Self::Unknown };
        match (class.as_str(), code.as_deref()) {
            ("OpPrereqError", Some("insufficient_resources" | "temp_insufficient_resources")) => Self::Memory,
            ("OpPrereqError", Some("environment_error")) => match Self::of_text(message) {
                Self::Network => Self::Network,
                _ => Self::Ganeti,
            },
            // What is wrong with the instance itself, according to the master or to the site.
            ("OpPrereqError" | "HypervisorError" | "HooksAbort", _) => Self::Configuration,
            ("OpExecError", _) => match node_s_answer(message) {
                Some(answer) if is_no_answer(answer) => Self::Ganeti,
                Some(answer) if answer.starts_with("Block device error: ") => Self::Storage,
                Some(answer) => Self::of_text(answer),
                None if message.starts_with("[Errno ") => Self::Ganeti,
                None if message == "Cannot activate block devices" => Self::Storage,
                None if message.starts_with("DRBD handshake") => Self::Network,
                None => Self::of_text(message),
            },
            _ => Self::Unknown,
        }
    }
}

/// Whether a call did not reach the code on the node, or broke it.
fn is_no_answer(answer: &str) -> bool {
    // `Error 28: Connection timed out`: number and words are curl's (`http/client.py: _ProcessCurlRequests`).
    let is_curl_error = answer
        .strip_prefix("Error ")
        .and_then(|rest| rest.split_once(": "))
        .is_some_and(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()));
    is_curl_error
        || answer == "Node is marked offline"
        || answer == "No error information"
        || answer.starts_with("RPC layer error")
        // `server/noded.py: HandleRequest`: an unforeseen exception.
        || answer.starts_with("Error while executing backend function")
        // The page that stands for an HTTP error (`http/server.py: DEFAULT_ERROR_MESSAGE`).
        || answer.starts_with("<html>")
}

#[cfg(test)]
mod tests;
