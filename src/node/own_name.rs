//! What this node is called, for comparison with the name of the master node.
//!
//! Source: `netutils.py: Hostname.GetSysName`, which is Python's `socket.getfqdn()`, in lower case. When
//! nothing resolves, the original has only the kernel's host name, and takes a master with a short one for
//! another node: then an instance that is the cluster's name server is never started again.

use std::time::Duration;

use thiserror::Error;
use tokio::process::Command;
use tokio::time::timeout;
use tracing::debug;

use super::ssconf::{self, Untold};
use crate::layout::Layout;

/// Name servers may be down: they may be instances of this very cluster.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether a name is this node's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IsOwn {
    Yes,
    /// Another node has it.
    No,
    /// Unknown. That is not a reason to act as the master, nor to call this node another one.
    Unknown(Nameless),
}

/// Why it is unknown whether this node is the master.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "cannot tell whether this node is the master: the master is '{master}', and this host is called '{host_name}', \
     {why}; give it its name in the cluster, with hostnamectl or in /etc/hosts"
)]
pub struct Nameless {
    pub master: String,
    pub host_name: String,
    /// Why these two cannot be compared: a relative clause.
    pub why: String,
}

/// Whether `node_name`, the master's, is this node's.
///
/// The kernel's host name is compared first. When that is the name, nothing needs to be resolved, and a
/// master whose name servers are down with everything else still knows that it is the master.
pub async fn is_own(layout: &Layout, node_name: &str) -> IsOwn {
    if let Some(name) = given(layout) {
        return if normalize(name) == node_name { IsOwn::Yes } else { IsOwn::No };
    }
    let host_name = host_name(layout);
    if host_name == node_name {
        return IsOwn::Yes;
    }
    let resolved = resolve(layout, &host_name).await;
    compare(node_name, &host_name, resolved.as_deref(), ssconf::node_list(layout).as_deref())
}

/// What this node is called in the cluster: the kernel's host name when ssconf has a node of that name, what
/// it resolves to otherwise, and if nothing resolves, the only node with that first label.
pub async fn find(layout: &Layout) -> String {
    if let Some(name) = given(layout) {
        return normalize(name);
    }
    let host_name = host_name(layout);
    let nodes = ssconf::node_list(layout).unwrap_or_default();
    if nodes.contains(&host_name) {
        return host_name;
    }
    let resolved = resolve(layout, &host_name).await;
    resolved.or_else(|| only_with_label_of(&host_name, &nodes).map(str::to_owned)).unwrap_or(host_name)
}

/// The name of a virtual node, for which nobody need be asked.
fn given(layout: &Layout) -> Option<&str> {
    layout.virtual_host().filter(|_| layout.unresolved_host().is_none())
}

/// Compares names; pure. `resolved` is the full name that the host name resolves to, if any.
///
/// It is safe to take a node for the master by its first label alone, because this is not what makes it act
/// as the master. A run does that only through luxid, at a local socket, and only when that names the same
/// node as the master; and luxid starts only where more than half of the nodes of its own configuration say
/// that the master has the name of its host (`Daemon/Utils.hs: verifyMasterVotes`). On a node that knows the
/// cluster but has neither, luxid simply refuses to start. If a full name was found, nothing is guessed: a
/// clone of the master has its files too.
fn compare(
    master: &str,
    host_name: &str,
    resolved: Option<&str>,
    nodes: Result<&[String], &Untold>,
) -> IsOwn {
    let is = |own: &str| if own == master { IsOwn::Yes } else { IsOwn::No };
    let known = nodes.unwrap_or_default();
    let unknown = |why: String| {
        IsOwn::Unknown(Nameless { master: master.to_owned(), host_name: host_name.to_owned(), why })
    };
    match resolved {
        Some(own) if own == master => IsOwn::Yes,
        Some(own) if known.iter().any(|node| node == own) => IsOwn::No,
        _ if known.iter().any(|node| node == host_name) => IsOwn::No,
        // As with the original: nothing in these names resembles the master's.
        Some(own) if label(own) != label(master) && label(host_name) != label(master) => IsOwn::No,
        Some(own) => unknown(match nodes {
            Ok(_) => format!("which resolves to '{own}', but no node has that name"),
            Err(untold) => format!("which resolves to '{own}', and {untold}"),
        }),
        None => match (only_with_label_of(host_name, known), nodes) {
            (Some(own), _) => is(own),
            (None, Ok(_)) => {
                unknown("which does not resolve and is the first label of no node, or of several".to_owned())
            }
            (None, Err(untold)) => unknown(format!("which does not resolve, and {untold}")),
        },
    }
}

fn label(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// The node with the first label of a short name, when there is exactly one.
fn only_with_label_of<'n>(host_name: &str, nodes: &'n [String]) -> Option<&'n str> {
    let mut found = nodes.iter().filter(|node| label(node) == host_name);
    found.next().filter(|_| found.next().is_none()).map(String::as_str)
}

fn host_name(layout: &Layout) -> String {
    match layout.unresolved_host() {
        Some(name) => normalize(name),
        None => nix::unistd::gethostname().map(|name| normalize(&name.to_string_lossy())).unwrap_or_default(),
    }
}

/// The full name of a host; `None` when it cannot be looked up and is not itself full.
async fn resolve(layout: &Layout, host_name: &str) -> Option<String> {
    let name = match layout.unresolved_host() {
        Some(name) => normalize(name),
        None => normalize(&fully_qualified(host_name).await),
    };
    name.contains('.').then_some(name)
}

/// Lower case, without the dot that ends an absolute name (`Hostname.GetNormalizedName`).
fn normalize(name: &str) -> String {
    let name = name.to_lowercase();
    name.strip_suffix('.').unwrap_or(&name).to_owned()
}

/// The first name with a dot among those of the host's first address, as Python's `getfqdn` finds it;
/// otherwise the name itself. It comes from `getent`, because only that uses the node's own name service
/// switch with all aliases, however this program is linked.
async fn fully_qualified(host_name: &str) -> String {
    let names = async {
        let addresses = getent("ahosts", host_name).await?;
        let address = addresses.split_whitespace().next()?;
        getent("hosts", address).await
    };
    choose(host_name, &names.await.unwrap_or_default())
}

/// `hosts` is a line of `getent hosts`: an address, then names.
fn choose(host_name: &str, hosts: &str) -> String {
    let mut names = hosts.lines().next().unwrap_or_default().split_whitespace().skip(1);
    names.find(|name| name.contains('.')).unwrap_or(host_name).to_owned()
}

async fn getent(database: &str, key: &str) -> Option<String> {
    let mut command = Command::new("getent");
    command.args([database, key]).kill_on_drop(true);
    match timeout(LOOK_UP_TIMEOUT, command.output()).await {
        Ok(Ok(output)) if output.status.success() => {
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(Ok(_)) => None,
        Ok(Err(error)) => {
            debug!("Cannot run getent: {error}");
            None
        }
        Err(_) => {
            debug!("Looking up '{key}' took longer than {} s", LOOK_UP_TIMEOUT.as_secs());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Machine;

    #[test]
    fn any_answer_of_getents_gives_a_name() {
        crate::testing::fuzz::fuzz_text(
            &["192.0.2.1  node1 node1.example.com n1\n", "::1 localhost"],
            |hosts| {
                let name = choose("node1", hosts);
                assert!(name == "node1" || hosts.contains(&name));
                drop(normalize(hosts));
            },
        );
    }

    #[test]
    fn names_are_compared_in_lower_case_and_without_the_final_dot() {
        assert_eq!(normalize("Node1.Example.COM."), "node1.example.com");
        assert_eq!(normalize("node1"), "node1");
    }

    #[tokio::test]
    async fn a_virtual_node_is_called_as_its_variable_says() {
        let layout = Layout::new(Some("/srv/node1.x".into()), Some("node1.x".into())).unwrap();
        assert_eq!(is_own(&layout, "node1.x").await, IsOwn::Yes);
        assert_eq!(is_own(&layout, "node2.x").await, IsOwn::No);
    }

    const NODES: [&str; 4] =
        ["node1.example.com", "node2.example.com", "node2.example.org", "node10.example.com"];
    const MASTER: &str = "node1.example.com";

    fn compared(host_name: &str, resolved: Option<&str>) -> IsOwn {
        compare(MASTER, host_name, resolved, Ok(&NODES.map(str::to_owned)))
    }

    #[test]
    fn r09_a_short_host_name_that_nothing_resolves_is_the_only_node_with_that_first_label() {
        assert_eq!(compared("node1", None), IsOwn::Yes);
        assert_eq!(compared("node10", None), IsOwn::No);
        for host_name in ["node", "node2", "node3", "kvm1", "localhost", ""] {
            let IsOwn::Unknown(told) = compared(host_name, None) else { panic!("{host_name}") };
            let told = told.to_string();
            assert!(told.contains(MASTER) && told.contains(&format!("'{host_name}'")), "{told}");
        }
    }

    #[test]
    fn r09_without_a_node_list_a_short_host_name_is_unknown_and_the_file_is_named() {
        let untold = Untold::Missing("/var/lib/ganeti/ssconf_node_list".into());
        let IsOwn::Unknown(told) = compare(MASTER, "node1", None, Err(&untold)) else { panic!() };
        assert!(told.to_string().contains("ssconf_node_list"), "{told}");
        assert!(matches!(compare(MASTER, "node2", None, Err(&untold)), IsOwn::Unknown(_)));
        // Names that resolve need no list.
        assert_eq!(compare(MASTER, "node1", Some(MASTER), Err(&untold)), IsOwn::Yes);
        assert_eq!(compare(MASTER, "node2", Some("node2.example.com"), Err(&untold)), IsOwn::No);
        let domain = compare(MASTER, "node1", Some("node1.example.org"), Err(&untold));
        assert!(matches!(domain, IsOwn::Unknown(_)), "{domain:?}");
    }

    #[test]
    fn what_resolves_is_compared_whole_and_never_guessed() {
        assert_eq!(compared("node1", Some(MASTER)), IsOwn::Yes);
        assert_eq!(compared("anything", Some(MASTER)), IsOwn::Yes);
        assert_eq!(compared("node2", Some("node2.example.com")), IsOwn::No);
        assert_eq!(compared("node1", Some("node2.example.com")), IsOwn::No, "the name server says so");
        assert_eq!(compared("node2.example.com", Some("node2.example.com")), IsOwn::No);
        assert_eq!(compared("kvm7", Some("kvm7.example.net")), IsOwn::No, "as with the original");
        // If it is the master's first label with another domain, it may be the master or a copy of it.
        assert!(matches!(compared("node1", Some("node1.localdomain")), IsOwn::Unknown(_)));
    }

    #[tokio::test]
    async fn r09_the_name_for_confd_is_found_in_the_node_list_too() {
        let machine = Machine::new();
        let layout = machine.layout.clone().with_unresolved_host("node1".to_owned());
        assert_eq!(find(&layout).await, "node1");
        machine.ssconf("node_list", NODES.join("\n"));
        assert_eq!(find(&layout).await, MASTER);
        assert_eq!(is_own(&layout, MASTER).await, IsOwn::Yes);
    }

    #[test]
    fn the_first_name_with_a_dot_counts_else_the_host_name() {
        assert_eq!(
            choose("node1", "192.0.2.1  node1 node1.example.com n1.example.com\n"),
            "node1.example.com"
        );
        assert_eq!(choose("node1", "192.0.2.1  other.example.com node1\n"), "other.example.com");
        assert_eq!(choose("node1", "192.0.2.1  node1\n"), "node1");
        assert_eq!(choose("node1", ""), "node1");
    }

    #[tokio::test]
    async fn a_real_node_is_called_as_the_kernel_says() {
        // Nothing is resolved when the kernel's name is the one in question.
        let layout = Layout::new(None, None).unwrap();
        let name = nix::unistd::gethostname().unwrap().into_string().unwrap();
        assert_eq!(is_own(&layout, &normalize(&name)).await, IsOwn::Yes);
    }
}
