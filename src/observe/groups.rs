//! Node groups: which ones there are, and everything about one.

use std::collections::BTreeSet;

use serde_json::json;

use super::rows::{malformed, readable};
use super::{instances, jobs, locks, nodes};
use crate::cluster::{LONGEST_NAME, Name, Snapshot, excerpt};
use crate::luxi::rows::{Cell, EXPLAINED, row};
use crate::luxi::{Client, LuxiError};
use crate::{logging, tell};

/// A node group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub uuid: String,
}

row! {
    struct GroupRow {
        // For people only: one that is none must not keep the group from being looked after.
        name: String = "name",
        uuid: Name = "uuid",
    }
}

row! {
    struct TagsRow {
        name: Cell<String> = "name",
        tags: Cell<Vec<String>> = "tags",
    }
}

/// On one line, and no longer than a name.
fn shown(name: &str) -> String {
    excerpt(&name.replace(char::is_control, " "), LONGEST_NAME)
}

/// All node groups, in natural order of names.
///
/// # Errors
/// As [`Client::query`].
pub async fn groups(client: &mut Client<'_>) -> Result<Vec<Group>, LuxiError> {
    let rows: Vec<GroupRow> = client.query_groups().await?;
    let group = |row: GroupRow| Group { name: shown(&row.name), uuid: row.uuid.into() };
    let mut groups: Vec<Group> = rows.into_iter().map(group).collect();
    // Each is looked after once, however often it is listed.
    let mut known = BTreeSet::new();
    groups.retain(|group| known.insert(group.uuid.clone()));
    Ok(groups)
}

/// One node group with its instances and nodes, the locks and the jobs. An instance that luxid describes in a
/// way that cannot be read is an entry of [`Snapshot::unreadable_instances`], and logged; a node of
/// [`Snapshot::unreadable_nodes`].
///
/// # Errors
/// As [`Client::query`], for the first of the four queries that fails.
pub async fn group(client: &mut Client<'_>, uuid: &str) -> Result<Snapshot, LuxiError> {
    let mut snapshot = Snapshot { group: uuid.to_owned(), ..Snapshot::default() };
    snapshot.locked_instances = locks::locks(client, None).await?.instances;
    snapshot.pending_jobs = jobs::pending_jobs(client).await?;
    instances::of_group(client, &mut snapshot).await?;
    nodes::of_group(client, &mut snapshot).await?;
    leave_contradictions(&mut snapshot);
    Ok(snapshot)
}

/// An instance or a node that is listed more than once counts as unreadable: it is unknown which row is true.
fn leave_contradictions(snapshot: &mut Snapshot) {
    let instances = repeated(snapshot.instances.iter().map(|instance| instance.name.as_str()));
    let nodes = repeated(snapshot.nodes.iter().map(|node| node.name.as_str()));
    for name in instances.iter().chain(&nodes).take(EXPLAINED) {
        logging::log(tell::answers::more_than_one_row(name));
    }
    snapshot.instances.retain(|instance| !instances.contains(&instance.name));
    snapshot.nodes.retain(|node| !nodes.contains(&node.name));
    snapshot.unreadable_instances.extend(instances);
    snapshot.unreadable_nodes.extend(nodes);
}

/// The names that occur more than once.
fn repeated<'n>(names: impl Iterator<Item = &'n str>) -> BTreeSet<String> {
    let mut once = BTreeSet::new();
    names.filter(|name| !once.insert(*name)).map(str::to_owned).collect()
}

/// The name of a node group, and its tags.
///
/// # Errors
/// As [`Client::query`]; also when no tags come: one of them might say that nothing is to be started.
pub async fn group_tags(client: &mut Client<'_>, uuid: &str) -> Result<(String, Vec<String>), LuxiError> {
    let filter = json!(["&", ["==", "uuid", uuid]]);
    let rows = client.query::<TagsRow>("group", Some(filter)).await?;
    let tags = readable(rows)
        .find_map(|row| Some((shown(&row.name.value().unwrap_or_default()), row.tags.value()?)));
    tags.ok_or_else(|| malformed("Query", format!("it has no tags of node group '{uuid}'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_with_a_strange_name_does_not_hide_the_others() {
        let rows: Vec<GroupRow> = serde_json::from_str(r#"[["a\tb\n","u1"],["default","u2"]]"#).unwrap();
        assert_eq!((shown(&rows[0].name).as_str(), shown(&rows[1].name).as_str()), ("a b ", "default"));
        assert!(shown(&"x".repeat(20_000)).len() < 400);
        assert!(serde_json::from_str::<GroupRow>(r#"["a",""]"#).is_err());
    }

    #[test]
    fn what_is_told_twice_is_told_in_no_way_that_can_be_read() {
        use crate::cluster::testing::{instance, node, snapshot};
        let mut seen = snapshot(
            [
                instance("a", "ERROR_down"),
                instance("b", "running"),
                instance("a", "running"),
                instance("a", "running"),
            ],
            [node("n1", Some("x")), node("n1", Some("y")), node("n2", None)],
        );
        leave_contradictions(&mut seen);
        let names: Vec<&str> = seen.instances.iter().map(|instance| instance.name.as_str()).collect();
        assert_eq!(names, ["b"]);
        assert_eq!(seen.unreadable_instances, ["a"]);
        assert_eq!((seen.nodes.len(), seen.unreadable_nodes), (1, vec!["n1".to_owned()]));
    }
}
