//! What must survive, and how an acknowledgement waits for it.
//!
//! # The contract
//!
//! The broker appends a [`Record`] for every change of state that an acknowledgement promises, and
//! sends the acknowledgement only after the store has said that the record is as safe as the
//! configured durability asks for:
//!
//! - [`Progress::Done`]: it is as safe already;
//! - [`Progress::Later`]: the [`Receipt`] is told once, from another thread, perhaps before `append`
//!   returns;
//! - [`Progress::Refused`]: there is no room, or the medium has failed. The record was not taken, and
//!   will not be there after a restart: what asked for it is to be refused before anybody hears of it.
//!
//! How safe is safe is the receipt's to say: see [`Safety`].
//!
//! Records are kept in the order in which they were appended, and the outcome of one covers all before
//! it: who is told that a PUBACK is safe may rely on the SUBSCRIBE before it. A record without a
//! receipt is kept in its place like any other; it is safe when a later one is.
//!
//! An outcome may be a [`Failure`]: then the record is not safe, and what depends on it is refused. It
//! may be there after a restart all the same, since a store goes on trying to write what it took. Who
//! can only wait until it did is *patient*, and hears of success alone.
//!
//! With [`super::memory::Memory`] a record is safe as soon as the broker holds it: state outlives connections
//! but not the process. [`super::disk::Disk`] keeps records in a log of its own.

use std::fmt;
use std::sync::Arc;

use super::record::Record;
use crate::message::Message;

/// How far an append got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The record is as safe as it will be.
    Done,
    /// The receipt will be told.
    Later,
    /// The record was not taken. Only records that need room are refused: sessions that were not there
    /// before, subscriptions, groups and messages.
    Refused(Failure),
}

/// What must have happened to a record before its receipt is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Safety {
    /// The operating system has it: the end of the process does it no harm.
    Written,
    /// It is on stable storage: a power cut does it no harm.
    Flushed,
}

/// Why a record could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No room is left.
    Full,
    /// The medium failed.
    Broken,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the store is full",
            Self::Broken => "the store cannot be written",
        })
    }
}

impl std::error::Error for Failure {}

/// Where the outcome of an append goes.
pub struct Receipt {
    /// Who waits.
    pub to: Arc<dyn Waits>,
    /// For what: a number that means something to the one who waits.
    pub ticket: u64,
    /// What it waits for.
    pub safety: Safety,
    /// Whether it is told of success only, however long that takes: never, if the process ends before.
    pub patient: bool,
}

impl Receipt {
    /// Tells the outcome.
    pub fn tell(self, outcome: Result<(), Failure>) {
        self.to.outcome(self.ticket, outcome);
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("ticket", &self.ticket)
            .finish_non_exhaustive()
    }
}

/// Someone who waits for outcomes.
pub trait Waits: Send + Sync {
    /// Called once for each receipt, from a thread that waits for no append. Must be quick.
    fn outcome(&self, ticket: u64, outcome: Result<(), Failure>);
}

/// Someone to whom messages are read back.
pub trait Recalls: Send + Sync {
    /// Called once for each [`Store::recall`] with at least one number: the messages by their numbers,
    /// or nothing in place of one that cannot be read. Must be quick.
    fn recalled(&self, found: Vec<(u64, Option<Message>)>);
}

/// Keeps records.
pub trait Store: Send + Sync {
    /// Appends a record. `receipt` makes the receipt if one is needed; without it nobody waits.
    ///
    /// Never blocks, nor waits for who is told an outcome: it may be called under any lock.
    fn append(&self, record: Record<'_>, receipt: Option<&mut dyn FnMut() -> Receipt>) -> Progress;

    /// Whether anything of the records is found again after the process: if not, nobody needs to make
    /// those that nothing waits for, nor to number messages and follow their deliveries.
    fn remembers(&self) -> bool;

    /// Whether records that need room are taken now. Costs no more than a load or two.
    ///
    /// # Errors
    ///
    /// Why not. Records that make the store smaller, acknowledgements above all, are taken even then.
    fn accepts(&self) -> Result<(), Failure>;

    /// Reads messages back for one who left them to the store; asked only of a store that remembers.
    ///
    /// The answer comes later, from a thread that waits for no append: all of `numbers` in their order,
    /// or the first of them, at least one.
    fn recall(&self, numbers: Vec<u64>, to: Arc<dyn Recalls>);

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
