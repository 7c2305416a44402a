//! Why a run of the bench could not be finished: one sentence for the reader of the table.

use std::fmt;
use std::io;

/// A sentence that says what went wrong, with the broker or file named in it.
#[derive(Debug, Clone)]
pub struct Failure(pub String);

impl Failure {
    /// A failure described by `what`.
    pub fn new(what: impl Into<String>) -> Failure {
        Failure(what.into())
    }

    /// The same failure, told in the context of what was being done: `"context: what"`.
    pub fn while_doing(self, context: impl fmt::Display) -> Failure {
        Failure(format!("{context}: {}", self.0))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure(error.to_string())
    }
}
