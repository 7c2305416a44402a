//! From the log to the mirror, when a store is opened or looked at.

use super::bytes::Reader;
use super::entry::{self, Entry};
use super::gone::Gone;
use super::mirror::{Mirror, Place};
use super::report::{Report, Times};
use super::segments::types::{self, Recovered};

/// Takes in one entry of the log after another.
pub(super) struct Replay {
    mirror: Mirror,
    /// Records that could not be understood.
    undecoded: u64,
    times: Times,
}

impl Replay {
    pub fn new() -> Self {
        Self {
            mirror: Mirror::new(),
            undecoded: 0,
            times: Times::default(),
        }
    }

    /// Takes an entry in.
    pub fn visit(&mut self, it: &types::Entry<'_>) {
        let (segment, offset) = (it.location.segment, it.location.offset);
        self.undecoded += take_in(&mut self.mirror, Place { segment, offset }, it.bytes);
        self.times.note(it.sequence, self.mirror.clock);
    }

    /// That was all: what the records add up to, what is to be told of it, and what is missing. The
    /// mirror is still to be finished.
    pub fn over(self, found: Recovered) -> (Mirror, Report, Vec<Gone>) {
        let gone = self.mirror.gone(|it| it.segment == 0);
        let report = Report::new(found, self.undecoded, &self.mirror, &gone, &self.times);
        (self.mirror, report, gone)
    }
}

/// Takes a frame in; returns how many records could not be understood.
pub(super) fn take_in(mirror: &mut Mirror, place: Place, frame: &[u8]) -> u64 {
    let (mut reader, mut bad) = (Reader(frame), 0);
    while !reader.0.is_empty() {
        let Some((kind, rest)) = entry::next(&mut reader) else {
            return bad + 1;
        };
        let decoded: Option<Entry<'_>> = entry::decode(kind, rest);
        match decoded {
            Some(it) => mirror.apply(place, it),
            None => bad += 1,
        }
    }
    bad
}
