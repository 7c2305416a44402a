//! Handshakes in memory between the built configuration and a rustls client, and every way in which
//! the files can be wrong.

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore,
    ServerConnection, SupportedProtocolVersion,
};

use super::super::certificates::tests::Directory;
use super::super::certificates::{self, AUTHORITY, CERTIFICATE, KEY};
use super::{Error, Inside, TlsOptions, TlsVersion, server_config};

const TLS12: &SupportedProtocolVersion = &rustls::version::TLS12;
const TLS13: &SupportedProtocolVersion = &rustls::version::TLS13;

/// A directory with a development set, and options that point at it.
fn home() -> (Directory, TlsOptions) {
    let home = Directory::new();
    certificates::development(home.path()).unwrap();
    let options = TlsOptions {
        certificate: home.path().join(CERTIFICATE),
        key: home.path().join(KEY),
        minimum_version: TlsVersion::V1_2,
        inside: Inside::Mqtt,
    };
    (home, options)
}

fn client(home: &Directory, version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(home.path().join(AUTHORITY)).unwrap())
        .unwrap();
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Carries bytes both ways until neither side has any left, then a byte of application data from
/// the server, so that its tickets have arrived too.
fn connect(
    server: &Arc<rustls::ServerConfig>,
    client: &Arc<ClientConfig>,
    host: &'static str,
) -> Result<(ServerConnection, ClientConnection), rustls::Error> {
    let host = ServerName::try_from(host).unwrap();
    let mut client = ClientConnection::new(client.clone(), host)?;
    let mut server = ServerConnection::new(server.clone())?;
    let mut sent = false;
    loop {
        let mut moved = false;
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
            moved = true;
        }
        let mut rest = &wire[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        if !server.is_handshaking() && !sent {
            server.writer().write_all(b"!").unwrap();
            sent = true;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
            moved = true;
        }
        let mut rest = &wire[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
        if !moved {
            break;
        }
    }
    let mut byte = [0];
    client.reader().read_exact(&mut byte).unwrap();
    Ok((server, client))
}

#[test]
fn both_versions_are_spoken_and_every_development_name_is_covered() {
    let (home, options) = home();
    let server = server_config(&options).unwrap();
    for (version, spoken) in [
        (TLS12, ProtocolVersion::TLSv1_2),
        (TLS13, ProtocolVersion::TLSv1_3),
    ] {
        for host in ["localhost", "127.0.0.1", "::1"] {
            let (accepted, _) = connect(&server, &Arc::new(client(&home, version)), host).unwrap();
            assert_eq!(accepted.protocol_version(), Some(spoken));
        }
    }
    let other = connect(&server, &Arc::new(client(&home, TLS13)), "example.org");
    assert!(matches!(other, Err(rustls::Error::InvalidCertificate(_))));
}

#[test]
fn the_minimum_version_is_kept() {
    let (home, mut options) = home();
    options.minimum_version = TlsVersion::V1_3;
    let server = server_config(&options).unwrap();
    connect(&server, &Arc::new(client(&home, TLS13)), "localhost").unwrap();
    let refused = connect(&server, &Arc::new(client(&home, TLS12)), "localhost");
    assert!(matches!(refused, Err(rustls::Error::PeerIncompatible(_))));
}

#[test]
fn mqtt_is_offered_silence_is_welcome_and_other_protocols_are_not() {
    let (home, options) = home();
    let server = server_config(&options).unwrap();
    let agreed = |offered: &[&[u8]]| {
        let mut config = client(&home, TLS13);
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        connect(&server, &Arc::new(config), "localhost")
            .map(|(accepted, _)| accepted.alpn_protocol().map(<[u8]>::to_vec))
    };
    assert_eq!(agreed(&[]).unwrap(), None);
    assert_eq!(agreed(&[b"mqtt"]).unwrap().unwrap(), b"mqtt");
    assert_eq!(agreed(&[b"http/1.1", b"mqtt"]).unwrap().unwrap(), b"mqtt");
    assert_eq!(
        agreed(&[b"x-amzn-mqtt-ca"]).unwrap().unwrap(),
        b"x-amzn-mqtt-ca"
    );
    assert_eq!(
        agreed(&[b"http/1.1"]).unwrap_err(),
        rustls::Error::NoApplicationProtocol
    );
}

#[test]
fn a_client_that_comes_back_resumes() {
    let (home, options) = home();
    let server = server_config(&options).unwrap();
    for version in [TLS12, TLS13] {
        let config = Arc::new(client(&home, version));
        let (first, _) = connect(&server, &config, "localhost").unwrap();
        assert_eq!(first.handshake_kind(), Some(HandshakeKind::Full));
        let (second, _) = connect(&server, &config, "localhost").unwrap();
        assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed));
    }
    // By tickets the clients hold; the few places in the broker's own table would do here, too.
    assert!(server.ticketer.enabled());
}

/// Replaces one file, expects an error about exactly that file, and returns its text without the
/// path.
fn refusal(which: fn(&TlsOptions) -> &PathBuf, contents: Option<&str>) -> (Error, String) {
    let (_home, options) = home();
    let path = which(&options);
    match contents {
        Some(text) => fs::write(path, text).unwrap(),
        None => fs::remove_file(path).unwrap(),
    }
    let error = server_config(&options).unwrap_err();
    let text = error.to_string();
    let reason = text.strip_prefix(&format!("{}: ", path.display()));
    let reason = reason
        .unwrap_or_else(|| panic!("{text}: does not name the file"))
        .to_owned();
    (error, reason)
}

#[test]
fn a_wrong_certificate_file_is_named_with_the_reason() {
    let cases = [
        (None, "cannot be read"),
        (Some(""), "holds no certificate; expected PEM"),
        (Some("\u{0}binary"), "holds no certificate; expected PEM"),
        (
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n"),
            "a section has no END line: is the file cut off?",
        ),
        (
            Some("-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n"),
            "a section is not valid base64",
        ),
        (
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "not a certificate for a TLS server",
        ),
    ];
    for (contents, expected) in cases {
        assert_eq!(
            refusal(|options| &options.certificate, contents).1,
            expected
        );
    }
}

#[test]
fn a_wrong_key_file_is_named_with_the_reason() {
    let section = |kind: &str| format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n");
    let cases = [
        (None, "cannot be read"),
        (
            Some(String::new()),
            "holds no private key; expected PEM of PKCS#8, PKCS#1 or SEC1",
        ),
        (
            Some(section("CERTIFICATE")),
            "holds no private key; expected PEM of PKCS#8, PKCS#1 or SEC1",
        ),
        (
            Some(section("ENCRYPTED PRIVATE KEY")),
            "the private key is encrypted; expected one without a passphrase",
        ),
        (
            Some(section("RSA PRIVATE KEY").replace("AAAA", "Proc-Type: 4,ENCRYPTED\n\nAAAA")),
            "the private key is encrypted; expected one without a passphrase",
        ),
        (
            Some(section("PRIVATE KEY")),
            "the private key cannot be used for TLS",
        ),
    ];
    for (contents, expected) in cases {
        assert_eq!(
            refusal(|options| &options.key, contents.as_deref()).1,
            expected
        );
    }
}

#[test]
fn a_key_of_another_certificate_is_refused_and_both_files_are_named() {
    let stranger = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let (error, reason) = refusal(|options| &options.key, Some(&stranger));
    assert!(matches!(error, Error::Mismatch { .. }));
    assert!(reason.starts_with("the private key does not belong to the certificate in "));
    assert!(reason.ends_with(CERTIFICATE), "{reason}");
}

#[test]
fn the_cause_is_kept_as_the_source() {
    let (error, _) = refusal(|options| &options.certificate, None);
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.is::<std::io::Error>());
}
