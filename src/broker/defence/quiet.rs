//! How many lines of the log one address may cause.
//!
//! Everything that is refused is worth a line, until somebody has it refused a thousand times a second.
//! Beyond some lines in a while the rest are counted, and their number is told instead.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::bucket::{Bucket, Rate, Tick};
use super::origin::Origin;

/// Lines about one address: so many at once, then a few.
const OF_ONE: Rate = Rate {
    per_second: 5,
    burst: Duration::from_secs(20),
};

/// Lines about all of them.
const OF_ALL: Rate = Rate {
    per_second: 50,
    burst: Duration::from_secs(20),
};

/// How often it is told what was left out.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// Addresses that are told apart, about. Those that fall together share their lines.
const PLACES: usize = 1024;

/// Says which lines are written.
#[derive(Debug)]
pub struct Quiet {
    places: Box<[Mutex<Place>]>,
    all: Bucket,
    left_out: AtomicU64,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Place {
    bucket: Bucket,
    /// Lines that were left out and not told of, the address of the last of them, and since when.
    left_out: Option<(u64, Option<Origin>, Tick)>,
}

/// What was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The address of the last line.
    pub from: Option<Origin>,
    /// How many lines.
    pub lines: u64,
}

impl Default for Quiet {
    fn default() -> Self {
        Self {
            places: (0..PLACES).map(|_| Mutex::default()).collect(),
            all: Bucket::default(),
            left_out: AtomicU64::new(0),
            hasher: RandomState::new(),
        }
    }
}

impl Quiet {
    /// Whether a line about this address is written; if not, it is counted.
    pub fn may_tell(&self, from: Option<Origin>, now: Tick) -> bool {
        let place = self.hasher.hash_one(from) as usize % PLACES;
        let mut place = self.places[place].lock();
        // Its own bound first: who is over it takes nothing from others.
        let may = place.bucket.due(OF_ONE, now).is_none() && self.all.try_take(OF_ALL, now);
        if may {
            place.bucket.take(1, OF_ONE, now);
        } else {
            let (count, _, since) = place.left_out.unwrap_or((0, from, now));
            place.left_out = Some((count + 1, from, since));
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        may
    }

    /// What was left out for a while and has not been told.
    pub fn left_out(&self, now: Tick) -> Vec<LeftOut> {
        let mut found = Vec::new();
        for place in &self.places {
            let mut place = place.lock();
            let due = |since: Tick| since.after(TOLD_EVERY) <= now;
            let told = place.left_out.take_if(|(_, _, since)| due(*since));
            found.extend(told.map(|(lines, from, _)| LeftOut { from, lines }));
        }
        // However many addresses there are, it is no flood.
        if found.len() > MOST_TOLD {
            let lines = found.drain(MOST_TOLD..).map(|it| it.lines).sum();
            found.push(LeftOut { from: None, lines });
        }
        found
    }

    /// How many lines were left out so far.
    pub fn count(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }
}

/// Addresses of which it is told at once what was left out.
const MOST_TOLD: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn from(last: u8) -> Option<Origin> {
        Some(Origin::of([192, 0, 2, last].into()))
    }

    fn at(second: u64) -> Tick {
        Tick(second * 1_000_000_000)
    }

    // Breaks if: a flood of refusals is a flood in the log, or nobody learns of it.
    #[test]
    fn a_flood_is_told_as_a_number() {
        let quiet = Quiet::default();
        let told = (0..10_000).filter(|_| quiet.may_tell(from(1), at(1)));
        assert_eq!(told.count(), 100);
        assert!(quiet.may_tell(from(2), at(1)), "somebody else");
        assert_eq!(quiet.left_out(at(5)), []);
        let left_out = LeftOut {
            from: from(1),
            lines: 9900,
        };
        assert_eq!(quiet.left_out(at(6)), [left_out]);
        assert_eq!(quiet.left_out(at(60)), []);
        assert_eq!(quiet.count(), 9900);
        assert!(quiet.may_tell(from(1), at(60)));
    }

    // Breaks if: many addresses flood the log together.
    #[test]
    fn many_addresses_are_bounded_too() {
        let quiet = Quiet::default();
        let origin = |it: u32| Some(Origin::of(std::net::Ipv4Addr::from(it).into()));
        let told = (0..100_000).filter(|it| quiet.may_tell(origin(*it), at(1)));
        assert_eq!(told.count(), 1000);
        let left_out = quiet.left_out(at(20));
        assert_eq!(left_out.len(), MOST_TOLD + 1);
        assert_eq!(left_out.iter().map(|it| it.lines).sum::<u64>(), 99_000);
    }
}
