//! From whatever files there are to a log that is whole, or whose holes are named. Reads only.

use std::io;

use super::error::OpenError;
use super::files::Files;
use super::format::{self, HEADER, Head, Header, KIND_FOOTER, KIND_MARK};
use super::inventory::{self, Item, State};
use super::mark::{self, Mark, OPEN};
use super::scan::Scanner;
use super::types::{Damage, Defect, Entry, Location, Recovered, Torn};

/// What is told of every good entry, in order.
pub(super) type Visitor<'a> = &'a mut dyn FnMut(Entry<'_>);

/// A file of records that belongs to the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub number: u32,
    pub segment: u32,
    /// The offset in the segment of its first record.
    pub base: u32,
    /// The offset in the segment at which it ends.
    pub stop: u32,
    /// Its first sequence.
    pub first: u64,
    /// The sequence after its last, or [`OPEN`].
    pub end: u64,
    /// Its length on the disk.
    pub length: u64,
}

/// What recovery found, and what is to be done about it.
pub(super) struct Found {
    pub identity: u64,
    pub mark: Option<Mark>,
    pub parts: Vec<Part>,
    /// From where on, by index of the part and position, nothing says that it was flushed.
    pub unsettled: Option<(usize, u64)>,
    /// Files to remove: they hold nothing that counts.
    pub dropped: Vec<String>,
    /// Files to set aside: they could not be read.
    pub aside: Vec<String>,
    /// Above all numbers of files that exist.
    pub next_number: u32,
    pub next_segment: u32,
    pub report: Recovered,
}

/// Reads everything.
pub(super) fn recover<F: Files>(
    files: &F,
    names: &[String],
    identity: u64,
    visitor: Visitor<'_>,
) -> Result<Found, OpenError> {
    let marks = mark::load(files, names)?;
    if let Some((file, version)) = marks.newer {
        let file = file.to_owned();
        return Err(OpenError::Newer { file, version });
    }
    let mut found = Found {
        identity,
        mark: marks.newest,
        parts: Vec::new(),
        unsettled: None,
        dropped: Vec::new(),
        aside: Vec::new(),
        next_number: 1,
        next_segment: 1,
        report: Recovered::default(),
    };
    let items = inventory::collect(files, names, &mut found)?;
    for (name, length) in marks.bad {
        let (file, bytes) = (name.to_owned(), 0..length);
        found.report.torn.push(Torn { file, bytes });
    }
    Replay::new(files, visitor, &items, found).run()
}

struct Replay<'a, 'v, F: Files> {
    files: &'a F,
    visitor: Visitor<'v>,
    items: &'a [Item],
    found: Found,
    /// The next sequence that there should be.
    expected: u64,
    /// All below it is known to have been durable.
    promised: u64,
    /// Places, with the next sequence there, of which the first is at or before `promised`.
    places: Vec<(u64, usize, u64)>,
    /// The log ended before the last file did.
    cut: bool,
}

impl<'a, 'v, F: Files> Replay<'a, 'v, F> {
    fn new(files: &'a F, visitor: Visitor<'v>, items: &'a [Item], found: Found) -> Self {
        let good = items.iter().filter_map(|it| match &it.state {
            State::Good(header) => Some(header.durable),
            _ => None,
        });
        let promised = good.chain(found.mark.as_ref().map(|it| it.durable));
        let promised = promised.max().unwrap_or(0);
        let begin = match (&found.mark, items.first()) {
            (Some(mark), _) => mark.durable,
            (None, Some(item)) => item.first().unwrap_or(1),
            (None, None) => 1,
        };
        Self {
            files,
            visitor,
            items,
            found,
            expected: begin.max(1),
            promised,
            places: Vec::new(),
            cut: false,
        }
    }

    fn run(mut self) -> Result<Found, OpenError> {
        let items = self.items;
        if self.found.mark.is_none() && !items.is_empty() {
            self.damage(
                Defect::Mark,
                mark::NAMES[0].to_owned(),
                None,
                0..0,
                self.expected,
            );
        }
        for (index, item) in items.iter().enumerate() {
            if let Some(listed) = item.listed {
                // What was between the last file and this one was retired, or the mark would list it.
                self.expected = listed.first;
            } else if index > 0 && items[index - 1].listed.is_some_and(|it| it.end != OPEN) {
                self.expected = self
                    .found
                    .mark
                    .as_ref()
                    .map_or(self.expected, |it| it.durable);
            }
            self.item(index, item)?;
        }
        if self.expected < self.promised && !self.cut {
            let name = format::log_name(self.found.next_number);
            self.damage(Defect::Missing, name, None, 0..0, self.promised);
        }
        self.found.unsettled = match self.places.first() {
            Some((_, part, position)) if self.expected > self.promised => Some((*part, *position)),
            _ => None,
        };
        self.found.report.next = self.expected;
        self.found.report.promised = self.promised;
        Ok(self.found)
    }

    fn item(&mut self, index: usize, item: &Item) -> Result<(), OpenError> {
        let name = format::log_name(item.number);
        let end = self.end(index);
        if self.cut {
            self.drop_file(name, item)?;
            return Ok(());
        }
        match &item.state {
            State::Good(header) if header.first >= end => self.found.dropped.push(name),
            State::Good(header) => {
                if header.first > self.expected && !self.hole_before(header.first, &name) {
                    return self.drop_file(name, item);
                }
                self.expected = header.first;
                self.part(index, *header, end)?;
            }
            State::Missing => {
                let segment = item.listed.map(|it| it.segment);
                self.damage(Defect::Missing, name, segment, 0..0, self.known(end));
            }
            State::Unreadable { blank } => {
                let kept = item.listed.is_some() || (self.found.mark.is_none() && !blank);
                if kept || self.known(end) > self.expected && self.expected < self.promised {
                    let segment = item.listed.map(|it| it.segment);
                    let end = self.known(end);
                    self.damage(Defect::Header, name.clone(), segment, 0..HEADER, end);
                    self.found.aside.push(name);
                } else {
                    self.drop_file(name, item)?;
                }
            }
        }
        Ok(())
    }

    /// The sequence at which a file's content stops to count.
    fn end(&self, index: usize) -> u64 {
        let later = self.items[index + 1..].iter().filter_map(Item::first);
        let listed = self.items[index].listed.map_or(OPEN, |it| it.end);
        later.min().unwrap_or(OPEN).min(listed)
    }

    /// Where a hole ends that reaches up to `end`.
    fn known(&self, end: u64) -> u64 {
        match end {
            OPEN => self.promised.max(self.expected),
            end => end.max(self.expected),
        }
    }

    /// A file begins too late: whether it counts all the same, because what is missing was promised.
    fn hole_before(&mut self, first: u64, name: &str) -> bool {
        if self.expected >= self.promised {
            self.cut = true;
            return false;
        }
        self.damage(Defect::Missing, name.to_owned(), None, 0..0, first);
        true
    }

    fn damage(
        &mut self,
        defect: Defect,
        file: String,
        segment: Option<u32>,
        bytes: std::ops::Range<u64>,
        end: u64,
    ) {
        let end = end.max(self.expected);
        self.found.report.damage.push(Damage {
            defect,
            file,
            segment,
            bytes,
            sequences: self.expected..end,
        });
        self.expected = end;
    }

    fn drop_file(&mut self, name: String, item: &Item) -> Result<(), OpenError> {
        if !matches!(
            item.state,
            State::Unreadable { blank: true } | State::Missing
        ) {
            let length = self.files.length(&self.files.open(&name)?)?;
            let (file, bytes) = (name.clone(), 0..length);
            self.found.report.torn.push(Torn { file, bytes });
        }
        if !matches!(item.state, State::Missing) {
            self.found.dropped.push(name);
        }
        Ok(())
    }

    fn scanner(&self, header: &Header) -> io::Result<Scanner<'a, F>> {
        let file = self.files.open(&format::log_name(header.number))?;
        let length = self.files.length(&file)?;
        let seed = format::seed(header.identity, header.segment);
        Ok(Scanner::new(self.files, file, length, seed, header.base))
    }

    /// Reads a file up to the sequence where the next takes over.
    fn part(&mut self, index: usize, header: Header, end: u64) -> Result<(), OpenError> {
        let mut scanner = self.scanner(&header)?;
        let mut position = HEADER;
        self.place(position);
        while self.expected < end {
            match scanner.record(position) {
                Some(head) if head.sequence == self.expected => {
                    self.good(&mut scanner, header.segment, position, head);
                    position += head.size();
                    if head.kind == KIND_FOOTER {
                        break;
                    }
                }
                _ => match self.hole(index, &mut scanner, header, position, end)? {
                    Some(next) => position = next,
                    None => break,
                },
            }
        }
        if scanner.is_out_of_reach() {
            return Err(io::Error::other("a file of records cannot be read").into());
        }
        if self.expected == header.first {
            // Nothing of it counts, and that its header could be read does not make it durable.
            self.found.dropped.push(format::log_name(header.number));
            return Ok(());
        }
        self.found.parts.push(Part {
            number: header.number,
            segment: header.segment,
            base: header.base,
            stop: scanner.offset(position).unwrap_or(u32::MAX),
            first: header.first,
            end: self.expected,
            length: scanner.length(),
        });
        Ok(())
    }

    fn good(&mut self, scanner: &mut Scanner<'a, F>, segment: u32, position: u64, head: Head) {
        if head.kind == KIND_MARK {
            let durable = scanner.value(position, head).min(head.sequence);
            self.promised = self.promised.max(durable);
            self.place(position);
        }
        if head.is_internal() {
            return;
        }
        let location = Location {
            segment,
            offset: scanner.offset(position).unwrap_or(u32::MAX),
            len: head.len,
        };
        (self.visitor)(Entry {
            sequence: head.sequence,
            kind: head.kind,
            location,
            bytes: scanner.entry(position, head),
        });
        self.found.report.entries += 1;
        self.found.report.bytes += u64::from(head.len);
        self.expected += 1;
    }

    /// Remembers a place; of those at or before what is promised, the last is enough.
    fn place(&mut self, position: u64) {
        self.places
            .push((self.expected, self.found.parts.len(), position));
        let settled = self.places.partition_point(|it| it.0 <= self.promised);
        self.places.drain(..settled.saturating_sub(1));
    }

    /// No good record where one should be. Returns where to go on in this file, if anywhere.
    fn hole(
        &mut self,
        index: usize,
        scanner: &mut Scanner<'a, F>,
        header: Header,
        position: u64,
        end: u64,
    ) -> Result<Option<u64>, OpenError> {
        let name = format::log_name(header.number);
        let next = scanner.resync(position, self.expected);
        if self.expected >= self.promised {
            self.promise_ahead(index, scanner, next)?;
        }
        if self.expected >= self.promised && !scanner.is_unreadable(position) {
            let stop = torn_end(scanner, position, &header, self.expected, next)?;
            if stop > position {
                let (file, bytes) = (name, position..stop);
                self.found.report.torn.push(Torn { file, bytes });
            }
            self.cut = true;
            return Ok(None);
        }
        let segment = Some(header.segment);
        match next {
            Some((at, head))
                if head.sequence < end || (head.sequence == end && head.is_internal()) =>
            {
                self.damage(Defect::Record, name, segment, position..at, head.sequence);
                Ok(Some(at))
            }
            _ => {
                let to = scanner.length().max(position);
                let end = self.known(end);
                self.damage(Defect::Record, name, segment, position..to, end);
                Ok(None)
            }
        }
    }

    /// Looks behind a hole, in this file and later ones, for a mark that promises what is in it.
    fn promise_ahead(
        &mut self,
        index: usize,
        scanner: &mut Scanner<'a, F>,
        mut next: Option<(u64, Head)>,
    ) -> Result<(), OpenError> {
        while let Some((at, head)) = next {
            if self.promise(scanner, at, head) {
                return Ok(());
            }
            next = scanner.resync(at + head.size(), self.expected);
        }
        for item in &self.items[index + 1..] {
            let State::Good(header) = &item.state else {
                continue;
            };
            let mut scanner = self.scanner(header)?;
            let mut next = scanner.resync(HEADER, header.first);
            while let Some((at, head)) = next {
                if self.promise(&mut scanner, at, head) {
                    return Ok(());
                }
                next = scanner.resync(at + head.size(), head.sequence);
            }
        }
        Ok(())
    }

    fn promise(&mut self, scanner: &mut Scanner<'a, F>, at: u64, head: Head) -> bool {
        if head.kind == KIND_MARK {
            let durable = scanner.value(at, head).min(head.sequence);
            self.promised = self.promised.max(durable);
        }
        self.promised > self.expected
    }
}

/// Where the bytes end that were written after the last good record.
fn torn_end<F: Files>(
    scanner: &mut Scanner<'_, F>,
    position: u64,
    header: &Header,
    expected: u64,
    mut next: Option<(u64, Head)>,
) -> Result<u64, OpenError> {
    if !header.recycled {
        return Ok(scanner.last_written(position));
    }
    // Stale bytes are not counted: only what can be told to be of this life of the file.
    let mut end = position;
    while let Some((at, head)) = next {
        end = at + head.size();
        next = scanner.resync(end, expected);
    }
    if end == position && !scanner.is_end(position) {
        end = (end + format::RECORD as u64).min(scanner.length());
    }
    Ok(end)
}
