//! Options that are replaced while the broker runs: what clients were told stays true for them.

use postbud::broker::options::Options;
use postbud::broker::{Ending, Gauge};
use postbud::codec::{Packet, QoS, ReasonCode};
use postbud::queue::DropReason;
use postbud::queue::options::Overflow;

use crate::client::{Client, numbers, publish};
use crate::house::{House, Setup};
use crate::received::Got;
use crate::stores::Late;

fn replace(house: &House, change: impl FnOnce(&mut Options)) {
    let mut options = Options::clone(&house.broker.options());
    change(&mut options);
    house.broker.replace_options(options);
}

/// Publishes at QoS 1 until the connection ends or `most` messages are under way; returns how many were
/// accepted.
fn overrun(client: Client<'_>, most: u16) -> u16 {
    for id in 1..=most {
        client.publish1(id, "t", "x");
        if client.ending().is_some() {
            return id - 1;
        }
    }
    most
}

// Breaks if: the bound of a connection is looked up when a message comes instead of when it connects.
#[test]
fn a_client_keeps_the_receive_maximum_that_it_was_told() {
    let store = Late::with_messages();
    let mut setup = Setup::default();
    setup.options.session.receive_maximum = 5;
    setup.store = store.clone();
    let house = setup.build();
    house.keep_all_on("t");
    let old = house.v5("old").open();
    replace(&house, |options| options.session.receive_maximum = 2);
    let new = house.v5("new").open();
    assert_eq!(overrun(old, 5), 5);
    assert_eq!(overrun(new, 3), 2);
    new.assert_closed(ReasonCode::ReceiveMaximumExceeded);
    assert_eq!(old.ending(), None);
}

#[test]
fn a_client_keeps_the_packet_size_that_it_was_told() {
    let house = House::with_options(|options| options.session.packet_size_maximum = 2000);
    let old = house.v5("old").open();
    replace(&house, |options| options.session.packet_size_maximum = 500);
    let new = house.v5("new").open();
    old.publish("t", &"x".repeat(1900));
    assert_eq!(old.ending(), None);
    new.publish("t", &"x".repeat(600));
    new.assert_closed(ReasonCode::PacketTooLarge);
}

#[test]
fn a_client_keeps_the_topic_aliases_that_it_was_told() {
    let house = House::with_options(|options| options.session.topic_alias_maximum = 4);
    let old = house.v5("old").open();
    replace(&house, |options| options.session.topic_alias_maximum = 1);
    let new = house.v5("new").open();
    for client in [old, new] {
        let mut publish = publish(QoS::AtMostOnce, 0, "t", "x");
        publish.properties.topic_alias = std::num::NonZeroU16::new(4);
        client.send(&Packet::Publish(publish));
    }
    assert_eq!(old.ending(), None);
    new.assert_closed(ReasonCode::TopicAliasInvalid);
}

#[test]
fn a_client_keeps_the_keep_alive_that_it_was_told() {
    let house = House::with_options(|options| options.session.keep_alive_maximum = 100);
    let old = house.v5("old").keep_alive(0).open();
    replace(&house, |options| options.session.keep_alive_maximum = 10);
    let new = house.v5("new").keep_alive(0).send();
    assert_eq!(new.welcome().keep_alive, Some(10));
    house.seconds(15);
    assert_eq!(old.ending(), None);
    let silent = Ending::Closed(ReasonCode::KeepAliveTimeout);
    assert_eq!(new.ending(), Some(silent));
    house.seconds(135);
    assert_eq!(old.ending(), Some(silent));
}

// Breaks if: a batch goes on with the options that an earlier one has found.
#[test]
fn the_bounds_of_queues_hold_at_once_for_sessions_that_are_there() {
    let house = House::with_options(|options| options.session.queue.messages = 10);
    let reader = house.v5("reader").expiry(60).open();
    reader.subscribe("t", QoS::AtLeastOnce);
    reader.hang_up();
    let writer = house.v5("writer").open();
    (1..=6).for_each(|id| writer.publish1(id, "t", &id.to_string()));
    replace(&house, |options| options.session.queue.messages = 3);
    writer.publish1(7, "t", "7");
    assert_eq!(house.dropped(DropReason::QueueFull), 1, "what waits stays");
    replace(&house, |options| {
        options.session.queue.overflow = Overflow::DropOldest;
    });
    writer.publish1(8, "t", "8");
    assert_eq!(house.dropped(DropReason::QueueFull), 1 + 4);
    replace(&house, |options| options.session.queue.messages = 10);
    writer.publish1(9, "t", "9");
    let reader = house.v5("reader").expiry(60).open();
    assert_eq!(reader.drain(), [numbers(5, 6), numbers(8, 9)].concat());
}

#[test]
fn the_bounds_of_retained_messages_hold_at_once() {
    let house = House::with_options(|options| options.pubsub.retained.messages = 3);
    let writer = house.v5("writer").open();
    for topic in ["a", "b", "c"] {
        writer.retain(topic, "1");
    }
    replace(&house, |options| options.pubsub.retained.messages = 1);
    writer.retain("a", "2");
    writer.retain("d", "1");
    assert_eq!(house.broker.retained().0, 3, "what is there stays");
    writer.retain("b", "");
    writer.retain("c", "");
    writer.retain("a", "");
    writer.retain("d", "1");
    writer.retain("e", "1");
    assert_eq!(house.broker.retained().0, 1);
    let reader = house.v5("reader").open();
    reader.subscribe("#", QoS::AtMostOnce);
    assert_eq!(reader.messages()[0].topic, "d");
}

#[test]
fn fewer_abandoned_sessions_are_left_when_the_next_one_goes() {
    let house = House::new();
    for number in 0..5 {
        let name = number.to_string();
        house.v5(&name).expiry(1000).open().hang_up();
        house.seconds(1);
    }
    replace(&house, |options| options.abandoned_sessions_maximum = 2);
    house.v5("5").expiry(1000).open().hang_up();
    house.seconds(1);
    assert_eq!(house.gauge(Gauge::Sessions), 2);
    assert!(house.v5("4").expiry(1000).open_present().1);
}

#[test]
fn other_bounds_of_what_a_client_asks_for_hold_at_once() {
    let house = House::new();
    let client = house.v5("c").open();
    replace(&house, |options| {
        options.session.subscriptions_maximum = 1;
        options.session.topic_levels_maximum = 3;
        options.delayed.longest = std::time::Duration::from_secs(5);
    });
    client.subscribe("a", QoS::AtMostOnce);
    client.send_subscribe(1, &[("b", Default::default())], None);
    let full = ReasonCode::QuotaExceeded as u8;
    assert_eq!(client.take(), [Got::Suback(1, vec![full])]);
    client.publish1(2, "a/b/c/d", "x");
    client.publish1(3, "$delayed/6/a", "x");
    let wrong = ReasonCode::TopicNameInvalid;
    let answers = [Got::Puback(2, wrong), Got::Puback(3, wrong)];
    assert_eq!(client.take(), answers);
}

// Breaks if: groups are made with what was in force at the start.
#[test]
fn new_groups_have_the_bounds_that_are_in_force() {
    let house = House::new();
    replace(&house, |options| options.pubsub.group_queue.messages = 2);
    let member = house.v5("m").expiry(60).open();
    member.subscribe("$share/g/t", QoS::AtLeastOnce);
    member.hang_up();
    let writer = house.v5("writer").open();
    (1..=5).for_each(|id| writer.publish1(id, "t", &id.to_string()));
    assert_eq!(house.dropped(DropReason::QueueFull), 3);
}
