//! Format version 1: bytes on the disk. Integers are little-endian.
//!
//! Header of a file of records, 64 bytes, at 0 and again at 2048; the records begin at 4096:
//!
//! | at | size | what |
//! |---|---|---|
//! | 0 | 8 | `PBUDLOG\0` |
//! | 8 | 4 | format version |
//! | 12 | 4 | CRC-32C of the other 60 bytes; stays here in all versions |
//! | 16 | 8 | identity of the log |
//! | 24 | 4 | number of the file, as in its name |
//! | 28 | 4 | segment |
//! | 32 | 4 | base: the offset in the segment at which this file begins |
//! | 36 | 4 | 1 if the file was used before, else 0 |
//! | 40 | 8 | first: the sequence from which on this file takes over |
//! | 48 | 8 | every sequence below was durable when this was written |
//! | 56 | 8 | 0 |
//!
//! Record, at multiples of 16, so that what is put in the place of a damaged one always leaves nothing or
//! room for another:
//!
//! | at | size | what |
//! |---|---|---|
//! | 0 | 4 | CRC-32C of the rest without padding, begun with a seed of identity, segment and offset |
//! | 4 | 4 | length of the entry |
//! | 8 | 7 | sequence; of the next entry, for kinds 0 and 253 to 255, which have none of their own |
//! | 15 | 1 | kind |
//! | 16 | | the entry, and zeros up to a multiple of 16 |
//!
//! After the last record there are 16 zeros, or as many as the file has room for, whatever it held before.
//!
//! Kind 0, first after each flush: 8 bytes, every sequence below was durable when this was written.
//! Kind 255, last in a full segment: 8 bytes, the number of entries in the file before it; 8 bytes, the
//! first sequence of the file. Kind 254: what earlier entries said, in short; see `gist.rs`. Kind 253:
//! entries were lost here, and that was told when the file was made whole; what it holds means nothing.

use std::ops::RangeInclusive;

/// The version of all files.
pub const VERSION: u32 = 1;
/// Where records begin in a file.
pub(super) const HEADER: u64 = 4096;
/// The second copy of a header: in another sector, so that no single bad one hides a file.
const COPY: usize = 2048;
const HEADER_BYTES: usize = 64;
const MAGIC: &[u8; 8] = b"PBUDLOG\0";

/// The part of a record before the entry.
pub(super) const RECORD: usize = 16;
/// Records begin at multiples of it.
pub(super) const ALIGN: usize = 16;
/// A footer with its record.
pub(super) const FOOTER: u32 = 32;
/// The kind of a durable mark.
pub(super) const KIND_MARK: u8 = 0;
/// The kind of a hole that was told of.
pub(super) const KIND_HOLE: u8 = 253;
/// The kind of what says again what entries said.
pub(super) const KIND_GIST: u8 = 254;
/// The kind of a footer.
pub(super) const KIND_FOOTER: u8 = 255;
/// The kinds that a caller may use.
pub(super) const KINDS: RangeInclusive<u8> = 1..=252;

/// The beginning of a file of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub identity: u64,
    pub number: u32,
    pub segment: u32,
    pub base: u32,
    pub recycled: bool,
    pub first: u64,
    pub durable: u64,
}

/// Why a header or mark is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Newer(u32),
    Bad,
}

/// Reads four bytes; the caller has seen to it that they exist.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

/// Reads eight bytes; the caller has seen to it that they exist.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

/// Puts version and checksum into a block that begins with a magic of eight bytes.
pub(super) fn seal(block: &mut [u8]) {
    block[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let sum = block_sum(block);
    block[12..16].copy_from_slice(&sum.to_le_bytes());
}

/// Checks magic, checksum and version of a block, in this order: a bad byte is no newer version.
pub(super) fn check(block: &[u8], magic: &[u8; 8]) -> Result<(), Unreadable> {
    if block.len() < 16 || block[..8] != *magic || u32_at(block, 12) != block_sum(block) {
        return Err(Unreadable::Bad);
    }
    match u32_at(block, 8) {
        VERSION => Ok(()),
        version if version > VERSION => Err(Unreadable::Newer(version)),
        _ => Err(Unreadable::Bad),
    }
}

fn block_sum(block: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&block[..12]), &block[16..])
}

impl Header {
    /// The first page of a file.
    pub fn encode(&self) -> Vec<u8> {
        let mut block = [0; HEADER_BYTES];
        block[..8].copy_from_slice(MAGIC);
        block[16..24].copy_from_slice(&self.identity.to_le_bytes());
        block[24..28].copy_from_slice(&self.number.to_le_bytes());
        block[28..32].copy_from_slice(&self.segment.to_le_bytes());
        block[32..36].copy_from_slice(&self.base.to_le_bytes());
        block[36..40].copy_from_slice(&u32::from(self.recycled).to_le_bytes());
        block[40..48].copy_from_slice(&self.first.to_le_bytes());
        block[48..56].copy_from_slice(&self.durable.to_le_bytes());
        seal(&mut block);
        let mut page = vec![0; HEADER as usize];
        page[..HEADER_BYTES].copy_from_slice(&block);
        page[COPY..COPY + HEADER_BYTES].copy_from_slice(&block);
        page
    }

    /// Reads the first page, from either copy.
    pub fn decode(page: &[u8]) -> Result<Self, Unreadable> {
        let copies = [0, COPY].map(|at| page.get(at..at + HEADER_BYTES).unwrap_or_default());
        let good = copies
            .iter()
            .find(|it| check(it, MAGIC) != Err(Unreadable::Bad));
        let block = good.ok_or(Unreadable::Bad)?;
        check(block, MAGIC)?;
        Ok(Self {
            identity: u64_at(block, 16),
            number: u32_at(block, 24),
            segment: u32_at(block, 28),
            base: u32_at(block, 32),
            recycled: u32_at(block, 36) != 0,
            first: u64_at(block, 40),
            durable: u64_at(block, 48),
        })
    }
}

/// What checksums of a segment's records begin with.
///
/// Segments of one log never share a number, and CRC-32C tells any two values of 32 bits apart, so no
/// two segments of a log have the same seed; nor two offsets of one segment.
pub(super) fn seed(identity: u64, segment: u32) -> u32 {
    crc32c::crc32c_append(
        crc32c::crc32c(&identity.to_le_bytes()),
        &segment.to_le_bytes(),
    )
}

/// The part of a record before the entry, without its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub len: u32,
    pub kind: u8,
    pub sequence: u64,
}

impl Head {
    /// Reads what may be a record.
    pub fn decode(bytes: &[u8; RECORD]) -> Self {
        let tagged = u64_at(bytes, 8);
        Self {
            len: u32_at(bytes, 4),
            kind: bytes[15],
            sequence: tagged & !(0xff << 56),
        }
    }

    /// Whether the log wrote it for itself.
    pub fn is_internal(&self) -> bool {
        !KINDS.contains(&self.kind)
    }

    /// What the record takes with its padding.
    pub fn size(&self) -> u64 {
        size(self.len as usize) as u64
    }
}

/// What a record with `len` bytes of entry takes.
pub(super) fn size(len: usize) -> usize {
    (RECORD + len).next_multiple_of(ALIGN)
}

/// Whether a whole record without padding is good at this offset.
pub(super) fn is_good(record: &[u8], seed: u32, offset: u32) -> bool {
    u32_at(record, 0) == crc32c::crc32c_append(seed ^ offset, &record[4..])
}

/// Appends a record.
pub(super) fn push(into: &mut Vec<u8>, seed: u32, offset: u32, head: Head, bytes: &[u8]) {
    let start = into.len();
    into.reserve(size(bytes.len()));
    let mut fixed = [0; RECORD];
    fixed[4..8].copy_from_slice(&head.len.to_le_bytes());
    fixed[8..16].copy_from_slice(&(head.sequence | u64::from(head.kind) << 56).to_le_bytes());
    into.extend_from_slice(&fixed);
    into.extend_from_slice(bytes);
    let sum = crc32c::crc32c_append(seed ^ offset, &into[start + 4..]);
    into[start..start + 4].copy_from_slice(&sum.to_le_bytes());
    into.resize(start + size(bytes.len()), 0);
}

/// A file's name by its number.
pub(super) fn log_name(number: u32) -> String {
    format!("{number:010}.log")
}

/// A spare file's name by the number that it had.
pub(super) fn spare_name(number: u32) -> String {
    format!("{number:010}.spare")
}

/// The number in a name with that ending.
pub(super) fn number_of(name: &str, ending: &str) -> Option<u32> {
    let digits = name.strip_suffix(ending)?;
    let canonical = digits.len() == 10 && digits.bytes().all(|it| it.is_ascii_digit());
    canonical.then(|| digits.parse().ok()).flatten()
}
