//! What tests of several rooms share.

pub(crate) mod fuzz;
mod machine;

use crate::layout::Layout;
pub(crate) use machine::{GROUP, Machine};
