//! Inputs that have stopped brokers, or made them deaf: after each this one still serves everybody.

use std::time::Instant;

use crate::bytes::{
    Connect, DISCONNECT, PINGREQ, Publish, Will, auth_5, packet, prop, puback, pubrel, string,
    subscribe_5, subscribe_311, text, unsubscribe_5, vbi,
};
use crate::received::{Ack, connected, expect_disconnect, leave, online, subscribe};
use crate::support::DEADLINE;
use crate::support::broker::Broker;
use crate::support::raw::RawClient;

use super::rows::Answer::{Alive, Silence, Told};
use super::rows::{Bystander, Row, Version, expect_sound, run, start};

/// First characters of more than one byte, in everything that has a first character.
// Breaks if: anything takes the first byte of a text for its first character, or cuts a text there.
#[test]
fn first_characters_that_are_not_ascii() {
    for first in [
        "\u{feff}",
        "é",
        "€",
        "𪛔",
        "\u{80}",
        "\u{10ffff}",
        "\u{301}",
    ] {
        let mut rows_5 = Vec::new();
        let mut rows_311 = Vec::new();
        for rest in ["", "/", "/a", "a", "$SYS"] {
            let name = format!("{first}{rest}");
            let group = format!("$share/{first}/{name}");
            let dollar = format!("${name}");
            for topic in [&name, &dollar] {
                rows_5.push(Row::open(
                    topic,
                    Alive,
                    Publish::v5(topic, first).retain().bytes(),
                ));
                rows_311.push(Row::open(
                    topic,
                    Alive,
                    Publish::v311(topic, first).retain().bytes(),
                ));
                let connect = |connect: Connect| {
                    connect
                        .will(Will::new(topic, first).retain())
                        .user_name(topic)
                };
                rows_5.push(Row::fresh(
                    topic,
                    Alive,
                    connect(Connect::v5(topic)).bytes(),
                ));
                rows_311.push(Row::fresh(
                    topic,
                    Alive,
                    connect(Connect::v311(topic)).bytes(),
                ));
            }
            for filter in [&name, &group, &dollar] {
                rows_5.push(Row::open(
                    filter,
                    Alive,
                    subscribe_5(1, &[], &[(filter, 2)]),
                ));
                rows_5.push(Row::open(filter, Alive, unsubscribe_5(1, &[], &[filter])));
                rows_311.push(Row::open(filter, Alive, subscribe_311(1, &[(filter, 2)])));
            }
        }
        run(&start(""), Version::V5, &rows_5);
        run(&start(""), Version::V311, &rows_311);
    }
}

/// Packets without what all others have, and with lengths that nothing follows.
// Breaks if: any decoder takes what is not there, or the broker makes room for a packet before it has come.
#[test]
fn packets_that_are_hardly_there() {
    let empty = |first: u8| packet(first, &[]);
    let mut rows: Vec<_> = (1..=15u8)
        .map(|kind| {
            let first = kind << 4 | if matches!(kind, 6 | 8 | 10) { 2 } else { 0 };
            let answer = match kind {
                12 => Alive,
                14 => Silence,
                2 | 9 | 11 | 13 | 15 => Told(0x82),
                _ => Told(0x81),
            };
            Row::open(format!("empty {first:#04x}"), answer, empty(first))
        })
        .collect();
    rows.extend([
        Row::open(
            "no options byte",
            Told(0x81),
            packet(0x82, b"\0\x0a\0\0\x03foo"),
        ),
        Row::open("no filter at all", Told(0x82), packet(0x82, b"\0\x0a\0")),
        Row::open(
            "half a filter's length",
            Told(0x81),
            packet(0x82, b"\0\x0a\0\0"),
        ),
        Row::open(
            "an empty filter",
            Told(0x81),
            packet(0x82, b"\0\x0a\0\0\0\0"),
        ),
        Row::open(
            "an empty filter to forget",
            Told(0x81),
            packet(0xa2, b"\0\x0a\0\0\0"),
        ),
        Row::open(
            "a topic of 65,535, of which one",
            Told(0x81),
            packet(0x30, b"\xff\xffa"),
        ),
        Row::open(
            "a property of 0xffffffff",
            Told(0x81),
            packet(0x30, b"\0\x01t\xff\xff\xff\xff"),
        ),
        Row::open(
            "a correlation of 65,535",
            Told(0x81),
            packet(0x30, b"\0\x01t\x03\x09\xff\xff"),
        ),
        Row::fresh("CONNECT of nothing", Silence, empty(0x10)),
        Row::fresh(
            "CONNECT of an empty name",
            Silence,
            packet(0x10, &[0, 0, 0, 0, 0, 0, 0, 0]),
        ),
        Row::fresh(
            "CONNECT named 65,535",
            Silence,
            packet(0x10, b"\xff\xffMQTT"),
        ),
        Row::fresh(
            "0xffffffff",
            Told(0x81),
            packet(0x10, b"\0\x04MQTT\x05\x02\0\x3c\xff\xff\xff\xff"),
        ),
    ]);
    run(&start(""), Version::V5, &rows);
}

/// A Remaining Length that promises much, a few bytes, and the end. Nothing is set aside for what does not come.
// Breaks if: the buffer of src/listener/driver.rs grows to the Remaining Length at once, or the connection's end is not
// noticed in the middle of a packet.
#[test]
fn large_promises_and_an_end() {
    let broker = start("packet_size_maximum = 268435460");
    let mut bystander = Bystander::new(&broker);
    let before = resident(&broker);
    let mut promising = Vec::new();
    for first in [0x30, 0x32, 0x34, 0x40, 0x82, 0xa2, 0xe0] {
        for _ in 0..8 {
            let mut client = online(broker.tcp, "");
            client.send(&[&[first][..], &vbi(268_435_455), b"\0\x01t"].concat());
            promising.push(client);
        }
        bystander.is_unharmed();
    }
    // 56 of them would be 14 GiB.
    let grown = resident(&broker).saturating_sub(before);
    assert!(grown < 256 << 20, "{grown} bytes more");
    for mut client in promising {
        client.finish_sending();
        client.expect_closed();
    }
    bystander.is_unharmed();
    expect_sound(&broker);
}

/// Memory that the broker's process has, in bytes.
#[track_caller]
fn resident(broker: &Broker) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let words = line.and_then(|line| line.split_whitespace().next());
    words
        .and_then(|word| word.parse::<u64>().ok())
        .expect("kilobytes")
        * 1024
}

/// The stream ends after each byte of each packet: the connection has failed, and its Will is published.
// Breaks if: `Connection::end` in src/broker/connection.rs is not told of the end while a packet is not whole, or takes it
// for a DISCONNECT.
#[test]
fn the_end_in_the_middle_of_each_packet() {
    let broker = start("");
    let mut bystander = Bystander::new(&broker);
    let mut watch = online(broker.tcp, "watch");
    subscribe(&mut watch, "wills", 0);
    let method = text(prop::AUTHENTICATION_METHOD, "m");
    let packets = [
        Publish::v5("t", "m").bytes(),
        Publish::v5("t", "m").qos(2, 1).bytes(),
        puback(1),
        pubrel(1),
        subscribe_5(1, &[], &[("t", 0)]),
        unsubscribe_5(1, &[], &["t"]),
        PINGREQ.to_vec(),
        packet(0xe0, &[0, 0]),
        auth_5(0x19, &method),
    ];
    let connect = Connect::v5("cut").will(Will::new("wills", "cut"));
    for whole in &packets {
        for cut in 1..whole.len() {
            let (mut client, _) = connected(broker.tcp, &connect);
            client.send(&whole[..cut]);
            client.finish_sending();
            client.expect_closed();
            watch.expect(&Publish::v5("wills", "cut").bytes());
        }
        bystander.is_unharmed();
    }
    let bytes = connect.bytes();
    for cut in 0..bytes.len() {
        let mut client = RawClient::connect(broker.tcp);
        client.send(&bytes[..cut]);
        client.finish_sending();
        client.expect_closed();
    }
    // Nobody had connected.
    watch.expect_nothing();
    bystander.is_unharmed();
    expect_sound(&broker);
}

/// 10,000 levels and more, by default and where they are allowed.
// Breaks if: the trie of src/topic/trie calls itself for each level, or the levels are not counted before it.
#[test]
fn thousands_of_levels() {
    let names = [
        "/".repeat(9_999),
        "/".repeat(32_767),
        "/".repeat(65_535),
        "a/".repeat(10_000) + "a",
        "+/".repeat(10_000) + "#",
    ];
    let broker = start("topic_levels_maximum = 128");
    let mut bystander = Bystander::new(&broker);
    let mut client = online(broker.tcp, "client");
    for name in &names {
        let shared = format!("$share/g/{}", &name[9..]);
        client.send(&subscribe_5(1, &[], &[(name, 0), (&shared, 0)]));
        assert_eq!(Ack::v5(&client.packet()).reasons, [0x8f, 0x8f]);
        client.send(&unsubscribe_5(1, &[], &[name, &shared]));
        assert_eq!(Ack::v5(&client.packet()).reasons, [0x11, 0x11]);
        if !name.contains('+') {
            client.send(&Publish::v5(name, "m").retain().qos(1, 1).bytes());
            client.expect(&packet(0x40, &[0, 1, 0x90]));
        }
        bystander.is_unharmed();
    }
    expect_sound(&broker);
    let broker = start("");
    let mut bystander = Bystander::new(&broker);
    let mut clients = ["one", "two", "three"].map(|name| online(broker.tcp, name));
    for client in &mut clients {
        for name in &names {
            subscribe(client, name, 0);
        }
    }
    for name in names.iter().filter(|name| !name.contains('+')) {
        clients[0].send(&Publish::v5(name, "m").retain().bytes());
        for client in &mut clients {
            // Once for each subscription that matches, or once for all.
            assert_eq!(client.packet(), Publish::v5(name, "m").bytes());
        }
        bystander.is_unharmed();
    }
    for client in clients {
        drop(client);
        bystander.is_unharmed();
    }
    expect_sound(&broker);
}

/// A Will whose topic and payload are of 65,535 bytes, and a Client Identifier as long: it is published as it is.
// Breaks if: a length of 65,535 is read as a signed number, or one is added to it in 16 bits.
#[test]
fn a_will_of_the_largest_size() {
    let broker = start("");
    let mut bystander = Bystander::new(&broker);
    let long = "w".repeat(65_535);
    let payload: Vec<u8> = (0..65_535).map(|index| index as u8).collect();
    let mut watch = online(broker.tcp, "watch");
    subscribe(&mut watch, &long, 2);
    for version in [4, 5] {
        let will = Will::new(&long, &payload);
        let connect = Connect::version(version, &long)
            .will(will)
            .user_name(&long)
            .password(&payload);
        let mut client = RawClient::connect(broker.tcp);
        client.open(&connect.bytes());
        client.finish_sending();
        client.expect_closed();
        watch.expect(&Publish::v5(&long, &payload).bytes());
        bystander.is_unharmed();
    }
    watch.expect_nothing();
    expect_sound(&broker);
}

/// As many filters as a packet may have, and one more.
// Breaks if: `MAXIMUM_FILTERS` in src/codec/filters.rs is not asked, or each filter of a packet costs a walk through all
// of them.
#[test]
fn thousands_of_filters_in_one_packet() {
    let broker = start("");
    let mut bystander = Bystander::new(&broker);
    let mut client = online(broker.tcp, "client");
    let names: Vec<_> = (0..10_001).map(|number| format!("f/{number}")).collect();
    let filters: Vec<_> = names.iter().map(|name| (&name[..], 1)).collect();
    client.send(&subscribe_5(1, &[], &filters));
    let mut granted = vec![1; 10_000];
    granted.push(0x97);
    assert_eq!(Ack::v5(&client.packet()).reasons, granted);
    bystander.is_unharmed();
    let filters: Vec<_> = names.iter().map(|name| &name[..]).collect();
    client.send(&unsubscribe_5(1, &[], &filters));
    let mut ended = vec![0; 10_000];
    ended.push(0x11);
    assert_eq!(Ack::v5(&client.packet()).reasons, ended);
    // The same one again and again.
    client.send(&subscribe_5(1, &[], &vec![("t", 2); 65_535]));
    assert_eq!(Ack::v5(&client.packet()).reasons, vec![2; 65_535]);
    client.send(&unsubscribe_5(1, &[], &vec!["t"; 65_535]));
    let mut ended = vec![0x11; 65_535];
    ended[0] = 0;
    assert_eq!(Ack::v5(&client.packet()).reasons, ended);
    bystander.is_unharmed();
    client.send(&unsubscribe_5(1, &[], &vec!["t"; 65_536]));
    expect_disconnect(&mut client, 0x97);
    let mut client = online(broker.tcp, "client");
    client.send(&subscribe_5(1, &[], &vec![("t", 2); 65_536]));
    expect_disconnect(&mut client, 0x97);
    bystander.is_unharmed();
    expect_sound(&broker);
}

/// Connections that come and go at once: without a byte, with half a CONNECT, with one that nobody waits for the answer
/// to, in order, and a hundred that want the same name. None is left.
// Breaks if: a connection whose client has gone before CONNACK stays open, or one that was taken over.
#[test]
fn a_flood_of_connections() {
    let broker = start("");
    let mut bystander = Bystander::new(&broker);
    let connect = Connect::v5("same").bytes();
    for round in 0..100 {
        drop(RawClient::connect(broker.tcp));
        for cut in [1, connect.len() / 2, connect.len()] {
            RawClient::connect(broker.tcp).send(&connect[..cut]);
        }
        let mut gone = RawClient::connect(broker.tcp);
        gone.send(&[&connect[..], &DISCONNECT].concat());
        leave(online(broker.tcp, &format!("other-{round}")));
    }
    bystander.is_unharmed();
    // All of them have been handled, or a late one would take the name from those that follow.
    broker.wait_for_samples(&[
        ("postbud_connections_opened_total", 601.0),
        ("postbud_connections", 1.0),
    ]);
    let mut same: Vec<_> = (0..100).map(|_| RawClient::connect(broker.tcp)).collect();
    for client in &mut same {
        client.send(&connect);
    }
    // Each is accepted, and all but one are told that another has come.
    let deadline = Instant::now() + DEADLINE;
    let mut taken_over = 0;
    let mut last = Vec::new();
    for mut client in same {
        assert_eq!(client.packet()[0], 0x20);
        let _ = client.try_send(&PINGREQ);
        let mut packet = client.packet();
        if packet[0] == 0xd0 {
            last.push(client);
            continue;
        }
        while packet[0] != 0xe0 {
            packet = client.packet();
        }
        assert_eq!(packet[2], 0x8e, "{packet:02x?}");
        client.expect_closed();
        taken_over += 1;
        assert!(Instant::now() < deadline, "{taken_over} of 100");
    }
    // Those that answered were the session's for a moment.
    assert_eq!(taken_over + last.len(), 100);
    broker.wait_for_samples(&[("postbud_connections", 2.0)]);
    let remaining = last.pop();
    assert!(remaining.is_some(), "nobody has the session");
    drop((remaining, last));
    broker.wait_for_samples(&[("postbud_connections", 1.0)]);
    bystander.is_unharmed();
    expect_sound(&broker);
}

/// A client that writes and never reads what it is told.
// Breaks if: answers to a client that does not read are kept without a bound, or the others wait for it.
#[test]
fn refused_and_not_read() {
    let broker = start("");
    let mut bystander = Bystander::new(&broker);
    for _ in 0..50 {
        let mut client = online(broker.tcp, "deaf");
        client.send(&PINGREQ.repeat(5_000));
        client.send(&packet(0x82, &[&[0, 1, 0][..], &string("t")].concat()));
        drop(client);
        bystander.is_unharmed();
    }
    broker.wait_for_samples(&[("postbud_connections", 1.0)]);
    expect_sound(&broker);
}
