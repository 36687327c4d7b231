//! `ganeti-watcher retry`: gives instances all their tries back, so that nobody has to delete state files.

use std::collections::BTreeSet;

use anyhow::{Context as _, Error, Result, anyhow, bail};

use crate::armed::Armed;
use crate::cluster::LONGEST_NAME;
use crate::layout::Layout;
use crate::memory::state_file::StateFile;
use crate::node::own_name::{self, IsOwn};
use crate::node::ssconf::{self, Untold};
use crate::options::Retry;
use crate::tell::retry::{self as tell, GivenBack, NoMatch};

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

/// Resets budgets, and returns whose. `stamp` is as for
/// [`StateFile::open`](crate::memory::state_file::StateFile::open).
///
/// # Errors
/// When this is not the master or that is unknown, when a run is working on a group, when a file cannot be
/// written, and when there is no instance of a given name; in that case nothing is changed.
pub async fn retry(armed: &Armed, layout: &Layout, whose: &Whose, stamp: &str) -> Result<Vec<GivenBack>> {
    let master = ssconf::master_node(layout).map_err(|untold| match untold {
        Untold::Missing(_) => anyhow!(tell::no_node(&untold)),
        untold => anyhow!(tell::master_is_unknown(&untold)),
    })?;
    match own_name::is_own(layout, &master).await {
        IsOwn::Yes => {}
        IsOwn::No => bail!(tell::master_is(&master)),
        IsOwn::Unknown(nameless) => return Err(nameless.into()),
    }
    let mut open = Vec::new();
    for group in ssconf::node_groups(layout)? {
        let path = layout.group_state(&group);
        let has_state = path.try_exists();
        if has_state.with_context(|| format!("cannot look for the state file '{}'", path.display()))? {
            let file = StateFile::open(armed, &path, stamp);
            open.push(file.map_err(|error| Error::from(error).context(tell::state_is_in_use()))?);
        }
    }
    let on_record: BTreeSet<String> =
        open.iter().flat_map(|(_, state)| state.instances_with_budget()).collect();
    let names = match whose {
        Whose::All => on_record.clone(),
        Whose::Of(names) => {
            let listed = ssconf::instance_list(layout).map(BTreeSet::from_iter);
            let full_name = |name: &String| full_name(name, &listed, &on_record);
            let names: Result<_, NoMatch> = names.iter().map(full_name).collect();
            names.map_err(|no_match| anyhow!(tell::no_match(&no_match)))?
        }
    };
    for (file, state) in &mut open {
        for name in &names {
            state.reset_budget(name);
        }
        file.save_change(state)?;
    }
    let given_back = |instance: String| {
        let was_on_record = on_record.contains(&instance);
        GivenBack { instance, was_on_record }
    };
    Ok(names.into_iter().map(given_back).collect())
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
) -> Result<String, NoMatch> {
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
    let given = given.to_owned();
    match (same.as_slice(), begin.as_slice(), listed) {
        // The first parts of a name may also match others that only the list has.
        ([name], ..) | ([], [name], Ok(_)) => Ok((*name).to_owned()),
        ([], [], Ok(_)) => Err(NoMatch::None { given, near: near(&wanted, &names) }),
        ([], [] | [_], Err(error)) => {
            Err(NoMatch::NoneOnRecord { given, near: near(&wanted, &names), why: error.to_string() })
        }
        _ => {
            let names = same.iter().chain(&begin).map(|name| (*name).to_owned()).collect();
            Err(NoMatch::Several { given, names })
        }
    }
}

/// The names that are near, the nearest first. `wanted` is in lower case.
fn near(wanted: &str, names: &BTreeSet<&String>) -> Vec<String> {
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
    near.into_iter().map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn find(given: &str, listed: &[&str], on_record: &[&str]) -> Result<String, String> {
        full_name(given, &Ok(set(listed)), &set(on_record)).map_err(|problem| tell::no_match(&problem))
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
            let problem = tell::no_match(&full_name(given, &unreadable, &on_record).unwrap_err());
            assert_eq!(
                problem.split("; did").next().unwrap(),
                format!(
                    "no instance on record is called '{given}', it is unknown whether there is one \
                     (cannot read '/FILE': there is no such file), and nothing was changed"
                )
            );
        }
    }
}
