//! What is kept of a password for SCRAM-SHA-256, and how a proof is held against it (RFC 5802, section 3).
//!
//! ```text
//!   SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey
//!
//!   SaltedPassword = PBKDF2-HMAC-SHA-256(password, salt, iterations)
//!   ClientKey = HMAC(SaltedPassword, "Client Key")        StoredKey = SHA-256(ClientKey)
//!   ServerKey = HMAC(SaltedPassword, "Server Key")
//!
//!   client proves:   ClientKey XOR HMAC(StoredKey, AuthMessage)
//!   server proves:   HMAC(ServerKey, AuthMessage)
//! ```
//!
//! The form is that of RFC 5803, as PostgreSQL writes it too. Whoever reads the file cannot log in with what it
//! says, but can try passwords against it, and can play the server.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::entries::Flaw;

const KEY: usize = digest::SHA256_OUTPUT_LEN;

/// A key or a proof.
pub type Key = [u8; KEY];

/// What is kept of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: NonZeroU32,
    salt: Box<[u8]>,
    stored_key: Key,
    server_key: Key,
}

/// It is the client that works through them, and devices are slow: RFC 7677 asks for 4,096 at least.
const NEW_ITERATIONS: NonZeroU32 = NonZeroU32::new(10_000).unwrap();
const NEW_SALT: usize = 16;

/// More would keep a client busy for minutes.
const ITERATIONS_MAXIMUM: u32 = 10_000_000;
const SALT: std::ops::RangeInclusive<usize> = 1..=64;

/// A verifier cannot be made of this password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotMake {
    /// The password has characters that SASLprep forbids, or nothing else.
    Password,
    /// The system gives no randomness.
    Randomness,
}

impl fmt::Display for CannotMake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password => {
                "the password is empty or has characters that SCRAM does not take (RFC 4013)"
            }
            Self::Randomness => "the system gives no randomness",
        })
    }
}

impl std::error::Error for CannotMake {}

impl Verifier {
    /// Iterations of new ones, and bytes of their salts.
    pub const NEW: (NonZeroU32, usize) = (NEW_ITERATIONS, NEW_SALT);

    /// Reads what a file has behind the name.
    ///
    /// # Errors
    ///
    /// It is not of this form.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        parse(text).ok_or(Flaw::Secret(
            "SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY with 1 to 10,000,000 iterations, a salt \
             of 1 to 64 bytes and keys of 32, all in Base64",
        ))
    }

    /// Makes one of a new password.
    ///
    /// # Errors
    ///
    /// The password does not pass SASLprep, or there is no randomness.
    pub fn new(password: &str) -> Result<Self, CannotMake> {
        let mut salt = [0; NEW_SALT];
        rand::fill(&mut salt).map_err(|_| CannotMake::Randomness)?;
        Self::of(password, &salt, NEW_ITERATIONS)
    }

    pub(super) fn of(
        password: &str,
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> Result<Self, CannotMake> {
        let prepared = prepare(password).ok_or(CannotMake::Password)?;
        let mut salted = [0; KEY];
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(
            algorithm,
            iterations,
            salt,
            prepared.as_bytes(),
            &mut salted,
        );
        Ok(Self {
            iterations,
            salt: salt.into(),
            stored_key: sha256(&mac(&salted, b"Client Key")),
            server_key: mac(&salted, b"Server Key"),
        })
    }

    /// One that looks like any other and is of no password.
    pub fn of_nobody(iterations: NonZeroU32, salt: &[u8]) -> Self {
        Self {
            iterations,
            salt: salt.into(),
            stored_key: [0; KEY],
            server_key: [0; KEY],
        }
    }

    /// How often a password is hashed.
    pub fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    /// What a password is hashed with.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Whether this proves that the client knows the password.
    pub fn is_proved(&self, auth_message: &[u8], proof: &Key) -> bool {
        let mut client_key = mac(&self.stored_key, auth_message);
        for (byte, proof) in client_key.iter_mut().zip(proof) {
            *byte ^= proof;
        }
        let stored_key = sha256(&client_key);
        constant_time::verify_slices_are_equal(&stored_key, &self.stored_key).is_ok()
    }

    /// What proves to the client that the server knows it, too.
    pub fn signature(&self, auth_message: &[u8]) -> Key {
        mac(&self.server_key, auth_message)
    }
}

/// The line of a file has it, and nothing else should.
impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SCRAM-SHA-256${}:{}${}:{}",
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(self.stored_key),
            STANDARD.encode(self.server_key)
        )
    }
}

/// This may end up in a log.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

/// A name or a password in the form in which it is compared (SASLprep, RFC 4013), if it has one.
pub fn prepare(text: &str) -> Option<std::borrow::Cow<'_, str>> {
    stringprep::saslprep(text).ok().filter(|it| !it.is_empty())
}

/// The MAC of a message.
pub fn mac(key: &[u8], message: &[u8]) -> Key {
    let mut out = [0; KEY];
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    out.copy_from_slice(tag.as_ref());
    out
}

fn sha256(message: &[u8]) -> Key {
    let mut out = [0; KEY];
    out.copy_from_slice(digest::digest(&digest::SHA256, message).as_ref());
    out
}

fn parse(text: &str) -> Option<Verifier> {
    let (cost, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
    let (iterations, salt) = cost.split_once(':')?;
    let (stored_key, server_key) = keys.split_once(':')?;
    if !iterations.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let iterations: NonZeroU32 = iterations.parse().ok()?;
    let salt = STANDARD.decode(salt).ok()?;
    let key = |text| Key::try_from(STANDARD.decode(text).ok()?).ok();
    let bounded = iterations.get() <= ITERATIONS_MAXIMUM && SALT.contains(&salt.len());
    Some(Verifier {
        iterations,
        salt: salt.into(),
        stored_key: key(stored_key)?,
        server_key: key(server_key)?,
    })
    .filter(|_| bounded)
}

#[cfg(test)]
mod tests;
