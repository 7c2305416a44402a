//! Who may have a Network Connection at all.
//!
//! A [`Permit`] is a connection's place among all, and among those of its address. A listener asks for one as
//! soon as it has accepted a connection, says where that comes from once it knows (behind a proxy that is
//! later), and holds the permit until the connection is closed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::codec::ReasonCode;

use super::batch::Batch;
use super::core::Broker;
use super::defence::{Account, Rate, give_place_back, take_place};
use super::ending::Ending;
use super::metrics::Gauge;
use super::port::Port;

/// A place for one Network Connection, given back when it is dropped.
pub struct Permit {
    broker: Arc<Broker>,
    /// The account of its address, if anything is counted of that.
    account: Option<Arc<Account>>,
    is_handshaking: bool,
    ending: Ending,
}

impl Broker {
    /// A Network Connection has been accepted. It counts from here.
    ///
    /// # Errors
    ///
    /// There is no place for it: it is to be closed at once, and has been counted as closed.
    pub fn accept(self: &Arc<Self>) -> Result<Permit, Ending> {
        self.metrics.opened();
        self.metrics.gauge(Gauge::Handshaking, 1);
        let mut permit = Permit {
            broker: Arc::clone(self),
            account: None,
            is_handshaking: true,
            ending: Ending::TransportError,
        };
        match self.has_no_place() {
            Some(ending) => Err(permit.refused(ending)),
            None => Ok(permit),
        }
    }

    /// As [`Self::accept`], for one whose address is known already, if it has one.
    ///
    /// # Errors
    ///
    /// As there, and by what is counted of the address.
    pub fn admit(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        now: Instant,
    ) -> Result<Permit, Ending> {
        let mut permit = self.accept()?;
        if let Some(address) = address {
            permit.comes_from(address, now)?;
        }
        Ok(permit)
    }

    /// A client was turned away, or its connection closed, for this reason: it counts as a failure of its
    /// address if that is how somebody would act who means ill.
    pub(super) fn blame(&self, port: &Port, code: ReasonCode, now: Instant) {
        let is_failure = matches!(
            code,
            ReasonCode::MalformedPacket
                | ReasonCode::ProtocolError
                | ReasonCode::BadUserNameOrPassword
                | ReasonCode::NotAuthorized
                | ReasonCode::BadAuthenticationMethod
        );
        if is_failure {
            self.defence.failed(port.peer().map(|it| it.ip()), now);
        }
    }

    /// Whether a line about the client behind this port is written to the log.
    pub(super) fn may_tell(&self, port: &Port, now: Instant) -> bool {
        self.defence.may_tell(port.peer().map(|it| it.ip()), now)
    }

    /// Gives up what waits for clients at QoS 0: there is too much to do.
    pub fn shed(&self, batch: &mut Batch) {
        self.registry.for_each(|session| {
            let mut side = session.outbound.lock();
            side.outbound.shed(&mut batch.tally);
        });
        self.finish(batch);
    }

    /// Why there is no place for one that has just been counted, if there is none.
    fn has_no_place(&self) -> Option<Ending> {
        let options = self.defence.options();
        let is_over = |gauge, most: usize| {
            let present = usize::try_from(self.metrics.read(gauge)).unwrap_or(0);
            most > 0 && present > most
        };
        if is_over(Gauge::Connections, options.connections_maximum) {
            return Some(Ending::TooMany);
        }
        if is_over(Gauge::Handshaking, options.handshakes_maximum) {
            return Some(Ending::TooManyHandshakes);
        }
        self.defence.sheds().then_some(Ending::Overloaded)
    }
}

impl Permit {
    /// It is known where the connection comes from.
    ///
    /// # Errors
    ///
    /// The address is banned, or has had its share: the connection is to be closed at once.
    pub fn comes_from(&mut self, address: IpAddr, now: Instant) -> Result<(), Ending> {
        let broker = Arc::clone(&self.broker);
        let defence = &broker.defence;
        let now = defence.tick(now);
        let Some(account) = defence.address(address, now) else {
            return Ok(());
        };
        let options = defence.options();
        if defence.bans(address, now) {
            return Err(self.refused(Ending::BannedAddress));
        }
        let rate = Rate::new(options.address.connects, options.address.burst);
        if rate.is_some_and(|rate| !account.connects.try_take(rate, now)) {
            return Err(self.refused(Ending::ConnectsTooFast));
        }
        if !take_place(&account.connections, options.address_connections_maximum) {
            return Err(self.refused(Ending::TooManyFromAddress));
        }
        if !take_place(&account.handshakes, options.address_handshakes_maximum) {
            give_place_back(&account.connections);
            return Err(self.refused(Ending::TooManyHandshakes));
        }
        self.account = Some(account);
        Ok(())
    }

    /// The connection has opened a session, or been turned away.
    pub fn handshake_over(&mut self) {
        if !std::mem::take(&mut self.is_handshaking) {
            return;
        }
        self.broker.metrics.gauge(Gauge::Handshaking, -1);
        if let Some(account) = &self.account {
            give_place_back(&account.handshakes);
        }
    }

    /// The transport's own handshake failed, for a reason that lies with the peer, which has this address.
    pub fn failed(&self, address: Option<IpAddr>, now: Instant) {
        let defence = &self.broker.defence;
        if defence.options().ban.tls {
            defence.failed(address, now);
        }
    }

    /// Says how the connection ended. Without that, its transport failed.
    pub fn ended(&mut self, ending: Ending) {
        self.ending = ending;
    }

    /// Takes the place back, for a reason of the listener's own.
    pub fn refuse(mut self, ending: Ending) -> Ending {
        self.refused(ending)
    }

    fn refused(&mut self, ending: Ending) -> Ending {
        self.ending = ending;
        ending
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.handshake_over();
        if let Some(account) = &self.account {
            give_place_back(&account.connections);
        }
        self.broker.metrics.closed(self.ending);
    }
}
