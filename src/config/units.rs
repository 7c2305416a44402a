//! Durations and sizes as people write them: `10s`, `7d`, `64KiB`.
//!
//! One whole number and one unit, without a sign, a fraction or a sum: `90m`, not `1h30m` or
//! `1.5h`. Without a unit a duration is in seconds and a size in bytes. Only binary size units are
//! known, because `KB` means 1,000 to some and 1,024 to others.

use std::time::Duration;

/// Milliseconds in each unit of time, largest first.
const TIME: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Bytes in each unit of size, largest first.
const SIZE: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Reads `10s`, or `10`, which is in seconds. `None` if it is not a duration or beyond 64 bits of
/// milliseconds.
pub fn duration(text: &str) -> Option<Duration> {
    scaled(text, &TIME, 1000).map(Duration::from_millis)
}

/// Reads `64KiB`, or `65536`, which is in bytes. `None` if it is not a size or beyond 64 bits.
pub fn size(text: &str) -> Option<u64> {
    scaled(text, &SIZE, 1)
}

/// Reads a whole number. As in TOML, `_` may separate digits.
pub fn number(text: &str) -> Option<u64> {
    let separated = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'_');
    if !separated || text.starts_with('_') || text.ends_with('_') || text.contains("__") {
        return None;
    }
    text.replace('_', "").parse().ok()
}

fn scaled(text: &str, units: &[(&str, u64)], without: u64) -> Option<u64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '_')
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor = match unit.trim_start_matches(' ') {
        "" => without,
        unit => units.iter().find(|(name, _)| *name == unit)?.1,
    };
    number(digits)?.checked_mul(factor)
}

/// Writes a duration with the largest unit that needs no fraction.
pub fn show_duration(duration: Duration) -> String {
    match u64::try_from(duration.as_millis()) {
        Ok(0) => "0s".to_owned(),
        Ok(milliseconds) => show(milliseconds, &TIME),
        Err(_) => format!("{}s", duration.as_secs()),
    }
}

/// Writes a size with the largest unit that needs no fraction.
pub fn show_size(bytes: u64) -> String {
    if bytes == 0 {
        "0".to_owned()
    } else {
        show(bytes, &SIZE)
    }
}

fn show(number: u64, units: &[(&str, u64)]) -> String {
    units
        .iter()
        .find(|(_, factor)| number.is_multiple_of(*factor))
        .map_or_else(
            || number.to_string(),
            |(unit, factor)| format!("{}{unit}", number / factor),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("0", 0),
            ("10", 10_000),
            ("10s", 10_000),
            ("10 s", 10_000),
            ("250ms", 250),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
            ("1_000ms", 1000),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "s",
            "-1s",
            "+1s",
            "1.5h",
            "1h30m",
            "10S",
            "10sec",
            "1w",
            "s10",
            "10s ",
            " 10s",
            "10s\n",
            "1__0s",
            "_1s",
            "1_s",
            "٣s",
            "213503982335d",
            "99999999999999999999",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("1_048_576", 1 << 20),
            ("512B", 512),
            ("64KiB", 65_536),
            ("64 KiB", 65_536),
            ("1MiB", 1 << 20),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "KiB",
            "64KB",
            "64K",
            "64kib",
            "1.5MiB",
            "-1",
            "17179869184GiB",
            "1TiB",
        ] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read() {
        for (seconds, shown) in [
            (0, "0s"),
            (1, "1s"),
            (90, "90s"),
            (3600, "1h"),
            (86_400, "1d"),
        ] {
            let value = Duration::from_secs(seconds);
            assert_eq!(show_duration(value), shown);
            assert_eq!(duration(shown), Some(value));
        }
        assert_eq!(show_duration(Duration::from_millis(100)), "100ms");
        for (bytes, shown) in [(0, "0"), (256, "256B"), (1 << 20, "1MiB"), (1025, "1025B")] {
            assert_eq!(show_size(bytes), shown);
            assert_eq!(size(shown), Some(bytes));
        }
    }
}
