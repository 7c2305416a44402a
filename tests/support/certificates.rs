//! Certificates for listeners that a test configures itself.
//!
//! They are made here, not by the broker, so that a mistake in the broker's own generator cannot hide
//! one in its TLS listener. What the broker generates is tested on its own, by a first start.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::folder::Folder;

/// PEM files of an authority and of a server certificate it signed.
pub struct Certificates {
    /// What a client trusts.
    pub authority: PathBuf,
    /// What a server shows, valid for `localhost`, `127.0.0.1` and `::1`.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Certificates {
    /// Makes a new authority and server certificate in `folder`.
    pub fn generate(folder: &Folder) -> Self {
        let authority_key = KeyPair::generate().expect("a key");
        let mut authority = CertificateParams::default();
        authority
            .distinguished_name
            .push(DnType::CommonName, "Authority of one test");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = authority.self_signed(&authority_key).expect("an authority");
        let authority_pem = certificate.pem();
        let issuer = Issuer::new(authority, authority_key);

        let key = KeyPair::generate().expect("a key");
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut server = CertificateParams::new(names).expect("valid names");
        server
            .distinguished_name
            .push(DnType::CommonName, "localhost");
        let server = server.signed_by(&key, &issuer).expect("a certificate");
        Self {
            authority: folder.write("tls/ca.pem", authority_pem),
            certificate: folder.write("tls/server.pem", server.pem()),
            key: folder.write("tls/server.key", key.serialize_pem()),
        }
    }
}
