//! Topic Aliases: what sets one, what does not, and that the broker never uses one that the client cannot know.

use std::collections::{BTreeSet, HashMap};

use crate::bytes::{
    Connect, Publish, Will, disconnect_5, pair, prop, puback, pubcomp, pubrec, pubrel, subscribe_5,
    two,
};
use crate::mqtt5::steps::{
    breach, break_off, breakable, broker_with, connect, expect_accepted, expect_message,
    expect_reason, leave, open, persistent, published, resume, take, tell_all, text_of,
};
use crate::received::{Published, expect_alive, expect_disconnect, refused_5, subscribe};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

/// Takes the next message, which must have this topic and payload.
#[track_caller]
fn expect_on(client: &mut RawClient, topic: &str, payload: &str) {
    let message = take(client, 1).remove(0);
    assert_eq!((&*message.topic, text_of(&message)), (topic, payload));
}

/// A client that has subscribed to everything.
#[track_caller]
fn witness(broker: &Broker) -> RawClient {
    let mut witness = connect(broker, "witness");
    subscribe(&mut witness, "#", 2);
    witness
}

/// What a client knows of the aliases of one connection.
#[derive(Default)]
struct Known(HashMap<u32, String>);

impl Known {
    /// The topic that a message is about, as the client understands it; `maximum` is what it allows.
    #[track_caller]
    fn topic(&mut self, message: &Published, maximum: u16) -> String {
        let Some(alias) = message.properties.integer(prop::TOPIC_ALIAS) else {
            assert!(!message.topic.is_empty(), "neither topic nor alias");
            return message.topic.clone();
        };
        assert!((1..=u32::from(maximum)).contains(&alias), "{message:02x?}");
        if !message.topic.is_empty() {
            self.0.insert(alias, message.topic.clone());
        }
        let known = self.0.get(&alias);
        known.expect("an alias that was never set").clone()
    }
}

// Breaks if: `Inbound::publish` in src/session/inbound.rs resolves the alias only of what is routed.
#[test]
fn a_publish_that_is_refused_sets_its_alias_all_the_same() {
    let broker = broker_with("topic_levels_maximum = 128");
    let mut witness = witness(&broker);
    let mut client = connect(&broker, "client");
    let publish = |topic: &str, id| Publish::v5(topic, "m").alias(3).qos(1, id).bytes();
    client.send(&publish("mine/own", 1));
    expect_accepted(&mut client, 0x40, 1);
    expect_on(&mut witness, "mine/own", "m");
    // Refused, it moves the alias nevertheless, and so is what comes by it.
    client.send(&[publish("$SYS/not/yours", 2), publish("", 3)].concat());
    for id in [2, 3] {
        expect_reason(&mut client, 0x40, id, |reason| reason == 0x87);
    }
    let too_deep = vec!["x"; 129].join("/");
    client.send(&[publish(&too_deep, 4), publish("", 5)].concat());
    for id in [4, 5] {
        expect_reason(&mut client, 0x40, id, |reason| reason == 0x90);
    }
    client.send(&[publish("mine/again", 6), publish("", 7)].concat());
    for id in [6, 7] {
        expect_accepted(&mut client, 0x40, id);
        expect_on(&mut witness, "mine/again", "m");
    }
}

// Breaks if: `Inbound::publish` in src/session/inbound.rs resolves the alias after it has asked whether the id is held.
#[test]
fn a_repeated_qos_2_publish_sets_its_alias() {
    let broker = Broker::start();
    let mut witness = witness(&broker);
    let mut client = open(&broker, &breakable("c"));
    let first = Publish::v5("the/topic", "once").alias(2).qos(2, 5);
    client.send(&first.bytes());
    expect_accepted(&mut client, 0x50, 5);
    expect_on(&mut witness, "the/topic", "once");
    break_off(&broker, client);
    expect_on(&mut witness, "broken/c", "");
    // On the next connection the alias is set by the message that the broker has already.
    let mut client = resume(&broker, &persistent("c"));
    let by_alias = Publish::v5("", "twice").alias(2).qos(1, 6);
    client.send(&[first.clone().dup().bytes(), by_alias.bytes()].concat());
    expect_accepted(&mut client, 0x50, 5);
    expect_accepted(&mut client, 0x40, 6);
    expect_on(&mut witness, "the/topic", "twice");
    client.send(&pubrel(5));
    expect_accepted(&mut client, 0x70, 5);
    expect_alive(&mut witness);
    // A repetition that names an alias which the connection does not know is a breach like any other.
    client.send(&Publish::v5("held", "once").qos(2, 7).bytes());
    expect_accepted(&mut client, 0x50, 7);
    client.send(&Publish::v5("", "once").alias(9).qos(2, 7).dup().bytes());
    expect_disconnect(&mut client, 0x82);
    expect_on(&mut witness, "held", "once");
    expect_alive(&mut witness);
}

// Breaks if: `InboundAliases::resolve` in src/session/aliases.rs forgets an alias when its topic comes in clear, or under
// another alias, or takes the topic of the packet before.
#[test]
fn aliases_and_topics_in_clear_mix() {
    let broker = Broker::start();
    let mut witness = witness(&broker);
    let mut client = connect(&broker, "client");
    // Topic as sent, alias, and what it means; all in one write.
    let steps = [
        ("a", 1, "a"),
        ("a", 0, "a"),
        ("b", 0, "b"),
        ("", 1, "a"),
        ("a", 2, "a"),
        ("b", 1, "b"),
        ("", 2, "a"),
        ("", 1, "b"),
        ("a", 1, "a"),
        ("a", 1, "a"),
        ("", 1, "a"),
        ("b", 2, "b"),
        ("", 1, "a"),
        ("", 2, "b"),
    ];
    let each = steps.iter().enumerate().map(|(n, (topic, alias, _))| {
        let publish = Publish::v5(topic, n.to_string()).qos(n as u8 % 2, 1 + n as u16);
        match alias {
            0 => publish.bytes(),
            alias => publish.alias(*alias).bytes(),
        }
    });
    client.send(&each.collect::<Vec<_>>().concat());
    for (n, (_, _, topic)) in steps.iter().enumerate() {
        expect_on(&mut witness, topic, &n.to_string());
    }
}

// Breaks if: the message in `Inbound::publish` in src/session/inbound.rs is made with the topic of the packet.
#[test]
fn what_is_retained_queued_or_shared_by_alias_has_its_full_topic() {
    let broker = Broker::start();
    let mut away = open(&broker, &persistent("away"));
    subscribe(&mut away, "deep/+/topic", 1);
    leave(away);
    let mut member = connect(&broker, "member");
    subscribe(&mut member, "$share/g/deep/#", 1);
    let mut client = connect(&broker, "client");
    client.send(
        &Publish::v5("deep/set/topic", "set")
            .alias(1)
            .qos(1, 1)
            .bytes(),
    );
    let kept = Publish::v5("", "kept").alias(1).retain().qos(1, 2);
    client.send(&kept.bytes());
    for id in [1, 2] {
        expect_accepted(&mut client, 0x40, id);
    }
    leave(client);
    for payload in ["set", "kept"] {
        expect_on(&mut member, "deep/set/topic", payload);
    }
    let mut away = resume(&broker, &persistent("away"));
    for payload in ["set", "kept"] {
        expect_on(&mut away, "deep/set/topic", payload);
    }
    let mut late = connect(&broker, "late");
    subscribe(&mut late, "deep/set/topic", 0);
    late.expect(&Publish::v5("deep/set/topic", "kept").retain().bytes());
}

// Breaks if: any properties in src/codec but those of PUBLISH take a Topic Alias, or `Section::next_id` in
// src/codec/section.rs takes one twice.
#[test]
fn an_alias_belongs_into_publish_and_only_once() {
    let broker = Broker::start();
    let alias = || two(prop::TOPIC_ALIAS, 1);
    let in_connect = Connect::v5("c").property(alias());
    let in_will = Connect::v5("c").will(Will::new("t", "").property(alias()));
    for connect in [in_connect, in_will] {
        refused_5(broker.tcp, &connect.bytes(), 0x81);
    }
    // A Will without a topic cannot mean an alias either.
    let topicless = Connect::v5("c").will(Will::new("", ""));
    refused_5(broker.tcp, &topicless.bytes(), 0x81);
    breach(&broker, &subscribe_5(1, &alias(), &[("t", 0)]), 0x81);
    breach(&broker, &disconnect_5(0, &alias()), 0x81);
    breach(
        &broker,
        &Publish::v5("t", "").alias(1).alias(1).bytes(),
        0x82,
    );
    breach(
        &broker,
        &Publish::v5("t", "").alias(1).alias(2).bytes(),
        0x82,
    );
    // Nor does a malformed topic come through by an alias that is fine, set or not.
    for topic in ["a/#", "+", "a\0"] {
        let mut client = connect(&broker, "client");
        client.send(&Publish::v5("fine", "").alias(1).bytes());
        client.send(&Publish::v5(topic, "").alias(1).bytes());
        expect_disconnect(&mut client, 0x81);
    }
}

// Breaks if: `Outbound::attach` in src/session/outbound.rs keeps the aliases of the last connection, or `resend` names a
// topic by an alias before it was set.
#[test]
fn what_is_sent_again_names_its_topic_as_the_new_connection_needs_it() {
    const TOPICS: [&str; 3] = ["first/topic", "second/topic", "third/topic"];
    let broker = Broker::start();
    let with =
        |connect: Connect, maximum| connect.property(two(prop::TOPIC_ALIAS_MAXIMUM, maximum));
    let mut client = open(&broker, &with(breakable("c"), 2));
    subscribe(&mut client, "+/topic", 2);
    let mut writer = connect(&broker, "writer");
    // Each topic twice, so that the second of the aliased ones goes without its name.
    let mut ids = Vec::new();
    let mut known = Known::default();
    for round in 0..2 {
        for (qos, topic) in (1..).zip(TOPICS) {
            tell_all(&mut writer, topic, qos.min(2), &["m"]);
            let message = published(&mut client);
            assert_eq!(known.topic(&message, 2), topic);
            let nameless = message.topic.is_empty();
            assert_eq!(nameless, round == 1 && qos < 3, "{message:02x?}");
            ids.push(message.packet_id);
        }
    }
    // Resumed with fewer, none, and many.
    for maximum in [1, 0, 65_535] {
        break_off(&broker, client);
        client = resume(&broker, &with(breakable("c"), maximum));
        let mut known = Known::default();
        for (id, topic) in ids.iter().zip(TOPICS.iter().cycle()) {
            let message = published(&mut client);
            assert_eq!((message.packet_id, message.dup), (*id, true));
            assert_eq!(known.topic(&message, maximum), *topic);
        }
        expect_alive(&mut client);
    }
    // In their order QoS 1, 2, 2, twice; they end as ever.
    for (index, id) in ids.iter().enumerate() {
        if index % 3 == 0 {
            client.send(&puback(*id));
        } else {
            client.send(&pubrec(*id));
            client.expect(&pubrel(*id));
            client.send(&pubcomp(*id));
        }
    }
    expect_alive(&mut client);
}

// Breaks if: `OutboundAliases::naming` in src/session/aliases.rs gives an alias twice or beyond the maximum, or
// `Terms::negotiate` in src/session/terms.rs takes the greater of the two maxima.
#[test]
fn the_client_can_always_tell_the_topic_whatever_its_maximum() {
    let broker = broker_with("outbound_alias_maximum = 300");
    let mut writer = connect(&broker, "writer");
    let topics: Vec<String> = (0..400).map(|n| format!("one/of/many/{n}")).collect();
    for maximum in [None, Some(0), Some(1), Some(2), Some(299), Some(65_535)] {
        let mut connect = Connect::v5("c");
        if let Some(maximum) = maximum {
            connect = connect.property(two(prop::TOPIC_ALIAS_MAXIMUM, maximum));
        }
        let mut client = open(&broker, &connect);
        subscribe(&mut client, "#", 0);
        let mut known = Known::default();
        let mut nameless = BTreeSet::new();
        for round in 0..3 {
            for chunk in topics.chunks(100) {
                let each = chunk.iter().map(|topic| Publish::v5(topic, topic).bytes());
                writer.send(&each.collect::<Vec<_>>().concat());
                for topic in chunk {
                    let message = published(&mut client);
                    assert_eq!(known.topic(&message, maximum.unwrap_or(0)), *topic);
                    assert_eq!(text_of(&message), topic);
                    if message.topic.is_empty() {
                        assert!(round > 0, "a name that has not come before");
                        nameless.insert(topic);
                    }
                }
            }
        }
        let expected = usize::from(maximum.unwrap_or(0)).min(300);
        assert_eq!(nameless.len(), expected, "with {maximum:?}");
        assert_eq!(known.0.len(), expected, "with {maximum:?}");
    }
}

// Breaks if: `OutboundAliases::commit` in src/session/aliases.rs is called for what is dropped or queued, not for what is
// on the wire.
#[test]
fn what_waited_or_was_dropped_leaves_no_alias_behind_that_the_client_never_saw() {
    let broker = broker_with("outbound_alias_maximum = 4");
    let few = |connect: Connect| {
        let connect = connect.property(two(prop::TOPIC_ALIAS_MAXIMUM, 4));
        connect.property(two(prop::RECEIVE_MAXIMUM, 1))
    };
    let mut client = open(&broker, &few(breakable("c")));
    subscribe(&mut client, "+/topic", 1);
    let mut writer = connect(&broker, "writer");
    // One is under way, the others wait for it.
    let order = ["a", "b", "a", "c", "b", "d", "e", "a", "e"];
    let topic = |name: &str| format!("{name}/topic");
    for name in order {
        tell_all(&mut writer, &topic(name), 1, &[name]);
    }
    let mut known = Known::default();
    let first = published(&mut client);
    assert_eq!(known.topic(&first, 4), topic("a"));
    client.send(&puback(first.packet_id));
    let second = published(&mut client);
    assert_eq!(known.topic(&second, 4), topic("b"));
    // The second is not acknowledged: it comes again, and with it everything else, on a connection without memory.
    break_off(&broker, client);
    let mut client = resume(&broker, &few(persistent("c")));
    let mut known = Known::default();
    for name in &order[1..] {
        let message = take(&mut client, 1).remove(0);
        assert_eq!(known.topic(&message, 4), topic(name));
        assert_eq!(text_of(&message), *name);
    }
    expect_alive(&mut client);
}

// Breaks if: `frame` in src/session/outbound.rs passes the publisher's alias on.
#[test]
fn an_alias_is_of_one_connection_and_one_direction() {
    let broker = Broker::start();
    let with = |id| Connect::v5(id).property(two(prop::TOPIC_ALIAS_MAXIMUM, 10));
    let mut client = open(&broker, &with("client"));
    let mut other = open(&broker, &with("other"));
    for reader in [&mut client, &mut other] {
        subscribe(reader, "of/+", 1);
    }
    // Both sides use alias 1 of this connection, for different topics.
    client.send(&Publish::v5("of/client", "1").alias(1).bytes());
    let mut known = [Known::default(), Known::default()];
    let mut expect = |client: &mut RawClient, other: &mut RawClient, topic: &str, payload| {
        for (reader, known) in [client, other].into_iter().zip(&mut known) {
            let message = published(reader);
            assert_eq!(known.topic(&message, 10), topic);
            assert_eq!(text_of(&message), payload);
        }
    };
    expect(&mut client, &mut other, "of/client", "1");
    other.send(&Publish::v5("of/other", "2").alias(1).bytes());
    expect(&mut client, &mut other, "of/other", "2");
    for (payload, turn) in [("3", true), ("4", false), ("5", true)] {
        let by_alias = Publish::v5("", payload).alias(1).property(pair("k", "v"));
        let topic = match turn {
            true => {
                client.send(&by_alias.bytes());
                "of/client"
            }
            false => {
                other.send(&by_alias.bytes());
                "of/other"
            }
        };
        expect(&mut client, &mut other, topic, payload);
    }
    // What one has set, the other does not know.
    client.send(&Publish::v5("of/client", "6").alias(2).bytes());
    expect(&mut client, &mut other, "of/client", "6");
    other.send(&Publish::v5("", "never").alias(2).bytes());
    expect_disconnect(&mut other, 0x82);
    client.send(&Publish::v5("of/client", "7").alias(2).qos(1, 1).bytes());
    expect_message(&mut client, false, 1, "7");
}
