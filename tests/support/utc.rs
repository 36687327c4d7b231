//! Log lines have local times, and expectations must be the same everywhere.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

const ZONE: &str = "TZ";
const UTC: &str = "UTC0";

/// Makes UTC the local time of this process: begins it anew if it has another time zone, because none can be
/// changed from within.
///
/// # Errors
/// When it cannot begin anew.
pub(crate) fn in_utc() -> io::Result<()> {
    if std::env::var_os(ZONE).is_some_and(|zone| zone == UTC) {
        return Ok(());
    }
    Err(Command::new(std::env::current_exe()?).args(std::env::args_os().skip(1)).env(ZONE, UTC).exec())
}
