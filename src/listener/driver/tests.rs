//! Drivers of a transport that takes bytes and keeps them, as TLS does, and of a socket that counts.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;

use crate::auth::gate::{Gate, Parts};
use crate::broker::options::Options;
use crate::broker::{Engines, Link};
use crate::cluster::single::Single;
use crate::listener::transport::{Direct, Socket};
use crate::store::memory::Memory;

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
    let engines = Engines {
        auth: Arc::new(Gate::new(Parts {
            anonymous: true,
            ..Parts::default()
        })),
        store: Arc::new(Memory),
        cluster: Arc::new(Single::default()),
    };
    Arc::new(Broker::new(Options::default(), engines))
}

fn patience() -> Patience {
    Patience {
        connect_by: Instant::now() + Duration::from_secs(20),
        write: PATIENCE,
    }
}

fn run(says: Vec<&'static [u8]>, steps: u64) -> (Ending, Duration) {
    let broker = broker();
    let began = Instant::now();
    let permit = broker.accept().expect("it is the first");
    let transport = Hoard {
        says,
        steps,
        moved: AtomicU64::new(0),
    };
    let driver = Driver::new(transport, permit, broker, Default::default(), patience());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let run = async { tokio::time::timeout(Duration::from_secs(20), driver.run()).await };
    let ending = runtime.block_on(run).expect("the connection ends");
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

/// A socket that counts what is asked of the system.
struct Counted {
    socket: UnixStream,
    calls: Arc<Calls>,
}

#[derive(Default)]
struct Calls {
    reads: AtomicU64,
    writes: AtomicU64,
}

impl Calls {
    /// Reads and writes since the last call.
    fn take(&self) -> (u64, u64) {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        (take(&self.reads), take(&self.writes))
    }
}

impl AsFd for Counted {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Socket for Counted {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_read_ready(cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_write_ready(cx)
    }

    fn try_read_io(&self, read: impl FnOnce(&Self) -> io::Result<usize>) -> io::Result<usize> {
        self.socket.try_io(Interest::READABLE, || read(self))
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.calls.reads.fetch_add(1, Ordering::Relaxed);
        self.socket.try_read(buffer)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.calls.writes.fetch_add(1, Ordering::Relaxed);
        self.socket.try_write(bytes)
    }
}

/// Fifty messages at QoS 1 to a topic that nobody subscribes to.
fn batch() -> Vec<u8> {
    (1..=50)
        .flat_map(|id| [0x32, 6, 0, 1, b't', 0, id, b'x'])
        .collect()
}

// Breaks if: a batch is read, or answered, in more than one call, or the end of what there is to read
// is found out by a read that finds nothing.
#[test]
fn a_batch_costs_one_read_and_one_write() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (mut client, socket) = UnixStream::pair().expect("a pair of sockets");
        let calls = Arc::<Calls>::default();
        let counted = Counted {
            socket,
            calls: Arc::clone(&calls),
        };
        let broker = broker();
        let permit = broker.accept().expect("it is the first");
        let driver = Driver::new(
            Direct::new(counted),
            permit,
            broker,
            Default::default(),
            patience(),
        );
        let driver = tokio::spawn(driver.run());
        let mut answer = [0; 50 * 4];
        client.write_all(CONNECT).await.expect("CONNECT");
        client.read_exact(&mut answer[..4]).await.expect("CONNACK");
        calls.take();
        for round in 0..3 {
            client.write_all(&batch()).await.expect("a batch");
            client.read_exact(&mut answer).await.expect("its PUBACKs");
            assert_eq!(answer[196..], [0x40, 2, 0, 50]);
            // The driver, on this thread as well, may not have come to rest yet.
            tokio::task::yield_now().await;
            assert_eq!(calls.take(), (1, 1), "batch {round}");
        }
        drop(client);
        let ending = driver.await.expect("it ends");
        assert_eq!(ending, Ending::Eof);
    });
}
