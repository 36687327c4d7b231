//! Ganeti errors as the box produces them.

use serde_json::{Value, json};

/// A Ganeti exception: its class and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Name of the class in `errors.py`.
    pub class: String,
    /// Its arguments.
    pub arguments: Vec<Value>,
}

impl Failure {
    /// An error with one argument, its text.
    #[must_use]
    pub fn new(class: &str, message: &str) -> Self {
        Self { class: class.to_owned(), arguments: vec![json!(message)] }
    }

    /// An `OpPrereqError`, whose second argument is a code such as `wrong_state`.
    #[must_use]
    pub fn prerequisite(message: &str, code: &str) -> Self {
        Self { class: "OpPrereqError".to_owned(), arguments: vec![json!(message), json!(code)] }
    }

    /// An `OpExecError`.
    #[must_use]
    pub fn execution(message: &str) -> Self {
        Self::new("OpExecError", message)
    }

    /// The encoded form: `["Class", [argument, …]]`.
    #[must_use]
    pub fn encode(&self) -> Value {
        json!([self.class, self.arguments])
    }
}
