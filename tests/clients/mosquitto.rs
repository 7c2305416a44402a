//! `mosquitto_pub` and `mosquitto_sub`, a process for each publication and each subscriber, as people use
//! them in a shell.

use std::path::Path;
use std::process::Command;

use crate::support::broker::Broker;
use crate::support::certificates::Certificates;
use crate::support::folder::Folder;
use crate::support::process::{self, Process};
use crate::{Feature, Version};

mod v31 {
    features!(super::run, crate::Version::V31);
}
mod v311 {
    features!(super::run, crate::Version::V311);
}
mod v5 {
    features!(super::run, crate::Version::V5);
}

/// What tells a message from the other lines of `mosquitto_sub -d`.
const PREFIX: &str = "message ";
const MARKER: &str = "the marker";

fn run(version: Version, feature: Feature) {
    let shell = Shell {
        broker: Broker::start(),
        version,
    };
    match feature {
        Feature::Qos0 => shell.transfer(0),
        Feature::Qos1 => shell.transfer(1),
        Feature::Qos2 => shell.transfer(2),
        Feature::Retained => shell.retained(),
        Feature::Will => shell.will(),
        Feature::PersistentSession => shell.persistent_session(),
        Feature::SharedSubscription => shell.shared_subscription(),
        Feature::Tls => shell.tls(),
    }
}

/// A shell beside a broker.
struct Shell {
    broker: Broker,
    version: Version,
}

impl Shell {
    /// A client program with all it needs to connect.
    fn client(&self, program: &str) -> Command {
        let version = match self.version {
            Version::V31 => "mqttv31",
            Version::V311 => "mqttv311",
            Version::V5 => "mqttv5",
        };
        // Without a terminal the C library would hold back what they print.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", program, "-V", version, "-h", "127.0.0.1"]);
        command.args(["-p", &self.broker.tcp.port().to_string()]);
        command
    }

    /// Starts a subscriber and waits until it has subscribed.
    #[track_caller]
    fn subscriber(&self, name: &str, filter: &str, qos: u8, more: &[&str]) -> Process {
        let mut command = self.client("mosquitto_sub");
        command.args(["-d", "-i", name, "-t", filter, "-q", &qos.to_string()]);
        command
            .args(["-F", &format!("{PREFIX}%t %q %r %x")])
            .args(more);
        let subscriber = Process::start(command);
        let granted = format!("Subscribed (mid: 1): {qos}");
        subscriber.wait_for(&granted, |line| line.contains(&granted));
        subscriber
    }

    /// Publishes and waits until the handshake of its QoS is over.
    #[track_caller]
    fn publish(&self, topic: &str, payload: &[u8], qos: u8, more: &[&str]) {
        let mut command = self.client("mosquitto_pub");
        command
            .args(["-t", topic, "-q", &qos.to_string()])
            .args(more);
        if payload.is_empty() {
            command.arg("-n");
        } else {
            command
                .arg("-f")
                .arg(self.broker.folder.write("payload", payload));
        }
        Process::start(command).succeed();
    }

    fn transfer(&self, qos: u8) {
        let mut payloads = vec![
            b"first".to_vec(),
            vec![],
            vec![0, 255, 254],
            vec![b'x'; 70_000],
        ];
        payloads.extend((0..8).map(|number: u8| vec![b'0' + number]));
        payloads.push(MARKER.into());
        let subscriber = self.subscriber("subscriber", "greenhouse/+/climate", qos, &[]);
        for payload in &payloads {
            self.publish("greenhouse/3/climate", payload, qos, &[]);
        }
        let topic = "greenhouse/3/climate";
        let expected: Vec<_> = payloads
            .iter()
            .map(|it| message(topic, it, qos, false))
            .collect();
        assert_eq!(subscriber.wait_for_lines(payloads.len(), PREFIX), expected);
    }

    fn retained(&self) {
        let live = self.subscriber("live", "doors/#", 1, &[]);
        self.publish("doors/front", b"open", 1, &["-r"]);
        self.publish("doors/front", b"shut", 1, &["-r"]);
        let later = self.subscriber("later", "doors/#", 1, &[]);
        let kept = message("doors/front", b"shut", 1, true);
        assert_eq!(later.wait_for_lines(1, PREFIX), [kept]);
        self.publish("doors/front", b"", 1, &["-r"]);
        let seen = [&b"open"[..], b"shut", b""].map(|it| message("doors/front", it, 1, false));
        assert_eq!(live.wait_for_lines(3, PREFIX), seen);
        let latest = self.subscriber("latest", "doors/#", 1, &[]);
        self.publish("doors/back", MARKER.as_bytes(), 1, &[]);
        let marker = message("doors/back", MARKER.as_bytes(), 1, false);
        assert_eq!(latest.wait_for_lines(1, PREFIX), [marker]);
    }

    fn will(&self) {
        let watcher = self.subscriber("watcher", "status/#", 1, &[]);
        let will = ["--will-payload", "gone", "--will-qos", "1", "--will-topic"];
        // With -E the client leaves as soon as it has subscribed, and says so to the broker.
        let polite = [&will[..], &["status/polite", "-E"]].concat();
        self.subscriber("polite", "nothing", 0, &polite).succeed();
        let lost = [&will[..], &["status/lost", "--will-retain"]].concat();
        self.subscriber("lost", "nothing", 0, &lost).kill();
        // Also the proof that the polite one's will was not published.
        let live = message("status/lost", b"gone", 1, false);
        assert_eq!(watcher.wait_for_lines(1, PREFIX), [live]);
        let later = self.subscriber("later", "status/#", 1, &[]);
        let kept = message("status/lost", b"gone", 1, true);
        assert_eq!(later.wait_for_lines(1, PREFIX), [kept]);
    }

    fn persistent_session(&self) {
        let keep: &[&str] = match self.version {
            Version::V5 => &["-c", "-x", "300"],
            Version::V31 | Version::V311 => &["-c"],
        };
        let subscribe_and_leave = [keep, &["-E"]].concat();
        self.subscriber("sleeper", "letters/#", 2, &subscribe_and_leave)
            .succeed();
        let mut expected = Vec::new();
        for number in 0..8 {
            // Order holds among messages of one QoS.
            let (topic, qos) = (format!("letters/{number}"), 1 + number / 4);
            self.publish(&topic, b"dear sleeper", qos, &[]);
            expected.push(message(&topic, b"dear sleeper", qos, false));
        }
        let awake = self.subscriber("sleeper", "letters/#", 2, keep);
        self.publish("letters/last", MARKER.as_bytes(), 2, &[]);
        expected.push(message("letters/last", MARKER.as_bytes(), 2, false));
        assert_eq!(awake.wait_for_lines(expected.len(), PREFIX), expected);
        awake.terminate();
        awake.finish();

        // A clean start forgets the subscription: what follows is lost, as it should be.
        self.subscriber("sleeper", "elsewhere", 2, &["-E"])
            .succeed();
        self.publish("letters/lost", b"dear nobody", 1, &[]);
        let forgetful = self.subscriber("sleeper", "letters/#", 2, keep);
        self.publish("letters/last", MARKER.as_bytes(), 1, &[]);
        let marker = message("letters/last", MARKER.as_bytes(), 1, false);
        assert_eq!(forgetful.wait_for_lines(1, PREFIX), [marker]);
    }

    fn shared_subscription(&self) {
        let member = |name| self.subscriber(name, "$share/workers/jobs/#", 1, &[]);
        let members = [member("member-1"), member("member-2")];
        let jobs: Vec<_> = (0..40).map(|number| format!("jobs/{number:02}")).collect();
        for job in &jobs {
            self.publish(job, b"work", 1, &[]);
        }
        let taken = process::wait_for_lines_of_all(&members, jobs.len(), PREFIX);
        assert!(
            taken.iter().all(|own| !own.is_empty()),
            "somebody is idle: {taken:?}"
        );
        let mut received = taken.concat();
        received.sort();
        let expected: Vec<_> = jobs
            .iter()
            .map(|job| message(job, b"work", 1, false))
            .collect();
        assert_eq!(received, expected, "every job once");
    }

    fn tls(&self) {
        let elsewhere = Folder::new();
        let stranger = Certificates::generate(&elsewhere);
        let port = self.broker.tls.port().to_string();
        let publish = |authority: &Path| {
            let mut command = self.client("mosquitto_pub");
            // The last port given counts.
            command.args([
                "-p", &port, "-t", "safe/box", "-q", "1", "-m", "gold", "--cafile",
            ]);
            Process::start({
                command.arg(authority);
                command
            })
        };
        let deceived = publish(&stranger.authority).finish();
        assert_ne!(
            deceived.code,
            Some(0),
            "a certificate of an unknown authority was accepted"
        );
        let authority = self
            .broker
            .certificates
            .authority
            .to_string_lossy()
            .into_owned();
        let options = ["-p", &port, "--cafile", &authority];
        let guarded = self.subscriber("guarded", "safe/#", 1, &options);
        publish(&self.broker.certificates.authority).succeed();
        let gold = message("safe/box", b"gold", 1, false);
        assert_eq!(guarded.wait_for_lines(1, PREFIX), [gold]);
    }
}

/// A message as `mosquitto_sub` prints it in these tests: topic, QoS, retain, payload in hexadecimal.
fn message(topic: &str, payload: &[u8], qos: u8, retain: bool) -> String {
    let payload: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{topic} {qos} {} {payload}", u8::from(retain))
}
