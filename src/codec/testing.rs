//! What the codec's tests have in common: building packets by hand, and holding the decoder and
//! the encoder against bytes.

use super::context::{Context, Sender};
use super::error::DecodeError;
use super::packet::{Packet, decode, encode};
use super::reason::ReasonCode;
use super::version::Version;

pub(super) const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
pub(super) const V3: [Version; 2] = [Version::V31, Version::V311];

/// A packet of this first byte and these parts, with the Remaining Length they need.
pub(super) fn packet(first_byte: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut bytes = vec![first_byte];
    let mut rest = body.len();
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes.extend(body);
    bytes
}

/// The one packet that the bytes are.
#[track_caller]
pub(super) fn decoded(version: Version, sender: Sender, bytes: &[u8]) -> Packet<'_> {
    let context = Context::new(version, sender);
    match decode(bytes, &context) {
        Ok(Some((packet, length))) => {
            assert_eq!(length, bytes.len(), "all bytes belong to the packet");
            packet
        }
        other => panic!("{bytes:x?} in {version} gave {other:?}"),
    }
}

/// Why the bytes are no packet.
#[track_caller]
pub(super) fn refusal(version: Version, sender: Sender, bytes: &[u8]) -> DecodeError {
    match decode(bytes, &Context::new(version, sender)) {
        Err(error) => error,
        other => panic!("{bytes:x?} in {version} gave {other:?}"),
    }
}

/// Asserts that bytes and packet are each other's, and that no beginning of the bytes is taken
/// for a packet or for garbage.
#[track_caller]
pub(super) fn golden(version: Version, sender: Sender, bytes: &[u8], packet: Packet<'_>) {
    assert_eq!(decoded(version, sender, bytes), packet);
    let mut out = b"before".to_vec();
    encode(&packet, version, &mut out).expect("the packet has a form");
    assert_eq!(&out[6..], bytes, "encoded");
    let context = Context::new(version, sender);
    for end in 0..bytes.len() {
        assert_eq!(
            decode(&bytes[..end], &context),
            Ok(None),
            "the first {end} bytes"
        );
    }
}

/// Asserts that the body is refused with the code, behind this first byte. Also that nothing is
/// wrong but the body: the header alone is no reason for a refusal.
#[track_caller]
pub(super) fn refused(
    version: Version,
    sender: Sender,
    first_byte: u8,
    cases: &[(&str, &[u8], ReasonCode)],
) {
    for (what, body, code) in cases {
        let bytes = packet(first_byte, &[body]);
        let error = refusal(version, sender, &bytes);
        assert_eq!(error.code, *code, "{what} in {version}: {error}");
        assert!(error.packet.is_some(), "{what}: the packet is named");
    }
}

/// A property section: its length and the properties.
pub(super) fn section(properties: &[&[u8]]) -> Vec<u8> {
    let mut bytes = packet(0, properties);
    bytes.remove(0);
    bytes
}
