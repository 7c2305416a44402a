//! All that a TLS listener accepts with at one moment, from the files that its options name.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::super::options::{CertificateFiles, ClientOptions, Inside, TlsOptions, TlsVersion};
use super::error::Error;
use super::names::{self, ByName};
use super::readings::Readings;

/// Names under which clients ask for MQTT: the registered one, and the one that devices made for a
/// large cloud's shared port 443 send. Both mean MQTT from the first byte.
pub const ALPN: &[&[u8]] = &[b"mqtt", b"x-amzn-mqtt-ca"];

/// The name under which browsers ask for a WebSocket: it begins as a request of HTTP/1.1.
pub const ALPN_HTTP: &[&[u8]] = &[b"http/1.1"];

/// Sessions kept for TLS 1.2 clients that cannot hold a ticket. About 300 bytes each, and the client's
/// certificates where those are asked for.
pub const STORED_SESSIONS: usize = 256;

/// What a listener accepts with. Never changes: a change makes another.
pub struct Setup {
    /// For the handshake.
    pub config: Arc<ServerConfig>,
    /// For certificates that no handshake has shown: those of sessions that are resumed.
    pub clients: Option<Clients>,
    /// When what was read ends, for each file.
    pub dates: Vec<Date>,
    /// From when until when each certificate that is shown is valid, its chain aside.
    shown: Vec<(PathBuf, RangeInclusive<i64>)>,
}

/// What is demanded of certificates of clients.
pub struct Clients {
    verifier: Arc<dyn ClientCertVerifier>,
    /// The options that it was made of.
    pub options: ClientOptions,
}

/// Until when a file is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Date {
    /// The file, as the configuration names it.
    pub path: PathBuf,
    /// What it holds.
    pub content: Content,
    /// Until when, in seconds since the Unix epoch: the earliest of all that is in it. Nothing if it does not
    /// say.
    pub until: Option<i64>,
}

/// What is in a file that does not last for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// A certificate that is shown to clients, and its chain.
    Certificate,
    /// The authorities of clients' certificates.
    Authorities,
    /// Revoked certificates.
    RevocationList,
}

impl Setup {
    /// Reads the files that `options` name, and notes in `readings` what they were like.
    ///
    /// # Errors
    ///
    /// Says which file it is about and what is wrong with it.
    pub fn read(options: &TlsOptions, readings: &mut Readings) -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut dates = Vec::new();
        let mut certificates = Vec::new();
        let mut shown = Vec::new();
        for files in &options.certificates {
            let identity = Identity::read(files, &provider, readings)?;
            shown.push((identity.date.path.clone(), identity.validity));
            certificates.push((identity.certificate, identity.names));
            dates.push(identity.date);
        }
        let clients = match &options.clients {
            None => None,
            Some(options) => Some(Clients::read(options, &provider, readings, &mut dates)?),
        };
        let verifier = match &clients {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(clients) => Arc::clone(&clients.verifier),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions(options.minimum_version))
            .map_err(|source| Error::Setup { source })?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(ByName::new(certificates)));
        let protocols = match options.inside {
            Inside::Mqtt => ALPN,
            Inside::Http => ALPN_HTTP,
        };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        resumption(&mut config, options.tickets)?;
        // Fragments as large as TLS allows; a smaller limit costs a record header and a seal per piece.
        config.max_fragment_size = None;
        Ok(Self {
            config: Arc::new(config),
            clients,
            dates,
            shown,
        })
    }

    /// The first certificate that is shown and not valid at this time, if there is one.
    pub fn not_valid(&self, now: SystemTime) -> Option<&Path> {
        let now = unix(now);
        let mut shown = self.shown.iter();
        let wrong = shown.find(|(_, validity)| !validity.contains(&now));
        wrong.map(|(path, _)| &**path)
    }
}

/// What clients may resume with. Everything is new with each setup: what was handed out under another one,
/// with other authorities and revocation lists, is worth nothing here.
fn resumption(config: &mut ServerConfig, tickets: bool) -> Result<(), Error> {
    if !tickets {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        return Ok(());
    }
    config.session_storage = ServerSessionMemoryCache::new(STORED_SESSIONS);
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|source| Error::Setup { source })?;
    // A ticket is used once and an MQTT client holds one connection: a second one would only cost
    // bytes and time in every handshake.
    config.send_tls13_tickets = 1;
    Ok(())
}

/// Seconds since the Unix epoch.
pub fn unix(time: SystemTime) -> i64 {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

const TLS_1_3_ONLY: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

fn versions(minimum: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match minimum {
        TlsVersion::V1_2 => rustls::ALL_VERSIONS,
        TlsVersion::V1_3 => TLS_1_3_ONLY,
    }
}

/// A certificate to show.
struct Identity {
    /// The chain with the private key, known to belong together.
    certificate: CertifiedKey,
    /// The names in the first one.
    names: Vec<String>,
    /// When the first one is valid.
    validity: RangeInclusive<i64>,
    /// When all of them are.
    date: Date,
}

impl Identity {
    fn read(
        files: &CertificateFiles,
        provider: &CryptoProvider,
        readings: &mut Readings,
    ) -> Result<Self, Error> {
        let path = || files.certificate.clone();
        let chain = chain(&files.certificate, &readings.read(&files.certificate)?)?;
        let key = private_key(&files.key, &readings.read(&files.key)?)?;
        let key = provider.key_provider.load_private_key(key);
        let key = key.map_err(|source| Error::Key {
            path: files.key.clone(),
            source,
        })?;
        let wrong = |source| Error::Certificate {
            path: path(),
            source,
        };
        let mut date = Date::of(path(), Content::Certificate);
        let mut first = None;
        for certificate in &chain {
            let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| wrong(None))?;
            let validity = validity(&parsed);
            date.end_by(*validity.end());
            first = first.or_else(|| Some((names::names(&parsed), validity)));
        }
        let (names, validity) = first.ok_or_else(|| wrong(None))?;
        let certificate = CertifiedKey::new(chain, key);
        match certificate.keys_match() {
            // Unknown: this kind of key cannot tell its public half; the first handshake will.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(Error::Mismatch {
                    certificate: path(),
                    key: files.key.clone(),
                });
            }
            Err(source) => return Err(wrong(Some(source))),
        }
        Ok(Self {
            certificate,
            names,
            validity,
            date,
        })
    }
}

fn validity(certificate: &X509Certificate<'_>) -> RangeInclusive<i64> {
    let validity = certificate.validity();
    validity.not_before.timestamp()..=validity.not_after.timestamp()
}

impl Date {
    fn of(path: PathBuf, content: Content) -> Self {
        Self {
            path,
            content,
            until: None,
        }
    }

    /// Takes in one more end: the earliest counts.
    fn end_by(&mut self, until: i64) {
        self.until = Some(self.until.map_or(until, |known| known.min(until)));
    }
}

fn chain(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let path = || path.to_owned();
    let chain = CertificateDer::pem_slice_iter(text);
    let chain = chain
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| Error::Pem {
            path: path(),
            reason: pem_reason(&source),
        })?;
    match chain.is_empty() {
        true => Err(Error::NoCertificate { path: path() }),
        false => Ok(chain),
    }
}

fn private_key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(text).map_err(|source| {
        let path = path.to_owned();
        match source {
            _ if is_encrypted(text) => Error::EncryptedKey { path },
            pem::Error::NoItemsFound => Error::NoKey { path },
            other => Error::Pem {
                path,
                reason: pem_reason(&other),
            },
        }
    })
}

/// Whether the text has the mark of a key that needs a passphrase, of PKCS#8 or of the older kinds.
fn is_encrypted(text: &[u8]) -> bool {
    let marks: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];
    let has = |mark: &[u8]| text.windows(mark.len()).any(|part| part == mark);
    marks.into_iter().any(has)
}

/// The reason in words. The parser's own text would print lines of the file, which may be a key.
fn pem_reason(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line: is the file cut off?",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed",
        pem::Error::Base64Decode(_) => "a section is not valid base64",
        pem::Error::SectionTooLarge => "a section is too large",
        _ => "it cannot be read as PEM",
    }
}

impl Clients {
    fn read(
        options: &ClientOptions,
        provider: &Arc<CryptoProvider>,
        readings: &mut Readings,
        dates: &mut Vec<Date>,
    ) -> Result<Self, Error> {
        let (roots, date) = authorities(&options.authorities, readings)?;
        dates.push(date);
        let roots = Arc::new(roots);
        let builder = || {
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider))
        };
        let mut all = builder();
        for path in &options.revoked {
            let (lists, date) = revocation_lists(path, &readings.read(path)?)?;
            dates.push(date);
            // Each file by itself, for the error does not say which of the lists it is about.
            let trial = builder().with_crls(lists.iter().cloned()).build();
            trial.map_err(|_| Error::Crl {
                path: path.clone(),
                reason: "holds a revocation list of a kind that is not supported",
            })?;
            all = all.with_crls(lists);
        }
        // What is not said here stays as it is by default: every certificate of the chain must be on a list
        // of its issuer's, where there are lists at all.
        if !options.required {
            all = all.allow_unauthenticated();
        }
        if !options.expired_lists {
            all = all.enforce_revocation_expiration();
        }
        let verifier = all.build().map_err(|error| Error::Setup {
            source: rustls::Error::General(error.to_string()),
        })?;
        Ok(Self {
            verifier,
            options: options.clone(),
        })
    }

    /// Judges a client's certificates as a handshake would now.
    pub fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<(), rustls::Error> {
        let Some((certificate, intermediates)) = chain.split_first() else {
            return match self.options.required {
                true => Err(rustls::Error::NoCertificatesPresented),
                false => Ok(()),
            };
        };
        let now = now
            .duration_since(UNIX_EPOCH)
            .map_err(|_| CertificateError::NotValidYet)?;
        let now = UnixTime::since_unix_epoch(now);
        let verified = self
            .verifier
            .verify_client_cert(certificate, intermediates, now);
        verified.map(drop)
    }
}

fn authorities(path: &Path, readings: &mut Readings) -> Result<(RootCertStore, Date), Error> {
    let certificates = chain(path, &readings.read(path)?)?;
    let mut date = Date::of(path.to_owned(), Content::Authorities);
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates.into_iter().enumerate() {
        let wrong = |reason| Error::Authority {
            path: path.to_owned(),
            number: index + 1,
            reason,
        };
        let parsed = X509Certificate::from_der(&certificate);
        let (_, parsed) = parsed.map_err(|_| wrong("is damaged"))?;
        // The first version of certificates could not say.
        if parsed.version().0 >= 2 && !parsed.is_ca() {
            return Err(wrong("is not that of an authority"));
        }
        date.end_by(*validity(&parsed).end());
        let added = roots.add(certificate);
        added.map_err(|_| wrong("cannot be that of an authority"))?;
    }
    Ok((roots, date))
}

/// The revocation lists in a file: one in DER, or any number of them in PEM.
fn revocation_lists(
    path: &Path,
    contents: &[u8],
) -> Result<(Vec<CertificateRevocationListDer<'static>>, Date), Error> {
    let wrong = |reason| Error::Crl {
        path: path.to_owned(),
        reason,
    };
    let lists = CertificateRevocationListDer::pem_slice_iter(contents);
    let lists = lists.collect::<Result<Vec<_>, _>>();
    let mut lists = lists.map_err(|source| wrong(pem_reason(&source)))?;
    if lists.is_empty() && contents.first() == Some(&SEQUENCE) {
        lists.push(contents.to_vec().into());
    }
    if lists.is_empty() {
        return Err(wrong("holds no revocation list; expected PEM or DER"));
    }
    let mut date = Date::of(path.to_owned(), Content::RevocationList);
    for list in &lists {
        let parsed = CertificateRevocationList::from_der(list);
        let (rest, parsed) = parsed.map_err(|_| wrong("holds a damaged revocation list"))?;
        if !rest.is_empty() {
            return Err(wrong("holds more than a revocation list"));
        }
        if let Some(next) = parsed.next_update() {
            date.end_by(next.timestamp());
        }
    }
    Ok((lists, date))
}

/// What every DER file of interest begins with.
const SEQUENCE: u8 = 0x30;
