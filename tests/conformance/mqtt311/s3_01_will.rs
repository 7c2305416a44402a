//! Section 3.1, CONNECT: the Will.

use super::peer::{
    client, connect, expect_message, expect_none_retained, expect_retained, fail, leave,
    not_connected, persistent, publish, resume, start, subscriber, with_will,
};
use crate::bytes::{Connect, Will, packet};

/// Every way in which a connection can end without a DISCONNECT.
#[test]
// Breaks if: broker/sessions.rs `settle_will` forgets the Will on anything but `Detach::Goodbye`.
fn mqtt311_3_1_2_8_the_will_is_published_when_the_connection_closes() {
    let broker = start();
    let mut witness = subscriber(&broker, "witness", "will/+", 0);
    // The client closes...
    drop(connect(&broker, &with_will("me", 0, "will/close", "1")));
    expect_message(&mut witness, 0, "will/close", "1");
    // ...or half of it...
    let mut half = connect(&broker, &with_will("me", 0, "will/half", "2"));
    half.finish_sending();
    half.expect_closed();
    expect_message(&mut witness, 0, "will/half", "2");
    // ...within a packet...
    let mut cut = connect(&broker, &with_will("me", 0, "will/cut", "3"));
    cut.send(b"\x30\x7f\x00\x01");
    drop(cut);
    expect_message(&mut witness, 0, "will/cut", "3");
    // ...or breaks the protocol...
    fail(connect(&broker, &with_will("me", 0, "will/breach", "4")));
    expect_message(&mut witness, 0, "will/breach", "4");
    // ...or is silent for too long...
    let silent = with_will("me", 0, "will/silence", "5").keep_alive(1);
    let mut silent = connect(&broker, &silent);
    expect_message(&mut witness, 0, "will/silence", "5");
    silent.expect_closed();
    // ...or comes again on another connection, with a persistent session too.
    let taken_over = with_will("me", 0, "will/takeover", "6").clean(false);
    let mut taken_over = connect(&broker, &taken_over);
    let _me = resume(&broker, &persistent("me"));
    expect_message(&mut witness, 0, "will/takeover", "6");
    taken_over.expect_closed();
}

#[test]
// Breaks if: codec/connect.rs `Will::read` takes a missing Will Message for an empty one, or `will` of
// session/terms.rs ignores the QoS.
fn mqtt311_3_1_2_9_the_will_flag_needs_the_wills_fields_and_uses_them() {
    let broker = start();
    let mut witness = subscriber(&broker, "witness", "will", 2);
    // Nothing, a topic, a topic and a message cut short.
    let header = b"\x00\x04MQTT\x04\x06\x00\x3c\x00\x02me";
    for rest in [
        &b""[..],
        b"\x00",
        b"\x00\x04wil",
        b"\x00\x04will",
        b"\x00\x04will\x00",
        b"\x00\x04will\x00\x04bad",
    ] {
        not_connected(&broker, &packet(0x10, &[&header[..], rest].concat()));
    }
    for qos in 0..3 {
        for payload in ["gone", ""] {
            fail(connect(&broker, &with_will("me", qos, "will", payload)));
            expect_message(&mut witness, qos, "will", payload);
        }
    }
}

#[test]
// Breaks if: broker/sessions.rs `publish_will` clones the Will instead of taking it.
fn mqtt311_3_1_2_10_the_will_is_gone_once_published_or_after_disconnect() {
    let broker = start();
    let mut witness = subscriber(&broker, "witness", "t", 1);
    let mut publisher = client(&broker, "publisher");
    let willing = with_will("me", 1, "t", "will").clean(false);
    // Published once: neither the end of the next connection, which has none, nor that of the session
    // publishes it again.
    fail(connect(&broker, &willing));
    expect_message(&mut witness, 1, "t", "will");
    fail(resume(&broker, &persistent("me")));
    fail(client(&broker, "me"));
    publish(&mut publisher, 1, "t", "marker 1");
    expect_message(&mut witness, 1, "t", "marker 1");
    // Never, after a DISCONNECT.
    leave(connect(&broker, &willing));
    fail(resume(&broker, &persistent("me")));
    fail(client(&broker, "me"));
    publish(&mut publisher, 1, "t", "marker 2");
    expect_message(&mut witness, 1, "t", "marker 2");
}

#[test]
// Breaks if: codec/connect.rs `decode` reads a will whatever the flag, or does not call `reader.finish()`.
fn mqtt311_3_1_2_11_without_the_will_flag_there_are_no_will_fields() {
    let broker = start();
    let willing = with_will("me", 0, "topic", "message");
    not_connected(&broker, &willing.clone().flags(0x02).bytes());
    not_connected(&broker, &willing.clone().flags(0x00).bytes());
    // Will Topic and Will Message would be taken for user name and password.
    let mistaken = connect(&broker, &willing.flags(0xc2));
    let mut witness = subscriber(&broker, "witness", "topic", 0);
    fail(mistaken);
    publish(&mut client(&broker, "publisher"), 0, "topic", "marker");
    expect_message(&mut witness, 0, "topic", "marker");
}

#[test]
// Breaks if: session/terms.rs `will` makes one up where CONNECT has none.
fn mqtt311_3_1_2_12_without_the_will_flag_no_will_is_published() {
    let broker = start();
    let mut witness = subscriber(&broker, "witness", "#", 0);
    let mut publisher = client(&broker, "publisher");
    fail(client(&broker, "me"));
    // Nor when a connection with a will gives way to one without and that one ends.
    let mut before = connect(&broker, &with_will("me", 0, "will", "of the first"));
    let after = client(&broker, "me");
    before.expect_closed();
    expect_message(&mut witness, 0, "will", "of the first");
    fail(after);
    publish(&mut publisher, 0, "t", "marker");
    expect_message(&mut witness, 0, "t", "marker");
}

#[test]
// Breaks if: codec/connect.rs `check_flags` compares with WILL_RETAIN alone where there is no will.
fn mqtt311_3_1_2_13_without_the_will_flag_the_will_qos_is_0() {
    let broker = start();
    for qos in 1..3 {
        let flags = 0x02 | qos << 3;
        not_connected(&broker, &Connect::v311("me").flags(flags).bytes());
        // Nor do fields that look like a will make it one.
        let fields = with_will("me", 0, "topic", "message").flags(flags);
        not_connected(&broker, &fields.bytes());
    }
    connect(&broker, &Connect::v311("me").flags(0x02));
}

#[test]
// Breaks if: codec/qos.rs `from_bits` takes 3, or codec/connect.rs `check_flags` makes something else of it.
fn mqtt311_3_1_2_14_a_will_of_qos_3_closes_the_connection() {
    let broker = start();
    not_connected(&broker, &with_will("me", 3, "topic", "message").bytes());
    let retained = Will::new("topic", "message").qos(3).retain();
    not_connected(&broker, &Connect::v311("me").will(retained).bytes());
    not_connected(&broker, &Connect::v311("me").flags(0x1a).bytes());
    connect(&broker, &with_will("me", 2, "topic", "message"));
}

#[test]
// Breaks if: codec/connect.rs `check_flags` compares with WILL_QOS alone where there is no will.
fn mqtt311_3_1_2_15_without_the_will_flag_will_retain_is_0() {
    let broker = start();
    not_connected(&broker, &Connect::v311("me").flags(0x22).bytes());
    not_connected(&broker, &Connect::v311("me").flags(0x20).bytes());
    let fields = with_will("me", 0, "topic", "message").flags(0x22);
    not_connected(&broker, &fields.bytes());
    connect(&broker, &Connect::v311("me").flags(0x02));
}

#[test]
// Breaks if: session/terms.rs `will` sets `retain: true`.
fn mqtt311_3_1_2_16_a_will_without_retain_is_not_retained() {
    let broker = start();
    let mut witness = subscriber(&broker, "witness", "will", 1);
    fail(connect(&broker, &with_will("me", 1, "will", "unretained")));
    expect_message(&mut witness, 1, "will", "unretained");
    let mut late = subscriber(&broker, "late", "will", 1);
    expect_none_retained(&mut client(&broker, "publisher"), &mut late, "will");
}

#[test]
// Breaks if: session/terms.rs `will` sets `retain: false`, or broker/publish.rs `publish` does not retain.
fn mqtt311_3_1_2_17_a_will_with_retain_is_retained() {
    let broker = start();
    let mut witness = subscriber(&broker, "witness", "will", 2);
    for (qos, payload) in [(0, "zero"), (1, "one"), (2, "two")] {
        let will = Will::new("will", payload).qos(qos).retain();
        fail(connect(&broker, &Connect::v311("me").will(will)));
        // Live it is a message like any other...
        expect_message(&mut witness, qos, "will", payload);
        // ...and later a retained one.
        let mut late = subscriber(&broker, "late", "will", 2);
        expect_retained(&mut late, qos, "will", payload);
    }
    // Not before it is published.
    let patient = Connect::v311("patient").will(Will::new("patient", "later").retain());
    let patient = connect(&broker, &patient);
    let mut early = subscriber(&broker, "early", "patient", 0);
    leave(patient);
    expect_none_retained(&mut client(&broker, "publisher"), &mut early, "patient");
}
