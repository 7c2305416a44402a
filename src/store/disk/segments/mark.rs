//! The mark: what must exist, and what has been promised, apart from the data.
//!
//! | at | size | what |
//! |---|---|---|
//! | 0 | 8 | `PBUDMRK\0` |
//! | 8 | 4 | format version |
//! | 12 | 4 | CRC-32C of all but these four bytes |
//! | 16 | 8 | identity of the log |
//! | 24 | 8 | counter: the greater one of the two marks is the newer |
//! | 32 | 8 | durable: the sequence of the next entry; all below it are durable |
//! | 40 | 4 | every number of a file that is not listed but at least this is newer than the mark |
//! | 44 | 4 | no segment has had this number yet |
//! | 48 | 4 | how many files are listed |
//! | 52 | 4 | length of the gists |
//! | 56 | 24 each | number, segment, first sequence, sequence after the last (or all ones: not sealed) |
//! | | | gists that are nowhere else: see `gist.rs` |
//!
//! Two files are written in turn, so that one is always whole.

use std::io;

use super::files::Files;
use super::format::{self, Unreadable, u32_at, u64_at};
use super::scan;

const MAGIC: &[u8; 8] = b"PBUDMRK\0";
const FIXED: usize = 56;
const EACH: usize = 24;
/// The names of the two marks, by the lowest bit of the counter.
pub(super) const NAMES: [&str; 2] = ["mark-a", "mark-b"];
/// The end of a file that is not sealed.
pub(super) const OPEN: u64 = u64::MAX;

/// A file that must exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub number: u32,
    pub segment: u32,
    pub first: u64,
    pub end: u64,
}

/// A mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub identity: u64,
    pub counter: u64,
    pub durable: u64,
    pub next_number: u32,
    pub next_segment: u32,
    pub listed: Vec<Listed>,
    /// A block of gists, or nothing.
    pub gists: Vec<u8>,
}

impl Mark {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut block = vec![0; FIXED];
        block[..8].copy_from_slice(MAGIC);
        block[16..24].copy_from_slice(&self.identity.to_le_bytes());
        block[24..32].copy_from_slice(&self.counter.to_le_bytes());
        block[32..40].copy_from_slice(&self.durable.to_le_bytes());
        block[40..44].copy_from_slice(&self.next_number.to_le_bytes());
        block[44..48].copy_from_slice(&self.next_segment.to_le_bytes());
        block[48..52].copy_from_slice(&(self.listed.len() as u32).to_le_bytes());
        for it in &self.listed {
            block.extend_from_slice(&it.number.to_le_bytes());
            block.extend_from_slice(&it.segment.to_le_bytes());
            block.extend_from_slice(&it.first.to_le_bytes());
            block.extend_from_slice(&it.end.to_le_bytes());
        }
        block[52..56].copy_from_slice(&(self.gists.len() as u32).to_le_bytes());
        block.extend_from_slice(&self.gists);
        format::seal(&mut block);
        block
    }

    /// Reads one; bytes after it do not matter.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let fixed = bytes.get(..FIXED).ok_or(Unreadable::Bad)?;
        let count = u32_at(fixed, 48) as usize;
        let listed = count.checked_mul(EACH).map(|it| it + FIXED);
        let length = listed.and_then(|it| it.checked_add(u32_at(fixed, 52) as usize));
        let block = length
            .and_then(|it| bytes.get(..it))
            .ok_or(Unreadable::Bad)?;
        format::check(block, MAGIC)?;
        let (block, gists) = block.split_at(listed.unwrap_or(block.len()));
        let listed = block[FIXED..].chunks_exact(EACH).map(|it| Listed {
            number: u32_at(it, 0),
            segment: u32_at(it, 4),
            first: u64_at(it, 8),
            end: u64_at(it, 16),
        });
        Ok(Self {
            identity: u64_at(block, 16),
            counter: u64_at(block, 24),
            durable: u64_at(block, 32),
            next_number: u32_at(block, 40),
            next_segment: u32_at(block, 44),
            listed: listed.collect(),
            gists: gists.to_vec(),
        })
    }
}

/// What the two files of marks hold.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub newest: Option<Mark>,
    /// Files that hold something but no mark.
    pub bad: Vec<(&'static str, u64)>,
    /// The file of a newer version, and the version.
    pub newer: Option<(&'static str, u32)>,
}

/// Reads both marks.
pub(super) fn load<F: Files>(files: &F, names: &[String]) -> io::Result<Marks> {
    let (mut marks, mut failed) = (Marks::default(), None);
    for name in NAMES
        .into_iter()
        .filter(|name| names.iter().any(|it| it == name))
    {
        let file = files.open(name)?;
        let length = files.length(&file)?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        match scan::read(files, &file, &mut bytes, 0) {
            Ok(read) => bytes.truncate(read),
            // The other one may be readable.
            Err(error) => {
                failed = Some(error);
                marks.bad.push((name, length));
                continue;
            }
        }
        match Mark::decode(&bytes) {
            Ok(mark) => {
                let newer = marks
                    .newest
                    .as_ref()
                    .is_none_or(|it| it.counter < mark.counter);
                if newer {
                    marks.newest = Some(mark);
                }
            }
            Err(Unreadable::Newer(version)) => marks.newer = Some((name, version)),
            Err(Unreadable::Bad) if bytes.iter().all(|it| *it == 0) => {}
            Err(Unreadable::Bad) => marks.bad.push((name, length)),
        }
    }
    match failed {
        Some(error) if marks.newest.is_none() => Err(error),
        _ => Ok(marks),
    }
}
