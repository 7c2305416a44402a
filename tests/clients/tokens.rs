//! Tokens that PyJWT makes, keys that a web server shows: who gets in, with what, and for how long.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::broker::{Broker, command};
use crate::support::folder::Folder;
use crate::support::http::get;
use crate::support::process::Process;
use crate::support::raw::{
    RawClient, connect_311_as, publish_311, publish_311_qos1, published_311, subscribe_311,
};
use crate::support::service::Service;

const ACCEPTED: [u8; 4] = [0x20, 0x02, 0x00, 0x00];
/// Bad User Name or Password.
const REFUSED: [u8; 4] = [0x20, 0x02, 0x00, 0x04];
const UNAVAILABLE: [u8; 4] = [0x20, 0x02, 0x00, 0x03];

/// Every algorithm, with the key that signs with it.
const ALGORITHMS: [(&str, &str); 12] = [
    ("HS256", "secret"),
    ("HS384", "secret"),
    ("HS512", "secret"),
    ("RS256", "rsa"),
    ("RS384", "rsa"),
    ("RS512", "rsa"),
    ("PS256", "rsa"),
    ("PS384", "rsa"),
    ("PS512", "rsa"),
    ("ES256", "p256"),
    ("ES384", "p384"),
    ("EdDSA", "ed25519"),
];

/// Keys and the tokens that were signed with them.
struct Issued {
    folder: Folder,
    tokens: Vec<String>,
}

impl Issued {
    #[track_caller]
    fn new(wanted: &[Value]) -> Self {
        let folder = Folder::new();
        folder.write("wanted", json!(wanted).to_string());
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let mut python = Command::new(tests.join(".tools/pyjwt/bin/python"));
        python.arg("-B").arg(tests.join("clients/pyjwt/issue.py"));
        python.arg(folder.path());
        let tokens = Process::start(python).succeed().stdout;
        assert_eq!(tokens.len(), wanted.len());
        Self { folder, tokens }
    }

    /// A broker that takes these tokens.
    #[track_caller]
    fn broker(&self, algorithms: &[&str], rest: &str) -> Broker {
        let path = self.folder.path();
        let set = path.join("keys.json");
        Broker::configured(&format!(
            "[auth.token]\nalgorithms = {algorithms:?}\njwks_file = {set:?}\n{rest}"
        ))
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a clock that is right").as_secs()
}

/// A token that is wanted.
fn wanted(key: &str, algorithm: &str, claims: Value) -> Value {
    let mut all = json!({"sub": "anna", "exp": now() + 600});
    let all_claims = all.as_object_mut().expect("an object");
    all_claims.extend(claims.as_object().expect("an object").clone());
    json!({"key": key, "algorithm": algorithm, "claims": all, "headers": {"kid": key}})
}

#[track_caller]
fn connack(broker: &Broker, client_id: &str, token: &str) -> Vec<u8> {
    let mut client = RawClient::connect(broker.tcp);
    client.send(&connect_311_as(client_id, "somebody", token));
    client.packet()
}

#[test]
fn every_algorithm_as_others_sign_with_it() {
    let wanted = ALGORITHMS.map(|(algorithm, key)| wanted(key, algorithm, json!({})));
    let issued = Issued::new(&wanted);
    let secret = issued.folder.path().join("secret");
    let algorithms = ALGORITHMS.map(|(algorithm, _)| algorithm);
    let broker = issued.broker(&algorithms, &format!("secret_file = {secret:?}\n"));
    for ((algorithm, _), token) in ALGORITHMS.iter().zip(&issued.tokens) {
        assert_eq!(connack(&broker, algorithm, token), ACCEPTED, "{algorithm}");
    }
    broker.wait_for_samples(&[("postbud_tokens_total{outcome=\"accepted\"}", 12.0)]);
    // As people do it in a shell.
    let mut publisher = Command::new("mosquitto_pub");
    publisher.args(["-h", "127.0.0.1", "-p", &broker.tcp.port().to_string()]);
    publisher.args([
        "-u",
        "somebody",
        "-P",
        &issued.tokens[3],
        "-t",
        "t",
        "-m",
        "m",
        "-q",
        "1",
    ]);
    Process::start(publisher).succeed();
}

#[test]
fn a_public_key_in_a_file_is_enough() {
    let issued = Issued::new(&[wanted("p256", "ES256", json!({}))]);
    let key = issued.folder.path().join("p256.pem");
    let broker = Broker::configured(&format!(
        "[auth.token]\nalgorithms = [\"ES256\"]\nkey_file = {key:?}\nfrom = \"username\"\n"
    ));
    let mut client = RawClient::connect(broker.tcp);
    client.send(&connect_311_as("c", &issued.tokens[0], ""));
    assert_eq!(client.packet(), ACCEPTED);
}

/// Tokens that are wrong in one thing, with what they are counted as; the last one is right.
fn cases() -> Vec<(&'static str, Value)> {
    let right = || wanted("rsa", "RS256", json!({"aud": "broker"}));
    let with = |claims: Value| {
        let mut all = right();
        let own = all["claims"].as_object_mut().expect("an object");
        own.extend(claims.as_object().expect("an object").clone());
        all
    };
    let mut other_key = right();
    other_key["headers"] = json!({"kid": "nobody's"});
    let claims = json!({"aud": "broker"});
    vec![
        ("algorithm", wanted("none", "none", claims.clone())),
        ("algorithm", wanted("forged", "HS256", claims.clone())),
        ("algorithm", wanted("rsa", "RS512", claims)),
        ("unknown_key", other_key),
        ("expired", with(json!({"exp": now() - 60}))),
        ("not_yet", with(json!({"nbf": now() + 60}))),
        ("audience", with(json!({"aud": "another"}))),
        ("claim", with(json!({"sub": ""}))),
        ("too_large", with(json!({"padding": "x".repeat(20_000)}))),
        ("right", right()),
    ]
}

/// The attacker's list. Each is refused like any wrong password; the log and the metrics say why, and neither
/// has a token in it.
#[test]
fn a_token_that_is_wrong_in_anything_is_refused() {
    let cases = cases();
    let list: Vec<Value> = cases.iter().map(|(_, wanted)| wanted.clone()).collect();
    let issued = Issued::new(&list);
    let broker = issued.broker(&["RS256"], "audience = \"broker\"\n");
    let right = &issued.tokens[cases.len() - 1];
    let hello = connect_311_as("bystander", "u", right);
    let mut bystander = RawClient::accepted(broker.tcp, &hello);
    for ((reason, _), token) in cases.iter().zip(&issued.tokens) {
        if *reason != "right" {
            assert_eq!(connack(&broker, reason, token), REFUSED, "{reason}");
            let line = broker.wait_for_log(&["token refused", &format!("reason=\"{reason}\"")]);
            assert!(line.contains("client=") && line.contains("peer="), "{line}");
        }
    }
    // Somebody else's claims under a signature that is right for others.
    let (header, _, signature) = parts(right);
    let (_, claims, _) = parts(&issued.tokens[4]);
    let unsigned = right.trim_end_matches(signature);
    for tampered in [&format!("{header}.{claims}.{signature}"), unsigned] {
        assert_eq!(connack(&broker, "tampered", tampered), REFUSED);
    }
    for (reason, count) in [
        ("signature", 2.0),
        ("algorithm", 3.0),
        ("too_large", 1.0),
        ("accepted", 1.0),
    ] {
        let sample = format!("postbud_tokens_total{{outcome=\"{reason}\"}}");
        broker.wait_for_samples(&[(&sample, count)]);
    }
    bystander.expect_nothing();
    let (_, metrics) = get(broker.http, "/metrics");
    for token in &issued.tokens {
        let (_, claims, _) = parts(token);
        let told = |text: &str| text.contains(&claims[..20]);
        let log = broker.log();
        assert!(
            !told(&metrics) && !log.iter().any(|line| told(line)),
            "{token}"
        );
    }
}

fn parts(token: &str) -> (&str, &str, &str) {
    let mut parts = token.split('.');
    let mut next = || parts.next().expect("three parts");
    (next(), next(), next())
}

#[test]
fn a_token_for_one_client_is_no_use_to_another() {
    let issued = Issued::new(&[wanted("ed25519", "EdDSA", json!({"device": "one"}))]);
    let broker = issued.broker(&["EdDSA"], "client_id_claim = \"device\"\n");
    assert_eq!(connack(&broker, "two", &issued.tokens[0]), REFUSED);
    assert_eq!(connack(&broker, "one", &issued.tokens[0]), ACCEPTED);
}

#[test]
fn a_token_says_what_its_client_may_do() {
    let acl = json!([
        {"permission": "deny", "action": "all", "topic": "of/${clientid}/secret/#"},
        {"permission": "allow", "action": "publish", "topic": "of/${clientid}/#", "retain": false},
        {"permission": "allow", "action": "subscribe", "topic": "of/${clientid}/#"},
    ]);
    let everything = json!({"all": ["#"]});
    let issued = Issued::new(&[
        wanted("p384", "ES384", json!({ "acl": acl })),
        wanted("p384", "ES384", json!({ "acl": everything })),
    ]);
    let broker = issued.broker(&["ES384"], "");
    let hello =
        |name, token: &str| RawClient::accepted(broker.tcp, &connect_311_as(name, "u", token));
    let mut watcher = hello("watcher", &issued.tokens[1]);
    watcher.subscribe_311("#", 0);
    let mut client = hello("c1", &issued.tokens[0]);
    for (filter, code) in [
        ("of/c1/door", 0x00),
        ("of/c1/+", 0x80), // it would bring `of/c1/secret`
        ("of/#", 0x80),
        ("#", 0x80),
        ("+/+/#", 0x80),
        ("$share/g/of/#", 0x80),
        ("$share/g/of/c1/door", 0x00),
        ("$SYS/#", 0x80),
        ("of/c2/door", 0x80),
    ] {
        client.send(&subscribe_311(1, filter, 0));
        let suback = client.packet();
        assert_eq!(suback, [0x90, 0x03, 0x00, 0x01, code], "{filter}");
    }
    // Not published: another's topic, what is denied, and what is to be retained.
    client.send(&publish_311("of/c2/window", b"no"));
    client.send(&publish_311("of/c1/secret/x", b"no"));
    let mut retained = publish_311("of/c1/window", b"no");
    retained[0] |= 1;
    client.send(&retained);
    client.send(&publish_311_qos1(7, "of/c1/window", b"yes"));
    client.expect(&[0x40, 0x02, 0x00, 0x07]);
    // At QoS 0, as it was subscribed to.
    let (topic, payload) = published_311(&watcher.packet());
    assert_eq!((&*topic, &payload[..]), ("of/c1/window", &b"yes"[..]));
    broker.wait_for_samples(&[(
        "postbud_publishes_refused_total{reason=\"not_authorized\"}",
        3.0,
    )]);
}

#[test]
fn the_connection_ends_with_the_token() {
    let ends = now() + 3;
    let issued = Issued::new(&[
        wanted("ed25519", "EdDSA", json!({ "exp": ends })),
        wanted("ed25519", "EdDSA", json!({})),
    ]);
    let broker = issued.broker(&["EdDSA"], "leeway = 0\n");
    let connect = |name, token: &str| connect_311_as(name, "u", token);
    let mut other = RawClient::accepted(broker.tcp, &connect("other", &issued.tokens[1]));
    let mut brief = RawClient::accepted(broker.tcp, &connect("brief", &issued.tokens[0]));
    brief.expect_nothing();
    brief.expect_closed();
    assert!(now() >= ends, "not before its time");
    assert_eq!(connack(&broker, "brief", &issued.tokens[0]), REFUSED);
    other.expect_nothing();
}

/// Shows a set of keys that the test can change, or fails.
fn key_server(shown: &Arc<Mutex<Option<String>>>) -> Service {
    let shown = Arc::clone(shown);
    Service::start(move |_| {
        let keys = shown.lock().expect("nobody panics with it").clone();
        Some(keys.map_or((503, String::new()), |keys| (200, keys)))
    })
}

/// The keys of a set by their ids.
fn only(issued: &Issued, ids: &[&str]) -> String {
    let text = std::fs::read_to_string(issued.folder.path().join("keys.json"));
    let mut set: Value = serde_json::from_str(&text.expect("it was written")).expect("JSON");
    let keys = set["keys"].as_array_mut().expect("a list");
    keys.retain(|key| ids.iter().any(|id| key["kid"] == *id));
    set.to_string()
}

const REMOTE: &str = "[auth.token]\nalgorithms = [\"RS256\", \"ES256\"]\njwks_refresh = \"1s\"\n";

#[test]
fn keys_are_fetched_and_change_while_the_broker_runs() {
    let issued = Issued::new(&[
        wanted("rsa", "RS256", json!({})),
        wanted("p256", "ES256", json!({})),
    ]);
    let (old, new) = (&issued.tokens[0], &issued.tokens[1]);
    let shown = Arc::new(Mutex::new(None));
    let server = key_server(&shown);
    let broker = Broker::configured(&format!("{REMOTE}jwks_url = {:?}\n", server.url("/jwks")));
    // Nobody gets in while there are none.
    assert_eq!(connack(&broker, "c", old), UNAVAILABLE);
    let show = |ids: Option<&[&str]>| {
        *shown.lock().expect("nobody panics with it") = ids.map(|ids| only(&issued, ids));
    };
    let fetched = "postbud_token_key_fetches_total{outcome=\"fetched\"}";
    let until_fetched = || {
        let (_, metrics) = get(broker.http, "/metrics");
        let before = crate::support::metrics::sample(&metrics, fetched).expect("it is there");
        // One may be under way with what was shown before.
        broker.wait_for_samples(&[(fetched, before + 2.0)]);
    };
    show(Some(&["rsa"]));
    until_fetched();
    assert_eq!(connack(&broker, "c", old), ACCEPTED);
    assert_eq!(connack(&broker, "c", new), REFUSED);
    show(Some(&["p256"]));
    until_fetched();
    assert_eq!(connack(&broker, "c", new), ACCEPTED);
    assert_eq!(connack(&broker, "c", old), REFUSED);
    // While fetching fails, what is known goes on.
    show(None);
    broker.wait_for_log(&["cannot fetch the keys of tokens", "stay in force"]);
    assert_eq!(connack(&broker, "c", new), ACCEPTED);
}

#[test]
fn the_first_clients_wait_for_the_keys() {
    let issued = Issued::new(&[wanted("rsa", "RS256", json!({}))]);
    let keys = only(&issued, &["rsa"]);
    let server = Service::start(move |_| Some((200, keys.clone())));
    let broker = Broker::configured(&format!("{REMOTE}jwks_url = {:?}\n", server.url("/jwks")));
    assert_eq!(connack(&broker, "c", &issued.tokens[0]), ACCEPTED);
}

#[test]
fn a_reload_reads_keys_again_and_keeps_those_that_were_fetched() {
    let issued = Issued::new(&[
        wanted("rsa", "RS256", json!({})),
        wanted("p256", "ES256", json!({})),
        wanted("p384", "ES384", json!({})),
    ]);
    let shown = Arc::new(Mutex::new(Some(only(&issued, &["rsa"]))));
    let server = key_server(&shown);
    let set = issued.folder.write("file.json", only(&issued, &["p256"]));
    let broker = Broker::configured(&format!(
        "[auth.token]\nalgorithms = [\"RS256\", \"ES256\", \"ES384\"]\n\
         jwks_url = {:?}\njwks_file = {set:?}\n",
        server.url("/jwks")
    ));
    let [fetched, old, new] = [0, 1, 2].map(|index| &issued.tokens[index]);
    assert_eq!(connack(&broker, "c", fetched), ACCEPTED);
    assert_eq!(connack(&broker, "c", old), ACCEPTED);
    assert_eq!(connack(&broker, "c", new), REFUSED);
    *shown.lock().expect("nobody panics with it") = None;
    issued.folder.write("file.json", only(&issued, &["p384"]));
    broker.signal("HUP");
    // It fails for those that are fetched anew, and the ones from before are known.
    broker.wait_for_log(&["cannot fetch the keys of tokens", "stay in force"]);
    broker.wait_for_samples(&[("postbud_reloads_total{result=\"success\"}", 1.0)]);
    assert_eq!(connack(&broker, "c", fetched), ACCEPTED);
    assert_eq!(connack(&broker, "c", new), ACCEPTED);
    assert_eq!(connack(&broker, "c", old), REFUSED);
}

#[test]
fn check_finds_a_key_that_is_wrong() {
    let folder = Folder::new();
    let check = |token: &str| {
        let text = format!(
            "[[listener]]\nkind = \"tcp\"\naddress = \"127.0.0.1:0\"\n[auth.token]\n{token}"
        );
        let file = folder.write("c.toml", text);
        let mut command = command(folder.path());
        command.args(["check", "--config"]).arg(file);
        Process::start(command).finish()
    };
    folder.write("no.pem", "-----BEGIN CERTIFICATE-----\n");
    folder.write("short", "hunter2\n");
    for (token, said) in [
        (
            "algorithms = [\"RS256\"]\nkey_file = \"no.pem\"\n",
            "postbud: no.pem: no public key in it; expected PEM, BEGIN PUBLIC KEY",
        ),
        (
            "algorithms = [\"HS256\"]\nsecret_file = \"short\"\n",
            "postbud: short: the secret is too short; expected at least 32 bytes",
        ),
        (
            "algorithms = [\"HS256\"]\nsecret_file = \"absent\"\n",
            "postbud: absent: cannot be read: ",
        ),
    ] {
        let finished = check(token);
        assert_eq!(finished.code, Some(1), "{token}");
        let line = finished.stderr.concat();
        assert!(line.starts_with(said), "{line}");
    }
    folder.write("long", "correct horse battery staple correct");
    let finished = check("algorithms = [\"HS256\"]\nsecret_file = \"long\"\n");
    assert_eq!(finished.code, Some(0), "{:?}", finished.stderr);
    assert!(
        finished.stdout.concat().contains("token"),
        "{:?}",
        finished.stdout
    );
}
