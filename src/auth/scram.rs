//! SCRAM-SHA-256 (RFC 5802 and 7677) as a method of enhanced authentication: a client proves that it knows its
//! password without sending it, and the broker that it knows the user.
//!
//! It has a file of its own, for the hashes of a password file cannot serve it. There is no channel binding: MQTT
//! has no way to offer it. Nobody learns from an exchange which names are known: an unknown one gets a salt like
//! all others and fails at the end, as with a wrong password. (A restart changes the salts of unknown names,
//! and not of the known ones. Whoever can wait for one can tell them apart.)

mod exchange;
mod message;
mod users;
mod verifier;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::codec::ReasonCode;

use super::entries::{self, Flaw};
use super::gate::Method;
use super::{Exchange, Request, Step};

use exchange::ServerSide;
use users::Users;
pub use users::check_name;
pub use verifier::{CannotMake, Verifier};

/// What clients call it.
const NAME: &str = "SCRAM-SHA-256";

/// The method, with the users of a file.
pub struct Scram(Arc<Users>);

/// Nobody can authenticate with SCRAM.
#[derive(Debug)]
pub enum Error {
    /// The file cannot be used.
    File(entries::Error),
    /// The system has no randomness to give.
    Randomness,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Randomness => f.write_str("the system gives no randomness"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => error.source(),
            Self::Randomness => None,
        }
    }
}

impl Scram {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// It cannot be used.
    pub fn open(file: &Path) -> Result<Self, Error> {
        let users = entries::load(file, entry).map_err(Error::File)?;
        let users = Users::new(users).ok_or(Error::Randomness)?;
        Ok(Self(Arc::new(users)))
    }
}

impl Method for Scram {
    fn name(&self) -> &str {
        NAME
    }

    fn begin(&self, request: &Request<'_>) -> Box<dyn Exchange> {
        match ServerSide::new(Arc::clone(&self.0), request.user_name) {
            Some(exchange) => Box::new(exchange),
            None => Box::new(Hopeless),
        }
    }
}

/// What a line of a file says, behind the name.
///
/// # Errors
///
/// The name or the verifier is none.
pub fn entry(name: &str, text: &str) -> Result<Arc<Verifier>, Flaw> {
    check_name(name)?;
    Verifier::parse(text).map(Arc::new)
}

/// An exchange for which there is no randomness.
struct Hopeless;

impl Exchange for Hopeless {
    fn step(&mut self, _: Option<&[u8]>) -> Step {
        Step::Refuse(ReasonCode::UnspecifiedError)
    }
}
