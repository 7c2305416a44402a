//! Section 3.2: CONNACK.

use super::peer::{
    client, connack, connect, expect_sent, fail, leave, not_connected, persistent, publish,
    refused, resume, start, suback, subscribe, with_will,
};
use crate::bytes::{Connect, PINGREQ, Publish, subscribe_311};
use crate::received::expect_alive;
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

#[test]
// Breaks if: session/outbound.rs `attach` draws before it commits `first`.
fn mqtt311_3_2_0_1_connack_is_the_first_packet() {
    let broker = start();
    // Everything that wants an answer in one write with CONNECT.
    let mut hasty = RawClient::connect(broker.tcp);
    hasty.send(
        &[
            &Connect::v311("hasty").bytes()[..],
            &PINGREQ,
            &subscribe_311(1, &[("t", 0)]),
            &Publish::v311("t", "own").bytes(),
        ]
        .concat(),
    );
    hasty.expect(&connack(false, 0));
    let rest = [(); 3].map(|()| hasty.packet()[0]);
    for answer in [0xd0, 0x90, 0x30] {
        assert!(rest.contains(&answer), "{rest:02x?}");
    }
    // A session full of messages is resumed: they come after CONNACK.
    let mut subscriber = connect(&broker, &persistent("subscriber"));
    subscribe(&mut subscriber, "u", 2);
    let mut publisher = client(&broker, "publisher");
    publish(&mut publisher, 1, "u", "in flight");
    expect_sent(&mut subscriber, 1, "u", "in flight");
    leave(subscriber);
    publish(&mut publisher, 2, "u", "queued");
    let mut subscriber = RawClient::connect(broker.tcp);
    subscriber.send(&persistent("subscriber").bytes());
    subscriber.expect(&connack(true, 0));
    assert_eq!(subscriber.packet()[0], 0x3a);
    assert_eq!(subscriber.packet()[0], 0x34);
}

#[test]
// Breaks if: broker/sessions.rs `open` says `connack(true)` whenever it found a session.
fn mqtt311_3_2_2_1_clean_session_1_gets_session_present_0() {
    let broker = start();
    let me = Connect::v311("me");
    leave(connect(&broker, &me));
    leave(connect(&broker, &me));
    // Whatever was there before.
    let mut before = connect(&broker, &persistent("me"));
    subscribe(&mut before, "t", 1);
    leave(before);
    leave(connect(&broker, &me));
    // Even if it is there still.
    let before = connect(&broker, &persistent("me"));
    let _now = connect(&broker, &me);
    drop(before);
}

#[test]
// Breaks if: broker/sessions.rs `open` says `connack(false)` always; codec/connack.rs `body` leaves the flag out.
fn mqtt311_3_2_2_2_a_stored_session_gets_session_present_1() {
    let broker = start();
    // A session without any subscription is one too.
    leave(connect(&broker, &persistent("me")));
    for end in [leave, fail, drop, leave] {
        let session = resume(&broker, &persistent("me"));
        end(session);
    }
    // Of a session that is in use it holds as well.
    let mut old = resume(&broker, &persistent("me"));
    let _new = resume(&broker, &persistent("me"));
    old.expect_closed();
}

#[test]
// Breaks if: broker/sessions.rs `open` says `connack(true)` always.
fn mqtt311_3_2_2_3_without_a_stored_session_session_present_is_0() {
    let broker = start();
    // Never seen.
    let first = connect(&broker, &persistent("me"));
    leave(first);
    // Ended by a clean session, which has nothing to resume either, however it ends.
    for end in [leave, fail] {
        end(client(&broker, "me"));
        leave(connect(&broker, &persistent("me")));
    }
    // Somebody else's.
    leave(connect(&broker, &persistent("you")));
    leave(resume(&broker, &persistent("me")));
}

/// A refusal never speaks of the session, though there is one with this Client Identifier; and that is none the
/// worse for it.
#[test]
// Breaks if: codec/connack.rs `body` writes 1 where the code is an error.
fn mqtt311_3_2_2_4_a_refusal_has_session_present_0() {
    let broker = start();
    leave(connect(&broker, &persistent("me")));
    refused(&broker, &Connect::version(3, "me").clean(false), 1);
    refused(&broker, &Connect::version(0, "me").clean(false), 1);
    refused(
        &broker,
        &with_will("me", 0, "$SYS/will", "").clean(false),
        5,
    );
    refused(&broker, &Connect::v311("").clean(false), 2);
    leave(resume(&broker, &persistent("me")));
}

#[test]
// Breaks if: listener/driver.rs `follow` goes on reading at `Turn::Close`.
fn mqtt311_3_2_2_5_a_refusal_is_followed_by_the_close() {
    let broker = start();
    // Each of the return codes that this configuration has, and one that has no users at all.
    refused(&broker, &Connect::version(3, "me"), 1);
    refused(&broker, &Connect::v311("").clean(false), 2);
    refused(&broker, &with_will("me", 1, "$SYS/will", ""), 5);
    let closed = Broker::configured("[auth]\nanonymous = false\n");
    let mut stranger = RawClient::connect(closed.tcp);
    stranger.send(&Connect::v311("stranger").bytes());
    let refusal = stranger.packet();
    assert!(
        refusal == connack(false, 4) || refusal == connack(false, 5),
        "{refusal:02x?}"
    );
    stranger.expect_closed();
}

#[test]
// Breaks if: codec/reason.rs `connack_v3` has a number for what 3.1.1 has none for (MalformedPacket, ProtocolError).
fn mqtt311_3_2_2_6_without_a_fitting_return_code_there_is_no_connack() {
    let broker = start();
    // The flags, the password, the protocol's name, the packet's length: the table has no word for them.
    not_connected(&broker, &Connect::v311("me").flags(0x03).bytes());
    not_connected(&broker, &Connect::v311("me").password("alone").bytes());
    not_connected(&broker, &Connect::v311("me").protocol("MQTX").bytes());
    not_connected(&broker, &with_will("me", 3, "topic", "").bytes());
    not_connected(&broker, &with_will("me", 0, "topic/#", "").bytes());
    not_connected(&broker, b"\x10\xff\xff\xff\xff\x7f");
    // What is accepted has return code 0, and the connection stays.
    let mut client = client(&broker, "me");
    subscribe(&mut client, "t", 0);
    client.send(&subscribe_311(2, &[("u", 0)]));
    client.expect(&suback(2, &[0]));
    expect_alive(&mut client);
}
