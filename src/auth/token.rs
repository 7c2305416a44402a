//! Tokens: a client is who a signed JWT (RFC 7519) says it is, which it gives as its Password or User Name.
//!
//! ```text
//!   Password ──> compact ──> which algorithm, which key ──> keys: secret, PEM, sets of keys
//!                   │                                         │ the signature is right
//!                   └────────────── claims <──────────────────┘
//!                                     └──> user, groups, permissions, and when it all ends
//! ```
//!
//! What does not look like a token is left to others. What does and is wrong is refused, and nobody else is
//! asked: its client is told no more than that, the metrics are told why, and so is the log, in some lines a
//! second.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::codec::ReasonCode;
use crate::message::Timestamp;

use super::counts::Counts;
use super::gate::{Answer, Opinion, Way};
use super::web::{self, Web};
use super::{Identity, Request};

pub mod claims;
pub mod compact;
pub mod keys;
pub mod options;
pub mod remote;
pub mod wrong;

use compact::Compact;
use keys::{Key, Keys, Unusable};
use options::{Algorithm, Field, Options};
use remote::{LastGood, Pace, Remote, Source};
use wrong::Wrong;

/// Why tokens cannot be checked.
#[derive(Debug)]
pub enum Error {
    /// A file cannot be read.
    Read(PathBuf, io::Error),
    /// What is in a file is no key, or of no use.
    Key(PathBuf, Unusable),
    /// Keys cannot be fetched at all.
    Web(web::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, _) => write!(f, "{}: cannot be read", path.display()),
            Self::Key(path, _) => write!(f, "{}", path.display()),
            Self::Web(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(_, error) => Some(error),
            Self::Key(_, error) => Some(error),
            Self::Web(error) => error.source(),
        }
    }
}

/// How large a file with a key can be, beyond which it is another file.
const FILE_MAXIMUM: u64 = 1 << 20;

/// Lines about wrong tokens in any second at most, so that a flood of them does not become one of lines.
const TOLD_MAXIMUM: u32 = 20;

/// The way of tokens.
pub struct Tokens(Arc<Checker>);

struct Checker {
    options: Options,
    /// The keys of files.
    fixed: Keys,
    remote: Option<Remote>,
    counts: Arc<Counts>,
    /// The second in which a wrong token was last told of, and how many were.
    told: Mutex<(u64, u32)>,
}

impl Tokens {
    /// Reads all files, and begins to fetch the keys that are not in any.
    ///
    /// # Errors
    ///
    /// Says which file is wrong.
    pub fn new(
        options: &Options,
        runtime: &Handle,
        counts: &Arc<Counts>,
        last: &Arc<LastGood>,
    ) -> Result<Self, Error> {
        let fixed = read_keys(options)?;
        let remote = match &options.url {
            None => None,
            Some(url) => {
                let source = Source {
                    url: url.clone(),
                    web: Web::new(&options.web, &[url], 1).map_err(Error::Web)?,
                    algorithms: options.algorithms.clone(),
                    pace: Pace::of(options.refresh),
                    counts: Arc::clone(counts),
                    last: Arc::clone(last),
                };
                Some(Remote::new(source, runtime))
            }
        };
        Ok(Self(Arc::new(Checker {
            options: options.clone(),
            fixed,
            remote,
            counts: Arc::clone(counts),
            told: Mutex::default(),
        })))
    }
}

/// The keys that are in files.
fn read_keys(options: &Options) -> Result<Keys, Error> {
    let read = |path: &Path| {
        web::read(path, FILE_MAXIMUM).map_err(|error| Error::Read(path.into(), error))
    };
    let allowed = &options.algorithms;
    let mut keys = Keys::default();
    if let Some(path) = &options.secret {
        let secret = read(path)?;
        // Editors end a file with a line's end, which nobody means.
        let secret = secret.strip_suffix(b"\n").unwrap_or(&secret);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        let key = Key::of_secret(secret, allowed);
        keys.add(key.map_err(|error| Error::Key(path.clone(), error))?);
    }
    if let Some(path) = &options.key {
        let key = Key::of_pem(&read(path)?, allowed);
        keys.add(key.map_err(|error| Error::Key(path.clone(), error))?);
    }
    if let Some(path) = &options.set {
        let set = keys::of_set(&read(path)?, allowed, true);
        let (set, passed_over) = set.map_err(|error| Error::Key(path.clone(), error))?;
        if passed_over > 0 {
            let path = path.display();
            tracing::warn!("{path}: {passed_over} keys in it are of no use here");
        }
        keys.extend(set);
    }
    Ok(keys)
}

/// What a token comes with.
struct Shown {
    client_id: Box<str>,
    user_name: Option<Box<str>>,
    token: Box<str>,
    peer: Option<SocketAddr>,
}

impl Way for Tokens {
    fn opinion(&self, request: &Request<'_>, answer: &mut dyn FnMut() -> Answer) -> Opinion {
        let Checker {
            options, remote, ..
        } = &*self.0;
        let shown = match options.from {
            Field::Password => request.password,
            Field::UserName => request.user_name.map(str::as_bytes),
        };
        let Some(shown) = shown.filter(|shown| compact::looks_like_one(shown)) else {
            return Opinion::Next;
        };
        let about = (request.client_id, request.user_name);
        let (outcome, token) = match std::str::from_utf8(shown) {
            Ok(token) if token.len() <= options.size_maximum => (self.0.check(token, about), token),
            Ok(_) => (Err(Wrong::TooLarge), ""),
            Err(_) => return Opinion::Next,
        };
        let peer = request.caller.peer;
        if let Err(Wrong::UnknownKey | Wrong::NoKeys) = outcome
            && let Some(remote) = remote
        {
            let checker = Arc::downgrade(&self.0);
            let shown = || Shown {
                client_id: request.client_id.into(),
                user_name: request.user_name.map(Box::from),
                token: token.into(),
                peer,
            };
            let waits = remote.after_fetch(Instant::now(), || {
                let (answer, shown) = (answer(), shown());
                Box::new(move || {
                    // Without a checker the client is refused as `answer` goes.
                    if let Some(checker) = checker.upgrade() {
                        let about = (&*shown.client_id, shown.user_name.as_deref());
                        let outcome = checker.check(&shown.token, about);
                        answer(checker.say(outcome, &shown.client_id, shown.peer));
                    }
                })
            });
            if waits {
                return Opinion::Later;
            }
        }
        self.0.say(outcome, request.client_id, peer)
    }
}

impl Checker {
    /// Who a token says its client is, at this moment; nobody if it is no token.
    fn check(&self, token: &str, about: (&str, Option<&str>)) -> Result<Option<Identity>, Wrong> {
        let now = Timestamp::from_millis(0).after(since_the_epoch());
        self.check_at(token, about, now)
    }

    fn check_at(
        &self,
        token: &str,
        about: (&str, Option<&str>),
        now: Timestamp,
    ) -> Result<Option<Identity>, Wrong> {
        let Some(token) = Compact::read(token)? else {
            return Ok(None);
        };
        let algorithm = Algorithm::named(&token.algorithm);
        let algorithm = algorithm.filter(|it| self.options.algorithms.contains(it));
        let algorithm = algorithm.ok_or(Wrong::Algorithm)?;
        let fetched = self.remote.as_ref().and_then(Remote::keys);
        let nobody_could = fetched.is_none() && self.fixed.is_empty();
        let mut outcome = Err(Wrong::UnknownKey);
        for keys in [Some(&self.fixed), fetched.as_deref()]
            .into_iter()
            .flatten()
        {
            let id = token.key.as_deref();
            match keys.check(algorithm, id, token.signed, &token.signature) {
                // Another key may be meant.
                Err(Wrong::UnknownKey) => {}
                Ok(()) => {
                    outcome = Ok(());
                    break;
                }
                wrong => outcome = wrong,
            }
        }
        match outcome {
            Err(_) if nobody_could => return Err(Wrong::NoKeys),
            outcome => outcome?,
        }
        claims::identity(&self.options, &token.claims()?, about, now).map(Some)
    }

    /// Whether one more wrong token may be told of in this second.
    fn may_tell(&self, second: u64) -> bool {
        let mut told = self.told.lock();
        if told.0 != second {
            *told = (second, 0);
        }
        told.1 = told.1.saturating_add(1);
        told.1 <= TOLD_MAXIMUM
    }

    /// Counts what became of a token, and puts it as an opinion.
    fn say(
        &self,
        outcome: Result<Option<Identity>, Wrong>,
        client: &str,
        peer: Option<SocketAddr>,
    ) -> Opinion {
        match outcome {
            Ok(Some(identity)) => {
                self.counts.tokens.count("accepted");
                Opinion::Accept(identity)
            }
            Ok(None) => Opinion::Next,
            Err(wrong) => {
                self.counts.tokens.count(wrong.label());
                if self.may_tell(since_the_epoch().as_secs()) {
                    let peer = peer.map(tracing::field::display);
                    let reason = wrong.label();
                    tracing::info!(client, peer, reason, "token refused: {wrong}");
                }
                Opinion::Refuse(match wrong {
                    // It may be in order: worth another try.
                    Wrong::NoKeys => ReasonCode::ServerUnavailable,
                    _ => ReasonCode::BadUserNameOrPassword,
                })
            }
        }
    }
}

fn since_the_epoch() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

#[cfg(test)]
mod tests;
