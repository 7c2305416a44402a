//! MQTT 5.0, section 1.5: how integers and strings are represented.

use crate::bytes::{
    Connect, Publish, Will, disconnect_5, number, packet, pair, prop, pubrel, section, string,
    subscribe_5, text, unsubscribe_5, vbi,
};
use crate::received::{expect_disconnect, online, publish, published, refused_5, subscribe};
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

/// What is not UTF-8 as the specification wants it.
const ILL_FORMED: [&[u8]; 9] = [
    b"\xff",                     // no UTF-8 at all
    b"a\x80",                    // a continuation byte without a beginning
    b"\xc3(",                    // a beginning without its continuation
    b"\xe2\x82",                 // cut off
    b"\xc0\xaf",                 // overlong
    b"\xed\xa0\x80",             // U+D800
    b"\xed\xbf\xbf",             // U+DFFF
    b"\xed\xa0\x80\xed\xb0\x80", // a surrogate pair, each half encoded by itself
    b"\xf4\x90\x80\x80",         // beyond U+10FFFF
];

/// A packet with this string at every place of a packet that an open connection may send.
fn packets_with(bad: &[u8]) -> Vec<Vec<u8>> {
    let filter = [&string(bad)[..], &[0]].concat();
    vec![
        Publish::v5(bad, "").bytes(),
        Publish::v5("t", "")
            .property(text(prop::CONTENT_TYPE, bad))
            .bytes(),
        Publish::v5("t", "")
            .property(text(prop::RESPONSE_TOPIC, bad))
            .bytes(),
        packet(0x82, &[&[0, 1, 0], &filter[..]].concat()),
        packet(0xa2, &[&[0, 1, 0], &string(bad)[..]].concat()),
        packet(
            0x40,
            &[&[0, 1, 0x80], &section(&text(prop::REASON_STRING, bad))[..]].concat(),
        ),
        disconnect_5(0, &text(prop::REASON_STRING, bad)),
    ]
}

/// A CONNECT with this string at each of its places.
fn connects_with(bad: &[u8]) -> Vec<Vec<u8>> {
    let will = Will::new("w", "");
    vec![
        Connect::v5(bad).bytes(),
        Connect::v5("c").user_name(bad).bytes(),
        Connect::v5("c").will(Will::new(bad, "")).bytes(),
        Connect::v5("c")
            .will(will.clone().property(text(prop::CONTENT_TYPE, bad)))
            .bytes(),
        Connect::v5("c")
            .will(will.property(text(prop::RESPONSE_TOPIC, bad)))
            .bytes(),
        Connect::v5("c")
            .property(text(prop::AUTHENTICATION_METHOD, bad))
            .bytes(),
    ]
}

#[track_caller]
fn refused_everywhere(broker: &Broker, bad: &[u8]) {
    for connect in connects_with(bad) {
        refused_5(broker.tcp, &connect, 0x81);
    }
    for bytes in packets_with(bad) {
        let mut client = online(broker.tcp, "c");
        client.send(&bytes);
        expect_disconnect(&mut client, 0x81);
    }
}

/// Breaks if: `unchecked_string` in `src/codec/reader.rs` takes bytes that are no UTF-8.
#[test]
fn mqtt5_1_5_4_1_strings_are_well_formed_utf_8_without_surrogates() {
    let broker = Broker::start();
    for bad in ILL_FORMED {
        refused_everywhere(&broker, bad);
    }
    // What only looks dangerous is welcome: four bytes to a character, and the last one there is.
    let mut client = online(broker.tcp, "c");
    subscribe(&mut client, "\u{2a6d4}/+", 0);
    client.send(&Publish::v5("\u{2a6d4}/\u{10ffff}", "").bytes());
    assert_eq!(published(&mut client).topic, "\u{2a6d4}/\u{10ffff}");
}

/// Breaks if: `string` in `src/codec/reader.rs`, or `check` in `src/topic/name.rs` and `parse` in
/// `src/topic/filter.rs`, no longer look for U+0000.
#[test]
fn mqtt5_1_5_4_2_no_string_contains_u_0000() {
    let broker = Broker::start();
    for bad in [&b"\0"[..], b"a\0b", b"a\0", b"\xc0\x80"] {
        refused_everywhere(&broker, bad);
    }
}

/// Breaks if: `string` or `unchecked_string` in `src/codec/reader.rs` skips EF BB BF.
#[test]
fn mqtt5_1_5_4_3_ef_bb_bf_is_a_character_and_never_stripped() {
    let broker = Broker::start();
    let mut client = online(broker.tcp, "c");
    subscribe(&mut client, "\u{feff}t", 1);
    client.send(&Publish::v5("t", "another topic").bytes());
    let sent = Publish::v5("\u{feff}t", "\u{feff}x")
        .property(text(prop::CONTENT_TYPE, "\u{feff}"))
        .property(pair("\u{feff}k", "v\u{feff}"));
    client.send(&sent.bytes());
    // The other topic did not come, and of this one not a byte is missing.
    client.expect(&sent.bytes());

    // Nor do Client Identifiers become the same without it.
    let other = online(broker.tcp, "\u{feff}c");
    client.expect_nothing();
    drop(other);
}

/// Breaks if: `variable` in `src/codec/reader.rs` or `read_rest` in `src/codec/header.rs` takes a form
/// that is not the shortest, or `Variable::read` one of more than four bytes.
#[test]
fn mqtt5_1_5_5_1_variable_byte_integers_take_the_fewest_bytes() {
    let broker = Broker::start();
    let bad: [&[u8]; 9] = [
        b"\xc0\x80\x00", // PINGREQ
        b"\xc0\x80\x80\x80\x00",
        b"\xe0\x82\x80\x00\x00\x00",                      // DISCONNECT
        b"\x30\x05\x00\x01t\x80\x00",                     // the Property Length of a PUBLISH
        b"\x82\x09\x00\x01\x80\x00\x00\x01t\x00\x00",     // and of a SUBSCRIBE
        b"\x82\x0a\x00\x01\x03\x0b\x81\x00\x00\x01t\x00", // a Subscription Identifier
        b"\x30\xff\xff\xff\xff\x01",                      // five bytes
        b"\x30\x80\x80\x80\x80\x00",
        b"\x30\x08\x00\x01t\x80\x80\x80\x80\x00",
    ];
    for bytes in bad {
        let mut client = online(broker.tcp, "c");
        client.send(bytes);
        expect_disconnect(&mut client, 0x81);
    }
    let header = b"\x10\x8f\x00\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x02me";
    refused_5(broker.tcp, header, 0x81);
    let properties = b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x80\x00\x00\x02me";
    refused_5(broker.tcp, properties, 0x81);
}

/// Each packet is taken apart by `crate::received`, which refuses a length that takes a byte too many.
/// Breaks if: `variable` in `src/codec/sink.rs` writes other than the shortest form.
#[test]
fn mqtt5_1_5_5_1_the_broker_writes_the_shortest_form() {
    let broker = Broker::start();
    let mut client = online(broker.tcp, "c");
    subscribe(&mut client, "t", 0);
    // Topic and Property Length take four bytes of the Remaining Length.
    for remaining in [127, 128, 16_383, 16_384] {
        let sent = Publish::v5("t", vec![b'x'; remaining - 4]).bytes();
        assert_eq!(sent.len(), 1 + vbi(remaining).len() + remaining);
        client.send(&sent);
        client.expect(&sent);
    }
    // A User Property takes five bytes beside its text.
    for properties in [127, 128, 16_383, 16_384] {
        let sent = Publish::v5("t", "").property(pair("k", vec![b'v'; properties - 6]));
        client.send(&sent.bytes());
        client.expect(&sent.bytes());
    }
    for id in [1, 127, 128, 16_384, 268_435_455] {
        let identifier = number(prop::SUBSCRIPTION_IDENTIFIER, id);
        client.send(&subscribe_5(2, &identifier, &[("ids", 0)]));
        client.expect(b"\x90\x04\x00\x02\x00\x00");
        client.send(&Publish::v5("ids", "").bytes());
        client.expect(&Publish::v5("ids", "").property(identifier).bytes());
    }
}

/// Breaks if: `user_property` in `src/codec/section.rs` checks only one of the two strings.
#[test]
fn mqtt5_1_5_7_1_both_strings_of_a_pair_are_checked() {
    let broker = Broker::start();
    for bad in ILL_FORMED.into_iter().chain([&b"a\0"[..]]) {
        for bad in [pair(bad, "v"), pair("k", bad)] {
            let connect = Connect::v5("c");
            refused_5(
                broker.tcp,
                &connect.clone().property(bad.clone()).bytes(),
                0x81,
            );
            let will = Will::new("w", "").property(bad.clone());
            refused_5(broker.tcp, &connect.will(will).bytes(), 0x81);
            let packets = [
                Publish::v5("t", "").property(bad.clone()).bytes(),
                subscribe_5(1, &bad, &[("t", 0)]),
                unsubscribe_5(1, &bad, &["t"]),
                disconnect_5(0, &bad),
            ];
            for bytes in packets {
                let mut client = online(broker.tcp, "c");
                client.send(&bytes);
                expect_disconnect(&mut client, 0x81);
            }
        }
    }
    // Empty strings and the largest ones are strings.
    let mut client: RawClient = online(broker.tcp, "c");
    let long = vec![b'x'; 65_535];
    publish(
        &mut client,
        Publish::v5("t", "")
            .property(pair("", ""))
            .property(pair(&long, &long)),
    );
    // An unknown Packet Identifier, to see that the connection is still there.
    client.send(&pubrel(9));
    client.expect(b"\x70\x03\x00\x09\x92");
}
