//! Retained messages against everything that a subscription can be: new or not, overlapping, shared, of a session that
//! is resumed.
//!
//! A SUBSCRIBE is answered in full before a PINGREQ that follows it, so `expect_alive` shows that no more is retained.

use crate::bytes::{
    Connect, Publish, byte, four, number, prop, puback, pubrec, pubrel, subscribe_5, unsubscribe_5,
};
use crate::mqtt5::steps::{
    break_off, breakable, connect, expect_accepted, leave, open, persistent, published, resume,
    seconds_pass, take, tell, text_of,
};
use crate::mqtt311::peer;
use crate::received::{Published, expect_alive, subscribe};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

/// Subscription Options beside the QoS.
const AS_PUBLISHED: u8 = 0x08;
const IF_NEW: u8 = 0x10;
const NOT_AT_ALL: u8 = 0x20;

/// A broker that retains nothing of its own.
#[track_caller]
fn without_sys() -> Broker {
    Broker::configured("[auth]\nanonymous = true\n[sys]\ninterval = 0\n")
}

/// Retains this at QoS 2, and waits until it is.
#[track_caller]
fn keep(broker: &Broker, topic: &str, payload: &str) {
    keep_this(broker, Publish::v5(topic, payload));
}

#[track_caller]
fn keep_this(broker: &Broker, message: Publish) {
    let mut writer = connect(broker, "keeper");
    writer.send(&message.retain().qos(2, 1).bytes());
    expect_accepted(&mut writer, 0x50, 1);
    writer.send(&pubrel(1));
    expect_accepted(&mut writer, 0x70, 1);
    leave(writer);
}

/// SUBSCRIBE with a Subscription Identifier; expects the QoS to be granted.
#[track_caller]
fn subscribe_as(client: &mut RawClient, id: usize, filter: &str, options: u8) {
    let id = number(prop::SUBSCRIPTION_IDENTIFIER, id);
    client.send(&subscribe_5(1, &id, &[(filter, options)]));
    client.expect(&[0x90, 4, 0, 1, 0, options & 3]);
}

/// Takes the next message: RETAIN, QoS, payload, and Subscription Identifiers of one byte each.
#[track_caller]
fn next(client: &mut RawClient) -> (bool, u8, String, Vec<u8>) {
    seen(&take(client, 1)[0])
}

fn seen(message: &Published) -> (bool, u8, String, Vec<u8>) {
    let ids = message.properties.all(prop::SUBSCRIPTION_IDENTIFIER);
    let mut ids = ids.concat();
    ids.sort_unstable();
    (
        message.retain,
        message.qos,
        text_of(message).to_owned(),
        ids,
    )
}

/// Nothing that is retained comes to a new subscription.
#[track_caller]
fn expect_none_kept(broker: &Broker, filter: &str) {
    let mut late = connect(broker, "late");
    subscribe(&mut late, filter, 0);
    expect_alive(&mut late);
}

// Breaks if: `Feed::delivery` in src/broker/delivery.rs takes QoS or identifiers of other subscriptions, or `note_feeds` in
// src/broker/subscribe.rs asks for Retain Handling of the first filter only.
#[test]
fn each_of_several_overlapping_subscriptions_gets_its_own_copy_and_live_there_is_one() {
    let broker = Broker::start();
    keep(&broker, "a/b", "kept");
    let mut client = connect(&broker, "client");
    subscribe_as(&mut client, 5, "a/#", 0);
    assert_eq!(next(&mut client), (true, 0, "kept".into(), vec![5]));
    subscribe_as(&mut client, 6, "a/+", IF_NEW | 1);
    assert_eq!(next(&mut client), (true, 1, "kept".into(), vec![6]));
    subscribe_as(&mut client, 7, "a/b", NOT_AT_ALL | 2);
    expect_alive(&mut client);
    tell(&broker, "a/b", 2, "live");
    assert_eq!(next(&mut client), (false, 2, "live".into(), vec![5, 6, 7]));
    // All in one SUBSCRIBE: a copy for each that is new or wants it always, with its own QoS.
    let id = number(prop::SUBSCRIPTION_IDENTIFIER, 9);
    let filters = [
        ("a/#", 2),
        ("a/+", IF_NEW | 1),
        ("a/b", NOT_AT_ALL),
        ("+/b", IF_NEW | AS_PUBLISHED | 1),
    ];
    client.send(&subscribe_5(2, &id, &filters));
    client.expect(&[0x90, 7, 0, 2, 0, 2, 1, 0, 1]);
    let mut copies = take(&mut client, 2).iter().map(seen).collect::<Vec<_>>();
    copies.sort();
    let of = |qos| (true, qos, "kept".to_owned(), vec![9]);
    assert_eq!(copies, [of(1), of(2)]);
    expect_alive(&mut client);
}

// Breaks if: `wants_retained` in src/broker/subscribe.rs goes by the options of the subscription before, or
// `Broker::subscribe` forgets what is replaced when the session is resumed.
#[test]
fn retain_handling_is_that_of_the_subscribe_and_newness_that_of_the_session() {
    let broker = Broker::start();
    keep(&broker, "t", "kept");
    let kept = || (true, 0, "kept".to_owned(), Vec::new());
    let mut client = open(&broker, &persistent("c"));
    // Never, then if new: it exists by now; then always, and never again.
    for options in [NOT_AT_ALL, IF_NEW] {
        subscribe(&mut client, "t", options);
        expect_alive(&mut client);
    }
    subscribe(&mut client, "t", 0);
    assert_eq!(next(&mut client), kept());
    leave(client);
    // A session that is resumed gets nothing by itself, not even for a subscription that wants it always.
    let mut client = resume(&broker, &persistent("c"));
    expect_alive(&mut client);
    subscribe(&mut client, "t", IF_NEW | 1);
    expect_alive(&mut client);
    // Unsubscribed and subscribed again in one write, it is new.
    let again = [
        unsubscribe_5(2, &[], &["t"]),
        subscribe_5(3, &[], &[("t", IF_NEW)]),
    ];
    client.send(&again.concat());
    client.expect(&[0xb0, 4, 0, 2, 0, 0]);
    client.expect(&[0x90, 4, 0, 3, 0, 0]);
    assert_eq!(next(&mut client), kept());
    leave(client);
    // So it is in a session that is new.
    let mut client = open(&broker, &persistent("c").clean(true));
    subscribe(&mut client, "t", IF_NEW);
    assert_eq!(next(&mut client), kept());
    leave(client);
    // A client of 3.1.1 gets it for each SUBSCRIBE, and makes a subscription that is not new to one of 5.0.
    let mut client = peer::resume(&broker, &peer::persistent("c"));
    for _ in 0..2 {
        peer::subscribe(&mut client, "t", 1);
        peer::expect_retained(&mut client, 1, "t", "kept");
    }
    peer::subscribe(&mut client, "+", 1);
    peer::expect_retained(&mut client, 1, "t", "kept");
    peer::leave(client);
    let mut client = resume(&broker, &persistent("c"));
    subscribe(&mut client, "+", IF_NEW);
    expect_alive(&mut client);
}

// Breaks if: `note_feeds` in src/broker/subscribe.rs notes shared filters too, without what stands before the filter.
#[test]
fn a_member_of_a_group_never_gets_what_is_retained() {
    let broker = Broker::start();
    keep(&broker, "t", "kept");
    let mut member = open(&broker, &persistent("member"));
    for options in [0, IF_NEW, 1, AS_PUBLISHED | 2] {
        subscribe(&mut member, "$share/crew/t", options);
        expect_alive(&mut member);
    }
    member.send(&unsubscribe_5(2, &[], &["$share/crew/t"]));
    member.expect(&[0xb0, 4, 0, 2, 0, 0]);
    subscribe(&mut member, "$share/crew/#", AS_PUBLISHED | 2);
    expect_alive(&mut member);
    // The plain subscription beside it does, as ever.
    subscribe(&mut member, "t", IF_NEW);
    assert_eq!(next(&mut member), (true, 0, "kept".into(), vec![]));
    leave(member);
    let mut member = resume(&broker, &persistent("member"));
    expect_alive(&mut member);
    // Live, RETAIN is as each of the two wants it.
    keep(&broker, "t", "live");
    let mut copies = take(&mut member, 2).iter().map(seen).collect::<Vec<_>>();
    copies.sort();
    let of = |retain, qos| (retain, qos, "live".to_owned(), Vec::new());
    assert_eq!(copies, [of(false, 0), of(true, 2)]);
    let mut of_311 = peer::client(&broker, "of-311");
    peer::subscribe(&mut of_311, "$share/other/t", 1);
    expect_alive(&mut of_311);
    keep(&broker, "t", "again");
    peer::expect_message(&mut of_311, 1, "t", "again");
}

// Breaks if: `Broker::deliver` in src/broker/delivery.rs or `Member::delivery` in src/pubsub/share.rs drops RETAIN of an
// empty message, or `Retained::set` in src/pubsub/retained.rs keeps it.
#[test]
fn clearing_is_seen_live_as_each_subscription_wants_it() {
    let broker = Broker::start();
    let mut plain = connect(&broker, "plain");
    subscribe(&mut plain, "t", 2);
    let mut as_published = connect(&broker, "as-published");
    subscribe(&mut as_published, "t", AS_PUBLISHED | 2);
    let mut away = open(&broker, &persistent("away"));
    subscribe(&mut away, "t", AS_PUBLISHED | 1);
    leave(away);
    let mut of_311 = peer::subscriber(&broker, "of-311", "t", 1);
    let mut member = connect(&broker, "member");
    subscribe(&mut member, "$share/crew/t", AS_PUBLISHED);
    for payload in ["kept", ""] {
        keep(&broker, "t", payload);
        assert_eq!(next(&mut plain), (false, 2, payload.into(), vec![]));
        assert_eq!(next(&mut as_published), (true, 2, payload.into(), vec![]));
        assert_eq!(next(&mut member), (true, 0, payload.into(), vec![]));
        peer::expect_message(&mut of_311, 1, "t", payload);
    }
    let mut away = resume(&broker, &persistent("away"));
    for payload in ["kept", ""] {
        assert_eq!(next(&mut away), (true, 1, payload.into(), vec![]));
    }
    expect_none_kept(&broker, "t");
}

// Breaks if: `Retained::set` in src/pubsub/retained.rs clears for QoS 1 and 2 only, or `Broker::retain` in
// src/broker/publish.rs does not ask for RETAIN.
#[test]
fn only_an_empty_message_with_retain_clears_and_at_any_qos() {
    let broker = Broker::start();
    for qos in 0..=2 {
        keep(&broker, "t", "kept");
        // Empty without RETAIN, or with RETAIN on another topic, clears nothing.
        tell(&broker, "t", qos, "");
        keep(&broker, "t/", "");
        let mut late = connect(&broker, "late");
        subscribe(&mut late, "t", 0);
        assert_eq!(next(&mut late), (true, 0, "kept".into(), vec![]));
        let mut writer = connect(&broker, "writer");
        let expiry = four(prop::MESSAGE_EXPIRY_INTERVAL, 600);
        let clears = Publish::v5("t", "").retain().property(expiry).qos(qos, 1);
        writer.send(&clears.bytes());
        match qos {
            0 => expect_alive(&mut writer),
            1 => expect_accepted(&mut writer, 0x40, 1),
            _ => expect_accepted(&mut writer, 0x50, 1),
        }
        expect_none_kept(&broker, "#");
    }
    peer::publish(&mut peer::client(&broker, "of-311"), 0, "t", "not kept");
    expect_none_kept(&broker, "t");
}

// Breaks if: `Feed::delivery` in src/broker/delivery.rs takes the QoS of the subscription or of the message alone.
#[test]
fn what_is_retained_comes_at_the_lower_qos_of_message_and_subscription() {
    let broker = Broker::start();
    for published in 0..=2 {
        let mut writer = connect(&broker, "writer");
        let message = Publish::v5(format!("q/{published}"), "kept").retain();
        writer.send(&message.qos(published, 1).bytes());
        match published {
            0 => expect_alive(&mut writer),
            1 => expect_accepted(&mut writer, 0x40, 1),
            // Retained from the PUBLISH on, whatever becomes of the PUBREL.
            _ => expect_accepted(&mut writer, 0x50, 1),
        }
    }
    for granted in 0..=2 {
        let mut client = connect(&broker, "client");
        subscribe(&mut client, "q/+", granted);
        for published in 0..=2 {
            let message = take(&mut client, 1).remove(0);
            assert_eq!(message.topic, format!("q/{published}"));
            assert_eq!(
                (message.retain, message.qos),
                (true, published.min(granted))
            );
        }
        let mut client = peer::client(&broker, "of-311");
        peer::subscribe(&mut client, "q/+", granted);
        for published in 0..=2 {
            let topic = format!("q/{published}");
            peer::expect_retained(&mut client, published.min(granted), &topic, "kept");
        }
    }
}

// Breaks if: `frame` in src/session/outbound.rs is given another RETAIN or no identifiers when a delivery is sent
// again.
#[test]
fn a_retained_message_that_is_sent_again_is_still_one() {
    let broker = Broker::start();
    keep(&broker, "t", "kept");
    let mut client = open(&broker, &breakable("c"));
    subscribe_as(&mut client, 1, "t", 1);
    let first = published(&mut client);
    subscribe_as(&mut client, 2, "#", 2);
    let second = published(&mut client);
    // Replaced in the meantime: what is under way stays what it was.
    break_off(&broker, client);
    keep(&broker, "t", "");
    let mut client = resume(&broker, &persistent("c"));
    for (before, id) in [(first, 1), (second, 2)] {
        let again = published(&mut client);
        assert!(again.dup);
        assert_eq!(again.packet_id, before.packet_id);
        assert_eq!(seen(&again), (true, id, "kept".into(), vec![id]));
        match id {
            1 => client.send(&puback(again.packet_id)),
            _ => client.send(&pubrec(again.packet_id)),
        }
    }
    // The clearing has waited, live and for both subscriptions in one; a PUBREL comes in between.
    let mut packets = [client.packet(), client.packet()];
    packets.sort_by_key(|packet| packet[0] == 0x62);
    let clearing = seen(&Published::v5(&packets[0]));
    assert_eq!(clearing, (false, 2, String::new(), vec![1, 2]));
    assert_eq!(packets[1][0], 0x62);
}

// Breaks if: `Retained::set` in src/pubsub/retained.rs inserts without replacing, or `sweep` never removes anything.
#[test]
fn what_is_retained_lives_as_long_as_the_last_message_says() {
    let broker = without_sys();
    let short = || four(prop::MESSAGE_EXPIRY_INTERVAL, 1);
    let long = || four(prop::MESSAGE_EXPIRY_INTERVAL, 600);
    keep_this(&broker, Publish::v5("short", "dead").property(short()));
    keep_this(
        &broker,
        Publish::v5("short-after-long", "dead").property(long()),
    );
    keep_this(
        &broker,
        Publish::v5("short-after-long", "dead").property(short()),
    );
    keep_this(&broker, Publish::v5("short-after-ever", "dead"));
    keep_this(
        &broker,
        Publish::v5("short-after-ever", "dead").property(short()),
    );
    keep_this(
        &broker,
        Publish::v5("long-after-short", "a").property(short()),
    );
    keep_this(
        &broker,
        Publish::v5("long-after-short", "a").property(long()),
    );
    keep_this(
        &broker,
        Publish::v5("ever-after-short", "b").property(short()),
    );
    keep(&broker, "ever-after-short", "b");
    seconds_pass(&broker, 2);
    let mut late = connect(&broker, "late");
    subscribe(&mut late, "#", 0);
    let [ever, long] = [published(&mut late), published(&mut late)];
    assert_eq!((&*ever.topic, text_of(&ever)), ("ever-after-short", "b"));
    assert!(ever.properties.0.is_empty(), "{ever:02x?}");
    assert_eq!((&*long.topic, text_of(&long)), ("long-after-short", "a"));
    let left = long.properties.integer(prop::MESSAGE_EXPIRY_INTERVAL);
    assert!(
        left.is_some_and(|left| (400..=598).contains(&left)),
        "{left:?} of 600"
    );
    expect_alive(&mut late);
    // A client of 3.1.1 is not told how long, but gets no dead ones either.
    let mut late = peer::client(&broker, "of-311");
    peer::subscribe(&mut late, "#", 0);
    peer::expect_retained(&mut late, 0, "ever-after-short", "b");
    peer::expect_retained(&mut late, 0, "long-after-short", "a");
    expect_alive(&mut late);
    // They are removed, too, and a topic whose message is dead takes another.
    broker.wait_for_samples(&[("postbud_retained_messages", 2.0)]);
    keep(&broker, "short", "anew");
    let mut late = connect(&broker, "late");
    subscribe(&mut late, "short", 0);
    assert_eq!(next(&mut late), (true, 0, "anew".into(), vec![]));
}

// Breaks if: `look` in src/pubsub/retained.rs does not pass over topics with a dollar, or does so for filters that name
// it.
#[test]
fn a_leading_wildcard_finds_no_retained_topic_with_a_dollar() {
    let broker = without_sys();
    for topic in ["$a/b", "$a", "a/b", "%a/b"] {
        keep(&broker, topic, topic);
    }
    let expected: [(&str, &[&str]); 6] = [
        ("#", &["%a/b", "a/b"]),
        ("+/b", &["%a/b", "a/b"]),
        ("+/#", &["%a/b", "a/b"]),
        ("$a/#", &["$a", "$a/b"]),
        ("$a/+", &["$a/b"]),
        ("+", &[]),
    ];
    for (filter, topics) in expected {
        let mut client = connect(&broker, "client");
        subscribe(&mut client, filter, 0);
        for topic in topics {
            assert_eq!(published(&mut client).topic, *topic, "for {filter}");
        }
        expect_alive(&mut client);
        let mut client = peer::subscriber(&broker, "of-311", filter, 0);
        for topic in topics {
            peer::expect_retained(&mut client, 0, topic, topic);
        }
        expect_alive(&mut client);
    }
}

// Breaks if: `Retained::set` in src/pubsub/retained.rs inserts without replacing, or `Feed::delivery` in
// src/broker/delivery.rs does not set RETAIN.
#[test]
fn the_last_message_replaces_the_one_before_with_all_that_it_was() {
    let broker = Broker::start();
    let format = byte(prop::PAYLOAD_FORMAT_INDICATOR, 1);
    let rich = Publish::v5("t", "rich").property(format);
    keep_this(&broker, rich.clone());
    let mut late = connect(&broker, "late");
    subscribe(&mut late, "t", 0);
    late.expect(&rich.clone().retain().bytes());
    let mut of_311 = peer::client(&broker, "of-311");
    peer::retain(&mut of_311, 1, "t", "plain");
    late.expect(&Publish::v5("t", "plain").bytes());
    let mut later = open(&broker, &Connect::v5("later"));
    subscribe(&mut later, "t", 2);
    let message = take(&mut later, 1).remove(0);
    assert_eq!(seen(&message), (true, 1, "plain".into(), vec![]));
    assert!(message.properties.0.is_empty(), "{message:02x?}");
    keep_this(&broker, rich.clone());
    peer::subscribe(&mut of_311, "t", 2);
    peer::expect_retained(&mut of_311, 2, "t", "rich");
}

/// What a client retained itself does not come back to it by No Local, on whatever connection it was published.
// Breaks if: `Broker::feed` in src/broker/delivery.rs finds messages with `except` as `None`, or `Retained::set` in
// src/pubsub/retained.rs forgets the publisher.
#[test]
fn no_local_keeps_a_client_from_what_it_retained_itself() {
    let broker = Broker::start();
    let mut client = connect(&broker, "client");
    client.send(&Publish::v5("t/own", "own").retain().qos(1, 1).bytes());
    expect_accepted(&mut client, 0x40, 1);
    leave(client);
    keep(&broker, "t/other", "of another");
    let mut client = connect(&broker, "client");
    subscribe(&mut client, "t/+", 0x04);
    assert_eq!(next(&mut client), (true, 0, "of another".into(), vec![]));
    expect_alive(&mut client);
    // Replaced, it is of whoever replaced it.
    keep(&broker, "t/own", "replaced");
    assert_eq!(next(&mut client), (false, 0, "replaced".into(), vec![]));
    subscribe(&mut client, "t/own", 0x04);
    assert_eq!(next(&mut client), (true, 0, "replaced".into(), vec![]));
    subscribe(&mut client, "t/own", 0x00);
    assert_eq!(next(&mut client), (true, 0, "replaced".into(), vec![]));
}
