//! Every setting there is: its path, and how its value reaches the rooms' options.
//!
//! The path is the table and the key in the file, `[session] receive_maximum`, and the name of the
//! environment variable, `POSTBUD_SESSION_RECEIVE_MAXIMUM`. To add a setting, add a line here and
//! spell it out in `config/postbud.toml`; a test fails until both are done.
//!
//! Bounds stand here and not in the rooms: a room takes any value of its types and a configuration
//! only those that make sense. Durations have an upper bound so that adding one to the time of day
//! cannot overflow, and so that a typing error does not become a hundred years.

use std::time::Duration;

use crate::auth::options::WayName;
use crate::auth::token::options::{Algorithm, Field};
use crate::broker::defence::options::OverRate;
use crate::pubsub::options::Strategy;
use crate::queue::options::Overflow;
use crate::store::options::Durability;

use super::acl::{EFFECTS, RULE_KEYS};
use super::groups::GROUP_KEYS;
use super::listeners::LISTENER_KEYS;
use super::log::Level;
use super::settings::Settings;
use super::value::{Expected, Value};

/// When another value of a setting is in force after a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// With the reload.
    AtOnce,
    /// When the broker has been started again.
    AfterRestart,
}

/// One setting of a target of type `T`.
pub struct Key<T: 'static> {
    /// Table and key, separated by a dot.
    pub path: &'static str,
    /// When another value is in force.
    pub applies: Applies,
    /// Reads the value into its place, or says what would have been right.
    pub set: fn(&Value, &mut T) -> Result<(), Expected>,
}

/// Settings that come as an array of tables, in any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Array {
    /// `[[listener]]`
    Listener,
    /// `[[store.topics]]`
    StoreTopics,
    /// `[[groups]]`
    Groups,
    /// `[[acl.rules]]`
    AclRules,
}

impl Array {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Listener,
        Self::StoreTopics,
        Self::Groups,
        Self::AclRules,
    ];

    /// Its path in the file.
    pub fn path(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::StoreTopics => "store.topics",
            Self::Groups => "groups",
            Self::AclRules => "acl.rules",
        }
    }

    /// What its tables are, as people call them.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Listener => "listeners",
            Self::StoreTopics => "topics",
            Self::Groups => "groups",
            Self::AclRules => "rules",
        }
    }

    /// The paths of the keys in each of its tables.
    pub fn keys(self) -> Vec<&'static str> {
        self.settings().into_iter().map(|(path, _)| path).collect()
    }

    /// The paths of the keys in each of its tables, and when another value is in force.
    pub fn settings(self) -> Vec<(&'static str, Applies)> {
        match self {
            Self::Listener => applying(LISTENER_KEYS),
            Self::StoreTopics => applying(TOPIC_KEYS),
            Self::Groups => applying(GROUP_KEYS),
            Self::AclRules => applying(RULE_KEYS),
        }
    }

    /// The keys whose values say which table is which. Without any, all tables of the array apply together.
    pub fn identity(self) -> &'static [&'static str] {
        match self {
            Self::Listener => &["address", "path"],
            Self::StoreTopics | Self::Groups | Self::AclRules => &[],
        }
    }
}

/// What is known of one `[[store.topics]]` before its parts are put together.
#[derive(Clone, Debug, Default)]
pub struct TopicSettings {
    /// Which topics.
    pub filter: Option<Box<str>>,
    /// How safe they are.
    pub durability: Option<Durability>,
}

/// The settings of each `[[store.topics]]`.
pub const TOPIC_KEYS: &[Key<TopicSettings>] = &[
    restart("filter", |v, to| v.topic_filter(&mut to.filter)),
    restart("durability", |v, to| {
        v.choice(DURABILITIES, &mut to.durability)
    }),
];

/// All other settings.
pub const KEYS: &[Key<Settings>] = &[
    key("limits.connections_maximum", |v, to| {
        v.number(1..=ANY, &mut to.broker.defence.connections_maximum)
    }),
    key("limits.handshakes_maximum", |v, to| {
        v.number(0..=ANY, &mut to.broker.defence.handshakes_maximum)
    }),
    key("limits.abandoned_sessions_maximum", |v, to| {
        v.number(1..=ANY, &mut to.broker.abandoned_sessions_maximum)
    }),
    key("limits.connect_timeout", |v, to| {
        v.duration(TENTH..=HOUR, &mut to.listener.connect_timeout)
    }),
    key("limits.write_timeout", |v, to| {
        v.duration(TENTH..=HOUR, &mut to.listener.write_timeout)
    }),
    key("limits.drain_timeout", |v, to| {
        v.duration(Duration::ZERO..=HOUR, &mut to.listener.drain_timeout)
    }),
    key("limits.over_rate", |v, to| {
        v.choice(OVER_RATES, &mut to.broker.defence.over_rate)
    }),
    key("limits.remembered", |v, to| {
        v.number(1000..=ANY, &mut to.broker.defence.remembered)
    }),
    key("limits.exempt", |v, to| {
        v.networks(&mut to.broker.defence.exempt)
    }),
    key("limits.connection.messages_per_second", |v, to| {
        v.number(0..=ANY, &mut to.broker.defence.connection.messages)
    }),
    key("limits.connection.bytes_per_second", |v, to| {
        v.size(0..=ANY, &mut to.broker.defence.connection.bytes)
    }),
    key("limits.connection.burst", |v, to| {
        v.duration(TENTH..=HOUR, &mut to.broker.defence.connection.burst)
    }),
    key("limits.user.messages_per_second", |v, to| {
        v.number(0..=ANY, &mut to.broker.defence.user.messages)
    }),
    key("limits.user.bytes_per_second", |v, to| {
        v.size(0..=ANY, &mut to.broker.defence.user.bytes)
    }),
    key("limits.user.connects_per_second", |v, to| {
        v.number(0..=ANY, &mut to.broker.defence.user.connects)
    }),
    key("limits.user.burst", |v, to| {
        v.duration(TENTH..=HOUR, &mut to.broker.defence.user.burst)
    }),
    key("limits.address.messages_per_second", |v, to| {
        v.number(0..=ANY, &mut to.broker.defence.address.messages)
    }),
    key("limits.address.bytes_per_second", |v, to| {
        v.size(0..=ANY, &mut to.broker.defence.address.bytes)
    }),
    key("limits.address.connects_per_second", |v, to| {
        v.number(0..=ANY, &mut to.broker.defence.address.connects)
    }),
    key("limits.address.burst", |v, to| {
        v.duration(TENTH..=HOUR, &mut to.broker.defence.address.burst)
    }),
    key("limits.address.connections_maximum", |v, to| {
        v.number(0..=ANY, &mut to.broker.defence.address_connections_maximum)
    }),
    key("limits.address.handshakes_maximum", |v, to| {
        v.number(0..=ANY, &mut to.broker.defence.address_handshakes_maximum)
    }),
    key("limits.ban.failures", |v, to| {
        v.number(0..=ANY, &mut to.broker.defence.ban.failures)
    }),
    key("limits.ban.within", |v, to| {
        v.duration(SECOND..=DAY, &mut to.broker.defence.ban.within)
    }),
    key("limits.ban.for", |v, to| {
        v.duration(SECOND..=YEARS, &mut to.broker.defence.ban.lasts)
    }),
    key("limits.ban.tls", |v, to| {
        v.boolean(&mut to.broker.defence.ban.tls)
    }),
    key("limits.flapping.connects", |v, to| {
        v.number(0..=ANY, &mut to.broker.defence.flapping.connects)
    }),
    key("limits.flapping.within", |v, to| {
        v.duration(SECOND..=DAY, &mut to.broker.defence.flapping.within)
    }),
    key("limits.flapping.for", |v, to| {
        v.duration(SECOND..=YEARS, &mut to.broker.defence.flapping.lasts)
    }),
    key("overload.memory_maximum", |v, to| {
        v.memory(&mut to.broker.defence.overload.memory_maximum)
    }),
    key("overload.lag_maximum", |v, to| {
        v.duration_or_zero(TENTH..=HOUR, &mut to.broker.defence.overload.lag_maximum)
    }),
    restart("http.address", |v, to| {
        v.address_or_none(&mut to.http.address)
    }),
    restart("control.socket", |v, to| {
        v.path_or_none(&mut to.control.socket)
    }),
    key("auth.anonymous", |v, to| v.boolean(&mut to.auth.anonymous)),
    key("auth.ways", |v, to| v.choices(WAYS, &mut to.auth.ways)),
    key("auth.password.file", |v, to| {
        v.path_or_none(&mut to.auth.password.file)
    }),
    key("auth.password.checks_at_once", |v, to| {
        v.number(1..=64, &mut to.auth.password.checks_at_once)
    }),
    key("auth.password.checks_waiting", |v, to| {
        v.number(1..=1_000_000, &mut to.auth.password.checks_waiting)
    }),
    key("auth.scram.file", |v, to| {
        v.path_or_none(&mut to.auth.scram.file)
    }),
    key("auth.token.from", |v, to| {
        v.choice(FIELDS, &mut to.auth.token.from)
    }),
    key("auth.token.algorithms", |v, to| {
        v.choices(Algorithm::ALL, &mut to.auth.token.algorithms)
    }),
    key("auth.token.secret_file", |v, to| {
        v.path_or_none(&mut to.auth.token.secret)
    }),
    key("auth.token.key_file", |v, to| {
        v.path_or_none(&mut to.auth.token.key)
    }),
    key("auth.token.jwks_file", |v, to| {
        v.path_or_none(&mut to.auth.token.set)
    }),
    key("auth.token.jwks_url", |v, to| {
        v.url_or_none(&mut to.auth.token.url)
    }),
    key("auth.token.jwks_refresh", |v, to| {
        v.duration(SECOND..=DAY, &mut to.auth.token.refresh)
    }),
    key("auth.token.jwks_timeout", |v, to| {
        v.duration(TENTH..=HOUR, &mut to.auth.token.web.timeout)
    }),
    key("auth.token.jwks_ca_file", |v, to| {
        v.path_or_none(&mut to.auth.token.web.authorities)
    }),
    key("auth.token.jwks_headers_file", |v, to| {
        v.path_or_none(&mut to.auth.token.web.headers)
    }),
    key("auth.token.issuer", |v, to| {
        v.text(1024, &mut to.auth.token.issuer)
    }),
    key("auth.token.audience", |v, to| {
        v.text(1024, &mut to.auth.token.audience)
    }),
    key("auth.token.expiry_required", |v, to| {
        v.boolean(&mut to.auth.token.expiry_required)
    }),
    key("auth.token.leeway", |v, to| {
        v.duration(Duration::ZERO..=HOUR, &mut to.auth.token.leeway)
    }),
    key("auth.token.user_claim", |v, to| {
        v.word(1024, &mut to.auth.token.user_claim)
    }),
    key("auth.token.client_id_claim", |v, to| {
        v.text(1024, &mut to.auth.token.client_id_claim)
    }),
    key("auth.token.user_name_claim", |v, to| {
        v.text(1024, &mut to.auth.token.user_name_claim)
    }),
    key("auth.token.groups_claim", |v, to| {
        v.text(1024, &mut to.auth.token.groups_claim)
    }),
    key("auth.token.acl_claim", |v, to| {
        v.text(1024, &mut to.auth.token.acl_claim)
    }),
    key("auth.token.size_maximum", |v, to| {
        v.size(256..=65_535, &mut to.auth.token.size_maximum)
    }),
    key("auth.http.authenticate_url", |v, to| {
        v.url_or_none(&mut to.auth.http.authenticate)
    }),
    key("auth.http.authorize_url", |v, to| {
        v.url_or_none(&mut to.auth.http.authorize)
    }),
    key("auth.http.timeout", |v, to| {
        v.duration(TENTH..=MINUTE, &mut to.auth.http.web.timeout)
    }),
    key("auth.http.ca_file", |v, to| {
        v.path_or_none(&mut to.auth.http.web.authorities)
    }),
    key("auth.http.headers_file", |v, to| {
        v.path_or_none(&mut to.auth.http.web.headers)
    }),
    key("auth.http.requests_at_once", |v, to| {
        v.number(1..=10_000, &mut to.auth.http.requests_at_once)
    }),
    key("auth.http.requests_waiting", |v, to| {
        v.number(0..=1_000_000, &mut to.auth.http.requests_waiting)
    }),
    key("auth.http.cache_time", |v, to| {
        v.duration(Duration::ZERO..=DAY, &mut to.auth.http.cache_time)
    }),
    key("auth.http.cache_size", |v, to| {
        v.number(1..=10_000_000, &mut to.auth.http.cache_size)
    }),
    key("acl.mosquitto_file", |v, to| {
        v.path_or_none(&mut to.auth.acl.mosquitto_file)
    }),
    // Its rules are read with the configuration.
    key("acl.file", |v, to| v.path_or_none(&mut to.rules_file)),
    key("acl.default", |v, to| {
        v.choice(EFFECTS, &mut to.auth.acl.default)
    }),
    key("session.receive_maximum", |v, to| {
        v.number(1..=65_535, &mut to.broker.session.receive_maximum)
    }),
    key("session.inflight_maximum", |v, to| {
        v.number(1..=65_535, &mut to.broker.session.inflight_maximum)
    }),
    key("session.packet_size_maximum", |v, to| {
        v.size(
            256..=268_435_460,
            &mut to.broker.session.packet_size_maximum,
        )
    }),
    key("session.topic_alias_maximum", |v, to| {
        v.number(0..=65_535, &mut to.broker.session.topic_alias_maximum)
    }),
    key("session.outbound_alias_maximum", |v, to| {
        v.number(0..=65_535, &mut to.broker.session.outbound_alias_maximum)
    }),
    key("session.keep_alive_maximum", |v, to| {
        v.keep_alive(&mut to.broker.session.keep_alive_maximum)
    }),
    key("session.expiry_maximum", |v, to| {
        v.expiry(&mut to.broker.session.expiry_maximum)
    }),
    key("session.expiry_3x", |v, to| {
        v.expiry(&mut to.broker.session.expiry_3x)
    }),
    key("session.subscriptions_maximum", |v, to| {
        v.number(1..=ANY, &mut to.broker.session.subscriptions_maximum)
    }),
    key("session.subscription_bytes_maximum", |v, to| {
        v.size(
            65_536..=ANY,
            &mut to.broker.session.subscription_bytes_maximum,
        )
    }),
    key("session.topic_levels_maximum", |v, to| {
        // A topic of 65,535 bytes has at most one level more than that.
        v.number(1..=65_536, &mut to.broker.session.topic_levels_maximum)
    }),
    key("session.unsent_maximum", |v, to| {
        v.size(1024..=GIBIBYTE, &mut to.broker.session.unsent_maximum)
    }),
    key("session.queue_qos0_offline", |v, to| {
        v.boolean(&mut to.broker.session.queue_qos0_offline)
    }),
    key("session.response_information", |v, to| {
        v.text(1024, &mut to.broker.session.response_information)
    }),
    key("queue.messages", |v, to| {
        v.number(1..=ANY, &mut to.broker.session.queue.messages)
    }),
    key("queue.bytes", |v, to| {
        v.size(1..=ANY, &mut to.broker.session.queue.bytes)
    }),
    key("queue.overflow", |v, to| {
        v.choice(OVERFLOWS, &mut to.broker.session.queue.overflow)
    }),
    key("queue.memory", |v, to| {
        v.size(1..=ANY, &mut to.broker.queue_memory)
    }),
    key("queue.total_bytes", |v, to| {
        let bytes = &mut to.broker.defence.overload.queued_bytes_maximum;
        v.size(0..=ANY, bytes)
    }),
    key("shared.strategy", |v, to| {
        v.choice(STRATEGIES, &mut to.broker.pubsub.strategy)
    }),
    key("shared.queue_messages", |v, to| {
        v.number(1..=ANY, &mut to.broker.pubsub.group_queue.messages)
    }),
    key("shared.queue_bytes", |v, to| {
        v.size(1..=ANY, &mut to.broker.pubsub.group_queue.bytes)
    }),
    key("shared.queue_overflow", |v, to| {
        v.choice(OVERFLOWS, &mut to.broker.pubsub.group_queue.overflow)
    }),
    key("delayed.messages", |v, to| {
        v.number(1..=ANY, &mut to.broker.delayed.messages)
    }),
    key("delayed.bytes", |v, to| {
        v.size(1..=ANY, &mut to.broker.delayed.bytes)
    }),
    key("delayed.longest", |v, to| {
        v.duration(SECOND..=YEARS, &mut to.broker.delayed.longest)
    }),
    restart("retained.available", |v, to| {
        v.boolean(&mut to.broker.pubsub.retained.available)
    }),
    key("retained.messages", |v, to| {
        v.number(1..=ANY, &mut to.broker.pubsub.retained.messages)
    }),
    key("retained.bytes", |v, to| {
        v.size(1..=ANY, &mut to.broker.pubsub.retained.bytes)
    }),
    restart("store.path", |v, to| v.path(&mut to.store.path)),
    restart("store.durability", |v, to| {
        v.choice(DURABILITIES, &mut to.store.promise.default)
    }),
    restart("store.bytes_maximum", |v, to| {
        v.size_or_zero(STORE_LEAST..=ANY, &mut to.store.bytes_maximum)
    }),
    restart("store.strict", |v, to| v.boolean(&mut to.store.strict)),
    key("sys.interval", |v, to| {
        v.duration_or_zero(SECOND..=DAY, &mut to.broker.sys_interval)
    }),
    key("log.level", |v, to| v.choice(LEVELS, &mut to.log.level)),
];

pub(super) const ANY: u64 = u64::MAX;
pub(super) const GIBIBYTE: u64 = 1 << 30;
/// Room for a few segments, and for one that is carried forward.
const STORE_LEAST: u64 = 16 << 20;
pub(super) const TENTH: Duration = Duration::from_millis(100);
pub(super) const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// What ten digits of seconds can say, nearly.
const YEARS: Duration = Duration::from_secs(u32::MAX as u64);

const OVER_RATES: &[(&str, OverRate)] = &[("pause", OverRate::Pause), ("close", OverRate::Close)];
const WAYS: &[(&str, WayName)] = &[
    ("certificate", WayName::Certificate),
    ("password", WayName::Password),
    ("token", WayName::Token),
    ("http", WayName::Http),
];

const FIELDS: &[(&str, Field)] = &[("password", Field::Password), ("username", Field::UserName)];

const OVERFLOWS: &[(&str, Overflow)] = &[
    ("drop-newest", Overflow::DropNewest),
    ("drop-oldest", Overflow::DropOldest),
];

pub(super) const STRATEGIES: &[(&str, Strategy)] = &[
    ("round-robin", Strategy::RoundRobin),
    ("random", Strategy::Random),
    ("sticky", Strategy::Sticky),
    ("least-inflight", Strategy::LeastInflight),
];

const DURABILITIES: &[(&str, Durability)] = &[
    ("flush", Durability::Flush),
    ("write", Durability::Write),
    ("memory", Durability::Memory),
];

const LEVELS: &[(&str, Level)] = &[
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
];

/// Makes a key for a setting of which a reload puts another value in force.
pub(super) const fn key<T>(
    path: &'static str,
    set: fn(&Value, &mut T) -> Result<(), Expected>,
) -> Key<T> {
    let applies = Applies::AtOnce;
    Key { path, applies, set }
}

/// Makes a key for a setting that needs a restart: "(restart)" is to be said of it in
/// `config/postbud.toml`.
pub(super) const fn restart<T>(
    path: &'static str,
    set: fn(&Value, &mut T) -> Result<(), Expected>,
) -> Key<T> {
    let applies = Applies::AfterRestart;
    Key { path, applies, set }
}

fn applying<T>(keys: &'static [Key<T>]) -> Vec<(&'static str, Applies)> {
    keys.iter().map(|key| (key.path, key.applies)).collect()
}

/// The paths of a list of keys.
pub fn paths<T>(keys: &'static [Key<T>]) -> impl Iterator<Item = &'static str> + Clone {
    keys.iter().map(|key| key.path)
}
