//! Several subscriptions of one client that match the same message.
//!
//! Where plain subscriptions overlap, a server may send one copy for all or one for each. This one sends a single
//! copy: with the highest QoS granted, all the identifiers, and RETAIN as published if any of them wants that. A
//! subscription to a group gets copies of its own, whatever else matches.

use crate::bytes::{
    Publish, ack_5, number, packet, prop, pubcomp, pubrec, pubrel, string, subscribe_5,
    subscribe_311, unsubscribe_5, unsubscribe_311, vbi,
};
use crate::mqtt5::steps::{
    breach, connect, expect_accepted, expect_message, leave, open, persistent, resume, take, tell,
    text_of,
};
use crate::mqtt311::peer;
use crate::received::{Ack, Published, expect_alive, expect_disconnect, subscribe};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

/// Subscription Options beside the QoS.
const NO_LOCAL: u8 = 0x04;
const AS_PUBLISHED: u8 = 0x08;
const NONE_RETAINED: u8 = 0x20;

const LARGEST: usize = 268_435_455;

/// SUBSCRIBE with a Subscription Identifier; expects the QoS to be granted.
#[track_caller]
fn subscribe_as(client: &mut RawClient, id: usize, filter: &str, options: u8) {
    let id = number(prop::SUBSCRIPTION_IDENTIFIER, id);
    client.send(&subscribe_5(1, &id, &[(filter, options)]));
    client.expect(&[0x90, 4, 0, 1, 0, options & 3]);
}

/// UNSUBSCRIBE of these filters; expects these codes.
#[track_caller]
fn unsubscribe(client: &mut RawClient, filters: &[&str], codes: &[u8]) {
    client.send(&unsubscribe_5(9, &[], filters));
    let ack = Ack::v5(&client.packet());
    assert_eq!((ack.first, ack.packet_id), (0xb0, 9));
    assert_eq!(ack.reasons, codes, "for {filters:?}");
}

/// The Subscription Identifiers of a message, sorted.
fn ids(message: &Published) -> Vec<usize> {
    let ids = message.properties.all(prop::SUBSCRIPTION_IDENTIFIER);
    let value = |bytes: &[u8]| {
        let each = bytes.iter().rev();
        each.fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f))
    };
    let mut ids: Vec<_> = ids.into_iter().map(value).collect();
    ids.sort_unstable();
    ids
}

/// Takes the next message: its QoS, RETAIN and identifiers.
#[track_caller]
fn next(client: &mut RawClient) -> (u8, bool, Vec<usize>) {
    let message = &take(client, 1)[0];
    (message.qos, message.retain, ids(message))
}

/// Publishes at QoS 2 from a client that may be a subscriber, which gets what it published, if it does, before
/// PUBREC or after it; returns what came.
#[track_caller]
fn tell_itself(client: &mut RawClient, topic: &str) -> Vec<(u8, bool, Vec<usize>)> {
    client.send(&Publish::v5(topic, "own").retain().qos(2, 77).bytes());
    let mut came = Vec::new();
    let mut open = 1;
    while open > 0 {
        let packet = client.packet();
        match packet[0] >> 4 {
            3 => {
                let message = Published::v5(&packet);
                came.push((message.qos, message.retain, ids(&message)));
                if message.qos == 2 {
                    client.send(&pubrec(message.packet_id));
                    open += 1;
                } else if message.qos == 1 {
                    client.send(&crate::bytes::puback(message.packet_id));
                }
            }
            5 => client.send(&pubrel(Ack::v5(&packet).packet_id)),
            6 => {
                client.send(&pubcomp(Ack::v5(&packet).packet_id));
                open -= 1;
            }
            _ => {
                assert_eq!(packet, pubcomp(77));
                open -= 1;
            }
        }
    }
    expect_alive(client);
    came
}

// Breaks if: `Subscriptions::route` in src/pubsub/subscriptions.rs takes No Local out after merging, or `merge` lets it
// hold for all of them.
#[test]
fn no_local_on_one_of_two_counts_for_that_one_alone() {
    let broker = Broker::start();
    let mut client = connect(&broker, "client");
    subscribe_as(&mut client, 1, "a/b", 0);
    subscribe_as(&mut client, 2, "a/+", NO_LOCAL | AS_PUBLISHED | 2);
    // Its own comes by the first alone: at its QoS, with its identifier, with RETAIN as it wants it.
    assert_eq!(tell_itself(&mut client, "a/b"), [(0, false, vec![1])]);
    assert_eq!(tell_itself(&mut client, "a/c"), []);
    tell(&broker, "a/b", 2, "of another");
    assert_eq!(next(&mut client), (2, false, vec![1, 2]));
    // The other way round, and replaced.
    subscribe_as(&mut client, 3, "a/b", NONE_RETAINED | NO_LOCAL | 2);
    subscribe_as(&mut client, 4, "a/+", NONE_RETAINED | AS_PUBLISHED | 1);
    assert_eq!(tell_itself(&mut client, "a/b"), [(1, true, vec![4])]);
    subscribe_as(&mut client, 5, "a/+", NONE_RETAINED | NO_LOCAL | 1);
    assert_eq!(tell_itself(&mut client, "a/b"), []);
    unsubscribe(&mut client, &["a/b"], &[0]);
    assert_eq!(tell_itself(&mut client, "a/b"), []);
    tell(&broker, "a/b", 2, "of another");
    assert_eq!(next(&mut client), (1, false, vec![5]));
}

// Breaks if: `merge` in src/pubsub/subscriptions.rs takes `all` instead of `any` for Retain As Published, or that of the
// first.
#[test]
fn one_that_wants_retain_as_published_is_enough_for_the_single_copy() {
    let broker = Broker::start();
    let mut writer = connect(&broker, "writer");
    let mut client = connect(&broker, "client");
    let pairs = [
        (AS_PUBLISHED, 0),
        (0, AS_PUBLISHED),
        (0, 0),
        (AS_PUBLISHED, AS_PUBLISHED),
    ];
    for (exact, wildcard) in pairs {
        client.send(&subscribe_5(
            1,
            &[],
            &[
                ("t", NONE_RETAINED | exact),
                ("+", NONE_RETAINED | wildcard | 1),
            ],
        ));
        client.expect(&[0x90, 5, 0, 1, 0, 0, 1]);
        for retain in [true, false] {
            let mut message = Publish::v5("t", "m").qos(1, 1);
            if retain {
                message = message.retain();
            }
            writer.send(&message.bytes());
            expect_accepted(&mut writer, 0x40, 1);
            let wanted = exact | wildcard != 0;
            assert_eq!(next(&mut client), (1, retain && wanted, vec![]));
        }
    }
    expect_alive(&mut client);
}

// Breaks if: `Subscriptions::route` in src/pubsub/subscriptions.rs leaves out groups whose members are recipients, or
// `Member::delivery` in src/pubsub/share.rs takes the identifiers of the plain subscription.
#[test]
fn a_subscription_to_a_group_and_a_plain_one_deliver_each_for_itself() {
    let broker = Broker::start();
    let mut client = connect(&broker, "client");
    subscribe_as(&mut client, 1, "a/b", 0);
    subscribe_as(&mut client, 2, "$share/crew/a/b", 1);
    subscribe_as(&mut client, 3, "a/+", NO_LOCAL);
    tell(&broker, "a/b", 2, "m");
    let mut copies = [next(&mut client), next(&mut client)];
    copies.sort();
    assert_eq!(copies, [(0, false, vec![1, 3]), (1, false, vec![2])]);
    // A group has no No Local: its copy comes to whoever published, too.
    unsubscribe(&mut client, &["a/b"], &[0]);
    assert_eq!(tell_itself(&mut client, "a/b"), [(1, false, vec![2])]);
    let mut of_311 = peer::client(&broker, "of-311");
    peer::subscribe(&mut of_311, "c", 0);
    peer::subscribe(&mut of_311, "$share/crew/c", 1);
    tell(&broker, "c", 2, "m");
    let mut qos = [peer::take(&mut of_311).qos, peer::take(&mut of_311).qos];
    qos.sort_unstable();
    assert_eq!(qos, [0, 1]);
    expect_alive(&mut of_311);
}

// Breaks if: `Subscriptions::group` in src/pubsub/subscriptions.rs looks for a name without regard to its case, or
// `Broker::unsubscribe` in src/broker/subscribe.rs has 0x00 for what was not subscribed.
#[test]
fn a_group_is_its_name_and_its_filter() {
    let broker = Broker::start();
    let mut client = connect(&broker, "client");
    let mut other = connect(&broker, "other");
    let groups = [
        "$share/g/a/b",
        "$share/g/a/+",
        "$share/g/#",
        "$share/h/a/b",
        "$share/G/a/b",
    ];
    for (id, filter) in (1..).zip(groups) {
        subscribe_as(&mut client, id, filter, 1);
    }
    subscribe_as(&mut other, 9, "$share/g/a/b", 1);
    let copies = |client: &mut RawClient, count| {
        let messages = take(client, count);
        let mut all: Vec<_> = messages.iter().flat_map(ids).collect();
        all.sort_unstable();
        expect_alive(client);
        all
    };
    // Each group one copy; of the one with two members, each gets every second.
    for _ in 0..2 {
        tell(&broker, "a/b", 1, "m");
    }
    let mut expected = [2, 3, 4, 5].repeat(2);
    expected.push(1);
    expected.sort_unstable();
    assert_eq!(copies(&mut client, 9), expected);
    assert_eq!(copies(&mut other, 1), [9]);
    // What was not subscribed just so is none of them.
    let none = [
        "a/b",
        "$share/h/a/+",
        "$share/h/#",
        "$share/i/a/b",
        "#",
        "a/+",
    ];
    unsubscribe(&mut client, &none, &[0x11; 6]);
    unsubscribe(&mut other, &["$share/g/a/+"], &[0x11]);
    unsubscribe(
        &mut client,
        &["$share/g/a/b", "$share/g/a/b", "$share/G/a/b"],
        &[0, 0x11, 0],
    );
    for _ in 0..2 {
        tell(&broker, "a/b", 1, "m");
    }
    assert_eq!(copies(&mut client, 6), [2, 2, 3, 3, 4, 4]);
    assert_eq!(copies(&mut other, 2), [9, 9]);
}

// Breaks if: `Broker::leave` in src/broker/subscribe.rs forgets every group of the name, or every one of the filter.
#[test]
fn who_leaves_one_group_still_draws_from_those_that_have_its_name_or_its_filter() {
    let broker = Broker::start();
    let mut client = open(&broker, &persistent("c"));
    for (id, filter) in (1..).zip(["$share/g/t", "$share/g/+", "$share/h/t"]) {
        subscribe_as(&mut client, id, filter, 1);
    }
    unsubscribe(&mut client, &["$share/g/t"], &[0]);
    leave(client);
    // It waits with the groups, and is drawn when the client is back.
    tell(&broker, "t", 1, "waits");
    let mut client = resume(&broker, &persistent("c"));
    let mut copies = [next(&mut client), next(&mut client)];
    copies.sort();
    assert_eq!(copies, [(1, false, vec![2]), (1, false, vec![3])]);
    expect_alive(&mut client);
}

// Breaks if: `Broker::unsubscribe` in src/broker/subscribe.rs gives one code for all, or `Subscriptions::unsubscribe` in
// src/pubsub/subscriptions.rs removes by match instead of by text.
#[test]
fn unsubscribing_one_of_several_leaves_the_others_as_they_are() {
    let broker = Broker::start();
    let mut client = connect(&broker, "client");
    for (id, filter, qos) in [(1, "#", 0), (2, "a/#", 1), (3, "a/b", 2)] {
        subscribe_as(&mut client, id, filter, qos);
    }
    let codes = [0x11, 0, 0x11, 0x11];
    unsubscribe(&mut client, &["a/+", "a/b", "a/b", "a"], &codes);
    tell(&broker, "a/b", 2, "m");
    assert_eq!(next(&mut client), (1, false, vec![1, 2]));
    unsubscribe(&mut client, &["a/#"], &[0]);
    tell(&broker, "a/b", 2, "m");
    assert_eq!(next(&mut client), (0, false, vec![1]));
    unsubscribe(&mut client, &["#"], &[0]);
    tell(&broker, "a/b", 2, "m");
    expect_alive(&mut client);
    // The same in 3.1.1, where UNSUBACK has no codes.
    let mut client = peer::client(&broker, "of-311");
    client.send(&subscribe_311(1, &[("#", 0), ("a/#", 1), ("a/b", 2)]));
    client.expect(&peer::suback(1, &[0, 1, 2]));
    for (qos, filter) in [(2, "a/b"), (1, "a/#"), (0, "#")] {
        tell(&broker, "a/b", 2, "m");
        peer::expect_message(&mut client, qos, "a/b", "m");
        expect_alive(&mut client);
        client.send(&unsubscribe_311(2, &["a/+", filter]));
        client.expect(&peer::unsuback(2));
    }
    tell(&broker, "a/b", 2, "m");
    expect_alive(&mut client);
}

// Breaks if: `Subscriptions::subscribe` in src/pubsub/subscriptions.rs keeps what was granted before, or
// `Broker::subscribe` in src/broker/subscribe.rs clears what is under way.
#[test]
fn subscribing_again_changes_what_comes_and_not_what_is_under_way() {
    let broker = Broker::start();
    let mut client = open(&broker, &persistent("c"));
    subscribe_as(&mut client, 1, "t", 2);
    tell(&broker, "t", 2, "first");
    let first = expect_message(&mut client, false, 2, "first");
    subscribe_as(&mut client, LARGEST, "t", 0);
    tell(&broker, "t", 2, "second");
    assert_eq!(next(&mut client), (0, false, vec![LARGEST]));
    client.send(&pubrec(first));
    client.expect(&pubrel(first));
    client.send(&pubcomp(first));
    subscribe_as(&mut client, 2, "t", 1);
    leave(client);
    // What waits was granted when it came.
    tell(&broker, "t", 2, "third");
    let mut client = peer::resume(&broker, &peer::persistent("c"));
    client.send(&subscribe_311(1, &[("t", 0)]));
    // SUBACK may come before what waited, or behind it.
    let mut packets = [client.packet(), client.packet()];
    packets.sort_unstable();
    assert_eq!(packets[1], peer::suback(1, &[0]));
    let message = Published::v311(&packets[0]);
    assert_eq!((message.qos, text_of(&message)), (1, "third"));
    tell(&broker, "t", 2, "fourth");
    peer::expect_message(&mut client, 0, "t", "fourth");
    peer::leave(client);
    // The identifier is gone with the subscription of 3.1.1 that took its place.
    let mut client = resume(&broker, &persistent("c"));
    expect_redelivered(&mut client, "third");
    tell(&broker, "t", 2, "fifth");
    assert_eq!(next(&mut client), (0, false, vec![]));
}

#[track_caller]
fn expect_redelivered(client: &mut RawClient, payload: &str) {
    let id = expect_message(client, true, 1, payload);
    client.send(&crate::bytes::puback(id));
}

// Breaks if: `check_subscription_id` in src/codec/subscription_ids.rs takes 0, or `Subscribe::decode` in
// src/codec/subscribe.rs the last of two.
#[test]
fn a_subscription_identifier_is_1_to_268435455_and_there_is_one() {
    let broker = Broker::start();
    let with = |properties: &[u8]| subscribe_5(1, properties, &[("t", 0)]);
    let id = |value: usize| number(prop::SUBSCRIPTION_IDENTIFIER, value);
    breach(&broker, &with(&id(0)), 0x82);
    breach(&broker, &with(&[id(1), id(2)].concat()), 0x82);
    breach(&broker, &with(&[id(1), id(1)].concat()), 0x82);
    // One more than there can be, in five bytes.
    let beyond = [prop::SUBSCRIPTION_IDENTIFIER, 0x80, 0x80, 0x80, 0x80, 0x01];
    breach(&broker, &with(&beyond), 0x81);
    // UNSUBSCRIBE has none.
    breach(&broker, &unsubscribe_5(1, &id(1), &["t"]), 0x81);
    let mut client = connect(&broker, "client");
    let limits = [1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, LARGEST];
    for (index, id) in limits.into_iter().enumerate() {
        subscribe_as(&mut client, id, &format!("{}#", "+/".repeat(index)), 0);
    }
    tell(&broker, "/".repeat(limits.len()).as_str(), 0, "m");
    assert_eq!(next(&mut client), (0, false, limits.to_vec()));
}

// Breaks if: `Open::subscribe` in src/broker/packets.rs begins before the whole packet is decoded, or
// `Subscribe::decode` in src/codec/subscribe.rs passes over No Local on a group.
#[test]
fn a_subscribe_that_breaks_the_protocol_subscribes_to_nothing() {
    let broker = Broker::start();
    let id = number(prop::SUBSCRIPTION_IDENTIFIER, 0);
    let cut = [&[0, 1, 0][..], &string("fine"), &[0], &string("cut")].concat();
    let breaches = [
        (
            subscribe_5(1, &[], &[("fine", 0), ("$share/g/fine", NO_LOCAL)]),
            0x82,
        ),
        (subscribe_5(1, &[], &[("fine", 0), ("fine/#/not", 0)]), 0x81),
        (subscribe_5(1, &[], &[("fine", 0), ("fine", 3)]), 0x82),
        (subscribe_5(1, &[], &[("fine", 0), ("fine", 0x40)]), 0x81),
        (subscribe_5(1, &[], &[("fine", 0), ("fine", 0x30)]), 0x82),
        (subscribe_5(1, &id, &[("fine", 0)]), 0x82),
        (packet(0x82, &cut), 0x81),
        (subscribe_5(0, &[], &[("fine", 0)]), 0x82),
    ];
    let mut client = open(&broker, &persistent("c"));
    for (breach, reason) in breaches {
        client.send(&breach);
        expect_disconnect(&mut client, reason);
        client = resume(&broker, &persistent("c"));
        tell(&broker, "fine", 0, "not for it");
        expect_alive(&mut client);
    }
}

// Breaks if: `SubscriptionIds` in src/queue/delivery.rs keeps a fixed number, or the length of the properties in
// src/codec/publish_frame.rs has room for one byte.
#[test]
fn hundreds_of_overlapping_subscriptions_make_one_copy_with_all_identifiers() {
    const COUNT: usize = 511;
    let broker = Broker::start();
    let mut client = open(&broker, &persistent("c"));
    // Every way to write nine levels with wildcards.
    for bits in 0..COUNT {
        let levels = (0..9).map(|level| if bits >> level & 1 == 1 { "+" } else { "l" });
        let filter = levels.collect::<Vec<_>>().join("/");
        subscribe_as(&mut client, 100_000 + bits, &filter, bits as u8 % 3);
    }
    let topic = ["l"; 9].join("/");
    let expected: Vec<usize> = (0..COUNT).map(|bits| 100_000 + bits).collect();
    tell(&broker, &topic, 2, "live");
    assert_eq!(next(&mut client), (2, false, expected.clone()));
    leave(client);
    tell(&broker, &topic, 2, "queued");
    let mut client = resume(&broker, &persistent("c"));
    let message = take(&mut client, 1).remove(0);
    assert_eq!((message.qos, ids(&message)), (2, expected));
    assert!(
        vbi(COUNT * 4).len() > 1,
        "the length of the properties takes two bytes"
    );
    expect_alive(&mut client);
}

// Breaks if: `Window::pubrec` in src/session/window.rs ends more than the copy that was refused.
#[test]
fn copies_of_one_message_are_acknowledged_each_for_itself() {
    let broker = Broker::start();
    let mut client = connect(&broker, "client");
    for filter in ["t", "$share/g/t", "$share/h/t"] {
        subscribe(&mut client, filter, 2);
    }
    tell(&broker, "t", 2, "m");
    let copies = [(); 3].map(|()| expect_message(&mut client, false, 2, "m"));
    // One is refused, one taken, one left half way.
    client.send(&ack_5(0x50, copies[0], 0x83, &[]));
    client.send(&pubrec(copies[1]));
    client.expect(&pubrel(copies[1]));
    client.send(&pubrec(copies[2]));
    client.expect(&pubrel(copies[2]));
    client.send(&pubcomp(copies[1]));
    expect_alive(&mut client);
    // The two that are done are free: this PUBREC names nothing.
    for done in &copies[..2] {
        client.send(&pubrec(*done));
        let ack = Ack::v5(&client.packet());
        assert_eq!(
            (ack.first, ack.packet_id, ack.reasons),
            (0x62, *done, vec![0x92])
        );
    }
    client.send(&pubrec(copies[2]));
    client.expect(&pubrel(copies[2]));
}
