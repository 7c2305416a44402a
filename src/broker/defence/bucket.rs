//! Rates: token buckets, and windows of events.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A moment, in nanoseconds after the broker was made. It lasts for 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub u64);

impl Tick {
    /// The tick of a moment.
    pub fn of(moment: Instant, epoch: Instant) -> Self {
        Self(nanoseconds(moment.saturating_duration_since(epoch)))
    }

    /// The moment of a tick.
    pub fn moment(self, epoch: Instant) -> Instant {
        epoch + Duration::from_nanos(self.0)
    }

    /// So much later.
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(time)))
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// So much a second, and what may come at once after a silence: as much as comes in this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub per_second: u64,
    /// More than 0.
    pub burst: Duration,
}

impl Rate {
    /// This rate, unless it is 0, which is none.
    pub fn new(per_second: u64, burst: Duration) -> Option<Self> {
        (per_second > 0).then_some(Self { per_second, burst })
    }
}

/// A token bucket, told as the moment at which it will be full again: taking moves that on by the time in
/// which as much comes.
///
/// ```text
///         now          full again
///   ───────┼───────────────┼────────> time       something may be taken while this is shorter
///          └── taken ──────┘                     than the burst
/// ```
///
/// What is taken may be more than is left. The bucket is in debt then, and who takes next waits the longer,
/// so that the rate holds for packets of any size. It needs no clock and no lock: many connections may take
/// from one at once.
#[derive(Debug, Default)]
pub struct Bucket(AtomicU64);

impl Bucket {
    /// When one may be taken, if not now.
    pub fn due(&self, rate: Rate, now: Tick) -> Option<Tick> {
        let full = self.0.load(Ordering::Relaxed);
        // A full bucket gives anything, and so does one that has one left.
        let one = 1_000_000_000 / rate.per_second.max(1);
        let most = nanoseconds(rate.burst).saturating_sub(one);
        let due = full.saturating_sub(most);
        (full > now.0 && due > now.0).then_some(Tick(due))
    }

    /// Takes something, whether it is there or not.
    pub fn take(&self, count: u64, rate: Rate, now: Tick) {
        let time = count.saturating_mul(1_000_000_000) / rate.per_second.max(1);
        let take = |full: u64| Some(full.max(now.0).saturating_add(time));
        // The closure always gives a value.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
    }

    /// Takes one, if something may be taken.
    pub fn try_take(&self, rate: Rate, now: Tick) -> bool {
        let allowed = self.due(rate, now).is_none();
        if allowed {
            self.take(1, rate, now);
        }
        allowed
    }

    /// When it is full, and so as good as a new one.
    pub fn full(&self) -> Tick {
        Tick(self.0.load(Ordering::Relaxed))
    }
}

/// Events in a stretch of time that begins with the first of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    count: u32,
    end: Tick,
}

impl Window {
    /// Counts an event; returns how many there have been within the time.
    pub fn hit(&mut self, within: Duration, now: Tick) -> u32 {
        if now >= self.end {
            *self = Self {
                count: 0,
                end: now.after(within),
            };
        }
        self.count = self.count.saturating_add(1);
        self.count
    }

    /// Forgets all events.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// When it counts for nothing any more.
    pub fn end(&self) -> Tick {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn rate(per_second: u64, burst: u64) -> Rate {
        Rate {
            per_second,
            burst: Duration::from_millis(burst),
        }
    }

    /// How many can be taken one by one at this moment.
    fn at_once(bucket: &Bucket, rate: Rate, now: Tick) -> usize {
        (0..10_000)
            .take_while(|_| bucket.try_take(rate, now))
            .count()
    }

    // Breaks if: a burst is larger or smaller than its time, or the rate is not kept after it.
    #[test]
    fn a_burst_comes_at_once_and_the_rest_at_the_rate() {
        let (bucket, rate) = (Bucket::default(), rate(10, 2000));
        let now = Tick(5 * SECOND);
        assert_eq!(at_once(&bucket, rate, now), 20);
        assert_eq!(bucket.due(rate, now), Some(Tick(5 * SECOND + SECOND / 10)));
        let later = |milliseconds: u64| Tick(now.0 + milliseconds * 1_000_000);
        assert_eq!(at_once(&bucket, rate, later(99)), 0);
        assert_eq!(at_once(&bucket, rate, later(100)), 1);
        assert_eq!(at_once(&bucket, rate, later(1100)), 10);
        // A long silence fills it, and no further.
        assert_eq!(at_once(&bucket, rate, later(100_000)), 20);
    }

    // Breaks if: a packet larger than the burst can never come, or costs less than its size.
    #[test]
    fn what_is_larger_than_the_burst_is_a_debt() {
        let (bucket, rate) = (Bucket::default(), rate(1000, 100));
        let now = Tick(SECOND);
        assert_eq!(bucket.due(rate, now), None);
        bucket.take(5000, rate, now);
        let due = bucket.due(rate, now).expect("a debt");
        assert_eq!(due, Tick(now.0 + 5 * SECOND - SECOND / 10 + SECOND / 1000));
        assert_eq!(bucket.due(rate, due), None);
        assert_eq!(bucket.full(), Tick(6 * SECOND));
    }

    // Breaks if: a rate is not that of all who take, or numbers at the edge overflow.
    #[test]
    fn all_who_take_share_it() {
        let (bucket, rate) = (Bucket::default(), rate(1_000_000, 1000));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| bucket.take(10, rate, Tick(1))));
            }
        });
        assert_eq!(bucket.full(), Tick(1 + 40_000_000));
        bucket.take(u64::MAX, rate, Tick(u64::MAX));
        assert!(bucket.due(rate, Tick(0)).is_some());
    }

    // Breaks if: a clock that stands before the epoch, or a slow rate, is a panic.
    #[test]
    fn slow_rates_and_early_moments_are_fine() {
        let epoch = Instant::now();
        assert_eq!(Tick::of(epoch, epoch + Duration::from_secs(1)), Tick(0));
        let (bucket, rate) = (Bucket::default(), rate(1, 100));
        assert_eq!(at_once(&bucket, rate, Tick(0)), 1);
        assert_eq!(at_once(&bucket, rate, Tick(SECOND / 2)), 0);
        assert_eq!(at_once(&bucket, rate, Tick(SECOND)), 1);
        assert_eq!(Rate::new(0, Duration::from_secs(1)), None);
    }

    // Breaks if: events of one window count in the next.
    #[test]
    fn a_window_begins_with_its_first_event() {
        let mut window = Window::default();
        let within = Duration::from_secs(10);
        let at = |second: u64| Tick(second * SECOND);
        assert_eq!([1, 5, 10].map(|it| window.hit(within, at(it))), [1, 2, 3]);
        assert_eq!(window.end(), at(11));
        assert_eq!(window.hit(within, at(11)), 1);
        window.clear();
        assert_eq!(window.hit(within, at(12)), 1);
    }
}
