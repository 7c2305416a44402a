//! Section 4.7: Topic Names and Topic Filters.

use super::peer::{
    breach, client, connect, expect_message, expect_retained, no_breach, not_connected, publish,
    received, retain, start, subscribe, subscriber, with_will,
};
use crate::bytes::{Connect, Publish, Will, subscribe_311, unsubscribe_311};
use crate::support::broker::Broker;

#[test]
// Breaks if: topic/name.rs `check` does not look for `+` and `#`, or codec/connect.rs `Will::read` does not call it.
fn mqtt311_4_7_1_1_wildcards_are_for_filters_only() {
    let broker = start();
    for text in ["#", "+", "/#", "+/", "a/#", "a/+/b", "+/+/#"] {
        no_breach(&broker, &subscribe_311(7, &[(text, 0)]));
        no_breach(&broker, &unsubscribe_311(7, &[text]));
        breach(&broker, &Publish::v311(text, "bad").bytes());
        breach(&broker, &Publish::v311(text, "bad").qos(2, 7).bytes());
        breach(&broker, &Publish::v311(text, "").retain().bytes());
        not_connected(&broker, &with_will("me", 0, text, "bad").bytes());
    }
}

#[test]
// Breaks if: topic/filter.rs `check_wildcards` does not look at what stands before and after `#`.
fn mqtt311_4_7_1_2_a_number_sign_is_a_whole_level_and_the_last() {
    let broker = start();
    for bad in [
        "#/", "#/a", "a#", "a/b#", "a/#/b", "##", "a/##", "#a", "a/#b", "/#/", "+#", "#+",
    ] {
        breach(&broker, &subscribe_311(7, &[(bad, 0)]));
        breach(&broker, &unsubscribe_311(7, &[bad]));
    }
    let mut publisher = client(&broker, "publisher");
    // It stands for the level before it, too, and for any number below; whoever else subscribes.
    let mut other = client(&broker, "other");
    subscribe(&mut other, "sport/other", 0);
    for topic in ["sport", "sport/", "sport/a", "sport/a/b", "sport//"] {
        let mut subscriber = subscriber(&broker, "subscriber", "sport/#", 0);
        publish(&mut publisher, 0, "sports", "no");
        publish(&mut publisher, 0, "/sport", "no");
        publish(&mut publisher, 0, topic, "yes");
        expect_message(&mut subscriber, 0, topic, "yes");
    }
}

#[test]
// Breaks if: topic/filter.rs `check_wildcards` does not look at what stands before and after `+`.
fn mqtt311_4_7_1_3_a_plus_sign_is_a_whole_level() {
    let broker = start();
    for bad in [
        "a+", "+a", "a/b+", "a/+b", "++", "a/++/b", "+/a+", "a+/b", "+a/b", "sport+",
    ] {
        breach(&broker, &subscribe_311(7, &[(bad, 0)]));
        breach(&broker, &unsubscribe_311(7, &[bad]));
    }
    let mut publisher = client(&broker, "publisher");
    // At any level, more than once, with others, and for one level: no more, no less.
    let cases = [
        ("+", "a", ["a/b", "/a", "a/"]),
        ("+/b", "a/b", ["b", "a/c/b", "a/b/c"]),
        ("a/+", "a/", ["a", "a/b/c", "b/b"]),
        ("+/+", "/", ["a", "a/b/c", "//"]),
        ("a/+/c", "a//c", ["a/c", "a/b/b/c", "a/b/"]),
        ("+/b/#", "a/b/c/d", ["b/c", "a/c/d", "/a/b"]),
    ];
    for (filter, yes, no) in cases {
        let mut subscriber = subscriber(&broker, "subscriber", filter, 0);
        for topic in no {
            publish(&mut publisher, 0, topic, "no");
        }
        publish(&mut publisher, 0, yes, "yes");
        expect_message(&mut subscriber, 0, yes, "yes");
    }
}

/// Neither live nor retained, from a client or from the broker itself.
#[test]
// Breaks if: topic/trie/mod.rs matches the first level of a `$` topic with wildcards, or pubsub/retained.rs `look`
// does.
fn mqtt311_4_7_2_1_a_leading_wildcard_does_not_match_a_dollar_topic() {
    let broker = Broker::configured("[auth]\nanonymous = true\n[sys]\ninterval = \"1s\"\n");
    let mut publisher = client(&broker, "publisher");
    retain(&mut publisher, 0, "$test/state", "kept");
    retain(&mut publisher, 0, "$", "kept");
    // What the broker says of itself has come at least twice before the end of this test.
    let mut system = subscriber(&broker, "system", "$SYS/broker/uptime", 0);
    received(&mut system);
    for filter in ["#", "+", "+/state", "+/#", "+/+"] {
        let mut subscriber = subscriber(&broker, "subscriber", filter, 0);
        publish(&mut publisher, 0, "$test/state", "live");
        publish(&mut publisher, 0, "$", "live");
        publish(&mut publisher, 0, "$a", "live");
        // A dollar elsewhere is nothing special.
        let marker = if filter == "+" { "a$" } else { "a/state" };
        publish(&mut publisher, 0, marker, "yes");
        expect_message(&mut subscriber, 0, marker, "yes");
    }
    let mut all = subscriber(&broker, "all", "#", 0);
    received(&mut system);
    received(&mut system);
    publish(&mut publisher, 0, "/$test", "yes");
    expect_message(&mut all, 0, "/$test", "yes");
    // With the dollar in the filter they match.
    for filter in ["$test/#", "$test/+", "$test/state"] {
        let mut subscriber = subscriber(&broker, "subscriber", filter, 0);
        expect_retained(&mut subscriber, 0, "$test/state", "kept");
        publish(&mut publisher, 0, "$test/state", "live");
        expect_message(&mut subscriber, 0, "$test/state", "live");
    }
}

#[test]
// Breaks if: topic/name.rs `check_length` accepts 0, or codec/publish.rs `decode` allows an empty topic below 5.0.
fn mqtt311_4_7_3_1_topics_and_filters_have_at_least_one_character() {
    let broker = start();
    breach(&broker, &Publish::v311("", "bad").bytes());
    breach(&broker, &Publish::v311("", "bad").qos(1, 7).bytes());
    breach(&broker, &subscribe_311(7, &[("", 0)]));
    breach(&broker, &subscribe_311(7, &[("a", 0), ("", 0)]));
    breach(&broker, &unsubscribe_311(7, &[""]));
    breach(&broker, &unsubscribe_311(7, &["a", ""]));
    not_connected(&broker, &with_will("me", 0, "", "bad").bytes());
    // One is enough, whichever it is.
    let mut publisher = client(&broker, "publisher");
    for topic in ["a", "/", " ", ".", "$", "\u{1f4ee}"] {
        let mut subscriber = subscriber(&broker, "subscriber", topic, 0);
        publish(&mut publisher, 0, topic, "good");
        expect_message(&mut subscriber, 0, topic, "good");
    }
}

#[test]
// Breaks if: topic/name.rs `check` or topic/filter.rs `parse` does not look for U+0000.
fn mqtt311_4_7_3_2_topics_and_filters_have_no_u0000() {
    let broker = start();
    for text in ["\0", "a\0", "\0a", "a/\0", "a/\0/b"] {
        breach(&broker, &Publish::v311(text, "bad").bytes());
        breach(&broker, &Publish::v311(text, "bad").qos(1, 7).bytes());
        breach(&broker, &subscribe_311(7, &[(text, 0)]));
        breach(&broker, &subscribe_311(7, &[(&format!("{text}/#"), 0)]));
        breach(&broker, &unsubscribe_311(7, &[text]));
        let will = Will::new(text, "bad");
        not_connected(&broker, &Connect::v311("me").will(will).bytes());
    }
    no_breach(&broker, &Publish::v311("a\u{1}", "good").bytes());
}

/// 65,535 bytes is the most that the length before a string can say. Up to there every topic is served.
#[test]
// Breaks if: topic/name.rs `MAX_LEN` is smaller, or the trie cuts long levels (topic/trie/label.rs).
fn mqtt311_4_7_3_3_topics_and_filters_have_up_to_65535_bytes() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let long = [
        "x".repeat(65_535),
        "\u{e5}".repeat(32_767),
        format!("a/{}/b", "y".repeat(65_531)),
        format!("{}\u{1f4ee}", "z".repeat(65_531)),
    ];
    for topic in &long {
        let mut subscriber = subscriber(&broker, "subscriber", topic, 1);
        // One byte less is another topic.
        let (shorter, _) = topic.char_indices().next_back().expect("it is long");
        publish(&mut publisher, 1, &topic[..shorter], "no");
        publish(&mut publisher, 1, topic, "yes");
        expect_message(&mut subscriber, 1, topic, "yes");
        let mut wild = super::peer::subscriber(&broker, "wild", "#", 1);
        retain(&mut publisher, 1, topic, "kept");
        expect_message(&mut subscriber, 1, topic, "kept");
        expect_message(&mut wild, 1, topic, "kept");
        subscribe(&mut wild, topic, 1);
        expect_retained(&mut wild, 1, topic, "kept");
        retain(&mut publisher, 1, topic, "");
    }
    // As a Will Topic and in a filter with a wildcard as well.
    let mut wild = subscriber(&broker, "wild", &format!("{}/#", "w".repeat(65_533)), 0);
    let topic = format!("{}/a", "w".repeat(65_533));
    super::peer::fail(connect(&broker, &with_will("me", 0, &topic, "gone")));
    expect_message(&mut wild, 0, &topic, "gone");
}

/// Each pair looks or sounds the same to somebody; to a broker they are two topics.
#[test]
// Breaks if: topic/trie/label.rs compares without regard to case or trims; any Unicode normalisation of names.
fn mqtt311_4_7_3_4_topics_are_matched_without_normalisation() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let pairs = [
        ("accounts", "Accounts"),
        ("a", "a "),
        ("a", " a"),
        ("a/b", "a//b"),
        ("a", "a/"),
        ("a", "/a"),
        ("a/b", "a/./b"),
        ("a/b", "a%2fb"),
        ("a/b", "a\\b"),
        ("\u{e5}", "a\u{30a}"), // composed and decomposed
        ("\u{212b}", "\u{c5}"), // Angstrom sign and letter
        ("\u{fb01}", "fi"),     // a ligature
        ("\u{ff41}", "a"),      // full width
        ("a\u{200b}", "a"),     // zero width space
        ("stra\u{df}e", "strasse"),
        ("\u{fffd}", "?"),
        ("\u{feff}a", "a"),
        ("a\u{ad}b", "ab"), // soft hyphen
    ];
    for (one, other) in pairs {
        for (mine, not_mine) in [(one, other), (other, one)] {
            let mut subscriber = subscriber(&broker, "subscriber", mine, 0);
            subscribe(&mut subscriber, &format!("{mine}/+/y"), 0);
            publish(&mut publisher, 0, not_mine, "no");
            publish(&mut publisher, 0, &format!("{not_mine}/x/y"), "no");
            publish(&mut publisher, 0, mine, "yes");
            expect_message(&mut subscriber, 0, mine, "yes");
            let below = format!("{mine}/x/y");
            publish(&mut publisher, 0, &below, "yes");
            expect_message(&mut subscriber, 0, &below, "yes");
        }
    }
}
