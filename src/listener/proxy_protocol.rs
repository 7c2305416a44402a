//! The header by which a proxy tells on whose behalf it connects: PROXY protocol, versions 1 and 2.
//!
//! ```text
//!   version 1, a line         PROXY TCP4 192.0.2.1 198.51.100.1 56324 1883\r\n
//!
//!   version 2, 16 bytes and as many as they say
//!     0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a     the signature
//!     21                                      version 2, on behalf of somebody
//!     11                                      TCP over IPv4
//!     00 0c                                   bytes that follow
//!     c0 00 02 01  c6 33 64 01                source and destination
//!     dc 04  07 5b                            their ports
//!     type, length, value …                   details, such as the client's certificate
//! ```
//!
//! [`parse`] takes the bytes that have come so far. It needs no more of them than it takes to see that they
//! are no header, and never looks behind its end: what comes there is the client's.
//!
//! Everything is checked, also what is not used: what a proxy says badly is not believed in part.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of the longest header that is read. A proxy that passes the whole certificate on stays below.
pub const LONGEST: usize = 8 * 1024;

/// What a header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Where the client comes from. Nothing if the proxy speaks for itself, as in a health check, or cannot
    /// tell.
    pub source: Option<SocketAddr>,
    /// The Common Name of the client's certificate, if it showed one and the proxy has verified it.
    pub common_name: Option<String>,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// They begin otherwise: somebody speaks without a header.
    Missing,
    /// The line of version 1 is not one.
    Line,
    /// A version other than 1 and 2.
    Version,
    /// Neither on behalf of somebody nor of the proxy itself.
    Command,
    /// A family of addresses, or a transport, that no client of ours can have.
    Family,
    /// Longer than any that is read.
    TooLong,
    /// Too short for the addresses that it announces.
    Addresses,
    /// A detail that goes beyond the end, or is not as its type has it.
    Detail,
    /// Its checksum is not that of its bytes.
    Checksum,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "no PROXY header",
            Self::Line => "PROXY header: malformed line",
            Self::Version => "PROXY header: unknown version",
            Self::Command => "PROXY header: unknown command",
            Self::Family => "PROXY header: unknown address family or transport",
            Self::TooLong => "PROXY header: too long",
            Self::Addresses => "PROXY header: too short for its addresses",
            Self::Detail => "PROXY header: malformed detail",
            Self::Checksum => "PROXY header: wrong checksum",
        })
    }
}

impl std::error::Error for Malformed {}

/// What version 2 begins with. No other protocol does, so that it is seen as soon as it is there.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// What version 1 begins with.
const WORD: &[u8] = b"PROXY ";
/// Bytes of the longest line of version 1, its end included.
const LONGEST_LINE: usize = 107;
/// Bytes of version 2 before the addresses.
const FIXED: usize = 16;

/// Reads the header that `bytes` begin with, and tells how many of them it has. `Ok(None)` if they are too
/// few to say.
///
/// # Errors
///
/// They are no header, whatever follows.
pub fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    if begins(&SIGNATURE) {
        binary(bytes)
    } else if begins(WORD) {
        line(bytes)
    } else {
        Err(Malformed::Missing)
    }
}

/// Version 1.
fn line(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let seen = &bytes[..bytes.len().min(LONGEST_LINE)];
    let Some(end) = seen.iter().position(|byte| *byte == b'\n') else {
        let whole = seen.len() == LONGEST_LINE;
        return if whole {
            Err(Malformed::Line)
        } else {
            Ok(None)
        };
    };
    let text = seen[..end].strip_suffix(b"\r").ok_or(Malformed::Line)?;
    let text = text.strip_prefix(WORD).ok_or(Malformed::Line)?;
    let text = std::str::from_utf8(text).map_err(|_| Malformed::Line)?;
    let source = match text.split_once(' ').unwrap_or((text, "")) {
        // Whatever else the line says is to be ignored.
        ("UNKNOWN", _) => None,
        ("TCP4", rest) => Some(endpoints::<Ipv4Addr>(rest)?),
        ("TCP6", rest) => Some(endpoints::<Ipv6Addr>(rest)?),
        _ => return Err(Malformed::Line),
    };
    let common_name = None;
    let header = Header {
        source,
        common_name,
    };
    Ok(Some((header, end + 1)))
}

/// The first of two addresses and two ports.
fn endpoints<A: std::str::FromStr + Into<IpAddr>>(text: &str) -> Result<SocketAddr, Malformed> {
    let parts: Vec<&str> = text.split(' ').collect();
    let [source, destination, source_port, destination_port] = parts[..] else {
        return Err(Malformed::Line);
    };
    let address = |text: &str| text.parse::<A>().map_err(|_| Malformed::Line);
    // Neither `+80` nor `080`: one number, one way to write it.
    let port = |text: &str| {
        let port = text.parse::<u16>().ok();
        port.filter(|port| port.to_string() == text)
            .ok_or(Malformed::Line)
    };
    address(destination)?;
    port(destination_port)?;
    Ok(endpoint(address(source)?.into(), port(source_port)?))
}

/// An IPv4 address is one whatever family it was written in: rules know it by one name.
fn endpoint(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

/// Version 2.
fn binary(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let Some(&[command, family, high, low]) = bytes.get(SIGNATURE.len()..FIXED) else {
        return match bytes.get(SIGNATURE.len()) {
            Some(command) if command >> 4 != 2 => Err(Malformed::Version),
            _ => Ok(None),
        };
    };
    if command >> 4 != 2 {
        return Err(Malformed::Version);
    }
    let on_behalf = match command & 0x0f {
        0 => false,
        1 => true,
        _ => return Err(Malformed::Command),
    };
    let end = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if end > LONGEST {
        return Err(Malformed::TooLong);
    }
    if !on_behalf {
        // Its addresses are to be ignored, and so is everything behind them.
        return Ok((bytes.len() >= end).then(|| (Header::default(), end)));
    }
    let addresses = match family {
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => return Err(Malformed::Family),
    };
    if end < FIXED + addresses {
        return Err(Malformed::Addresses);
    }
    let Some(whole) = bytes.get(..end) else {
        return Ok(None);
    };
    let (addresses, details) = whole[FIXED..].split_at(addresses);
    let common_name = details_of(whole, details)?;
    let header = Header {
        source: source(addresses),
        common_name,
    };
    Ok(Some((header, end)))
}

/// The source among the addresses of version 2, if they are of the internet.
fn source(addresses: &[u8]) -> Option<SocketAddr> {
    let port = |at: usize| addresses.get(at..at + 2)?.try_into().ok();
    match addresses.len() {
        12 => {
            let address: [u8; 4] = addresses[..4].try_into().ok()?;
            Some(endpoint(address.into(), u16::from_be_bytes(port(8)?)))
        }
        36 => {
            let address: [u8; 16] = addresses[..16].try_into().ok()?;
            Some(endpoint(address.into(), u16::from_be_bytes(port(32)?)))
        }
        _ => None,
    }
}

/// Types of details.
mod detail {
    /// A checksum of the whole header.
    pub const CRC32C: u8 = 0x03;
    /// What is known of the client's TLS.
    pub const SSL: u8 = 0x20;
    /// In it: the Common Name of the client's certificate.
    pub const COMMON_NAME: u8 = 0x22;
}

/// The client came by TLS; it showed a certificate in this connection, or in the one that it resumes.
const BY_TLS: u8 = 0x01;
const CERTIFICATE: u8 = 0x02 | 0x04;

/// What the details say: the Common Name of a certificate that was verified.
fn details_of(whole: &[u8], mut details: &[u8]) -> Result<Option<String>, Malformed> {
    let mut tls = None;
    while !details.is_empty() {
        let (kind, value, rest) = detail(details)?;
        match kind {
            detail::CRC32C => {
                let at = whole.len() - rest.len() - value.len();
                let told = value.try_into().map_err(|_| Malformed::Detail)?;
                if checksum(whole, at) != u32::from_be_bytes(told) {
                    return Err(Malformed::Checksum);
                }
            }
            // Of two nobody could say which one is true.
            detail::SSL if tls.is_some() => return Err(Malformed::Detail),
            detail::SSL => tls = Some(verified_name(value)?),
            // Whatever else there is, is for others.
            _ => {}
        }
        details = rest;
    }
    Ok(tls.flatten())
}

/// Type and value of the first detail, and what is behind it.
fn detail(details: &[u8]) -> Result<(u8, &[u8], &[u8]), Malformed> {
    let Some((&[kind, high, low], rest)) = details.split_first_chunk() else {
        return Err(Malformed::Detail);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let (value, rest) = rest.split_at_checked(length).ok_or(Malformed::Detail)?;
    Ok((kind, value, rest))
}

/// The checksum of the header, whose own four bytes count as zeros.
fn checksum(whole: &[u8], at: usize) -> u32 {
    let sum = crc32c::crc32c(&whole[..at]);
    let sum = crc32c::crc32c_append(sum, &[0; 4]);
    crc32c::crc32c_append(sum, &whole[at + 4..])
}

/// The Common Name in what is known of the client's TLS, if its certificate was verified.
fn verified_name(value: &[u8]) -> Result<Option<String>, Malformed> {
    let Some((&[client, verify @ ..], mut details)) = value.split_first_chunk::<5>() else {
        return Err(Malformed::Detail);
    };
    let mut name = None;
    while !details.is_empty() {
        let (kind, value, rest) = detail(details)?;
        if kind == detail::COMMON_NAME {
            let text = std::str::from_utf8(value).map_err(|_| Malformed::Detail)?;
            // Neither nothing nor a control character makes a name that a User Name could be.
            if name.is_some() || text.is_empty() || text.contains(char::is_control) {
                return Err(Malformed::Detail);
            }
            name = Some(text.to_owned());
        }
        details = rest;
    }
    let verified = client & BY_TLS != 0 && client & CERTIFICATE != 0 && verify == [0; 4];
    Ok(name.filter(|_| verified))
}

#[cfg(test)]
mod tests;
