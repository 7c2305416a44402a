use std::num::{NonZeroU16, NonZeroU32};

use super::*;
use crate::codec::{ConnectProperties, Context, Packet, QoS, Sender, WillProperties, decode};

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

fn connect(version: Version) -> Connect<'static> {
    Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive: 60,
        client_id: "client",
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

fn with(properties: ConnectProperties<'static>) -> Connect<'static> {
    Connect {
        properties,
        ..connect(Version::V5)
    }
}

fn negotiate(connect: &Connect<'_>, options: &Options) -> Terms {
    Terms::negotiate(connect, options, || Arc::from("assigned")).expect("fair terms")
}

fn expiry_of(clean_start: bool, version: Version, wanted: Option<u32>, options: &Options) -> u32 {
    let properties = ConnectProperties {
        session_expiry: wanted,
        ..Default::default()
    };
    let connect = Connect {
        clean_start,
        properties,
        ..connect(version)
    };
    negotiate(&connect, options).expiry
}

fn expiring(maximum: u64, default: u64) -> Options {
    Options {
        expiry_maximum: Duration::from_secs(maximum),
        expiry_3x: Duration::from_secs(default),
        ..Options::default()
    }
}

/// The CONNACK as the client decodes it, checked by `check`.
fn told(
    terms: &Terms,
    retain_available: bool,
    response_information: Option<&str>,
    check: impl FnOnce(Connack<'_>),
) {
    let connack = terms.connack(true, retain_available, response_information);
    let mut bytes = Vec::new();
    connack
        .encode(terms.version, &mut bytes)
        .expect("a form in every version");
    let context = Context::new(terms.version, Sender::Server);
    let (packet, length) = decode(&bytes, &context).expect("legal").expect("whole");
    assert_eq!(length, bytes.len());
    let Packet::Connack(decoded) = packet else {
        panic!("a CONNACK")
    };
    check(decoded);
}

// [MQTT5-3.1.3-2] [MQTT311-3.1.3-2]
#[test]
fn a_client_identifier_of_its_own_is_kept() {
    for version in VERSIONS {
        let terms = negotiate(&connect(version), &Options::default());
        assert_eq!((&*terms.client_id, terms.assigned), ("client", false));
        // 3.1 allows 23 characters; more do no harm. [MQTT5-3.1.3-5] [MQTT311-3.1.3-5]
        let long = Connect {
            client_id: "a-client-identifier-of-more-than-23",
            ..connect(version)
        };
        assert_eq!(
            &*negotiate(&long, &Options::default()).client_id,
            long.client_id
        );
    }
}

// [MQTT5-3.1.3-6] [MQTT5-3.1.3-7] [MQTT5-3.2.2-16] [MQTT311-3.1.3-6]
#[test]
fn an_absent_client_identifier_is_assigned_and_told() {
    let options = Options::default();
    for (version, clean_start) in [
        (Version::V311, true),
        (Version::V5, true),
        (Version::V5, false),
    ] {
        let connect = Connect {
            client_id: "",
            clean_start,
            ..connect(version)
        };
        let terms = negotiate(&connect, &options);
        assert_eq!((&*terms.client_id, terms.assigned), ("assigned", true));
        let id = (version == Version::V5).then_some("assigned");
        told(&terms, true, None, |it| {
            assert_eq!(it.properties.assigned_client_id, id)
        });
    }
    let terms = negotiate(&connect(Version::V5), &options);
    told(&terms, true, None, |it| {
        assert_eq!(it.properties.assigned_client_id, None)
    });
}

// [MQTT311-3.1.3-7] [MQTT311-3.1.3-8]
#[test]
fn an_absent_client_identifier_needs_a_version_and_a_session_that_allow_it() {
    for (version, clean_start) in [
        (Version::V31, true),
        (Version::V31, false),
        (Version::V311, false),
    ] {
        let connect = Connect {
            client_id: "",
            clean_start,
            ..connect(version)
        };
        let assigned = || panic!("nothing is assigned to who is refused");
        let fault = Terms::negotiate(&connect, &Options::default(), assigned);
        assert_eq!(
            fault.expect_err("refused").code,
            ReasonCode::ClientIdentifierNotValid
        );
    }
}

#[test]
fn clean_start_is_taken_as_it_comes() {
    for version in VERSIONS {
        for clean_start in [false, true] {
            let connect = Connect {
                clean_start,
                ..connect(version)
            };
            let terms = negotiate(&connect, &Options::default());
            assert_eq!((terms.version, terms.clean_start), (version, clean_start));
        }
    }
}

// [MQTT5-3.1.2-23]
#[test]
fn a_session_of_5_expires_as_it_wishes_up_to_the_maximum() {
    let options = expiring(100, 50);
    for clean_start in [false, true] {
        let expiry = |wanted| expiry_of(clean_start, Version::V5, wanted, &options);
        assert_eq!(expiry(None), 0, "absent is 0");
        assert_eq!(expiry(Some(0)), 0);
        assert_eq!(expiry(Some(100)), 100);
        assert_eq!(expiry(Some(101)), 100);
        assert_eq!(expiry(Some(NEVER)), 100);
    }
    let boundless = expiring(u64::from(u32::MAX), 50);
    assert_eq!(expiry_of(true, Version::V5, Some(NEVER), &boundless), NEVER);
    let beyond = expiring(u64::MAX, 50);
    assert_eq!(expiry_of(true, Version::V5, Some(NEVER), &beyond), NEVER);
}

#[test]
fn a_cut_session_expiry_is_told_and_an_uncut_one_is_not() {
    let options = expiring(100, 50);
    for (wanted, expected) in [
        (None, None),
        (Some(100), None),
        (Some(101), Some(100)),
        (Some(NEVER), Some(100)),
    ] {
        let connect = with(ConnectProperties {
            session_expiry: wanted,
            ..Default::default()
        });
        let terms = negotiate(&connect, &options);
        told(&terms, true, None, |it| {
            assert_eq!(it.properties.session_expiry, expected)
        });
    }
}

// [MQTT311-3.1.2-4] [MQTT311-3.1.2-6]
#[test]
fn a_session_of_3x_expires_at_once_or_as_the_options_say() {
    for version in [Version::V31, Version::V311] {
        assert_eq!(expiry_of(true, version, None, &expiring(100, 50)), 0);
        assert_eq!(expiry_of(false, version, None, &expiring(100, 50)), 50);
        assert_eq!(expiry_of(false, version, None, &expiring(100, 500)), 100);
        assert_eq!(
            expiry_of(false, version, None, &expiring(u64::MAX, u64::MAX)),
            NEVER
        );
    }
}

// [MQTT5-3.2.2-22] [MQTT5-3.1.2-22] [MQTT311-3.1.2-24]
#[test]
fn a_keep_alive_beyond_the_maximum_is_replaced_and_told_in_5() {
    let bounded = Options {
        keep_alive_maximum: 100,
        ..Options::default()
    };
    let cases = [
        (0, 100, Some(100)),
        (99, 99, None),
        (100, 100, None),
        (101, 100, Some(100)),
    ];
    for (wanted, granted, server_keep_alive) in cases {
        let connect = Connect {
            keep_alive: wanted,
            ..connect(Version::V5)
        };
        let terms = negotiate(&connect, &bounded);
        assert_eq!(terms.keep_alive, granted);
        told(&terms, true, None, |it| {
            assert_eq!(it.properties.server_keep_alive, server_keep_alive);
        });
        // 3.x has no way to be told.
        for version in [Version::V31, Version::V311] {
            let connect = Connect { version, ..connect };
            assert_eq!(negotiate(&connect, &bounded).keep_alive, wanted);
        }
    }
    let free = Connect {
        keep_alive: u16::MAX,
        ..connect(Version::V5)
    };
    assert_eq!(
        negotiate(&free, &Options::default()).keep_alive,
        u16::MAX,
        "0 is no bound"
    );
}

// [MQTT5-3.1.2-22] [MQTT311-3.1.2-24]
#[test]
fn silence_is_allowed_for_one_and_a_half_keep_alives() {
    let allowed = |keep_alive| {
        let connect = Connect {
            keep_alive,
            ..connect(Version::V311)
        };
        negotiate(&connect, &Options::default()).silence_allowed()
    };
    assert_eq!(allowed(0), None, "0 switches it off");
    assert_eq!(allowed(1), Some(Duration::from_millis(1500)));
    assert_eq!(allowed(u16::MAX), Some(Duration::from_millis(98_302_500)));
}

// [MQTT5-4.9.0-1] [MQTT5-3.3.4-9]
#[test]
fn the_send_quota_is_the_smaller_of_both_bounds_and_never_0() {
    let quota = |receive_maximum, inflight_maximum| {
        let receive_maximum = NonZeroU16::new(receive_maximum);
        let connect = with(ConnectProperties {
            receive_maximum,
            ..Default::default()
        });
        let options = Options {
            inflight_maximum,
            ..Options::default()
        };
        negotiate(&connect, &options).send_quota
    };
    assert_eq!(quota(0, 256), 256, "absent is 65,535");
    assert_eq!(quota(0, u16::MAX), u16::MAX);
    assert_eq!(quota(10, 256), 10);
    assert_eq!(quota(1, 256), 1);
    assert_eq!(quota(1000, 256), 256);
    assert_eq!(quota(10, 0), 1);
    let old = negotiate(&connect(Version::V311), &Options::default());
    assert_eq!(old.send_quota, Options::default().inflight_maximum);
}

// [MQTT5-3.1.2-24]
#[test]
fn the_clients_maximum_packet_size_is_taken_as_it_comes() {
    for (wanted, expected) in [(None, u32::MAX), (NonZeroU32::new(1), 1)] {
        let properties = ConnectProperties {
            maximum_packet_size: wanted,
            ..Default::default()
        };
        let terms = negotiate(&with(properties), &Options::default());
        assert_eq!(terms.packet_size_maximum, expected);
    }
}

// [MQTT5-3.1.2-26] [MQTT5-3.1.2-27]
#[test]
fn outbound_aliases_are_the_smaller_of_both_bounds() {
    let aliases = |topic_alias_maximum, outbound_alias_maximum| {
        let connect = with(ConnectProperties {
            topic_alias_maximum,
            ..Default::default()
        });
        let options = Options {
            outbound_alias_maximum,
            ..Options::default()
        };
        negotiate(&connect, &options).outbound_aliases
    };
    assert_eq!(aliases(0, 16), 0);
    assert_eq!(aliases(5, 16), 5);
    assert_eq!(aliases(500, 16), 16);
    assert_eq!(aliases(5, 0), 0);
    assert_eq!(
        negotiate(&connect(Version::V311), &Options::default()).outbound_aliases,
        0
    );
}

// [MQTT5-3.1.2-29]
#[test]
fn problem_information_is_for_clients_of_5_that_did_not_decline() {
    for (request_problem_information, expected) in [(true, true), (false, false)] {
        let connect = with(ConnectProperties {
            request_problem_information,
            ..Default::default()
        });
        assert_eq!(
            negotiate(&connect, &Options::default()).problem_information,
            expected
        );
    }
    assert!(!negotiate(&connect(Version::V311), &Options::default()).problem_information);
}

// [MQTT5-3.1.2-28]
#[test]
fn response_information_is_told_to_who_asks() {
    let options = Options::default();
    for (request_response_information, expected) in [(true, Some("reply")), (false, None)] {
        let connect = with(ConnectProperties {
            request_response_information,
            ..Default::default()
        });
        let terms = negotiate(&connect, &options);
        let check = |it: Connack<'_>| assert_eq!(it.properties.response_information, expected);
        told(&terms, true, Some("reply"), check);
        told(&terms, true, None, |it| {
            assert_eq!(it.properties.response_information, None);
        });
    }
}

#[test]
fn the_connack_of_5_tells_the_brokers_limits() {
    let options = Options {
        receive_maximum: 7,
        packet_size_maximum: 1000,
        topic_alias_maximum: 3,
        ..Options::default()
    };
    let terms = negotiate(&connect(Version::V5), &options);
    told(&terms, true, None, |it| {
        assert_eq!((it.session_present, it.code), (true, ReasonCode::Success));
        let expected = ConnackProperties {
            receive_maximum: NonZeroU16::new(7),
            maximum_packet_size: NonZeroU32::new(1000),
            topic_alias_maximum: 3,
            ..ConnackProperties::default()
        };
        assert_eq!(it.properties, expected);
    });
    told(&terms, false, None, |it| {
        assert_eq!(it.properties.retain_available, Some(false));
    });
}

// [MQTT5-3.2.2-3] [MQTT311-3.2.2-2] [MQTT311-3.2.2-3]
#[test]
fn the_connack_says_whether_a_session_was_there() {
    for version in VERSIONS {
        let options = Options::default();
        let terms = negotiate(&connect(version), &options);
        let absent = terms.connack(false, true, None);
        assert!(!absent.session_present);
        // 3.1 has no flag for it.
        told(&terms, true, None, |it| {
            assert_eq!(it.session_present, version > Version::V31);
        });
    }
}

#[test]
fn the_connack_of_3x_has_no_properties() {
    let options = expiring(100, 50);
    for version in [Version::V31, Version::V311] {
        let terms = negotiate(&connect(version), &options);
        let connack = terms.connack(true, false, Some("reply"));
        assert_eq!(connack.properties, ConnackProperties::default());
    }
}

fn will(expiry: Option<u32>) -> crate::codec::Will<'static> {
    crate::codec::Will {
        qos: QoS::ExactlyOnce,
        retain: true,
        topic: "will/topic",
        payload: b"gone",
        properties: WillProperties {
            delay: 5,
            message_expiry: expiry,
            content_type: Some("text/plain"),
            ..WillProperties::default()
        },
    }
}

// [MQTT5-3.1.2-7] [MQTT5-3.1.2-15] [MQTT311-3.1.2-8] [MQTT311-3.1.2-17]
#[test]
fn a_will_is_kept_with_all_that_belongs_to_it() {
    assert!(
        negotiate(&connect(Version::V5), &Options::default())
            .will
            .is_none()
    );
    let connect = Connect {
        will: Some(will(Some(30))),
        ..connect(Version::V5)
    };
    let kept = negotiate(&connect, &Options::default())
        .will
        .expect("a will");
    assert_eq!((kept.delay, kept.expiry), (5, Some(30)));
    let message = &kept.message;
    assert_eq!(
        (message.topic(), message.payload()),
        ("will/topic", &b"gone"[..])
    );
    assert_eq!((message.qos(), message.retain()), (QoS::ExactlyOnce, true));
    assert_eq!(message.expires(), None, "its time has not begun to run");
    let properties = crate::codec::PublishProperties::parse_forwarded(message.forwarded());
    assert_eq!(properties.expect("legal").content_type, Some("text/plain"));
}

// [MQTT5-3.1.2-14] [MQTT311-3.1.2-16]
#[test]
fn a_will_that_is_not_retained_stays_so() {
    let will = crate::codec::Will {
        retain: false,
        ..will(None)
    };
    let connect = Connect {
        will: Some(will),
        ..connect(Version::V5)
    };
    let kept = negotiate(&connect, &Options::default())
        .will
        .expect("a will");
    assert!(!kept.message.retain());
}

#[test]
fn the_time_of_a_will_runs_from_its_publication() {
    let now = Timestamp::from_millis(7_000);
    let published = |expiry| {
        let connect = Connect {
            will: Some(will(expiry)),
            ..connect(Version::V5)
        };
        negotiate(&connect, &Options::default())
            .will
            .expect("a will")
            .publish(now)
    };
    let message = published(Some(30));
    assert_eq!(message.expires(), Some(Timestamp::from_millis(37_000)));
    assert_eq!(
        (message.topic(), message.payload()),
        ("will/topic", &b"gone"[..])
    );
    assert_eq!((message.qos(), message.retain()), (QoS::ExactlyOnce, true));
    assert!(!message.forwarded().is_empty());
    assert_eq!(published(None).expires(), None);
}
