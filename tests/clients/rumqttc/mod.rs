//! `rumqttc`, from Rust: its MQTT 3.1.1 and its MQTT 5 client.
//!
//! The two share no types; [`peer`] makes one of them, and the features are written once, here.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;

use crate::support::DEADLINE;
use crate::support::broker::Broker;
use crate::support::certificates::Certificates;
use crate::support::folder::Folder;
use crate::{Feature, Version};

use peer::{Message, Peer, Settings};

mod peer;

mod v4 {
    features!(super::run, crate::Version::V311);
}
mod v5 {
    features!(super::run, crate::Version::V5);
}

fn run(version: Version, feature: Feature) {
    let broker = Broker::start();
    let crowd = Crowd { broker, version };
    match feature {
        Feature::Qos0 => with_deadline(crowd.transfer(0)),
        Feature::Qos1 => with_deadline(crowd.transfer(1)),
        Feature::Qos2 => with_deadline(crowd.transfer(2)),
        Feature::Retained => with_deadline(crowd.retained()),
        Feature::Will => with_deadline(crowd.will()),
        Feature::PersistentSession => with_deadline(crowd.persistent_session()),
        Feature::SharedSubscription => with_deadline(crowd.shared_subscription()),
        Feature::Tls => with_deadline(crowd.tls()),
    }
}

/// Runs a feature to its end. Each wait in it names itself; the deadline is for the whole.
fn with_deadline(feature: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = runtime
        .expect("a runtime")
        .block_on(async { tokio::time::timeout(DEADLINE, feature).await });
    outcome.expect("the feature is done before the deadline");
}

/// Clients around a broker.
struct Crowd {
    broker: Broker,
    version: Version,
}

impl Crowd {
    fn settings(&self, name: &'static str) -> Settings {
        Settings::new(self.version, name, self.broker.tcp)
    }

    async fn peer(&self, name: &'static str) -> Peer {
        Peer::connect(self.settings(name), false).await
    }

    async fn transfer(&self, qos: u8) {
        let mut payloads = vec![
            b"first".to_vec(),
            vec![],
            vec![0, 255, 254],
            vec![b'x'; 70_000],
        ];
        payloads.extend((0..16).map(|number: u8| vec![number]));
        payloads.push(b"the marker".to_vec());
        let mut subscriber = self.peer("subscriber").await;
        subscriber.subscribe("greenhouse/+/climate", qos).await;
        let mut publisher = self.peer("publisher").await;
        for payload in &payloads {
            publisher
                .publish("greenhouse/3/climate", payload, qos, false)
                .await;
        }
        for payload in &payloads {
            let expected = Message::new("greenhouse/3/climate", payload, qos, false);
            assert_eq!(subscriber.next().await, expected);
        }
    }

    async fn retained(&self) {
        let mut live = self.peer("live").await;
        live.subscribe("doors/#", 1).await;
        let mut publisher = self.peer("publisher").await;
        for state in [&b"open"[..], b"shut"] {
            publisher.publish("doors/front", state, 1, true).await;
            assert_eq!(
                live.next().await,
                Message::new("doors/front", state, 1, false)
            );
        }
        let mut later = self.peer("later").await;
        later.subscribe("doors/#", 1).await;
        assert_eq!(
            later.next().await,
            Message::new("doors/front", b"shut", 1, true)
        );
        publisher.publish("doors/front", b"", 1, true).await;
        assert_eq!(
            live.next().await,
            Message::new("doors/front", b"", 1, false)
        );
        let mut latest = self.peer("latest").await;
        latest.subscribe("doors/#", 1).await;
        publisher
            .publish("doors/back", b"the marker", 1, false)
            .await;
        assert_eq!(
            latest.next().await,
            Message::new("doors/back", b"the marker", 1, false)
        );
    }

    async fn will(&self) {
        let mut watcher = self.peer("watcher").await;
        watcher.subscribe("status/#", 1).await;
        let polite = self.settings("polite").will("status/polite", false);
        Peer::connect(polite, false).await.disconnect().await;
        let lost = self.settings("lost").will("status/lost", true);
        Peer::connect(lost, false).await.vanish();
        // Also the proof that the polite one's will was not published.
        assert_eq!(
            watcher.next().await,
            Message::new("status/lost", b"gone", 1, false)
        );
        let mut later = self.peer("later").await;
        later.subscribe("status/#", 1).await;
        assert_eq!(
            later.next().await,
            Message::new("status/lost", b"gone", 1, true)
        );
    }

    async fn persistent_session(&self) {
        let keep = || self.settings("sleeper").keep_session();
        let mut sleeper = Peer::connect(keep(), false).await;
        sleeper.subscribe("letters/#", 2).await;
        sleeper.disconnect().await;
        let mut publisher = self.peer("publisher").await;
        let mut expected = Vec::new();
        for number in 0..20 {
            // Order holds among messages of one QoS.
            let (topic, qos) = (format!("letters/{number}"), 1 + number / 10);
            publisher.publish(&topic, b"dear sleeper", qos, false).await;
            expected.push(Message::new(&topic, b"dear sleeper", qos, false));
        }
        let mut sleeper = Peer::connect(keep(), true).await;
        publisher
            .publish("letters/last", b"the marker", 2, false)
            .await;
        expected.push(Message::new("letters/last", b"the marker", 2, false));
        for message in expected {
            assert_eq!(sleeper.next().await, message);
        }
        sleeper.disconnect().await;
        Peer::connect(self.settings("sleeper"), false)
            .await
            .disconnect()
            .await;
        Peer::connect(keep(), false).await.disconnect().await;
    }

    async fn shared_subscription(&self) {
        let mut one = self.peer("member-1").await;
        let mut other = self.peer("member-2").await;
        for member in [&mut one, &mut other] {
            member.subscribe("$share/workers/jobs/#", 1).await;
        }
        let mut publisher = self.peer("publisher").await;
        let jobs: BTreeSet<_> = (0..40).map(|number| format!("jobs/{number}")).collect();
        for job in &jobs {
            publisher.publish(job, b"work", 1, false).await;
        }
        let (mut received, mut by_one) = (BTreeSet::new(), 0);
        for _ in &jobs {
            let message = tokio::select! {
                message = one.next() => {
                    by_one += 1;
                    message
                }
                message = other.next() => message,
            };
            assert!(received.insert(message.topic.clone()), "twice: {message:?}");
        }
        assert_eq!(received, jobs);
        assert!(
            (1..jobs.len()).contains(&by_one),
            "somebody is idle: {by_one} of 40"
        );
    }

    async fn tls(&self) {
        let guarded = |authority: &Path| {
            let pem = std::fs::read(authority).expect("the test wrote it");
            Settings::new(self.version, "guarded", self.broker.tls).authority(&pem)
        };
        let elsewhere = Folder::new();
        let stranger = Certificates::generate(&elsewhere).authority;
        let refusal = Peer::refusal(guarded(&stranger)).await;
        assert!(refusal.contains("invalid peer certificate"), "{refusal}");
        let mut peer = Peer::connect(guarded(&self.broker.certificates.authority), false).await;
        peer.subscribe("safe/#", 1).await;
        let gold = vec![b'x'; 70_000];
        peer.publish("safe/box", &gold, 1, false).await;
        assert_eq!(peer.next().await, Message::new("safe/box", &gold, 1, false));
    }
}
