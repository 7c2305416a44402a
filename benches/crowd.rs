//! What a crowd that says nothing costs one process: bytes, wakes, and what it costs those who do say something.
//!
//! `cargo bench --bench crowd [-- CONNECTIONS | quick]`, 1,000,000 unless said otherwise, 10,000 if quick.
//!
//! Every connection is driven by the listener's own driver, over a transport in memory: a CONNECT comes in, a
//! CONNACK goes out, and that is all. So what is counted is the broker's and the runtime's; the socket of a
//! real connection comes on top (the bench `brokers` has that).
//!
//! The crowd is there twice, at first without a Keep Alive and then with one, for which every client pings as
//! late as it may. A crowd of ten is there before, for what a publish costs without one.

// A global allocator cannot be written without unsafe code; this one counts and passes on.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use postbud::auth::Caller;
use postbud::auth::gate::{Gate, Parts};
use postbud::broker::options::Options;
use postbud::broker::{Batch, Broker, Connection, Engines, Link, Port};
use postbud::cluster::single::Single;
use postbud::listener::driver::{Driver, Patience, now};
use postbud::listener::transport::{Alarm, Transport};
use postbud::store::memory::Memory;
use tikv_jemallocator::Jemalloc;

/// Passes on to the allocator of the program, and counts.
struct Counting;

/// Bytes that were asked for and are held, and how often some were asked for.
static HELD: AtomicUsize = AtomicUsize::new(0);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// Allocations that are held, by their size in steps of [`STEP`]; the last has all that are larger.
static BY_SIZE: [AtomicI64; SIZES] = [const { AtomicI64::new(0) }; SIZES];
const SIZES: usize = 513;
const STEP: usize = 8;

fn of_size(bytes: usize) -> &'static AtomicI64 {
    &BY_SIZE[bytes.div_ceil(STEP).min(SIZES - 1)]
}

// SAFETY: every call goes to the other allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Relaxed);
        ALLOCATIONS.fetch_add(1, Relaxed);
        of_size(layout.size()).fetch_add(1, Relaxed);
        unsafe { Jemalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        of_size(layout.size()).fetch_sub(1, Relaxed);
        unsafe { Jemalloc.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often tasks of drivers were polled, and how often because their client had something to say.
static POLLS: AtomicU64 = AtomicU64::new(0);
static PINGS: AtomicU64 = AtomicU64::new(0);
/// Connections that have been sent their CONNACK.
static OPEN: AtomicUsize = AtomicUsize::new(0);
/// Times that something was written to a connection, and bytes.
static WRITES: AtomicU64 = AtomicU64::new(0);
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// Clients that may ping, by the number of their connection.
static PINGERS: Mutex<Vec<Option<Waker>>> = Mutex::new(Vec::new());

const PINGREQ: [u8; 2] = [0xc0, 0];
const CONNACK: u8 = 0x20;

/// A client, and what carries its bytes.
struct Client {
    number: u32,
    keep_alive: u16,
    says: Says,
}

/// What a client says next.
#[derive(Clone, Copy)]
enum Says {
    Connect,
    /// SUBSCRIBE to the topic that is published to.
    Subscribe,
    Nothing,
    /// PINGREQ, whenever it may.
    Ping,
}

/// The client that subscribes, and to what.
const SUBSCRIBER: u32 = 7;
const TOPIC: &[u8] = b"home/7";

impl Client {
    fn new(number: u32, keep_alive: u16) -> Self {
        Self {
            number,
            keep_alive,
            says: Says::Connect,
        }
    }

    /// CONNECT of MQTT 3.1.1 with a clean session.
    fn connect(&self) -> Vec<u8> {
        let name = format!("crowd-{:07}", self.number);
        let mut packet = vec![0x10, 12 + name.len() as u8, 0, 4];
        packet.extend(b"MQTT\x04\x02");
        packet.extend(self.keep_alive.to_be_bytes());
        packet.extend((name.len() as u16).to_be_bytes());
        packet.extend(name.as_bytes());
        packet
    }

    /// PINGREQ, unless it has said that since it was asked to.
    fn ping(&self, waker: &Waker) -> Option<Vec<u8>> {
        let mut pingers = PINGERS.lock().expect("nobody panics");
        let place = &mut pingers[self.number as usize];
        if place.is_some() {
            return None;
        }
        *place = Some(waker.clone());
        PINGS.fetch_add(1, Relaxed);
        Some(PINGREQ.to_vec())
    }
}

fn subscribe() -> Vec<u8> {
    let mut packet = vec![0x82, 5 + TOPIC.len() as u8, 0, 1, 0, TOPIC.len() as u8];
    packet.extend(TOPIC);
    packet.push(0);
    packet
}

fn publish() -> Vec<u8> {
    let mut packet = vec![0x30, 2 + TOPIC.len() as u8 + 64, 0, TOPIC.len() as u8];
    packet.extend(TOPIC);
    packet.extend([b'x'; 64]);
    packet
}

/// Takes all that is written to it.
struct Sink(Option<Arc<Alarm>>);

impl Link for Sink {
    fn is_direct(&self) -> bool {
        true
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        OPEN.fetch_add(usize::from(bytes[0] == CONNACK), Relaxed);
        WRITES.fetch_add(1, Relaxed);
        WRITTEN.fetch_add(bytes.len() as u64, Relaxed);
        Ok(bytes.len())
    }

    fn wake(&self) {
        if let Some(alarm) = &self.0 {
            alarm.ring();
        }
    }
}

impl Transport for Client {
    fn link(&self, alarm: Arc<Alarm>) -> Box<dyn Link> {
        Box::new(Sink(Some(alarm)))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let said = match self.says {
            Says::Connect => Some(self.connect()),
            Says::Subscribe => Some(subscribe()),
            Says::Ping => self.ping(cx.waker()),
            Says::Nothing => None,
        };
        let Some(bytes) = said else {
            return Poll::Pending;
        };
        self.says = match self.says {
            Says::Connect if self.number == SUBSCRIBER => Says::Subscribe,
            _ if self.keep_alive > 0 => Says::Ping,
            _ => Says::Nothing,
        };
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn moved(&self) -> u64 {
        0
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A driver, of which it is counted how often it is polled.
struct Watched(Driver<Client>);

impl Future for Watched {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        POLLS.fetch_add(1, Relaxed);
        Pin::new(&mut self.get_mut().0).poll(cx).map(|_| ())
    }
}

/// A broker that takes as many as come.
fn broker() -> Arc<Broker> {
    let mut options = Options::default();
    options.defence.connections_maximum = 0;
    options.defence.handshakes_maximum = 0;
    let engines = Engines {
        auth: Arc::new(Gate::new(Parts {
            anonymous: true,
            ..Parts::default()
        })),
        store: Arc::new(Memory),
        cluster: Arc::new(Single::default()),
    };
    Arc::new(Broker::new(options, engines))
}

/// Lets the clients of these numbers in, and waits until all are.
async fn let_in(broker: &Arc<Broker>, numbers: std::ops::Range<usize>, keep_alive: u16) {
    let before = OPEN.load(Relaxed);
    let expected = before + numbers.len();
    let connect_by = Instant::now() + Duration::from_secs(3600);
    let entrance = Arc::default();
    for number in numbers {
        let permit = broker.accept().expect("there is room for any number");
        let patience = Patience {
            connect_by,
            write: Duration::from_secs(20),
        };
        let client = Client::new(number as u32, keep_alive);
        let driver = Driver::new(
            client,
            permit,
            Arc::clone(broker),
            (Caller::default(), Arc::clone(&entrance)),
            patience,
        );
        drop(tokio::spawn(Watched(driver)));
        // Not all at once: nobody connects in one instant with a million others.
        if number % 1000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    while OPEN.load(Relaxed) < expected {
        tokio::task::yield_now().await;
    }
}

/// What a publish costs: allocations of each, and the median of the nanoseconds.
fn cost_of_a_publish(broker: &Arc<Broker>) -> (f64, u128) {
    const TIMES: usize = 20_000;
    let port = Arc::new(Port::new(Box::new(Sink(None)), Default::default()));
    let connect_by = Instant::now() + Duration::from_secs(3600);
    let mut connection = Connection::new(Arc::clone(broker), port, connect_by);
    let mut batch = Batch::new(now());
    let mut say = |bytes: &[u8]| {
        let began = Instant::now();
        connection.receive(bytes, &mut batch);
        broker.finish(&mut batch);
        began.elapsed().as_nanos()
    };
    say(&Client::new(u32::MAX, 0).connect());
    let packet = publish();
    // What is remembered of a topic, and buffers that are used again, are there after the first.
    (0..TIMES).for_each(|_| _ = say(&packet));
    let mut times = Vec::with_capacity(TIMES);
    let before = (ALLOCATIONS.load(Relaxed), WRITES.load(Relaxed));
    times.extend((0..TIMES).map(|_| say(&packet)));
    let allocations = ALLOCATIONS.load(Relaxed) - before.0;
    assert_eq!(
        WRITES.load(Relaxed) - before.1,
        TIMES as u64,
        "each is written to one"
    );
    times.sort_unstable();
    (allocations as f64 / TIMES as f64, times[TIMES / 2])
}

/// Memory at one moment.
struct Figures {
    held: usize,
    resident: u64,
    by_size: Vec<i64>,
}

impl Figures {
    fn now() -> Self {
        let by_size = BY_SIZE.iter().map(|count| count.load(Relaxed)).collect();
        let resident = resident();
        Self {
            held: HELD.load(Relaxed),
            resident,
            by_size,
        }
    }

    /// Prints what each of `count` connections has taken since.
    fn print_each(&self, count: usize) {
        let now = Self::now();
        let count = count as f64;
        let held = (now.held as f64 - self.held as f64) / count;
        let resident = (now.resident as f64 - self.resident as f64) / count;
        println!("  bytes each, asked for       {held:>10.0}");
        println!("  bytes each, resident        {resident:>10.0}");
        let all = now.resident as f64 / f64::from(1 << 20);
        println!("  MiB resident in all         {all:>10.0}");
        print!("  allocations each, by size  ");
        for (size, (before, after)) in self.by_size.iter().zip(&now.by_size).enumerate() {
            let each = (after - before) as f64 / count;
            if each > 0.1 {
                print!("  {} x {each:.1}", size * STEP);
            }
        }
        println!();
    }
}

/// The process's own (anonymous) resident memory, in bytes.
fn resident() -> u64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Anonymous:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// A crowd of which nobody says anything.
async fn silent(count: usize) {
    println!("\n{count} connections without a Keep Alive");
    let broker = broker();
    let_in(&broker, 0..10, 0).await;
    let few = cost_of_a_publish(&broker);
    let before = Figures::now();
    let_in(&broker, 10..count, 0).await;
    before.print_each(count - 10);
    let polls = POLLS.load(Relaxed);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let polls = (POLLS.load(Relaxed) - polls) as f64 / 5.0;
    println!("  tasks polled per second     {polls:>10.1}");
    let many = cost_of_a_publish(&broker);
    println!(
        "  a publish to one of 10      {:>10} ns, {} allocations",
        few.1, few.0
    );
    println!(
        "  a publish to one of all     {:>10} ns, {} allocations",
        many.1, many.0
    );
}

/// A crowd of which everybody pings as late as it may.
async fn pinging(count: usize, keep_alive: u16) {
    const INTERVALS: u64 = 3;
    println!("\n{count} connections with a Keep Alive of {keep_alive} s, pinging");
    let broker = broker();
    *PINGERS.lock().expect("nobody panics") = vec![None; count];
    let_in(&broker, 0..10, keep_alive).await;
    let before = Figures::now();
    let_in(&broker, 10..count, keep_alive).await;
    before.print_each(count - 10);
    let interval = Duration::from_secs(keep_alive.into());
    let mut at = tokio::time::Instant::now() + interval;
    let mut counted = (0, 0);
    for round in 0..=INTERVALS {
        tokio::time::sleep_until(at).await;
        at += interval;
        // The first interval only settles what connecting has set in motion.
        if round == 0 {
            counted = (POLLS.load(Relaxed), PINGS.load(Relaxed));
        }
        if round < INTERVALS {
            let wakers: Vec<_> = PINGERS
                .lock()
                .expect("nobody panics")
                .iter_mut()
                .filter_map(Option::take)
                .collect();
            assert_eq!(wakers.len(), count, "everybody is there");
            wakers.into_iter().for_each(Waker::wake);
        }
    }
    let polls = POLLS.load(Relaxed) - counted.0;
    let pings = PINGS.load(Relaxed) - counted.1;
    let each = |events: u64| events as f64 / (INTERVALS * count as u64) as f64;
    println!("  pings per interval          {:>10.3}", each(pings));
    println!(
        "  timer events per interval   {:>10.3}",
        each(polls - pings)
    );
}

fn run(crowd: impl Future<Output = ()>) {
    let held = HELD.load(Relaxed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(crowd);
    drop(runtime);
    *PINGERS.lock().expect("nobody panics") = Vec::new();
    let left = HELD.load(Relaxed).saturating_sub(held);
    println!("  bytes left when all are gone{left:>10}");
}

fn main() {
    let is_quick = std::env::args().any(|arg| arg == "quick");
    // Cargo passes `--bench`.
    let count = std::env::args().find_map(|arg| arg.parse().ok());
    let count = count.unwrap_or(if is_quick { 10_000 } else { 1_000_000 });
    run(silent(count));
    // Time enough for everybody to connect and to ping.
    run(pinging(count, if count > 100_000 { 30 } else { 2 }));
}
