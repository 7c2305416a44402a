//! What can go wrong, and who must hear of it.

use std::{error, fmt, io};

use super::types::Recovered;

/// The log cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The operating system failed at something.
    Io(io::Error),
    /// Another process has the log open.
    Locked,
    /// A file is of a later version of the format.
    Newer {
        /// The file's name.
        file: String,
        /// Its version.
        version: u32,
    },
    /// There is damage, and the options ask to refuse it.
    Damaged(Box<Recovered>),
}

/// An entry was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// The disk or the bound on its use is full; only kinds that make the log smaller are taken.
    Full,
    /// The entry is larger than the options allow.
    TooLong,
    /// The kind is one of those that the log keeps for itself: 0, and from 253 on.
    Kind,
    /// All segment numbers are used.
    Exhausted,
}

/// What was appended is not as safe as was asked; it is still in memory, and the next commit tries
/// again, in a new file.
#[derive(Debug)]
pub enum CommitError {
    /// The disk is full, the reserve included.
    Full,
    /// The operating system failed.
    Io(io::Error),
}

/// An entry cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// There is no such segment or offset.
    Unknown,
    /// What is there is not the entry.
    Damaged,
    /// The operating system failed.
    Io(io::Error),
}

/// A segment was not retired.
#[derive(Debug)]
pub enum RetireError {
    /// There is no such segment.
    Unknown,
    /// It still takes entries.
    Current,
    /// What was carried forward may not be durable yet: commit with a flush first.
    Uncommitted,
    /// The operating system failed; it may be tried again.
    Io(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the store cannot be opened: {error}"),
            Self::Locked => f.write_str("the store is in use by another process"),
            Self::Newer { file, version } => {
                write!(
                    f,
                    "{file} has format version {version}, which is newer than this program's"
                )
            }
            Self::Damaged(found) => {
                let count = found.damage.len();
                write!(f, "the store is damaged in {count} places")?;
                found.damage.iter().try_for_each(|it| write!(f, "; {it}"))
            }
        }
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the store is full",
            Self::TooLong => "the entry is too long",
            Self::Kind => "the kind of entry is reserved",
            Self::Exhausted => "the store has used all segment numbers",
        })
    }
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the disk is full"),
            Self::Io(error) => write!(f, "the store cannot write: {error}"),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the entry does not exist"),
            Self::Damaged => f.write_str("the entry is damaged"),
            Self::Io(error) => write!(f, "the store cannot read: {error}"),
        }
    }
}

impl fmt::Display for RetireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the segment does not exist"),
            Self::Current => f.write_str("the segment still takes entries"),
            Self::Uncommitted => f.write_str("something is not committed yet"),
            Self::Io(error) => write!(f, "the segment cannot be retired: {error}"),
        }
    }
}

impl error::Error for OpenError {}
impl error::Error for AppendError {}
impl error::Error for CommitError {}
impl error::Error for ReadError {}
impl error::Error for RetireError {}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Whether an error says that there is no room, rather than that something is broken.
pub(super) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}
