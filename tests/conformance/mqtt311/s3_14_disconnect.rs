//! Sections 3.12 to 3.14: PINGREQ and DISCONNECT.

use super::peer::{
    client, connect, expect_message, fail, leave, persistent, publish, resume, start, subscriber,
    with_will,
};
use crate::bytes::{DISCONNECT, PINGREQ, PINGRESP, Publish, Will};

#[test]
// Breaks if: broker/packets.rs `pong` commits nothing.
fn mqtt311_3_12_4_1_pingreq_is_answered_with_pingresp() {
    let broker = start();
    let mut client = client(&broker, "client");
    for _ in 0..10 {
        client.send(&PINGREQ);
        client.expect(&PINGRESP);
    }
    // One for each, however many come at once; and whatever the Keep Alive.
    client.send(&PINGREQ.repeat(1_000));
    for _ in 0..1_000 {
        client.expect(&PINGRESP);
    }
    let mut without = connect(&broker, &persistent("without").keep_alive(0));
    without.send(&PINGREQ);
    without.expect(&PINGRESP);
}

/// A DISCONNECT whose reserved bits are set is none: the connection is closed, and the Will published.
#[test]
// Breaks if: codec/header.rs `check_flags` lets any flags pass.
fn mqtt311_3_14_1_1_a_disconnect_with_reserved_bits_is_a_breach() {
    let broker = start();
    let mut witness = subscriber(&broker, "witness", "will", 0);
    for flags in 1..16 {
        let payload = format!("{flags:04b}");
        let mut bad = connect(&broker, &with_will("me", 0, "will", &payload));
        bad.send(&[0xe0 | flags, 0]);
        bad.expect_closed();
        expect_message(&mut witness, 0, "will", &payload);
    }
    leave(connect(&broker, &with_will("me", 0, "will", "good")));
    publish(&mut client(&broker, "publisher"), 0, "will", "marker");
    expect_message(&mut witness, 0, "will", "marker");
}

#[test]
// Breaks if: broker/packets.rs `disconnect` leaves as `Detach::Silent` with code 0, or broker/sessions.rs
// `settle_will` keeps the Will at `Detach::Goodbye`.
fn mqtt311_3_14_4_3_disconnect_discards_the_will() {
    let broker = start();
    let mut witness = subscriber(&broker, "witness", "#", 0);
    let mut publisher = client(&broker, "publisher");
    for clean in [true, false] {
        for retain in [true, false] {
            let will = Will::new("will", "unwanted").qos(1);
            let will = if retain { will.retain() } else { will };
            let me = persistent("me").clean(clean).will(will);
            leave(connect(&broker, &me));
            // Whatever becomes of the session afterwards.
            fail(client(&broker, "me"));
        }
    }
    // What comes before DISCONNECT is handled, what comes after it is not.
    let mut last = connect(&broker, &with_will("me", 1, "will", "unwanted"));
    let before = Publish::v311("t", "before").bytes();
    let after = Publish::v311("t", "after").bytes();
    last.send(&[&before[..], &DISCONNECT, &after].concat());
    last.expect_closed();
    expect_message(&mut witness, 0, "t", "before");
    publish(&mut publisher, 0, "t", "marker");
    expect_message(&mut witness, 0, "t", "marker");
    // Nor is it there, retained.
    let mut late = subscriber(&broker, "late", "will", 1);
    publish(&mut publisher, 0, "will", "marker");
    expect_message(&mut late, 0, "will", "marker");
    // The session itself has nothing to do with it.
    leave(connect(
        &broker,
        &with_will("you", 1, "will", "").clean(false),
    ));
    leave(resume(&broker, &persistent("you")));
}
