//! Carries out plans: one job for each action, in parallel within limits, with a second look before each.
//! Makes no choice that a plan could have made.

mod carry_out;
mod following;
mod loads;
mod runner;
mod slots;
mod submissions;
mod view;
mod witness;

pub use runner::{Runner, Seams};
pub use slots::{Share, Slots};
pub use view::View;
pub use witness::{Stopped, Witness};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
