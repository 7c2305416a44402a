//! The power is cut at any moment, with any part of what was not flushed lost: nothing that was
//! acknowledged is, and what is to come once comes once.
//!
//! Each seed is one history: clients that publish, subscribe, share, leave and come back, a store that
//! flushes when it likes, and three cuts. A ledger knows what was promised to whom.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use postbud::codec::{Packet, QoS, ReasonCode};
use postbud::message::Timestamp;
use postbud::store::state::State;

use crate::client::{Client, ack, publish};
use crate::house::House;
use crate::lagging::Lagging;
use crate::received::Got;
use crate::stores::Folder;

/// How many histories an ordinary run has; `POSTBUD_CUTS` says otherwise.
const HISTORIES: u64 = 30;
const LIVES: usize = 4;
const STEPS: usize = 120;
const TOPICS: [&str; 3] = ["t/0", "t/1", "t/2"];

/// A generator of which only the seed matters.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) % sides as u64) as usize
    }
}

/// A publisher's side of an exchange.
#[derive(Clone, Debug)]
struct Exchange {
    topic: usize,
    payload: String,
    qos: QoS,
    /// Who had been told of a subscription when it was published first.
    owed: Vec<usize>,
    /// PUBREC came.
    received: bool,
}

/// A publisher whose session is kept.
#[derive(Default)]
struct Writer {
    name: &'static str,
    next_id: u16,
    count: usize,
    open: BTreeMap<u16, Exchange>,
    /// What it was told is safe.
    promised: Vec<Exchange>,
    was_there: bool,
}

/// A subscriber whose session is kept.
#[derive(Default)]
struct Reader {
    name: &'static str,
    filter: String,
    qos: u8,
    /// Payloads, in the order of their coming.
    got: Vec<String>,
    /// QoS 2 ids between PUBLISH and PUBREL.
    held: BTreeSet<u16>,
    /// What is to be answered.
    due: Vec<Packet<'static>>,
    subscribed: bool,
    was_there: bool,
}

impl Writer {
    fn publish(&mut self, client: Client<'_>, owed: Vec<usize>, dice: &mut Dice) {
        if self.open.len() >= 8 {
            return;
        }
        self.next_id += 1;
        self.count += 1;
        let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][dice.roll(2)];
        let exchange = Exchange {
            topic: dice.roll(TOPICS.len()),
            payload: format!("{}-{}", self.name, self.count),
            qos,
            owed,
            received: false,
        };
        send(client, self.next_id, &exchange, false);
        self.open.insert(self.next_id, exchange);
    }

    fn resume(&mut self, client: Client<'_>) {
        for (id, exchange) in &self.open {
            match exchange.received {
                true => client.send(&Packet::Pubrel(ack(*id, ReasonCode::Success))),
                false => send(client, *id, exchange, true),
            }
        }
    }

    fn read(&mut self, client: Client<'_>) {
        for got in client.take() {
            match got {
                Got::Puback(id, code) => {
                    assert!(!code.is_error(), "{code:?}");
                    self.done(id);
                }
                Got::Pubrec(id, code) => {
                    assert!(!code.is_error(), "{code:?}");
                    let exchange = self.open.get_mut(&id).expect("asked for");
                    if !std::mem::replace(&mut exchange.received, true) {
                        self.promised.push(exchange.clone());
                    }
                    client.pubrel(id);
                }
                Got::Pubcomp(id, _) => _ = self.open.remove(&id),
                other => panic!("{other:?} to a publisher"),
            }
        }
    }

    fn done(&mut self, id: u16) {
        let exchange = self.open.remove(&id).expect("asked for");
        self.promised.push(exchange);
    }
}

fn send(client: Client<'_>, id: u16, exchange: &Exchange, dup: bool) {
    let topic = TOPICS[exchange.topic];
    let mut packet = publish(exchange.qos, id, topic, &exchange.payload);
    packet.dup = dup;
    client.send(&Packet::Publish(packet));
}

impl Reader {
    fn read(&mut self, client: Client<'_>) {
        for got in client.take() {
            match got {
                Got::Publish(message) if message.qos == QoS::ExactlyOnce => {
                    if self.held.insert(message.id) {
                        self.got.push(message.payload);
                    }
                    self.due
                        .push(Packet::Pubrec(ack(message.id, ReasonCode::Success)));
                }
                Got::Publish(message) => {
                    self.got.push(message.payload);
                    self.due
                        .push(Packet::Puback(ack(message.id, ReasonCode::Success)));
                }
                Got::Pubrel(id, _) => {
                    self.held.remove(&id);
                    self.due.push(Packet::Pubcomp(ack(id, ReasonCode::Success)));
                }
                Got::Suback(..) => self.subscribed = true,
                other => panic!("{other:?} to a subscriber"),
            }
        }
    }

    /// Answers some of what is due.
    fn answer(&mut self, client: Client<'_>, count: usize) {
        let count = count.min(self.due.len());
        for packet in self.due.drain(..count) {
            client.send(&packet);
        }
    }
}

struct World {
    seed: u64,
    dice: Dice,
    writers: Vec<Writer>,
    readers: Vec<Reader>,
}

impl World {
    fn new(seed: u64) -> Self {
        let writers = ["left", "right"].map(|name| Writer {
            name,
            ..Writer::default()
        });
        let reader = |(name, filter, qos): (&'static str, &str, u8)| Reader {
            name,
            filter: filter.to_owned(),
            qos,
            ..Reader::default()
        };
        let readers = [
            ("all", "t/#", 2),
            ("some", "t/+", 1),
            ("one", "$share/crew/t/#", 2),
            ("two", "$share/crew/t/#", 2),
        ];
        Self {
            seed,
            dice: Dice(seed),
            writers: writers.into(),
            readers: readers.map(reader).into(),
        }
    }

    /// One life of the broker, from a folder to the folder that a cut leaves.
    fn live(&mut self, folder: Folder, steps: usize) -> Folder {
        let (store, state) = Lagging::open(folder);
        let house = found(&store, state);
        // Those who have a connection, or wait for their CONNACK.
        let mut writing: HashMap<usize, (Client<'_>, bool)> = HashMap::new();
        let mut reading: HashMap<usize, (Client<'_>, bool)> = HashMap::new();
        for _ in 0..steps {
            match self.dice.roll(12) {
                0..=3 => {
                    let index = self.dice.roll(self.writers.len());
                    if let Some((client, true)) = writing.get(&index) {
                        let owed = self.subscribed();
                        self.writers[index].publish(*client, owed, &mut self.dice);
                    }
                }
                4..=6 => {
                    let index = self.dice.roll(self.readers.len());
                    if let Some((client, true)) = reading.get(&index) {
                        let count = self.dice.roll(6);
                        self.readers[index].answer(*client, count);
                    }
                }
                7..=9 => {
                    let count = self.dice.roll(store.waiting() + 1);
                    store.flush(count);
                    house.run();
                }
                10 => self.come_or_go(&house, &mut writing, &mut reading),
                _ => store.flush(0),
            }
            self.look(&mut writing, &mut reading);
        }
        let more = self.dice.roll(store.waiting() + 1);
        for reader in &mut self.readers {
            reader.due.clear();
        }
        store.cut(more)
    }

    /// Readers who were told that they are subscribed.
    fn subscribed(&self) -> Vec<usize> {
        let all = 0..self.readers.len();
        all.filter(|index| self.readers[*index].subscribed)
            .collect()
    }

    /// Everybody comes, the store flushes at once, and all is brought to its end.
    fn come_to_rest(&mut self, folder: Folder) {
        let (store, state) = Lagging::open(folder);
        let house = found(&store, state);
        let mut writing = HashMap::new();
        let mut reading = HashMap::new();
        for (index, writer) in self.writers.iter().enumerate() {
            let client = house.v5(writer.name).expiry(100_000).send();
            writing.insert(index, (client, false));
        }
        for (index, reader) in self.readers.iter().enumerate() {
            let client = house.v5(reader.name).expiry(100_000).send();
            reading.insert(index, (client, false));
        }
        loop {
            let busy = store.waiting() > 0;
            store.flush(usize::MAX);
            house.run();
            self.look(&mut writing, &mut reading);
            let mut due = 0;
            for (index, reader) in self.readers.iter_mut().enumerate() {
                due += reader.due.len();
                reader.answer(reading[&index].0, usize::MAX);
            }
            if !busy && due == 0 && store.waiting() == 0 {
                break;
            }
        }
        let open = self.writers.iter().find(|it| !it.open.is_empty());
        assert!(
            open.is_none(),
            "seed {}: {:?}",
            self.seed,
            open.map(|it| &it.open)
        );
    }

    /// What was promised came, once what was to come once, and in its order.
    fn settle(&self) {
        let seed = self.seed;
        let crew = || self.readers[2].got.iter().chain(&self.readers[3].got);
        let mut places: Vec<HashMap<&str, usize>> = Vec::new();
        for reader in &self.readers[..2] {
            let mut first = HashMap::new();
            for (place, payload) in reader.got.iter().enumerate() {
                first.entry(payload.as_str()).or_insert(place);
            }
            places.push(first);
        }
        for writer in &self.writers {
            let mut last: HashMap<(usize, usize, QoS), usize> = HashMap::new();
            let mut promised: Vec<_> = writer.promised.iter().collect();
            promised.sort_by_key(|it| number(&it.payload));
            for it in promised {
                let payload = it.payload.as_str();
                for (index, first) in places.iter().enumerate() {
                    let name = self.readers[index].name;
                    let Some(place) = first.get(payload) else {
                        assert!(
                            !it.owed.contains(&index),
                            "seed {seed}: {payload} is not with {name}"
                        );
                        continue;
                    };
                    let before = last.insert((index, it.topic, it.qos), *place);
                    assert!(
                        before < Some(*place),
                        "seed {seed}: {payload} is too early with {name}"
                    );
                }
                let shared = crew().filter(|it| *it == payload).count();
                let owed = it.owed.iter().any(|index| *index >= 2);
                assert!(
                    shared > 0 || !owed,
                    "seed {seed}: {payload} is with none of the crew"
                );
                if it.qos == QoS::ExactlyOnce {
                    let count = self.readers[0]
                        .got
                        .iter()
                        .filter(|it| *it == payload)
                        .count();
                    assert!(count <= 1, "seed {seed}: {payload} came {count} times");
                    assert!(
                        shared <= 1,
                        "seed {seed}: {payload} came to the crew {shared} times"
                    );
                }
            }
        }
    }

    fn come_or_go<'h>(
        &mut self,
        house: &'h House,
        writing: &mut HashMap<usize, (Client<'h>, bool)>,
        reading: &mut HashMap<usize, (Client<'h>, bool)>,
    ) {
        let index = self.dice.roll(self.writers.len() + self.readers.len());
        let (all, index, name) = match index.checked_sub(self.writers.len()) {
            None => (writing, index, self.writers[index].name),
            Some(index) => (reading, index, self.readers[index].name),
        };
        match all.remove(&index) {
            Some((client, _)) => client.hang_up(),
            None => {
                let hello = house.v5(name).expiry(100_000).receive_maximum(5);
                all.insert(index, (hello.send(), false));
            }
        }
    }

    /// Everybody reads what has come.
    fn look(
        &mut self,
        writing: &mut HashMap<usize, (Client<'_>, bool)>,
        reading: &mut HashMap<usize, (Client<'_>, bool)>,
    ) {
        for (index, (client, open)) in writing {
            let writer = &mut self.writers[*index];
            if !*open {
                let Some(there) = opened(*client) else {
                    continue;
                };
                let known = there || !writer.was_there;
                assert!(known, "seed {}: {} is forgotten", self.seed, writer.name);
                (writer.was_there, *open) = (true, true);
                writer.resume(*client);
            }
            writer.read(*client);
        }
        for (index, (client, open)) in reading {
            let reader = &mut self.readers[*index];
            if !*open {
                let Some(there) = opened(*client) else {
                    continue;
                };
                let known = there || !reader.was_there;
                assert!(known, "seed {}: {} is forgotten", self.seed, reader.name);
                (reader.was_there, *open) = (true, true);
                reader.due.clear();
                if !reader.subscribed {
                    let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
                    let options =
                        postbud::codec::SubscriptionOptions::v3(qos[usize::from(reader.qos)]);
                    client.send_subscribe(1, &[(&reader.filter, options)], None);
                }
            }
            reader.read(*client);
        }
    }
}

/// A broker that finds what the store has, and leaves most of its queues to it.
fn found(store: &Arc<Lagging>, state: State) -> House {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let wall = Timestamp::from_millis(since.as_millis() as u64);
    let reads = Arc::clone(store);
    let hand_out = Box::new(move || reads.hand_out());
    House::found((Arc::clone(store) as _, hand_out), state, wall, |options| {
        options.queue_memory = 40;
    })
}

/// Which of its publisher's messages it is.
fn number(payload: &str) -> usize {
    let number = payload.split('-').nth(1).and_then(|it| it.parse().ok());
    number.expect("a name and a number")
}

// Breaks if: anything leaves before what makes it true is safe, or is not found again.
#[test]
fn what_was_acknowledged_survives_power_cuts() {
    let histories = std::env::var("POSTBUD_CUTS");
    let histories = histories.map_or(HISTORIES, |it| {
        it.parse().expect("POSTBUD_CUTS is a number")
    });
    for seed in 1..=histories {
        let mut world = World::new(seed);
        let mut folder = Folder::new();
        for _ in 1..LIVES {
            folder = world.live(folder, STEPS);
        }
        world.come_to_rest(folder);
        world.settle();
    }
}

/// Whether the session was there, once CONNACK has come.
fn opened(client: Client<'_>) -> Option<bool> {
    match client.next()? {
        Got::Connack(welcome) => {
            assert_eq!(welcome.code, ReasonCode::Success);
            Some(welcome.present)
        }
        other => panic!("{other:?} in place of CONNACK"),
    }
}
