//! The opcodes that a watcher submits, never with a field that the cluster's version would refuse.
//!
//! Source: `opcodes.py`, `OpCodes.hs: MetaOpCode`. luxid fills in every missing field, and rejects the whole
//! job for an unknown one; so only what differs from the default is sent.

use serde_json::{Value, json};

use crate::cluster::GanetiVersion;

/// First part of every reason that a watcher gives for its jobs; administrators' filters match on it.
pub const REASON_SOURCE: &str = "gnt:watcher";

const PRIORITY_LOW: i64 = 10;

/// One thing for Ganeti to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpCode {
    /// `OP_INSTANCE_STARTUP` (`cmdlib/instance_operation.py: LUInstanceStartup`).
    InstanceStartup {
        /// Name of the instance.
        instance: String,
        /// Whether errors of its secondary node are ignored.
        force: bool,
    },
    /// `OP_INSTANCE_QUERY_DATA`: the actual condition of instances' disks. Fails as a whole when one of their
    /// nodes should answer and does not (`cmdlib/instance_query.py: LUInstanceQueryData`).
    InstanceQueryData {
        /// Names of the instances; without any, Ganeti would look at all instances.
        instances: Vec<String>,
    },
    /// `OP_INSTANCE_ACTIVATE_DISKS` (`cmdlib/instance_storage.py: LUInstanceActivateDisks`).
    InstanceActivateDisks {
        /// Name of the instance.
        instance: String,
    },
    /// `OP_INSTANCE_SHUTDOWN` of an instance that its user has already shut down: `admin_state_source` is
    /// `user` (`cmdlib/instance_operation.py: LUInstanceShutdown`).
    InstanceShutdownByUser {
        /// Name of the instance.
        instance: String,
    },
    /// `OP_GROUP_VERIFY_DISKS` with low priority, 10 (`cmdlib/group.py: LUGroupVerifyDisks`).
    GroupVerifyDisks {
        /// UUID of the node group.
        group: String,
        /// Whether to wait for locked nodes and instances. Not sent to versions before 3.1.
        strict: bool,
    },
}

impl OpCode {
    /// What the job is for, in the original's words where it submits the same (`watcher/__init__.py:
    /// Instance.Restart, Instance.ActivateDisks, _CleanupInstance, _VerifyDisks`).
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::InstanceStartup { instance, .. } => format!("Restarting instance {instance}"),
            Self::InstanceActivateDisks { instance } => format!("Activating disks for instance {instance}"),
            Self::InstanceShutdownByUser { instance } => format!("Cleaning up instance {instance}"),
            Self::InstanceQueryData { instances } => {
                format!("Looking at the disks of {}", instances.join(", "))
            }
            Self::GroupVerifyDisks { group, .. } => format!("Verifying disks of group {group}"),
        }
    }

    /// The summary that Ganeti shows for it in a job's `summary` field (`opcodes.py: OpCode.Summary`).
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::InstanceStartup { instance, .. } => format!("INSTANCE_STARTUP({instance})"),
            Self::InstanceQueryData { .. } => "INSTANCE_QUERY_DATA".to_owned(),
            Self::InstanceActivateDisks { instance } => format!("INSTANCE_ACTIVATE_DISKS({instance})"),
            Self::InstanceShutdownByUser { instance } => format!("INSTANCE_SHUTDOWN({instance})"),
            Self::GroupVerifyDisks { group, .. } => format!("GROUP_VERIFY_DISKS({group})"),
        }
    }

    /// The opcode as luxid accepts it: an object with `OP_ID`, `reason` and what differs from the defaults.
    /// The reason is `[["gnt:watcher", TEXT, epoch_ns]]`, with the time in nanoseconds since the epoch.
    /// `version` is `None` when the cluster's could not be read: then nothing is sent that any version would
    /// refuse.
    #[must_use]
    pub fn encode(&self, version: Option<GanetiVersion>, epoch_ns: u64) -> Value {
        let reason = json!([[REASON_SOURCE, self.reason(), epoch_ns]]);
        match self {
            Self::InstanceStartup { instance, force: false } => {
                json!({"OP_ID": "OP_INSTANCE_STARTUP", "instance_name": instance, "reason": reason})
            }
            Self::InstanceStartup { instance, force: true } => json!({
                "OP_ID": "OP_INSTANCE_STARTUP", "instance_name": instance, "force": true, "reason": reason,
            }),
            Self::InstanceQueryData { instances } => json!({
                "OP_ID": "OP_INSTANCE_QUERY_DATA", "instances": instances, "reason": reason,
            }),
            Self::InstanceActivateDisks { instance } => {
                json!({"OP_ID": "OP_INSTANCE_ACTIVATE_DISKS", "instance_name": instance, "reason": reason})
            }
            Self::InstanceShutdownByUser { instance } => json!({
                "OP_ID": "OP_INSTANCE_SHUTDOWN", "instance_name": instance, "admin_state_source": "user",
                "reason": reason,
            }),
            Self::GroupVerifyDisks { group, strict } => {
                let mut opcode = json!({
                    "OP_ID": "OP_GROUP_VERIFY_DISKS", "group_name": group, "priority": PRIORITY_LOW,
                    "reason": reason,
                });
                if version.is_some_and(GanetiVersion::knows_is_strict) {
                    opcode["is_strict"] = json!(strict);
                }
                opcode
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_strict_goes_only_to_versions_that_know_it() {
        let verify = OpCode::GroupVerifyDisks { group: "u".into(), strict: false };
        let sent = |version: Option<&str>| {
            verify.encode(version.and_then(GanetiVersion::parse), 1).get("is_strict").cloned()
        };
        assert_eq!(sent(Some("2.16.2")), None);
        assert_eq!(sent(Some("3.0.2")), None);
        assert_eq!(sent(None), None);
        assert_eq!(sent(Some("3.1.0~rc2")), Some(json!(false)));
    }

    #[test]
    fn opcodes_carry_the_original_reason_and_nothing_superfluous() {
        let opcode = OpCode::InstanceShutdownByUser { instance: "i1".into() };
        assert_eq!(
            opcode.encode(None, 1_700_000_000_123_456_789),
            json!({
                "OP_ID": "OP_INSTANCE_SHUTDOWN", "instance_name": "i1", "admin_state_source": "user",
                "reason": [["gnt:watcher", "Cleaning up instance i1", 1_700_000_000_123_456_789_u64]],
            })
        );
        let verify = OpCode::GroupVerifyDisks { group: "u".into(), strict: true };
        assert_eq!(verify.encode(None, 1)["priority"], json!(10));
        assert_eq!(verify.summary(), "GROUP_VERIFY_DISKS(u)");
    }
}
