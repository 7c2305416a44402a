//! Load averages: how fast a counter goes up, per minute, weighted towards the present.
//!
//! An exponentially weighted moving average, as Unix keeps it of its run queue: over an interval
//! of `t` seconds in which the counter went up by `n`, with `r = 60 n / t` events per minute,
//!
//! ```text
//!   average  :=  r + (average - r) · e^(-t / T)          T = 1, 5 and 15 minutes
//! ```
//!
//! so the weight of what happened `T` ago is 1/e, however often and however evenly one looks.

use std::time::Duration;

/// The periods averaged over: their names in topics, and how many seconds they are.
pub(super) const PERIODS: [(&str, f64); 3] = [("1min", 60.0), ("5min", 300.0), ("15min", 900.0)];

/// The load averages of one counter. They begin at 0 and come up from there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Load {
    total: u64,
    averages: [f64; PERIODS.len()],
}

impl Load {
    /// Of a counter that stands at `total` already, which tells nothing of its rate.
    pub(super) fn starting(total: u64) -> Self {
        Self {
            total,
            ..Self::default()
        }
    }

    /// The counter stands at `total` now, `elapsed` after it was last looked at.
    pub(super) fn update(&mut self, total: u64, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        // Two looks at one moment tell nothing of a rate; what came between counts next time.
        if seconds <= 0.0 {
            return;
        }
        let rate = total.saturating_sub(self.total) as f64 * 60.0 / seconds;
        self.total = total;
        for (average, (_, period)) in self.averages.iter_mut().zip(PERIODS) {
            *average = rate + (*average - rate) * (-seconds / period).exp();
        }
    }

    /// Events per minute, averaged over each of [`PERIODS`].
    pub(super) fn averages(&self) -> [f64; PERIODS.len()] {
        self.averages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    /// The averages after `looks` intervals in which the counter went up by `step` each.
    fn after(load: &mut Load, looks: u32, step: u64) -> [f64; 3] {
        for _ in 0..looks {
            load.update(load.total + step, INTERVAL);
        }
        load.averages()
    }

    #[track_caller]
    fn assert_near(found: [f64; 3], expected: [f64; 3]) {
        for (found, expected) in found.into_iter().zip(expected) {
            assert!((found - expected).abs() < 0.005, "{found} for {expected}");
        }
    }

    #[test]
    fn a_steady_rate_is_approached_by_the_short_average_first() {
        let mut load = Load::default();
        // 60 · (1 - e^(-10/60)), 60 · (1 - e^(-10/300)), 60 · (1 - e^(-10/900)).
        assert_near(after(&mut load, 1, 10), [9.21, 1.97, 0.66]);
        // After one period, 1 - 1/e of the rate.
        assert_near(after(&mut load, 5, 10), [37.93, 10.88, 3.87]);
        assert_near(after(&mut load, 2000, 10), [60.0; 3]);
    }

    #[test]
    fn silence_lets_the_averages_fall_to_nothing() {
        let mut load = Load::default();
        after(&mut load, 2000, 10);
        // 60 / e, and 60 · e^(-60/300), 60 · e^(-60/900).
        assert_near(after(&mut load, 6, 0), [22.07, 49.12, 56.13]);
        assert_near(after(&mut load, 2000, 0), [0.0; 3]);
    }

    /// Of mosquitto 2.0: two packets in two seconds were shown as 1.97.
    #[test]
    fn the_numbers_are_those_of_mosquitto() {
        let mut load = Load::default();
        load.update(2, Duration::from_secs(2));
        assert_near(load.averages(), [1.97, 0.40, 0.13]);
    }

    #[test]
    fn the_interval_does_not_matter_to_a_steady_rate() {
        let (mut often, mut seldom) = (Load::default(), Load::default());
        for second in 1..=60 {
            often.update(second * 7, Duration::from_secs(1));
        }
        seldom.update(60 * 7, Duration::from_secs(60));
        assert_near(often.averages(), seldom.averages());
    }

    #[test]
    fn no_time_between_two_looks_changes_nothing_and_loses_nothing() {
        let mut load = Load::default();
        load.update(5, Duration::ZERO);
        assert_eq!(load, Load::default());
        load.update(10, INTERVAL);
        assert_near(load.averages(), [9.21, 1.97, 0.66]);
    }

    #[test]
    fn what_was_there_at_the_start_is_no_load() {
        let mut load = Load::starting(1_000_000);
        load.update(1_000_000, INTERVAL);
        assert_near(load.averages(), [0.0; 3]);
        assert_near(after(&mut load, 1, 10), [9.21, 1.97, 0.66]);
    }

    #[test]
    fn a_counter_that_fell_is_silent() {
        let mut load = Load::default();
        load.update(10, INTERVAL);
        load.update(0, INTERVAL);
        assert!(load.averages().iter().all(|average| *average >= 0.0));
    }
}
