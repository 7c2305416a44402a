//! The outer form of a token: a signed JWT in compact serialization (RFC 7515, section 3.1).
//!
//! ```text
//!   eyJhbGciOi…  .  eyJzdWIiOi…  .  mVz1pW3…       each part in base64url without padding
//!   header          claims          signature
//!   └────── what is signed ──────┘
//! ```
//!
//! Nothing in it is to be believed before the signature is checked, its header least of all: that names an
//! algorithm and a key, which is a wish. Which keys there are and what they are for decides.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::wrong::Wrong;

/// The parts of a token.
pub struct Compact<'a> {
    /// The name of the algorithm that it wants to be checked with.
    pub algorithm: String,
    /// The id of the key that it wants to be checked with.
    pub key: Option<String>,
    /// What is signed.
    pub signed: &'a [u8],
    /// The signature.
    pub signature: Vec<u8>,
    claims: &'a str,
}

impl<'a> Compact<'a> {
    /// Takes a token apart. `None` if it does not look like one: three parts, of which the first is a header.
    ///
    /// # Errors
    ///
    /// It looks like one, and is none.
    pub fn read(text: &'a str) -> Result<Option<Self>, Wrong> {
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Ok(None);
        };
        let Some(header) = object(header) else {
            return Ok(None);
        };
        // Extensions that must be understood: none is. [RFC 7515, section 4.1.11]
        if header.contains_key("crit") {
            return Err(Wrong::Malformed);
        }
        let text_of = |name| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Wrong::Malformed),
        };
        Ok(Some(Self {
            algorithm: text_of("alg")?.ok_or(Wrong::Malformed)?,
            key: text_of("kid")?,
            signed: &text.as_bytes()[..text.len() - signature.len() - 1],
            signature: URL_SAFE_NO_PAD
                .decode(signature)
                .map_err(|_| Wrong::Malformed)?,
            claims,
        }))
    }

    /// What it claims; to be asked for when its signature is right.
    ///
    /// # Errors
    ///
    /// It is no object.
    pub fn claims(&self) -> Result<Map<String, Value>, Wrong> {
        object(self.claims).ok_or(Wrong::Malformed)
    }
}

/// Whether a text could be a token, however long it is.
pub fn looks_like_one(text: &[u8]) -> bool {
    // Every header begins with `{"`, or with `{` and white space.
    text.starts_with(b"e") && text.iter().filter(|byte| **byte == b'.').count() == 2
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests;
