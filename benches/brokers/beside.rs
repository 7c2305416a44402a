//! Who else is connected to the broker while the load runs, and should not make a message dearer.

use std::time::Instant;

use super::connections::{self, Way};
use super::failure::Failure;
use super::load;
use super::stream::Stream;
use super::traffic::{Beside, Dialect, Traffic};
use super::wire::{self, Frame, Malformed};

/// Subscriptions of each client that has nothing but those.
const EACH: usize = 1_000;
/// Topic Filters in one SUBSCRIBE.
const AT_ONCE: usize = 250;
/// Subscriptions that come, and that go, in a second.
const PER_SECOND: u128 = 1_000;
/// Answers that may be missing before the next subscription waits for them.
const UNANSWERED: u64 = 200;

/// Connects them. They stay as long as the streams do.
pub fn join(way: &Way, traffic: &Traffic) -> Result<Vec<Stream>, Failure> {
    match traffic.beside {
        Beside::Nobody => Ok(Vec::new()),
        Beside::Idle { connections, .. } => {
            let names = (0..connections).map(|index| format!("bystander-{index:05}"));
            connections::open_all(way, &names.collect::<Vec<_>>(), true)
        }
        Beside::Slow => {
            let mut stream = connections::open(way, "slow")?;
            let everything = load::everything(traffic);
            connections::subscribe(&mut stream, way.dialect, &[&everything], traffic.qos)?;
            Ok(vec![stream])
        }
        Beside::Subscriptions { count, .. } => (0..count.div_ceil(EACH))
            .map(|client| subscriber(way, client, EACH.min(count - client * EACH)))
            .collect(),
    }
}

fn subscriber(way: &Way, client: usize, count: usize) -> Result<Stream, Failure> {
    let mut stream = connections::open(way, &format!("elsewhere-{client:04}"))?;
    let filters: Vec<String> = (0..count).map(|index| filter(client, index)).collect();
    for some in filters.chunks(AT_ONCE) {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        connections::subscribe(&mut stream, way.dialect, &some, 0)?;
    }
    Ok(stream)
}

/// A filter that matches nothing of the load.
fn filter(client: usize, index: usize) -> String {
    format!("elsewhere/{client:04}/{index:04}/+/state")
}

/// A client that subscribes and unsubscribes all the time.
pub struct Churner {
    /// Index of its connection.
    pub connection: usize,
    /// Since when packets are due, and how many there were before.
    since: Instant,
    before: u64,
    /// Packets sent, and answers to them.
    begun: u64,
    answered: u64,
    /// The Packet Identifier that the next answer must have.
    next_answer: u16,
    next_identifier: u16,
    wrong: u64,
}

impl Churner {
    /// One whose packets go over that connection.
    pub fn new(connection: usize) -> Churner {
        Churner {
            connection,
            since: Instant::now(),
            before: 0,
            begun: 0,
            answered: 0,
            next_answer: 1,
            next_identifier: 1,
            wrong: 0,
        }
    }

    /// What would have been due while nothing was published never is.
    pub fn restart(&mut self) {
        self.since = Instant::now();
        self.before = self.begun;
    }

    /// Appends what is due by now.
    pub fn write(&mut self, out: &mut Vec<u8>) {
        let due = self.since.elapsed().as_micros() * PER_SECOND / 1_000_000;
        while u128::from((self.begun - self.before) / 2) < due && self.unanswered() < UNANSWERED {
            self.write_pair(out);
        }
    }

    /// Appends a SUBSCRIBE and the UNSUBSCRIBE that takes it back.
    pub fn write_pair(&mut self, out: &mut Vec<u8>) {
        let filter = filter(EACH * EACH, (self.begun / 2) as usize % EACH);
        let identifier = self.next_identifier;
        wire::subscribe(out, Dialect::Three, identifier, &[&filter], 0);
        let identifier = wire::following(identifier);
        wire::unsubscribe(out, identifier, &filter);
        self.next_identifier = wire::following(identifier);
        self.begun += 2;
    }

    /// Takes the answers in `bytes`. Returns the bytes of those that were whole.
    pub fn answers(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut consumed = 0;
        while let Some(frame) = Frame::first_of(&bytes[consumed..])? {
            consumed += frame.length;
            let expected = [wire::SUBACK, wire::UNSUBACK][(self.answered % 2) as usize];
            let identifier = frame.packet_identifier()?;
            let right = frame.first == expected && identifier == self.next_answer;
            self.wrong += u64::from(!right || frame.refuses());
            self.next_answer = wire::following(identifier);
            self.answered += 1;
        }
        Ok(consumed)
    }

    /// Answers that have not come.
    pub fn unanswered(&self) -> u64 {
        self.begun.saturating_sub(self.answered)
    }

    /// Answers that were not those awaited, and those that have not come.
    pub fn discrepancies(&self) -> u64 {
        self.wrong + self.unanswered()
    }
}
