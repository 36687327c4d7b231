//! Opcodes as luxid accepts them: every key must be known to the cluster's version, and missing ones are
//! filled in.
//!
//! Source: `OpCodes.hs`, `JSON.hs: readJSONfromDict`.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::cluster::GanetiVersion;

mod fields;

/// What an opcode should do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// `OP_INSTANCE_STARTUP`
    Startup {
        /// Name of the instance.
        instance: String,
        /// Whether errors on secondary nodes are ignored.
        force: bool,
        /// Whether the admin state stays as it is.
        no_remember: bool,
    },
    /// `OP_INSTANCE_SHUTDOWN`
    Shutdown {
        /// Name of the instance.
        instance: String,
        /// Whether its user has already shut it down from inside.
        by_user: bool,
        /// Whether the admin state stays as it is.
        no_remember: bool,
    },
    /// `OP_INSTANCE_ACTIVATE_DISKS`
    ActivateDisks {
        /// Name of the instance.
        instance: String,
    },
    /// `OP_GROUP_VERIFY_DISKS`
    VerifyDisks {
        /// Name or UUID of the group.
        group: String,
        /// Whether to wait for locks.
        is_strict: bool,
    },
    /// `OP_INSTANCE_QUERY_DATA`
    QueryData {
        /// Names of the instances; empty for all.
        instances: Vec<String>,
        /// Whether nodes are asked and locks taken.
        locking: Locking,
    },
    /// `OP_INSTANCE_MIGRATE` and `OP_INSTANCE_FAILOVER` to the secondary node
    Move {
        /// Name of the instance.
        instance: String,
    },
    /// `OP_INSTANCE_REPLACE_DISKS`, `OP_BACKUP_EXPORT` and the like: something lengthy that holds the
    /// instance and its nodes.
    Occupy {
        /// Name of the instance.
        instance: String,
        /// For how long.
        duration: Duration,
    },
}

/// What `OP_INSTANCE_QUERY_DATA` looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locking {
    /// The nodes, which requires locks, whatever `use_locking` says.
    Live,
    /// The configuration alone, under locks.
    StaticLocked,
    /// The configuration alone.
    Static,
}

impl Work {
    /// The instance concerned.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        match self {
            Self::Startup { instance, .. }
            | Self::Shutdown { instance, .. }
            | Self::ActivateDisks { instance }
            | Self::Move { instance }
            | Self::Occupy { instance, .. } => Some(instance),
            Self::VerifyDisks { .. } | Self::QueryData { .. } => None,
        }
    }
}

/// One opcode of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opcode {
    /// What it should do.
    pub work: Work,
    /// Its summary, such as `INSTANCE_STARTUP(inst1.example.com)`.
    pub summary: String,
    /// -10, 0 or 10; lower is more urgent.
    pub priority: i64,
    /// Jobs that must have ended first, each with the acceptable statuses; empty for any.
    pub depends: Vec<(i64, Vec<String>)>,
    /// The opcode as luxid shows it, with every field.
    pub input: Map<String, Value>,
}

/// Reads an opcode. `version` decides which keys there are.
///
/// # Errors
/// Why luxid refuses the whole request.
pub fn parse(value: &Value, version: Option<GanetiVersion>) -> Result<Opcode, String> {
    let Value::Object(given) = value else {
        return Err(format!("Expected an opcode, got {value}"));
    };
    let keys = || given.keys().map(|key| format!("{key:?}")).collect::<Vec<_>>().join(",");
    let Some(Value::String(id)) = given.get("OP_ID") else {
        return Err(format!("key 'OP_ID' not found, object contains only [{}]", keys()));
    };
    let fields = fields::of(id, version)?;
    let mut input = Map::from_iter([("OP_ID".to_owned(), json!(id))]);
    for (name, kind, default) in &fields {
        let value = match (given.get(*name), default) {
            (Some(value), _) => value.clone(),
            (None, Some(default)) => default(),
            (None, None) => return Err(format!("key '{name}' not found, object contains only [{}]", keys())),
        };
        if !kind.accepts(&value) {
            return Err(format!("key '{name}': unable to parse {value}"));
        }
        input.insert((*name).to_owned(), value);
    }
    let superfluous: Vec<_> = given.keys().filter(|key| !input.contains_key(*key)).collect();
    if !superfluous.is_empty() {
        let allowed: Vec<_> = input.keys().collect();
        return Err(format!("Superfluous dictionary keys: {superfluous:?}, but only {allowed:?} allowed."));
    }
    let priority = input["priority"].as_i64().unwrap_or(0);
    if ![-10, 0, 10].contains(&priority) {
        return Err(format!("key 'priority': invalid priority {priority}"));
    }
    check_reason(&input["reason"])?;
    let depends = parse_depends(&input["depends"])?;
    let (work, subject) = work_of(id, &input);
    let name = id.trim_start_matches("OP_");
    let summary = if subject.is_empty() { name.to_owned() } else { format!("{name}({subject})") };
    Ok(Opcode { work, summary, priority, depends, input })
}

fn work_of(id: &str, input: &Map<String, Value>) -> (Work, String) {
    let text = |key: &str| input.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let flag = |key: &str| input.get(key).and_then(Value::as_bool).unwrap_or(false);
    let instance = text("instance_name");
    let work = match id {
        "OP_INSTANCE_STARTUP" => Work::Startup {
            instance: instance.clone(),
            force: flag("force"),
            no_remember: flag("no_remember"),
        },
        "OP_INSTANCE_SHUTDOWN" => Work::Shutdown {
            instance: instance.clone(),
            by_user: text("admin_state_source") == "user",
            no_remember: flag("no_remember"),
        },
        "OP_INSTANCE_ACTIVATE_DISKS" => Work::ActivateDisks { instance: instance.clone() },
        "OP_INSTANCE_QUERY_DATA" => {
            let names = input.get("instances").and_then(Value::as_array).into_iter().flatten();
            let locking = match (flag("static"), flag("use_locking")) {
                (false, _) => Locking::Live,
                (true, true) => Locking::StaticLocked,
                (true, false) => Locking::Static,
            };
            let instances = names.filter_map(Value::as_str).map(str::to_owned).collect();
            return (Work::QueryData { instances, locking }, String::new());
        }
        "OP_GROUP_VERIFY_DISKS" => {
            let group = text("group_name");
            let is_strict = input.get("is_strict").and_then(Value::as_bool).unwrap_or(true);
            return (Work::VerifyDisks { group: group.clone(), is_strict }, group);
        }
        _ => Work::Move { instance: instance.clone() },
    };
    (work, instance)
}

/// A list of `[source, text, nanoseconds]`.
fn check_reason(reason: &Value) -> Result<(), String> {
    let well_formed = |entry: &Value| match entry.as_array().map(Vec::as_slice) {
        Some([source, text, when]) => source.is_string() && text.is_string() && when.is_u64(),
        _ => false,
    };
    match reason.as_array().into_iter().flatten().find(|entry| !well_formed(entry)) {
        Some(entry) => Err(format!("key 'reason': unable to parse {entry}")),
        None => Ok(()),
    }
}

/// A list of `[job, [status, …]]`.
fn parse_depends(depends: &Value) -> Result<Vec<(i64, Vec<String>)>, String> {
    let one = |entry: &Value| {
        let [job, statuses] = entry.as_array()?.as_slice() else { return None };
        let statuses = statuses.as_array()?.iter().map(|status| status.as_str().map(str::to_owned));
        let statuses: Vec<String> = statuses.collect::<Option<_>>()?;
        let known = |status: &String| ["success", "error", "canceled"].contains(&status.as_str());
        statuses.iter().all(known).then_some((job.as_i64()?, statuses))
    };
    let entries = depends.as_array().into_iter().flatten();
    entries.map(|entry| one(entry).ok_or_else(|| format!("key 'depends': unable to parse {entry}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::luxi::opcodes::OpCode;

    fn version(text: &str) -> Option<GanetiVersion> {
        GanetiVersion::parse(text)
    }

    #[test]
    fn everything_that_the_watcher_sends_is_understood_by_its_version() {
        let opcodes = [
            OpCode::InstanceStartup { instance: "i".into(), force: false },
            OpCode::InstanceActivateDisks { instance: "i".into() },
            OpCode::InstanceShutdownByUser { instance: "i".into() },
            OpCode::GroupVerifyDisks { group: "g".into(), strict: false },
        ];
        for (opcode, release) in
            opcodes.iter().flat_map(|opcode| ["2.16.2", "3.0.2", "3.1.0"].map(|release| (opcode, release)))
        {
            let parsed = parse(&opcode.encode(version(release), 5), version(release)).unwrap();
            assert_eq!(parsed.summary, opcode.summary());
            assert_eq!(parsed.input["dry_run"], Value::Null);
        }
    }

    #[test]
    fn is_strict_is_refused_before_3_1() {
        let verify = OpCode::GroupVerifyDisks { group: "g".into(), strict: false }.encode(version("3.1"), 5);
        let problem = parse(&verify, version("3.0.2")).unwrap_err();
        assert!(
            problem.starts_with(r#"Superfluous dictionary keys: ["is_strict"], but only ["OP_ID","#),
            "{problem}"
        );
        assert_eq!(
            parse(&verify, version("3.1.0")).unwrap().work,
            Work::VerifyDisks { group: "g".into(), is_strict: false }
        );
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        for (opcode, part) in [
            (json!({"OP_ID": "OP_INSTANCE_STARTUP", "instance_name": "i"}), "key 'reason' not found"),
            (json!({"OP_ID": "OP_X", "reason": []}), "Unknown opcode"),
            (
                json!({"OP_ID": "OP_INSTANCE_STARTUP", "instance_name": 7, "reason": []}),
                "key 'instance_name'",
            ),
            (
                json!({"OP_ID": "OP_INSTANCE_STARTUP", "instance_name": "i", "reason": [["a"]]}),
                "key 'reason'",
            ),
            (
                json!({"OP_ID": "OP_INSTANCE_STARTUP", "instance_name": "i", "reason": [], "priority": 3}),
                "invalid priority",
            ),
            (
                json!({"OP_ID": "OP_INSTANCE_STARTUP", "instance_name": "i", "reason": [], "depends": [[1, ["x"]]]}),
                "key 'depends'",
            ),
            (json!(7), "Expected an opcode"),
        ] {
            let problem = parse(&opcode, version("3.0.2")).unwrap_err();
            assert!(problem.contains(part), "{problem}");
        }
    }
}
