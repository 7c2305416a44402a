//! 4.6 Message ordering.

use std::thread;

use crate::bytes::{Publish, prop, pubcomp, pubrec, pubrel, two};
use crate::received::{Ack, expect_alive, subscribe};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

use super::steps::{
    break_off, breakable, connect, expect_message, leave, open, persistent, resume, take, tell,
    tell_all, text_of,
};

/// One after the other, QoS 1 and 2 mixed.
// Breaks if: `Window::resend` in src/session/window.rs goes from the newest to the oldest.
#[test]
fn mqtt5_4_6_0_1_messages_are_sent_again_in_their_order() {
    let broker = Broker::start();
    let mut client = open(&broker, &breakable("client"));
    subscribe(&mut client, "+", 2);
    let messages: Vec<_> = (0..20).map(|n| (1 + n % 3 % 2, n.to_string())).collect();
    let mut ids = Vec::new();
    for (qos, payload) in &messages {
        tell(&broker, &format!("topic{}", ids.len() % 4), *qos, payload);
        ids.push(expect_message(&mut client, false, *qos, payload));
    }
    for _ in 0..2 {
        break_off(&broker, client);
        client = resume(&broker, &breakable("client"));
        let again = messages.iter();
        let again = again.map(|(qos, payload)| expect_message(&mut client, true, *qos, payload));
        assert_eq!(again.collect::<Vec<_>>(), ids);
    }
}

/// Whether accepted, unheard or refused.
// Breaks if: `Replies::pop` in src/session/replies.rs looks for any reply that is settled instead of the first, or
// `Replies::push` puts refusals in front.
#[test]
fn mqtt5_4_6_0_2_pubacks_come_in_the_order_of_the_publishes() {
    acknowledgements_in_order(1, 0x40);
}

// Breaks if: `Replies::pop` in src/session/replies.rs looks for any reply that is settled instead of the first, or
// `Replies::push` puts refusals in front.
#[test]
fn mqtt5_4_6_0_3_pubrecs_come_in_the_order_of_the_publishes() {
    acknowledgements_in_order(2, 0x50);
}

#[track_caller]
fn acknowledgements_in_order(qos: u8, first: u8) {
    let broker = Broker::start();
    let mut reader = connect(&broker, "reader");
    subscribe(&mut reader, "heard", 0);
    let mut writer = connect(&broker, "scattered");
    let topics = ["heard", "unheard", "$SYS/not/yours"];
    // Ids that go neither up nor down.
    let ids: Vec<u16> = (1..=200).map(|n| n * 77 % 257).collect();
    let publishes = ids.iter().zip(topics.iter().cycle());
    let publishes = publishes.map(|(id, topic)| Publish::v5(topic, "m").qos(qos, *id).bytes());
    writer.send(&publishes.collect::<Vec<_>>().concat());
    let codes = [0x00, 0x10, 0x87];
    for (id, code) in ids.into_iter().zip(codes.iter().cycle()) {
        let ack = Ack::v5(&writer.packet());
        let got = (ack.first, ack.packet_id, &ack.reasons[..]);
        assert_eq!(got, (first, id, &[*code][..]));
    }
}

// Breaks if: `Outbound::pubrec` in src/session/outbound.rs collects PUBRELs and sends them in the order of the
// messages.
#[test]
fn mqtt5_4_6_0_4_pubrels_come_in_the_order_of_the_pubrecs() {
    let broker = Broker::start();
    let mut client = connect(&broker, "client");
    subscribe(&mut client, "t", 2);
    let mut writer = connect(&broker, "many");
    let payloads: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    tell_all(&mut writer, "t", 2, &payloads);
    let ids: Vec<u16> = payloads
        .iter()
        .map(|payload| expect_message(&mut client, false, 2, payload))
        .collect();
    let scattered: Vec<u16> = (0..20).map(|n| ids[n * 7 % 20]).collect();
    let pubrecs: Vec<_> = scattered.iter().copied().map(pubrec).collect();
    client.send(&pubrecs.concat());
    for id in &scattered {
        client.expect(&pubrel(*id));
    }
    let pubcomps: Vec<_> = scattered.into_iter().map(pubcomp).collect();
    client.send(&pubcomps.concat());
    expect_alive(&mut client);
}

/// Two writers at once, each with its own order, to a client that takes seven at a time.
// Breaks if: `Outbound::deliver` in src/session/outbound.rs sends although others wait, or `Queue::pop` in
// src/queue/mod.rs takes the newest.
#[test]
fn mqtt5_4_6_0_5_a_topic_is_delivered_in_the_order_of_each_writer() {
    let broker = Broker::start();
    for qos in 0..=2 {
        let seven = two(prop::RECEIVE_MAXIMUM, 7);
        let mut client = open(
            &broker,
            &persistent(&format!("reader{qos}")).property(seven),
        );
        subscribe(&mut client, "t", qos);
        let payloads = ["a", "b"].map(|writer| {
            let numbered = (0..200).map(|n| format!("{writer}{n}"));
            numbered.collect::<Vec<_>>()
        });
        thread::scope(|scope| {
            for payloads in &payloads {
                let mut writer = connect(&broker, &payloads[0]);
                scope.spawn(move || tell_all(&mut writer, "t", qos, payloads));
            }
        });
        let taken = take(&mut client, 400);
        for payloads in &payloads {
            let own = taken.iter().map(text_of);
            let own: Vec<_> = own.filter(|text| text[..1] == payloads[0][..1]).collect();
            assert_eq!(own, *payloads, "QoS {qos}");
        }
        expect_alive(&mut client);
        leave(client);
    }
}

/// Any topic, through any filter, from the queue and past it.
// Breaks if: `Queue::push` in src/queue/mod.rs puts a message in front.
#[test]
fn mqtt5_4_6_0_6_every_topic_is_ordered() {
    let broker = Broker::start();
    let topics = ["a", "/", "a//b", "ø/æ", "$other/x", "a/b/c/d/e/f/g"];
    let filters = ["#", "$other/+"];
    for qos in [1, 2] {
        let three = two(prop::RECEIVE_MAXIMUM, 3);
        let reader = persistent(&format!("reader{qos}")).property(three);
        let mut client = open(&broker, &reader);
        for filter in filters {
            subscribe(&mut client, filter, qos);
        }
        leave(client);
        let mut writer = connect(&broker, "many");
        write_to_all(&mut writer, &topics, qos, 0..10);
        let mut client = resume(&broker, &reader);
        write_to_all(&mut writer, &topics, qos, 10..20);
        let taken = take(&mut client, topics.len() * 20);
        for topic in topics {
            let own = taken.iter().filter(|message| message.topic == topic);
            let own: Vec<_> = own.map(text_of).collect();
            let all: Vec<_> = (0..20).map(|n| n.to_string()).collect();
            assert_eq!(own, all, "{topic} at QoS {qos}");
        }
        expect_alive(&mut client);
        leave(client);
    }
}

#[track_caller]
fn write_to_all(writer: &mut RawClient, topics: &[&str], qos: u8, numbers: std::ops::Range<u8>) {
    for n in numbers {
        for topic in topics {
            tell_all(writer, topic, qos, &[n.to_string()]);
        }
    }
}
