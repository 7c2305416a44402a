//! The first five minutes: the broker alone in an empty folder, without a configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::broker::{command, listening};
use crate::support::folder::Folder;
use crate::support::process::Process;
use crate::support::raw::{RawClient, connect_5};

/// Starts the broker as `postbud` alone does, except for its ports, which tests have to share.
fn start(folder: &Path) -> Process {
    let mut command = command(folder);
    command.env("POSTBUD_LISTENER_0_ADDRESS", "127.0.0.1:0");
    command.env("POSTBUD_LISTENER_1_ADDRESS", "127.0.0.1:0");
    command.env("POSTBUD_HTTP_ADDRESS", "127.0.0.1:0");
    let process = Process::start(command);
    listening(&process, "tcp");
    listening(&process, "tls");
    listening(&process, "http");
    process
}

/// The first line that the broker printed with a command for a shell to try, from the program's name on.
fn line_to_try(process: &Process, program: &str, tls: bool) -> String {
    let what = format!("a line with {program}, TLS: {tls}");
    let line = process.wait_for(&what, |line| {
        line.contains(&format!("{program} ")) && line.contains("--cafile") == tls
    });
    line[line.find(program).expect("it was just found")..].to_owned()
}

/// Runs a line in a shell whose folder is the broker's, with output that is not held back.
fn run(folder: &Path, line: &str) -> Process {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("exec stdbuf -oL {line}")])
        .current_dir(folder);
    Process::start(command)
}

#[test]
fn it_makes_certificates_and_lets_anybody_in() {
    let folder = Folder::new();
    let process = start(folder.path());
    let certs = folder.path().join("certs");
    for name in ["ca.pem", "server.pem", "server.key"] {
        assert!(certs.join(name).is_file(), "no certs/{name}");
    }
    assert!(folder.path().join("data").is_dir(), "no data/");
    let mode = fs::metadata(certs.join("server.key"))
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0, "others can read the key: {mode:o}");
    process.wait_for("where state is kept", |line| line.contains("storing path="));
    process.wait_for("a word about anonymous clients", |line| {
        line.to_lowercase().contains("anonymous")
    });
    RawClient::accepted(listening(&process, "tcp"), &connect_5("client"));
    process.terminate();
    assert_eq!(process.finish().code, Some(0));
}

#[test]
fn the_lines_it_prints_work() {
    for tls in [false, true] {
        let folder = Folder::new();
        let broker = start(folder.path());
        let subscribe = line_to_try(&broker, "mosquitto_sub", tls);
        let publish = line_to_try(&broker, "mosquitto_pub", tls);
        let subscriber = run(
            folder.path(),
            &format!("{subscribe} -d -C 1 -F 'message %t %p'"),
        );
        subscriber.wait_for("its subscription", |line| line.contains("Subscribed"));
        run(folder.path(), &publish).succeed();
        let printed = subscriber.wait_for_lines(1, "message ");
        let (topic, payload) = printed[0].split_once(' ').expect("a topic and a payload");
        let (topic, payload) = (topic.to_owned(), payload.to_owned());
        assert!(
            publish.contains(&topic) && publish.contains(&payload),
            "{publish}: {printed:?}"
        );
    }
}

#[test]
fn the_second_start_keeps_the_certificates() {
    let folder = Folder::new();
    let read = || {
        ["ca.pem", "server.pem", "server.key"].map(|name| {
            fs::read_to_string(folder.path().join("certs").join(name)).expect("it was made")
        })
    };
    let process = start(folder.path());
    let first = read();
    process.terminate();
    assert_eq!(process.finish().code, Some(0));
    let process = start(folder.path());
    assert_eq!(read(), first);
    process.terminate();
    assert_eq!(process.finish().code, Some(0));
}
