//! A panic is a fault of this program: it is reported, and the run has failed.

use std::panic::{self, AssertUnwindSafe, PanicHookInfo};

use tracing::error;

use super::OneLine;
use super::sink::{Trouble, to_stderr};

/// Does the work, and returns `None` if it panicked. From then on every panic of the process is a line on
/// stderr and in the log, if open, and is noted as trouble, whoever catches it.
pub fn contain<T>(trouble: &Trouble, work: impl FnOnce() -> T) -> Option<T> {
    let trouble = trouble.clone();
    panic::set_hook(Box::new(move |info| {
        trouble.note();
        let what = told(info);
        to_stderr(&format!("ganeti-watcher: internal error, please report it: {}\n", OneLine(&what)));
        error!("internal error, please report it: {what}");
    }));
    panic::catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Where it was, and what.
fn told(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = info.location().map_or_else(|| "unknown place".to_owned(), ToString::to_string);
    format!("{place}: {}", text.unwrap_or("no reason given"))
}
