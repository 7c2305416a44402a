//! An MQTT client that knows nothing: exact bytes out, whole packets in.
//!
//! It is for what well-behaved clients never do, and for assertions on each byte that a broker sends.
//! Packets are cut by their fixed header only; nothing in them is interpreted:
//!
//! ```text
//!   30 07 00 03 61 2f 62 68 69        one packet: type and flags, remaining length, the rest
//! ```

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Instant;

use socket2::{Domain, Protocol, Socket, Type};

use super::DEADLINE;

/// CONNECT of MQTT 3.1.1: clean session 1, keep alive 60 s.
pub fn connect_311(client_id: &str) -> Vec<u8> {
    let header = b"\x00\x04MQTT\x04\x02\x00\x3c";
    packet(0x10, &[header, &string(client_id)[..]].concat())
}

/// CONNECT of MQTT 3.1.1 with a User Name and a Password.
pub fn connect_311_as(client_id: &str, user_name: &str, password: &str) -> Vec<u8> {
    let header = b"\x00\x04MQTT\x04\xc2\x00\x3c";
    let fields = [client_id, user_name, password].map(string).concat();
    packet(0x10, &[header, &fields[..]].concat())
}

/// CONNECT of MQTT 5.0: Clean Start 1, keep alive 60 s, no properties.
pub fn connect_5(client_id: &str) -> Vec<u8> {
    let header = b"\x00\x04MQTT\x05\x02\x00\x3c\x00";
    packet(0x10, &[header, &string(client_id)[..]].concat())
}

/// CONNECT of MQTT 3.1.1 for a session that outlives its connection: clean session 0, keep alive 60 s.
pub fn connect_311_again(client_id: &str) -> Vec<u8> {
    let header = b"\x00\x04MQTT\x04\x00\x00\x3c";
    packet(0x10, &[header, &string(client_id)[..]].concat())
}

/// CONNECT of MQTT 3.1.1 with a QoS 0 Will.
pub fn connect_311_with_will(client_id: &str, topic: &str, message: &str) -> Vec<u8> {
    let header = b"\x00\x04MQTT\x04\x06\x00\x3c";
    let fields = [client_id, topic, message].map(string).concat();
    packet(0x10, &[header, &fields[..]].concat())
}

/// SUBSCRIBE of MQTT 3.1.1 with one Topic Filter.
pub fn subscribe_311(packet_id: u16, filter: &str, qos: u8) -> Vec<u8> {
    packet(
        0x82,
        &[&packet_id.to_be_bytes(), &string(filter)[..], &[qos]].concat(),
    )
}

/// PUBLISH of MQTT 3.1.1 at QoS 0.
pub fn publish_311(topic: &str, payload: &[u8]) -> Vec<u8> {
    packet(0x30, &[&string(topic), payload].concat())
}

/// PUBLISH of MQTT 3.1.1 at QoS 1.
pub fn publish_311_qos1(packet_id: u16, topic: &str, payload: &[u8]) -> Vec<u8> {
    let header = [&string(topic)[..], &packet_id.to_be_bytes()].concat();
    packet(0x32, &[&header, payload].concat())
}

/// PUBACK of MQTT 3.1.1.
pub fn puback_311(packet_id: u16) -> Vec<u8> {
    packet(0x40, &packet_id.to_be_bytes())
}

/// A packet from its first byte and all that follows the remaining length.
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    loop {
        let more = if length >= 128 { 0x80 } else { 0 };
        packet.push((length % 128) as u8 | more);
        length /= 128;
        if length == 0 {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

/// A string with its two bytes of length.
pub fn string(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a string of the protocol");
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

/// Topic Name and payload of a QoS 0 PUBLISH of MQTT 3.1.1 as [`RawClient::packet`] returns it.
pub fn published_311(packet: &[u8]) -> (String, Vec<u8>) {
    assert_eq!(packet[0] & 0xf6, 0x30, "no QoS 0 PUBLISH: {packet:02x?}");
    let body = &packet[1 + packet[1..].iter().take_while(|byte| **byte >= 0x80).count() + 1..];
    let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
    let topic = String::from_utf8(body[2..2 + length].to_vec()).expect("a Topic Name");
    (topic, body[2 + length..].to_vec())
}

/// Packet Identifier and payload of a QoS 1 PUBLISH of MQTT 3.1.1, sent for the first time or again.
pub fn published_311_qos1(packet: &[u8]) -> (u16, Vec<u8>) {
    assert_eq!(
        packet[0] & 0xf7,
        0x32,
        "no QoS 1 PUBLISH: {:02x}",
        packet[0]
    );
    let mut as_qos0 = packet.to_vec();
    as_qos0[0] = 0x30;
    let (_, mut id) = published_311(&as_qos0);
    let payload = id.split_off(2);
    (u16::from_be_bytes([id[0], id[1]]), payload)
}

/// What carries a client's bytes.
pub trait Carrier: Read + Write + Send {
    /// The socket below.
    fn socket(&self) -> &TcpStream;

    /// Says in good order that nothing more will be sent.
    fn finish_sending(&mut self) -> io::Result<()>;
}

impl Carrier for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }

    fn finish_sending(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// A socket that takes so little before it is read that the other side soon cannot write.
#[track_caller]
pub fn narrow(address: SocketAddr) -> TcpStream {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
    // Not less, or the kernel waits with window updates for a whole segment of the loopback.
    socket
        .set_recv_buffer_size(256 * 1024)
        .expect("an option every socket has");
    socket
        .connect_timeout(&address.into(), DEADLINE)
        .expect("the port is bound");
    socket.into()
}

/// One connection.
pub struct RawClient {
    stream: Box<dyn Carrier>,
    /// Bytes read beyond the last packet.
    received: Vec<u8>,
}

impl RawClient {
    /// Connects, without sending anything.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, DEADLINE).expect("the port is bound"))
    }

    /// A client of a stream that is there, on which it has sent nothing yet.
    #[track_caller]
    pub fn over(stream: impl Carrier + 'static) -> Self {
        let socket = stream.socket();
        socket
            .set_nodelay(true)
            .and_then(|()| socket.set_write_timeout(Some(DEADLINE)))
            .expect("options every socket has");
        Self {
            stream: Box::new(stream),
            received: Vec::new(),
        }
    }

    /// Connects, sends a CONNECT and expects a CONNACK that accepts it.
    #[track_caller]
    pub fn accepted(address: SocketAddr, connect: &[u8]) -> Self {
        let mut client = Self::connect(address);
        client.open(connect);
        client
    }

    /// Sends a CONNECT and expects a CONNACK that accepts it.
    #[track_caller]
    pub fn open(&mut self, connect: &[u8]) {
        self.send(connect);
        let connack = self.packet();
        assert_eq!(connack[0], 0x20, "no CONNACK: {connack:02x?}");
        assert_eq!(connack[3], 0x00, "not accepted: {connack:02x?}");
    }

    /// Where the broker sees this client.
    pub fn address(&self) -> SocketAddr {
        let address = self.stream.socket().local_addr();
        address.expect("the socket is bound")
    }

    /// Sends exactly these bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the connection is open");
    }

    /// Sends these bytes, unless the connection is over.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Closes the sending half; what comes can still be read.
    #[track_caller]
    pub fn finish_sending(&mut self) {
        self.stream
            .finish_sending()
            .expect("the connection is open");
    }

    /// Subscribes as MQTT 3.1.1 does, and expects that QoS to be granted.
    #[track_caller]
    pub fn subscribe_311(&mut self, filter: &str, qos: u8) {
        self.send(&subscribe_311(1, filter, qos));
        self.expect(&[0x90, 0x03, 0x00, 0x01, qos]);
    }

    /// Every packet until the connection is closed.
    #[track_caller]
    pub fn packets_until_closed(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        while let Some(packet) = self.packet_or_end() {
            packets.push(packet);
        }
        packets
    }

    /// The next packet, whole.
    #[track_caller]
    pub fn packet(&mut self) -> Vec<u8> {
        match self.packet_or_end() {
            Some(packet) => packet,
            None => panic!("closed instead of a packet; had {:02x?}", self.received),
        }
    }

    /// The next packet, which must be exactly this one.
    #[track_caller]
    pub fn expect(&mut self, packet: &[u8]) {
        let received = self.packet();
        assert!(
            received == packet,
            "expected {packet:02x?}, received {received:02x?}"
        );
    }

    /// Expects the connection to be closed, with no packet before.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        if let Some(packet) = self.packet_or_end() {
            panic!("a packet instead of a close: {packet:02x?}");
        }
    }

    /// Expects nothing to have come before the answer to a PINGREQ that is sent now.
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        self.send(&[0xc0, 0x00]);
        self.expect(&[0xd0, 0x00]);
    }

    /// The next packet, or none if the connection was closed in order or by a reset.
    #[track_caller]
    pub fn packet_or_end(&mut self) -> Option<Vec<u8>> {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(length) = whole_packet(&self.received) {
                let rest = self.received.split_off(length);
                return Some(std::mem::replace(&mut self.received, rest));
            }
            let left = end.saturating_duration_since(Instant::now());
            let had = &self.received;
            assert!(
                !left.is_zero(),
                "neither packet nor close in {DEADLINE:?}; had {had:02x?}"
            );
            self.stream
                .socket()
                .set_read_timeout(Some(left))
                .expect("an option every socket has");
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(length) => self.received.extend_from_slice(&chunk[..length]),
                Err(error) => match error.kind() {
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => return None,
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => panic!("the connection failed: {error}"),
                },
            }
        }
    }
}

/// Length of the packet at the start of `bytes`, if it is there to its end.
fn whole_packet(bytes: &[u8]) -> Option<usize> {
    let mut length = 0;
    for (index, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let whole = 2 + index + length;
            return (bytes.len() >= whole).then_some(whole);
        }
    }
    assert!(bytes.len() < 5, "no remaining length: {bytes:02x?}");
    None
}
