//! A store that is read and not opened: what `inspect`, `verify` and `export` stand on.
//!
//! The replay is that of an opening, up to the end of all connections that comes with it; but that is
//! only taken in, not written. So what is seen is what a broker would find.

use super::entry::{self, Body, Entry};
use super::messages::Slot;
use super::mirror::{Mirror, Place};
use super::replay::Replay;
use super::report::Report;
use super::segments::error::OpenError;
use super::segments::files::Files;
use super::segments::log::Log;
use super::segments::types;

/// A store that is only read.
pub(super) struct Look<F: Files> {
    pub log: Log<F>,
    pub mirror: Mirror,
    pub report: Report,
    /// The frame that was read last, and where it is: messages that follow each other share one.
    frame: Vec<u8>,
    of: (u32, u32),
}

/// What a frame is read for: a record of it, or nothing if that is not what the mirror says.
pub(super) type Found<'a> = Option<Body<'a>>;

impl<F: Files> Look<F> {
    /// Reads every record.
    pub fn new(files: F) -> Result<Self, OpenError> {
        let mut replay = Replay::new();
        let options = types::Options::default();
        let (log, found) = Log::look(files, options, &mut |it| replay.visit(&it))?;
        let (mut mirror, mut report, _) = replay.over(found);
        mirror.finish();
        report.unknown = mirror.unknown;
        let nowhere = Place {
            segment: 0,
            offset: 0,
        };
        let restart = Entry::Restart(mirror.clock, mirror.next);
        mirror.apply(nowhere, restart);
        Ok(Self {
            log,
            mirror,
            report,
            frame: Vec::new(),
            of: (0, 0),
        })
    }

    /// All messages by their numbers.
    pub fn messages(&self) -> Vec<(u64, Slot)> {
        let mut all: Vec<_> = self.mirror.messages.iter().collect();
        all.sort_unstable_by_key(|it| it.0);
        all
    }

    /// Reads a message back.
    pub fn message(&mut self, number: u64, slot: Slot) -> Found<'_> {
        if self.of != (slot.segment, slot.offset) {
            self.of = (slot.segment, slot.offset);
            self.frame = self.log.read_from(self.of.0, self.of.1).unwrap_or_default();
        }
        entry::message_in(&self.frame, number)
    }
}
