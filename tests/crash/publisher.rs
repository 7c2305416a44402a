//! A publisher that keeps its side of the protocol across crashes of the broker.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::dice::Dice;
use crate::house::Door;
use crate::ledger::{Course, Key, Published};
use crate::wire::{Ack, Connect, Connection, Nothing, Packet, Publish, Version};

/// How long it waits for an acknowledgement before it looks whether anything else is to be done.
const PATIENCE: Duration = Duration::from_millis(20);

/// Publishes at QoS 1 and 2, with a window, to several topics, and retains some.
pub struct Publisher {
    pub name: String,
    pub version: Version,
    /// How many messages may be without their last acknowledgement.
    pub window: usize,
    pub door: Arc<Door>,
    pub course: Arc<Course>,
    pub dice: Dice,
}

/// A message whose exchange is not over.
struct Open {
    publish: Publish,
    key: Key,
    /// PUBREC came, so PUBREL is what is repeated.
    received: bool,
}

/// What it remembers over all connections.
#[derive(Default)]
struct Memory {
    open: VecDeque<Open>,
    numbers: BTreeMap<(String, u8), u64>,
    next_id: u16,
    published: Published,
}

impl Publisher {
    /// Publishes until the course says that it is enough, and everything is acknowledged.
    pub fn run(mut self) -> Published {
        let mut memory = Memory::default();
        let mut known = false;
        loop {
            let address = self.door.find();
            let connect = Connect::lasting(self.version, &self.name);
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
            memory.resume(&mut connection);
            if self.converse(&mut connection, &mut memory) {
                connection.disconnect();
                return memory.published;
            }
        }
    }

    /// Goes on until the connection ends, or all is done: then it is true.
    fn converse(&mut self, connection: &mut Connection, memory: &mut Memory) -> bool {
        loop {
            let finishing = self.course.is_finishing();
            while !finishing && memory.open.len() < self.window {
                self.publish(connection, memory);
            }
            if finishing && memory.open.is_empty() {
                return true;
            }
            if self.dice.once_in(2000) {
                // Its own network fails now and then, too.
                return false;
            }
            match connection.receive(PATIENCE) {
                Ok(Packet::Ack(ack, id, code)) => self.take(connection, memory, (ack, id, code)),
                Ok(other) => panic!("{}: {other:?}", self.name),
                Err(Nothing::Yet) => {}
                Err(Nothing::Ended) => return false,
            }
        }
    }

    fn publish(&mut self, connection: &mut Connection, memory: &mut Memory) {
        let retain = self.dice.once_in(10);
        let root = if retain { "keep" } else { "storm" };
        let which = self.dice.below(3);
        let topic = format!("{root}/{}/{which}", self.name);
        // What is retained has one QoS for each topic: repeated at QoS 1, a message may come in after one
        // that was published later at QoS 2.
        let qos = match retain {
            true => 1 + which as u8 % 2,
            false => 1 + self.dice.below(2) as u8,
        };
        let number = memory.numbers.entry((topic.clone(), qos)).or_default();
        *number += 1;
        let number = *number;
        let key = Key { topic, qos, number };
        let publish = Publish {
            qos,
            retain,
            topic: key.topic.clone(),
            id: memory.free_id(),
            payload: key.payload(),
            ..Publish::default()
        };
        connection.publish(&publish);
        memory.open.push_back(Open {
            publish,
            key,
            received: false,
        });
    }

    fn take(&self, connection: &mut Connection, memory: &mut Memory, came: (Ack, u16, u8)) {
        let (ack, id, code) = came;
        let found = memory.open.iter().position(|it| it.publish.id == id);
        let Some(index) = found else {
            panic!("{}: {ack:?} {id} for nothing", self.name);
        };
        // 0x92: the broker had released it when it crashed.
        let good = code < 0x80 || (ack == Ack::Pubcomp && code == 0x92);
        assert!(good, "{}: {ack:?} {id} with {code:02x}", self.name);
        let open = &mut memory.open[index];
        let expected = match (open.publish.qos, open.received) {
            (1, _) => ack == Ack::Puback,
            (_, false) => ack == Ack::Pubrec,
            (_, true) => ack == Ack::Pubcomp,
        };
        assert!(expected, "{}: {ack:?} for {:?}", self.name, open.publish);
        if !open.received {
            let Publish { retain, topic, .. } = &open.publish;
            match retain {
                true => {
                    let payload = open.publish.payload.clone();
                    memory.published.retained.insert(topic.clone(), payload);
                }
                false => memory.published.acknowledged.push(open.key.clone()),
            }
            self.course.acknowledged.fetch_add(1, Ordering::AcqRel);
        }
        match ack {
            Ack::Pubrec => {
                open.received = true;
                connection.ack(Ack::Pubrel, id);
            }
            _ => drop(memory.open.remove(index)),
        }
    }
}

impl Memory {
    /// Repeats what is not over, in its order and with its ids.
    fn resume(&mut self, connection: &mut Connection) {
        for open in &mut self.open {
            if open.received {
                connection.ack(Ack::Pubrel, open.publish.id);
            } else {
                open.publish.dup = true;
                connection.publish(&open.publish);
            }
        }
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
            if self.open.iter().all(|it| it.publish.id != self.next_id) {
                return self.next_id;
            }
        }
    }
}
