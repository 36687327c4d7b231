//! Instances under the fake hypervisor, which are files.
//!
//! Source: `hypervisor/hv_fake.py: ListInstances, StopInstance`.

use anyhow::Result;

use super::tools::{names_in, remove_file};
use crate::armed::Armed;
use crate::layout::Layout;

/// The names of the running instances.
///
/// # Errors
/// When their directory cannot be read.
pub(super) fn list(layout: &Layout) -> Result<Vec<String>> {
    names_in(&layout.run_dir("fake-hypervisor"))
}

/// Stops an instance.
///
/// # Errors
/// When its file cannot be removed.
pub(super) fn stop(armed: &Armed, layout: &Layout, name: &str) -> Result<()> {
    remove_file(armed, &layout.run_dir("fake-hypervisor").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Machine;

    #[test]
    fn instances_are_files() {
        let machine = Machine::new();
        assert_eq!(list(&machine.layout).unwrap(), [""; 0]);
        machine.write(machine.layout.run_dir("fake-hypervisor/i1"), "");
        machine.write(machine.layout.run_dir("fake-hypervisor/i2"), "");
        assert_eq!(list(&machine.layout).unwrap(), ["i1", "i2"]);
        stop(&Armed::for_test(), &machine.layout, "i1").unwrap();
        assert_eq!(list(&machine.layout).unwrap(), ["i2"]);
    }
}
