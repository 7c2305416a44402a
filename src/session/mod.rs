//! The protocol state machine of one client, without IO.
//!
//! A session has two sides that share nothing, so that those who deliver to a client never wait
//! for what it is sending:
//!
//! ```text
//!   CONNECT ──> terms ─────────────┐ what client and broker agreed on
//!                                  │
//!   from the client ──> inbound ───┼──> message to route, token ──> settle(token) ──> replies
//!      PUBLISH PUBREL              │       (aliases, QoS 2 ids, receive quota)
//!                                  │
//!   to the client <── wire <── outbound <── deliver(message)
//!      PUBLISH PUBREL              │       (window: ids, send quota, what is in flight;
//!      PUBACK PUBREC PUBCOMP ──────┘        queue: what waits)
//! ```
//!
//! Part of each side belongs to the Session and survives its Network Connections (QoS 2 ids,
//! window, queues, subscriptions); the rest is made anew by `attach`. Nothing here reads a clock,
//! writes a socket or takes a lock; whoever owns a side calls it with the time.

mod aliases;
mod fault;
mod inbound;
mod journal;
pub mod options;
mod outbound;
mod replies;
mod subscriptions;
mod tally;
mod terms;
mod window;
mod wire;

pub use fault::Fault;
pub use inbound::{Arrival, Forwarded, Inbound};
pub use journal::Step;
pub use outbound::{Acked, Context, Judge, Line, Outbound};
pub use replies::Token;
pub use subscriptions::{Subscribed, Subscriptions, cost};
pub use tally::Tally;
pub use terms::{NEVER, Terms, Will, silence_allowed};
pub use window::Source;
pub use wire::{Chunk, Spare, Wire, Written};
