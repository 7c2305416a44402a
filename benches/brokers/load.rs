//! The generator: publishers and subscribers in one epoll loop on one thread.
//!
//! ```text
//! round:  poll ─> for each readable socket: one read ─> its packets ─> answers appended
//!              ─> for each flow touched: as many bursts as its window has room for, appended
//!              ─> for each connection with something appended: one write
//! ```
//!
//! Its own CPU must stay below the broker's, or the broker idles and batches differently than it
//! would under a load from many machines; hence whole bursts, one buffer to read into for all, and
//! frames copied from templates. The report prints it beside the broker's.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};

use super::beside::{self, Churner};
use super::connections::{self, Way};
use super::failure::Failure;
use super::flow::{Flow, Label};
use super::histogram::Histogram;
use super::ledger::{Discrepancies, Group, Ledger};
use super::stream::Stream;
use super::traffic::{Beside, Dialect, Pace, Shape, Traffic};
use super::wire::{self, Frame, Malformed, Publish};

/// Bytes read at once, if no message is larger. A read that does not fill the buffer has drained
/// its socket.
const READ: usize = 64 * 1024;
/// How often paced messages go out: seldom enough for the ticker to cost little, often enough that
/// the messages of one tick do not queue behind each other in the generator for long.
const TICK: Duration = Duration::from_micros(250);
/// The token of the ticker; connections have their index.
const TICKER: Token = Token(usize::MAX - 1);
/// The most that may wait for a broker that does not read, per connection.
const UNWRITTEN: usize = 4 * 1024 * 1024;

/// Publishers and subscribers connected to one broker.
pub struct Load {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    flows: Vec<Flow>,
    /// Where subscribers share what comes: what they all have, of each flow.
    groups: Vec<Group>,
    /// Flows that may send more, and connections with something to write, after this round.
    touched: Vec<usize>,
    unflushed: Vec<usize>,
    /// Connections whose last read filled the buffer: there may be more without a new event.
    unread: Vec<usize>,
    buffer: Vec<u8>,
    dialect: Dialect,
    began: Instant,
    latency: Histogram,
    paced: Option<Paced>,
    churner: Option<Churner>,
    /// Who is there as well; never read from.
    company: Vec<Stream>,
    publishing: bool,
    received: u64,
    misrouted: u64,
    last_progress: Instant,
    patience: Duration,
}

struct Connection {
    stream: Stream,
    role: Role,
    /// The beginning of a packet whose end has not arrived.
    partial: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    flushing: bool,
    /// What the broker has named by a Topic Alias, from alias 1 on.
    aliases: Vec<Vec<u8>>,
}

enum Role {
    /// Publishes the flow of that index.
    Publisher(usize),
    /// Subscribes and unsubscribes.
    Churner,
    /// Receives the flows from `first_flow` on, each with a ledger.
    Subscriber {
        first_flow: usize,
        ledgers: Vec<Ledger>,
    },
}

/// Sends by the clock.
struct Paced {
    per_second: u64,
    since: Instant,
    sent: u64,
    next_flow: usize,
    stop: Arc<AtomicBool>,
    ticker: Option<JoinHandle<()>>,
}

impl Load {
    /// Connects and subscribes everybody. A broker that makes no progress for `patience` ends the
    /// run.
    pub fn connect(way: &Way, traffic: &Traffic, patience: Duration) -> Result<Load, Failure> {
        let mut load = Load::new(traffic, patience)?;
        load.company = beside::join(way, traffic)?;
        if let Beside::Subscriptions { .. } = traffic.beside {
            let connection = load.add(connections::open(way, "churner")?, Role::Churner)?;
            load.churner = Some(Churner::new(connection));
        }
        let publishers = traffic.shape.publishers();
        if let Shape::Shared { .. } = traffic.shape {
            load.groups = (0..publishers).map(|_| Group::default()).collect();
        }
        let mut streams = open(way, traffic)?.into_iter();
        for (index, mut stream) in streams
            .by_ref()
            .take(traffic.shape.subscribers())
            .enumerate()
        {
            let (filter, first_flow, flows) = match traffic.shape {
                Shape::Pairs(_) | Shape::Away(_) => (topic_of(traffic, index), index, 1),
                Shape::FanOut(_) => (topic_of(traffic, 0), 0, 1),
                Shape::FanIn(_) => (everything(traffic), 0, publishers),
                Shape::Shared { .. } => {
                    let shared = format!("$share/workers/{}", everything(traffic));
                    (shared, 0, publishers)
                }
            };
            connections::subscribe(&mut stream, traffic.dialect, &[&filter], traffic.qos)?;
            let ledgers = (0..flows).map(|_| Ledger::default()).collect();
            load.add(
                stream,
                Role::Subscriber {
                    first_flow,
                    ledgers,
                },
            )?;
        }
        for (index, stream) in streams.enumerate() {
            let connection = load.add(stream, Role::Publisher(index))?;
            load.flows.push(Flow::new(
                index,
                connection,
                topic_of(traffic, index),
                traffic,
            ));
        }
        if let Pace::PerSecond(per_second) = traffic.pace {
            load.paced = Some(Paced::start(per_second, &load.poll)?);
        }
        Ok(load)
    }

    /// Takes the place of a client that was away, on the connection that its session is back on, and
    /// receives what was published to it: of each flow, so many messages.
    pub fn collect(
        stream: Stream,
        traffic: &Traffic,
        sent: &[u64],
        patience: Duration,
    ) -> Result<Load, Failure> {
        let mut load = Load::new(traffic, patience)?;
        let ledgers = sent.iter().map(|_| Ledger::default()).collect();
        let connection = load.add(
            stream,
            Role::Subscriber {
                first_flow: 0,
                ledgers,
            },
        )?;
        for (index, sent) in sent.iter().enumerate() {
            let mut flow = Flow::new(index, connection, topic_of(traffic, index), traffic);
            flow.sent = *sent;
            load.flows.push(flow);
        }
        Ok(load)
    }

    fn new(traffic: &Traffic, patience: Duration) -> Result<Load, Failure> {
        let now = Instant::now();
        Ok(Load {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            connections: Vec::new(),
            flows: Vec::new(),
            groups: Vec::new(),
            touched: Vec::new(),
            unflushed: Vec::new(),
            unread: Vec::new(),
            buffer: vec![0; READ.max(2 * (traffic.payload + 64))],
            dialect: traffic.dialect,
            began: now,
            latency: Histogram::new(),
            paced: None,
            churner: None,
            company: Vec::new(),
            publishing: false,
            received: 0,
            misrouted: 0,
            last_progress: now,
            patience,
        })
    }

    fn add(&mut self, stream: Stream, role: Role) -> Result<usize, Failure> {
        let index = self.connections.len();
        stream.register(self.poll.registry(), Token(index))?;
        self.connections.push(Connection {
            stream,
            role,
            partial: Vec::new(),
            output: Vec::new(),
            written: 0,
            flushing: false,
            aliases: Vec::new(),
        });
        Ok(index)
    }

    /// Publishes and receives for `duration`.
    pub fn run_for(&mut self, duration: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + duration;
        if !self.publishing {
            self.publishing = true;
            self.touched.extend(0..self.flows.len());
            self.last_progress = Instant::now();
            if let Some(paced) = &mut self.paced {
                paced.restart();
            }
            if let Some(churner) = &mut self.churner {
                churner.restart();
            }
        }
        // Patience runs on from one call to the next: a window is often shorter than it.
        while Instant::now() < deadline {
            self.round(deadline)?;
        }
        Ok(())
    }

    /// Publishes no more, and receives until all is received and acknowledged, or until nothing has
    /// come for the load's patience: what is missing then is lost, which the ledgers tell.
    pub fn drain(&mut self) -> Result<(), Failure> {
        self.publishing = false;
        self.last_progress = Instant::now();
        while !self.settled() && self.last_progress.elapsed() < self.patience {
            self.round(Instant::now() + Duration::from_millis(20))?;
        }
        // A message too many would come behind the last one: give it a moment.
        let deadline = Instant::now() + Duration::from_millis(20);
        while Instant::now() < deadline {
            self.round(deadline)?;
        }
        Ok(())
    }

    fn settled(&self) -> bool {
        let answered = |churner: &Churner| churner.unanswered() == 0;
        self.flows.iter().all(Flow::settled) && self.churner.as_ref().is_none_or(answered)
    }

    /// Messages received so far, over all subscribers.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Messages of each publisher so far.
    pub fn sent(&self) -> Vec<u64> {
        self.flows.iter().map(|flow| flow.sent).collect()
    }

    /// Messages that were acknowledged to their publishers so far.
    pub fn completed(&self) -> u64 {
        let each = self.flows.iter();
        each.map(|flow| flow.sent - flow.unacknowledged).sum()
    }

    /// Latency of what was received. Where a window paces the load, it is that of a broker at its limit:
    /// the time that a whole window takes.
    pub fn latency(&mut self) -> &mut Histogram {
        &mut self.latency
    }

    /// What went wrong so far, if nothing more is to come.
    pub fn discrepancies(&self) -> Discrepancies {
        let unanswered = self.churner.as_ref().map_or(0, Churner::discrepancies);
        let mut sum = Discrepancies {
            misrouted: self.misrouted,
            wrong_acknowledgements: unanswered,
            ..Discrepancies::default()
        };
        for flow in &self.flows {
            sum.wrong_acknowledgements += flow.wrong_acknowledgements + flow.unacknowledged;
        }
        for (flow, group) in self.flows.iter().zip(&self.groups) {
            sum.add(&group.discrepancies(flow.sent));
        }
        for connection in &self.connections {
            if let Role::Subscriber {
                first_flow,
                ledgers,
            } = &connection.role
            {
                for (flow, ledger) in self.flows[*first_flow..].iter().zip(ledgers) {
                    sum.add(&match self.groups.is_empty() {
                        true => ledger.discrepancies(flow.sent),
                        false => ledger.discrepancies_in_group(),
                    });
                }
            }
        }
        sum
    }

    /// Says goodbye on every connection.
    pub fn disconnect(mut self) {
        for connection in &mut self.connections {
            // The broker is about to be stopped; whether it heard this one makes no difference.
            let _ = connection.stream.write(&wire::DISCONNECT);
        }
    }

    fn round(&mut self, deadline: Instant) -> Result<(), Failure> {
        let mut timeout = Duration::ZERO;
        if self.unread.is_empty() && self.touched.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            timeout = left.min(Duration::from_millis(50));
        }
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        let unread = std::mem::take(&mut self.unread);
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut outcome = unread
            .iter()
            .try_for_each(|&index| self.read(index, &mut buffer));
        for event in &events {
            if outcome.is_err() {
                break;
            }
            outcome = self.handle(event, &mut buffer);
        }
        self.events = events;
        self.buffer = buffer;
        outcome?;
        self.refill();
        if let (Some(churner), true) = (&mut self.churner, self.publishing) {
            let index = churner.connection;
            churner.write(&mut self.connections[index].output);
            self.want_flush(index);
        }
        for position in 0..self.unflushed.len() {
            self.flush(self.unflushed[position])?;
        }
        self.unflushed.clear();
        self.check_patience()
    }

    fn handle(&mut self, event: &mio::event::Event, buffer: &mut [u8]) -> Result<(), Failure> {
        if event.token() == TICKER {
            self.tick();
            return Ok(());
        }
        let index = event.token().0;
        if event.is_writable() && self.connections[index].waits() {
            self.flush(index)?;
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read(index, buffer)?;
        }
        Ok(())
    }

    fn check_patience(&self) -> Result<(), Failure> {
        if self.publishing && self.last_progress.elapsed() > self.patience {
            let sent: u64 = self.flows.iter().map(|flow| flow.sent).sum();
            return Err(Failure::new(format!(
                "the broker is stuck: nothing came for {:?}; {sent} published, {} received",
                self.patience, self.received
            )));
        }
        Ok(())
    }

    /// One read, and what follows from the packets in it.
    fn read(&mut self, index: usize, buffer: &mut [u8]) -> Result<(), Failure> {
        let connection = &mut self.connections[index];
        let kept = connection.partial.len();
        buffer[..kept].copy_from_slice(&connection.partial);
        connection.partial.clear();
        let end = match connection.stream.read(&mut buffer[kept..]) {
            Ok(0) => return Err(self.closed(index, "the broker closed it")),
            Ok(count) => kept + count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => kept,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => kept,
            Err(error) => return Err(self.closed(index, &error.to_string())),
        };
        if end == buffer.len() {
            self.unread.push(index);
        }
        let bytes = &buffer[..end];
        let consumed = match self.connections[index].role {
            Role::Publisher(flow) => self.acknowledged(flow, bytes),
            Role::Subscriber { .. } => self.delivered(index, bytes),
            Role::Churner => self
                .churner
                .as_mut()
                .map_or(Ok(end), |it| it.answers(bytes)),
        };
        let Ok(consumed) = consumed else {
            return Err(self.closed(index, "malformed bytes from the broker"));
        };
        self.connections[index]
            .partial
            .extend_from_slice(&bytes[consumed..]);
        self.want_flush(index);
        Ok(())
    }

    fn closed(&self, index: usize, why: &str) -> Failure {
        let who = match self.connections[index].role {
            Role::Publisher(flow) => format!("publisher-{flow}"),
            Role::Subscriber { .. } => format!("subscriber-{index}"),
            Role::Churner => "churner".to_owned(),
        };
        Failure::new(format!(
            "the connection of {who} failed after {} messages: {why}",
            self.received
        ))
    }

    /// Packets for a publisher. Returns the bytes of those that were whole.
    fn acknowledged(&mut self, index: usize, bytes: &[u8]) -> Result<usize, Malformed> {
        let flow = &mut self.flows[index];
        let touched = flow.touched;
        let mut consumed = 0;
        while let Some(frame) = Frame::first_of(&bytes[consumed..])? {
            consumed += frame.length;
            let identifier = frame.packet_identifier()?;
            flow.wrong_acknowledgements += u64::from(frame.refuses());
            match frame.first {
                wire::PUBACK | wire::PUBCOMP => flow.complete(identifier),
                wire::PUBREC => {
                    flow.received_by_broker(identifier);
                    let output = &mut self.connections[flow.connection].output;
                    wire::acknowledge(output, wire::PUBREL, identifier);
                }
                _ => return Err(Malformed),
            }
        }
        if flow.touched && !touched {
            self.last_progress = Instant::now();
            self.touched.push(index);
        }
        Ok(consumed)
    }

    /// Packets for a subscriber. Returns the bytes of those that were whole.
    fn delivered(&mut self, index: usize, bytes: &[u8]) -> Result<usize, Malformed> {
        let now = self.began.elapsed().as_nanos() as u64;
        // A burst has one stamp, so its messages are counted together.
        let (mut stamp, mut alike) = (0, 0);
        let connection = &mut self.connections[index];
        let Role::Subscriber {
            first_flow,
            ledgers,
        } = &mut connection.role
        else {
            return Err(Malformed);
        };
        let before = self.received;
        let mut consumed = 0;
        while let Some(frame) = Frame::first_of(&bytes[consumed..])? {
            consumed += frame.length;
            if frame.first & 0xF0 != wire::PUBLISH {
                if frame.first != wire::PUBREL {
                    return Err(Malformed);
                }
                let identifier = frame.packet_identifier()?;
                wire::acknowledge(&mut connection.output, wire::PUBCOMP, identifier);
                continue;
            }
            let publish = Publish::of(&frame, self.dialect.is_five())?;
            let identifier = publish.packet_identifier;
            match publish.qos {
                0 => {}
                1 => wire::acknowledge(&mut connection.output, wire::PUBACK, identifier),
                _ => wire::acknowledge(&mut connection.output, wire::PUBREC, identifier),
            }
            let label = Label::of(publish.payload).ok_or(Malformed)?;
            let ledger = ledgers.get_mut(label.flow.wrapping_sub(*first_flow));
            let (Some(ledger), Some(flow)) = (ledger, self.flows.get_mut(label.flow)) else {
                self.misrouted += 1;
                continue;
            };
            let topic = match self.dialect {
                Dialect::Aliases => named(&mut connection.aliases, &publish),
                _ => publish.topic,
            };
            if !flow.recognises(topic, &publish) || label.sequence >= flow.sent {
                self.misrouted += 1;
                continue;
            }
            let is_first = match self.groups.get_mut(label.flow) {
                None => ledger.record(label.sequence),
                Some(group) => ledger.record_in(group, label.sequence),
            };
            if is_first {
                flow.received += 1;
                self.received += 1;
                if !flow.touched {
                    flow.touched = true;
                    self.touched.push(label.flow);
                }
            }
            if label.written_at != stamp {
                self.latency.record(now.saturating_sub(stamp), alike);
                (stamp, alike) = (label.written_at, 0);
            }
            alike += 1;
        }
        self.latency.record(now.saturating_sub(stamp), alike);
        if self.received > before {
            self.last_progress = Instant::now();
        }
        Ok(consumed)
    }

    /// Publishes what the windows of the touched flows have room for.
    fn refill(&mut self) {
        let now = self.began.elapsed().as_nanos() as u64;
        for position in 0..self.touched.len() {
            let index = self.touched[position];
            self.flows[index].touched = false;
            let credit = self.flows[index].credit();
            if credit > 0 && self.publishing {
                self.publish(index, credit, now);
            }
        }
        self.touched.clear();
    }

    /// Publishes what is due by now.
    fn tick(&mut self) {
        let Some(paced) = &mut self.paced else { return };
        let due = paced.due();
        if !self.publishing || due == 0 {
            return;
        }
        let first = paced.next_flow;
        paced.sent += due;
        paced.next_flow = (first + due as usize) % self.flows.len();
        let now = self.began.elapsed().as_nanos() as u64;
        for offset in 0..due as usize {
            self.publish((first + offset) % self.flows.len(), 1, now);
        }
    }

    fn publish(&mut self, index: usize, count: u64, now: u64) {
        let flow = &mut self.flows[index];
        let connection = flow.connection;
        flow.write(&mut self.connections[connection].output, count, now);
        self.want_flush(connection);
    }

    fn want_flush(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        if !connection.flushing && !connection.output.is_empty() {
            connection.flushing = true;
            self.unflushed.push(index);
        }
    }

    /// Writes until all is written or the socket is full.
    fn flush(&mut self, index: usize) -> Result<(), Failure> {
        let connection = &mut self.connections[index];
        connection.flushing = false;
        while connection.written < connection.output.len() {
            match connection
                .stream
                .write(&connection.output[connection.written..])
            {
                Ok(count) => connection.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if connection.output.len() > UNWRITTEN {
                        return Err(self.closed(index, "the broker reads too slowly"));
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.closed(index, &error.to_string())),
            }
        }
        connection.output.clear();
        connection.written = 0;
        match connection.stream.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                Err(self.closed(index, &error.to_string()))
            }
            _ => Ok(()),
        }
    }
}

impl Connection {
    /// Whether there is something to write.
    fn waits(&self) -> bool {
        !self.output.is_empty() || self.stream.unwritten()
    }
}

/// The topic of `publish`, by its Topic Alias if it has one; empty if that is unknown.
pub fn named<'a>(aliases: &'a mut Vec<Vec<u8>>, publish: &Publish<'a>) -> &'a [u8] {
    let allowed = 1..=wire::ALIASES;
    let Some(alias) = publish.alias().filter(|alias| allowed.contains(alias)) else {
        return publish.topic;
    };
    let index = usize::from(alias) - 1;
    if aliases.len() <= index {
        aliases.resize(index + 1, Vec::new());
    }
    if !publish.topic.is_empty() {
        aliases[index] = publish.topic.to_vec();
    }
    &aliases[index]
}

impl Paced {
    /// Starts the ticker. A thread of its own, because epoll's timeout is rounded up to whole
    /// milliseconds, which would make late ticks the rule.
    fn start(per_second: u64, poll: &Poll) -> Result<Paced, Failure> {
        let waker = Waker::new(poll.registry(), TICKER)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let ticker = std::thread::Builder::new()
            .name("ticker".to_owned())
            .spawn(move || {
                let mut next = Instant::now();
                while !stopped.load(Ordering::Relaxed) && waker.wake().is_ok() {
                    next += TICK;
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            })?;
        let since = Instant::now();
        Ok(Paced {
            per_second,
            since,
            sent: 0,
            next_flow: 0,
            stop,
            ticker: Some(ticker),
        })
    }

    fn restart(&mut self) {
        self.since = Instant::now();
        self.sent = 0;
    }

    fn due(&self) -> u64 {
        // u128 cannot overflow here; the quotient fits into u64 for any run that ends.
        let scheduled =
            self.since.elapsed().as_nanos() * u128::from(self.per_second) / 1_000_000_000;
        (scheduled as u64).saturating_sub(self.sent)
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
    }
}

/// Connects the subscribers, then the publishers.
fn open(way: &Way, traffic: &Traffic) -> Result<Vec<Stream>, Failure> {
    let subscribers = (0..traffic.shape.subscribers()).map(|index| format!("subscriber-{index}"));
    let publishers = (0..traffic.shape.publishers()).map(|index| format!("publisher-{index}"));
    let names: Vec<String> = subscribers.chain(publishers).collect();
    let clean = connections::open_all(way, &names, true)?;
    match traffic.kept {
        // Now without what earlier connections of those names may have left.
        true => connections::open_all(way, &names, false),
        false => Ok(clean),
    }
}

fn topic_of(traffic: &Traffic, flow: usize) -> String {
    format!("{}/{flow:04}", traffic.topics)
}

/// The filter that matches the topics of all flows.
pub fn everything(traffic: &Traffic) -> String {
    format!("{}/#", traffic.topics)
}
