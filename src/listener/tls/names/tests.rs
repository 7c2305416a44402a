//! Which certificate a client is shown for which name.

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;

use super::super::authority::Authority;
use super::*;
use x509_parser::prelude::FromDer;

fn by_name(certificates: &[&[&str]]) -> ByName {
    let authority = Authority::new("CA");
    let provider = aws_lc_rs::default_provider();
    let certificates = certificates.iter().map(|hosts| {
        let leaf = authority.server(hosts);
        let (_, parsed) = X509Certificate::from_der(leaf.der()).unwrap();
        let key = PrivateKeyDer::Pkcs8(leaf.key.serialize_der().into());
        let key = provider.key_provider.load_private_key(key).unwrap();
        let chain = vec![leaf.certificate.der().clone()];
        (CertifiedKey::new(chain, key), names(&parsed))
    });
    ByName::new(certificates.collect())
}

/// Which of the certificates, by their numbers, come into question for a name.
fn candidates(of: &ByName, name: Option<&str>) -> Vec<usize> {
    let number = |it: &Arc<CertifiedKey>| {
        let mut all = of.certificates.iter();
        all.position(|known| Arc::ptr_eq(known, it)).unwrap()
    };
    of.candidates(name).into_iter().map(number).collect()
}

#[test]
fn a_name_of_its_own_goes_before_a_wildcard_and_the_first_one_before_none() {
    let all = by_name(&[
        &["first.example.org"],
        &["*.example.com", "example.com"],
        &["mqtt.example.com", "MQTT.example.net"],
    ]);
    for (name, expected) in [
        ("first.example.org", vec![0]),
        ("example.com", vec![1]),
        ("other.example.com", vec![1]),
        ("mqtt.example.com", vec![2]),
        ("Mqtt.Example.Com", vec![2]),
        ("mqtt.example.net", vec![2]),
        // A wildcard stands for one level, and not for none.
        ("a.b.example.com", vec![0, 1, 2]),
        ("example.net", vec![0, 1, 2]),
        ("localhost", vec![0, 1, 2]),
        ("", vec![0, 1, 2]),
    ] {
        assert_eq!(candidates(&all, Some(name)), expected, "{name}");
    }
    assert_eq!(candidates(&all, None), [0, 1, 2]);
}

#[test]
fn certificates_with_the_same_name_stand_behind_each_other() {
    let all = by_name(&[&["a.example.com"], &["b.example.com"], &["a.example.com"]]);
    assert_eq!(candidates(&all, Some("a.example.com")), [0, 2]);
}

#[test]
fn a_lone_star_is_no_wildcard() {
    let all = by_name(&[&["a.example.com"], &["*"]]);
    for name in [None, Some("localhost"), Some("")] {
        assert_eq!(candidates(&all, name), [0, 1], "{name:?}");
    }
}
