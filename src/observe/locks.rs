//! Locks: who is locked, and how.

use std::collections::BTreeMap;

use serde_json::Value;

use super::rows::{any_of, readable};
use crate::cluster::LockMode;
use crate::luxi::rows::{Cell, row};
use crate::luxi::{Client, LuxiError};
use crate::{logging, tell};

/// The locks that somebody holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Locks {
    /// Those of instances, by name.
    pub instances: BTreeMap<String, LockMode>,
    /// Those of nodes, by UUID.
    pub nodes: BTreeMap<String, LockMode>,
}

row! {
    struct LockRow {
        name: Cell<String> = "name",
        mode: Cell<Value> = "mode",
    }
}

/// Who is locked: all, or only those among these locks, such as `instance/NAME` and `node/UUID`. Locks of
/// other kinds are left out.
///
/// # Errors
/// As [`Client::query`].
pub async fn locks(client: &mut Client<'_>, of: Option<&[&str]>) -> Result<Locks, LuxiError> {
    let filter = of.map(|names| any_of("name", names));
    let mut locks = Locks::default();
    let mut nameless = 0;
    for LockRow { name, mode } in readable(client.query("lock", filter).await?) {
        let Some(name) = name.value() else {
            nameless += 1;
            continue;
        };
        let Some(mode) = lock_mode(&mode) else { continue };
        if let Some(instance) = name.strip_prefix("instance/") {
            locks.instances.insert(instance.to_owned(), mode);
        } else if let Some(node) = name.strip_prefix("node/") {
            locks.nodes.insert(node.to_owned(), mode);
        }
    }
    if nameless > 0 {
        logging::log(tell::answers::nameless_locks(nameless));
    }
    Ok(locks)
}

/// How a lock is held; `None` when nobody holds it, for which luxid says null with status 0 (`Query/Locks.hs:
/// getMode`).
fn lock_mode(Cell(status, mode): &Cell<Value>) -> Option<LockMode> {
    match mode.as_ref().map(Value::as_str) {
        None if *status == 0 => None,
        Some(Some("shared")) => Some(LockMode::Shared),
        Some(Some("exclusive")) => Some(LockMode::Exclusive),
        None | Some(_) => Some(LockMode::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_null_with_status_0_is_a_lock_that_nobody_holds() {
        let mode = |text: &str| lock_mode(&serde_json::from_str(text).unwrap());
        assert_eq!(mode("[0,null]"), None);
        assert_eq!(mode(r#"[0,"shared"]"#), Some(LockMode::Shared));
        assert_eq!(mode(r#"[0,"exclusive"]"#), Some(LockMode::Exclusive));
        for strange in ["[2,null]", r#"[0,"x"]"#, r#"[0,""]"#, "[0,7]"] {
            assert_eq!(mode(strange), Some(LockMode::Unknown), "{strange}");
        }
    }
}
