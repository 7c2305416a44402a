//! Who gets a message: subscriptions, shared groups, retained messages.
//!
//! Nothing here knows what a recipient is: a subscriber is any cheap handle, a group is any handle
//! to a [`Group`]. The broker puts its sessions and its locks in their place; tests put numbers.
//!
//! ```text
//!   topic ──> Subscriptions (trie) ──> Route: recipients, each once, and groups
//!                                       │ remembered while its Stamp holds (generations)
//!                                       ├──> recipient
//!                                       └──> Group ──> one member, or the backlog
//! ```

mod generations;
mod lanes;
pub mod options;
mod ordering;
mod retained;
mod share;
mod subscriptions;

pub use generations::{Generations, Stamp};
pub use retained::{Refused, Retained};
pub use share::{Group, Load, Member, Overdue};
pub use subscriptions::{Granted, Recipient, Route, Subscriptions};
