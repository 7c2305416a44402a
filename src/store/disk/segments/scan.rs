//! Reading records out of a file that may hold anything.

use std::collections::BTreeSet;
use std::io;

use super::files::Files;
use super::format::{self, ALIGN, HEADER, Head, Header, RECORD};

/// How much is read at once.
const STRETCH: usize = 1 << 20;
/// What is read at once where that fails, so that a bad sector costs no more than its page.
const PAGE: usize = 4096;
/// How often what cannot be read is tried: an error that passes must not cost an entry.
const ATTEMPTS: usize = 4;

/// So many pages of one file may be unreadable even if they are most of it.
const UNREADABLE: usize = 8;

/// Reads, and tries again if that fails.
pub(super) fn read<F: Files>(
    files: &F,
    file: &F::File,
    into: &mut [u8],
    position: u64,
) -> io::Result<usize> {
    let mut outcome = files.read_at(file, into, position);
    for _ in 1..ATTEMPTS {
        if outcome.is_err() {
            outcome = files.read_at(file, into, position);
        }
    }
    outcome
}

/// Finds good records in a file. Positions are those in the file.
///
/// At most the larger of [`STRETCH`] and twice a record is in memory.
pub(super) struct Scanner<'a, F: Files> {
    files: &'a F,
    file: F::File,
    length: u64,
    seed: u32,
    base: u32,
    start: u64,
    window: Vec<u8>,
    unreadable: BTreeSet<u64>,
}

impl<'a, F: Files> Scanner<'a, F> {
    pub fn new(files: &'a F, file: F::File, length: u64, seed: u32, base: u32) -> Self {
        Self {
            files,
            file,
            length,
            seed,
            base,
            start: 0,
            window: Vec::new(),
            unreadable: BTreeSet::new(),
        }
    }

    /// A file of records by its header, which says where in its segment it begins.
    pub fn open(files: &'a F, header: &Header) -> io::Result<Self> {
        let file = files.open(&format::log_name(header.number))?;
        let length = files.length(&file)?;
        let seed = format::seed(header.identity, header.segment);
        Ok(Self::new(files, file, length, seed, header.base))
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// The offset in the segment, if there can be one at this position.
    pub fn offset(&self, position: u64) -> Option<u32> {
        let inside = u32::try_from(position.checked_sub(HEADER)?).ok()?;
        self.base.checked_add(inside)
    }

    /// Whether more pages could not be read than could, so that it is not bad sectors but the disk that is
    /// at fault: then nothing should be concluded from what the file seems to hold.
    pub fn is_out_of_reach(&self) -> bool {
        let pages = self.length.div_ceil(PAGE as u64);
        self.unreadable.len() > UNREADABLE && self.unreadable.len() as u64 * 2 > pages
    }

    /// Whether a page from here on could not be read.
    pub fn is_unreadable(&self, from: u64) -> bool {
        self.unreadable
            .last()
            .is_some_and(|page| page + PAGE as u64 > from)
    }

    /// The bytes at a position, or none if the file ends before.
    pub fn bytes(&mut self, position: u64, len: usize) -> Option<&[u8]> {
        let end = position.checked_add(len as u64)?;
        if end > self.length {
            return None;
        }
        if position < self.start || end > self.start + self.window.len() as u64 {
            self.fill(position, len);
        }
        let at = (position - self.start) as usize;
        self.window.get(at..at + len)
    }

    fn fill(&mut self, position: u64, len: usize) {
        let start = position - position % PAGE as u64;
        let want = (len + PAGE).max(STRETCH) as u64;
        let want = want.min(self.length - start) as usize;
        self.start = start;
        match self.window.len() < want {
            true => self.window = vec![0; want],
            false => self.window.truncate(want),
        }
        match self.files.read_at(&self.file, &mut self.window, start) {
            Ok(read) => self.window[read..].fill(0),
            Err(_) => self.fill_by_pages(),
        }
    }

    /// A page that cannot be read is taken for zeros, which are no record.
    fn fill_by_pages(&mut self) {
        for (index, page) in self.window.chunks_mut(PAGE).enumerate() {
            let position = self.start + (index * PAGE) as u64;
            let outcome = read(self.files, &self.file, page, position);
            let read = outcome.unwrap_or_else(|_| {
                self.unreadable.insert(position);
                0
            });
            page[read..].fill(0);
        }
    }

    /// What may be a record at this position: whether it is one, its checksum must tell.
    fn head(&mut self, position: u64) -> Option<Head> {
        let fixed: &[u8; RECORD] = self.bytes(position, RECORD)?.try_into().ok()?;
        let head = Head::decode(fixed);
        let fits = position + RECORD as u64 + u64::from(head.len) <= self.length;
        (fits && head.sequence > 0).then_some(head)
    }

    /// Whether the log was written up to here and no further.
    pub fn is_end(&mut self, position: u64) -> bool {
        let left = self.length.saturating_sub(position).min(RECORD as u64) as usize;
        let bytes = self.bytes(position, left);
        bytes.is_none_or(|it| it.iter().all(|byte| *byte == 0))
    }

    /// The record at this position, if it is good.
    pub fn record(&mut self, position: u64) -> Option<Head> {
        let head = self.head(position)?;
        let (seed, offset) = (self.seed, self.offset(position)?);
        let record = self.bytes(position, RECORD + head.len as usize)?;
        format::is_good(record, seed, offset).then_some(head)
    }

    /// The entry of a record that was found good at this position.
    pub fn entry(&mut self, position: u64, head: Head) -> &[u8] {
        let all = self.bytes(position, RECORD + head.len as usize);
        all.map_or(&[], |it| &it[RECORD..])
    }

    /// The first eight bytes of an internal entry, as the number that they are.
    pub fn value(&mut self, position: u64, head: Head) -> u64 {
        match self.entry(position, head) {
            entry if entry.len() >= 8 => format::u64_at(entry, 0),
            _ => 0,
        }
    }

    /// The next good record at or after a position whose sequence is at least `from`.
    ///
    /// Most places are refused by a sequence that cannot be there. Entries made to look like records
    /// could still ask for a long checksum at every place, so the work for checksums is bounded by a
    /// multiple of the file.
    pub fn resync(&mut self, position: u64, from: u64) -> Option<(u64, Head)> {
        let mut at = position.next_multiple_of(ALIGN as u64);
        let most = from + self.length / RECORD as u64 + 1;
        let mut budget = self.length.saturating_mul(16);
        while at + RECORD as u64 <= self.length {
            let head = self
                .head(at)
                .filter(|it| (from..=most).contains(&it.sequence));
            if let Some(cost) = head.map(|it| it.size()).filter(|it| *it <= budget) {
                budget -= cost;
                if let Some(head) = self.record(at) {
                    return Some((at, head));
                }
            }
            at += ALIGN as u64;
        }
        None
    }

    /// Where what is not zero ends, at or after a position.
    pub fn last_written(&mut self, position: u64) -> u64 {
        let (mut at, mut last) = (position, position);
        while at < self.length {
            let len = (self.length - at).min(PAGE as u64) as usize;
            let page = self.bytes(at, len).unwrap_or_default();
            if let Some(index) = page.iter().rposition(|it| *it != 0) {
                last = at + index as u64 + 1;
            }
            at += len as u64;
        }
        last
    }
}
