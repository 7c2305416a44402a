//! Clients in other languages: paho-mqtt in Python and MQTT.js, each a script that does one feature and
//! says in one line what went wrong. `tests/setup.sh` installs what they import.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::support::DEADLINE;
use crate::support::broker::Broker;
use crate::support::certificates::Certificates;
use crate::support::folder::Folder;
use crate::support::process::Process;
use crate::support::websocket::{WS, WSS};
use crate::{Feature, Version};

/// The folder of the tests.
const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

/// Does a feature with paho-mqtt.
pub fn paho(version: Version, feature: Feature) {
    let tests = Path::new(TESTS);
    let mut command = Command::new(tests.join(".tools/paho/bin/python"));
    // Byte code beside the script would be a file of the checkout.
    command
        .arg("-B")
        .arg(tests.join("clients/paho/features.py"));
    run(command, version, feature, Over::Tcp);
}

/// Does a feature with MQTT.js.
pub fn mqttjs(version: Version, feature: Feature) {
    run(node(), version, feature, Over::Tcp);
}

/// Does a feature with MQTT.js in a WebSocket.
pub fn mqttjs_in_websocket(version: Version, feature: Feature) {
    run(node(), version, feature, Over::WebSocket);
}

fn node() -> Command {
    let tests = Path::new(TESTS);
    let mut command = Command::new("node");
    command.env("NODE_PATH", tests.join(".tools/mqttjs/node_modules"));
    command.arg(tests.join("clients/mqttjs/features.cjs"));
    command
}

/// What a client connects over; with TLS in between where the feature is that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Tcp,
    WebSocket,
}

fn run(mut command: Command, version: Version, feature: Feature, over: Over) {
    let broker = Broker::configured(&format!("[auth]\nanonymous = true\n{WS}{WSS}"));
    let (plain, secure) = match over {
        Over::Tcp => (broker.tcp, broker.tls),
        Over::WebSocket => (broker.listening("ws"), broker.listening("wss")),
    };
    let port = |address: SocketAddr| address.port().to_string();
    // The script's own deadline comes first: it knows what it was waiting for.
    let deadline = (DEADLINE - DEADLINE / 5).as_secs().to_string();
    command.args([feature.name(), "--version", version.number()]);
    command.args(["--host", "127.0.0.1", "--deadline", &deadline]);
    let elsewhere = Folder::new();
    if feature == Feature::Tls {
        let stranger = Certificates::generate(&elsewhere);
        command.arg("--ca").arg(&broker.certificates.authority);
        command.arg("--stranger").arg(&stranger.authority);
        command.args(["--port", &port(secure)]);
    } else {
        command.args(["--port", &port(plain)]);
    }
    if over == Over::WebSocket {
        command.args(["--path", "/mqtt"]);
    }
    Process::start(command).succeed();
}

impl Feature {
    /// As the scripts call it.
    fn name(self) -> &'static str {
        match self {
            Self::Qos0 => "qos0",
            Self::Qos1 => "qos1",
            Self::Qos2 => "qos2",
            Self::Retained => "retained",
            Self::Will => "will",
            Self::PersistentSession => "persistent_session",
            Self::SharedSubscription => "shared_subscription",
            Self::Tls => "tls",
        }
    }
}

impl Version {
    /// The protocol level in CONNECT.
    fn number(self) -> &'static str {
        match self {
            Self::V31 => "3",
            Self::V311 => "4",
            Self::V5 => "5",
        }
    }
}
