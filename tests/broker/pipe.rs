//! The transport of a client that is a plain value: it takes as many bytes as the test allows.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use postbud::broker::Link;

/// Both ends of a transport.
pub struct Pipe {
    inner: Mutex<Inner>,
    woken: AtomicBool,
    broken: AtomicBool,
    direct: bool,
    writes: AtomicUsize,
    wakes: AtomicUsize,
}

struct Inner {
    written: Vec<u8>,
    /// Bytes it still takes; `None` takes everything.
    room: Option<usize>,
}

impl Pipe {
    /// A pipe that takes everything. One that is not direct is written to by its own task only.
    pub fn new(direct: bool) -> Arc<Self> {
        let inner = Inner {
            written: Vec::new(),
            room: None,
        };
        Arc::new(Self {
            inner: Mutex::new(inner),
            woken: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            direct,
            writes: AtomicUsize::new(0),
            wakes: AtomicUsize::new(0),
        })
    }

    /// Sets how many bytes it takes from now on.
    pub fn set_room(&self, room: Option<usize>) {
        self.inner.lock().room = room;
    }

    pub fn has_room(&self) -> bool {
        self.inner.lock().room != Some(0)
    }

    /// From now on every write fails.
    pub fn break_down(&self) {
        self.broken.store(true, Ordering::Release);
    }

    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        if self.broken.load(Ordering::Acquire) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut inner = self.inner.lock();
        let taken = inner.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Some(room) = &mut inner.room {
            *room -= taken;
        }
        inner.written.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// What has been written since the last call.
    pub fn take_written(&self) -> Vec<u8> {
        std::mem::take(&mut self.inner.lock().written)
    }

    /// Takes so many bytes more without an allocation of its own.
    pub fn make_room(&self, bytes: usize) {
        self.inner.lock().written.reserve(bytes);
    }

    /// How often it was written to, and its task woken.
    pub fn calls(&self) -> (usize, usize) {
        let calls = [&self.writes, &self.wakes].map(|it| it.load(Ordering::Relaxed));
        (calls[0], calls[1])
    }

    /// Whether its task was woken since the last call.
    pub fn take_woken(&self) -> bool {
        self.woken.swap(false, Ordering::AcqRel)
    }

    pub fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }
}

/// What the broker sees of a pipe.
pub struct PipeLink(pub Arc<Pipe>);

impl Link for PipeLink {
    fn is_direct(&self) -> bool {
        self.0.direct
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        assert!(self.0.direct, "only its own task writes to this transport");
        self.0.write(bytes)
    }

    fn wake(&self) {
        self.0.wakes.fetch_add(1, Ordering::Relaxed);
        self.0.woken.store(true, Ordering::Release);
    }
}
