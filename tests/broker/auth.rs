//! Who is let in, and what it may do.

use std::sync::Arc;
use std::time::Duration;

use postbud::broker::{Ending, Gauge};
use postbud::codec::{Packet, QoS, ReasonCode, SubscriptionOptions, Version};

use crate::client::publish;
use crate::engines::{Doorman, RIDDLE};
use crate::house::House;
use crate::received::Got;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const NO: ReasonCode = ReasonCode::NotAuthorized;

fn thinking() -> (Arc<Doorman>, House) {
    let doorman = Doorman::that(|it| it.thinks = true);
    let house = House::with_auth(doorman.clone());
    (doorman, house)
}

// [MQTT5-3.1.4-2] [MQTT5-3.2.2-7] [MQTT311-3.2.2-5]
#[test]
fn who_is_refused_is_told_and_closed() {
    for version in VERSIONS {
        let house = House::with_auth(Doorman::that(|it| {
            it.refuses = Some(ReasonCode::BadUserNameOrPassword)
        }));
        let client = house.hello(version, "c").send();
        let welcome = client.welcome();
        assert_eq!(welcome.code, ReasonCode::BadUserNameOrPassword, "{version}");
        assert!(!welcome.present);
        let ending = Ending::Closed(ReasonCode::BadUserNameOrPassword);
        assert_eq!(client.ending(), Some(ending));
        assert_eq!(house.gauge(Gauge::Sessions), 0);
        let refused = house.snapshot().refused;
        assert_eq!(refused, [(ReasonCode::BadUserNameOrPassword, 1)]);
    }
}

// [MQTT5-3.2.2-19]
#[test]
fn a_refusal_is_not_larger_than_the_client_takes() {
    let doorman = Doorman::that(|it| it.refuses = Some(NO));
    let house = House::with_auth(doorman);
    let client = house.v5("c").packet_size_maximum(20).send();
    assert_eq!(client.welcome().code, NO);
}

#[test]
fn a_verdict_may_come_later() {
    for version in VERSIONS {
        let (doorman, house) = thinking();
        let [yes, no] = ["yes", "no"].map(|id| house.hello(version, id).send());
        yes.publish("t", "waits for CONNACK");
        assert_eq!((yes.take(), no.take()), (vec![], vec![]), "{version}");
        doorman.speak(Ok(()));
        doorman.speak(Err(NO));
        house.run();
        assert_eq!(yes.welcome().code, ReasonCode::Success, "{version}");
        assert_eq!(no.welcome().code, NO, "{version}");
        assert_eq!(no.ending(), Some(Ending::Closed(NO)));
        assert_eq!(house.snapshot().messages_received[0], 1, "{version}");
    }
}

#[test]
fn a_verdict_that_never_comes_is_a_refusal() {
    let (doorman, house) = thinking();
    let client = house.v5("c").send();
    doorman.forget();
    house.run();
    assert_eq!(client.welcome().code, ReasonCode::ServerUnavailable);
    assert!(client.ending().is_some());
}

#[test]
fn a_verdict_for_a_connection_that_is_gone_opens_nothing() {
    let (doorman, house) = thinking();
    let client = house.v5("c").send();
    client.hang_up();
    doorman.speak(Ok(()));
    house.run();
    assert_eq!(client.take(), []);
    assert_eq!(house.gauge(Gauge::Sessions), 0);
    assert_eq!(house.gauge(Gauge::Connections), 0);
}

#[test]
fn who_waits_too_long_for_a_verdict_is_closed() {
    let (doorman, house) = thinking();
    let client = house.v5("c").send();
    house.advance(crate::house::CONNECT_WITHIN);
    // Nothing is read from it meanwhile, so only the driver's own patience counts.
    doorman.speak(Ok(()));
    house.run();
    let got = client.take();
    assert!(got.len() <= 1, "{got:?}");
}

#[test]
fn a_subscription_that_is_not_permitted_is_refused_and_the_others_are_granted() {
    for version in VERSIONS {
        let doorman = Doorman::that(|it| it.no_subscribe = Some("secret"));
        let house = House::with_auth(doorman);
        let client = house.hello(version, "c").open();
        let options = SubscriptionOptions::v3(QoS::AtLeastOnce);
        let filters = ["a", "secret/#", "$share/g/secret/x", "b"].map(|filter| (filter, options));
        client.send_subscribe(1, &filters, None);
        let code = if version == Version::V5 { 0x87 } else { 0x80 };
        assert_eq!(
            client.take(),
            [Got::Suback(1, vec![1, code, code, 1])],
            "{version}"
        );
        let writer = house.v5("writer").open();
        writer.publish("secret/x", "hidden");
        writer.publish("b", "open");
        assert_eq!(client.payloads(), ["open"], "{version}");
        assert_eq!(house.gauge(Gauge::Subscriptions), 2);
        assert_eq!(house.snapshot().subscriptions_refused, [(NO, 2)]);
    }
}

// [MQTT311-3.3.5-2] [MQTT5-3.4.2-1]
#[test]
fn a_publish_that_is_not_permitted_is_refused_in_mqtt_5_and_acknowledged_before() {
    for version in VERSIONS {
        let doorman = Doorman::that(|it| it.no_publish = Some("secret"));
        let house = House::with_auth(doorman);
        let reader = house.v5("reader").open();
        reader.subscribe("#", QoS::AtMostOnce);
        let writer = house.hello(version, "writer").open();
        writer.publish("secret/x", "0");
        writer.publish1(1, "secret/x", "1");
        writer.publish2(2, "secret/x", "2");
        let code = if version == Version::V5 {
            NO
        } else {
            ReasonCode::Success
        };
        assert_eq!(
            writer.take(),
            [Got::Puback(1, code), Got::Pubrec(2, code)],
            "{version}"
        );
        assert_eq!(reader.take(), [], "{version}");
        assert_eq!(house.snapshot().publishes_refused, [(NO, 3)]);
        writer.retain("secret/x", "kept?");
        assert_eq!(house.broker.retained().0, 0);
        if version != Version::V5 {
            writer.pubrel(2);
            assert_eq!(writer.take(), [Got::Pubcomp(2, ReasonCode::Success)]);
        }
        writer.publish("open", "y");
        assert_eq!(
            reader.payloads(),
            ["y"],
            "{version}: the connection goes on"
        );
    }
}

#[test]
fn nobody_publishes_below_sys_but_the_broker() {
    let house = House::new();
    let reader = house.v5("reader").open();
    reader.subscribe("$SYS/#", QoS::AtMostOnce);
    let writer = house.v5("writer").open();
    for (id, topic) in ["$SYS", "$SYS/broker/uptime", "$SYS/"].iter().enumerate() {
        let id = id as u16 + 1;
        writer.publish1(id, topic, "x");
        assert_eq!(writer.take(), [Got::Puback(id, NO)], "{topic}");
    }
    assert_eq!(reader.take(), []);
    let will = house.v5("will").will("$SYS/broker/uptime", "x").send();
    assert_eq!(will.welcome().code, NO);
    writer.publish1(9, "$SYSTEM", "x");
    assert_eq!(
        writer.take(),
        [Got::Puback(9, ReasonCode::NoMatchingSubscribers)]
    );
}

#[test]
fn a_will_that_may_not_be_published_is_not_accepted() {
    for version in VERSIONS {
        let doorman = Doorman::that(|it| it.no_publish = Some("secret"));
        let house = House::with_auth(doorman);
        let client = house.hello(version, "c").will("secret/will", "x").send();
        assert_eq!(client.welcome().code, NO, "{version}");
        assert_eq!(house.gauge(Gauge::Sessions), 0);
    }
}

// [MQTT5-4.12.0-2] [MQTT5-4.12.0-5]
#[test]
fn an_enhanced_authentication_goes_through_its_steps() {
    for direct in [true, false] {
        let house = House::new();
        let hello = house.v5("c").method(RIDDLE, None);
        let client = if direct { hello } else { hello.indirect() }.send();
        let method = Some(RIDDLE.to_owned());
        let go_on = ReasonCode::ContinueAuthentication;
        let challenge = Got::Auth(go_on, method.clone(), Some(b"riddle?".to_vec()));
        assert_eq!(client.take(), [challenge]);
        client.auth(go_on, Some(RIDDLE), Some(b"right"));
        let welcome = client.welcome();
        assert_eq!(
            (welcome.code, welcome.method),
            (ReasonCode::Success, method)
        );
        assert_eq!(welcome.data.as_deref(), Some(&b"welcome"[..]));
        client.subscribe("t", QoS::AtMostOnce);
    }
}

#[test]
fn who_knows_the_answer_is_not_asked() {
    let house = House::new();
    let client = house.v5("c").method(RIDDLE, Some(b"right")).send();
    let welcome = client.welcome();
    assert_eq!(welcome.code, ReasonCode::Success);
    assert_eq!(welcome.method.as_deref(), Some(RIDDLE));
}

// [MQTT5-4.12.0-4]
#[test]
fn a_wrong_answer_is_refused() {
    let house = House::new();
    let client = house.v5("c").method(RIDDLE, None).send();
    client.take();
    client.auth(
        ReasonCode::ContinueAuthentication,
        Some(RIDDLE),
        Some(b"wrong"),
    );
    assert_eq!(client.welcome().code, NO);
    assert_eq!(client.ending(), Some(Ending::Closed(NO)));
}

// [MQTT5-4.12.0-1]
#[test]
fn a_method_that_is_not_known_is_refused_with_0x8c() {
    let house = House::new();
    let client = house.v5("c").method("unheard of", None).send();
    assert_eq!(client.welcome().code, ReasonCode::BadAuthenticationMethod);
    assert!(client.ending().is_some());
}

// [MQTT5-4.12.0-5] [MQTT5-3.1.4-6]
#[test]
fn only_the_right_auth_goes_on_before_connack() {
    let go_on = ReasonCode::ContinueAuthentication;
    for (code, method) in [(go_on, "another"), (ReasonCode::ReAuthenticate, RIDDLE)] {
        let house = House::new();
        let client = house.v5("c").method(RIDDLE, None).send();
        client.take();
        client.auth(code, Some(method), Some(b"right"));
        let told = client.welcome().code;
        assert_eq!(told, ReasonCode::ProtocolError, "{code:?} {method}");
        assert!(client.ending().is_some());
    }
    let house = House::new();
    let client = house.v5("c").method(RIDDLE, None).send();
    client.take();
    // An AUTH without a method.
    client.send_bytes(&[0xF0, 2, 0x18, 0]);
    assert_eq!(client.welcome().code, ReasonCode::ProtocolError);
    let client = house.v5("c").method(RIDDLE, None).send();
    client.take();
    client.send(&Packet::Pingreq);
    assert_eq!(client.welcome().code, ReasonCode::ProtocolError);
}

#[test]
fn a_client_may_give_an_authentication_up() {
    let house = House::new();
    let client = house.v5("c").method(RIDDLE, None).send();
    client.take();
    client.disconnect();
    assert_eq!(
        (client.take(), client.ending()),
        (vec![], Some(Ending::Disconnected))
    );
}

// [MQTT5-4.12.0-6] [MQTT5-4.12.0-7]
#[test]
fn an_auth_without_a_method_in_connect_breaks_the_protocol() {
    let house = House::new();
    let client = house.v5("c").open();
    client.auth(ReasonCode::ReAuthenticate, Some(RIDDLE), None);
    client.assert_closed(ReasonCode::ProtocolError);
}

#[test]
fn a_client_may_authenticate_again_at_any_time() {
    let house = House::new();
    let client = house.v5("c").method(RIDDLE, Some(b"right")).open();
    let method = Some(RIDDLE.to_owned());
    client.auth(ReasonCode::ReAuthenticate, Some(RIDDLE), None);
    let go_on = ReasonCode::ContinueAuthentication;
    let challenge = Got::Auth(go_on, method.clone(), Some(b"riddle?".to_vec()));
    assert_eq!(client.take(), [challenge]);
    client.publish1(1, "t", "meanwhile");
    assert_eq!(client.take().len(), 1, "other packets go on");
    client.auth(go_on, Some(RIDDLE), Some(b"right"));
    let done = Got::Auth(ReasonCode::Success, method, Some(b"welcome".to_vec()));
    assert_eq!(client.take(), [done]);
    assert_eq!(client.ending(), None);
}

// Breaks if: who has one user's session can become another user in it.
#[test]
fn who_authenticates_again_stays_the_same_user() {
    let house = House::new();
    let open = |id| {
        house
            .v5(id)
            .method(RIDDLE, Some(b"right, says anna"))
            .open()
    };
    let again = ReasonCode::ReAuthenticate;
    let client = open("c");
    client.auth(again, Some(RIDDLE), Some(b"right, says anna"));
    let done = Got::Auth(ReasonCode::Success, Some(RIDDLE.to_owned()), None);
    assert_eq!(client.take(), [done]);
    for other in [&b"right, says bo"[..], b"right"] {
        let client = open("d");
        client.auth(again, Some(RIDDLE), Some(other));
        client.assert_closed(NO);
    }
    assert_eq!(client.ending(), None);
}

// [MQTT5-4.12.1-1] [MQTT5-4.12.1-2]
#[test]
fn a_failed_re_authentication_ends_the_connection() {
    let house = House::new();
    let open = || house.v5("c").method(RIDDLE, Some(b"right")).open();
    let client = open();
    client.auth(ReasonCode::ReAuthenticate, Some(RIDDLE), None);
    client.take();
    client.auth(
        ReasonCode::ContinueAuthentication,
        Some(RIDDLE),
        Some(b"wrong"),
    );
    client.assert_closed(NO);
    let other = open();
    other.auth(ReasonCode::ReAuthenticate, Some("another"), None);
    other.assert_closed(ReasonCode::ProtocolError);
    let unasked = open();
    unasked.auth(
        ReasonCode::ContinueAuthentication,
        Some(RIDDLE),
        Some(b"right"),
    );
    unasked.assert_closed(ReasonCode::ProtocolError);
}

// DISCONNECT has no 0x86; that no illegal packet is sent is checked by the decoder. [MQTT5-3.14.2-1]
#[test]
fn a_failed_re_authentication_is_told_with_a_code_that_disconnect_has() {
    let doorman = Doorman::that(|it| it.wrong_answer = Some(ReasonCode::BadUserNameOrPassword));
    let house = House::with_auth(doorman);
    let client = house.v5("c").method(RIDDLE, Some(b"right")).open();
    client.auth(ReasonCode::ReAuthenticate, Some(RIDDLE), None);
    client.take();
    client.auth(
        ReasonCode::ContinueAuthentication,
        Some(RIDDLE),
        Some(b"wrong"),
    );
    assert!(matches!(client.take()[..], [Got::Disconnect(code)] if code.is_error()));
}

#[test]
fn topics_that_are_too_deep_are_refused() {
    let house = House::with_options(|options| options.session.topic_levels_maximum = 3);
    let client = house.v5("c").open();
    client.publish1(1, "a/b/c/d", "x");
    assert_eq!(
        client.take(),
        [Got::Puback(1, ReasonCode::TopicNameInvalid)]
    );
    let options = SubscriptionOptions::default();
    client.send_subscribe(1, &[("a/b/c/#", options), ("a/b/#", options)], None);
    assert_eq!(client.take(), [Got::Suback(1, vec![0x8F, 0])]);
}

#[test]
fn subscriptions_of_a_session_are_bounded() {
    for version in VERSIONS {
        let house = House::with_options(|options| options.session.subscriptions_maximum = 2);
        let client = house.hello(version, "c").open();
        let options = SubscriptionOptions::default();
        client.send_subscribe(1, &["a", "b", "c", "a"].map(|f| (f, options)), None);
        let full = if version == Version::V5 { 0x97 } else { 0x80 };
        assert_eq!(
            client.take(),
            [Got::Suback(1, vec![0, 0, full, 0])],
            "{version}"
        );
        client.unsubscribe("a");
        client.subscribe("c", QoS::AtMostOnce);
    }
}

#[test]
fn an_identity_may_publish_what_it_is_not_refused() {
    let house = House::new();
    let client = house.v5("c").open();
    client.subscribe("t", QoS::AtLeastOnce);
    client.send(&Packet::Publish(publish(
        QoS::AtLeastOnce,
        1,
        "t",
        "to myself",
    )));
    let got = client.take();
    assert_eq!(got.len(), 2, "{got:?}");
}

/// A moment so many seconds from now, by the clock on the wall.
fn in_seconds(house: &House, seconds: u64) -> Option<postbud::message::Timestamp> {
    Some(house.now().wall.after(Duration::from_secs(seconds)))
}

// [MQTT5-4.13.2-1]
// Breaks if: a proof that has ended is as good as one that has not, for who is silent, who talks, or who is
// not listened to.
#[test]
fn a_connection_ends_with_its_proof() {
    for version in VERSIONS {
        for busy in [false, true] {
            let doorman = Doorman::that(|_| {});
            let house = House::with_auth(doorman.clone());
            let watcher = house.v5("watcher").open();
            watcher.subscribe("gone", QoS::AtMostOnce);
            let expires = in_seconds(&house, 60);
            doorman.now(|mind| {
                mind.expires = expires;
                mind.ponders = busy.then_some("slow");
            });
            let client = house.hello(version, "c").will("gone", "x").open();
            if busy {
                client.publish1(1, "slow", "x");
                assert!(client.is_paused());
            }
            house.seconds(59);
            assert_eq!(client.ending(), None, "{version}");
            house.seconds(1);
            client.assert_closed(NO);
            assert_eq!(watcher.payloads(), ["x"], "{version} {busy}");
        }
    }
}

#[test]
fn a_proof_that_has_ended_already_lets_nobody_in() {
    let doorman = Doorman::that(|_| {});
    let house = House::with_auth(doorman.clone());
    let expires = in_seconds(&house, 0);
    doorman.now(|mind| mind.expires = expires);
    assert_eq!(house.v5("c").send().welcome().code, NO);
}

// Breaks if: a new proof does not count, or the old one counts longer than it says.
#[test]
fn a_new_proof_lasts_as_long_as_it_says() {
    let doorman = Doorman::that(|_| {});
    let house = House::with_auth(doorman.clone());
    let expires = in_seconds(&house, 60);
    doorman.now(|mind| mind.expires = expires);
    let client = house.v5("c").method(RIDDLE, Some(b"right")).open();
    house.seconds(50);
    let expires = in_seconds(&house, 60);
    doorman.now(|mind| mind.expires = expires);
    client.auth(ReasonCode::ReAuthenticate, Some(RIDDLE), Some(b"right"));
    client.take();
    house.seconds(59);
    assert_eq!((client.take(), client.ending()), (vec![], None));
    house.seconds(1);
    client.assert_closed(NO);
}

// Breaks if: a certificate's Client Identifier is not used, or another one is accepted beside it.
#[test]
fn a_certificate_may_say_what_a_client_is_called() {
    for version in VERSIONS {
        let mut house = House::new();
        house.caller.client_id = Some("device-7".into());
        let same = house.hello(version, "device-7").open();
        let other = house.hello(version, "device-8").send();
        let welcome = other.welcome();
        assert_eq!(
            welcome.code,
            ReasonCode::ClientIdentifierNotValid,
            "{version}"
        );
        assert_eq!(same.ending(), None);
        if version != Version::V31 {
            let client = house.hello(version, "").send();
            let assigned = (version == Version::V5).then(|| "device-7".to_owned());
            assert_eq!(client.welcome().assigned_id, assigned, "{version}");
            assert!(house.broker.session("device-7", house.now()).is_some());
            assert!(
                same.ending().is_some(),
                "{version}: its session is taken over"
            );
        }
    }
}
