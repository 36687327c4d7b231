//! The instances of a model, and which of them changed: with thousands of them, only those are re-examined.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::ops::Deref;
use std::time::Duration;

use super::Instance;
use crate::sim::names::Name;

/// The instances by name. Every change goes through a method that records it.
#[derive(Debug, Clone, Default)]
pub struct Instances {
    all: BTreeMap<Name, Instance>,
    /// Those that may have changed since the last look.
    touched: BTreeSet<Name>,
    all_touched: bool,
    /// When the first resynchronisation of each instance's mirrors ends, in both directions.
    resync_of: BTreeMap<Name, Duration>,
    resyncs: BTreeSet<(Duration, Name)>,
}

impl Deref for Instances {
    type Target = BTreeMap<Name, Instance>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl Instances {
    /// Adds an instance; returns the one that had its name before.
    pub fn insert(&mut self, name: Name, instance: Instance) -> Option<Instance> {
        self.touched.insert(name.clone());
        self.all.insert(name, instance)
    }

    /// Removes an instance.
    pub fn remove(&mut self, name: &Name) -> Option<Instance> {
        self.touched.insert(name.clone());
        self.all.remove(name)
    }

    /// An instance, for changes.
    pub fn get_mut(&mut self, name: &Name) -> Option<&mut Instance> {
        let instance = self.all.get_mut(name)?;
        self.touched.insert(name.clone());
        Some(instance)
    }

    /// All instances, for changes.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Instance> {
        self.all_touched = true;
        self.all.values_mut()
    }

    /// When the first resynchronisation ends, since the box started.
    #[must_use]
    pub fn next_resync(&self) -> Option<Duration> {
        self.resyncs.first().map(|(at, _)| *at)
    }

    /// Looks at every instance that may have changed, or whose resynchronisation ends by `now`; at all of
    /// them if `all` is set.
    pub(super) fn settle(&mut self, now: Duration, all: bool, mut settle: impl FnMut(&mut Instance)) {
        let mut names = mem::take(&mut self.touched);
        if mem::take(&mut self.all_touched) || all {
            names.extend(self.all.keys().cloned());
        }
        names.extend(self.resyncs.iter().take_while(|(at, _)| *at <= now).map(|(_, name)| name.clone()));
        for name in names {
            if let Some(was) = self.resync_of.remove(&name) {
                self.resyncs.remove(&(was, name.clone()));
            }
            let Some(instance) = self.all.get_mut(&name) else { continue };
            settle(instance);
            let mirrors = instance.disks.iter().filter_map(|disk| disk.mirror.as_ref());
            if let Some(until) = mirrors.filter_map(|mirror| mirror.resync_until).min() {
                self.resync_of.insert(name.clone(), until);
                self.resyncs.insert((until, name));
            }
        }
    }
}
