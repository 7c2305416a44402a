//! What opening a store found beside its state, in words.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use super::gone::Gone;
use super::mirror::Mirror;
use super::segments::types::{Damage, Defect, Recovered};
use crate::message::Timestamp;

/// What opening a store found, beside its state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What the log found: what was cut, what is damaged.
    pub log: Recovered,
    /// Records that could not be understood.
    pub undecoded: u64,
    /// Records that named what is not kept.
    pub unknown: u64,
    /// Messages that could not be read.
    pub unread: u64,
    /// Whose messages are missing, and how many, in order.
    pub missing: Vec<Missing>,
    /// Damage of which nothing says what was there.
    pub untold: Vec<Untold>,
}

/// Messages that were kept, and cannot be read any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Who was to have them.
    pub owner: Owner,
    /// How many they are.
    pub messages: u64,
}

/// Who was to have messages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// A session, by its Client Identifier.
    Session(Box<str>),
    /// A shared group.
    Group {
        /// Its ShareName.
        share: Box<str>,
        /// Its Topic Filter.
        filter: Box<str>,
    },
    /// Whoever subscribes when its time comes: it was to be published later.
    Delayed,
    /// Whoever subscribes to this topic, of which it was the retained message.
    Retained(Box<str>),
    /// A session or group that is lost as well: only its number is known.
    Unnamed(u64),
}

/// Damaged records of which nothing says what they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    /// The name of the file.
    pub file: String,
    /// The bytes, as positions in the file.
    pub bytes: Range<u64>,
    /// How many entries of the log, each of one record or a few.
    pub entries: u64,
    /// The last time that was told of before.
    pub after: Option<Timestamp>,
    /// The first time that was told of behind.
    pub before: Option<Timestamp>,
}

/// At which entries of the log it was told what time it is.
#[derive(Debug, Default)]
pub(super) struct Times(Vec<(u64, u64)>);

impl Times {
    /// It was so late when this entry was written.
    pub fn note(&mut self, sequence: u64, clock: u64) {
        if self.0.last().is_none_or(|last| last.1 != clock) && clock > 0 {
            self.0.push((sequence, clock));
        }
    }

    fn around(&self, sequences: &Range<u64>) -> (Option<Timestamp>, Option<Timestamp>) {
        let at = |it: &(u64, u64)| Timestamp::from_millis(it.1);
        let behind = self.0.partition_point(|it| it.0 < sequences.end);
        let before = self.0.partition_point(|it| it.0 < sequences.start);
        let before = before.checked_sub(1).and_then(|it| self.0.get(it));
        (before.map(at), self.0.get(behind).map(at))
    }
}

impl Report {
    /// What is to be told of a replay that is almost over: nothing was dropped yet.
    pub(super) fn new(
        log: Recovered,
        undecoded: u64,
        mirror: &Mirror,
        gone: &[Gone],
        times: &Times,
    ) -> Self {
        let untold = log.damage.iter().filter_map(|it| {
            let entries = it.sequences.end - it.sequences.start - it.told;
            let (after, before) = times.around(&it.sequences);
            (entries > 0).then(|| Untold {
                file: it.file.clone(),
                bytes: it.bytes.clone(),
                entries,
                after,
                before,
            })
        });
        let untold: Vec<_> = untold.collect();
        let mut missing = owners(mirror, gone, !log.damage.is_empty());
        if !untold.is_empty() {
            for (number, count) in mirror.unexplained() {
                *missing.entry(Owner::Unnamed(number)).or_default() += count;
            }
        }
        Self {
            log,
            undecoded,
            missing: in_order(missing),
            untold,
            ..Self::default()
        }
    }

    /// Everything that is damaged or missing, a line each.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.log.lines();
        lines.extend(self.untold.iter().map(ToString::to_string));
        lines.extend(self.missing.iter().map(ToString::to_string));
        for (count, what) in [
            (self.undecoded, "records cannot be understood"),
            (self.unread, "messages cannot be read"),
        ] {
            if count > 0 {
                lines.push(format!("{count} {what}"));
            }
        }
        lines
    }
}

/// Whose messages these are; those of owners that are lost themselves only if that is worth telling.
fn owners(mirror: &Mirror, gone: &[Gone], unnamed: bool) -> BTreeMap<Owner, u64> {
    let mut owners = BTreeMap::new();
    for it in gone {
        let owner = it.owner(mirror);
        if unnamed || !matches!(owner, Owner::Unnamed(_)) {
            *owners.entry(owner).or_default() += 1;
        }
    }
    owners
}

fn in_order(owners: BTreeMap<Owner, u64>) -> Vec<Missing> {
    let each = owners.into_iter();
    let each = each.map(|(owner, messages)| Missing { owner, messages });
    each.collect()
}

/// Whose messages these are.
pub(super) fn missing(mirror: &Mirror, gone: &[Gone]) -> Vec<Missing> {
    in_order(owners(mirror, gone, true))
}

impl Recovered {
    fn lines(&self) -> Vec<String> {
        let damage = self.damage.iter().map(ToString::to_string);
        let aside = self.aside.iter();
        let aside = aside.map(|it| format!("the damaged file is kept as {it}"));
        let left = self.left.iter();
        let left = left.map(|(file, why)| format!("{file} could not be set aside: {why}"));
        damage.chain(aside).chain(left).collect()
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.messages {
            1 => write!(f, "1 message is missing: {}", self.owner),
            count => write!(f, "{count} messages are missing: {}", self.owner),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(client_id) => write!(f, "the session of {client_id:?} was to have them"),
            Self::Group { share, filter } => {
                write!(f, "the group \"$share/{share}/{filter}\" was to have them")
            }
            Self::Delayed => f.write_str("they were to be published later"),
            Self::Retained(topic) => write!(f, "it was the retained message of {topic:?}"),
            Self::Unnamed(number) => {
                write!(
                    f,
                    "session or group {number}, of which no more is known, was to have them"
                )
            }
        }
    }
}

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, entries) = (&self.file, self.entries);
        write!(
            f,
            "{file}: nothing says what {entries} damaged entries were"
        )?;
        if !self.bytes.is_empty() {
            let Range { start, end } = self.bytes;
            write!(f, " between bytes {start} and {end}")?;
        }
        if let Some(after) = self.after {
            write!(f, ", written after {}", Utc(after))?;
        }
        if let Some(before) = self.before {
            write!(f, ", written before {}", Utc(before))?;
        }
        Ok(())
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, Range { start, end }) = (&self.file, &self.bytes);
        match self.defect {
            Defect::Record => write!(f, "{file} is damaged from byte {start} to {end}")?,
            Defect::Missing => write!(f, "{file} is missing")?,
            Defect::Header => write!(f, "the header of {file} cannot be read")?,
            Defect::Mark => {
                let more = "no mark can be read, so that more may be missing than can be told";
                return f.write_str(more);
            }
        }
        match (self.sequences.end - self.sequences.start, self.told) {
            (0, _) => f.write_str(": nothing was lost"),
            (lost, 0) => write!(f, ": {lost} entries were lost"),
            (lost, told) => write!(f, ": {lost} entries were lost, {told} are known in short"),
        }
    }
}

/// A moment as the calendar has it.
struct Utc(Timestamp);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_millis() / 1000;
        let (days, time) = (seconds / 86_400, seconds % 86_400);
        let (mut year, mut day) = (1970, days);
        let leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        while day >= 365 + u64::from(leap(year)) && year < 10_000 {
            day -= 365 + u64::from(leap(year));
            year += 1;
        }
        let february = 28 + u64::from(leap(year));
        let mut month = 1;
        for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
            if day < length {
                break;
            }
            day -= length;
            month += 1;
        }
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        write!(
            f,
            "{year:04}-{month:02}-{:02} {hour:02}:{minute:02}:{second:02} UTC",
            day + 1
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Breaks if: a moment is told that was another.
    #[test]
    fn moments_are_told_by_the_calendar() {
        for (millis, said) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_826_154_999, "2000-02-29 12:09:14 UTC"),
            (1_735_689_599_000, "2024-12-31 23:59:59 UTC"),
            (1_741_046_400_000, "2025-03-04 00:00:00 UTC"),
        ] {
            assert_eq!(Utc(Timestamp::from_millis(millis)).to_string(), said);
        }
    }

    // Breaks if: a kind of damage is told without its file, its place or its loss.
    #[test]
    fn damage_is_told_with_file_place_and_loss() {
        let damage = |defect, bytes, lost: u64, told| Damage {
            defect,
            file: "7.log".to_owned(),
            segment: Some(3),
            bytes,
            sequences: 10..10 + lost,
            told,
        };
        let said = damage(Defect::Record, 100..140, 2, 1).to_string();
        let expected =
            "7.log is damaged from byte 100 to 140: 2 entries were lost, 1 are known in short";
        assert_eq!(said, expected);
        let said = damage(Defect::Missing, 0..0, 9, 0).to_string();
        assert_eq!(said, "7.log is missing: 9 entries were lost");
        let said = damage(Defect::Header, 0..4096, 0, 0).to_string();
        assert_eq!(said, "the header of 7.log cannot be read: nothing was lost");
    }

    // Breaks if: the time before or after a damaged stretch is taken from inside it, or from elsewhere.
    #[test]
    fn the_time_of_what_is_not_known_is_told() {
        let mut times = Times::default();
        for (sequence, clock) in [(1, 0), (2, 1000), (3, 1000), (9, 5000)] {
            times.note(sequence, clock);
        }
        let at = |millis| Some(Timestamp::from_millis(millis));
        assert_eq!(times.around(&(4..8)), (at(1000), at(5000)));
        assert_eq!(times.around(&(1..2)), (None, at(1000)));
        assert_eq!(times.around(&(10..11)), (at(5000), None));
    }
}
