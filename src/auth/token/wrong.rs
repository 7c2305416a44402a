//! What can be wrong with a token. Its client is told nothing of it.

use std::fmt;

/// Why a token proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is longer than a token may be.
    TooLarge,
    /// It looks like one, and its parts are not what they should be.
    Malformed,
    /// It is signed with an algorithm that is not allowed, or not at all.
    Algorithm,
    /// There is no key with its key id, or none for its algorithm.
    UnknownKey,
    /// It is not signed by the key.
    Signature,
    /// It has expired, or never does where it has to.
    Expired,
    /// It is not valid yet.
    NotYet,
    /// Another one issued it.
    Issuer,
    /// It is for somebody else.
    Audience,
    /// A claim is missing, of the wrong kind, or not what it has to be.
    Claim,
    /// There are no keys to check it with yet.
    NoKeys,
}

impl Wrong {
    /// One word for it, as a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Claim => "claim",
            Self::NoKeys => "no_keys",
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "it is too large",
            Self::Malformed => "it is malformed",
            Self::Algorithm => "its algorithm is not allowed",
            Self::UnknownKey => "its key is not known",
            Self::Signature => "its signature is wrong",
            Self::Expired => "it has expired, or does not say when it will",
            Self::NotYet => "it is not valid yet",
            Self::Issuer => "its issuer is another one",
            Self::Audience => "it is for somebody else",
            Self::Claim => "a claim is missing or wrong",
            Self::NoKeys => "there are no keys yet",
        })
    }
}

impl std::error::Error for Wrong {}
