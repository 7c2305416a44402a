//! Connections one by one: the handshakes of the load's connections, and the two loads that consist
//! of nothing else. Blocking sockets: here time does not count, only the broker's memory and CPU.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::process;
use super::wire;

/// How long a broker may take to answer a CONNECT or SUBSCRIBE.
const PATIENCE: Duration = Duration::from_secs(10);
/// So long that no idle connection has to ping, and yet a keep alive that the broker must watch.
const KEEP_ALIVE_SECONDS: u16 = 3600;

/// Connects with a session that ends with the connection, and waits for the CONNACK.
pub fn open(address: SocketAddr, client_identifier: &str) -> Result<TcpStream, Failure> {
    let mut stream = begin(address, client_identifier, true)?;
    accepted(&mut stream, client_identifier, wire::ACCEPTED)?;
    Ok(stream)
}

/// Connects with a session that outlives the connection, and waits for the CONNACK, which must say
/// whether there was one before, as `present` does.
pub fn open_kept(
    address: SocketAddr,
    client_identifier: &str,
    present: bool,
) -> Result<TcpStream, Failure> {
    let mut stream = begin(address, client_identifier, false)?;
    let expected = if present {
        wire::PRESENT
    } else {
        wire::ACCEPTED
    };
    accepted(&mut stream, client_identifier, expected)?;
    Ok(stream)
}

/// Connects and sends the CONNECT.
fn begin(address: SocketAddr, client_identifier: &str, clean: bool) -> Result<TcpStream, Failure> {
    let failed = |error| Failure::new(format!("cannot connect {client_identifier}: {error}"));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let mut connect = Vec::with_capacity(64);
    wire::connect(&mut connect, client_identifier, clean, KEEP_ALIVE_SECONDS);
    stream.write_all(&connect).map_err(failed)?;
    Ok(stream)
}

/// Waits for the CONNACK.
fn accepted(
    stream: &mut TcpStream,
    client_identifier: &str,
    expected: [u8; 4],
) -> Result<(), Failure> {
    let mut answer = [0; 4];
    stream
        .read_exact(&mut answer)
        .map_err(|error| Failure::new(format!("no CONNACK for {client_identifier}: {error}")))?;
    if answer != expected {
        let what = format!("{client_identifier} was answered {answer:02X?}, not {expected:02X?}");
        return Err(Failure::new(what));
    }
    Ok(())
}

/// Subscribes to one Topic Filter and waits for the SUBACK.
pub fn subscribe(stream: &mut TcpStream, filter: &str, qos: u8) -> Result<(), Failure> {
    let mut packet = Vec::with_capacity(64);
    wire::subscribe(&mut packet, 1, filter, qos);
    stream.write_all(&packet)?;
    let mut answer = [0; 5];
    stream
        .read_exact(&mut answer)
        .map_err(|error| Failure::new(format!("no SUBACK for {filter}: {error}")))?;
    if answer != [wire::SUBACK, 3, 0, 1, qos] {
        return Err(Failure::new(format!(
            "SUBSCRIBE {filter} was answered {answer:02X?}"
        )));
    }
    Ok(())
}

/// What idle connections cost.
#[derive(Debug, Clone, Copy)]
pub struct Idle {
    /// How many there were.
    pub connections: usize,
    /// The broker's own (anonymous) memory for each, in bytes.
    pub bytes_each: f64,
}

/// Opens `count` connections to the process `pid` and looks at what its memory settles at.
pub fn idle(
    address: SocketAddr,
    pid: u32,
    count: usize,
    settle: Duration,
) -> Result<Idle, Failure> {
    // The first connections make a broker set up what all share (threads, buffers, arenas).
    for index in 0..10 {
        let mut stream = open(address, &format!("first-{index}"))?;
        stream.write_all(&wire::DISCONNECT)?;
    }
    let before = settled_memory(pid, settle)?;
    let mut streams = Vec::with_capacity(count);
    for index in 0..count {
        streams.push(open(address, &format!("idle-{index:05}"))?);
    }
    let after = settled_memory(pid, settle)?;
    let bytes_each = (after as f64 - before as f64) / count as f64;
    Ok(Idle {
        connections: count,
        bytes_each,
    })
}

/// Waits until the memory has not moved for half a second, or `at_most`; an allocator gives back
/// with a delay what a storm of connections left behind.
fn settled_memory(pid: u32, at_most: Duration) -> Result<u64, Failure> {
    let deadline = Instant::now() + at_most;
    let (mut memory, mut unmoved) = (process::anonymous_resident(pid)?, 0);
    while unmoved < 5 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
        let next = process::anonymous_resident(pid)?;
        unmoved = if next == memory { unmoved + 1 } else { 0 };
        memory = next;
    }
    Ok(memory)
}

/// Opens and closes `count` connections, `at_once` at a time.
pub fn churn(address: SocketAddr, count: usize, at_once: usize) -> Result<(), Failure> {
    let mut opened = 0;
    while opened < count {
        let batch = at_once.min(count - opened);
        let names: Vec<String> = (opened..opened + batch)
            .map(|i| format!("churn-{i:05}"))
            .collect();
        let mut streams = Vec::with_capacity(batch);
        for name in &names {
            streams.push(begin(address, name, true)?);
        }
        for (stream, name) in streams.iter_mut().zip(&names) {
            accepted(stream, name, wire::ACCEPTED)?;
        }
        for stream in &mut streams {
            stream.write_all(&wire::DISCONNECT)?;
        }
        opened += batch;
    }
    Ok(())
}
