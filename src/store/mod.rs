//! What must survive: the contract, and the stores that keep it.
//!
//! ```text
//!   broker ── Record ──> Store ──> Progress, or later an outcome
//!                          │
//!              memory ─────┴───── disk: a log of its own, one writer, one flush for many
//! ```
//!
//! [`contract`] says what a store promises, [`record`] what it is told, [`state`] what is found again;
//! [`archive`] is for a store that no broker has open.

pub mod archive;
pub mod contract;
pub mod disk;
pub mod memory;
pub mod options;
pub mod record;
pub mod state;

pub use contract::{
    Ask, Failure, Health, Progress, Recalls, Receipt, Safety, Store, Waiter, Waits,
};
