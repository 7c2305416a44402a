//! A copy of a store that goes on, as it was at a moment.
//!
//! ```text
//!   who asks ──> desk ──> writer: commit, picture ──> who asked: links, or copies; the mark last
//! ```
//!
//! The writer is kept no longer than by any other commit. What had been acknowledged before is in the
//! copy, and perhaps a little more. Files that do not change any more are linked, where that can be
//! done; then they take no room of their own until the store gives them up.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;
use std::{error, fmt};

use super::segments::error::CommitError;
use super::segments::picture::{Picture, Pictured};
use super::writer::Desk;

/// How long the writer may take to answer.
const ANSWER: Duration = Duration::from_secs(60);

/// A snapshot that was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Files of records.
    pub files: u64,
    /// Bytes of them that count.
    pub bytes: u64,
    /// Of which so many were copied, and not linked.
    pub copied: u64,
}

/// A snapshot was not taken. What was begun of it is gone again.
#[derive(Debug)]
pub enum SnapshotError {
    /// There is something in the folder already.
    NotEmpty,
    /// The store cannot make everything durable.
    Store(CommitError),
    /// The store was closed, or did not answer.
    Gone,
    /// The copy cannot be written.
    Copy(io::Error),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEmpty => {
                f.write_str("there is something in it already; expected an empty folder")
            }
            Self::Store(error) => error.fmt(f),
            Self::Gone => f.write_str("the store does not answer"),
            Self::Copy(error) => write!(f, "the copy cannot be written: {error}"),
        }
    }
}

impl error::Error for SnapshotError {}

/// Copies the store in `folder`, as it is now, into a folder that is empty or does not exist.
pub(super) fn take(desk: &Desk, folder: &Path, to: &Path) -> Result<Snapshot, SnapshotError> {
    let made = prepare(to).map_err(SnapshotError::Copy)?;
    if fs::read_dir(to)
        .map_err(SnapshotError::Copy)?
        .next()
        .is_some()
    {
        return Err(SnapshotError::NotEmpty);
    }
    let taken = picture(desk).and_then(|picture| {
        let written = copy(folder, &picture, to);
        written.map_err(SnapshotError::Copy)
    });
    if taken.is_err() {
        tidy_up(to, made);
    }
    taken
}

/// Asks the writer for a picture of the log.
fn picture(desk: &Desk) -> Result<Picture, SnapshotError> {
    let (tell, told) = sync_channel(1);
    desk.ask(Box::new(move |picture| {
        // Who asked may have given up.
        let _ = tell.try_send(picture);
    }));
    match told.recv_timeout(ANSWER) {
        Ok(picture) => picture.map_err(SnapshotError::Store),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(SnapshotError::Gone),
    }
}

/// Makes the folder, for its owner only; returns whether it did.
fn prepare(folder: &Path) -> io::Result<bool> {
    if folder.is_dir() {
        return Ok(false);
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    Ok(true)
}

/// What is in the folder was put there by a snapshot that failed.
fn tidy_up(folder: &Path, made: bool) {
    // That it cannot be removed is not the error to tell.
    let _ = match made {
        true => fs::remove_dir_all(folder),
        false => fs::read_dir(folder)
            .and_then(|mut all| all.try_for_each(|entry| fs::remove_file(entry?.path()))),
    };
}

fn copy(from: &Path, picture: &Picture, to: &Path) -> io::Result<Snapshot> {
    let mut snapshot = Snapshot::default();
    for it in &picture.files {
        snapshot.files += 1;
        snapshot.bytes += it.bytes;
        let linked = !it.grows && fs::hard_link(from.join(&it.name), to.join(&it.name)).is_ok();
        if !linked {
            copy_file(from, it, to)?;
            snapshot.copied += it.bytes;
        }
    }
    sync_folder(to)?;
    // Without it what is there is no whole log, and says so.
    let (name, bytes) = &picture.mark;
    let mut mark = create(&to.join(name))?;
    mark.write_all(bytes)?;
    mark.sync_all()?;
    sync_folder(to)?;
    let above = to.parent().filter(|it| !it.as_os_str().is_empty());
    sync_folder(above.unwrap_or(Path::new(".")))?;
    Ok(snapshot)
}

fn copy_file(from: &Path, it: &Pictured, to: &Path) -> io::Result<()> {
    let mut source = File::open(from.join(&it.name))?.take(it.bytes);
    let mut target = create(&to.join(&it.name))?;
    if io::copy(&mut source, &mut target)? < it.bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    target.sync_all()
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
