//! Crashes at random moments, with many who go on all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::dice::Dice;
use crate::house::{Door, House};
use crate::ledger::{Arrived, Course, Key, Published, some};
use crate::publisher::Publisher;
use crate::reader::{Habit, Reader};
use crate::support::DEADLINE;
use crate::wire::{Connect, Connection, Nothing, Packet, Version};

/// How many times the broker is killed, if not ten.
const KILLS: &str = "POSTBUD_CRASH_KILLS";
/// The seed to begin with, if not the same in every run; `new` is one that is new.
const SEED: &str = "POSTBUD_CRASH_SEED";

/// Queues that take all that is published while somebody is away.
const BOUNDS: &str = "[queue]\nmessages = 10_000_000\nbytes = \"4GiB\"\n\
    [shared]\nqueue_messages = 10_000_000\nqueue_bytes = \"4GiB\"\n";

// Breaks if: an acknowledgement leaves before its record is written, an id or a session is not found
// again, a message is taken up twice, or in another order.
#[test]
fn what_was_acknowledged_outlives_the_process_when_flushed() {
    run("flush", 0x5eed);
}

// Breaks if: as above, where nothing is flushed.
#[test]
fn what_was_acknowledged_outlives_the_process_when_written() {
    run("write", 0xcafe);
}

fn run(durability: &str, usual: u64) {
    let kills = env::var(KILLS).map_or(10, |it| it.parse().expect("a number of kills"));
    let seed = match env::var(SEED).as_deref() {
        Err(_) => usual,
        Ok("new") => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.expect("a clock that is right").as_nanos() as u64
        }
        Ok(seed) => seed.parse().expect("a seed is a number"),
    };
    let _seed = Seed {
        seed,
        kills,
        durability,
    };
    println!("{durability}: {kills} kills from seed {seed}");
    let mut storm = Storm::begin(durability, seed);
    for kill in 1..=kills {
        storm.strike();
        if kill % 20 == 0 {
            println!("{kill} kills, {} acknowledged", storm.acknowledged());
        }
    }
    storm.end();
}

/// Says how to run it again, if it fails.
struct Seed<'a> {
    seed: u64,
    kills: u32,
    durability: &'a str,
}

impl Drop for Seed<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let Self {
                seed,
                kills,
                durability,
            } = self;
            eprintln!(
                "to run it again: {SEED}={seed} {KILLS}={kills} cargo nextest run --test crash \
                 -E 'test(storm) and test({durability})'"
            );
        }
    }
}

/// Who publishes.
const PUBLISHERS: [(&str, Version, usize); 4] = [
    ("one", Version::V311, 1),
    ("two", Version::V5, 20),
    ("three", Version::V311, 20),
    ("four", Version::V5, 5),
];

/// Who reads: name, version, Topic Filter, QoS, habit, and how late it acknowledges.
const READERS: [(&str, Version, &str, u8, Habit, usize); 8] = [
    ("stays", Version::V5, "storm/#", 2, Habit::Stays, 0),
    (
        "stays-late",
        Version::V311,
        "storm/+/+",
        2,
        Habit::Stays,
        15,
    ),
    ("once", Version::V311, "storm/#", 1, Habit::ComesAndGoes, 3),
    (
        "restless",
        Version::V5,
        "storm/#",
        2,
        Habit::ComesAndGoes,
        5,
    ),
    ("away", Version::V5, "storm/two/0", 2, Habit::ComesLate, 5),
    ("member-1", Version::V5, GROUP, 2, Habit::Stays, 3),
    ("member-2", Version::V311, GROUP, 2, Habit::ComesAndGoes, 0),
    ("member-3", Version::V5, GROUP, 2, Habit::ComesAndGoes, 10),
];

const GROUP: &str = "$share/crew/storm/#";

/// Whether a Topic Filter of [`READERS`] takes a topic below `storm`.
fn takes(filter: &str, topic: &str) -> bool {
    filter.ends_with(['#', '+']) || filter == topic
}

struct Storm {
    house: House,
    dice: Dice,
    door: Arc<Door>,
    course: Arc<Course>,
    publishers: Vec<JoinHandle<Published>>,
    readers: Vec<JoinHandle<()>>,
    /// What arrived, with the Topic Filter and the QoS, by reader or group.
    arrived: BTreeMap<&'static str, (&'static str, u8, Arc<Mutex<Arrived>>)>,
}

impl Storm {
    fn begin(durability: &str, seed: u64) -> Self {
        let store = format!("[store]\npath = \"{{data}}\"\ndurability = \"{durability}\"\n");
        let mut storm = Self {
            house: House::new(&format!("{BOUNDS}{store}")),
            dice: Dice::new(seed),
            door: Arc::default(),
            course: Arc::default(),
            publishers: Vec::new(),
            readers: Vec::new(),
            arrived: BTreeMap::new(),
        };
        storm.door.open(storm.house.start());
        for (name, version, filter, qos, habit, lag) in READERS {
            let whose = if filter == GROUP { GROUP } else { name };
            let arrived = storm
                .arrived
                .entry(whose)
                .or_insert_with(|| (filter, qos, Arc::default()));
            let reader = Reader {
                name: name.to_owned(),
                version,
                filter: filter.to_owned(),
                qos,
                habit,
                lag,
                arrived: Arc::clone(&arrived.2),
                door: Arc::clone(&storm.door),
                course: Arc::clone(&storm.course),
                dice: Dice::new(storm.dice.number()),
            };
            storm.readers.push(spawn(name, || reader.run()));
        }
        storm.wait("all subscriptions", |storm| {
            storm.course.granted.load(Ordering::Acquire) == READERS.len() as u64
        });
        for (name, version, window) in PUBLISHERS {
            let publisher = Publisher {
                name: name.to_owned(),
                version,
                window,
                door: Arc::clone(&storm.door),
                course: Arc::clone(&storm.course),
                dice: Dice::new(storm.dice.number()),
            };
            storm.publishers.push(spawn(name, || publisher.run()));
        }
        storm
    }

    fn acknowledged(&self) -> u64 {
        self.course.acknowledged.load(Ordering::Acquire)
    }

    /// Waits until something holds, while nobody has panicked.
    #[track_caller]
    fn wait(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !holds(self) {
            assert!(
                Instant::now() < end,
                "{what} did not come within {DEADLINE:?}"
            );
            let gone = self.readers.iter().find(|it| it.is_finished());
            assert!(gone.is_none(), "a reader has given up");
            // Many can bring it about: it is looked at again soon.
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills the broker after some more work, and starts it again, if not at once then at last.
    fn strike(&mut self) {
        let enough = self.acknowledged() + self.dice.below(600) as u64;
        self.wait("more acknowledgements", |storm| {
            let gone = storm.publishers.iter().any(JoinHandle::is_finished);
            assert!(!gone, "a publisher has given up");
            storm.acknowledged() >= enough
        });
        // Not always right behind an acknowledgement.
        thread::sleep(Duration::from_micros(self.dice.below(5000) as u64));
        assert_eq!(self.house.alarming(), [""; 0]);
        self.door.close();
        self.house.kill();
        while self.dice.once_in(4) {
            let after = Duration::from_millis(self.dice.below(80) as u64);
            self.house.start_and_kill(after);
        }
        self.door.open(self.house.start());
    }

    /// Lets everything come to its end, and judges.
    fn end(mut self) {
        self.course.finishing.store(true, Ordering::Release);
        let mut published = Published::default();
        for publisher in std::mem::take(&mut self.publishers) {
            let of_one = publisher.join().expect("a publisher does not panic");
            published.acknowledged.extend(of_one.acknowledged);
            published.retained.extend(of_one.retained);
        }
        self.wait_for_all(&published.acknowledged);
        self.house.wait_for_sample("postbud_messages_queued", 0.0);
        self.course.over.store(true, Ordering::Release);
        for reader in std::mem::take(&mut self.readers) {
            reader.join().expect("a reader does not panic");
        }
        for (name, (filter, qos, arrived)) in &self.arrived {
            let arrived = arrived.lock().expect("nobody panics with it");
            if *qos == 2 {
                let repeated = arrived.repeated();
                assert!(repeated.is_empty(), "{name}, twice: {}", some(&repeated));
            }
            if *filter != GROUP {
                let wrong = arrived.out_of_order();
                assert!(wrong.is_empty(), "{name}, out of order: {}", some(&wrong));
            }
        }
        self.look_at_retained(&published.retained);
        assert_eq!(self.house.alarming(), [""; 0]);
        assert_eq!(self.house.stop().code, Some(0));
    }

    /// Waits until every acknowledged message has come to all who asked for it; gives up when nothing
    /// comes any more.
    fn wait_for_all(&self, acknowledged: &[Key]) {
        for (name, (filter, _, arrived)) in &self.arrived {
            let (mut before, mut since) = (0, Instant::now());
            loop {
                let arrived = arrived.lock().expect("nobody panics with it");
                let wanted = acknowledged.iter().filter(|key| takes(filter, &key.topic));
                let missing = arrived.missing(wanted);
                if missing.is_empty() {
                    break;
                }
                if arrived.distinct() > before {
                    (before, since) = (arrived.distinct(), Instant::now());
                }
                let waited = since.elapsed();
                assert!(waited < DEADLINE, "{name} misses {}", some(&missing));
                drop(arrived);
                thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// Each topic's retained message is the last one that was acknowledged, which is the last of all.
    fn look_at_retained(&self, expected: &BTreeMap<String, Vec<u8>>) {
        let connect = Connect::passing(Version::V5, "late");
        let mut late = Connection::open(self.house.tcp(), &connect).expect("a broker");
        late.subscribe("keep/#", 0);
        late.send(&[0xc0, 0]);
        let mut found = BTreeMap::new();
        let mut asked = BTreeSet::new();
        while found.len() < expected.len() {
            match late.receive(DEADLINE) {
                Ok(Packet::Publish(publish)) => {
                    assert!(publish.retain);
                    assert!(asked.insert(publish.topic.clone()), "one for each topic");
                    found.insert(publish.topic, publish.payload);
                }
                Ok(Packet::Suback(..) | Packet::Pingresp) => {}
                Ok(other) => panic!("{other:?}"),
                Err(Nothing::Yet | Nothing::Ended) => break,
            }
        }
        assert_eq!(&found, expected, "retained messages");
    }
}

fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let builder = thread::Builder::new().name(name.to_owned());
    builder.spawn(run).expect("a thread")
}
