//! Latency, counted in buckets: 1/128 resolution at any magnitude, no allocation while counting.
//!
//! ```text
//! nanoseconds    0 … 255   256 … 511   512 … 1023   …   2^40 and above
//! bucket width      1          2           4                (one last bucket)
//! ```

/// Buckets per doubling.
const STEPS: usize = 128;
/// Values are told apart up to two to this power, in nanoseconds (18 minutes).
const HIGHEST: usize = 40;

/// Counts of durations.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest: u64,
}

impl Histogram {
    /// Nothing counted.
    pub fn new() -> Histogram {
        Histogram {
            counts: vec![0; (HIGHEST - 6) * STEPS],
            total: 0,
            longest: 0,
        }
    }

    /// Forgets what was counted.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
        self.longest = 0;
    }

    /// Counts a duration that `count` messages had, in any number.
    #[inline]
    pub fn record(&mut self, nanoseconds: u64, count: u64) {
        let bucket = bucket_of(nanoseconds).min(self.counts.len() - 1);
        self.counts[bucket] += count;
        self.total += count;
        if count > 0 {
            self.longest = self.longest.max(nanoseconds);
        }
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The longest counted, in nanoseconds.
    pub fn longest(&self) -> u64 {
        self.longest
    }

    /// The smallest value, in nanoseconds, that at least the share `quantile` (0 to 1) of what was
    /// counted does not exceed; 0 when nothing was counted.
    pub fn quantile(&self, quantile: f64) -> u64 {
        let wanted = (self.total as f64 * quantile).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return highest_of(bucket).min(self.longest);
            }
        }
        self.longest
    }
}

/// Values below `2 * STEPS` have a bucket each; above, each doubling has `STEPS`.
#[inline]
fn bucket_of(value: u64) -> usize {
    let doublings = (63 - (value | 1).leading_zeros() as usize).saturating_sub(7);
    doublings * STEPS + (value >> doublings) as usize
}

/// The highest value that falls into `bucket`.
fn highest_of(bucket: usize) -> u64 {
    let doublings = (bucket / STEPS).saturating_sub(1);
    let step = (bucket - doublings * STEPS) as u64;
    ((step + 1) << doublings) - 1
}
