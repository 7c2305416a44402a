//! Users and passwords: files that mosquitto_passwd has written, `postbud passwd`, SCRAM-SHA-256, and what a crowd or
//! somebody curious makes of them.

mod crowd;
mod files;
mod passwd;
mod reloaded;
mod scram;
mod secrets;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::broker::{self, Broker};
use crate::support::folder::Folder;
use crate::support::raw::{RawClient, packet, string};

/// The folder of the tests.
const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

/// Starts a broker with this password file, and what else is given.
#[track_caller]
fn with_passwords(file: &Path, rest: &str) -> Broker {
    Broker::configured(&format!("[auth.password]\nfile = {file:?}\n{rest}"))
}

/// A CONNECT with a User Name and a Password, or without either.
fn connect(version: u8, client_id: &str, user: Option<&str>, password: Option<&[u8]>) -> Vec<u8> {
    let flags = 0x02 | u8::from(user.is_some()) << 7 | u8::from(password.is_some()) << 6;
    let mut body = [&b"\x00\x04MQTT"[..], &[version, flags, 0, 60]].concat();
    if version == 5 {
        body.push(0);
    }
    body.extend(string(client_id));
    body.extend(user.map(string).unwrap_or_default());
    if let Some(password) = password {
        let length = u16::try_from(password.len()).expect("a password of the protocol");
        body.extend(length.to_be_bytes());
        body.extend(password);
    }
    packet(0x10, &body)
}

/// The whole CONNACK that such a client is sent.
#[track_caller]
fn told(broker: &Broker, version: u8, user: Option<&str>, password: Option<&[u8]>) -> Vec<u8> {
    let mut client = RawClient::connect(broker.tcp);
    client.send(&connect(version, "c", user, password));
    let connack = client.packet();
    assert_eq!(connack[0], 0x20, "no CONNACK: {connack:02x?}");
    if connack[3] != 0 {
        client.expect_closed();
    }
    connack
}

/// Runs a script of this folder and returns its lines; it must succeed.
#[track_caller]
fn script(name: &str, arguments: &[&str], input: &str) -> Vec<String> {
    let mut command = Command::new(Path::new(TESTS).join(".tools/paho/bin/python"));
    // Byte code beside the script would be a file of the checkout.
    command.arg("-B");
    command.arg(Path::new(TESTS).join("clients/credentials").join(name));
    command.args(arguments);
    let (ok, out, err) = fed(command, input.as_bytes());
    assert!(ok, "{name} failed:\n{err}");
    out.lines().map(str::to_owned).collect()
}

/// Runs a program to its end with this on its standard input: whether it succeeded, and what it said.
#[track_caller]
fn fed(mut command: Command, input: &[u8]) -> (bool, String, String) {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("does tests/setup.sh pass?");
    let mut stdin = child.stdin.take().expect("it is piped");
    // Who does not read it has ended already, and is heard below.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().expect("a child can be waited for");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.success(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Runs `postbud passwd` with a password on its standard input.
fn passwd(folder: &Folder, arguments: &[&str], password: &str) -> (bool, String) {
    let mut command = broker::command(folder.path());
    command.arg("passwd").args(arguments);
    let (ok, out, err) = fed(command, password.as_bytes());
    assert_eq!(out, "", "nothing is printed");
    (ok, err)
}

/// A password file made by `mosquitto_passwd`, one call for each user.
#[track_caller]
fn mosquitto_file(folder: &Folder, users: &[(&str, &str)], kind: &str) -> PathBuf {
    let file = folder.write("mosquitto.users", "");
    for (user, password) in users {
        let mut command = Command::new("mosquitto_passwd");
        command.args(["-H", kind, "-b"]).arg(&file);
        let (ok, _, err) = fed_with(command, &[user, password]);
        assert!(ok, "{err}");
    }
    file
}

#[track_caller]
fn fed_with(mut command: Command, arguments: &[&str]) -> (bool, String, String) {
    command.args(arguments);
    fed(command, b"")
}
