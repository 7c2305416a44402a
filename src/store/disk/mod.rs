//! A store on the disk: a log of records, and a mirror in memory of what they add up to.
//!
//! ```text
//!   append ──> writer (a thread) ──> engine ──> segments   files, flushes, recovery
//!                                      ├──> mirror         who holds which message, and where it is
//!                                      └──> compaction     the oldest segment is given up
//! ```
//!
//! Messages are not held in memory: the mirror knows where each is, in about 32 bytes. They are read
//! back when the store is opened.
//!
//! A store that goes on is copied by [`snapshot`]. One that lies still is read, and never opened, by [`inspect`] and
//! [`export`]; [`import`] makes one.

mod bytes;
mod compaction;
mod elide;
pub mod engine;
mod entry;
pub mod export;
mod format;
mod gone;
pub mod import;
pub mod inspect;
mod line;
mod look;
mod messages;
mod mirror;
mod numbers;
pub mod options;
mod recall;
mod replay;
pub mod report;
pub mod segments;
mod sets;
pub mod snapshot;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::contract::{Ask, Failure, Health, Progress, Recalls, Store};
use super::record::Record;
use super::state::State;
use engine::Engine;
use options::Options;
use report::Report;
use segments::error::OpenError;
use segments::files;
use snapshot::{Snapshot, SnapshotError};
use writer::Desk;

/// A store on the disk. Dropping it closes it.
pub struct Disk {
    folder: PathBuf,
    desk: Arc<Desk>,
    pending_maximum: usize,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Disk {
    /// Opens the store in a folder, or creates one.
    ///
    /// # Errors
    ///
    /// If another process has it open, it is of a later version, or the disk fails; if it is damaged,
    /// and the options ask to refuse that.
    pub fn open(path: &Path, options: Options) -> Result<(Self, State, Report), OpenError> {
        let pending_maximum = options.pending_maximum;
        let files = files::Disk::new(path)?;
        let (mut engine, mut report) = Engine::open(files, options, writer::now())?;
        let (state, unread) = engine.state();
        report.unread = unread;
        let desk = Arc::new(Desk::default());
        let shared = Arc::clone(&desk);
        let writer = std::thread::Builder::new().name("store".into());
        let writer = writer.spawn(move || writer::run(engine, &shared))?;
        let disk = Self {
            folder: path.to_owned(),
            desk,
            pending_maximum,
            writer: Mutex::new(Some(writer)),
        };
        Ok((disk, state, report))
    }

    /// Copies the store, as it is now, into a folder that is empty or does not exist. What comes of it
    /// opens like any store. Blocks until the copy is durable; the store goes on meanwhile.
    ///
    /// # Errors
    ///
    /// If the folder is not empty, the store cannot make everything durable, or the copy cannot be written.
    pub fn snapshot(&self, to: &Path) -> Result<Snapshot, SnapshotError> {
        snapshot::take(&self.desk, &self.folder, to)
    }

    /// Writes and flushes everything and ends the writer.
    ///
    /// # Errors
    ///
    /// If the last records could not be written.
    pub fn close(&self) -> Result<(), Failure> {
        self.desk.close();
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            return Err(Failure::Broken);
        }
        self.desk.failure().map_or(Ok(()), Err)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Who wants to know how it went calls `close`.
        let _ = self.close();
    }
}

impl Store for Disk {
    fn append(&self, record: Record<'_>, ask: Option<Ask<'_>>) -> Progress {
        self.desk.put(&record, ask, self.pending_maximum)
    }

    fn remembers(&self) -> bool {
        true
    }

    fn accepts(&self) -> Result<(), Failure> {
        match self.desk.failure() {
            Some(failure) => Err(failure),
            None if self.desk.is_behind(self.pending_maximum) => Err(Failure::Full),
            None => Ok(()),
        }
    }

    fn recall(&self, numbers: Vec<u64>, to: Arc<dyn Recalls>) {
        self.desk.recall(numbers, to);
    }

    fn health(&self) -> Health {
        self.desk.health()
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}
