//! The bounded queue of messages to deliver.
//!
//! A queue is owned by a session (what waits for its client) or by a group (the backlog that its
//! members share). It is bounded in messages and bytes; what gives way at the bound is told to the
//! caller, who counts it. It knows nothing of packet ids or connections.

mod bounded;
mod chunked;
mod deep;
mod delivery;
mod in_store;
pub mod options;
mod purge;
mod reason;

pub use bounded::Queue;
pub use chunked::Chunked;
pub use delivery::{Delivery, Gone, Stored, SubscriptionIds};
pub use in_store::InStore;
pub use reason::DropReason;
