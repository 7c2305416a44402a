//! The configuration read again: by SIGHUP, and by `postbud ctl reload`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::broker::{self, Broker};
use crate::support::folder::Folder;
use crate::support::http::get;
use crate::support::process::{Finished, Process};
use crate::support::raw::{
    RawClient, connect_5, connect_311, puback_311, publish_311, publish_311_qos1,
    published_311_qos1,
};

const ANONYMOUS: &str = "[auth]\nanonymous = true\n";

fn file(broker: &Broker) -> PathBuf {
    broker.folder.path().join("postbud.toml")
}

/// Puts another file in the place of the broker's, whole as editors do; nobody is told.
fn write(broker: &Broker, text: &str) {
    let new = broker.folder.write("new.toml", text);
    fs::rename(new, file(broker)).expect("the folder is ours");
}

/// As [`write`], with one thing in the file replaced.
#[track_caller]
pub fn edit(broker: &Broker, what: &str, by: &str) {
    let text = fs::read_to_string(file(broker)).expect("it was started with it");
    assert!(text.contains(what), "nothing to replace");
    write(broker, &text.replace(what, by));
}

/// Waits until so many reloads have come to an end, this one well.
#[track_caller]
pub fn reloaded(broker: &Broker, times: u32) {
    broker.signal("HUP");
    let success = "postbud_reloads_total{result=\"success\"}";
    broker.wait_for_samples(&[(success, times.into()), ("postbud_reload_failing", 0.0)]);
}

/// Whether a CONNACK of MQTT 5 tells of this Receive Maximum.
fn tells_receive_maximum(connack: &[u8], maximum: u8) -> bool {
    connack
        .windows(3)
        .any(|bytes| bytes == [0x21, 0x00, maximum])
}

/// Connects, and is told this Receive Maximum.
#[track_caller]
pub fn told_receive_maximum(broker: &Broker, client_id: &str, maximum: u8) -> RawClient {
    let mut client = RawClient::connect(broker.tcp);
    client.send(&connect_5(client_id));
    let connack = client.packet();
    assert!(tells_receive_maximum(&connack, maximum), "{connack:02x?}");
    client
}

// Breaks if: a reload does not reach new connections, or reaches those that were told something else.
#[test]
fn another_limit_holds_for_new_connections_and_not_for_old_ones() {
    let limits = "[session]\nreceive_maximum = 77\npacket_size_maximum = 2000\n";
    let broker = Broker::configured(&format!("{ANONYMOUS}{limits}"));
    let mut old = told_receive_maximum(&broker, "old", 77);
    edit(&broker, "= 77", "= 33");
    edit(&broker, "= 2000", "= 500");
    reloaded(&broker, 1);
    broker.wait_for_log(&["reload: session.receive_maximum: 77 -> 33"]);
    broker.wait_for_log(&["reloaded", "changed=2", "restart=0"]);
    let mut new = told_receive_maximum(&broker, "new", 33);
    let large = [&b"\x00\x01t\x00"[..], &[b'x'; 1000]].concat();
    let publish = crate::support::raw::packet(0x30, &large);
    old.send(&publish);
    old.expect_nothing();
    new.send(&publish);
    // 0x95, Packet too large.
    assert_eq!(new.packet()[2], 0x95);
    old.expect_nothing();
}

#[test]
fn limits_of_connections_hold_at_once() {
    let limits = "[limits]\nconnections_maximum = 10\n";
    let broker = Broker::configured(&format!("{ANONYMOUS}{limits}"));
    let old = RawClient::accepted(broker.tcp, &connect_311("old"));
    edit(&broker, "= 10", "= 1");
    reloaded(&broker, 1);
    RawClient::connect(broker.tcp).expect_closed();
    edit(
        &broker,
        "connections_maximum = 1",
        "connect_timeout = \"100ms\"",
    );
    reloaded(&broker, 2);
    RawClient::connect(broker.tcp).expect_closed();
    drop(old);
}

#[test]
fn another_log_level_holds_at_once() {
    let broker = Broker::configured(&format!("{ANONYMOUS}[log]\nlevel = \"info\"\n"));
    drop(RawClient::accepted(broker.tcp, &connect_311("quiet")));
    edit(&broker, "\"info\"", "\"debug\"");
    reloaded(&broker, 1);
    drop(RawClient::accepted(broker.tcp, &connect_311("loud")));
    broker.wait_for_log(&["DEBUG", "connected", "loud"]);
    edit(&broker, "\"debug\"", "\"error\"");
    reloaded(&broker, 2);
    // Told before it holds.
    broker.wait_for_log(&["reloaded", "changed=1"]);
    let before = broker.log().len();
    drop(RawClient::accepted(broker.tcp, &connect_311("silent")));
    edit(&broker, "\"error\"", "\"errr\"");
    broker.signal("HUP");
    broker.wait_for_log(&["ERROR", "reload:", "postbud.toml", "errr"]);
    let log = broker.log();
    assert_eq!(log.iter().find(|it| it.contains("silent")), None);
    assert!(
        log[before..].iter().all(|it| it.contains("ERROR")),
        "{log:#?}"
    );
}

#[test]
fn how_often_sys_is_published_holds_at_once() {
    let broker = Broker::configured(&format!("{ANONYMOUS}[sys]\ninterval = 0\n"));
    let mut client = RawClient::accepted(broker.tcp, &connect_311("client"));
    client.subscribe_311("$SYS/broker/uptime", 0);
    client.expect_nothing();
    edit(&broker, "interval = 0", "interval = 1");
    reloaded(&broker, 1);
    for _ in 0..2 {
        assert_eq!(client.packet()[0] & 0xf0, 0x30);
    }
}

#[test]
fn who_may_connect_holds_at_once() {
    let broker = Broker::configured(ANONYMOUS);
    let old = RawClient::accepted(broker.tcp, &connect_311("old"));
    edit(&broker, "anonymous = true", "anonymous = false");
    reloaded(&broker, 1);
    let mut new = RawClient::connect(broker.tcp);
    new.send(&connect_311("new"));
    new.expect(&[0x20, 0x02, 0x00, 0x05]);
    edit(&broker, "anonymous = false", "anonymous = true");
    reloaded(&broker, 2);
    RawClient::accepted(broker.tcp, &connect_311("new"));
    drop(old);
}

// Breaks if: what was decided before a reload outlives it, on a connection that was there.
#[test]
fn what_a_client_may_do_holds_at_once_while_it_is_connected() {
    let rules = Folder::new();
    let file = rules.write("acl", "topic readwrite a/#\ntopic readwrite b/#\n");
    let acl = format!("[acl]\nmosquitto_file = {file:?}\n");
    let broker = Broker::configured(&format!("{ANONYMOUS}{acl}"));
    let mut client = RawClient::accepted(broker.tcp, &connect_311("client"));
    for filter in ["a/1", "b/1"] {
        client.subscribe_311(filter, 0);
        client.send(&publish_311(filter, b"before"));
        client.expect(&publish_311(filter, b"before"));
    }
    rules.write("acl", "topic readwrite b/#\n");
    reloaded(&broker, 1);
    client.send(&publish_311("a/1", b"after"));
    client.send(&publish_311("b/1", b"after"));
    client.expect(&publish_311("b/1", b"after"));
    // A file that is wrong leaves those in force that were.
    rules.write("acl", "topic readwrite b/#\ntopc readwrite a/#\n");
    broker.signal("HUP");
    broker.wait_for_log(&["ERROR", "reload:", "acl:2"]);
    client.send(&publish_311("a/1", b"later"));
    client.send(&publish_311("b/1", b"later"));
    client.expect(&publish_311("b/1", b"later"));
}

// Breaks if: a good half of a file is put in force, or a wrong one is not told with its place.
#[test]
fn a_wrong_file_changes_nothing_and_is_told_with_its_place() {
    let rest = format!("{ANONYMOUS}[session]\nreceive_maximum = 77\n");
    let broker = Broker::configured(&rest);
    reloaded(&broker, 1);
    let (_, metrics) = get(broker.http, "/metrics");
    let last =
        crate::support::metrics::sample(&metrics, "postbud_reload_last_success_timestamp_seconds");
    let last = last.filter(|seconds| *seconds > 0.0).expect("it went well");
    let good = fs::read_to_string(file(&broker)).expect("it is there");
    let line = good.lines().count() + 1;
    let failure = "postbud_reloads_total{result=\"failure\"}";
    for (count, (wrong, place)) in (1..).zip([
        ("[queue]\nmessages = 0\n", format!(":{}:12:", line + 1)),
        ("[queue]\nmesages = 1\n", format!(":{}:1:", line + 1)),
        ("[queue]\nmessages =\n", format!(":{}:11:", line + 1)),
    ]) {
        let better = good.replace("= 77", "= 33");
        write(&broker, &format!("{better}{wrong}"));
        broker.signal("HUP");
        broker.wait_for_log(&["ERROR", "reload:", &format!("postbud.toml{place}")]);
        broker.wait_for_samples(&[
            (failure, f64::from(count)),
            ("postbud_reload_failing", 1.0),
            ("postbud_reload_last_success_timestamp_seconds", last),
        ]);
        drop(told_receive_maximum(&broker, "client", 77));
    }
    write(&broker, &good.replace("= 77", "= 33"));
    reloaded(&broker, 2);
    told_receive_maximum(&broker, "client", 33);
}

/// Runs `postbud ctl reload` in the broker's folder.
fn ctl_reload(broker: &Broker) -> Finished {
    let mut command = broker::command(broker.folder.path());
    command.args(["ctl", "--socket", "control", "reload"]);
    command.stdin(Stdio::null());
    Process::start(command).finish()
}

#[test]
fn who_asks_for_a_reload_is_told_what_came_of_it() {
    let control = "[control]\nsocket = \"control\"\n";
    let broker = Broker::configured(&format!(
        "{ANONYMOUS}{control}[queue]\nmessages = 10\n[store]\ndurability = \"memory\"\n"
    ));
    broker.wait_for_log(&["kind=control"]);
    let finished = ctl_reload(&broker);
    let nothing = "no setting is different; the files that they name were read again";
    assert_eq!(
        (finished.code, finished.stdout),
        (Some(0), vec![nothing.into()])
    );
    edit(&broker, "messages = 10", "messages = 20");
    edit(&broker, "\"memory\"", "\"write\"");
    let finished = ctl_reload(&broker);
    let restart = "store.durability: \"memory\" -> \"write\"  needs a restart";
    assert_eq!(finished.code, Some(0));
    assert_eq!(finished.stdout, ["queue.messages: 10 -> 20", restart]);
    broker.wait_for_log(&["WARN", "store.durability", "needs a restart"]);
    // Until then it is told each time.
    assert_eq!(ctl_reload(&broker).stdout, [restart]);
    edit(&broker, "messages = 20", "messages = none");
    let finished = ctl_reload(&broker);
    assert_eq!((finished.code, finished.stdout), (Some(1), vec![]));
    let said = finished.stderr.join("\n");
    assert!(
        said.starts_with("postbud: ") && said.contains("postbud.toml:"),
        "{said}"
    );
}

/// Sends QoS 1 messages and takes them again, for as long as `more` says; returns how many.
fn exchange(broker: &Broker, more: impl Fn() -> bool) -> u32 {
    let mut reader = RawClient::accepted(broker.tcp, &connect_311("reader"));
    reader.subscribe_311("storm", 1);
    let mut writer = RawClient::accepted(broker.tcp, &connect_311("writer"));
    let mut count: u32 = 0;
    while more() || count < 100 {
        count += 1;
        let id = u16::try_from(count % 60_000 + 1).expect("a Packet Identifier");
        writer.send(&publish_311_qos1(id, "storm", &count.to_be_bytes()));
        writer.expect(&puback_311(id));
        let (id, payload) = published_311_qos1(&reader.packet());
        assert_eq!(payload, count.to_be_bytes(), "in order and complete");
        reader.send(&puback_311(id));
    }
    count
}

// Breaks if: a reload loses a connection or a message, or two of them get in each other's way.
#[test]
fn a_storm_of_reloads_under_load_loses_nothing() {
    let broker = Broker::configured(&format!("{ANONYMOUS}[queue]\nmessages = 100\n"));
    let over = AtomicBool::new(false);
    let messages = thread::scope(|scope| {
        let traffic = scope.spawn(|| exchange(&broker, || !over.load(Ordering::Acquire)));
        for round in 0..60 {
            let (before, after) = (100 + round, 101 + round);
            edit(
                &broker,
                &format!("messages = {before}"),
                &format!("messages = {after}"),
            );
            // One signal that comes while another waits is the same.
            broker.signal("HUP");
            broker.signal("HUP");
        }
        let failure = "postbud_reloads_total{result=\"failure\"}";
        broker.wait_for_log(&["reload: queue.messages: ", "-> 160"]);
        broker.wait_for_samples(&[(failure, 0.0), ("postbud_sessions_connected", 2.0)]);
        over.store(true, Ordering::Release);
        traffic.join().expect("nothing is lost")
    });
    assert!(messages >= 100);
    broker.wait_for_samples(&[
        (
            "postbud_messages_total{direction=\"sent\",qos=\"1\"}",
            messages.into(),
        ),
        ("postbud_connections_opened_total", 2.0),
    ]);
}

/// The file is a pipe here: the broker reads on only when the test writes.
#[test]
fn a_signal_during_the_start_is_obeyed_after_it() {
    let folder = Folder::new();
    let pipe = folder.path().join("pipe.toml");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("coreutils").success());
    let mut command = broker::command(folder.path());
    command.arg("--config").arg(&pipe);
    let process = Process::start(command);
    let text = |maximum: u8| {
        format!(
            "[[listener]]\nkind = \"tcp\"\naddress = \"127.0.0.1:0\"\n[auth]\nanonymous = true\n\
             [http]\naddress = \"\"\n[store]\ndurability = \"memory\"\n\
             [session]\nreceive_maximum = {maximum}\n"
        )
    };
    let mut first = fs::File::options();
    let mut first = first.write(true).open(&pipe).expect("somebody reads");
    process.signal("HUP");
    process.signal("HUP");
    std::io::Write::write_all(&mut first, text(77).as_bytes()).expect("somebody reads");
    drop(first);
    process.wait_for("the reload", |line| line.contains("SIGHUP: reloading"));
    fs::write(&pipe, text(33)).expect("somebody reads");
    process.wait_for("its end", |line| line.contains("reloaded"));
    let mut client = RawClient::connect(broker::listening(&process, "tcp"));
    client.send(&connect_5("client"));
    let connack = client.packet();
    assert!(tells_receive_maximum(&connack, 33), "{connack:02x?}");
}

#[test]
fn a_signal_during_the_stop_changes_nothing() {
    let broker = Broker::configured(&format!("{ANONYMOUS}[limits]\ndrain_timeout = \"1h\"\n"));
    let mut client = RawClient::accepted(broker.tcp, &connect_5("client"));
    broker.signal("TERM");
    // 0x8B, Server shutting down: as long as this end is open, the broker waits for it a little.
    assert_eq!(client.packet()[2], 0x8b);
    edit(&broker, "\"1h\"", "1h");
    broker.signal("HUP");
    drop(client);
    let finished = broker.finish();
    assert_eq!(finished.code, Some(0));
    let failed = finished.stderr.iter().find(|it| it.contains("ERROR"));
    assert_eq!(failed, None);
}
