//! Reading what the broker counts.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::DEADLINE;
use super::http::get;

/// The value of a sample, by its name and labels as they are printed.
pub fn sample(metrics: &str, name: &str) -> Option<f64> {
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    metrics.lines().find_map(value)
}

/// The sum of a family over all its labels.
pub fn sum(metrics: &str, family: &str) -> f64 {
    let value = |line: &str| -> Option<f64> {
        let rest = line.strip_prefix(family)?;
        let value = rest.strip_prefix(' ').or_else(|| {
            let (_, value) = rest.strip_prefix('{')?.rsplit_once("} ")?;
            Some(value)
        });
        value?.parse().ok()
    };
    metrics.lines().filter_map(value).sum()
}

/// Waits until all these samples have these values: what is counted on the way of the messages may be
/// gathered a little later.
#[track_caller]
pub fn wait_for(http: SocketAddr, expected: &[(&str, f64)]) {
    let end = Instant::now() + DEADLINE;
    loop {
        let (_, metrics) = get(http, "/metrics");
        let wrong = expected
            .iter()
            .find(|(name, value)| sample(&metrics, name) != Some(*value));
        let Some((name, value)) = wrong else { return };
        assert!(
            Instant::now() < end,
            "`{name}` is not {value} in:\n{metrics}"
        );
        // The broker tells its numbers only when asked.
        thread::sleep(Duration::from_millis(5));
    }
}
