//! How fast an open connection may send: at its own rate, and its share of its user's and its address's.
//!
//! What is ahead of its time is not read: the bytes stay where they are, in the end with the client, whose
//! socket takes no more of them. Nothing is lost, and nobody else waits.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::codec::Packet;

use super::core::Broker;
use super::defence::options::{OverRate, Rates};
use super::defence::{Account, Rate, Scope, Tick, Toll};

/// What one connection is held against.
#[derive(Debug, Default)]
pub(super) struct Pace {
    own: Account,
    user: Option<Arc<Account>>,
    address: Option<Arc<Account>>,
    /// Until when nothing is read.
    held_until: Option<Tick>,
    /// Whether it has been told that the connection is held back.
    pub told: bool,
}

/// The shortest pause, so that fast rates do not wake a connection for each packet. A burst is longer.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a connection is held back before it is looked at again: rates may be others by then.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Pace {
    /// The pace of a connection of this user, from there.
    pub(super) fn new(
        broker: &Broker,
        user: Option<&str>,
        from: Option<IpAddr>,
        now: Tick,
    ) -> Self {
        Self {
            user: user.map(|user| broker.defence.user(user, now)),
            address: from.and_then(|from| broker.defence.address_of(from, now)),
            ..Self::default()
        }
    }

    /// What holds the next packet back, if anything does; the connection is held back then.
    pub(super) fn holds_back(&mut self, toll: &Toll) -> Option<Scope> {
        let options = &toll.options;
        let accounts = [
            Some((&self.own, options.connection)),
            self.user.as_deref().map(|it| (it, options.user)),
            self.address.as_deref().map(|it| (it, options.address)),
        ];
        let scopes = Scope::ALL.chunks_exact(2).zip(accounts);
        let due = scopes.filter_map(|(scopes, account)| {
            let (account, rates) = account?;
            let due = due(account, both(rates), toll.now).into_iter().zip(scopes);
            due.filter_map(|(due, scope)| Some((due?, *scope)))
                .max_by_key(|(due, _)| *due)
        });
        let (due, scope) = due.max_by_key(|(due, _)| *due)?;
        let (least, most) = (toll.now.after(PAUSE), toll.now.after(LOOK_AGAIN));
        self.held_until = Some(due.clamp(least, most));
        Some(scope)
    }

    /// Takes what a packet costs.
    pub(super) fn pay(&self, toll: &Toll, packet: &Packet<'_>, length: usize) {
        let options = &toll.options;
        let messages = u64::from(asks_for_something(packet));
        let take = |account: &Account, rates: Rates| {
            let (of_messages, of_bytes) = both(rates);
            if let Some(rate) = of_messages.filter(|_| messages > 0) {
                account.messages.take(messages, rate, toll.now);
            }
            if let Some(rate) = of_bytes {
                account.bytes.take(length as u64, rate, toll.now);
            }
        };
        take(&self.own, options.connection);
        if let Some(account) = &self.user {
            take(account, options.user);
        }
        if let Some(account) = &self.address {
            take(account, options.address);
        }
    }

    /// Until when nothing is read, if it is held back.
    pub(super) fn held_until(&self) -> Option<Tick> {
        self.held_until
    }

    /// Reading goes on.
    pub(super) fn hold_no_longer(&mut self) {
        self.held_until = None;
    }
}

/// Whether whoever is over its rate is closed.
pub(super) fn closes(toll: &Toll) -> bool {
    toll.options.over_rate == OverRate::Close
}

/// When something may be taken again: of messages, and of bytes.
fn due(account: &Account, rates: (Option<Rate>, Option<Rate>), now: Tick) -> [Option<Tick>; 2] {
    let (messages, bytes) = rates;
    [
        messages.and_then(|rate| account.messages.due(rate, now)),
        bytes.and_then(|rate| account.bytes.due(rate, now)),
    ]
}

fn both(rates: Rates) -> (Option<Rate>, Option<Rate>) {
    let rate = |per_second| Rate::new(per_second, rates.burst);
    (rate(rates.messages), rate(rates.bytes))
}

/// Acknowledgements answer what the broker sent: their number is its own doing.
fn asks_for_something(packet: &Packet<'_>) -> bool {
    matches!(
        packet,
        Packet::Publish(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::Pingreq
            | Packet::Auth(_)
    )
}
