//! Times as people read them.

use std::fmt;

/// A moment in milliseconds since the Unix epoch, shown in UTC: `2026-01-31 23:59:59Z`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(pub u64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("never");
        }
        let seconds = self.0 / 1000;
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

/// Year, month and day of a number of days since 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    // Years begin in March, so that the leap day is the last of one; 400 of them are 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let of_month = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + later, month, of_month)
}

/// A time in seconds, in its two largest units: `3d 4h`, `12m 5s`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span(pub u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = self.0;
        match it {
            0..60 => write!(f, "{it}s"),
            60..3600 => write!(f, "{}m {}s", it / 60, it % 60),
            3600..86_400 => write!(f, "{}h {}m", it / 3600, it / 60 % 60),
            _ => write!(f, "{}d {}h", it / 86_400, it / 3600 % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Breaks if: a month or a leap year is counted wrongly.
    #[test]
    fn moments_are_dates() {
        for (millis, expected) in [
            (0, "never"),
            (1, "1970-01-01 00:00:00Z"),
            (951_782_400_000, "2000-02-29 00:00:00Z"),
            (951_868_799_999, "2000-02-29 23:59:59Z"),
            (1_735_689_600_000, "2025-01-01 00:00:00Z"),
            (4_107_542_400_000, "2100-03-01 00:00:00Z"),
        ] {
            assert_eq!(Moment(millis).to_string(), expected);
        }
    }

    // Breaks if: a unit is left out or overflows.
    #[test]
    fn spans_have_two_units() {
        for (seconds, expected) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m 0s"),
            (3661, "1h 1m"),
            (90_000, "1d 1h"),
        ] {
            assert_eq!(Span(seconds).to_string(), expected);
        }
    }
}
