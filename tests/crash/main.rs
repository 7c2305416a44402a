//! The broker's process is killed (SIGKILL), and started again on the same directory: what it had
//! acknowledged must be there.
//!
//! | module | what happens | what must hold |
//! |---|---|---|
//! | [`storm`] | publishers and subscribers of both versions, killed at random moments, again and again | every acknowledged message arrives; QoS 2 exactly once; first occurrences in order per publisher, topic and QoS; sessions are present; retained values are the last ones |
//! | [`resumed`] | one kill at one place of an exchange | it goes on there, with the same Packet Identifier and DUP |
//! | [`clocks`] | time passes while nobody runs | sessions, messages and Wills are as old as if somebody had |
//! | [`full`] | the disk is full, or cannot be written | what needs storing is refused, all else goes on, and so does everything once there is room |
//!
//! The short run kills ten times. The long run is one command,
//!
//! ```sh
//! tests/crash/long.sh 200
//! ```
//!
//! which kills so many times with each durability, from a seed that is new and printed. A run that fails
//! prints its seed, and the command that runs it again. What the clients do follows from the seed; between
//! which two of their packets the broker dies does not.

mod clocks;
#[allow(
    dead_code,
    reason = "shared with the tests of fuzz, which use all of it"
)]
#[path = "../fuzz/dice.rs"]
mod dice;
mod full;
mod house;
mod ledger;
mod publisher;
mod reader;
mod resumed;
mod storm;
#[allow(
    dead_code,
    reason = "shared with the tests of clients, which use all of it"
)]
#[path = "../support/mod.rs"]
mod support;
mod wire;
