//! What a driver asks of the system.

use std::os::fd::{AsFd, BorrowedFd};

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use parking_lot::Mutex;

use crate::listener::transport::{Direct, Socket};

use super::*;

/// A socket that counts what is asked of the system.
pub(super) struct Counted {
    socket: UnixStream,
    /// Its peer, until that is handed out.
    client: Option<UnixStream>,
    calls: Arc<Calls>,
    /// What its peer says once more than CONNECT has been read.
    more: Mutex<Option<(UnixStream, Vec<u8>)>>,
}

impl Counted {
    pub(super) fn new(calls: &Arc<Calls>) -> Self {
        let (client, socket) = UnixStream::pair().expect("a pair of sockets");
        Self {
            socket,
            client: Some(client),
            calls: Arc::clone(calls),
            more: Mutex::default(),
        }
    }

    /// The same, with a peer that says `more` as soon as what it says behind its CONNECT has been read.
    pub(super) fn saying_more(self, more: Vec<u8>) -> Self {
        let client = self.client.as_ref().expect("still there").as_fd();
        let client = client.try_clone_to_owned().expect("another descriptor");
        let client = UnixStream::from_std(client.into()).expect("registered");
        *self.more.lock() = Some((client, more));
        self
    }

    /// Its peer, and itself.
    pub(super) fn connected(mut self) -> (UnixStream, Self) {
        (self.client.take().expect("once"), self)
    }
}

/// Has a driver drive it.
pub(super) fn drive<T: Transport>(broker: &Arc<Broker>, transport: T) -> JoinHandle<Ending> {
    let patience = Patience {
        connect_by: Instant::now() + Duration::from_secs(20),
        write: PATIENCE,
    };
    let permit = broker.accept().expect("there is room");
    let broker = Arc::clone(broker);
    let driver = Driver::new(transport, permit, broker, Default::default(), patience);
    tokio::spawn(driver)
}

#[derive(Default)]
pub(super) struct Calls {
    reads: AtomicU64,
    writes: AtomicU64,
}

impl Calls {
    /// Reads and writes since the last call.
    pub(super) fn take(&self) -> (u64, u64) {
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
        let count = self.socket.try_read(buffer)?;
        if let Some((client, more)) = self.more.lock().take_if(|_| buffer[0] >> 4 == 3) {
            client.try_write(&more).expect("there is room");
        }
        Ok(count)
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
        let calls = Arc::<Calls>::default();
        let (mut client, counted) = Counted::new(&calls).connected();
        let driver = drive(&broker(), Direct::new(counted));
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
