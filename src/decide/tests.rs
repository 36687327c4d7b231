//! What must hold for all parts of the decision.

mod extreme;
mod unknown;
