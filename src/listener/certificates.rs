//! Makes the development certificates, so that TLS works in the first five minutes.
//!
//! ```text
//!   DIRECTORY/ca.pem       development CA: clients trust this file      ◄┐ signed by a key that
//!   DIRECTORY/server.pem   localhost, 127.0.0.1 and ::1                 ─┘ nobody has any more
//!   DIRECTORY/server.key   its private key, readable by the owner only
//! ```
//!
//! Invariants:
//!
//! - A file that is there is never written over, with one exception: a set this module made and
//!   whose time is up is made anew, whole.
//! - The CA's key never reaches a disk. Whoever trusts `ca.pem` trusts this one server certificate
//!   and nothing that anybody could sign later.
//! - Each file appears under its name whole or not at all. All three are on disk before the first
//!   gets its name, so that a full disk leaves nothing behind.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};

/// File name of the development CA's certificate, for clients to trust.
pub const AUTHORITY: &str = "ca.pem";
/// File name of the server's certificate.
pub const CERTIFICATE: &str = "server.pem";
/// File name of the server's private key.
pub const KEY: &str = "server.key";

/// The CA's Common Name. Stands in both certificates, and tells a set of ours from anybody else's.
const AUTHORITY_NAME: &str = "Postbud development CA";

const DAY: Duration = Duration::from_secs(24 * 3600);
/// From the first to the last valid moment: the most that current systems accept of a server
/// certificate under a CA that a user added.
const VALIDITY: Duration = DAY.saturating_mul(825);
/// How far in the past the first valid moment lies, for clients whose clock is behind.
const CLOCK_SKEW: Duration = DAY;

/// What [`development`] had to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generated {
    /// Nothing: a certificate and a key were there.
    Nothing,
    /// All three files, for the first time.
    Created,
    /// All three files again, because the old set had expired. Clients need the new `ca.pem`.
    Renewed,
}

/// Sees to it that `directory` holds a server certificate and its key, and makes a development set
/// if it holds neither. The directory is created if need be.
///
/// A pair that somebody else put there is left alone, expired or not.
///
/// # Errors
///
/// [`Error::Incomplete`] if some of the three files are there and a needed one is not: which of
/// them could be given up is for their owner to say.
pub fn development(directory: &Path) -> Result<Generated, Error> {
    ensure(directory, SystemTime::now())
}

/// What [`development`] would do, without doing it.
///
/// # Errors
///
/// As [`development`], but for what only writing can find out.
pub fn plan(directory: &Path) -> Result<Generated, Error> {
    plan_at(directory, SystemTime::now())
}

fn plan_at(directory: &Path, now: SystemTime) -> Result<Generated, Error> {
    let is_there = |name: &str| {
        let path = directory.join(name);
        path.try_exists()
            .map_err(|source| Error::Io { path, source })
    };
    let (certificate, key) = (is_there(CERTIFICATE)?, is_there(KEY)?);
    if certificate && key {
        let expired = is_ours_and_expired(directory, now);
        return Ok(if expired {
            Generated::Renewed
        } else {
            Generated::Nothing
        });
    }
    let authority = is_there(AUTHORITY)?;
    if certificate || key || authority {
        let names = [
            (CERTIFICATE, certificate),
            (KEY, key),
            (AUTHORITY, authority),
        ];
        let pick = |there: bool| names.iter().filter(|n| n.1 == there).map(|n| n.0).collect();
        return Err(Error::Incomplete {
            directory: directory.to_owned(),
            present: pick(true),
            missing: pick(false),
        });
    }
    Ok(Generated::Created)
}

fn ensure(directory: &Path, now: SystemTime) -> Result<Generated, Error> {
    let plan = plan_at(directory, now)?;
    let existing = match plan {
        Generated::Nothing => return Ok(plan),
        Generated::Created => Existing::Keep,
        Generated::Renewed => Existing::Replace,
    };
    fs::create_dir_all(directory).map_err(|source| Error::Io {
        path: directory.to_owned(),
        source,
    })?;
    Set::generate(now)?.write(directory, existing)?;
    Ok(plan)
}

/// Whether the files are a set of ours whose time is up. What cannot be read or understood is not:
/// loading it for the listener will say what is wrong with it.
fn is_ours_and_expired(directory: &Path, now: SystemTime) -> bool {
    let load = |name| CertificateDer::from_pem_file(directory.join(name));
    let (Ok(authority), Ok(certificate)) = (load(AUTHORITY), load(CERTIFICATE)) else {
        return false;
    };
    // The verifier reports an expired certificate before it looks at who signed it, so the names
    // have to be compared first.
    if !names_our_authority(&authority) || !names_our_authority(&certificate) {
        return false;
    }
    let mut roots = RootCertStore::empty();
    if roots.add(authority).is_err() {
        return false;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let Ok(verifier) =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()
    else {
        return false;
    };
    let Ok(host) = ServerName::try_from("localhost") else {
        return false;
    };
    let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
    matches!(
        verifier.verify_server_cert(&certificate, &[], &host, &[], now),
        Err(rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. }
        ))
    )
}

fn names_our_authority(certificate: &CertificateDer<'_>) -> bool {
    let name = AUTHORITY_NAME.as_bytes();
    certificate.windows(name.len()).any(|part| part == name)
}

/// What to do with a file that already has the name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Keep,
    Replace,
}

/// The contents of the three files, in PEM.
struct Set {
    authority: String,
    certificate: String,
    key: String,
}

impl Set {
    fn generate(now: SystemTime) -> Result<Self, Error> {
        let rcgen = |source| Error::Generate { source };
        let mut authority = parameters(AUTHORITY_NAME, Vec::new(), now).map_err(rcgen)?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority =
            CertifiedIssuer::self_signed(authority, KeyPair::generate().map_err(rcgen)?)
                .map_err(rcgen)?;

        let hosts = ["localhost", "127.0.0.1", "::1"].map(String::from).to_vec();
        let mut server = parameters("Postbud development", hosts, now).map_err(rcgen)?;
        server.is_ca = IsCa::ExplicitNoCa;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Strict verifiers find the issuer by this, not by its name.
        server.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(rcgen)?;
        let certificate = server.signed_by(&key, &authority).map_err(rcgen)?;
        Ok(Self {
            authority: authority.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// Puts all three under temporary names first, then gives each its own. With
    /// [`Existing::Keep`], a file that somebody made meanwhile stops it and what was named before
    /// is taken back.
    fn write(&self, directory: &Path, existing: Existing) -> Result<(), Error> {
        let files = [
            Staged::create(directory, KEY, &self.key, 0o600)?,
            Staged::create(directory, CERTIFICATE, &self.certificate, 0o644)?,
            Staged::create(directory, AUTHORITY, &self.authority, 0o644)?,
        ];
        for (done, file) in files.iter().enumerate() {
            if let Err(error) = file.publish(existing) {
                if existing == Existing::Keep {
                    for named in &files[..done] {
                        let _ = fs::remove_file(&named.target);
                    }
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

fn parameters(
    name: &str,
    hosts: Vec<String>,
    now: SystemTime,
) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::new(hosts)?;
    let first = now.checked_sub(CLOCK_SKEW).unwrap_or(now);
    parameters.not_before = first.into();
    parameters.not_after = (first + VALIDITY).into();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    Ok(parameters)
}

/// A file that is whole on disk under a temporary name, which goes away with this value.
struct Staged {
    temporary: PathBuf,
    target: PathBuf,
}

impl Staged {
    fn create(directory: &Path, name: &str, contents: &str, mode: u32) -> Result<Self, Error> {
        let staged = Self {
            temporary: directory.join(format!(".{name}.{}.new", std::process::id())),
            target: directory.join(name),
        };
        // What a process with our number left behind when it was killed.
        let _ = fs::remove_file(&staged.temporary);
        create_new(&staged.temporary, mode)
            .and_then(|mut file| {
                file.write_all(contents.as_bytes())?;
                file.sync_all()
            })
            .map_err(|source| Error::Io {
                path: staged.temporary.clone(),
                source,
            })?;
        Ok(staged)
    }

    /// Gives the file its name in one step.
    fn publish(&self, existing: Existing) -> Result<(), Error> {
        let error = |source| Error::Io {
            path: self.target.clone(),
            source,
        };
        if existing == Existing::Keep {
            // Unlike a rename, a hard link fails if the name is taken.
            match fs::hard_link(&self.temporary, &self.target) {
                Ok(()) => return Ok(()),
                Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(error(source));
                }
                // A file system without hard links: the name was free a moment ago.
                Err(_) => {}
            }
        }
        fs::rename(&self.temporary, &self.target).map_err(error)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already if it was renamed.
        let _ = fs::remove_file(&self.temporary);
    }
}

fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path)
}

/// Why there are no development certificates. Concerns the process, at start.
#[derive(Debug)]
pub enum Error {
    /// Some of the files are there, and a needed one is not.
    Incomplete {
        /// Where they are.
        directory: PathBuf,
        /// Names of those that are there.
        present: Vec<&'static str>,
        /// Names of those that are not.
        missing: Vec<&'static str>,
    },
    /// A file could not be looked at or written.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The certificates could not be made.
    Generate {
        /// What the library said.
        source: rcgen::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete {
                directory,
                present,
                missing,
            } => write!(
                f,
                "{}: {} there but {} missing; remove what is left to have development \
                 certificates made anew, or complete it",
                directory.display(),
                listed(present),
                listed(missing),
            ),
            Self::Io { path, .. } => {
                write!(
                    f,
                    "{}: development certificates cannot be written",
                    path.display()
                )
            }
            Self::Generate { .. } => f.write_str("development certificates cannot be made"),
        }
    }
}

/// "a is" or "a and b are"
fn listed(names: &[&str]) -> String {
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", names.join(" and "))
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Incomplete { .. } => None,
            Self::Io { source, .. } => Some(source),
            Self::Generate { source } => Some(source),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
