//! Accepts Network Connections, within limits, and drives each with a task of its own.
//!
//! ```text
//!   tcp · unix ──> accept ──> arrival ───────────────────────────────────────────> driver
//!   sockets        room?      proxy (proxy_protocol) · tls · upgrade (WebSocket)   transport: direct,
//!                  trusted?   each if the listener has it                          secured, websocket (frames)
//! ```

pub mod accept;
mod arrival;
pub mod certificates;
pub mod driver;
mod frames;
pub mod options;
pub mod proxy;
pub mod proxy_protocol;
pub mod secured;
pub mod tcp;
pub mod tls;
pub mod transport;
pub mod unix;
mod upgrade;
pub mod websocket;
