//! Listeners behind proxies: haproxy in front, and headers that nobody should believe.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::support::DEADLINE;
use crate::support::broker::Broker;
use crate::support::folder::Folder;
use crate::support::process::Process;
use crate::support::raw::{RawClient, connect_311};
use crate::support::tls;
use crate::support::websocket;

/// A broker with a listener `front` of this kind, where proxies of these addresses connect.
fn proxied(kind: &str, trusted: &str, rest: &str) -> Broker {
    let mut text = format!(
        "[auth]\nanonymous = true\n[log]\nlevel = \"debug\"\n{rest}[[listener]]\nkind = \"{kind}\"\n\
         address = \"127.0.0.1:0\"\nname = \"front\"\nproxy_protocol = true\n\
         trusted_proxies = [\"{trusted}\"]\nproxy_user = \"common-name\"\n"
    );
    if kind == "tls" || kind == "wss" {
        text += "[listener.tls]\ncertificate = \"tls/server.pem\"\nkey = \"tls/server.key\"\n";
    }
    Broker::configured(&text)
}

const PROXY_ERRORS: &str = "postbud_connections_closed_total{reason=\"proxy_error\"}";
const UNTRUSTED: &str = "postbud_connections_closed_total{reason=\"untrusted_proxy\"}";

#[track_caller]
fn tcp(address: SocketAddr) -> TcpStream {
    TcpStream::connect_timeout(&address, DEADLINE).expect("the port is bound")
}

/// Expects the broker to take a client for one that comes from this address.
#[track_caller]
fn expect_introduced(broker: &Broker, peer: &str) {
    let peer = format!("peer={peer} ");
    broker.wait_for_log(&["introduced by a proxy", &peer]);
}

const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 1883\r\n";

/// Version 2 on behalf of 192.0.2.7:4660, with these details.
fn binary(details: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x34, 0x07, 0x5b];
    let length = (addresses.len() + details.len()) as u8;
    let head = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0", &[length][..]].concat();
    [&head, &addresses[..], details].concat()
}

/// A certificate that was verified, of this name.
fn verified(name: &str) -> Vec<u8> {
    let name = [&[0x22, 0, name.len() as u8], name.as_bytes()].concat();
    let value = [&[0x07, 0, 0, 0, 0][..], &name].concat();
    [&[0x20, 0, value.len() as u8][..], &value].concat()
}

#[test]
fn a_header_goes_before_everything_else() {
    for kind in ["tcp", "tls", "ws", "wss"] {
        let broker = proxied(kind, "127.0.0.1", "");
        let authority = &broker.certificates.authority;
        let mut stream = tcp(broker.named("front"));
        // Cut anywhere, and with what follows close behind.
        stream.write_all(&LINE[..20]).expect("open");
        stream.write_all(&LINE[20..]).expect("open");
        let mut client = match kind {
            "tcp" => RawClient::over(stream),
            "tls" => RawClient::over(tls::connect(stream, authority)),
            "ws" => RawClient::over(websocket::connect(stream)),
            _ => RawClient::over(websocket::connect(tls::connect(stream, authority))),
        };
        client.open(&connect_311("client"));
        client.expect_nothing();
        expect_introduced(&broker, "192.0.2.1:56324");
    }
}

#[test]
fn a_header_and_what_follows_may_come_at_once() {
    let broker = proxied("tcp", "127.0.0.0/8", "");
    let headers = [
        (LINE.to_vec(), "192.0.2.1:56324"),
        (binary(&[]), "192.0.2.7:4660"),
        (binary(&verified("sensor 7")), "192.0.2.7:4660"),
    ];
    for (header, peer) in headers {
        let mut client = RawClient::connect(broker.named("front"));
        client.send(&[header, connect_311("client")].concat());
        client.expect(&[0x20, 0x02, 0x00, 0x00]);
        expect_introduced(&broker, peer);
    }
    broker.wait_for_log(&["introduced by a proxy", "user=\"sensor 7\""]);
    // Who speaks for itself, as in a health check, is who it is.
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), local] {
        let mut client = RawClient::connect(broker.named("front"));
        client.send(&header);
        client.open(&connect_311("health"));
        expect_introduced(&broker, &client.address().to_string());
    }
}

#[test]
fn nobody_but_a_trusted_proxy_is_believed() {
    let broker = proxied("tcp", "127.0.0.2", "");
    for said in [
        [LINE, &connect_311("client")].concat(),
        connect_311("client"),
        binary(&verified("admin")),
    ] {
        let mut client = RawClient::connect(broker.named("front"));
        let address = client.address().to_string();
        // It may be closed before it has said that.
        let _ = client.try_send(&said);
        client.expect_closed();
        broker.wait_for_log(&["not an address of a trusted proxy", &address, "front"]);
    }
    broker.wait_for_samples(&[(UNTRUSTED, 3.0), ("postbud_connections", 0.0)]);
    // And who is, has to speak as one.
    let trusted = || {
        let socket =
            Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
        let own = SocketAddr::from(([127, 0, 0, 2], 0));
        socket
            .bind(&own.into())
            .expect("an address of this machine");
        socket
            .connect(&broker.named("front").into())
            .expect("the port is bound");
        RawClient::over(TcpStream::from(socket))
    };
    let mut client = trusted();
    client.send(&[LINE, &connect_311("client")].concat());
    client.expect(&[0x20, 0x02, 0x00, 0x00]);
    let mut client = trusted();
    client.send(&connect_311("client"));
    client.expect_closed();
    // A header is believed where proxies connect, and nowhere else.
    let mut client = RawClient::connect(broker.tcp);
    client.send(&[LINE, &connect_311("client")].concat());
    client.expect_closed();
    broker.wait_for_samples(&[(UNTRUSTED, 3.0), (PROXY_ERRORS, 1.0)]);
}

#[test]
fn a_malformed_header_ends_the_connection() {
    let broker = proxied("tcp", "127.0.0.1", "");
    let mut checksum = vec![0x03, 0, 4, 1, 2, 3, 4];
    checksum = binary(&checksum);
    for (said, why) in [
        (
            &b"PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n"[..],
            "malformed line",
        ),
        (
            b"PROXY TCP4 localhost 198.51.100.1 1 2\r\n",
            "malformed line",
        ),
        (&[b'P'; 200], "no PROXY header"),
        (
            &[&LINE[..LINE.len() - 2], &[b' '; 100]].concat(),
            "malformed line",
        ),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", "too long"),
        (&checksum, "wrong checksum"),
        (b"\x16\x03\x01", "no PROXY header"),
    ] {
        let mut client = RawClient::connect(broker.named("front"));
        let address = client.address().to_string();
        client.send(said);
        client.expect_closed();
        broker.wait_for_log(&["proxy_error", why, &address]);
    }
    // Cut off is no header either.
    let mut client = RawClient::connect(broker.named("front"));
    client.send(&LINE[..LINE.len() - 1]);
    client.finish_sending();
    client.expect_closed();
    broker.wait_for_samples(&[(PROXY_ERRORS, 8.0), ("postbud_connections", 0.0)]);
}

#[test]
fn a_slow_header_is_not_waited_for() {
    let broker = proxied(
        "tcp",
        "127.0.0.1",
        "[limits]\nconnect_timeout = \"300ms\"\n",
    );
    let mut client = RawClient::connect(broker.named("front"));
    client.send(&LINE[..10]);
    client.expect_closed();
    broker.wait_for_samples(&[(
        "postbud_connections_closed_total{reason=\"no_connect\"}",
        1.0,
    )]);
}

/// haproxy with one frontend, and where that is.
struct Haproxy {
    _process: Process,
    address: SocketAddr,
}

impl Haproxy {
    /// Starts one that passes connections on with this way to say whose they are. `tls` is what it is told
    /// about TLS in front of it.
    #[track_caller]
    fn start(folder: &Folder, broker: SocketAddr, tls: &str, how: &str) -> Self {
        // It cannot tell which port the system chose, but takes a socket that listens already.
        let socket =
            Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        socket
            .bind(&any.into())
            .and_then(|()| socket.listen(16))
            .and_then(|()| socket.set_cloexec(false))
            .expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let address = address.as_socket().expect("an address of the internet");
        let number = socket.as_raw_fd();
        let text = format!(
            "defaults\n  mode tcp\n  timeout connect 20s\n  timeout client 60s\n  timeout server 60s\n\
             listen front\n  bind fd@{number} {tls}\n  server broker {broker} {how}\n"
        );
        let file = folder.write("haproxy.cfg", text);
        // Debian keeps it where only an administrator's shell looks.
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("sh");
        command.args(["-c", "exec haproxy -db -f \"$0\""]).arg(file);
        command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"));
        let process = Process::start(command);
        Self {
            _process: process,
            address,
        }
    }
}

#[test]
fn haproxy_tells_who_its_clients_are() {
    let broker = proxied("tcp", "127.0.0.1", "");
    for how in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options crc32c,unique-id",
    ] {
        let folder = Folder::new();
        let haproxy = Haproxy::start(&folder, broker.named("front"), "", how);
        let mut client = RawClient::connect(haproxy.address);
        client.open(&connect_311("client"));
        client.expect_nothing();
        expect_introduced(&broker, &client.address().to_string());
    }
}

#[test]
fn haproxy_checks_the_health_of_a_listener_without_being_a_client() {
    let broker = proxied("tcp", "127.0.0.1", "");
    let folder = Folder::new();
    let how = "send-proxy-v2 check check-send-proxy inter 100";
    let haproxy = Haproxy::start(&folder, broker.named("front"), "", how);
    broker.wait_for_log(&["introduced by a proxy"]);
    let mut client = RawClient::connect(haproxy.address);
    client.open(&connect_311("client"));
    expect_introduced(&broker, &client.address().to_string());
}

/// Files of an authority, of the certificate that haproxy shows with its key, and of a client's with its key.
struct Authority {
    trusted: PathBuf,
    shown: PathBuf,
    client: PathBuf,
    client_key: PathBuf,
}

impl Authority {
    fn new(folder: &Folder, common_name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = authority.self_signed(&key).expect("an authority").pem();
        let issuer = Issuer::new(authority, key);
        let sign = |names: &[&str], common_name: &str| {
            let key = KeyPair::generate().expect("a key");
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            let mut params = CertificateParams::new(names).expect("valid names");
            params.distinguished_name = DistinguishedName::new();
            params
                .distinguished_name
                .push(DnType::CommonName, common_name);
            let certificate = params.signed_by(&key, &issuer).expect("a certificate");
            (certificate.pem(), key.serialize_pem())
        };
        let (shown, shown_key) = sign(&["localhost"], "localhost");
        let (client, client_key) = sign(&[], common_name);
        Self {
            trusted: folder.write("proxy/ca.pem", pem),
            shown: folder.write("proxy/server.pem", shown + &shown_key),
            client: folder.write("proxy/client.pem", client),
            client_key: folder.write("proxy/client.key", client_key),
        }
    }
}

/// The certificate that a client shows to haproxy makes it a user; without one it is nobody.
#[test]
fn haproxy_passes_the_common_name_of_a_verified_certificate_on() {
    let broker = proxied("tcp", "127.0.0.1", "");
    let folder = Folder::new();
    let files = Authority::new(&folder, "weather station");
    let trusted = files.trusted.display();
    let tls = format!(
        "ssl crt {} ca-file {trusted} verify optional",
        files.shown.display()
    );
    let how = "send-proxy-v2-ssl-cn";
    let haproxy = Haproxy::start(&folder, broker.named("front"), &tls, how);
    let publish = |with: &[&Path]| {
        let mut command = Command::new("mosquitto_pub");
        command.args(["-h", "localhost", "-p", &haproxy.address.port().to_string()]);
        command.args(["-q", "1", "-t", "weather", "-m", "rain", "--cafile"]);
        command.arg(&files.trusted);
        if let [certificate, key] = with {
            command.arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        Process::start(command).succeed();
    };
    publish(&[]);
    let nobody = broker.wait_for_log(&["introduced by a proxy"]);
    assert!(!nobody.contains("user="), "{nobody}");
    publish(&[&files.client, &files.client_key]);
    broker.wait_for_log(&["introduced by a proxy", "user=\"weather station\""]);
}
