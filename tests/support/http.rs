//! The least of an HTTP client: one GET, one answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::DEADLINE;

/// Status and body of what is at `path`.
#[track_caller]
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE).expect("the port is bound");
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("an option every socket has");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .expect("the connection is open");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("an answer of text, then the end");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(
        !head.to_lowercase().contains("transfer-encoding"),
        "only plain bodies are read here"
    );
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (
        status.unwrap_or_else(|| panic!("no status in `{head}`")),
        body.to_owned(),
    )
}
