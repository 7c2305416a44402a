//! Connections one by one: the handshakes of the load's connections, and the two loads that consist
//! of nothing else. Blocking sockets: here time does not count, only the broker's memory and CPU.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::failure::Failure;
use super::process;
use super::stream::Stream;
use super::traffic::Dialect;
use super::wire;

/// Connections that are opened at the same time.
const AT_ONCE: usize = 50;
/// How long a broker may take to answer a CONNECT or SUBSCRIBE.
const PATIENCE: Duration = Duration::from_secs(10);
/// So long that no idle connection has to ping, and yet a keep alive that the broker must watch.
const KEEP_ALIVE_SECONDS: u16 = 3600;

/// How to reach a broker, and what to speak there.
#[derive(Debug, Clone)]
pub struct Way {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whom to trust, if it is inside TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// What to speak.
    pub dialect: Dialect,
}

impl Way {
    /// MQTT 3.1.1 over plain TCP.
    pub fn plain(address: SocketAddr) -> Way {
        Way {
            address,
            tls: None,
            dialect: Dialect::Three,
        }
    }
}

/// Connects with a session that ends with the connection, and waits for the CONNACK.
pub fn open(way: &Way, client_identifier: &str) -> Result<Stream, Failure> {
    let mut stream = begin(way, client_identifier, true)?;
    accepted(&mut stream, client_identifier, false)?;
    Ok(stream)
}

/// Connects with a session that outlives the connection, and waits for the CONNACK, which must say
/// whether there was one before, as `present` does.
pub fn open_kept(way: &Way, client_identifier: &str, present: bool) -> Result<Stream, Failure> {
    let mut stream = begin(way, client_identifier, false)?;
    accepted(&mut stream, client_identifier, present)?;
    Ok(stream)
}

/// Connects all of `names`, with sessions that end with their connections or, unless `clean`, outlive
/// them, and that were not there before. Some at a time, for some brokers take 40 ms for each inside TLS.
pub fn open_all(way: &Way, names: &[String], clean: bool) -> Result<Vec<Stream>, Failure> {
    let mut streams = Vec::with_capacity(names.len());
    for names in names.chunks(AT_ONCE) {
        let begun = streams.len();
        for name in names {
            streams.push(begin(way, name, clean)?);
        }
        for stream in &mut streams[begun..] {
            stream.shake_hands()?;
        }
        for (stream, name) in streams[begun..].iter_mut().zip(names) {
            accepted(stream, name, false)?;
        }
    }
    Ok(streams)
}

/// Connects and sends the CONNECT.
fn begin(way: &Way, client_identifier: &str, clean: bool) -> Result<Stream, Failure> {
    let failed = |error| Failure::new(format!("cannot connect {client_identifier}: {error}"));
    let stream = Stream::connect(way.address, way.tls.as_ref(), PATIENCE);
    let mut stream = stream.map_err(failed)?;
    let mut connect = Vec::with_capacity(64);
    wire::connect(
        &mut connect,
        way.dialect,
        client_identifier,
        clean,
        KEEP_ALIVE_SECONDS,
    );
    stream.write_all(&connect).map_err(failed)?;
    Ok(stream)
}

/// Waits for the CONNACK.
fn accepted(stream: &mut Stream, client_identifier: &str, present: bool) -> Result<(), Failure> {
    let (first, body) = packet(stream)
        .map_err(|error| Failure::new(format!("no CONNACK for {client_identifier}: {error}")))?;
    // Acknowledge flags and reason code; MQTT 5 has properties behind them.
    if first != wire::CONNACK || !body.starts_with(&[u8::from(present), 0]) {
        let what = format!("{client_identifier} was answered {first:02X} {body:02X?}");
        return Err(Failure::new(what));
    }
    Ok(())
}

/// Reads one packet: its first byte, and what is behind the Remaining Length.
fn packet(stream: &mut Stream) -> std::io::Result<(u8, Vec<u8>)> {
    let [mut first, mut byte] = [[0u8]; 2];
    stream.read_exact(&mut first)?;
    let (mut length, mut shift) = (0usize, 0);
    loop {
        stream.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7F) << shift;
        shift += 7;
        if byte[0] < 0x80 || shift > 21 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((first[0], body))
}

/// Subscribes to Topic Filters in one packet and waits for the SUBACK.
pub fn subscribe(
    stream: &mut Stream,
    dialect: Dialect,
    filters: &[&str],
    qos: u8,
) -> Result<(), Failure> {
    let mut out = Vec::with_capacity(64);
    wire::subscribe(&mut out, dialect, 1, filters, qos);
    stream.write_all(&out)?;
    let told = filters[0];
    let (first, body) =
        packet(stream).map_err(|error| Failure::new(format!("no SUBACK for {told}: {error}")))?;
    let granted = body.iter().rev().take_while(|code| **code == qos).count();
    if first != wire::SUBACK || !body.starts_with(&[0, 1]) || granted < filters.len() {
        let what = format!("SUBSCRIBE {told} was answered {first:02X} {body:02X?}");
        return Err(Failure::new(what));
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
pub fn idle(way: &Way, pid: u32, count: usize, settle: Duration) -> Result<Idle, Failure> {
    // The first connections make a broker set up what all share (threads, buffers, arenas).
    let names: Vec<String> = (0..AT_ONCE).map(|i| format!("first-{i}")).collect();
    for mut stream in open_all(way, &names, true)? {
        stream.write_all(&wire::DISCONNECT)?;
    }
    let before = settled_memory(pid, settle)?;
    let names: Vec<String> = (0..count).map(|i| format!("idle-{i:05}")).collect();
    let _streams = open_all(way, &names, true)?;
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
    let way = Way::plain(address);
    let mut opened = 0;
    while opened < count {
        let batch = at_once.min(count - opened);
        let names: Vec<String> = (opened..opened + batch)
            .map(|i| format!("churn-{i:05}"))
            .collect();
        let mut streams = Vec::with_capacity(batch);
        for name in &names {
            streams.push(begin(&way, name, true)?);
        }
        for (stream, name) in streams.iter_mut().zip(&names) {
            accepted(stream, name, false)?;
        }
        for stream in &mut streams {
            stream.write_all(&wire::DISCONNECT)?;
        }
        opened += batch;
    }
    Ok(())
}
