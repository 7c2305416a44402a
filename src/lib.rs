//! Postbud, an MQTT broker for MQTT 3.1, 3.1.1 and 5.0.
//!
//! A TLS-capable listener decodes MQTT packets into a session manager whose topic trie with
//! wildcard matching handles pub/sub, while shared subscriptions provide point-to-point style
//! work queues. The rooms below spell that sentence; a packet walks down the stairs once, a
//! delivery walks up once.
//!
//! | room | what happens there |
//! |---|---|
//! | [`cli`] | arguments, and what the process says first |
//! | [`server`] | builds the house, supervises it, drains it; the only room that names engines |
//! | [`config`] | TOML and environment into each room's own `Options` |
//! | [`listener`] | accepts; one task ("driver") per Network Connection |
//! | [`http`] | metrics and health |
//! | [`control`] | what an operator asks a running broker, over a Unix domain socket |
//! | [`broker`] | the shared handle and every lock: publish path, session manager, expiry, `$SYS` |
//! | [`session`] | the protocol state machine of one client, without IO |
//! | [`pubsub`] | who gets a message: subscriptions, shared groups, retained messages |
//! | [`auth`] | who a client is and what it may do |
//! | [`store`] | what must survive, and how an acknowledgement waits for it |
//! | [`cluster`] | which node owns a session |
//! | [`queue`] | the bounded queue of messages to deliver |
//! | [`message`] | the Application Message, shared by all its recipients |
//! | [`codec`] | bytes to Control Packets and back |
//! | [`topic`] | Topic Names, Topic Filters, the trie |
//!
//! Imports run down that table only, and never between `session`, `pubsub`, `auth`, `store` and
//! `cluster`, nor between `listener`, `http` and `control`.
//!
//! # Invariants
//!
//! - The rooms from `session` and `pubsub` down know no runtime, socket, lock or clock. Time is an argument:
//!   [`std::time::Instant`] for what lives in the process, [`message::Timestamp`] for what may be
//!   stored.
//! - Locks are taken in one order, drawn in [`broker`]; none is held while a task waits.
//! - An acknowledgement leaves only after the store has said that what it promises is true.
//! - Bytes of one connection are written by one flusher at a time, in the order in which they were
//!   committed.
//! - Nothing a client can send makes memory grow without a bound named in the configuration.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod auth;
pub mod broker;
pub mod cli;
pub mod cluster;
pub mod codec;
pub mod config;
pub mod control;
pub mod http;
pub mod listener;
pub mod message;
pub mod pubsub;
pub mod queue;
pub mod server;
pub mod session;
pub mod store;
pub mod topic;
