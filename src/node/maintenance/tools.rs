//! What hypervisors have in common: the limits of their commands, and the files that show guests.

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, Result};

use crate::armed::Armed;

/// How long a hypervisor or DRBD command may take.
pub(super) const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// How long a list of guests may be, in bytes: enough for thousands of them.
pub(super) const LONGEST_LIST: usize = 1 << 20;

/// The names in a directory, sorted, with U+FFFD for what is not UTF-8; empty when there is no such
/// directory.
pub(super) fn names_in(directory: &Path) -> Result<Vec<String>> {
    let read = || -> io::Result<Vec<String>> {
        let names: io::Result<Vec<_>> = match fs::read_dir(directory) {
            Ok(entries) => entries.map(|entry| Ok(entry?.file_name())).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let mut names: Vec<String> = names?.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    };
    read().with_context(|| format!("cannot read '{}'", directory.display()))
}

pub(super) fn remove_file(_armed: &Armed, path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove '{}'", path.display()))
        }
        _ => Ok(()),
    }
}
