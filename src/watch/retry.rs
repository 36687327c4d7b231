//! `ganeti-watcher retry`: gives instances all their tries back, so that nobody has to delete state files.

use std::collections::BTreeSet;

use anyhow::{Context as _, Error, Result, anyhow, bail};

use crate::armed::Armed;
use crate::cluster;
use crate::layout::Layout;
use crate::memory::state_file::StateFile;
use crate::node::own_name::{self, IsOwn};
use crate::node::ssconf::{self, Untold};
use crate::options::Retry;

/// No host name is longer, in bytes.
const LONGEST_NAME: usize = 255;

/// Whose budgets are reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Those of every instance that has something on record.
    All,
    /// Those of these instances, by full name or its first parts, as Ganeti's own commands accept them.
    Of(Vec<String>),
}

impl From<Retry> for Whose {
    fn from(Retry { instances, all }: Retry) -> Self {
        if all { Self::All } else { Self::Of(instances) }
    }
}

/// Resets budgets, and returns a line per instance about what was on record, and one about what is unknown
/// here: whether the next run starts them. `stamp` is as for
/// [`StateFile::open`](crate::memory::state_file::StateFile::open).
///
/// # Errors
/// When this is not the master or that is unknown, when a run is working on a group, when a file cannot be
/// written, and when there is no instance of a given name; in that case nothing is changed.
pub async fn retry(armed: &Armed, layout: &Layout, whose: &Whose, stamp: &str) -> Result<Vec<String>> {
    let master = ssconf::master_node(layout).map_err(|untold| match untold {
        Untold::Missing(_) => anyhow!("this is not a node of a cluster: {untold}"),
        untold => anyhow!("cannot tell whether this node is the master: {untold}"),
    })?;
    match own_name::is_own(layout, &master).await {
        IsOwn::Yes => {}
        IsOwn::No => bail!("the tries are recorded on the master, '{master}': run this there"),
        IsOwn::Unknown(nameless) => return Err(nameless.into()),
    }
    let mut open = Vec::new();
    for group in ssconf::node_groups(layout)? {
        let path = layout.group_state(&group);
        let has_state = path.try_exists();
        if has_state.with_context(|| format!("cannot look for the state file '{}'", path.display()))? {
            let file = StateFile::open(armed, &path, stamp);
            open.push(file.map_err(|error| {
                Error::from(error).context(
                    "a run is under way, or the state cannot be used; try again when the run has ended",
                )
            })?);
        }
    }
    let on_record: BTreeSet<String> =
        open.iter().flat_map(|(_, state)| state.instances_with_budget()).collect();
    let names = match whose {
        Whose::All => on_record.clone(),
        Whose::Of(names) => {
            let listed = ssconf::instance_list(layout).map(BTreeSet::from_iter);
            names.iter().map(|name| full_name(name, &listed, &on_record)).collect::<Result<_>>()?
        }
    };
    for (file, state) in &mut open {
        for name in &names {
            state.reset_budget(name);
        }
        file.save_change(state)?;
    }
    // luxid is not asked, so whatever else keeps an instance down is unknown here.
    let line = |name: &String| match on_record.contains(name) {
        true => format!(
            "{name}: its record of tries and failures is dropped: it has all its tries again, and no earlier \
             failure makes it wait"
        ),
        false => format!("{name}: no tries or failures were on record, and nothing was changed"),
    };
    if names.is_empty() {
        return Ok(vec!["No instance has anything on record.".to_owned()]);
    }
    let outlook = "What the next run does depends on what it finds: 'ganeti-watcher --dry-run' shows it now.";
    Ok(names.iter().map(line).chain([outlook.to_owned()]).collect())
}

/// The instance that is meant: by its exact name, otherwise by name or first parts in any case.
///
/// Source: `utils/text.py: MatchNameComponent`, as `config: ExpandInstanceName` calls it.
///
/// # Errors
/// When no instance or more than one matches. Without Ganeti's list it is unknown whether there is such an
/// instance.
fn full_name(
    given: &str,
    listed: &Result<BTreeSet<String>, Untold>,
    on_record: &BTreeSet<String>,
) -> Result<String> {
    let names: BTreeSet<&String> = listed.iter().flatten().chain(on_record).collect();
    if names.contains(&given.to_owned()) {
        return Ok(given.to_owned());
    }
    let wanted = given.to_lowercase();
    let (mut same, mut begin) = (Vec::new(), Vec::new());
    for name in &names {
        match name.to_lowercase().strip_prefix(&wanted) {
            Some("") => same.push(name.as_str()),
            Some(rest) if rest.starts_with('.') => begin.push(name.as_str()),
            _ => {}
        }
    }
    let quoted = cluster::quoted(given, LONGEST_NAME);
    match (same.as_slice(), begin.as_slice(), listed) {
        // The first parts of a name may also match others that only the list has.
        ([name], ..) | ([], [name], Ok(_)) => Ok((*name).to_owned()),
        ([], [], Ok(_)) => {
            bail!("there is no instance {quoted}, and nothing was changed{}", suggestion(&wanted, &names))
        }
        ([], [] | [_], Err(error)) => bail!(
            "no instance on record is called {quoted}, it is unknown whether there is one ({error}), and \
             nothing was changed{}",
            suggestion(&wanted, &names)
        ),
        _ => {
            let all: Vec<&str> = same.iter().chain(&begin).copied().collect();
            bail!("{quoted} may be {}: give the full name; nothing was changed", one_of(&all))
        }
    }
}

/// `; did you mean …?` with the nearest names, or nothing if there are none. `wanted` is in lower case.
fn suggestion(wanted: &str, names: &BTreeSet<&String>) -> String {
    let parts = wanted.matches('.').count() + 1;
    let mut near: Vec<(usize, &str)> = Vec::new();
    for name in names.iter().filter(|_| wanted.len() <= LONGEST_NAME) {
        let lower = name.to_lowercase();
        let first: Vec<&str> = lower.split('.').take(parts).collect();
        let first = first.join(".");
        let distance = strsim::osa_distance(wanted, &first);
        if distance <= first.len() / 3 || (lower.starts_with(wanted) && !wanted.is_empty()) {
            near.push((distance, name));
        }
    }
    near.sort_unstable();
    let near: Vec<&str> = near.into_iter().map(|(_, name)| name).collect();
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", one_of(&near)) }
}

/// Some of the names as alternatives, and the number of the others.
fn one_of(names: &[&str]) -> String {
    let (shown, others) = names.split_at(names.len().min(3));
    let mut choice: Vec<String> = shown.iter().map(|name| cluster::quoted(name, LONGEST_NAME)).collect();
    match others.len() {
        0 => {}
        1 => choice.push("one more".to_owned()),
        number => choice.push(format!("one of {number} others")),
    }
    let last = choice.pop().unwrap_or_default();
    if choice.is_empty() { last } else { format!("{} or {last}", choice.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn find(given: &str, listed: &[&str], on_record: &[&str]) -> Result<String, String> {
        full_name(given, &Ok(set(listed)), &set(on_record)).map_err(|error| error.to_string())
    }

    const LISTED: [&str; 4] = ["db.example.com", "db1.example.com", "webmail.example.com", "Old"];

    #[test]
    fn retry_webmail_is_found_whatever_its_case_and_by_its_first_parts() {
        for (given, name) in [
            ("WebMail", "webmail.example.com"),
            ("webmail.EXAMPLE.com", "webmail.example.com"),
            ("WEBMAIL.example", "webmail.example.com"),
            ("db", "db.example.com"),
            ("DB", "db.example.com"),
            ("old", "Old"),
            ("gone", "gone.example.com"),
        ] {
            assert_eq!(find(given, &LISTED, &["gone.example.com"]), Ok(name.to_owned()), "{given}");
        }
    }

    #[test]
    fn the_very_name_comes_before_others_that_it_may_stand_for() {
        let listed = ["db", "DB", "db.example.com", "db.example.org"];
        assert_eq!(find("db", &listed, &[]), Ok("db".into()));
        assert_eq!(find("DB", &listed, &[]), Ok("DB".into()));
        assert_eq!(find("Db.Example.Org", &listed, &[]), Ok("db.example.org".into()));
        let problem = "'Db' may be 'DB', 'db', 'db.example.com' or one more: give the full name; \
                       nothing was changed";
        assert_eq!(find("Db", &listed, &[]), Err(problem.into()));
        assert_eq!(find("Db", &["db", "db.example.com"], &[]), Ok("db".into()), "the whole name");
    }

    #[test]
    fn a_part_of_a_component_is_no_name_but_gets_the_nearest_ones() {
        for (given, rest) in [
            ("webm", "; did you mean 'webmail.example.com'?"),
            ("wbemail", "; did you mean 'webmail.example.com'?"),
            ("webmail.exmaple.com", "; did you mean 'webmail.example.com'?"),
            ("d", "; did you mean 'db.example.com' or 'db1.example.com'?"),
            ("db2", "; did you mean 'db1.example.com'?"),
            ("db.", "; did you mean 'db.example.com'?"),
            ("printer", ""),
            ("", ""),
        ] {
            let problem = format!("there is no instance '{given}', and nothing was changed{rest}");
            assert_eq!(find(given, &LISTED, &[]), Err(problem));
        }
        let long = find(&"x\n".repeat(100_000), &LISTED, &[]).unwrap_err();
        assert!(long.len() < 1000 && !long.contains('\n'), "{long}");
    }

    #[test]
    fn without_ganeti_s_list_nobody_says_that_there_is_no_such_instance() {
        let unreadable = Err(Untold::Missing("/FILE".into()));
        let on_record = set(&["db.example.com"]);
        assert_eq!(full_name("DB.example.com", &unreadable, &on_record).unwrap(), "db.example.com");
        for given in ["web", "db"] {
            assert_eq!(
                full_name(given, &unreadable, &on_record)
                    .unwrap_err()
                    .to_string()
                    .split("; did")
                    .next()
                    .unwrap(),
                format!(
                    "no instance on record is called '{given}', it is unknown whether there is one \
                     (cannot read '/FILE': there is no such file), and nothing was changed"
                )
            );
        }
    }
}
