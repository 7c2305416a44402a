//! What the test binaries that talk to a running broker share.
//!
//! - [`broker::Broker`]: the real binary in a folder of its own, ended with the test;
//! - [`process::Process`]: any child process, its lines, and a deadline on everything;
//! - [`raw::RawClient`]: exact bytes to and from a socket, or through TLS ([`tls::connect`])
//!   or a WebSocket ([`websocket::connect`]);
//! - [`metrics`]: waiting for what the broker counts;
//! - [`service::Service`]: a web server that the broker asks;
//! - [`http::get`], [`folder::Folder`], [`certificates`]: what the others need.
//!
//! Nothing here sleeps and hopes: every wait is for an event and ends at [`DEADLINE`] with a message that
//! says what did not happen.

pub mod broker;
pub mod certificates;
pub mod folder;
pub mod http;
pub mod metrics;
pub mod process;
pub mod raw;
pub mod service;
pub mod tls;
pub mod websocket;

use std::time::Duration;

/// How long any single event may take. Far beyond what is needed on an idle machine, well below the
/// test runner's own limit, so that the message comes from here.
pub const DEADLINE: Duration = Duration::from_secs(20);
