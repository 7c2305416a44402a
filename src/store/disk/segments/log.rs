//! The log that is open: appending, reading, and what it is made of.

use std::collections::BTreeMap;

use super::error::{AppendError, OpenError, ReadError};
use super::files::Files;
use super::format::{self, FOOTER, HEADER, Head, KIND_FOOTER, KIND_GIST, KIND_MARK, KINDS, RECORD};
use super::gist::Gists;
use super::mark::Mark;
use super::picture::Pictures;
use super::recovery::{self, Found, Part};
use super::repair;
use super::types::{Damage, Defect, Entry, Location, Options, Recovered, SegmentInfo};
use super::{scan::Scanner, write::Writer};

/// How many files are kept open for reading.
const READERS: usize = 16;
/// The most that a buffer keeps of its room when it is empty.
const BUFFER_KEPT: usize = 1 << 20;

/// What was appended to one segment and is not known to be durable, in the bytes of its records.
///
/// This is the only good copy until a flush succeeds, so it is not given away before.
pub(super) struct Chunk {
    pub segment: u32,
    /// The offset in the segment of its first byte.
    pub offset: u32,
    /// The next sequence at its beginning, and at its end.
    pub first: u64,
    pub end: u64,
    pub bytes: Vec<u8>,
    /// How much of it was written to the file.
    pub written: usize,
    /// The number of the file that it goes to; none if a new one has to be begun for it.
    pub file: Option<u32>,
}

/// How far a segment was read.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    segment: u32,
    part: usize,
    position: u64,
    expected: u64,
}

impl Cursor {
    /// The beginning of a segment.
    #[must_use]
    pub fn new(segment: u32) -> Self {
        Self {
            segment,
            part: 0,
            position: 0,
            expected: 0,
        }
    }

    /// Which segment is read.
    #[must_use]
    pub fn segment(&self) -> u32 {
        self.segment
    }
}

/// The segment that takes entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    pub segment: u32,
    pub offset: u32,
    /// Its first sequence.
    pub first: u64,
    /// Its footer was appended: it takes no more.
    pub sealed: bool,
}

/// A file that is ready to be begun: its name is durable.
pub(super) struct Prepared<F: Files> {
    pub number: u32,
    pub file: F::File,
    pub length: u64,
}

/// A segmented log that one thread owns. See the module for what it promises.
pub struct Log<F: Files> {
    pub(super) files: F,
    pub(super) options: Options,
    pub(super) identity: u64,
    /// The sequence of the next entry.
    pub(super) next: u64,
    /// All sequences below it are durable.
    pub(super) durable: u64,
    pub(super) next_number: u32,
    pub(super) next_segment: u32,
    /// Files with something durable that counts, in the order of their numbers.
    pub(super) parts: BTreeMap<u32, Vec<Part>>,
    pub(super) tail: Option<Tail>,
    /// In order; only the last can grow.
    pub(super) chunks: Vec<Chunk>,
    pub(super) writers: Vec<Writer<F>>,
    pub(super) prepared: Option<Prepared<F>>,
    pub(super) spares: Vec<(u32, u64)>,
    /// Files begun for nothing, to be removed when what they should have held is durable elsewhere.
    pub(super) abandoned: Vec<u32>,
    pub(super) pictures: Pictures,
    pub(super) reserve: bool,
    pub(super) full: bool,
    /// The counter and `durable` of the last good mark.
    pub(super) marked: (u64, u64),
    pub(super) marks_exist: [bool; 2],
    /// Bytes of each mark that are known to have their room on the disk.
    pub(super) mark_rooms: [usize; 2],
    /// The mark that was found at opening, until it is known to be durable.
    pub(super) mark_found: Option<Mark>,
    /// What entries say in short, as far as it is not in the log yet.
    pub(super) gists: Gists,
    /// Of entries from here on the log that was found says nothing but what they say themselves.
    told: u64,
    /// Bytes of files that belong to segments.
    pub(super) disk: u64,
    readers: Vec<(u32, F::File)>,
    buffer: Vec<u8>,
    _lock: F::Lock,
}

impl<F: Files> Log<F> {
    /// Opens the log in the folder, or creates one, and tells the visitor every good entry in order.
    ///
    /// What was visited is durable when this returns. What was cut or is missing is in the report. A
    /// file with damage is set aside, and one without takes its place: there the gists of entries that
    /// are lost stand for them, if they are known, and they are visited as well.
    ///
    /// # Errors
    ///
    /// If another process has the log open, it is of a later version, the disk fails, or, if the
    /// options are strict, something is damaged.
    pub fn open(
        files: F,
        options: Options,
        visitor: &mut dyn FnMut(Entry<'_>),
    ) -> Result<(Self, Recovered), OpenError> {
        let lock = files.lock().map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => OpenError::Locked,
            _ => OpenError::Io(error),
        })?;
        let names = files.list()?;
        let mut found = recovery::recover(&files, &names, options.identity, visitor)?;
        if options.strict && !found.report.damage.is_empty() {
            return Err(OpenError::Damaged(Box::new(found.report)));
        }
        repair::repair(&files, &mut found);
        let report = found.report.clone();
        let mut log = Self::assemble(files, lock, options, &names, &found);
        log.settle_found(&found)?;
        log.tidy(&names, found)?;
        Ok((log, report))
    }

    pub(super) fn assemble(
        files: F,
        lock: F::Lock,
        options: Options,
        names: &[String],
        found: &Found,
    ) -> Self {
        let mut parts: BTreeMap<u32, Vec<Part>> = BTreeMap::new();
        for part in &found.parts {
            parts.entry(part.segment).or_default().push(*part);
        }
        let counter = found.mark.as_ref().map_or(0, |it| it.counter);
        let exists = |name: &str| names.iter().any(|it| it == name);
        Self {
            files,
            identity: found.identity,
            next: found.report.next,
            durable: found.report.next,
            next_number: found.next_number,
            next_segment: found.next_segment,
            disk: found.parts.iter().map(|it| it.length).sum(),
            parts,
            tail: None,
            chunks: Vec::new(),
            writers: Vec::new(),
            prepared: None,
            spares: Vec::new(),
            abandoned: Vec::new(),
            pictures: Pictures::default(),
            reserve: exists(super::room::RESERVE),
            full: false,
            marked: (counter, 0),
            marks_exist: super::mark::NAMES.map(exists),
            mark_rooms: [0; 2],
            gists: Gists::default(),
            told: found.told,
            mark_found: found.mark.clone(),
            readers: Vec::new(),
            buffer: Vec::new(),
            options,
            _lock: lock,
        }
    }

    /// Appends an entry to what the next commit writes. Does no I/O.
    ///
    /// # Errors
    ///
    /// If the entry cannot be taken; then nothing has changed.
    pub fn append(&mut self, kind: u8, bytes: &[u8]) -> Result<Location, AppendError> {
        if !KINDS.contains(&kind) {
            return Err(AppendError::Kind);
        }
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if len > self.options.entry_maximum.min(1 << 30) {
            return Err(AppendError::TooLong);
        }
        let size = format::size(bytes.len()) as u32;
        if !self.has_room(kind, u64::from(size)) {
            return Err(AppendError::Full);
        }
        if self.next_segment == u32::MAX || self.next_number >= u32::MAX - 1 {
            return Err(AppendError::Exhausted);
        }
        let capacity = self.options.capacity();
        let behind = self.gists.room() as u32 + 2 * FOOTER;
        let fits = |it: &Tail| it.offset.saturating_add(size + behind) <= capacity;
        if self.tail.is_some_and(|it| it.offset > 0 && !fits(&it)) {
            self.seal();
        }
        if let Some(gists) = self.gists.due() {
            self.push(KIND_GIST, &gists);
        }
        let offset = self.push(kind, bytes);
        let segment = self.tail.map_or(0, |it| it.segment);
        Ok(Location {
            segment,
            offset,
            len,
        })
    }

    /// Says in short, and apart from it, what the entry says that was appended last, in case it cannot be
    /// read one day. That must not be longer than the entry.
    pub fn tell(&mut self, kind: u8, gist: &[u8]) {
        self.gists.tell(self.next - 1, kind, gist);
    }

    /// As [`Log::tell`], of an entry that was found by [`Log::scan_untold`], in the same order and before
    /// anything is appended.
    pub fn tell_again(&mut self, sequence: u64, kind: u8, gist: &[u8]) {
        self.gists.tell(sequence, kind, gist);
    }

    /// Tells the visitor those entries of which the log that was found says nothing in short.
    ///
    /// # Errors
    ///
    /// As [`Log::scan`].
    pub fn scan_untold(&self, visitor: &mut dyn FnMut(Entry<'_>)) -> Result<(), ReadError> {
        let untold = |parts: &Vec<Part>| parts.iter().any(|it| it.end > self.told);
        let segments = self.parts.iter().filter(|it| untold(it.1));
        for segment in segments.map(|it| *it.0) {
            self.scan(segment, &mut |it| {
                if it.sequence >= self.told {
                    visitor(it);
                }
            })?;
        }
        Ok(())
    }

    /// Closes the current segment with a footer, so that it can be scanned and retired after the next
    /// commit; the next entry begins another.
    pub fn seal(&mut self) {
        let Some(tail) = self.tail.filter(|it| !it.sealed && it.offset > 0) else {
            return;
        };
        if let Some(gists) = self.gists.rest() {
            self.push(KIND_GIST, &gists);
            self.gists.clear();
        }
        let count = (self.next - tail.first).to_le_bytes();
        let footer = [count, tail.first.to_le_bytes()].concat();
        self.push(KIND_FOOTER, &footer);
        self.tail = Some(Tail {
            offset: self.tail.map_or(0, |it| it.offset),
            sealed: true,
            ..tail
        });
    }

    /// Appends a record to the last chunk, which is begun if need be; the segment, too.
    fn push(&mut self, kind: u8, bytes: &[u8]) -> u32 {
        let mut tail = match self.tail {
            Some(tail) if !tail.sealed => tail,
            _ => {
                self.next_segment += 1;
                Tail {
                    segment: self.next_segment - 1,
                    offset: 0,
                    first: self.next,
                    sealed: false,
                }
            }
        };
        let seed = format::seed(self.identity, tail.segment);
        if self
            .chunks
            .last()
            .is_none_or(|it| it.segment != tail.segment)
        {
            let going_on = self.writers.last().filter(|it| it.segment == tail.segment);
            let mut chunk = Chunk {
                segment: tail.segment,
                offset: tail.offset,
                first: self.next,
                end: self.next,
                bytes: std::mem::take(&mut self.buffer),
                written: 0,
                file: going_on.map(|it| it.number),
            };
            // What the last flush made durable is promised here: it costs no flush of its own.
            let head = Head {
                len: 8,
                kind: KIND_MARK,
                sequence: self.next,
            };
            let promise = self.durable.to_le_bytes();
            format::push(&mut chunk.bytes, seed, tail.offset, head, &promise);
            tail.offset += chunk.bytes.len() as u32;
            self.chunks.push(chunk);
        }
        let offset = tail.offset;
        if let Some(chunk) = self.chunks.last_mut() {
            let head = Head {
                len: bytes.len() as u32,
                kind,
                sequence: self.next,
            };
            format::push(&mut chunk.bytes, seed, offset, head, bytes);
            self.next += u64::from(!head.is_internal());
            chunk.end = self.next;
            tail.offset += head.size() as u32;
        }
        self.tail = Some(tail);
        offset
    }

    /// Keeps a chunk's room for the next one.
    pub(super) fn reuse(&mut self, mut bytes: Vec<u8>) {
        if bytes.capacity() <= BUFFER_KEPT && bytes.capacity() > self.buffer.capacity() {
            bytes.clear();
            self.buffer = bytes;
        }
    }

    /// Reads an entry, durable or not, and checks it.
    ///
    /// # Errors
    ///
    /// If there is no such entry any more, it is damaged, or the disk fails.
    pub fn read(&mut self, location: Location) -> Result<Vec<u8>, ReadError> {
        let Location {
            segment,
            offset,
            len,
        } = location;
        let seed = format::seed(self.identity, segment);
        let total = RECORD + len as usize;
        let mut chunks = self.chunks.iter();
        let chunk = chunks.find(|it| it.segment == segment && it.offset <= offset);
        let record = if let Some(chunk) = chunk {
            let at = (offset - chunk.offset) as usize;
            let record = chunk.bytes.get(at..at + total);
            record.ok_or(ReadError::Unknown)?.to_vec()
        } else {
            let parts = self.parts.get(&segment).ok_or(ReadError::Unknown)?;
            let part = parts.iter().rfind(|it| it.base <= offset);
            let part = *part
                .filter(|it| u64::from(offset) + total as u64 <= u64::from(it.stop))
                .ok_or(ReadError::Unknown)?;
            let position = HEADER + u64::from(offset - part.base);
            let mut record = vec![0; total];
            let reader = self.reader(part.number).map_err(ReadError::Io)?;
            let file = &self.readers[reader].1;
            let read = self.files.read_at(file, &mut record, position);
            record.truncate(read.map_err(ReadError::Io)?);
            record
        };
        let fixed = record.get(..RECORD).and_then(|it| it.try_into().ok());
        let head = Head::decode(fixed.ok_or(ReadError::Damaged)?);
        let good = head.len == len && record.len() == total && !head.is_internal();
        if !good || !format::is_good(&record, seed, offset) {
            return Err(ReadError::Damaged);
        }
        let mut record = record;
        record.drain(..RECORD);
        Ok(record)
    }

    /// Reads an entry of which only the place is known.
    ///
    /// # Errors
    ///
    /// As [`Log::read`].
    pub fn read_from(&mut self, segment: u32, offset: u32) -> Result<Vec<u8>, ReadError> {
        let mut chunks = self.chunks.iter();
        let chunk = chunks.find(|it| it.segment == segment && it.offset <= offset);
        let mut fixed = [0; RECORD];
        if let Some(chunk) = chunk {
            let at = (offset - chunk.offset) as usize;
            let bytes = chunk.bytes.get(at..at + RECORD);
            fixed.copy_from_slice(bytes.ok_or(ReadError::Unknown)?);
        } else {
            let parts = self.parts.get(&segment).ok_or(ReadError::Unknown)?;
            let part = parts.iter().rfind(|it| it.base <= offset);
            let part = *part.ok_or(ReadError::Unknown)?;
            let position = HEADER + u64::from(offset - part.base);
            let reader = self.reader(part.number).map_err(ReadError::Io)?;
            let file = &self.readers[reader].1;
            let read = self.files.read_at(file, &mut fixed, position);
            read.map_err(ReadError::Io)?;
        }
        let len = Head::decode(&fixed).len;
        self.read(Location {
            segment,
            offset,
            len,
        })
    }

    /// Bytes of the files that hold records, and of those that are kept back.
    #[must_use]
    pub fn disk(&self) -> u64 {
        self.disk
    }

    /// The place of an open file among those kept; the last used is last.
    fn reader(&mut self, number: u32) -> std::io::Result<usize> {
        if let Some(index) = self.readers.iter().position(|it| it.0 == number) {
            let last = self.readers.len() - 1;
            if index != last {
                self.readers[index..].rotate_left(1);
            }
            return Ok(last);
        }
        let file = self.files.open(&format::log_name(number))?;
        if self.readers.len() == READERS {
            self.readers.remove(0);
        }
        self.readers.push((number, file));
        Ok(self.readers.len() - 1)
    }

    /// Closes files that are no longer part of the log.
    pub(super) fn forget_readers(&mut self, segment: u32) {
        let gone = self.parts.get(&segment).map_or(&[][..], |it| it);
        self.readers
            .retain(|it| gone.iter().all(|part| part.number != it.0));
    }

    /// The segments, in order. One that has nothing durable yet is not among them.
    pub fn segments(&self) -> impl Iterator<Item = SegmentInfo> + '_ {
        self.parts.iter().map(|(segment, parts)| SegmentInfo {
            segment: *segment,
            used: parts.last().map_or(0, |it| it.stop),
            disk: parts.iter().map(|it| it.length).sum(),
            sealed: !self.is_current(*segment),
        })
    }

    /// Whether a segment takes entries or has some that are not durable.
    pub(super) fn is_current(&self, segment: u32) -> bool {
        self.tail
            .is_some_and(|it| it.segment == segment && !it.sealed)
            || self.chunks.iter().any(|it| it.segment == segment)
    }

    /// Tells the visitor every good entry of a sealed segment in order; returns what is damaged.
    ///
    /// # Errors
    ///
    /// If there is no such segment, it is not sealed, or a file cannot be opened.
    pub fn scan(
        &self,
        segment: u32,
        visitor: &mut dyn FnMut(Entry<'_>),
    ) -> Result<Vec<Damage>, ReadError> {
        let mut cursor = Cursor::new(segment);
        let mut damage = Vec::new();
        while !self.scan_on(&mut cursor, u64::MAX, visitor, &mut damage)? {}
        Ok(damage)
    }

    /// Tells the visitor the next entries of a sealed segment, until they are `most` bytes; returns
    /// whether it was all. A segment that is read bit by bit keeps nobody waiting.
    ///
    /// # Errors
    ///
    /// As [`Log::scan`].
    pub fn scan_on(
        &self,
        cursor: &mut Cursor,
        most: u64,
        visitor: &mut dyn FnMut(Entry<'_>),
        damage: &mut Vec<Damage>,
    ) -> Result<bool, ReadError> {
        let segment = cursor.segment;
        let parts = self
            .parts
            .get(&segment)
            .filter(|_| !self.is_current(segment));
        let parts = parts.ok_or(ReadError::Unknown)?;
        let Some(part) = parts.get(cursor.part) else {
            return Ok(true);
        };
        if cursor.position < HEADER {
            (cursor.position, cursor.expected) = (HEADER, part.first);
        }
        let over = self
            .scan_part(part, cursor, most, visitor, damage)
            .map_err(ReadError::Io)?;
        if over {
            (cursor.part, cursor.position) = (cursor.part + 1, 0);
        }
        Ok(cursor.part >= parts.len())
    }

    /// Whether the part was read to its end.
    fn scan_part(
        &self,
        part: &Part,
        cursor: &mut Cursor,
        most: u64,
        visitor: &mut dyn FnMut(Entry<'_>),
        damage: &mut Vec<Damage>,
    ) -> std::io::Result<bool> {
        let name = format::log_name(part.number);
        let file = self.files.open(&name)?;
        let length = self.files.length(&file)?;
        let seed = format::seed(self.identity, part.segment);
        let mut scanner = Scanner::new(&self.files, file, length, seed, part.base);
        let until = cursor.position.saturating_add(most);
        while cursor.expected < part.end {
            let (position, expected) = (cursor.position, cursor.expected);
            if position >= until {
                return Ok(false);
            }
            let here = scanner.record(position).map(|head| (position, head));
            let here = here.filter(|(_, head)| head.sequence == expected);
            let found = here.or_else(|| scanner.resync(position, expected));
            let found = found.filter(|(_, head)| head.sequence <= part.end);
            let (at, to) = found.map_or((length, part.end), |(at, head)| (at, head.sequence));
            if at != position {
                damage.push(Damage {
                    defect: Defect::Record,
                    file: name.clone(),
                    segment: Some(part.segment),
                    bytes: position..at.max(position),
                    sequences: expected..to,
                    told: 0,
                });
            }
            cursor.expected = to;
            let Some((at, head)) = found else { break };
            if !head.is_internal() && to < part.end {
                let offset = scanner.offset(at).unwrap_or(u32::MAX);
                visitor(Entry {
                    sequence: head.sequence,
                    kind: head.kind,
                    location: Location {
                        segment: part.segment,
                        offset,
                        len: head.len,
                    },
                    bytes: scanner.entry(at, head),
                });
                cursor.expected += 1;
            }
            cursor.position = at + head.size();
        }
        Ok(true)
    }

    /// Bytes in memory that are not durable yet.
    pub fn pending(&self) -> usize {
        self.chunks.iter().map(|it| it.bytes.len()).sum()
    }

    /// The sequence of the next entry.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// All sequences below this one are durable.
    pub fn durable_sequence(&self) -> u64 {
        self.durable
    }

    /// Whether an entry of this kind and length would be taken.
    #[must_use]
    pub fn takes(&self, kind: u8, len: u64) -> bool {
        self.has_room(kind, len)
    }

    /// Whether the disk was full, and only kinds that make the log smaller are taken.
    pub fn is_full(&self) -> bool {
        self.full
    }
}
