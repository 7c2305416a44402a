//! What a client may do: remembered, and waited for.

use std::sync::Arc;
use std::time::Duration;

use postbud::broker::{Ending, Gauge};
use postbud::codec::{Packet, QoS, ReasonCode, SubscriptionOptions, Version};

use crate::client::publish;
use crate::engines::Doorman;
use crate::house::House;
use crate::received::Got;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const NO: ReasonCode = ReasonCode::NotAuthorized;
const OK: ReasonCode = ReasonCode::Success;

/// One that takes its time over all below "slow".
fn pondering() -> (Arc<Doorman>, House) {
    let doorman = Doorman::that(|it| it.mind.get_mut().ponders = Some("slow"));
    let house = House::with_auth(doorman.clone());
    (doorman, house)
}

// Breaks if: the engine is asked for every message, or an answer is taken for another QoS or RETAIN flag.
#[test]
fn an_answer_is_remembered_for_topic_qos_and_retain() {
    let doorman = Doorman::that(|_| {});
    let house = House::with_auth(doorman.clone());
    let client = house.v5("c").open();
    for _ in 0..100 {
        client.publish("a", "x");
        client.publish("b", "x");
    }
    assert_eq!(doorman.asked(), 2);
    client.publish1(1, "a", "x");
    client.retain("a", "x");
    client.retain("a", "x");
    assert_eq!(doorman.asked(), 4);
}

// Breaks if: what was refused once is asked again for each message.
#[test]
fn a_refusal_is_remembered_too() {
    let doorman = Doorman::that(|it| it.no_publish = Some("secret"));
    let house = House::with_auth(doorman.clone());
    let client = house.v5("c").open();
    for id in 1..20 {
        client.publish1(id, "secret/x", "x");
        assert_eq!(client.take(), [Got::Puback(id, NO)]);
    }
    assert_eq!(doorman.asked(), 1);
}

// Breaks if: a remembered answer outlives a change of permissions, or the time it is good for.
#[test]
fn an_answer_is_forgotten_when_permissions_change_and_in_time() {
    let doorman = Doorman::that(|it| {
        it.mind.get_mut().remembered_for = Some(Duration::from_secs(10));
    });
    let house = House::with_auth(doorman.clone());
    let client = house.v5("c").open();
    let publish = |code| {
        client.publish1(1, "a", "x");
        assert_eq!(client.take(), [Got::Puback(1, code)]);
    };
    publish(ReasonCode::NoMatchingSubscribers);
    doorman.now(|mind| mind.forbidden.push("a"));
    publish(ReasonCode::NoMatchingSubscribers);
    house.seconds(9);
    publish(ReasonCode::NoMatchingSubscribers);
    house.seconds(1);
    publish(NO);
    doorman.now(|mind| mind.forbidden.clear());
    publish(NO);
    house.broker.permissions_changed();
    publish(ReasonCode::NoMatchingSubscribers);
}

// Breaks if: a packet behind the one that waits is handled before it, or any of them twice.
#[test]
fn what_comes_behind_a_packet_that_waits_keeps_its_place() {
    for version in VERSIONS {
        let (doorman, house) = pondering();
        let reader = house.v5("reader").open();
        reader.subscribe("#", QoS::ExactlyOnce);
        let client = house.hello(version, "c").open();
        client.publish1(1, "first", "1");
        client.publish1(2, "slow/a", "2");
        client.publish1(3, "other", "3");
        client.send(&Packet::Pingreq);
        assert_eq!(reader.payloads(), ["1"], "{version}");
        assert_eq!(client.take(), [Got::Puback(1, OK)]);
        assert!(client.is_paused());
        doorman.answer(true);
        house.run();
        assert_eq!(reader.payloads(), ["2", "3"], "{version}");
        let got = [Got::Puback(2, OK), Got::Puback(3, OK), Got::Pingresp];
        assert_eq!(client.take(), got);
        assert_eq!(house.snapshot().messages_received, [0, 3, 0]);
        // It is remembered like any other.
        let asked = doorman.asked();
        client.publish1(4, "slow/a", "4");
        assert_eq!(
            (reader.payloads(), doorman.asked()),
            (vec!["4".to_owned()], asked)
        );
    }
}

#[test]
fn what_is_refused_later_is_refused_as_at_once() {
    for version in VERSIONS {
        let (doorman, house) = pondering();
        let client = house.hello(version, "c").open();
        client.publish("slow/0", "0");
        doorman.answer(false);
        house.run();
        client.publish1(1, "slow/1", "1");
        assert_eq!(client.take(), [], "{version}");
        doorman.answer(false);
        house.run();
        let code = if version == Version::V5 { NO } else { OK };
        assert_eq!(client.take(), [Got::Puback(1, code)], "{version}");
        assert_eq!(house.snapshot().publishes_refused, [(NO, 2)]);
    }
}

// Breaks if: the QoS 2 id is held before the answer is there, so that the PUBLISH is taken for its own
// repetition afterwards.
#[test]
fn a_qos_2_message_that_waits_is_routed_once() {
    let (doorman, house) = pondering();
    let reader = house.v5("reader").open();
    reader.subscribe("#", QoS::AtMostOnce);
    let client = house.v5("c").expiry(60).open();
    client.publish2(7, "slow/a", "once");
    client.pubrel(7);
    assert_eq!((client.take(), reader.take()), (vec![], vec![]));
    doorman.answer(true);
    house.run();
    assert_eq!(client.take(), [Got::Pubrec(7, OK), Got::Pubcomp(7, OK)]);
    assert_eq!(reader.payloads(), ["once"]);
    // Once more, broken off while it waits: nothing of it is left.
    client.publish2(8, "slow/b", "lost");
    client.hang_up();
    doorman.answer(true);
    let client = house.v5("c").expiry(60).open();
    client.publish2(8, "slow/b", "again");
    assert_eq!(client.take(), [Got::Pubrec(8, OK)]);
    assert_eq!(reader.payloads(), ["again"]);
    client.publish2(8, "slow/b", "again");
    assert_eq!(
        (client.take().len(), reader.take()),
        (1, vec![]),
        "a repetition is not asked about"
    );
}

// Breaks if: an alias is set by a packet that waits, or resolved otherwise the second time.
#[test]
fn topic_aliases_are_resolved_before_the_answer_and_set_after_it() {
    let (doorman, house) = pondering();
    let reader = house.v5("reader").open();
    reader.subscribe("#", QoS::AtMostOnce);
    let client = house.v5("c").open();
    let alias = |topic: &'static str, payload: &'static str| {
        let mut publish = publish(QoS::AtMostOnce, 0, topic, payload);
        publish.properties.topic_alias = std::num::NonZeroU16::new(1);
        client.send(&Packet::Publish(publish));
    };
    alias("first", "1");
    alias("slow/a", "2");
    alias("", "3");
    assert_eq!(reader.payloads(), ["1"]);
    doorman.answer(true);
    house.run();
    let got: Vec<_> = reader
        .messages()
        .into_iter()
        .map(|it| (it.topic, it.payload))
        .collect();
    let on = |payload: &str| ("slow/a".to_owned(), payload.to_owned());
    assert_eq!(got, [on("2"), on("3")]);
}

// Breaks if: filters are asked about one after the other only, or SUBACK says other than was answered.
#[test]
fn a_subscribe_waits_until_all_its_filters_are_answered() {
    for version in VERSIONS {
        let (doorman, house) = pondering();
        let client = house.hello(version, "c").open();
        let options = SubscriptionOptions::v3(QoS::AtLeastOnce);
        let filters = ["slow/a", "open", "slow/b", "$share/g/slow/c"].map(|it| (it, options));
        client.send_subscribe(1, &filters, None);
        doorman.answer_about("slow/a", true);
        house.run();
        doorman.answer_about("slow/c", true);
        house.run();
        assert_eq!(
            (client.take(), house.gauge(Gauge::Subscriptions)),
            (vec![], 0)
        );
        doorman.answer_about("slow/b", false);
        house.run();
        let code = if version == Version::V5 { 0x87 } else { 0x80 };
        assert_eq!(client.take(), [Got::Suback(1, vec![1, 1, code, 1])]);
        assert_eq!(house.gauge(Gauge::Subscriptions), 3);
        client.publish1(1, "open", "x");
        assert_eq!(client.take().len(), 2, "{version}");
    }
}

#[test]
fn a_will_waits_for_its_answer() {
    for (version, allowed) in VERSIONS
        .into_iter()
        .flat_map(|it| [(it, true), (it, false)])
    {
        for topic in ["slow/will", "$delayed/5/slow/will"] {
            let (doorman, house) = pondering();
            let client = house.hello(version, "c").will(topic, "x").send();
            client.publish("t", "behind it");
            assert_eq!((client.take(), house.gauge(Gauge::Sessions)), (vec![], 0));
            doorman.answer(allowed);
            house.run();
            let code = if allowed { OK } else { NO };
            assert_eq!(client.welcome().code, code, "{version} {topic}");
            assert_eq!(house.snapshot().messages_received[0], u64::from(allowed));
        }
    }
}

#[test]
fn what_is_published_later_is_asked_about_by_the_topic_within() {
    let (doorman, house) = pondering();
    let reader = house.v5("reader").open();
    reader.subscribe("#", QoS::AtMostOnce);
    let client = house.v5("c").open();
    client.publish1(1, "$delayed/5/slow/a", "x");
    client.publish1(2, "$delayed/5/slow/b", "y");
    doorman.answer_about("slow/a", true);
    house.run();
    doorman.answer_about("slow/b", false);
    house.run();
    assert_eq!(client.take(), [Got::Puback(1, OK), Got::Puback(2, NO)]);
    house.seconds(5);
    assert_eq!(reader.payloads(), ["x"]);
}

// Breaks if: a connection that ends while it waits leaves something behind, or is woken into trouble.
#[test]
fn a_connection_may_end_while_it_waits() {
    let (doorman, house) = pondering();
    let close = |how: fn(&crate::client::Client<'_>)| {
        let client = house.v5("c").open();
        client.publish1(1, "slow/a", "x");
        how(&client);
        doorman.answer(true);
        house.run();
        client.ending()
    };
    assert_eq!(close(|it| it.hang_up()), Some(Ending::Eof));
    doorman.now(|mind| mind.ponders = Some("slow/"));
    let client = house.v5("c").expiry(60).open();
    client.publish1(1, "slow/b", "x");
    let other = house.v5("c").expiry(60).open();
    assert_eq!(
        client.take(),
        [Got::Disconnect(ReasonCode::SessionTakenOver)]
    );
    doorman.answer(true);
    house.run();
    other.publish1(1, "slow/b", "x");
    assert_eq!(
        other.take(),
        [Got::Puback(1, ReasonCode::NoMatchingSubscribers)]
    );
    let waiting = house.v5("w").will("slow/w", "x").send();
    waiting.hang_up();
    doorman.answer(true);
    house.run();
    assert_eq!(house.gauge(Gauge::Sessions), 1);
}

// Breaks if: deliveries stand still, or silence is held against a client that is not listened to.
#[test]
fn deliveries_go_on_while_a_packet_waits() {
    let (doorman, house) = pondering();
    let client = house.v5("c").keep_alive(10).open();
    client.subscribe("t", QoS::AtMostOnce);
    client.publish1(1, "slow/a", "x");
    let writer = house.v5("writer").open();
    house.seconds(30);
    writer.publish("t", "y");
    assert_eq!(client.payloads(), ["y"]);
    assert_eq!(client.ending(), None);
    doorman.answer(true);
    house.run();
    assert_eq!(client.take().len(), 1);
    house.seconds(15);
    client.assert_closed(ReasonCode::KeepAliveTimeout);
}

// Breaks if: who is forgotten waits for ever, or is let through.
#[test]
fn an_answer_that_never_comes_is_no() {
    let (doorman, house) = pondering();
    let client = house.v5("c").open();
    client.publish1(1, "slow/a", "x");
    // Whoever answers has a time-out, and forgets; asked again, it still does not know.
    for _ in 0..100 {
        doorman.forget_questions();
        house.run();
    }
    assert_eq!(client.take(), [Got::Puback(1, NO)]);
    client.publish1(2, "slow/a", "x");
    house.seconds(59);
    assert_eq!(client.take(), []);
    house.seconds(1);
    assert_eq!(client.take(), [Got::Puback(2, NO)]);
    client.publish1(3, "t", "x");
    assert_eq!(client.take().len(), 1, "the connection goes on");
}
