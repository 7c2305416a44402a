//! Legal and unusual: names of any characters, fields that are empty, acknowledgements in every form.

use crate::bytes::{
    Connect, DISCONNECT, Publish, Will, ack_5, byte, disconnect_5, packet, pair, prop, pubrec,
    pubrel, subscribe_311, text, two,
};
use crate::received::{Ack, connected, expect_alive, leave, online, publish, published, subscribe};
use crate::support::raw::RawClient;

use super::rows::Answer::Alive;
use super::rows::{Bystander, Row, Version, expect_sound, run, start};

/// Strings that may look like something else, and are themselves.
fn odd_strings() -> Vec<String> {
    let short = [
        "\u{feff}",
        "\u{feff}a",
        "a\u{feff}",
        "a",
        "A",
        " ",
        " a",
        "a ",
        "\u{1}",
        "\u{7f}",
        "\u{85}",
        "\u{9f}",
        "\t\r\n",
        "\u{fffe}",
        "\u{ffff}",
        "\u{fdd0}",
        "\u{1fffe}",
        "\u{10ffff}",
        "\u{fffd}",
        "\u{2028}",
        "\u{202e}x",
        "é",
        "e\u{301}",
        "ß",
        "ss",
        "İ",
        "i",
        "𪛔",
        "%c",
        "%s%n",
        "../../etc",
        "$SYS",
        "$share/g/t",
        "a/b",
        "/",
        "\"'\\",
        "null",
        "auto-1",
    ];
    let mut all = short.map(String::from).to_vec();
    all.extend([
        "x".repeat(65_535),
        "x".repeat(65_534) + "y",
        "é".repeat(32_767) + "z",
        "\u{feff}".repeat(21_845),
    ]);
    all
}

/// Each names a session of its own: it is kept under that name, and no other finds it.
// Breaks if: `Reader::string` in src/codec/reader.rs drops a leading U+FEFF, or sessions are found by a name that is cut,
// trimmed or folded.
#[test]
fn client_identifiers_of_any_characters() {
    for version in [4, 5] {
        let broker = start("");
        let mut bystander = Bystander::new(&broker);
        let kept = |client_id: &str| {
            let connect = Connect::version(version, client_id).clean(false);
            if version == 5 {
                connect.expiry(600)
            } else {
                connect
            }
            .bytes()
        };
        for present in [0, 1] {
            for client_id in odd_strings() {
                let mut client = RawClient::connect(broker.tcp);
                client.send(&kept(&client_id));
                let connack = client.packet();
                let shown: String = client_id.chars().take(9).collect();
                assert_eq!(connack[0], 0x20, "{shown:?}");
                assert_eq!((connack[2], connack[3]), (present, 0), "{shown:?}");
                leave(client);
                bystander.is_unharmed();
            }
        }
        expect_sound(&broker);
    }
}

/// User Names of any characters, passwords of any bytes, both empty, and either alone.
// Breaks if: `Connect::decode` in src/codec/connect.rs reads a password as a string.
#[test]
fn user_names_and_passwords() {
    let passwords: [&[u8]; 6] = [
        b"",
        b"\0",
        b"a\0b",
        b"\xff\xfe\0",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
    ];
    let all_bytes: Vec<u8> = (0..=255).cycle().take(65_535).collect();
    let passwords = passwords.into_iter().chain([&all_bytes[..]]);
    for (version, rows_of) in [(4, Version::V311), (5, Version::V5)] {
        let connect = || Connect::version(version, "row");
        let mut rows = vec![Row::fresh(
            "empty name",
            Alive,
            connect().user_name("").bytes(),
        )];
        for name in odd_strings() {
            let shown: String = name.chars().take(9).collect();
            rows.push(Row::fresh(
                &shown,
                Alive,
                connect().user_name(&name).bytes(),
            ));
            rows.push(Row::fresh(
                &shown,
                Alive,
                connect().user_name(&name).password(&name).bytes(),
            ));
        }
        for password in passwords.clone() {
            let shown = format!("password {:02x?}", &password[..password.len().min(9)]);
            rows.push(Row::fresh(
                &shown,
                Alive,
                connect().user_name("u").password(password).bytes(),
            ));
            rows.push(Row::fresh(
                &shown,
                Alive,
                connect().user_name("").password(password).bytes(),
            ));
            if version == 5 {
                rows.push(Row::fresh(
                    &shown,
                    Alive,
                    connect().password(password).bytes(),
                ));
            }
        }
        run(&start(""), rows_of, &rows);
    }
}

/// A topic of any characters reaches who subscribed to just these, and the payload goes with it byte for byte.
// Breaks if: U+FEFF at the beginning of a topic or payload is left out anywhere, or texts are compared otherwise than by
// their bytes.
#[test]
fn topics_and_payloads_of_any_characters() {
    let broker = start("topic_levels_maximum = 1000");
    let mut bystander = Bystander::new(&broker);
    let names: Vec<_> = odd_strings()
        .into_iter()
        .filter(|name| !name.starts_with('$'))
        .collect();
    for version in [4, 5] {
        let mut client =
            RawClient::accepted(broker.tcp, &Connect::version(version, "client").bytes());
        let message = |topic: &str, payload: &[u8]| match version {
            4 => Publish::v311(topic, payload).bytes(),
            _ => Publish::v5(topic, payload).bytes(),
        };
        for filter in &names {
            match version {
                4 => {
                    client.send(&subscribe_311(1, &[(filter, 0)]));
                    client.expect(&[0x90, 3, 0, 1, 0]);
                }
                _ => subscribe(&mut client, filter, 0),
            }
            let payload = [b"\xef\xbb\xbf\0", filter.as_bytes()].concat();
            // The long ones once.
            for topic in names
                .iter()
                .filter(|topic| topic.len() < 99 || *topic == filter)
            {
                client.send(&message(topic, &payload));
            }
            client.expect(&message(filter, &payload));
            client.expect_nothing();
            match version {
                4 => client.send(&crate::bytes::unsubscribe_311(1, &[filter])),
                _ => client.send(&crate::bytes::unsubscribe_5(1, &[], &[filter])),
            }
            assert_eq!(client.packet()[0], 0xb0);
        }
        bystander.is_unharmed();
    }
    expect_sound(&broker);
}

/// What is passed on is passed on as it was: empty strings, all payload formats, User Properties in their order.
// Breaks if: `Forwarded::write` in src/codec/forwarded.rs leaves out what is empty, or `Stretch` in src/codec/section.rs
// what stands between two User Properties.
#[test]
fn properties_that_are_empty_or_many() {
    let broker = start("");
    let mut client = online(broker.tcp, "client");
    subscribe(&mut client, "#", 0);
    let message = |payload: &[u8]| Publish::v5("t", payload);
    let users = |count: usize| {
        let names = ["", "n", "n", "\u{feff}", "z", "a", "n", ""];
        let pairs = (0..count).map(|index| pair(names[index % 8], (index / 3).to_string()));
        pairs.collect::<Vec<_>>().concat()
    };
    for unaltered in [
        message(b""),
        message(b"\0"),
        message(b"").property(pair("", "")),
        message(b"").property([pair("", ""), pair("", ""), pair("", "")].concat()),
        message(b"m").property(text(prop::CONTENT_TYPE, "")),
        message(b"m").property(text(prop::CORRELATION_DATA, "")),
        message(b"m").property(text(prop::CORRELATION_DATA, b"\0\xff")),
        message(b"m").property(byte(prop::PAYLOAD_FORMAT_INDICATOR, 0)),
        message(b"m").property(byte(prop::PAYLOAD_FORMAT_INDICATOR, 1)),
        message(b"").property(byte(prop::PAYLOAD_FORMAT_INDICATOR, 1)),
        // A receiver may look whether it is text; this broker leaves it to the subscriber.
        message(b"\xff").property(byte(prop::PAYLOAD_FORMAT_INDICATOR, 1)),
        message(b"m").property(users(9)),
        message(b"m").property(users(50_000)),
        message(b"m").property(text(prop::CONTENT_TYPE, "c".repeat(65_535))),
        message(b"m").property(pair("n".repeat(65_535), "v".repeat(65_535))),
    ] {
        let bytes = unaltered.bytes();
        client.send(&bytes);
        client.expect(&bytes);
    }
    // Others between them are moved, they are not: their order is theirs.
    let apart = [
        pair("b", "1"),
        text(prop::CONTENT_TYPE, ""),
        pair("a", "2"),
        pair("b", "1"),
    ];
    client.send(&message(b"m").property(apart.concat()).bytes());
    let got = published(&mut client);
    let pairs = got.properties.pairs();
    assert_eq!(
        pairs,
        [("b", "1"), ("a", "2"), ("b", "1")].map(|(n, v)| (n.into(), v.into()))
    );
    assert_eq!(got.properties.content(prop::CONTENT_TYPE), Some(&b""[..]));
    expect_sound(&broker);
}

/// Zero-length strings and payloads wherever they may be.
// Breaks if: `Reader::string` or `binary` in src/codec/reader.rs refuses a length of 0.
#[test]
fn empty_wherever_it_is_allowed() {
    let reason = || text(prop::REASON_STRING, "");
    let users = || [pair("", ""), pair("", "")].concat();
    let will = Will::new("w", "")
        .property(text(prop::CONTENT_TYPE, ""))
        .property(users());
    let will = will.property(text(prop::CORRELATION_DATA, ""));
    let connect = Connect::v5("")
        .property(users())
        .will(will)
        .user_name("")
        .password("");
    let rows = [0x40, 0x50, 0x62, 0x70].map(|first| {
        let bytes = ack_5(first, 1, 0, &[reason(), users()].concat());
        Row::open(format!("{first:#04x}"), Alive, bytes)
    });
    let mut rows = rows.to_vec();
    let subscribe = crate::bytes::subscribe_5(1, &users(), &[("t", 0)]);
    let unsubscribe = crate::bytes::unsubscribe_5(1, &users(), &["t"]);
    rows.extend([
        Row::fresh("CONNECT", Alive, connect.bytes()),
        Row::open("SUBSCRIBE", Alive, subscribe),
        Row::open("UNSUBSCRIBE", Alive, unsubscribe),
        Row::open(
            "PUBLISH",
            Alive,
            Publish::v5("t", "").property(users()).bytes(),
        ),
    ]);
    run(&start(""), Version::V5, &rows);
    let connect = Connect::v311("")
        .will(Will::new("w", ""))
        .user_name("")
        .password("");
    run(
        &start(""),
        Version::V311,
        &[Row::fresh("CONNECT", Alive, connect.bytes())],
    );
}

/// A Reason Code that is left out is Success, a Property Length that is left out is 0. With a Receive Maximum of 1 the
/// next message comes only if the answer to the one before was taken.
// Breaks if: `Ack::decode_long` in src/codec/ack.rs wants a Property Length.
#[test]
fn every_form_of_every_acknowledgement() {
    let forms = |first: u8, id: u16, error: u8| {
        let properties = [text(prop::REASON_STRING, "why"), pair("n", "v")].concat();
        let [high, low] = id.to_be_bytes();
        [
            packet(first, &[high, low]),
            packet(first, &[high, low, 0]),
            packet(first, &[high, low, 0, 0]),
            ack_5(first, id, 0, &properties),
            packet(first, &[high, low, error]),
            packet(first, &[high, low, error, 0]),
            ack_5(first, id, error, &properties),
        ]
    };
    let broker = start("");
    let one = two(prop::RECEIVE_MAXIMUM, 1);
    let (mut client, _) = connected(broker.tcp, &Connect::v5("client").property(one));
    subscribe(&mut client, "t", 2);
    let mut publisher = online(broker.tcp, "publisher");
    for form in 0..7 {
        publisher.send(&Publish::v5("t", "one").qos(1, 1).bytes());
        assert_eq!(Ack::v5(&publisher.packet()).first, 0x40);
        let id = published(&mut client).packet_id;
        client.send(&forms(0x40, id, 0x80)[form]);
        // PUBREC in each form, which ends the exchange if it is an error, then PUBCOMP and the publisher's PUBREL.
        publisher.send(&Publish::v5("t", "two").qos(2, 2).bytes());
        assert_eq!(Ack::v5(&publisher.packet()).first, 0x50);
        publisher.send(&forms(0x62, 2, 0x92)[form]);
        publisher.expect(&packet(0x70, &[0, 2]));
        let id = published(&mut client).packet_id;
        client.send(&forms(0x50, id, 0x80)[form]);
        if form < 4 {
            client.expect(&pubrel(id));
            client.send(&forms(0x70, id, 0x92)[form]);
        }
        publish(&mut publisher, Publish::v5("t", "three"));
        let id = published(&mut client).packet_id;
        client.send(&forms(0x40, id, 0x80)[form]);
        // PUBCOMP with an error ends it as well.
        publish(&mut publisher, Publish::v5("t", "four"));
        let message = published(&mut client);
        assert_eq!(message.payload, b"four");
        client.send(&crate::bytes::puback(message.packet_id));
        publisher.send(&Publish::v5("t", "five").qos(2, 2).bytes());
        publisher.expect(&pubrec(2));
        publisher.send(&pubrel(2));
        publisher.expect(&packet(0x70, &[0, 2]));
        let id = published(&mut client).packet_id;
        client.send(&pubrec(id));
        client.expect(&pubrel(id));
        client.send(&forms(0x70, id, 0x92)[form]);
        expect_alive(&mut client);
    }
    expect_sound(&broker);
}

/// DISCONNECT in all its lengths: with 0x04 the Will is published, without a code it is 0x00.
// Breaks if: `Disconnect::decode` in src/codec/disconnect.rs takes what is left out for something else.
#[test]
fn every_form_of_disconnect() {
    let broker = start("");
    let mut watch = online(broker.tcp, "watch");
    subscribe(&mut watch, "will/+", 0);
    let users = [pair("", ""), text(prop::REASON_STRING, "")].concat();
    for (bytes, told) in [
        (DISCONNECT.to_vec(), false),
        (packet(0xe0, &[0]), false),
        (packet(0xe0, &[0, 0]), false),
        (disconnect_5(0, &users), false),
        (packet(0xe0, &[4]), true),
        (packet(0xe0, &[4, 0]), true),
        (disconnect_5(4, &users), true),
        (packet(0xe0, &[0x80]), true),
    ] {
        let connect = Connect::v5("client").will(Will::new("will/client", "gone"));
        let (mut client, _) = connected(broker.tcp, &connect);
        client.send(&bytes);
        client.expect_closed();
        if told {
            watch.expect(&Publish::v5("will/client", "gone").bytes());
        }
        watch.expect_nothing();
    }
    expect_sound(&broker);
}
