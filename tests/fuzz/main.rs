//! Fuzzing.
mod codec;
mod dice;
mod mutator;
#[path = "../protocol/packets.rs"]
mod packets;
mod routes;
mod script;
mod trial;
