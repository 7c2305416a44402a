//! Drivers of a transport that takes bytes and keeps them, as TLS does.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::auth::gate::{Gate, Parts};
use crate::broker::options::Options;
use crate::broker::{Engines, Link};
use crate::cluster::single::Single;
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

fn run(says: Vec<&'static [u8]>, steps: u64) -> (Ending, Duration) {
    let engines = Engines {
        auth: Arc::new(Gate::new(Parts {
            anonymous: true,
            ..Parts::default()
        })),
        store: Arc::new(Memory),
        cluster: Arc::new(Single::default()),
    };
    let broker = Arc::new(Broker::new(Options::default(), engines));
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
