//! How much is let in, how fast, and what shuts somebody out.

use std::time::Duration;

use crate::auth::network::Network;

/// What the defence allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Network Connections at most, over all listeners. One more is closed at once.
    pub connections_maximum: usize,
    /// Those of them that have not opened a session, at most; 0 is no bound. One more is closed at once.
    pub handshakes_maximum: usize,
    /// Users, addresses and clients of which something is remembered, at most, of each.
    pub remembered: usize,
    /// What happens to a connection that sends faster than it may.
    pub over_rate: OverRate,
    /// How fast each connection may send.
    pub connection: Rates,
    /// How fast all connections of a user together may send, and how often it may connect.
    pub user: Rates,
    /// As for users, for each address.
    pub address: Rates,
    /// Network Connections from one address, at most; 0 is no bound. One more is closed at once.
    pub address_connections_maximum: usize,
    /// Those of them that have not opened a session, at most; 0 is no bound.
    pub address_handshakes_maximum: usize,
    /// Addresses that nothing is counted of.
    pub exempt: Vec<Network>,
    /// What shuts an address out.
    pub ban: Ban,
    /// What shuts a client out.
    pub flapping: Flapping,
    /// When new connections are refused, and more.
    pub overload: Overload,
}

/// Rates a second; 0 is no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Packets that ask for something: PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PINGREQ and AUTH.
    pub messages: u64,
    /// Bytes of packets of any type.
    pub bytes: u64,
    /// Connections.
    pub connects: u64,
    /// After a silence, what comes in so much time at these rates may come at once. More than 0.
    pub burst: Duration,
}

/// What happens to a connection that sends faster than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverRate {
    /// It is not read from for as long as it is ahead of its time.
    Pause,
    /// It is closed (0x96, Message rate too high).
    Close,
}

/// What shuts an address out: failed authentications and broken packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// So many failures; 0 shuts nobody out.
    pub failures: u32,
    /// Within this time.
    pub within: Duration,
    /// For so long.
    pub lasts: Duration,
    /// Whether a TLS handshake that fails is a failure too.
    pub tls: bool,
}

/// What shuts a client out that connects again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flapping {
    /// More than so many connects; 0 shuts nobody out.
    pub connects: u32,
    /// Within this time.
    pub within: Duration,
    /// For so long.
    pub lasts: Duration,
}

/// When there is too much to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overload {
    /// Bytes of memory that the process should not exceed.
    pub memory_maximum: Memory,
    /// How late a task may run that has nothing to wait for; zero is no bound.
    pub lag_maximum: Duration,
    /// Bytes of what waits in all queues together, as far as it is held in memory; a message counts once
    /// for each queue that it is in. 0 is no bound.
    pub queued_bytes_maximum: u64,
}

/// A bound on memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Three quarters of what the machine has, or the control group allows.
    Derived,
    /// None.
    Unbounded,
    /// So many bytes.
    Bytes(u64),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections_maximum: 100_000,
            handshakes_maximum: 10_000,
            remembered: 100_000,
            over_rate: OverRate::Pause,
            connection: Rates::default(),
            user: Rates::default(),
            address: Rates::default(),
            address_connections_maximum: 0,
            address_handshakes_maximum: 1000,
            exempt: Network::LOOPBACK.to_vec(),
            ban: Ban::default(),
            flapping: Flapping::default(),
            overload: Overload::default(),
        }
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            messages: 0,
            bytes: 0,
            connects: 0,
            burst: Duration::from_secs(1),
        }
    }
}

impl Default for Ban {
    fn default() -> Self {
        Self {
            failures: 0,
            within: Duration::from_secs(60),
            lasts: Duration::from_secs(600),
            tls: true,
        }
    }
}

impl Default for Flapping {
    fn default() -> Self {
        Self {
            connects: 0,
            within: Duration::from_secs(60),
            lasts: Duration::from_secs(300),
        }
    }
}

impl Default for Overload {
    fn default() -> Self {
        Self {
            memory_maximum: Memory::Derived,
            lag_maximum: Duration::from_secs(2),
            queued_bytes_maximum: 1 << 30,
        }
    }
}

impl Options {
    /// Whether anything bounds the pace of what comes on a connection.
    pub(super) fn has_rates(&self) -> bool {
        let all = [self.connection, self.user, self.address];
        all.iter().any(|it| it.messages > 0 || it.bytes > 0)
    }

    /// Whether anything is counted by address.
    pub(super) fn counts_addresses(&self) -> bool {
        let Rates {
            messages,
            bytes,
            connects,
            ..
        } = self.address;
        let rates = messages > 0 || bytes > 0 || connects > 0;
        let most = self.address_connections_maximum > 0 || self.address_handshakes_maximum > 0;
        rates || most || self.ban.failures > 0
    }
}
