//! The floor: the least a relay of MQTT messages can cost with this kernel and these sockets.
//!
//! One thread, one epoll; per round one read of each readable socket and one write of each socket
//! that something was appended to; one hash map of topics; bytes copied from the read buffer to
//! each recipient's output. Nothing is checked, bounded, retained, resumed or authorised, and
//! topics are matched exactly or by a trailing `#` only; of shared subscriptions it knows one group, whose
//! members take turns, and of MQTT 5 just enough to relay properties unread. It serves the generator and
//! nobody else.
//!
//! For the self-check it can commit one [`Fault`].

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::failure::Failure;
use super::wire::{self, Frame, Malformed, Publish};

const READ: usize = 64 * 1024;
const LISTENER: Token = Token(usize::MAX - 1);
/// The publication at which a fault is committed: in the midst of a burst, whatever its length.
const FAULTY: u64 = 1_005;

/// What the floor does wrong, once or from then on, to see whether the harness notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Loses a message.
    Lose,
    /// Delivers a message twice.
    Repeat,
    /// Delivers a message after the one behind it.
    Swap,
    /// Delivers a message to the wrong subscriber as well.
    Misroute,
    /// Changes a byte of a payload.
    Damage,
    /// Changes a byte of the first property, where there are any.
    Property,
    /// Acknowledges a publication twice.
    Acknowledge,
    /// Delivers nothing any more.
    Silence,
    /// Exits.
    Die,
}

/// All faults by name.
pub const FAULTS: &[(&str, Fault)] = &[
    ("lose", Fault::Lose),
    ("repeat", Fault::Repeat),
    ("swap", Fault::Swap),
    ("misroute", Fault::Misroute),
    ("damage", Fault::Damage),
    ("property", Fault::Property),
    ("acknowledge", Fault::Acknowledge),
    ("silence", Fault::Silence),
    ("die", Fault::Die),
];

impl Fault {
    /// The fault called `name`.
    pub fn parse(name: &str) -> Result<Fault, Failure> {
        let found = FAULTS.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, fault)| *fault)
            .ok_or_else(|| Failure::new(format!("no fault {name:?}")))
    }
}

struct Floor {
    poll: Poll,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    topics: HashMap<Vec<u8>, Vec<Subscription>>,
    /// What stands before the `#`.
    prefixes: Vec<(Vec<u8>, Subscription)>,
    /// The members of the one group there may be, what stands before the `#`, and whose turn it is.
    group: Group,
    dirty: Vec<usize>,
    unread: Vec<usize>,
    fault: Fault,
    delivered: u64,
    held_back: Vec<u8>,
}

#[derive(Default)]
struct Group {
    prefix: Vec<u8>,
    members: Vec<Subscription>,
    next: usize,
}

impl Group {
    /// Who gets a message to `topic`.
    fn member(&mut self, topic: &[u8]) -> Option<Subscription> {
        if self.members.is_empty() || !topic.starts_with(&self.prefix) {
            return None;
        }
        self.next = (self.next + 1) % self.members.len();
        Some(self.members[self.next])
    }
}

struct Connection {
    stream: TcpStream,
    partial: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    dirty: bool,
    next_identifier: u16,
    /// Whether it speaks MQTT 5. What a PUBLISH has of properties is relayed with its payload, as if it
    /// were part of that.
    five: bool,
}

#[derive(Clone, Copy)]
struct Subscription {
    connection: usize,
    qos: u8,
}

/// Serves on loopback until it is killed.
pub fn serve(port: u16, fault: Fault) -> Result<(), Failure> {
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
    let poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut floor = Floor {
        poll,
        connections: Vec::new(),
        free: Vec::new(),
        topics: HashMap::new(),
        prefixes: Vec::new(),
        group: Group::default(),
        dirty: Vec::new(),
        unread: Vec::new(),
        fault,
        delivered: 0,
        held_back: Vec::new(),
    };
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; READ];
    loop {
        let timeout = (!floor.unread.is_empty()).then_some(std::time::Duration::ZERO);
        match floor.poll.poll(&mut events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for index in std::mem::take(&mut floor.unread) {
            floor.read(index, &mut buffer);
        }
        for event in &events {
            match event.token() {
                LISTENER => floor.accept(&listener)?,
                Token(index) => {
                    if event.is_writable() {
                        floor.mark(index);
                    }
                    if event.is_readable() || event.is_read_closed() || event.is_error() {
                        floor.read(index, &mut buffer);
                    }
                }
            }
        }
        for index in std::mem::take(&mut floor.dirty) {
            floor.flush(index);
        }
    }
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener) -> Result<(), Failure> {
        while let Ok((mut stream, _)) = listener.accept() {
            stream.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or(self.connections.len());
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(&mut stream, Token(index), interest)?;
            let connection = Some(Connection {
                stream,
                partial: Vec::new(),
                output: Vec::new(),
                written: 0,
                dirty: false,
                next_identifier: 1,
                five: false,
            });
            match self.connections.get_mut(index) {
                Some(slot) => *slot = connection,
                None => self.connections.push(connection),
            }
        }
        Ok(())
    }

    fn close(&mut self, index: usize) {
        self.connections[index] = None;
        self.free.push(index);
        for subscriptions in self.topics.values_mut() {
            subscriptions.retain(|subscription| subscription.connection != index);
        }
        let members = &mut self.group.members;
        members.retain(|subscription| subscription.connection != index);
        self.prefixes
            .retain(|(_, subscription)| subscription.connection != index);
    }

    fn read(&mut self, index: usize, buffer: &mut Vec<u8>) {
        let Some(connection) = &mut self.connections[index] else {
            return;
        };
        let kept = connection.partial.len();
        if kept * 2 > buffer.len() {
            buffer.resize(kept * 4, 0);
        }
        buffer[..kept].copy_from_slice(&connection.partial);
        connection.partial.clear();
        let end = match connection.stream.read(&mut buffer[kept..]) {
            Ok(0) => return self.close(index),
            Ok(count) => kept + count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => kept,
            Err(_) => return self.close(index),
        };
        if end == buffer.len() {
            self.unread.push(index);
        }
        let Ok(consumed) = self.packets(index, &buffer[..end]) else {
            return self.close(index);
        };
        if let Some(connection) = &mut self.connections[index] {
            connection.partial.extend_from_slice(&buffer[consumed..end]);
        }
    }

    fn packets(&mut self, index: usize, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut consumed = 0;
        while let Some(frame) = Frame::first_of(&bytes[consumed..])? {
            consumed += frame.length;
            match frame.first {
                first if first & 0xF0 == wire::PUBLISH => {
                    self.relay(index, &Publish::of(&frame, false)?)?
                }
                wire::PUBREC => self.answer(index, wire::PUBREL, frame.packet_identifier()?),
                wire::PUBREL => self.answer(index, wire::PUBCOMP, frame.packet_identifier()?),
                wire::PUBACK | wire::PUBCOMP => {}
                wire::CONNECT => {
                    if let Some(connection) = &mut self.connections[index] {
                        connection.five = frame.body.get(6) == Some(&5);
                        match connection.five {
                            false => connection.output.extend_from_slice(&wire::ACCEPTED),
                            true => connection.output.extend_from_slice(&wire::ACCEPTED_FIVE),
                        }
                    }
                    self.mark(index);
                }
                wire::SUBSCRIBE => self.subscribe(index, &frame)?,
                _ => return Err(Malformed),
            }
        }
        Ok(consumed)
    }

    fn answer(&mut self, index: usize, first: u8, identifier: u16) {
        if let Some(connection) = &mut self.connections[index] {
            wire::acknowledge(&mut connection.output, first, identifier);
        }
        self.mark(index);
    }

    fn subscribe(&mut self, index: usize, frame: &Frame<'_>) -> Result<(), Malformed> {
        let Some(connection) = &mut self.connections[index] else {
            return Ok(());
        };
        // Behind the Packet Identifier, MQTT 5 has properties: none, here.
        let skipped = 2 + usize::from(connection.five);
        let [high, low, rest @ ..] = frame.body.get(skipped..).unwrap_or(&[]) else {
            return Err(Malformed);
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (filter, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        let &qos = rest.first().ok_or(Malformed)?;
        let subscription = Subscription {
            connection: index,
            qos,
        };
        let shared = filter.strip_prefix(b"$share/");
        let slash = shared.and_then(|it| it.iter().position(|byte| *byte == b'/'));
        let shared = shared.zip(slash).map(|(it, slash)| &it[slash + 1..]);
        match shared.unwrap_or(filter).strip_suffix(b"#") {
            Some(prefix) if shared.is_some() => {
                self.group.prefix = prefix.to_vec();
                self.group.members.push(subscription);
            }
            Some(prefix) => self.prefixes.push((prefix.to_vec(), subscription)),
            None => self
                .topics
                .entry(filter.to_vec())
                .or_default()
                .push(subscription),
        }
        let [high, low] = frame.packet_identifier()?.to_be_bytes();
        match connection.five {
            false => connection
                .output
                .extend_from_slice(&[wire::SUBACK, 3, high, low, qos]),
            true => connection
                .output
                .extend_from_slice(&[wire::SUBACK, 4, high, low, 0, qos]),
        }
        self.mark(index);
        Ok(())
    }

    fn relay(&mut self, index: usize, publish: &Publish<'_>) -> Result<(), Malformed> {
        match publish.qos {
            0 => {}
            1 => self.answer(index, wire::PUBACK, publish.packet_identifier),
            _ => self.answer(index, wire::PUBREC, publish.packet_identifier),
        }
        if self.fault != Fault::None {
            return self.relay_faultily(index, publish);
        }
        let exact = self
            .topics
            .get(publish.topic)
            .map_or(&[][..], Vec::as_slice);
        for subscription in exact {
            deliver(
                &mut self.connections,
                &mut self.dirty,
                *subscription,
                publish,
            );
        }
        for (prefix, subscription) in &self.prefixes {
            if publish.topic.starts_with(prefix) {
                deliver(
                    &mut self.connections,
                    &mut self.dirty,
                    *subscription,
                    publish,
                );
            }
        }
        if let Some(member) = self.group.member(publish.topic) {
            deliver(&mut self.connections, &mut self.dirty, member, publish);
        }
        Ok(())
    }

    /// The same for exact topics and the group, but for the one message that something is done to.
    fn relay_faultily(&mut self, index: usize, publish: &Publish<'_>) -> Result<(), Malformed> {
        self.delivered += 1;
        if self.delivered < FAULTY || (self.delivered > FAULTY + 1 && self.fault != Fault::Silence)
        {
            self.copy(publish, publish.payload);
            return Ok(());
        }
        let first = self.delivered == FAULTY;
        match self.fault {
            Fault::Silence => {}
            Fault::Lose if first => {}
            Fault::Die => std::process::exit(3),
            Fault::Acknowledge if first => {
                self.copy(publish, publish.payload);
                self.answer(index, wire::PUBACK, publish.packet_identifier);
            }
            Fault::Repeat if first => {
                self.copy(publish, publish.payload);
                self.copy(publish, publish.payload);
            }
            Fault::Damage | Fault::Property if first => {
                let mut payload = publish.payload.to_vec();
                // Behind the length of all, the property's identifier, and the length of its text.
                let place = match self.fault {
                    Fault::Property => 4,
                    _ => payload.len().saturating_sub(1),
                };
                if let Some(byte) = payload.get_mut(place) {
                    *byte ^= 1;
                }
                self.copy(publish, &payload);
            }
            Fault::Misroute if first => {
                self.copy(publish, publish.payload);
                let of_this = |topic: &Vec<u8>| topic.as_slice() == publish.topic;
                let other = self.topics.iter().find(|(topic, _)| !of_this(topic));
                if let Some(&subscription) = other.and_then(|(_, others)| others.first()) {
                    deliver(
                        &mut self.connections,
                        &mut self.dirty,
                        subscription,
                        publish,
                    );
                }
            }
            // The generator writes bursts, so the next message is of the same publisher.
            Fault::Swap if first => self.held_back = publish.payload.to_vec(),
            Fault::Swap => {
                self.copy(publish, publish.payload);
                let held_back = std::mem::take(&mut self.held_back);
                self.copy(publish, &held_back);
            }
            _ => self.copy(publish, publish.payload),
        }
        Ok(())
    }

    fn copy(&mut self, publish: &Publish<'_>, payload: &[u8]) {
        let publish = Publish {
            payload,
            ..*publish
        };
        for subscription in self
            .topics
            .get(publish.topic)
            .map_or(&[][..], Vec::as_slice)
        {
            deliver(
                &mut self.connections,
                &mut self.dirty,
                *subscription,
                &publish,
            );
        }
        if let Some(member) = self.group.member(publish.topic) {
            deliver(&mut self.connections, &mut self.dirty, member, &publish);
        }
    }

    fn mark(&mut self, index: usize) {
        if let Some(connection) = &mut self.connections[index] {
            connection.mark(index, &mut self.dirty);
        }
    }

    fn flush(&mut self, index: usize) {
        let Some(connection) = &mut self.connections[index] else {
            return;
        };
        connection.dirty = false;
        while connection.written < connection.output.len() {
            match connection
                .stream
                .write(&connection.output[connection.written..])
            {
                Ok(count) => connection.written += count,
                // Writing goes on at the event that says there is room again.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.close(index),
            }
        }
        connection.output.clear();
        connection.written = 0;
    }
}

impl Connection {
    #[inline]
    fn mark(&mut self, index: usize, dirty: &mut Vec<usize>) {
        if !self.dirty && !self.output.is_empty() {
            self.dirty = true;
            dirty.push(index);
        }
    }
}

#[inline]
fn deliver(
    connections: &mut [Option<Connection>],
    dirty: &mut Vec<usize>,
    subscription: Subscription,
    publish: &Publish<'_>,
) {
    let Some(connection) = &mut connections[subscription.connection] else {
        return;
    };
    let qos = publish.qos.min(subscription.qos);
    let identifier = connection.next_identifier;
    if qos > 0 {
        connection.next_identifier = wire::following(identifier);
    }
    wire::publish(
        &mut connection.output,
        publish.topic,
        qos,
        identifier,
        publish.payload,
    );
    connection.mark(subscription.connection, dirty);
}
