//! Listeners of their own kind: mount points, versions, limits.

use std::sync::Arc;
use std::time::Duration;

use postbud::broker::{Ending, Entrance, Gauge, Limits};
use postbud::codec::{QoS, ReasonCode, SubscriptionOptions, Version};
use postbud::queue::DropReason;

use crate::client::publish;
use crate::engines::Doorman;
use crate::house::House;
use crate::received::Got;
use crate::restart::Home;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

/// From now on clients of this house come in below this mount point; "" is none.
fn below(house: &mut House, mount: &str) {
    house.entrance = Arc::new(Entrance {
        mount: (!mount.is_empty()).then(|| mount.into()),
        ..Entrance::default()
    });
}

fn mounted(mount: &str) -> House {
    let mut house = House::new();
    below(&mut house, mount);
    house
}

/// Topics of everything it has received.
fn topics(client: &crate::client::Client<'_>) -> Vec<String> {
    client.messages().into_iter().map(|it| it.topic).collect()
}

// Breaks if: a client says or sees anything else than what is below its mount point, or sees that.
#[test]
fn a_client_lives_below_its_mount_point() {
    for version in VERSIONS {
        let inside = mounted("floor/2/");
        let outside = House::on(Arc::clone(&inside.broker));
        let all = outside.v5("all").open();
        all.subscribe("#", QoS::AtLeastOnce);
        let client = inside.hello(version, "c").open();
        client.subscribe("#", QoS::AtLeastOnce);
        client.publish1(1, "lamp/on", "x");
        assert_eq!(topics(&all), ["floor/2/lamp/on"], "{version}");
        let got = client.take();
        assert_eq!(got.len(), 2, "{got:?}");
        let Some(Got::Publish(message)) = got.iter().find(|it| matches!(it, Got::Publish(_)))
        else {
            panic!("{got:?}");
        };
        assert_eq!(message.topic, "lamp/on", "{version}");
        client.puback(message.id);
        for topic in [
            "lamp/on",
            "floor/1/a",
            "floor/2",
            "floor/2/",
            "floor/20/a",
            "floor/2/b",
        ] {
            all.publish(topic, "y");
        }
        assert_eq!(topics(&client), ["b"], "{version}");
        client.unsubscribe("#");
        all.publish("floor/2/b", "z");
        assert_eq!(client.take(), [], "{version}");
    }
}

// Breaks if: an alias is set to one topic and used for another, either way.
#[test]
fn aliases_are_of_whole_topics() {
    let inside = mounted("m/");
    let outside = House::on(Arc::clone(&inside.broker));
    let all = outside.v5("all").open();
    all.subscribe("#", QoS::AtMostOnce);
    let client = inside.v5("c").topic_alias_maximum(10).open();
    client.subscribe("#", QoS::AtMostOnce);
    let say = |topic: &'static str| {
        let mut publish = publish(QoS::AtMostOnce, 0, topic, "x");
        publish.properties.topic_alias = std::num::NonZeroU16::new(1);
        client.send(&postbud::codec::Packet::Publish(publish));
    };
    for topic in ["first", "", "$delayed/0/second", ""] {
        say(topic);
    }
    outside.seconds(1);
    inside.run();
    assert_eq!(topics(&all), ["m/first", "m/first", "m/second", "m/second"]);
    assert_eq!(topics(&client), ["first", "first", "second", "second"]);
}

#[test]
fn retained_messages_wills_and_what_is_for_later_are_below_it_too() {
    let inside = mounted("m/");
    let outside = House::on(Arc::clone(&inside.broker));
    let all = outside.v5("all").open();
    let client = inside.v5("c").will("$delayed/5/gone", "w").open();
    client.retain("kept", "k");
    client.publish("$delayed/5/later", "l");
    all.subscribe("#", QoS::AtMostOnce);
    assert_eq!(topics(&all), ["m/kept"]);
    client.hang_up();
    let other = inside.v5("other").will("gone", "w").open();
    other.subscribe("kept", QoS::AtMostOnce);
    assert_eq!(topics(&other), ["kept"]);
    other.subscribe("gone", QoS::AtMostOnce);
    inside.seconds(5);
    outside.run();
    assert_eq!(topics(&other), ["gone"]);
    let mut got = topics(&all);
    got.sort();
    assert_eq!(got, ["m/gone", "m/later"]);
    other.hang_up();
    outside.run();
    assert_eq!(topics(&all), ["m/gone"]);
}

// Breaks if: members below a mount point share with others than those below the same one, or a message is
// given to one that has no name for it.
#[test]
fn groups_are_of_those_below_the_same_mount_point() {
    let inside = mounted("m/");
    let outside = House::on(Arc::clone(&inside.broker));
    let [one, two] = ["one", "two"].map(|id| inside.v5(id).open());
    for client in [one, two] {
        client.subscribe("$share/g/jobs/#", QoS::AtLeastOnce);
    }
    let other = outside.v5("other").open();
    other.subscribe("$share/g/jobs/#", QoS::AtLeastOnce);
    for _ in 0..2 {
        other.publish("m/jobs/1", "x");
    }
    inside.run();
    assert_eq!(
        (topics(&one), topics(&two)),
        (vec!["jobs/1".into()], vec!["jobs/1".into()])
    );
    other.publish("jobs/1", "x");
    assert_eq!(
        (topics(&other), one.take()),
        (vec!["jobs/1".into()], vec![])
    );
    one.subscribe("$share/all/#", QoS::AtLeastOnce);
    other.publish1(7, "m", "it has no name inside");
    assert_eq!(one.take(), []);
    assert_eq!(outside.dropped(DropReason::NotPermitted), 1);
    assert_eq!(outside.gauge(Gauge::Queued), 0);
}

// Breaks if: `$SYS` is hidden, or open, to who is below a mount point.
#[test]
fn sys_is_the_same_for_all() {
    let inside = mounted("m/");
    let client = inside.v5("c").open();
    client.subscribe("$SYS/#", QoS::AtMostOnce);
    client.publish1(1, "$SYS/broker/uptime", "x");
    assert_eq!(client.take(), [Got::Puback(1, ReasonCode::NotAuthorized)]);
    let will = inside.v5("w").will("$delayed/1/$SYS/x", "x").send();
    assert_eq!(will.welcome().code, ReasonCode::NotAuthorized);
}

// Breaks if: rules see less than the whole topic.
#[test]
fn rules_see_whole_topics() {
    let doorman = Doorman::that(|it| {
        it.no_publish = Some("m/secret");
        it.no_subscribe = Some("m/secret");
        it.mind.get_mut().watches = true;
        it.mind.get_mut().unreadable = vec!["m/hidden"];
    });
    let mut house = House::with_auth(doorman);
    below(&mut house, "m/");
    let client = house.v5("c").open();
    client.publish1(1, "secret/x", "x");
    client.publish1(2, "$delayed/5/secret/x", "x");
    let no = |id| Got::Puback(id, ReasonCode::NotAuthorized);
    assert_eq!(client.take(), [no(1), no(2)]);
    let options = SubscriptionOptions::v3(QoS::AtMostOnce);
    client.send_subscribe(
        3,
        &[("secret/#", options), ("$share/g/secret/#", options)],
        None,
    );
    assert_eq!(client.take(), [Got::Suback(3, vec![0x87, 0x87])]);
    client.subscribe("#", QoS::AtMostOnce);
    client.publish("hidden", "x");
    client.publish("shown", "x");
    assert_eq!(topics(&client), ["shown"]);
}

// Breaks if: a session is shown to who comes by another way.
#[test]
fn a_session_belongs_to_its_mount_point() {
    let mut home = Home::new();
    below(&mut home.house, "m/");
    let client = home.house.v5("c").expiry(3600).open();
    client.subscribe("t", QoS::AtLeastOnce);
    client.hang_up();
    let mut home = home.killed();
    for other in ["", "n/"] {
        below(&mut home.house, other);
        for user in [None, Some("ann")] {
            let hello = home.house.v5("c").expiry(3600);
            let hello = user.into_iter().fold(hello, |hello, user| hello.user(user));
            assert_eq!(hello.send().welcome().code, ReasonCode::NotAuthorized);
        }
    }
    let writer = home.house.v5("writer").open();
    writer.publish1(1, "t", "not for it");
    below(&mut home.house, "m/");
    let writer = home.house.v5("inside").open();
    writer.publish1(1, "t", "for it");
    let (client, present) = home.house.v5("c").expiry(3600).open_present();
    assert!(present);
    assert_eq!(client.payloads(), ["for it"]);
}

#[test]
fn a_topic_that_becomes_too_long_is_refused() {
    let house = mounted("m/");
    let client = house.v5("c").open();
    let long = "x".repeat(65_534);
    client.publish(&long, "x");
    assert_eq!(
        client.ending(),
        Some(Ending::Closed(ReasonCode::TopicNameInvalid))
    );
}

// [MQTT5-3.1.2-2] [MQTT311-3.1.2-2]
#[test]
fn a_listener_may_speak_some_versions_only() {
    for spoken in VERSIONS {
        let mut house = House::new();
        house.entrance = Arc::new(Entrance {
            versions: vec![spoken],
            ..Entrance::default()
        });
        for version in VERSIONS {
            let client = house.hello(version, "c").send();
            let code = match version == spoken {
                true => ReasonCode::Success,
                false => ReasonCode::UnsupportedProtocolVersion,
            };
            assert_eq!(client.welcome().code, code, "{version} to {spoken}");
            assert_eq!(client.ending().is_some(), version != spoken);
        }
    }
}

// Breaks if: a client is told one limit and held to another.
#[test]
fn a_listener_may_have_limits_of_its_own() {
    let mut house = House::new();
    house.entrance = Arc::new(Entrance {
        limits: Limits {
            receive_maximum: Some(3),
            packet_size_maximum: Some(300),
            topic_alias_maximum: Some(1),
            keep_alive_maximum: Some(20),
            expiry_maximum: Some(Duration::from_secs(100)),
        },
        ..Entrance::default()
    });
    let client = house.v5("c").expiry(3600).keep_alive(600).send();
    let welcome = client.welcome();
    assert_eq!((welcome.expiry, welcome.keep_alive), (Some(100), Some(20)));
    client.disconnect_with(ReasonCode::Success, Some(3600));
    house.seconds(99);
    assert_eq!(house.gauge(Gauge::Sessions), 1);
    house.seconds(1);
    assert_eq!(house.gauge(Gauge::Sessions), 0);
    let client = house.v5("c").open();
    for id in 1..=4 {
        client.publish2(id, "t", "x");
    }
    client.take();
    assert_eq!(
        client.ending(),
        Some(Ending::Closed(ReasonCode::ReceiveMaximumExceeded))
    );
    let client = house.v5("c").open();
    client.publish("t", &"x".repeat(300));
    client.assert_closed(ReasonCode::PacketTooLarge);
    let client = house.v311("old").expiry(0).open();
    client.hang_up();
    house.seconds(100);
    assert_eq!(
        house.gauge(Gauge::Sessions),
        0,
        "as long as others, and no longer"
    );
}
