//! The fields of opcodes.
//!
//! Source: `OpCodes.hs`.

use serde_json::{Value, json};

use crate::cluster::GanetiVersion;

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    OptionalText,
    Flag,
    OptionalFlag,
    Number,
    OptionalNumber,
    Object,
    List,
    Texts,
    OptionalList,
}

/// A field: its name, what it holds, and its default (`None`: it is required).
pub(super) type Field = (&'static str, Kind, Option<fn() -> Value>);

const COMMON: [Field; 6] = [
    ("dry_run", Kind::OptionalFlag, Some(|| Value::Null)),
    ("debug_level", Kind::OptionalNumber, Some(|| Value::Null)),
    ("priority", Kind::Number, Some(|| json!(0))),
    ("depends", Kind::OptionalList, Some(|| Value::Null)),
    ("comment", Kind::OptionalText, Some(|| Value::Null)),
    ("reason", Kind::List, None),
];
const INSTANCE: [Field; 2] =
    [("instance_name", Kind::Text, None), ("instance_uuid", Kind::OptionalText, Some(|| Value::Null))];
const STARTUP: [Field; 7] = [
    ("force", Kind::Flag, Some(|| json!(false))),
    ("ignore_offline_nodes", Kind::Flag, Some(|| json!(false))),
    ("hvparams", Kind::Object, Some(|| json!({}))),
    ("beparams", Kind::Object, Some(|| json!({}))),
    ("no_remember", Kind::Flag, Some(|| json!(false))),
    ("startup_paused", Kind::Flag, Some(|| json!(false))),
    ("shutdown_timeout", Kind::Number, Some(|| json!(120))),
];
const SHUTDOWN: [Field; 5] = [
    ("force", Kind::Flag, Some(|| json!(false))),
    ("ignore_offline_nodes", Kind::Flag, Some(|| json!(false))),
    ("timeout", Kind::Number, Some(|| json!(120))),
    ("no_remember", Kind::Flag, Some(|| json!(false))),
    ("admin_state_source", Kind::OptionalText, Some(|| Value::Null)),
];
const ACTIVATE_DISKS: [Field; 2] = [
    ("ignore_size", Kind::Flag, Some(|| json!(false))),
    ("wait_for_sync", Kind::Flag, Some(|| json!(false))),
];
const GROUP: [Field; 1] = [("group_name", Kind::Text, None)];
const IS_STRICT: [Field; 1] = [("is_strict", Kind::Flag, Some(|| json!(true)))];
const MOVE: [Field; 1] = [("ignore_consistency", Kind::Flag, Some(|| json!(false)))];

const QUERY_DATA: [Field; 3] = [
    ("use_locking", Kind::Flag, Some(|| json!(false))),
    ("instances", Kind::Texts, Some(|| json!([]))),
    ("static", Kind::Flag, Some(|| json!(false))),
];

/// The fields of that opcode in that version.
///
/// # Errors
/// When there is no such opcode in the box.
pub(super) fn of(id: &str, version: Option<GanetiVersion>) -> Result<Vec<Field>, String> {
    let fields: Vec<Field> = match (id, version.is_some_and(GanetiVersion::knows_is_strict)) {
        ("OP_INSTANCE_STARTUP", _) => [&INSTANCE[..], &STARTUP].concat(),
        ("OP_INSTANCE_SHUTDOWN", _) => [&INSTANCE[..], &SHUTDOWN].concat(),
        ("OP_INSTANCE_ACTIVATE_DISKS", _) => [&INSTANCE[..], &ACTIVATE_DISKS].concat(),
        ("OP_INSTANCE_QUERY_DATA", _) => QUERY_DATA.to_vec(),
        ("OP_GROUP_VERIFY_DISKS", false) => GROUP.to_vec(),
        ("OP_GROUP_VERIFY_DISKS", true) => [&GROUP[..], &IS_STRICT].concat(),
        ("OP_INSTANCE_MIGRATE" | "OP_INSTANCE_FAILOVER", _) => [&INSTANCE[..], &MOVE].concat(),
        _ => return Err(format!("Unknown opcode {id:?}")),
    };
    Ok(fields.into_iter().chain(COMMON).collect())
}

impl Kind {
    /// Whether the value is of that kind.
    pub(super) fn accepts(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Number => value.is_i64(),
            Self::Object => value.is_object(),
            Self::List => value.is_array(),
            Self::Texts => value.as_array().is_some_and(|texts| texts.iter().all(is_some_text)),
            Self::OptionalText => value.is_null() || value.is_string(),
            Self::OptionalFlag => value.is_null() || value.is_boolean(),
            Self::OptionalNumber => value.is_null() || value.is_i64(),
            Self::OptionalList => value.is_null() || value.is_array(),
        }
    }
}

fn is_some_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}
