//! From measurements to what is refused.
//!
//! ```text
//!              memory, of the maximum          lateness, of the maximum
//!   Calm       below 80 %                      below half, four times in a row
//!   Busy       from 85 %: no new sessions      from 1, twice in a row
//!   Pressed    from 95 %: nobody is accepted,  from 2, twice in a row
//!              and QoS 0 to those who are behind is shed
//! ```
//!
//! Between a level and the one below it there is a gap, so that it does not change to and fro. Memory is
//! judged by each measurement, for it grows fast; lateness by two, for one is easily an accident, such as a
//! machine that slept.

use std::time::Duration;

/// How much there is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Nothing unusual.
    #[default]
    Calm,
    /// No new sessions are opened.
    Busy,
    /// No connections are accepted, and QoS 0 is shed.
    Pressed,
}

impl Level {
    /// The level as it is told.
    pub fn label(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Busy => "busy",
            Self::Pressed => "pressed",
        }
    }

    pub(super) fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Calm,
            1 => Self::Busy,
            _ => Self::Pressed,
        }
    }
}

/// What was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Bytes of memory that the process has.
    pub memory: u64,
    /// Bytes that it should not exceed, if there is a bound.
    pub memory_maximum: Option<u64>,
    /// How late a task ran.
    pub lag: Duration,
}

/// Judges what was measured.
#[derive(Debug, Default)]
pub struct Judge {
    memory: Level,
    lag: Level,
    /// Measurements in a row that were late, and twice as late, and that were not.
    late: u32,
    very_late: u32,
    in_time: u32,
}

/// Per cent of the memory from which a level holds, and below which it is left.
const BUSY: (u64, u64) = (85, 80);
const PRESSED: (u64, u64) = (95, 90);

/// Measurements in a row that were late, or in time.
const LATE: u32 = 2;
const IN_TIME: u32 = 4;

impl Judge {
    /// The level after this measurement.
    pub fn judge(&mut self, now: Measured, lag_maximum: Duration) -> Level {
        self.memory = match now.memory_maximum {
            None => Level::Calm,
            Some(maximum) => by_memory(self.memory, now.memory, maximum),
        };
        self.judge_lag(now.lag, lag_maximum);
        self.memory.max(self.lag)
    }

    fn judge_lag(&mut self, lag: Duration, maximum: Duration) {
        if maximum.is_zero() {
            *self = Self {
                memory: self.memory,
                ..Self::default()
            };
            return;
        }
        let count = |it: bool, before: u32| if it { before + 1 } else { 0 };
        self.late = count(lag >= maximum, self.late);
        self.very_late = count(lag >= maximum.saturating_mul(2), self.very_late);
        self.in_time = count(lag < maximum / 2, self.in_time);
        if self.very_late >= LATE {
            self.lag = Level::Pressed;
        } else if self.late >= LATE {
            self.lag = self.lag.max(Level::Busy);
        } else if self.in_time >= IN_TIME {
            self.lag = Level::Calm;
        }
    }
}

fn by_memory(before: Level, memory: u64, maximum: u64) -> Level {
    let per_cent = (u128::from(memory) * 100 / u128::from(maximum.max(1))) as u64;
    let holds = |level: Level, (from, below): (u64, u64)| {
        per_cent >= if before >= level { below } else { from }
    };
    match (holds(Level::Pressed, PRESSED), holds(Level::Busy, BUSY)) {
        (true, _) => Level::Pressed,
        (false, true) => Level::Busy,
        (false, false) => Level::Calm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn memory(memory: u64) -> Measured {
        Measured {
            memory,
            memory_maximum: Some(1000),
            lag: Duration::ZERO,
        }
    }

    fn lag(milliseconds: u64) -> Measured {
        Measured {
            lag: Duration::from_millis(milliseconds),
            ..Measured::default()
        }
    }

    // Breaks if: a level holds too early or too late, or goes to and fro at its edge.
    #[test]
    fn memory_has_two_levels_with_gaps() {
        let mut judge = Judge::default();
        for (bytes, level) in [
            (849, Level::Calm),
            (850, Level::Busy),
            (800, Level::Busy),
            (799, Level::Calm),
            (849, Level::Calm),
            (950, Level::Pressed),
            (900, Level::Pressed),
            (899, Level::Busy),
            (949, Level::Busy),
            (2000, Level::Pressed),
            (100, Level::Calm),
        ] {
            assert_eq!(judge.judge(memory(bytes), SECOND), level, "{bytes}");
        }
        let unbounded = Measured {
            memory: u64::MAX,
            memory_maximum: None,
            lag: Duration::ZERO,
        };
        assert_eq!(judge.judge(unbounded, SECOND), Level::Calm);
    }

    // Breaks if: one late measurement is an overload, or one in time its end.
    #[test]
    fn lateness_counts_when_it_lasts() {
        let mut judge = Judge::default();
        for (milliseconds, level) in [
            (5000, Level::Calm),
            (0, Level::Calm),
            (1000, Level::Calm),
            (1500, Level::Busy),
            (2000, Level::Busy),
            (2000, Level::Pressed),
            (700, Level::Pressed),
            (100, Level::Pressed),
            (100, Level::Pressed),
            (100, Level::Pressed),
            (100, Level::Calm),
        ] {
            let judged = judge.judge(lag(milliseconds), SECOND);
            assert_eq!(judged, level, "{milliseconds}");
        }
        judge.judge(lag(9000), SECOND);
        assert_eq!(judge.judge(lag(9000), SECOND), Level::Pressed);
        // A bound that is taken away has no say any more.
        assert_eq!(judge.judge(lag(9000), Duration::ZERO), Level::Calm);
    }
}
