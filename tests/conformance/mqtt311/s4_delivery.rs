//! Sections 4.1 to 4.5: Session state, and the delivery of messages at each QoS.

use super::peer::{
    breach, client, connect, expect_message, expect_sent, fail, leave, persistent, publish,
    received, resume, retain, start, subscribe, subscriber, with_will,
};
use crate::bytes::{Publish, Will, puback, pubcomp, pubrec, pubrel};
use crate::received::expect_alive;
use crate::support::broker::Broker;

/// Subscriptions, what is in flight, what waits, and the QoS 2 identifiers that are held: all of a Session is
/// there after each of several connections.
#[test]
// Breaks if: session/inbound.rs `attach` starts with an empty `held`, session/outbound.rs `detach` clears the window
// or the queue, or broker/sessions.rs `attach` clears the subscriptions.
fn mqtt311_4_1_0_1_the_state_is_kept_for_the_whole_session() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let mut witness = subscriber(&broker, "witness", "from/me", 2);
    let mut me = connect(&broker, &persistent("me"));
    subscribe(&mut me, "to/me", 1);
    let mine = Publish::v311("from/me", "once").qos(2, 9);
    me.send(&mine.bytes());
    me.expect(&pubrec(9));
    publish(&mut publisher, 1, "to/me", "in flight");
    let id = expect_sent(&mut me, 1, "to/me", "in flight");
    leave(me);
    publish(&mut publisher, 1, "to/me", "queued");

    let in_flight = Publish::v311("to/me", "in flight").qos(1, id).dup().bytes();
    for _ in 0..3 {
        // The first of these connections sends "queued" for the first time, the others again.
        let mut me = resume(&broker, &persistent("me"));
        me.expect(&in_flight);
        assert_eq!(received(&mut me).payload, b"queued");
        // The id is held still: nobody gets the message twice.
        me.send(&mine.clone().dup().bytes());
        me.expect(&pubrec(9));
        drop(me);
    }
    let mut me = resume(&broker, &persistent("me"));
    me.expect(&in_flight);
    let queued = received(&mut me).packet_id;
    me.send(&pubrel(9));
    me.expect(&pubcomp(9));
    me.send(&[puback(id), puback(queued)].concat());
    // When in the exchange it is delivered is the receiver's choice; but once.
    expect_message(&mut witness, 2, "from/me", "once");
    publish(&mut publisher, 2, "from/me", "marker");
    expect_message(&mut witness, 2, "from/me", "marker");
    publish(&mut publisher, 1, "to/me", "still subscribed");
    expect_message(&mut me, 1, "to/me", "still subscribed");
}

/// Sessions are kept for one second after their connection here. One that has a connection lasts for longer.
#[test]
// Breaks if: broker/open.rs `detach` does not compare the epochs, so that the end of the connection that lost the
// session ends the new one's; or broker/sessions.rs `claim` leaves the session in the schedule, and
// broker/expiry.rs `happen` does not look at its state.
fn mqtt311_4_1_0_2_a_session_lasts_as_long_as_its_connection() {
    let broker = Broker::configured("[auth]\nanonymous = true\n[session]\nexpiry_3x = \"1s\"\n");
    let mut clean = subscriber(&broker, "clean", "t", 1);
    let mut lasting = connect(&broker, &persistent("lasting"));
    subscribe(&mut lasting, "t", 1);
    // It has been left behind once, but not for long.
    leave(lasting);
    let mut taken_over = resume(&broker, &persistent("lasting"));
    // The end of one connection of several is not the end of the session either.
    let mut lasting = resume(&broker, &persistent("lasting"));
    taken_over.expect_closed();
    leave(connect(&broker, &persistent("left")));
    // Three seconds by the broker's own clock.
    connect(&broker, &persistent("clock").keep_alive(2)).expect_closed();
    // The time was long enough for a session without a connection to end...
    leave(connect(&broker, &persistent("left")));
    // ...but these have had one.
    publish(&mut client(&broker, "publisher"), 1, "t", "still there");
    expect_message(&mut clean, 1, "t", "still there");
    expect_message(&mut lasting, 1, "t", "still there");
    fail(lasting);
    leave(resume(&broker, &persistent("lasting")));
}

/// First byte 0x30, or 0x31 for what is retained: of whatever a message at QoS 0 is made.
#[test]
// Breaks if: codec/publish_frame.rs writes DUP at QoS 0; codec/header.rs `check_publish_flags` lets it pass.
fn mqtt311_4_3_1_1_qos_0_is_sent_with_dup_0() {
    let broker = start();
    let mut subscriber = subscriber(&broker, "subscriber", "t", 0);
    let mut publisher = client(&broker, "publisher");
    publish(&mut publisher, 0, "t", "hi");
    subscriber.expect(b"\x30\x05\0\x01thi");
    // Reduced from a repetition.
    publisher.send(&Publish::v311("t", "hi").qos(1, 1).dup().bytes());
    publisher.expect(&puback(1));
    subscriber.expect(b"\x30\x05\0\x01thi");
    publisher.send(&Publish::v311("t", "hi").qos(2, 2).dup().bytes());
    publisher.expect(&pubrec(2));
    publisher.send(&pubrel(2));
    publisher.expect(&pubcomp(2));
    subscriber.expect(b"\x30\x05\0\x01thi");
    // A Will, and a retained message.
    fail(connect(&broker, &with_will("me", 0, "t", "hi")));
    subscriber.expect(b"\x30\x05\0\x01thi");
    retain(&mut publisher, 2, "t", "hi");
    subscriber.expect(b"\x30\x05\0\x01thi");
    subscribe(&mut subscriber, "t", 0);
    subscriber.expect(b"\x31\x05\0\x01thi");
    // The same is asked of a client.
    breach(&broker, b"\x38\x05\0\x01thi");
}

/// The sender's duties at QoS 1: an unused identifier, DUP 0 at first, and unacknowledged until the PUBACK comes.
#[test]
// Breaks if: session/window.rs `puback` removes nothing, or `add` reuses an id in use; session/outbound.rs `send`
// sets DUP.
fn mqtt311_4_3_2_1_qos_1_as_a_sender() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let mut subscriber = connect(&broker, &persistent("subscriber"));
    subscribe(&mut subscriber, "t", 1);
    let payloads = ["one", "two", "three", "four"];
    let ids = payloads.map(|payload| {
        publish(&mut publisher, 1, "t", payload);
        expect_sent(&mut subscriber, 1, "t", payload)
    });
    for (index, id) in ids.iter().enumerate() {
        assert!(*id != 0 && !ids[..index].contains(id), "{ids:?}");
    }
    // Acknowledged in an order of its own, and one for which nothing was sent.
    for id in [ids[2], ids[0]] {
        subscriber.send(&puback(id));
    }
    let unknown = (1..).find(|id| !ids.contains(id)).expect("one of 65,535");
    subscriber.send(&puback(unknown));
    expect_alive(&mut subscriber);
    drop(subscriber);
    // Unacknowledged are the others, as before.
    let mut subscriber = resume(&broker, &persistent("subscriber"));
    for index in [1, 3] {
        let again = Publish::v311("t", payloads[index]).qos(1, ids[index]);
        subscriber.expect(&again.dup().bytes());
    }
    subscriber.send(&[puback(ids[1]), puback(ids[3])].concat());
    expect_alive(&mut subscriber);
    drop(subscriber);
    let mut subscriber = resume(&broker, &persistent("subscriber"));
    expect_alive(&mut subscriber);
}

/// The receiver's duties at QoS 1: PUBACK with the identifier, and then the identifier is new, whatever DUP says.
#[test]
// Breaks if: session/inbound.rs `publish` holds ids at QoS 1 as it does at QoS 2.
fn mqtt311_4_3_2_2_qos_1_as_a_receiver() {
    let broker = start();
    let mut witness = subscriber(&broker, "witness", "t", 1);
    let mut publisher = connect(&broker, &persistent("publisher"));
    let message = |payload: &str| Publish::v311("t", payload).qos(1, 7);
    for (payload, packet) in [
        ("first", message("first")),
        ("again", message("again").dup()),
        ("again", message("again").dup()),
        ("another", message("another")),
    ] {
        publisher.send(&packet.bytes());
        publisher.expect(&puback(7));
        expect_message(&mut witness, 1, "t", payload);
    }
    // Not on the next connection of the session either.
    drop(publisher);
    let mut publisher = resume(&broker, &persistent("publisher"));
    publisher.send(&message("again").dup().bytes());
    publisher.expect(&puback(7));
    expect_message(&mut witness, 1, "t", "again");
}

/// The sender's duties at QoS 2: an unused identifier, DUP 0 at first, PUBREL for PUBREC, and no PUBLISH any more
/// after that; PUBREL until PUBCOMP comes.
#[test]
// Breaks if: session/window.rs `pubrec` leaves the stage `Publish`, or `pubcomp` removes nothing.
fn mqtt311_4_3_3_1_qos_2_as_a_sender() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let mut subscriber = connect(&broker, &persistent("subscriber"));
    subscribe(&mut subscriber, "t", 2);
    let payloads = ["stays", "received", "released"];
    let ids = payloads.map(|payload| {
        publish(&mut publisher, 2, "t", payload);
        expect_sent(&mut subscriber, 2, "t", payload)
    });
    let [stays, recd, released] = ids;
    assert!(
        stays != recd && recd != released && stays != released,
        "{ids:?}"
    );
    for id in [recd, released] {
        subscriber.send(&pubrec(id));
        subscriber.expect(&pubrel(id));
    }
    subscriber.send(&pubcomp(released));
    // A PUBREC that comes again gets its PUBREL again.
    subscriber.send(&pubrec(recd));
    subscriber.expect(&pubrel(recd));
    drop(subscriber);

    let mut subscriber = resume(&broker, &persistent("subscriber"));
    subscriber.expect(&Publish::v311("t", "stays").qos(2, stays).dup().bytes());
    subscriber.expect(&pubrel(recd));
    expect_alive(&mut subscriber);
    subscriber.send(&pubrec(stays));
    subscriber.expect(&pubrel(stays));
    subscriber.send(&[pubcomp(recd), pubcomp(stays)].concat());
    expect_alive(&mut subscriber);
    drop(subscriber);
    let mut subscriber = resume(&broker, &persistent("subscriber"));
    expect_alive(&mut subscriber);
}

/// The receiver's duties at QoS 2: PUBREC for each PUBLISH of an identifier but one delivery, PUBCOMP for PUBREL, and
/// then the identifier is new.
#[test]
// Breaks if: session/inbound.rs `repeated` always says false, or `release` does not free the id.
fn mqtt311_4_3_3_2_qos_2_as_a_receiver() {
    let broker = start();
    let mut witness = subscriber(&broker, "witness", "t", 2);
    let mut publisher = connect(&broker, &persistent("publisher"));
    let message = |payload: &str| Publish::v311("t", payload).qos(2, 7);
    for payload in ["first", "second", "third"] {
        publisher.send(&message(payload).bytes());
        publisher.expect(&pubrec(7));
        // With DUP and without, on this connection and the next.
        publisher.send(&message(payload).dup().bytes());
        publisher.expect(&pubrec(7));
        publisher.send(&message(payload).bytes());
        publisher.expect(&pubrec(7));
        drop(publisher);
        publisher = resume(&broker, &persistent("publisher"));
        publisher.send(&message(payload).dup().bytes());
        publisher.expect(&pubrec(7));
        // PUBREL is answered as often as it comes, for an id that is not held as well.
        publisher.send(&pubrel(7));
        publisher.expect(&pubcomp(7));
        publisher.send(&pubrel(7));
        publisher.expect(&pubcomp(7));
        // When in the exchange it is delivered is the receiver's choice; but once.
        expect_message(&mut witness, 2, "t", payload);
    }
    // Exactly three deliveries, and this one.
    publish(&mut publisher, 2, "t", "marker");
    expect_message(&mut witness, 2, "t", "marker");
}

#[test]
// Breaks if: session/outbound.rs `attach` does not `draw`, or `resend` passes over `Stage::Release`.
fn mqtt311_4_4_0_1_publish_and_pubrel_are_sent_again_after_a_reconnection() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let mut subscriber = connect(&broker, &persistent("subscriber"));
    subscribe(&mut subscriber, "t", 2);
    let mut expected = Vec::new();
    for (qos, payload) in [(1, "one"), (2, "two"), (2, "released"), (1, "acknowledged")] {
        publish(&mut publisher, qos, "t", payload);
        let id = expect_sent(&mut subscriber, qos, "t", payload);
        match payload {
            "released" => {
                subscriber.send(&pubrec(id));
                subscriber.expect(&pubrel(id));
                expected.push(pubrel(id));
            }
            "acknowledged" => subscriber.send(&puback(id)),
            _ => expected.push(Publish::v311("t", payload).qos(qos, id).dup().bytes()),
        }
    }
    // Nothing is sent again without a reconnection.
    expect_alive(&mut subscriber);
    expected.sort();
    for end in [drop, leave, fail] {
        end(subscriber);
        subscriber = resume(&broker, &persistent("subscriber"));
        // In whatever order PUBREL stands to PUBLISH.
        let mut again: Vec<_> = expected.iter().map(|_| subscriber.packet()).collect();
        again.sort();
        assert_eq!(again, expected);
        expect_alive(&mut subscriber);
    }
}

#[test]
// Breaks if: pubsub/subscriptions.rs `route` stops at the first recipient, or broker/publish.rs `fan_out` does.
fn mqtt311_4_5_0_1_a_message_is_added_to_every_matching_session() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let filters = ["a/b", "a/+", "a/#", "+/b", "#", "a/b"];
    let names = ["1", "2", "3", "4", "5", "6"];
    let mut present: Vec<_> = names
        .iter()
        .zip(filters)
        .map(|(name, filter)| subscriber(&broker, name, filter, 2))
        .collect();
    let away = names.map(|name| format!("away {name}"));
    for (name, filter) in away.iter().zip(filters) {
        let mut subscriber = connect(&broker, &persistent(name));
        subscribe(&mut subscriber, filter, 2);
        leave(subscriber);
    }
    let mut other = subscriber(&broker, "other", "a/c", 2);
    for qos in 1..3 {
        publish(&mut publisher, qos, "a/b", "to all");
        for subscriber in &mut present {
            expect_message(subscriber, qos, "a/b", "to all");
        }
    }
    for name in &away {
        let mut subscriber = resume(&broker, &persistent(name));
        expect_sent(&mut subscriber, 1, "a/b", "to all");
        expect_sent(&mut subscriber, 2, "a/b", "to all");
        expect_alive(&mut subscriber);
    }
    // The publisher is no exception, nor is a Will.
    let will = Will::new("a/c", "a will").qos(2);
    fail(connect(&broker, &persistent("willing").will(will)));
    expect_message(&mut other, 2, "a/c", "a will");
    subscribe(&mut publisher, "a/c", 0);
    publisher.send(&Publish::v311("a/c", "my own").bytes());
    expect_message(&mut publisher, 0, "a/c", "my own");
    expect_message(&mut other, 0, "a/c", "my own");
}
