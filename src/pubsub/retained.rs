//! Retained messages: one per Topic Name, found again through a Topic Filter.
//!
//! They are kept sorted by topic (the message is its own key, so a topic is stored once). A filter
//! with wildcards is answered by seeking: from each topic that does not match, the walk jumps to
//! the next one that could, so what cannot match is not walked.
//!
//! ```text
//!   filter a/+/c    a/1/b ──seek a/1/c──> a/1/c ✓ ──> a/1/d ──seek a/10──> a/2/…
//! ```
//!
//! A walk is cut into turns: it stops after a number of steps and goes on later after the last
//! topic it saw, so a million retained messages keep nobody waiting.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use crate::message::{Message, Timestamp};

use super::options::RetainedOptions;

/// The retained messages of the broker.
///
/// Invariant: `bytes` is the sum of the sizes of all messages.
#[derive(Debug)]
pub struct Retained {
    messages: BTreeSet<ByTopic>,
    bytes: usize,
    options: RetainedOptions,
}

/// The store is at a bound, and the message would be one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

#[derive(Debug)]
struct ByTopic {
    message: Message,
    /// Whose it is: the publisher's Client Identifier.
    publisher: Option<Arc<str>>,
}

impl Borrow<[u8]> for ByTopic {
    fn borrow(&self) -> &[u8] {
        self.message.topic_bytes()
    }
}

impl Ord for ByTopic {
    fn cmp(&self, other: &Self) -> Ordering {
        self.message.topic_bytes().cmp(other.message.topic_bytes())
    }
}

impl PartialOrd for ByTopic {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByTopic {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ByTopic {}

/// What the walk does after looking at a topic.
enum Look {
    Match,
    /// Go on with the next topic.
    Next,
    /// Nothing that matches comes before this text.
    Seek(Vec<u8>),
    /// Nothing that matches comes any more.
    End,
}

impl Retained {
    /// An empty store with these bounds.
    pub fn new(options: RetainedOptions) -> Self {
        Self {
            messages: BTreeSet::new(),
            bytes: 0,
            options,
        }
    }

    /// Puts other bounds in force. What is there stays, however much it is.
    pub fn bound(&mut self, options: RetainedOptions) {
        self.options = options;
    }

    /// Messages in the store.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Bytes of topic, payload and properties in the store.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a message in place of the one on its topic; one with an empty payload clears the
    /// topic and is not kept. `publisher` is the Client Identifier of who published it, unless that
    /// was the broker.
    ///
    /// # Errors
    ///
    /// The store is full. Clearing always works; so does replacing, unless the new message is
    /// larger and the bound is one of bytes.
    // [MQTT5-3.3.1-5] [MQTT5-3.3.1-6] [MQTT5-3.3.1-7] [MQTT311-3.3.1-5] [MQTT311-3.3.1-7]
    // [MQTT311-3.3.1-10] [MQTT311-3.3.1-11]
    pub fn set(&mut self, message: Message, publisher: Option<Arc<str>>) -> Result<(), Refused> {
        if !self.has_room_for(&message) {
            return Err(Refused);
        }
        self.clear(message.topic());
        if !message.payload().is_empty() {
            self.bytes += message.size();
            self.messages.insert(ByTopic { message, publisher });
        }
        Ok(())
    }

    /// Whether [`Self::set`] would keep the message, or clear its topic.
    pub fn has_room_for(&self, message: &Message) -> bool {
        let before = self
            .messages
            .get(message.topic_bytes())
            .map(|known| known.message.size());
        let more = before.is_none() && self.messages.len() >= self.options.messages;
        let bytes = self.bytes - before.unwrap_or(0) + message.size();
        let grows = message.size() > before.unwrap_or(0);
        let full = more || (grows && bytes > self.options.bytes);
        message.payload().is_empty() || !full
    }

    /// Removes the message of a topic.
    pub fn clear(&mut self, topic: &str) {
        if let Some(known) = self.messages.take(topic.as_bytes()) {
            self.bytes -= known.message.size();
        }
    }

    /// The message of a topic.
    pub fn get(&self, topic: &str) -> Option<&Message> {
        self.messages
            .get(topic.as_bytes())
            .map(|known| &known.message)
    }

    /// Appends to `found` messages that match `filter` (without `$share/{ShareName}/`), sorted by
    /// topic, from after the topic `after`. Stops after `steps` topics looked at, and then returns
    /// where to go on; `None` means that all have been seen. Expired messages are passed over, and
    /// those that the client called `except` published.
    // [MQTT5-3.3.1-9] [MQTT311-3.3.1-6]
    pub fn find(
        &self,
        filter: &str,
        after: Option<&str>,
        except: Option<&str>,
        steps: usize,
        now: Timestamp,
        found: &mut Vec<Message>,
    ) -> Option<Box<str>> {
        let prefix = literal_prefix(filter);
        let mut from: Bound<Vec<u8>> = match after {
            Some(topic) => Bound::Excluded(topic.into()),
            None => Bound::Included(prefix.into()),
        };
        let mut steps = steps.max(1);
        loop {
            let lower = from.as_ref().map(Vec::as_slice);
            let mut seek = None;
            for known in self.messages.range::<[u8], _>((lower, Bound::Unbounded)) {
                let message = &known.message;
                match look(filter, prefix, message.topic()) {
                    Look::Match if message.expired(now) => {}
                    Look::Match if except.is_some() && known.publisher.as_deref() == except => {}
                    Look::Match => found.push(message.clone()),
                    Look::Next => {}
                    Look::Seek(to) => seek = Some(to),
                    Look::End => return None,
                }
                steps -= 1;
                if steps == 0 {
                    return Some(message.topic().into());
                }
                if seek.is_some() {
                    break;
                }
            }
            from = Bound::Included(seek?);
        }
    }

    /// Removes expired messages from after the topic `after`, looking at `steps` of them at most, and
    /// shows each to `gone`; returns where to go on, and how many were removed.
    pub fn sweep(
        &mut self,
        after: Option<&str>,
        steps: usize,
        now: Timestamp,
        mut gone: impl FnMut(&Message),
    ) -> (Option<Box<str>>, usize) {
        let from = after.map_or(Bound::Unbounded, |topic| Bound::Excluded(topic.as_bytes()));
        let mut last = None;
        let mut seen = 0;
        let mut expired = Vec::new();
        let range = self.messages.range::<[u8], _>((from, Bound::Unbounded));
        for ByTopic { message, .. } in range.take(steps) {
            seen += 1;
            last = Some(message);
            if message.expired(now) {
                expired.push(message.clone());
            }
        }
        let next = last
            .filter(|_| seen == steps)
            .map(|message| message.topic().into());
        for message in &expired {
            gone(message);
            self.clear(message.topic());
        }
        (next, expired.len())
    }
}

/// The levels before the first wildcard, with the slash that ends them. Every topic that matches
/// begins with this text, but for `a/#` and the topic `a`.
fn literal_prefix(filter: &str) -> &str {
    match filter.find(['+', '#']) {
        None => filter,
        Some(0) => "",
        // "a/#" matches "a" too, which sorts before "a/".
        Some(wildcard) if filter[wildcard..] == *"#" => &filter[..wildcard - 1],
        Some(wildcard) => &filter[..wildcard],
    }
}

/// Compares a topic with a filter, level by level.
fn look(filter: &str, prefix: &str, topic: &str) -> Look {
    if !topic.starts_with(prefix) {
        return Look::End;
    }
    // [MQTT5-4.7.2-1] [MQTT311-4.7.2-1]: a leading wildcard passes over all topics with `$`.
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return Look::Seek(vec![b'$' + 1]);
    }
    let mut filter_levels = filter.split('/');
    let mut topic_levels = topic.split('/');
    let mut start = 0; // of the topic level looked at
    loop {
        match (filter_levels.next(), topic_levels.next()) {
            (None, None) | (Some("#"), _) => return Look::Match,
            // Too short; longer topics come right after it.
            (Some(_), None) => return Look::Next,
            // Too deep: nothing below these levels matches.
            (None, Some(_)) => return seek_beyond(topic, start),
            (Some(wanted), Some(level)) if wanted == "+" || wanted == level => {
                start += level.len() + 1;
            }
            (Some(wanted), Some(_)) => return seek_level(topic, start, wanted),
        }
    }
}

/// The level at `start` has to be `wanted` and is not: where such a topic may be. Levels are not
/// sorted as such ("a!" comes before "a/b"), so the texts that topics with that level begin with
/// are compared as a whole.
fn seek_level(topic: &str, start: usize, wanted: &str) -> Look {
    let mut text = topic.as_bytes()[..start].to_vec();
    text.extend_from_slice(wanted.as_bytes());
    if text.as_slice() > topic.as_bytes() {
        return Look::Seek(text);
    }
    text.push(b'/');
    if text.as_slice() > topic.as_bytes() {
        return Look::Seek(text);
    }
    seek_beyond(topic, start)
}

/// Nothing more matches among the topics that share the levels before `start`.
fn seek_beyond(topic: &str, start: usize) -> Look {
    let Some(levels) = start.checked_sub(1) else {
        return Look::End;
    };
    let mut text = topic.as_bytes()[..levels].to_vec();
    text.push(b'/' + 1);
    Look::Seek(text)
}

#[cfg(test)]
mod tests;
