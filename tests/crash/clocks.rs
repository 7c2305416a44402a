//! Time that passes while nobody runs. These tests wait for it: there is no other event.

use std::thread;
use std::time::{Duration, Instant};

use crate::house::House;
use crate::resumed::{STORE, message, next, next_message, nothing, open, publish, subscribe};
use crate::wire::{Ack, Connect, Connection, Nothing, Packet, Publish, Version, Will};

/// A client of MQTT 5 whose session ends so many seconds after its connection.
fn expiring(client_id: &str, expiry: u32) -> Connect<'_> {
    Connect {
        expiry,
        ..Connect::lasting(Version::V5, client_id)
    }
}

/// Sleeps until so long after that moment.
fn until(since: Instant, passed: Duration) {
    thread::sleep((since + passed).saturating_duration_since(Instant::now()));
}

const LITTLE: Duration = Duration::from_millis(200);

// Breaks if: a Session Expiry Interval stands still while the broker is down, or is counted from its start.
#[test]
fn sessions_expire_while_the_broker_is_down() {
    let mut house = House::new(STORE);
    house.start();
    let clients = [expiring("short", 2), expiring("long", 60)];
    for client in &clients {
        open(&house, client).disconnect();
    }
    let left = Instant::now();
    house.settle();
    house.kill();
    until(left, Duration::from_secs(2) + LITTLE);
    house.start();
    let present = clients.map(|client| open(&house, &client).session_present);
    assert_eq!(present, [false, true]);
}

// Breaks if: the session of a client that was connected when the broker crashed counts as away since the
// last thing that the store heard of, however long that was before.
#[test]
fn a_session_that_was_connected_does_not_expire_before_the_crash() {
    let mut house = House::new(STORE);
    house.start();
    let client = expiring("idle", 2);
    let connected = open(&house, &client);
    until(Instant::now(), Duration::from_secs(3));
    house.kill();
    drop(connected);
    house.start();
    assert!(open(&house, &client).session_present);
}

// Breaks if: a Message Expiry Interval stands still while the broker is down, for what waits or for what is
// retained, or if the client is not told what is left of it.
#[test]
fn messages_expire_while_the_broker_is_down() {
    let mut house = House::new(STORE);
    house.start();
    let lasting = Connect::lasting(Version::V5, "reader");
    let mut reader = open(&house, &lasting);
    subscribe(&mut reader, "r/#", 1);
    reader.disconnect();
    let mut writer = open(&house, &Connect::passing(Version::V5, "writer"));
    for (id, expiry) in [(1, 2), (2, 3600)] {
        for (retain, topic) in [(false, "r"), (true, "keep")] {
            let message = Publish {
                retain,
                expiry: Some(expiry),
                ..message(&format!("{topic}/{id}"), 1, id, "x")
            };
            publish(&mut writer, &message);
        }
    }
    let published = Instant::now();
    house.kill();
    until(published, Duration::from_secs(2) + LITTLE);
    house.start();

    let mut reader = open(&house, &lasting);
    assert!(reader.session_present);
    let queued = next_message(&mut reader);
    // What is retained may come before the SUBACK.
    reader.subscribe("keep/#", 1);
    let both = [next(&mut reader), next(&mut reader)];
    let retained = both.into_iter().find_map(|it| match it {
        Packet::Publish(publish) => Some(publish),
        _ => None,
    });
    let retained = retained.expect("a retained message");
    for (came, topic) in [(queued, "r/2"), (retained, "keep/2")] {
        assert_eq!(came.topic, topic);
        let left = came.expiry.expect("what is left of its interval");
        assert!((3500..=3598).contains(&left), "{left}");
    }
    nothing(&mut reader);
}

/// A reader of Wills, and the broker that it is connected to.
fn watch(house: &House) -> Connection {
    let mut watcher = open(house, &Connect::lasting(Version::V5, "watcher"));
    if !watcher.session_present {
        subscribe(&mut watcher, "will/#", 1);
    }
    watcher
}

fn with_will<'a>(client_id: &'a str, version: Version, topic: &'a str, delay: u32) -> Connect<'a> {
    Connect {
        will: Some(Will {
            topic,
            payload: b"gone",
            delay,
        }),
        ..Connect::lasting(version, client_id)
    }
}

// Breaks if: the Will of a client that the crash has disconnected is forgotten, is published before its
// delay is over, or although the client is back.
#[test]
fn wills_outlive_the_crash() {
    let mut house = House::new(STORE);
    house.start();
    drop(watch(&house));
    let mourned = with_will("mourned", Version::V5, "will/mourned", 2);
    let back = with_will("back", Version::V5, "will/back", 2);
    let clients = [open(&house, &mourned), open(&house, &back)];
    until(Instant::now(), Duration::from_secs(3));
    let crashed = Instant::now();
    house.kill();
    drop(clients);
    house.start();
    let mut watcher = watch(&house);
    assert!(watcher.session_present);
    let back = open(&house, &back);
    let will = next_message(&mut watcher);
    let after = crashed.elapsed();
    assert_eq!(
        (&*will.topic, &*will.payload),
        ("will/mourned", &b"gone"[..])
    );
    assert!(after >= Duration::from_secs(2) - LITTLE, "after {after:?}");
    // The other one would have been due at the same moment.
    assert_eq!(watcher.receive(LITTLE), Err(Nothing::Yet));
    drop(back);
}

// Breaks if: a delay that passes while the broker is down is counted anew, or a Will without a delay is lost.
#[test]
fn wills_that_are_due_come_with_the_start() {
    let mut house = House::new(STORE);
    house.start();
    drop(watch(&house));
    let clients = [
        with_will("five", Version::V5, "will/five", 2),
        with_will("three", Version::V311, "will/three", 0),
    ];
    let connected = clients.each_ref().map(|client| open(&house, client));
    let crashed = Instant::now();
    house.kill();
    drop(connected);
    until(crashed, Duration::from_secs(3));
    house.start();
    let started = Instant::now();
    let mut watcher = watch(&house);
    let mut topics = [(); 2].map(|()| next_message(&mut watcher).topic);
    topics.sort();
    assert_eq!(topics, ["will/five", "will/three"]);
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

// Breaks if: a Will that was published comes again after a crash.
#[test]
fn a_will_comes_once() {
    let mut house = House::new(STORE);
    house.start();
    let mut watcher = watch(&house);
    let client = with_will("client", Version::V5, "will/client", 0);
    drop(open(&house, &client));
    let will = next_message(&mut watcher);
    watcher.ack(Ack::Puback, will.id);
    nothing(&mut watcher);
    house.settle();
    house.kill();
    house.start();
    let mut watcher = watch(&house);
    assert!(watcher.session_present);
    let calm = Connect::lasting(Version::V5, "client");
    assert!(open(&house, &calm).session_present);
    assert_eq!(watcher.receive(LITTLE), Err(Nothing::Yet));
}
