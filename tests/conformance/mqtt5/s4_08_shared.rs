//! 4.8 Shared Subscriptions.

use crate::bytes::{Connect, Will, ack_5, pubcomp, pubrec, pubrel, string, subscribe_5};
use crate::received::{Ack, expect_alive, subscribe};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

use super::steps::{
    breach, break_off, breakable, connect, expect_message, open, persistent, request, resume,
    seconds_pass, take, take_payloads, tell,
};

/// What every member subscribes to.
const SHARED: &str = "$share/crew/t";

/// SUBSCRIBE and UNSUBSCRIBE with this filter end the connection.
#[track_caller]
fn refused(broker: &Broker, filter: &str) {
    let filter = string(filter);
    let subscribe = [&[0], &filter[..], &[1]].concat();
    breach(broker, &request(0x82, &subscribe), 0x81);
    let unsubscribe = [&[0], &filter[..]].concat();
    breach(broker, &request(0xa2, &unsubscribe), 0x81);
}

/// Two members of a group at this QoS: the first one, whose turn it is and whose connection can be broken, and
/// another.
fn crew(qos: u8) -> (Broker, RawClient, RawClient) {
    let broker = Broker::start();
    let (first, other) = members(&broker, &breakable("first"), qos);
    (broker, first, other)
}

#[track_caller]
fn members(broker: &Broker, first: &Connect, qos: u8) -> (RawClient, RawClient) {
    let mut first = open(broker, first);
    subscribe(&mut first, SHARED, qos);
    let mut other = open(broker, &persistent("other"));
    subscribe(&mut other, SHARED, qos);
    (first, other)
}

// Breaks if: `split_share` in src/topic/filter.rs takes an empty ShareName.
#[test]
fn mqtt5_4_8_2_1_a_shared_filter_begins_with_share_and_a_name() {
    let broker = Broker::start();
    for filter in ["$share//t", "$share/", "$share", "$share//", "$share///t"] {
        refused(&broker, filter);
    }
    // The shortest name, a long one, and odd ones.
    for name in ["g", &"n".repeat(1000), "$share", "ø æ", "."] {
        let mut members = ["one", "two"].map(|member| {
            let mut client = connect(&broker, member);
            subscribe(&mut client, &format!("$share/{name}/t"), 0);
            client
        });
        tell(&broker, "t", 0, "first");
        tell(&broker, "t", 0, "second");
        // Each gets one of the two.
        expect_message(&mut members[0], false, 0, "first");
        expect_message(&mut members[1], false, 0, "second");
        for member in &mut members {
            expect_alive(member);
        }
    }
    // What only looks like it is an ordinary filter.
    for filter in ["$shared/g/t", "$SHARE/g/t", "share/g/t"] {
        let mut client = connect(&broker, "ordinary");
        subscribe(&mut client, filter, 0);
        tell(&broker, "t", 0, "not for it");
        tell(&broker, filter, 0, "for it");
        expect_message(&mut client, false, 0, "for it");
    }
}

// Breaks if: `split_share` in src/topic/filter.rs does not ask for wildcards in the ShareName, or takes one without
// a filter.
#[test]
fn mqtt5_4_8_2_2_the_name_has_no_wildcard_and_is_followed_by_a_filter() {
    let broker = Broker::start();
    let bad = [
        "$share/+/t",
        "$share/#/t",
        "$share/#",
        "$share/+",
        "$share/a+/t",
        "$share/+a/t",
        "$share/a#/t",
        "$share/a#b/t",
        "$share/g",
        "$share/g/",
        "$share/g/a#",
        "$share/g/#/a",
        "$share/g/a+",
    ];
    for filter in bad {
        refused(&broker, filter);
    }
    let good = [
        "$share/g/#",
        "$share/g/+",
        "$share/g/+/a",
        "$share/g//",
        "$share/g/a/#",
    ];
    let mut client = connect(&broker, "client");
    client.send(&subscribe_5(1, &[], &good.map(|filter| (filter, 2))));
    assert_eq!(Ack::v5(&client.packet()).reasons, [2; 5]);
    tell(&broker, "/", 0, "m");
    // `#`, `/`, and not `+/a`: each group gives its own copy.
    assert_eq!(take(&mut client, 2).len(), 2);
    expect_alive(&mut client);
}

// Breaks if: `Member::delivery` in src/pubsub/share.rs takes the QoS of the message without `min`.
#[test]
fn mqtt5_4_8_2_3_the_granted_qos_of_the_member_is_obeyed() {
    let broker = Broker::start();
    let mut members = [0, 1, 2].map(|qos| {
        let mut member = connect(&broker, &format!("granted{qos}"));
        subscribe(&mut member, SHARED, qos);
        member
    });
    for published in 0..=2 {
        // One for each, for they take turns.
        for _ in 0..3 {
            tell(&broker, "t", published, "m");
        }
        for (granted, member) in (0..).zip(&mut members) {
            let message = &take(member, 1)[0];
            assert_eq!(message.qos, published.min(granted));
            expect_alive(member);
        }
    }
}

/// Broken off before PUBREC, and again after it.
// Breaks if: `Window::detach` in src/session/window.rs gives QoS 2 messages back to their group.
#[test]
fn mqtt5_4_8_2_4_a_qos_2_delivery_begun_is_finished_with_its_member() {
    let (broker, mut first, mut other) = crew(2);
    tell(&broker, "t", 2, "begun");
    let packet_id = expect_message(&mut first, false, 2, "begun");
    break_off(&broker, first);
    expect_alive(&mut other);
    let mut first = resume(&broker, &breakable("first"));
    assert_eq!(expect_message(&mut first, true, 2, "begun"), packet_id);
    first.send(&pubrec(packet_id));
    first.expect(&pubrel(packet_id));
    break_off(&broker, first);
    let mut first = resume(&broker, &breakable("first"));
    first.expect(&pubrel(packet_id));
    first.send(&pubcomp(packet_id));
    expect_alive(&mut first);
    expect_alive(&mut other);
}

/// By a Clean Start, with its connection, and by its expiry.
// Breaks if: `Outbound::end` in src/session/outbound.rs gives QoS 2 messages back to their group.
#[test]
fn mqtt5_4_8_2_5_if_the_members_session_ends_nobody_else_gets_the_message() {
    for expiry in [600, 0, 1] {
        let broker = Broker::start();
        let will = Will::new("broken/first", "");
        let first = Connect::v5("first").clean(false).expiry(expiry);
        let (mut first, mut other) = members(&broker, &first.will(will), 2);
        tell(&broker, "t", 2, "begun");
        expect_message(&mut first, false, 2, "begun");
        break_off(&broker, first);
        if expiry == 1 {
            seconds_pass(&broker, 2);
        }
        let mut anew = open(&broker, &Connect::v5("first"));
        expect_alive(&mut anew);
        expect_alive(&mut other);
        // What comes next is for those who are left.
        tell(&broker, "t", 2, "next");
        assert_eq!(take_payloads(&mut other, 1), ["next"]);
    }
}

// Breaks if: `Window::pubrec` or `puback` in src/session/window.rs keeps an entry that was refused, so that it is
// given back when the member leaves.
#[test]
fn mqtt5_4_8_2_6_what_a_member_refuses_is_discarded() {
    let (broker, mut first, mut other) = crew(2);
    for (qos, ack) in [(1, 0x40), (2, 0x50)] {
        for code in [0x80, 0x83, 0x87, 0x90, 0x97, 0x99] {
            tell(&broker, "t", qos, "refused");
            let packet_id = expect_message(&mut first, false, qos, "refused");
            first.send(&ack_5(ack, packet_id, code, &[]));
            expect_alive(&mut first);
            expect_alive(&mut other);
            // They take turns.
            tell(&broker, "t", qos, "for the other");
            assert_eq!(take_payloads(&mut other, 1), ["for the other"]);
        }
    }
    break_off(&broker, first);
    expect_alive(&mut other);
    expect_alive(&mut resume(&broker, &breakable("first")));
}
