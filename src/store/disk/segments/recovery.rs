//! From whatever files there are to a log that is whole, or whose holes are named. Reads only.

use std::io;
use std::ops::Range;

use super::error::OpenError;
use super::files::Files;
use super::format::{self, HEADER, Head, Header, KIND_FOOTER, KIND_GIST, KIND_HOLE, KIND_MARK};
use super::gist;
use super::inventory::{self, Item, State};
use super::mark::{self, Mark, OPEN};
use super::repair;
use super::scan::Scanner;
use super::told::Told;
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

/// What is to stand in the place of damaged bytes of a file.
#[derive(Debug)]
pub(super) struct Fix {
    pub header: Header,
    /// The bytes, as positions in the file; nothing good is behind them if they are `last`.
    pub bytes: Range<u64>,
    pub last: bool,
    /// The records.
    pub records: Vec<u8>,
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
    /// A mark could not be read: it is to be written again.
    pub bad_mark: bool,
    /// Above all numbers of files that exist.
    pub next_number: u32,
    pub next_segment: u32,
    /// What is to be made good in files with damage, in order.
    pub fixes: Vec<Fix>,
    /// Of entries below it gists are in the log.
    pub told: u64,
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
        bad_mark: !marks.bad.is_empty(),
        next_number: 1,
        next_segment: 1,
        fixes: Vec::new(),
        told: 0,
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
    /// Where gists are, once something is damaged.
    told: Option<Told>,
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
            told: None,
            cut: false,
        }
    }

    fn run(mut self) -> Result<Found, OpenError> {
        let items = self.items;
        if self.found.mark.is_none() && !items.is_empty() {
            let name = mark::NAMES[0].to_owned();
            self.damage(Defect::Mark, name, None, 0..0, self.expected);
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
        let durable = self.found.mark.as_ref().map_or(0, |it| it.durable);
        let sealed = |it: &Item| it.listed.is_some_and(|it| it.end != OPEN);
        if items.last().is_some_and(sealed) {
            // What is missing behind it was told when the mark was written.
            self.expected = self.expected.max(durable);
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
        let header = match &item.state {
            State::Good(header) => Some(*header),
            State::Unreadable { .. } => self.header_of(item, end)?,
            State::Missing => None,
        };
        if let Some(header) = header {
            if header.first >= end {
                self.found.dropped.push(name);
                return Ok(());
            }
            if header.first > self.expected && !self.hole_before(header.first, &name) {
                return self.drop_file(name, item);
            }
            self.expected = header.first;
            if matches!(item.state, State::Unreadable { .. }) {
                self.fix(header, 0..HEADER, false, Vec::new());
                let segment = Some(header.segment);
                self.damage(Defect::Header, name, segment, 0..HEADER, self.expected);
            }
            return self.part(index, header, end);
        }
        match &item.state {
            State::Good(_) => {}
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

    /// What the header of a listed file said that cannot be read: tried on what the file holds.
    fn header_of(&self, item: &Item, end: u64) -> Result<Option<Header>, OpenError> {
        let Some(listed) = item.listed else {
            return Ok(None);
        };
        let before = self.found.parts.last();
        let before = before.filter(|it| it.segment == listed.segment);
        let header = Header {
            identity: self.found.identity,
            number: item.number,
            segment: listed.segment,
            base: before.map_or(0, |it| it.stop),
            recycled: true,
            first: listed.first,
            durable: 0,
        };
        let mut scanner = Scanner::open(self.files, &header)?;
        let first = scanner.resync(HEADER, header.first);
        check_reach(&scanner, item.number)?;
        let good = first.is_some_and(|it| it.1.sequence <= end);
        Ok(good.then_some(header))
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
        bytes: Range<u64>,
        end: u64,
    ) {
        let end = end.max(self.expected);
        self.found.report.damage.push(Damage {
            defect,
            file,
            segment,
            bytes,
            sequences: self.expected..end,
            told: 0,
        });
        self.expected = end;
    }

    fn fix(&mut self, header: Header, bytes: Range<u64>, last: bool, records: Vec<u8>) {
        self.found.fixes.push(Fix {
            header,
            bytes,
            last,
            records,
        });
    }

    /// Visits the gists of damaged entries of a file in their place, and has them put there.
    fn make_good(
        &mut self,
        index: usize,
        scanner: &Scanner<'a, F>,
        header: Header,
        bytes: Range<u64>,
        (end, last): (u64, bool),
    ) -> Result<(), OpenError> {
        if self.told.is_none() {
            let items = self.items[index..].iter().enumerate();
            let good = items.filter_map(|(nth, it)| match &it.state {
                State::Good(header) => Some((*header, self.end(index + nth))),
                _ => None,
            });
            let mark = self.found.mark.as_ref();
            let mark = mark.map_or(Vec::new(), |it| it.gists.clone());
            self.told = Some(Told::find(self.files, good, mark)?);
        }
        let (mut count, sequences) = (0, self.expected..end.max(self.expected));
        let told = match &self.told {
            Some(told) => told.of(self.files, &sequences)?,
            None => Vec::new(),
        };
        let offset = scanner.offset(bytes.start).unwrap_or(u32::MAX);
        let room = (!last).then_some((bytes.end - bytes.start) as usize);
        let filling = repair::fill(&header, offset, room, &sequences, &told);
        for (it, offset) in filling.visible {
            let (sequence, kind, gist) = &told[it];
            let location = Location {
                segment: header.segment,
                offset,
                len: gist.len() as u32,
            };
            (self.visitor)(Entry {
                sequence: *sequence,
                kind: *kind,
                location,
                bytes: gist,
            });
            count += 1;
        }
        let name = format::log_name(header.number);
        self.fix(header, bytes.clone(), last, filling.records);
        self.damage(Defect::Record, name, Some(header.segment), bytes, end);
        if let Some(damage) = self.found.report.damage.last_mut() {
            damage.told = count;
        }
        Ok(())
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

    /// Reads a file up to the sequence where the next takes over.
    fn part(&mut self, index: usize, header: Header, end: u64) -> Result<(), OpenError> {
        let mut scanner = Scanner::open(self.files, &header)?;
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
                Some(head) if head.kind == KIND_HOLE && head.sequence > self.expected => {
                    self.expected = head.sequence.min(end);
                    position += head.size();
                }
                _ => match self.hole(index, &mut scanner, header, position, end)? {
                    Some(next) => position = next,
                    None => break,
                },
            }
        }
        check_reach(&scanner, header.number)?;
        if self.expected == header.first {
            // Nothing of it counts, and that its header could be read does not make it durable.
            let number = header.number;
            self.found.fixes.retain(|it| it.header.number != number);
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
        match head.kind {
            KIND_GIST => {
                let told = gist::end(scanner.entry(position, head));
                self.found.told = self.found.told.max(told);
            }
            // A segment that is sealed has all its gists.
            KIND_FOOTER => self.found.told = self.found.told.max(self.expected),
            _ => {}
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
        let counts = |head: &Head| match head.is_internal() {
            true => head.sequence <= end,
            false => head.sequence < end,
        };
        let next = next.filter(|it| counts(&it.1));
        let (to, until) = match next {
            Some((at, head)) => (at, head.sequence),
            None => (scanner.length().max(position), self.known(end)),
        };
        self.make_good(
            index,
            scanner,
            header,
            position..to,
            (until, next.is_none()),
        )?;
        Ok(next.map(|it| it.0))
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
            let mut scanner = Scanner::open(self.files, header)?;
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

/// Refuses to conclude anything from a file that is out of reach.
fn check_reach<F: Files>(scanner: &Scanner<'_, F>, number: u32) -> io::Result<()> {
    match scanner.is_out_of_reach() {
        true => {
            let name = format::log_name(number);
            Err(io::Error::other(format!("{name} cannot be read")))
        }
        false => Ok(()),
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
