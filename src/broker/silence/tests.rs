//! Connections that rest, and a clock that is moved.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::auth::Caller;
use crate::broker::options::Options;
use crate::broker::testing::engines;
use crate::broker::{Batch, Connection, Ending, Link, Now, Turn};
use crate::codec::ReasonCode;
use crate::message::Timestamp;

const PINGREQ: &[u8] = &[0xc0, 0];

/// Takes everything, and counts how often its connection is woken.
#[derive(Clone, Default)]
struct Wakes(Arc<AtomicUsize>);

impl Link for Wakes {
    fn is_direct(&self) -> bool {
        true
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn wake(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

struct House {
    broker: Arc<Broker>,
    batch: Batch,
}

impl House {
    fn new() -> Self {
        let broker = Arc::new(Broker::new(Options::default(), engines()));
        let now = Now {
            instant: Instant::now(),
            wall: Timestamp::from_millis(1_700_000_000_000),
        };
        let batch = Batch::new(now);
        Self { broker, batch }
    }

    /// A client that is connected, and has nothing more to say.
    fn open(&mut self, number: u8, keep_alive: u8) -> (Connection, Wakes) {
        let wakes = Wakes::default();
        let port = Arc::new(Port::new(Box::new(wakes.clone()), Caller::default()));
        let by = self.batch.now.instant + Duration::from_secs(5);
        let mut connection = Connection::new(Arc::clone(&self.broker), port, by);
        let mut connect = b"\x10\x0e\0\x04MQTT\x04\x02\0\0\0\x02\0\0".to_vec();
        connect[11] = keep_alive;
        connect[14] = b'a' + number / 16;
        connect[15] = b'a' + number % 16;
        self.say(&mut connection, &connect);
        assert!(connection.is_open());
        assert_eq!(wakes.take(), 0);
        (connection, wakes)
    }

    /// A client says something, and its connection rests again.
    fn say(&mut self, connection: &mut Connection, bytes: &[u8]) {
        let (used, turn) = connection.receive(bytes, &mut self.batch);
        assert_eq!((used, turn), (bytes.len(), Turn::Read));
        self.broker.finish(&mut self.batch);
        connection.rest();
    }

    fn pass(&mut self, time: u64) {
        self.batch.now.instant += Duration::from_secs(time);
        self.broker.tick(&mut self.batch);
    }
}

// Breaks if: a connection is woken while its client may be silent, more than once, or not at all; or packets
// that came meanwhile do not count.
#[test]
fn who_rests_is_woken_once_when_its_silence_may_be_over() {
    let mut house = House::new();
    let (mut connection, wakes) = house.open(0, 100);
    assert_eq!(connection.deadline(), None, "nothing is left to a timer");
    let opened = house.batch.now.instant;
    let due = house.broker.next_silence().expect("it is watched");
    assert!(due >= opened + Duration::from_secs(150), "too early");
    assert!(due <= opened + Duration::from_secs(151), "too late");
    house.pass(100);
    house.say(&mut connection, PINGREQ);
    house.pass(49);
    assert_eq!(wakes.take(), 0);
    house.pass(2);
    assert_eq!(wakes.take(), 1);
    house.pass(10);
    assert_eq!(wakes.take(), 0, "once");
    assert_eq!(connection.signalled(&mut house.batch), Turn::Read);
    let deadline = opened + Duration::from_secs(250);
    assert_eq!(connection.deadline(), Some(deadline), "PINGREQ counts");
    assert_eq!(connection.timed_out(&mut house.batch), Turn::Read);
    connection.rest();
    house.pass(88);
    assert_eq!((connection.deadline(), wakes.take()), (None, 0));
    house.pass(3);
    assert_eq!(wakes.take(), 1);
    assert_eq!(connection.signalled(&mut house.batch), Turn::Read);
    assert_eq!(connection.timed_out(&mut house.batch), Turn::Close);
    let silent = Ending::Closed(ReasonCode::KeepAliveTimeout);
    assert_eq!(connection.ending(), Some(silent));
    assert_eq!(house.broker.next_silence(), None);
}

// Breaks if: somebody whose time is short is looked at a second late.
#[test]
fn a_short_silence_is_left_to_a_timer() {
    let mut house = House::new();
    let (connection, _) = house.open(0, 19);
    let deadline = house.batch.now.instant + Duration::from_millis(28_500);
    assert_eq!(connection.deadline(), Some(deadline));
    let (without, _) = house.open(1, 0);
    assert_eq!(without.deadline(), None);
    assert_eq!(house.broker.next_silence(), None);
}

// Breaks if: a connection that is gone leaves something behind, or another one is taken out in its place.
#[test]
fn who_is_gone_is_forgotten_and_nobody_else() {
    let mut house = House::new();
    let mut open: Vec<_> = (0..100)
        .map(|number| Some(house.open(number, 100)))
        .collect();
    for gone in open.iter_mut().step_by(3) {
        *gone = None;
    }
    house.pass(149);
    let wakes = |open: &[Option<(Connection, Wakes)>]| -> Vec<usize> {
        open.iter().flatten().map(|it| it.1.take()).collect()
    };
    assert_eq!(wakes(&open), [0; 66]);
    house.pass(2);
    assert_eq!(wakes(&open), [1; 66]);
    for (connection, _) in open.iter_mut().flatten() {
        connection.signalled(&mut house.batch);
        house.say(connection, PINGREQ);
    }
    assert!(house.broker.next_silence().is_some());
    drop(open);
    assert_eq!(house.broker.next_silence(), None);
}

// Breaks if: a crowd keeps one tick busy, or somebody of it is passed over.
#[test]
fn a_crowd_is_taken_out_in_parts() {
    let silence = Silence::default();
    let port = || Arc::new(Port::new(Box::new(Wakes::default()), Caller::default()));
    for number in 0..10 {
        silence.put(1 + number / 6, &port());
    }
    assert!(silence.take(0, 4).is_empty());
    assert_eq!(silence.take(1, 4).len(), 4);
    assert_eq!(silence.take(2, 4).len(), 4, "of both seconds");
    assert_eq!((silence.next(), silence.take(9, 4).len()), (Some(2), 2));
    assert_eq!(silence.next(), None);
}
