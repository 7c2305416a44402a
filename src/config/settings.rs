//! Puts all assignments into the rooms' options, then checks what concerns more than one key.
//!
//! A check across keys is made only of values that are right by themselves, so that one mistake is
//! reported once, where it was made.

use std::net::SocketAddr;

use crate::auth::options::Options as AuthOptions;
use crate::broker::options::Options as BrokerOptions;
use crate::control::options::Options as ControlOptions;
use crate::http::options::Options as HttpOptions;
use crate::listener::options::{
    Kind, ListenerOptions, Options as ListenersOptions, TlsOptions, TlsVersion,
};
use crate::store::options::{Durability, Options as StoreOptions};

use super::assignments::{Assignments, Slot};
use super::error::{Place, Problem};
use super::groups::{self, GROUP_KEYS, GroupSettings};
use super::keys::{
    Array, KEYS, Key, LISTENER_KEYS, ListenerKind, ListenerSettings, TOPIC_KEYS, TopicSettings,
};
use super::log::Options as LogOptions;
use super::token;
use super::value::Value;

/// The options of every room. Starts from the rooms' own defaults.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Network Connections and where they come from.
    pub listener: ListenersOptions,
    /// Metrics and health.
    pub http: HttpOptions,
    /// Where an operator asks.
    pub control: ControlOptions,
    /// Who may connect.
    pub auth: AuthOptions,
    /// The broker, its sessions and its routing.
    pub broker: BrokerOptions,
    /// What is kept.
    pub store: StoreOptions,
    /// What is logged.
    pub log: LogOptions,
}

/// Judges everything that was written. `name` is the file's, for what is missing from it. What is
/// wrong is added to `problems`; the settings are of use only if nothing was.
pub fn settle(written: &Assignments, name: &str, problems: &mut Vec<Problem>) -> Settings {
    let mut settings = Settings::default();
    let mut listeners = vec![ListenerSettings::default(); written.tables(Array::Listener).len()];
    let mut topics = vec![TopicSettings::default(); written.tables(Array::StoreTopics).len()];
    let mut groups = vec![GroupSettings::default(); written.tables(Array::Groups).len()];
    for (slot, given) in &written.values {
        let outcome = match slot.within {
            None => assign(KEYS, *slot, given, &mut settings),
            Some((Array::Listener, index)) => match listeners.get_mut(index) {
                Some(listener) => assign(LISTENER_KEYS, *slot, given, listener),
                None => Ok(()),
            },
            Some((Array::StoreTopics, index)) => match topics.get_mut(index) {
                Some(topic) => assign(TOPIC_KEYS, *slot, given, topic),
                None => Ok(()),
            },
            Some((Array::Groups, index)) => match groups.get_mut(index) {
                Some(group) => assign(GROUP_KEYS, *slot, given, group),
                None => Ok(()),
            },
        };
        problems.extend(outcome.err());
    }
    if listeners.is_empty() && !written.malformed.contains(&Array::Listener) {
        problems.push(Problem::new(
            Place::File {
                name: name.into(),
                position: None,
            },
            "there is no listener; expected at least one [[listener]] with kind and address",
        ));
    }
    for (index, listener) in listeners.into_iter().enumerate() {
        match one_listener(written, index, listener) {
            Ok(listener) => settings.listener.listeners.extend(listener),
            Err(problem) => problems.push(problem),
        }
    }
    for (index, topic) in topics.into_iter().enumerate() {
        match one_topic(written, index, topic) {
            Ok(topic) => settings.store.promise.topics.extend(topic),
            Err(problem) => problems.push(problem),
        }
    }
    let pubsub = &mut settings.broker.pubsub;
    problems.extend(groups::settle(written, groups, pubsub));
    // The broker promises what the store keeps.
    settings.broker.promise = settings.store.promise.clone();
    if problems.is_empty() {
        problems.extend(addresses_in_conflict(written, &settings));
        problems.extend(expiries_in_conflict(written, &mut settings));
        problems.extend(token::in_conflict(written, &settings.auth.token));
    }
    settings
}

fn assign<T>(
    keys: &[Key<T>],
    slot: Slot,
    (value, place): &(Value, Place),
    target: &mut T,
) -> Result<(), Problem> {
    match keys.iter().find(|key| key.path == slot.path) {
        Some(key) => (key.set)(value, target).map_err(|expected| {
            Problem::new(
                place.clone(),
                format!("{slot} is {value}; expected {}", expected.0),
            )
        }),
        None => Ok(()),
    }
}

/// A listener of its parts. `Ok(None)` if a part is missing because it was wrong, which has been
/// reported.
fn one_listener(
    written: &Assignments,
    index: usize,
    parts: ListenerSettings,
) -> Result<Option<ListenerOptions>, Problem> {
    let slot = |path| Slot::of_listener(index, path);
    for (path, expected) in [
        ("kind", "kind = \"tcp\" or \"tls\""),
        ("address", "an address such as address = \"127.0.0.1:1883\""),
    ] {
        if written.place(slot(path)).is_none() {
            return Err(Problem::new(
                written.tables(Array::Listener)[index].clone(),
                format!("listener.{index} has no {path}; expected {expected}"),
            ));
        }
    }
    let (Some(kind), Some(address)) = (parts.kind, parts.address) else {
        return Ok(None);
    };
    let kind = match kind {
        ListenerKind::Tcp => plain(written, index)?,
        ListenerKind::Tls => match tls(written, index, parts)? {
            Some(options) => Kind::Tls(options),
            None => return Ok(None),
        },
    };
    Ok(Some(ListenerOptions { address, kind }))
}

/// What is promised for one Topic Filter. `Ok(None)` if a part is missing because it was wrong, which
/// has been reported.
fn one_topic(
    written: &Assignments,
    index: usize,
    parts: TopicSettings,
) -> Result<Option<(Box<str>, Durability)>, Problem> {
    for (path, expected) in [
        ("filter", "a Topic Filter such as filter = \"telemetry/#\""),
        (
            "durability",
            "durability = \"flush\", \"write\" or \"memory\"",
        ),
    ] {
        let slot = Slot::of(Array::StoreTopics, index, path);
        if written.place(slot).is_none() {
            return Err(Problem::new(
                written.tables(Array::StoreTopics)[index].clone(),
                format!("store.topics.{index} has no {path}; expected {expected}"),
            ));
        }
    }
    Ok(parts.filter.zip(parts.durability))
}

/// Whoever wrote a certificate under a plain listener believes it to be encrypted.
fn plain(written: &Assignments, index: usize) -> Result<Kind, Problem> {
    let kind = Slot::of_listener(index, "kind");
    let kind_overridden = matches!(written.place(kind), Some(Place::Variable(_)));
    let tls = LISTENER_KEYS
        .iter()
        .filter(|key| key.path.starts_with("tls."))
        .map(|key| Slot::of_listener(index, key.path));
    for slot in tls {
        match written.place(slot) {
            None => {}
            // A variable that makes a listener plain goes before what the file says of TLS: there
            // is no way to take lines out of a file with a variable.
            Some(Place::File { .. }) if kind_overridden => {}
            Some(place) => {
                return Err(Problem::new(
                    place.clone(),
                    format!(
                        "{slot} is given but {kind} is \"tcp\"; \
                         expected kind = \"tls\", or no TLS settings"
                    ),
                ));
            }
        }
    }
    Ok(Kind::Tcp)
}

fn tls(
    written: &Assignments,
    index: usize,
    parts: ListenerSettings,
) -> Result<Option<TlsOptions>, Problem> {
    let slot = |path| Slot::of_listener(index, path);
    let missing: Vec<&str> = ["certificate", "key"]
        .into_iter()
        .zip(["tls.certificate", "tls.key"])
        .filter(|(_, path)| written.place(slot(path)).is_none())
        .map(|(name, _)| name)
        .collect();
    if !missing.is_empty() {
        let kind = slot("kind");
        let begins = &written.tables(Array::Listener)[index];
        let place = written.place(kind).unwrap_or(begins);
        return Err(Problem::new(
            place.clone(),
            format!(
                "{kind} is \"tls\" but there is no {}; \
                 expected [listener.tls] with certificate and key",
                missing.join(" and no "),
            ),
        ));
    }
    let (Some(certificate), Some(key)) = (parts.certificate, parts.key) else {
        return Ok(None);
    };
    let minimum_version = parts.minimum_version.unwrap_or(TlsVersion::V1_2);
    Ok(Some(TlsOptions {
        certificate,
        key,
        minimum_version,
    }))
}

/// Two listeners cannot share an address; finding out when the second is bound would be later, and
/// would not say where the first is written.
fn addresses_in_conflict(written: &Assignments, settings: &Settings) -> Vec<Problem> {
    let mut known: Vec<(Slot, SocketAddr)> = Vec::new();
    let mut problems = Vec::new();
    let listeners = settings.listener.listeners.iter().enumerate();
    let listeners =
        listeners.map(|(i, listener)| (Slot::of_listener(i, "address"), listener.address));
    let http = settings
        .http
        .address
        .map(|address| (Slot::plain("http.address"), address));
    for (slot, address) in listeners.chain(http) {
        if let Some((other, taken)) = known.iter().find(|(_, other)| overlap(*other, address)) {
            // HTTP may be the default, which is written nowhere; a listener always is written.
            let (at, what, rival) = match written.place(slot) {
                Some(place) => (Some(place), (slot, address), (other, taken)),
                None => (written.place(*other), (*other, *taken), (&slot, &address)),
            };
            let rival_place = match written.place(*rival.0) {
                Some(place) => format!(" ({place})"),
                None => " (the default)".to_owned(),
            };
            let text = format!(
                "{} is {}, but {} is {}{rival_place}; expected an address of its own",
                what.0, what.1, rival.0, rival.1
            );
            problems.extend(at.map(|place| Problem::new(place.clone(), text)));
        }
        known.push((slot, address));
    }
    problems
}

/// Whether the system would refuse to listen on both: an unspecified address covers all others of
/// its family. Port 0 is a free one each time.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() != 0
        && a.port() == b.port()
        && a.is_ipv4() == b.is_ipv4()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

/// Sessions of 3.x clients cannot outlive what is granted to anybody. A default gives way silently,
/// so that a file may lower the maximum alone.
fn expiries_in_conflict(written: &Assignments, settings: &mut Settings) -> Option<Problem> {
    let session = &mut settings.broker.session;
    if session.expiry_3x <= session.expiry_maximum {
        return None;
    }
    let Some(place) = written.place(Slot::plain("session.expiry_3x")) else {
        session.expiry_3x = session.expiry_maximum;
        return None;
    };
    Some(Problem::new(
        place.clone(),
        format!(
            "session.expiry_3x is longer than session.expiry_maximum; expected at most {}",
            super::units::show_duration(session.expiry_maximum)
        ),
    ))
}
