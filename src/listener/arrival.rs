//! A connection's way from its socket to MQTT, through what its listener has in between.
//!
//! ```text
//!   socket ──> PROXY header ──> TLS handshake ──> request for a WebSocket ──> Driver
//!              who it is         certificate       path, origin
//! ```
//!
//! Each step is there if the listener has it, in this order, and all of them together with CONNECT have one
//! deadline. What comes after the first step sees the address that a proxy told, and never the proxy's.
//!
//! The way is a task of its own. Its driver gets a new one, so that nothing of a handshake stays with the
//! connection.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::auth::Caller;
use crate::broker::{self, Broker, Ending, Entrance, Permit};

use super::driver::{Driver, Patience};
use super::options::{ProxyOptions, WebSocketOptions};
use super::proxy;
use super::secured::Secured;
use super::tls::{Keeper, TlsStream};
use super::transport::{Direct, Metered, Transport};
use super::upgrade;
use super::websocket::WebSocket;

/// What the connections of one listener have in common.
#[derive(Debug)]
pub(super) struct Door {
    /// What the listener is called in the log, in metrics and in rules.
    pub name: Arc<str>,
    pub proxy: Option<ProxyOptions>,
    pub tls: Option<Arc<Keeper>>,
    pub websocket: Option<WebSocketOptions>,
}

impl Door {
    /// Whether there is nothing between a socket and MQTT.
    pub(super) fn is_plain(&self) -> bool {
        self.proxy.is_none() && self.tls.is_none() && self.websocket.is_none()
    }
}

/// A connection that has been accepted and does not speak MQTT yet.
pub(super) struct Arrival {
    pub door: Arc<Door>,
    /// What holds for clients that come in now.
    pub entrance: Arc<Entrance>,
    pub caller: Caller,
    pub broker: Arc<Broker>,
    pub patience: Patience,
    /// Its place among all connections.
    pub permit: Permit,
    pub counted: Counted,
}

/// Why a connection did not come as far as MQTT.
struct Refused {
    ending: Ending,
    why: String,
    /// What is still to be said to the client, once it is told here.
    farewell: Option<Farewell>,
}

type Farewell = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Refused {
    fn new(ending: Ending, why: impl fmt::Display) -> Self {
        let why = why.to_string();
        let farewell = None;
        Self {
            ending,
            why,
            farewell,
        }
    }
}

impl Arrival {
    /// Sends it on its way.
    pub(super) fn set_out(self, stream: TcpStream) {
        match self.door.is_plain() {
            true => self.drive(Direct::new(stream)),
            false => spawn(self.walk(stream)),
        }
    }

    /// The whole way.
    async fn walk(mut self, stream: TcpStream) {
        match self.steps(stream).await {
            Ok(Way::Direct(transport)) => self.drive(transport),
            Ok(Way::Tls(transport)) => self.drive(transport),
            Ok(Way::WebSocket(transport)) => self.drive(transport),
            Ok(Way::WebSocketInTls(transport)) => self.drive(transport),
            Err(Refused {
                ending,
                why,
                farewell,
            }) => {
                let now = Instant::now();
                let address = self.caller.peer.map(|it| it.ip());
                self.permit.ended(ending);
                if ending == Ending::TlsError {
                    self.permit.failed(address, now);
                }
                if self.broker.defence().may_tell(address, now) {
                    let peer = self.caller.peer.map(tracing::field::display);
                    let (listener, reason) = (&*self.door.name, ending.label());
                    tracing::info!(peer, listener, reason, "closed: {why}");
                }
                if let Some(farewell) = farewell {
                    farewell.await;
                }
            }
        }
    }

    async fn steps(&mut self, mut stream: TcpStream) -> Result<Way, Refused> {
        let door = Arc::clone(&self.door);
        if let Some(options) = &door.proxy {
            self.introduce(options, &mut stream).await?;
        }
        match (&door.tls, &door.websocket) {
            (None, None) => Ok(Way::Direct(Direct::new(stream))),
            (None, Some(options)) => {
                let (mut stream, meter) = Metered::new(stream);
                self.upgrade(options, &mut stream).await?;
                Ok(Way::WebSocket(WebSocket::new(stream, meter)))
            }
            (Some(tls), None) => {
                let stream = self.shake_hands(tls, stream).await?;
                Ok(Way::Tls(Secured::new(stream)))
            }
            (Some(tls), Some(options)) => {
                let (stream, meter) = Metered::new(stream);
                let mut stream = Box::new(self.shake_hands(tls, stream).await?);
                self.upgrade(options, &mut stream).await?;
                Ok(Way::WebSocketInTls(WebSocket::new(stream, meter)))
            }
        }
    }

    /// Has a proxy say on whose behalf it connects.
    async fn introduce(
        &mut self,
        options: &ProxyOptions,
        stream: &mut TcpStream,
    ) -> Result<(), Refused> {
        let header = self.in_time("no PROXY header", proxy::read(stream)).await?;
        let header = header.map_err(|error| Refused::new(Ending::ProxyError, error))?;
        let proxy = self.caller.peer.map(tracing::field::display);
        if options.common_name {
            self.caller.user = header.common_name.map(Arc::from);
        }
        let peer = header.source.or(self.caller.peer);
        let user = self.caller.user.as_deref();
        let shown = peer.map(tracing::field::display);
        tracing::debug!(peer = shown, user, proxy, "introduced by a proxy");
        self.caller.peer = peer;
        match peer {
            Some(peer) => {
                let admitted = self.permit.comes_from(peer.ip(), Instant::now());
                admitted.map_err(|ending| Refused::new(ending, why(ending)))
            }
            None => Ok(()),
        }
    }

    /// Does the handshake. A certificate of the client's own goes before what a proxy says of it.
    async fn shake_hands<S>(&mut self, tls: &Keeper, stream: S) -> Result<TlsStream<S>, Refused>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let acceptor = tls.acceptor();
        let handshake = acceptor.accept(stream);
        let shaken = self.in_time("no TLS handshake", handshake).await?;
        let accepted = shaken.map_err(|refused| {
            let why = format!("TLS handshake failed: {}", refused.error);
            Refused {
                farewell: Some(Box::pin(refused.farewell())),
                ..Refused::new(Ending::TlsError, why)
            }
        })?;
        if accepted.user.is_some() {
            self.caller.user = accepted.user;
        }
        self.caller.client_id = accepted.client_id;
        Ok(accepted.stream)
    }

    async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        options: &WebSocketOptions,
        stream: &mut S,
    ) -> Result<(), Refused> {
        let upgrade = upgrade::upgrade(options, stream);
        let upgraded = self.in_time("no request for a WebSocket", upgrade).await?;
        upgraded.map_err(|error| Refused::new(Ending::WebSocketRefused, error))
    }

    /// Does a step, unless the deadline comes first.
    async fn in_time<T>(&self, missing: &str, step: impl Future<Output = T>) -> Result<T, Refused> {
        let by = self.patience.connect_by.into();
        let done = tokio::time::timeout_at(by, step).await;
        done.map_err(|_| Refused::new(Ending::NoConnect, format!("{missing} in time")))
    }

    /// The end of the way: starts the task that drives the connection.
    pub(super) fn drive(self, transport: impl Transport) {
        let Self {
            entrance,
            caller,
            broker,
            patience,
            permit,
            counted,
            ..
        } = self;
        let driver = Driver::new(transport, permit, broker, (caller, entrance), patience);
        spawn(Driven {
            driver,
            _counted: counted,
        });
    }
}

/// A connection that is driven, as long as it is.
///
/// It is all that the connection's task holds. An `async` block in its place would hold everything several
/// times: what it takes over, and once more in each future that this is handed on to.
struct Driven<T> {
    driver: Driver<T>,
    _counted: Counted,
}

impl<T: Transport> Future for Driven<T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let driver = &mut self.get_mut().driver;
        Pin::new(driver).poll(cx).map(|_| ())
    }
}

/// What a connection's bytes go through, at the end of the way.
enum Way {
    Direct(Direct<TcpStream>),
    Tls(Secured<TcpStream>),
    WebSocket(WebSocket<Metered<TcpStream>>),
    WebSocketInTls(WebSocket<Box<TlsStream<Metered<TcpStream>>>>),
}

/// Starts a connection's task. All of them start here, so that the shape of the runtime can be
/// chosen in one place.
fn spawn(connection: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(connection));
}

/// Counts a connection of a listener from accept until it ends, however it does.
pub(super) struct Counted(Arc<broker::Door>);

impl Counted {
    pub(super) fn new(counters: &Arc<broker::Door>) -> Self {
        counters.opened();
        Self(Arc::clone(counters))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.closed();
    }
}

/// Why a connection was refused a place, in words.
pub(super) fn why(ending: Ending) -> &'static str {
    match ending {
        Ending::TooMany => "too many connections",
        Ending::TooManyHandshakes => "too many connections without a session",
        Ending::TooManyFromAddress => "too many connections from its address",
        Ending::ConnectsTooFast => "connections come too fast from its address",
        Ending::BannedAddress => "its address is banned",
        Ending::UntrustedProxy => "not an address of a trusted proxy",
        _ => "too much to do",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the runtime's part of a task takes, on 64 bits, if the whole is to have 256 bytes.
    const TASK: usize = 256 - 104;

    // A task is made in steps of 128 bytes. Breaks if: anything is added to the driver, or to what it is made
    // of, that no idle connection needs; such things have boxes of their own.
    #[test]
    fn the_task_of_a_plain_connection_stays_small() {
        let bytes = size_of::<Driven<Direct<TcpStream>>>();
        assert!(bytes <= TASK, "{bytes} bytes: more than {TASK}");
    }
}
