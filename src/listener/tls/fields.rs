//! What a client's certificate says about who the client is.
//!
//! Everything here comes out of a certificate that has been verified, so whoever signed it vouches for all
//! of it; if a field is there more than once, its first one counts. What could not be a User Name or a Client
//! Identifier is left out: nobody is let in under a name that was cut or mended.

use std::fmt::Write as _;
use std::sync::Arc;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::super::options::Field;

/// The most bytes that a string in MQTT can have. [MQTT5-1.5.4-1]
const LONGEST: usize = 65_535;

/// The value of a field of the certificate, if it has one that can be a name.
pub fn value(certificate: &[u8], field: Field) -> Option<Arc<str>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let name = match field {
        Field::CommonName => common_name(certificate.subject())?.to_owned(),
        Field::Subject => subject(certificate.subject())?,
        Field::Dns | Field::Email | Field::Uri => alternative(&certificate, field)?,
    };
    let sound = (1..=LONGEST).contains(&name.len()) && !name.contains(char::is_control);
    sound.then(|| name.into())
}

fn common_name<'a>(subject: &'a X509Name<'_>) -> Option<&'a str> {
    let first = subject.iter_common_name().next()?;
    first.as_str().ok()
}

fn alternative(certificate: &X509Certificate<'_>, field: Field) -> Option<String> {
    let names = certificate.subject_alternative_name().ok()??;
    let mut names = names.value.general_names.iter();
    names.find_map(|name| match (field, name) {
        (Field::Dns, GeneralName::DNSName(name))
        | (Field::Email, GeneralName::RFC822Name(name))
        | (Field::Uri, GeneralName::URI(name)) => Some((*name).to_owned()),
        _ => None,
    })
}

/// The subject as RFC 4514 writes it, `CN=anna,O=Post`: its last part first, and what would be taken for
/// another part escaped.
fn subject(subject: &X509Name<'_>) -> Option<String> {
    let mut text = String::new();
    let parts: Vec<_> = subject.iter_rdn().collect();
    for part in parts.into_iter().rev() {
        for (index, attribute) in part.iter().enumerate() {
            match (text.is_empty(), index) {
                (true, _) => {}
                (false, 0) => text.push(','),
                (false, _) => text.push('+'),
            }
            write_attribute(&mut text, attribute);
        }
    }
    (!text.is_empty()).then_some(text)
}

/// The names that RFC 4514 gives to types, and that of e-mail addresses, which everybody writes so.
const TYPES: [(&str, &str); 10] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

fn write_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let oid = attribute.attr_type().to_id_string();
    let known = TYPES.iter().find(|(known, _)| *known == oid);
    let value = attribute.as_str().ok();
    match (known, value) {
        (Some((_, name)), Some(value)) => {
            let _ = write!(text, "{name}=");
            write_escaped(text, value);
        }
        _ => {
            // The whole value, tag and length included, as the RFC wants it of what has no text.
            let _ = write!(text, "{oid}=#");
            for byte in der(attribute) {
                let _ = write!(text, "{byte:02x}");
            }
        }
    }
}

fn der(attribute: &AttributeTypeAndValue<'_>) -> Vec<u8> {
    use x509_parser::asn1_rs::ToDer;
    attribute.attr_value().to_der_vec().unwrap_or_default()
}

fn write_escaped(text: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        let special = match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            '#' => index == 0,
            ' ' => index == 0 || index == last,
            _ => false,
        };
        if special {
            text.push('\\');
        }
        text.push(character);
    }
}

#[cfg(test)]
mod tests;
