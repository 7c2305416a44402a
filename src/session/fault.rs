//! What a client did wrong.

use std::fmt;

use crate::codec::{DecodeError, ReasonCode};

/// An error of the peer that ends its Network Connection. [MQTT5-4.13.1-1] [MQTT311-4.8.0-1]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The code that goes into DISCONNECT, or into CONNACK before the session is open.
    pub code: ReasonCode,
    /// What was wrong, for the log and the reason string.
    pub what: &'static str,
}

impl Fault {
    /// A fault with this code.
    pub const fn new(code: ReasonCode, what: &'static str) -> Self {
        Self { code, what }
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Self::new(error.code, error.what)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

impl std::error::Error for Fault {}
