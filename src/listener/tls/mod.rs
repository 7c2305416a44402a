//! TLS of listeners: what the files hold, who is let in by it, and how it changes while clients come.
//!
//! ```text
//!   certificate.pem, key.pem … ─> names ────┐
//!                                           ├─> Setup ──> Acceptor ──> a client, its user,
//!   client_ca.pem, crl.pem … ─> verifier ───┘                │          its Client Identifier
//!                                                         fields
//! ```
//!
//! A [`setup::Setup`] never changes; an [`acceptor::Acceptor`] takes the one in force for each client, and a
//! [`keeper::Keeper`] puts another in its place when the files have changed.
//!
//! # ALPN
//!
//! The protocols in [`setup::ALPN`] are offered. A client that names none is welcome, as most
//! MQTT clients are of that kind. A client that names only others is refused with
//! `no_application_protocol`, as RFC 7301 section 3.2 demands: it wants to speak something else, say HTTP,
//! and an attacker must not be able to lead a browser's request into a broker whose certificate covers the
//! same host. Where WebSocket is spoken inside, the protocol is HTTP.
//!
//! # Memory
//!
//! Resumption lives in tickets which the clients keep, not in the broker. The only table the broker
//! holds is for TLS 1.2 clients that know no tickets; it has [`setup::STORED_SESSIONS`] places.

pub mod acceptor;
#[cfg(test)]
pub(super) mod authority;
pub mod error;
mod fields;
pub mod keeper;
mod names;
mod readings;
pub mod session;
pub mod setup;
pub mod stream;

pub use acceptor::{Accepted, Acceptor, Refused};
pub use error::Error;
pub use keeper::{Keeper, Prepared, Status};
pub use session::Session;
pub use stream::TlsStream;

use super::options::TlsOptions;

/// Reads all files, to say whether a listener could be had with them.
///
/// # Errors
///
/// Says which file it is about and what is wrong with it; see [`Error`].
pub fn check(options: &TlsOptions) -> Result<setup::Setup, Error> {
    setup::Setup::read(options, &mut readings::Readings::default())
}

#[cfg(test)]
mod tests;
