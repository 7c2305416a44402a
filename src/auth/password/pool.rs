//! Threads for what takes too long on a connection's own: a few, with a bounded line in front of them.
//!
//! A pool that is dropped takes on nothing more, does what it has taken on, and ends its threads.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};

/// Something to be done.
pub type Job = Box<dyn FnOnce() + Send>;

/// The handle of the threads.
pub struct Pool(Arc<Shared>);

struct Shared {
    line: Mutex<Line>,
    more: Condvar,
    waiting_maximum: usize,
}

struct Line {
    /// Not yet begun, oldest first; never more than `waiting_maximum`.
    waiting: VecDeque<Job>,
    closed: bool,
}

impl Pool {
    /// A pool of so many threads, before which so many jobs may wait.
    ///
    /// # Errors
    ///
    /// The system has no threads to give.
    pub fn new(threads: usize, waiting_maximum: usize) -> io::Result<Self> {
        let pool = Self(Arc::new(Shared {
            line: Mutex::new(Line {
                waiting: VecDeque::new(),
                closed: false,
            }),
            more: Condvar::new(),
            waiting_maximum,
        }));
        for _ in 0..threads {
            let shared = Arc::clone(&pool.0);
            let builder = thread::Builder::new().name("passwords".to_owned());
            // If this fails, the pool goes, and with it the threads that are there.
            builder.spawn(move || shared.work())?;
        }
        Ok(pool)
    }

    /// Takes on a job, if there is room for one more to wait. It is made only then.
    pub fn take_on(&self, job: impl FnOnce() -> Job) -> bool {
        let mut line = self.0.line.lock();
        if line.waiting.len() >= self.0.waiting_maximum {
            return false;
        }
        line.waiting.push_back(job());
        drop(line);
        self.0.more.notify_one();
        true
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.line.lock().closed = true;
        self.0.more.notify_all();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}

impl Shared {
    /// One thread: job after job until the pool is gone and nothing is left.
    fn work(&self) {
        while let Some(job) = self.next() {
            job();
        }
    }

    fn next(&self) -> Option<Job> {
        let mut line = self.line.lock();
        loop {
            if let Some(job) = line.waiting.pop_front() {
                return Some(job);
            }
            if line.closed {
                return None;
            }
            self.more.wait(&mut line);
        }
    }
}

#[cfg(test)]
mod tests;
