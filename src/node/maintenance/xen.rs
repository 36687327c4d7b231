//! Instances under Xen, paravirtual or not: the same list for both.
//!
//! Source: `hypervisor/hv_xen.py: ListInstances, _ParseInstanceList, _StopInstance`.

use std::fs;
use std::io;

use anyhow::{Context, Result, bail};
use tracing::warn;

use super::tools::{COMMAND_LIMIT, LONGEST_LIST, remove_file};
use crate::armed::Armed;
use crate::layout::Layout;
use crate::node::process::Program;
use crate::node::ssconf;

const DOMAIN_0: &str = "Domain-0";
/// How many characters of a nonsensical line are logged.
const LONGEST_LINE: usize = 120;

/// The names of the domains that are not down, without the node's own.
///
/// # Errors
/// When the toolstack cannot be asked, or answers with something other than a list.
pub(super) async fn list(layout: &Layout) -> Result<Vec<String>> {
    let program = toolstack(layout)?.args(["list"]).keeps(LONGEST_LIST);
    let text = program.run_quietly().await?.answer(&program)?;
    // This heading is there even without guests.
    if text.split_whitespace().next() != Some("Name") {
        bail!("'{program}' did not print a list");
    }
    Ok(running(&text))
}

/// Destroys a domain and removes what belongs to it.
///
/// # Errors
/// When it is still there afterwards, or a file cannot be removed.
pub(super) async fn stop(armed: &Armed, layout: &Layout, name: &str) -> Result<()> {
    let program = toolstack(layout)?.args(["destroy", name]);
    let destroyed = program.run().await?;
    if !destroyed.succeeded() && list(layout).await?.iter().any(|running| running == name) {
        bail!("'{program}' failed ({}), output: {}", destroyed.ending, destroyed.output());
    }
    if name.contains('/') {
        return Ok(());
    }
    remove_file(armed, &layout.xen_config(name))?;
    let nics = layout.run_dir("xen-hypervisor/nic").join(name);
    match fs::remove_dir_all(&nics) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove '{}'", nics.display()))
        }
        _ => Ok(()),
    }
}

/// `xl`, unless an old version's cluster says that it is still `xm`.
///
/// # Errors
/// When the cluster's parameters exist but cannot be read.
fn toolstack(layout: &Layout) -> Result<Program> {
    let mut is_xm = false;
    for hypervisor in ["xen-pvm", "xen-hvm"] {
        let key = format!("hvparams_{hypervisor}");
        let parameters = match ssconf::read(layout, &key) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            parameters => parameters.with_context(|| format!("cannot read ssconf's {key}"))?,
        };
        // A value may itself contain a '=', at which the original gives up.
        is_xm |= parameters.lines().any(|line| line.split_once('=') == Some(("xen_cmd", "xm")));
    }
    Ok(Program::new(layout.program(if is_xm { "xm" } else { "xl" }), COMMAND_LIMIT))
}

/// Reads the list: a heading, and lines `NAME ID MEMORY VCPUS STATE TIME`.
fn running(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut odd = Vec::new();
    for line in text.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            [DOMAIN_0, ..] => {}
            [name, _, _, _, state, _] if state.len() == 6 => {
                if !is_down(state) {
                    names.push((*name).to_owned());
                }
            }
            _ => odd.push(line),
        }
    }
    if let Some(first) = odd.first() {
        let first: String = first.chars().take(LONGEST_LINE).collect();
        let more = if odd.len() > 1 { format!(" (and {} more)", odd.len() - 1) } else { String::new() };
        warn!("Can't parse instance list, ignoring its line: '{}'{more}", first.trim());
    }
    names
}

/// Crashed, or shut down by its user and only kept to show that. Every other domain still uses its disks,
/// including one being destroyed, and one in an unknown state.
fn is_down(state: &str) -> bool {
    let state = state.replace('p', "-");
    state.contains('c') || state == "---s--" || state == "---s-d"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Machine;

    #[test]
    fn any_list_gives_names_of_it() {
        crate::testing::fuzz::fuzz_text(&[LIST], |text| {
            assert!(running(text).iter().all(|name| text.contains(name.as_str()) && name != DOMAIN_0));
        });
    }

    const LIST: &str = "\
Name                                        ID   Mem VCPUs\tState\tTime(s)
Domain-0                                     0  1024     2     r-----     266.2
i1.example.com                               1   512     1     -b----       1.0
i2                                           2   512     1     ---s--       1.0
i3                                           3   512     1     ----c-       1.0
i4                                           4   512     1     -----d       1.0
i5                                           5   512     1     --p---       1.0
i6                                           6   512     1     ---ss-       1.0
i7                                           7   512     1     --ps--       1.0
an odd line
i8                                           8   512     1     r-----      10.5
";

    #[test]
    fn every_domain_that_is_not_down_is_running() {
        assert_eq!(running(LIST), ["i1.example.com", "i4", "i5", "i6", "i8"]);
        assert_eq!(running(""), [""; 0]);
    }

    #[tokio::test]
    async fn a_domain_is_destroyed_and_its_files_go() {
        let machine = Machine::new();
        machine.program("xl", &format!("[ $1 = list ] && cat <<END\n{LIST}\nEND\nexit 0"));
        machine.write(machine.layout.xen_config("i1"), "");
        machine.write(machine.layout.xen_config("i2"), "");
        machine.write(machine.layout.run_dir("xen-hypervisor/nic/i1/0"), "");
        assert_eq!(list(&machine.layout).await.unwrap().len(), 5);
        stop(&Armed::for_test(), &machine.layout, "i1").await.unwrap();
        assert_eq!(machine.calls(), ["xl list", "xl destroy i1"]);
        assert!(!machine.layout.xen_config("i1").exists());
        assert!(!machine.layout.run_dir("xen-hypervisor/nic/i1").exists());
        assert!(machine.layout.xen_config("i2").exists());
    }

    #[tokio::test]
    async fn a_domain_that_will_not_go_is_an_error_and_one_that_is_gone_is_none() {
        let machine = Machine::new();
        machine.program("xl", &format!("[ $1 = list ] || exit 1\ncat <<END\n{LIST}\nEND"));
        let error = stop(&Armed::for_test(), &machine.layout, "i8").await.unwrap_err().to_string();
        assert!(error.contains("destroy i8' failed (exit: 1)"), "{error}");
        stop(&Armed::for_test(), &machine.layout, "i9").await.unwrap();
    }

    #[tokio::test]
    async fn an_old_cluster_s_xm_is_used_also_with_strange_parameters() {
        let machine = Machine::new();
        machine.ssconf("hvparams_xen-pvm", "kernel_args=console=hvc0 x=y\nodd\nxen_cmd=xm\n");
        machine.program("xm", "echo Name ID Mem VCPUs State 'Time(s)'");
        assert_eq!(list(&machine.layout).await.unwrap(), [""; 0]);
        assert_eq!(machine.calls(), ["xm list"]);
    }
}
