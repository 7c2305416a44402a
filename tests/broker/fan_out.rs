//! One publish to very many: cut into turns, and everybody gets it once.

use postbud::codec::{FiltersBuf, Packet, PacketId, QoS, ReasonCode, Subscribe, Version};

use crate::client::{Client, publish};
use crate::house::House;
use crate::received::Got;

const CROWD: usize = 20_000;

/// Very many clients that are subscribed to "all".
fn crowd<'h>(house: &'h House, ids: &'h [String]) -> Vec<Client<'h>> {
    let mut filters = FiltersBuf::new();
    filters.push("all", Default::default()).expect("a filter");
    let clients: Vec<_> = ids
        .iter()
        .map(|_| house.accept(Version::V311, true))
        .collect();
    for (client, id) in clients.iter().zip(ids) {
        client.feed(&Packet::Connect(house.v311(id).connect));
        client.feed(&Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscription_id: None,
            user_properties: Default::default(),
            filters: filters.as_ref(),
        }));
    }
    house.run();
    for client in &clients {
        assert_eq!(client.take().len(), 2, "CONNACK and SUBACK");
    }
    clients
}

fn ids() -> Vec<String> {
    (0..CROWD)
        .map(|number| format!("client-{number}"))
        .collect()
}

fn all_have_it_once(clients: &[Client<'_>], payloads: &[&str]) {
    for (number, client) in clients.iter().enumerate() {
        assert_eq!(client.payloads(), payloads, "client {number}");
    }
}

#[test]
fn a_fan_out_is_cut_into_turns() {
    let (house, ids) = (House::new(), ids());
    let clients = crowd(&house, &ids);
    let writer = house.v5("writer").open();
    let other = house.v5("other").open();
    other.subscribe("small", QoS::AtMostOnce);
    writer.feed(&Packet::Publish(publish(QoS::AtLeastOnce, 1, "all", "x")));
    writer.feed(&Packet::Publish(publish(QoS::AtMostOnce, 0, "all", "y")));
    let mut turns = 0;
    let id = |turn| format!("helper-{turn}");
    let mut before = house.snapshot().messages_sent[0];
    while writer.is_busy() {
        writer.step();
        turns += 1;
        let sent = house.snapshot().messages_sent[0];
        assert!(
            sent - before <= 9_000,
            "{} deliveries in a turn",
            sent - before
        );
        before = sent;
        // Others have their turn in between.
        let helper = house.accept(Version::V5, true);
        helper.feed(&Packet::Connect(house.v5(&id(turns)).connect));
        helper.feed(&Packet::Publish(publish(QoS::AtMostOnce, 0, "small", "z")));
        helper.step();
        assert_eq!(other.payloads(), ["z"]);
    }
    assert!(turns > 2 * CROWD / 9_000, "{turns}");
    assert_eq!(writer.take(), [Got::Puback(1, ReasonCode::Success)]);
    all_have_it_once(&clients, &["x", "y"]);
}

#[test]
fn everybody_gets_it_though_its_publisher_leaves_in_the_middle() {
    let (house, ids) = (House::new(), ids());
    let clients = crowd(&house, &ids);
    let writer = house.v5("writer").open();
    writer.feed(&Packet::Publish(publish(QoS::AtMostOnce, 0, "all", "x")));
    writer.step();
    assert!(writer.is_busy());
    writer.hang_up();
    all_have_it_once(&clients, &["x"]);
}

#[test]
fn everybody_gets_it_though_its_publisher_is_taken_over_in_the_middle() {
    let (house, ids) = (House::new(), ids());
    let clients = crowd(&house, &ids);
    let old = house.v5("writer").expiry(60).open();
    old.feed(&Packet::Publish(publish(QoS::AtLeastOnce, 1, "all", "x")));
    old.feed(&Packet::Publish(publish(
        QoS::AtLeastOnce,
        2,
        "all",
        "too late",
    )));
    old.step();
    let new = house.accept(Version::V5, true);
    new.feed(&Packet::Connect(house.v5("writer").expiry(60).connect));
    new.step();
    old.step();
    assert!(old.is_busy());
    assert_eq!(new.take(), [], "it is still busy with what it was sent");
    // The patience with it ends before that.
    old.hear_no_more();
    new.step();
    new.welcome();
    house.run();
    let got = old.take();
    let told = Got::Disconnect(ReasonCode::SessionTakenOver);
    assert_eq!(got, [Got::Puback(1, ReasonCode::Success), told]);
    all_have_it_once(&clients, &["x"]);
    assert_eq!(new.take(), []);
}

#[test]
fn everybody_gets_it_though_its_publisher_breaks_the_protocol_in_the_middle() {
    let (house, ids) = (House::new(), ids());
    let clients = crowd(&house, &ids);
    let writer = house.v5("writer").open();
    writer.feed(&Packet::Publish(publish(QoS::AtMostOnce, 0, "all", "x")));
    writer.feed_bytes(&[0x36, 2, 0, 0]);
    house.run();
    writer.assert_closed(ReasonCode::MalformedPacket);
    all_have_it_once(&clients, &["x"]);
}

#[test]
fn everybody_gets_the_will_of_one() {
    let (house, ids) = (House::new(), ids());
    let clients = crowd(&house, &ids);
    house.v5("writer").will("all", "gone").open().hang_up();
    all_have_it_once(&clients, &["gone"]);
}

#[test]
fn a_recipient_that_leaves_in_the_middle_is_passed_over() {
    let (house, ids) = (House::new(), ids());
    let clients = crowd(&house, &ids);
    let writer = house.v5("writer").open();
    writer.feed(&Packet::Publish(publish(QoS::AtMostOnce, 0, "all", "x")));
    writer.step();
    assert!(writer.is_busy());
    let (leavers, stayers) = clients.split_at(10);
    // Not through the house, which would let the writer go on.
    for leaver in leavers {
        leaver.feed(&Packet::Disconnect(postbud::codec::Disconnect::new(
            ReasonCode::Success,
        )));
        leaver.step();
    }
    house.run();
    all_have_it_once(stayers, &["x"]);
}
