//! A broker, a clock that the test moves, and the stand-in for the listener's drivers.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postbud::auth::{Auth, Caller};
use postbud::broker::options::Options;
use postbud::broker::{
    Batch, Broker, Connection, Ending, Engines, Entrance, Gauge, Now, Port, Snapshot, Turn,
};
use postbud::cluster::single::Single;
use postbud::codec::{Connect, ConnectProperties, QoS, Version};
use postbud::message::Timestamp;
use postbud::queue::DropReason;
use postbud::session::Written;
use postbud::store::Store;
use postbud::store::memory::Memory;
use postbud::store::state::State as Kept;

use crate::client::{Client, Hello};
use crate::engines::Doorman;
use crate::pipe::{Pipe, PipeLink};
use crate::received::Book;

/// A broker and everybody who is connected to it.
pub struct House {
    pub broker: Arc<Broker>,
    peers: RefCell<Vec<Peer>>,
    batch: RefCell<Batch>,
    /// The address from which the next connections come, if it is another one.
    from: RefCell<Option<SocketAddr>>,
    /// A store that reads messages back in its own time.
    reads: Option<HandOut>,
    /// Where everybody comes from who connects from now on.
    pub caller: Caller,
    /// And by which way.
    pub entrance: Arc<Entrance>,
}

/// Hands out what a store has read back; returns whether more is under way.
pub type HandOut = Box<dyn Fn() -> bool>;

/// How long a store may take to read.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// What a house is built from.
pub struct Setup {
    pub options: Options,
    pub store: Arc<dyn Store>,
    pub auth: Arc<dyn Auth>,
}

/// The wall clock when a house is built: any will do that is not 0.
const WALL: u64 = 1_000_000_000_000;

/// How long a connection may take to send its CONNECT.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// One connection and what its driver knows of it.
pub struct Peer {
    connection: Connection,
    port: Arc<Port>,
    pub pipe: Arc<Pipe>,
    pub book: Book,
    input: Vec<u8>,
    state: State,
    blocked: bool,
    ending: Option<Ending>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits for more input.
    Reading,
    /// There is input that has not been looked at.
    Handling,
    Paused,
    Closing,
    Closed,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            options: Options::default(),
            store: Arc::new(Memory),
            auth: Doorman::that(|_| {}),
        }
    }
}

impl Setup {
    pub fn build(self) -> House {
        let engines = Engines {
            auth: self.auth,
            store: self.store,
            cluster: Arc::new(Single::default()),
        };
        let broker = Broker::new(self.options, engines);
        broker.declare_groups();
        House::on(Arc::new(broker))
    }
}

impl House {
    /// A house with default options, a store in memory, and everybody allowed everything.
    pub fn new() -> Self {
        Setup::default().build()
    }

    /// Clients of their own on a broker that others use as well.
    pub fn on(broker: Arc<Broker>) -> Self {
        Self::at(broker, Timestamp::from_millis(WALL))
    }

    /// As [`Self::on`], with this time on the wall.
    pub fn at(broker: Arc<Broker>, wall: Timestamp) -> Self {
        let now = Now {
            instant: Instant::now(),
            wall,
        };
        Self {
            broker,
            peers: RefCell::default(),
            batch: RefCell::new(Batch::new(now)),
            from: RefCell::default(),
            reads: None,
            caller: Caller::default(),
            entrance: Arc::default(),
        }
    }

    pub fn with_options(change: impl FnOnce(&mut Options)) -> Self {
        let mut setup = Setup::default();
        change(&mut setup.options);
        setup.build()
    }

    pub fn with_store(store: Arc<dyn Store>) -> Self {
        Setup {
            store,
            ..Setup::default()
        }
        .build()
    }

    /// A broker that finds what a store has kept.
    pub fn found(
        (store, hand_out): (Arc<dyn Store>, HandOut),
        state: Kept,
        wall: Timestamp,
        change: impl FnOnce(&mut Options),
    ) -> Self {
        let doorman = Doorman::that(|_| {});
        Self::found_by(doorman, (store, hand_out), state, wall, change)
    }

    /// As [`Self::found`], with this one at the door.
    pub fn found_by(
        auth: Arc<dyn Auth>,
        (store, hand_out): (Arc<dyn Store>, HandOut),
        state: Kept,
        wall: Timestamp,
        change: impl FnOnce(&mut Options),
    ) -> Self {
        let mut options = Options::default();
        change(&mut options);
        let engines = Engines {
            auth,
            store,
            cluster: Arc::new(Single::default()),
        };
        let broker = Arc::new(Broker::new(options, engines));
        let mut house = Self::at(broker, wall);
        house.reads = Some(hand_out);
        house.broker.restore(state, &mut house.batch.borrow_mut());
        house
    }

    pub fn with_auth(auth: Arc<dyn Auth>) -> Self {
        Setup {
            auth,
            ..Setup::default()
        }
        .build()
    }

    /// A CONNECT to fill in: clean start, no keep alive.
    pub fn hello<'a>(&'a self, version: Version, client_id: &'a str) -> Hello<'a> {
        let connect = Connect {
            version,
            bridge: false,
            clean_start: true,
            keep_alive: 0,
            client_id,
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties::default(),
        };
        Hello::new(self, connect)
    }

    pub fn v5<'a>(&'a self, client_id: &'a str) -> Hello<'a> {
        self.hello(Version::V5, client_id)
    }

    pub fn v311<'a>(&'a self, client_id: &'a str) -> Hello<'a> {
        self.hello(Version::V311, client_id)
    }

    /// A session that is away and is to have all on this topic, so that the store has something to keep.
    pub fn keep_all_on(&self, topic: &str) {
        let away = self.v5("away").expiry(3600).open();
        away.subscribe(topic, QoS::ExactlyOnce);
        away.hang_up();
    }

    /// A connection that was just accepted and has sent nothing.
    pub fn accept(&self, version: Version, direct: bool) -> Client<'_> {
        let pipe = Pipe::new(direct);
        let link = Box::new(PipeLink(Arc::clone(&pipe)));
        let mut caller = self.caller.clone();
        caller.peer = self.from.borrow().or(caller.peer);
        let port = Arc::new(Port::new(link, caller).by(Arc::clone(&self.entrance)));
        let now = self.now().instant;
        let broker = Arc::clone(&self.broker);
        let connection = Connection::new(broker, Arc::clone(&port), now + CONNECT_WITHIN);
        self.broker.metrics().opened();
        let mut peers = self.peers.borrow_mut();
        peers.push(Peer {
            connection,
            port,
            pipe,
            book: Book::new(version),
            input: Vec::new(),
            state: State::Reading,
            blocked: false,
            ending: None,
        });
        Client::new(self, peers.len() - 1)
    }

    /// Whoever connects from now on comes from this address.
    pub fn come_from(&self, address: &str) {
        let address = address.parse().expect("an address");
        *self.from.borrow_mut() = Some(SocketAddr::new(address, 40_000));
    }

    /// The present.
    pub fn now(&self) -> Now {
        self.batch.borrow().now
    }

    /// Time passes: what is due is done, and who is silent is dealt with.
    pub fn advance(&self, duration: Duration) {
        self.sleep_in(duration);
        self.broker.tick(&mut self.batch.borrow_mut());
        self.run();
        let count = self.peers.borrow().len();
        for index in 0..count {
            self.with_peer(index, |peer, batch| {
                let lives = !matches!(peer.state, State::Closing | State::Closed);
                let due = peer.connection.deadline().filter(|_| lives);
                if due.is_some_and(|due| due <= batch.now.instant) {
                    let turn = peer.connection.timed_out(batch);
                    peer.follow(turn);
                }
            });
        }
        self.run();
    }

    /// Time passes, and nobody has looked yet at what is due.
    pub fn sleep_in(&self, duration: Duration) {
        let mut batch = self.batch.borrow_mut();
        batch.now.instant += duration;
        batch.now.wall = batch.now.wall.after(duration);
    }

    pub fn seconds(&self, seconds: u64) {
        self.advance(Duration::from_secs(seconds));
    }

    /// Every connection that is left breaks.
    pub fn hang_up_all(&self) {
        let count = self.peers.borrow().len();
        for index in 0..count {
            self.with_peer(index, |peer, batch| peer.lose(Ending::Eof, batch));
        }
    }

    /// Drives every connection until nothing is left to do.
    pub fn run(&self) {
        let until = Instant::now() + READ_WITHIN;
        loop {
            self.run_once();
            // What is handed out last is seen in the last run.
            match &self.reads {
                Some(hand_out) if hand_out() => std::thread::yield_now(),
                _ if self.is_idle() => return,
                _ => {}
            }
            assert!(Instant::now() < until, "nothing is read back");
        }
    }

    fn is_idle(&self) -> bool {
        !self.peers.borrow().iter().any(Peer::is_runnable)
    }

    fn run_once(&self) {
        for _ in 0..100_000 {
            let count = self.peers.borrow().len();
            let mut idle = true;
            for index in 0..count {
                if self.peers.borrow()[index].is_runnable() {
                    self.step(index);
                    idle = false;
                }
            }
            if idle {
                return;
            }
        }
        panic!("the connections keep each other busy for ever");
    }

    /// One step of one connection's driver, ended by the flush of everybody it filled.
    pub fn step(&self, index: usize) {
        self.with_peer(index, Peer::step);
    }

    /// Works on a peer with the batch, and finishes the batch as a driver does.
    pub fn with_peer<R>(&self, index: usize, work: impl FnOnce(&mut Peer, &mut Batch) -> R) -> R {
        let mut peers = self.peers.borrow_mut();
        let mut batch = self.batch.borrow_mut();
        let done = work(&mut peers[index], &mut batch);
        self.broker.finish(&mut batch);
        peers[index].count_ending(&self.broker);
        done
    }

    /// What is written next to anybody costs no allocation of the pipes' own.
    pub fn make_room(&self, bytes: usize) {
        let peers = self.peers.borrow();
        peers.iter().for_each(|peer| peer.pipe.make_room(bytes));
    }

    /// How often anybody was written to, and anybody's task woken.
    pub fn calls(&self) -> (usize, usize) {
        let peers = self.peers.borrow();
        let calls = peers.iter().map(|peer| peer.pipe.calls());
        calls.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1))
    }

    pub fn gauge(&self, gauge: Gauge) -> i64 {
        self.broker.metrics().read(gauge)
    }

    pub fn snapshot(&self) -> Snapshot {
        self.broker.metrics().snapshot()
    }

    /// Deliveries dropped for this reason so far.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.snapshot().dropped[reason as usize].1
    }

    /// How many connections were closed with this label.
    pub fn closed(&self, label: &str) -> u64 {
        let closed = self.snapshot().connections_closed;
        closed
            .iter()
            .find(|(name, _)| *name == label)
            .map_or(0, |(_, count)| *count)
    }
}

impl Peer {
    /// Whether its driver would be polled: woken, or with something to do at once.
    fn is_runnable(&self) -> bool {
        match self.state {
            State::Closed => false,
            State::Handling => true,
            State::Closing => !self.blocked || self.pipe.has_room(),
            State::Reading | State::Paused => {
                self.pipe.is_woken() || self.blocked && self.pipe.has_room()
            }
        }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        if self.state == State::Reading {
            self.state = State::Handling;
        }
    }

    /// What the listener's driver does in one step.
    fn step(&mut self, batch: &mut Batch) {
        self.pipe.take_woken();
        let signalled = self.port.is_signalled();
        if signalled {
            let turn = self.connection.signalled(batch);
            self.follow(turn);
        }
        if signalled || self.blocked || self.state == State::Closing {
            self.write(batch);
        }
        match self.state {
            State::Handling => self.handle(batch),
            State::Closing if !self.blocked && self.connection.is_flushed() => {
                self.state = State::Closed;
            }
            _ => {}
        }
        if self.state != State::Handling {
            self.connection.heard_out();
        }
    }

    pub fn hear_no_more(&mut self) {
        self.connection.heard_out();
    }

    /// Handles input, without a look at what has been told to it meanwhile.
    pub fn handle(&mut self, batch: &mut Batch) {
        let (used, turn) = self.connection.receive(&self.input, batch);
        self.input.drain(..used);
        self.state = State::Reading;
        if turn != Turn::Read {
            self.follow(turn);
        }
    }

    fn follow(&mut self, turn: Turn) {
        if matches!(self.state, State::Closing | State::Closed) {
            return;
        }
        self.state = match turn {
            Turn::Close => State::Closing,
            Turn::Pause => State::Paused,
            Turn::Again => State::Handling,
            Turn::Read if self.state == State::Reading || self.input.is_empty() => State::Reading,
            Turn::Read => State::Handling,
        };
    }

    fn write(&mut self, batch: &mut Batch) {
        self.blocked = false;
        let mut next = self.connection.take_chunk();
        while let Some(mut chunk) = next {
            let taken = match self.pipe.write(chunk.remaining()) {
                Ok(taken) => taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => {
                    self.connection.put_back(chunk, 0, batch);
                    return self.lose(Ending::TransportError, batch);
                }
            };
            chunk.advance(taken);
            next = match self.connection.put_back(chunk, taken, batch) {
                Written::All => None,
                Written::More(more) => Some(more),
                Written::Blocked if taken > 0 => self.connection.take_chunk(),
                Written::Blocked => {
                    self.blocked = true;
                    None
                }
            };
        }
    }

    /// The transport breaks or is closed by the client.
    pub fn lose(&mut self, ending: Ending, batch: &mut Batch) {
        self.connection.end(ending, batch);
        self.state = State::Closed;
    }

    fn count_ending(&mut self, broker: &Broker) {
        if self.state == State::Closed && self.ending.is_none() {
            let ending = self.connection.ending().expect("closed for a reason");
            broker.metrics().closed(ending);
            self.ending = Some(ending);
        }
    }

    /// Why it is closed, once its driver has closed it.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    pub fn is_paused(&self) -> bool {
        self.state == State::Paused
    }

    /// Whether its driver has input to go on with at once.
    pub fn is_busy(&self) -> bool {
        self.state == State::Handling
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.connection.deadline()
    }
}
