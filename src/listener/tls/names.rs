//! Which of several certificates a client is shown, by the name that it asks for (SNI).
//!
//! The names are those in the certificates. One that is named itself goes before one that a wildcard covers;
//! a client that gives no name, or one that no certificate has, is shown the first. Of several with the same
//! name, and of all where there is none, it is the first whose key the client can verify: so an RSA
//! certificate may stand behind an ECDSA one, for clients that know no other.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// The certificates of one listener.
#[derive(Debug)]
pub struct ByName {
    certificates: Vec<Arc<CertifiedKey>>,
    /// Which of them have the name; a wildcard is its parent with a dot in front.
    names: HashMap<String, Vec<usize>>,
}

impl ByName {
    /// Of certificates, at least one, each with the names that it has.
    pub fn new(certificates: Vec<(CertifiedKey, Vec<String>)>) -> Self {
        let mut names: HashMap<String, Vec<usize>> = HashMap::new();
        let mut keys = Vec::new();
        for (index, (certificate, covered)) in certificates.into_iter().enumerate() {
            for name in covered {
                names.entry(name).or_default().push(index);
            }
            keys.push(Arc::new(certificate));
        }
        Self {
            certificates: keys,
            names,
        }
    }

    /// The certificates for a name, best first.
    fn candidates(&self, name: Option<&str>) -> Vec<&Arc<CertifiedKey>> {
        let name = name.map(str::to_ascii_lowercase).unwrap_or_default();
        let parent = name.find('.').map(|dot| &name[dot..]);
        let known = self
            .names
            .get(&name)
            .or_else(|| self.names.get(parent.unwrap_or_default()));
        match known {
            Some(indices) => indices.iter().map(|it| &self.certificates[*it]).collect(),
            None => self.certificates.iter().collect(),
        }
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let candidates = self.candidates(hello.server_name());
        let schemes = hello.signature_schemes();
        let usable = |it: &&&Arc<CertifiedKey>| it.key.choose_scheme(schemes).is_some();
        candidates.iter().find(usable).map(|it| Arc::clone(it))
    }
}

/// The names that a certificate is for, as [`ByName::new`] wants them.
pub fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names = alternative.iter().flat_map(|it| &it.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    let plain = |name: String| match name.strip_prefix('*') {
        Some(parent) if parent.starts_with('.') => parent.to_owned(),
        _ => name,
    };
    names.map(plain).collect()
}

#[cfg(test)]
mod tests;
