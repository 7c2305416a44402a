//! A TLS client of its own below [`super::raw::RawClient`].

use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::DEADLINE;
use super::raw::Carrier;

/// A TLS connection over a socket.
pub type Tls = StreamOwned<ClientConnection, TcpStream>;

impl Carrier for Tls {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }

    fn finish_sending(&mut self) -> io::Result<()> {
        self.conn.send_close_notify();
        self.conn.write_tls(&mut self.sock).map(drop)
    }
}

/// A client that trusts this authority and has not spoken yet.
pub fn client(authority: &Path) -> ClientConnection {
    client_asking(authority, &[])
}

/// A client that asks for one of these protocols.
fn client_asking(authority: &Path, protocols: &[&[u8]]) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(authority).expect("the authority's file is there"))
        .expect("an authority");
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(Arc::new(config), name).expect("a client")
}

/// The first bytes of a handshake.
pub fn client_hello(authority: &Path) -> Vec<u8> {
    let mut hello = Vec::new();
    client(authority)
        .write_tls(&mut hello)
        .expect("memory takes all");
    hello
}

/// Does the handshake to its end.
#[track_caller]
pub fn connect(socket: TcpStream, authority: &Path) -> Tls {
    connect_asking(socket, authority, &[])
}

/// Does the handshake to its end, asking for one of these protocols.
#[track_caller]
pub fn connect_asking(mut socket: TcpStream, authority: &Path, protocols: &[&[u8]]) -> Tls {
    socket
        .set_read_timeout(Some(DEADLINE))
        .expect("an option every socket has");
    let mut client = client_asking(authority, protocols);
    while client.is_handshaking() {
        client.complete_io(&mut socket).expect("a handshake");
    }
    StreamOwned::new(client, socket)
}
