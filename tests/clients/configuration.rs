//! The configuration file, the environment, `postbud check`, and what is said about mistakes.

use crate::support::broker::{self, Broker};
use crate::support::certificates::Certificates;
use crate::support::folder::Folder;
use crate::support::process::{Finished, Process};
use crate::support::raw::{RawClient, connect_5, connect_311, string};

/// A file that is right.
const GOOD: &str = r#"[[listener]]
kind = "tcp"
address = "127.0.0.1:0"
[http]
address = "127.0.0.1:0"
[auth]
anonymous = true
[store]
path = "data"
durability = "memory"
[log]
level = "info"
"#;

/// Runs `postbud check` on a file with this text.
fn check(text: &str) -> Finished {
    let folder = Folder::new();
    let mut command = broker::command(folder.path());
    command
        .args(["check", "--config"])
        .arg(folder.write("broker.toml", text));
    Process::start(command).finish()
}

/// Runs `postbud check` on [`GOOD`] with one replacement, which must be refused: the message names the
/// file, the place of the mistake, and all of `words`.
#[track_caller]
fn refused(what: &str, by: &str, place: &str, words: &[&str]) {
    assert!(GOOD.contains(what), "nothing to replace");
    let text = GOOD.replace(what, by);
    let finished = check(&text);
    let message = finished.stderr.join("\n");
    assert_eq!(finished.code, Some(1), "{text}\n{message}");
    let place = format!("broker.toml:{place}:");
    for word in [&[place.as_str()], words].concat() {
        assert!(
            message.contains(word),
            "no `{word}` in:\n{message}\nabout:\n{text}"
        );
    }
}

#[test]
fn check_accepts_a_good_file() {
    let finished = check(GOOD);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
}

#[test]
fn check_accepts_the_built_in_configuration() {
    let folder = Folder::new();
    let mut command = broker::command(folder.path());
    command.arg("check");
    Process::start(command).succeed();
}

#[test]
fn check_reads_certificates() {
    let folder = Folder::new();
    let Certificates {
        certificate,
        key,
        authority,
    } = Certificates::generate(&folder);
    let text = |certificate: &std::path::Path| {
        let tls = format!("[listener.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n[http]");
        GOOD.replace("\"tcp\"", "\"tls\"").replace("[http]", &tls)
    };
    let good = check(&text(&certificate));
    assert_eq!(good.code, Some(0), "{good:#?}");
    // A key of another certificate, and none at all.
    let nowhere = folder.path().join("nowhere.pem");
    for wrong in [authority, nowhere] {
        let finished = check(&text(&wrong));
        let message = finished.stderr.join("\n");
        assert_eq!(finished.code, Some(1), "{message}");
        assert!(message.contains(&*wrong.to_string_lossy()), "{message}");
    }
}

#[test]
fn an_unknown_key_is_refused_at_its_place() {
    refused(
        "anonymous =",
        "anonimous =",
        "7:1",
        &["anonimous", "anonymous"],
    );
    refused("[store]", "[stor]", "8:2", &["stor", "store"]);
    refused("kind =", "port = 1883\nkind =", "2:1", &["port"]);
}

#[test]
fn a_wrong_type_is_refused_at_its_place() {
    refused("= true", "= \"perhaps\"", "7:13", &["perhaps"]);
    refused("\"127.0.0.1:0\"\n[http]", "1883\n[http]", "3:11", &["1883"]);
    refused("[[listener]]", "[listener]", "1:1", &["listener"]);
}

#[test]
fn an_impossible_value_is_refused_at_its_place() {
    refused(
        "\"tcp\"",
        "\"carrier pigeon\"",
        "2:8",
        &["carrier pigeon", "tcp", "tls"],
    );
    refused(
        "\"127.0.0.1:0\"\n[http]",
        "\"127.0.0.1:70000\"\n[http]",
        "3:11",
        &["127.0.0.1:70000"],
    );
    refused("\"memory\"", "\"hope\"", "10:14", &["hope", "memory"]);
    refused("\"info\"", "\"loud\"", "12:9", &["loud", "info"]);
    // TLS needs a certificate.
    refused("\"tcp\"", "\"tls\"", "2:8", &["tls"]);
}

#[test]
fn broken_toml_is_refused_at_its_place() {
    refused("anonymous = true", "anonymous = ", "7:13", &[]);
}

#[test]
fn a_missing_file_is_named() {
    let folder = Folder::new();
    for arguments in [
        &["check", "--config", "nowhere.toml"][..],
        &["--config", "nowhere.toml"],
    ] {
        let mut command = broker::command(folder.path());
        command.args(arguments);
        let finished = Process::start(command).finish();
        assert_eq!(finished.code, Some(1));
        let message = finished.stderr.join("\n");
        assert!(message.contains("nowhere.toml"), "{message}");
    }
}

#[test]
fn a_mistake_stops_the_start() {
    let folder = Folder::new();
    let mut command = broker::command(folder.path());
    let file = folder.write("broker.toml", GOOD.replace("level", "levle"));
    command.arg("--config").arg(file);
    let finished = Process::start(command).finish();
    assert_eq!(finished.code, Some(1));
    let message = finished.stderr.join("\n");
    assert!(message.contains("broker.toml:12:1:"), "{message}");
    assert!(!message.contains("listening"), "{message}");
}

#[test]
fn an_unknown_argument_is_a_usage_error() {
    let folder = Folder::new();
    let mut command = broker::command(folder.path());
    command.arg("--confg");
    let finished = Process::start(command).finish();
    assert_eq!(finished.code, Some(2));
}

#[test]
fn the_environment_overrides_the_file() {
    let folder = Folder::new();
    let mut command = broker::command(folder.path());
    // What the file says could not be done: the address is of no interface here.
    let unusable = GOOD
        .replace("127.0.0.1:0", "192.0.2.1:1")
        .replace("= true", "= false");
    command
        .arg("--config")
        .arg(folder.write("broker.toml", unusable));
    command.env("POSTBUD_LISTENER_0_ADDRESS", "127.0.0.1:0");
    command.env("POSTBUD_HTTP_ADDRESS", "127.0.0.1:0");
    command.env("POSTBUD_AUTH_ANONYMOUS", "true");
    command.env("POSTBUD_LOG_LEVEL", "debug");
    let process = Process::start(command);
    let address = broker::listening(&process, "tcp");
    RawClient::accepted(address, &connect_311("client"));
    process.wait_for("a line of level DEBUG", |line| line.contains("DEBUG"));
}

#[test]
fn a_mistake_in_the_environment_is_named() {
    let mistakes = [
        ("POSTBUD_AUTH_ANONYMOUS", "perhaps"),
        ("POSTBUD_LISTENER_0_ADDRESS", "here"),
        ("POSTBUD_AUTH_ANONIMOUS", "true"),
    ];
    for (name, value) in mistakes {
        let folder = Folder::new();
        let mut command = broker::command(folder.path());
        command
            .args(["check", "--config"])
            .arg(folder.write("broker.toml", GOOD));
        command.env(name, value);
        let finished = Process::start(command).finish();
        assert_eq!(finished.code, Some(1), "{name}={value}");
        let message = finished.stderr.join("\n");
        assert!(message.contains(name), "no `{name}` in:\n{message}");
    }
}

#[test]
fn with_a_file_nobody_is_anonymous_unless_it_says_so() {
    let broker = Broker::configured("");
    let mut client = RawClient::connect(broker.tcp);
    client.send(&connect_5("client"));
    let connack = client.packet();
    // [MQTT5-3.2.2-6] Session Present is 0. 0x87, Not authorized.
    assert_eq!(
        (connack[0], &connack[2..4]),
        (0x20, &[0x00, 0x87][..]),
        "{connack:02x?}"
    );
    client.expect_closed();

    // [MQTT311-3.2.2-5] Return code 5, not authorized, then the close.
    let mut client = RawClient::connect(broker.tcp);
    client.send(&connect_311("client"));
    client.expect(&[0x20, 0x02, 0x00, 0x05]);
    client.expect_closed();

    let mut client = RawClient::connect(broker.tcp);
    let header = b"\x00\x06MQIsdp\x03\x02\x00\x3c";
    client.send(&crate::support::raw::packet(
        0x10,
        &[header, &string("client")[..]].concat(),
    ));
    client.expect(&[0x20, 0x02, 0x00, 0x05]);
    client.expect_closed();
}
