//! The same client comes back while its connection is still there.

use postbud::broker::{Ending, Gauge};
use postbud::codec::{Disconnect, Packet, QoS, ReasonCode, Version};

use crate::client::{Hello, numbers, publish};
use crate::house::House;
use crate::received::Got;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const TAKEN: ReasonCode = ReasonCode::SessionTakenOver;

fn lasting<'a>(house: &'a House, version: Version) -> Hello<'a> {
    let hello = house.hello(version, "c").resume();
    match version {
        Version::V5 => hello.expiry(3600),
        Version::V31 | Version::V311 => hello,
    }
}

// [MQTT5-3.1.4-3] [MQTT311-3.1.4-2]
#[test]
fn the_old_connection_is_told_in_mqtt_5_and_closed_in_silence_before() {
    for version in VERSIONS {
        let house = House::new();
        let old = house.hello(version, "c").open();
        let new = house.hello(version, "c").open();
        old.assert_closed(TAKEN);
        assert_eq!(new.ending(), None);
        assert_eq!(house.gauge(Gauge::Sessions), 1, "{version}");
        assert_eq!(house.gauge(Gauge::Connected), 1, "{version}");
        assert_eq!(house.gauge(Gauge::Connections), 1, "{version}");
        assert_eq!(house.closed("session_taken_over"), 1);
    }
}

#[test]
fn a_persistent_session_moves_over_with_everything_in_flight() {
    for version in VERSIONS {
        let house = House::new();
        let old = lasting(&house, version).open();
        old.subscribe("t", QoS::ExactlyOnce);
        let writer = house.v5("writer").open();
        writer.publish1(1, "t", "1");
        writer.publish2(2, "t", "2");
        old.publish2(7, "elsewhere", "inbound");
        let seen = old.take();
        assert_eq!(seen.len(), 3, "{version}: two messages and a PUBREC");
        let (new, present) = lasting(&house, version).open_present();
        assert_eq!(present, version != Version::V31);
        old.assert_closed(TAKEN);
        writer.publish1(3, "t", "3");
        assert_eq!(new.drain(), numbers(1, 3), "{version}");
        new.pubrel(7);
        assert_eq!(
            new.take(),
            [Got::Pubcomp(7, ReasonCode::Success)],
            "{version}"
        );
    }
}

/// A client that says goodbye and is back at once is heard in that order, though another thread may serve its new
/// connection first.
#[test]
fn what_has_reached_the_old_connection_is_handled_before_the_new_one_is_let_in() {
    for version in VERSIONS {
        let house = House::new();
        let reader = house.v5("reader").open();
        reader.subscribe("#", QoS::AtMostOnce);
        let old = house.hello(version, "c").will("will", "said").open();
        old.feed(&Packet::Publish(publish(QoS::AtMostOnce, 0, "t", "last")));
        old.feed(&Packet::Disconnect(Disconnect::new(ReasonCode::Success)));

        let new = house.accept(version, true);
        let hello = house.hello(version, "c").resume().connect;
        new.feed(&Packet::Connect(hello));
        new.step();
        assert_eq!(new.take(), [], "{version}: the old one has more to say");
        house.run();
        let welcome = new.welcome();
        assert_eq!(
            (welcome.code, welcome.present),
            (ReasonCode::Success, false)
        );
        assert_eq!(reader.payloads(), ["last"], "{version}: and no Will");
        assert_eq!(old.ending(), Some(Ending::Disconnected), "{version}");
    }
}

#[test]
fn of_several_that_wait_for_the_old_connection_one_stays() {
    let house = House::new();
    let old = house.v5("c").open();
    old.feed(&Packet::Publish(publish(QoS::AtMostOnce, 0, "t", "1")));
    let new = [(); 3].map(|()| {
        let new = house.accept(Version::V5, true);
        new.feed(&Packet::Connect(house.v5("c").connect));
        new.step();
        new
    });
    house.run();
    old.assert_closed(TAKEN);
    let left = new.iter().filter(|new| new.ending().is_none());
    assert_eq!(left.count(), 1);
    assert_eq!(house.gauge(Gauge::Connected), 1);
}

/// Nobody waits for a connection that is no more.
#[test]
fn the_end_of_the_old_connection_lets_the_new_one_in() {
    let house = House::new();
    let old = house.v5("c").expiry(60).open();
    old.feed_bytes(&[0x30]);
    let new = house.accept(Version::V5, true);
    new.feed(&Packet::Connect(house.v5("c").resume().connect));
    new.step();
    assert_eq!(new.take(), []);
    old.hang_up();
    assert!(new.welcome().present);
}

// [MQTT5-3.1.2-4] [MQTT311-3.1.2-6]
#[test]
fn a_clean_start_takes_nothing_over() {
    for version in VERSIONS {
        let house = House::new();
        let old = lasting(&house, version).open();
        old.subscribe("t", QoS::ExactlyOnce);
        house.v5("writer").open().publish1(1, "t", "1");
        assert_eq!(old.messages().len(), 1);
        let (new, present) = house.hello(version, "c").open_present();
        assert!(!present);
        old.assert_closed(TAKEN);
        house.v5("writer").open().publish1(1, "t", "2");
        assert_eq!(new.take(), [], "{version}");
        assert_eq!(house.gauge(Gauge::Subscriptions), 0, "{version}");
        assert_eq!(house.gauge(Gauge::Sessions), 2);
    }
}

// A session that ends with its connection cannot be resumed, however politely it is asked for.
#[test]
fn a_passing_session_ends_when_it_is_taken_over() {
    let house = House::new();
    let old = house.v5("c").resume().open();
    old.subscribe("t", QoS::AtLeastOnce);
    let (new, present) = house.v5("c").expiry(60).open_present();
    assert!(!present);
    old.assert_closed(TAKEN);
    assert_eq!(new.ending(), None);
    assert_eq!(house.gauge(Gauge::Subscriptions), 0);
}

#[test]
fn packets_that_arrive_after_the_takeover_do_nothing() {
    for version in VERSIONS {
        let house = House::new();
        let reader = house.v5("reader").open();
        reader.subscribe("t", QoS::AtMostOnce);
        let old = lasting(&house, version).open();
        old.subscribe("u", QoS::AtLeastOnce);
        // Nobody has looked at this when the other connection comes.
        old.feed(&Packet::Publish(publish(QoS::AtLeastOnce, 1, "t", "late")));
        let new = lasting(&house, version).send();
        house.run();
        new.welcome();
        let late = old.take();
        let said = usize::from(version == Version::V5);
        // Handled wholly before, or not at all: both are right, depending on who is first.
        assert!(matches!(late.len() - said, 0 | 1), "{version}: {late:?}");
        assert_eq!(old.ending(), Some(Ending::Closed(TAKEN)), "{version}");
        old.publish1(2, "t", "later still");
        assert_eq!(old.take(), [], "{version}");
        let seen = reader.payloads();
        assert_eq!(
            seen.len(),
            late.len() - said,
            "{version}: acknowledged as delivered"
        );
    }
}

/// A driver that has not been polled since the takeover must find out, whatever it does first.
#[test]
fn a_late_driver_is_harmless() {
    let house = House::new();
    let reader = house.v5("reader").open();
    reader.subscribe("t", QoS::AtMostOnce);
    let old = lasting(&house, Version::V5).open();
    old.subscribe("u", QoS::AtLeastOnce);
    // The CONNECT is handled once the old one has been heard out, which sleeps from then on.
    let new = house.accept(Version::V5, true);
    let mut hello = lasting(&house, Version::V5);
    hello.connect.keep_alive = 0;
    new.feed(&Packet::Connect(hello.connect));
    new.step();
    old.step();
    new.step();
    new.welcome();
    old.feed(&Packet::Publish(publish(QoS::AtLeastOnce, 1, "t", "late")));
    old.feed(&Packet::Disconnect(postbud::codec::Disconnect::new(
        ReasonCode::Success,
    )));
    old.step();
    house.run();
    old.assert_closed(TAKEN);
    assert_eq!(reader.take(), []);
    assert_eq!(new.ending(), None, "the late DISCONNECT was not its own");
    house.v5("writer").open().publish1(1, "u", "x");
    assert_eq!(new.payloads(), ["x"]);
    assert_eq!(house.gauge(Gauge::Connected), 3);
}

// The news may come between a driver's look at its mail and its look at its socket.
#[test]
fn a_late_driver_that_has_not_seen_the_news_is_harmless() {
    for version in VERSIONS {
        let house = House::new();
        let reader = house.v5("reader").open();
        reader.subscribe("t", QoS::AtMostOnce);
        let old = lasting(&house, version).open();
        let new = house.accept(version, true);
        new.feed(&Packet::Connect(lasting(&house, version).connect));
        new.step();
        old.step();
        new.step();
        new.welcome();
        old.feed(&Packet::Publish(publish(QoS::AtLeastOnce, 1, "t", "late")));
        old.step_blindly();
        house.run();
        old.assert_closed(TAKEN);
        assert_eq!((reader.take(), new.take()), (vec![], vec![]), "{version}");
        assert_eq!(new.ending(), None, "{version}");
    }
}

#[test]
fn a_late_driver_that_loses_its_transport_does_not_end_the_session() {
    let house = House::new();
    let old = lasting(&house, Version::V311).open();
    old.subscribe("u", QoS::AtLeastOnce);
    let new = house.accept(Version::V311, true);
    new.feed(&Packet::Connect(lasting(&house, Version::V311).connect));
    new.step();
    old.step();
    new.step();
    assert!(new.welcome().present);
    old.hang_up();
    house.v5("writer").open().publish1(1, "u", "x");
    assert_eq!(new.payloads(), ["x"]);
}

#[test]
fn bytes_that_the_old_socket_did_not_take_stay_in_front_of_its_disconnect() {
    let house = House::new();
    let old = lasting(&house, Version::V5).open();
    old.subscribe("t", QoS::AtMostOnce);
    old.set_room(Some(3));
    let writer = house.v5("writer").open();
    writer.publish("t", "half");
    writer.publish("t", "whole");
    let new = lasting(&house, Version::V5).open();
    assert_eq!(old.take(), [], "the beginning of a packet");
    assert_eq!(old.ending(), None, "it still has something to write");
    old.set_room(None);
    let got = old.take();
    assert_eq!(got.len(), 3, "{got:?}");
    assert_eq!(got[2], Got::Disconnect(TAKEN));
    assert_eq!(old.ending(), Some(Ending::Closed(TAKEN)));
    writer.publish("t", "new");
    assert_eq!(new.payloads(), ["new"]);
}

#[test]
fn two_takeovers_in_a_row_leave_the_last() {
    for version in VERSIONS {
        let house = House::new();
        let first = lasting(&house, version).open();
        first.subscribe("t", QoS::AtLeastOnce);
        let (second, third) = (house.accept(version, true), house.accept(version, true));
        for client in [second, third] {
            client.feed(&Packet::Connect(lasting(&house, version).connect));
            client.step();
        }
        house.run();
        first.assert_closed(TAKEN);
        assert!(matches!(second.next(), Some(Got::Connack(_))), "{version}");
        second.assert_closed(TAKEN);
        third.welcome();
        house.v5("writer").open().publish1(1, "t", "x");
        assert_eq!(third.payloads(), ["x"], "{version}");
        assert_eq!(house.gauge(Gauge::Connected), 2);
        assert_eq!(house.gauge(Gauge::Sessions), 2);
    }
}

#[test]
fn a_blocked_old_connection_does_not_hold_up_the_new_one() {
    let house = House::new();
    let old = lasting(&house, Version::V5).open();
    old.subscribe("t", QoS::AtLeastOnce);
    old.set_room(Some(0));
    let writer = house.v5("writer").open();
    writer.publish1(1, "t", "1");
    let new = lasting(&house, Version::V5).open();
    let again = new.messages();
    assert_eq!((again[0].payload.as_str(), again[0].dup), ("1", true));
    old.hang_up();
    assert_eq!(new.ending(), None);
    writer.publish1(2, "t", "2");
    assert_eq!(new.payloads(), ["2"]);
}
