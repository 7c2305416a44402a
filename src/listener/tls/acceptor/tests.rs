//! Clients with certificates of every kind, in full handshakes and with tickets.

use std::path::PathBuf;

use rcgen::SerialNumber;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::TlsConnector;

use super::super::super::certificates::tests::Directory;
use super::super::super::options::{ClientOptions, TlsOptions, TlsVersion};
use super::super::authority::{Authority, DAY, Leaf};
use super::super::{Error, check};
use super::*;

const TLS12: &SupportedProtocolVersion = &rustls::version::TLS12;
const TLS13: &SupportedProtocolVersion = &rustls::version::TLS13;

/// A listener that wants certificates of clients.
struct Door {
    home: Directory,
    servers: Authority,
    clients: Authority,
    options: TlsOptions,
}

impl Door {
    fn new(required: bool) -> Self {
        let home = Directory::new();
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let server = servers.server(&["localhost"]);
        let certificate = home.file("server.pem", server.certificate.pem());
        let key = home.file("server.key", server.key.serialize_pem());
        let mut options = TlsOptions::showing(certificate, key);
        options.clients = Some(ClientOptions {
            authorities: home.file("clients.pem", clients.pem()),
            revoked: Vec::new(),
            expired_lists: false,
            required,
            user_from: Some(Field::CommonName),
            client_id_from: Some(Field::Dns),
        });
        Self {
            home,
            servers,
            clients,
            options,
        }
    }

    fn demands(&mut self) -> &mut ClientOptions {
        self.options.clients.as_mut().unwrap()
    }

    /// Revokes these by a list of the clients' authority that is due for a successor in a month.
    fn revoke(&mut self, serials: &[u64]) {
        let list = self.clients.revoke(serials, SystemTime::now() + 30 * DAY);
        self.demands().revoked = vec![self.home.file("crl.pem", list)];
    }

    fn setup(&self) -> Setup {
        check(&self.options).unwrap()
    }

    fn acceptor(&self) -> Acceptor {
        Acceptor::new("door".into(), self.setup())
    }

    /// A client that shows this certificate, or none, and remembers tickets.
    fn client(
        &self,
        leaf: Option<&Leaf>,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let pem = self.servers.pem();
        roots
            .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
            .unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match leaf {
            None => builder.with_no_client_auth(),
            Some(leaf) => {
                let key = PrivateKeyDer::Pkcs8(leaf.key.serialize_der().into());
                let chain = vec![leaf.certificate.der().clone()];
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        })
    }
}

/// Numbered, so that it can be revoked.
fn numbered(of: &Authority, name: &str, serial: u64) -> Leaf {
    of.client(name, |parameters| {
        parameters.serial_number = Some(SerialNumber::from(serial));
        let dns = format!("{name}.example.com");
        parameters.subject_alt_names =
            vec![rcgen::SanType::DnsName(dns.as_str().try_into().unwrap())];
    })
}

/// What becomes of a client: whether it resumed, its user and its Client Identifier; or why it is refused.
type Outcome = Result<(bool, Option<String>, Option<String>), String>;

const EOF: io::ErrorKind = io::ErrorKind::UnexpectedEof;

/// Lets a client in and says a word to it, so that its tickets have arrived too.
async fn connect(acceptor: &Acceptor, client: &Arc<ClientConfig>) -> Outcome {
    let (ours, theirs) = duplex(64 * 1024);
    let connector = TlsConnector::from(Arc::clone(client));
    let host = ServerName::try_from("localhost").unwrap();
    let listen = async {
        let mut stream = connector.connect(host, theirs).await?;
        stream.read_u8().await
    };
    let (accepted, heard) = tokio::join!(greet(acceptor, ours), listen);
    // Whoever is refused is told, and told no more than the protocol has it.
    match (&accepted, heard) {
        (Ok(_), Ok(b'!')) => {}
        (Err(_), Err(error)) => {
            let text = error.to_string();
            let told = text.contains("received fatal alert") || error.kind() == EOF;
            assert!(told, "{text}");
        }
        (accepted, heard) => panic!("{accepted:?}, and the client heard {heard:?}"),
    }
    accepted
}

async fn greet(acceptor: &Acceptor, stream: DuplexStream) -> Outcome {
    let accepted = acceptor.accept(stream).await;
    let mut accepted = match accepted {
        Ok(accepted) => accepted,
        Err(refused) => {
            let error = refused.error.to_string();
            refused.farewell().await;
            return Err(error);
        }
    };
    accepted.stream.write_u8(b'!').await.unwrap();
    accepted.stream.shutdown().await.unwrap();
    let kind = accepted.stream.common().handshake_kind();
    let text = |name: Option<Arc<str>>| name.map(|it| it.to_string());
    let resumed = kind == Some(HandshakeKind::Resumed);
    Ok((resumed, text(accepted.user), text(accepted.client_id)))
}

fn anna(resumed: bool) -> Outcome {
    let client_id = "anna.example.com".to_owned();
    Ok((resumed, Some("anna".to_owned()), Some(client_id)))
}

const NOBODY: Outcome = Ok((false, None, None));

#[track_caller]
fn refused(outcome: &Outcome, why: &str) {
    match outcome {
        Err(error) => assert!(error.contains(why), "expected {why}, it is: {error}"),
        Ok(accepted) => panic!("expected {why}, and it was let in: {accepted:?}"),
    }
}

#[tokio::test]
async fn who_shows_a_certificate_has_a_name_and_who_shows_none_has_none() {
    let door = Door::new(false);
    let acceptor = door.acceptor();
    let leaf = numbered(&door.clients, "anna", 7);
    for version in [TLS12, TLS13] {
        let shown = connect(&acceptor, &door.client(Some(&leaf), version)).await;
        assert_eq!(shown, anna(false));
        let silent = connect(&acceptor, &door.client(None, version)).await;
        assert_eq!(silent, NOBODY);
    }
}

#[tokio::test]
async fn a_certificate_can_be_demanded() {
    let door = Door::new(true);
    let acceptor = door.acceptor();
    let leaf = numbered(&door.clients, "anna", 7);
    for version in [TLS12, TLS13] {
        let shown = connect(&acceptor, &door.client(Some(&leaf), version)).await;
        assert_eq!(shown, anna(false));
        let silent = connect(&acceptor, &door.client(None, version)).await;
        refused(&silent, "peer sent no certificates");
    }
}

#[tokio::test]
async fn a_certificate_without_the_field_names_nobody() {
    let mut door = Door::new(true);
    door.demands().user_from = Some(Field::Email);
    door.demands().client_id_from = None;
    let leaf = numbered(&door.clients, "anna", 7);
    let outcome = connect(&door.acceptor(), &door.client(Some(&leaf), TLS13)).await;
    assert_eq!(outcome, NOBODY);
}

/// One that does not pass is refused even where none is needed.
#[tokio::test]
async fn a_certificate_that_does_not_pass_is_refused() {
    let mut door = Door::new(false);
    door.revoke(&[8]);
    let acceptor = door.acceptor();
    let stranger = numbered(&Authority::new("clients"), "anna", 7);
    let expired = door.clients.client("anna", |parameters| {
        parameters.not_after = (SystemTime::now() - DAY / 2).into();
    });
    let early = door.clients.client("anna", |parameters| {
        parameters.not_before = (SystemTime::now() + DAY).into();
    });
    let revoked = numbered(&door.clients, "anna", 8);
    let server = door.clients.client("anna", |parameters| {
        parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    for version in [TLS12, TLS13] {
        for (leaf, why) in [
            (&stranger, "invalid peer certificate"),
            (&expired, "expired"),
            (&early, "not valid yet"),
            (&revoked, "Revoked"),
            (&server, "certificate does not allow extended key usage"),
        ] {
            let outcome = connect(&acceptor, &door.client(Some(leaf), version)).await;
            refused(&outcome, why);
        }
        let sound = numbered(&door.clients, "anna", 7);
        let outcome = connect(&acceptor, &door.client(Some(&sound), version)).await;
        assert_eq!(outcome, anna(false));
    }
}

#[tokio::test]
async fn where_lists_are_no_list_is_no_answer() {
    let mut door = Door::new(true);
    let other = Authority::new("other");
    let list = other.revoke(&[], SystemTime::now() + DAY);
    door.demands().revoked = vec![door.home.file("other.pem", list)];
    let leaf = numbered(&door.clients, "anna", 7);
    let client = door.client(Some(&leaf), TLS13);
    refused(
        &connect(&door.acceptor(), &client).await,
        "UnknownRevocationStatus",
    );
    // In a second file, in DER.
    let list = door.clients.revoke(&[], SystemTime::now() + DAY);
    let list = rustls::pki_types::CertificateRevocationListDer::from_pem_slice(list.as_bytes());
    let second = door.home.file("second.der", list.unwrap());
    door.demands().revoked.push(second);
    assert_eq!(connect(&door.acceptor(), &client).await, anna(false));
}

#[tokio::test]
async fn an_expired_list_refuses_unless_it_is_to_be_accepted() {
    let mut door = Door::new(true);
    let list = door.clients.revoke(&[8], SystemTime::now() - DAY / 2);
    door.demands().revoked = vec![door.home.file("old.pem", list)];
    let leaf = numbered(&door.clients, "anna", 7);
    let client = door.client(Some(&leaf), TLS13);
    refused(&connect(&door.acceptor(), &client).await, "xpired");
    door.demands().expired_lists = true;
    let acceptor = door.acceptor();
    assert_eq!(connect(&acceptor, &client).await, anna(false));
    let revoked = numbered(&door.clients, "anna", 8);
    let client = door.client(Some(&revoked), TLS13);
    refused(&connect(&acceptor, &client).await, "Revoked");
}

#[tokio::test]
async fn who_resumes_is_who_it_was() {
    let door = Door::new(true);
    let acceptor = door.acceptor();
    let leaf = numbered(&door.clients, "anna", 7);
    for version in [TLS12, TLS13] {
        let client = door.client(Some(&leaf), version);
        assert_eq!(connect(&acceptor, &client).await, anna(false));
        assert_eq!(connect(&acceptor, &client).await, anna(true));
    }
}

#[tokio::test]
async fn without_tickets_nobody_resumes() {
    let mut door = Door::new(true);
    door.options.tickets = false;
    let acceptor = door.acceptor();
    let leaf = numbered(&door.clients, "anna", 7);
    for version in [TLS12, TLS13] {
        let client = door.client(Some(&leaf), version);
        for _ in 0..2 {
            assert_eq!(connect(&acceptor, &client).await, anna(false));
        }
    }
}

#[tokio::test]
async fn a_ticket_is_worth_nothing_once_the_certificate_is_revoked() {
    for version in [TLS12, TLS13] {
        let mut door = Door::new(true);
        door.revoke(&[]);
        let acceptor = door.acceptor();
        let leaf = numbered(&door.clients, "anna", 7);
        let client = door.client(Some(&leaf), version);
        assert_eq!(connect(&acceptor, &client).await, anna(false));
        door.revoke(&[7]);
        acceptor.replace(door.setup());
        refused(&connect(&acceptor, &client).await, "Revoked");
        // Not even where tickets of before were still good.
        door.revoke(&[]);
        acceptor.replace(door.setup());
        assert_eq!(connect(&acceptor, &client).await, anna(false));
        door.revoke(&[7]);
        let mut setup = door.setup();
        setup.config = Arc::clone(&acceptor.setup().config);
        acceptor.replace(setup);
        refused(&connect(&acceptor, &client).await, "Revoked");
    }
}

/// The handshake is done with the old setup; what counts is the new one.
#[tokio::test]
async fn a_handshake_that_takes_long_is_judged_by_what_is_in_force_at_its_end() {
    let mut door = Door::new(true);
    door.revoke(&[]);
    let acceptor = door.acceptor();
    let leaf = numbered(&door.clients, "anna", 7);
    let client = door.client(Some(&leaf), TLS13);
    let (ours, theirs) = duplex(64 * 1024);
    let connector = TlsConnector::from(client);
    let host = ServerName::try_from("localhost").unwrap();
    let mut accepting = std::pin::pin!(greet(&acceptor, ours));
    // It has begun, and waits for the client.
    assert!(poll_once(accepting.as_mut()).await.is_none());
    door.revoke(&[7]);
    acceptor.replace(door.setup());
    let connect = async {
        let mut stream = connector.connect(host, theirs).await?;
        stream.read_u8().await.map(drop)
    };
    let (accepted, _) = tokio::join!(accepting, connect);
    refused(&accepted, "Revoked");
}

/// Polls once.
async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match future.as_mut().poll(cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn the_certificate_is_the_one_of_the_name_asked_for() {
    let mut door = Door::new(false);
    let other = door.servers.server(&["*.example.com"]);
    door.options
        .certificates
        .push(super::super::super::options::CertificateFiles {
            certificate: door.home.file("other.pem", other.certificate.pem()),
            key: door.home.file("other.key", other.key.serialize_pem()),
        });
    let acceptor = door.acceptor();
    let client = door.client(None, TLS13);
    for (host, sound) in [
        ("localhost", true),
        ("a.example.com", true),
        ("127.0.0.1", false),
        ("example.org", false),
    ] {
        let (ours, theirs) = duplex(64 * 1024);
        let connector = TlsConnector::from(Arc::clone(&client));
        let name = ServerName::try_from(host).unwrap();
        let (_, connected) = tokio::join!(acceptor.accept(ours), connector.connect(name, theirs));
        assert_eq!(connected.is_ok(), sound, "{host}: {:?}", connected.err());
    }
}

#[tokio::test]
async fn the_minimum_version_holds_for_clients_with_certificates() {
    let mut door = Door::new(true);
    door.options.minimum_version = TlsVersion::V1_3;
    let acceptor = door.acceptor();
    let leaf = numbered(&door.clients, "anna", 7);
    let old = connect(&acceptor, &door.client(Some(&leaf), TLS12)).await;
    assert!(old.is_err(), "{old:?}");
    let (ours, theirs) = duplex(64 * 1024);
    let connector = TlsConnector::from(door.client(Some(&leaf), TLS13));
    let host = ServerName::try_from("localhost").unwrap();
    let (accepted, _) = tokio::join!(acceptor.accept(ours), connector.connect(host, theirs));
    let version = accepted.unwrap().stream.common().protocol_version();
    assert_eq!(version, Some(ProtocolVersion::TLSv1_3));
}

/// The error of a file with these contents, without the directory in front.
fn complaint(which: fn(&mut ClientOptions) -> &mut PathBuf, contents: &[u8]) -> (Error, String) {
    let mut door = Door::new(true);
    door.revoke(&[]);
    let path = which(door.demands()).clone();
    std::fs::write(&path, contents).unwrap();
    let error = check(&door.options).err().expect("an error");
    let text = error.to_string();
    let home = format!("{}/", door.home.path().display());
    let text = text.strip_prefix(&home).map(str::to_owned);
    (
        error,
        text.unwrap_or_else(|| panic!("the file is not named")),
    )
}

#[test]
fn a_wrong_file_of_authorities_is_named_with_the_reason() {
    let leaf = Authority::new("CA").client("anna", |_| {});
    let both = Authority::new("CA").pem() + &leaf.certificate.pem();
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (contents, expected) in [
        ("", "holds no certificate; expected PEM"),
        (&both, "certificate 2 is not that of an authority"),
        (damaged, "certificate 1 is damaged"),
        (
            &both[..400],
            "a section has no END line: is the file cut off?",
        ),
    ] {
        let (_, text) = complaint(|it| &mut it.authorities, contents.as_bytes());
        assert_eq!(text, format!("clients.pem: {expected}"));
    }
}

#[test]
fn a_wrong_revocation_list_is_named_with_the_reason() {
    let list = Authority::new("CA").revoke(&[1], SystemTime::now() + DAY);
    let damaged = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    for (contents, expected) in [
        (&b""[..], "holds no revocation list; expected PEM or DER"),
        (b"text", "holds no revocation list; expected PEM or DER"),
        (b"0text", "holds a damaged revocation list"),
        (damaged.as_bytes(), "holds a damaged revocation list"),
        (
            &list.as_bytes()[..200],
            "a section has no END line: is the file cut off?",
        ),
    ] {
        let (error, text) = complaint(|it| &mut it.revoked[0], contents);
        assert!(matches!(error, Error::Crl { .. }));
        assert_eq!(text, format!("crl.pem: {expected}"));
    }
}

/// Networks cut where they like, and clients put their messages into as many records as they like.
#[tokio::test]
async fn handshakes_and_bytes_come_in_any_pieces() {
    let door = Door::new(true);
    let acceptor = door.acceptor();
    let leaf = numbered(&door.clients, "anna", 7);
    for (version, room, fragment, count) in [
        (TLS12, 1, None, 1000),
        (TLS12, 77, Some(64), 20_000),
        (TLS13, 1, Some(64), 1000),
        (TLS13, 77, None, 20_000),
        (TLS13, 10_000, Some(32), 150_000_u32),
    ] {
        let mut client = Arc::unwrap_or_clone(door.client(Some(&leaf), version));
        client.max_fragment_size = fragment;
        let connector = TlsConnector::from(Arc::new(client));
        let host = ServerName::try_from("localhost").unwrap();
        let (ours, theirs) = duplex(room);
        let bytes: Vec<u8> = (0..count).map(|n| (n % 251) as u8).collect();
        let (mut there, mut back) = (Vec::new(), Vec::new());
        let serve = async {
            let mut ours = acceptor.accept(ours).await.unwrap().stream;
            ours.read_to_end(&mut there).await.unwrap();
            ours.write_all(&there).await.unwrap();
            ours.shutdown().await.unwrap();
        };
        // Tickets come while the client writes, and take more room than there may be: it reads all the time.
        let ask = async {
            let theirs = connector.connect(host, theirs).await.unwrap();
            let (mut hears, mut says) = tokio::io::split(theirs);
            let say = async {
                says.write_all(&bytes).await.unwrap();
                says.shutdown().await.unwrap();
            };
            tokio::join!(say, hears.read_to_end(&mut back)).1.unwrap();
        };
        tokio::join!(serve, ask);
        assert!(back == bytes, "{version:?} with room for {room}");
    }
}
