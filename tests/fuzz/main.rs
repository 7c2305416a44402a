//! Input that nobody thought of: a generator that is new in each long run, and invariants that hold
//! whatever it makes.
//!
//! | target | what it is given | what must hold |
//! |---|---|---|
//! | [`codec`] | packets of every version and side, damaged, and noise | it decides, takes no more than the frame, and reads what it writes |
//! | [`routes`] | subscriptions, groups, topics, retained messages | the same as lists that are walked from end to end |
//! | [`mod@broker`] | scripts of four clients on a virtual clock | nobody gets more, less, or anything else than a model owes them |
//! | [`live`] | conversations, some of them damaged, over sockets | innocent clients, metrics, memory and log are well |
//!
//! Each is one test. It replays its corpus (`corpus/<target>/`, text with a comment for each case), and
//! then runs a number of cases that are the same in every run. The long run is one command,
//!
//! ```sh
//! tests/fuzz/long.sh 600
//! ```
//!
//! which runs every target for so many seconds, from a seed that is new and printed ([`trial`]). A case
//! that fails is made smaller first; then the command that runs it again is printed, and what is left of
//! it. Once the fault is mended, that goes into the corpus. Every case follows from its own seed, by
//! [`dice`], and from nothing else: the order of cases does not matter, but for `live`, whose broker
//! serves many of them.

mod broker;
mod codec;
mod dice;
mod live;
mod mutator;
#[path = "../protocol/packets.rs"]
mod packets;
mod routes;
mod script;
#[allow(
    dead_code,
    reason = "shared with the tests of clients, which use all of it"
)]
#[path = "../support/mod.rs"]
mod support;
mod trial;

#[allow(
    dead_code,
    reason = "shared with the tests of the broker, which use all of it"
)]
#[path = "../broker/client.rs"]
mod client;
#[allow(dead_code, reason = "as above")]
#[path = "../broker/engines.rs"]
mod engines;
#[allow(dead_code, reason = "as above")]
#[path = "../broker/house.rs"]
mod house;
#[path = "../broker/pipe.rs"]
mod pipe;
#[allow(dead_code, reason = "as above")]
#[path = "../broker/received.rs"]
mod received;
