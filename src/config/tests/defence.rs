//! What is set of limits, bans and overload.

use super::*;
use crate::broker::defence::options::{Ban, Flapping, Memory, OverRate, Rates};

/// A value other than the default for each key.
pub const CHANGED: &[(&str, &str)] = &[
    ("limits.handshakes_maximum", "41"),
    ("limits.over_rate", "close"),
    ("limits.remembered", "1042"),
    ("limits.exempt", "10.0.0.0/8,192.0.2.7"),
    ("limits.connection.messages_per_second", "43"),
    ("limits.connection.bytes_per_second", "44KiB"),
    ("limits.connection.burst", "45s"),
    ("limits.user.messages_per_second", "46"),
    ("limits.user.bytes_per_second", "47KiB"),
    ("limits.user.connects_per_second", "48"),
    ("limits.user.burst", "49s"),
    ("limits.address.messages_per_second", "50"),
    ("limits.address.bytes_per_second", "51KiB"),
    ("limits.address.connects_per_second", "52"),
    ("limits.address.burst", "53s"),
    ("limits.address.connections_maximum", "54"),
    ("limits.address.handshakes_maximum", "55"),
    ("limits.ban.failures", "56"),
    ("limits.ban.within", "57s"),
    ("limits.ban.for", "58s"),
    ("limits.ban.tls", "false"),
    ("limits.flapping.connects", "59"),
    ("limits.flapping.within", "60s"),
    ("limits.flapping.for", "61s"),
    ("overload.memory_maximum", "62MiB"),
    ("overload.lag_maximum", "63s"),
    ("queue.total_bytes", "64KiB"),
];

/// The values that every key is given in turn.
#[track_caller]
pub fn check_changed(config: &Config) {
    let seconds = Duration::from_secs;
    let it = &config.broker.defence;
    assert_eq!(it.handshakes_maximum, 41);
    assert_eq!(it.over_rate, OverRate::Close);
    assert_eq!(it.remembered, 1042);
    let exempt: Vec<_> = it.exempt.iter().map(ToString::to_string).collect();
    assert_eq!(exempt, ["10.0.0.0/8", "192.0.2.7"]);
    let rates = |messages, bytes: u64, connects, burst| Rates {
        messages,
        bytes: bytes * 1024,
        connects,
        burst: seconds(burst),
    };
    assert_eq!(it.connection, rates(43, 44, 0, 45));
    assert_eq!(it.user, rates(46, 47, 48, 49));
    assert_eq!(it.address, rates(50, 51, 52, 53));
    assert_eq!(it.address_connections_maximum, 54);
    assert_eq!(it.address_handshakes_maximum, 55);
    let ban = Ban {
        failures: 56,
        within: seconds(57),
        lasts: seconds(58),
        tls: false,
    };
    assert_eq!(it.ban, ban);
    let flapping = Flapping {
        connects: 59,
        within: seconds(60),
        lasts: seconds(61),
    };
    assert_eq!(it.flapping, flapping);
    assert_eq!(it.overload.memory_maximum, Memory::Bytes(62 << 20));
    assert_eq!(it.overload.lag_maximum, seconds(63));
    assert_eq!(it.overload.queued_bytes_maximum, 64 * 1024);
}

#[test]
fn networks_come_as_an_array_or_alone() {
    let exempt = |text: &str| {
        let config = load(&format!("limits.exempt = {text}\n{LISTENER}"), &[]).unwrap();
        let exempt = config.broker.defence.exempt.iter();
        exempt.map(ToString::to_string).collect::<Vec<_>>()
    };
    let both = ["192.0.2.0/24", "2001:db8::1"];
    assert_eq!(exempt(r#"["192.0.2.0/24", "2001:db8::1"]"#), both);
    assert_eq!(exempt(r#""192.0.2.0/24""#), both[..1]);
    assert!(exempt("[]").is_empty());
    for wrong in [r#"["10.0.0.0/99"]"#, "[1]", "7", r#"["host"]"#] {
        let error = load(&format!("limits.exempt = {wrong}\n{LISTENER}"), &[]).unwrap_err();
        assert!(error.to_string().contains("limits.exempt"), "{error}");
    }
}

#[test]
fn memory_is_bytes_or_derived_or_unbounded() {
    for (text, expected) in [
        ("auto", Memory::Derived),
        ("0", Memory::Unbounded),
        ("1GiB", Memory::Bytes(1 << 30)),
    ] {
        let config = built_in(&[("POSTBUD_OVERLOAD_MEMORY_MAXIMUM", text)]).unwrap();
        assert_eq!(config.broker.defence.overload.memory_maximum, expected);
    }
    let error = built_in(&[("POSTBUD_OVERLOAD_MEMORY_MAXIMUM", "1KiB")]).unwrap_err();
    assert!(error.to_string().contains("\"auto\", 0 or"), "{error}");
}
