//! Topic Filters against Topic Names, all of them up to four levels, and Shared Subscriptions in every form.
//!
//! The judge is [`matches`], which splits both at each `/` and compares level by level.

use std::collections::BTreeSet;

use crate::bytes::{
    Connect, PINGREQ, PINGRESP, Publish, prop, subscribe_5, subscribe_311, unsubscribe_5,
    unsubscribe_311, vbi,
};
use crate::received::{Ack, Published, online, publish, published, subscribe};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

use super::rows::Answer::{Silence, Told};
use super::rows::{Bystander, Row, Version, expect_sound, run, start};

/// Whether the filter matches, as section 4.7 has it.
fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let filter: Vec<_> = filter.split('/').collect();
    let topic: Vec<_> = topic.split('/').collect();
    let open = filter.last() == Some(&"#");
    let filter = if open {
        &filter[..filter.len() - 1]
    } else {
        &filter[..]
    };
    let enough = if open {
        topic.len() >= filter.len()
    } else {
        topic.len() == filter.len()
    };
    enough
        && filter
            .iter()
            .zip(&topic)
            .all(|(wanted, level)| *wanted == "+" || wanted == level)
}

/// Every text of one to four of these levels, without the empty text.
fn texts(levels: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = levels.iter().map(|level| level.to_string()).collect();
    let mut longest = all.clone();
    for _ in 1..4 {
        let longer = longest
            .iter()
            .flat_map(|text| levels.iter().map(move |level| format!("{text}/{level}")));
        longest = longer.collect();
        all.extend(longest.iter().cloned());
    }
    all.retain(|text| !text.is_empty());
    all
}

/// With `+` at every place and `#` at every last one.
fn filters() -> Vec<String> {
    let mut filters = texts(&["", "a", "+", "#"]);
    filters.retain(|filter| !filter.trim_end_matches('#').contains('#'));
    filters.retain(|filter| filter == "#" || !filter.ends_with('#') || filter.ends_with("/#"));
    filters.extend(["$a/+", "$a/#", "$a", "$a//+", "+/+/$a"].map(String::from));
    filters
}

fn topics() -> Vec<String> {
    let mut topics = texts(&["", "a", "b"]);
    topics.extend(["$a", "$a/", "$a/a", "$a//b", "$/a", "a/$a", "//$a"].map(String::from));
    topics
}

fn expected<'a>(filter: &str, topics: &'a [String]) -> BTreeSet<&'a str> {
    topics
        .iter()
        .filter(|topic| matches(filter, topic))
        .map(String::as_str)
        .collect()
}

/// The judge knows the examples of section 4.7.
// Breaks if: `matches` here is wrong.
#[test]
fn the_judge_agrees_with_the_specification() {
    for (filter, topic) in [
        ("sport/tennis/player1/#", "sport/tennis/player1"),
        (
            "sport/tennis/player1/#",
            "sport/tennis/player1/score/wimbledon",
        ),
        ("sport/+", "sport/"),
        ("+/+", "/finance"),
        ("/+", "/finance"),
        ("$SYS/#", "$SYS/"),
        ("#", "/"),
    ] {
        assert!(matches(filter, topic), "{filter} {topic}");
    }
    for (filter, topic) in [
        ("sport/+", "sport"),
        ("+", "/finance"),
        ("#", "$SYS/"),
        ("+/monitor/Clients", "$SYS/monitor/Clients"),
        ("/", "//"),
    ] {
        assert!(!matches(filter, topic), "{filter} {topic}");
    }
    assert_eq!((filters().len(), topics().len()), (164, 126));
}

/// One subscription at a time, and every topic published to it.
// Breaks if: the walk in src/topic/trie/walk.rs takes an empty level for none, `#` for at least one level, or a `$` for a
// letter.
#[test]
fn every_filter_alone() {
    let broker = start("");
    let mut client = RawClient::accepted(broker.tcp, &Connect::v311("client").bytes());
    let topics = topics();
    let all = topics
        .iter()
        .flat_map(|topic| Publish::v311(topic, topic).bytes());
    let all: Vec<u8> = all.chain(PINGREQ).collect();
    for filter in filters() {
        client.send(&subscribe_311(1, &[(&filter, 0)]));
        client.expect(&[0x90, 3, 0, 1, 0]);
        client.send(&all);
        let mut got = Vec::new();
        loop {
            let packet = client.packet();
            if packet == PINGRESP {
                break;
            }
            let message = Published::v311(&packet);
            assert_eq!(message.topic.as_bytes(), message.payload, "to {filter:?}");
            got.push(message.topic);
        }
        let set: BTreeSet<_> = got.iter().map(String::as_str).collect();
        assert_eq!(set, expected(&filter, &topics), "{filter:?}");
        assert_eq!(set.len(), got.len(), "twice to {filter:?}");
        client.send(&unsubscribe_311(1, &[&filter]));
        client.expect(&[0xb0, 2, 0, 1]);
    }
    expect_sound(&broker);
}

/// All subscriptions at once, told apart by Subscription Identifier; then every second one is taken back.
// Breaks if: a node of the trie in src/topic/trie/nodes.rs is found by another level's label, or is given up while another
// filter goes through it.
#[test]
fn all_filters_together() {
    let broker = start("");
    let mut client = online(broker.tcp, "client");
    let (filters, topics) = (filters(), topics());
    for (index, filter) in filters.iter().enumerate() {
        let identifier = [&[prop::SUBSCRIPTION_IDENTIFIER][..], &vbi(index + 1)].concat();
        client.send(&subscribe_5(1, &identifier, &[(filter, 0)]));
        client.expect(&[0x90, 4, 0, 1, 0, 0]);
    }
    let compare = |client: &mut RawClient, there: &dyn Fn(usize) -> bool| {
        for topic in &topics {
            client.send(&[&Publish::v5(topic, "").bytes()[..], &PINGREQ].concat());
            let mut got = BTreeSet::new();
            loop {
                let packet = client.packet();
                if packet == PINGRESP {
                    break;
                }
                let message = Published::v5(&packet);
                assert_eq!(&message.topic, topic);
                got.extend(
                    message
                        .properties
                        .all(prop::SUBSCRIPTION_IDENTIFIER)
                        .into_iter()
                        .map(Vec::from),
                );
            }
            let wanted = (0..filters.len())
                .filter(|index| there(*index) && matches(&filters[*index], topic));
            let wanted: BTreeSet<_> = wanted.map(|index| vbi(index + 1)).collect();
            assert_eq!(got, wanted, "{topic:?}");
        }
    };
    compare(&mut client, &|_| true);
    for filter in filters.iter().step_by(2) {
        client.send(&unsubscribe_5(1, &[], &[filter]));
        client.expect(&[0xb0, 4, 0, 1, 0, 0]);
    }
    compare(&mut client, &|index| index % 2 == 1);
    expect_sound(&broker);
}

/// What is retained is looked up the other way round: by filter.
// Breaks if: the walk over retained topics takes an empty level for none, or `#` does not match the level above it.
#[test]
fn every_filter_finds_what_is_retained() {
    let broker = start("");
    let mut client = online(broker.tcp, "client");
    let topics = topics();
    for topic in &topics {
        publish(&mut client, Publish::v5(topic, topic).retain());
    }
    for filter in filters() {
        subscribe(&mut client, &filter, 0);
        let wanted = expected(&filter, &topics);
        let got: Vec<_> = wanted
            .iter()
            .map(|_| published(&mut client).topic)
            .collect();
        assert_eq!(
            got.iter().map(String::as_str).collect::<BTreeSet<_>>(),
            wanted,
            "{filter:?}"
        );
        client.send(&unsubscribe_5(1, &[], &[&filter]));
        // Nothing more came.
        client.expect(&[0xb0, 4, 0, 1, 0, 0]);
    }
    expect_sound(&broker);
}

/// What begins like a Shared Subscription and is none. MQTT 3.1.1 does not know them, but this broker does.
// Breaks if: `split_share` in src/topic/filter.rs takes one of these for an ordinary filter, or gives an empty ShareName.
#[test]
fn shared_subscriptions_that_are_malformed() {
    let bad = [
        "$share",
        "$share/",
        "$share//",
        "$share///",
        "$share//t",
        "$share/g",
        "$share/g/",
        "$share/+/t",
        "$share/#/t",
        "$share/+",
        "$share/#",
        "$share/+/",
        "$share/g#/t",
        "$share/g+/t",
        "$share/+g/t",
        "$share/#g/t",
        "$share/g/a#",
        "$share/g/a+",
        "$share/g/#/a",
        "$share/g/+b",
        "$share/g/a/+b",
        "$share/g/##",
        "$share/g/#/",
        "$share//#",
    ];
    let rows_5 = bad.iter().flat_map(|filter| {
        [
            Row::open(*filter, Told(0x81), subscribe_5(1, &[], &[(filter, 0)])),
            Row::open(
                *filter,
                Told(0x81),
                subscribe_5(1, &[], &[("bystander", 0), (filter, 2)]),
            ),
            Row::open(*filter, Told(0x81), unsubscribe_5(1, &[], &[filter])),
        ]
    });
    run(&start(""), Version::V5, &rows_5.collect::<Vec<_>>());
    let rows_311 = bad.iter().flat_map(|filter| {
        [
            Row::open(*filter, Silence, subscribe_311(1, &[(filter, 0)])),
            Row::open(*filter, Silence, unsubscribe_311(1, &[filter])),
        ]
    });
    run(&start(""), Version::V311, &rows_311.collect::<Vec<_>>());
}

/// Each with a topic that it matches and one that it does not; two members, each of which gets one of two messages.
// Breaks if: `split_share` in src/topic/filter.rs drops the empty levels after the ShareName or looks for a second `$share`.
#[test]
fn shared_subscriptions_of_every_form() {
    let broker = start("");
    let mut bystander = Bystander::new(&broker);
    let mut publisher = online(broker.tcp, "publisher");
    for (filter, matching, other) in [
        ("$share/g/t", "t", "g/t"),
        ("$share/g//", "/", "//"),
        ("$share/g///", "//", "/"),
        ("$share/g/#", "/x", "$x"),
        ("$share/g/+/+", "a/", "a"),
        ("$share/g//+", "/", "a"),
        ("$share/g/a/#", "a", "b"),
        ("$share/g/$x/#", "$x/a", "x/a"),
        ("$share/\u{feff}/t", "t", "\u{feff}/t"),
        ("$share/$share/t", "t", "$share/t"),
        ("$share/g/$share/h/t", "$share/h/t", "t"),
        ("$share/g/$share", "$share", "t"),
        ("$share/ /t", "t", " /t"),
        // These only look shared.
        ("$shared/t", "$shared/t", "t"),
        ("$SHARE/g/t", "$SHARE/g/t", "t"),
        ("a/$share/g/t", "a/$share/g/t", "t"),
        ("/$share/g/t", "/$share/g/t", "t"),
    ] {
        let shared = filter.starts_with("$share/");
        let mut members = ["one", "two"].map(|name| online(broker.tcp, name));
        for member in &mut members {
            subscribe(member, filter, 0);
        }
        for payload in ["first", "second"] {
            publish(&mut publisher, Publish::v5(other, "must not arrive"));
            publish(&mut publisher, Publish::v5(matching, payload));
        }
        let mut got: Vec<_> = members.iter_mut().flat_map(until_pingresp).collect();
        got.sort();
        let each = |payload: &str| (matching.to_owned(), payload.as_bytes().to_vec());
        let wanted = ["first", "second"].map(each);
        let copies = if shared { 1 } else { 2 };
        let wanted: Vec<_> = wanted.into_iter().flat_map(|it| vec![it; copies]).collect();
        assert_eq!(got, wanted, "{filter}");
        for member in members {
            crate::received::leave(member);
        }
        bystander.is_unharmed();
    }
    expect_sound(&broker);
}

/// Topics and payloads of all messages that are there.
#[track_caller]
fn until_pingresp(client: &mut RawClient) -> Vec<(String, Vec<u8>)> {
    client.send(&PINGREQ);
    let mut got = Vec::new();
    loop {
        let packet = client.packet();
        if packet == PINGRESP {
            return got;
        }
        let message = Published::v5(&packet);
        got.push((message.topic, message.payload));
    }
}

/// The broker's own topics can be shared, too, if they are named.
// Breaks if: what the broker publishes itself below `$SYS` does not go to groups.
#[test]
fn the_brokers_own_topics_shared() {
    let broker = Broker::configured("[auth]\nanonymous = true\n[sys]\ninterval = \"1s\"\n");
    let mut client = online(broker.tcp, "client");
    client.send(&subscribe_5(1, &[], &[("$share/g/$SYS/#", 0)]));
    let message = sent_and_acknowledged(&mut client, &[0x90, 4, 0, 1, 0, 0]);
    assert!(Published::v5(&message).topic.starts_with("$SYS/"));
    let mut client = RawClient::accepted(broker.tcp, &Connect::v311("old").bytes());
    client.send(&subscribe_311(1, &[("$share/h/$SYS/#", 0)]));
    let message = sent_and_acknowledged(&mut client, &[0x90, 3, 0, 1, 0]);
    assert!(Published::v311(&message).topic.starts_with("$SYS/"));
}

/// Reads until this SUBACK and a message have come, in either order: whoever publishes at that very moment may
/// be first. Returns the first message.
#[track_caller]
fn sent_and_acknowledged(client: &mut RawClient, suback: &[u8]) -> Vec<u8> {
    let (mut message, mut acknowledged) = (None, false);
    loop {
        let packet = client.packet();
        match packet[0] {
            0x90 => {
                assert_eq!(packet, suback);
                acknowledged = true;
            }
            0x30 | 0x31 => _ = message.get_or_insert(packet),
            _ => panic!("neither a message nor its SUBACK: {packet:02x?}"),
        }
        if acknowledged && let Some(message) = message.take() {
            return message;
        }
    }
}

/// Topics and filters of 65,535 bytes and up to 65,536 levels, where the configuration allows them.
// Breaks if: `levels().count()` in src/broker/packets.rs or src/broker/subscribe.rs is compared with one less, or the walk
// of src/topic/trie/walk.rs calls itself for each level.
#[test]
fn the_longest_topics_and_filters() {
    let broker = start("topic_levels_maximum = 65536\npacket_size_maximum = \"1MiB\"");
    let mut bystander = Bystander::new(&broker);
    let mut client = online(broker.tcp, "client");
    let slashes = "/".repeat(65_535);
    let letters = "é".repeat(32_767) + "e";
    let plus = "+/".repeat(32_767) + "+";
    let half = "/".repeat(32_767);
    let open = "/".repeat(65_534) + "#";
    let shared = format!("$share/g/{}", "/".repeat(65_535 - 9));
    let group = format!("$share/{}/t", "g".repeat(65_535 - 9));
    for (filter, topic) in [
        (&letters[..], &letters[..]),
        (&slashes, &slashes),
        ("#", &slashes),
        (&open, &slashes),
        (&open, &slashes[1..]),
        (&plus, &half),
        (&half, &half),
        (&shared, &slashes[9..]),
        (&group, "t"),
    ] {
        let bare = match filter.strip_prefix("$share/") {
            Some(rest) => {
                rest.split_once('/')
                    .expect("a filter after the ShareName")
                    .1
            }
            None => filter,
        };
        assert!(matches(bare, topic));
        subscribe(&mut client, filter, 0);
        // Neither shorter nor longer.
        for other in ["t/t", "/", &half[1..]] {
            if filter != "#" {
                client.send(&Publish::v5(other, "must not arrive").bytes());
            }
        }
        let message = Publish::v5(topic, "m").retain().bytes();
        client.send(&message);
        client.expect(&Publish::v5(topic, "m").bytes());
        client.expect_nothing();
        client.send(&unsubscribe_5(1, &[], &[filter]));
        client.expect(&[0xb0, 4, 0, 1, 0, 0]);
        client.send(&Publish::v5(topic, "").retain().bytes());
        bystander.is_unharmed();
    }
    expect_sound(&broker);
}

/// With a bound of 128 levels, one more is refused, and nobody gets the message. Bytes do not count.
// Breaks if: `refuse_publish` in src/broker/packets.rs or `refuse_subscription` in src/broker/subscribe.rs compares with one
// more or less, or closes instead.
#[test]
fn a_bound_of_levels() {
    let broker = start("topic_levels_maximum = 128");
    let mut client = online(broker.tcp, "client");
    let (most, beyond) = ("/".repeat(127), "/".repeat(128));
    let long = "x".repeat(65_535);
    let share = |filter: &str| format!("$share/g/{filter}");
    let filters = [&most, &beyond, &long, &share(&most), &share(&beyond)].map(String::clone);
    let filters = filters.each_ref().map(|filter| (&filter[..], 0));
    client.send(&subscribe_5(1, &[], &filters));
    assert_eq!(Ack::v5(&client.packet()).reasons, [0, 0x8f, 0, 0, 0x8f]);
    client.send(&Publish::v5(&beyond, "must not arrive").bytes());
    client.send(&Publish::v5(&beyond, "must not arrive").qos(1, 1).bytes());
    assert_eq!(Ack::v5(&client.packet()).reasons, [0x90]);
    client.send(&Publish::v5(&long, "m").bytes());
    client.expect(&Publish::v5(&long, "m").bytes());
    let mut old = RawClient::accepted(broker.tcp, &Connect::v311("old").bytes());
    old.send(&subscribe_311(2, &filters));
    old.expect(&[0x90, 7, 0, 2, 0, 0x80, 0, 0, 0x80]);
    // It cannot be told; the message goes nowhere.
    old.send(&Publish::v311(&beyond, "must not arrive").qos(1, 3).bytes());
    old.expect(&[0x40, 2, 0, 3]);
    old.expect_nothing();
    client.expect_nothing();
    expect_sound(&broker);
}
