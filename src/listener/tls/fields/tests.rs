//! Fields of certificates, the hostile ones included.

use rcgen::{DnType, DnValue, SanType};

use super::super::authority::{Authority, Leaf};
use super::*;

const ALL: [Field; 5] = [
    Field::CommonName,
    Field::Subject,
    Field::Dns,
    Field::Email,
    Field::Uri,
];

fn values(leaf: &Leaf) -> Vec<Option<String>> {
    let value = |field| value(leaf.der(), field).map(|it| it.to_string());
    ALL.into_iter().map(value).collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn ia5(text: &str) -> rcgen::string::Ia5String {
    text.try_into().unwrap()
}

#[test]
fn each_field_is_found_and_the_first_of_several_counts() {
    let authority = Authority::new("CA");
    let leaf = authority.client("anna", |parameters| {
        parameters
            .distinguished_name
            .push(DnType::OrganizationName, "Post");
        parameters
            .distinguished_name
            .push(DnType::CountryName, "DK");
        parameters.subject_alt_names = vec![
            SanType::IpAddress([127, 0, 0, 1].into()),
            SanType::DnsName(ia5("a.example.com")),
            SanType::Rfc822Name(ia5("anna@example.com")),
            SanType::URI(ia5("spiffe://example.com/anna")),
            SanType::DnsName(ia5("b.example.com")),
        ];
    });
    let expected = [
        some("anna"),
        some("C=DK,O=Post,CN=anna"),
        some("a.example.com"),
        some("anna@example.com"),
        some("spiffe://example.com/anna"),
    ];
    assert_eq!(values(&leaf), expected);
}

#[test]
fn what_is_not_there_is_no_name() {
    let authority = Authority::new("CA");
    let leaf = authority.client("", |parameters| {
        parameters.distinguished_name = rcgen::DistinguishedName::new();
    });
    assert_eq!(values(&leaf), [None, None, None, None, None]);
    assert_eq!(value(b"no certificate", Field::CommonName), None);
}

/// Somebody whose name looks like more than a name is still one somebody.
#[test]
fn a_subject_cannot_be_mistaken_for_another() {
    let authority = Authority::new("CA");
    let subject = |name: &str| {
        let leaf = authority.client(name, |_| {});
        value(leaf.der(), Field::Subject).map(|it| it.to_string())
    };
    assert_eq!(subject("anna,O=Post"), some(r"CN=anna\,O=Post"));
    assert_eq!(subject("# +\" "), some(r#"CN=\# \+\"\ "#));
    assert_eq!(subject(r"a\b;<c>"), some(r"CN=a\\b\;\<c\>"));
    assert_eq!(subject("Søren"), some("CN=Søren"));
}

#[test]
fn an_unusual_attribute_is_written_by_its_number() {
    let authority = Authority::new("CA");
    let leaf = authority.client("anna", |parameters| {
        let kind = DnType::CustomDnType(vec![2, 5, 4, 5]);
        let value = DnValue::Utf8String("7".to_owned());
        parameters.distinguished_name.push(kind, value);
    });
    assert_eq!(values(&leaf)[1], some("2.5.4.5=#0c0137,CN=anna"));
}

#[test]
fn what_mqtt_has_no_place_for_is_no_name() {
    let authority = Authority::new("CA");
    for name in ["", "anna\0admin", "anna\nadmin", "anna\u{7f}"] {
        let leaf = authority.client(name, |_| {});
        assert_eq!(value(leaf.der(), Field::CommonName), None, "{name:?}");
    }
    let long = "x".repeat(LONGEST + 1);
    let leaf = authority.client(&long, |_| {});
    assert_eq!(value(leaf.der(), Field::CommonName), None);
    let longest = &long[1..];
    let leaf = authority.client(longest, |_| {});
    assert_eq!(
        value(leaf.der(), Field::CommonName).as_deref(),
        Some(longest)
    );
}
