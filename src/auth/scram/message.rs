//! The messages of a client (RFC 5802, section 7), taken apart.
//!
//! ```text
//!   client-first:  n,,n=user,r=nonce          [gs2-header][n=…,r=…: the bare message]
//!   client-final:  c=biws,r=nonces,p=proof    [c=…,r=…: without proof],p=…
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::verifier::Key;

/// Longest message that is looked at: far more than names and nonces need.
const LONGEST: usize = 4096;

/// The first message of a client.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientFirst<'a> {
    /// What it says about channel binding, and as whom it wants to act.
    pub gs2_header: &'a str,
    /// All behind that.
    pub bare: &'a str,
    /// Who it is.
    pub user: String,
    /// Who it wants to be taken for, if it says so.
    pub authorization: Option<String>,
    /// Its part of the nonce.
    pub nonce: &'a str,
}

/// The last message of a client.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientFinal<'a> {
    /// All but the proof.
    pub without_proof: &'a str,
    /// The gs2-header again.
    pub binding: Vec<u8>,
    /// Both parts of the nonce.
    pub nonce: &'a str,
    /// That it knows the password.
    pub proof: Key,
}

impl<'a> ClientFirst<'a> {
    /// Takes it apart, unless it is wrong or asks for channel binding, which is not offered.
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let text = text(data)?;
        let mut parts = text.splitn(3, ',');
        // A client that could bind and sees that the server does not offer it says `y`.
        if !matches!(parts.next()?, "n" | "y") {
            return None;
        }
        let authorization = match parts.next()? {
            "" => None,
            name => Some(decode(name.strip_prefix("a=")?)?),
        };
        let bare = parts.next()?;
        let mut attributes = bare.split(',');
        let user = decode(attributes.next()?.strip_prefix("n=")?)?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let sound = is_nonce(nonce) && attributes.all(is_extension);
        sound.then(|| Self {
            gs2_header: &text[..text.len() - bare.len()],
            bare,
            user,
            authorization,
            nonce,
        })
    }
}

impl<'a> ClientFinal<'a> {
    /// Takes it apart, unless it is wrong.
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let text = text(data)?;
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next()?.strip_prefix("c=")?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let sound = is_nonce(nonce) && attributes.all(is_extension);
        let proof = Key::try_from(STANDARD.decode(proof).ok()?).ok()?;
        let binding = STANDARD.decode(binding).ok()?;
        sound.then_some(Self {
            without_proof,
            binding,
            nonce,
            proof,
        })
    }
}

fn text(data: &[u8]) -> Option<&str> {
    let data = Some(data).filter(|data| data.len() <= LONGEST)?;
    let text = std::str::from_utf8(data).ok()?;
    Some(text).filter(|text| !text.contains('\0'))
}

/// A name as it is: a comma came as `=2C`, an equals sign as `=3D`, and neither as itself.
fn decode(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut decoded = parts.next()?.to_owned();
    for part in parts {
        let (sign, rest) = match part.strip_prefix("2C") {
            Some(rest) => (',', rest),
            None => ('=', part.strip_prefix("3D")?),
        };
        decoded.push(sign);
        decoded.push_str(rest);
    }
    Some(decoded).filter(|name| !name.is_empty())
}

/// What can be printed of ASCII; commas are gone already.
fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// An extension that may be ignored: of all letters only `m` may not.
fn is_extension(attribute: &str) -> bool {
    let bytes = attribute.as_bytes();
    matches!(bytes, [name, b'=', _, ..] if name.is_ascii_alphabetic() && *name != b'm')
}

#[cfg(test)]
mod tests;
