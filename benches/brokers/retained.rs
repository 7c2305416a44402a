//! Retained messages: set in a great number, and read back through one wildcard subscription.

use std::io::{Read, Write};

use super::broker::Running;
use super::connections::{self, Way};
use super::failure::Failure;
use super::flow::Label;
use super::ledger::{Discrepancies, Group};
use super::process::{self, Usage};
use super::stream::Stream;
use super::traffic::Dialect;
use super::wire::{self, Frame, Publish};

/// RETAIN in the first byte of a PUBLISH.
pub const RETAIN: u8 = 1;
/// Bytes of each payload.
const PAYLOAD: usize = 64;
/// Messages that may be unacknowledged, less than what Postbud allows by default.
const OUTSTANDING: usize = 200;
/// Topics under one level.
const LEVEL: usize = 1_000;

/// What they took.
#[derive(Debug, Clone, Copy)]
pub struct Retained {
    /// How many there were.
    pub count: usize,
    /// Broker CPU for each that was set, in nanoseconds.
    pub set: f64,
    /// Broker CPU for each that was read, in nanoseconds.
    pub read: f64,
    /// The broker's own (anonymous) memory for each, in bytes, once all were set.
    pub bytes_each: f64,
    /// The same of the most that was resident up to the end.
    pub peak_each: f64,
    /// The most that was resident, in bytes.
    pub peak_resident: u64,
    /// What the ledger says of those that were read.
    pub discrepancies: Discrepancies,
}

/// Sets `count` of them and reads them back.
pub fn run(running: &Running, count: usize) -> Result<Retained, Failure> {
    let (way, pid) = (Way::plain(running.address()), running.pid());
    let (resident, peak) = (
        process::anonymous_resident(pid)?,
        process::peak_resident(pid)?,
    );
    let before = Usage::of(pid)?;
    set(&way, count)?;
    let between = Usage::of(pid)?;
    let held = process::anonymous_resident(pid)?;
    let discrepancies = read(&way, count)?;
    let after = Usage::of(pid)?;
    let peak_resident = process::peak_resident(pid)?;
    let each = |total: u64| total as f64 / count as f64;
    Ok(Retained {
        count,
        set: each(before.until(&between).cpu),
        read: each(between.until(&after).cpu),
        bytes_each: each(held.saturating_sub(resident)),
        peak_each: each(peak_resident.saturating_sub(peak)),
        peak_resident,
        discrepancies,
    })
}

fn topic(index: usize) -> String {
    format!("retained/{:04}/{:03}", index / LEVEL, index % LEVEL)
}

fn payload(index: usize) -> [u8; PAYLOAD] {
    let mut payload = [b'r'; PAYLOAD];
    payload[..4].fill(0);
    payload[4..12].copy_from_slice(&(index as u64).to_le_bytes());
    payload
}

/// At QoS 1, so that the last acknowledgement says that all are there. Whatever is acknowledged makes room
/// for as many more at once: a broker that leaves `TCP_NODELAY` off sends the next acknowledgements only
/// when something has come back.
fn set(way: &Way, count: usize) -> Result<(), Failure> {
    const AT_LEAST_ONCE: u8 = 2;
    let mut stream = connections::open(way, "setter")?;
    let (mut out, mut answers) = (Vec::new(), Vec::new());
    let (mut sent, mut acknowledged) = (0, 0);
    let mut buffer = [0; 4096];
    while acknowledged < count {
        out.clear();
        while sent < count.min(acknowledged + OUTSTANDING) {
            let flags = RETAIN | AT_LEAST_ONCE;
            let topic = topic(sent);
            wire::publish_with(&mut out, flags, topic.as_bytes(), None, &payload(sent));
            sent += 1;
        }
        stream.write_all(&out)?;
        let failed = |why: &str| Failure::new(format!("no PUBACK for {acknowledged}: {why}"));
        match stream.read(&mut buffer) {
            Ok(0) => return Err(failed("the broker closed the connection")),
            Ok(length) => answers.extend_from_slice(&buffer[..length]),
            Err(error) => return Err(failed(&error.to_string())),
        }
        let (whole, _) = answers.as_chunks::<4>();
        if whole.iter().any(|answer| answer[..2] != [wire::PUBACK, 2]) {
            return Err(failed("something else came"));
        }
        acknowledged += whole.len();
        answers.drain(..answers.len() / 4 * 4);
    }
    Ok(stream.write_all(&wire::DISCONNECT)?)
}

fn read(way: &Way, count: usize) -> Result<Discrepancies, Failure> {
    let mut stream = connections::open(way, "reader")?;
    let mut subscribe = Vec::new();
    wire::subscribe(&mut subscribe, Dialect::Three, 1, &["retained/#"], 0);
    stream.write_all(&subscribe)?;
    let mut seen = Seen::default();
    while seen.received < count as u64 && seen.receive(&mut stream)? {}
    // What is too many came before the answer to this.
    stream.write_all(&wire::PINGREQ)?;
    while !seen.answered && seen.receive(&mut stream)? {}
    Ok(seen.discrepancies(count))
}

/// What is seen of a broker that sends these of three: index, and flags of the PUBLISH.
pub fn seen_of(sent: &[(usize, u8)]) -> Result<Discrepancies, Failure> {
    let mut seen = Seen::default();
    for &(index, flags) in sent {
        let mut bytes = Vec::new();
        let topic = topic(index);
        wire::publish_with(&mut bytes, flags, topic.as_bytes(), None, &payload(index));
        seen.take(&bytes)?;
    }
    Ok(seen.discrepancies(3))
}

#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    group: Group,
    received: u64,
    misrouted: u64,
    answered: bool,
}

impl Seen {
    fn discrepancies(&self, count: usize) -> Discrepancies {
        let mut sum = self.group.discrepancies(count as u64);
        sum.misrouted = self.misrouted;
        sum
    }

    /// Reads once. False if nothing has come for long.
    fn receive(&mut self, stream: &mut Stream) -> Result<bool, Failure> {
        let mut buffer = [0; 64 * 1024];
        match stream.read(&mut buffer) {
            Ok(0) => Err(Failure::new("the broker closed the reader")),
            Ok(count) => self.take(&buffer[..count]).map(|()| true),
            Err(_) => Ok(false),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.bytes.extend_from_slice(bytes);
        let mut consumed = 0;
        let malformed = |_| Failure::new("malformed bytes for the reader");
        while let Some(frame) = Frame::first_of(&self.bytes[consumed..]).map_err(malformed)? {
            consumed += frame.length;
            match frame.first & 0xF0 {
                wire::PUBLISH => {
                    let publish = Publish::of(&frame, false).map_err(malformed)?;
                    let label = Label::of(publish.payload).filter(|_| frame.first & RETAIN != 0);
                    let index = label.map(|label| label.sequence as usize);
                    let right = index.filter(|&index| {
                        publish.topic == topic(index).as_bytes()
                            && publish.payload == payload(index)
                    });
                    match right {
                        Some(index) => self.received += u64::from(self.group.record(index as u64)),
                        None => self.misrouted += 1,
                    }
                }
                wire::PINGRESP => self.answered = true,
                _ => {}
            }
        }
        self.bytes.drain(..consumed);
        Ok(())
    }
}
