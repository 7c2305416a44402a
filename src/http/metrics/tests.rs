use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::auth::gate::{Gate, Parts};
use crate::broker::{Batch, Ending, Engines, Gauge as Of, Now};
use crate::cluster::single::Single;
use crate::message::Timestamp;
use crate::store::memory::Memory;

fn exporter() -> Exporter {
    let engines = Engines {
        auth: Arc::new(Gate::new(Parts::default())),
        store: Arc::new(Memory),
        cluster: Arc::new(Single::default()),
    };
    let broker = Broker::new(broker::options::Options::default(), engines);
    Exporter::new(Arc::new(broker), Arc::new(Memory), Arc::default())
        .expect("a clock that is right")
}

/// Samples by series.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    for line in page
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (series, value) = line.rsplit_once(' ').expect("a series and a value");
        let value = value.parse().expect("a number");
        let before = samples.insert(series.to_owned(), value);
        assert_eq!(before, None, "{series} is there twice");
    }
    samples
}

#[test]
fn every_series_is_there_from_the_first_scrape() {
    let page = exporter().render();
    let samples = samples(&page);
    let constant = |series: &str| series.starts_with("postbud_build_info");
    for (series, value) in &samples {
        match series.as_str() {
            "process_start_time_seconds" => assert!(*value > 1.6e9, "{value}"),
            info if constant(info) => assert_eq!(*value, 1.0),
            _ => assert_eq!(*value, 0.0, "{series}"),
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    let expected = [
        &format!("postbud_build_info{{version=\"{version}\"}}"),
        "postbud_connections_opened_total",
        "postbud_tokens_total{outcome=\"expired\"}",
        "postbud_token_key_fetches_total{outcome=\"fetched\"}",
        "postbud_auth_http_requests_total{question=\"authorize\",outcome=\"timeout\"}",
        "postbud_connections_closed_total{reason=\"eof\"}",
        "postbud_connections_closed_total{reason=\"keep_alive_timeout\"}",
        "postbud_connects_refused_total{reason=\"not_authorized\"}",
        "postbud_packets_total{direction=\"sent\"}",
        "postbud_messages_total{direction=\"received\",qos=\"2\"}",
        "postbud_messages_total{direction=\"sent\",qos=\"0\"}",
        "postbud_messages_dropped_total{reason=\"queue_full\"}",
        "postbud_publishes_refused_total{reason=\"quota_exceeded\"}",
        "postbud_subscriptions_refused_total{reason=\"topic_filter_invalid\"}",
        "postbud_sessions",
        "postbud_retained_bytes",
        "postbud_store_disk_bytes",
        "postbud_store_failure{reason=\"full\"}",
    ];
    for series in expected {
        assert!(samples.contains_key(series), "{series} is missing:\n{page}");
    }
}

#[test]
fn every_family_has_help_and_type_and_its_name_says_which() {
    let page = exporter().render();
    let words = |kind: &str| {
        let lines = page.lines().filter_map(|line| line.strip_prefix(kind));
        let pairs = lines.filter_map(|line| line.split_once(' '));
        pairs.collect::<BTreeMap<_, _>>()
    };
    let (help, types) = (words("# HELP "), words("# TYPE "));
    let samples = samples(&page);
    let families: BTreeSet<_> = samples
        .keys()
        .filter_map(|series| series.split('{').next())
        .collect();
    assert_eq!(help.keys().copied().collect::<BTreeSet<_>>(), families);
    assert_eq!(types.keys().copied().collect::<BTreeSet<_>>(), families);
    for (name, kind) in types {
        assert_eq!(
            name.ends_with("_total"),
            kind == "counter",
            "{name}: {kind}"
        );
        assert!(help[name].ends_with('.'), "{name}: {}", help[name]);
    }
}

#[test]
fn what_the_broker_counts_is_shown() {
    let exporter = exporter();
    let metrics = exporter.broker.metrics();
    metrics.opened();
    metrics.opened();
    metrics.closed(Ending::WriteTimeout);
    metrics.accept_failed();
    let front = metrics.door(&"front".into());
    front.opened();
    front.opened();
    front.closed();
    for (value, gauge) in (10..).zip(Of::ALL) {
        metrics.gauge(gauge, value - metrics.read(gauge));
    }
    let mut batch = Batch::new(Now {
        instant: std::time::Instant::now(),
        wall: Timestamp::from_millis(0),
    });
    batch.received(30);
    batch.sent(40);
    exporter.broker.finish(&mut batch);
    let samples = samples(&exporter.render());
    let expected = [
        ("postbud_connections_opened_total", 2.0),
        (
            "postbud_connections_closed_total{reason=\"write_timeout\"}",
            1.0,
        ),
        ("postbud_accept_failures_total", 1.0),
        (
            "postbud_listener_connections_opened_total{listener=\"front\"}",
            2.0,
        ),
        ("postbud_listener_connections{listener=\"front\"}", 1.0),
        ("postbud_network_bytes_total{direction=\"received\"}", 30.0),
        ("postbud_network_bytes_total{direction=\"sent\"}", 40.0),
        ("postbud_connections", 10.0),
        ("postbud_connections_handshaking", 11.0),
        ("postbud_sessions_connected", 12.0),
        ("postbud_sessions_connected_peak", 12.0),
        ("postbud_connects_accepted_total", 12.0),
        ("postbud_sessions", 13.0),
        ("postbud_subscriptions", 14.0),
        ("postbud_shared_groups", 15.0),
        ("postbud_messages_queued", 16.0),
    ];
    for (series, value) in expected {
        assert_eq!(samples.get(series), Some(&value), "{series}");
    }
}

/// What the next test expects to be rendered, drops left out.
const EXPECTED: &str = r#"
postbud_messages_total{direction="received",qos="0"} 1
postbud_messages_total{direction="received",qos="1"} 2
postbud_messages_total{direction="received",qos="2"} 3
postbud_messages_total{direction="sent",qos="0"} 4
postbud_messages_total{direction="sent",qos="1"} 5
postbud_messages_total{direction="sent",qos="2"} 6
postbud_packets_total{direction="received"} 7
postbud_packets_total{direction="sent"} 8
postbud_payload_bytes_total{direction="received"} 9
postbud_payload_bytes_total{direction="sent"} 10
postbud_retained_refused_total 11
postbud_connects_refused_total{reason="banned"} 12
postbud_publishes_refused_total{reason="topic_name_invalid"} 13
postbud_subscriptions_refused_total{reason="not_authorized"} 14
postbud_retained_messages 15
postbud_retained_bytes 16
postbud_sessions_expired_total 17
postbud_sessions_evicted_total 18
postbud_reloads_total{result="success"} 50
postbud_reloads_total{result="failure"} 51
postbud_reload_failing 1
postbud_reload_last_success_timestamp_seconds 52.5
postbud_sessions_refused_total 185
postbud_subscriptions_withdrawn_total 19
"#;

/// Each number of a snapshot goes to a series of its own: none is forgotten, none is mixed up.
#[test]
fn every_number_of_a_snapshot_has_its_series() {
    let exporter = exporter();
    let mut snapshot = exporter.broker.metrics().snapshot();
    snapshot.messages_received = [1, 2, 3];
    snapshot.messages_sent = [4, 5, 6];
    snapshot.packets = [7, 8];
    snapshot.payload = [9, 10];
    snapshot.retained_refused = 11;
    snapshot.sessions_expired = 17;
    snapshot.sessions_evicted = 18;
    snapshot.reloads = Reloads {
        succeeded: 50,
        failed: 51,
        failing: true,
        last_success: Some(Timestamp::from_millis(52_500)),
    };
    snapshot.sessions_refused = 185;
    snapshot.subscriptions_withdrawn = 19;
    snapshot.refused = vec![(ReasonCode::Banned, 12)];
    snapshot.publishes_refused = vec![(ReasonCode::TopicNameInvalid, 13)];
    snapshot.subscriptions_refused = vec![(ReasonCode::NotAuthorized, 14)];
    for (count, (_, dropped)) in (20..).zip(&mut snapshot.dropped) {
        *dropped = count;
    }
    let set = || exporter.series.set(&snapshot, (15, 16));
    metrics::with_local_recorder(&exporter.recorder, set);
    let samples = samples(&exporter.handle.render());
    for (series, value) in self::samples(EXPECTED) {
        assert_eq!(samples.get(&series), Some(&value), "{series}");
    }
    for (reason, count) in snapshot.dropped {
        let label = reason.label();
        let series = format!("postbud_messages_dropped_total{{reason=\"{label}\"}}");
        assert_eq!(samples.get(&series), Some(&(count as f64)), "{series}");
    }
}

/// What the next test expects to be rendered.
const EXPECTED_OF_STORE: &str = r#"
postbud_store_disk_bytes 1
postbud_store_pending_bytes 2
postbud_store_records_total 3
postbud_store_commits_total 4
postbud_store_failures_total 5
postbud_store_messages 6
postbud_store_failure{reason="full"} 0
postbud_store_failure{reason="broken"} 1
"#;

// Breaks if: two numbers of the store are mixed up, or the reason of a failure is the other one.
#[test]
fn every_number_of_the_store_has_its_series() {
    let exporter = exporter();
    let health = Health {
        failure: Some(Failure::Broken),
        disk: 1,
        pending: 2,
        records: 3,
        commits: 4,
        failures: 5,
        messages: 6,
        ..Health::default()
    };
    metrics::with_local_recorder(&exporter.recorder, || exporter.series.store.set(&health));
    let samples = samples(&exporter.handle.render());
    for (series, value) in self::samples(EXPECTED_OF_STORE) {
        assert_eq!(samples.get(&series), Some(&value), "{series}");
    }
}

#[test]
fn a_reason_that_nobody_expected_gets_its_series_when_it_happens() {
    let exporter = exporter();
    let series = "postbud_connections_closed_total{reason=\"client_identifier_not_valid\"}";
    assert_eq!(samples(&exporter.render()).get(series), None);
    let ending = Ending::Closed(ReasonCode::ClientIdentifierNotValid);
    exporter.broker.metrics().closed(ending);
    assert_eq!(samples(&exporter.render()).get(series), Some(&1.0));
    exporter.broker.metrics().closed(ending);
    assert_eq!(samples(&exporter.render()).get(series), Some(&2.0));
}
