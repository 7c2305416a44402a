//! `[[acl.rules]]`, in the configuration and in the file that `acl.file` names.
//!
//! That file has the same tables and nothing else, so that rules can be moved from one to the other. They come
//! behind those of the configuration.

use std::path::PathBuf;

use crate::auth::acl::options::{Effect, Name, Rule};
use crate::auth::acl::pattern::Pattern;
use crate::auth::network::Network;
use crate::codec::QoS;

use super::assignments::{Assignments, Slot};
use super::error::Problem;
use super::file;
use super::keys::{Array, Key, key};

/// What is known of one rule before its parts are put together.
#[derive(Clone, Debug, Default)]
pub struct RuleSettings {
    allow: Vec<Action>,
    deny: Vec<Action>,
    topics: Vec<Pattern>,
    user: Vec<Name>,
    client: Vec<Name>,
    group: Vec<Name>,
    address: Vec<Network>,
    retain: Option<bool>,
    qos: Option<u8>,
}

/// What a rule may speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Publish,
    Subscribe,
}

const ACTIONS: &str = "\"publish\", \"subscribe\" or both";

fn action(word: &str) -> Option<Action> {
    match word {
        "publish" => Some(Action::Publish),
        "subscribe" => Some(Action::Subscribe),
        _ => None,
    }
}

const NETWORKS: &str = "addresses and networks such as \"10.0.0.0/8\"";

fn network(text: &str) -> Option<Network> {
    text.parse().ok()
}

/// What else is to happen.
pub const EFFECTS: &[(&str, Effect)] = &[("allow", Effect::Allow), ("deny", Effect::Deny)];

/// The settings of each `[[acl.rules]]`.
pub const RULE_KEYS: &[Key<RuleSettings>] = &[
    key("allow", |v, to| v.each(ACTIONS, action, &mut to.allow)),
    key("deny", |v, to| v.each(ACTIONS, action, &mut to.deny)),
    key("topics", |v, to| v.topic_patterns(&mut to.topics)),
    key("user", |v, to| v.names(&mut to.user)),
    key("client", |v, to| v.names(&mut to.client)),
    key("group", |v, to| v.names(&mut to.group)),
    key("address", |v, to| {
        v.each(NETWORKS, network, &mut to.address)
    }),
    key("retain", |v, to| v.boolean(to.retain.insert(false))),
    key("qos", |v, to| v.number(0..=2, to.qos.insert(0))),
];

/// The file of rules that is named, if one is.
pub fn file_of_rules(written: &Assignments) -> Option<PathBuf> {
    let (value, _) = written.values.get(&Slot::plain("acl.file"))?;
    let mut path = None;
    // A value that is wrong is told with all others.
    value.path_or_none(&mut path).ok().and(path)
}

/// Adds the rules of a file, `text` that came from `name`, behind those that are there.
pub fn read(name: &str, text: &str, written: &mut Assignments, problems: &mut Vec<Problem>) {
    let Some(found) = file::read(name, text, problems) else {
        return;
    };
    let known = written.tables.entry(Array::AclRules).or_default();
    let before = known.len();
    known.extend(found.tables(Array::AclRules).iter().cloned());
    for (mut slot, (value, place)) in found.values {
        match &mut slot.within {
            Some((Array::AclRules, index)) => {
                *index += before;
                written.values.insert(slot, (value, place));
            }
            _ => {
                let text = format!("{slot} is given in a file of rules; expected [[acl.rules]]");
                problems.push(Problem::new(place, text));
            }
        }
    }
    let others = found.tables.iter().filter(|it| *it.0 != Array::AclRules);
    for (array, places) in others {
        let path = array.path();
        let text = format!("[[{path}]] is given in a file of rules; expected [[acl.rules]]");
        let problem = |place: &_| Problem::new(Clone::clone(place), text.clone());
        problems.extend(places.iter().map(problem));
    }
}

/// Puts the parts of all rules together. What is wrong with them, beyond what was reported already, is added to
/// `problems`.
pub fn settle(
    written: &Assignments,
    rules: Vec<RuleSettings>,
    problems: &mut Vec<Problem>,
) -> Vec<Rule> {
    let mut settled = Vec::with_capacity(rules.len());
    for (index, parts) in rules.into_iter().enumerate() {
        match one(written, index, parts) {
            Ok(rule) => settled.extend(rule),
            Err(problem) => problems.push(problem),
        }
    }
    settled
}

/// One rule. `Ok(None)` if a part is missing because it was wrong, which has been reported.
fn one(written: &Assignments, index: usize, parts: RuleSettings) -> Result<Option<Rule>, Problem> {
    let begins = &written.tables(Array::AclRules)[index];
    let place = |path| written.place(Slot::of(Array::AclRules, index, path));
    let wrong = |path, text: &str| {
        let place = place(path).unwrap_or(begins);
        Err(Problem::new(
            place.clone(),
            format!("acl.rules.{index} {text}"),
        ))
    };
    let (effect, actions) = match (place("allow"), place("deny")) {
        (Some(_), Some(_)) => {
            return wrong("deny", "has allow and deny; expected one of them");
        }
        (None, None) => {
            let text = "has neither allow nor deny; expected one such as \
                        allow = [\"publish\", \"subscribe\"]";
            return wrong("allow", text);
        }
        (Some(_), None) => (Effect::Allow, parts.allow),
        (None, Some(_)) => (Effect::Deny, parts.deny),
    };
    if place("topics").is_none() {
        let text = "has no topics; expected Topic Filters such as topics = [\"devices/%c/#\"]";
        return wrong("topics", text);
    }
    let does = |action| actions.contains(&action);
    if parts.retain.is_some() && does(Action::Subscribe) {
        let text = "has retain, which is said of publishing; expected \"publish\" alone";
        return wrong("retain", text);
    }
    if actions.is_empty() || parts.topics.is_empty() {
        return Ok(None);
    }
    Ok(Some(Rule {
        effect,
        publish: does(Action::Publish),
        subscribe: does(Action::Subscribe),
        topics: parts.topics,
        users: parts.user,
        clients: parts.client,
        groups: parts.group,
        addresses: parts.address,
        retain: parts.retain,
        qos: parts
            .qos
            .and_then(QoS::from_bits)
            .unwrap_or(QoS::ExactlyOnce),
    }))
}
