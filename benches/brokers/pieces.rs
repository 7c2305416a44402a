//! Parts of the self-check that no floor can show: pieces of the harness, each held against what it
//! must notice.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::beside::Churner;
use super::certificate;
use super::failure::Failure;
use super::ledger::Discrepancies;
use super::load;
use super::retained::{self, RETAIN};
use super::stream::Stream;
use super::wire::{self, Frame, Malformed, Publish};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes sent through TLS and back: many records, and more than sockets hold.
const LENGTH: usize = 8 << 20;

fn same<T: PartialEq + std::fmt::Debug>(seen: T, expected: T) -> Result<(), Failure> {
    match seen == expected {
        true => Ok(()),
        false => Err(Failure::new(format!("expected {expected:?}, saw {seen:?}"))),
    }
}

fn malformed(_: Malformed) -> Failure {
    Failure::new("malformed bytes")
}

/// The topic that an alias stands for is the one that was named with it last; an unknown one is none.
pub fn aliases() -> Result<(), Failure> {
    let mut known = Vec::new();
    for (topic, alias, expected) in [
        ("a", 1, "a"),
        ("b", 2, "b"),
        ("", 1, "a"),
        ("c", 1, "c"),
        ("", 1, "c"),
        ("", 2, "b"),
        ("", 3, ""),
    ] {
        let mut frame = Vec::new();
        let properties = wire::alias(alias);
        wire::publish_with(
            &mut frame,
            0,
            topic.as_bytes(),
            Some(&properties),
            b"payload",
        );
        let frame = Frame::first_of(&frame).map_err(malformed)?;
        let frame = frame.ok_or_else(|| Failure::new("a frame that is not whole"))?;
        let publish = Publish::of(&frame, true).map_err(malformed)?;
        same(load::named(&mut known, &publish), expected.as_bytes())?;
    }
    Ok(())
}

/// Who subscribes and unsubscribes notices a wrong answer, and one that is missing.
pub fn churner() -> Result<(), Failure> {
    let right = [wire::SUBACK, 3, 0, 1, 0, wire::UNSUBACK, 2, 0, 2];
    let swapped = [wire::UNSUBACK, 2, 0, 1, wire::SUBACK, 3, 0, 2, 0];
    let other = [wire::SUBACK, 3, 0, 1, 0, wire::UNSUBACK, 2, 0, 3];
    let refused = [wire::SUBACK, 3, 0, 1, 0x80, wire::UNSUBACK, 2, 0, 2];
    for (answers, wrong) in [
        (&right[..], 0),
        (&right[..5], 1),
        (&swapped, 2),
        (&other, 1),
        (&refused, 1),
    ] {
        let mut churner = Churner::new(0);
        churner.write_pair(&mut Vec::new());
        churner.answers(answers).map_err(malformed)?;
        same(churner.discrepancies(), wrong)?;
    }
    Ok(())
}

/// Of three retained messages, those that are missing, come again, or come without the flag.
pub fn retained() -> Result<(), Failure> {
    let none = Discrepancies::default();
    let all = [(2, RETAIN), (0, RETAIN), (1, RETAIN)];
    same(retained::seen_of(&all)?, none)?;
    let lost = Discrepancies { lost: 1, ..none };
    same(retained::seen_of(&all[..2])?, lost)?;
    let twice = Discrepancies { twice: 1, ..none };
    same(retained::seen_of(&[&all[..], &all[..1]].concat())?, twice)?;
    let misrouted = Discrepancies {
        lost: 1,
        misrouted: 1,
        ..none
    };
    same(retained::seen_of(&[all[0], all[1], (1, 0)])?, misrouted)
}

/// What goes through a nonblocking stream inside TLS comes back as it was, told by events.
pub fn tls() -> Result<(), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let server = certificate::server()?;
    let echo = std::thread::spawn(move || -> std::io::Result<()> {
        let (socket, _) = listener.accept()?;
        let server = rustls::ServerConnection::new(server).map_err(std::io::Error::other)?;
        let mut stream = rustls::StreamOwned::new(server, socket);
        let mut buffer = vec![0; 40_000];
        let mut left = LENGTH;
        while left > 0 {
            let count = stream.read(&mut buffer)?;
            stream.write_all(&buffer[..count])?;
            left -= count;
        }
        stream.flush()
    });
    let sent: Vec<u8> = (0..LENGTH).map(|at| (at % 251) as u8).collect();
    let mut stream = Stream::connect(address, Some(&certificate::client()?), PATIENCE)?;
    // The handshake is made while the stream blocks.
    stream.write_all(&sent[..1])?;
    let mut received = vec![0; LENGTH];
    stream.read_exact(&mut received[..1])?;
    converse(&mut stream, &sent, &mut received)?;
    let ended = echo.join().map_err(|_| Failure::new("the echo panicked"))?;
    ended?;
    match sent == received {
        true => Ok(()),
        false => Err(Failure::new("what came back is not what was sent")),
    }
}

/// Writes and reads all but the first byte.
fn converse(stream: &mut Stream, sent: &[u8], received: &mut [u8]) -> Result<(), Failure> {
    /// Less than a record, so that some of it is left over.
    const AT_ONCE: usize = 5_000;
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
    stream.register(poll.registry(), Token(0))?;
    let deadline = Instant::now() + PATIENCE;
    let (mut written, mut read) = (1, 1);
    while read < LENGTH {
        if Instant::now() > deadline {
            return Err(Failure::new(format!(
                "{written} written, {read} read, then nothing"
            )));
        }
        while written < LENGTH || stream.unwritten() {
            let outcome = match written < LENGTH {
                true => stream.write(&sent[written..]).map(|count| written += count),
                false => stream.flush(),
            };
            match outcome {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                outcome => outcome?,
            }
        }
        let end = LENGTH.min(read + AT_ONCE);
        match stream.read(&mut received[read..end]) {
            Ok(0) => return Err(Failure::new("it ended")),
            Ok(count) => read += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        // What did not fill the buffer has drained the socket.
        if read < end {
            poll.poll(&mut events, Some(PATIENCE))?;
        }
    }
    Ok(())
}
