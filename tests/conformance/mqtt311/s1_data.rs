//! Section 1.5: data representations.

use super::peer::{
    breach, client, connect, expect_message, not_connected, publish, received, start, subscribe,
};
use crate::bytes::{Connect, Publish, Will, packet, string};
use crate::received::expect_alive;
use crate::support::broker::Broker;

/// SUBSCRIBE to one filter, whatever its bytes.
fn subscribe_to(filter: &[u8]) -> Vec<u8> {
    packet(0x82, &[&[0, 7], &string(filter)[..], &[0]].concat())
}

/// UNSUBSCRIBE from one filter, whatever its bytes.
fn unsubscribe_from(filter: &[u8]) -> Vec<u8> {
    packet(0xa2, &[&[0, 7], &string(filter)[..]].concat())
}

/// Puts this text into every string field that a client can send, and expects the connection to be closed each
/// time. The same packets with an innocent text are fine.
fn refused_as_any_string(broker: &Broker, text: &[u8]) {
    for field in [
        Connect::v311(text),
        Connect::v311("me").will(Will::new(text, "payload")),
        Connect::v311("me").user_name(text),
    ] {
        not_connected(broker, &field.bytes());
    }
    breach(broker, &Publish::v311(text, "payload").bytes());
    breach(broker, &Publish::v311(text, "payload").qos(2, 7).bytes());
    breach(broker, &subscribe_to(text));
    breach(broker, &unsubscribe_from(text));
}

#[test]
// Breaks if: codec/reader.rs `unchecked_string` lets through what is no UTF-8 (`from_utf8_lossy`).
fn mqtt311_1_5_3_1_ill_formed_utf8_closes_the_connection() {
    let broker = start();
    let bad: [&[u8]; 9] = [
        b"a\xff",                    // in no encoding of any character
        b"\x80",                     // a continuation of nothing
        b"a\xc3",                    // cut short
        b"\xc3(",                    // not continued
        b"\xc0\xaf",                 // a slash in two bytes
        b"\xed\xa0\x80",             // the surrogate U+D800
        b"\xed\xbf\xbf",             // the surrogate U+DFFF
        b"\xed\xa0\x81\xed\xb0\x80", // a pair of surrogates
        b"\xf4\x90\x80\x80",         // beyond U+10FFFF
    ];
    for text in bad {
        refused_as_any_string(&broker, text);
    }
    // What is next to the surrogates, and the last character there is, are text.
    for text in ["\u{d7ff}", "\u{e000}", "\u{10ffff}", "\u{2a6d4}"] {
        let mut client = client(&broker, text);
        subscribe(&mut client, text, 0);
        client.send(&Publish::v311(text, "payload").bytes());
        assert_eq!(received(&mut client).topic, text);
    }
    // Only strings have to be text: the Will Message and the password do not.
    let binary = Connect::v311("binary").will(Will::new("t", b"\xff\xfe"));
    connect(&broker, &binary.user_name("me").password(b"\xc0\x80"));
}

#[test]
// Breaks if: codec/reader.rs `string` does not look for U+0000 (Client Identifier, user name), or topic/name.rs
// `check` or topic/filter.rs `parse` do not.
fn mqtt311_1_5_3_2_u0000_in_a_string_closes_the_connection() {
    let broker = start();
    for text in [&b"\0"[..], b"a\0", b"\0a", b"a/\0/b", b"+\0", b"a/b\0"] {
        refused_as_any_string(&broker, text);
    }
    // In a payload, a Will Message and a password it is a byte like any other.
    let zeros = Connect::v311("zeros").will(Will::new("t", b"\0\0"));
    let mut client = connect(&broker, &zeros.user_name("me").password(b"\0"));
    subscribe(&mut client, "t", 0);
    client.send(&Publish::v311("t", b"\0\0").bytes());
    assert_eq!(received(&mut client).payload, b"\0\0");
}

#[test]
// Breaks if: codec/reader.rs `unchecked_string` strips a leading U+FEFF (`trim_start_matches`).
fn mqtt311_1_5_3_3_a_byte_order_mark_is_a_character_like_any_other() {
    let broker = start();
    let mut marked = client(&broker, "\u{feff}me");
    let mut plain = client(&broker, "me");
    // Two clients: neither has taken over the other.
    expect_alive(&mut marked);
    expect_alive(&mut plain);
    subscribe(&mut marked, "\u{feff}t", 0);
    subscribe(&mut plain, "t", 0);

    let mut publisher = client(&broker, "publisher");
    publish(&mut publisher, 0, "t", "without");
    publish(&mut publisher, 0, "\u{feff}t", "with");
    publish(&mut publisher, 0, "t", "without, again");
    // Byte for byte: EF BB BF, then the rest.
    marked.expect(b"\x30\x0a\x00\x04\xef\xbb\xbftwith");
    expect_message(&mut plain, 0, "t", "without");
    expect_message(&mut plain, 0, "t", "without, again");

    // Nor is it stripped from the middle or the end.
    for topic in ["a\u{feff}b", "a\u{feff}", "\u{feff}", "\u{feff}/\u{feff}"] {
        subscribe(&mut plain, topic, 0);
        publish(&mut publisher, 0, topic, topic);
        expect_message(&mut plain, 0, topic, topic);
    }
}
