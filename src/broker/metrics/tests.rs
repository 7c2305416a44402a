use super::*;
use crate::codec::QoS;

#[test]
fn a_batch_is_added_once_and_its_tally_starts_anew() {
    let metrics = Metrics::default();
    let mut tally = Tally::default();
    tally.publish_received(QoS::AtLeastOnce, 10);
    tally.publish_sent(QoS::AtMostOnce, 10);
    tally.publish_sent(QoS::ExactlyOnce, 5);
    tally.drop(DropReason::Expired, 3);
    tally.packets_received = 7;
    tally.bytes_received = 100;
    tally.bytes_sent = 200;
    tally.queue_changed(2, 9);
    metrics.add(&mut tally);
    assert_eq!(tally, Tally::default());
    metrics.add(&mut tally);
    let snapshot = metrics.snapshot();
    assert_eq!(snapshot.messages_received, [0, 1, 0]);
    assert_eq!(snapshot.messages_sent, [1, 0, 1]);
    assert_eq!(snapshot.packets, [7, 2]);
    assert_eq!(snapshot.bytes, [100, 200]);
    assert_eq!(snapshot.payload, [10, 15]);
    assert_eq!(snapshot.gauge(Gauge::Queued), 7);
    tally.queue_changed(9, 4);
    metrics.add(&mut tally);
    assert_eq!(metrics.read(Gauge::Queued), 2);
    let expired = |(reason, count)| (reason, count) == (DropReason::Expired, 3);
    assert!(snapshot.dropped.into_iter().any(expired), "{snapshot:?}");
    assert_eq!(snapshot.dropped.iter().map(|(_, n)| n).sum::<u64>(), 3);
}

#[test]
fn every_gauge_has_a_place_of_its_own() {
    let metrics = Metrics::default();
    for (value, gauge) in (1..).zip(Gauge::ALL) {
        metrics.gauge(gauge, value);
    }
    let snapshot = metrics.snapshot();
    for (value, gauge) in (1..).zip(Gauge::ALL) {
        assert_eq!((metrics.read(gauge), snapshot.gauge(gauge)), (value, value));
    }
}

#[test]
fn the_maximum_and_the_accepted_connects_outlive_those_who_leave() {
    let metrics = Metrics::default();
    for change in [1, 1, -1, -1, 1] {
        metrics.gauge(Gauge::Connected, change);
    }
    let snapshot = metrics.snapshot();
    assert_eq!(snapshot.gauge(Gauge::Connected), 1);
    assert_eq!(snapshot.connected_maximum, 2);
    assert_eq!(snapshot.connects_accepted, 3);
}

#[test]
fn a_connection_is_there_from_its_accept_to_its_end() {
    let metrics = Metrics::default();
    metrics.opened();
    metrics.opened();
    metrics.closed(Ending::Closed(ReasonCode::KeepAliveTimeout));
    let snapshot = metrics.snapshot();
    assert_eq!(snapshot.connections_opened, 2);
    assert_eq!(snapshot.gauge(Gauge::Connections), 1);
    let closed = snapshot.connections_closed;
    assert!(closed.contains(&("keep_alive_timeout", 1)), "{closed:?}");
    assert!(closed.contains(&("eof", 0)), "{closed:?}");
    assert!(
        !closed.iter().any(|(label, _)| *label == "protocol_error"),
        "{closed:?}"
    );
}

#[test]
fn refusals_are_counted_by_reason_code_each_kind_for_itself() {
    let metrics = Metrics::default();
    metrics.refused(ReasonCode::NotAuthorized);
    metrics.publish_refused(ReasonCode::QuotaExceeded);
    metrics.publish_refused(ReasonCode::QuotaExceeded);
    metrics.subscription_refused(ReasonCode::TopicFilterInvalid);
    metrics.retained_refused();
    metrics.accept_failed();
    metrics.session_expired();
    metrics.session_evicted();
    metrics.session_evicted();
    let snapshot = metrics.snapshot();
    assert_eq!(snapshot.refused, [(ReasonCode::NotAuthorized, 1)]);
    assert_eq!(snapshot.publishes_refused, [(ReasonCode::QuotaExceeded, 2)]);
    assert_eq!(
        snapshot.subscriptions_refused,
        [(ReasonCode::TopicFilterInvalid, 1)]
    );
    assert_eq!((snapshot.retained_refused, snapshot.accepts_failed), (1, 1));
    assert_eq!(
        (snapshot.sessions_expired, snapshot.sessions_evicted),
        (1, 2)
    );
}
