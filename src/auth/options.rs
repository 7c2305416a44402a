//! Who may connect, and what they may do.

use std::path::PathBuf;

use super::acl::options::Options as AclOptions;
use super::callback::options::Options as HttpOptions;
use super::token::options::Options as TokenOptions;

/// How clients are authenticated and authorised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether clients are accepted without proving who they are. Off unless the configuration says
    /// otherwise.
    pub anonymous: bool,
    /// The ways of proof, in the order in which they are asked. One for which nothing else is configured is
    /// not asked at all.
    pub ways: Vec<WayName>,
    /// Passwords that are checked here.
    pub password: PasswordOptions,
    /// Enhanced authentication with SCRAM-SHA-256.
    pub scram: ScramOptions,
    /// Tokens in place of passwords.
    pub token: TokenOptions,
    /// A service that is asked by HTTP.
    pub http: HttpOptions,
    /// What clients may do.
    pub acl: AclOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            anonymous: false,
            ways: WayName::ALL.to_vec(),
            password: PasswordOptions::default(),
            scram: ScramOptions::default(),
            token: TokenOptions::default(),
            http: HttpOptions::default(),
            acl: AclOptions::default(),
        }
    }
}

/// A way of proof, as the configuration calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayName {
    /// A client certificate.
    Certificate,
    /// A password file.
    Password,
    /// A signed token in place of the password.
    Token,
    /// Somebody else who is asked over HTTP.
    Http,
}

impl WayName {
    /// All of them, in the order in which they are asked unless something else is said: what costs little
    /// first.
    pub const ALL: [Self; 4] = [Self::Certificate, Self::Password, Self::Token, Self::Http];
}

/// Passwords that are checked here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordOptions {
    /// The password file.
    pub file: Option<PathBuf>,
    /// Passwords that are checked at the same time: threads of their own.
    pub checks_at_once: usize,
    /// Passwords that wait for their check.
    pub checks_waiting: usize,
}

impl Default for PasswordOptions {
    fn default() -> Self {
        Self {
            file: None,
            checks_at_once: 2,
            checks_waiting: 256,
        }
    }
}

/// Enhanced authentication with SCRAM-SHA-256.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScramOptions {
    /// The file of verifiers.
    pub file: Option<PathBuf>,
}
