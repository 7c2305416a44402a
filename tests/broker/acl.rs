//! Access control lists, and the ways around them that there must not be.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use postbud::auth::acl;
use postbud::auth::acl::options::{Effect, Options, Rule};
use postbud::auth::gate::{Answer, Gate, Opinion, Parts, Way};
use postbud::auth::{Identity, Request};
use postbud::broker::Gauge;
use postbud::codec::{Packet, Publish, QoS, ReasonCode, SubscriptionOptions, Version};

use crate::client::{Client, publish};
use crate::house::House;
use crate::received::Got;

const NO: ReasonCode = ReasonCode::NotAuthorized;
const NOBODY: ReasonCode = ReasonCode::NoMatchingSubscribers;

/// Takes everybody for the user that the Client Identifier names in front of a `-`.
struct ByClient;

impl Way for ByClient {
    fn opinion(&self, request: &Request<'_>, _: &mut dyn FnMut() -> Answer) -> Opinion {
        Opinion::Accept(match request.client_id.split_once('-') {
            Some((user, _)) => Identity::of(user),
            None => Identity::default(),
        })
    }
}

fn parts(options: &Options) -> Parts {
    Parts {
        ways: vec![Box::new(ByClient)],
        rules: acl::rules(options).expect("rules are right"),
        ..Parts::default()
    }
}

fn guarded(options: &Options) -> House {
    House::with_auth(Arc::new(Gate::new(parts(options))))
}

fn list(rules: impl Into<Arc<[Rule]>>) -> Options {
    Options {
        rules: Some(rules.into()),
        ..Options::default()
    }
}

/// May be published and subscribed to, but for what is secret.
fn rules() -> House {
    let still = Rule {
        subscribe: false,
        retain: Some(true),
        ..Rule::about(Effect::Deny, &["site/still/#"])
    };
    guarded(&list([
        still,
        Rule::about(Effect::Deny, &["site/+/secret/#"]),
        Rule::about(Effect::Allow, &["site/#", "own/%u/#", "$SYS/broker/uptime"]),
    ]))
}

/// What becomes of a SUBSCRIBE to each of these.
fn codes(client: &Client<'_>, filters: &[&str]) -> Vec<u8> {
    let options = SubscriptionOptions::v3(QoS::AtMostOnce);
    let filters: Vec<_> = filters.iter().map(|filter| (*filter, options)).collect();
    client.send_subscribe(1, &filters, None);
    match client.next() {
        Some(Got::Suback(_, codes)) => codes,
        other => panic!("a SUBACK was expected, not {other:?}"),
    }
}

// Breaks if: a filter is granted that matches more than is allowed.
#[test]
fn wildcards_do_not_lead_around_a_rule() {
    for version in [Version::V311, Version::V5] {
        let no = if version == Version::V5 { 0x87 } else { 0x80 };
        let house = rules();
        let spy = house.hello(version, "spy").open();
        let asked = [
            "#",
            "+/#",
            "+/+/secret",
            "site/#",
            "site/+/+",
            "site/7/secret",
            "site/7/secret/#",
            "$share/x/#",
            "$share/x/site/#",
            "$share/x/site/7/secret",
            "$SYS/#",
            "$SYS/broker/+",
            "$share/x/$SYS/#",
            "own/+/x",
            "own/anna/#",
            "$delayed/#",
            "$delayed/5/site/7/secret",
        ];
        assert_eq!(codes(&spy, &asked), vec![no; asked.len()], "{version}");
        let granted = ["site/+/door", "$share/x/site/7/door", "$SYS/broker/uptime"];
        assert_eq!(codes(&spy, &granted), [0; 3], "{version}");
        let writer = house.v5("writer").open();
        writer.publish1(1, "site/7/secret", "x");
        assert_eq!(writer.take(), [Got::Puback(1, NO)]);
        writer.publish("site/8/door", "y");
        assert_eq!(spy.payloads(), ["y"], "{version}");
    }
}

// Breaks if: a Will, a retained message or a delay publishes what a PUBLISH may not.
#[test]
fn neither_will_nor_retain_nor_delay_leads_around_a_rule() {
    let house = rules();
    for topic in [
        "site/7/secret",
        "own/anna/x",
        "$SYS/broker/uptime",
        "$delayed/5/site/7/secret",
    ] {
        let client = house.v5("bert-1").will(topic, "x").send();
        assert_eq!(client.welcome().code, NO, "{topic}");
    }
    // The Will is one of those that must not be retained.
    let will = house.v5("w").will("site/still/a", "x");
    assert_eq!(
        will.will_with(|will| will.retain = true)
            .send()
            .welcome()
            .code,
        NO
    );
    let writer = house.v5("bert-2").will("site/still/a", "x").open();
    writer.retain("site/still/a", "kept?");
    writer.retain("site/7/secret", "kept?");
    writer.retain("$delayed/5/site/still/a", "kept?");
    writer.retain("$delayed/5/site/7/secret", "kept?");
    for (id, topic, code) in [
        (1, "$delayed/5/site/7/secret/x", NO),
        (2, "$delayed/5/$SYS/broker/uptime", NO),
        (3, "$delayed/5/own/anna/x", NO),
        (4, "$delayed/5/own/bert/x", ReasonCode::Success),
        (5, "own/bert/x", NOBODY),
        (6, "own/anna/x", NO),
        (7, "site/still/a", NOBODY),
    ] {
        writer.publish1(id, topic, "x");
        assert_eq!(writer.take(), [Got::Puback(id, code)], "{topic}");
    }
    house.advance(Duration::from_secs(10));
    assert_eq!(house.broker.retained().0, 0);
}

fn aliased(id: u16, alias: u16, topic: &str) -> Publish<'_> {
    let mut packet = publish(QoS::AtLeastOnce, id, topic, "x");
    packet.properties.topic_alias = NonZeroU16::new(alias);
    packet
}

// Breaks if: what an alias stands for is not asked about anew.
#[test]
fn an_alias_does_not_lead_around_a_rule() {
    let house = rules();
    let reader = house.v5("reader").open();
    reader.subscribe("site/7/door", QoS::AtMostOnce);
    let writer = house.v5("writer").open();
    for (id, topic, code) in [
        (1, "site/7/door", ReasonCode::Success),
        (2, "", ReasonCode::Success),
        // It stands for what is denied now, and goes on to.
        (3, "site/7/secret", NO),
        (4, "", NO),
        (5, "site/7/door", ReasonCode::Success),
        (6, "", ReasonCode::Success),
    ] {
        writer.send(&Packet::Publish(aliased(id, 1, topic)));
        assert_eq!(writer.take(), [Got::Puback(id, code)], "{id} {topic}");
    }
    assert_eq!(reader.payloads().len(), 4);
}

// Breaks if: files without a rule allow everything.
#[test]
fn an_empty_list_allows_nothing() {
    let house = guarded(&list([]));
    let client = house.v5("c").open();
    client.publish1(1, "t", "x");
    assert_eq!(client.take(), [Got::Puback(1, NO)]);
    assert_eq!(codes(&client, &["t", "#"]), [0x87; 2]);
}

// Breaks if: rules that are replaced go on for whoever is connected, or comes back.
#[test]
fn rules_that_are_replaced_hold_for_who_is_there_and_who_is_away() {
    let all = list([Rule::about(Effect::Allow, &["site/#"])]);
    let less = list([Rule::about(Effect::Allow, &["site/+/door"])]);
    let gate = Arc::new(Gate::new(parts(&all)));
    let house = House::with_auth(gate.clone());
    let there = house.v5("there").open();
    let away = house.v5("away").expiry(3600).open();
    for client in [&there, &away] {
        assert_eq!(codes(client, &["site/#", "site/7/door"]), [0, 0]);
    }
    away.hang_up();
    let writer = house.v5("writer").open();
    writer.publish("site/7/vault", "1");
    assert_eq!(there.payloads(), ["1"]);
    gate.replace(parts(&less));
    house.broker.permissions_changed();
    house.run();
    let back = house.v5("away").expiry(3600).resume().open();
    writer.publish1(1, "site/7/vault", "2");
    assert_eq!(writer.take(), [Got::Puback(1, NO)]);
    writer.publish("site/7/door", "3");
    assert_eq!(there.payloads(), ["3"]);
    assert_eq!(back.payloads(), ["3"]);
    assert_eq!(house.gauge(Gauge::Subscriptions), 2);
}
