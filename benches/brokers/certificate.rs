//! The certificate that brokers show in the TLS scenarios, and the generator's trust in it. It is made
//! anew for each run, and known to nobody else.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, ServerConfig};

use super::failure::Failure;

/// The name in it.
pub const NAME: &str = "localhost";

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// PEM file of the certificate, for brokers.
    pub certificate: PathBuf,
    /// PEM file of its key.
    pub key: PathBuf,
}

struct Made {
    certificate: String,
    key: String,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

static MADE: OnceLock<Result<Made, Failure>> = OnceLock::new();

/// A server that shows the certificate.
pub fn server() -> Result<Arc<ServerConfig>, Failure> {
    Ok(Arc::clone(&made()?.server))
}

/// A client that trusts the certificate, and makes every handshake in full.
pub fn client() -> Result<Arc<ClientConfig>, Failure> {
    Ok(Arc::clone(&made()?.client))
}

impl Certificate {
    /// Writes the certificate to `directory`.
    pub fn write(directory: &Path) -> Result<Certificate, Failure> {
        let made = made()?;
        let written = Certificate {
            certificate: directory.join("certificate.pem"),
            key: directory.join("key.pem"),
        };
        fs::write(&written.certificate, &made.certificate)?;
        fs::write(&written.key, &made.key)?;
        Ok(written)
    }
}

fn made() -> Result<&'static Made, Failure> {
    MADE.get_or_init(make).as_ref().map_err(Failure::clone)
}

fn make() -> Result<Made, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("no certificate: {error}"));
    let names = vec![NAME.to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| failed(&error))?;
    let mut roots = rustls::RootCertStore::empty();
    let trusted = roots.add(made.cert.der().clone());
    trusted.map_err(|error| failed(&error))?;
    let mut client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.resumption = Resumption::disabled();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_no_client_auth()
        .with_single_cert(
            vec![made.cert.der().clone()],
            key.map_err(|error| failed(&error))?,
        )
        .map_err(|error| failed(&error))?;
    Ok(Made {
        certificate: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        client: Arc::new(client),
        server: Arc::new(server),
    })
}
