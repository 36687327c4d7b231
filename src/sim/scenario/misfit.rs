//! Names in a scenario file, and what does not fit there.

use std::collections::BTreeMap;

use toml::Spanned;

use crate::sim::model::Node;
use crate::sim::names::Name;

/// A problem at an offset in the file.
pub(super) struct Misfit {
    pub(super) at: usize,
    pub(super) key: Option<&'static str>,
    pub(super) problem: String,
}

impl Misfit {
    pub(super) fn at<T>(value: &Spanned<T>, key: &'static str, problem: String) -> Self {
        Self { at: value.span().start, key: Some(key), problem }
    }
}

/// A name with the cluster's domain, unless it has one already.
pub(super) fn full_name(name: &str, domain: &str) -> String {
    if name.contains('.') || domain.is_empty() { name.to_owned() } else { format!("{name}.{domain}") }
}

/// The full name of a node that must exist.
pub(super) fn known_node(
    nodes: &BTreeMap<Name, Node>,
    name: &Spanned<String>,
    key: &'static str,
    domain: &str,
) -> Result<String, Misfit> {
    let full = full_name(name.get_ref(), domain);
    if nodes.contains_key(&Name::from(full.as_str())) {
        Ok(full)
    } else {
        Err(Misfit::at(name, key, format!("there is no node '{full}'")))
    }
}
