//! Every way of writing a value, right and wrong, with the words that answer the wrong ones.

use super::*;

fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn variable(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Runs a reader on a target that begins as `T::default()`.
fn read<T: Default>(reader: impl FnOnce(&mut T) -> Result<(), Expected>) -> Result<T, String> {
    let mut target = T::default();
    reader(&mut target)
        .map(|()| target)
        .map_err(|Expected(text)| text)
}

#[test]
fn booleans() {
    for (value, expected) in [
        (Value::Boolean(true), true),
        (Value::Boolean(false), false),
        (variable("true"), true),
        (variable("false"), false),
    ] {
        assert_eq!(read(|to| value.boolean(to)), Ok(expected));
    }
    for value in [
        string("true"),
        Value::Integer(1),
        variable("1"),
        variable("TRUE"),
    ] {
        assert_eq!(
            read(|to| value.boolean(to)),
            Err("true or false".to_owned())
        );
    }
}

#[test]
fn numbers_keep_their_bounds_on_both_sides() {
    let number = |value: &Value| read::<u16>(|to| value.number(1..=65_535, to));
    for (value, expected) in [
        (Value::Integer(1), 1),
        (Value::Integer(65_535), 65_535),
        (variable("1"), 1),
        (variable("65_535"), 65_535),
    ] {
        assert_eq!(number(&value), Ok(expected));
    }
    for value in [
        Value::Integer(0),
        Value::Integer(-1),
        Value::Integer(65_536),
        Value::Integer(i64::MIN),
        Value::Boolean(true),
        string("1"),
        variable(""),
        variable("0"),
        variable("1 "),
        variable("0x10"),
        Value::Other("an array"),
    ] {
        assert_eq!(
            number(&value),
            Err("a whole number from 1 to 65535".to_owned()),
            "{value}"
        );
    }
    let open = read::<u64>(|to| Value::Integer(0).number(1..=u64::MAX, to));
    assert_eq!(open, Err("a whole number of at least 1".to_owned()));
}

/// Bounds wider than the target must not wrap around.
#[test]
fn a_number_that_its_target_cannot_hold_is_refused() {
    assert!(read::<u16>(|to| Value::Integer(65_536).number(0..=u64::MAX, to)).is_err());
}

#[test]
fn sizes() {
    let size = |value: &Value| read::<u32>(|to| value.size(256..=1 << 20, to));
    for (value, expected) in [
        (Value::Integer(256), 256),
        (string("256"), 256),
        (string("64KiB"), 65_536),
        (variable("1MiB"), 1 << 20),
    ] {
        assert_eq!(size(&value), Ok(expected));
    }
    for value in [
        Value::Integer(255),
        string("2MiB"),
        string("64KB"),
        Value::Boolean(true),
    ] {
        assert_eq!(
            size(&value),
            Err(
                "a number of bytes or a size such as \"64KiB\" (B, KiB, MiB, GiB) \
                 from 256B to 1MiB"
                    .to_owned()
            )
        );
    }
}

#[test]
fn durations() {
    let (least, most) = (Duration::from_millis(100), Duration::from_secs(3600));
    let duration = |value: &Value| read::<Duration>(|to| value.duration(least..=most, to));
    for (value, expected) in [
        (Value::Integer(10), Duration::from_secs(10)),
        (string("10"), Duration::from_secs(10)),
        (string("100ms"), least),
        (variable("1h"), most),
    ] {
        assert_eq!(duration(&value), Ok(expected));
    }
    const EXPECTED: &str = "a number of seconds or a duration such as \"10s\" (ms, s, m, h, d) \
                            from 100ms to 1h";
    for value in [
        Value::Integer(0),
        string("99ms"),
        string("3601s"),
        string("1.5s"),
    ] {
        assert_eq!(duration(&value), Err(EXPECTED.to_owned()));
    }
    let or_zero = |value: &Value| read::<Duration>(|to| value.duration_or_zero(least..=most, to));
    assert_eq!(or_zero(&Value::Integer(0)), Ok(Duration::ZERO));
    assert_eq!(or_zero(&string("100ms")), Ok(least));
    assert_eq!(or_zero(&string("99ms")), Err(format!("0 or {EXPECTED}")));
}

#[test]
fn keep_alives_are_whole_seconds_in_16_bits() {
    let keep_alive = |value: &Value| read::<u16>(|to| value.keep_alive(to));
    assert_eq!(keep_alive(&Value::Integer(0)), Ok(0));
    assert_eq!(keep_alive(&string("18h")), Ok(64_800));
    assert_eq!(keep_alive(&Value::Integer(65_535)), Ok(65_535));
    for value in [Value::Integer(65_536), string("1500ms"), string("never")] {
        let error = keep_alive(&value).unwrap_err();
        assert!(error.starts_with("whole seconds: "), "{error}");
        assert!(error.ends_with("from 0s to 65535s"), "{error}");
    }
}

#[test]
fn expiries_are_whole_seconds_below_never() {
    let expiry = |value: &Value| read::<Duration>(|to| value.expiry(to));
    assert_eq!(expiry(&Value::Integer(0)), Ok(Duration::ZERO));
    assert_eq!(expiry(&string("30d")), Ok(Duration::from_secs(2_592_000)));
    assert_eq!(expiry(&string("never")), Ok(NEVER));
    assert_eq!(expiry(&variable("never")), Ok(NEVER));
    let most = i64::from(u32::MAX) - 1;
    assert_eq!(
        expiry(&Value::Integer(most)),
        Ok(NEVER - Duration::from_secs(1))
    );
    for value in [Value::Integer(most + 1), string("1ms"), string("Never")] {
        let error = expiry(&value).unwrap_err();
        assert!(error.starts_with("\"never\" or whole seconds: "), "{error}");
    }
}

#[test]
fn addresses() {
    let address = |value: &Value| read::<Option<SocketAddr>>(|to| value.address(to));
    for text in ["127.0.0.1:1883", "0.0.0.0:0", "[::1]:8883"] {
        assert_eq!(address(&string(text)), Ok(Some(text.parse().unwrap())));
        assert_eq!(address(&variable(text)), Ok(Some(text.parse().unwrap())));
    }
    for value in [
        string(""),
        string("localhost:1883"),
        string("127.0.0.1"),
        string(":1883"),
        string("127.0.0.1:65536"),
        string("::1:1883x"),
        Value::Integer(1883),
    ] {
        assert_eq!(address(&value), Err(ADDRESS.to_owned()), "{value}");
    }
}

#[test]
fn an_empty_address_is_none_where_that_is_allowed() {
    let mut address = Some("127.0.0.1:1".parse().unwrap());
    string("").address_or_none(&mut address).unwrap();
    assert_eq!(address, None);
    variable("127.0.0.1:2")
        .address_or_none(&mut address)
        .unwrap();
    assert_eq!(address, Some("127.0.0.1:2".parse().unwrap()));
    let error = string("off").address_or_none(&mut address).unwrap_err();
    assert!(error.0.ends_with("or \"\" for none"), "{}", error.0);
}

// Breaks if: an empty path is a file's name, or anything else than text is a path.
#[test]
fn a_path_that_may_be_missing() {
    let mut path = Some(PathBuf::from("before"));
    string("").path_or_none(&mut path).unwrap();
    assert_eq!(path, None);
    variable("a/b").path_or_none(&mut path).unwrap();
    assert_eq!(path, Some(PathBuf::from("a/b")));
    let error = Value::Boolean(false).path_or_none(&mut path).unwrap_err();
    assert!(error.0.ends_with("or \"\" for none"), "{}", error.0);
}

#[test]
fn paths_and_texts() {
    let path = |value: &Value| read::<PathBuf>(|to| value.path(to));
    assert_eq!(path(&string("a/b")), Ok(PathBuf::from("a/b")));
    assert!(path(&string("")).is_err());
    assert!(path(&Value::Boolean(true)).is_err());
    let text = |value: &Value| read::<String>(|to| value.text(4, to));
    assert_eq!(text(&string("")), Ok(String::new()));
    assert_eq!(text(&variable("%c/r")), Ok("%c/r".to_owned()));
    for value in [string("12345"), string("a\nb"), Value::Integer(1)] {
        let expected = "text of at most 4 bytes without control characters".to_owned();
        assert_eq!(text(&value), Err(expected));
    }
}

#[test]
fn a_size_may_be_none_where_that_is_allowed() {
    let mut size = Some(1);
    string("0").size_or_zero(10..=99, &mut size).unwrap();
    assert_eq!(size, None);
    Value::Integer(10).size_or_zero(10..=99, &mut size).unwrap();
    assert_eq!(size, Some(10));
    variable("0").size_or_zero(10..=99, &mut size).unwrap();
    assert_eq!(size, None);
    for value in [Value::Integer(9), Value::Integer(-1), string("none")] {
        let error = value.size_or_zero(10..=99, &mut size).unwrap_err();
        assert!(error.0.starts_with("0 or a number of bytes"), "{}", error.0);
        assert!(error.0.ends_with("from 10B to 99B"), "{}", error.0);
    }
}

#[test]
fn topic_filters_are_checked() {
    let filter = |value: &Value| read::<Box<str>>(|to| value.topic_filter(to));
    for text in ["a", "#", "a/+/b/#", "$SYS/#", "$shared/a"] {
        assert_eq!(filter(&string(text)), Ok(text.into()));
    }
    let expected = "a Topic Filter such as \"telemetry/#\", without $share";
    for value in [
        string(""),
        string("a/#/b"),
        string("a+"),
        string("$share/g/a"),
        string("a\0"),
        Value::Integer(1),
    ] {
        assert_eq!(filter(&value), Err(expected.to_owned()), "{value}");
    }
}

#[test]
fn choices_are_listed() {
    let choice = |choices: &[(&str, u8)], text| read::<u8>(|to| string(text).choice(choices, to));
    let three = [("a", 1), ("b", 2), ("c", 3)];
    assert_eq!(choice(&three, "b"), Ok(2));
    assert_eq!(choice(&three, "B"), Err("\"a\", \"b\" or \"c\"".to_owned()));
    assert_eq!(choice(&three[..2], ""), Err("\"a\" or \"b\"".to_owned()));
    assert_eq!(choice(&three[..1], "x"), Err("\"a\"".to_owned()));
}

#[test]
fn several_choices_keep_their_order_and_come_once() {
    let known = [("a", 1), ("b", 2), ("c", 3)];
    let choices = |value: &Value| read::<Vec<u8>>(|to| value.choices(&known, to));
    let strings = |words: &[&str]| Value::Strings(words.iter().map(|it| it.to_string()).collect());
    for (value, expected) in [
        (strings(&["c", "a"]), vec![3, 1]),
        (strings(&[]), vec![]),
        (string("a"), vec![1]),
        (variable("c, a"), vec![3, 1]),
        (variable(""), vec![]),
    ] {
        assert_eq!(choices(&value), Ok(expected), "{value}");
    }
    let expected = "an array of any of \"a\", \"b\", \"c\", each once";
    for value in [
        strings(&["a", "a"]),
        strings(&["d"]),
        string("d"),
        variable("a,,b"),
        Value::Other("an array"),
    ] {
        assert_eq!(choices(&value), Err(expected.to_owned()), "{value}");
    }
}

#[test]
fn a_failed_read_leaves_the_target_alone() {
    let mut target = 7_u16;
    Value::Boolean(true).number(0..=9, &mut target).unwrap_err();
    assert_eq!(target, 7);
}

/// Errors are one line each, whatever the value holds, and do not repeat a whole file.
#[test]
fn values_print_on_one_short_line() {
    assert_eq!(
        string("a\n\u{1b}\"").to_string(),
        "the string \"a\\n\\u{1b}\\\"\""
    );
    assert_eq!(Value::Integer(-3).to_string(), "-3");
    assert_eq!(variable("x").to_string(), "\"x\"");
    let long = string(&"æ".repeat(1000)).to_string();
    assert!(long.chars().count() < 80 && long.ends_with("…\""), "{long}");
}
