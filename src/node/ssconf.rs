//! ssconf: the small files that tell every node about the cluster. They go stale on offline nodes.
//!
//! Source: `ssconf.py: SimpleStore`.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::cluster::{LONGEST_QUOTE, quoted};
use crate::files::read_text;
use crate::layout::Layout;

/// `ssconf.py: _MAX_SIZE`.
const LONGEST_FILE: u64 = 128 << 10;

/// Why ssconf does not say something. Only the first is an answer: this node is in no cluster. With the
/// others it is unknown.
#[derive(Debug, Error)]
pub enum Untold {
    /// There is no such file.
    #[error("cannot read '{}': there is no such file", .0.display())]
    Missing(PathBuf),
    /// It exists but cannot be read.
    #[error("cannot read '{}': {reason}", .path.display())]
    Unreadable {
        path: PathBuf,
        /// What the kernel said, or that it is not a regular file.
        reason: io::Error,
    },
    /// It can be read, but contains something other than Ganeti writes there.
    #[error("'{}' {problem}; 'gnt-cluster redist-conf' on the master rewrites it", .path.display())]
    Malformed {
        path: PathBuf,
        /// What is wrong, such as `is empty`, or `contains 'x', which is not a host name`.
        problem: String,
    },
}

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
/// See [`Untold`]; anything that is not a host name is malformed.
pub fn master_node(layout: &Layout) -> Result<String, Untold> {
    let name = told(layout, "master_node")?;
    match problem_of_name(&name) {
        Some(problem) => Err(malformed(layout, "master_node", problem)),
        None => Ok(name),
    }
}

/// Full names of all nodes.
///
/// # Errors
/// See [`Untold`]; an empty file is malformed, because there is no cluster without a node.
pub fn node_list(layout: &Layout) -> Result<Vec<String>, Untold> {
    let nodes = names(layout, "node_list")?;
    if nodes.is_empty() {
        return Err(malformed(layout, "node_list", "is empty".to_owned()));
    }
    Ok(nodes)
}

/// Full names of all instances; empty when the file is.
///
/// # Errors
/// See [`Untold`].
pub fn instance_list(layout: &Layout) -> Result<Vec<String>, Untold> {
    names(layout, "instance_list")
}

/// UUIDs of all node groups, from lines `UUID NAME` (`watcher/__init__.py: _LoadKnownGroups`).
///
/// # Errors
/// See [`Untold`]; an empty file is malformed, because there is no cluster without a node group.
pub fn node_groups(layout: &Layout) -> Result<Vec<String>, Untold> {
    const KEY: &str = "nodegroups";
    let text = told(layout, KEY)?;
    let uuids: Vec<String> =
        text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    if uuids.is_empty() {
        return Err(malformed(layout, KEY, "is empty".to_owned()));
    }
    if let Some(bad) = uuids.iter().find(|uuid| !is_uuid(uuid)) {
        let problem = format!("contains the invalid node group UUID {}", quoted(bad, LONGEST_QUOTE));
        return Err(malformed(layout, KEY, problem));
    }
    Ok(uuids)
}

/// As [`read`], with an error that says which of the three it is.
fn told(layout: &Layout, key: &str) -> Result<String, Untold> {
    let path = layout.ssconf(key);
    read(layout, key).map_err(|reason| match reason.kind() {
        io::ErrorKind::NotFound => Untold::Missing(path),
        io::ErrorKind::InvalidData => Untold::Malformed { path, problem: format!("is {reason}") },
        _ => Untold::Unreadable { path, reason },
    })
}

/// A key whose value has one host name per line.
fn names(layout: &Layout, key: &str) -> Result<Vec<String>, Untold> {
    let text = told(layout, key)?;
    let names: Vec<String> = text.split('\n').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    match names.iter().find_map(|name| problem_of_name(name)) {
        Some(problem) => Err(malformed(layout, key, problem)),
        None => Ok(names),
    }
}

fn malformed(layout: &Layout, key: &str, problem: String) -> Untold {
    Untold::Malformed { path: layout.ssconf(key), problem }
}

/// By Ganeti's rule for names (`netutils.py: Hostname.GetNormalizedName`).
fn problem_of_name(name: &str) -> Option<String> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match name {
        "" => Some("is empty".to_owned()),
        _ if name.len() < 256
            && name.bytes().all(is_known)
            && name.split('.').all(|label| !label.is_empty()) =>
        {
            None
        }
        _ => Some(format!("contains {}, which is not a host name", quoted(name, LONGEST_QUOTE))),
    }
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
    use crate::testing::{GROUP, Machine};

    fn with(key: &str, content: &[u8]) -> Machine {
        let machine = Machine::new();
        machine.ssconf(key, content);
        machine
    }

    #[test]
    fn a_master_that_is_no_host_name_is_malformed_and_quoted() {
        let machine = with("master_node", b"node1.example.com\n");
        assert_eq!(master_node(&machine.layout).unwrap(), "node1.example.com");
        for (content, problem) in [
            (&b""[..], "is empty"),
            (b"\n", "is empty"),
            (b"node1.example.com\r\n", r"contains 'node1.example.com\r', which is not a host name"),
            (b"\0\0\0", r"contains '\0\0\0', which is not a host name"),
            (b"\xff\n", "is not UTF-8 text"),
            (b"node1.example.com\nnode2.example.com\n", "which is not a host name"),
            (b"root:$6$secret:1:", "which is not a host name"),
            (b"node1..example.com", "which is not a host name"),
            (&[b'x'; 300], "x...', which is not a host name"),
        ] {
            let machine = with("master_node", content);
            let told = master_node(&machine.layout).unwrap_err();
            assert!(matches!(told, Untold::Malformed { .. }), "{told}");
            let told = told.to_string();
            assert!(told.contains("ssconf_master_node' ") && told.contains(problem), "{told}");
            assert!(told.len() < 300 && !told.contains('\n'), "{told}");
        }
    }

    #[test]
    fn missing_unreadable_and_malformed_are_three_things() {
        let machine = with("node_list", b"node1.example.com\nnode2.example.com\n");
        assert_eq!(node_list(&machine.layout).unwrap(), ["node1.example.com", "node2.example.com"]);
        assert!(matches!(instance_list(&machine.layout).unwrap_err(), Untold::Missing(_)));
        std::fs::create_dir(machine.layout.ssconf("instance_list")).unwrap();
        assert!(matches!(instance_list(&machine.layout).unwrap_err(), Untold::Unreadable { .. }));
        let machine = with("instance_list", b"inst1.example.com\n\0\0\n");
        assert!(matches!(instance_list(&machine.layout).unwrap_err(), Untold::Malformed { .. }));
        let machine = with("instance_list", b"");
        assert!(instance_list(&machine.layout).unwrap().is_empty(), "a cluster may have none");
        let machine = with("node_list", b"");
        assert!(matches!(node_list(&machine.layout).unwrap_err(), Untold::Malformed { .. }));
    }

    #[test]
    fn node_groups_that_are_none_are_an_error_with_the_file_s_name() {
        let machine = with("nodegroups", format!("{GROUP} default\r\n").as_bytes());
        assert_eq!(node_groups(&machine.layout).unwrap(), [GROUP]);
        for content in [&b""[..], b"\n\n", b"\0\0", b"\xff", b"root:x:0:0:root:/root:/bin/bash"] {
            let machine = with("nodegroups", content);
            let told = node_groups(&machine.layout).unwrap_err().to_string();
            assert!(told.contains("ssconf_nodegroups' "), "{told}");
        }
    }

    #[test]
    fn any_text_is_a_uuid_or_none() {
        crate::testing::fuzz::fuzz_text(&["0f7fae7f-b9b2-4d37-87e1-808357d8239a"], |text| {
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
