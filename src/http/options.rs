//! Where metrics and health are served.

use std::net::{Ipv4Addr, SocketAddr};

/// Where metrics and health are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Address and port to bind, port 0 for one that the system chooses; `None` serves no HTTP at
    /// all. Loopback unless the configuration says otherwise: there is no authentication.
    pub address: Option<SocketAddr>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 18083))),
        }
    }
}
