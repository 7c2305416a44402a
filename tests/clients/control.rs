//! `postbud ctl`: a running broker asked over its control socket.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;

use crate::support::DEADLINE;
use crate::support::broker::{Broker, command};
use crate::support::process::{Finished, Process};
use crate::support::raw::{
    RawClient, connect_5, connect_311, connect_311_again, puback_311, publish_311_qos1,
    published_311_qos1,
};

/// Beside the broker's other files: the path of a socket may have about a hundred bytes only.
const CONTROL: &str = "[auth]\nanonymous = true\n[control]\nsocket = \"control\"\n";

/// The same, and sessions are stored.
const STORING: &str =
    "[auth]\nanonymous = true\n[control]\nsocket = \"control\"\n[store]\npath = \"data\"\n";

/// Runs the program in the broker's folder.
fn run(broker: &Broker, words: &[&str]) -> Finished {
    let mut command = command(broker.folder.path());
    command.args(words).stdin(Stdio::null());
    Process::start(command).finish()
}

/// Asks, and must be told: what was printed.
#[track_caller]
fn ctl(broker: &Broker, words: &[&str]) -> Vec<String> {
    let finished = run(broker, &[&["ctl", "--socket", "control"], words].concat());
    assert_eq!(finished.code, Some(0), "{:?}", finished.stderr);
    finished.stdout
}

/// Asks, and must be refused: why.
#[track_caller]
fn refused(broker: &Broker, words: &[&str]) -> String {
    let finished = run(broker, &[&["ctl", "--socket", "control"], words].concat());
    assert_eq!((finished.code, finished.stdout), (Some(1), vec![]));
    finished.stderr.join("\n")
}

/// A session that is away, and for which messages wait.
fn sleeper(broker: &Broker, name: &str, filter: &str, topic: &str, messages: u16) {
    let mut client = RawClient::connect(broker.tcp);
    client.send(&connect_311_again(name));
    client.expect(&[0x20, 2, 0, 0]);
    client.subscribe_311(filter, 1);
    client.send(&[0xe0, 0]);
    client.expect_closed();
    let mut writer = RawClient::accepted(broker.tcp, &connect_311("writer"));
    for id in 1..=messages {
        writer.send(&publish_311_qos1(id, topic, &id.to_be_bytes()));
        writer.expect(&puback_311(id));
    }
}

// Breaks if: a session is not found, shown, closed, purged or deleted over the socket.
#[test]
fn sessions_over_the_socket() {
    let broker = Broker::configured(STORING);
    broker.wait_for_log(&["kind=control"]);
    sleeper(&broker, "sleeper", "t/#", "t/1", 3);
    let mut client = RawClient::accepted(broker.tcp, &connect_5("here"));
    let lines = ctl(&broker, &["sessions"]);
    assert!(
        lines[0].starts_with("client   state      since"),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("here     connected  "), "{lines:?}");
    assert!(lines[2].starts_with("sleeper  away       "), "{lines:?}");
    assert!(
        lines[2].ends_with("7d 0h    1        0          3       15"),
        "{lines:?}"
    );
    let lines = ctl(
        &broker,
        &["sessions", "--after", "here", "--limit", "1", "--json"],
    );
    let start =
        "{\"answer\":\"sessions\",\"items\":[{\"client_id\":\"sleeper\",\"connected\":false,";
    assert!(
        lines[0].starts_with(start) && lines[0].ends_with("],\"more\":false}"),
        "{lines:?}"
    );

    let lines = ctl(&broker, &["session", "show", "sleeper"]);
    for line in [
        "client         sleeper",
        "stored         yes",
        "queued         3 messages, 15 bytes",
        "will           none",
        "subscriptions  1",
        "               t/# (QoS 1)",
    ] {
        assert!(lines.iter().any(|it| it == line), "{line} in {lines:#?}");
    }
    let lines = ctl(&broker, &["session", "show", "here"]);
    let state = lines.iter().find(|it| it.starts_with("state "));
    let state = state.expect("its state");
    let from = format!(" from {} by MQTT 5.0", client.address());
    assert!(
        state.starts_with("state          connected for ") && state.ends_with(&from),
        "{state}"
    );

    assert_eq!(ctl(&broker, &["kick", "here"]), ["done"]);
    assert_eq!(client.packet(), [0xe0, 1, 0x98]);
    client.expect_closed();
    assert_eq!(
        refused(&broker, &["kick", "sleeper"]),
        "postbud: \"sleeper\" is not connected"
    );
    assert_eq!(
        ctl(&broker, &["session", "purge", "sleeper"]),
        ["3 messages were given up"]
    );
    assert_eq!(ctl(&broker, &["session", "delete", "sleeper"]), ["done"]);
    let gone = "postbud: there is no session of \"sleeper\"";
    for words in [
        ["session", "show"],
        ["session", "delete"],
        ["session", "purge"],
    ] {
        assert_eq!(refused(&broker, &[&words[..], &["sleeper"]].concat()), gone);
    }
    broker.wait_for_log(&["control: session deleted", "client_id=\"sleeper\""]);
    broker.wait_for_samples(&[("postbud_messages_dropped_total{reason=\"purged\"}", 3.0)]);
}

// Breaks if: a group is not found, shown or purged over the socket.
#[test]
fn groups_over_the_socket() {
    let broker = Broker::configured(CONTROL);
    sleeper(&broker, "worker", "$share/team/jobs/#", "jobs/1", 4);
    let lines = ctl(&broker, &["groups"]);
    assert_eq!(
        lines,
        [
            "group               members  connected  backlog  bytes",
            "$share/team/jobs/#  1        0          4        32"
        ]
    );
    let name = "$share/team/jobs/#";
    let lines = ctl(&broker, &["group", "show", name]);
    assert_eq!(lines[1], "backlog        4 messages, 32 bytes");
    assert_eq!(lines[4], "               worker (away, QoS 1, 0 in flight)");
    assert_eq!(
        ctl(&broker, &["group", "purge", name]),
        ["4 messages were given up"]
    );
    assert_eq!(ctl(&broker, &["groups", "--after", name]).len(), 1);
    let missing = refused(&broker, &["group", "show", "$share/other/jobs/#"]);
    assert_eq!(missing, "postbud: there is no group $share/other/jobs/#");
    let finished = run(&broker, &["ctl", "group", "show", "jobs/#"]);
    assert_eq!(finished.code, Some(2), "{:?}", finished.stderr);
}

// Breaks if: a snapshot of a running broker is not what it had acknowledged, or no broker starts with it.
#[test]
fn another_broker_goes_on_from_a_snapshot() {
    let broker = Broker::configured(STORING);
    sleeper(&broker, "sleeper", "t", "t", 50);
    let lines = ctl(&broker, &["snapshot", "copy"]);
    assert!(lines[0].contains(" files of records, "), "{lines:?}");
    let again = refused(&broker, &["snapshot", "copy"]);
    assert!(
        again.ends_with("/copy: there is something in it already; expected an empty folder"),
        "{again}"
    );
    let finished = run(&broker, &["store", "verify", "copy"]);
    assert_eq!(finished.code, Some(0), "{:?}", finished.stdout);
    // It is the broker's store, and not the copy, that is in use.
    let finished = run(&broker, &["store", "verify", "data"]);
    assert_eq!(finished.code, Some(1));
    assert!(
        finished.stderr[0].contains("in use by another process"),
        "{:?}",
        finished.stderr
    );
    ctl(&broker, &["session", "delete", "sleeper"]);

    let copy = broker.folder.path().join("copy");
    let second = Broker::configured(&format!(
        "[auth]\nanonymous = true\n[store]\npath = {copy:?}\n"
    ));
    let mut client = RawClient::connect(second.tcp);
    client.send(&connect_311_again("sleeper"));
    client.expect(&[0x20, 2, 1, 0]);
    for number in 1..=50_u16 {
        let (id, payload) = published_311_qos1(&client.packet());
        assert_eq!(payload, number.to_be_bytes());
        client.send(&puback_311(id));
    }
    assert_eq!(second.stop().code, Some(0));
    assert_eq!(broker.stop().code, Some(0));
}

// Breaks if: others may open the socket, it is left behind, or one that was left behind is in the way.
#[test]
fn the_sockets_file() {
    let broker = Broker::configured(CONTROL);
    let folder = broker.folder.path().to_owned();
    let path = folder.join("control");
    let file = fs::symlink_metadata(&path).expect("the socket is there");
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    broker.signal("TERM");
    // The folder goes with the broker, so what is left in it is looked at first.
    broker.wait_for_log(&["stopped"]);
    let until = std::time::Instant::now() + DEADLINE;
    while path.exists() {
        assert!(
            std::time::Instant::now() < until,
            "the socket is left behind"
        );
        std::thread::yield_now();
    }
    assert_eq!(broker.finish().code, Some(0));
}

/// Starts a broker with this control socket, which is not going to start; what it says.
fn not_started(folder: &Path, socket: &Path) -> String {
    let text = format!(
        "[[listener]]\nkind = \"tcp\"\naddress = \"127.0.0.1:0\"\n[http]\naddress = \"\"\n\
         [store]\ndurability = \"memory\"\n[control]\nsocket = {socket:?}\n"
    );
    fs::write(folder.join("second.toml"), text).expect("the folder is writable");
    let mut command = command(folder);
    command.args(["--config", "second.toml"]);
    let finished = Process::start(command).finish();
    assert_eq!(finished.code, Some(1), "{:?}", finished.stderr);
    finished.stderr.join("\n")
}

// Breaks if: a socket that is in use, or another file, is taken away; or one without a listener is not.
#[test]
fn what_is_in_the_sockets_place() {
    let broker = Broker::configured(CONTROL);
    let folder = broker.folder.path();
    let said = not_started(folder, Path::new("control"));
    assert!(
        said.contains("cannot use control as the control socket: another process listens there"),
        "{said}"
    );
    assert_eq!(ctl(&broker, &["sessions"]).len(), 1, "it is still there");
    fs::write(folder.join("file"), "mine").expect("the folder is writable");
    let said = not_started(folder, Path::new("file"));
    assert!(
        said.contains("there is something else than a socket"),
        "{said}"
    );
    assert_eq!(fs::read(folder.join("file")).expect("it is there"), b"mine");
    let long = "x".repeat(200);
    let said = not_started(folder, Path::new(&long));
    assert!(said.contains("as the control socket: "), "{said}");

    // A short path, whatever the folder for tests is called.
    let name = format!("postbud-left-{}", std::process::id());
    let left = std::env::temp_dir().join(name);
    drop(UnixListener::bind(&left).expect("a socket"));
    let rest = CONTROL.replace("\"control\"", &format!("{left:?}"));
    let second = Broker::configured(&rest);
    second.wait_for_log(&["kind=control"]);
    assert_eq!(second.stop().code, Some(0));
    assert!(!left.exists());
}

/// Says something to the socket, and returns what is answered.
fn say(broker: &Broker, text: &[u8]) -> String {
    // By way of the folder's own name the path would be too long for some.
    let path = broker.folder.path().join("control");
    let mut stream = UnixStream::connect(path).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("an option");
    // It may have answered before it was told everything.
    let _ = stream.write_all(text);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = String::new();
    let _ = BufReader::new(stream).read_line(&mut answer);
    answer
}

// Breaks if: the broker minds what is no request, or is kept by who says nothing.
#[test]
fn what_is_no_request() {
    let broker = Broker::configured(CONTROL);
    let path = broker.folder.path().join("control");
    let mut silent: Vec<_> = (0..4)
        .map(|_| UnixStream::connect(&path).expect("it listens"))
        .collect();
    for text in [
        &b""[..],
        b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"{\"verb\":\"stop\"}\n",
        &[0xff; 100],
    ] {
        let answer = say(&broker, text);
        assert!(
            answer.starts_with("{\"answer\":\"error\",\"message\":\"the request is not"),
            "{answer}"
        );
    }
    let request = "{\"verb\":\"snapshot\",\"to\":\"here\"}\n";
    assert!(say(&broker, request.as_bytes()).contains("here is no absolute path"));
    // More than a request may have: it is not held, whether the answer comes through or not.
    say(&broker, &vec![b' '; 3 << 20]);
    assert_eq!(ctl(&broker, &["sessions"]).len(), 1);
    for stream in &mut silent {
        stream.set_read_timeout(Some(DEADLINE)).expect("an option");
        assert_eq!(stream.read(&mut [0; 10]).expect("it is closed in time"), 0);
    }
    assert_eq!(broker.stop().code, Some(0));
}

// Breaks if: an error of the operator is not told, or not what to do about it.
#[test]
fn what_is_said_without_a_broker() {
    let broker = Broker::configured("[auth]\nanonymous = true\n[store]\ndurability = \"memory\"\n");
    let said = refused(&broker, &["sessions"]);
    assert_eq!(
        said,
        "postbud: control: there is no control socket: is the broker running?"
    );
    let finished = run(&broker, &["ctl", "sessions"]);
    assert!(
        finished.stderr[0].contains("no control socket: name it with --socket"),
        "{:?}",
        finished.stderr
    );
    let finished = run(&broker, &["ctl", "--socket", "control", "snapshot"]);
    assert_eq!(finished.code, Some(2));
    let memory = CONTROL.to_owned() + "[store]\ndurability = \"memory\"\n";
    let broker = Broker::configured(&memory);
    let said = refused(&broker, &["snapshot", "copy"]);
    assert_eq!(said, "postbud: nothing is stored: durability is \"memory\"");
    // The configuration says where the socket is.
    let finished = run(&broker, &["ctl", "--config", "postbud.toml", "sessions"]);
    assert_eq!(
        (finished.code, finished.stdout.len()),
        (Some(0), 1),
        "{:?}",
        finished.stderr
    );
}
