//! 4.7 Topic Names and Topic Filters.

use crate::bytes::{Publish, number, packet, prop, puback, string, subscribe_5, unsubscribe_5};
use crate::received::{Ack, expect_alive, subscribe};
use crate::support::broker::Broker;

use super::steps::{breach, connect, expect_message, published, request, tell};

/// SUBSCRIBE and UNSUBSCRIBE with this filter, good or bad, end the connection with this code.
#[track_caller]
fn refused(broker: &Broker, filter: impl AsRef<[u8]>, code: u8) {
    let filter = string(filter);
    let subscribe = [&[0], &filter[..], &[0]].concat();
    breach(broker, &request(0x82, &subscribe), code);
    breach(broker, &request(0xa2, &[&[0], &filter[..]].concat()), code);
}

/// Which of these topics a filter matches.
#[track_caller]
fn matched<'a>(broker: &Broker, filter: &str, topics: &[&'a str]) -> Vec<&'a str> {
    let mut client = connect(broker, "matcher");
    subscribe(&mut client, filter, 0);
    subscribe(&mut client, "the end", 0);
    let mut writer = connect(broker, "to-match");
    for topic in topics {
        writer.send(&Publish::v5(topic, "m").bytes());
    }
    writer.send(&Publish::v5("the end", "m").bytes());
    let mut matched = Vec::new();
    loop {
        let topic = published(&mut client).topic;
        match topics.iter().find(|each| **each == topic) {
            Some(topic) => matched.push(*topic),
            None => {
                assert_eq!(topic, "the end");
                return matched;
            }
        }
    }
}

// Breaks if: `check` in src/topic/name.rs does not look for `+` and `#`.
#[test]
fn mqtt5_4_7_0_1_wildcards_are_for_filters_only() {
    let broker = Broker::start();
    for topic in ["#", "+", "a/#", "a/+/b", "a+", "a#b", "+a", "/+"] {
        for qos in 0..=2 {
            let publish = Publish::v5(topic, "m").qos(qos, 1);
            breach(&broker, &publish.bytes(), 0x81);
        }
    }
    assert_eq!(matched(&broker, "a/+/#", &["a/b"]), ["a/b"]);
}

// Breaks if: `check_wildcards` in src/topic/filter.rs does not ask what is beside a `#`; or `Search::leave` in
// src/topic/trie/mod.rs does not let `#` match its parent.
#[test]
fn mqtt5_4_7_1_1_a_hash_is_alone_or_after_a_slash_and_last() {
    let broker = Broker::start();
    for filter in ["a#", "a/b#", "#/", "#/a", "a/#/b", "##", "a/##", "+#", "#+"] {
        refused(&broker, filter, 0x81);
        refused(&broker, format!("$share/g/{filter}"), 0x81);
    }
    let topics = ["a", "a/", "a/b", "a/b/c", "/", "/a", "b/a", "ab"];
    let cases: [(&str, &[&str]); 4] = [
        ("#", &topics),
        ("a/#", &["a", "a/", "a/b", "a/b/c"]),
        ("/#", &["/", "/a"]),
        ("a/b/c/#", &["a/b/c"]),
    ];
    for (filter, expected) in cases {
        assert_eq!(matched(&broker, filter, &topics), expected, "{filter}");
    }
}

// Breaks if: `check_wildcards` in src/topic/filter.rs does not ask what is beside a `+`; or `Search::leave` in
// src/topic/trie/mod.rs does not go to `plus`.
#[test]
fn mqtt5_4_7_1_2_a_plus_fills_a_whole_level() {
    let broker = Broker::start();
    for filter in ["a+", "+a", "a/b+", "a/+b", "++", "a/++", "+a/b", "a/b+/c"] {
        refused(&broker, filter, 0x81);
        refused(&broker, format!("$share/g/{filter}"), 0x81);
    }
    let topics = ["a", "a/", "a/b", "a/b/c", "/", "/a", "b/b", "a//c"];
    let cases: [(&str, &[&str]); 6] = [
        ("+", &["a"]),
        ("a/+", &["a/", "a/b"]),
        ("+/b", &["a/b", "b/b"]),
        ("/+", &["/", "/a"]),
        ("+/+", &["a/", "a/b", "/", "/a", "b/b"]),
        ("a/+/c", &["a/b/c", "a//c"]),
    ];
    for (filter, expected) in cases {
        assert_eq!(matched(&broker, filter, &topics), expected, "{filter}");
    }
}

/// Live, retained, and the broker's own.
// Breaks if: `hidden` of `Trie::matches` in src/topic/trie/mod.rs is always false, or the look-up in
// src/pubsub/retained.rs does not pass over topics with `$`.
#[test]
fn mqtt5_4_7_2_1_a_leading_wildcard_does_not_match_a_dollar() {
    let broker = Broker::configured("[auth]\nanonymous = true\n[sys]\ninterval = \"1s\"\n");
    let topics = ["$other/x", "$other", "a/$x", "/$x", "$", "other/x"];
    let cases: [(&str, &[&str]); 6] = [
        ("#", &["a/$x", "/$x", "other/x"]),
        ("+/#", &["a/$x", "/$x", "other/x"]),
        ("+/x", &["other/x"]),
        ("+", &[]),
        ("$other/#", &["$other/x", "$other"]),
        ("$other/+", &["$other/x"]),
    ];
    for (filter, expected) in cases {
        assert_eq!(matched(&broker, filter, &topics), expected, "{filter}");
    }
    let mut writer = connect(&broker, "keeper");
    let keep = Publish::v5("$other/kept", "kept").qos(1, 1).retain();
    writer.send(&keep.bytes());
    assert_eq!(writer.packet()[0], 0x40);
    let mut client = connect(&broker, "client");
    let filters = ["#", "+/kept", "+/#", "+/broker/uptime"];
    let filters = filters.map(|filter| (filter, 0));
    client.send(&subscribe_5(1, &[], &filters));
    assert_eq!(client.packet()[0], 0x90);
    let mut exact = connect(&broker, "exact");
    subscribe(&mut exact, "$other/+", 0);
    expect_message(&mut exact, false, 0, "kept");
    subscribe(&mut exact, "$SYS/broker/uptime", 0);
    for _ in 0..2 {
        assert_eq!(published(&mut exact).topic, "$SYS/broker/uptime");
    }
    expect_alive(&mut client);
}

// Breaks if: `check_length` in src/topic/name.rs lets an empty text pass.
#[test]
fn mqtt5_4_7_3_1_topics_have_at_least_one_character() {
    let broker = Broker::start();
    refused(&broker, "", 0x81);
    refused(&broker, "$share/g/", 0x81);
    for qos in 0..=2 {
        // Without a Topic Alias it is a Protocol Error, section 3.3.2.1.
        breach(&broker, &Publish::v5("", "m").qos(qos, 1).bytes(), 0x82);
    }
    assert_eq!(matched(&broker, "/", &["/"]), ["/"]);
    assert_eq!(matched(&broker, " ", &[" "]), [" "]);
}

// Breaks if: `check` in src/topic/name.rs or `parse` in src/topic/filter.rs does not look for U+0000.
#[test]
fn mqtt5_4_7_3_2_topics_have_no_null() {
    let broker = Broker::start();
    for topic in ["\0", "a\0", "\0a", "a/\0/b", "a\0b/c"] {
        refused(&broker, topic, 0x81);
        breach(&broker, &Publish::v5(topic, "m").qos(1, 1).bytes(), 0x81);
    }
    refused(&broker, "+/\0", 0x81);
    refused(&broker, "$share/\0/a", 0x81);
    assert_eq!(matched(&broker, "+/b", &["\u{1}/b"]), ["\u{1}/b"]);
}

/// A length field cannot say more; all that it can say works.
// Breaks if: `MAX_LEN` in src/topic/name.rs becomes smaller, or the broker's frames count a topic in 15 bits.
#[test]
fn mqtt5_4_7_3_3_topics_have_at_most_65535_bytes() {
    let broker = Broker::start();
    let longest = "x".repeat(65_535);
    let half = format!("{}/{}", "ø".repeat(16_383), "y".repeat(32_768));
    assert_eq!(half.len(), 65_535);
    let mut client = connect(&broker, "client");
    let mut writer = connect(&broker, "long");
    for topic in [&longest, &half] {
        subscribe(&mut client, topic, 1);
        writer.send(&Publish::v5(topic, "m").qos(1, 1).bytes());
        writer.expect(&puback(1));
        let message = published(&mut client);
        assert!(message.topic == **topic, "another topic came");
        client.send(&puback(message.packet_id));
        client.send(&unsubscribe_5(1, &[], &[topic]));
        let ack = Ack::v5(&client.packet());
        assert_eq!((ack.first, &ack.reasons[..]), (0xb0, &[0][..]));
    }
    assert_eq!(matched(&broker, "+", &[&longest]), [&longest]);
    // A packet that is too short for the length its topic claims is malformed.
    breach(&broker, &packet(0x30, b"\xff\xff\0topic"), 0x81);
}

/// Neither Unicode, nor case, nor anything that means something in a URL or a path.
// Breaks if: `Subscriptions::route` in src/pubsub/subscriptions.rs looks for the topic in lower case, or trimmed.
#[test]
fn mqtt5_4_7_3_4_topics_are_not_normalised() {
    let broker = Broker::start();
    let topics = [
        "caf\u{e9}",
        "cafe\u{301}",
        "Caf\u{e9}",
        "a/b",
        "a//b",
        "/a/b",
        "a/b/",
        "a/./b",
        "a/../b",
        "a%2fb",
        "A/b",
        " a/b",
        "a/b ",
        "a\\b",
        "\u{212b}",
        "\u{c5}",
        "A\u{30a}",
        "\u{feff}a/b",
        "ﬁ",
        "fi",
        "ß",
        "ss",
        "SS",
    ];
    let mut client = connect(&broker, "client");
    let identifier = |index| number(prop::SUBSCRIPTION_IDENTIFIER, index);
    for (index, topic) in (1..).zip(topics) {
        client.send(&subscribe_5(1, &identifier(index), &[(topic, 0)]));
        assert_eq!(Ack::v5(&client.packet()).reasons, [0]);
    }
    for (index, topic) in (1..).zip(topics) {
        // One copy, for the one filter that is the same, with the topic as it was.
        tell(&broker, topic, 0, topic);
        let copy = Publish::v5(topic, topic).property(identifier(index));
        client.expect(&copy.bytes());
        expect_alive(&mut client);
    }
}
