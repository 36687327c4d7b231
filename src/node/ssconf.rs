//! ssconf: the small files with which Ganeti tells every node about the cluster. They go stale on offline nodes.
//!
//! Source: `ssconf.py: SimpleStore`.

use std::io;

use anyhow::{Context, Result, bail};

use crate::files::read_text;
use crate::layout::Layout;

/// `ssconf.py: _MAX_SIZE`.
const LONGEST_FILE: u64 = 128 << 10;

/// The value of a key such as `master_node`, without trailing line feeds.
///
/// # Errors
/// The kernel's; `NotFound` when this node is not part of a cluster.
pub fn read(layout: &Layout, key: &str) -> io::Result<String> {
    let text = read_text(&layout.ssconf(key), LONGEST_FILE)?;
    Ok(text.trim_end_matches('\n').to_owned())
}

/// Name of the master node.
///
/// # Errors
/// As [`read`].
pub fn master_node(layout: &Layout) -> io::Result<String> {
    read(layout, "master_node")
}

/// UUIDs of all node groups, out of lines `UUID NAME` (`watcher/__init__.py: _LoadKnownGroups`).
///
/// # Errors
/// When the file cannot be read or holds something else than UUIDs with names.
pub fn node_groups(layout: &Layout) -> Result<Vec<String>> {
    let path = layout.ssconf("nodegroups");
    let text = read(layout, "nodegroups").with_context(|| format!("cannot read '{}'", path.display()))?;
    let uuids: Vec<String> =
        text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    if let Some(bad) = uuids.iter().find(|uuid| !is_uuid(uuid)) {
        bail!("'{}' contains the invalid node group UUID '{bad}'", path.display());
    }
    Ok(uuids)
}

/// Whether the text is a UUID in the form that Ganeti accepts: lower case, five groups (`utils/__init__.py:
/// UUID_RE`).
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.concat().bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_a_uuid_or_none() {
        crate::fuzz_tests::fuzz_text(&["0f7fae7f-b9b2-4d37-87e1-808357d8239a"], |text| {
            assert!(!is_uuid(text) || (text.len() == 36 && text.is_ascii() && !text.contains('/')));
        });
    }

    #[test]
    fn only_lower_case_uuids_are_accepted() {
        assert!(is_uuid("0f7fae7f-b9b2-4d37-87e1-808357d8239a"));
        for text in [
            "",
            "default",
            "0F7FAE7F-b9b2-4d37-87e1-808357d8239a",
            "0f7fae7f-b9b2-4d37-87e1-808357d8239",
            "0f7fae7f-b9b2-4d37-87e1-808357d8239a-",
            "0f7fae7-fb9b2-4d37-87e1-808357d8239a",
            "0f7fae7g-b9b2-4d37-87e1-808357d8239a",
            "../../etc-b9b2-4d37-87e1-808357d8239a",
        ] {
            assert!(!is_uuid(text), "{text}");
        }
    }
}
