//! What a driver asks of the system.

use std::os::fd::{AsFd, BorrowedFd};

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;

use crate::listener::transport::{Direct, Socket};

use super::*;

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
        let patience = Patience {
            connect_by: Instant::now() + Duration::from_secs(20),
            write: PATIENCE,
        };
        let permit = broker.accept().expect("it is the first");
        let driver = Driver::new(
            Direct::new(counted),
            permit,
            broker,
            Default::default(),
            patience,
        );
        let driver = tokio::spawn(driver);
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
