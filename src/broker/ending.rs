//! Why a Network Connection ended.

use std::fmt;

use crate::codec::ReasonCode;

/// Why a Network Connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The client sent DISCONNECT.
    Disconnected,
    /// The client closed the connection without one.
    Eof,
    /// The transport failed.
    TransportError,
    /// No whole CONNECT came in time, or before the client closed.
    NoConnect,
    /// A write made no progress for too long.
    WriteTimeout,
    /// It was one connection too many.
    TooMany,
    /// The TLS handshake failed.
    TlsError,
    /// Too many others had not opened a session: all together, or those from its address.
    TooManyHandshakes,
    /// It was one connection too many from its address.
    TooManyFromAddress,
    /// Connections came from its address faster than they may.
    ConnectsTooFast,
    /// Its address is banned.
    BannedAddress,
    /// The broker had too much to do to accept anybody.
    Overloaded,
    /// It came from an address that is no proxy's, to a listener where proxies connect.
    UntrustedProxy,
    /// A proxy's header was malformed, or missing.
    ProxyError,
    /// The request for a WebSocket was refused.
    WebSocketRefused,
    /// The client broke the rules of WebSocket.
    WebSocketError,
    /// The broker closed it for this reason.
    Closed(ReasonCode),
}

impl Ending {
    /// Endings without a Reason Code come first, then one for each code byte.
    const PLAIN: [Self; 16] = [
        Self::Disconnected,
        Self::Eof,
        Self::TransportError,
        Self::NoConnect,
        Self::WriteTimeout,
        Self::TooMany,
        Self::TlsError,
        Self::TooManyHandshakes,
        Self::TooManyFromAddress,
        Self::ConnectsTooFast,
        Self::BannedAddress,
        Self::Overloaded,
        Self::UntrustedProxy,
        Self::ProxyError,
        Self::WebSocketRefused,
        Self::WebSocketError,
    ];

    /// How many endings there can be.
    pub(super) const COUNT: usize = Self::PLAIN.len() + 256;

    pub(super) fn index(self) -> usize {
        match self {
            Self::Closed(code) => Self::PLAIN.len() + code as usize,
            plain => Self::PLAIN
                .iter()
                .position(|known| *known == plain)
                .unwrap_or(0),
        }
    }

    pub(super) fn from_index(index: usize) -> Option<Self> {
        match index.checked_sub(Self::PLAIN.len()) {
            None => Self::PLAIN.get(index).copied(),
            Some(code) => Some(Self::Closed(ReasonCode::from_byte(
                u8::try_from(code).ok()?,
            )?)),
        }
    }

    /// The ending as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Eof => "eof",
            Self::TransportError => "transport_error",
            Self::NoConnect => "no_connect",
            Self::WriteTimeout => "write_timeout",
            Self::TooMany => "too_many_connections",
            Self::TlsError => "tls_error",
            Self::TooManyHandshakes => "too_many_handshakes",
            Self::TooManyFromAddress => "too_many_from_address",
            Self::ConnectsTooFast => "connects_too_fast",
            Self::BannedAddress => "banned_address",
            Self::Overloaded => "overloaded",
            Self::UntrustedProxy => "untrusted_proxy",
            Self::ProxyError => "proxy_error",
            Self::WebSocketRefused => "websocket_refused",
            Self::WebSocketError => "websocket_error",
            Self::Closed(code) => code.name(),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_has_a_label_of_its_own() {
        let all = (0..Ending::COUNT).filter_map(Ending::from_index);
        let labels: Vec<_> = all.map(Ending::label).collect();
        let distinct: std::collections::HashSet<_> = labels.iter().collect();
        assert_eq!(distinct.len(), labels.len(), "{labels:?}");
    }

    #[test]
    fn every_ending_has_a_counter_of_its_own() {
        let all = Ending::PLAIN
            .into_iter()
            .chain(ReasonCode::ALL.iter().map(|code| Ending::Closed(*code)));
        let mut seen = std::collections::HashSet::new();
        for ending in all {
            assert!(seen.insert(ending.index()), "{ending} shares a counter");
            assert_eq!(Ending::from_index(ending.index()), Some(ending));
        }
    }
}
