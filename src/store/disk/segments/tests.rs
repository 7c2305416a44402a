//! What was promised is there after anything that can happen to the files; what is not is named.

mod damage;
mod faults;
mod plain;
mod space;

use std::collections::BTreeMap;

use super::error::{AppendError, CommitError};
use super::faulty::{Faulty, Random};
use super::files::Files;
use super::log::Log;
use super::types::{Entry, Location, Options, Recovered, Retire};

/// The kind of an entry that is taken when the log is full.
const SHRINKING: u8 = 9;

fn options() -> Options {
    Options {
        segment: 12 << 10,
        step: 1 << 10,
        reserve: 8 << 10,
        spares: 1,
        shrinking: |kind| kind == SHRINKING,
        identity: 7,
        ..Options::default()
    }
}

/// What a record said, by sequence.
type Content = BTreeMap<u64, (u8, Vec<u8>)>;

/// Opens, and checks that what is visited is in order and reads back from where it is said to be.
fn open<F: Files>(files: F, options: Options) -> (Log<F>, Content, Recovered) {
    let (log, content, _, report) = open_located(files, options);
    (log, content, report)
}

fn open_located<F: Files>(
    files: F,
    options: Options,
) -> (Log<F>, Content, BTreeMap<u64, Location>, Recovered) {
    let mut content = Content::new();
    let mut locations = BTreeMap::new();
    let mut last = 0;
    let opened = Log::open(files, options, &mut |entry: Entry<'_>| {
        assert!(entry.sequence > last, "{} after {last}", entry.sequence);
        last = entry.sequence;
        content.insert(last, (entry.kind, entry.bytes.to_vec()));
        locations.insert(last, entry.location);
    });
    let (mut log, report) = opened.expect("opens");
    for (sequence, location) in &locations {
        let bytes = log.read(*location).expect("what was visited is read");
        assert_eq!(bytes, content[sequence].1);
    }
    assert!(last < report.next);
    assert_eq!(report.next, log.next_sequence());
    (log, content, locations, report)
}

fn payload(random: &mut Random) -> Vec<u8> {
    let len = match random.below(40) {
        0 => 3000 + random.below(3000),
        1..=5 => 400 + random.below(900),
        _ => random.below(120),
    };
    (0..len).map(|_| random.next() as u8).collect()
}

/// A log, and what it should hold.
struct Model {
    log: Option<Log<Faulty>>,
    disk: Faulty,
    options: Options,
    random: Random,
    /// All that was ever appended, by sequence: each life after a cut may use sequences anew.
    appended: BTreeMap<u64, Vec<(u8, Vec<u8>)>>,
    /// What must be there: it was flushed, and its segment was not retired.
    kept: Content,
    /// What was appended since.
    pending: Content,
    locations: BTreeMap<u64, Location>,
    /// Segments whose retirement failed: they may be there or not.
    doubtful: Vec<u32>,
}

impl Model {
    fn new(seed: u64, options: Options) -> Self {
        Self {
            log: None,
            disk: Faulty::new(seed),
            options,
            random: Random::new(seed ^ 0xabcd),
            appended: BTreeMap::new(),
            kept: Content::new(),
            pending: Content::new(),
            locations: BTreeMap::new(),
            doubtful: Vec::new(),
        }
    }

    fn log(&mut self) -> &mut Log<Faulty> {
        self.log.as_mut().expect("the log is open")
    }

    /// Opens, if the disk lets us.
    fn try_open(&mut self) -> bool {
        self.log = None;
        let (mut content, mut locations) = (Content::new(), BTreeMap::new());
        let opened = Log::open(self.disk.clone(), self.options.clone(), &mut |entry| {
            content.insert(entry.sequence, (entry.kind, entry.bytes.to_vec()));
            locations.insert(entry.sequence, entry.location);
        });
        let Ok((log, report)) = opened else {
            return false;
        };
        if self.disk.is_off() {
            // The power went while it was read, so whatever was said of pages that failed says nothing.
            return false;
        }
        assert_eq!(report.damage, [], "nothing was damaged");
        for (sequence, entry) in &self.kept {
            assert_eq!(
                content.get(sequence),
                Some(entry),
                "{sequence} of {report:?}"
            );
        }
        for (sequence, entry) in &content {
            let known = self
                .appended
                .get(sequence)
                .is_some_and(|it| it.contains(entry));
            assert!(known, "{sequence} was never appended");
        }
        // What is there beyond what was promised has no holes.
        let promised = self.kept.keys().last().map_or(0, |it| it + 1);
        let beyond: Vec<_> = content.range(promised..).map(|it| *it.0).collect();
        assert!(beyond.windows(2).all(|it| it[0] + 1 == it[1]), "{beyond:?}");
        assert!(content.keys().last().is_none_or(|it| *it < report.next));
        self.log = Some(log);
        self.kept = content;
        self.pending.clear();
        self.doubtful.clear();
        self.locations = locations;
        true
    }

    fn append(&mut self, kind: u8) -> Result<(), AppendError> {
        let bytes = payload(&mut self.random);
        let sequence = self.log().next_sequence();
        let location = self.log().append(kind, &bytes)?;
        self.log().tell(kind, &bytes[..bytes.len().min(40)]);
        let entry = (kind, bytes);
        self.appended
            .entry(sequence)
            .or_default()
            .push(entry.clone());
        self.pending.insert(sequence, entry);
        self.locations.insert(sequence, location);
        Ok(())
    }

    fn commit(&mut self, sync: bool) -> Result<(), CommitError> {
        self.log().commit(sync)?;
        if self.log().pending() == 0 {
            self.kept.append(&mut self.pending);
        }
        Ok(())
    }

    /// Reads something at random, flushed or not.
    fn read_one(&mut self) {
        let count = self.locations.len() as u64;
        let index = self.random.below(count) as usize;
        let Some((sequence, location)) = self.locations.iter().nth(index) else {
            return;
        };
        let (sequence, location) = (*sequence, *location);
        let expected = self.kept.get(&sequence).or(self.pending.get(&sequence));
        let expected = expected.expect("it is somewhere").1.clone();
        match self.log().read(location) {
            Ok(bytes) => assert_eq!(bytes, expected, "{sequence} at {location:?}"),
            Err(error) => assert!(
                matches!(error, super::error::ReadError::Io(_)),
                "{sequence} at {location:?}: {error:?}"
            ),
        }
    }

    /// Carries half of a sealed segment forward and retires it.
    fn compact(&mut self) -> bool {
        let sealed: Vec<_> = self.log().segments().filter(|it| it.sealed).collect();
        if sealed.is_empty() {
            return true;
        }
        let index = self.random.below(sealed.len() as u64) as usize;
        let segment = sealed[index].segment;
        if self.doubtful.contains(&segment) {
            return self.log().retire(segment, Retire::Recycle).is_ok();
        }
        let mut found = Vec::new();
        let scanned = self.log().scan(segment, &mut |it| {
            found.push((it.sequence, it.kind, it.bytes.to_vec()));
        });
        let Ok(damage) = scanned else {
            return false;
        };
        if self.disk.is_off() {
            return false;
        }
        assert_eq!(damage, []);
        let here = self.locations.iter().filter(|it| it.1.segment == segment);
        let expected: Vec<_> = here.map(|it| *it.0).collect();
        let visited: Vec<_> = found.iter().map(|it| it.0).collect();
        assert_eq!(visited, expected, "all of segment {segment} is scanned");
        for (_, kind, bytes) in found.iter().step_by(2) {
            let sequence = self.log().next_sequence();
            let Ok(location) = self.log().append(*kind, bytes) else {
                return true;
            };
            let entry = (*kind, bytes.clone());
            self.appended
                .entry(sequence)
                .or_default()
                .push(entry.clone());
            self.pending.insert(sequence, entry);
            self.locations.insert(sequence, location);
        }
        if self.commit(true).is_err() {
            return false;
        }
        // From the call on the segment need not exist, whatever is answered.
        let gone: Vec<_> = visited
            .iter()
            .map(|it| (*it, self.kept.remove(it)))
            .collect();
        match self.log().retire(segment, Retire::Recycle) {
            Ok(()) => {
                for (sequence, _) in gone {
                    self.locations.remove(&sequence);
                }
                true
            }
            Err(_) => {
                self.doubtful.push(segment);
                let known: Vec<_> = gone.iter().map(|it| it.0).collect();
                self.locations.retain(|it, _| !known.contains(it));
                false
            }
        }
    }

    /// One random step. False if the disk failed.
    fn step(&mut self) -> bool {
        match self.random.below(20) {
            0..10 => {
                for _ in 0..=self.random.below(4) {
                    if self.append(1).is_err() {
                        return false;
                    }
                }
                true
            }
            10..15 => self.commit(true).is_ok(),
            15 => self.commit(false).is_ok(),
            16 => self.compact(),
            17 => {
                self.read_one();
                true
            }
            18 if self.random.below(4) == 0 => {
                self.log().seal();
                true
            }
            _ => self.log().idle().is_ok(),
        }
    }
}
