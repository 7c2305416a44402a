use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn users(text: &[u8]) -> Result<Vec<(String, String)>, String> {
    let take = |_: &str, secret: &str| match secret {
        "bad" => Err(Flaw::Secret("a good one")),
        good => Ok(good.to_owned()),
    };
    let users = parse(Path::new("f"), text, take).map_err(|error| error.to_string())?;
    let mut users: Vec<_> = users
        .into_iter()
        .map(|(name, secret)| (name.to_string(), secret))
        .collect();
    users.sort();
    Ok(users)
}

fn pair(name: &str, secret: &str) -> (String, String) {
    (name.to_owned(), secret.to_owned())
}

// Breaks if: blanks, comments or line ends count for something that they do not count for in mosquitto.
#[test]
fn a_file_is_read_as_mosquitto_reads_it() {
    let text = "# a comment: with a colon\n\n  \t\nanna:x\r\n b b : y z \n\u{e6}:$7$:\nlast:w";
    let expected = [
        pair("anna", "x"),
        pair("b b", "y z"),
        pair("last", "w"),
        pair("\u{e6}", "$7$:"),
    ];
    assert_eq!(users(text.as_bytes()), Ok(expected.to_vec()));
    assert_eq!(users(b""), Ok(vec![]));
}

// Breaks if: a wrong line is left out silently, counted wrongly, or shown.
#[test]
fn a_wrong_line_is_told_with_its_number_and_not_shown() {
    for (text, line, what) in [
        (&b"# one\nanna x-secret\n"[..], 2, "has no colon"),
        (b" # indented\n", 1, "has no colon"),
        (b"a:x\n\n:x-secret", 3, "one that is not empty"),
        (b"a\x07b:x-secret", 1, "without control characters"),
        (b"a:x\nb:\xff\n", 2, "is not UTF-8"),
        (b"a:x\nb:x\na:x-secret\n", 3, "each user once"),
        (b"a:bad", 1, "expected a good one"),
    ] {
        let error = users(text).expect_err(what);
        let place = format!("f:{line}: ");
        assert!(error.starts_with(&place), "{error}; expected {place}");
        assert!(error.contains(what), "{error}; expected {what}");
        assert!(!error.contains("x-secret"), "{error}");
    }
}

#[test]
fn a_file_that_is_not_there_is_an_error_with_a_cause() {
    let error = load(Path::new("/nowhere/users"), |_, _| Ok(())).expect_err("not there");
    assert_eq!(error.to_string(), "/nowhere/users: cannot be read");
    assert!(std::error::Error::source(&error).is_some());
}

// Breaks if: setting one user's secret touches anything else, or leaves an older secret in place.
#[test]
fn a_user_is_set_in_its_place_or_at_the_end() {
    let text = b"# c\r\n anna : old \nb:x\n";
    let set = with(text, "anna", "new");
    assert_eq!(set, b"# c\r\nanna:new\nb:x\n");
    let added = with(b"# c\nb:x", "anna", "new");
    assert_eq!(added, b"# c\nb:x\nanna:new\n");
    assert_eq!(with(b"", "anna", "new"), b"anna:new\n");
    let twice = with(b"anna:1\nb:x\nanna:2\n", "anna", "new");
    assert_eq!(twice, b"anna:new\nb:x\n");
}

#[test]
fn a_user_is_taken_out_and_nobody_else() {
    let text = b"#anna:x\nanna:x\nannabel:x\n";
    let rest = without(text, "anna").expect("it is there");
    assert_eq!(rest, b"#anna:x\nannabel:x\n");
    assert_eq!(without(&rest, "anna"), None);
}

#[test]
fn names_that_would_not_come_back_are_refused() {
    for name in ["", "#a", "a:b", " a", "a\t", "a\nb:c", "\u{7f}"] {
        assert!(check_name(name).is_err(), "{name:?}");
    }
    for name in ["a", "a b", "a#", "\u{e6}\u{f8}", "$argon2id$"] {
        assert_eq!(check_name(name), Ok(()), "{name:?}");
        let text = with(b"", name, "s");
        assert_eq!(users(&text), Ok(vec![pair(name, "s")]), "{name:?}");
    }
    assert!(check_name(&"x".repeat(65_536)).is_err());
}

#[test]
fn what_is_usual_is_what_most_have() {
    assert_eq!(usual([1, 2, 2, 3].into_iter()), Some(2));
    assert_eq!(usual(std::iter::empty::<u8>()), None);
}

proptest! {
    // Breaks if: whatever stands in a file, setting a user changes what is known of anybody else.
    #[test]
    fn setting_and_deleting_touch_one_user_only(
        lines in vec("[ab#: \t\r]{0,6}", 0..8),
        name in "[ab]{1,2}",
    ) {
        let text = lines.join("\n").into_bytes();
        let others = |text: &[u8]| {
            let lines = text.split_inclusive(|byte| *byte == b'\n');
            let others = lines.filter(|line| !is_of(line, &name));
            let others = others.map(|line| line.strip_suffix(b"\n").unwrap_or(line));
            others.map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        let set = with(&text, &name, "s");
        prop_assert_eq!(others(&set), others(&text));
        let lines = set.split(|byte| *byte == b'\n');
        let found: Vec<_> = lines.filter(|line| is_of(line, &name)).collect();
        let line = format!("{name}:s");
        prop_assert_eq!(found, vec![line.as_bytes()]);
        let deleted = without(&set, &name).expect("it was set");
        prop_assert_eq!(others(&deleted), others(&text));
        prop_assert_eq!(without(&deleted, &name), None);
    }
}
