//! The shared handle and every lock.
//!
//! [`Broker`] holds what all connections share; a [`Connection`] is the broker's end of one Network
//! Connection, without IO: bytes go in, and what comes out goes to the wires of sessions. What is
//! beside this page:
//!
//! ```text
//!   connection ── handshake   CONNECT, authentication, CONNACK
//!        │     ── open        a turn of packets    (packets: one Control Packet to one action)
//!        │     ── mounted     what clients below a mount point say     (entrance: what a listener is like)
//!        │     ── asking      whether a client may do what it wants to
//!        │     ── pace        how fast it may send
//!        │     ── ending      why a connection ended
//!        v
//!      core ── publish        route, fill queues, offer to groups        (routes: remembered)
//!        │  ── delivery       flush wires, draw from queues, groups, retained
//!        │  ── subscribe      trie, groups, retained feeds
//!        │  ── delayed        what is published later                  (schedule)
//!        │  ── groups         declared, not acknowledged in time, given up
//!        │  ── sessions       open, take over, detach, end                (registry)
//!        │  ── expiry         wills, sessions, retained: what happens later  (schedule)
//!        │  ── silence        who may have been silent for too long
//!        │  ── review         whether a session may still have what it has
//!        │  ── person         who may have what is delivered
//!        │  ── admin          what an operator asks
//!        │  ── admission      who may have a connection      (defence: how much, how fast, who not)
//!        v
//!   shared: one session behind its two locks     port: what others may do to a connection
//! ```
//!
//! Locks are taken in this order, and none is held while something waits:
//!
//! ```text
//!   inbound side ─┬─> registry, retained (to write)
//!                 └─> subscriptions ─> group ─> outbound side ─> retained (to read), outcomes,
//!                                                                port, schedule, alarm
//! ```
//!
//! Never two inbound sides, never two outbound sides.

pub mod admin;
mod admission;
mod asking;
mod batch;
mod connection;
mod core;
pub mod defence;
mod delayed;
mod delivery;
mod doors;
mod ending;
mod entrance;
mod expiry;
mod groups;
mod handshake;
mod keeping;
mod metrics;
mod mounted;
mod open;
pub mod options;
mod pace;
mod packets;
mod person;
mod port;
mod publish;
mod registry;
mod restore;
mod review;
mod routes;
mod schedule;
mod sessions;
mod shared;
mod silence;
#[cfg(test)]
mod sizes;
mod subscribe;
mod sys;
#[cfg(test)]
pub(crate) mod testing;
mod tickets;

pub use admission::Permit;
pub use batch::{Batch, Now};
pub use connection::{Connection, Turn};
pub use core::{Broker, Engines};
pub use doors::{Door, DoorCount};
pub use ending::Ending;
pub use entrance::{Entrance, Limits};
pub use metrics::{Gauge, Metrics, Reloads, Snapshot};
pub use port::{Link, Port};
pub use restore::Restored;
pub use sys::Sys;
