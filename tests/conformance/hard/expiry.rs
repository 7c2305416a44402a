//! What ends with time: sessions, and messages that wait or are under way.
//!
//! Time passes by events of the broker's own clock, see [`seconds_pass`].

use crate::bytes::{
    Connect, Publish, Will, disconnect_5, four, prop, puback, pubcomp, pubrec, pubrel, two,
};
use crate::mqtt5::steps::{
    break_off, breakable, broker_with, connect, expect_accepted, expect_message, leave, open,
    persistent, published, resume, seconds_pass, take, tell, text_of,
};
use crate::mqtt311::peer;
use crate::received::{Published, connected, expect_alive, expect_disconnect, subscribe};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

/// The Session Expiry Interval, and the Message Expiry Interval, that never end.
const NEVER: u32 = u32::MAX;

/// What is counted for each delivery that came too late.
const EXPIRED: &str = "postbud_messages_dropped_total{reason=\"expired\"}";

/// CONNECT with Clean Start 0 and this Session Expiry Interval.
fn lasting(client_id: &str, seconds: u32) -> Connect {
    Connect::v5(client_id).clean(false).expiry(seconds)
}

/// Leaves with a DISCONNECT that gives the session another Session Expiry Interval.
#[track_caller]
fn leave_for(mut client: RawClient, seconds: u32) {
    client.send(&disconnect_5(
        0,
        &four(prop::SESSION_EXPIRY_INTERVAL, seconds),
    ));
    client.expect_closed();
}

/// Publishes at QoS 2 with this Message Expiry Interval, and waits until it is routed.
#[track_caller]
fn tell_for(broker: &Broker, seconds: u32, message: Publish) {
    let mut writer = connect(broker, "writer");
    let expiry = four(prop::MESSAGE_EXPIRY_INTERVAL, seconds);
    writer.send(&message.property(expiry).qos(2, 1).bytes());
    expect_accepted(&mut writer, 0x50, 1);
    writer.send(&pubrel(1));
    expect_accepted(&mut writer, 0x70, 1);
    leave(writer);
}

/// What a message says is left of its life.
fn left(message: &Published) -> Option<u32> {
    message.properties.integer(prop::MESSAGE_EXPIRY_INTERVAL)
}

// Breaks if: `Open::disconnect` in src/broker/packets.rs does not take the interval, or `leave_behind` in
// src/broker/sessions.rs goes by another.
#[test]
fn disconnect_shortens_and_lengthens_the_life_of_a_session() {
    let broker = Broker::start();
    let of = |id: &str, seconds| open(&broker, &lasting(id, seconds));
    leave_for(of("ended", 600), 0);
    leave_for(of("ended-as-it-never-would", NEVER), 0);
    leave(open(&broker, &lasting("ended", 600)));
    leave(open(&broker, &lasting("ended-as-it-never-would", 600)));
    leave_for(of("shortened", 600), 1);
    leave_for(of("lengthened", 1), 600);
    leave_for(of("lengthened-for-ever", 1), NEVER);
    leave(of("as-it-was", 1));
    // The one without a goodbye is as CONNECT said.
    drop(of("cut", 1));
    seconds_pass(&broker, 3);
    for gone in ["shortened", "as-it-was", "cut"] {
        leave(open(&broker, &lasting(gone, 600)));
    }
    for there in ["lengthened", "lengthened-for-ever"] {
        leave(resume(&broker, &lasting(there, 600)));
    }
}

// Breaks if: `expires_at_once` in src/broker/open.rs is that of an earlier connection, or `Open::disconnect` in
// src/broker/packets.rs takes the expiry before it refuses it.
#[test]
fn an_expiry_out_of_nothing_is_a_breach_and_the_session_ends() {
    let broker = Broker::start();
    let mut witness = connect(&broker, "witness");
    subscribe(&mut witness, "will", 0);
    leave(open(&broker, &lasting("c", 600)));
    // Of this connection, not of the one before; said or not.
    let with_will = |connect: Connect| connect.will(Will::new("will", "breach"));
    let not_said = with_will(Connect::v5("c").clean(false));
    let mut client = resume(&broker, &not_said);
    for connect in [not_said, with_will(lasting("c", 0))] {
        for seconds in [1, NEVER] {
            let expiry = four(prop::SESSION_EXPIRY_INTERVAL, seconds);
            client.send(&disconnect_5(0, &expiry));
            expect_disconnect(&mut client, 0x82);
            assert_eq!(text_of(&published(&mut witness)), "breach");
            client = open(&broker, &connect);
        }
    }
    // Nothing out of nothing is fine.
    leave_for(client, 0);
    expect_alive(&mut witness);
}

// Breaks if: `Open::new` in src/broker/open.rs compares what was granted instead of what was asked for.
#[test]
fn who_asked_for_a_session_and_was_granted_none_may_still_name_an_expiry() {
    let broker = broker_with("expiry_maximum = 0");
    let mut witness = connect(&broker, "witness");
    subscribe(&mut witness, "will", 0);
    let connect = lasting("c", 60).will(Will::new("will", "never"));
    let (client, connack) = connected(broker.tcp, &connect);
    let granted = connack.properties.integer(prop::SESSION_EXPIRY_INTERVAL);
    assert_eq!(granted, Some(0));
    // CONNECT was not zero: it is no Protocol Error, and the goodbye is one. Nor is there a session afterwards.
    leave_for(client, 30);
    expect_alive(&mut witness);
    leave(open(&broker, &lasting("c", 60)));
}

// Breaks if: `negotiate_expiry` in src/session/terms.rs cuts what is allowed, or `expires` in src/broker/shared.rs takes
// the largest number for one of seconds.
#[test]
fn a_session_without_end_is_granted_where_it_may_be_and_cut_where_not() {
    let broker = broker_with("expiry_maximum = \"never\"");
    let (client, connack) = connected(broker.tcp, &lasting("c", NEVER));
    let granted = connack.properties.integer(prop::SESSION_EXPIRY_INTERVAL);
    assert_eq!(granted, None, "as asked for");
    leave(client);
    leave_for(resume(&broker, &lasting("c", NEVER)), NEVER - 1);
    leave_for(resume(&broker, &lasting("c", NEVER - 1)), NEVER);
    leave_for(resume(&broker, &lasting("c", 1)), 1);
    seconds_pass(&broker, 2);
    leave(open(&broker, &lasting("c", 1)));
    let broker = broker_with("expiry_maximum = 2");
    let (client, connack) = connected(broker.tcp, &lasting("c", NEVER));
    let granted = connack.properties.integer(prop::SESSION_EXPIRY_INTERVAL);
    assert_eq!(granted, Some(2));
    // The bound holds for DISCONNECT too.
    leave_for(client, NEVER);
    seconds_pass(&broker, 3);
    leave(open(&broker, &lasting("c", 2)));
}

// Breaks if: `end_session` in src/broker/sessions.rs leaves subscriptions, groups or queues behind.
#[test]
fn a_session_that_expires_takes_everything_along() {
    let broker = Broker::start();
    let mut client = open(&broker, &lasting("c", 1));
    for filter in ["t", "$share/g/t", "#"] {
        subscribe(&mut client, filter, 2);
    }
    tell(&broker, "t", 2, "under way");
    // By its own subscriptions, and by the group.
    for _ in 0..2 {
        expect_message(&mut client, false, 2, "under way");
    }
    leave(client);
    tell(&broker, "t", 1, "waits");
    seconds_pass(&broker, 2);
    broker.wait_for_samples(&[
        ("postbud_sessions_expired_total", 1.0),
        // The one by which time passed.
        ("postbud_sessions", 1.0),
        ("postbud_subscriptions", 0.0),
        ("postbud_shared_groups", 0.0),
        ("postbud_messages_queued", 0.0),
    ]);
    let mut client = open(&broker, &lasting("c", 600));
    expect_alive(&mut client);
    tell(&broker, "t", 1, "for nobody");
    expect_alive(&mut client);
}

// Breaks if: `Outbound::send` in src/session/outbound.rs or `Queue::drop_expired` in src/queue/mod.rs passes over what
// expired behind something that did not, or the version of the reader decides.
#[test]
fn of_what_waits_only_the_living_comes_in_its_order() {
    let broker = Broker::start();
    let mut client = open(&broker, &persistent("of-5"));
    subscribe(&mut client, "t", 2);
    leave(client);
    let mut of_311 = peer::connect(&broker, &peer::persistent("of-311"));
    peer::subscribe(&mut of_311, "t", 1);
    peer::leave(of_311);
    for (seconds, payload) in [(1, "a"), (600, "b"), (1, "c"), (NEVER, "d"), (1, "e")] {
        tell_for(&broker, seconds, Publish::v5("t", payload));
    }
    tell(&broker, "t", 2, "f");
    seconds_pass(&broker, 2);
    let mut client = resume(&broker, &persistent("of-5"));
    let messages = take(&mut client, 3);
    let payloads = messages.iter().map(text_of).collect::<Vec<_>>();
    assert_eq!(payloads, ["b", "d", "f"]);
    let left = messages.iter().map(left).collect::<Vec<_>>();
    assert!(
        left[0].is_some_and(|left| (400..=598).contains(&left)),
        "{left:?}"
    );
    assert!(
        left[1].is_some_and(|left| (NEVER - 200..NEVER).contains(&left)),
        "{left:?}"
    );
    assert_eq!(left[2], None);
    expect_alive(&mut client);
    let mut of_311 = peer::resume(&broker, &peer::persistent("of-311"));
    for payload in ["b", "d", "f"] {
        peer::expect_message(&mut of_311, 1, "t", payload);
    }
    expect_alive(&mut of_311);
    broker.wait_for_samples(&[(EXPIRED, 6.0), ("postbud_messages_queued", 0.0)]);
}

// Breaks if: `Outbound::deliver` in src/session/outbound.rs does not drop what has expired before it pushes.
#[test]
fn the_dead_make_room_in_a_full_queue() {
    let broker = Broker::configured("[auth]\nanonymous = true\n[queue]\nmessages = 2\n");
    let mut client = open(&broker, &persistent("c"));
    subscribe(&mut client, "t", 1);
    leave(client);
    for payload in ["a", "b"] {
        tell_for(&broker, 1, Publish::v5("t", payload));
    }
    seconds_pass(&broker, 2);
    for payload in ["c", "d", "one too many"] {
        tell_for(&broker, 600, Publish::v5("t", payload));
    }
    let mut client = resume(&broker, &persistent("c"));
    for payload in ["c", "d"] {
        let id = expect_message(&mut client, false, 1, payload);
        client.send(&puback(id));
    }
    expect_alive(&mut client);
}

// Breaks if: `Outbound::resend` in src/session/outbound.rs drops what has expired, or `remaining_expiry` in
// src/message.rs goes below 0.
#[test]
fn what_is_under_way_is_sent_again_though_its_time_is_over() {
    let broker = Broker::start();
    let mut client = open(&broker, &breakable("c"));
    subscribe(&mut client, "t/1", 1);
    subscribe(&mut client, "t/2", 2);
    for topic in ["t/1", "t/2", "t/2"] {
        tell_for(&broker, 1, Publish::v5(topic, topic));
    }
    let [first, second, third] = [(); 3].map(|()| published(&mut client));
    assert_eq!([&first, &second, &third].map(left), [Some(1); 3]);
    client.send(&pubrec(third.packet_id));
    client.expect(&pubrel(third.packet_id));
    break_off(&broker, client);
    // This one has not begun.
    tell_for(&broker, 1, Publish::v5("t/1", "late"));
    seconds_pass(&broker, 2);
    let mut client = resume(&broker, &persistent("c"));
    for before in [first, second] {
        let again = published(&mut client);
        assert_eq!((again.dup, again.packet_id), (true, before.packet_id));
        assert_eq!(
            (&again.topic, &again.payload),
            (&before.topic, &before.payload)
        );
        assert_eq!(left(&again), Some(0));
        match again.qos {
            1 => client.send(&puback(again.packet_id)),
            _ => {
                client.send(&pubrec(again.packet_id));
                // The PUBREL that is sent again comes first.
                client.expect(&pubrel(third.packet_id));
                client.expect(&pubrel(again.packet_id));
                client.send(&pubcomp(again.packet_id));
            }
        }
    }
    client.send(&pubcomp(third.packet_id));
    expect_alive(&mut client);
    broker.wait_for_samples(&[(EXPIRED, 1.0)]);
}

// Breaks if: `Group::drain` in src/pubsub/share.rs does not drop what has expired, or drops what has not.
#[test]
fn what_expires_in_the_backlog_of_a_group_is_for_nobody() {
    let broker = Broker::start();
    let mut member = open(&broker, &persistent("member"));
    subscribe(&mut member, "$share/g/t", 1);
    leave(member);
    for (seconds, payload) in [(1, "a"), (600, "b"), (1, "c")] {
        tell_for(&broker, seconds, Publish::v5("t", payload));
    }
    seconds_pass(&broker, 2);
    let mut other = connect(&broker, "other");
    subscribe(&mut other, "$share/g/t", 1);
    let message = take(&mut other, 1).remove(0);
    assert_eq!(text_of(&message), "b");
    assert!(
        left(&message).is_some_and(|left| (400..=598).contains(&left)),
        "{message:02x?}"
    );
    expect_alive(&mut other);
    let mut member = resume(&broker, &persistent("member"));
    expect_alive(&mut member);
    broker.wait_for_samples(&[(EXPIRED, 2.0), ("postbud_messages_queued", 0.0)]);
}

// Breaks if: `Inbound::publish` in src/session/inbound.rs takes an expiry of 0 for none, or `Retained::find` in
// src/pubsub/retained.rs gives what has expired and is not swept yet.
#[test]
fn an_expiry_of_0_is_over_at_once() {
    let broker = Broker::start();
    let mut away = open(&broker, &persistent("away"));
    subscribe(&mut away, "t", 1);
    leave(away);
    tell(&broker, "t", 1, "before");
    tell_for(&broker, 0, Publish::v5("t", "dead").retain());
    let mut late = connect(&broker, "late");
    subscribe(&mut late, "t", 0);
    expect_alive(&mut late);
    let mut away = resume(&broker, &persistent("away"));
    assert_eq!(text_of(&take(&mut away, 1)[0]), "before");
    expect_alive(&mut away);
    // It has replaced what was retained, all the same.
    let kept = Publish::v5("t", "kept").retain();
    tell_for(&broker, 600, kept);
    assert_eq!(text_of(&take(&mut away, 1)[0]), "kept");
    tell_for(&broker, 0, Publish::v5("t", "dead").retain());
    let mut late = connect(&broker, "later");
    subscribe(&mut late, "t", 0);
    expect_alive(&mut late);
}

// Breaks if: `Outbound::send` in src/session/outbound.rs puts into the window what has expired.
#[test]
fn what_expires_behind_a_full_window_takes_no_place_in_it() {
    let broker = Broker::start();
    let connect = persistent("c").property(two(prop::RECEIVE_MAXIMUM, 1));
    let mut client = open(&broker, &connect);
    subscribe(&mut client, "t", 2);
    tell(&broker, "t", 2, "first");
    let first = expect_message(&mut client, false, 2, "first");
    for (seconds, payload) in [(1, "a"), (1, "b"), (600, "c"), (1, "d"), (600, "e")] {
        tell_for(&broker, seconds, Publish::v5("t", payload));
    }
    // QoS 0 does not wait for the window, nor for its time to pass.
    tell(&broker, "t", 0, "passes by");
    expect_message(&mut client, false, 0, "passes by");
    seconds_pass(&broker, 2);
    client.send(&pubrec(first));
    client.expect(&pubrel(first));
    expect_alive(&mut client);
    client.send(&pubcomp(first));
    let payloads: Vec<_> = take(&mut client, 2)
        .iter()
        .map(text_of)
        .map(String::from)
        .collect();
    assert_eq!(payloads, ["c", "e"]);
    expect_alive(&mut client);
    broker.wait_for_samples(&[(EXPIRED, 3.0)]);
}
