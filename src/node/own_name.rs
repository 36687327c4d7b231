//! What this node is called, to be compared with the name of the master node.
//!
//! Source: `netutils.py: Hostname.GetSysName`, which is Python's `socket.getfqdn()`, in lower case.

use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;
use tracing::debug;

use crate::layout::Layout;

/// Name servers may be down: they may be instances of this very cluster.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether `node_name` is this node.
///
/// The kernel's host name is compared first. When that is the name, nothing needs to be resolved, and a master whose
/// name servers are down with everything else still knows that it is the master.
pub async fn is_own(layout: &Layout, node_name: &str) -> bool {
    let host_name = match layout.virtual_host() {
        Some(name) => return normalize(name) == node_name,
        None => kernel_host_name(),
    };
    host_name == node_name || normalize(&fully_qualified(&host_name).await) == node_name
}

/// What this node is called in the cluster: the kernel's host name when ssconf has a node of that name, and what it
/// resolves to otherwise.
pub async fn find(layout: &Layout) -> String {
    let host_name = match layout.virtual_host() {
        Some(name) => return normalize(name),
        None => kernel_host_name(),
    };
    let nodes = super::ssconf::read(layout, "node_list").unwrap_or_default();
    if nodes.lines().any(|node| node == host_name) {
        return host_name;
    }
    normalize(&fully_qualified(&host_name).await)
}

fn kernel_host_name() -> String {
    nix::unistd::gethostname().map(|name| normalize(&name.to_string_lossy())).unwrap_or_default()
}

/// Lower case, without the dot that ends an absolute name (`Hostname.GetNormalizedName`).
fn normalize(name: &str) -> String {
    let name = name.to_lowercase();
    name.strip_suffix('.').unwrap_or(&name).to_owned()
}

/// The first name with a dot among those of the host's first address, as Python's `getfqdn` finds it; else the name
/// itself. Asked of `getent`, because only that goes through the node's own name service switch with all aliases,
/// however this program is linked.
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

    #[test]
    fn any_answer_of_getents_gives_a_name() {
        crate::fuzz_tests::fuzz_text(
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
        assert!(is_own(&layout, "node1.x").await);
        assert!(!is_own(&layout, "node2.x").await);
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
        // Nothing is resolved when the kernel's name is the one that is asked for.
        let layout = Layout::new(None, None).unwrap();
        let name = nix::unistd::gethostname().unwrap().into_string().unwrap();
        assert!(is_own(&layout, &normalize(&name)).await);
    }
}
