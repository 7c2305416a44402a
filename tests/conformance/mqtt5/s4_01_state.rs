//! 4.1 Session State, 4.4 message delivery retry, 4.5 message receipt.

use crate::bytes::{Connect, Publish, Will, ack_5, packet, puback, pubcomp, pubrec, pubrel};
use crate::received::{expect_alive, subscribe};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

use super::steps::{
    break_off, breakable, connect, expect_message, leave, open, persistent, published, resume,
    seconds_pass, take_payloads, tell,
};

/// The Session Expiry Interval of a second counts from the end of the connection, not from its beginning, nor from
/// the end of an earlier one.
// Breaks if: `Broker::claim` in src/broker/sessions.rs ends a session that is attached instead of handing it over; or
// `Schedule::back` in src/broker/schedule.rs and `Broker::happen` in expiry.rs both forget that it is not away.
#[test]
fn mqtt5_4_1_0_1_state_is_kept_while_connected() {
    let broker = Broker::start();
    let brief = Connect::v5("brief").clean(false).expiry(1);
    let mut client = open(&broker, &brief);
    subscribe(&mut client, "t", 1);
    leave(client);
    let mut client = resume(&broker, &brief);
    tell(&broker, "t", 1, "not acknowledged");
    let packet_id = expect_message(&mut client, false, 1, "not acknowledged");
    seconds_pass(&broker, 2);
    tell(&broker, "t", 0, "still subscribed");
    expect_message(&mut client, false, 0, "still subscribed");
    let mut client = resume(&broker, &brief);
    let again = expect_message(&mut client, true, 1, "not acknowledged");
    assert_eq!(again, packet_id);
}

// Breaks if: `Schedule::left` in src/broker/schedule.rs does not add `What::End`, or
// `Broker::end_session` in src/broker/sessions.rs does not forget the subscriptions.
#[test]
fn mqtt5_4_1_0_2_state_is_discarded_when_closed_and_expired() {
    let broker = Broker::start();
    let mut watch = connect(&broker, "watch");
    subscribe(&mut watch, "ended/+", 0);
    for expiry in [0, 1] {
        // A Will with a longer delay is published when the session ends.
        let will = Will::new(format!("ended/{expiry}"), "").delay(600);
        let brief = Connect::v5("brief").clean(false).expiry(expiry).will(will);
        let mut client = open(&broker, &brief);
        subscribe(&mut client, "t", 1);
        tell(&broker, "t", 1, "not acknowledged");
        expect_message(&mut client, false, 1, "not acknowledged");
        drop(client);
        assert_eq!(published(&mut watch).topic, format!("ended/{expiry}"));
        // The broker says so when nobody has subscribed.
        let mut writer = connect(&broker, "writer");
        writer.send(&Publish::v5("t", "to nobody").qos(1, 1).bytes());
        writer.expect(&packet(0x40, &[0, 1, 0x10]));
        let mut client = open(&broker, &Connect::v5("brief").clean(false));
        tell(&broker, "t", 1, "to nobody");
        expect_alive(&mut client);
        leave(client);
    }
}

/// The client's connection in the three ways in which it can end.
#[derive(Clone, Copy, Debug)]
enum End {
    Broken,
    Left,
    TakenOver,
}

fn resume_after(broker: &Broker, client: RawClient, end: End) -> RawClient {
    match end {
        End::Broken => break_off(broker, client),
        End::Left => leave(client),
        End::TakenOver => {}
    }
    resume(broker, &breakable("client"))
}

// Breaks if: `Outbound::draw` in src/session/outbound.rs does not call `resend`, or `resend` there skips
// `Stage::Release`.
#[test]
fn mqtt5_4_4_0_1_what_is_unacknowledged_is_sent_again_on_reconnect_and_only_then() {
    let broker = Broker::start();
    let mut client = open(&broker, &breakable("client"));
    subscribe(&mut client, "t", 2);
    let ids = [(1, "one"), (2, "two"), (2, "released"), (1, "done")].map(|(qos, payload)| {
        tell(&broker, "t", qos, payload);
        expect_message(&mut client, false, qos, payload)
    });
    client.send(&[pubrec(ids[2]), puback(ids[3])].concat());
    client.expect(&pubrel(ids[2]));
    // At no other time: not when time passes, nor when other things go on.
    seconds_pass(&broker, 2);
    expect_alive(&mut client);
    for end in [End::Broken, End::Left, End::TakenOver] {
        client = resume_after(&broker, client, end);
        let again = [(1, "one"), (2, "two")]
            .map(|(qos, payload)| expect_message(&mut client, true, qos, payload));
        assert_eq!(again, [ids[0], ids[1]], "{end:?}");
        client.expect(&pubrel(ids[2]));
        expect_alive(&mut client);
    }
    client.send(&[puback(ids[0]), pubrec(ids[1]), pubcomp(ids[2])].concat());
    client.expect(&pubrel(ids[1]));
    client.send(&pubcomp(ids[1]));
    expect_alive(&mut client);
    let mut client = resume_after(&broker, client, End::TakenOver);
    expect_alive(&mut client);
    leave(client);
    // A new session knows of nothing.
    expect_alive(&mut open(&broker, &Connect::v5("client")));
}

// Breaks if: `Window::pubrec` in src/session/window.rs moves on to `Release` whatever the code, or keeps the entry.
#[test]
fn mqtt5_4_4_0_2_what_was_refused_is_not_sent_again() {
    let broker = Broker::start();
    let mut client = open(&broker, &breakable("client"));
    subscribe(&mut client, "t", 2);
    for (qos, first) in [(1, 0x40), (2, 0x50)] {
        for code in [0x80, 0x83, 0x87, 0x90, 0x97, 0x99] {
            tell(&broker, "t", qos, "refused");
            let packet_id = expect_message(&mut client, false, qos, "refused");
            client.send(&ack_5(first, packet_id, code, &[]));
            expect_alive(&mut client);
        }
    }
    for end in [End::Broken, End::Left, End::TakenOver] {
        client = resume_after(&broker, client, end);
        expect_alive(&mut client);
    }
}

// Breaks if: `Broker::fan_out` in src/broker/publish.rs ends after the first recipient, `Outbound::deliver` in
// src/session/outbound.rs drops QoS 1 and 2 for a session whose client is away, or `Broker::subscribe` in
// src/broker/subscribe.rs does not move the generations, so that remembered routes stay as they are.
#[test]
fn mqtt5_4_5_0_1_a_message_is_added_to_every_matching_session() {
    let broker = Broker::start();
    let mut other = connect(&broker, "other");
    // The way to nobody may be remembered, but not for longer than it leads to nobody.
    other.send(&Publish::v5("a/b/c", "to nobody").bytes());
    expect_alive(&mut other);
    let filters = ["a/b/c", "a/+/c", "a/#", "#", "+/b/c", "$share/g/a/b/c"];
    let mut readers = filters.map(|filter| {
        let mut reader = open(&broker, &persistent(filter));
        subscribe(&mut reader, filter, 2);
        reader
    });
    other.send(&Publish::v5("a/b/c", "to somebody").bytes());
    for reader in &mut readers {
        assert_eq!(take_payloads(reader, 1), ["to somebody"]);
    }
    subscribe(&mut other, "a/b/+/d", 2);
    for qos in [1, 2] {
        let away = filters.map(|filter| persistent(&format!("away {filter}")));
        for (connect, filter) in away.iter().zip(filters) {
            // Each has a group of its own.
            let filter = filter.replace("/g/", &format!("/away{qos}/"));
            let mut reader = RawClient::accepted(broker.tcp, &connect.bytes());
            subscribe(&mut reader, &filter, qos);
            leave(reader);
        }
        tell(&broker, "a/b/c", qos, "to all");
        for reader in &mut readers {
            assert_eq!(take_payloads(reader, 1), ["to all"]);
        }
        expect_alive(&mut other);
        for connect in &away {
            let mut reader = resume(&broker, connect);
            assert_eq!(take_payloads(&mut reader, 1), ["to all"]);
            leave(reader);
            // It ends here, so that the next round begins anew.
            leave(RawClient::accepted(broker.tcp, &ended(connect)));
        }
    }
}

/// The same CONNECT with Clean Start 1: the expiry it asks for does not matter, what was there is gone.
fn ended(connect: &Connect) -> Vec<u8> {
    connect.clone().clean(true).bytes()
}
