//! What must survive, and how an acknowledgement waits for it.
//!
//! # The contract
//!
//! The broker appends a [`Record`] for every change of state that an acknowledgement promises, and
//! sends the acknowledgement only after the store has said that the record is as safe as the
//! configured durability asks for. [`Store::append`] never blocks:
//!
//! - [`Progress::Done`]: it is as safe already;
//! - [`Progress::Later`]: the [`Receipt`] is told once, from another thread, perhaps before `append`
//!   returns. Outcomes of records of different sessions may come in any order.
//!
//! An outcome may be a [`Failure`]: then the record is not kept, and what depends on it is refused.
//! With [`memory::Memory`] a record is safe as soon as the broker holds it: state outlives
//! connections but not the process.

pub mod memory;
pub mod options;
pub mod record;
pub mod state;

use std::fmt;
use std::sync::Arc;

use record::Record;

/// How far an append got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The record is as safe as it will be.
    Done,
    /// The receipt will be told.
    Later,
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
    /// Called once for each receipt, from any thread. Must be quick and take no lock that is held
    /// over a call of [`Store::append`].
    fn outcome(&self, ticket: u64, outcome: Result<(), Failure>);
}

/// Keeps records.
pub trait Store: Send + Sync {
    /// Appends a record. `receipt` makes the receipt if one is needed; without it nobody waits.
    fn append(&self, record: Record<'_>, receipt: Option<&mut dyn FnMut() -> Receipt>) -> Progress;
}
