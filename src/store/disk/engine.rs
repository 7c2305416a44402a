//! Log and mirror together: frames are written and taken in, and what lives is carried forward.
//!
//! One thread owns it. It knows no clock: time is an argument.

use super::bytes::Reader;
use super::compaction::{Compaction, Oldest};
use super::entry;
use super::format;
use super::gone::Gone;
use super::mirror::{CLOCK, Mirror, Place};
use super::options::Options;
use super::replay::{Replay, take_in};
use super::report::{Missing, Report};
use super::segments::error::{AppendError, CommitError, OpenError};
use super::segments::files::Files;
use super::segments::log::Log;
use super::segments::types;

/// The kind of a frame with records that need room.
const GROWING: u8 = 1;
/// The kind of a frame without any.
const SHRINKING: u8 = 2;
/// At how many bytes a frame is closed: as many as are read to find a message again, and lost with a bad
/// sector.
pub(super) const FRAME: usize = 4 << 10;
/// How much room there must be for records that need some.
const ROOM: u64 = 64 << 10;

/// See the module.
pub(super) struct Engine<F: Files> {
    pub log: Log<F>,
    pub mirror: Mirror,
    pub options: Options,
    pub compaction: Option<Compaction>,
    /// Bytes of what was last carried forward that is no message.
    pub small: u64,
    /// When the log last heard of the time.
    clocked: u64,
    /// The time, in milliseconds since the Unix epoch.
    pub now: u64,
    /// How many messages live in the oldest segment, and since when.
    pub oldest: Oldest,
    /// Frames that were appended and not taken in yet: they are taken in when they are read again.
    carry: Vec<u8>,
    /// Records that need no room and found none all the same: they come before all others.
    owed: Vec<u8>,
    /// What a frame says in short.
    gist: Vec<u8>,
    /// What was found to be missing since the store was opened.
    pub missing: Vec<Missing>,
}

impl<F: Files> Engine<F> {
    /// Opens the log and replays it.
    pub fn open(files: F, options: Options, now: u64) -> Result<(Self, Report), OpenError> {
        let mut replay = Replay::new();
        let log_options = types::Options {
            segment: options.segment,
            reserve: options.reserve,
            spares: 1,
            bytes_maximum: options.bytes_maximum,
            shrinking: |kind| kind == SHRINKING,
            strict: options.strict,
            ..types::Options::default()
        };
        let (log, found) = Log::open(files, log_options, &mut |it| replay.visit(&it))?;
        let (mirror, mut report, gone) = replay.over(found);
        let mut engine = Self {
            log,
            mirror,
            options,
            compaction: None,
            small: 0,
            clocked: now,
            now,
            oldest: Oldest::default(),
            carry: Vec::new(),
            owed: Vec::new(),
            gist: Vec::new(),
            missing: Vec::new(),
        };
        engine.tell_again();
        // What was told is not found missing again. Without room for that it is.
        let _ = engine.give_up(&gone);
        engine.mirror.finish();
        report.unknown = engine.mirror.unknown;
        engine.say(format::RESTART, now);
        // Where nothing can be written the store opens all the same: what is there can be read.
        let _ = engine.log.commit(true);
        Ok((engine, report))
    }

    /// Says in short what the last entries of the log said, if the process before this one had no time
    /// for that. Where they cannot be read it is left out.
    fn tell_again(&mut self) {
        let mut untold = Vec::new();
        let _ = self.log.scan_untold(&mut |it| {
            let mut gist = Vec::new();
            format::gist(&mut gist, it.bytes);
            untold.push((it.sequence, it.kind, gist));
        });
        for (sequence, kind, gist) in untold {
            self.log.tell_again(sequence, kind, &gist);
        }
    }

    /// Nobody is to have these any more.
    pub fn give_up(&mut self, gone: &[Gone]) -> Result<(), AppendError> {
        for gone in gone.chunks(FRAME / 16) {
            let mut frame = Vec::new();
            gone.iter().for_each(|it| it.write(&mut frame));
            self.append_frame(SHRINKING, &frame)?;
        }
        Ok(())
    }

    /// Appends one record of the store's own about the time.
    fn say(&mut self, kind: u8, now: u64) {
        let (mut frame, mut rest) = (Vec::new(), Vec::new());
        format::numbers(&mut rest, &[now, self.mirror.next]);
        format::finish(&mut frame, kind, &rest);
        if self.append_frame(SHRINKING, &frame).is_ok() {
            self.clocked = now;
        }
    }

    /// Appends what is to be known of the time, if it is due. What is heard while nothing happens is
    /// heard from here.
    pub fn tick(&mut self, now: u64) {
        self.now = now;
        if now.abs_diff(self.clocked) >= CLOCK {
            self.say(format::CLOCK, now);
        }
    }

    /// Appends records, one behind the other, and takes them in. Those that need room and find none
    /// are left out; returns how many.
    pub fn append(&mut self, records: &[u8]) -> u64 {
        let mut refused = 0;
        if !self.pay() {
            return self.append_some(records);
        }
        let mut reader = Reader(records);
        let (mut from, mut grows) = (0, false);
        while let Some((kind, _)) = entry::next(&mut reader) {
            grows |= format::grows(kind);
            let to = records.len() - reader.0.len();
            if to - from >= FRAME || to == records.len() {
                let kind = if grows { GROWING } else { SHRINKING };
                if self.append_frame(kind, &records[from..to]).is_err() {
                    refused += self.append_some(&records[from..to]);
                }
                (from, grows) = (to, false);
            }
        }
        refused
    }

    /// There is no room for a frame: what needs none is still taken.
    fn append_some(&mut self, records: &[u8]) -> u64 {
        let mut refused = 0;
        let mut reader = Reader(records);
        while let Some((kind, rest)) = entry::next(&mut reader) {
            match format::grows(kind) {
                true => refused += 1,
                false => format::finish(&mut self.owed, kind, rest),
            }
        }
        self.pay();
        refused
    }

    /// Whether records were taken that have not found room yet.
    pub fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Appends what is owed; false if there still is no room.
    fn pay(&mut self) -> bool {
        let owed = std::mem::take(&mut self.owed);
        let mut reader = Reader(&owed);
        let mut from = 0;
        while entry::next(&mut reader).is_some() {
            let to = owed.len() - reader.0.len();
            if to - from >= FRAME || to == owed.len() {
                if self.append_frame(SHRINKING, &owed[from..to]).is_err() {
                    self.owed = owed[from..].to_vec();
                    return false;
                }
                from = to;
            }
        }
        true
    }

    fn append_frame(&mut self, kind: u8, frame: &[u8]) -> Result<(), AppendError> {
        let location = self.log.append(kind, frame)?;
        self.gist.clear();
        format::gist(&mut self.gist, frame);
        self.log.tell(kind, &self.gist);
        let (segment, offset) = (location.segment, location.offset);
        take_in(&mut self.mirror, Place { segment, offset }, frame);
        Ok(())
    }

    /// Appends a record that is carried forward; small ones are gathered.
    pub fn carry(&mut self, kind: u8, rest: &[u8]) -> Result<(), AppendError> {
        format::finish(&mut self.carry, kind, rest);
        match self.carry.len() >= FRAME {
            true => self.carry_out(),
            false => Ok(()),
        }
    }

    /// Appends what was gathered. After an error it is still there.
    pub fn carry_out(&mut self) -> Result<(), AppendError> {
        if self.carry.is_empty() {
            return Ok(());
        }
        let frame = std::mem::take(&mut self.carry);
        let outcome = self.append_frame(SHRINKING, &frame);
        if outcome.is_err() {
            self.carry = frame;
        }
        outcome
    }

    /// Forgets what was gathered: the compaction that it belongs to begins anew.
    pub fn carry_nothing(&mut self) {
        self.carry.clear();
    }

    /// Whether records that need room are taken.
    pub fn takes(&self) -> bool {
        self.log.takes(GROWING, ROOM)
    }

    /// Makes what was appended safe against the end of the process, or, with `flush`, of power.
    pub fn commit(&mut self, flush: bool) -> Result<(), CommitError> {
        self.log.commit(flush)
    }

    /// Appends the last word on the time and on numbers, for what is given up may have been the last to
    /// know of them.
    pub fn remember(&mut self) -> Result<(), AppendError> {
        let mut rest = Vec::new();
        format::numbers(&mut rest, &[self.mirror.clock, self.mirror.next]);
        self.carry(format::CLOCK, &rest)
    }
}
