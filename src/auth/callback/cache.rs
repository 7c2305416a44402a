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
    /// How many questions about one client are being asked.
    shares: HashMap<Box<str>, usize>,
    /// How many of them there may be.
    share: usize,
}

impl Cache {
    /// One of so many entries, and so many questions about one client that are asked at a time.
    pub fn new(size: usize, share: usize) -> Self {
        Self {
            half: size.div_ceil(2).max(1),
            young: HashMap::new(),
            old: HashMap::new(),
            asked: HashMap::new(),
            shares: HashMap::new(),
            share,
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

    /// Whether one more question about a client may be asked: one client alone does not take all the room
    /// there is.
    pub fn may_ask(&self, client: &str) -> bool {
        self.shares
            .get(client)
            .is_none_or(|asked| *asked < self.share)
    }

    /// A question about a client is asked from now on.
    pub fn asks(&mut self, key: Key, client: &str) {
        if self.asked.insert(key, Vec::new()).is_none() {
            *self.shares.entry(client.into()).or_default() += 1;
        }
    }

    /// Somebody waits for the answer to a question that is being asked.
    pub fn wait(&mut self, key: Key, again: AskAgain) {
        if let Some(waiting) = self.asked.get_mut(&key) {
            waiting.push(again);
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
        let waiting = self.asked.remove(&key);
        if waiting.is_some()
            && let Some(asked) = self.shares.get_mut(client)
        {
            *asked -= 1;
            if *asked == 0 {
                self.shares.remove(client);
            }
        }
        waiting.unwrap_or_default()
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
