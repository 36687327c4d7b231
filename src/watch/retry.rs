//! `ganeti-watcher retry`: gives instances all their tries back, without anybody deleting state files.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow, bail};

use crate::armed::Armed;
use crate::layout::Layout;
use crate::memory::state_file::StateFile;
use crate::node::own_name::{self, IsOwn};
use crate::node::ssconf::{self, Untold};

/// Whose budgets are reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Every instance's that has something on record.
    All,
    /// These instances', by full name or by its first part.
    Of(Vec<String>),
}

/// Resets budgets, and gives a line for each instance about what became of it. `stamp` is as for
/// [`StateFile::open`](crate::memory::state_file::StateFile::open).
///
/// # Errors
/// When this is not the master or nobody can tell, when a run is at work on a group, when a file cannot be written, and when there is no
/// instance of a given name; in that case nothing is changed.
pub async fn retry(armed: &Armed, layout: &Layout, whose: &Whose, stamp: &str) -> Result<Vec<String>> {
    let master = ssconf::master_node(layout).map_err(|untold| match untold {
        Untold::Missing(_) => anyhow!("this is no node of a cluster: {untold}"),
        untold => anyhow!("cannot tell whether this node is the master: {untold}"),
    })?;
    match own_name::is_own(layout, &master).await {
        IsOwn::Yes => {}
        IsOwn::No => bail!("the tries are on record on the master, which is '{master}': run it there"),
        IsOwn::Unknown(nameless) => return Err(nameless.into()),
    }
    let mut open = Vec::new();
    for group in ssconf::node_groups(layout)? {
        let path = layout.group_state(&group);
        if path.exists() {
            let file = StateFile::open(armed, &path, stamp);
            open.push(file.map_err(|error| {
                error.context("a run is at work, or the state cannot be used; try again when it has ended")
            })?);
        }
    }
    let on_record: BTreeSet<String> =
        open.iter().flat_map(|(_, state)| state.instances_with_budget()).collect();
    let names = match whose {
        Whose::All => on_record.clone(),
        Whose::Of(names) => {
            let known = ssconf::instance_list(layout);
            names.iter().map(|name| full_name(name, &known, &on_record)).collect::<Result<_>>()?
        }
    };
    for (file, state) in &mut open {
        for name in &names {
            state.reset_budget(name);
        }
        file.save_change(state)?;
    }
    let line = |name: &String| match on_record.contains(name) {
        true => format!("{name}: has all its tries again, and does not wait; the next run acts on it"),
        false => format!("{name}: nothing is on record, so nothing keeps the next run from acting on it"),
    };
    Ok(match names.is_empty() {
        true => vec!["No instance has anything on record.".to_owned()],
        false => names.iter().map(line).collect(),
    })
}

/// The full name of an instance that is known or on record. Where Ganeti's list cannot be had, a name in full on record
/// will do; about any other nobody can tell whether it is one, or the only one.
fn full_name(
    given: &str,
    known: &Result<Vec<String>, Untold>,
    on_record: &BTreeSet<String>,
) -> Result<String> {
    let known = match known {
        Ok(known) => known,
        Err(_) if on_record.contains(given) => return Ok(given.to_owned()),
        Err(untold) => {
            bail!("cannot tell whether there is an instance '{given}': {untold}; nothing was changed")
        }
    };
    let all = || known.iter().chain(on_record);
    if let Some(name) = all().find(|name| *name == given) {
        return Ok(name.clone());
    }
    let first_part = format!("{given}.");
    let found: BTreeSet<&String> = all().filter(|name| name.starts_with(&first_part)).collect();
    match found.into_iter().collect::<Vec<_>>().as_slice() {
        [name] => Ok((*name).clone()),
        [] => bail!("there is no instance '{given}'; nothing was changed"),
        _ => bail!("'{given}' may be several instances: give the full name; nothing was changed"),
    }
}
