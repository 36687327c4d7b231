//! DRBD's minors: which ones are in use, and how to shut one down.
//!
//! Source: `storage/drbd_info.py`, `storage/drbd_cmdgen.py: GenDownCmd`, `storage/drbd.py: GetUsedDevs,
//! ShutdownAll`.

use std::io;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use super::tools::COMMAND_LIMIT;
use crate::armed::Armed;
use crate::files::read_text;
use crate::layout::Layout;
use crate::node::proc;
use crate::node::process::Program;

const LONGEST_FILE: u64 = 16 << 20;
/// A device may still be held by an instance that has just ended.
pub(super) const TRY_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// What `/proc/drbd` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcDrbd {
    /// Major and minor version of the kernel module.
    pub version: (u32, u32),
    /// The minors in use.
    pub used: Vec<u32>,
}

/// How to make a version of DRBD shut a minor down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// Up to 8.3: by device.
    ByDevice,
    /// 8.4: by resource, which Ganeti names after the minor.
    ByResource,
}

impl ProcDrbd {
    /// Reads the text of `/proc/drbd`.
    ///
    /// # Errors
    /// When its first line is not a DRBD version.
    pub fn parse(text: &str) -> Result<Self, String> {
        let first = text.lines().next().unwrap_or_default();
        let version = version(first).ok_or_else(|| format!("no version in '{}'", first.trim()))?;
        Ok(Self { version, used: text.lines().filter_map(used_minor).collect() })
    }

    /// How to shut down a minor; `None` for versions that Ganeti does not work with.
    #[must_use]
    pub fn syntax(&self) -> Option<Syntax> {
        match self.version {
            (8, 0..=3) => Some(Syntax::ByDevice),
            (8, _) => Some(Syntax::ByResource),
            _ => None,
        }
    }
}

/// `version: A.B.C…`.
fn version(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.trim().strip_prefix("version: ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The minor of a line `N: cs:STATE …`, unless it is not in use. Other lines continue the one before.
fn used_minor(line: &str) -> Option<u32> {
    let (minor, rest) = line.trim_start_matches(' ').split_once(": cs:")?;
    let state = rest.split(' ').next()?.trim_end();
    minor.parse().ok().filter(|_| state != "Unconfigured")
}

impl Syntax {
    /// The arguments of drbdsetup.
    #[must_use]
    pub fn down(self, minor: u32) -> [String; 2] {
        match self {
            Self::ByDevice => [format!("/dev/drbd{minor}"), "down".to_owned()],
            Self::ByResource => ["down".to_owned(), format!("resource{minor}")],
        }
    }
}

/// Shuts down every minor in use, with a second try `again_after` the first; without permission only reports
/// which. What goes wrong is logged.
pub(super) async fn shut_down(armed: Option<&Armed>, layout: &Layout, again_after: Duration) {
    let seen = match look(layout) {
        Ok(Some(seen)) => seen,
        Ok(None) => return debug!("DRBD is not loaded, so no minor is active"),
        Err(problem) => return error!("Cannot find the active DRBD minors: {problem:#}"),
    };
    let Some(syntax) = seen.syntax() else {
        let (major, minor) = seen.version;
        return warn!(
            "DRBD {major}.{minor} runs here, which Ganeti does not support: not shutting anything down. See 'drbdsetup status'"
        );
    };
    if seen.used.is_empty() {
        return;
    }
    let minors: Vec<String> = seen.used.iter().map(u32::to_string).collect();
    let minors = minors.join(", ");
    let Some(armed) = armed else {
        return info!("Would shut down DRBD minors that should not be active: {minors}");
    };
    info!("Following DRBD minors should not be active, shutting them down: {minors}");
    let left = down(armed, layout, syntax, seen.used).await;
    if left.is_empty() {
        return;
    }
    sleep(again_after).await;
    let left = down(armed, layout, syntax, left.into_iter().map(|(minor, _)| minor).collect()).await;
    for (minor, problem) in left {
        error!("Cannot shut down DRBD minor {minor}: {problem:#}");
    }
}

fn look(layout: &Layout) -> Result<Option<ProcDrbd>> {
    let path = layout.proc_drbd();
    match read_text(&path, LONGEST_FILE) {
        Ok(text) => ProcDrbd::parse(&text)
            .map(Some)
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("cannot understand '{}'", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(proc::is_there(layout).map(|()| None)?),
        Err(error) => Err(error).with_context(|| format!("cannot read '{}'", path.display())),
    }
}

/// Shuts minors down; returns those that could not be, and why.
async fn down(
    _armed: &Armed,
    layout: &Layout,
    syntax: Syntax,
    minors: Vec<u32>,
) -> Vec<(u32, anyhow::Error)> {
    let mut left = Vec::new();
    for minor in minors {
        let program = Program::new(layout.program("drbdsetup"), COMMAND_LIMIT).args(syntax.down(minor));
        let result = async { program.run().await?.stdout_of_success(&program) };
        if let Err(problem) = result.await {
            left.push((minor, problem));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::testing::logged;
    use crate::testing::Machine;

    const DRBD_8_4: &str = "\
version: 8.4.11 (api:1/proto:86-101)
srcversion: 9B4D8F2E8E8BE8C2F4D1D3B
 0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----
    ns:1048576 nr:0 dw:0 dr:1048576 al:0 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0
 1: cs:SyncSource ro:Secondary/Secondary ds:UpToDate/Inconsistent C r-----
    ns:1 nr:0 dw:0 dr:1 al:0 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:1
\t[=>..................] sync'ed: 10.0% (1/2)K
\tfinish: 0:00:05 speed: 1 (1) K/sec

 2: cs:Unconfigured
11: cs:StandAlone ro:Primary/Unknown ds:UpToDate/DUnknown   r-----
";

    #[test]
    fn minors_that_are_configured_are_in_use() {
        let seen = ProcDrbd::parse(DRBD_8_4).unwrap();
        assert_eq!(seen, ProcDrbd { version: (8, 4), used: vec![0, 1, 11] });
        let old = "version: 8.0.12 (api:86/proto:86)\n\n 5: cs:Unconfigured\n 7: cs:WFConnection st:Secondary/Unknown ds:UpToDate/DUnknown C r---\n";
        assert_eq!(ProcDrbd::parse(old), Ok(ProcDrbd { version: (8, 0), used: vec![7] }));
        assert!(ProcDrbd::parse("").is_err());
        assert!(ProcDrbd::parse("nonsense\n 0: cs:Connected").is_err());
    }

    #[test]
    fn each_version_has_its_syntax() {
        let syntax = |version| ProcDrbd { version, used: vec![] }.syntax();
        assert_eq!(syntax((8, 3)).unwrap().down(4), ["/dev/drbd4", "down"]);
        assert_eq!(syntax((8, 4)).unwrap().down(4), ["down", "resource4"]);
        assert_eq!(syntax((9, 1)), None);
        assert_eq!(syntax((7, 0)), None);
    }

    #[test]
    fn one_minor_that_stays_does_not_keep_the_others() {
        let machine = Machine::new();
        machine.write(machine.layout.proc_drbd(), DRBD_8_4);
        machine.program("drbdsetup", "[ $2 != resource1 ] || { echo held open >&2; exit 11; }");
        let armed = Armed::for_test();
        let log = logged(async { shut_down(Some(&armed), &machine.layout, Duration::ZERO).await });
        let calls = ["down resource0", "down resource1", "down resource11", "down resource1"];
        assert_eq!(machine.calls(), calls.map(|call| format!("drbdsetup {call}")));
        assert!(
            log.contains("INFO Following DRBD minors should not be active, shutting them down: 0, 1, 11")
        );
        assert!(log.contains("ERROR Cannot shut down DRBD minor 1: '"), "{log}");
        assert!(log.contains("held open"), "{log}");
    }

    #[test]
    fn without_drbd_with_version_9_and_in_a_dry_run_nothing_is_called() {
        let machine = Machine::new();
        let armed = Armed::for_test();
        let run = |armed| logged(async { shut_down(armed, &machine.layout, Duration::ZERO).await });
        let log = run(Some(&armed));
        assert!(
            log.starts_with("ERROR Cannot find the active DRBD minors: cannot read '"),
            "without /proc: {log}"
        );
        machine.proc();
        assert!(run(Some(&armed)).starts_with("DEBUG DRBD is not loaded"));
        machine.write(machine.layout.proc_drbd(), "version: 9.2.1 (api:2/proto:118-121)\n");
        assert!(run(Some(&armed)).starts_with("WARNING DRBD 9.2 runs here"));
        machine.write(machine.layout.proc_drbd(), DRBD_8_4);
        let told = "INFO Would shut down DRBD minors that should not be active: 0, 1, 11\n";
        assert_eq!(run(None), told);
        assert_eq!(machine.calls(), [""; 0]);
    }
}
