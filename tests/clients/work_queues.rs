//! Groups that are configured, and messages that are published later, with the program and its disk.

use std::fmt::Write as _;

use crate::support::broker::Broker;
use crate::support::folder::Folder;
use crate::support::raw::{
    RawClient, connect_5, connect_311, connect_311_again, packet, puback_311, publish_311_qos1,
    published_311_qos1, string, subscribe_311,
};

/// A configuration with a group `crew` on `jobs/#`, of which more is said, that stores in `data`.
fn configuration(folder: &Folder, group: &str) -> String {
    let path = folder.path().join("data");
    let mut text = "[auth]\nanonymous = true\n[[groups]]\n".to_owned();
    let _ = writeln!(text, "share = \"crew\"\nfilter = \"jobs/#\"\n{group}");
    let _ = writeln!(text, "[store]\npath = {path:?}");
    text
}

fn publish(broker: &Broker, topic: &str, first: u16, last: u16) {
    let mut writer = RawClient::accepted(broker.tcp, &connect_311("writer"));
    for id in first..=last {
        writer.send(&publish_311_qos1(id, topic, id.to_string().as_bytes()));
        writer.expect(&puback_311(id));
    }
}

/// A client with a session that lasts.
fn lasting(broker: &Broker, client_id: &str) -> RawClient {
    let mut client = RawClient::connect(broker.tcp);
    client.send(&connect_311_again(client_id));
    let connack = client.packet();
    assert_eq!((connack[0], connack[3]), (0x20, 0));
    client
}

fn member(broker: &Broker, client_id: &str) -> RawClient {
    let mut client = lasting(broker, client_id);
    client.send(&subscribe_311(1, "$share/crew/jobs/#", 1));
    client
}

/// The next message: its id and payload. What waits may come before the SUBACK.
fn next(client: &mut RawClient) -> (u16, String) {
    let mut packet = client.packet();
    if packet == [0x90, 3, 0, 1, 1] {
        packet = client.packet();
    }
    let (id, payload) = published_311_qos1(&packet);
    (id, String::from_utf8(payload).expect("text"))
}

// Breaks if: what a declared group has collected before its first member came is gone with the process.
#[test]
fn a_declared_group_collects_over_a_crash() {
    let folder = Folder::new();
    let text = configuration(&folder, "declared = true");
    let broker = Broker::configured(&text);
    publish(&broker, "jobs/a", 1, 20);
    broker.kill();
    let broker = Broker::configured(&text);
    publish(&broker, "jobs/a", 21, 22);
    let mut member = member(&broker, "first");
    for expected in 1..=22 {
        let (id, payload) = next(&mut member);
        assert_eq!(payload, expected.to_string());
        member.send(&puback_311(id));
    }
}

// Breaks if: nobody looks for overdue messages in the running program, or one that nobody acknowledges
// goes round for ever.
#[test]
fn what_nobody_acknowledges_is_handed_on_and_given_up() {
    let folder = Folder::new();
    let group = "acknowledgement_timeout = \"200ms\"\ndelivery_limit = 2\ndead_letter = \"dead\"";
    let broker = Broker::configured(&configuration(&folder, group));
    let mut undertaker = RawClient::accepted(broker.tcp, &connect_311("undertaker"));
    undertaker.send(&subscribe_311(1, "dead", 1));
    undertaker.expect(&[0x90, 3, 0, 1, 1]);
    let mut first = member(&broker, "first");
    first.expect(&[0x90, 3, 0, 1, 1]);
    publish(&broker, "jobs/a", 1, 1);
    let (late, payload) = next(&mut first);
    assert_eq!(payload, "1");
    let mut second = member(&broker, "second");
    assert_eq!(next(&mut second).1, "1");
    assert_eq!(next(&mut undertaker).1, "1");
    first.send(&puback_311(late));
    first.send(&[0xc0, 0]);
    first.expect(&[0xd0, 0]);
    let dropped = "postbud_messages_dropped_total{reason=\"delivery_limit\"}";
    broker.wait_for_samples(&[(dropped, 1.0)]);
}

// Breaks if: a group that refuses says so otherwise than by 0x97, or loses what it had taken.
#[test]
fn a_group_that_is_full_refuses() {
    let folder = Folder::new();
    let group = "declared = true\nmessages_maximum = 2\noverflow = \"refuse\"";
    let broker = Broker::configured(&configuration(&folder, group));
    publish(&broker, "jobs/a", 1, 2);
    let mut writer = RawClient::connect(broker.tcp);
    writer.send(&connect_5("v5"));
    assert_eq!(writer.packet()[0], 0x20);
    let body = [&string("jobs/a")[..], &[0, 7, 0], b"3"].concat();
    writer.send(&packet(0x32, &body));
    writer.expect(&[0x40, 3, 0, 7, 0x97]);
    let mut member = member(&broker, "member");
    assert_eq!(
        (next(&mut member).1, next(&mut member).1),
        ("1".into(), "2".into())
    );
}

// Breaks if: a message that is to be published later is published at once, never, or before the process
// ended only.
#[test]
fn what_is_published_later_comes_later_and_over_a_crash() {
    let folder = Folder::new();
    let text = configuration(&folder, "");
    let broker = Broker::configured(&text);
    let mut reader = lasting(&broker, "reader");
    reader.send(&subscribe_311(1, "a/#", 1));
    reader.expect(&[0x90, 3, 0, 1, 1]);
    publish(&broker, "$delayed/1/a/b", 1, 1);
    publish(&broker, "a/c", 2, 2);
    let (id, payload) = next(&mut reader);
    assert_eq!(payload, "2", "what is published now comes first");
    reader.send(&puback_311(id));
    let (id, payload) = next(&mut reader);
    assert_eq!(payload, "1");
    reader.send(&puback_311(id));
    publish(&broker, "$delayed/1/a/b", 3, 3);
    broker.kill();
    let broker = Broker::configured(&text);
    let mut reader = lasting(&broker, "reader");
    // What was acknowledged just before the crash may not have been noted.
    while next(&mut reader).1 != "3" {}
}
