//! Sections 3.1.3 and 3.1.4: the payload of CONNECT, and what the broker does about it.

use super::peer::{
    client, connack, connect, expect_message, expect_none_retained, expect_sent, fail, leave,
    not_connected, persistent, publish, received, refused, resume, start, subscribe, subscriber,
    take, with_will,
};
use crate::bytes::{Connect, Publish, Will, packet, string};
use crate::received::expect_alive;
use crate::support::raw::RawClient;

/// Client Identifier, Will Topic, Will Message, user name, password: what would be refused in one place is
/// accepted in the next, so that each can only have been read where it belongs.
#[test]
// Breaks if: codec/connect.rs `decode` reads user name and password before the will, or `Will::read` the message
// before the topic.
fn mqtt311_3_1_3_1_the_fields_of_the_payload_come_in_their_order() {
    let broker = start();
    let mut witness = subscriber(&broker, "witness", "#", 0);
    // As a topic the Client Identifier and the Will Message would be wrong (wildcards), as a string the
    // password.
    let header = &b"\x00\x04MQTT\x04\xc6\x00\x3c"[..];
    let fields: [&[u8]; 5] = [b"id/+/#", b"topic", b"#/message", b"name", b"\xff\xfe"];
    let inorder = [header, &fields.map(string).concat()].concat();
    let mut me = RawClient::connect(broker.tcp);
    me.send(&packet(0x10, &inorder));
    me.expect(&connack(false, 0));
    // The Client Identifier is the first field: who comes with it takes over.
    let _other = client(&broker, "id/+/#");
    me.expect_closed();
    let will = received(&mut witness);
    assert_eq!(
        (&will.topic[..], &will.payload[..]),
        ("topic", &b"#/message"[..])
    );

    let [id, topic, message, name, password] = fields;
    for wrong in [
        [topic, id, message, name, password],
        [id, message, topic, name, password],
        [id, name, password, topic, message].map(|field| if field == name { b"+" } else { field }),
        [id, topic, message, password, name],
    ] {
        let body = [header, &wrong.map(string).concat()].concat();
        not_connected(&broker, &packet(0x10, &body));
    }
}

/// State belongs to the Client Identifier: each finds its own again, and identifiers are compared byte for byte.
#[test]
// Breaks if: session/terms.rs `negotiate` names the session by less than the whole id (`to_lowercase`, `trim`).
fn mqtt311_3_1_3_2_the_client_identifier_names_the_session() {
    let broker = start();
    let long = "beyond-23-characters-is-";
    let longer = "beyond-23-characters-is-well";
    let ids = ["a", "A", "a ", "ab", "\u{e5}", "a\u{30a}", long, longer];
    for id in ids {
        let mut subscriber = connect(&broker, &persistent(id));
        subscribe(&mut subscriber, &format!("to/{id}"), 1);
        leave(subscriber);
    }
    let mut publisher = client(&broker, "publisher");
    for id in ids {
        publish(&mut publisher, 1, &format!("to/{id}"), id);
    }
    let mut all = ids.map(|id| (id, resume(&broker, &persistent(id))));
    for (id, subscriber) in &mut all {
        expect_message(subscriber, 1, &format!("to/{id}"), id);
        expect_alive(subscriber);
    }
}

#[test]
// Breaks if: codec/connect.rs `decode` takes the end of the packet for an empty Client Identifier.
fn mqtt311_3_1_3_3_the_client_identifier_is_there_and_first() {
    let broker = start();
    let header = &b"\x00\x04MQTT\x04\x02\x00\x3c"[..];
    for cut in [&b""[..], b"\x00", b"\x00\x03me"] {
        not_connected(&broker, &packet(0x10, &[header, cut].concat()));
    }
    // With other fields there, the first one is the Client Identifier all the same.
    let mut witness = subscriber(&broker, "witness", "#", 0);
    let first = connect(&broker, &with_will("first", 0, "will", "of the first"));
    let _second = client(&broker, "will");
    publish(
        &mut client(&broker, "publisher"),
        0,
        "t",
        "nobody was taken over",
    );
    expect_message(&mut witness, 0, "t", "nobody was taken over");
    let _third = client(&broker, "first");
    expect_message(&mut witness, 0, "will", "of the first");
    drop(first);
}

#[test]
// Breaks if: codec/connect.rs `decode` reads the Client Identifier as `binary` and converts it with loss.
fn mqtt311_3_1_3_4_the_client_identifier_is_a_valid_string() {
    let broker = start();
    let bad: [&[u8]; 6] = [
        b"\xff",
        b"me\xc3",
        b"\xed\xa0\x80",
        b"\xc0\x80",
        b"me\0",
        b"\0",
    ];
    for id in bad {
        not_connected(&broker, &Connect::v311(id).bytes());
        not_connected(&broker, &Connect::v311(id).clean(false).bytes());
    }
    for id in ["\u{1f4ee}", "\u{feff}", "bl\u{e5}b\u{e6}r", "\u{1}", " "] {
        connect(&broker, &Connect::v311(id));
    }
}

#[test]
// Breaks if: session/terms.rs `check_empty_id` refuses short or long ids, or any of these characters.
fn mqtt311_3_1_3_5_identifiers_of_1_to_23_letters_and_digits_are_accepted() {
    const LISTED: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let broker = start();
    let mut all: Vec<_> = LISTED.chars().map(String::from).collect();
    for length in 2..=23 {
        // Each one begins elsewhere, so that every character is seen at several places.
        let id = LISTED.chars().cycle().skip(length * 7).take(length);
        all.push(id.collect());
    }
    let clients: Vec<_> = all.iter().map(|id| client(&broker, id)).collect();
    for mut client in clients {
        expect_alive(&mut client);
    }
    for id in all {
        leave(connect(&broker, &persistent(&id)));
        leave(resume(&broker, &persistent(&id)));
    }
}

/// Two clients without an identifier are two clients; and what was made up for one is never resumed.
#[test]
// Breaks if: broker/handshake.rs `assign_client_id` gives the same id twice, or session/terms.rs uses the empty one.
fn mqtt311_3_1_3_6_an_empty_identifier_gets_a_unique_one() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let mut nameless: Vec<_> = (0..20).map(|_| client(&broker, "")).collect();
    for (number, each) in nameless.iter_mut().enumerate() {
        subscribe(each, &format!("to/{number}"), 0);
    }
    for number in 0..20 {
        publish(&mut publisher, 0, &format!("to/{number}"), "you");
    }
    for (number, each) in nameless.iter_mut().enumerate() {
        expect_message(each, 0, &format!("to/{number}"), "you");
        expect_alive(each);
    }
}

#[test]
// Breaks if: session/terms.rs `check_empty_id` allows it whatever `clean_start` says.
fn mqtt311_3_1_3_7_an_empty_identifier_needs_clean_session_1() {
    let broker = start();
    let mut refusal = RawClient::connect(broker.tcp);
    refusal.send(&Connect::v311("").clean(false).bytes());
    assert_ne!(refusal.packet()[3], 0, "accepted");
    refusal.expect_closed();
    connect(&broker, &Connect::v311("").clean(true));
}

#[test]
// Breaks if: session/terms.rs `check_empty_id` gives another code than ClientIdentifierNotValid.
fn mqtt311_3_1_3_8_an_empty_identifier_with_clean_session_0_gets_return_code_2() {
    let broker = start();
    refused(&broker, &Connect::v311("").clean(false), 2);
    refused(&broker, &Connect::v311("").clean(false).keep_alive(0), 2);
    let named = Connect::v311("").clean(false).user_name("name");
    refused(&broker, &named.password("secret"), 2);
}

/// Whatever the identifier, there are two answers: return code 0, or return code 2 and the close.
#[test]
// Breaks if: codec/reason.rs `connack_v3` has another number for ClientIdentifierNotValid, or none; or
// broker/connection.rs `receive` goes on after a refusal.
fn mqtt311_3_1_3_9_a_rejected_identifier_gets_return_code_2_and_the_close() {
    let broker = start();
    let mut witness = subscriber(&broker, "witness", "will", 0);
    let unusual = [
        "".into(),
        " ".into(),
        "/".into(),
        "#".into(),
        "+/#".into(),
        "$SYS/me".into(),
        "\u{7f}\u{80}".into(),
        "x".repeat(24),
        "x".repeat(65_535),
    ];
    let mut rejections = 0;
    for id in unusual {
        let mut client = RawClient::connect(broker.tcp);
        client.send(&with_will(&id, 0, "will", "of nobody").clean(false).bytes());
        match client.packet() {
            accepted if accepted == connack(false, 0) => leave(client),
            rejected => {
                assert_eq!(rejected, connack(false, 2), "to {id:?}");
                rejections += 1;
                client.expect_closed();
            }
        }
    }
    // The empty one, for Clean Session is 0.
    assert_eq!(rejections, 1);
    publish(&mut client(&broker, "publisher"), 0, "will", "marker");
    expect_message(&mut witness, 0, "will", "marker");
}

/// A Will Topic is a string as a topic is; the Will Message after it may be any bytes.
#[test]
// Breaks if: codec/connect.rs `Will::read` takes the topic as `binary`, or does not check it.
fn mqtt311_3_1_3_10_the_will_topic_is_a_valid_string() {
    let broker = start();
    let bad: [&[u8]; 6] = [
        b"\xff",
        b"a\xc3",
        b"\xed\xa0\x80",
        b"\xc0\x80",
        b"a\0",
        b"a/\xfe",
    ];
    for topic in bad {
        let will = Will::new(topic, "message");
        not_connected(&broker, &Connect::v311("me").will(will).bytes());
    }
    let mut witness = client(&broker, "witness");
    subscribe(&mut witness, "ø/\u{1f4ee}", 0);
    fail(connect(
        &broker,
        &Connect::v311("me").will(Will::new("ø/\u{1f4ee}", b"\xff\0\xfe")),
    ));
    let will = take(&mut witness);
    assert_eq!(
        (&will.topic[..], &will.payload[..]),
        ("ø/\u{1f4ee}", &b"\xff\0\xfe"[..])
    );
}

#[test]
// Breaks if: codec/connect.rs `decode` reads the user name as `binary`.
fn mqtt311_3_1_3_11_the_user_name_is_a_valid_string() {
    let broker = start();
    let bad: [&[u8]; 6] = [
        b"\xff",
        b"me\xc3",
        b"\xed\xbf\xbf",
        b"\xc0\x80",
        b"me\0",
        b"\0",
    ];
    for name in bad {
        not_connected(&broker, &Connect::v311("me").user_name(name).bytes());
        let both = Connect::v311("me").user_name(name).password("secret");
        not_connected(&broker, &both.bytes());
    }
    for name in ["", "bl\u{e5}b\u{e6}r", "\u{1f4ee}", "\u{feff}name"] {
        // What is no string is a password still.
        connect(
            &broker,
            &Connect::v311("me").user_name(name).password(b"\xff\0"),
        );
    }
}

/// Every CONNECT here has one flaw in its form, and is answered by the close alone.
#[test]
// Breaks if: codec/reason.rs `connack_v3` has a number for MalformedPacket, or codec/connect.rs `decode` lets one of
// them pass.
fn mqtt311_3_1_4_1_an_invalid_connect_closes_the_connection_without_connack() {
    let broker = start();
    let good = with_will("me", 1, "topic", "message")
        .user_name("name")
        .password("secret");
    connect(&broker, &good);
    let good = good.bytes();
    let body = &good[2..];
    // Cut anywhere behind the level, or with something after its end.
    for length in 8..body.len() {
        not_connected(&broker, &packet(0x10, &body[..length]));
    }
    not_connected(&broker, &packet(0x10, &[body, b"\0"].concat()));
    not_connected(&broker, &packet(0x10, &[body, &string("more")].concat()));
    // Flags that contradict each other, or what is there.
    for flags in [0xcf, 0xde, 0x4e, 0x8e, 0x0e, 0xca, 0xe2, 0xc2] {
        let mut bad = good.clone();
        assert_eq!(std::mem::replace(&mut bad[9], flags), 0xce);
        not_connected(&broker, &bad);
    }
}

#[test]
// Breaks if: broker/sessions.rs `take_line` does not call `port.close`.
fn mqtt311_3_1_4_2_the_same_client_again_disconnects_the_old_connection() {
    let broker = start();
    for (old, new) in [(true, true), (false, true), (true, false)] {
        let mut old = connect(&broker, &Connect::v311("me").clean(old));
        subscribe(&mut old, "t", 0);
        let mut new = connect(&broker, &Connect::v311("me").clean(new));
        old.expect_closed();
        // The new one is a connection of its own, not hurt by the end of the old.
        subscribe(&mut new, "t", 0);
        publish(&mut client(&broker, "publisher"), 0, "t", "to the new");
        expect_message(&mut new, 0, "t", "to the new");
        leave(new);
        leave(client(&broker, "me"));
    }
    // Persistent and persistent: the new one goes on where the old one was.
    let mut old = connect(&broker, &persistent("me"));
    subscribe(&mut old, "t", 1);
    let mut new = resume(&broker, &persistent("me"));
    old.expect_closed();
    publish(&mut client(&broker, "publisher"), 1, "t", "to the new");
    expect_message(&mut new, 1, "t", "to the new");
}

/// What CONNECT says of Clean Session is done, also when the old connection is still there.
#[test]
// Breaks if: broker/sessions.rs `claim` resumes a session that is not persistent.
fn mqtt311_3_1_4_3_clean_session_is_carried_out_on_a_takeover_too() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    for before in [persistent("subscriber"), Connect::v311("subscriber")] {
        let mut old = connect(&broker, &before);
        subscribe(&mut old, "t", 1);
        // The old connection is alive when the new one asks for a clean session.
        let mut new = client(&broker, "subscriber");
        old.expect_closed();
        publish(&mut publisher, 1, "t", "for the old session");
        subscribe(&mut new, "u", 1);
        expect_none_retained(&mut publisher, &mut new, "u");
        // And a clean session is not there for the one that would resume.
        let again = connect(&broker, &persistent("subscriber"));
        new.expect_closed();
        leave(again);
        // Cleared for the next round.
        leave(client(&broker, "subscriber"));
    }
}

#[test]
// Breaks if: broker/handshake.rs `open` gives another code, or codec/connack.rs `body` another form.
fn mqtt311_3_1_4_4_a_valid_connect_gets_connack_with_return_code_0() {
    let broker = start();
    let plain = RawClient::connect(broker.tcp);
    let full = with_will("full", 2, "topic", "")
        .user_name("name")
        .password("secret");
    for (mut client, connect) in [
        (plain, Connect::v311("plain")),
        (RawClient::connect(broker.tcp), full.keep_alive(65_535)),
        (
            RawClient::connect(broker.tcp),
            persistent("persistent").keep_alive(0),
        ),
    ] {
        // One byte at a time makes no difference.
        for byte in connect.bytes() {
            client.send(&[byte]);
        }
        client.expect(b"\x20\x02\x00\x00");
        expect_alive(&mut client);
    }
}

/// What follows a CONNECT that is rejected, with a return code or without, is thrown away.
#[test]
// Breaks if: broker/connection.rs `receive` begins anew with the rest of the input after `refuse`.
fn mqtt311_3_1_4_5_after_a_rejected_connect_nothing_is_processed() {
    let broker = start();
    let mut witness = subscriber(&broker, "witness", "t", 1);
    let hasty = [
        Publish::v311("t", "hasty").bytes(),
        Publish::v311("t", "hasty").qos(1, 1).retain().bytes(),
        Connect::v311("hasty").bytes(),
        Publish::v311("t", "hasty").bytes(),
    ]
    .concat();
    for (rejected, return_code) in [
        (Connect::v311("").clean(false), Some(2)),
        (Connect::version(3, "me"), Some(1)),
        (Connect::v311("me").flags(0x03), None),
    ] {
        let mut client = RawClient::connect(broker.tcp);
        client.send(&[&rejected.bytes()[..], &hasty].concat());
        if let Some(return_code) = return_code {
            client.expect(&connack(false, return_code));
        }
        client.expect_closed();
    }
    // What is accepted may be followed at once.
    let mut accepted = RawClient::connect(broker.tcp);
    accepted.send(
        &[
            Connect::v311("accepted").bytes(),
            Publish::v311("t", "early").qos(1, 1).bytes(),
        ]
        .concat(),
    );
    accepted.expect(&connack(false, 0));
    expect_sent(&mut witness, 1, "t", "early");
    expect_alive(&mut witness);
}
