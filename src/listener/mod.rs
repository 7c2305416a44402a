//! Accepts Network Connections, within limits, and drives each with a task of its own.

pub mod accept;
pub mod certificates;
pub mod driver;
pub mod options;
pub mod tls;
pub mod transport;
