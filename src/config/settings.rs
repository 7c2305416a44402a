//! Puts all assignments into the rooms' options, then checks what concerns more than one key.
//!
//! A check across keys is made only of values that are right by themselves, so that one mistake is
//! reported once, where it was made.

use std::path::PathBuf;

use crate::auth::options::Options as AuthOptions;
use crate::broker::options::Options as BrokerOptions;
use crate::control::options::Options as ControlOptions;
use crate::http::options::Options as HttpOptions;
use crate::listener::options::Options as ListenersOptions;
use crate::store::options::{Durability, Options as StoreOptions};

use super::acl::{self, RULE_KEYS, RuleSettings};
use super::assignments::{Assignments, Slot};
use super::conflicts;
use super::error::{Place, Problem};
use super::groups::{self, GROUP_KEYS, GroupSettings};
use super::keys::{Array, KEYS, Key, TOPIC_KEYS, TopicSettings};
use super::listeners::{self, LISTENER_KEYS, ListenerSettings};
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
    /// The file of further rules about topics.
    pub rules_file: Option<PathBuf>,
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
    let mut rules = vec![RuleSettings::default(); written.tables(Array::AclRules).len()];
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
            Some((Array::AclRules, index)) => match rules.get_mut(index) {
                Some(rule) => assign(RULE_KEYS, *slot, given, rule),
                None => Ok(()),
            },
        };
        problems.extend(outcome.err());
    }
    let options = &mut settings.listener;
    listeners::settle(written, name, listeners, options, problems);
    for (index, topic) in topics.into_iter().enumerate() {
        match one_topic(written, index, topic) {
            Ok(topic) => settings.store.promise.topics.extend(topic),
            Err(problem) => problems.push(problem),
        }
    }
    let pubsub = &mut settings.broker.pubsub;
    problems.extend(groups::settle(written, groups, pubsub));
    let rules = acl::settle(written, rules, problems);
    // A file without rules is not the same as none: nothing is allowed then.
    let is_list = settings.rules_file.is_some() || !rules.is_empty();
    settings.auth.acl.rules = is_list.then(|| rules.into());
    // The broker promises what the store keeps.
    settings.broker.promise = settings.store.promise.clone();
    if problems.is_empty() {
        problems.extend(conflicts::between_places(written, &settings));
        problems.extend(conflicts::between_names(written, &settings));
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
