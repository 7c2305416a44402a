//! MQTT 5.0: fields that parse and whose value is not allowed, and each Reason Code that a refusal may have.

use crate::bytes::{
    Connect, Publish, Will, ack_5, auth_5, disconnect_5, four, packet, prop, puback, subscribe_5,
    text, unsubscribe_5,
};
use crate::received::{Ack, connected, expect_alive, expect_disconnect, online};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

use super::rows::Answer::{Alive, Silence, Told};
use super::rows::{Bystander, Row, Version, expect_sound, run, start};

#[track_caller]
fn check(rows: &[Row]) {
    run(&start(""), Version::V5, rows);
}

/// All 256 flags of CONNECT, with a payload that has what they announce.
// Breaks if: `check_flags` in src/codec/connect.rs lets the reserved flag, QoS 3, or a QoS or RETAIN without a Will pass.
#[test]
fn every_connect_flags() {
    let row = |flags: u8| {
        let (will, qos, retain) = (flags & 4 != 0, flags >> 3 & 3, flags & 0x20 != 0);
        let wrong = flags & 1 != 0 || qos == 3 || (!will && (qos > 0 || retain));
        let mut connect = Connect::v5("row").flags(flags);
        if will {
            connect = connect.will(Will::new("w", "m"));
        }
        if flags & 0x80 != 0 {
            connect = connect.user_name("u");
        }
        if flags & 0x40 != 0 {
            connect = connect.password("p");
        }
        let answer = if wrong { Told(0x81) } else { Alive };
        Row::fresh(format!("flags {flags:#010b}"), answer, connect.bytes())
    };
    check(&(0..=255).map(row).collect::<Vec<_>>());
}

/// All that is not MQTT 3.1, 3.1.1 or 5.0. A version to come is answered as 5.0 would be; for others see MQTT 3.1.1.
// Breaks if: `known_version` in src/codec/connect.rs takes 6 for 5, or another name for `MQTT`; the code if it is not
// `UnsupportedProtocolVersion`.
#[test]
fn protocol_names_and_versions() {
    let versions = (6..128).map(|version| {
        let bytes = Connect::version(version, "row").bytes();
        Row::fresh(format!("version {version}"), Told(0x84), bytes)
    });
    let names: [&[u8]; 9] = [
        b"", b"mqtt", b"MQTT ", b"MQT", b"MQTTX", b"MQisdp", b"MQTT\0", b"\xffQTT", b"HTTP",
    ];
    let names = names.map(|name| {
        let bytes = Connect::v5("row").protocol(name).bytes();
        Row::fresh(format!("name {name:02x?}"), Silence, bytes)
    });
    check(&versions.chain(names).collect::<Vec<_>>());
}

/// 0 as a Packet Identifier.
// Breaks if: `Reader::packet_id` in src/codec/reader.rs gives 1 for 0.
#[test]
fn packet_identifiers_of_zero() {
    let acknowledgements = [0x40, 0x50, 0x62, 0x70];
    let short = acknowledgements.map(|first| packet(first, &[0, 0]));
    let long = acknowledgements.map(|first| ack_5(first, 0, 0, &[]));
    let requests = [
        Publish::v5("t", "m").qos(1, 0).bytes(),
        Publish::v5("t", "m").qos(2, 0).bytes(),
        Publish::v5("t", "m").qos(1, 0).dup().bytes(),
        subscribe_5(0, &[], &[("t", 0)]),
        unsubscribe_5(0, &[], &["t"]),
    ];
    let all = short.into_iter().chain(long).chain(requests);
    check(
        &all.map(|bytes| Row::open(format!("{:#04x}", bytes[0]), Told(0x82), bytes))
            .collect::<Vec<_>>(),
    );
}

/// All 256 Subscription Options, and the other rules of SUBSCRIBE and UNSUBSCRIBE.
// Breaks if: `SubscriptionOptions::from_byte` in src/codec/filters.rs does not look at the reserved bits, the QoS or
// Retain Handling; or `Filters::read` not at No Local.
#[test]
fn subscription_options_and_lists() {
    let answer = |options: u8| match options {
        _ if options & 0xc0 != 0 => Told(0x81),
        _ if options & 3 == 3 || options & 0x30 == 0x30 => Told(0x82),
        _ => Alive,
    };
    let row = |options: u8| {
        let bytes = subscribe_5(1, &[], &[("t", options)]);
        Row::open(format!("options {options:#010b}"), answer(options), bytes)
    };
    let mut rows: Vec<_> = (0..=255).map(row).collect();
    let second = |options: u8| {
        let bytes = subscribe_5(1, &[], &[("bystander", 0), ("t", options)]);
        Row::open(
            format!("second options {options:#04x}"),
            answer(options),
            bytes,
        )
    };
    rows.extend([0x03, 0x30, 0x40, 0x80].map(second));
    rows.extend([
        Row::open("SUBSCRIBE of nothing", Told(0x82), subscribe_5(1, &[], &[])),
        Row::open(
            "UNSUBSCRIBE of nothing",
            Told(0x82),
            unsubscribe_5(1, &[], &[]),
        ),
        Row::open(
            "No Local, shared",
            Told(0x82),
            subscribe_5(1, &[], &[("$share/g/t", 4)]),
        ),
        Row::open("No options", Told(0x81), packet(0x82, b"\0\x01\0\0\x01t")),
        Row::open(
            "No options, second",
            Told(0x81),
            packet(0x82, b"\0\x01\0\0\x01t\0\0\x01u"),
        ),
    ]);
    for filter in [
        "", "a#", "#a", "#/a", "a/#/b", "##", "a+", "+a", "a/+b", "+/a+/b", "++", "+#", "#+",
        "a/##",
    ] {
        let name = format!("filter {filter:?}");
        rows.push(Row::open(
            &name,
            Told(0x81),
            subscribe_5(1, &[], &[(filter, 0)]),
        ));
        rows.push(Row::open(
            &name,
            Told(0x81),
            unsubscribe_5(1, &[], &[filter]),
        ));
        rows.push(Row::open(
            &name,
            Told(0x81),
            subscribe_5(1, &[], &[("bystander", 0), (filter, 0)]),
        ));
    }
    check(&rows);
}

/// Topic Names and Topic Aliases.
// Breaks if: `name::check` in src/topic/name.rs takes a wildcard, `Publish::decode` in src/codec/publish.rs an empty topic
// without an alias, or `InboundAliases::resolve` in src/session/aliases.rs an alias that stands for nothing.
#[test]
fn topic_names_and_aliases() {
    let mut rows = Vec::new();
    for topic in [
        "#",
        "+",
        "a/#",
        "a/+/b",
        "a+b",
        "a#",
        "/+",
        "$SYS/#",
        "$share/g/+",
    ] {
        for qos in 0..3 {
            let publish = Publish::v5(topic, "m").qos(qos, 1);
            rows.push(Row::open(
                format!("{topic} at QoS {qos}"),
                Told(0x81),
                publish.bytes(),
            ));
            rows.push(Row::open(
                format!("{topic}, alias"),
                Told(0x81),
                publish.alias(1).bytes(),
            ));
        }
        let connect = Connect::v5("row").will(Will::new(topic, "m"));
        rows.push(Row::fresh(
            format!("Will to {topic}"),
            Told(0x81),
            connect.bytes(),
        ));
    }
    let connect = Connect::v5("row").will(Will::new("", "m"));
    rows.push(Row::fresh("Will to nothing", Told(0x81), connect.bytes()));
    let empty = || Publish::v5("", "m");
    let below = [
        Publish::v5("t", "m").alias(2).bytes(),
        empty().alias(1).bytes(),
    ];
    rows.push(Row::open(
        "alias below one that is known",
        Told(0x82),
        below.concat(),
    ));
    rows.extend([
        Row::open("no topic", Told(0x82), empty().bytes()),
        Row::open("no topic at QoS 1", Told(0x82), empty().qos(1, 1).bytes()),
        Row::open("no topic at QoS 2", Told(0x82), empty().qos(2, 1).bytes()),
        Row::open("alias of nothing", Told(0x82), empty().alias(1).bytes()),
        Row::open(
            "alias of nothing at QoS 2",
            Told(0x82),
            empty().qos(2, 1).alias(32).bytes(),
        ),
        Row::open("alias 0", Told(0x94), empty().alias(0).bytes()),
        Row::open("alias 33", Told(0x94), empty().alias(33).bytes()),
    ]);
    check(&rows);
}

/// All 256 Reason Codes in each packet of a client's that has one. Which are a client's is in sections 3.4.2.1 to
/// 3.7.2.1, 3.14.2.1 and 3.15.2.1.
// Breaks if: `ReasonCode::read` in src/codec/error.rs does not ask `may_be_sent_by`; a single code if its row in
// src/codec/reason.rs names one packet more or less.
#[test]
fn every_reason_code() {
    const TO_PUBLISH: &[u8] = &[0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    const TO_RELEASE: &[u8] = &[0, 0x92];
    const GOODBYE: &[u8] = &[
        0, 4, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
    ];
    let mut rows = Vec::new();
    for (first, known) in [
        (0x40, TO_PUBLISH),
        (0x50, TO_PUBLISH),
        (0x62, TO_RELEASE),
        (0x70, TO_RELEASE),
    ] {
        for reason in 0..=255 {
            let answer = if known.contains(&reason) {
                Alive
            } else {
                Told(0x82)
            };
            let name = format!("{first:#04x} with {reason:#04x}");
            rows.push(Row::open(&name, answer, packet(first, &[0, 1, reason])));
            rows.push(Row::open(name, answer, ack_5(first, 1, reason, &[])));
        }
    }
    for reason in 0..=255 {
        let answer = if GOODBYE.contains(&reason) {
            Silence
        } else {
            Told(0x82)
        };
        let name = format!("DISCONNECT with {reason:#04x}");
        rows.push(Row::open(&name, answer, packet(0xe0, &[reason])));
        rows.push(Row::open(name, answer, disconnect_5(reason, &[])));
        let name = format!("AUTH with {reason:#04x}");
        rows.push(Row::open(
            name,
            Told(0x82),
            auth_5(reason, &text(prop::AUTHENTICATION_METHOD, "m")),
        ));
    }
    check(&rows);
}

/// The codes of CONNACK that are not of the form of CONNECT.
// Breaks if: the code of a `Fault` in `Connection::connect` or `admit` in src/broker/handshake.rs is another.
#[test]
fn connects_refused_for_what_they_mean() {
    let method = text(prop::AUTHENTICATION_METHOD, "unheard of");
    let data = text(prop::AUTHENTICATION_DATA, "d");
    let connect = || Connect::v5("row");
    let both = connect().property(method.clone()).property(data.clone());
    let deep = "/".repeat(128);
    run(
        &start("topic_levels_maximum = 128"),
        Version::V5,
        &[
            Row::fresh("method", Told(0x8c), connect().property(method).bytes()),
            Row::fresh("method and data", Told(0x8c), both.bytes()),
            Row::fresh("data alone", Told(0x82), connect().property(data).bytes()),
            Row::fresh(
                "Will to $SYS",
                Told(0x87),
                connect().will(Will::new("$SYS/x", "")).bytes(),
            ),
            Row::fresh(
                "Will too deep",
                Told(0x90),
                connect().will(Will::new(&deep, "")).bytes(),
            ),
            Row::fresh(
                "Will as deep as may be",
                Alive,
                connect().will(Will::new(&deep[1..], "")).bytes(),
            ),
            Row::fresh("no name", Alive, Connect::v5("").bytes()),
            Row::fresh(
                "no name, kept",
                Alive,
                Connect::v5("").clean(false).expiry(9).bytes(),
            ),
        ],
    );
    let broker = Broker::configured("[auth]\nanonymous = true\n[retained]\navailable = false\n");
    let retained = Publish::v5("t", "m").retain();
    let will = Connect::v5("row").will(Will::new("w", "").retain());
    run(
        &broker,
        Version::V5,
        &[
            Row::fresh("retained Will", Told(0x9a), will.bytes()),
            Row::open("RETAIN at QoS 0", Told(0x9a), retained.bytes()),
            Row::open(
                "RETAIN at QoS 1",
                Told(0x9a),
                retained.clone().qos(1, 1).bytes(),
            ),
            Row::open("RETAIN at QoS 2", Told(0x9a), retained.qos(2, 1).bytes()),
        ],
    );
}

/// Without an account there is no way in, whatever is said.
// Breaks if: the authenticator's verdict is not asked for one of these, or its code is 0x87 for a name that is wrong.
#[test]
fn connects_of_nobody() {
    let broker = Broker::configured("[auth]\nanonymous = false\n");
    let connect = || Connect::v5("row");
    for bytes in [
        connect().bytes(),
        connect().user_name("").bytes(),
        connect().user_name("u").bytes(),
        connect().password("p").bytes(),
        connect().user_name("u").password("p").bytes(),
    ] {
        let mut client = RawClient::connect(broker.tcp);
        client.send(&bytes);
        let connack = client.packet();
        assert_eq!(connack[..1], [0x20], "{connack:02x?}");
        let reason = connack[3];
        assert!(
            matches!(reason, 0x86 | 0x87),
            "{connack:02x?} to {bytes:02x?}"
        );
        client.expect_closed();
    }
}

/// What is refused by an acknowledgement: the connection goes on.
// Breaks if: `refuse_publish` in src/broker/packets.rs, or `refuse_subscription` in src/broker/subscribe.rs, gives another
// code, or is not asked.
#[test]
fn refusals_that_leave_the_connection() {
    let broker = start("subscriptions_maximum = 2\ntopic_levels_maximum = 128");
    let mut bystander = Bystander::new(&broker);
    let mut client = online(broker.tcp, "client");
    let deep = "/".repeat(128);
    for (topic, reason) in [("$SYS/x", 0x87), (&deep, 0x90), (&deep[1..], 0x10)] {
        for (qos, first) in [(1, 0x40), (2, 0x50)] {
            client.send(&Publish::v5(topic, "m").qos(qos, 1).bytes());
            let ack = Ack::v5(&client.packet());
            assert_eq!(
                (ack.first, &ack.reasons[..]),
                (first, &[reason][..]),
                "{topic}"
            );
            if reason < 0x80 && qos == 2 {
                client.send(&packet(0x62, &[0, 1]));
                client.expect(&packet(0x70, &[0, 1]));
            }
        }
    }
    let filters = [("a", 0), (&deep, 1), ("b", 1), ("c", 2), ("a", 2)];
    client.send(&subscribe_5(9, &[], &filters));
    let ack = Ack::v5(&client.packet());
    assert_eq!(
        (ack.first, &ack.reasons[..]),
        (0x90, &[0, 0x8f, 1, 0x97, 2][..])
    );
    client.send(&unsubscribe_5(9, &[], &["a", "c", &deep, "b", "b"]));
    let ack = Ack::v5(&client.packet());
    assert_eq!(
        (ack.first, &ack.reasons[..]),
        (0xb0, &[0, 0x11, 0x11, 0, 0x11][..])
    );
    client.send(&packet(0x62, &[0, 7]));
    client.expect(&packet(0x70, &[0, 7, 0x92]));
    client.send(&packet(0x50, &[0, 7]));
    client.expect(&packet(0x62, &[0, 7, 0x92]));
    client.send(&puback(7));
    expect_alive(&mut client);
    bystander.is_unharmed();
    expect_sound(&broker);
}

/// One message more than Receive Maximum, none of them released.
// Breaks if: `count_outstanding` in src/session/inbound.rs compares with one more.
#[test]
fn one_message_beyond_receive_maximum() {
    let broker = start("receive_maximum = 3");
    let mut bystander = Bystander::new(&broker);
    let (mut client, connack) = connected(broker.tcp, &Connect::v5("client"));
    assert_eq!(connack.properties.integer(prop::RECEIVE_MAXIMUM), Some(3));
    for id in 1..=3 {
        client.send(&Publish::v5("t", "m").qos(2, id).bytes());
        client.expect(&packet(0x50, &[0, id as u8, 0x10]));
    }
    // A repetition is none more.
    client.send(&Publish::v5("t", "m").qos(2, 3).dup().bytes());
    assert_eq!(client.packet()[..4], [0x50, 2, 0, 3]);
    client.send(&Publish::v5("bystander", "m").qos(2, 4).bytes());
    expect_disconnect(&mut client, 0x93);
    bystander.is_unharmed();
    expect_sound(&broker);
}

/// What CONNACK does not forbid is taken: 0x9b, 0x9e, 0xa1 and 0xa2 have no cause.
// Breaks if: `Terms::connack` in src/session/terms.rs says that any of these is not available.
#[test]
fn what_is_not_forbidden_is_taken() {
    let broker = start("");
    let (mut client, connack) = connected(broker.tcp, &Connect::v5("client"));
    for id in [0x24, 0x25, 0x28, 0x29, 0x2a] {
        assert_eq!(
            connack.properties.integer(id),
            None,
            "{id:#04x} of {connack:02x?}"
        );
    }
    let identifier = [prop::SUBSCRIPTION_IDENTIFIER, 1];
    let filters = [("+/w/#", 2), ("$share/g/s", 2)];
    client.send(&subscribe_5(1, &identifier, &filters));
    client.expect(&packet(0x90, &[0, 1, 0, 2, 2]));
    client.send(&Publish::v5("t", "m").qos(2, 1).retain().bytes());
    client.expect(&packet(0x50, &[0, 1, 0x10]));
    client.send(&disconnect_5(4, &four(prop::SESSION_EXPIRY_INTERVAL, 0)));
    client.expect_closed();
}
