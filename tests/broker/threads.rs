//! The same broker from several threads at once: no lock waits for ever, no wake-up is lost, and
//! the order of each publisher holds.
//!
//! Each thread has a house of its own on the shared broker and drives its own clients only, as a
//! runtime's threads do; what one of them fills, it also flushes.

use std::collections::HashMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use postbud::broker::Gauge;
use postbud::codec::{Packet, QoS};

use crate::client::{Client, ack, publish};
use crate::house::House;
use crate::received::Got;

const THREADS: usize = 4;
const READERS: usize = 3;
const MESSAGES: usize = 300;

/// What one thread does; returns what each of its readers got, by publisher.
fn work(
    house: &House,
    thread: usize,
    barrier: &Barrier,
    received: &AtomicUsize,
) -> Vec<HashMap<String, Vec<usize>>> {
    let names: Vec<_> = (0..READERS)
        .map(|number| format!("reader {thread} {number}"))
        .collect();
    let readers: Vec<_> = names
        .iter()
        .map(|name| house.v5(name).expiry(60).open())
        .collect();
    for reader in &readers {
        reader.subscribe("all/+", QoS::AtLeastOnce);
        reader.subscribe("$share/crew/jobs/+", QoS::AtLeastOnce);
    }
    let name = format!("writer {thread}");
    let writer = house.v5(&name).open();
    barrier.wait();
    let mut got = vec![HashMap::new(); READERS];
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut sent = 0;
    // Each message goes to every reader once, and once to a member of the crew.
    let total = THREADS * MESSAGES * (THREADS * READERS + 1);
    while received.load(Ordering::Relaxed) < total {
        assert!(
            Instant::now() < deadline,
            "{} of {total} came",
            received.load(Ordering::Relaxed)
        );
        if sent < MESSAGES {
            sent += 1;
            send(writer, thread, sent);
        }
        house.run();
        writer.take();
        for (reader, got) in readers.iter().zip(&mut got) {
            received.fetch_add(read(*reader, got), Ordering::Relaxed);
        }
        house.run();
    }
    got
}

fn send(writer: Client<'_>, thread: usize, number: usize) {
    let payload = format!("{thread} {number}");
    let id = (number % 100) as u16 + 1;
    for topic in [format!("all/{thread}"), format!("jobs/{thread}")] {
        let id = if topic.starts_with("all") {
            id
        } else {
            id + 100
        };
        writer.feed(&Packet::Publish(publish(
            QoS::AtLeastOnce,
            id,
            &topic,
            &payload,
        )));
    }
}

fn read(reader: Client<'_>, got: &mut HashMap<String, Vec<usize>>) -> usize {
    let mut count = 0;
    for packet in reader.take() {
        let Got::Publish(message) = packet else {
            panic!("{packet:?}")
        };
        let number = message
            .payload
            .split(' ')
            .nth(1)
            .and_then(|n| n.parse().ok());
        got.entry(message.topic)
            .or_default()
            .push(number.expect("a number"));
        reader.feed(&Packet::Puback(ack(
            message.id,
            postbud::codec::ReasonCode::Success,
        )));
        count += 1;
    }
    count
}

#[test]
fn everything_arrives_once_and_in_order() {
    let house = House::new();
    let barrier = Barrier::new(THREADS);
    let received = AtomicUsize::new(0);
    let broker = &house.broker;
    let got: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (barrier, received) = (&barrier, &received);
                scope.spawn(move || {
                    let house = House::on(broker.clone());
                    work(&house, thread, barrier, received)
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    let everything: Vec<_> = (1..=MESSAGES).collect();
    let mut jobs = HashMap::<String, Vec<usize>>::new();
    for reader in got {
        for (topic, numbers) in reader {
            if topic.starts_with("all/") {
                assert_eq!(numbers, everything, "{topic}: everything in order");
            } else {
                jobs.entry(topic).or_default().extend(numbers);
            }
        }
    }
    assert_eq!(jobs.len(), THREADS);
    for (topic, mut numbers) in jobs {
        numbers.sort_unstable();
        assert_eq!(numbers, everything, "{topic}: each job once");
    }
}

/// Threads that take each other's sessions over, subscribe, publish and leave at random.
#[test]
fn a_tug_of_war_over_sessions_ends_with_nothing_left_over() {
    let house = House::new();
    let broker = &house.broker;
    let ids = ["a", "b", "c"];
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                let house = House::on(broker.clone());
                for round in 0..150 {
                    let id = ids[(round * 7 + thread) % ids.len()];
                    let client = house.v5(id).expiry(60).will("will", "gone").send();
                    client.send_subscribe(1, &[("t", Default::default())], None);
                    client.send_subscribe(2, &[("$share/g/t", Default::default())], None);
                    client.publish1(1, "t", "x");
                    client.publish2(2, "t", "y");
                    match round % 4 {
                        0 => client.disconnect(),
                        1 => client.hang_up(),
                        2 => client.send_unsubscribe(3, &["t", "$share/g/t"]),
                        _ => {}
                    }
                    client.take();
                    house.run();
                }
                // The connections of this thread that are left are dropped by their clients.
                house.hang_up_all();
            });
        }
    });
    for id in ids {
        house.v5(id).open().disconnect();
    }
    for gauge in [
        Gauge::Sessions,
        Gauge::Connected,
        Gauge::Subscriptions,
        Gauge::Groups,
    ] {
        assert_eq!(house.gauge(gauge), 0, "{gauge:?}");
    }
}
