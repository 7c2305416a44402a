//! Listeners in the file system, with mosquitto's clients.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::support::broker::{self, Broker};
use crate::support::folder::Folder;
use crate::support::process::Process;
use crate::support::raw::{RawClient, connect_311, publish_311};

const UNIX: &str =
    "[auth]\nanonymous = true\n[[listener]]\nkind = \"unix\"\npath = \"mqtt.sock\"\n";

fn mosquitto(program: &str, socket: &Path) -> Command {
    let mut command = Command::new("stdbuf");
    command.args(["-oL", program, "--unix"]).arg(socket);
    command
}

fn mode(socket: &Path) -> u32 {
    let file = fs::symlink_metadata(socket).expect("the socket is there");
    assert!(file.file_type().is_socket());
    file.permissions().mode() & 0o777
}

#[test]
fn clients_of_this_machine_meet_all_others() {
    let broker = Broker::configured(UNIX);
    let socket = broker.folder.path().join("mqtt.sock");
    broker.wait_for_log(&["listening", "kind=unix", "path=mqtt.sock"]);
    assert_eq!(mode(&socket), 0o660);
    let mut there = RawClient::accepted(broker.tcp, &connect_311("there"));
    there.subscribe_311("up", 0);
    let mut command = mosquitto("mosquitto_sub", &socket);
    command.args(["-t", "down", "-C", "2", "-d", "-F", "message %t %p"]);
    let subscriber = Process::start(command);
    subscriber.wait_for("SUBACK", |line| line.contains("received SUBACK"));
    there.send(&publish_311("down", b"from afar"));
    for topic in ["up", "down"] {
        let mut command = mosquitto("mosquitto_pub", &socket);
        command.args(["-q", "1", "-t", topic, "-m", "from here"]);
        Process::start(command).succeed();
    }
    there.expect(&publish_311("up", b"from here"));
    let expected = ["down from afar", "down from here"];
    assert_eq!(subscriber.wait_for_lines(2, "message "), expected);
    subscriber.succeed();
    // Three came by the file, and have gone.
    broker.wait_for_samples(&[
        ("postbud_connections_opened_total", 4.0),
        ("postbud_connections", 1.0),
    ]);
    assert_eq!(broker.stop().code, Some(0));
    assert!(!socket.exists(), "the file is gone with its listener");
}

#[test]
fn the_permissions_are_those_of_the_configuration() {
    let broker = Broker::configured(&format!("{UNIX}mode = \"600\"\n"));
    assert_eq!(mode(&broker.folder.path().join("mqtt.sock")), 0o600);
}

fn start_with_socket_at(folder: &Folder, listening: &Path) -> Process {
    let text = format!(
        "[[listener]]\nkind = \"unix\"\npath = {listening:?}\n[http]\naddress = \"\"\n\
         [store]\ndurability = \"memory\"\n[auth]\nanonymous = true\n"
    );
    let mut command = broker::command(folder.path());
    command
        .arg("--config")
        .arg(folder.write("postbud.toml", text));
    Process::start(command)
}

#[test]
fn what_a_crash_left_behind_is_replaced() {
    let folder = Folder::new();
    let socket = folder.path().join("mqtt.sock");
    for _ in 0..2 {
        let process = start_with_socket_at(&folder, &socket);
        process.wait_for("`listening`", |line| line.contains("kind=unix"));
        let mut command = mosquitto("mosquitto_pub", &socket);
        command.args(["-q", "1", "-t", "up", "-m", "here"]);
        Process::start(command).succeed();
        process.kill();
        assert!(socket.exists(), "nobody has removed it");
    }
}

#[test]
fn a_socket_in_use_and_a_file_that_is_none_are_left_alone() {
    let folder = Folder::new();
    let socket = folder.path().join("mqtt.sock");
    let taken = UnixListener::bind(&socket).expect("a socket");
    let refused = |listening: &Path, why: &str| {
        let finished = start_with_socket_at(&folder, listening).finish();
        assert_eq!(finished.code, Some(1), "{finished:#?}");
        let message = finished.stderr.join("\n");
        let shown = listening.to_string_lossy();
        assert!(
            message.contains(&*shown) && message.contains(why),
            "{message}"
        );
    };
    refused(&socket, "another process listens there");
    drop(taken);
    let letter = folder.write("letter", "dear reader");
    refused(&letter, "something else than a socket");
    let text = fs::read_to_string(letter).expect("it is still there");
    assert_eq!(text, "dear reader");
}
