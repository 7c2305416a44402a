//! Where an operator asks.

use std::path::PathBuf;

/// Where an operator asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The socket's file; without one nothing is asked.
    pub socket: Option<PathBuf>,
}
