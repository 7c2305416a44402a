//! Listeners of their own kind: who is let in, which versions are spoken, mount points and limits.

use std::path::Path;
use std::process::Command;

use crate::reload;
use crate::support::broker::Broker;
use crate::support::process::Process;
use crate::support::raw::{RawClient, connect_311};

const LISTENERS: &str = r#"
[auth]
anonymous = false
[[listener]]
kind = "unix"
path = "outside.sock"
authentication = false
[[listener]]
kind = "unix"
path = "inside.sock"
authentication = false
versions = ["3.1.1", "5"]
mount = "floor/2/"
[listener.limits]
connections_maximum = 2
keep_alive_maximum = 7
"#;

fn mosquitto(program: &str, broker: &Broker, socket: &str, version: &str) -> Command {
    let socket = broker.folder.path().join(socket);
    let mut command = Command::new("stdbuf");
    command.args(["-oL", program, "-V", version, "--unix"]);
    command.arg(Path::new(&socket));
    command
}

fn subscriber(broker: &Broker, socket: &str, filter: &str) -> Process {
    let mut command = mosquitto("mosquitto_sub", broker, socket, "mqttv5");
    command.args(["-t", filter, "-d", "-F", "message %t %p"]);
    let subscriber = Process::start(command);
    subscriber.wait_for("SUBACK", |line| line.contains("received SUBACK"));
    subscriber
}

fn publish(broker: &Broker, socket: &str, topic: &str, payload: &str) {
    let mut command = mosquitto("mosquitto_pub", broker, socket, "mqttv311");
    command.args(["-q", "1", "-t", topic, "-m", payload]);
    Process::start(command).succeed();
}

// Breaks if: a key of a listener does not reach its clients, or reaches those of others.
#[test]
fn what_a_listener_says_holds_for_its_clients() {
    let broker = Broker::configured(LISTENERS);
    broker.wait_for_log(&["listening", "path=inside.sock"]);
    // By the others one has to prove who one is, and nobody can.
    let mut refused = RawClient::connect(broker.tcp);
    refused.send(&connect_311("c"));
    refused.expect(&[0x20, 2, 0, 5]);
    let outside = subscriber(&broker, "outside.sock", "#");
    let inside = subscriber(&broker, "inside.sock", "#");
    publish(&broker, "inside.sock", "lamp", "on");
    publish(&broker, "outside.sock", "floor/2/door", "open");
    publish(&broker, "outside.sock", "floor/3/door", "shut");
    let all = ["floor/2/lamp on", "floor/2/door open", "floor/3/door shut"];
    assert_eq!(outside.wait_for_lines(3, "message "), all);
    assert_eq!(
        inside.wait_for_lines(2, "message "),
        ["lamp on", "door open"]
    );
    let mut old = mosquitto("mosquitto_pub", &broker, "inside.sock", "mqttv31");
    old.args(["-t", "lamp", "-m", "off"]);
    let finished = Process::start(old).finish();
    assert_ne!(finished.code, Some(0), "MQTT 3.1 is not spoken there");
    // Nobody else is left.
    drop(refused);
    broker.wait_for_samples(&[("postbud_connections", 2.0)]);
    let _second = subscriber(&broker, "inside.sock", "lamp");
    let mut third = mosquitto("mosquitto_pub", &broker, "inside.sock", "mqttv5");
    third.args(["-t", "lamp", "-m", "off"]);
    let finished = Process::start(third).finish();
    assert_ne!(finished.code, Some(0), "there are two already");
    broker.wait_for_log(&["refused: too many connections", "inside.sock"]);
    publish(&broker, "outside.sock", "floor/2/lamp", "dim");
}

/// Whether mosquitto_pub gets in and rid of a message.
fn publishes(broker: &Broker, socket: &str, version: &str) -> bool {
    let mut command = mosquitto("mosquitto_pub", broker, socket, version);
    command.args(["-q", "1", "-t", "a", "-m", "b"]);
    Process::start(command).finish().code == Some(0)
}

// Breaks if: what the clients of a listener meet is not read again, or that of another listener is taken.
#[test]
fn what_a_listener_says_may_change_while_it_listens() {
    let broker = Broker::configured(LISTENERS);
    broker.wait_for_log(&["listening", "path=inside.sock"]);
    assert!(publishes(&broker, "inside.sock", "mqttv311"));
    assert!(publishes(&broker, "outside.sock", "mqttv311"));
    reload::edit(&broker, "[\"3.1.1\", \"5\"]", "[\"5\"]");
    reload::reloaded(&broker, 1);
    assert!(!publishes(&broker, "inside.sock", "mqttv311"));
    assert!(publishes(&broker, "inside.sock", "mqttv5"));
    assert!(publishes(&broker, "outside.sock", "mqttv311"));
    let open = "path = \"outside.sock\"\nauthentication = ";
    let (open, shut) = (format!("{open}false"), format!("{open}true"));
    reload::edit(&broker, &open, &shut);
    reload::reloaded(&broker, 2);
    assert!(!publishes(&broker, "outside.sock", "mqttv311"));
    assert!(publishes(&broker, "inside.sock", "mqttv5"));
}
