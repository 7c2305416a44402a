//! What a file and variables may say of TLS, and what they may not.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::Config;
use super::*;
use crate::listener::certificates::tests::Directory;
use crate::listener::options::Inside;

/// Reads a file with one TLS listener of these settings, under these variables.
fn load(settings: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let home = Directory::new();
    let text = format!(
        "[[listener]]\nkind = \"tls\"\naddress = \"127.0.0.1:1\"\n[listener.tls]\n{settings}"
    );
    let variables = variables.iter().map(|(name, value)| {
        let name = format!("POSTBUD_LISTENER_0_TLS_{name}");
        (OsString::from(name), OsString::from(value))
    });
    let config = Config::load(Some(&home.file("c.toml", text)), variables);
    let home = format!("{}/", home.path().display());
    config.map_err(|error| error.to_string().replace(&home, ""))
}

fn options(settings: &str, variables: &[(&str, &str)]) -> TlsOptions {
    let config = load(settings, variables).unwrap();
    let options = config.listener.listeners[0].tls.clone();
    options.expect("it is TLS")
}

const PAIR: &str = "certificate = \"a.pem\"\nkey = \"a.key\"\n";

#[test]
fn a_pair_is_enough_and_the_rest_has_its_defaults() {
    let defaults = TlsOptions::showing("a.pem".into(), "a.key".into());
    assert_eq!(options(PAIR, &[]), defaults);
    assert!(!load(PAIR, &[]).unwrap().auth.certificates);
}

#[test]
fn every_setting_reaches_its_option_from_the_file_and_from_the_environment() {
    let settings = "certificate = [\"a.pem\", \"b.pem\"]\nkey = [\"a.key\", \"b.key\"]\n\
         minimum_version = \"1.3\"\ntickets = false\nreload_interval = \"7s\"\n\
         client_certificate = \"optional\"\nclient_ca = \"ca.pem\"\ncrl = [\"1.crl\", \"2.crl\"]\n\
         expired_crl = \"accept\"\nuser_from = \"email\"\nclient_id_from = \"uri\"\n";
    let variables = [
        ("CERTIFICATE", "a.pem,b.pem"),
        ("KEY", "a.key, b.key"),
        ("MINIMUM_VERSION", "1.3"),
        ("TICKETS", "false"),
        ("RELOAD_INTERVAL", "7"),
        ("CLIENT_CERTIFICATE", "optional"),
        ("CLIENT_CA", "ca.pem"),
        ("CRL", "1.crl,2.crl"),
        ("EXPIRED_CRL", "accept"),
        ("USER_FROM", "email"),
        ("CLIENT_ID_FROM", "uri"),
    ];
    let expected = TlsOptions {
        certificates: ["a", "b"]
            .map(|name| CertificateFiles {
                certificate: PathBuf::from(format!("{name}.pem")),
                key: PathBuf::from(format!("{name}.key")),
            })
            .to_vec(),
        minimum_version: TlsVersion::V1_3,
        tickets: false,
        clients: Some(ClientOptions {
            authorities: "ca.pem".into(),
            revoked: vec!["1.crl".into(), "2.crl".into()],
            expired_lists: true,
            required: false,
            user_from: Some(Field::Email),
            client_id_from: Some(Field::Uri),
        }),
        reload_interval: Duration::from_secs(7),
        inside: Inside::Mqtt,
    };
    assert_eq!(options(settings, &[]), expected);
    assert_eq!(options("", &variables), expected);
    assert!(load(settings, &[]).unwrap().auth.certificates);
}

#[test]
fn words_are_those_of_the_fields() {
    let field = |word: &str| {
        let asked = "client_certificate = \"required\"\nclient_ca = \"ca.pem\"\n";
        let settings = format!("{PAIR}{asked}user_from = \"{word}\"\n");
        let clients = options(&settings, &[]).clients.unwrap();
        assert!(clients.required);
        clients.user_from
    };
    assert_eq!(field("none"), None);
    for known in [
        Field::CommonName,
        Field::Subject,
        Field::Dns,
        Field::Email,
        Field::Uri,
    ] {
        assert_eq!(field(known.name()), Some(known));
    }
}

#[test]
fn one_file_need_not_be_in_an_array_and_none_may_be_in_it() {
    let asked = "client_certificate = \"required\"\nclient_ca = \"ca.pem\"\n";
    let revoked = |crl: &str| {
        let settings = format!("{PAIR}{asked}crl = {crl}\n");
        options(&settings, &[]).clients.unwrap().revoked
    };
    assert_eq!(revoked("\"1.crl\""), [Path::new("1.crl")]);
    assert_eq!(revoked("[]"), [] as [PathBuf; 0]);
}

#[test]
fn what_does_not_fit_together_is_told_where_it_is() {
    for (settings, complaint) in [
        (
            "certificate = [\"a.pem\", \"b.pem\"]\nkey = \"a.key\"\n".to_owned(),
            "c.toml:6:7: listener.0.tls.key has 1 of 2; \
             expected one for each of listener.0.tls.certificate",
        ),
        (
            format!("{PAIR}client_certificate = \"required\"\n"),
            "c.toml:7:22: listener.0.tls.client_certificate is not \"none\" but there is no \
             client_ca; expected a PEM file of who signs the certificates of clients",
        ),
        (
            format!("{PAIR}client_ca = \"ca.pem\"\n"),
            "c.toml:7:13: listener.0.tls.client_ca is given but \
             listener.0.tls.client_certificate is \"none\"; \
             expected \"optional\" or \"required\" there",
        ),
        (
            format!("{PAIR}user_from = \"dns\"\n"),
            "c.toml:7:13: listener.0.tls.user_from is given but \
             listener.0.tls.client_certificate is \"none\"; \
             expected \"optional\" or \"required\" there",
        ),
        (
            format!("{PAIR}client_certificate = \"maybe\"\nclient_ca = \"ca.pem\"\n"),
            "c.toml:7:22: listener.0.tls.client_certificate is the string \"maybe\"; \
             expected \"none\", \"optional\" or \"required\"",
        ),
        (
            format!("{PAIR}client_certificate = \"required\"\nclient_ca = 1\n"),
            "c.toml:8:13: listener.0.tls.client_ca is 1; \
             expected a path such as \"certs/server.pem\", or \"\" for none",
        ),
        (
            "certificate = [\"a.pem\", \"\"]\nkey = \"a.key\"\n".to_owned(),
            "c.toml:5:15: listener.0.tls.certificate is an array; \
             expected a path such as \"certs/server.pem\", or an array of paths",
        ),
        (
            "certificate = []\nkey = []\n".to_owned(),
            "c.toml:5:15: listener.0.tls.certificate has no file; expected at least one",
        ),
    ] {
        assert_eq!(load(&settings, &[]).unwrap_err(), complaint);
    }
}
