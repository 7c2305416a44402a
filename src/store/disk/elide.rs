//! What came and went before it was written.
//!
//! ```text
//!   Message 7 for a ── … ── Sent 7 to a, id 3 ── … ── Done a, id 3        all between two commits
//! ```
//!
//! With clients that are awake most messages live for less than a flush takes. Such a message has been
//! delivered and acknowledged by the one who was to have it: nothing of it is needed after a crash, so none
//! of the three records is written. Who waits for the first is told with the others of this commit.
//!
//! That is so for a message that one session is to have at QoS 1, which is not retained, holds no id and is
//! published at once. All others are left as they are, in their order.

use std::collections::hash_map::Entry as Place;
use std::ops::Range;

use super::bytes::Reader;
use super::entry;
use super::format::{self, LATER, body_flags};
use super::numbers::Numbered;
use crate::codec::QoS;

/// Leaves out of the records of a commit those that are not needed. Keeps its memory for the next.
#[derive(Debug, Default)]
pub(super) struct Elision {
    /// Messages that may not be needed, and who is to have them.
    messages: Numbered<(u64, Range<usize>)>,
    /// Their first sendings, by holder and id, with the message in front.
    sent: Numbered<(Range<usize>, Range<usize>)>,
    gone: Vec<Range<usize>>,
}

impl Elision {
    /// Takes out of `records` what is not needed. Returns how many messages that were.
    pub fn apply(&mut self, records: &mut Vec<u8>) -> usize {
        let mut reader = Reader(records);
        let mut from = 0;
        while let Some((kind, rest)) = entry::next(&mut reader) {
            let to = records.len() - reader.0.len();
            self.note(kind, rest, from..to);
            from = to;
        }
        self.messages.clear();
        self.sent.clear();
        let count = self.gone.len() / 3;
        self.cut(records);
        count
    }

    fn note(&mut self, kind: u8, rest: &[u8], range: Range<usize>) {
        let mut r = Reader(rest);
        match kind {
            format::MESSAGE => {
                if let Some((number, owner)) = for_one(&mut r) {
                    self.messages.insert(number, (owner, range));
                }
            }
            format::SENT => {
                let Some((key, number, group)) = sent(&mut r) else {
                    return;
                };
                // Whatever it is, an id that is given anew ends what was known of it.
                self.sent.remove(&key);
                if let Place::Occupied(it) = self.messages.entry(number)
                    && group == 0
                    && it.get().0 == key >> ID_BITS
                {
                    let (_, message) = it.remove();
                    self.sent.insert(key, (message, range));
                }
            }
            format::DONE => {
                let known = key(&mut r).and_then(|it| self.sent.remove(&it));
                if let Some((message, sent)) = known {
                    self.gone.extend([message, sent, range]);
                }
            }
            _ => {}
        }
    }

    fn cut(&mut self, records: &mut Vec<u8>) {
        self.gone.sort_unstable_by_key(|it| it.start);
        let Some(first) = self.gone.first() else {
            return;
        };
        let mut end = first.start;
        for at in 0..self.gone.len() {
            let from = self.gone[at].end;
            let next = self.gone.get(at + 1);
            let to = next.map_or(records.len(), |it| it.start);
            records.copy_within(from..to, end);
            end += to - from;
        }
        records.truncate(end);
        self.gone.clear();
    }
}

const ID_BITS: u32 = 16;

/// The number of a message that one session is to have, and nobody else in any way; and that session.
fn for_one(r: &mut Reader<'_>) -> Option<(u64, u64)> {
    let number = r.number()?;
    let flags = r.byte()?;
    let (_, [_, expires, held, retained, publisher]) = body_flags(flags);
    if held || retained || publisher || flags & LATER != 0 {
        return None;
    }
    if expires {
        r.number()?;
    }
    let mut targets = Reader(r.stretch()?);
    let owner = targets.number()?;
    let how = entry::Flags::from_byte(targets.byte()?)?;
    for _ in 0..targets.number()? {
        targets.number()?;
    }
    let alone = targets.0.is_empty() && !how.group && how.qos == QoS::AtLeastOnce;
    alone.then_some((number, owner))
}

/// Holder and id, number and group of a first sending.
fn sent(r: &mut Reader<'_>) -> Option<(u64, u64, u64)> {
    Some((key(r)?, r.number()?, r.number()?))
}

/// Holder and id in one.
fn key(r: &mut Reader<'_>) -> Option<u64> {
    let (holder, id) = (r.number()?, r.number()?);
    let fits = holder >> (u64::BITS - ID_BITS) == 0 && id >> ID_BITS == 0;
    fits.then_some(holder << ID_BITS | id)
}
