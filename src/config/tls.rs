//! `[listener.tls]`: what a listener shows to its clients, and demands of them.

use std::path::PathBuf;
use std::time::Duration;

use crate::listener::options::{CertificateFiles, ClientOptions, Field, TlsOptions, TlsVersion};

use super::assignments::{Assignments, Slot};
use super::error::Problem;
use super::keys::Array;

/// What is known of a listener's TLS before its parts are put together.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// The certificates' files.
    pub certificates: Option<Vec<PathBuf>>,
    /// The private keys' files.
    pub keys: Option<Vec<PathBuf>>,
    /// The oldest TLS version accepted.
    pub minimum_version: Option<TlsVersion>,
    /// Whether there are tickets.
    pub tickets: Option<bool>,
    /// How often files are looked at.
    pub reload_interval: Option<Duration>,
    /// What is demanded of clients.
    pub client_certificate: Option<ClientCertificate>,
    /// The file of the authorities of clients, if one is named.
    pub client_ca: Option<Option<PathBuf>>,
    /// The files of revocation lists.
    pub crl: Vec<PathBuf>,
    /// Whether revocation lists are of use when they have expired.
    pub expired_crl: bool,
    /// The field that is the user.
    pub user_from: Option<Field>,
    /// The field that is the Client Identifier.
    pub client_id_from: Option<Field>,
}

/// Whether clients are to show certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// They are not asked.
    None,
    /// They may.
    Optional,
    /// They must.
    Required,
}

/// The words for versions.
pub const VERSIONS: &[(&str, TlsVersion)] = &[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];

/// The words for what is demanded.
pub const CLIENT_CERTIFICATES: &[(&str, ClientCertificate)] = &[
    ("none", ClientCertificate::None),
    ("optional", ClientCertificate::Optional),
    ("required", ClientCertificate::Required),
];

/// The words for whether expired lists are of use.
pub const EXPIRED_LISTS: &[(&str, bool)] = &[("refuse", false), ("accept", true)];

/// The words for fields.
pub const FIELDS: &[(&str, Option<Field>)] = &[
    ("none", None),
    ("common-name", Some(Field::CommonName)),
    ("subject", Some(Field::Subject)),
    ("dns", Some(Field::Dns)),
    ("email", Some(Field::Email)),
    ("uri", Some(Field::Uri)),
];

/// What the TLS of a listener of the kind with this word is made of. `Ok(None)` if a part is missing because it was wrong, which has been
/// reported.
pub fn settle(
    written: &Assignments,
    index: usize,
    word: &str,
    parts: TlsSettings,
) -> Result<Option<TlsOptions>, Problem> {
    let slot = |path| Slot::of_listener(index, path);
    let missing: Vec<&str> = ["certificate", "key"]
        .into_iter()
        .zip(["tls.certificate", "tls.key"])
        .filter(|(_, path)| written.place(slot(path)).is_none())
        .map(|(name, _)| name)
        .collect();
    if !missing.is_empty() {
        let kind = slot("kind");
        let begins = &written.tables(Array::Listener)[index];
        let place = written.place(kind).unwrap_or(begins);
        return Err(Problem::new(
            place.clone(),
            format!(
                "{kind} is {word:?} but there is no {}; \
                 expected [listener.tls] with certificate and key",
                missing.join(" and no "),
            ),
        ));
    }
    let wrong = |path, text: String| {
        let begins = &written.tables(Array::Listener)[index];
        let place = written.place(slot(path)).unwrap_or(begins);
        Problem::new(place.clone(), text)
    };
    let (Some(certificates), Some(keys)) = (parts.certificates.clone(), parts.keys.clone()) else {
        return Ok(None);
    };
    if certificates.is_empty() {
        let text = format!(
            "{} has no file; expected at least one",
            slot("tls.certificate")
        );
        return Err(wrong("tls.certificate", text));
    }
    if certificates.len() != keys.len() {
        let (certificates, keys) = (certificates.len(), keys.len());
        let text = format!(
            "{} has {keys} of {certificates}; expected one for each of {}",
            slot("tls.key"),
            slot("tls.certificate")
        );
        return Err(wrong("tls.key", text));
    }
    let clients = clients(written, index, &parts, wrong)?;
    let files = certificates.into_iter().zip(keys);
    let mut files = files.map(|(certificate, key)| CertificateFiles { certificate, key });
    let Some(first) = files.next() else {
        return Ok(None);
    };
    let default = TlsOptions::showing(first.certificate, first.key);
    let mut certificates = default.certificates;
    certificates.extend(files);
    Ok(Some(TlsOptions {
        certificates,
        minimum_version: parts.minimum_version.unwrap_or(default.minimum_version),
        tickets: parts.tickets.unwrap_or(default.tickets),
        clients,
        reload_interval: parts.reload_interval.unwrap_or(default.reload_interval),
        inside: default.inside,
    }))
}

/// What is demanded of clients, if anything. Whoever names an authority and does not ask for certificates
/// believes that clients are asked.
fn clients(
    written: &Assignments,
    index: usize,
    parts: &TlsSettings,
    wrong: impl Fn(&'static str, String) -> Problem,
) -> Result<Option<ClientOptions>, Problem> {
    let slot = |path| Slot::of_listener(index, path);
    let asks = "tls.client_certificate";
    let required = match parts.client_certificate {
        Some(ClientCertificate::Required) => true,
        Some(ClientCertificate::Optional) => false,
        // Reported already.
        None if written.place(slot(asks)).is_some() => return Ok(None),
        Some(ClientCertificate::None) | None => {
            let given = [
                (
                    "tls.client_ca",
                    parts.client_ca.iter().flatten().count() > 0,
                ),
                ("tls.crl", !parts.crl.is_empty()),
                ("tls.user_from", parts.user_from.is_some()),
                ("tls.client_id_from", parts.client_id_from.is_some()),
            ];
            let Some((path, _)) = given.into_iter().find(|(_, given)| *given) else {
                return Ok(None);
            };
            let text = format!(
                "{} is given but {} is \"none\"; expected \"optional\" or \"required\" there",
                slot(path),
                slot(asks)
            );
            return Err(wrong(path, text));
        }
    };
    let authorities = match &parts.client_ca {
        Some(Some(path)) => path.clone(),
        None if written.place(slot("tls.client_ca")).is_some() => return Ok(None),
        Some(None) | None => {
            let text = format!(
                "{} is not \"none\" but there is no client_ca; \
                 expected a PEM file of who signs the certificates of clients",
                slot(asks)
            );
            return Err(wrong(asks, text));
        }
    };
    Ok(Some(ClientOptions {
        authorities,
        revoked: parts.crl.clone(),
        expired_lists: parts.expired_crl,
        required,
        user_from: parts.user_from,
        client_id_from: parts.client_id_from,
    }))
}

#[cfg(test)]
mod tests;
