//! Who is silent for one and a half times its Keep Alive is closed.

use std::time::Duration;

use postbud::broker::Ending;
use postbud::codec::{Packet, QoS, ReasonCode, Version};

use crate::house::{CONNECT_WITHIN, House};
use crate::received::Got;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const SILENT: ReasonCode = ReasonCode::KeepAliveTimeout;

// [MQTT5-3.1.2-22] [MQTT311-3.1.2-24]
#[test]
fn a_silent_client_is_closed_after_one_and_a_half_keep_alives() {
    for version in VERSIONS {
        let house = House::new();
        let client = house.hello(version, "c").keep_alive(10).open();
        house.advance(Duration::from_millis(14_999));
        assert_eq!(client.ending(), None, "{version}");
        house.advance(Duration::from_millis(1));
        client.assert_closed(SILENT);
        assert_eq!(house.closed("keep_alive_timeout"), 1);
    }
}

#[test]
fn every_packet_counts_and_half_of_one_does_not() {
    let house = House::new();
    let client = house.v5("c").keep_alive(10).open();
    house.seconds(14);
    client.send(&Packet::Pingreq);
    assert_eq!(client.take(), [Got::Pingresp]);
    house.seconds(14);
    client.publish("t", "x");
    house.seconds(14);
    client.puback(99);
    house.seconds(14);
    assert_eq!(client.ending(), None);
    client.send_bytes(&[0xC0]);
    house.seconds(1);
    client.assert_closed(SILENT);
}

#[test]
fn what_the_broker_sends_does_not_count() {
    let house = House::new();
    let client = house.v5("c").keep_alive(10).open();
    client.subscribe("t", QoS::AtMostOnce);
    let writer = house.v5("writer").open();
    for _ in 0..15 {
        assert_eq!(client.ending(), None);
        writer.publish("t", "x");
        assert_eq!(client.payloads(), ["x"]);
        house.seconds(1);
    }
    client.assert_closed(SILENT);
}

#[test]
fn a_keep_alive_of_0_is_none() {
    for version in VERSIONS {
        let house = House::new();
        let client = house.hello(version, "c").open();
        assert_eq!(client.patience(), None);
        house.advance(Duration::from_secs(365 * 24 * 3600));
        assert_eq!(client.ending(), None, "{version}");
    }
}

#[test]
fn the_longest_keep_alive_there_is_does_not_overflow() {
    let house = House::new();
    let client = house.v5("c").keep_alive(u16::MAX).open();
    assert_eq!(client.patience(), Some(Duration::from_millis(98_302_500)));
}

// [MQTT5-3.2.2-22] [MQTT5-3.1.2-22]
#[test]
fn a_server_keep_alive_is_told_and_holds() {
    let house = House::with_options(|options| options.session.keep_alive_maximum = 20);
    for wanted in [0, 100] {
        let client = house.v5("c").keep_alive(wanted).send();
        assert_eq!(client.welcome().keep_alive, Some(20));
        house.seconds(29);
        assert_eq!(client.ending(), None);
        house.seconds(1);
        client.assert_closed(SILENT);
    }
    let modest = house.v5("c").keep_alive(5).send();
    assert_eq!(modest.welcome().keep_alive, None);
    house.advance(Duration::from_millis(7_500));
    modest.assert_closed(SILENT);
}

#[test]
fn a_3_x_client_cannot_be_told_and_keeps_its_own() {
    let house = House::with_options(|options| options.session.keep_alive_maximum = 20);
    let client = house.v311("c").keep_alive(100).open();
    house.seconds(149);
    assert_eq!(client.ending(), None);
}

// The client's clock starts with its CONNECT, not when the transport was accepted.
#[test]
fn keep_alive_counts_from_connect() {
    for version in VERSIONS {
        let house = House::new();
        let client = house.accept(version, true);
        house.seconds(8);
        client.connect(&house.hello(version, "c").keep_alive(2).connect);
        assert_eq!(client.welcome().code, ReasonCode::Success);
        assert_eq!(client.patience(), Some(Duration::from_secs(3)), "{version}");
        house.seconds(2);
        assert_eq!(client.ending(), None, "{version}");
    }
}

// Nothing of the client is read before its CONNACK, so it is not blamed for the wait.
#[test]
fn keep_alive_does_not_count_while_the_broker_makes_up_its_mind() {
    let doorman = crate::engines::Doorman::that(|it| it.thinks = true);
    let house = House::with_auth(doorman.clone());
    let client = house.v5("c").keep_alive(2).send();
    house.seconds(8);
    doorman.speak(Ok(()));
    house.run();
    assert_eq!(client.welcome().code, ReasonCode::Success);
    assert_eq!(client.patience(), Some(Duration::from_secs(3)));
}

#[test]
fn who_sends_no_connect_in_time_is_closed_without_a_word() {
    let house = House::new();
    let client = house.accept(Version::V5, true);
    assert_eq!(client.patience(), Some(CONNECT_WITHIN));
    client.send_bytes(&[0x10, 20, 0]);
    house.advance(CONNECT_WITHIN);
    assert_eq!(client.take(), []);
    assert_eq!(client.ending(), Some(Ending::NoConnect));
    assert_eq!(house.closed("no_connect"), 1);
}

#[test]
fn a_connection_that_comes_and_goes_is_harmless() {
    let house = House::new();
    let client = house.accept(Version::V5, true);
    client.hang_up();
    assert_eq!(client.ending(), Some(Ending::NoConnect));
    assert_eq!(house.gauge(postbud::broker::Gauge::Connections), 0);
}
