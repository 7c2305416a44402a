//! What stands between the broker and those who mean it ill, or ask too much of it.
//!
//! ```text
//!   accepted ──> admission: so many, from there, not banned ──> CONNECT: not overloaded
//!            ──> authenticated: the user not too often, the client not flapping ──> open: at its pace
//!
//!   failures of an address ──> ban      connects of a client ──> ban
//!   memory, lag ──> overload: refuse new ones, then shed QoS 0     queues ──> full
//! ```
//!
//! Everything here is counted in tables of a bounded size, and what is not configured costs the way of a
//! packet one look at a flag. Options are read at each use, so they can be replaced while in use.
//!
//! | module | holds |
//! |---|---|
//! | `bucket` | rates: a token bucket in one number, and windows of events |
//! | `origin` | whom an address stands for |
//! | `accounts` | what is counted of users, addresses and clients |
//! | `bans` | who is shut out, and until when |
//! | `overload` | from measurements to what is refused |
//! | `quiet` | how many lines of the log one address may cause |

mod accounts;
mod bans;
mod bucket;
mod guard;
pub mod options;
mod origin;
mod overload;
mod quiet;

pub(super) use accounts::{Account, give_place_back, take_place};
pub use bans::{Banned, Reason};
pub(super) use bucket::{Rate, Tick};
pub use guard::{Defence, Figures, Scope};
pub(super) use guard::{Toll, TooOften};
pub use overload::{Level, Measured};
