//! What must survive, and how an acknowledgement waits for it.
//!
//! # The contract
//!
//! The broker appends a [`Record`] for every change of state that an acknowledgement promises, and
//! sends the acknowledgement only after the store has said that the record is as safe as the
//! configured durability asks for:
//!
//! - [`Progress::Done`]: it is as safe already;
//! - [`Progress::Later`]: who asked is told once, from another thread, perhaps before `append` returns;
//! - [`Progress::Refused`]: there is no room, or the medium has failed. The record was not taken, and
//!   will not be there after a restart: what asked for it is to be refused before anybody hears of it.
//!
//! How safe is safe is for the one who asks to say: see [`Safety`].
//!
//! Records are kept in the order in which they were appended, and the outcome of one covers all before
//! it: who is told that a PUBACK is safe may rely on the SUBSCRIBE before it. A record without a
//! receipt is kept in its place like any other; it is safe when a later one is. So what one asks for in a
//! row, and becomes safe together, is told at once.
//!
//! An outcome may be a [`Failure`]: then the record is not safe, and what depends on it is refused. It
//! may be there after a restart all the same, since a store goes on trying to write what it took. Who
//! can only wait until it did is *patient*, and hears of success alone.
//!
//! With [`super::memory::Memory`] a record is safe as soon as the broker holds it: state outlives connections
//! but not the process. [`super::disk::Disk`] keeps records in a log of its own.

use std::fmt;
use std::ops::RangeInclusive;
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

/// What an append is to be followed by: who is told when the record is safe, and how safe.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Who waits.
    pub to: &'a dyn Waiter,
    /// For what: a number that means something to the one who waits. What it asks for later has a
    /// larger one.
    pub ticket: u64,
    /// What it waits for.
    pub safety: Safety,
    /// Whether it is told of success only, however long that takes: never, if the process ends before.
    pub patient: bool,
}

impl Ask<'_> {
    /// The receipt, for a store that will answer later.
    pub fn receipt(&self) -> Receipt {
        Receipt {
            to: self.to.waits(),
            tickets: self.ticket..=self.ticket,
            safety: self.safety,
            patient: self.patient,
        }
    }

    /// Whether a receipt that has not been told goes to the same one.
    pub fn is_of(&self, receipt: &Receipt) -> bool {
        self.to.is(&receipt.to)
    }

    /// Makes a receipt of this one's last record stand for this record as well, which is behind it and
    /// will share its outcome; whether it can.
    pub fn join(&self, receipt: &mut Receipt) -> bool {
        let joins = (self.safety, self.patient) == (receipt.safety, receipt.patient);
        if joins {
            receipt.tickets = *receipt.tickets.start()..=self.ticket;
        }
        joins
    }
}

/// One who may be asked who it is without being counted once more.
pub trait Waiter {
    /// A handle to keep.
    fn waits(&self) -> Arc<dyn Waits>;

    /// Whether that is a handle to this very one.
    fn is(&self, handle: &Arc<dyn Waits>) -> bool;
}

impl<T: Waits + 'static> Waiter for Arc<T> {
    fn waits(&self) -> Arc<dyn Waits> {
        Self::clone(self)
    }

    fn is(&self, handle: &Arc<dyn Waits>) -> bool {
        std::ptr::addr_eq(Self::as_ptr(self), Arc::as_ptr(handle))
    }
}

/// Where the outcome of an append goes, or of several in a row that one has asked for: the writer of a
/// store has less to tell, and who is told less to hear.
pub struct Receipt {
    /// Who waits.
    pub to: Arc<dyn Waits>,
    /// For what: all that it has asked for with tickets from the first to the last of these.
    pub tickets: RangeInclusive<u64>,
    /// What it waits for.
    pub safety: Safety,
    /// See [`Ask::patient`].
    pub patient: bool,
}

impl Receipt {
    /// Tells the outcome.
    pub fn tell(self, outcome: Result<(), Failure>) {
        self.to.outcome(self.tickets, outcome);
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("tickets", &self.tickets)
            .finish_non_exhaustive()
    }
}

/// Someone who waits for outcomes.
pub trait Waits: Send + Sync {
    /// Called once for each receipt, from a thread that waits for no append: what it asked for with
    /// these tickets has this outcome. Must be quick.
    fn outcome(&self, tickets: RangeInclusive<u64>, outcome: Result<(), Failure>);
}

/// Someone to whom messages are read back.
pub trait Recalls: Send + Sync {
    /// Called once for each [`Store::recall`] with at least one number: the messages by their numbers,
    /// or nothing in place of one that cannot be read. Must be quick.
    fn recalled(&self, found: Vec<(u64, Option<Message>)>);
}

/// Keeps records.
pub trait Store: Send + Sync {
    /// Appends a record. `ask` says who is to be told; without it nobody waits.
    ///
    /// Never blocks, nor waits for who is told an outcome: it may be called under any lock.
    fn append(&self, record: Record<'_>, ask: Option<Ask<'_>>) -> Progress;

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
