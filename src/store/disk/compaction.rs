//! Giving the oldest segment up, after what lives in it was carried to the end of the log.
//!
//! ```text
//!   scan ──> messages and Fed that somebody waits for   (Carried, Again)
//!     └──> holders and groups that begin there           (Holder, Group), and the time
//!            └──> flush ──> retire
//! ```
//!
//! Always the oldest: so the log is at any time the end of all that was ever written, and a record that
//! ends something is never given up before what it ends. A process that stops anywhere in between
//! leaves both the original and what was carried, which say the same.

use std::collections::VecDeque;

use super::bytes::Reader;
use super::engine::Engine;
use super::entry::{self, Body, Entry, Flags, Holder, Wanted};
use super::format::{self, Written};
use super::messages::Slot;
use super::report;
use super::segments::error::AppendError;
use super::segments::files::Files;
use super::segments::log::Cursor;
use super::segments::types::Retire;
use crate::store::record::DELAYED;

/// How many holders and groups are carried in one step.
const HOLDERS: usize = 256;
/// How much garbage is not worth the work.
const LITTLE: u64 = 1 << 20;

/// How far the oldest segment was given up.
pub(super) struct Compaction {
    cursor: Cursor,
    scanned: bool,
    damaged: bool,
    /// Holders and groups still to be carried; none before the scan is over.
    small: Option<(VecDeque<u64>, VecDeque<u64>)>,
    bytes: u64,
}

/// What is known of the oldest segment: whether it becomes less by itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Oldest {
    segment: u32,
    live: u32,
    /// Since when, in milliseconds since the Unix epoch.
    since: u64,
}

/// Whether a segment is to be given up.
enum Due {
    Now(u32),
    /// It may become less by itself.
    Later,
    Nothing,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing needs to be done.
    Rest,
    /// There is more to do.
    More,
    /// Something will have to be done unless it does itself.
    Later,
    /// It cannot be done now.
    Stuck,
}

impl<F: Files> Engine<F> {
    /// Does a bounded part of what is due. `idle`: nobody waits for a commit.
    pub fn step(&mut self, idle: bool) -> Step {
        if self.compaction.is_none() {
            let segment = match self.due(idle) {
                Due::Now(segment) => segment,
                Due::Later => return Step::Later,
                Due::Nothing => return Step::Rest,
            };
            // Where no message lives, nor a word about one, there is nothing to look for.
            let share = self.mirror.shares.get(&segment.into());
            self.compaction = Some(Compaction {
                cursor: Cursor::new(segment),
                scanned: share.is_none_or(|it| (it.live, it.fed) == (0, 0)),
                damaged: false,
                small: None,
                bytes: 0,
            });
        }
        let Some(mut work) = self.compaction.take() else {
            return Step::Rest;
        };
        match self.work(&mut work) {
            Ok(true) => Step::More,
            Ok(false) => {
                self.compaction = Some(work);
                Step::More
            }
            Err(()) => {
                self.carry_nothing();
                Step::Stuck
            }
        }
    }

    /// The segment to give up, if it is worth it: when more than half of the log is garbage, or the
    /// oldest is nearly all. A short log that is nearly all garbage is closed, so that it can be given up.
    ///
    /// What would have to be carried is left alone for a while as long as it becomes less: a queue that is
    /// emptied from its front leaves nothing to carry.
    fn due(&mut self, idle: bool) -> Due {
        let (mut used, mut live) = (0, self.small);
        let mut oldest = None;
        let mut sealed = false;
        for it in self.log.segments() {
            let share = self.mirror.shares.get(&it.segment.into()).copied();
            let share = share.unwrap_or_default();
            let bytes = u64::from(it.used);
            let alive = bytes * u64::from(share.live) / u64::from(share.total.max(1));
            used += bytes;
            live += alive;
            if oldest.is_none() {
                oldest = Some((it.segment, it.sealed, share.live, alive * 4 <= bytes));
            }
            sealed |= it.sealed;
        }
        let Some((segment, closed, alive, nearly_all)) = oldest else {
            return Due::Nothing;
        };
        let garbage = used.saturating_sub(live);
        if closed {
            let much = garbage > live && garbage > u64::from(self.options.segment);
            let worth = much || nearly_all && garbage > self.small.saturating_mul(2);
            let patient =
                alive > 0 && self.is_moving(segment, alive) && !self.is_pressed(garbage, live);
            return match (worth, patient) {
                (false, _) => Due::Nothing,
                (true, true) => Due::Later,
                (true, false) => Due::Now(segment),
            };
        }
        if idle && !sealed && garbage > LITTLE.max(live.saturating_mul(3)) {
            self.log.seal();
            return match self.log.commit(true) {
                Ok(()) => Due::Now(segment),
                Err(_) => Due::Nothing,
            };
        }
        Due::Nothing
    }

    /// Whether what lives in the oldest segment has become less not long ago.
    fn is_moving(&mut self, segment: u32, live: u32) -> bool {
        if (self.oldest.segment, self.oldest.live) != (segment, live) {
            let since = self.now;
            self.oldest = Oldest {
                segment,
                live,
                since,
            };
        }
        u128::from(self.now.saturating_sub(self.oldest.since)) < self.options.patience.as_millis()
    }

    /// Whether there is too much garbage to wait any longer.
    fn is_pressed(&self, garbage: u64, live: u64) -> bool {
        let maximum = self.options.bytes_maximum;
        garbage / 4 > live.max(self.options.segment.into())
            || !self.takes()
            || maximum.is_some_and(|most| self.log.disk() > most / 2)
    }

    /// True if the segment is gone.
    fn work(&mut self, work: &mut Compaction) -> Result<bool, ()> {
        if !work.scanned {
            self.scan(work)?;
            return Ok(false);
        }
        let segment = work.cursor.segment();
        if work.small.is_none() {
            self.carry_out().map_err(|_| ())?;
            let old = |since: u32| since <= segment;
            let holders = self.mirror.holders.iter().filter(|it| old(it.1.since));
            let holders = holders.map(|it| *it.0).collect();
            let groups = self.mirror.groups.iter().filter(|it| old(it.1.since));
            work.small = Some((holders, groups.map(|it| *it.0).collect()));
        }
        let Some((holders, groups)) = &mut work.small else {
            return Err(());
        };
        for _ in 0..HOLDERS {
            let written = match (holders.pop_front(), groups.pop_front()) {
                (None, None) => break,
                (holder, group) => {
                    let first = holder.map_or(Ok(0), |it| self.carry_holder(it));
                    first.and_then(|it| Ok(it + group.map_or(Ok(0), |it| self.carry_group(it))?))
                }
            };
            work.bytes += written.map_err(|_| ())?;
        }
        if !holders.is_empty() || !groups.is_empty() {
            // It speaks of this moment, so it is taken in before anything changes.
            self.carry_out().map_err(|_| ())?;
            return Ok(false);
        }
        self.remember().map_err(|_| ())?;
        self.carry_out().map_err(|_| ())?;
        self.log.commit(true).map_err(|_| ())?;
        let how = match work.damaged {
            true => Retire::SetAside,
            false => Retire::Recycle,
        };
        self.log.retire(segment, how).map_err(|_| ())?;
        self.mirror.shares.remove(&segment.into());
        self.small = work.bytes;
        Ok(true)
    }

    fn scan(&mut self, work: &mut Compaction) -> Result<(), ()> {
        let mut frames = Vec::new();
        let mut damage = Vec::new();
        let stride = self.options.stride;
        let over = self.log.scan_on(
            &mut work.cursor,
            stride,
            &mut |it| frames.push((it.location.offset, it.bytes.to_vec())),
            &mut damage,
        );
        work.scanned = over.map_err(|_| ())?;
        work.damaged |= !damage.is_empty();
        for (offset, frame) in frames {
            self.carry_frame(work.cursor.segment(), offset, &frame)
                .map_err(|_| ())?;
        }
        self.carry_out().map_err(|_| ())?;
        if work.scanned && work.damaged {
            self.miss(work.cursor.segment()).map_err(|_| ())?;
        }
        Ok(())
    }

    /// All that can be read of a damaged segment was carried: what is still there is lost.
    fn miss(&mut self, segment: u32) -> Result<(), AppendError> {
        let gone = self.mirror.gone(|it| it.segment == segment);
        self.missing.extend(report::missing(&self.mirror, &gone));
        self.give_up(&gone)
    }

    fn carry_frame(&mut self, segment: u32, offset: u32, frame: &[u8]) -> Result<(), AppendError> {
        let mut reader = Reader(frame);
        loop {
            let Some((kind, rest)) = entry::next(&mut reader) else {
                return Ok(());
            };
            if !matches!(
                kind,
                format::MESSAGE | format::CARRIED | format::FED | format::AGAIN | format::DUE
            ) {
                continue;
            }
            match entry::decode(kind, rest) {
                Some(Entry::Message(it) | Entry::Carried(it)) => {
                    let slot = self.mirror.messages.get(it.number).copied();
                    let here = |it: Slot| (it.segment, it.offset) == (segment, offset);
                    if slot.is_some_and(here) {
                        self.carry_receivers(segment, it.number, &it.targets);
                        self.carry_message(it)?;
                    }
                }
                Some(
                    Entry::Fed(number, targets)
                    | Entry::Again(number, targets)
                    | Entry::Due(number, _, targets),
                ) => {
                    self.carry_receivers(segment, number, &targets);
                    let targets = self.left_of(number, targets);
                    if !targets.is_empty() {
                        let mut rest = Vec::new();
                        format::numbers(&mut rest, &[number]);
                        write_targets(&mut rest, &targets);
                        self.carry(format::AGAIN, &rest)?;
                    }
                }
                _ => {}
            }
        }
    }

    /// How a message is sent that is in flight was said by its target, which is given up: so those to whom
    /// it was sent are carried with all that they have.
    fn carry_receivers(&mut self, segment: u32, number: u64, targets: &[Wanted]) {
        for it in targets.iter().filter(|it| !it.flags.group) {
            if let Some(held) = self.mirror.holders.get_mut(&it.owner)
                && held.in_flight.iter().any(|it| it.number == Some(number))
            {
                held.since = held.since.min(segment);
            }
        }
    }

    /// Those for whom a message still waits. Groups are named as long as they exist: a message that is
    /// in flight to a member may come back to them.
    fn left_of(&mut self, number: u64, targets: Vec<Wanted>) -> Vec<Wanted> {
        let mut left: Vec<Wanted> = Vec::new();
        if self.mirror.messages.get(number).is_none() {
            return left;
        }
        for it in targets {
            if left.iter().any(|known| known.owner == it.owner) {
                continue;
            }
            let Some(line) = self.mirror.line(it.owner, it.flags.group, 0) else {
                continue;
            };
            let waiting = line.all(number);
            let (owner, group) = (it.owner, it.flags.group);
            left.extend(waiting.iter().map(|it| Wanted {
                owner,
                nowhere: false,
                flags: Flags {
                    group,
                    ..it.flags()
                },
                ids: self.mirror.ids(it.ids()).to_vec(),
            }));
            // What was published later does not come back.
            if waiting.is_empty() && group && owner != DELAYED {
                left.push(Wanted {
                    nowhere: true,
                    ..it
                });
            }
        }
        left
    }

    fn carry_message(&mut self, mut body: Body<'_>) -> Result<(), AppendError> {
        let retained = self.mirror.retained.get(body.plain.topic);
        body.retained = retained.is_some_and(|it| it.0 == body.number);
        let left = self.left_of(body.number, body.targets);
        let delayed = left.iter().any(|it| it.owner == DELAYED);
        let mut targets = Vec::new();
        write_targets(&mut targets, &left);
        let header = Written {
            number: body.number,
            held: None,
            retained: body.retained,
            publisher: body.publisher.filter(|_| body.retained || delayed),
            due: body.due.filter(|_| delayed),
            targets: &targets,
        };
        let mut rest = Vec::new();
        format::write_body(&mut rest, &header, &body.plain);
        self.carry(format::CARRIED, &rest)
    }

    fn carry_holder(&mut self, number: u64) -> Result<u64, AppendError> {
        let Some(it) = self.mirror.holders.get(&number) else {
            return Ok(0);
        };
        let holder = Holder {
            number,
            session: it.session.clone(),
            in_flight: it.in_flight.iter().cloned().collect(),
        };
        let mut rest = Vec::new();
        let kind = entry::write_holder(&mut rest, &holder);
        self.carry(kind, &rest)?;
        Ok(rest.len() as u64)
    }

    fn carry_group(&mut self, number: u64) -> Result<u64, AppendError> {
        // What is published later has no name: it is always there.
        let group = self.mirror.groups.get(&number);
        let group = group.filter(|_| number != DELAYED);
        let Some((share, filter)) = group.and_then(|it| it.names.as_ref()) else {
            return Ok(0);
        };
        let mut rest = Vec::new();
        format::numbers(&mut rest, &[number]);
        super::bytes::stretch(&mut rest, share.as_bytes());
        super::bytes::stretch(&mut rest, filter.as_bytes());
        self.carry(format::GROUP, &rest)?;
        Ok(rest.len() as u64)
    }
}

fn write_targets(into: &mut Vec<u8>, targets: &[Wanted]) {
    for it in targets {
        format::write_target(into, it.owner, it.to_byte(), &it.ids);
    }
}
