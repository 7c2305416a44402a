//! A WebSocket client below [`super::raw::RawClient`], that somebody else wrote.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use tungstenite::client::IntoClientRequest;
use tungstenite::error::ProtocolError;
use tungstenite::handshake::client::Response;
use tungstenite::http::HeaderValue;
use tungstenite::{Error, Message, WebSocket};

use super::DEADLINE;
use super::raw::Carrier;

/// What a broker's configuration says of a WebSocket listener. Append to what else it says.
pub const WS: &str = "[[listener]]\nkind = \"ws\"\naddress = \"127.0.0.1:0\"\n";

/// The same inside TLS, with the certificates that every broker under test has in its folder.
pub const WSS: &str = "[[listener]]\nkind = \"wss\"\naddress = \"127.0.0.1:0\"\n[listener.tls]\n\
                       certificate = \"tls/server.pem\"\nkey = \"tls/server.key\"\n";

/// A stream of bytes in the binary frames of a WebSocket: each write is a frame.
pub struct Framed<S> {
    pub socket: WebSocket<S>,
    /// Payload that has not been read.
    received: io::Cursor<Vec<u8>>,
}

/// Asks for a WebSocket at this path, with these values of fields of the request.
pub fn request<S: Read + Write>(
    stream: S,
    path: &str,
    fields: &[(&'static str, &str)],
) -> Result<(Framed<S>, Response), Error> {
    let mut request = format!("ws://localhost{path}").into_client_request()?;
    for (name, value) in fields {
        let value = HeaderValue::from_str(value).expect("a value of a field");
        request.headers_mut().append(*name, value);
    }
    match tungstenite::client::client(request, stream) {
        Ok((socket, response)) => {
            let received = io::Cursor::default();
            Ok((Framed { socket, received }, response))
        }
        Err(tungstenite::HandshakeError::Failure(error)) => Err(error),
        Err(tungstenite::HandshakeError::Interrupted(_)) => panic!("no answer in {DEADLINE:?}"),
    }
}

/// A WebSocket for MQTT.
#[track_caller]
pub fn connect<S: Carrier>(stream: S) -> Framed<S> {
    let socket = stream.socket();
    socket
        .set_read_timeout(Some(DEADLINE))
        .expect("an option every socket has");
    let upgraded = request(stream, "/mqtt", &[("Sec-WebSocket-Protocol", "mqtt")]);
    upgraded.expect("a WebSocket").0
}

/// As bytes go, an end is an end; only a socket that is gone is an error.
fn as_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            io::ErrorKind::ConnectionReset.into()
        }
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        error => io::Error::other(error),
    }
}

impl<S: Read + Write> Read for Framed<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.received.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            match self.socket.read() {
                Ok(Message::Binary(payload)) => self.received = io::Cursor::new(payload.into()),
                // The next read sends the answer, and waits for the end of the connection below.
                Ok(_) => {}
                Err(Error::ConnectionClosed) => return Ok(0),
                Err(error) => return Err(as_io(error)),
            }
        }
    }
}

impl<S: Read + Write> Write for Framed<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let message = Message::binary(bytes.to_vec());
        self.socket.write(message).map_err(as_io)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush().map_err(as_io)
    }
}

impl<S: Carrier> Carrier for Framed<S> {
    fn socket(&self) -> &TcpStream {
        self.socket.get_ref().socket()
    }

    fn finish_sending(&mut self) -> io::Result<()> {
        self.socket.close(None).map_err(as_io)?;
        self.flush()
    }
}
