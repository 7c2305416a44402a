//! Will Messages: when they are published, and when they are forgotten.

use postbud::broker::Ending;
use postbud::codec::{QoS, ReasonCode, SubscriptionOptions, Version};

use crate::client::Client;
use crate::house::House;
use crate::received::Got;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

fn reader(house: &House) -> Client<'_> {
    let reader = house.v5("reader").open();
    let options = SubscriptionOptions {
        qos: QoS::ExactlyOnce,
        retain_as_published: true,
        ..Default::default()
    };
    reader.subscribe_with("will/#", options, None);
    reader
}

// [MQTT5-3.1.2-8] [MQTT311-3.1.2-8]
#[test]
fn a_will_is_published_at_once_when_the_connection_breaks() {
    for version in VERSIONS {
        let house = House::new();
        let reader = reader(&house);
        house
            .hello(version, "c")
            .will("will/c", "gone")
            .open()
            .hang_up();
        let messages = reader.messages();
        assert_eq!(messages.len(), 1, "{version}");
        assert_eq!(
            (messages[0].payload.as_str(), messages[0].retain),
            ("gone", false)
        );
    }
}

#[test]
fn a_will_has_its_own_qos_and_properties() {
    let house = House::new();
    let reader = reader(&house);
    let hello = house.v5("c").will("will/c", "gone").will_with(|will| {
        will.qos = QoS::ExactlyOnce;
        will.properties.content_type = Some("text/plain");
    });
    hello.open().hang_up();
    assert_eq!(reader.messages()[0].qos, QoS::ExactlyOnce);
}

// [MQTT5-3.14.4-3] [MQTT5-3.1.2-10] [MQTT311-3.14.4-3] [MQTT311-3.1.2-10]
#[test]
fn a_goodbye_forgets_the_will() {
    for version in VERSIONS {
        let house = House::new();
        let reader = reader(&house);
        house
            .hello(version, "c")
            .will("will/c", "gone")
            .open()
            .disconnect();
        let lasting = house
            .v5("lasting")
            .expiry(5)
            .will("will/l", "gone")
            .will_delay(1);
        lasting.open().disconnect();
        house.seconds(10);
        assert_eq!(reader.take(), [], "{version}");
    }
}

#[test]
fn disconnect_with_will_and_any_error_publish_it() {
    let codes = [
        ReasonCode::DisconnectWithWill,
        ReasonCode::UnspecifiedError,
        ReasonCode::ProtocolError,
    ];
    for code in codes {
        let house = House::new();
        let reader = reader(&house);
        let client = house.v5("c").will("will/c", "gone").open();
        client.disconnect_with(code, None);
        assert_eq!(
            client.take(),
            [],
            "nothing is said after the client's DISCONNECT"
        );
        assert_eq!(client.ending(), Some(Ending::Disconnected));
        assert_eq!(reader.payloads(), ["gone"], "{code:?}");
    }
}

#[test]
fn a_breach_of_the_protocol_publishes_the_will() {
    for version in VERSIONS {
        let house = House::new();
        let reader = reader(&house);
        let client = house.hello(version, "c").will("will/c", "gone").open();
        // A PUBLISH at QoS 3.
        client.send_bytes(&[0x36, 2, 0, 0]);
        assert!(client.ending().is_some(), "{version}");
        assert_eq!(reader.payloads(), ["gone"], "{version}");
    }
}

// [MQTT5-3.1.2-22] [MQTT311-3.1.2-24]
#[test]
fn a_keep_alive_timeout_publishes_the_will() {
    for version in VERSIONS {
        let house = House::new();
        let reader = reader(&house);
        let client = house
            .hello(version, "c")
            .keep_alive(10)
            .will("will/c", "silent")
            .open();
        house.seconds(15);
        client.assert_closed(ReasonCode::KeepAliveTimeout);
        assert_eq!(reader.payloads(), ["silent"], "{version}");
    }
}

// [MQTT5-3.1.2-8]
#[test]
fn a_will_waits_for_its_delay() {
    let house = House::new();
    let reader = reader(&house);
    house
        .v5("c")
        .expiry(100)
        .will("will/c", "gone")
        .will_delay(30)
        .open()
        .hang_up();
    house.seconds(29);
    assert_eq!(reader.take(), []);
    house.seconds(1);
    assert_eq!(reader.payloads(), ["gone"]);
    house.seconds(100);
    assert_eq!(reader.take(), [], "once");
}

#[test]
fn the_end_of_the_session_is_the_end_of_the_delay() {
    let house = House::new();
    let reader = reader(&house);
    house
        .v5("c")
        .expiry(10)
        .will("will/c", "ended")
        .will_delay(30)
        .open()
        .hang_up();
    house.seconds(10);
    assert_eq!(reader.payloads(), ["ended"]);
    house.seconds(30);
    assert_eq!(reader.take(), []);
    house
        .v5("d")
        .expiry(0)
        .will("will/d", "at once")
        .will_delay(30)
        .open()
        .hang_up();
    assert_eq!(reader.payloads(), ["at once"]);
}

#[test]
fn the_end_by_disconnect_with_an_expiry_of_0_is_the_end_of_the_delay() {
    let house = House::new();
    let reader = reader(&house);
    let client = house
        .v5("c")
        .expiry(100)
        .will("will/c", "ended")
        .will_delay(30)
        .open();
    client.disconnect_with(ReasonCode::DisconnectWithWill, Some(0));
    assert_eq!(reader.payloads(), ["ended"]);
}

// [MQTT5-3.1.3-9]
#[test]
fn who_is_back_before_the_delay_ends_has_no_will_published() {
    let house = House::new();
    let reader = reader(&house);
    house
        .v5("c")
        .expiry(100)
        .will("will/c", "gone")
        .will_delay(30)
        .open()
        .hang_up();
    house.seconds(29);
    let client = house.v5("c").expiry(100).open();
    house.seconds(60);
    assert_eq!(reader.take(), []);
    client.hang_up();
    house.seconds(60);
    assert_eq!(reader.take(), [], "the new connection left no Will");
}

// The session of before ends, which ends the delay too.
#[test]
fn a_clean_start_before_the_delay_ends_publishes_the_will() {
    let house = House::new();
    let reader = reader(&house);
    house
        .v5("c")
        .expiry(100)
        .will("will/c", "ended")
        .will_delay(30)
        .open()
        .hang_up();
    house.v5("c").open();
    assert_eq!(reader.payloads(), ["ended"]);
}

#[test]
fn a_takeover_publishes_a_will_without_delay_and_not_one_with() {
    for version in VERSIONS {
        let house = House::new();
        let reader = reader(&house);
        let lasting = || {
            let hello = house.hello(version, "c").resume();
            match version {
                Version::V5 => hello.expiry(100),
                Version::V31 | Version::V311 => hello,
            }
        };
        let old = lasting().will("will/c", "taken over").open();
        lasting().open();
        old.assert_closed(ReasonCode::SessionTakenOver);
        assert_eq!(reader.payloads(), ["taken over"], "{version}");
    }
    let house = House::new();
    let reader = reader(&house);
    house
        .v5("c")
        .expiry(100)
        .will("will/c", "delayed")
        .will_delay(5)
        .open();
    house.v5("c").expiry(100).open();
    house.seconds(60);
    assert_eq!(reader.take(), []);
}

#[test]
fn a_takeover_by_a_clean_start_publishes_even_a_delayed_will() {
    let house = House::new();
    let reader = reader(&house);
    house
        .v5("c")
        .expiry(100)
        .will("will/c", "ended")
        .will_delay(5)
        .open();
    house.v5("c").open();
    assert_eq!(reader.payloads(), ["ended"]);
}

#[test]
fn each_connection_has_its_own_will() {
    let house = House::new();
    let reader = reader(&house);
    house
        .v5("c")
        .expiry(100)
        .will("will/c", "first")
        .open()
        .disconnect();
    let second = house.v5("c").expiry(100).will("will/c", "second").open();
    second.hang_up();
    assert_eq!(reader.payloads(), ["second"]);
    house.v5("c").expiry(100).open().hang_up();
    assert_eq!(reader.take(), []);
}

// [MQTT5-3.1.2-15] [MQTT311-3.1.2-17]
#[test]
fn a_retained_will_is_retained() {
    let house = House::new();
    let hello = house
        .v311("c")
        .will("will/c", "gone")
        .will_with(|will| will.retain = true);
    hello.open().hang_up();
    assert_eq!(house.broker.retained().0, 1);
    let reader = reader(&house);
    let messages = reader.messages();
    assert_eq!(
        (messages[0].payload.as_str(), messages[0].retain),
        ("gone", true)
    );
}

// [MQTT5-3.3.2-6]
#[test]
fn the_expiry_of_a_will_counts_from_its_publication() {
    let house = House::new();
    let away = house.v5("away").expiry(1000).open();
    away.subscribe("will/#", QoS::AtLeastOnce);
    away.hang_up();
    let hello = house
        .v5("c")
        .expiry(100)
        .will("will/c", "gone")
        .will_delay(50);
    let hello = hello.will_with(|will| {
        will.qos = QoS::AtLeastOnce;
        will.properties.message_expiry = Some(20);
    });
    hello.open().hang_up();
    house.seconds(50);
    house.seconds(15);
    let away = house.v5("away").expiry(1000).open();
    let messages = away.messages();
    assert_eq!(messages.len(), 1, "15 of its 20 seconds have passed");
    assert_eq!(messages[0].expiry, Some(5));
}

#[test]
fn no_local_swallows_the_own_will_only() {
    let house = House::new();
    let options = SubscriptionOptions {
        qos: QoS::AtLeastOnce,
        no_local: true,
        ..Default::default()
    };
    let client = house.v5("c").expiry(100).will("will/c", "own").open();
    client.subscribe_with("will/#", options, None);
    let other = house.v5("other").expiry(100).open();
    other.subscribe_with("will/#", options, None);
    client.hang_up();
    assert_eq!(other.payloads(), ["own"]);
    let hello = house.v5("third").will("will/third", "of another");
    hello
        .will_with(|will| will.qos = QoS::AtLeastOnce)
        .open()
        .hang_up();
    let client = house.v5("c").expiry(100).open();
    assert_eq!(client.payloads(), ["of another"]);
    assert_eq!(other.payloads(), ["of another"]);
}

#[test]
fn wills_are_published_when_the_broker_stops() {
    let house = House::new();
    let reader = reader(&house);
    house.v5("c").will("will/c", "stopped").open();
    house.broker.stop();
    house.run();
    let got = reader.take();
    let told = [Got::Disconnect(ReasonCode::ServerShuttingDown)];
    // The reader may have been told to go before the Will came.
    assert!(got.ends_with(&told), "{got:?}");
    assert_eq!(house.closed("server_shutting_down"), 2);
}

// [MQTT5-3.3.1-7]
#[test]
fn an_empty_retained_will_clears_its_topic() {
    let house = House::new();
    house.v5("writer").open().retain("will/c", "here");
    assert_eq!(house.broker.retained().0, 1);
    let hello = house
        .v5("c")
        .will("will/c", "")
        .will_with(|will| will.retain = true);
    hello.open().hang_up();
    assert_eq!(house.broker.retained().0, 0);
}
