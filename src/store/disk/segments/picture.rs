//! What a copy of the log is made of, taken while the log goes on.
//!
//! A file of records never changes but at the end of the one that grows, as long as it is a file of
//! records: what would change it is that it is used again once its segment was given up, and what would
//! lose it is that it is removed. So while somebody has a picture, files that are given up are left
//! where they are; and a file that has another name as well, in a copy, is never used again.

use std::sync::{Arc, Weak};

use super::error::CommitError;
use super::files::Files;
use super::format::{self, HEADER};
use super::log::Log;
use super::mark;

/// What was durable at a moment. Files stay where they are until it is dropped.
#[derive(Debug)]
pub struct Picture {
    /// Files of records.
    pub files: Vec<Pictured>,
    /// The name and the bytes of the mark that goes with them. It is what makes them a log, so it comes
    /// last.
    pub mark: (&'static str, Vec<u8>),
    _held: Arc<()>,
}

/// A file of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pictured {
    /// Its name.
    pub name: String,
    /// How much of it counts.
    pub bytes: u64,
    /// Whether the log goes on in it, so that only a copy of the bytes stays as it is.
    pub grows: bool,
}

/// Who has pictures.
#[derive(Debug, Default)]
pub(super) struct Pictures(Weak<()>);

impl Pictures {
    pub fn are_held(&self) -> bool {
        self.0.strong_count() > 0
    }

    fn hold(&mut self) -> Arc<()> {
        let held = self.0.upgrade().unwrap_or_default();
        self.0 = Arc::downgrade(&held);
        held
    }
}

impl<F: Files> Log<F> {
    /// Makes everything durable and says what the log consists of then.
    ///
    /// # Errors
    ///
    /// If not everything can be made durable.
    pub fn picture(&mut self) -> Result<Picture, CommitError> {
        self.commit(true)?;
        let growing = self.growing();
        let files = self.parts.values().flatten().map(|it| Pictured {
            name: format::log_name(it.number),
            bytes: HEADER + u64::from(it.stop - it.base),
            grows: Some(it.number) == growing,
        });
        let files = files.collect();
        let mark = self.mark();
        Ok(Picture {
            files,
            mark: (mark::NAMES[(mark.counter % 2) as usize], mark.encode()),
            _held: self.pictures.hold(),
        })
    }

    /// The file in which the log goes on, if it does in one that is there.
    fn growing(&self) -> Option<u32> {
        let tail = self.tail.filter(|it| !it.sealed)?;
        self.parts.get(&tail.segment)?.last().map(|it| it.number)
    }

    /// Whether a file has another name, in a copy: then it is not this log's alone to write to.
    pub(super) fn is_copied(&self, name: &str) -> bool {
        self.files.names(name).is_ok_and(|count| count > 1)
    }
}
