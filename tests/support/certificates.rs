//! Certificates for listeners that a test configures itself, and for clients.
//!
//! They are made here, not by the broker, so that a mistake in the broker's own generator cannot hide
//! one in its TLS listener. What the broker generates is tested on its own, by a first start.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber,
};

use super::folder::Folder;

const DAY: Duration = Duration::from_secs(24 * 3600);

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
        let authority = Authority::new("Authority of one test");
        let server = authority.server(&["localhost", "127.0.0.1", "::1"]);
        Self {
            authority: folder.write("tls/ca.pem", authority.pem()),
            certificate: folder.write("tls/server.pem", server.certificate),
            key: folder.write("tls/server.key", server.key),
        }
    }
}

/// Somebody who signs certificates and revocation lists.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, both in PEM.
pub struct Leaf {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut parameters = named(name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(parameters, key).expect("an authority"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a server, with the first of these names as its Common Name.
    pub fn server(&self, names: &[&str]) -> Leaf {
        let alternative = names.iter().map(|name| (*name).to_owned());
        let mut parameters = CertificateParams::new(alternative.collect::<Vec<_>>());
        let parameters = parameters.as_mut().expect("valid names");
        parameters.distinguished_name = named(names[0]).distinguished_name;
        self.sign(parameters)
    }

    /// A certificate for a client with this Common Name and number, but for what `change` makes of it.
    pub fn client(
        &self,
        name: &str,
        serial: u64,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Leaf {
        let mut parameters = named(name);
        parameters.serial_number = Some(SerialNumber::from(serial));
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut parameters);
        self.sign(&parameters)
    }

    fn sign(&self, parameters: &CertificateParams) -> Leaf {
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &self.0);
        Leaf {
            certificate: certificate.expect("a certificate").pem(),
            key: key.serialize_pem(),
        }
    }

    /// A list, good for a month, that revokes the certificates with these numbers.
    pub fn revoke(&self, serials: &[u64]) -> String {
        let now = SystemTime::now();
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: (now - DAY).into(),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: (now - DAY).into(),
            next_update: (now + 30 * DAY).into(),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.0).expect("a list");
        list.pem().expect("PEM")
    }
}

/// Parameters with this Common Name, valid from yesterday for a month.
fn named(name: &str) -> CertificateParams {
    let now = SystemTime::now();
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_before = (now - DAY).into();
    parameters.not_after = (now + 30 * DAY).into();
    parameters
}

/// Makes a certificate one that was valid until half a day ago.
pub fn expired(parameters: &mut CertificateParams) {
    parameters.not_after = (SystemTime::now() - DAY / 2).into();
}
