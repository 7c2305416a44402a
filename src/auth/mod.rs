//! Who a client is, and what it may do.
//!
//! [`Auth`] is the whole contract that the broker knows; it asks at CONNECT, for each step of an enhanced
//! authentication, and for each publish, subscribe and, where that is wanted, delivery. [`gate::Gate`] fulfils
//! it with what the configuration names: a chain of ways to prove who one is, and a list of rules about what
//! one may do.
//!
//! ```text
//!              ┌─ Gate ──────────────────────────────────────────────────┐
//!   CONNECT ──>│ ways: certificate, password, token, http …    in order  │──> Identity, or refused
//!   AUTH    ──>│ methods: SCRAM-SHA-256 …                      by name   │
//!   access  ──>│ rules: of the token, ACL files, http …        in order  │──> allowed, denied, later
//!              └─────────────────────────────────────────────────────────┘
//! ```
//!
//! Nothing here blocks: what takes time says so, and tells later from another thread. What fails, refuses:
//! nobody gets in, or at a topic, because somebody could not be asked.

pub mod acl;
pub mod callback;
pub mod certificate;
pub mod counts;
pub mod entries;
pub mod gate;
pub mod grants;
pub mod network;
pub mod options;
pub mod password;
pub mod scram;
#[cfg(test)]
pub(crate) mod testing;
pub mod token;
pub mod web;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::codec::{QoS, ReasonCode};
use crate::message::Timestamp;

/// Where a Network Connection comes from, as far as that says who its client may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The name of the listener that it came in by.
    pub listener: Arc<str>,
    /// Whether that listener lets everybody in without proof. They are nobody in particular then.
    pub open: bool,
    /// Its address, if its transport has one: behind a trusted proxy, the one that the proxy tells.
    pub peer: Option<SocketAddr>,
    /// The user that its verified certificate names, if the listener takes users from certificates.
    pub user: Option<Arc<str>>,
    /// The Client Identifier that its verified certificate names, if the listener takes it from there.
    pub client_id: Option<Arc<str>>,
}

/// What a CONNECT says about who the client is.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The Client Identifier, assigned already if the client sent none.
    pub client_id: &'a str,
    /// Where the connection comes from.
    pub caller: &'a Caller,
    /// User Name.
    pub user_name: Option<&'a str>,
    /// Password.
    pub password: Option<&'a [u8]>,
}

/// Says whether there is a password, and not which: this may end up in a log.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("client_id", &self.client_id)
            .field("caller", &self.caller)
            .field("user_name", &self.user_name)
            .field("password", &self.password.map(|_| "…"))
            .finish()
    }
}

/// Who a client turned out to be.
#[derive(Clone, Default)]
pub struct Identity {
    /// Its user name, if it has proved one.
    pub user: Option<Arc<str>>,
    /// The groups that its proof says it belongs to; rules may name them.
    pub groups: Arc<[Box<str>]>,
    /// When the proof ends, and the connection with it. [MQTT5-4.13.2-1]
    pub expires: Option<Timestamp>,
    /// What the proof itself says about what it may do; asked before all other rules.
    pub grants: Option<Arc<dyn Rules>>,
}

impl Identity {
    /// Whether nothing has been proved.
    pub fn is_nobody(&self) -> bool {
        let Self {
            user,
            groups,
            expires,
            grants,
        } = self;
        user.is_none() && groups.is_empty() && expires.is_none() && grants.is_none()
    }

    /// Somebody who has proved this user name.
    pub fn of(user: impl Into<Arc<str>>) -> Self {
        Self {
            user: Some(user.into()),
            ..Self::default()
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("user", &self.user)
            .field("groups", &self.groups)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// The answer to a [`Request`].
#[derive(Debug)]
pub enum Verdict {
    /// Let it in.
    Accept(Identity),
    /// Turn it away with this code, an error.
    Refuse(ReasonCode),
    /// The callback of [`Auth::authenticate`] will say.
    Later,
}

/// How a verdict that takes its time is told: once, from any thread. Dropping it refuses.
pub type Tell = Box<dyn FnOnce(Result<Identity, ReasonCode>) + Send>;

/// One step of an enhanced authentication (MQTT 5, section 4.12).
#[derive(Debug)]
pub enum Step {
    /// Send AUTH 0x18 with this data and wait for the client's. [MQTT5-4.12.0-2]
    Continue(Vec<u8>),
    /// The client has proved who it is; the data goes into CONNACK, or into AUTH 0x00 after a
    /// re-authentication.
    Accept(Identity, Option<Vec<u8>>),
    /// It has not. [MQTT5-4.12.0-4]
    Refuse(ReasonCode),
}

/// An enhanced authentication in progress.
pub trait Exchange: Send {
    /// Takes the Authentication Data of CONNECT, or of the client's next AUTH. Must be quick.
    fn step(&mut self, data: Option<&[u8]>) -> Step;
}

/// Who wants to do something: a client, as far as rules may speak of it.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// Its Client Identifier.
    pub client_id: &'a str,
    /// Who it has proved to be.
    pub identity: &'a Identity,
    /// Where it comes from; nothing while it is away.
    pub caller: Option<&'a Caller>,
}

/// What a client wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access<'a> {
    /// Publish to this Topic Name: now, later (`$delayed/…`, whose inner topic this is), or as a Will.
    Publish {
        /// The Topic Name.
        topic: &'a str,
        /// The QoS published with.
        qos: QoS,
        /// Whether it is to be retained.
        retain: bool,
    },
    /// Subscribe to this Topic Filter.
    Subscribe {
        /// The Topic Filter, without `$share/{ShareName}/`.
        filter: &'a str,
        /// The ShareName, if there is one.
        share: Option<&'a str>,
        /// The QoS asked for.
        qos: QoS,
    },
    /// Be sent a message with this Topic Name, for a subscription that was granted. Asked only of those for
    /// whom [`Auth::watches_deliveries`].
    Receive {
        /// The Topic Name.
        topic: &'a str,
    },
}

/// Whether somebody may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It may.
    Allowed,
    /// It may not.
    Denied,
    /// Nobody can say, because somebody who is to be asked cannot be: what is asked for is refused, and what
    /// was granted before stays.
    Unknown,
    /// The callback will say that the answer is there: ask again then.
    Later,
}

/// How it is told that an answer is there: once, from any thread. Who asks again after that gets
/// [`Permission::Allowed`] or [`Permission::Denied`]. Dropping it is as good as calling it.
pub type AskAgain = Box<dyn FnOnce() + Send>;

/// What rules say about an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It is allowed, whatever comes behind.
    Allow,
    /// It is not.
    Deny,
    /// It should say and cannot: as [`Permission::Unknown`].
    Unknown,
    /// Nothing: whoever comes next is asked.
    Silent,
    /// As [`Permission::Later`].
    Later,
}

/// Something that has a say in what clients may do.
pub trait Rules: Send + Sync {
    /// What it says about this access. Must be quick, and must give the same answer for the same question
    /// until something is reloaded, or for a while that it knows itself. `again` makes the callback for
    /// [`Ruling::Later`], which [`Access::Receive`] is never answered with.
    fn ruling(
        &self,
        who: &Who<'_>,
        access: Access<'_>,
        again: &mut dyn FnMut() -> AskAgain,
    ) -> Ruling;

    /// Whether deliveries to `who` have to be asked about, as rules that grant more by subscription than
    /// they mean do.
    fn watches_deliveries(&self, who: &Who<'_>) -> bool {
        let _ = who;
        false
    }

    /// For how long what it says may be remembered, if not until it is reloaded.
    fn remembered_for(&self) -> Option<Duration> {
        None
    }
}

/// Authenticates and authorises. Called on the connection's own task, so it must not block: what
/// takes time answers [`Verdict::Later`] or [`Permission::Later`].
pub trait Auth: Send + Sync {
    /// Who the client of a CONNECT without an authentication method is. `tell` makes the callback
    /// for [`Verdict::Later`].
    fn authenticate(&self, request: &Request<'_>, tell: &mut dyn FnMut() -> Tell) -> Verdict;

    /// Begins an enhanced authentication, at CONNECT or again later; `None` if `method` is not
    /// known. [MQTT5-4.12.0-1]
    fn exchange(&self, method: &str, request: &Request<'_>) -> Option<Box<dyn Exchange>>;

    /// Whether `who` may do this. `again` makes the callback for [`Permission::Later`], with which
    /// [`Access::Receive`] is never answered.
    fn allows(
        &self,
        who: &Who<'_>,
        access: Access<'_>,
        again: &mut dyn FnMut() -> AskAgain,
    ) -> Permission;

    /// Whether [`Access::Receive`] has to be asked for deliveries to `who`.
    fn watches_deliveries(&self, who: &Who<'_>) -> bool {
        let _ = who;
        false
    }

    /// For how long [`Self::allows`] may be remembered, if not until the broker is told that permissions have
    /// changed.
    fn remembered_for(&self) -> Option<Duration> {
        None
    }
}
