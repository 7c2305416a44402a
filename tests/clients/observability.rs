//! What can be seen from outside: metrics, health, and the `$SYS` topics.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Instant;

use crate::support::DEADLINE;
use crate::support::broker::Broker;
use crate::support::http::get;
use crate::support::process::Process;
use crate::support::raw::{
    RawClient, connect_5, connect_311, publish_311, published_311, subscribe_311,
};

/// The `$SYS` topics of mosquitto that dashboards and exporters read.
const SYS_TOPICS: [&str; 12] = [
    "version",
    "uptime",
    "clients/total",
    "clients/connected",
    "messages/received",
    "messages/sent",
    "load/messages/received/1min",
    "store/messages/count",
    "subscriptions/count",
    "retained messages/count",
    "bytes/received",
    "bytes/sent",
];

#[test]
fn prometheus_accepts_the_metrics() {
    let broker = Broker::start();
    // Something to count: a delivery, a refused packet, a client that is still there.
    let mut client = RawClient::accepted(broker.tcp, &connect_311("client"));
    client.send(&subscribe_311(1, "a/b", 0));
    client.packet();
    client.send(&publish_311("a/b", b"payload"));
    client.packet();
    let mut rude = RawClient::accepted(broker.tcp, &connect_5("rude"));
    rude.send(&[0xf0, 0x01, 0xff]);

    let (status, metrics) = get(broker.http, "/metrics");
    assert_eq!(status, 200);
    assert!(
        metrics.lines().any(|line| line.starts_with("postbud_")),
        "{metrics}"
    );
    let file = broker.folder.write("metrics", &metrics);
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec promtool check metrics <\"$0\""])
        .arg(file);
    let finished = Process::start(command).finish();
    let said = [finished.stdout.concat(), finished.stderr.concat()].concat();
    assert_eq!((finished.code, said.as_str()), (Some(0), ""), "\n{metrics}");
}

#[test]
fn every_metric_has_a_help_text_and_a_type() {
    let broker = Broker::start();
    let (_, metrics) = get(broker.http, "/metrics");
    let described = |kind: &str, name: &str| {
        metrics
            .lines()
            .any(|line| line.starts_with(&format!("# {kind} {name} ")))
    };
    let samples = metrics
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    for sample in samples {
        let name = sample.split(['{', ' ']).next().expect("a first word");
        // Samples of a histogram or summary carry the name of the metric and a suffix.
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|it| name.strip_suffix(it));
        let found = [Some(name), family]
            .into_iter()
            .flatten()
            .any(|name| described("HELP", name) && described("TYPE", name));
        assert!(found, "`{name}` has no help or no type");
    }
}

#[test]
fn what_happens_is_counted() {
    let broker = Broker::start();
    let mut client = RawClient::accepted(broker.tcp, &connect_311("client"));
    client.send(&subscribe_311(1, "a/b", 0));
    client.packet();
    client.send(&publish_311("a/b", b"payload"));
    client.expect(&publish_311("a/b", b"payload"));
    let mut rude = RawClient::accepted(broker.tcp, &connect_5("rude"));
    // AUTH without an Authentication Method is a protocol error.
    rude.send(&[0xf0, 0x00]);
    rude.packet();
    rude.expect_closed();

    let expected = [
        ("postbud_connections_opened_total", 2.0),
        (
            "postbud_connections_closed_total{reason=\"protocol_error\"}",
            1.0,
        ),
        (
            "postbud_messages_total{direction=\"received\",qos=\"0\"}",
            1.0,
        ),
        ("postbud_messages_total{direction=\"sent\",qos=\"0\"}", 1.0),
        ("postbud_payload_bytes_total{direction=\"received\"}", 7.0),
        ("postbud_sessions_connected", 1.0),
        ("postbud_subscriptions", 1.0),
    ];
    broker.wait_for_samples(&expected);
}

#[test]
fn health_and_readiness_are_told() {
    let broker = Broker::start();
    assert_eq!(get(broker.http, "/health").0, 200);
    assert_eq!(get(broker.http, "/ready").0, 200);
    assert_eq!(get(broker.http, "/nothing/here").0, 404);
}

#[test]
fn sys_topics_have_the_names_of_mosquitto() {
    let broker = Broker::configured("[auth]\nanonymous = true\n[sys]\ninterval = \"1s\"\n");
    let mut client = RawClient::accepted(broker.tcp, &connect_311("client"));
    client.send(&subscribe_311(1, "$SYS/broker/#", 0));
    // What is published between the subscription and its SUBACK may come before it.
    let mut suback = false;
    let mut seen = BTreeMap::new();
    let missing = |seen: &BTreeMap<String, String>| {
        let topic = |name: &&&str| !seen.contains_key(&format!("$SYS/broker/{name}"));
        SYS_TOPICS.iter().filter(topic).copied().collect::<Vec<_>>()
    };
    let end = Instant::now() + DEADLINE;
    while !suback || !missing(&seen).is_empty() {
        assert!(
            Instant::now() < end,
            "missing: {:?}, seen: {seen:#?}",
            missing(&seen)
        );
        let packet = client.packet();
        if !suback && packet == [0x90, 0x03, 0x00, 0x01, 0x00] {
            suback = true;
            continue;
        }
        let (topic, payload) = published_311(&packet);
        seen.insert(topic, String::from_utf8(payload).expect("text"));
    }
    for name in SYS_TOPICS.into_iter().filter(|name| *name != "version") {
        // The uptime is `12 seconds`; all the others are numbers alone.
        let value = &seen[&format!("$SYS/broker/{name}")];
        let number = value.strip_suffix(" seconds").unwrap_or(value);
        assert!(number.parse::<f64>().is_ok(), "{name}: `{value}`");
    }
    assert!(
        seen["$SYS/broker/version"].contains(' '),
        "name and number: {seen:#?}"
    );
}
