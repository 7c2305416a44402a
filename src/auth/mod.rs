//! Who a client is, and what it may do.
//!
//! [`Auth`] is the whole contract; the broker asks it at CONNECT, for each step of an enhanced
//! authentication, and for each publish and subscribe. [`anonymous::Anonymous`] is the engine there is: it
//! accepts everybody, or nobody.

pub mod anonymous;
pub mod options;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::codec::{QoS, ReasonCode};

/// What a CONNECT says about who the client is.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The Client Identifier, assigned already if the client sent none.
    pub client_id: &'a str,
    /// Where the connection comes from, if its transport has an address.
    pub peer: Option<SocketAddr>,
    /// User Name.
    pub user_name: Option<&'a str>,
    /// Password.
    pub password: Option<&'a [u8]>,
}

/// Who a client turned out to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its user name, if it has proved one.
    pub user: Option<Arc<str>>,
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
    /// Takes the Authentication Data of CONNECT, or of the client's next AUTH.
    fn step(&mut self, data: Option<&[u8]>) -> Step;
}

/// What a client wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access<'a> {
    /// Publish to this Topic Name.
    Publish {
        /// The Topic Name.
        topic: &'a str,
        /// The QoS published with.
        qos: QoS,
        /// Whether it is to be retained.
        retain: bool,
    },
    /// Subscribe to this Topic Filter, without `$share/{ShareName}/`.
    Subscribe {
        /// The Topic Filter.
        filter: &'a str,
        /// The QoS asked for.
        qos: QoS,
    },
}

/// Authenticates and authorises. Called on the connection's own task, so it must not block: what
/// takes time answers [`Verdict::Later`].
pub trait Auth: Send + Sync {
    /// Who the client of a CONNECT without an authentication method is. `tell` makes the callback
    /// for [`Verdict::Later`].
    fn authenticate(&self, request: &Request<'_>, tell: &mut dyn FnMut() -> Tell) -> Verdict;

    /// Begins an enhanced authentication, at CONNECT or again later; `None` if `method` is not
    /// known. [MQTT5-4.12.0-1]
    fn exchange(&self, method: &str, request: &Request<'_>) -> Option<Box<dyn Exchange>>;

    /// Whether `identity` may do this.
    fn allows(&self, client_id: &str, identity: &Identity, access: Access<'_>) -> bool;
}
