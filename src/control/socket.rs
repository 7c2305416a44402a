//! One request after the other.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UnixListener;
use tokio::sync::Semaphore;

use super::answer::House;
use super::protocol::{Answer, REQUEST_MAXIMUM};

/// How many are heard at once; others wait to be accepted.
const AT_ONCE: usize = 8;
/// How long a request may take to come.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take to be read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long accepting rests when the process has run out of descriptors.
const BACK_OFF: Duration = Duration::from_millis(200);

/// Answers requests for as long as it is polled.
pub async fn serve(listener: UnixListener, house: House) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let house = house.clone();
                // A listing takes locks and a copy of the store takes its time: nothing for a task.
                tokio::task::spawn_blocking(move || {
                    if let Err(error) = converse(stream, &house) {
                        tracing::debug!("control: {error}");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!("control: cannot accept: {error}");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// Reads a request and writes the answer.
fn converse(stream: tokio::net::UnixStream, house: &House) -> io::Result<()> {
    let mut stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    let answer = match read_line(&mut stream, Instant::now() + READ_TIMEOUT)? {
        Some(line) => house.answer(&line),
        None => Answer::Error {
            message: format!("a request is a line of at most {REQUEST_MAXIMUM} bytes"),
        },
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    write_all(&mut stream, &text, Instant::now() + WRITE_TIMEOUT)
}

/// What is left until a deadline.
fn left(until: Instant) -> io::Result<Duration> {
    match until.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

/// A line, without its end, or what came before the peer stopped writing; nothing if it is too long.
fn read_line(stream: &mut UnixStream, until: Instant) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut piece = [0; 4096];
    loop {
        stream.set_read_timeout(Some(left(until)?))?;
        let read = match stream.read(&mut piece) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = piece[..read].iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&piece[..end.unwrap_or(read)]);
        if line.len() > REQUEST_MAXIMUM {
            return Ok(None);
        }
        if end.is_some() || read == 0 {
            return Ok(Some(line));
        }
    }
}

fn write_all(stream: &mut UnixStream, mut text: &[u8], until: Instant) -> io::Result<()> {
    while !text.is_empty() {
        stream.set_write_timeout(Some(left(until)?))?;
        match stream.write(text) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => text = &text[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
