//! The man page says what the program does: options, messages, tags, files. Both ways, so that neither goes
//! its own way.
//!
//! The page is read as far as it is needed here, see `page.rs`. How it looks is `mandoc -Tlint`'s business.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod facts;
mod messages;
mod options;
mod page;
mod source;
mod template;
#[path = "../support/topics.rs"]
mod topics;
