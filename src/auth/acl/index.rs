//! Finds the rules that may speak of a client, without a look at those that speak of others.
//!
//! ```text
//!   rule   user = ["anna", "sensor-*"]     filed under  user   anna      and under  user   sensor-…
//!   rule   client = "gate", group = "ops"  filed under  client gate
//!   rule   group = "ops"                   filed under  group  ops
//!   rule   address = "10.0.0.0/8"          filed under  everybody
//! ```
//!
//! So ten thousand users with their rules cost a decision about one of them no more than its own rules do.

use std::collections::{BTreeSet, HashMap};

use crate::auth::Who;

use super::options::{Name, Rule};

/// The numbers of rules, by whom they speak of.
#[derive(Debug, Default)]
pub struct Index {
    users: Names,
    clients: Names,
    groups: Names,
    everybody: Vec<usize>,
}

/// What is filed under names of one kind.
#[derive(Debug, Default)]
struct Names {
    exactly: HashMap<Box<str>, Vec<usize>>,
    beginning: HashMap<Box<str>, Vec<usize>>,
    /// How long the beginnings are.
    lengths: BTreeSet<usize>,
}

impl Index {
    /// Files all rules.
    pub fn new(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        for (number, rule) in rules.iter().enumerate() {
            if !rule.users.is_empty() {
                index.users.file(&rule.users, number);
            } else if !rule.clients.is_empty() {
                index.clients.file(&rule.clients, number);
            } else if !rule.groups.is_empty() {
                index.groups.file(&rule.groups, number);
            } else {
                index.everybody.push(number);
            }
        }
        index
    }

    /// The numbers of the rules that may speak of this client, in their order: all that do are among them.
    pub fn find(&self, who: &Who<'_>) -> Vec<usize> {
        let mut found = self.everybody.clone();
        if let Some(user) = &who.identity.user {
            self.users.find(user, &mut found);
        }
        self.clients.find(who.client_id, &mut found);
        for group in who.identity.groups.iter() {
            self.groups.find(group, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Names {
    fn file(&mut self, names: &[Name], number: usize) {
        for name in names {
            let list = match name {
                Name::Exactly(name) => self.exactly.entry(name.clone()),
                Name::Beginning(beginning) => {
                    self.lengths.insert(beginning.len());
                    self.beginning.entry(beginning.clone())
                }
            };
            list.or_default().push(number);
        }
    }

    fn find(&self, name: &str, found: &mut Vec<usize>) {
        found.extend(self.exactly.get(name).into_iter().flatten());
        for length in self.lengths.range(..=name.len()) {
            let beginning = name.get(..*length);
            let filed = beginning.and_then(|beginning| self.beginning.get(beginning));
            found.extend(filed.into_iter().flatten());
        }
    }
}
