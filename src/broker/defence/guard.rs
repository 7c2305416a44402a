//! The defence as the rest of the broker uses it.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

use super::accounts::{Account, Accounts};
use super::bans::{Banned, Bans, Reason};
use super::bucket::{Rate, Tick};
use super::options::{Memory, Options};
use super::origin::Origin;
use super::overload::{Judge, Level, Measured};
use super::quiet::Quiet;

/// Counts, judges and remembers; what follows is done by those who ask.
#[derive(Debug)]
pub struct Defence {
    options: ArcSwap<Options>,
    epoch: Instant,
    /// Whether there are rates for packets.
    has_rates: AtomicBool,
    users: Accounts<Arc<str>>,
    addresses: Accounts<Origin>,
    /// Clients by the hash of user and Client Identifier, which may be as long as they like.
    clients: Accounts<u64>,
    banned_addresses: Bans<Origin>,
    banned_clients: Bans<u64>,
    hasher: RandomState,
    quiet: Quiet,
    judge: Mutex<(Judge, Measured)>,
    level: AtomicU8,
    /// Whether the queues hold as much as they may together, and how much that is.
    is_full: AtomicBool,
    queued_bytes_maximum: AtomicU64,
    held_back: [AtomicU64; Scope::ALL.len()],
}

/// What holds a connection back: whose rate, and of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Scope {
    /// The connection's own rate of messages.
    ConnectionMessages,
    /// And of bytes.
    ConnectionBytes,
    /// Its user's.
    UserMessages,
    /// And of bytes.
    UserBytes,
    /// Its address's.
    AddressMessages,
    /// And of bytes.
    AddressBytes,
}

impl Scope {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::ConnectionMessages,
        Self::ConnectionBytes,
        Self::UserMessages,
        Self::UserBytes,
        Self::AddressMessages,
        Self::AddressBytes,
    ];

    /// The scope as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::ConnectionMessages => "connection_messages",
            Self::ConnectionBytes => "connection_bytes",
            Self::UserMessages => "user_messages",
            Self::UserBytes => "user_bytes",
            Self::AddressMessages => "address_messages",
            Self::AddressBytes => "address_bytes",
        }
    }
}

/// What the defence counts, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// How often connections were held back.
    pub held_back: [(Scope, u64); Scope::ALL.len()],
    /// Addresses that are banned, and how often one was.
    pub banned_addresses: (usize, u64),
    /// Clients that are banned, and how often one was.
    pub banned_clients: (usize, u64),
    /// Lines of the log that were left out.
    pub lines_left_out: u64,
    /// How much there is to do.
    pub level: Level,
    /// What was measured last.
    pub measured: Measured,
}

/// What the packets of one turn are held against.
pub struct Toll {
    /// The options in force.
    pub options: Guard<Arc<Options>>,
    /// The time of the turn.
    pub now: Tick,
}

/// Bytes of a Client Identifier that are remembered of a client that is banned.
const NAME_MAXIMUM: usize = 256;

impl Defence {
    /// A defence that has seen nothing yet.
    pub fn new(options: Options) -> Self {
        let defence = Self {
            options: ArcSwap::from_pointee(Options::default()),
            epoch: Instant::now(),
            has_rates: AtomicBool::new(false),
            users: Accounts::default(),
            addresses: Accounts::default(),
            clients: Accounts::default(),
            banned_addresses: Bans::new(Reason::Failures),
            banned_clients: Bans::new(Reason::Flapping),
            hasher: RandomState::new(),
            quiet: Quiet::default(),
            judge: Mutex::default(),
            level: AtomicU8::new(0),
            is_full: AtomicBool::new(false),
            queued_bytes_maximum: AtomicU64::new(0),
            held_back: Default::default(),
        };
        defence.replace(options);
        defence
    }

    /// Replaces the options. They hold from now on, for connections that are there too; who is one too many
    /// by them stays.
    pub fn replace(&self, options: Options) {
        self.has_rates.store(options.has_rates(), Ordering::Release);
        let maximum = options.overload.queued_bytes_maximum;
        self.queued_bytes_maximum.store(maximum, Ordering::Relaxed);
        self.options.store(Arc::new(options));
    }

    /// The options in force.
    pub fn options(&self) -> Guard<Arc<Options>> {
        self.options.load()
    }

    /// The tick of a moment.
    pub(in crate::broker) fn tick(&self, moment: Instant) -> Tick {
        Tick::of(moment, self.epoch)
    }

    /// The moment of a tick.
    pub(in crate::broker) fn moment(&self, tick: Tick) -> Instant {
        tick.moment(self.epoch)
    }

    /// What packets are held against, if there is a rate for them.
    pub(in crate::broker) fn toll(&self, now: Instant) -> Option<Toll> {
        self.has_rates.load(Ordering::Acquire).then(|| Toll {
            options: self.options(),
            now: self.tick(now),
        })
    }

    /// The account of a user.
    pub(in crate::broker) fn user(&self, user: &str, now: Tick) -> Arc<Account> {
        self.users.of(user, self.options().remembered, now)
    }

    /// The account of an address, if anything is counted of it.
    pub(in crate::broker) fn address(&self, address: IpAddr, now: Tick) -> Option<Arc<Account>> {
        let counts = self.options().counts_addresses();
        counts.then(|| self.address_of(address, now)).flatten()
    }

    /// The account of an address, unless it is exempt.
    pub(in crate::broker) fn address_of(&self, address: IpAddr, now: Tick) -> Option<Arc<Account>> {
        let options = self.options();
        if options.exempt.iter().any(|it| it.contains(address)) {
            return None;
        }
        let origin = Origin::of(address);
        Some(self.addresses.of(&origin, options.remembered, now))
    }

    /// Whether an address is banned.
    pub(in crate::broker) fn bans(&self, address: IpAddr, now: Tick) -> bool {
        self.banned_addresses.refuses(Origin::of(address), now)
    }

    /// Somebody at this address has failed to prove who it is, or to speak the protocol. It may be one
    /// failure too many.
    pub fn failed(&self, address: Option<IpAddr>, now: Instant) {
        let (options, now) = (self.options(), self.tick(now));
        let ban = options.ban;
        let Some(address) = address.filter(|_| ban.failures > 0) else {
            return;
        };
        let Some(account) = self.address(address, now) else {
            return;
        };
        {
            let mut events = account.events.lock();
            if events.hit(ban.within, now) < ban.failures {
                return;
            }
            events.clear();
        }
        let origin = Origin::of(address);
        let name = origin.to_string();
        let until = now.after(ban.lasts);
        self.banned_addresses
            .ban(origin, (&name, None), until, options.remembered, now);
        if self.may_tell_at(Some(address), now) {
            let seconds = ban.lasts.as_secs();
            tracing::warn!(address = name, seconds, "banned: too many failures");
        }
    }

    /// A client has proved who it is, and may open its session unless it comes too often: why, if so.
    pub(in crate::broker) fn comes_too_often(
        &self,
        user: Option<&str>,
        client_id: &str,
        now: Instant,
    ) -> Option<TooOften> {
        let (options, now) = (self.options(), self.tick(now));
        let rate = Rate::new(options.user.connects, options.user.burst);
        if let Some((user, rate)) = user.zip(rate)
            && !self.user(user, now).connects.try_take(rate, now)
        {
            return Some(TooOften::User);
        }
        let client = self.hasher.hash_one((user, client_id));
        if self.banned_clients.refuses(client, now) {
            return Some(TooOften::Client);
        }
        let flapping = options.flapping;
        if flapping.connects == 0 {
            return None;
        }
        let account = self.clients.of(&client, options.remembered, now);
        let mut events = account.events.lock();
        if events.hit(flapping.within, now) <= flapping.connects {
            return None;
        }
        events.clear();
        drop(events);
        let until = now.after(flapping.lasts);
        let name = (remembered(client_id), user);
        self.banned_clients
            .ban(client, name, until, options.remembered, now);
        let seconds = flapping.lasts.as_secs();
        tracing::warn!(client = client_id, user, seconds, "banned: it flaps");
        Some(TooOften::Client)
    }

    /// Everybody who is banned: addresses, then clients.
    pub fn banned(&self, now: Instant) -> Vec<Banned> {
        let now = self.tick(now);
        let mut banned = self.banned_addresses.list(now);
        banned.extend(self.banned_clients.list(now));
        banned
    }

    /// Lets an address in again; whether it was banned.
    pub fn unban_address(&self, address: IpAddr) -> bool {
        self.banned_addresses.lift(Origin::of(address))
    }

    /// Lets clients of this Client Identifier in again; whether there was one that was banned.
    pub fn unban_client(&self, client_id: &str) -> bool {
        self.banned_clients.lift_named(remembered(client_id)) > 0
    }

    /// Whether a line about somebody at this address is written to the log. If not, it is counted, and told
    /// later.
    pub fn may_tell(&self, address: Option<IpAddr>, now: Instant) -> bool {
        self.may_tell_at(address, self.tick(now))
    }

    fn may_tell_at(&self, address: Option<IpAddr>, now: Tick) -> bool {
        self.quiet.may_tell(address.map(Origin::of), now)
    }

    /// Tells what was left out of the log. To be called now and then.
    pub fn tell_what_was_left_out(&self, now: Instant) {
        for left_out in self.quiet.left_out(self.tick(now)) {
            let lines = left_out.lines;
            match left_out.from {
                Some(address) => tracing::info!(%address, lines, "lines like these left out"),
                None => tracing::info!(lines, "lines about others left out"),
            }
        }
    }

    /// Takes a measurement; returns the levels before and after it.
    pub fn measured(&self, measured: Measured) -> (Level, Level) {
        let lag_maximum = self.options().overload.lag_maximum;
        let mut judge = self.judge.lock();
        let before = self.level();
        let after = judge.0.judge(measured, lag_maximum);
        judge.1 = measured;
        self.level.store(after as u8, Ordering::Release);
        (before, after)
    }

    /// The bound on memory, where so much of it could be derived from the machine.
    pub fn memory_maximum(&self, of_machine: Option<u64>) -> Option<u64> {
        match self.options().overload.memory_maximum {
            Memory::Unbounded => None,
            Memory::Bytes(bytes) => Some(bytes),
            Memory::Derived => of_machine.map(|bytes| bytes / 4 * 3),
        }
    }

    /// How much there is to do.
    pub fn level(&self) -> Level {
        Level::from_number(self.level.load(Ordering::Acquire))
    }

    /// The queues hold so many bytes in memory together.
    pub(in crate::broker) fn queued(&self, bytes: i64) {
        let maximum = self.queued_bytes_maximum.load(Ordering::Relaxed);
        let bytes = u64::try_from(bytes).unwrap_or(0);
        let is_full = maximum > 0 && bytes >= maximum;
        if self.is_full.load(Ordering::Relaxed) != is_full {
            self.is_full.store(is_full, Ordering::Relaxed);
        }
    }

    /// Whether no more memory is to be taken by what waits.
    pub(in crate::broker) fn is_pressed(&self) -> bool {
        self.is_full.load(Ordering::Relaxed) || self.sheds()
    }

    /// Whether QoS 0 is shed where it would have to wait.
    pub(in crate::broker) fn sheds(&self) -> bool {
        self.level.load(Ordering::Relaxed) >= Level::Pressed as u8
    }

    /// Counts a connection that is held back.
    pub(in crate::broker) fn held_back(&self, scope: Scope) {
        self.held_back[scope as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// What it counts.
    pub fn figures(&self, now: Instant) -> Figures {
        let now = self.tick(now);
        let held_back = |scope: Scope| self.held_back[scope as usize].load(Ordering::Relaxed);
        Figures {
            held_back: Scope::ALL.map(|scope| (scope, held_back(scope))),
            banned_addresses: self.banned_addresses.count(now),
            banned_clients: self.banned_clients.count(now),
            lines_left_out: self.quiet.count(),
            level: self.level(),
            measured: self.judge.lock().1,
        }
    }
}

/// Who comes too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooOften {
    /// All connections of a user together.
    User,
    /// A client.
    Client,
}

/// As much of a Client Identifier as is remembered.
fn remembered(client_id: &str) -> &str {
    let mut end = client_id.len().min(NAME_MAXIMUM);
    while !client_id.is_char_boundary(end) {
        end -= 1;
    }
    &client_id[..end]
}
