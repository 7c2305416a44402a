//! WebSocket frames from a client to the bytes in them (RFC 6455, section 5).
//!
//! ```text
//!   byte 0   FIN, three reserved bits, opcode
//!   byte 1   MASK, length: up to 125, 126 (two bytes follow) or 127 (eight bytes follow)
//!            length, if it is longer
//!            four bytes of mask
//!            the payload, each byte combined with one of the mask's
//! ```
//!
//! To MQTT the payloads of all binary frames are one stream of bytes: where a frame, or a message of several
//! frames, begins and ends means nothing. [MQTT5-6.0.0-2] So none is ever put together: what has come of a
//! payload is passed on at once, in the buffer in which it came, and however long a frame says it is, only
//! a header in part and the payload of a control frame (125 bytes) are held.

use std::str;

/// What kind of frame it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xa,
}

impl Opcode {
    fn of(byte: u8) -> Option<Self> {
        match byte & 0x0f {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xa => Some(Self::Pong),
            _ => None,
        }
    }

    fn is_control(self) -> bool {
        self as u8 >= 0x8
    }
}

/// How a client broke the rules, and the status code that tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Breach {
    pub code: u16,
    pub what: &'static str,
}

impl Breach {
    const fn protocol(what: &'static str) -> Self {
        Self { code: 1002, what }
    }
}

/// Why nothing comes any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client closed, perhaps with a status code.
    Close(Option<u16>),
    /// It broke the rules.
    Breach(Breach),
}

/// What some bytes came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// How many bytes of payload there are; they stand at the beginning of the buffer now.
    pub data: usize,
    /// The payload of the last ping among them. Earlier ones need no answer.
    pub ping: Option<Vec<u8>>,
    /// The end, if it is among them: what comes behind it is nothing.
    pub end: Option<End>,
}

/// The most bytes that a header has.
const HEADER_MAXIMUM: usize = 14;
/// The most payload that a control frame has.
const CONTROL_MAXIMUM: u64 = 125;

/// What is known of the frame that is coming.
#[derive(Debug)]
pub(super) struct Inbound {
    /// The beginning of a header.
    header: [u8; HEADER_MAXIMUM],
    header_length: u8,
    opcode: Opcode,
    /// Whether a message has begun and its last frame has not come.
    is_fragmented: bool,
    /// The mask, turned so that its first byte is that of the next byte of payload.
    mask: [u8; 4],
    /// Bytes of payload that are still to come.
    left: u64,
    /// What has come of a control frame's.
    control: Vec<u8>,
}

impl Default for Inbound {
    fn default() -> Self {
        Self {
            header: [0; HEADER_MAXIMUM],
            header_length: 0,
            opcode: Opcode::Binary,
            is_fragmented: false,
            mask: [0; 4],
            left: 0,
            control: Vec::new(),
        }
    }
}

impl Inbound {
    /// Takes what has come, and leaves the payload of it at the beginning of `bytes`.
    pub(super) fn take(&mut self, bytes: &mut [u8]) -> Taken {
        let mut taken = Taken::default();
        let mut at = 0;
        while at < bytes.len() && taken.end.is_none() {
            let step = match self.left {
                0 => self.take_header(&bytes[at..]),
                _ => Ok(self.take_payload(bytes, at, &mut taken.data)),
            };
            let outcome = step.and_then(|used| {
                at += used;
                self.finish(&mut taken)
            });
            if let Err(breach) = outcome {
                taken.end = Some(End::Breach(breach));
            }
        }
        taken
    }

    /// Takes what belongs to a header. If it is whole with that, its frame has begun.
    fn take_header(&mut self, bytes: &[u8]) -> Result<usize, Breach> {
        let known = usize::from(self.header_length);
        let more = bytes.len().min(HEADER_MAXIMUM - known);
        self.header[known..known + more].copy_from_slice(&bytes[..more]);
        match Header::parse(&self.header[..known + more])? {
            None => {
                self.header_length += more as u8;
                Ok(more)
            }
            Some(header) => {
                self.header_length = 0;
                self.begin(&header)?;
                Ok(header.size - known)
            }
        }
    }

    fn begin(&mut self, header: &Header) -> Result<(), Breach> {
        let opcode = header.opcode;
        match opcode {
            // [MQTT5-6.0.0-1] [MQTT311-6.0.0-1]
            Opcode::Text => {
                return Err(Breach {
                    code: 1003,
                    what: "a text frame",
                });
            }
            Opcode::Continuation if !self.is_fragmented => {
                return Err(Breach::protocol("a continuation of nothing"));
            }
            Opcode::Binary if self.is_fragmented => {
                return Err(Breach::protocol("a message in the middle of another"));
            }
            Opcode::Continuation | Opcode::Binary => self.is_fragmented = !header.is_final,
            Opcode::Close | Opcode::Ping | Opcode::Pong => {
                if !header.is_final || header.length > CONTROL_MAXIMUM {
                    return Err(Breach::protocol("a control frame in parts, or too long"));
                }
            }
        }
        self.opcode = opcode;
        self.mask = header.mask;
        self.left = header.length;
        Ok(())
    }

    /// Takes what belongs to the payload.
    fn take_payload(&mut self, bytes: &mut [u8], at: usize, data: &mut usize) -> usize {
        let come = bytes.len() - at;
        let count = usize::try_from(self.left).map_or(come, |left| left.min(come));
        if self.opcode.is_control() {
            let payload = &mut bytes[at..at + count];
            unmask(payload, &mut self.mask);
            self.control.extend_from_slice(payload);
        } else {
            bytes.copy_within(at..at + count, *data);
            unmask(&mut bytes[*data..*data + count], &mut self.mask);
            *data += count;
        }
        self.left -= count as u64;
        count
    }

    /// Does what a control frame asks for, if it has come to its end.
    fn finish(&mut self, taken: &mut Taken) -> Result<(), Breach> {
        if self.left > 0 || self.header_length > 0 || !self.opcode.is_control() {
            return Ok(());
        }
        let payload = std::mem::take(&mut self.control);
        // So that the end of a header in part is not taken for another one's.
        match std::mem::replace(&mut self.opcode, Opcode::Binary) {
            Opcode::Ping => taken.ping = Some(payload),
            Opcode::Close => taken.end = Some(End::Close(status(&payload)?)),
            _ => {}
        }
        Ok(())
    }
}

/// A frame's header.
#[derive(Debug)]
struct Header {
    is_final: bool,
    opcode: Opcode,
    length: u64,
    mask: [u8; 4],
    /// Bytes of the header itself.
    size: usize,
}

impl Header {
    /// Reads the header that `bytes` begin with, if they have all of it.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, Breach> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            return Err(Breach::protocol(
                "a reserved bit, though there are no extensions",
            ));
        }
        let opcode = Opcode::of(first).ok_or(Breach::protocol("an unknown opcode"))?;
        if second & 0x80 == 0 {
            return Err(Breach::protocol("a frame without a mask"));
        }
        let (length, extra) = match second & 0x7f {
            126 => match rest.first_chunk() {
                Some(length) => (u16::from_be_bytes(*length).into(), 2),
                None => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(length) => (u64::from_be_bytes(*length), 8),
                None => return Ok(None),
            },
            length => (length.into(), 0),
        };
        let shortest = match length {
            0..126 => 0,
            126..0x1_0000 => 2,
            0x1_0000..0x8000_0000_0000_0000 => 8,
            _ => return Err(Breach::protocol("a length of more than 63 bits")),
        };
        if extra != shortest {
            return Err(Breach::protocol(
                "a length that is not in its shortest form",
            ));
        }
        Ok(rest[extra..].first_chunk().map(|mask| Self {
            is_final: first & 0x80 != 0,
            opcode,
            length,
            mask: *mask,
            size: 2 + extra + mask.len(),
        }))
    }
}

/// Takes the mask off, and turns it for what follows.
fn unmask(bytes: &mut [u8], mask: &mut [u8; 4]) {
    let mut fours = bytes.chunks_exact_mut(4);
    for four in &mut fours {
        for (byte, mask) in four.iter_mut().zip(*mask) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in fours.into_remainder().iter_mut().zip(*mask) {
        *byte ^= mask;
    }
    mask.rotate_left(bytes.len() % 4);
}

/// The status code of a Close frame.
fn status(payload: &[u8]) -> Result<Option<u16>, Breach> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return match payload {
            [] => Ok(None),
            _ => Err(Breach::protocol("half of a status code")),
        };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Breach::protocol("a status code that nobody may send"));
    }
    match str::from_utf8(reason) {
        Ok(_) => Ok(Some(code)),
        Err(_) => Err(Breach {
            code: 1007,
            what: "a reason that is no UTF-8",
        }),
    }
}

/// The header of a frame to a client, which has no mask, and how many bytes of it there are.
pub(super) fn header(opcode: Opcode, length: usize) -> ([u8; 10], usize) {
    let mut header = [0; 10];
    header[0] = 0x80 | opcode as u8;
    let size = match length {
        0..126 => {
            header[1] = length as u8;
            2
        }
        126..0x1_0000 => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            4
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&(length as u64).to_be_bytes());
            10
        }
    };
    (header, size)
}

#[cfg(test)]
mod tests;
