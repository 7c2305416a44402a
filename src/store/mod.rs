//! What must survive, and how an acknowledgement waits for it.
//!
//! # The contract
//!
//! The broker appends a [`Record`] for every change of state that an acknowledgement promises, and
//! sends the acknowledgement only after the store has said that the record is as safe as the
//! configured durability asks for. [`Store::append`] never blocks:
//!
//! - [`Progress::Done`]: it is as safe already;
//! - [`Progress::Later`]: the [`Receipt`] is told once, from any thread, perhaps before `append`
//!   returns. Outcomes of records of different sessions may come in any order.
//!
//! An outcome may be a [`Failure`]: then the record is not kept, and what depends on it is refused.
//! With [`memory::Memory`] a record is safe as soon as the broker holds it: state outlives
//! connections but not the process.

pub mod contract;
pub mod disk;
pub mod memory;
pub mod options;
pub mod record;
pub mod state;

use std::fmt;
use std::sync::Arc;

use crate::codec::{Filters, PacketId, UnsubscribeFilters};
use crate::message::Message;

/// A change of state to keep.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// A message was accepted for sessions, groups or the retained store to keep.
    Message(&'a Message),
    /// The QoS 2 id of an inbound message is free again.
    Released {
        /// The publisher's Client Identifier.
        client_id: &'a str,
        /// The id.
        id: PacketId,
    },
    /// A persistent session subscribed to what one SUBSCRIBE lists.
    Subscribed {
        /// The Client Identifier.
        client_id: &'a str,
        /// Topic Filters, ShareName included, with their options.
        filters: Filters<'a>,
        /// Their Subscription Identifier.
        subscription_id: Option<u32>,
    },
    /// A persistent session unsubscribed from what one UNSUBSCRIBE lists.
    Unsubscribed {
        /// The Client Identifier.
        client_id: &'a str,
        /// Topic Filters, ShareName included.
        filters: UnsubscribeFilters<'a>,
    },
    /// A persistent session was opened or resumed.
    Opened {
        /// The Client Identifier.
        client_id: &'a str,
        /// Its Session Expiry Interval in seconds.
        expiry: u32,
    },
}

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
    /// Appends a record. `receipt` makes the receipt if one is needed.
    fn append(&self, record: Record<'_>, receipt: &mut dyn FnMut() -> Receipt) -> Progress;
}
