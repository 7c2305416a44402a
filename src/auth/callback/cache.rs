//! What the service has said, for a while, and who waits for what it will say.
//!
//! ```text
//!   question ──> key ──┬── said, and still holds ──> the ruling
//!                      ├── being asked ──────────> one more waits
//!                      └── neither ──────────────> to be asked
//! ```
//!
//! A key is the digest of all that the service is told, so one entry is as large as any other. What has been
//! said is kept in two halves: what is new or used goes into the young one, and when that is full, the old
//! one is forgotten and takes its place. So there are never more entries than are allowed, and those that
//! are used stay.

use std::collections::HashMap;
use std::mem;
use std::time::Instant;

use super::super::{AskAgain, Ruling};

/// The digest of a question.
pub type Key = [u8; 32];

/// What has been said.
#[derive(Clone, Copy)]
struct Said {
    ruling: Ruling,
    until: Instant,
}

/// What is known of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// What was said.
    Said(Ruling),
    /// It is being asked; whoever wants to know waits for the answer.
    Asked,
    /// Nothing.
    Nothing,
}

/// A memory of answers.
pub struct Cache {
    /// Entries of each half at most.
    half: usize,
    young: HashMap<Key, Said>,
    old: HashMap<Key, Said>,
    /// Those who wait, by the question.
    asked: HashMap<Key, Vec<AskAgain>>,
    /// What is being asked about each client.
    shares: HashMap<Box<str>, Share>,
}

/// What is being asked about one client.
#[derive(Default)]
struct Share {
    /// How many questions.
    asked: usize,
    /// Those who have more of them, for which there is no room.
    waiting: Vec<AskAgain>,
}

impl Cache {
    /// One of so many entries.
    pub fn new(size: usize) -> Self {
        Self {
            half: size.div_ceil(2).max(1),
            young: HashMap::new(),
            old: HashMap::new(),
            asked: HashMap::new(),
            shares: HashMap::new(),
        }
    }

    /// What is known of a question.
    pub fn known(&mut self, key: &Key, now: Instant) -> Known {
        if self.asked.contains_key(key) {
            return Known::Asked;
        }
        let said = match self.young.get(key) {
            Some(said) => Some(*said),
            None => self.old.remove(key).inspect(|said| self.keep(*key, *said)),
        };
        match said.filter(|said| now < said.until) {
            Some(said) => Known::Said(said.ruling),
            None => Known::Nothing,
        }
    }

    /// How many questions about a client are being asked.
    pub fn asked_about(&self, client: &str) -> usize {
        self.shares.get(client).map_or(0, |share| share.asked)
    }

    /// A question about a client is asked from now on.
    pub fn asks(&mut self, key: Key, client: &str) {
        if self.asked.insert(key, Vec::new()).is_none() {
            self.shares.entry(client.into()).or_default().asked += 1;
        }
    }

    /// Somebody waits for the answer to a question that is being asked.
    pub fn wait(&mut self, key: Key, again: AskAgain) {
        if let Some(waiting) = self.asked.get_mut(&key) {
            waiting.push(again);
        }
    }

    /// Somebody waits until any of the questions about a client has been answered.
    pub fn wait_for_any(&mut self, client: &str, again: AskAgain) {
        if let Some(share) = self.shares.get_mut(client) {
            share.waiting.push(again);
        }
    }

    /// A question about a client has been answered: the answer holds until then. Returns those who have
    /// waited for it.
    pub fn answered(
        &mut self,
        (key, client): (Key, &str),
        ruling: Ruling,
        until: Instant,
    ) -> Vec<AskAgain> {
        self.old.remove(&key);
        self.keep(key, Said { ruling, until });
        let Some(mut waiting) = self.asked.remove(&key) else {
            return Vec::new();
        };
        if let Some(share) = self.shares.get_mut(client) {
            waiting.append(&mut share.waiting);
            share.asked -= 1;
            if share.asked == 0 {
                self.shares.remove(client);
            }
        }
        waiting
    }

    fn keep(&mut self, key: Key, said: Said) {
        self.young.insert(key, said);
        if self.young.len() >= self.half {
            self.old = mem::take(&mut self.young);
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests;
