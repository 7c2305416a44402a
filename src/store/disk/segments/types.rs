//! What the log is asked with and answers with.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;

use super::format::HEADER;

/// How the log is set up. Sizes may differ from those of an existing log.
#[derive(Clone, Debug)]
pub struct Options {
    /// At how many bytes of its file a segment is full. One entry that is larger gets its own.
    pub segment: u32,
    /// By how much a file grows at a time, in zeros, so that a flush seldom has to change its length.
    pub step: u32,
    /// Bytes kept back on the disk for what makes the log smaller.
    pub reserve: u32,
    /// How many retired files are kept to be used again.
    pub spares: usize,
    /// The bound on the disk's use, if any.
    pub bytes_maximum: Option<u64>,
    /// The largest entry.
    pub entry_maximum: u32,
    /// A commit flushes unasked when so many bytes are written but not flushed: they are in memory too.
    pub unflushed_maximum: usize,
    /// Which kinds make the log smaller, so that they are taken when it is full.
    pub shrinking: fn(u8) -> bool,
    /// Refuse to open a log with damage.
    pub strict: bool,
    /// Names a log that is created.
    pub identity: u64,
}

impl Options {
    /// How many bytes of records a segment has room for.
    pub(super) fn capacity(&self) -> u32 {
        self.segment
            .saturating_sub(HEADER as u32)
            .clamp(256, 1 << 30)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment: 64 << 20,
            step: 16 << 10,
            reserve: 16 << 20,
            spares: 2,
            bytes_maximum: None,
            entry_maximum: 272 << 20,
            unflushed_maximum: 8 << 20,
            shrinking: |_| false,
            strict: false,
            identity: RandomState::new().build_hasher().finish(),
        }
    }
}

/// Where an entry is, for as long as its segment exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// The segment's number.
    pub segment: u32,
    /// The offset of the record in the segment.
    pub offset: u32,
    /// The length of the entry's bytes.
    pub len: u32,
}

/// An entry that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its place in the order of all entries.
    pub sequence: u64,
    /// What the caller said it is.
    pub kind: u8,
    /// Where it is.
    pub location: Location,
    /// What it says.
    pub bytes: &'a [u8],
}

/// A segment, for whoever decides what to compact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub segment: u32,
    /// Bytes of records.
    pub used: u32,
    /// Bytes of its files.
    pub disk: u64,
    /// It takes no more entries, so it can be scanned and retired.
    pub sealed: bool,
}

/// What happens to the files of a segment that is retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retire {
    /// They are used again, or deleted.
    Recycle,
    /// They are kept under `damaged/`.
    SetAside,
}

/// What is wrong at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// Bytes that are no record where one should be.
    Record,
    /// A file that should exist does not.
    Missing,
    /// A file whose header cannot be read; it was set aside.
    Header,
    /// A mark that cannot be read: the older one was used, and may list files retired since.
    Mark,
}

/// Damage to what had been promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong.
    pub defect: Defect,
    /// The file's name.
    pub file: String,
    /// The segment, if it is known.
    pub segment: Option<u32>,
    /// The bad bytes, as positions in the file.
    pub bytes: Range<u64>,
    /// The sequences of entries that are damaged; empty if nothing of the caller's was lost.
    pub sequences: Range<u64>,
    /// How many of them have gists, which were visited in their place.
    pub told: u64,
}

/// What was cut from the end: it was written but never promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file's name.
    pub file: String,
    /// The bytes that were cut, as positions in the file.
    pub bytes: Range<u64>,
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// How many good entries.
    pub entries: u64,
    /// How many bytes of entries.
    pub bytes: u64,
    /// The sequence that the next entry will have.
    pub next: u64,
    /// Everything below it was known to have been durable.
    pub promised: u64,
    /// Torn tails, of the last file and of files begun after it.
    pub torn: Vec<Torn>,
    /// What is damaged, in order.
    pub damage: Vec<Damage>,
    /// Under which names files with damage are kept; others have taken their places.
    pub aside: Vec<String>,
    /// Files with damage that could not be set aside, and why: the next start finds them again.
    pub left: Vec<(String, String)>,
}

impl Recovered {
    /// How many entries that had been promised are missing, or only known in short.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let each = self.damage.iter();
        each.map(|it| it.sequences.end - it.sequences.start).sum()
    }
}
