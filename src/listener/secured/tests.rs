//! TLS over a socket that counts, and a client that others wrote at its other end.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Waker;
use std::time::{Duration, Instant};

use aws_lc_rs::aead;
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ConnectionTrafficSecrets, RootCertStore};
use rustls::{StreamOwned, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use crate::broker::Broker;
use crate::broker::options::Options;
use crate::broker::testing::engines;

use super::super::certificates::tests::Directory;
use super::super::driver::{Driver, Patience};
use super::super::options::TlsOptions;
use super::super::tls::authority::Authority;
use super::super::tls::{Acceptor, check};
use super::super::transport::Meter;
use super::super::websocket::WebSocket;
use super::*;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// CONNECT of MQTT 3.1.1 without a Keep Alive, but for the Client Identifier, which has one letter.
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01";
const SUBSCRIBE: &[u8] = b"\x82\x06\x00\x01\x00\x01t\x00";

/// A PUBLISH at QoS 0 with so many bytes of payload.
fn publish(size: usize) -> Vec<u8> {
    let remaining = 3 + size;
    let mut packet = vec![0x30];
    match remaining {
        0..128 => packet.push(remaining as u8),
        _ => packet.extend([0x80 | (remaining % 128) as u8, (remaining / 128) as u8]),
    }
    packet.extend(b"\x00\x01t");
    packet.resize(packet.len() + size, b'x');
    packet
}

/// What a socket has done.
#[derive(Default)]
struct Counts {
    /// How often its driver has looked whether something came, as it does whenever it is woken.
    looks: AtomicUsize,
    reads: AtomicUsize,
    writes: AtomicUsize,
    records: AtomicUsize,
    /// Bytes of the next writes, one number each, 0 for none; at its end they take all.
    room: Mutex<VecDeque<usize>>,
}

impl Counts {
    /// Reads, writes and records since they were last taken.
    fn take(&self) -> (usize, usize, usize) {
        let counts = [&self.reads, &self.writes, &self.records];
        let [reads, writes, records] = counts.map(|it| it.swap(0, Relaxed));
        self.looks.store(0, Relaxed);
        (reads, writes, records)
    }
}

/// A socket that counts.
struct Counted(UnixStream, Arc<Counts>);

impl AsFd for Counted {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Socket for Counted {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.1.looks.fetch_add(1, Relaxed);
        self.0.poll_read_ready(cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write_ready(cx)
    }

    fn try_read_io(&self, read: impl FnOnce(&Self) -> io::Result<usize>) -> io::Result<usize> {
        self.0.try_io(tokio::io::Interest::READABLE, || read(self))
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1.reads.fetch_add(1, Relaxed);
        self.0.try_read(buffer)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.1.room.lock().pop_front().unwrap_or(bytes.len());
        if room == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.1.writes.fetch_add(1, Relaxed);
        let mut rest = bytes;
        while let [_, _, _, high, low, after @ ..] = rest {
            self.1.records.fetch_add(1, Relaxed);
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            rest = &after[length.min(after.len())..];
        }
        self.0.try_write(&bytes[..room.min(bytes.len())])
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.0.poll_write_ready(cx))?;
        Poll::Ready(Socket::try_write(&*self, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A broker behind TLS.
struct House {
    broker: Arc<Broker>,
    acceptor: Acceptor,
    authority: Authority,
    _home: Directory,
}

impl House {
    fn new() -> Self {
        let home = Directory::new();
        let authority = Authority::new("servers");
        let server = authority.server(&["localhost"]);
        let certificate = home.file("server.pem", server.certificate.pem());
        let key = home.file("server.key", server.key.serialize_pem());
        let setup = check(&TlsOptions::showing(certificate, key)).unwrap();
        Self {
            broker: Arc::new(Broker::new(Options::default(), engines())),
            acceptor: Acceptor::new("house".into(), setup),
            authority,
            _home: home,
        }
    }

    /// A client, and the broker's end of its connection.
    async fn client(
        &self,
        version: &'static SupportedProtocolVersion,
    ) -> (Client, TlsStream<Counted>, Arc<Counts>) {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(self.authority.pem().as_bytes());
        roots.add(authority.unwrap()).unwrap();
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.enable_secret_extraction = true;
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        let (ours, theirs) = StdStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut client = Client(StreamOwned::new(client, theirs));
        let counts = Arc::new(Counts::default());
        let ours = Counted(UnixStream::from_std(ours).unwrap(), Arc::clone(&counts));
        let (accepted, ()) = tokio::join!(self.acceptor.accept(ours), client.shake_hands());
        // Tickets come behind the handshake.
        client.take_tickets();
        counts.take();
        (client, accepted.unwrap().stream, counts)
    }

    /// A client that is connected.
    async fn member(
        &self,
        version: &'static SupportedProtocolVersion,
        name: &[u8],
    ) -> (Client, Arc<Counts>) {
        let (mut client, stream, counts) = self.client(version).await;
        let patience = Patience {
            connect_by: Instant::now() + Duration::from_secs(20),
            write: Duration::from_secs(20),
        };
        let permit = self.broker.accept().unwrap();
        let broker = Arc::clone(&self.broker);
        let transport = Secured::new(stream);
        let driver = Driver::new(transport, permit, broker, Default::default(), patience);
        drop(tokio::spawn(driver));
        client.say(&[CONNECT, name].concat());
        assert_eq!(client.hear(4).await, b"\x20\x02\x00\x00");
        (client, counts)
    }
}

/// A client that waits for nobody.
struct Client(StreamOwned<ClientConnection, StdStream>);

impl Client {
    async fn shake_hands(&mut self) {
        let StreamOwned { conn, sock } = &mut self.0;
        while conn.is_handshaking() || conn.wants_write() {
            match conn.complete_io(sock) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => drop(outcome.unwrap()),
            }
            tokio::task::yield_now().await;
        }
    }

    fn take_tickets(&mut self) {
        let heard = self.0.read(&mut [0]).unwrap_err();
        assert_eq!(heard.kind(), ErrorKind::WouldBlock);
    }

    /// Sends all of it at once.
    fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
        self.0.flush().unwrap();
    }

    /// So many bytes of what comes.
    async fn hear(&mut self, count: usize) -> Vec<u8> {
        let mut heard = vec![0; count];
        let mut so_far = 0;
        let until = Instant::now() + Duration::from_secs(20);
        while so_far < count {
            match self.0.read(&mut heard[so_far..]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    assert!(Instant::now() < until, "{so_far} of {count} bytes came");
                    tokio::task::yield_now().await;
                }
                read => so_far += read.unwrap(),
            }
        }
        heard
    }

    /// Takes the connection over: what it would put into its next record is put there by hand.
    fn forge(self, kind: u8, content: &[u8]) -> StdStream {
        let StreamOwned { conn, mut sock } = self.0;
        let (number, secrets) = conn.dangerous_extract_secrets().unwrap().tx;
        let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else {
            panic!("another cipher")
        };
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, key.as_ref()).unwrap();
        let mut nonce: [u8; 12] = iv.as_ref().try_into().unwrap();
        for (byte, number) in nonce[4..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= number;
        }
        let mut record = [content, &[kind]].concat();
        let length = u16::try_from(record.len() + 16).unwrap().to_be_bytes();
        let header = [23, 3, 3, length[0], length[1]];
        aead::LessSafeKey::new(key)
            .seal_in_place_append_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                aead::Aad::from(header),
                &mut record,
            )
            .unwrap();
        sock.write_all(&[&header, &record[..]].concat()).unwrap();
        sock
    }
}

/// Reads what has come.
async fn read(transport: &mut impl Transport, size: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; size];
    let read = std::future::poll_fn(|cx| transport.poll_read(cx, &mut buffer)).await?;
    buffer.truncate(read);
    Ok(buffer)
}

/// Nobody's.
fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

#[tokio::test]
async fn a_batch_is_filled_into_records_and_written_once() {
    for version in VERSIONS {
        let house = House::new();
        let (mut publisher, _) = house.member(version, b"p").await;
        let (mut subscriber, counts) = house.member(version, b"s").await;
        subscriber.say(SUBSCRIBE);
        subscriber.hear(5).await;
        for (size, records) in [(1, 1), (100, 1), (1000, 4)] {
            counts.take();
            let batch = publish(size).repeat(50);
            publisher.say(&batch);
            assert_eq!(subscriber.hear(batch.len()).await, batch);
            assert_eq!(counts.looks.load(Relaxed), 0, "its driver is not woken");
            let expected = (0, 1, records);
            assert_eq!(
                counts.take(),
                expected,
                "reads, writes and records of 50 times {size} bytes"
            );
        }
    }
}

#[tokio::test]
async fn all_that_has_come_is_read_at_once() {
    for version in VERSIONS {
        let house = House::new();
        let (mut client, stream, counts) = house.client(version).await;
        let mut transport = Secured::new(stream);
        let StreamOwned { conn, sock } = &mut client.0;
        for number in 0..200 {
            conn.writer().write_all(&[number; 100]).unwrap();
        }
        while conn.wants_write() {
            conn.write_tls(sock).unwrap();
        }
        let expected: Vec<u8> = (0..200).flat_map(|number| [number; 100]).collect();
        assert_eq!(read(&mut transport, 64 * 1024).await.unwrap(), expected);
        assert_eq!(counts.take().0, 1, "reads");
        // A reader of little is given all, a little at a time.
        client.say(&expected);
        for part in expected.chunks(999) {
            assert_eq!(read(&mut transport, 999).await.unwrap(), part);
        }
    }
}

/// Sockets take what they like; whoever offers the rest again, filler or driver, loses nothing and sends
/// nothing twice.
#[tokio::test]
async fn a_socket_that_takes_little_gets_everything_once() {
    for (seed, version) in (1..40_usize).zip(VERSIONS.into_iter().cycle()) {
        let house = House::new();
        let (mut client, stream, counts) = house.client(version).await;
        let mut transport = Secured::new(stream);
        let link = transport.link(Arc::default());
        let bytes: Vec<u8> = (0..100_000_usize).map(|n| (n % 251) as u8).collect();
        let rooms = (0..40).map(|n| (seed * 7919 * (n + 1)) % 23_000 * (n % 3));
        *counts.room.lock() = rooms.collect();
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            let written = match (taken + seed) % 2 {
                0 => link.try_write(rest).map_or(Poll::Pending, Poll::Ready),
                _ => transport.poll_write(&mut cx(), rest).map(Result::unwrap),
            };
            if let Poll::Ready(written) = written {
                assert!((1..=rest.len()).contains(&written));
                taken += written;
            }
        }
        assert!(
            transport.poll_flush(&mut cx()).is_ready(),
            "nothing is left"
        );
        assert!(client.hear(bytes.len()).await == bytes, "with {seed}");
        let sent = transport.moved();
        assert!(sent > 100_000 && sent < 103_000, "{sent} bytes have moved");
    }
}

#[tokio::test]
async fn a_frame_of_a_websocket_is_one_record() {
    for version in VERSIONS {
        let house = House::new();
        let (mut client, stream, counts) = house.client(version).await;
        let mut socket = WebSocket::new(stream, Meter::default());
        let batch = [7; 5000];
        let written = socket.poll_write(&mut cx(), &batch).map(Result::unwrap);
        assert_eq!(written, Poll::Ready(5000));
        assert!(socket.poll_flush(&mut cx()).is_ready());
        assert_eq!(counts.take(), (0, 1, 1), "reads, writes and records");
        let frame = client.hear(5004).await;
        assert_eq!(frame[..4], [0x82, 126, 19, 136]);
        assert_eq!(frame[4..], batch);
    }
}

#[tokio::test]
async fn keys_may_change_at_any_time() {
    let house = House::new();
    let (mut client, stream, _) = house.client(VERSIONS[1]).await;
    let mut transport = Secured::new(stream);
    let link = transport.link(Arc::default());
    for round in 0..10 {
        client.0.conn.refresh_traffic_keys().unwrap();
        client.say(&[round]);
        assert_eq!(read(&mut transport, 100).await.unwrap(), [round]);
        assert_eq!(link.try_write(&[round; 10]).unwrap(), 10);
        assert_eq!(client.hear(10).await, [round; 10]);
    }
}

/// rustls remembers where the message begins and must be shown it whenever it is asked for anything.
#[tokio::test]
async fn half_a_message_of_tls_does_not_keep_bytes_from_leaving() {
    let house = House::new();
    let (client, stream, _) = house.client(VERSIONS[1]).await;
    let mut transport = Secured::new(stream);
    let link = transport.link(Arc::default());
    // A KeyUpdate, but for its end.
    let mut peer = client.forge(22, &[24, 0, 0]);
    let mut buffer = [0; 100];
    tokio::task::yield_now().await;
    assert!(transport.poll_read(&mut cx(), &mut buffer).is_pending());
    assert_eq!(link.try_write(b"hello").unwrap(), 5);
    assert!(peer.read(&mut buffer).unwrap() > 5, "a record");
}

#[tokio::test]
async fn who_breaks_the_rules_is_told() {
    for version in VERSIONS {
        let house = House::new();
        let (mut client, stream, _) = house.client(version).await;
        let mut transport = Secured::new(stream);
        let forged = [&[23, 3, 3, 0, 40][..], &[0; 40]].concat();
        client.0.sock.write_all(&forged).unwrap();
        let error = read(&mut transport, 100).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let told = client.0.read(&mut [0]).unwrap_err().to_string();
        assert!(told.contains("BadRecordMac"), "{told}");
        let link = transport.link(Arc::default());
        assert!(link.try_write(b"more").is_err(), "nothing follows");
    }
}

#[tokio::test]
async fn either_side_ends_in_good_order() {
    for version in VERSIONS {
        let house = House::new();
        let (mut client, stream, _) = house.client(version).await;
        let mut transport = Secured::new(stream);
        client.say(b"last words");
        client.0.conn.send_close_notify();
        client.0.flush().unwrap();
        assert_eq!(read(&mut transport, 100).await.unwrap(), b"last words");
        assert_eq!(read(&mut transport, 100).await.unwrap(), b"");
        let written = transport
            .poll_write(&mut cx(), b"and ours")
            .map(Result::unwrap);
        assert_eq!(written, Poll::Ready(8), "it may still read");
        assert!(
            transport
                .poll_close(&mut cx())
                .map(Result::unwrap)
                .is_ready()
        );
        assert_eq!(client.hear(8).await, b"and ours");
        assert_eq!(client.0.read(&mut [0]).unwrap(), 0, "an end that TLS tells");

        let (client, stream, _) = house.client(version).await;
        let mut transport = Secured::new(stream);
        drop(client);
        let error = read(&mut transport, 100).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "cut off");
    }
}
