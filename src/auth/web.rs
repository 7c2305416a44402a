//! Asking web servers for what is not in a file: the keys of tokens, answers about clients.
//!
//! One request, one answer, within a time and a size. Connections are kept open from one request to the next.
//! No redirection is followed and no proxy asked: what the configuration names is what is spoken to. A server
//! that is asked by `https:` has to show a certificate that an authority answers for, one of a file or one
//! that the system trusts.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Scheme;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Where a web server is asked: `http://` or `https://`, a host, and what is behind it.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(Uri);

impl Url {
    fn is_encrypted(&self) -> bool {
        self.0.scheme() == Some(&Scheme::HTTPS)
    }
}

/// A text that is no [`Url`]; one with a user and a password in it is none either, as it would be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoUrl;

impl FromStr for Url {
    type Err = NoUrl;

    fn from_str(text: &str) -> Result<Self, NoUrl> {
        let uri: Uri = text.parse().map_err(|_| NoUrl)?;
        let spoken = [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&uri.scheme());
        let authority = uri.authority().ok_or(NoUrl)?;
        let sound = spoken
            && !authority.host().is_empty()
            && !authority.as_str().contains('@')
            && !text.contains('#');
        sound.then_some(Self(uri)).ok_or(NoUrl)
    }
}

/// Without its query, in which there may be a secret.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.0.authority().map_or("", |it| it.as_str());
        let scheme = self.0.scheme_str().unwrap_or_default();
        write!(f, "{scheme}://{authority}{}", self.0.path())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How servers are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// PEM file with the authorities that answer for servers; the system's if there is none.
    pub authorities: Option<PathBuf>,
    /// A file with a header on each line, to be sent along.
    pub headers: Option<PathBuf>,
    /// How long an answer may take.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            authorities: None,
            headers: None,
            timeout: Duration::from_secs(5),
        }
    }
}

/// Why servers cannot be asked at all.
#[derive(Debug)]
pub enum Error {
    /// A file cannot be read.
    Read(PathBuf, io::Error),
    /// This line of a file is no header.
    Header(PathBuf, usize),
    /// There is no certificate in this file that could answer for another.
    Authorities(PathBuf),
    /// The system trusts nobody.
    NoAuthorities,
    /// TLS cannot be set up.
    Tls(rustls::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, _) => write!(f, "{}: cannot be read", path.display()),
            Self::Header(path, line) => {
                let path = path.display();
                write!(f, "{path}:{line}: no header; expected \"Name: value\"")
            }
            Self::Authorities(path) => write!(
                f,
                "{}: no certificate of an authority in it; expected PEM, BEGIN CERTIFICATE",
                path.display()
            ),
            Self::NoAuthorities => f.write_str(
                "the system trusts no certificate authority; expected a file that names some",
            ),
            Self::Tls(_) => f.write_str("cannot set up TLS"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(_, error) => Some(error),
            Self::Tls(error) => Some(error),
            Self::Header(..) | Self::Authorities(_) | Self::NoAuthorities => None,
        }
    }
}

/// Why a server gave no answer that could be used.
#[derive(Debug)]
pub enum Failure {
    /// None came in time.
    Timeout,
    /// It cannot be reached, is not who it should be, or does not speak HTTP.
    Unreachable(Box<dyn std::error::Error + Send + Sync>),
    /// It is larger than any answer should be.
    TooLarge,
}

impl Failure {
    /// One word for it, as a metric's label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::TooLarge => "too_large",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time"),
            Self::Unreachable(error) => {
                // What the client says by itself names only the step at which it failed.
                write!(f, "no answer: {error}")?;
                let mut cause = error.source();
                while let Some(error) = cause {
                    write!(f, ": {error}")?;
                    cause = error.source();
                }
                Ok(())
            }
            Self::TooLarge => f.write_str("the answer is too large"),
        }
    }
}

/// How long a connection that nobody needs is kept.
const IDLE: Duration = Duration::from_secs(60);
/// How large a file of headers or authorities can be, beyond which it is another file.
const FILE_MAXIMUM: u64 = 4 << 20;

/// Asks servers.
pub struct Web {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    headers: HeaderMap,
    timeout: Duration,
}

impl Web {
    /// One that can ask what is at these URLs, and keeps at most so many idle connections to each server.
    ///
    /// # Errors
    ///
    /// Says which file is wrong, and where.
    pub fn new(options: &Options, urls: &[&Url], idle: usize) -> Result<Self, Error> {
        let encrypted = urls.iter().any(|url| url.is_encrypted());
        let roots = match (&options.authorities, encrypted) {
            (Some(path), _) => authorities(path)?,
            (None, true) => authorities_of_the_system()?,
            (None, false) => RootCertStore::empty(),
        };
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(Error::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(options.timeout));
        tcp.set_keepalive(Some(IDLE));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(idle)
            .build(HttpsConnector::from((tcp, tls)));
        Ok(Self {
            client,
            headers: options
                .headers
                .as_deref()
                .map_or_else(|| Ok(HeaderMap::new()), headers)?,
            timeout: options.timeout,
        })
    }

    /// What is at `url`, of at most `largest` bytes.
    ///
    /// # Errors
    ///
    /// There is no answer.
    pub async fn get(&self, url: &Url, largest: usize) -> Result<(StatusCode, Bytes), Failure> {
        self.ask(Method::GET, url, Bytes::new(), largest).await
    }

    /// What `url` answers to a text in JSON, of at most `largest` bytes.
    ///
    /// # Errors
    ///
    /// There is no answer.
    pub async fn post(
        &self,
        url: &Url,
        json: Vec<u8>,
        largest: usize,
    ) -> Result<(StatusCode, Bytes), Failure> {
        self.ask(Method::POST, url, json.into(), largest).await
    }

    async fn ask(
        &self,
        method: Method,
        url: &Url,
        body: Bytes,
        largest: usize,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let posts = method == Method::POST;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = url.0.clone();
        let json = HeaderValue::from_static("application/json");
        if posts {
            request.headers_mut().insert(CONTENT_TYPE, json.clone());
        }
        request.headers_mut().insert(ACCEPT, json);
        request.headers_mut().extend(self.headers.clone());
        let whole = async {
            let answer = self.client.request(request).await;
            let answer = answer.map_err(|error| Failure::Unreachable(error.into()))?;
            let status = answer.status();
            match Limited::new(answer.into_body(), largest).collect().await {
                Ok(body) => Ok((status, body.to_bytes())),
                Err(error) if error.is::<LengthLimitError>() => Err(Failure::TooLarge),
                Err(error) => Err(Failure::Unreachable(error)),
            }
        };
        let outcome = tokio::time::timeout(self.timeout, whole).await;
        outcome.unwrap_or(Err(Failure::Timeout))
    }
}

/// The bytes of a file, which is small.
///
/// # Errors
///
/// It cannot be read, or is large.
pub(super) fn read(path: &Path, largest: u64) -> Result<Vec<u8>, io::Error> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(largest + 1)
        .read_to_end(&mut bytes)?;
    match bytes.len() as u64 > largest {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {largest} bytes"),
        )),
        false => Ok(bytes),
    }
}

fn authorities(path: &Path) -> Result<RootCertStore, Error> {
    let bytes = read(path, FILE_MAXIMUM).map_err(|error| Error::Read(path.into(), error))?;
    let wrong = || Error::Authorities(path.into());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|_| wrong())?;
        roots.add(certificate).map_err(|_| wrong())?;
    }
    match roots.is_empty() {
        true => Err(wrong()),
        false => Ok(roots),
    }
}

fn authorities_of_the_system() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    // Some in the system's store may be of a kind that nobody can use any more.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err(Error::NoAuthorities),
        false => Ok(roots),
    }
}

/// The headers of a file: one on each line, but for empty lines and those that begin with `#`.
fn headers(path: &Path) -> Result<HeaderMap, Error> {
    let bytes = read(path, FILE_MAXIMUM).map_err(|error| Error::Read(path.into(), error))?;
    let mut headers = HeaderMap::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let header = header(line).ok_or_else(|| Error::Header(path.into(), index + 1))?;
        headers.append(header.0, header.1);
    }
    Ok(headers)
}

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    let name = HeaderName::from_bytes(name).ok()?;
    let mut value = HeaderValue::from_bytes(value).ok()?;
    // So that it is not written out where a request is.
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
mod tests;
