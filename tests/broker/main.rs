//! The broker without sockets: every promise of `broker/` that shows on a connection.
//!
//! A [`house::House`] is a broker with a clock that the test moves and clients that are plain
//! values. What a client sends is handled at once, by a stand-in for the listener's driver that does
//! what the driver does and no more: a wake-up that the broker forgets leaves a client waiting here
//! as it would there. Nothing sleeps and nothing is asynchronous, so every order of events can be
//! written down.
//!
//! ```text
//!   client ── send ──> house: drive ──> Connection ──> Broker ──> Store, Auth (fakes that wait,
//!      ^                                                │          fail or refuse on demand)
//!      └───── take <── received: decode, check <── pipe <┘
//! ```
//!
//! | module | what must hold |
//! |---|---|
//! | `acknowledgements`, `failures` | what waits for the store, and what follows if it cannot keep it |
//! | `keeping` | what the store is told, of whom, and in which order |
//! | `gates`, `restart`, `cuts` | what waits until it is safe, and what is found again |
//! | `sessions`, `takeover`, `expiry` | the life of a session |
//! | `wills`, `keep_alive` | what happens when a client goes, or is silent |
//! | `exactly_once`, `flow` | QoS 2 over reconnects, Receive Maximum both ways |
//! | `shared`, `shared_members`, `shared_stress` | groups as work queues |
//! | `work_queues` | groups of which more is configured: declared, timeouts, limits, order |
//! | `delayed` | what is published later |
//! | `retained`, `queues`, `routes`, `fan_out` | who gets what, and in which bounds |
//! | `auth`, `bad_input` | who is let in, and what ends a connection |
//! | `acl` | what whoever was let in may do |
//! | `permissions` | what a client may do: remembered, and waited for |
//! | `mounts` | listeners of their own kind: mount points, versions, limits |
//! | `owners` | whose a session is |
//! | `deliveries` | who is sent what, and what goes when permissions do |
//! | `defence` | rates, bans, overload |
//! | `admin` | what an operator sees and does |
//! | `options` | what is replaced while it is in use |
//! | `counts` | what a message costs, in allocations, writes and wakes |
//! | `memory`, `threads` | nothing is left over; nothing blocks |

mod allocations;
mod client;
mod engines;
mod house;
mod keeping;
mod lagging;
mod pipe;
mod received;
mod stores;

mod acknowledgements;
mod acl;
mod admin;
mod auth;
mod bad_input;
mod counts;
mod cuts;
mod defence;
mod delayed;
mod deliveries;
mod exactly_once;
mod expiry;
mod failures;
mod fan_out;
mod flow;
mod gates;
mod keep_alive;
mod memory;
mod mounts;
mod options;
mod owners;
mod permissions;
mod queues;
mod restart;
mod retained;
mod routes;
mod sessions;
mod shared;
mod shared_members;
mod shared_stress;
mod takeover;
mod threads;
mod wills;
mod work_queues;
