//! What is a filter, what it matches, and which filter covers which.

use super::*;

#[test]
fn filters_without_a_share_pass_whole() {
    let odd = [
        "$shared/x",
        "$SHARE/g/x",
        "$Share",
        "$sharex",
        "x/$share",
        "$",
        "$SYS/#",
        "/$share/g",
    ];
    for text in [
        "a", "/", "//", "#", "+", "+/+", "/+", "+/", "a/#", "/#", "+/#", "a//+/b/#",
    ]
    .into_iter()
    .chain(odd)
    {
        assert_eq!(
            parse(text),
            Ok(Parsed {
                share: None,
                filter: text
            }),
            "{text:?}"
        );
        assert_eq!(check(text), Ok(()), "{text:?}");
    }
}

#[test]
fn a_share_is_taken_off() {
    for (text, share, filter) in [
        ("$share/g/x", "g", "x"),
        ("$share/g/#", "g", "#"),
        ("$share/g/+/x", "g", "+/x"),
        ("$share/g//", "g", "/"),
        ("$share/g//x", "g", "/x"),
        ("$share/$share/x", "$share", "x"),
        ("$share/a/$share/b/x", "a", "$share/b/x"),
        ("$share/grød og æg/$SYS/#", "grød og æg", "$SYS/#"),
    ] {
        assert_eq!(
            parse(text),
            Ok(Parsed {
                share: Some(share),
                filter
            }),
            "{text:?}"
        );
    }
}

#[test]
fn broken_filters_are_refused_with_the_reason() {
    for (text, why) in [
        ("", Error::Empty),
        ("a\0", Error::Null),
        ("$share/g\0/x", Error::Null),
        ("#/", Error::MisplacedHash),
        ("#/a", Error::MisplacedHash),
        ("a#", Error::MisplacedHash),
        ("a/#b", Error::MisplacedHash),
        ("##", Error::MisplacedHash),
        ("+#", Error::MisplacedPlus),
        ("#+", Error::MisplacedHash),
        ("a+", Error::MisplacedPlus),
        ("+a", Error::MisplacedPlus),
        ("++", Error::MisplacedPlus),
        ("a/b+/c", Error::MisplacedPlus),
        ("a/+b/c", Error::MisplacedPlus),
        ("$share", Error::ShareName),
        ("$share/", Error::ShareName),
        ("$share//", Error::ShareName),
        ("$share//x", Error::ShareName),
        ("$share/+/x", Error::ShareName),
        ("$share/#", Error::ShareName),
        ("$share/g#/x", Error::ShareName),
        ("$share/g+/x", Error::ShareName),
        ("$share/g", Error::ShareFilter),
        ("$share/g/", Error::ShareFilter),
        ("$share/g/a+", Error::MisplacedPlus),
        ("$share/g/#/a", Error::MisplacedHash),
    ] {
        assert_eq!(parse(text), Err(why), "{text:?}");
        assert_eq!(check(text), Err(why), "{text:?}");
    }
}

#[test]
fn the_length_limit_counts_the_share() {
    let longest = format!("$share/g/{}", "x".repeat(65_535 - 9));
    assert_eq!(check(&longest), Ok(()));
    assert_eq!(check(&format!("{longest}x")), Err(Error::TooLong));
    assert_eq!(check(&vec!["+"; 32_768].join("/")), Ok(()));
    assert_eq!(check(&vec!["+"; 32_769].join("/")), Err(Error::TooLong));
}

#[test]
fn wildcards_are_seen() {
    for filter in ["+", "#", "a/+", "a/+/b", "a/#"] {
        assert!(has_wildcard(filter), "{filter:?}");
    }
    for filter in ["a", "/", "$SYS/x", "a-b_c*"] {
        assert!(!has_wildcard(filter), "{filter:?}");
    }
}

#[test]
fn what_matches() {
    for (filter, topic) in [
        ("a", "a"),
        ("/", "/"),
        ("#", "a"),
        ("#", "/"),
        ("#", "a/b/c"),
        ("+", "a"),
        ("+/+", "/"),
        ("+/+", "/a"),
        ("/+", "/a"),
        ("/+", "/"),
        ("+/", "/"),
        ("+/#", "a"),
        ("a/#", "a"),
        ("a/#", "a/"),
        ("a/#", "a/b/c"),
        ("a/+/#", "a/b"),
        ("a/+/c", "a//c"),
        ("a/+/c", "a/b/c"),
        ("$SYS/#", "$SYS"),
        ("$SYS/#", "$SYS/a"),
        ("$SYS/+", "$SYS/a"),
        ("a/#", "a/$b"),
        ("+/$b", "a/$b"),
        ("ø/+", "ø/å"),
    ] {
        assert!(matches(filter, topic), "{filter:?} {topic:?}");
    }
}

#[test]
fn what_does_not_match() {
    for (filter, topic) in [
        ("a", "b"),
        ("a", "A"),
        ("a", "a/"),
        ("a", "/a"),
        ("a/", "a"),
        ("+", "a/b"),
        ("+", "/a"),
        ("+", "a/"),
        ("a/+", "a"),
        ("a/+/#", "a"),
        ("a/b/#", "a"),
        ("a/#", "ab"),
        ("#", "$SYS"),
        ("#", "$"),
        ("+", "$a"),
        ("+/a", "$SYS/a"),
        ("+/#", "$SYS/a"),
        ("a//b", "a/b"),
        ("\u{e5}", "a\u{30a}"), // one and two characters that look alike [MQTT5-4.7.3-4]
    ] {
        assert!(!matches(filter, topic), "{filter:?} {topic:?}");
    }
}

#[test]
fn what_covers() {
    for (outer, inner) in [
        ("#", "#"),
        ("#", "a/+/b"),
        ("#", "+/#"),
        ("+/#", "#"),
        ("/+/#", "/#"),
        ("+/+/#", "/#"),
        ("+", "a"),
        ("+", "+"),
        ("a/#", "a"),
        ("a/#", "a/+"),
        ("a/#", "a/#"),
        ("a/#", "a/+/#"),
        ("a/+", "a/b"),
        ("+/+/#", "a/b"),
        ("$SYS/#", "$SYS/+/x"),
    ] {
        assert!(covers(outer, inner), "{outer:?} {inner:?}");
    }
}

#[test]
fn what_does_not_cover() {
    for (outer, inner) in [
        ("a", "b"),
        ("a", "+"),
        ("a", "#"),
        ("+", "#"),
        ("+", "a/b"),
        ("a/b", "a"),
        ("a", "a/#"),
        ("a/+", "a/#"),
        ("a/+/#", "a/#"),
        ("+/+/#", "#"),
        ("#", "$SYS/x"),
        ("+/x", "$SYS/x"),
        ("+/#", "$SYS/#"),
        ("$SYS/#", "#"),
    ] {
        assert!(!covers(outer, inner), "{outer:?} {inner:?}");
    }
}

#[test]
fn what_overlaps() {
    for (one, other) in [
        ("#", "#"),
        ("#", "a"),
        ("#", "/"),
        ("+", "a"),
        ("+/b", "a/+"),
        ("a/#", "a"),
        ("a/#", "+"),
        ("a/+", "a/#"),
        ("a/b/#", "a/#"),
        ("a/b/#", "+/+/c"),
        ("/#", "/"),
        ("/+", "/#"),
        ("$SYS/#", "$SYS/+/x"),
        ("a/$SYS", "a/#"),
    ] {
        assert!(overlaps(one, other), "{one:?} {other:?}");
        assert!(overlaps(other, one), "{other:?} {one:?}");
    }
}

#[test]
fn what_does_not_overlap() {
    for (one, other) in [
        ("a", "b"),
        ("a", "A"),
        ("a", "a/+"),
        ("a", "a/b/#"),
        ("+/b", "+/c"),
        ("a/+", "a/+/#x"),
        ("+", "/#"),
        ("$SYS/#", "#"),
        ("$SYS/#", "+/#"),
        ("$SYS/x", "+/x"),
        ("$SYS/#", "$share/#"),
    ] {
        assert!(!overlaps(one, other), "{one:?} {other:?}");
        assert!(!overlaps(other, one), "{other:?} {one:?}");
    }
}

#[test]
fn a_bare_filter_has_its_wildcards_right_whatever_it_begins_with() {
    for text in [
        "a",
        "#",
        "+/+/#",
        "$share",
        "$share/g",
        "$share/g/x",
        "$SYS/#",
    ] {
        assert_eq!(check_bare(text), Ok(()), "{text:?}");
    }
    for (text, why) in [
        ("", Error::Empty),
        ("a\0", Error::Null),
        ("a/#/b", Error::MisplacedHash),
        ("$share/g/a+", Error::MisplacedPlus),
    ] {
        assert_eq!(check_bare(text), Err(why), "{text:?}");
    }
    assert_eq!(check_bare(&"x".repeat(65_536)), Err(Error::TooLong));
}

/// Every filter and every name of up to four levels over a small alphabet, each pair of filters
/// against every name. One level deeper than the filters suffices to tell `#` from the rest.
#[test]
fn covers_and_overlaps_are_what_matches_says_they_are() {
    let grow = |alphabet: &[&str], depth: usize| {
        let mut all: Vec<String> = Vec::new();
        let mut last: Vec<String> = alphabet.iter().map(|level| (*level).to_owned()).collect();
        for _ in 0..depth {
            all.append(&mut last.clone());
            last = last
                .iter()
                .flat_map(|head| alphabet.iter().map(move |level| format!("{head}/{level}")))
                .collect();
        }
        all
    };
    let filters: Vec<String> = grow(&["", "a", "$", "+", "#"], 3)
        .into_iter()
        .filter(|f| check(f).is_ok())
        .collect();
    // "z" stands for every level that no filter names.
    let names: Vec<String> = grow(&["", "a", "$", "z"], 4)
        .into_iter()
        .filter(|n| name::check(n).is_ok())
        .collect();
    let matched: Vec<Vec<bool>> = filters
        .iter()
        .map(|f| names.iter().map(|n| matches(f, n)).collect())
        .collect();
    for (outer, by_outer) in filters.iter().zip(&matched) {
        for (inner, by_inner) in filters.iter().zip(&matched) {
            let expected = by_inner
                .iter()
                .zip(by_outer)
                .all(|(inner, outer)| !inner || *outer);
            assert_eq!(covers(outer, inner), expected, "{outer:?} {inner:?}");
            let both = by_inner
                .iter()
                .zip(by_outer)
                .any(|(inner, outer)| *inner && *outer);
            assert_eq!(overlaps(outer, inner), both, "{outer:?} {inner:?}");
        }
    }
}
