//! What TLS costs: bytes for an idle connection, allocations, reads, writes and records for a message, and the
//! cipher's time for a byte.
//!
//! `cargo bench --bench tls [-- CONNECTIONS]`, 1,000 idle ones of each kind unless said otherwise.
//!
//! The broker's side is the listener's own: acceptor, driver, transport, on a thread of its own whose
//! allocations are counted. The client is rustls in the thread beside it, over sockets of a pair's kind, which
//! cost the process nothing but their descriptors. What aws-lc takes from the system's allocator, and what
//! jemalloc rounds up, is not counted: the bench `brokers` has real connections.

// A global allocator cannot be written without unsafe code; this one counts and passes on.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::fs;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::{Duration, Instant};

use postbud::auth::gate::{Gate, Parts};
use postbud::broker::options::Options;
use postbud::broker::{Broker, Engines, Link};
use postbud::cluster::single::Single;
use postbud::listener::driver::{Driver, Patience};
use postbud::listener::options::TlsOptions;
use postbud::listener::secured::Secured;
use postbud::listener::tls::{Acceptor, TlsStream, check};
use postbud::listener::transport::{Direct, Meter, Socket, Transport};
use postbud::listener::websocket::WebSocket;
use postbud::store::memory::Memory;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use tikv_jemallocator::Jemalloc;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{UnixListener, UnixStream};

/// Passes on to the allocator of the program, and counts what the broker's thread asks for.
struct Counting;

thread_local! {
    static IS_BROKERS: Cell<bool> = const { Cell::new(false) };
}

/// Bytes that are held, and how often some were asked for.
static HELD: AtomicI64 = AtomicI64::new(0);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Allocations that are held, by their size in steps of [`STEP`]; the last has all that are larger.
static BY_SIZE: [AtomicI64; SIZES] = [const { AtomicI64::new(0) }; SIZES];
const SIZES: usize = 1025;
const STEP: usize = 8;

fn count(bytes: usize, sign: i64) {
    if IS_BROKERS.get() {
        HELD.fetch_add(sign * bytes as i64, Relaxed);
        BY_SIZE[bytes.div_ceil(STEP).min(SIZES - 1)].fetch_add(sign, Relaxed);
        ALLOCATIONS.fetch_add(u64::from(sign > 0), Relaxed);
    }
}

// SAFETY: every call goes to the other allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        unsafe { Jemalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        unsafe { Jemalloc.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static READS: AtomicU64 = AtomicU64::new(0);
static WRITES: AtomicU64 = AtomicU64::new(0);
/// Records, or whatever has their length at the same place.
static RECORDS: AtomicU64 = AtomicU64::new(0);

/// A socket that counts.
struct Counted(UnixStream);

impl AsFd for Counted {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Socket for Counted {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write_ready(cx)
    }

    fn try_read_io(&self, read: impl FnOnce(&Self) -> io::Result<usize>) -> io::Result<usize> {
        self.0.try_io(Interest::READABLE, || read(self))
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        READS.fetch_add(1, Relaxed);
        self.0.try_read(buffer)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        WRITES.fetch_add(1, Relaxed);
        let mut rest = bytes;
        while let [_, _, _, high, low, after @ ..] = rest {
            RECORDS.fetch_add(1, Relaxed);
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            rest = &after[length.min(after.len())..];
        }
        self.0.try_write(bytes)
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.get_mut().0).poll_read(cx, buffer);
        READS.fetch_add(u64::from(read.is_ready()), Relaxed);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match Socket::try_write(&*self, bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        WRITES.fetch_add(1, Relaxed);
        Pin::new(&mut self.get_mut().0).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

/// What is spoken on a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    name: &'static str,
    tls: Option<&'static SupportedProtocolVersion>,
    websocket: bool,
}

const fn kind(
    name: &'static str,
    tls: Option<&'static SupportedProtocolVersion>,
    websocket: bool,
) -> Kind {
    Kind {
        name,
        tls,
        websocket,
    }
}

const KINDS: [Kind; 6] = [
    kind("plain", None, false),
    kind("TLS 1.2", Some(&TLS12), false),
    kind("TLS 1.3", Some(&TLS13), false),
    kind("WebSocket", None, true),
    kind("WebSocket in TLS 1.2", Some(&TLS12), true),
    kind("WebSocket in TLS 1.3", Some(&TLS13), true),
];

/// Where a broker's files and sockets are, and whom its clients trust.
struct Place {
    folder: PathBuf,
    authority: CertificateDer<'static>,
}

impl Place {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("postbud-bench-tls-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
        let made = made.expect("a certificate");
        fs::write(folder.join("certificate.pem"), made.cert.pem()).expect("a file");
        fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("a file");
        Self {
            folder,
            authority: made.cert.der().clone(),
        }
    }

    fn acceptor(&self) -> Acceptor {
        let file = |name| self.folder.join(name);
        let options = TlsOptions::showing(file("certificate.pem"), file("key.pem"));
        Acceptor::new("bench".into(), check(&options).expect("a setup"))
    }

    fn socket(folder: &Path, tls: bool, websocket: bool) -> PathBuf {
        folder.join(format!("{}-{}", u8::from(tls), u8::from(websocket)))
    }

    fn client(&self, version: &'static SupportedProtocolVersion) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).expect("an authority");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        ClientConnection::new(Arc::new(config), name).expect("a client")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left is in a folder for what may go.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Serves all kinds for ever.
fn serve(folder: PathBuf, acceptor: Acceptor, up: std::sync::mpsc::Sender<()>) {
    IS_BROKERS.set(true);
    let engines = Engines {
        auth: Arc::new(Gate::new(Parts {
            anonymous: true,
            ..Parts::default()
        })),
        store: Arc::new(Memory),
        cluster: Arc::new(Single::default()),
    };
    let broker = Arc::new(Broker::new(Options::default(), engines));
    let acceptor = Arc::new(acceptor);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        for (tls, websocket) in [(false, false), (true, false), (false, true), (true, true)] {
            let path = Place::socket(&folder, tls, websocket);
            let listener = UnixListener::bind(path).expect("a listener");
            let (broker, acceptor) = (Arc::clone(&broker), Arc::clone(&acceptor));
            tokio::spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.expect("a client");
                    let stream = Counted(stream);
                    let broker = Arc::clone(&broker);
                    if !tls {
                        match websocket {
                            false => drive(broker, Direct::new(stream)),
                            true => drive(broker, WebSocket::new(stream, Meter::default())),
                        }
                        continue;
                    }
                    let acceptor = Arc::clone(&acceptor);
                    tokio::spawn(async move {
                        let stream = acceptor.accept(stream).await.expect("a handshake").stream;
                        match websocket {
                            false => drive(broker, Secured::new(stream)),
                            true => {
                                drive(broker, WebSocket::new(Box::new(stream), Meter::default()))
                            }
                        }
                    });
                }
            });
        }
        up.send(()).expect("somebody waits");
        std::future::pending::<()>().await;
    });
}

fn drive(broker: Arc<Broker>, transport: impl Transport) {
    let patience = Patience {
        connect_by: Instant::now() + Duration::from_secs(60),
        write: Duration::from_secs(60),
    };
    let permit = broker.accept().expect("room");
    tokio::spawn(async move {
        let caller = Default::default();
        Driver::new(transport, permit, broker, caller, patience).await;
    });
}

/// A client's end.
enum Peer {
    Plain(StdStream),
    Tls(Box<StreamOwned<ClientConnection, StdStream>>),
}

struct Client {
    peer: Peer,
    websocket: bool,
}

impl Client {
    /// Connects, with a session that ends with the connection.
    fn new(place: &Place, kind: Kind, name: &str) -> Self {
        let path = Place::socket(&place.folder, kind.tls.is_some(), kind.websocket);
        let socket = StdStream::connect(path).expect("a connection");
        let mut client = Self {
            peer: match kind.tls {
                None => Peer::Plain(socket),
                Some(version) => {
                    let client = place.client(version);
                    Peer::Tls(Box::new(StreamOwned::new(client, socket)))
                }
            },
            websocket: kind.websocket,
        };
        let mut packet = vec![0x10, 12 + name.len() as u8, 0, 4];
        packet.extend(b"MQTT\x04\x02\x00\x00\x00");
        packet.push(name.len() as u8);
        packet.extend(name.as_bytes());
        client.say(&packet);
        assert_eq!(client.hear(4), b"\x20\x02\x00\x00", "CONNACK");
        client
    }

    /// Sends all of it at once: in one frame, and one record if it fits.
    fn say(&mut self, packets: &[u8]) {
        let bytes = match self.websocket {
            false => packets.to_vec(),
            true => {
                let mut frame = vec![0x82];
                match packets.len() {
                    short @ 0..126 => frame.push(0x80 | short as u8),
                    size => {
                        frame.push(0x80 | 126);
                        let size = u16::try_from(size).expect("a batch of less than 64 KiB");
                        frame.extend(size.to_be_bytes());
                    }
                }
                // A mask of zeros changes nothing.
                frame.extend([0; 4]);
                frame.extend(packets);
                frame
            }
        };
        match &mut self.peer {
            Peer::Plain(socket) => socket.write_all(&bytes),
            Peer::Tls(stream) => stream.write_all(&bytes).and_then(|()| stream.flush()),
        }
        .expect("the broker reads");
    }

    /// So many bytes of packets, in whatever frames they come.
    fn hear(&mut self, count: usize) -> Vec<u8> {
        if !self.websocket {
            return self.raw(count);
        }
        let mut heard = Vec::new();
        while heard.len() < count {
            let size = match self.raw(2)[1] {
                126 => self
                    .raw(2)
                    .into_iter()
                    .fold(0, |size, byte| size << 8 | usize::from(byte)),
                127 => self
                    .raw(8)
                    .into_iter()
                    .fold(0, |size, byte| size << 8 | usize::from(byte)),
                size => usize::from(size),
            };
            heard.extend(self.raw(size));
        }
        heard
    }

    fn raw(&mut self, count: usize) -> Vec<u8> {
        let mut heard = vec![0; count];
        match &mut self.peer {
            Peer::Plain(socket) => socket.read_exact(&mut heard),
            Peer::Tls(stream) => stream.read_exact(&mut heard),
        }
        .expect("the broker writes");
        heard
    }

    /// Waits until the broker's thread has done what it was doing.
    fn settle(&mut self) {
        for _ in 0..2 {
            self.say(&[0xc0, 0]);
            assert_eq!(self.hear(2), [0xd0, 0], "PINGRESP");
        }
    }
}

/// Bytes for an idle connection of each kind.
fn idle(place: &Place, connections: usize) {
    println!("bytes for an idle connection, and the largest pieces (size times count for each)");
    for kind in KINDS {
        let warm = |n| Client::new(place, kind, &format!("warm-{n:06}"));
        drop((0..20).map(warm).collect::<Vec<_>>());
        let mut witness = Client::new(place, kind, "witness");
        // Ends are heard by then.
        (0..20).for_each(|_| witness.settle());
        let before = HELD.load(Relaxed);
        let sizes = || BY_SIZE.each_ref().map(|it| it.load(Relaxed));
        let sizes_before = sizes();
        let clients = (0..connections).map(|n| Client::new(place, kind, &format!("idle-{n:06}")));
        let clients: Vec<_> = clients.collect();
        witness.settle();
        let each = |bytes: i64| bytes as f64 / connections as f64;
        println!(
            "  {:<22}{:>8.0}",
            kind.name,
            each(HELD.load(Relaxed) - before)
        );
        let held = sizes().into_iter().zip(sizes_before).enumerate();
        let held = held.map(|(step, (now, before))| (step * STEP, each(now - before)));
        let mut held: Vec<_> = held.filter(|(_, count)| *count > 0.5).collect();
        held.sort_by(|a, b| (b.0 as f64 * b.1).total_cmp(&(a.0 as f64 * a.1)));
        let shown = held
            .iter()
            .take(8)
            .map(|(size, count)| format!("{size} x {count:.1}"));
        println!("    {}", shown.collect::<Vec<_>>().join(", "));
        drop(clients);
        (0..50).for_each(|_| witness.settle());
    }
}

/// A PUBLISH at QoS 0 of 64 bytes.
fn publish(topic: &str) -> Vec<u8> {
    let mut packet = vec![0x30, 2 + topic.len() as u8 + 64, 0, topic.len() as u8];
    packet.extend(topic.as_bytes());
    packet.extend([b'x'; 64]);
    packet
}

const ROUNDS: usize = 200;

/// What batches of messages cost from a publisher of one kind to a subscriber of another.
fn traffic(place: &Place, from: Kind, to: Kind, batch: usize) {
    let mut subscriber = Client::new(place, to, "subscriber");
    let topic = "bench/t";
    let mut subscribe = vec![0x82, 5 + topic.len() as u8, 0, 1, 0, topic.len() as u8];
    subscribe.extend(topic.as_bytes());
    subscribe.push(0);
    subscriber.say(&subscribe);
    subscriber.hear(5);
    let mut publisher = Client::new(place, from, "publisher");
    let packets = publish(topic).repeat(batch);
    let mut round = || {
        publisher.say(&packets);
        assert_eq!(subscriber.hear(packets.len()), packets);
    };
    // Until all buffers are there.
    (0..20).for_each(|_| round());
    let counters = || [&READS, &WRITES, &RECORDS, &ALLOCATIONS].map(|it| it.load(Relaxed));
    let before = counters();
    (0..ROUNDS).for_each(|_| round());
    let counts = counters()
        .into_iter()
        .zip(before)
        .map(|(now, before)| (now - before) as f64);
    let [reads, writes, records, allocations] =
        <[f64; 4]>::try_from(counts.collect::<Vec<_>>()).expect("four");
    let rounds = ROUNDS as f64;
    let records = match to.tls {
        Some(_) => format!("{:>9.2}", records / rounds),
        None => format!("{:>9}", "-"),
    };
    println!(
        "  {:<44}{batch:>5}{:>9.2}{:>9.2}{records}{:>12.2}{:>10.2}",
        format!("{} to {}", from.name, to.name),
        reads / rounds,
        writes / rounds,
        allocations / rounds,
        allocations / rounds / batch as f64,
    );
}

/// The best time of many for something that is done to so many bytes, in nanoseconds.
fn best(mut work: impl FnMut() -> Duration) -> f64 {
    (0..400)
        .map(|_| work())
        .min()
        .unwrap_or_default()
        .as_nanos() as f64
}

/// A connection whose both ends are here.
async fn pair(
    place: &Place,
    acceptor: &Acceptor,
    version: &'static SupportedProtocolVersion,
) -> (StreamOwned<ClientConnection, StdStream>, TlsStream<Counted>) {
    let (ours, theirs) = StdStream::pair().expect("a pair");
    ours.set_nonblocking(true).expect("an option");
    let client = place.client(version);
    let client = thread::spawn(move || {
        let mut stream = StreamOwned::new(client, theirs);
        stream.flush().expect("a handshake");
        stream
    });
    let ours = Counted(UnixStream::from_std(ours).expect("a socket"));
    let accepted = acceptor.accept(ours).await.expect("a handshake");
    (client.join().expect("no panic"), accepted.stream)
}

/// The time of a write, to a socket that is emptied behind it.
fn written(link: &dyn Link, peer: &mut impl Read, bytes: &[u8], sink: &mut [u8]) -> Duration {
    let start = Instant::now();
    let taken = link.try_write(bytes).expect("room");
    let took = start.elapsed();
    assert_eq!(taken, bytes.len());
    let mut heard = 0;
    while heard < bytes.len() {
        heard += peer.read(sink).expect("what was written");
    }
    took
}

/// The time of a read of what is there.
async fn read(transport: &mut impl Transport, count: usize, buffer: &mut [u8]) -> Duration {
    let (mut so_far, mut took) = (0, Duration::ZERO);
    while so_far < count {
        let start = Instant::now();
        so_far += std::future::poll_fn(|cx| transport.poll_read(cx, buffer))
            .await
            .expect("what was sent");
        took += start.elapsed();
    }
    took
}

/// What a byte costs inside TLS and outside.
async fn cipher(place: &Place) {
    println!(
        "\nns for a write and a read of so many bytes, the socket's part included (best of 400)"
    );
    let acceptor = place.acceptor();
    let (ours, mut plain_peer) = StdStream::pair().expect("a pair");
    ours.set_nonblocking(true).expect("an option");
    let ours = Counted(UnixStream::from_std(ours).expect("a socket"));
    let mut plain = Direct::new(ours);
    let plain_link = plain.link(Arc::default());
    let mut buffer = vec![0; 64 * 1024];
    let mut sink = vec![0; 64 * 1024];
    for version in [&TLS12, &TLS13] {
        let (mut peer, stream) = pair(place, &acceptor, version).await;
        let mut transport = Secured::new(stream);
        let link = transport.link(Arc::default());
        for size in [64, 1024, 16 * 1024, 48 * 1024] {
            let bytes = vec![7; size];
            let outside = best(|| written(&*plain_link, &mut plain_peer, &bytes, &mut sink));
            let inside = best(|| written(&*link, &mut peer, &bytes, &mut sink));
            let (mut read_outside, mut read_inside) = (Duration::MAX, Duration::MAX);
            for _ in 0..400 {
                plain_peer.write_all(&bytes).expect("room");
                read_outside = read_outside.min(read(&mut plain, size, &mut buffer).await);
                peer.write_all(&bytes).expect("room");
                peer.flush().expect("room");
                read_inside = read_inside.min(read(&mut transport, size, &mut buffer).await);
            }
            let name = format!("{version:?}");
            println!(
                "  {name:<10}{size:>7} B   write {outside:>7.0} outside {inside:>7.0} inside {:>6.2} ns/B more   \
                 read {:>7} outside {:>7} inside {:>6.2} ns/B more",
                (inside - outside) / size as f64,
                read_outside.as_nanos(),
                read_inside.as_nanos(),
                (read_inside.as_nanos() as f64 - read_outside.as_nanos() as f64) / size as f64,
            );
        }
    }
}

fn main() {
    // Cargo passes `--bench`; the only argument of ours is a number.
    let connections = std::env::args()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(1000);
    // Both ends of a connection are ours.
    let descriptors = rlimit::increase_nofile_limit(2 * connections as u64 + 1000);
    assert!(
        descriptors.expect("a limit") > 2 * connections as u64 + 100,
        "too few descriptors"
    );
    let place = Place::new();
    let (folder, acceptor) = (place.folder.clone(), place.acceptor());
    let (up, is_up) = std::sync::mpsc::channel();
    thread::spawn(move || serve(folder, acceptor, up));
    is_up.recv().expect("it serves");

    idle(&place, connections);

    println!(
        "\nfor each batch: reads, writes and records of the broker, and allocations (also for each message)"
    );
    println!(
        "  {:<44}{:>5}{:>9}{:>9}{:>9}{:>12}{:>10}",
        "QoS 0, 64 bytes", "of", "reads", "writes", "records", "allocations", "each"
    );
    let [plain, tls12, tls13, websocket, _, secure] = KINDS;
    for batch in [1, 50, 500] {
        for (from, to) in [
            (plain, plain),
            (plain, tls12),
            (plain, tls13),
            (tls13, plain),
            (tls13, tls13),
            (plain, websocket),
            (plain, secure),
        ] {
            traffic(&place, from, to, batch);
        }
    }

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(cipher(&place));
}
