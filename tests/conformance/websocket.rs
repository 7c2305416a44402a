//! A WebSocket in exact bytes: the request and the answer of RFC 6455's example, and frames by hand.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::DEADLINE;
use crate::support::broker::Broker;

/// The first byte of a frame that is a message of its own.
pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;

/// A broker with a WebSocket listener.
#[track_caller]
pub fn start() -> Broker {
    let limits = "[auth]\nanonymous = true\n[limits]\nconnect_timeout = \"1h\"\n";
    let listener = "[[listener]]\nkind = \"ws\"\naddress = \"127.0.0.1:0\"\n";
    Broker::configured(&format!("{limits}{listener}"))
}

/// A connection to the WebSocket listener.
pub struct Upgraded(TcpStream);

/// Asks for a WebSocket with these lines about the subprotocol; the connection, and the lines of the answer.
#[track_caller]
pub fn ask(broker: &Broker, offers: &str) -> (Upgraded, Vec<String>) {
    let address = broker.listening("ws");
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE).expect("the port is bound");
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("an option every socket has");
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offers}\r\n"
    );
    stream.write_all(request.as_bytes()).expect("open");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        answer.push(byte[0]);
    }
    let answer = String::from_utf8(answer).expect("an answer of text");
    (
        Upgraded(stream),
        answer.lines().map(str::to_owned).collect(),
    )
}

/// A WebSocket for MQTT.
#[track_caller]
pub fn upgraded(broker: &Broker) -> Upgraded {
    let (upgraded, answer) = ask(broker, "Sec-WebSocket-Protocol: mqtt\r\n");
    assert_eq!(answer[0], "HTTP/1.1 101 Switching Protocols");
    let proof = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    assert!(answer.iter().any(|line| line == proof), "{answer:?}");
    upgraded
}

impl Upgraded {
    /// Sends a frame of less than 126 bytes, masked as a client's has to be.
    #[track_caller]
    pub fn send(&mut self, first: u8, payload: &[u8]) {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let length = u8::try_from(payload.len()).expect("a short frame");
        assert!(length < 126, "a short frame");
        let masked = payload.iter().zip(mask.iter().cycle());
        let masked: Vec<u8> = masked.map(|(byte, mask)| byte ^ mask).collect();
        let frame = [&[first, 0x80 | length][..], &mask, &masked].concat();
        self.0.write_all(&frame).expect("open");
    }

    /// The next frame: its first byte and its payload.
    #[track_caller]
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).expect("a frame");
        assert!(head[1] < 126, "masked, or not short: {head:02x?}");
        let mut payload = vec![0; head[1].into()];
        self.0.read_exact(&mut payload).expect("a whole frame");
        (head[0], payload)
    }

    /// Expects these packets, in binary frames however they are cut, and nothing else.
    #[track_caller]
    pub fn expect(&mut self, packets: &[u8]) {
        let mut received = Vec::new();
        while received.len() < packets.len() {
            let (first, payload) = self.frame();
            assert_eq!(first, BINARY, "after {received:02x?}");
            received.extend_from_slice(&payload);
        }
        assert_eq!(received, packets);
    }

    /// Expects the connection to be closed, with nothing before.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("an end in order");
        assert_eq!(rest, b"");
    }
}
