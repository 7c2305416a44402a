//! A subscriber with a lasting session that keeps its side of the protocol across crashes of the broker.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::dice::Dice;
use crate::house::Door;
use crate::ledger::{Arrived, Course, Key};
use crate::support::DEADLINE;
use crate::wire::{Ack, Connect, Connection, Nothing, Packet, Publish, Version};

/// How long it waits for more before it acknowledges what it has.
const PATIENCE: Duration = Duration::from_millis(5);

/// How faithfully it stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// It is there whenever the broker is.
    Stays,
    /// It goes now and then, with or without a word.
    ComesAndGoes,
    /// It is away until nothing new is published any more.
    ComesLate,
}

/// Reads, and notes what arrives.
pub struct Reader {
    pub name: String,
    pub version: Version,
    pub filter: String,
    pub qos: u8,
    pub habit: Habit,
    /// How many messages it takes before it acknowledges the first.
    pub lag: usize,
    pub arrived: Arc<Mutex<Arrived>>,
    pub door: Arc<Door>,
    pub course: Arc<Course>,
    pub dice: Dice,
}

/// What it remembers over all connections.
#[derive(Default)]
struct Memory {
    /// QoS 2 messages that came and were not released.
    held: BTreeMap<u16, (String, Vec<u8>)>,
    granted: bool,
}

/// Why it does not go on.
enum Pause {
    Lost,
    Leaves,
    Over,
}

impl Reader {
    /// Reads until the course is over.
    pub fn run(mut self) {
        let mut memory = Memory::default();
        let mut known = false;
        loop {
            let address = self.door.find();
            let connect = Connect {
                receive_maximum: Some(20),
                ..Connect::lasting(self.version, &self.name)
            };
            let Some(mut connection) = Connection::open(address, &connect) else {
                // It is between its end and the next beginning.
                thread::sleep(Duration::from_millis(2));
                continue;
            };
            assert!(
                !known || connection.session_present,
                "{}: no session",
                self.name
            );
            known = true;
            if !memory.granted && !self.subscribe(&mut connection, &mut memory) {
                continue;
            }
            match self.converse(&mut connection, &mut memory) {
                Pause::Over => return connection.disconnect(),
                Pause::Lost => {}
                Pause::Leaves => self.be_away(connection),
            }
        }
    }

    /// Asks for the subscription; false if the connection ended before the answer.
    fn subscribe(&self, connection: &mut Connection, memory: &mut Memory) -> bool {
        connection.subscribe(&self.filter, self.qos);
        match connection.receive(DEADLINE) {
            Ok(Packet::Suback(1, codes)) => assert_eq!(codes, [self.qos], "{}", self.name),
            Ok(other) => panic!("{}: {other:?}", self.name),
            Err(_) => return false,
        }
        memory.granted = true;
        self.course.granted.fetch_add(1, Ordering::AcqRel);
        true
    }

    fn be_away(&mut self, connection: Connection) {
        match self.dice.once_in(2) {
            true => connection.disconnect(),
            false => drop(connection),
        }
        if self.habit == Habit::ComesLate {
            while !self.course.is_finishing() {
                thread::sleep(PATIENCE);
            }
        } else {
            thread::sleep(Duration::from_millis(self.dice.below(100) as u64));
        }
    }

    /// Reads until something is a reason to stop.
    fn converse(&mut self, connection: &mut Connection, memory: &mut Memory) -> Pause {
        let mut owed = VecDeque::new();
        let mut asked = false;
        loop {
            if self.leaves() {
                return Pause::Leaves;
            }
            if self.course.is_over() && !asked {
                // What comes before the answer is all that there is.
                connection.send(&[0xc0, 0]);
                asked = true;
            }
            let mut quiet = false;
            match connection.receive(PATIENCE) {
                Ok(Packet::Publish(publish)) => owed.extend(self.take(memory, publish)),
                Ok(Packet::Ack(Ack::Pubrel, id, _)) => {
                    memory.held.remove(&id);
                    owed.push_back((Ack::Pubcomp, id));
                }
                Ok(Packet::Pingresp) => return Pause::Over,
                Ok(other) => panic!("{}: {other:?}", self.name),
                Err(Nothing::Ended) => return Pause::Lost,
                Err(Nothing::Yet) => quiet = true,
            }
            while owed.len() > if quiet { 0 } else { self.lag } {
                if let Some((ack, id)) = owed.pop_front() {
                    connection.ack(ack, id);
                }
            }
        }
    }

    /// Whether it has had enough for now.
    fn leaves(&mut self) -> bool {
        let habit = match self.course.is_finishing() {
            true => Habit::Stays,
            false => self.habit,
        };
        match habit {
            Habit::Stays => false,
            Habit::ComesAndGoes => self.dice.once_in(400),
            Habit::ComesLate => true,
        }
    }

    /// Notes a message, if it is new; returns the acknowledgement.
    fn take(&self, memory: &mut Memory, publish: Publish) -> Option<(Ack, u16)> {
        let Publish {
            dup,
            qos,
            topic,
            id,
            payload,
            ..
        } = publish;
        let key = Key::of(&topic, &payload);
        if qos == 2 {
            if let Some(before) = memory.held.get(&id) {
                let same = (&before.0, &before.1) == (&topic, &payload);
                assert!(
                    dup && same,
                    "{}: id {id} is in use: {before:?}, {key:?}",
                    self.name
                );
                return Some((Ack::Pubrec, id));
            }
            memory.held.insert(id, (topic, payload));
        }
        self.arrived
            .lock()
            .expect("nobody panics with it")
            .push(key);
        match qos {
            0 => None,
            1 => Some((Ack::Puback, id)),
            _ => Some((Ack::Pubrec, id)),
        }
    }
}
