//! `[auth.token]` and `[auth.http]`.

use std::path::PathBuf;
use std::time::Duration;

use super::{LISTENER, complaints, load};
use crate::auth::token::options::{Algorithm, Field};
use crate::config::Config;

/// A value other than the default for each key.
pub const CHANGED: &[(&str, &str)] = &[
    ("auth.token.from", "username"),
    ("auth.token.algorithms", "ES384,HS256"),
    ("auth.token.secret_file", "secret"),
    ("auth.token.key_file", "key.pem"),
    ("auth.token.jwks_file", "keys.json"),
    ("auth.token.jwks_url", "https://id.example/keys"),
    ("auth.token.jwks_refresh", "40s"),
    ("auth.token.jwks_timeout", "41s"),
    ("auth.token.jwks_ca_file", "ca.pem"),
    ("auth.token.jwks_headers_file", "headers"),
    ("auth.token.issuer", "iss"),
    ("auth.token.audience", "aud"),
    ("auth.token.expiry_required", "false"),
    ("auth.token.leeway", "42s"),
    ("auth.token.user_claim", "email"),
    ("auth.token.client_id_claim", "device"),
    ("auth.token.user_name_claim", "name"),
    ("auth.token.groups_claim", "/realm/roles"),
    ("auth.token.acl_claim", "rights"),
    ("auth.token.size_maximum", "4KiB"),
    ("auth.http.authenticate_url", "http://127.0.0.1:43/who"),
    ("auth.http.authorize_url", "http://127.0.0.1:44/may"),
    ("auth.http.timeout", "45s"),
    ("auth.http.ca_file", "other.pem"),
    ("auth.http.headers_file", "others"),
    ("auth.http.requests_at_once", "46"),
    ("auth.http.requests_waiting", "47"),
    ("auth.http.cache_time", "48s"),
    ("auth.http.cache_size", "49"),
];

pub fn check_changed(config: &Config) {
    let (seconds, file) = (Duration::from_secs, |name: &str| Some(PathBuf::from(name)));
    let token = &config.auth.token;
    assert_eq!(token.from, Field::UserName);
    assert_eq!(token.algorithms, [Algorithm::Es384, Algorithm::Hs256]);
    assert_eq!(token.secret, file("secret"));
    assert_eq!(token.key, file("key.pem"));
    assert_eq!(token.set, file("keys.json"));
    let url = token.url.as_ref().unwrap();
    assert_eq!(url.to_string(), "https://id.example/keys");
    assert_eq!(token.refresh, seconds(40));
    assert_eq!(token.web.timeout, seconds(41));
    assert_eq!(token.web.authorities, file("ca.pem"));
    assert_eq!(token.web.headers, file("headers"));
    assert_eq!((&*token.issuer, &*token.audience), ("iss", "aud"));
    assert!(!token.expiry_required);
    assert_eq!(token.leeway, seconds(42));
    assert_eq!(token.user_claim, "email");
    assert_eq!(
        (&*token.client_id_claim, &*token.user_name_claim),
        ("device", "name")
    );
    assert_eq!(
        (&*token.groups_claim, &*token.acl_claim),
        ("/realm/roles", "rights")
    );
    assert_eq!(token.size_maximum, 4096);
    let http = &config.auth.http;
    let urls = [&http.authenticate, &http.authorize].map(|it| it.as_ref().unwrap().to_string());
    assert_eq!(urls, ["http://127.0.0.1:43/who", "http://127.0.0.1:44/may"]);
    assert_eq!(http.web.timeout, seconds(45));
    assert_eq!(http.web.authorities, file("other.pem"));
    assert_eq!(http.web.headers, file("others"));
    assert_eq!((http.requests_at_once, http.requests_waiting), (46, 47));
    assert_eq!((http.cache_time, http.cache_size), (seconds(48), 49));
}

#[test]
fn all_algorithms_have_their_names_and_none_is_none() {
    for (name, algorithm) in Algorithm::ALL {
        let text = format!("{LISTENER}[auth.token]\nkey_file = \"k\"\nalgorithms = [\"{name}\"]\n");
        assert_eq!(
            load(&text, &[]).unwrap().auth.token.algorithms,
            [*algorithm]
        );
    }
    for wrong in [
        "[\"none\"]",
        "[\"HS256\", \"none\"]",
        "[1]",
        "[\"rs256\"]",
        "true",
    ] {
        let text = format!("{LISTENER}[auth.token]\nkey_file = \"k\"\nalgorithms = {wrong}\n");
        let said = complaints(&text, &[]);
        assert!(
            said.starts_with("c.toml:6:14: auth.token.algorithms is "),
            "{said}"
        );
        assert!(said.contains("\"EdDSA\""), "{said}");
    }
}

#[test]
fn keys_and_algorithms_need_each_other() {
    for (text, said) in [
        (
            "key_file = \"k\"\n",
            "c.toml:5:12: auth.token.key_file is given but auth.token.algorithms is empty; \
             expected those that tokens are signed with, such as [\"ES256\"]",
        ),
        (
            "algorithms = [\"ES256\"]\n",
            "c.toml:5:14: auth.token.algorithms is given but there is no key; expected one of \
             auth.token.secret_file, auth.token.key_file, auth.token.jwks_file, auth.token.jwks_url",
        ),
    ] {
        let text = format!("{LISTENER}[auth.token]\n{text}");
        assert_eq!(complaints(&text, &[]), said);
    }
}

#[test]
fn a_url_is_one() {
    for wrong in [
        "ftp://id.example",
        "id.example/keys",
        "http://u:p@id.example/",
    ] {
        let text = format!("{LISTENER}[auth.http]\nauthorize_url = \"{wrong}\"\n");
        let said = complaints(&text, &[]);
        let expected = "c.toml:5:17: auth.http.authorize_url is the string ";
        assert!(said.starts_with(expected), "{said}");
        assert!(said.contains("; expected a URL such as "), "{said}");
    }
    let text = format!("{LISTENER}[auth.token]\nuser_claim = \"\"\n");
    let said = complaints(&text, &[]);
    assert!(
        said.ends_with("expected text of 1 to 1024 bytes without control characters"),
        "{said}"
    );
}
