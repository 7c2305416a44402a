//! Wills: what ends a connection, what ends the wait for a delay, and what comes of the message.
//!
//! The statement tests show each rule by itself. Here a Will meets the rest of the protocol: refused CONNECTs of the
//! same client, sessions that are shortened or lengthened, takeovers by clients of another version, retained
//! messages, queues, No Local.

use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use crate::bytes::{
    Connect, DISCONNECT, Publish, Will, byte, disconnect_5, four, packet, pair, prop, pubrec, text,
};
use crate::mqtt5::steps::{
    broker_with, connect, expect_message, leave, open, persistent, resume, seconds_pass, take,
    tell, tell_all, text_of,
};
use crate::mqtt311::peer;
use crate::received::{expect_alive, expect_disconnect, refused_5, subscribe};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

/// Subscription Options: QoS 2, Retain As Published.
const AS_PUBLISHED: u8 = 0x08 | 2;

/// A broker, and a client that has subscribed to every Will.
fn with_witness() -> (Broker, RawClient) {
    let broker = broker_with("topic_levels_maximum = 128");
    let mut witness = connect(&broker, "witness");
    subscribe(&mut witness, "will/#", AS_PUBLISHED);
    (broker, witness)
}

/// Takes the next message, which must be a Will with this payload.
#[track_caller]
fn expect_will(witness: &mut RawClient, payload: &str) {
    assert_eq!(text_of(&take(witness, 1)[0]), payload);
}

/// No Will has come to the witness before a marker does.
#[track_caller]
fn expect_no_will(broker: &Broker, witness: &mut RawClient) {
    tell(broker, "will/marker", 0, "marker");
    expect_will(witness, "marker");
}

/// A Will that waits for as long as its session lives.
fn patient(payload: &str) -> Will {
    Will::new("will/c", payload).delay(3600)
}

/// Ends a session by a Clean Start.
#[track_caller]
fn end_session(broker: &Broker, client_id: &str) {
    leave(connect(broker, client_id));
}

/// Goes, with the Will, so that the broker knows of it before anything else happens.
#[track_caller]
fn gone(mut client: RawClient) {
    client.send(&disconnect_5(0x04, &[]));
    client.expect_closed();
}

// Breaks if: `Schedule::back` in src/broker/schedule.rs leaves What::Will where it is and `happen` in
// src/broker/expiry.rs does not compare the absence.
#[test]
fn the_delay_of_an_earlier_connection_does_not_fire_the_will_of_a_later_one() {
    let (broker, mut witness) = with_witness();
    let short = persistent("c").will(Will::new("will/c", "short").delay(3));
    gone(open(&broker, &short));
    gone(resume(&broker, &persistent("c").will(patient("patient"))));
    seconds_pass(&broker, 4);
    expect_no_will(&broker, &mut witness);
    end_session(&broker, "c");
    expect_will(&mut witness, "patient");
    expect_no_will(&broker, &mut witness);
}

/// CONNECTs that are refused, with their reasons: the sender is nobody yet.
fn refused_connects() -> Vec<(Connect, u8)> {
    let levels = vec!["x"; 129].join("/");
    let will = |topic: &str| persistent("c").will(Will::new(topic, "never"));
    let format = byte(prop::PAYLOAD_FORMAT_INDICATOR, 2);
    let twice = [
        four(prop::WILL_DELAY_INTERVAL, 1),
        four(prop::WILL_DELAY_INTERVAL, 1),
    ]
    .concat();
    let with = |property| persistent("c").will(Will::new("will/c", "never").property(property));
    vec![
        // The broker's own topics, and one with too many levels.
        (will("$SYS"), 0x87),
        (will("$SYS/broker/uptime"), 0x87),
        (will(&levels), 0x90),
        (will("will/+"), 0x81),
        (with(format), 0x82),
        (with(twice), 0x82),
        // Properties that a Will does not have.
        (with(four(prop::SESSION_EXPIRY_INTERVAL, 1)), 0x81),
        (with(vec![prop::SUBSCRIPTION_IDENTIFIER, 1]), 0x81),
        (
            will("will/c").property(four(prop::MAXIMUM_PACKET_SIZE, 8)),
            0x95,
        ),
    ]
}

// Breaks if: `Connection::connect` in src/broker/handshake.rs claims the session before the terms are known, or
// `admit` does not ask `refuse_publish`.
#[test]
fn a_connect_that_is_refused_neither_leaves_a_will_nor_stops_one_that_waits() {
    let (broker, mut witness) = with_witness();
    let connect = persistent("c").will(patient("of the session"));
    gone(open(&broker, &connect));
    for (refused, reason) in refused_connects() {
        refused_5(broker.tcp, &refused.bytes(), reason);
    }
    expect_no_will(&broker, &mut witness);
    end_session(&broker, "c");
    expect_will(&mut witness, "of the session");
    expect_no_will(&broker, &mut witness);
}

// Breaks if: `admit` in src/broker/handshake.rs does not ask `refuse_publish`, or `connack_v3` in
// src/codec/reason.rs has nothing for Not authorized.
#[test]
fn a_will_of_mqtt_311_may_not_speak_for_the_broker() {
    let broker = Broker::start();
    peer::refused(
        &broker,
        &peer::with_will("c", 0, "$SYS/broker/uptime", "never"),
        5,
    );
    // What only begins alike is anybody's.
    let mut witness = connect(&broker, "witness");
    subscribe(&mut witness, "$SYSTEM/#", 0);
    peer::fail(peer::connect(
        &broker,
        &peer::with_will("c", 0, "$SYSTEM/c", "mine"),
    ));
    expect_message(&mut witness, false, 0, "mine");
}

// Breaks if: `Connection::connect` in src/broker/handshake.rs does not look at the Will's RETAIN, or
// `Broker::retain` in src/broker/publish.rs keeps although it is not available.
#[test]
fn where_nothing_is_retained_a_retained_will_is_refused_or_only_passed_on() {
    let broker = Broker::configured("[auth]\nanonymous = true\n[retained]\navailable = false\n");
    let mut witness = connect(&broker, "witness");
    subscribe(&mut witness, "will/#", AS_PUBLISHED);
    let retained = Will::new("will/c", "gone").retain();
    refused_5(
        broker.tcp,
        &Connect::v5("c").will(retained.clone()).bytes(),
        0x9a,
    );
    // A client of 3.1.1 cannot be told.
    peer::fail(peer::connect(&broker, &Connect::v311("c").will(retained)));
    expect_will(&mut witness, "gone");
    let mut late = connect(&broker, "late");
    subscribe(&mut late, "will/#", 0);
    expect_alive(&mut late);
}

/// What a client may do that ends its connection with an error: the bytes, and the broker's reason.
fn breaches() -> Vec<(Vec<u8>, u8)> {
    vec![
        (packet(0xf0, &[]), 0x82),
        (Publish::v5("a/+", "").bytes(), 0x81),
        (Publish::v5("", "").alias(1).bytes(), 0x82),
        (Publish::v5("a", "").alias(0).bytes(), 0x94),
        (b"\x30\xff\xff\xff\x7f".to_vec(), 0x95),
        (packet(0x82, &[0, 1, 0]), 0x82),
        (Connect::v5("c").bytes(), 0x82),
        // A DISCONNECT that is wrong is none: codes of the server's alone, and an expiry out of nothing.
        (disconnect_5(0x8e, &[]), 0x82),
        (disconnect_5(0x01, &[]), 0x82),
        (
            disconnect_5(0x00, &four(prop::SESSION_EXPIRY_INTERVAL, 9)),
            0x82,
        ),
    ]
}

// Breaks if: `settle_will` in src/broker/sessions.rs forgets the Will after `Detach::Say`, or `Open::disconnect` in
// src/broker/packets.rs takes a DISCONNECT that is wrong for a goodbye.
#[test]
fn every_breach_publishes_the_will_at_its_qos() {
    let (broker, mut witness) = with_witness();
    for (index, (breach, reason)) in breaches().into_iter().enumerate() {
        let qos = index as u8 % 3;
        let will = Will::new("will/c", "gone").qos(qos);
        let mut client = open(&broker, &Connect::v5("c").will(will));
        client.send(&breach);
        expect_disconnect(&mut client, reason);
        let message = &take(&mut witness, 1)[0];
        assert_eq!(
            (message.qos, text_of(message)),
            (qos, "gone"),
            "{breach:02x?}"
        );
    }
    expect_no_will(&broker, &mut witness);
}

// Breaks if: `Open::disconnect` in src/broker/packets.rs takes any code but 0x04 for a goodbye.
#[test]
fn every_disconnect_but_the_normal_one_publishes_the_will() {
    let (broker, mut witness) = with_witness();
    let codes = [
        0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x99,
    ];
    for code in codes {
        let will = Will::new("will/c", format!("{code:02x}"));
        let mut client = open(&broker, &Connect::v5("c").will(will));
        client.send(&disconnect_5(code, &[]));
        client.expect_closed();
        expect_will(&mut witness, &format!("{code:02x}"));
    }
    // What the client sent after its goodbye, even in the same write, does not count any more.
    let will = Will::new("will/c", "never");
    let mut client = open(&broker, &Connect::v5("c").will(will));
    client.send(&[&DISCONNECT[..], &packet(0xf0, &[])].concat());
    client.expect_closed();
    expect_no_will(&broker, &mut witness);
}

// Breaks if: the driver in src/listener/driver.rs takes a reset for a DISCONNECT (`Detach::Goodbye` for an error of the
// transport).
#[test]
fn a_reset_publishes_the_will() {
    let (broker, mut witness) = with_witness();
    let will = Will::new("will/c", "reset").qos(1);
    for connect in [
        Connect::v5("c").will(will.clone()),
        Connect::v311("c").will(will),
    ] {
        let stream = TcpStream::connect(broker.tcp).expect("the port is bound");
        // With no time to linger, closing resets.
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .expect("an option every socket has");
        let mut client = RawClient::over(stream);
        client.open(&connect.bytes());
        drop(client);
        expect_will(&mut witness, "reset");
    }
}

// Breaks if: `Open::packets` in src/broker/open.rs decodes the next packet before `deliver_rest` has delivered the last.
#[test]
fn what_the_client_published_before_comes_before_its_will() {
    let (broker, mut witness) = with_witness();
    let will = Will::new("will/c", "last");
    let mut client = open(&broker, &Connect::v5("c").will(will));
    let each = (0..200).map(|n: u32| Publish::v5("will/c", n.to_string()).bytes());
    let mut bytes: Vec<u8> = each.flatten().collect();
    // Broken off within the same write.
    bytes.extend(packet(0xf0, &[]));
    client.send(&bytes);
    expect_disconnect(&mut client, 0x82);
    for n in 0..200 {
        expect_will(&mut witness, &n.to_string());
    }
    expect_will(&mut witness, "last");
}

// Breaks if: `Open::disconnect` in src/broker/packets.rs does not take the Session Expiry Interval, or `leave_behind` in
// src/broker/sessions.rs goes by that of CONNECT.
#[test]
fn a_session_that_disconnect_shortens_ends_the_wait_for_the_will() {
    let (broker, mut witness) = with_witness();
    for seconds in [0, 1] {
        let mut client = open(&broker, &persistent("c").will(patient("at the end")));
        client.send(&disconnect_5(
            0x04,
            &four(prop::SESSION_EXPIRY_INTERVAL, seconds),
        ));
        client.expect_closed();
        expect_will(&mut witness, "at the end");
        // The session is over as well.
        leave(open(&broker, &Connect::v5("c").clean(false)));
    }
    expect_no_will(&broker, &mut witness);
}

// Breaks if: `leave_behind` in src/broker/sessions.rs goes by the Session Expiry Interval of CONNECT, or `happen` in
// src/broker/expiry.rs ends the session with its Will.
#[test]
fn a_session_that_disconnect_lengthens_outlives_its_will() {
    let (broker, mut witness) = with_witness();
    let will = Will::new("will/c", "late").delay(2);
    let connect = Connect::v5("c").clean(false).expiry(1).will(will);
    let mut client = open(&broker, &connect);
    client.send(&disconnect_5(
        0x04,
        &four(prop::SESSION_EXPIRY_INTERVAL, 600),
    ));
    client.expect_closed();
    expect_will(&mut witness, "late");
    leave(resume(&broker, &persistent("c")));
    expect_no_will(&broker, &mut witness);
}

// Breaks if: `Will::publish` in src/session/terms.rs is given the time of the CONNECT, or `will` there puts the expiry
// into the message.
#[test]
fn a_will_with_less_expiry_than_delay_is_alive_when_it_is_published_and_expires_then() {
    let (broker, mut witness) = with_witness();
    let mut away = open(&broker, &persistent("away"));
    subscribe(&mut away, "will/#", 1);
    leave(away);
    let expiry = four(prop::MESSAGE_EXPIRY_INTERVAL, 1);
    let will = Will::new("will/c", "short")
        .qos(1)
        .delay(2)
        .property(expiry);
    gone(open(&broker, &persistent("c").will(will)));
    let message = take(&mut witness, 1).remove(0);
    assert_eq!(text_of(&message), "short");
    let left = message.properties.integer(prop::MESSAGE_EXPIRY_INTERVAL);
    assert_eq!(left, Some(1), "its life begins now");
    seconds_pass(&broker, 2);
    expect_alive(&mut resume(&broker, &persistent("away")));
}

// Breaks if: `attach` in src/broker/sessions.rs retains a Will that is only kept, or `Will::publish` in
// src/session/terms.rs leaves RETAIN or the properties out.
#[test]
fn a_delayed_will_is_retained_when_it_is_published_with_all_its_properties() {
    let (broker, mut witness) = with_witness();
    let properties = [
        byte(prop::PAYLOAD_FORMAT_INDICATOR, 1),
        text(prop::CONTENT_TYPE, "text/plain"),
        text(prop::RESPONSE_TOPIC, "answers"),
        text(prop::CORRELATION_DATA, b"\x00\xff"),
        pair("b", "1"),
        pair("a", "2"),
        pair("b", "1"),
    ];
    let expiry = four(prop::MESSAGE_EXPIRY_INTERVAL, 600);
    let mut will = Will::new("will/c", "kept")
        .qos(2)
        .retain()
        .delay(3600)
        .property(expiry);
    for property in &properties {
        will = will.property(property.clone());
    }
    gone(open(&broker, &persistent("c").will(will)));
    let mut early = connect(&broker, "early");
    subscribe(&mut early, "will/#", 0x08);
    expect_alive(&mut early);
    end_session(&broker, "c");
    expect_will(&mut witness, "kept");
    let mut late = connect(&broker, "late");
    subscribe(&mut late, "will/#", 1);
    for (client, qos) in [(&mut early, 0), (&mut late, 1)] {
        let message = take(client, 1).remove(0);
        assert_eq!((message.retain, message.qos), (true, qos), "{message:02x?}");
        let mut all = message.properties.0;
        let left = all
            .iter()
            .position(|(id, _)| *id == prop::MESSAGE_EXPIRY_INTERVAL);
        all.remove(left.expect("an expiry"));
        let mut expected = properties.clone().map(|mut all| (all.remove(0), all));
        all.sort();
        expected.sort();
        assert_eq!(all, expected);
    }
}

// Breaks if: `settle_will` in src/broker/sessions.rs looks at the version, or publishes a delayed Will on
// `Detach::Resumed`.
#[test]
fn a_client_that_comes_back_with_another_version_takes_its_session_and_its_will_over() {
    let (broker, mut witness) = with_witness();
    // A delay is forgotten whatever the client speaks when it is back; away or still there.
    gone(open(&broker, &persistent("c").will(patient("never"))));
    let old = peer::resume(&broker, &peer::persistent("c"));
    peer::leave(old);
    let mut old = resume(&broker, &persistent("c").will(patient("never")));
    let will = Will::new("will/c", "of 3.1.1");
    let mut of_311 = peer::resume(&broker, &peer::persistent("c").will(will));
    expect_disconnect(&mut old, 0x8e);
    expect_no_will(&broker, &mut witness);
    // One of 3.1.1 has no delay: a takeover is the end of its connection.
    let new = resume(&broker, &persistent("c"));
    of_311.expect_closed();
    expect_will(&mut witness, "of 3.1.1");
    leave(new);
    end_session(&broker, "c");
    expect_no_will(&broker, &mut witness);
}

// Breaks if: `claim` in src/broker/sessions.rs ends the session after the new one is there, or `publish_will` leaves it
// for a second end.
#[test]
fn the_will_of_a_session_that_a_clean_start_ends_is_not_for_the_new_session() {
    let (broker, mut witness) = with_witness();
    let connect_with_will = persistent("c").will(patient("at the end").qos(1));
    let mut old = open(&broker, &connect_with_will);
    subscribe(&mut old, "will/#", 1);
    let mut new = connect(&broker, "c");
    expect_disconnect(&mut old, 0x8e);
    expect_will(&mut witness, "at the end");
    // Nor is the old subscription there, which would have brought it.
    expect_alive(&mut new);
    subscribe(&mut new, "will/#", 1);
    expect_no_will(&broker, &mut witness);
    expect_message(&mut new, false, 0, "marker");
}

// Breaks if: `publish_will` in src/broker/sessions.rs does not say whose Will it is, or `route` in
// src/pubsub/subscriptions.rs does not ask for No Local.
#[test]
fn a_session_gets_its_own_will_unless_by_no_local() {
    let (broker, mut witness) = with_witness();
    let mut client = open(
        &broker,
        &persistent("c").will(Will::new("will/c", "mine").qos(1)),
    );
    subscribe(&mut client, "will/+", 1);
    subscribe(&mut client, "will/#", 0x04 | 2);
    drop(client);
    expect_will(&mut witness, "mine");
    let quiet = Will::new("will/c", "mine too").qos(1);
    let mut client = resume(&broker, &persistent("c").will(quiet));
    let message = take(&mut client, 1).remove(0);
    assert_eq!((text_of(&message), message.qos), ("mine", 1));
    client.send(&crate::bytes::unsubscribe_5(2, &[], &["will/+"]));
    client.expect(&[0xb0, 4, 0, 2, 0, 0]);
    drop(client);
    expect_will(&mut witness, "mine too");
    let mut client = resume(&broker, &persistent("c"));
    expect_alive(&mut client);
    tell(&broker, "will/other", 2, "of another");
    let message = take(&mut client, 1).remove(0);
    assert_eq!((text_of(&message), message.qos), ("of another", 2));
}

// Breaks if: `Broker::publish` in src/broker/publish.rs does not route to queues or groups, or `Message::qos` of a Will is
// lost in `will` in src/session/terms.rs.
#[test]
fn a_will_waits_in_queues_and_goes_to_one_of_a_group() {
    let (broker, mut witness) = with_witness();
    let mut away = open(&broker, &persistent("away"));
    subscribe(&mut away, "will/c", 2);
    leave(away);
    let mut crew = ["one", "two"].map(|id| {
        let mut member = connect(&broker, id);
        subscribe(&mut member, "$share/crew/will/c", 1);
        member
    });
    let will = Will::new("will/c", "gone").qos(2);
    for connect in [
        Connect::v5("c").will(will.clone()),
        Connect::v311("c").will(will),
    ] {
        drop(RawClient::accepted(broker.tcp, &connect.bytes()));
        expect_will(&mut witness, "gone");
    }
    for member in &mut crew {
        let message = &take(member, 1)[0];
        assert_eq!((message.qos, text_of(message)), (1, "gone"));
        expect_alive(member);
    }
    let mut away = resume(&broker, &persistent("away"));
    let first = expect_message(&mut away, false, 2, "gone");
    expect_message(&mut away, false, 2, "gone");
    away.send(&pubrec(first));
    away.expect(&crate::bytes::pubrel(first));
}

// Breaks if: `Retained::set` in src/pubsub/retained.rs keeps a Will without payload, or `will` in
// src/session/terms.rs never retains.
#[test]
fn an_empty_retained_will_clears_what_is_retained() {
    let (broker, mut witness) = with_witness();
    let empty = Will::new("will/c", "").retain();
    for connect_with in [
        Connect::v5("c").will(empty.clone()),
        Connect::v311("c").will(empty),
    ] {
        let mut writer = connect(&broker, "writer");
        writer.send(&Publish::v5("will/c", "kept").retain().bytes());
        tell_all(&mut writer, "other", 0, &["routed"]);
        expect_will(&mut witness, "kept");
        drop(RawClient::accepted(broker.tcp, &connect_with.bytes()));
        let message = take(&mut witness, 1).remove(0);
        assert_eq!((message.retain, text_of(&message)), (true, ""));
        let mut late = connect(&broker, "late");
        subscribe(&mut late, "will/#", 0);
        expect_alive(&mut late);
    }
}
