//! Where the rules about topics come from, and what they are.

use std::path::PathBuf;
use std::sync::Arc;

use crate::auth::network::Network;
use crate::codec::QoS;

use super::pattern::Pattern;

/// Which rules there are.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// A file of permissions as mosquitto reads it.
    pub mosquitto_file: Option<PathBuf>,
    /// Rules in their order. A list without any, such as an empty file, allows nothing; no list is something else.
    pub rules: Option<Arc<[Rule]>>,
    /// What becomes of all that no rule decides, as soon as there are any.
    pub default: Effect,
}

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Effect {
    /// It may be done.
    Allow,
    /// It may not.
    #[default]
    Deny,
}

/// One rule: its effect for some clients, actions and topics.
///
/// Who is named by user, client, group and address has to be all of it; within each list, one is enough, and
/// an empty list names everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it says.
    pub effect: Effect,
    /// Whether it speaks of publishing.
    pub publish: bool,
    /// Whether it speaks of subscribing, and of what subscriptions bring.
    pub subscribe: bool,
    /// Of which topics; at least one.
    pub topics: Vec<Pattern>,
    /// Of whom, by proved user name.
    pub users: Vec<Name>,
    /// By Client Identifier.
    pub clients: Vec<Name>,
    /// By a group that the proof named.
    pub groups: Vec<Name>,
    /// By where they come from; who is away comes from nowhere.
    pub addresses: Vec<Network>,
    /// Only of publishing retained messages, or only of publishing others.
    pub retain: Option<bool>,
    /// Only up to this QoS.
    pub qos: QoS,
}

impl Rule {
    /// About everything that everybody does with these topics; other fields narrow it.
    pub fn about(effect: Effect, topics: &[&str]) -> Self {
        Self {
            effect,
            publish: true,
            subscribe: true,
            topics: topics.iter().map(|it| Pattern::new(it)).collect(),
            users: Vec::new(),
            clients: Vec::new(),
            groups: Vec::new(),
            addresses: Vec::new(),
            retain: None,
            qos: QoS::ExactlyOnce,
        }
    }
}

/// A name, or the beginning of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// This one.
    Exactly(Box<str>),
    /// All that begin like this.
    Beginning(Box<str>),
}

impl Name {
    /// Reads a name in which a `*` can only stand at the end.
    pub fn new(text: &str) -> Option<Self> {
        match text.split_once('*') {
            None => Some(Self::Exactly(text.into())),
            Some((beginning, "")) => Some(Self::Beginning(beginning.into())),
            Some(_) => None,
        }
    }

    /// Whether it is this name, or one of many.
    pub fn is(&self, name: &str) -> bool {
        match self {
            Self::Exactly(own) => **own == *name,
            Self::Beginning(own) => name.starts_with(&**own),
        }
    }
}
