//! 4.9 Flow control: what the broker sends. What it takes is in section 3.3.4.

use crate::bytes::{
    Connect, Publish, ack_5, prop, puback, pubcomp, pubrec, pubrel, subscribe_5, two, unsubscribe_5,
};
use crate::received::{expect_alive, subscribe};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

use super::steps::{
    expect_accepted, expect_message, expect_reason, leave, open, persistent, resume, take_payloads,
    tell, tell_all,
};

fn with_maximum(connect: Connect, receive_maximum: u16) -> Connect {
    connect.property(two(prop::RECEIVE_MAXIMUM, receive_maximum))
}

/// A client that takes two messages at once, has them, and is to get eight more.
fn at_quota(broker: &Broker, qos: u8) -> (RawClient, [u16; 2]) {
    let mut client = open(broker, &with_maximum(Connect::v5("client"), 2));
    subscribe(&mut client, "t", qos);
    for n in 1..=10 {
        tell(broker, "t", qos, &n.to_string());
    }
    let ids = ["1", "2"].map(|payload| expect_message(&mut client, false, qos, payload));
    (client, ids)
}

/// Once more after each reconnect, with what is sent again.
// Breaks if: `Terms::negotiate` in src/session/terms.rs starts with `options.inflight_maximum`, or `Outbound::resend`
// in src/session/outbound.rs does not look at the quota.
#[test]
fn mqtt5_4_9_0_1_the_quota_starts_at_receive_maximum_at_most_and_not_at_0() {
    let broker = Broker::start();
    for maximum in [1, 2, 5] {
        let connect = with_maximum(persistent(&format!("client{maximum}")), maximum);
        let mut client = open(&broker, &connect);
        subscribe(&mut client, "t", 2);
        for n in 0..8 {
            tell(&broker, "t", 1 + n % 2, &n.to_string());
        }
        for dup in [false, true] {
            for n in 0..maximum as u8 {
                expect_message(&mut client, dup, 1 + n % 2, &n.to_string());
            }
            expect_alive(&mut client);
            client = resume(&broker, &connect);
        }
        let payloads: Vec<_> = (0..8).map(|n| n.to_string()).collect();
        assert_eq!(take_payloads(&mut client, 8), payloads);
        leave(client);
        // It is not to get what the next one gets.
        leave(open_anew(&broker, &connect));
    }
}

/// The session begins anew.
fn open_anew(broker: &Broker, connect: &Connect) -> RawClient {
    open(broker, &connect.clone().clean(true))
}

/// A place is free again after PUBACK, after PUBCOMP, or after PUBREC with an error, and not before.
// Breaks if: `Outbound::quota` in src/session/outbound.rs does not count what is in flight, or `Window::pubrec` in
// src/session/window.rs removes the entry.
#[test]
fn mqtt5_4_9_0_2_no_publish_without_quota() {
    let broker = Broker::start();
    let (mut client, ids) = at_quota(&broker, 1);
    expect_alive(&mut client);
    // An id that is not in flight frees nothing.
    client.send(&puback(4711));
    expect_alive(&mut client);
    client.send(&puback(ids[1]));
    let third = expect_message(&mut client, false, 1, "3");
    expect_alive(&mut client);
    client.send(&ack_5(0x40, ids[0], 0x80, &[]));
    expect_message(&mut client, false, 1, "4");
    client.send(&puback(third));
    expect_message(&mut client, false, 1, "5");
    expect_alive(&mut client);
    leave(client);

    let (mut client, ids) = at_quota(&broker, 2);
    client.send(&pubrec(ids[0]));
    client.expect(&pubrel(ids[0]));
    expect_alive(&mut client);
    client.send(&pubcomp(ids[0]));
    expect_message(&mut client, false, 2, "3");
    expect_alive(&mut client);
    client.send(&ack_5(0x50, ids[1], 0x97, &[]));
    expect_message(&mut client, false, 2, "4");
    expect_alive(&mut client);
}

/// Everything that is no PUBLISH with QoS 1 or 2 to this client goes on.
// Breaks if: `Inbound::paused` in src/session/inbound.rs looks at the outbound side, or `Outbound::takes_now` in
// src/session/outbound.rs asks for quota at QoS 0.
#[test]
fn mqtt5_4_9_0_3_without_quota_all_other_packets_are_handled() {
    let broker = Broker::start();
    let (mut client, ids) = at_quota(&broker, 1);
    client.send(&subscribe_5(2, &[], &[("other", 2)]));
    client.expect(&[0x90, 0x04, 0x00, 0x02, 0x00, 0x02]);
    tell(&broker, "other", 0, "of QoS 0");
    expect_message(&mut client, false, 0, "of QoS 0");
    client.send(&unsubscribe_5(3, &[], &["other", "none"]));
    client.expect(&[0xb0, 0x05, 0x00, 0x03, 0x00, 0x00, 0x11]);
    let mut reader = open(&broker, &Connect::v5("reader"));
    subscribe(&mut reader, "of/the/client", 2);
    tell_all(&mut client, "of/the/client", 1, &["one"]);
    tell_all(&mut client, "of/the/client", 2, &["two"]);
    assert_eq!(take_payloads(&mut reader, 2), ["one", "two"]);
    client.send(&Publish::v5("unheard", "m").qos(2, 9).bytes());
    expect_accepted(&mut client, 0x50, 9);
    client.send(&pubrel(4711));
    expect_reason(&mut client, 0x70, 4711, |reason| reason == 0x92);
    client.send(&pubrec(4711));
    expect_reason(&mut client, 0x62, 4711, |reason| reason == 0x92);
    expect_alive(&mut client);
    client.send(&puback(ids[0]));
    expect_message(&mut client, false, 1, "3");
    leave(client);
}
