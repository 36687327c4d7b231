//! The nodes of a node group.

use serde_json::json;

use super::rows::{parted, what_is_known};
use crate::cluster::{Name, Node, Snapshot};
use crate::luxi::rows::{Cell, Required, row};
use crate::luxi::{Client, LuxiError};

row! {
    struct NodeRow {
        name: Required<Name> = "name",
        boot_id: Cell<String> = "bootid",
        offline: Cell<bool> = "offline",
        vm_capable: Cell<bool> = "vm_capable",
        address: Cell<String> = "pip",
        uuid: Required<Name> = "uuid",
    }
}

/// Adds the nodes of its group to the snapshot.
pub(super) async fn of_group(client: &mut Client<'_>, snapshot: &mut Snapshot) -> Result<(), LuxiError> {
    let filter = json!(["==", "group.uuid", snapshot.group]);
    let (rows, unreadable) = parted(client.query::<NodeRow>("node", Some(filter)).await?);
    snapshot.unreadable_nodes.extend(unreadable.into_iter().map(what_is_known));
    snapshot.nodes.extend(rows.into_iter().map(node));
    Ok(())
}

fn node(row: NodeRow) -> Node {
    Node {
        name: row.name.value().into(),
        boot_id: row.boot_id.value().filter(|boot_id| !boot_id.is_empty()),
        offline: row.offline.value(),
        vm_capable: row.vm_capable.value(),
        address: row.address.value().unwrap_or_default(),
        uuid: row.uuid.value().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_does_not_answer_or_is_offline_has_no_boot_id() {
        let parse = |text: &str| node(serde_json::from_str(text).unwrap());
        assert_eq!(parse(r#"[[0,"n1"],[2,null],[0,false],[0,true],[0,"192.0.2.1"],[0,"u"]]"#).boot_id, None);
        assert_eq!(parse(r#"[[0,"n1"],[4,null],[0,true],[0,true],[0,""],[0,"u"]]"#).offline, Some(true));
        assert_eq!(
            parse(r#"[[0,"n1"],[0,"b"],[0,false],[1,null],[1,null],[0,"u"]]"#).boot_id.as_deref(),
            Some("b")
        );
    }

    #[test]
    fn a_node_of_which_luxid_does_not_say_whether_it_is_offline_is_neither() {
        let parse = |text: &str| node(serde_json::from_str(text).unwrap());
        let node = parse(r#"[[0,"n1"],[2,null],[2,null],[2,null],[0,"192.0.2.1"],[0,"u"]]"#);
        assert_eq!((node.offline, node.vm_capable), (None, None));
        assert!(!node.is_silent() && !node.is_offline() && node.may_be_silent() && node.may_run_instances());
        let answers = parse(r#"[[0,"n1"],[0,"b"],[2,null],[0,false],[0,"192.0.2.1"],[0,"u"]]"#);
        assert!(!answers.may_be_silent() && !answers.may_run_instances());
        assert!(
            serde_json::from_str::<NodeRow>(r#"[[0,"n1"],[0,"b"],[0,false],[0,true],[0,""],[2,null]]"#)
                .is_err()
        );
    }

    #[test]
    fn any_row_of_a_node_is_read_or_not() {
        let seeds = [r#"[[0,"n1"],[0,"b"],[0,false],[0,true],[0,"192.0.2.1"],[0,"u"]]"#];
        crate::testing::fuzz::fuzz_text(&seeds, |text| {
            drop(serde_json::from_str::<NodeRow>(text).map(node));
        });
    }
}
