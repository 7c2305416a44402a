//! What a message costs, in counts that must not creep up: allocations, writes, wakes.
//!
//! Everything is warm before it is counted: routes are remembered, and what is used again is there. A
//! count that has become smaller is to be written down here; one that has become larger has a cause that
//! is to be found first.
//!
//! What is allocated once for each message is the message. Lines of what is in flight or to be answered
//! keep room for so many entries when they are empty; beyond that they grow anew with each batch.

use std::num::NonZeroU16;

use postbud::codec::{
    Ack, Connect, ConnectProperties, FiltersBuf, Packet, PacketId, Publish, QoS, ReasonCode,
    Subscribe, SubscriptionOptions, UserPropertiesBuf, Version,
};

use crate::allocations::counted;
use crate::client::{Client, publish};
use crate::house::House;
use crate::received::Got;
use crate::stores::Late;

const TOPIC: &str = "site/1/temperature";
/// More than one client is written in a step.
const ROOM: usize = 8 * 1024;

const ALL: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// What a step of somebody's driver cost, the flush of all whom it filled included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cost {
    allocations: u64,
    writes: usize,
    wakes: usize,
}

/// So many allocations and writes, and nobody was woken.
fn cost(allocations: u64, writes: usize) -> Cost {
    Cost {
        allocations,
        writes,
        wakes: 0,
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.allocations += other.allocations;
        self.writes += other.writes;
        self.wakes += other.wakes;
    }
}

/// One step of this client's driver, which has all there is to read.
fn step(client: &Client<'_>) -> Cost {
    client.house.make_room(ROOM);
    let before = client.house.calls();
    let allocations = counted(|| client.step());
    let after = client.house.calls();
    Cost {
        allocations,
        writes: after.0 - before.0,
        wakes: after.1 - before.1,
    }
}

/// What a batch of messages cost to the end of all exchanges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Costs {
    /// The batch itself, acknowledgements to the publisher and deliveries to the readers included.
    publish: Cost,
    /// What the publisher acknowledged in its turn.
    release: Cost,
    /// What all readers acknowledged.
    readers: Cost,
}

/// Publishes so many in one batch, and sees them to their end.
fn exchange(writer: &Client<'_>, readers: &[Client<'_>], qos: QoS, count: u16) -> Costs {
    for number in 1..=count {
        let id = if qos == QoS::AtMostOnce { 0 } else { number };
        writer.feed(&Packet::Publish(publish(qos, id, TOPIC, "21.5")));
    }
    let mut costs = Costs {
        publish: step(writer),
        ..Costs::default()
    };
    settle(writer, &mut costs.release);
    let mut received = 0;
    for reader in readers {
        received += settle(reader, &mut costs.readers);
    }
    assert_eq!(received % usize::from(count), 0, "everything arrives");
    assert!(received > 0, "somebody gets it");
    costs
}

/// Reads, and acknowledges to the end; returns how many messages that were.
fn settle(client: &Client<'_>, spent: &mut Cost) -> usize {
    let mut messages = 0;
    loop {
        let mut answers = 0;
        for got in client.take() {
            messages += usize::from(matches!(got, Got::Publish(_)));
            if let Some(answer) = answer(&got) {
                client.feed(&answer);
                answers += 1;
            }
        }
        if answers == 0 {
            return messages;
        }
        *spent += step(client);
    }
}

fn answer(got: &Got) -> Option<Packet<'static>> {
    let ack = |id| Ack::new(PacketId::new(id).expect("an id"), ReasonCode::Success);
    match got {
        Got::Publish(it) if it.qos == QoS::AtLeastOnce => Some(Packet::Puback(ack(it.id))),
        Got::Publish(it) if it.qos == QoS::ExactlyOnce => Some(Packet::Pubrec(ack(it.id))),
        Got::Pubrec(id, _) => Some(Packet::Pubrel(ack(*id))),
        Got::Pubrel(id, _) => Some(Packet::Pubcomp(ack(*id))),
        _ => None,
    }
}

/// The same batch again and again: what it costs from the third on.
fn steady(writer: &Client<'_>, readers: &[Client<'_>], qos: QoS, count: u16) -> Costs {
    exchange(writer, readers, qos, count);
    exchange(writer, readers, qos, count);
    let costs = exchange(writer, readers, qos, count);
    let again = exchange(writer, readers, qos, count);
    assert_eq!(costs, again, "{count} at {qos}: it goes on like this");
    costs
}

/// What batches of ten cost with a client that subscribes to this filter.
fn tens(house: &House, filter: &str, kept: bool) -> [Costs; 3] {
    let hello = house.v5("reader");
    let hello = if kept { hello.expiry(3600) } else { hello };
    let reader = hello.open();
    reader.subscribe(filter, QoS::ExactlyOnce);
    let writer = house.v5("writer").open();
    ALL.map(|qos| steady(&writer, &[reader], qos, 10))
}

/// Ten messages: an allocation for each; a write of all deliveries, one of all acknowledgements in
/// each direction.
fn ten_messages() -> [Costs; 3] {
    let none = Cost::default();
    [
        Costs {
            publish: cost(10, 1),
            release: none,
            readers: none,
        },
        Costs {
            publish: cost(10, 2),
            release: none,
            readers: none,
        },
        Costs {
            publish: cost(10, 2),
            release: cost(0, 1),
            readers: cost(0, 1),
        },
    ]
}

#[test]
fn a_message_is_one_allocation_whatever_its_qos() {
    assert_eq!(tens(&House::new(), "site/#", false), ten_messages());
}

#[test]
fn a_group_costs_nothing_more() {
    let house = House::new();
    assert_eq!(tens(&house, "$share/g/site/#", false), ten_messages());
}

#[test]
fn a_session_that_is_kept_costs_nothing_more() {
    assert_eq!(tens(&House::new(), "site/#", true), ten_messages());
}

// What the store does with what it is told is its own.
#[test]
fn telling_a_store_costs_nothing_more() {
    for filter in ["site/#", "$share/g/site/#"] {
        let house = House::with_store(Late::with(|_| false));
        assert_eq!(tens(&house, filter, true), ten_messages(), "{filter}");
    }
}

#[test]
fn a_large_batch_is_written_at_once_and_its_lines_grow_anew() {
    let house = House::new();
    let reader = house.v5("reader").open();
    reader.subscribe("site/#", QoS::ExactlyOnce);
    let writer = house.v5("writer").open();
    let readers = [reader];
    // Replies to 64 in five steps, and the window in as many.
    let [zero, one, two] = ALL.map(|qos| steady(&writer, &readers, qos, 50));
    assert_eq!(zero.publish, cost(50, 1));
    assert_eq!(one.publish, cost(50 + 10, 2));
    assert_eq!(one.readers, cost(0, 0));
    // And the ids that are held.
    assert_eq!(two.publish, cost(50 + 15, 2));
    assert_eq!(two.release, cost(5, 1));
    assert_eq!(two.readers, cost(0, 1));
}

#[test]
fn members_of_a_group_are_written_to_once_each() {
    let house = House::new();
    let names: Vec<_> = (0..4).map(|number| format!("r{number}")).collect();
    let readers: Vec<_> = names.iter().map(|name| house.v5(name).open()).collect();
    for reader in &readers {
        reader.subscribe("$share/g/site/#", QoS::ExactlyOnce);
    }
    let writer = house.v5("writer").open();
    let [zero, one, two] = ALL.map(|qos| steady(&writer, &readers, qos, 20));
    assert_eq!(zero.publish, cost(20, 4));
    assert_eq!(one.publish, cost(20, 5));
    assert_eq!(two.publish, cost(20, 5));
    assert_eq!((two.release, two.readers), (cost(0, 1), cost(0, 4)));
}

#[test]
fn a_fan_out_allocates_for_the_message_and_not_for_its_recipients() {
    for count in [2, 60, 400] {
        let house = House::new();
        let names: Vec<_> = (0..count).map(|number| format!("r{number}")).collect();
        let readers: Vec<_> = names.iter().map(|name| house.v5(name).open()).collect();
        for reader in &readers {
            reader.subscribe("site/#", QoS::AtLeastOnce);
        }
        let writer = house.v5("writer").open();
        let zero = steady(&writer, &readers, QoS::AtMostOnce, 10);
        assert_eq!(zero.publish, cost(10, count));
        let one = steady(&writer, &readers, QoS::AtLeastOnce, 10);
        let wires = count + 1;
        assert_eq!(one.publish, cost(10, wires));
        assert_eq!(one.readers, cost(0, 0));
    }
}

#[test]
fn an_alias_and_user_properties_cost_nothing_more() {
    let house = House::new();
    let reader = house.v5("reader").topic_alias_maximum(10).open();
    reader.subscribe("site/#", QoS::ExactlyOnce);
    let writer = house.v5("writer").open();
    let mut users = UserPropertiesBuf::new();
    users.push("trace", "00-4bf92f").expect("short texts");
    users.push("unit", "degrees").expect("short texts");
    for round in 0..4 {
        for number in 0..10 {
            // The first sets the alias, again in each batch.
            let topic = if number == 0 { TOPIC } else { "" };
            let mut publish = publish(QoS::AtMostOnce, 0, topic, "21.5");
            publish.properties.topic_alias = NonZeroU16::new(1);
            publish.properties.user_properties = users.as_ref();
            writer.feed(&Packet::Publish(publish));
        }
        let spent = step(&writer);
        assert_eq!(reader.take().len(), 10);
        if round > 1 {
            assert_eq!(spent, cost(10, 1));
        }
    }
}

/// What a message costs among so many connections with so many subscriptions, all to other topics:
/// the first on its topic, and one that follows it.
fn among(connections: usize, subscriptions: usize) -> (Cost, Cost) {
    let house = House::new();
    let reader = house.v5("reader").open();
    reader.subscribe("site/#", QoS::AtMostOnce);
    let writer = house.v5("writer").open();
    writer.publish("site/2/temperature", "another topic");
    reader.take();
    for number in 0..connections {
        let filters = (0..subscriptions / connections).map(|n| format!("plant/{number}/{n}/+/t"));
        listen(&house, &format!("c{number}"), filters);
    }
    let message = Packet::Publish(Publish {
        topic: TOPIC,
        payload: b"21.5",
        ..Publish::default()
    });
    let [first, second] = [(); 2].map(|()| {
        writer.feed(&message);
        step(&writer)
    });
    assert_eq!(reader.take().len(), 2);
    (first, second)
}

/// Connects and subscribes, without a look at all the others.
fn listen(house: &House, client_id: &str, filters: impl Iterator<Item = String>) {
    let client = house.accept(Version::V5, true);
    client.feed(&Packet::Connect(Connect {
        version: Version::V5,
        bridge: false,
        clean_start: true,
        keep_alive: 0,
        client_id,
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties::default(),
    }));
    // It is let in, and then told so.
    client.step();
    client.step();
    let mut list = FiltersBuf::new();
    for filter in filters {
        let options = SubscriptionOptions::v3(QoS::AtLeastOnce);
        list.push(&filter, options).expect("a filter");
    }
    client.feed(&Packet::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        subscription_id: None,
        user_properties: Default::default(),
        filters: list.as_ref(),
    }));
    client.step();
    let got = client.take();
    assert!(matches!(got[..], [Got::Connack(_), Got::Suback(..)]));
}

#[test]
fn others_and_their_subscriptions_cost_nothing() {
    let few = among(10, 1_000);
    assert_eq!(few.1, cost(1, 1));
    assert_eq!(few, among(10_000, 100_000));
}
