//! What a store promises.
//!
//! The broker appends a [`Record`] for every change of state that an acknowledgement promises, and
//! sends the acknowledgement only after the store has said that the record is as safe as the
//! configured durability asks for:
//!
//! - [`Progress::Done`]: it is as safe already;
//! - [`Progress::Later`]: the [`Receipt`] is told once, from any thread, perhaps before `append`
//!   returns.
//!
//! Records are kept in the order in which they were appended, and the outcome of one covers all before
//! it: who is told that a PUBACK is safe may rely on the SUBSCRIBE before it. A record without a
//! receipt is kept in its place like any other; it is safe when a later one is.
//!
//! An outcome may be a [`Failure`]: then the record is not safe, and what depends on it is refused. It
//! may be there after a restart all the same, since a store goes on trying to write what it took. So
//! what cannot be kept is better refused before: [`Store::accepts`] says so without an append.

use super::record::Record;
use super::{Failure, Progress, Receipt};

/// Keeps records.
pub trait Store: Send + Sync {
    /// Appends a record. `receipt` makes the receipt if one is needed; without it nobody waits.
    ///
    /// Never blocks. May be called under any lock that [`super::Waits::outcome`] does not take.
    fn append(&self, record: Record<'_>, receipt: Option<&mut dyn FnMut() -> Receipt>) -> Progress;

    /// Whether records that need room are taken now. Costs no more than a load or two.
    ///
    /// # Errors
    ///
    /// Why not. Records that make the store smaller, acknowledgements above all, are taken even then.
    fn accepts(&self) -> Result<(), Failure>;

    /// How it is, for metrics.
    fn health(&self) -> Health;
}

/// How a store is. Counts are since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why nothing more is taken, if so.
    pub failure: Option<Failure>,
    /// Bytes on the disk.
    pub disk: u64,
    /// Bytes of records that were taken and are not safe yet.
    pub pending: u64,
    /// Records that were taken.
    pub records: u64,
    /// Commits that succeeded.
    pub commits: u64,
    /// Commits that failed.
    pub failures: u64,
    /// Records that named a session, group or message that is not kept.
    pub unknown: u64,
    /// Messages that are kept.
    pub messages: u64,
}
