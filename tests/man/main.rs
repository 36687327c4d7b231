//! The man page says what the program does: options, messages, reasons, tags, files. Checked both ways,
//! so that neither drifts from the other.
//!
//! The page is parsed as far as needed here, see `page.rs`. Its appearance is up to `mandoc -Tlint`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod facts;
mod messages;
mod options;
mod page;
mod reasons;
mod source;
mod template;
#[path = "../support/topics.rs"]
mod topics;
