//! Nothing is left over when everybody has gone.

use postbud::broker::Gauge;
use postbud::codec::{QoS, ReasonCode, SubscriptionOptions, Version};

use crate::house::House;

fn assert_empty(house: &House, what: &str) {
    for gauge in Gauge::ALL {
        assert_eq!(house.gauge(gauge), 0, "{what}: {gauge:?}");
    }
}

#[test]
fn all_gauges_are_back_at_0_when_all_clients_are_gone() {
    for version in [Version::V31, Version::V311, Version::V5] {
        let house = House::new();
        let ids: Vec<_> = (0..50).map(|number| format!("c{number}")).collect();
        let clients: Vec<_> = ids
            .iter()
            .map(|id| house.hello(version, id).open())
            .collect();
        for (number, client) in clients.iter().enumerate() {
            client.subscribe("all", QoS::ExactlyOnce);
            client.subscribe(&format!("own/{number}/#"), QoS::AtLeastOnce);
            client.subscribe(&format!("$share/g{}/jobs", number % 7), QoS::AtLeastOnce);
            client.publish1(1, "all", "x");
            client.publish2(2, "jobs", "y");
        }
        assert_eq!(house.gauge(Gauge::Subscriptions), 150);
        assert_eq!(house.gauge(Gauge::Groups), 7);
        for (number, client) in clients.iter().enumerate() {
            match number % 3 {
                0 => client.disconnect(),
                1 => client.hang_up(),
                _ => client.send_bytes(&[0x36, 2, 0, 0]),
            }
        }
        assert_empty(&house, &version.to_string());
    }
}

#[test]
fn all_gauges_are_back_at_0_when_all_sessions_have_ended() {
    let house = House::new();
    let ids: Vec<_> = (0..30).map(|number| format!("c{number}")).collect();
    for (number, id) in ids.iter().enumerate() {
        let expiry = 1 + number as u32;
        let hello = house
            .v5(id)
            .expiry(expiry)
            .will("all", "gone")
            .will_delay(5);
        let client = hello.open();
        client.subscribe("all", QoS::ExactlyOnce);
        client.subscribe("$share/g/jobs", QoS::AtLeastOnce);
        client.publish1(1, "all", "x");
        client.publish2(2, "jobs", "y");
        client.hang_up();
    }
    assert_eq!(house.gauge(Gauge::Sessions), 30);
    for _ in 0..31 {
        house.seconds(1);
    }
    assert_empty(&house, "expired");
}

#[test]
fn takeovers_clean_starts_and_refusals_leave_nothing() {
    let house = House::new();
    let options = SubscriptionOptions::v3(QoS::AtLeastOnce);
    for round in 0..20 {
        let hello = house.v5("c").expiry(10);
        let client = if round % 3 == 0 { hello.clean() } else { hello }.open();
        client.send_subscribe(
            1,
            &["a", "$share/g/a"].map(|filter| (filter, options)),
            None,
        );
        if round % 4 == 0 {
            client.send_unsubscribe(2, &["a"]);
        }
        client.publish1(1, "a", "x");
        house.hello(Version::V31, "").send();
    }
    let last = house.v5("c").expiry(10).open();
    last.disconnect_with(ReasonCode::Success, Some(0));
    assert_empty(&house, "churn");
}

#[test]
fn subscribing_twice_counts_once() {
    let house = House::new();
    let client = house.v5("c").open();
    for filter in ["t", "t", "$share/g/t", "$share/g/t"] {
        client.subscribe(filter, QoS::AtLeastOnce);
    }
    assert_eq!(house.gauge(Gauge::Subscriptions), 2);
    assert_eq!(house.gauge(Gauge::Groups), 1);
    client.unsubscribe("t");
    client.send_unsubscribe(5, &["t", "$share/g/t", "$share/g/t"]);
    assert_eq!(house.gauge(Gauge::Subscriptions), 0);
    assert_eq!(house.gauge(Gauge::Groups), 0);
    client.hang_up();
    assert_empty(&house, "twice");
}

#[test]
fn what_is_counted_adds_up() {
    let house = House::new();
    let reader = house.v5("reader").open();
    reader.subscribe("t", QoS::ExactlyOnce);
    let writer = house.v5("writer").open();
    writer.publish("t", "0");
    writer.publish1(1, "t", "11");
    writer.publish2(2, "t", "222");
    let snapshot = house.snapshot();
    assert_eq!(snapshot.messages_received, [1, 1, 1]);
    assert_eq!(snapshot.messages_sent, [1, 1, 1]);
    assert_eq!(snapshot.payload, [6, 6]);
    assert_eq!(
        snapshot.packets[0], 6,
        "two CONNECTs, SUBSCRIBE, three PUBLISHes"
    );
    assert_eq!(
        snapshot.packets[1], 8,
        "two CONNACKs, SUBACK, three PUBLISHes, PUBACK, PUBREC"
    );
    assert_eq!(
        (snapshot.connections_opened, snapshot.connected_maximum),
        (2, 2)
    );
}
