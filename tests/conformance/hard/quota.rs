//! Receive Maximum: the client's, the broker's, from one message to all Packet Identifiers, and what gives a place
//! back.

use std::collections::HashSet;

use crate::bytes::{Connect, ack_5, prop, puback, pubcomp, pubrec, pubrel, two};
use crate::mqtt5::steps::broker_with;
use crate::support::broker::Broker;

use super::either::{
    BOTH, Client, V5, V311, Watch, expect_no_more, open, passing, reader, tell, text,
};

fn with_maximum(connect: Connect, receive_maximum: u16) -> Connect {
    connect.property(two(prop::RECEIVE_MAXIMUM, receive_maximum))
}

/// A client with this Receive Maximum whose session is kept, subscribed at QoS 2, and a broker that gives it what
/// it takes.
#[track_caller]
fn subscribed(broker: &Broker, receive_maximum: u16) -> Client {
    let connect = with_maximum(V5.watched("r"), receive_maximum);
    let mut client = open(broker, V5, &connect, false);
    client.subscribe("t", 2);
    client
}

#[track_caller]
fn resumed(broker: &Broker, receive_maximum: u16) -> Client {
    open(
        broker,
        V5,
        &with_maximum(V5.watched("r"), receive_maximum),
        true,
    )
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

/// Takes each message alone: before every step of its exchange but the last, nothing else has come.
#[track_caller]
fn take_alone(client: &mut Client, qos: u8, payload: &str) {
    let id = client.expect_sent(false, qos, payload);
    client.expect_alive();
    if qos == 2 {
        client.send(&pubrec(id));
        client.expect(&pubrel(id));
        client.expect_alive();
        client.send(&pubcomp(id));
    } else {
        client.send(&puback(id));
    }
}

/// QoS 1, QoS 2 and both by turns; the order is that of publication.
// Breaks if: `Outbound::quota` in src/session/outbound.rs counts only `Stage::Publish`, or `Terms::negotiate` in
// src/session/terms.rs does not look at Receive Maximum.
#[test]
fn with_a_receive_maximum_of_1_messages_come_one_by_one() {
    let broker = Broker::start();
    let mut client = subscribed(&broker, 1);
    let mut writer = passing(&broker, V5, "writer");
    let mixes: [fn(usize) -> u8; 4] = [
        |_| 1,
        |_| 2,
        |n| 1 + (n % 2) as u8,
        |n| 2 - (n / 3 % 2) as u8,
    ];
    for qos_of in mixes {
        let payloads = numbers(0..40);
        for (n, payload) in payloads.iter().enumerate() {
            writer.publish("t", qos_of(n), payload);
        }
        for (n, payload) in payloads.iter().enumerate() {
            take_alone(&mut client, qos_of(n), payload);
        }
        client.expect_alive();
    }
}

/// QoS 0 passes, in its own order; what has been promised comes in the order of publication.
// Breaks if: `Outbound::deliver` in src/session/outbound.rs puts QoS 0 into `waiting`.
#[test]
fn with_a_receive_maximum_of_1_qos_0_does_not_wait() {
    let broker = Broker::start();
    let mut client = subscribed(&broker, 1);
    let mut writer = passing(&broker, V5, "writer");
    for n in 0..30 {
        writer.publish("t", n % 3, &n.to_string());
    }
    let first = client.expect_sent(false, 0, "0");
    assert_eq!(first, 0);
    let held = client.expect_sent(false, 1, "1");
    for n in (3..30).step_by(3) {
        client.expect_sent(false, 0, &n.to_string());
    }
    client.expect_alive();
    client.send(&puback(held));
    for n in (2..30).filter(|n| n % 3 != 0) {
        take_alone(&mut client, n % 3, &n.to_string());
    }
    client.expect_alive();
}

/// All Packet Identifiers there are may be in flight, each once, and the message after that waits for one to be
/// free.
// Breaks if: `Window::add` in src/session/window.rs does not ask whether an id is free, or 0 is given; or
// `Terms::negotiate` in src/session/terms.rs takes a smaller bound.
#[test]
fn with_a_receive_maximum_of_65535_every_id_is_in_flight_once() {
    let broker = broker_with("inflight_maximum = 65_535\n[queue]\nmessages = 100_000");
    let mut client = subscribed(&broker, 65_535);
    tell(&broker, "t", 1, &numbers(0..65_538));
    let mut ids = HashSet::new();
    let mut order = Vec::new();
    for n in 0..65_535 {
        let message = client.message();
        assert_eq!(text(&message), n.to_string());
        assert!(message.packet_id != 0 && ids.insert(message.packet_id));
        order.push(message.packet_id);
    }
    client.expect_alive();
    // Only what was acknowledged can be given again.
    for (n, index) in (65_535..).zip([0, 100, 300]) {
        client.send(&puback(order[index]));
        assert_eq!(client.expect_sent(false, 1, &n.to_string()), order[index]);
        client.expect_alive();
    }
}

/// A broker whose own Receive Maximum is 3.
fn three_at_a_time() -> Broker {
    broker_with("receive_maximum = 3")
}

#[track_caller]
fn send_held(writer: &mut Client, ids: std::ops::RangeInclusive<u16>, dup: bool) {
    for id in ids {
        let publish = writer.version.publish("t", &id.to_string()).qos(2, id);
        let publish = if dup { publish.dup() } else { publish };
        writer.send(&publish.bytes());
        writer.expect(&pubrec(id));
    }
}

/// A repetition takes no second place.
// Breaks if: `Inbound::sent` in src/session/inbound.rs counts a PUBREC without an error, or no PUBCOMP, as the last
// acknowledgement; or `Inbound::repeated` there counts what is counted.
#[test]
fn a_place_is_held_by_qos_2_until_pubcomp() {
    let broker = three_at_a_time();
    let mut reader = reader(&broker, "t");
    let mut writer = passing(&broker, V5, "writer");
    send_held(&mut writer, 1..=3, false);
    send_held(&mut writer, 1..=3, true);
    for id in 4..40 {
        writer.send(&pubrel(id - 3));
        writer.expect(&pubcomp(id - 3));
        send_held(&mut writer, id..=id, false);
        send_held(&mut writer, id - 1..=id, true);
    }
    writer.send(&V5.publish("t", "one too many").qos(2, 40).bytes());
    writer.expect_end(0x93);
    assert_eq!(reader.take(39), numbers(1..40));
    expect_no_more(&broker, "t", &mut [&mut reader]);
}

/// One place is left for QoS 1, and it is used again and again.
// Breaks if: `Inbound::sent` in src/session/inbound.rs does not count PUBACK as the last acknowledgement, or
// `Inbound::publish` there does not count QoS 1.
#[test]
fn a_place_is_held_by_qos_1_until_puback() {
    let broker = three_at_a_time();
    let mut reader = reader(&broker, "t");
    let mut writer = passing(&broker, V5, "writer");
    send_held(&mut writer, 1..=2, false);
    for id in 3..30 {
        writer.publish_all("t", 1, id, &[id.to_string()]);
    }
    send_held(&mut writer, 30..=30, false);
    writer.send(&V5.publish("t", "one too many").qos(1, 31).bytes());
    writer.expect_end(0x93);
    assert_eq!(reader.take(30), numbers(1..31));
    expect_no_more(&broker, "t", &mut [&mut reader]);
}

// Breaks if: `Inbound::sent` in src/session/inbound.rs gives no place back for a PUBREC or PUBACK with an error.
#[test]
fn an_error_of_the_brokers_gives_the_place_back() {
    let broker = three_at_a_time();
    let mut reader = reader(&broker, "t");
    let mut writer = passing(&broker, V5, "writer");
    send_held(&mut writer, 1..=2, false);
    for id in 3..20 {
        let qos = 1 + (id % 2) as u8;
        writer.send(&V5.publish("$SYS/x", "no").qos(qos, id).bytes());
        writer.expect_reason(if qos == 1 { 0x40 } else { 0x50 }, id, 0x87);
    }
    send_held(&mut writer, 3..=3, false);
    // The two that were refused with this place taken would have been one too many as well.
    writer.send(&V5.publish("$SYS/x", "no").qos(2, 4).bytes());
    writer.expect_end(0x93);
    assert_eq!(reader.take(3), numbers(1..4));
    expect_no_more(&broker, "t", &mut [&mut reader]);
}

/// A new connection begins with all places. What is open from the old one takes one only when it is repeated.
// Breaks if: `Inbound::attach` in src/session/inbound.rs keeps `outstanding`, or leaves `counted` set; or
// `Inbound::repeated` there does not count what was not counted yet.
#[test]
fn the_brokers_places_are_counted_anew_on_each_connection() {
    let broker = three_at_a_time();
    let mut watch = Watch::new(&broker);
    let mut reader = reader(&broker, "t");
    let mut writer = open(&broker, V5, &V5.watched("w"), false);
    send_held(&mut writer, 1..=3, false);
    watch.cut(writer, "w");
    let mut writer = open(&broker, V5, &V5.watched("w"), true);
    // Without a repetition, nothing is counted: three new ones go.
    send_held(&mut writer, 4..=6, false);
    writer.send(&V5.publish("t", "1").qos(2, 1).dup().bytes());
    writer.expect_end(0x93);
    watch.wait("w");
    let mut writer = open(&broker, V5, &V5.watched("w"), true);
    send_held(&mut writer, 1..=3, true);
    writer.send(&V5.publish("t", "7").qos(2, 7).bytes());
    writer.expect_end(0x93);
    watch.wait("w");
    let mut writer = open(&broker, V5, &V5.watched("w"), true);
    for id in 1..=6 {
        writer.send(&pubrel(id));
        writer.expect(&pubcomp(id));
    }
    assert_eq!(reader.take(6), numbers(1..7));
    expect_no_more(&broker, "t", &mut [&mut reader]);
}

/// 3.1.1 has no Receive Maximum: a client that sends more waits, and nothing is lost or closed.
// Breaks if: `Inbound::count_outstanding` in src/session/inbound.rs does not look at the version.
#[test]
fn the_brokers_maximum_does_not_bind_a_3_1_1_client() {
    let broker = three_at_a_time();
    let mut reader = reader(&broker, "t");
    let mut writer = passing(&broker, V311, "writer");
    for qos in [1, 2] {
        writer.publish_all("t", qos, 1, &numbers(0..100));
        assert_eq!(reader.take(100), numbers(0..100));
    }
    expect_no_more(&broker, "t", &mut [&mut reader]);
}

// Breaks if: `Acked::done` in src/session/outbound.rs says nothing was done for a message that was refused, or
// `Window::pubrec` in src/session/window.rs keeps the entry.
#[test]
fn an_error_of_the_clients_gives_the_place_back() {
    let broker = Broker::start();
    let mut client = subscribed(&broker, 2);
    for qos in [1, 2] {
        tell(&broker, "t", qos, &numbers(0..10));
        let first = if qos == 1 { 0x40 } else { 0x50 };
        let mut held = client.expect_sent(false, qos, "0");
        let mut next = client.expect_sent(false, qos, "1");
        for n in 2..10 {
            client.expect_alive();
            client.send(&ack_5(first, next, 0x80, &[]));
            // The older stays where it is; by turns it is the one refused.
            next = client.expect_sent(false, qos, &n.to_string());
            std::mem::swap(&mut held, &mut next);
        }
        for id in [next, held] {
            client.send(&ack_5(first, id, 0x97, &[]));
        }
        client.expect_alive();
    }
}

/// What is in flight counts, also if it is more than the client takes now; new messages come behind it.
// Breaks if: `Outbound::attach` in src/session/outbound.rs sends again without regard to the quota, or
// `Outbound::takes_now` there does not ask whether something is to be sent again.
#[test]
fn a_smaller_receive_maximum_holds_for_what_is_sent_again() {
    for qos in [1, 2] {
        let broker = Broker::start();
        let mut watch = Watch::new(&broker);
        let mut client = subscribed(&broker, 5);
        tell(&broker, "t", qos, &numbers(0..7));
        let ids: Vec<u16> = (0..5)
            .map(|n| client.expect_sent(false, qos, &n.to_string()))
            .collect();
        client.expect_alive();
        watch.cut(client, "r");
        let mut client = resumed(&broker, 2);
        tell(&broker, "t", qos, &["7"]);
        let mut under_way = Vec::new();
        for n in 0..2 {
            under_way.push(client.expect_sent(true, qos, &n.to_string()));
        }
        for n in 2..8 {
            client.expect_alive();
            client.finish(qos, under_way.remove(0));
            under_way.push(client.expect_sent(n < 5, qos, &n.to_string()));
        }
        assert!(ids.iter().all(|id| *id != 0));
        client.expect_alive();
    }
}

/// PUBREL goes at once, however many, but each takes a place until its PUBCOMP.
// Breaks if: `Outbound::resend` in src/session/outbound.rs lets PUBREL wait for quota, or does not take of the quota
// for it.
#[test]
fn pubrels_that_are_sent_again_take_places_and_wait_for_none() {
    let broker = Broker::start();
    let mut watch = Watch::new(&broker);
    let mut client = subscribed(&broker, 5);
    tell(&broker, "t", 2, &numbers(0..6));
    let ids: Vec<u16> = (0..5)
        .map(|n| client.expect_sent(false, 2, &n.to_string()))
        .collect();
    // The last is released as well: it stands behind one that has to wait.
    for index in [0, 1, 2, 4] {
        client.send(&pubrec(ids[index]));
        client.expect(&pubrel(ids[index]));
    }
    watch.cut(client, "r");
    let mut client = resumed(&broker, 2);
    for index in [0, 1, 2, 4] {
        client.expect(&pubrel(ids[index]));
    }
    for index in [0, 2] {
        client.send(&pubcomp(ids[index]));
        client.expect_alive();
    }
    client.send(&pubcomp(ids[4]));
    assert_eq!(client.expect_sent(true, 2, "3"), ids[3]);
    client.expect_alive();
    client.send(&pubcomp(ids[1]));
    let last = client.expect_sent(false, 2, "5");
    client.expect_alive();
    client.finish(2, ids[3]);
    client.finish(2, last);
    client.expect_alive();
}

/// A larger one takes effect as well: what waited goes at once, behind what is sent again.
// Breaks if: `Outbound::attach` in src/session/outbound.rs keeps the old `quota_maximum`.
#[test]
fn a_larger_receive_maximum_lets_more_go() {
    let broker = Broker::start();
    let mut watch = Watch::new(&broker);
    let mut client = subscribed(&broker, 2);
    tell(&broker, "t", 2, &numbers(0..9));
    for n in 0..2 {
        client.expect_sent(false, 2, &n.to_string());
    }
    client.expect_alive();
    watch.cut(client, "r");
    let mut client = resumed(&broker, 6);
    for n in 0..6 {
        client.expect_sent(n < 2, 2, &n.to_string());
    }
    client.expect_alive();
}

/// A 3.1.1 client cannot say what it takes: the broker's own bound holds, and moves on with each acknowledgement.
// Breaks if: `Terms::negotiate` in src/session/terms.rs does not cut to `inflight_maximum`.
#[test]
fn the_brokers_own_bound_on_what_is_in_flight_holds_for_both() {
    for version in BOTH {
        let broker = broker_with("inflight_maximum = 3");
        let mut client = passing(&broker, version, "r");
        client.subscribe("t", 2);
        tell(&broker, "t", 2, &numbers(0..9));
        let mut ids: Vec<u16> = (0..3)
            .map(|n| client.expect_sent(false, 2, &n.to_string()))
            .collect();
        for n in 3..9 {
            client.expect_alive();
            client.finish(2, ids.remove(0));
            ids.push(client.expect_sent(false, 2, &n.to_string()));
        }
        client.expect_alive();
    }
}
