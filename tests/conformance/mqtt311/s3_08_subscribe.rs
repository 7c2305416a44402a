//! Sections 3.8 and 3.9: SUBSCRIBE and SUBACK.

use super::peer::{
    breach, client, connect, expect_message, expect_none_retained, expect_retained, expect_sent,
    leave, no_breach, persistent, publish, received, resume, retain, start, suback, subscribe,
    subscriber,
};
use crate::bytes::{Publish, packet, puback, string, subscribe_311};
use crate::received::expect_alive;
use crate::support::broker::Broker;

/// A broker that grants nobody a filter of more levels than this.
#[track_caller]
fn start_shallow() -> Broker {
    let limits = "[limits]\nconnect_timeout = \"1h\"\n[session]\ntopic_levels_maximum = 1000\n";
    Broker::configured(&format!("[auth]\nanonymous = true\n{limits}"))
}

/// A filter that [`start_shallow`] grants nobody.
fn too_deep() -> String {
    "/".repeat(1_000)
}

#[test]
// Breaks if: codec/header.rs `check_flags` lets any flags pass.
fn mqtt311_3_8_1_1_subscribe_has_the_flags_0010() {
    let broker = start();
    let good = subscribe_311(7, &[("t", 1)]);
    no_breach(&broker, &good);
    for flags in (0..16).filter(|flags| *flags != 0b0010) {
        let mut bad = good.clone();
        bad[0] = 0x80 | flags;
        breach(&broker, &bad);
    }
}

#[test]
// Breaks if: codec/filters.rs `read_filter` reads the filter as `binary`.
fn mqtt311_3_8_3_1_a_topic_filter_is_a_valid_string() {
    let broker = start();
    let one = |filter: &[u8]| [&string(filter)[..], &[0]].concat();
    for filter in [
        &b"\xff"[..],
        b"t\xc3",
        b"\xed\xa0\x80",
        b"t\0",
        b"\xc0\x80/#",
    ] {
        breach(
            &broker,
            &packet(0x82, &[&[0, 7], &one(filter)[..]].concat()),
        );
        // Among others that are right.
        let among = [&[0, 7], &one(b"a")[..], &one(filter), &one(b"b")].concat();
        breach(&broker, &packet(0x82, &among));
    }
    // Longer than the packet.
    breach(&broker, &packet(0x82, b"\0\x07\0\x02t"));
    breach(&broker, &packet(0x82, b"\0\x07\0"));
    let mut subscriber = subscriber(&broker, "subscriber", "bl\u{e5}/\u{1f4ee}/#", 0);
    publish(
        &mut client(&broker, "publisher"),
        0,
        "bl\u{e5}/\u{1f4ee}",
        "hi",
    );
    expect_message(&mut subscriber, 0, "bl\u{e5}/\u{1f4ee}", "hi");
}

/// A broker without wildcards would have to refuse every such filter; this one has them, so it grants each, and does
/// what it grants.
#[test]
// Breaks if: broker/subscribe.rs `refuse_subscription` refuses wildcards, or codec/filters.rs `read_filter` does.
fn mqtt311_3_8_3_2_filters_with_wildcards_are_granted_and_served() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    for filter in ["#", "+/+", "a/#", "a/+", "+/b", "a/b/#", "+/b/#", "+/#"] {
        let mut subscriber = subscriber(&broker, "subscriber", filter, 1);
        publish(&mut publisher, 1, "a/b", "through a wildcard");
        expect_message(&mut subscriber, 1, "a/b", "through a wildcard");
    }
}

#[test]
// Breaks if: codec/filters.rs `read` takes a missing QoS for 0.
fn mqtt311_3_8_3_3_a_subscribe_without_a_filter_closes_the_connection() {
    let broker = start();
    breach(&broker, &packet(0x82, &[0, 7]));
    // A filter without its QoS is half of one.
    breach(&broker, &packet(0x82, b"\0\x07\0\x01t"));
    breach(&broker, &packet(0x82, b"\0\x07\0\x01t\0\0\x01u"));
    no_breach(&broker, &subscribe_311(7, &[("t", 0)]));
}

#[test]
// Breaks if: codec/filters.rs `from_byte` masks the byte (`byte & 0b11`) below version 5 too.
fn mqtt311_3_8_3_4_reserved_bits_of_the_requested_qos_close_the_connection() {
    let broker = start();
    for bad in 3..=0xff {
        breach(&broker, &subscribe_311(7, &[("t", bad)]));
    }
    // In any place, and nothing of such a packet is carried out.
    leave(connect(&broker, &persistent("session")));
    let good = subscribe_311(7, &[("t", 0), ("u", 1), ("v", 2)]);
    for (at, bad) in [(7, 3), (11, 4), (15, 0x80)] {
        let mut packet = good.clone();
        packet[at] = bad;
        let mut session = resume(&broker, &persistent("session"));
        session.send(&packet);
        session.expect_closed();
    }
    let mut session = resume(&broker, &persistent("session"));
    let mut publisher = client(&broker, "publisher");
    for topic in ["t", "u", "v"] {
        publish(&mut publisher, 1, topic, "not subscribed to");
    }
    subscribe(&mut session, "marker", 1);
    publish(&mut publisher, 1, "marker", "marker");
    expect_message(&mut session, 1, "marker", "marker");
}

#[test]
// Breaks if: broker/packets.rs `subscribe` does not put the SUBACK into the line.
fn mqtt311_3_8_4_1_subscribe_is_answered_with_suback() {
    let broker = start_shallow();
    let mut client = client(&broker, "client");
    for (filters, codes) in [
        (vec![("t", 0)], vec![0]),
        (vec![("t", 1)], vec![1]),
        (vec![("t", 2), ("u/#", 0)], vec![2, 0]),
        (vec![(&*too_deep(), 2)], vec![0x80]),
    ] {
        client.send(&subscribe_311(7, &filters));
        client.expect(&suback(7, &codes));
        expect_alive(&mut client);
    }
    // Whether or not others do the same, and however many come at once.
    let burst: Vec<_> = (1..=100).map(|id| subscribe_311(id, &[("t", 1)])).collect();
    client.send(&burst.concat());
    for id in 1..=100 {
        client.expect(&suback(id, &[1]));
    }
}

#[test]
// Breaks if: broker/packets.rs `subscribe` writes another `packet_id` than the packet's.
fn mqtt311_3_8_4_2_suback_has_the_identifier_of_its_subscribe() {
    let broker = start();
    let mut client = client(&broker, "client");
    for (id, bytes) in [
        (1_u16, [0, 1]),
        (0x0102, [1, 2]),
        (0xff00, [0xff, 0]),
        (0xffff, [0xff; 2]),
    ] {
        client.send(&subscribe_311(id, &[("t", 0)]));
        client.expect(&[0x90, 3, bytes[0], bytes[1], 0]);
    }
    // An id that is in use for something else is not confused with it.
    client.send(&Publish::v311("u", "").qos(2, 7).bytes());
    client.expect(&[0x50, 2, 0, 7]);
    client.send(&subscribe_311(7, &[("t", 0)]));
    client.expect(&[0x90, 3, 0, 7, 0]);
    client.send(&[0x62, 2, 0, 7]);
    client.expect(&[0x70, 2, 0, 7]);
}

/// The same filter again: the new QoS takes the place of the old one, what is retained comes again, and the messages
/// in between are neither lost nor doubled.
#[test]
// Breaks if: pubsub/subscriptions.rs `subscribe` adds a second entry instead of replacing, or broker/subscribe.rs
// `wants_retained` says no for a subscription that is replaced.
fn mqtt311_3_8_4_3_the_same_filter_replaces_the_subscription() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    retain(&mut publisher, 2, "state/1", "kept");
    for filter in ["state/1", "state/+", "#"] {
        let mut subscriber = client(&broker, "subscriber");
        for qos in [0, 2, 1, 1, 0, 2] {
            subscribe(&mut subscriber, filter, qos);
            expect_retained(&mut subscriber, qos, "state/1", "kept");
            publish(&mut publisher, 2, "state/1", "once");
            expect_message(&mut subscriber, qos, "state/1", "once");
            publish(&mut publisher, 0, "state/1", "and no more");
            expect_message(&mut subscriber, 0, "state/1", "and no more");
        }
    }
}

/// The last sentence of the same statement.
#[test]
// Breaks if: broker/subscribe.rs `enter` removes the subscription, for others to see, before it adds it again.
fn mqtt311_3_8_4_3_replacing_does_not_interrupt_the_flow() {
    const MESSAGES: u16 = 2_000;
    let broker = start();
    let mut subscriber = subscriber(&broker, "subscriber", "t", 1);
    let mut publisher = client(&broker, "publisher");
    let publishing = std::thread::spawn(move || {
        for id in 1..=MESSAGES {
            let message = Publish::v311("t", id.to_be_bytes()).qos(1, id);
            publisher.send(&message.bytes());
            publisher.expect(&puback(id));
        }
    });
    let (mut next, mut granted) = (1, 1);
    while next <= MESSAGES {
        let bytes = subscriber.packet();
        if bytes[0] == 0x90 {
            // The id says which QoS was asked for.
            assert!(
                (1..=2).any(|qos| bytes == suback(qos.into(), &[qos])),
                "{bytes:02x?}"
            );
            continue;
        }
        let message = crate::received::Published::v311(&bytes);
        assert_eq!(
            (message.qos, message.payload),
            (1, next.to_be_bytes().to_vec())
        );
        subscriber.send(&puback(message.packet_id));
        if next % 10 == 0 {
            // Another QoS, or there would be nothing to replace.
            granted = 3 - granted;
            subscriber.send(&subscribe_311(granted.into(), &[("t", granted)]));
        }
        next += 1;
    }
    publishing.join().expect("the publisher has done its part");
}

#[test]
// Breaks if: broker/subscribe.rs `subscribe` handles the first filter alone.
fn mqtt311_3_8_4_4_many_filters_are_many_subscriptions_and_one_suback() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let mut subscriber = client(&broker, "subscriber");
    retain(&mut publisher, 2, "b/1", "kept");
    // The last "a" counts: it replaces the first, as it would in a packet of its own.
    let filters = [("a", 2), ("b/+", 1), ("c/#", 0), ("a", 1)];
    subscriber.send(&subscribe_311(7, &filters));
    subscriber.expect(&suback(7, &[2, 1, 0, 1]));
    expect_retained(&mut subscriber, 1, "b/1", "kept");
    for (topic, qos) in [("a", 1), ("b/2", 1), ("c/d/e", 0), ("c", 0)] {
        publish(&mut publisher, 2, topic, "hi");
        expect_message(&mut subscriber, qos, topic, "hi");
    }
    expect_alive(&mut subscriber);
}

#[test]
// Breaks if: broker/subscribe.rs `subscribe` pushes no code for a filter that is refused.
fn mqtt311_3_8_4_5_suback_has_a_return_code_for_each_filter() {
    let broker = start_shallow();
    let mut client = client(&broker, "client");
    let names: Vec<_> = (0..1_000).map(|number| format!("t/{number}")).collect();
    for count in [1, 2, 3, 100, 1_000] {
        let filters: Vec<_> = names[..count].iter().map(|name| (&name[..], 1)).collect();
        client.send(&subscribe_311(7, &filters));
        client.expect(&suback(7, &vec![1; count]));
    }
    // The same filter twice has two, and one that is refused has one too.
    let deep = too_deep();
    client.send(&subscribe_311(
        7,
        &[("t", 0), ("t", 0), (&deep, 1), ("t", 2)],
    ));
    client.expect(&suback(7, &[0, 0, 0x80, 2]));
}

#[test]
// Breaks if: broker/delivery.rs `deliver` takes the `max` of published and granted QoS, or the published one.
fn mqtt311_3_8_4_6_deliveries_have_the_lower_of_published_and_granted_qos() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    for granted in 0..3 {
        let mut subscriber = subscriber(&broker, "subscriber", "t/#", granted);
        let mut away = connect(&broker, &persistent("away"));
        subscribe(&mut away, "t/#", granted);
        leave(away);
        for published in 0..3 {
            let payload = format!("{published} to {granted}");
            publish(&mut publisher, published, "t/1", &payload);
            expect_message(&mut subscriber, published.min(granted), "t/1", &payload);
        }
        // What waited has the same QoS.
        let mut away = resume(&broker, &persistent("away"));
        for published in 1..3 {
            if granted > 0 {
                let payload = format!("{published} to {granted}");
                expect_sent(&mut away, published.min(granted), "t/1", &payload);
            }
        }
        expect_alive(&mut away);
        leave(away);
        leave(client(&broker, "away"));
    }
}

#[test]
// Breaks if: broker/subscribe.rs `subscribe` puts refusals at the end, or goes through the filters backwards.
fn mqtt311_3_9_3_1_the_return_codes_are_in_the_order_of_the_filters() {
    let broker = start_shallow();
    let deep = too_deep();
    let mut client = client(&broker, "client");
    let all = [
        ("z", 2),
        ("y", 0),
        (&deep, 1),
        ("x/#", 1),
        (&deep, 0),
        ("a", 2),
        ("b", 0),
    ];
    let codes = [2, 0, 0x80, 1, 0x80, 2, 0];
    for shift in 0..all.len() {
        let (mut filters, mut expected) = (all, codes);
        filters.rotate_left(shift);
        expected.rotate_left(shift);
        client.send(&subscribe_311(7, &filters));
        client.expect(&suback(7, &expected));
    }
}

/// Every way to be refused that this broker has: in 3.1.1 they are all 0x80.
#[test]
// Breaks if: codec/subscribe.rs `body` cuts the codes of 3.x to two bits, or broker/subscribe.rs
// `refuse_subscription` does not look at `subscriptions_maximum`.
fn mqtt311_3_9_3_2_the_return_codes_are_0_1_2_and_0x80() {
    let limits = "subscriptions_maximum = 3\ntopic_levels_maximum = 1000\n";
    let rest = &format!("[auth]\nanonymous = true\n[session]\n{limits}");
    let broker = Broker::configured(rest);
    let deep = too_deep();
    let mut client = client(&broker, "client");
    client.send(&subscribe_311(
        7,
        &[
            ("0", 0),
            ("1", 1),
            (&deep, 1),
            ("2", 2),
            ("one too many", 1),
        ],
    ));
    client.expect(&suback(7, &[0, 1, 0x80, 2, 0x80]));
    // Of those that were refused none is in force.
    let mut publisher = super::peer::client(&broker, "publisher");
    publish(&mut publisher, 0, "one too many", "unheard");
    publish(&mut publisher, 0, "1", "heard");
    let heard = received(&mut client);
    assert_eq!(heard.topic, "1");
    expect_none_retained(&mut publisher, &mut client, "0");
}
