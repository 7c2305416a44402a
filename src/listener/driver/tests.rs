//! Drivers of a transport that takes bytes and keeps them, as TLS does.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::task::Wake;

use crate::broker::Link;
use crate::broker::options::Options;
use crate::broker::testing::engines;

use super::*;

/// CONNECT of MQTT 3.1.1 without a Keep Alive.
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c";
const PINGREQ: &[u8] = &[0xc0, 0x00];

/// More steps than anybody waits for: such a transport takes none of them.
const NEVER: u64 = u64::MAX;

/// How long a driver waits for its transport.
const PATIENCE: Duration = Duration::from_millis(50);

/// A transport that takes whatever is written and moves it on in so many steps, one for each time
/// it is asked. Its peer says what it has to say, from the last to the first, and closes when all
/// steps are done.
struct Hoard {
    says: Vec<&'static [u8]>,
    steps: u64,
    moved: AtomicU64,
}

struct NoLink;

impl Link for NoLink {
    fn is_direct(&self) -> bool {
        false
    }

    fn try_write(&self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn wake(&self) {}
}

impl Hoard {
    fn is_stuck(&self) -> bool {
        self.moved.load(Ordering::Relaxed) < self.steps
    }
}

impl Transport for Hoard {
    fn link(&self, _: Arc<Alarm>) -> Box<dyn Link> {
        Box::new(NoLink)
    }

    fn poll_read(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.says.pop() {
            Some(bytes) => {
                buffer[..bytes.len()].copy_from_slice(bytes);
                Poll::Ready(Ok(bytes.len()))
            }
            None if self.is_stuck() => Poll::Pending,
            None => Poll::Ready(Ok(0)),
        }
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_stuck() {
            return Poll::Ready(Ok(()));
        }
        if self.steps != NEVER {
            self.moved.fetch_add(1, Ordering::Relaxed);
        }
        Poll::Pending
    }

    fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn broker() -> Arc<Broker> {
    Arc::new(Broker::new(Options::default(), engines()))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
}

fn run(says: Vec<&'static [u8]>, steps: u64) -> (Ending, Duration) {
    let broker = broker();
    let began = Instant::now();
    let patience = Patience {
        connect_by: began + Duration::from_secs(20),
        write: PATIENCE,
    };
    let permit = broker.accept().expect("it is the first");
    let transport = Hoard {
        says,
        steps,
        moved: AtomicU64::new(0),
    };
    let driver = Driver::new(transport, permit, broker, Default::default(), patience);
    let run = async { tokio::time::timeout(Duration::from_secs(20), driver).await };
    let ending = runtime().block_on(run).expect("the connection ends");
    (ending, began.elapsed())
}

#[test]
fn bytes_that_are_taken_and_do_not_move_end_the_connection() {
    let (ending, _) = run(vec![CONNECT], NEVER);
    assert_eq!(ending, Ending::WriteTimeout);
    // Answers that join the heap move nothing.
    let (ending, _) = run(vec![PINGREQ, PINGREQ, CONNECT], NEVER);
    assert_eq!(ending, Ending::WriteTimeout);
}

#[test]
fn bytes_that_move_slowly_end_nothing() {
    // Nothing wakes the driver but its own patience, which begins anew with each step.
    let (ending, took) = run(vec![CONNECT], 4);
    assert_eq!(ending, Ending::Eof);
    assert!(took > 2 * PATIENCE, "the steps were not apart");
}

/// CONNECT of MQTT 3.1.1 with a Keep Alive of 19 s, and of an hour.
const CONNECT_WITH_KEEP_ALIVE: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x13\x00\x01c";
const CONNECT_FOR_LONG: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x0e\x10\x00\x01c";

/// A transport that takes everything at once, and whose peer says what it is told to.
struct Plain(mpsc::Receiver<&'static [u8]>);

struct PlainLink(Arc<Alarm>);

impl Link for PlainLink {
    fn is_direct(&self) -> bool {
        true
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn wake(&self) {
        self.0.ring();
    }
}

impl Transport for Plain {
    fn link(&self, alarm: Arc<Alarm>) -> Box<dyn Link> {
        Box::new(PlainLink(alarm))
    }

    fn poll_read(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let Ok(bytes) = self.0.try_recv() else {
            return Poll::Pending;
        };
        buffer[..bytes.len()].copy_from_slice(bytes);
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

/// Counts how often a driver asks to be polled.
#[derive(Default)]
struct Wakes(AtomicU64);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A driver that is polled by hand.
struct Idle {
    driver: Driver<Plain>,
    client: mpsc::Sender<&'static [u8]>,
    wakes: Arc<Wakes>,
}

impl Idle {
    fn new() -> Self {
        let broker = broker();
        let patience = Patience {
            connect_by: Instant::now() + Duration::from_secs(20),
            write: PATIENCE,
        };
        let permit = broker.accept().expect("it is the first");
        let (client, said) = mpsc::channel();
        let transport = Plain(said);
        let driver = Driver::new(transport, permit, broker, Default::default(), patience);
        Self {
            driver,
            client,
            wakes: Arc::default(),
        }
    }

    /// Has the client say something, if anything, and polls; the driver goes to sleep.
    fn poll(&mut self, says: Option<&'static [u8]>) {
        says.map_or(Ok(()), |it| self.client.send(it))
            .expect("it listens");
        let waker = Arc::clone(&self.wakes).into();
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut self.driver).poll(&mut cx).is_pending());
        assert_eq!(self.wakes.0.load(Ordering::Relaxed), 0, "it does not sleep");
    }

    /// When the timer fires, if there is one.
    fn timer(&self) -> Option<Instant> {
        let timer = self.driver.timer.as_ref();
        timer.map(|timer| timer.deadline().into_std())
    }
}

// Breaks if: anything periodic is done for a connection that said it would be silent.
#[test]
fn an_idle_connection_without_a_keep_alive_arms_no_timer() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let mut idle = Idle::new();
    idle.poll(None);
    assert!(idle.timer().is_some(), "CONNECT is waited for");
    idle.poll(Some(CONNECT));
    assert!(idle.driver.connection.is_open());
    assert_eq!(idle.timer(), None);
    idle.poll(Some(PINGREQ));
    assert_eq!(idle.timer(), None);
}

// Breaks if: the timer is moved by each packet, or set to less than the time that is left.
#[test]
fn an_idle_connection_has_one_timer_event_for_each_keep_alive_at_most() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let mut idle = Idle::new();
    idle.poll(Some(CONNECT_WITH_KEEP_ALIVE));
    let first = idle.driver.connection.deadline();
    assert_eq!(idle.timer(), first);
    let keep_alive = Duration::from_secs(19);
    assert!(first.expect("a deadline") > Instant::now() + keep_alive);
    for _ in 0..3 {
        idle.poll(Some(PINGREQ));
    }
    let later = idle.driver.connection.deadline();
    assert!(later > first, "PINGREQ counts");
    assert_eq!(
        idle.timer(),
        first,
        "the timer is left alone until it fires"
    );
    // It fires.
    let timer = idle.driver.timer.as_mut().expect("a timer");
    timer.as_mut().reset(tokio::time::Instant::now());
    runtime.block_on(timer.as_mut());
    idle.poll(None);
    assert_eq!(idle.timer(), later, "and is set for all that is left, once");
    assert!(idle.driver.connection.is_open());
}

// Breaks if: a connection that may be silent for long has a timer of its own, or is not woken in the end.
#[test]
fn a_long_keep_alive_takes_no_timer() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let mut idle = Idle::new();
    idle.poll(Some(CONNECT_FOR_LONG));
    assert_eq!(idle.timer(), None);
    let broker = Arc::clone(idle.driver.connection.broker());
    let mut batch = Batch::new(now());
    batch.now.instant += Duration::from_secs(5399);
    broker.tick(&mut batch);
    assert_eq!(idle.wakes.0.load(Ordering::Relaxed), 0);
    batch.now.instant += Duration::from_secs(3);
    broker.tick(&mut batch);
    assert_eq!(idle.wakes.0.swap(0, Ordering::Relaxed), 1);
    // By its own clock it is not so late.
    idle.poll(None);
    assert!(idle.driver.connection.is_open());
    assert_eq!(idle.timer(), None);
}

mod gathered;
mod socket;
