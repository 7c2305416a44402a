//! Rules of which the first one that applies decides.
//!
//! ```text
//!   1  deny  subscribe  secret/#       "secret/x" or "#": denied, for some of it is
//!   2  allow subscribe  site/+/door    "site/7/door", "site/+/door": allowed, for all of it is
//!      nothing else                    "site/#": silent, for no rule allows all of it
//! ```
//!
//! A Topic Name is held against the topics of each rule. So is a Topic Filter, which may stand for many names:
//! a rule that denies any of them denies the filter, and one that does not allow all of them is passed over. So
//! what a subscription brings is allowed name by name, and deliveries need not be asked about.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::auth::{Access, AskAgain, Rules, Ruling, Who};
use crate::topic::filter;

use super::index::Index;
use super::options::{Effect, Name, Rule};

/// A list of rules.
#[derive(Debug)]
pub struct Ordered {
    rules: Arc<[Rule]>,
    index: Index,
}

impl Ordered {
    /// These rules, in their order.
    pub fn new(rules: Arc<[Rule]>) -> Self {
        Self {
            index: Index::new(&rules),
            rules,
        }
    }
}

impl Rules for Ordered {
    fn ruling(&self, who: &Who<'_>, access: Access<'_>, _: &mut dyn FnMut() -> AskAgain) -> Ruling {
        let found = self.index.find(who).into_iter();
        let mut rules = found.map(|number| &self.rules[number]);
        let decides = |rule: &&Rule| rule.is_about(access) && rule.is_for(who);
        let first = rules.find(|rule| decides(rule) && rule.has_topic(who, access));
        match first.map(|rule| rule.effect) {
            Some(Effect::Allow) => Ruling::Allow,
            Some(Effect::Deny) => Ruling::Deny,
            None => Ruling::Silent,
        }
    }
}

impl Rule {
    /// Whether it speaks of such an action.
    fn is_about(&self, access: Access<'_>) -> bool {
        match access {
            Access::Publish { qos, retain, .. } => {
                self.publish && qos <= self.qos && self.retain.is_none_or(|it| it == retain)
            }
            Access::Subscribe { qos, .. } => self.subscribe && qos <= self.qos,
            Access::Receive { .. } => self.subscribe,
        }
    }

    /// Whether it speaks of this client.
    fn is_for(&self, who: &Who<'_>) -> bool {
        let is_one = |names: &[Name], name: &str| names.iter().any(|it| it.is(name));
        // What a rule is filed under has been held against the client already, and may be long.
        let by_user = !self.users.is_empty();
        let by_client = by_user || !self.clients.is_empty();
        let client = !by_user || self.clients.is_empty() || is_one(&self.clients, who.client_id);
        let mut groups = who.identity.groups.iter();
        let group =
            !by_client || self.groups.is_empty() || groups.any(|group| is_one(&self.groups, group));
        let peer = who.caller.and_then(|caller| caller.peer);
        let is_from = |peer: SocketAddr| {
            let mut networks = self.addresses.iter();
            networks.any(|network| network.contains(peer.ip()))
        };
        client && group && (self.addresses.is_empty() || peer.is_some_and(is_from))
    }

    /// Whether its topics include what is wanted: all of it if it allows, any of it if it denies.
    fn has_topic(&self, who: &Who<'_>, access: Access<'_>) -> bool {
        self.topics.iter().any(|topic| {
            let own = match self.effect {
                Effect::Allow => topic.to_grant(who),
                Effect::Deny => topic.to_deny(who),
            };
            own.is_some_and(|own| match (access, self.effect) {
                (Access::Publish { topic, .. } | Access::Receive { topic }, _) => {
                    filter::matches(&own, topic)
                }
                (Access::Subscribe { filter, .. }, Effect::Allow) => filter::covers(&own, filter),
                (Access::Subscribe { filter, .. }, Effect::Deny) => filter::overlaps(&own, filter),
            })
        })
    }
}

/// What is asked last of all where everything else is to be allowed.
#[derive(Debug)]
pub struct Everything;

impl Rules for Everything {
    fn ruling(&self, _: &Who<'_>, _: Access<'_>, _: &mut dyn FnMut() -> AskAgain) -> Ruling {
        Ruling::Allow
    }
}

#[cfg(test)]
mod tests;
