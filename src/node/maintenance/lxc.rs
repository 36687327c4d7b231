//! Instances in Linux containers.
//!
//! Source: `hypervisor/hv_lxc.py: _ListAliveInstances, StopInstance`.

use anyhow::Result;

use super::tools::{COMMAND_LIMIT, LONGEST_LIST};
use crate::armed::Armed;
use crate::layout::Layout;
use crate::node::process::Program;

/// The names of the running containers.
///
/// # Errors
/// When `lxc-ls` fails, or its list is too long to be complete.
pub(super) async fn list(layout: &Layout) -> Result<Vec<String>> {
    let program =
        Program::new(layout.program("lxc-ls"), COMMAND_LIMIT).args(["--running"]).keeps(LONGEST_LIST);
    let text = program.run_quietly().await?.answer(&program)?;
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

/// Kills a container.
///
/// # Errors
/// When `lxc-stop` fails.
pub(super) async fn stop(_armed: &Armed, layout: &Layout, name: &str) -> Result<()> {
    let program = Program::new(layout.program("lxc-stop"), COMMAND_LIMIT).args(["-n", name, "--kill"]);
    program.run().await?.stdout_of_success(&program).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Machine;

    #[tokio::test]
    async fn containers_are_listed_and_killed() {
        let machine = Machine::new();
        machine.program("lxc-ls", "echo 'i1   i2'; echo i3");
        machine.program("lxc-stop", "[ $2 = i1 ]");
        assert_eq!(list(&machine.layout).await.unwrap(), ["i1", "i2", "i3"]);
        stop(&Armed::for_test(), &machine.layout, "i1").await.unwrap();
        assert!(stop(&Armed::for_test(), &machine.layout, "i2").await.is_err());
        let calls = ["lxc-ls --running", "lxc-stop -n i1 --kill", "lxc-stop -n i2 --kill"];
        assert_eq!(machine.calls(), calls);
    }
}
