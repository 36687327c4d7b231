//! How luxid misbehaves towards its clients.

use std::time::Duration;

/// A misbehaviour, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Only with calls of this method.
    pub method: Option<String>,
    /// Only with queries of this kind of object.
    pub what: Option<String>,
    /// This many calls succeed first.
    pub after: u32,
    /// This many times; `None` for always.
    pub times: Option<u32>,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// The answer takes this much longer.
    Slow(Duration),
    /// There is no answer, and the connection stays open.
    Silent,
    /// The connection is closed before the call is read.
    CloseBefore,
    /// The call is carried out, and the connection closed instead of the answer.
    CloseAfter,
    /// The connection is closed in the middle of the answer.
    CloseWithin,
    /// The answer is this text.
    Answer(String),
    /// In the rows of `QueryJobs` the first field of this job, or of every job, is this JSON text.
    Status(Option<u64>, String),
    /// The call fails with an exception of that class and text.
    Error(String, String),
}

/// The faults that are still to come.
#[derive(Debug, Clone, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds a fault.
    pub fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// What goes wrong with this call, which if a query is for `what`.
    pub fn strike(&mut self, method: &str, what: Option<&str>) -> Option<FaultKind> {
        let fits = |fault: &&mut Fault| {
            fault.method.as_deref().is_none_or(|wanted| wanted == method)
                && fault.what.as_deref().is_none_or(|wanted| Some(wanted) == what)
                && fault.times != Some(0)
        };
        let fault = self.0.iter_mut().find(fits)?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        if let Some(times) = &mut fault.times {
            *times -= 1;
        }
        Some(fault.kind.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_the_right_calls_as_often_as_told() {
        let mut faults = Faults::default();
        faults.add(Fault {
            kind: FaultKind::Silent,
            method: Some("Query".into()),
            what: Some("node".into()),
            after: 1,
            times: Some(2),
        });
        let mut strikes = |what| faults.strike("Query", Some(what)).is_some();
        assert!(!strikes("instance") && !strikes("node"));
        assert!(strikes("node") && strikes("node") && !strikes("node"));
        assert_eq!(faults.strike("SubmitJob", None), None);
    }
}
