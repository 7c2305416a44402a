//! The password file: users and hashes of their passwords, in the formats of mosquitto and one of our own choice.
//!
//! ```text
//!   CONNECT ─> user known? ─ yes ─> its hash ──┐
//!                └───────── no ─> nobody's ────┤ the same cost
//!                                              ▼
//!                        line (bounded; full: 0x89) ─> a few threads ─> accepted, refused, or the next way
//! ```
//!
//! Hashing is slow on purpose, so it is not done by the threads that serve connections, and only so many wait for
//! it. What an unknown user is told comes after the same work as for a known one with a wrong password, so
//! that names cannot be found by the time it takes. That is true of files of one kind of hash; in one that mixes
//! kinds, an unknown user costs as much as most of the known do.

mod hash;
mod pool;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::codec::ReasonCode;

use super::entries;
use super::gate::{Answer, Opinion, Way};
use super::options::PasswordOptions;
use super::{Identity, Request};

pub use hash::{CannotHash, Cost, Hash};
use pool::Pool;

/// The users of a password file, and the threads that check their passwords.
pub struct Passwords {
    users: HashMap<Arc<str>, Arc<Hash>>,
    /// What the passwords of unknown users are held against; nothing if there are no users.
    nobody: Option<Arc<Hash>>,
    pool: Pool,
}

/// Passwords cannot be checked.
#[derive(Debug)]
pub enum Error {
    /// The file cannot be used.
    File(entries::Error),
    /// The system has no threads to give.
    Threads(io::Error),
    /// The system has no randomness to give.
    Randomness(CannotHash),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Threads(_) => f.write_str("cannot start threads that check passwords"),
            Self::Randomness(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => error.source(),
            Self::Threads(error) => Some(error),
            Self::Randomness(_) => None,
        }
    }
}

impl Passwords {
    /// Reads the file, and starts the threads.
    ///
    /// # Errors
    ///
    /// The file cannot be used, or the system gives no threads.
    pub fn open(file: &Path, options: &PasswordOptions) -> Result<Self, Error> {
        let users = entries::load(file, |_, text| Hash::parse(text).map(Arc::new));
        Self::of(users.map_err(Error::File)?, options)
    }

    fn of(users: HashMap<Arc<str>, Arc<Hash>>, options: &PasswordOptions) -> Result<Self, Error> {
        let cost = entries::usual(users.values().map(|hash| hash.cost()));
        let nobody = cost.map(Hash::of_nobody).transpose();
        let nobody = nobody.map_err(Error::Randomness)?.map(Arc::new);
        let pool =
            Pool::new(options.checks_at_once, options.checks_waiting).map_err(Error::Threads)?;
        Ok(Self {
            users,
            nobody,
            pool,
        })
    }

    /// What has to be done to know whether this is the user's password; nothing if there are no users.
    fn check(&self, user: &str, password: &[u8]) -> Option<Check> {
        let (user, hash) = match self.users.get_key_value(user) {
            Some((user, hash)) => (Some(user), hash),
            None => (None, self.nobody.as_ref()?),
        };
        Some(Check {
            user: user.cloned(),
            hash: Arc::clone(hash),
            password: password.into(),
        })
    }
}

impl Way for Passwords {
    fn opinion(&self, request: &Request<'_>, answer: &mut dyn FnMut() -> Answer) -> Opinion {
        let Some(user) = request.user_name else {
            return Opinion::Next;
        };
        let Some(password) = request.password else {
            return match self.users.contains_key(user) {
                true => WRONG,
                false => Opinion::Next,
            };
        };
        let Some(check) = self.check(user, password) else {
            return Opinion::Next;
        };
        let taken = self.pool.take_on(|| {
            let answer = answer();
            Box::new(move || answer(check.opinion()))
        });
        match taken {
            true => Opinion::Later,
            false => Opinion::Refuse(ReasonCode::ServerBusy),
        }
    }
}

const WRONG: Opinion = Opinion::Refuse(ReasonCode::BadUserNameOrPassword);

/// A password to be held against a hash.
struct Check {
    /// The user whose hash it is, unless it is nobody's.
    user: Option<Arc<str>>,
    hash: Arc<Hash>,
    password: Box<[u8]>,
}

impl Check {
    /// Does the work.
    fn opinion(self) -> Opinion {
        let right = self.hash.is_of(&self.password);
        match self.user {
            Some(user) if right => Opinion::Accept(Identity::of(user)),
            Some(_) => WRONG,
            None => Opinion::Next,
        }
    }
}

#[cfg(test)]
mod tests;
