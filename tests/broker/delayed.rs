//! Messages that are published later, by `$delayed/{seconds}/{topic}`.

use std::sync::Arc;
use std::time::Duration;

use postbud::broker::{Ending, Gauge};
use postbud::codec::{Packet, QoS, ReasonCode, SubscriptionOptions};
use postbud::queue::DropReason;

use crate::client::{Client, publish};
use crate::engines::Doorman;
use crate::house::House;
use crate::received::Got;
use crate::restart::Home;
use crate::stores::{Late, Recorder};

fn reader<'h>(house: &'h House, filter: &str) -> Client<'h> {
    let client = house.v5("reader").expiry(3600).open();
    client.subscribe(filter, QoS::ExactlyOnce);
    client
}

// Breaks if: a message comes too early, too late, on another topic or with another QoS.
#[test]
fn a_message_is_published_when_its_time_comes() {
    let house = House::new();
    let reader = reader(&house, "#");
    let writer = house.v5("writer").open();
    writer.publish2(1, "$delayed/20/a/b", "late");
    writer.publish1(2, "$delayed/10/a", "early");
    writer.publish("$delayed/15/c", "light");
    writer.publish1(3, "$delayed/0/a", "now");
    let acked = [
        Got::Pubrec(1, ReasonCode::Success),
        Got::Puback(2, ReasonCode::Success),
        Got::Puback(3, ReasonCode::Success),
    ];
    assert_eq!(writer.take(), acked);
    assert_eq!(house.gauge(Gauge::Delayed), 4);
    writer.hang_up();
    house.advance(Duration::from_millis(1));
    assert_eq!(reader.payloads(), ["now"]);
    house.advance(Duration::from_millis(9_998));
    assert_eq!(reader.take(), []);
    house.advance(Duration::from_millis(1));
    let got = reader.messages();
    assert_eq!((got[0].topic.as_str(), got[0].qos), ("a", QoS::AtLeastOnce));
    house.seconds(100);
    let got = reader.messages();
    let got: Vec<_> = got
        .iter()
        .map(|it| (it.topic.as_str(), it.qos, it.retain))
        .collect();
    assert_eq!(
        got,
        [
            ("c", QoS::AtMostOnce, false),
            ("a/b", QoS::ExactlyOnce, false)
        ]
    );
    assert_eq!(house.gauge(Gauge::Delayed), 0);
}

// Breaks if: the broker is not woken for what is due before all else.
#[test]
fn the_broker_is_due_when_a_message_is() {
    let house = House::new();
    let (told, heard) = std::sync::mpsc::channel();
    house
        .broker
        .on_earlier(Box::new(move || told.send(()).expect("the test lives")));
    let writer = house.v5("writer").open();
    writer.publish1(1, "$delayed/60/a", "later");
    assert!(heard.try_recv().is_ok());
    writer.publish1(1, "$delayed/61/a", "later still");
    assert!(heard.try_recv().is_err());
    house.seconds(60);
    let now = house.now().instant;
    assert!(house.broker.next_tick(now) <= now + Duration::from_secs(1));
}

// Breaks if: who subscribes when the time comes gets nothing, or who asks for the way gets anything.
#[test]
fn who_gets_it_is_seen_when_its_time_comes() {
    let house = House::new();
    let spy = house.v5("spy").open();
    spy.subscribe("$delayed/#", QoS::ExactlyOnce);
    spy.subscribe("$delayed/5/a", QoS::ExactlyOnce);
    house.v5("writer").open().publish1(1, "$delayed/5/a", "x");
    let late = reader(&house, "a");
    house.seconds(5);
    assert_eq!(late.payloads(), ["x"]);
    assert_eq!(spy.take(), []);
}

// Breaks if: a publisher gets its own message back that it asked not to get.
#[test]
fn no_local_holds_later_too() {
    let house = House::new();
    let both = house.v5("both").expiry(3600).open();
    let mut options = SubscriptionOptions::v3(QoS::AtLeastOnce);
    options.no_local = true;
    both.subscribe_with("a", options, None);
    both.publish1(1, "$delayed/5/a", "own");
    assert_eq!(both.take(), [Got::Puback(1, ReasonCode::Success)]);
    house.seconds(5);
    assert_eq!(both.take(), []);
}

// Breaks if: a delayed message is retained before its time, or not then, or under its long name.
#[test]
fn it_is_retained_when_its_time_comes() {
    let house = House::new();
    house.v5("writer").open().retain("$delayed/5/a", "kept");
    assert_eq!(house.broker.retained().0, 0);
    house.seconds(5);
    assert_eq!(house.broker.retained().0, 1);
    assert_eq!(reader(&house, "a").payloads(), ["kept"]);
    house.v5("writer").open().retain("$delayed/5/a", "");
    house.seconds(5);
    assert_eq!(house.broker.retained().0, 0);
}

// Breaks if: an expiry counts from anything but the acceptance.
#[test]
fn a_message_may_expire_while_it_waits() {
    let house = House::new();
    let reader = reader(&house, "a");
    let writer = house.v5("writer").open();
    for (id, expiry) in [(1, 10), (2, 15)] {
        let payload = expiry.to_string();
        let mut message = publish(QoS::AtLeastOnce, id, "$delayed/10/a", &payload);
        message.properties.message_expiry = Some(expiry);
        writer.send(&Packet::Publish(message));
    }
    house.seconds(10);
    let got = reader.messages();
    let got: Vec<_> = got.iter().map(|it| (&*it.payload, it.expiry)).collect();
    assert_eq!(got, [("15", Some(5))]);
    assert_eq!(house.dropped(DropReason::Expired), 1);
}

// Breaks if: a topic that is none is published, or ends the connection.
#[test]
fn wrong_topics_are_refused() {
    let house = House::with_options(|options| {
        options.delayed.longest = Duration::from_secs(100);
    });
    let all = house.v5("all").open();
    for filter in ["#", "$delayed/#", "$delayed"] {
        all.subscribe(filter, QoS::ExactlyOnce);
    }
    let writer = house.v5("writer").open();
    for topic in ["$delayed", "$delayed/5", "$delayed/x/a", "$delayed/101/a"] {
        writer.publish("$delayed/", "light");
        writer.publish1(1, topic, "x");
        writer.publish2(2, topic, "x");
        let refused = [
            Got::Puback(1, ReasonCode::TopicNameInvalid),
            Got::Pubrec(2, ReasonCode::TopicNameInvalid),
        ];
        assert_eq!(writer.take(), refused, "{topic}");
    }
    let old = house.v311("old").open();
    old.publish1(1, "$delayed/x/a", "x");
    assert_eq!(
        old.take(),
        [Got::Puback(1, ReasonCode::Success)],
        "as usual"
    );
    writer.publish1(1, "$delayedly/5/a", "ordinary");
    house.seconds(200);
    assert_eq!(all.take(), []);
}

// Breaks if: a client gets around what it may not publish to by publishing later.
#[test]
fn the_topic_within_is_authorised() {
    let house = House::with_auth(Doorman::that(|doorman| {
        doorman.no_publish = Some("secret");
    }));
    let reader = reader(&house, "#");
    let writer = house.v5("writer").open();
    writer.publish1(1, "$delayed/5/secret/a", "x");
    assert_eq!(writer.take(), [Got::Puback(1, ReasonCode::NotAuthorized)]);
    writer.publish1(1, "$delayed/5/$SYS/a", "x");
    assert_eq!(writer.take(), [Got::Puback(1, ReasonCode::NotAuthorized)]);
    writer.publish1(1, "$delayed/5/open", "x");
    house.seconds(5);
    assert_eq!(reader.payloads(), ["x"]);
    let will = house.v5("will").will("$delayed/5/secret/a", "x").send();
    assert_eq!(will.welcome().code, ReasonCode::NotAuthorized);
    let will = house.v5("will").will("$delayed/x/a", "x").send();
    assert_eq!(will.welcome().code, ReasonCode::TopicNameInvalid);
}

// Breaks if: a Will is published at once, or its delay and this one are not added.
#[test]
fn a_will_may_be_published_later() {
    let house = House::new();
    let reader = reader(&house, "gone");
    let mortal = house
        .v5("mortal")
        .expiry(60)
        .will("$delayed/10/gone", "x")
        .will_delay(5)
        .open();
    mortal.hang_up();
    house.seconds(5);
    house.seconds(9);
    assert_eq!(reader.take(), []);
    house.seconds(1);
    assert_eq!(reader.payloads(), ["x"]);
}

// Breaks if: there is no bound, or one that has been reached is not given back.
#[test]
fn a_bound_on_what_waits_is_kept() {
    let house = House::with_options(|options| {
        options.delayed.messages = 2;
        options.delayed.bytes = 100;
    });
    let writer = house.v5("writer").open();
    writer.publish1(1, "$delayed/5/a", &"x".repeat(100));
    writer.publish1(2, "$delayed/5/a", "1");
    writer.publish1(3, "$delayed/5/a", "2");
    writer.publish1(4, "$delayed/5/a", "3");
    let codes = [
        Got::Puback(1, ReasonCode::QuotaExceeded),
        Got::Puback(2, ReasonCode::Success),
        Got::Puback(3, ReasonCode::Success),
        Got::Puback(4, ReasonCode::QuotaExceeded),
    ];
    assert_eq!(writer.take(), codes);
    let old = house.v311("old").open();
    old.publish1(1, "$delayed/5/a", "x");
    assert_eq!(old.take(), [], "it is told nothing that is not true");
    assert_eq!(
        old.ending(),
        Some(Ending::Closed(ReasonCode::QuotaExceeded))
    );
    house.seconds(5);
    writer.publish1(5, "$delayed/5/a", "4");
    assert_eq!(writer.take(), [Got::Puback(5, ReasonCode::Success)]);
}

// Breaks if: the store is told too little to publish it after a crash, or too much.
#[test]
fn the_store_is_told_of_both_ends() {
    let store = Arc::new(Recorder::default());
    let house = House::with_store(Arc::clone(&store) as _);
    let reader = reader(&house, "a");
    reader.hang_up();
    let writer = house.v5("writer").expiry(60).open();
    store.take();
    writer.publish2(7, "$delayed/5/a", "x");
    writer.publish("$delayed/5/b", "y");
    assert_eq!(
        store.take(),
        [
            "message x for 0, held 7, retained false",
            "message y for 0, held 0, retained false"
        ]
    );
    writer.retain("$delayed/5/c", "z");
    store.take();
    house.seconds(5);
    assert_eq!(
        store.take(),
        [
            "due for 1, retained false",
            "dropped",
            "due for 0, retained true"
        ]
    );
}

// Breaks if: it is acknowledged before it is kept.
#[test]
fn its_acknowledgement_waits_for_the_store() {
    let store = Late::with_messages();
    let house = House::with_store(Arc::clone(&store) as _);
    let writer = house.v5("writer").open();
    writer.publish1(1, "$delayed/5/a", "x");
    assert_eq!(writer.take(), []);
    assert_eq!(store.pending(), ["message x"]);
    store.tell_all();
    house.run();
    assert_eq!(writer.take(), [Got::Puback(1, ReasonCode::Success)]);
}

// Breaks if: a restart loses, doubles or delays what waits, or forgets whose it is.
#[test]
fn what_waits_survives_a_restart() {
    let home = Home::new();
    let house = &home.house;
    let away = reader(house, "a/#");
    away.hang_up();
    let writer = house.v5("writer").expiry(3600).open();
    let mut options = SubscriptionOptions::v3(QoS::AtLeastOnce);
    options.no_local = true;
    writer.subscribe_with("a/#", options, None);
    writer.publish1(1, "$delayed/10/a/1", "overdue");
    writer.publish2(2, "$delayed/100/a/2", "later");
    let mut retained = publish(QoS::AtLeastOnce, 3, "$delayed/20/a/3", "kept");
    retained.retain = true;
    writer.send(&Packet::Publish(retained));
    let home = home.killed_for(50);
    let house = &home.house;
    assert_eq!(house.gauge(Gauge::Delayed), 3);
    house.advance(Duration::ZERO);
    let away = house.v5("reader").expiry(3600).open();
    assert_eq!(away.drain(), ["overdue", "kept"]);
    assert_eq!(house.broker.retained().0, 1);
    let home = home.killed_for(10);
    let house = &home.house;
    let away = house.v5("reader").expiry(3600).open();
    let writer = house.v5("writer").expiry(3600).open();
    assert_eq!(away.take(), [], "not twice");
    house.seconds(41);
    assert_eq!(away.drain(), ["later"]);
    assert_eq!(house.broker.retained().0, 1);
    assert_eq!(writer.take(), []);
    assert_eq!(house.gauge(Gauge::Delayed), 0);
    let home = home.killed();
    assert_eq!(home.house.gauge(Gauge::Delayed), 0);
}
