//! How tokens are read and what they have to say.

use std::path::PathBuf;
use std::time::Duration;

use super::super::web::{self, Url};

/// Everything about tokens. They are asked for where there is a key to check them with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where clients put them.
    pub from: Field,
    /// What they may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// The file of a secret that the issuer has too.
    pub secret: Option<PathBuf>,
    /// The PEM file of a public key.
    pub key: Option<PathBuf>,
    /// The file of a set of keys.
    pub set: Option<PathBuf>,
    /// Where a set of keys is fetched.
    pub url: Option<Url>,
    /// How often it is fetched.
    pub refresh: Duration,
    /// How it is fetched.
    pub web: web::Options,
    /// What `iss` has to be; empty for anything.
    pub issuer: String,
    /// What has to be among `aud`; empty for anything.
    pub audience: String,
    /// Whether there has to be an `exp`.
    pub expiry_required: bool,
    /// How much the clocks of issuers may differ.
    pub leeway: Duration,
    /// The claim that names the user.
    pub user_claim: String,
    /// The claim that has to be the Client Identifier; empty for none.
    pub client_id_claim: String,
    /// The claim that has to be the User Name; empty for none.
    pub user_name_claim: String,
    /// The claim that names groups; empty for none.
    pub groups_claim: String,
    /// The claim that holds permissions; empty for none.
    pub acl_claim: String,
    /// The longest token, in bytes.
    pub size_maximum: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            from: Field::Password,
            algorithms: Vec::new(),
            secret: None,
            key: None,
            set: None,
            url: None,
            refresh: Duration::from_secs(300),
            web: web::Options::default(),
            issuer: String::new(),
            audience: String::new(),
            expiry_required: true,
            leeway: Duration::from_secs(10),
            user_claim: "sub".to_owned(),
            client_id_claim: String::new(),
            user_name_claim: String::new(),
            groups_claim: String::new(),
            acl_claim: "acl".to_owned(),
            size_maximum: 16 * 1024,
        }
    }
}

impl Options {
    /// Whether there is anything to check tokens with.
    pub fn is_on(&self) -> bool {
        let files = [&self.secret, &self.key, &self.set];
        files.iter().any(|file| file.is_some()) || self.url.is_some()
    }
}

/// A field of CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Password.
    Password,
    /// User Name.
    UserName,
}

/// A way to sign, as RFC 7518 and RFC 8037 name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA, PKCS#1 v1.5, with SHA-256.
    Rs256,
    /// RSA, PKCS#1 v1.5, with SHA-384.
    Rs384,
    /// RSA, PKCS#1 v1.5, with SHA-512.
    Rs512,
    /// RSA, PSS, with SHA-256.
    Ps256,
    /// RSA, PSS, with SHA-384.
    Ps384,
    /// RSA, PSS, with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them, with the names that tokens and the configuration use.
    pub const ALL: &[(&str, Self)] = &[
        ("HS256", Self::Hs256),
        ("HS384", Self::Hs384),
        ("HS512", Self::Hs512),
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
    ];

    /// The one of this name; `none` is none.
    pub fn named(name: &str) -> Option<Self> {
        let named = Self::ALL.iter().find(|(known, _)| *known == name);
        named.map(|(_, algorithm)| *algorithm)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        let own = Self::ALL.iter().find(|(_, known)| *known == self);
        own.map_or("", |(name, _)| name)
    }
}
