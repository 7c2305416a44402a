//! The keys that tokens are checked with.
//!
//! A key is made ready for those of the allowed algorithms that it is of the kind for, and can be used for no
//! other. So a public key never serves as the secret of an HMAC, whatever a token says, and a key that
//! cannot be used at all is found when it is read.
//!
//! ```text
//!   secret         ──> HS256 HS384 HS512              at least 32 bytes
//!   RSA            ──> RS256 … PS512                  2,048 to 8,192 bits
//!   P-256, P-384   ──> ES256, ES384
//!   Ed25519        ──> EdDSA
//! ```
//!
//! Checking is done where the connection's packets are handled: it takes 21 µs for RSA with 2,048 bits, 37 µs for
//! Ed25519, 75 µs for P-256, 360 µs for P-384 and 1 µs for an HMAC (a test of this module measures it), which is
//! about what a TLS handshake takes or less, and not worth another thread's while.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::Value;

use super::options::Algorithm;
use super::wrong::Wrong;

/// Keys in a set at most; what is behind them is not looked at.
pub const SET_MAXIMUM: usize = 100;
/// Keys that a token without a key id is tried with at most.
const TRIED_MAXIMUM: usize = 4;
/// Bytes of a secret at least: as many as the shortest digest. A shorter one can be guessed by anybody who
/// has a token.
const SECRET_LEAST: usize = 32;
/// Bits of a modulus at least and at most.
const MODULUS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// What is wrong with a key, or a set of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// A secret that is too short.
    ShortSecret,
    /// No public key in PEM.
    NoPublicKey,
    /// Not of a kind that is known, or a modulus too small or too large.
    Kind,
    /// None of the algorithms that are allowed is for it.
    NoAlgorithm,
    /// No JSON with a list of keys.
    NoSet,
    /// No key in a set can be used.
    NothingUsable,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ShortSecret => "the secret is too short; expected at least 32 bytes",
            Self::NoPublicKey => "no public key in it; expected PEM, BEGIN PUBLIC KEY",
            Self::Kind => {
                "the key is of a kind that is not known; expected RSA with 2,048 to 8,192 bits, \
                 P-256, P-384 or Ed25519"
            }
            Self::NoAlgorithm => {
                "none of the algorithms that are allowed is for a key of this kind"
            }
            Self::NoSet => "no set of keys; expected JSON, {\"keys\": […]}",
            Self::NothingUsable => {
                "no key in the set is of a kind that is known and for an algorithm that is allowed"
            }
        })
    }
}

impl std::error::Error for Unusable {}

/// One key.
pub struct Key {
    id: Option<Box<str>>,
    /// It, ready for each algorithm.
    ready: Vec<(Algorithm, Verifier)>,
}

enum Verifier {
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

impl Verifier {
    fn holds(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            // In a time that does not depend on how much of it is right.
            Self::Secret(key) => hmac::verify(key, signed, signature).is_ok(),
            Self::Public(key) => key.verify_sig(signed, signature).is_ok(),
        }
    }
}

/// Some keys.
#[derive(Default)]
pub struct Keys(Vec<Key>);

impl Keys {
    /// Adds one.
    pub fn add(&mut self, key: Key) {
        self.0.push(key);
    }

    /// Adds others.
    pub fn extend(&mut self, keys: Keys) {
        self.0.extend(keys.0);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks a signature. A token that names a key is checked with that one, or with one that has no id.
    ///
    /// # Errors
    ///
    /// [`Wrong::UnknownKey`] if there is no key that it could be of, [`Wrong::Signature`] if it is of none.
    pub fn check(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), Wrong> {
        let named = |key: &&Key| match (&key.id, id) {
            (Some(own), Some(wanted)) => **own == *wanted,
            _ => true,
        };
        let ready = self.0.iter().filter(named).flat_map(|key| &key.ready);
        let ready = ready.filter(|(known, _)| *known == algorithm);
        let mut tried = 0;
        for (_, verifier) in ready.take(TRIED_MAXIMUM) {
            if verifier.holds(signed, signature) {
                return Ok(());
            }
            tried += 1;
        }
        match tried {
            0 => Err(Wrong::UnknownKey),
            _ => Err(Wrong::Signature),
        }
    }
}

impl Key {
    /// A secret that the issuer has too.
    ///
    /// # Errors
    ///
    /// It is too short, or nothing it could be used for is allowed.
    pub fn of_secret(secret: &[u8], allowed: &[Algorithm]) -> Result<Self, Unusable> {
        if secret.len() < SECRET_LEAST {
            return Err(Unusable::ShortSecret);
        }
        let verifier = |algorithm| {
            let digest = match algorithm {
                Algorithm::Hs256 => hmac::HMAC_SHA256,
                Algorithm::Hs384 => hmac::HMAC_SHA384,
                Algorithm::Hs512 => hmac::HMAC_SHA512,
                _ => return None,
            };
            Some(Verifier::Secret(Box::new(hmac::Key::new(digest, secret))))
        };
        Self::ready(allowed, verifier)
    }

    /// A public key in PEM.
    ///
    /// # Errors
    ///
    /// It is none, of a kind that is not known, or nothing it could be used for is allowed.
    pub fn of_pem(pem: &[u8], allowed: &[Algorithm]) -> Result<Self, Unusable> {
        let key =
            SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| Unusable::NoPublicKey)?;
        let bytes = key.as_ref();
        if let Ok(rsa) = PublicEncryptingKey::from_der(bytes) {
            if !MODULUS.contains(&rsa.key_size_bits()) {
                return Err(Unusable::Kind);
            }
            return Self::ready(allowed, |algorithm| {
                let key = ParsedPublicKey::new(rsa_parameters(algorithm)?, bytes);
                key.ok().map(Verifier::Public)
            });
        }
        let kinds = [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];
        let kinds = kinds
            .into_iter()
            .filter_map(|kind| Some((kind, elliptic(kind, bytes)?)));
        let (kind, _) = kinds.into_iter().next().ok_or(Unusable::Kind)?;
        Self::ready(allowed, |algorithm| {
            let wanted = (algorithm == kind).then(|| elliptic(kind, bytes));
            wanted.flatten().map(Verifier::Public)
        })
    }

    /// One key of a set.
    fn of_set(jwk: &Jwk, allowed: &[Algorithm], secrets: bool) -> Result<Self, Unusable> {
        let verifies = jwk
            .key_ops
            .as_ref()
            .is_none_or(|it| it.iter().any(|it| it == "verify"));
        if jwk.r#use.as_ref().is_some_and(|it| it != "sig") || !verifies {
            return Err(Unusable::NoAlgorithm);
        }
        let own: Vec<Algorithm> = match &jwk.alg {
            None => allowed.to_vec(),
            Some(name) => {
                let own = Algorithm::named(name).filter(|it| allowed.contains(it));
                vec![own.ok_or(Unusable::NoAlgorithm)?]
            }
        };
        let mut key = match (&*jwk.kty, jwk.crv.as_deref()) {
            ("oct", _) if secrets => Self::of_secret(&decoded(&jwk.k)?, &own)?,
            ("RSA", _) => Self::of_numbers(&decoded(&jwk.n)?, &decoded(&jwk.e)?, &own)?,
            ("EC", Some("P-256")) => Self::of_point(jwk, 32, Algorithm::Es256, &own)?,
            ("EC", Some("P-384")) => Self::of_point(jwk, 48, Algorithm::Es384, &own)?,
            ("OKP", Some("Ed25519")) => {
                let x = decoded(&jwk.x)?;
                Self::ready(&own, |algorithm| {
                    let wanted = (algorithm == Algorithm::EdDsa && x.len() == 32)
                        .then(|| elliptic(algorithm, &x));
                    wanted.flatten().map(Verifier::Public)
                })?
            }
            _ => return Err(Unusable::Kind),
        };
        key.id = jwk.kid.as_deref().map(Box::from);
        Ok(key)
    }

    fn of_numbers(n: &[u8], e: &[u8], allowed: &[Algorithm]) -> Result<Self, Unusable> {
        let [n, e] = [n, e].map(|number| {
            let zeros = number.iter().take_while(|byte| **byte == 0).count();
            &number[zeros..]
        });
        let rsa: Result<PublicEncryptingKey, _> = RsaPublicKeyComponents { n, e }.try_into();
        if !rsa.is_ok_and(|rsa| MODULUS.contains(&rsa.key_size_bits())) {
            return Err(Unusable::Kind);
        }
        Self::ready(allowed, |algorithm| {
            let numbers = RsaPublicKeyComponents { n, e };
            let key = numbers.to_parsed_public_key(rsa_parameters(algorithm)?);
            key.ok().map(Verifier::Public)
        })
    }

    fn of_point(
        jwk: &Jwk,
        length: usize,
        kind: Algorithm,
        allowed: &[Algorithm],
    ) -> Result<Self, Unusable> {
        let (x, y) = (decoded(&jwk.x)?, decoded(&jwk.y)?);
        if x.len() != length || y.len() != length {
            return Err(Unusable::Kind);
        }
        // The uncompressed form of a point.
        let point = [&[4], &*x, &*y].concat();
        Self::ready(allowed, |algorithm| {
            let wanted = (algorithm == kind).then(|| elliptic(kind, &point));
            wanted.flatten().map(Verifier::Public)
        })
    }

    /// A key without an id, ready for what is allowed and `verifier` can do.
    fn ready(
        allowed: &[Algorithm],
        verifier: impl Fn(Algorithm) -> Option<Verifier>,
    ) -> Result<Self, Unusable> {
        let ready = allowed
            .iter()
            .filter_map(|algorithm| Some((*algorithm, verifier(*algorithm)?)));
        let ready: Vec<_> = ready.collect();
        match ready.is_empty() {
            true => Err(Unusable::NoAlgorithm),
            false => Ok(Self { id: None, ready }),
        }
    }
}

/// What is read of a JSON Web Key (RFC 7517). Private parts, if somebody put them there, are not.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
}

/// A JSON Web Key Set.
#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// The keys of a set, and how many of it were passed over: of another kind, for another use, for an algorithm
/// that is not allowed, or broken. [RFC 7517, section 5] `secrets` says whether there may be secrets in it.
///
/// # Errors
///
/// It is none, or no key in it can be used.
pub fn of_set(
    json: &[u8],
    allowed: &[Algorithm],
    secrets: bool,
) -> Result<(Keys, usize), Unusable> {
    let set: Set = serde_json::from_slice(json).map_err(|_| Unusable::NoSet)?;
    let written = set.keys.len();
    let keys = set.keys.into_iter().take(SET_MAXIMUM).filter_map(|value| {
        let object = Some(value).filter(Value::is_object)?;
        let jwk = Jwk::deserialize(object).ok()?;
        Key::of_set(&jwk, allowed, secrets).ok()
    });
    let keys = Keys(keys.collect());
    match keys.is_empty() {
        true => Err(Unusable::NothingUsable),
        false => {
            let passed_over = written - keys.len();
            Ok((keys, passed_over))
        }
    }
}

fn decoded(part: &Option<String>) -> Result<Vec<u8>, Unusable> {
    let part = part.as_ref().ok_or(Unusable::Kind)?;
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Unusable::Kind)
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

/// A key on the curve of this algorithm.
fn elliptic(algorithm: Algorithm, bytes: &[u8]) -> Option<ParsedPublicKey> {
    let key = match algorithm {
        Algorithm::Es256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes),
        Algorithm::Es384 => ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, bytes),
        Algorithm::EdDsa => ParsedPublicKey::new(&ED25519, bytes),
        _ => return None,
    };
    key.ok()
}

#[cfg(test)]
mod tests;
