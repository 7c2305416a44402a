//! What a password file keeps of a password, and how a password is held against it.
//!
//! | in the file | made by | how |
//! |---|---|---|
//! | `$argon2id$v=19$m=…,t=…,p=…$salt$digest` | `postbud passwd` | Argon2id, a PHC string |
//! | `$7$iterations$salt$digest` | mosquitto since 2.0 | PBKDF2 with HMAC-SHA-512 |
//! | `$6$salt$digest` | mosquitto before | SHA-512 of password and salt |
//!
//! Salt and digest are Base64, without padding in PHC strings. What a check may cost is bounded here, so
//! that a line with a nought too many cannot keep the broker busy for a day.

use std::fmt;
use std::num::NonZeroU32;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::{constant_time, digest, pbkdf2, rand};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::super::entries::Flaw;

/// What is kept of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash {
    cost: Cost,
    salt: Box<[u8]>,
    digest: Box<[u8]>,
}

/// The kind of a hash, which is also what a check costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cost {
    /// One SHA-512.
    Sha512,
    /// So many of PBKDF2's.
    Pbkdf2(NonZeroU32),
    /// Argon2id.
    Argon2 {
        /// KiB of memory.
        memory: u32,
        /// Passes over it.
        passes: u32,
        /// Lanes, which are computed one after the other here.
        lanes: u32,
    },
}

impl Cost {
    /// What is made of new passwords: the least that OWASP recommends of Argon2id, some tens of milliseconds.
    pub const NEW: Self = Self::Argon2 {
        memory: 19 * 1024,
        passes: 2,
        lanes: 1,
    };
}

/// About three seconds of a present machine.
const ITERATIONS_MAXIMUM: u32 = 5_000_000;
/// KiB of memory for one check.
const MEMORY_MAXIMUM: u32 = 256 * 1024;
/// KiB that one check goes over in all its passes: about three seconds.
const WORK_MAXIMUM: u64 = 4 << 20;
const LANES_MAXIMUM: u32 = 64;

/// Bytes of a salt.
const SALT: std::ops::RangeInclusive<usize> = 8..=64;
/// Bytes of a digest of Argon2id.
const DIGEST: std::ops::RangeInclusive<usize> = 16..=64;

const NEW_SALT: usize = 16;
const NEW_DIGEST: usize = 32;

/// A password cannot be hashed: the system gives no randomness, or no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CannotHash;

impl fmt::Display for CannotHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system gives no randomness or no memory to hash a password")
    }
}

impl std::error::Error for CannotHash {}

impl Hash {
    /// Reads what a password file has behind the name.
    ///
    /// # Errors
    ///
    /// It is none of the three, or costs too much.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let mut parts = text.split('$');
        let nothing = parts.next() == Some("");
        match parts.next() {
            Some("argon2id") if nothing => argon2(parts),
            Some("7") if nothing => {
                let iterations = number(parts.next(), ITERATIONS_MAXIMUM);
                let iterations = iterations.and_then(NonZeroU32::new);
                let flaw = Flaw::Secret("$7$ITERATIONS$SALT$HASH with 1 to 5,000,000 iterations");
                salted(Cost::Pbkdf2(iterations.ok_or(flaw)?), parts)
            }
            Some("6") if nothing => salted(Cost::Sha512, parts),
            _ => Err(Flaw::Secret(
                "a hash that begins with $argon2id$, $7$ or $6$",
            )),
        }
    }

    /// Hashes a new password.
    ///
    /// # Errors
    ///
    /// The system has no randomness or no memory to give.
    pub fn new(password: &[u8]) -> Result<Self, CannotHash> {
        Self::with(password, Cost::NEW)
    }

    /// As [`Self::new`], in a kind of one's choice.
    pub(super) fn with(password: &[u8], cost: Cost) -> Result<Self, CannotHash> {
        let mut hash = Self::of_nobody(cost)?;
        hash.digest = hash.digest_of(password).ok_or(CannotHash)?;
        Ok(hash)
    }

    /// A hash of no password that anybody knows, a check of which costs this.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn of_nobody(cost: Cost) -> Result<Self, CannotHash> {
        let (mut salt, length) = match cost {
            Cost::Argon2 { .. } => (vec![0; NEW_SALT], NEW_DIGEST),
            Cost::Sha512 | Cost::Pbkdf2(_) => (vec![0; MOSQUITTO_SALT], MOSQUITTO_DIGEST),
        };
        let mut digest = vec![0; length];
        rand::fill(&mut salt)
            .and_then(|()| rand::fill(&mut digest))
            .map_err(|_| CannotHash)?;
        Ok(Self {
            cost,
            salt: salt.into(),
            digest: digest.into(),
        })
    }

    /// What a check of it costs.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Whether it was made of this password. Takes its time, which does not depend on the answer.
    pub fn is_of(&self, password: &[u8]) -> bool {
        let digest = self.digest_of(password);
        // Without memory for the check nobody can be told from anybody.
        digest.is_some_and(|it| constant_time::verify_slices_are_equal(&it, &self.digest).is_ok())
    }

    /// What the digest would be if this was the password; nothing if there is no memory.
    fn digest_of(&self, password: &[u8]) -> Option<Box<[u8]>> {
        let mut out = vec![0; self.digest.len()];
        match self.cost {
            Cost::Sha512 => {
                let mut context = digest::Context::new(&digest::SHA512);
                context.update(password);
                context.update(&self.salt);
                return Some(context.finish().as_ref().into());
            }
            Cost::Pbkdf2(iterations) => {
                let algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
                pbkdf2::derive(algorithm, iterations, &self.salt, password, &mut out);
            }
            Cost::Argon2 {
                memory,
                passes,
                lanes,
            } => {
                let params = Params::new(memory, passes, lanes, Some(out.len())).ok()?;
                let blocks = params.block_count();
                let mut memory: Vec<Block> = Vec::new();
                // The allocator's answer, not its end of the process.
                memory.try_reserve_exact(blocks).ok()?;
                memory.resize(blocks, Block::default());
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                argon2
                    .hash_password_into_with_memory(password, &self.salt, &mut out, &mut memory)
                    .ok()?;
            }
        }
        Some(out.into())
    }
}

/// The line of a password file has it, and nothing else should.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let padded = |bytes: &[u8]| STANDARD.encode(bytes);
        match self.cost {
            Cost::Sha512 => write!(f, "$6${}${}", padded(&self.salt), padded(&self.digest)),
            Cost::Pbkdf2(iterations) => {
                let (salt, digest) = (padded(&self.salt), padded(&self.digest));
                write!(f, "$7${iterations}${salt}${digest}")
            }
            Cost::Argon2 {
                memory,
                passes,
                lanes,
            } => {
                let (salt, digest) = (
                    STANDARD_NO_PAD.encode(&self.salt),
                    STANDARD_NO_PAD.encode(&self.digest),
                );
                write!(
                    f,
                    "$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${digest}"
                )
            }
        }
    }
}

/// This may end up in a log.
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hash")
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}

/// Bytes of the salts that mosquitto makes; longer ones are taken too.
const MOSQUITTO_SALT: usize = 12;
/// Bytes of a SHA-512, which is what mosquitto keeps whole.
const MOSQUITTO_DIGEST: usize = 64;

/// What mosquitto writes: the salt and the digest, padded.
fn salted<'a>(cost: Cost, mut parts: impl Iterator<Item = &'a str>) -> Result<Hash, Flaw> {
    let mut next = || STANDARD.decode(parts.next()?).ok();
    let pair = next().zip(next());
    let pair = pair.filter(|(salt, digest)| {
        (1..=*SALT.end()).contains(&salt.len()) && digest.len() == MOSQUITTO_DIGEST
    });
    match (pair, parts.next()) {
        (Some((salt, digest)), None) => Ok(Hash {
            cost,
            salt: salt.into(),
            digest: digest.into(),
        }),
        _ => Err(Flaw::Secret(
            "a salt of 1 to 64 bytes and a hash of 64, both in Base64, behind $6$ or $7$ITERATIONS$",
        )),
    }
}

fn argon2<'a>(mut parts: impl Iterator<Item = &'a str>) -> Result<Hash, Flaw> {
    if parts.next() != Some("v=19") {
        return Err(Flaw::Secret("version 19 of Argon2id: $argon2id$v=19$"));
    }
    let cost = argon2_cost(parts.next().unwrap_or_default());
    let cost = cost.ok_or(Flaw::Secret(
        "m=…,t=…,p=… with m from 8 times p to 262144, m times t up to 4194304 and p up to 64",
    ))?;
    let mut next = || STANDARD_NO_PAD.decode(parts.next()?).ok();
    let pair = next().zip(next());
    let pair =
        pair.filter(|(salt, digest)| SALT.contains(&salt.len()) && DIGEST.contains(&digest.len()));
    match (pair, parts.next()) {
        (Some((salt, digest)), None) => Ok(Hash {
            cost,
            salt: salt.into(),
            digest: digest.into(),
        }),
        _ => Err(Flaw::Secret(
            "a salt of 8 to 64 bytes and a hash of 16 to 64, both in Base64 without padding",
        )),
    }
}

/// `m=…,t=…,p=…`, in that order as PHC strings have it.
fn argon2_cost(text: &str) -> Option<Cost> {
    let mut parts = text.split(',');
    let mut next = |name: &str, most| number(parts.next()?.strip_prefix(name), most);
    let memory = next("m=", MEMORY_MAXIMUM)?;
    let passes = next("t=", u32::MAX)?;
    let lanes = next("p=", LANES_MAXIMUM)?;
    let bounded = passes > 0
        && lanes > 0
        && memory >= 8 * lanes
        && u64::from(memory) * u64::from(passes) <= WORK_MAXIMUM;
    (bounded && parts.next().is_none()).then_some(Cost::Argon2 {
        memory,
        passes,
        lanes,
    })
}

/// A number in plain digits, at most `most`.
fn number(text: Option<&str>, most: u32) -> Option<u32> {
    let text = text.filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok().filter(|number| *number <= most)
}

#[cfg(test)]
mod tests;
