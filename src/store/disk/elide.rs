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

use super::bytes::Reader;
use super::entry;
use super::format::{self, LATER, body_flags};
use super::numbers::Numbered;
use crate::codec::QoS;

/// Leaves out of the records of a commit those that are not needed. Keeps its memory for the next.
#[derive(Debug, Default)]
pub(super) struct Elision {
    /// Messages that may not be needed: who is to have them, and which record it is.
    messages: Numbered<(u64, u32)>,
    /// Their first sendings, by holder and id: which records the message and this are.
    sent: Numbered<(u32, u32)>,
    /// Where each record begins, and whether it is not needed.
    records: Vec<(usize, bool)>,
}

impl Elision {
    /// Takes out of `records` what is not needed. Returns how many messages that were.
    pub fn apply(&mut self, records: &mut Vec<u8>) -> usize {
        let mut reader = Reader(records);
        let mut from = 0;
        let mut count = 0;
        while let Some((kind, rest)) = entry::next(&mut reader) {
            self.records.push((from, false));
            count += usize::from(self.note(kind, rest));
            from = records.len() - reader.0.len();
        }
        if count > 0 {
            self.cut(records);
        }
        self.messages.clear();
        self.sent.clear();
        self.records.clear();
        count
    }

    /// Takes note of the last record; whether it is the end of a message that is not needed.
    fn note(&mut self, kind: u8, rest: &[u8]) -> bool {
        let mut r = Reader(rest);
        // There is room in memory for far fewer than this could count.
        let this = self.records.len() as u32 - 1;
        match kind {
            format::MESSAGE => {
                if let Some((number, owner)) = for_one(&mut r) {
                    self.messages.insert(number, (owner, this));
                }
            }
            format::SENT => {
                let Some((key, number, group)) = sent(&mut r) else {
                    return false;
                };
                // Whatever it is, an id that is given anew ends what was known of it.
                self.sent.remove(&key);
                if let Place::Occupied(it) = self.messages.entry(number)
                    && group == 0
                    && it.get().0 == key >> ID_BITS
                {
                    let (_, message) = it.remove();
                    self.sent.insert(key, (message, this));
                }
            }
            format::DONE => {
                let known = key(&mut r).and_then(|it| self.sent.remove(&it));
                let Some((message, sent)) = known else {
                    return false;
                };
                for gone in [message, sent, this] {
                    self.records[gone as usize].1 = true;
                }
                return true;
            }
            _ => {}
        }
        false
    }

    /// Closes the gaps.
    fn cut(&self, records: &mut Vec<u8>) {
        let mut end = 0;
        // Where a stretch begins that is kept and has not been moved yet.
        let mut kept = None;
        for &(from, gone) in self.records.iter().chain(&[(records.len(), true)]) {
            match (gone, kept) {
                (false, None) => kept = Some(from),
                (true, Some(begin)) => {
                    records.copy_within(begin..from, end);
                    end += from - begin;
                    kept = None;
                }
                _ => {}
            }
        }
        records.truncate(end);
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
