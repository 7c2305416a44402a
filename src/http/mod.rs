//! What operators and their tools ask the broker over HTTP: metrics, health and readiness, all on
//! one listener.
//!
//! ```text
//!   options      where to listen
//!   metrics      the broker's numbers as a page    (defence: rates, bans, overload)
//!   routes       what is answered on which path
//!   connection   how many may connect, for how long and with how much
//! ```
//!
//! Serving knows nothing of the broker: it is given a function that renders metrics, a flag that
//! says whether clients are welcome, and a function that says why nothing can be stored, if so. It is meant for loopback or a private network: there is
//! no authentication, and what it shows is not secret but not for everybody either. Still it must
//! not be a way to exhaust the broker, so everything a peer can hold on to has a bound, named in
//! `connection::Limits`.

mod connection;
mod defence;
mod metrics;
pub mod options;
mod routes;

pub use metrics::{Error as MetricsError, Exporter};
pub use routes::{State, serve};
