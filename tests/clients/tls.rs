//! TLS with clients that others wrote: certificates of clients, names, tickets, and files that change while
//! clients are connected.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::limits::{Witness, read_to_close};
use crate::reload;
use crate::support::DEADLINE;
use crate::support::broker::Broker;
use crate::support::certificates::{Authority, Leaf, expired};
use crate::support::folder::Folder;
use crate::support::process::{Finished, Process};
use crate::support::raw::{RawClient, connect_311, narrow, packet, string};
use crate::support::tls;

/// A broker with a TLS listener of its own, beside those that every broker here has.
struct House {
    home: Folder,
    servers: Authority,
    clients: Authority,
    broker: Broker,
    /// Where that listener is.
    door: SocketAddr,
}

/// What each listener here looks after every 100 ms.
const WATCHED: &str = "reload_interval = \"100ms\"\n";

impl House {
    /// Starts one whose listener has these settings, and the broker those.
    #[track_caller]
    fn start(settings: &str, rest: &str) -> Self {
        Self::start_with(&format!("{WATCHED}{settings}"), rest)
    }

    /// As [`Self::start`], of a listener that has nothing else.
    #[track_caller]
    fn start_with(settings: &str, rest: &str) -> Self {
        let home = Folder::new();
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let server = servers.server(&["localhost", "127.0.0.1"]);
        let [certificate, key] = put(&home, "server", &server);
        let other = servers.server(&["*.example.com"]);
        let [second_certificate, second_key] = put(&home, "other", &other);
        home.write("ca.pem", servers.pem());
        home.write("clients.pem", clients.pem());
        home.write("crl.pem", clients.revoke(&[66]));
        let settings = settings.replace("HOME", &home.path().display().to_string());
        let broker = Broker::configured(&format!(
            "[[listener]]\nkind = \"tls\"\naddress = \"127.0.0.1:0\"\n[listener.tls]\n\
             certificate = [{certificate:?}, {second_certificate:?}]\n\
             key = [{key:?}, {second_key:?}]\n{settings}\n{rest}"
        ));
        let all = broker.log();
        let mut tls = all
            .iter()
            .filter(|line| line.contains("listening kind=tls"));
        let line = tls.nth(1).expect("it listens on both");
        let mut words = line.split_whitespace();
        let address = words.find_map(|word| word.strip_prefix("address="));
        let door = address.and_then(|address| address.parse().ok());
        let door = door.expect("an address");
        Self {
            home,
            servers,
            clients,
            broker,
            door,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A certificate of a client with this name and number.
    fn client(&self, name: &str, serial: u64) -> Leaf {
        self.clients.client(name, serial, |_| {})
    }

    /// Publishes with mosquitto_pub, which shows this certificate, or none.
    #[track_caller]
    fn publish(&self, leaf: Option<&Leaf>) -> Finished {
        let mut command = Command::new("mosquitto_pub");
        let port = self.door.port().to_string();
        command.args(["-h", "localhost", "-p", &port, "-t", "a", "-m", "b"]);
        command
            .args(["-q", "1", "--cafile"])
            .arg(self.path("ca.pem"));
        if let Some(leaf) = leaf {
            let [certificate, key] = put(&self.home, "client", leaf);
            command.arg("--cert").arg(certificate);
            command.arg("--key").arg(key);
        }
        Process::start(command).finish()
    }

    /// The value of a sample of that listener's; `more` are the labels behind its name.
    fn sample(&self, family: &str, more: &str) -> String {
        format!("{family}{{listener=\"tls:{}\"{more}}}", self.door)
    }

    /// Waits until the files have been read again so often, and whether they are right now.
    #[track_caller]
    fn wait_for_reloads(&self, count: f64, failing: bool) {
        let reloads = self.sample("postbud_tls_reloads_total", ",result=\"success\"");
        let state = self.sample("postbud_tls_reload_failing", "");
        let failing = f64::from(u8::from(failing));
        self.broker
            .wait_for_samples(&[(&reloads, count), (&state, failing)]);
    }

    /// Connects with TLS; what it speaks with, and the certificate that it was shown.
    #[track_caller]
    fn connect(&self, name: &str) -> (RawClient, Vec<u8>) {
        let socket = TcpStream::connect_timeout(&self.door, DEADLINE).expect("the port is bound");
        let stream = tls::connect(socket, &self.path("ca.pem"));
        let shown = stream.conn.peer_certificates().expect("a certificate");
        let shown = shown[0].to_vec();
        let mut client = RawClient::over(stream);
        client.open(&connect_311(name));
        (client, shown)
    }
}

/// Writes a certificate and its key, and returns where they are.
fn put(folder: &Folder, name: &str, leaf: &Leaf) -> [PathBuf; 2] {
    [
        folder.write(&format!("{name}.pem"), &leaf.certificate),
        folder.write(&format!("{name}.key"), &leaf.key),
    ]
}

const DEMANDING: &str = "client_certificate = \"required\"\nclient_ca = \"HOME/clients.pem\"\n\
                         crl = [\"HOME/crl.pem\"]\nuser_from = \"common-name\"\n";

#[test]
fn only_sound_certificates_of_the_right_authority_come_in() {
    let house = House::start(DEMANDING, "");
    let stranger = Authority::new("clients").client("anna", 7, |_| {});
    let late = house.clients.client("anna", 8, expired);
    let nobody = house.clients.client("anna", 9, |parameters| {
        parameters.distinguished_name = rcgen::DistinguishedName::new();
    });
    for (leaf, reason) in [
        (None, "peer sent no certificates"),
        (Some(&stranger), "invalid peer certificate"),
        (Some(&house.client("anna", 66)), "Revoked"),
        (Some(&late), "expired"),
    ] {
        let finished = house.publish(leaf);
        assert_ne!(finished.code, Some(0), "{reason}: it came in");
        house.broker.wait_for_log(&["TLS handshake failed", reason]);
    }
    let errors = "postbud_connections_closed_total{reason=\"tls_error\"}";
    house
        .broker
        .wait_for_samples(&[(errors, 4.0), ("postbud_connects_accepted_total", 0.0)]);
    let finished = house.publish(Some(&house.client("anna", 7)));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    // Nobody is anonymous here: it is the name in the certificate that opens the door.
    let finished = house.publish(Some(&nobody));
    assert_ne!(finished.code, Some(0), "it has no name");
    house
        .broker
        .wait_for_log(&["no user for a client", "common-name"]);
    house.broker.wait_for_samples(&[
        (errors, 4.0),
        ("postbud_connects_accepted_total", 1.0),
        (
            "postbud_connects_refused_total{reason=\"not_authorized\"}",
            1.0,
        ),
    ]);
}

#[test]
fn a_certificate_can_be_left_to_the_client() {
    let settings = DEMANDING.replace("required", "optional");
    let house = House::start(&settings, "[auth]\nanonymous = true\n");
    assert_eq!(house.publish(None).code, Some(0));
    assert_eq!(house.publish(Some(&house.client("anna", 7))).code, Some(0));
    assert_ne!(house.publish(Some(&house.client("anna", 66))).code, Some(0));
    house
        .broker
        .wait_for_log(&["TLS handshake failed", "Revoked"]);
}

/// Runs `openssl s_client` with what is in this file as its input.
#[track_caller]
fn openssl(house: &House, arguments: &[&str], input: &Path) -> String {
    let mut command = Command::new("sh");
    let script = "input=$1; shift; exec openssl s_client \"$@\" < \"$input\"";
    command.args(["-c", script, "sh"]).arg(input);
    command.args(["-connect", &house.door.to_string(), "-CAfile"]);
    command.arg(house.path("ca.pem")).args(arguments);
    let finished = Process::start(command).finish();
    [finished.stdout, finished.stderr].concat().join("\n")
}

#[test]
fn openssl_is_shown_the_certificate_of_the_name_it_asks_for() {
    let house = House::start("", "");
    let nothing = house.home.write("nothing", "");
    for (name, subject) in [
        ("localhost", "localhost"),
        ("mqtt.example.com", "*.example.com"),
        ("a.mqtt.example.com", "localhost"),
        ("example.org", "localhost"),
    ] {
        let said = openssl(&house, &["-servername", name], &nothing);
        let subject = format!("subject=CN = {subject}");
        assert!(said.contains(&subject), "{name} without {subject}:\n{said}");
    }
    let said = openssl(&house, &["-noservername"], &nothing);
    assert!(said.contains("subject=CN = localhost"), "{said}");
}

/// Connects, says that it is there and goodbye; whether it got a CONNACK, and all that openssl says.
#[track_caller]
fn visit(house: &House, version: &str, arguments: &[&str]) -> (bool, String) {
    let connect = house.home.write("connect", {
        // The topic of a PUBLISH that nobody is subscribed to, as QoS 1: its PUBACK can be told from text.
        let publish = packet(0x32, &[&string("a")[..], &[0x57, 0x58]].concat());
        [connect_311("visitor"), publish, vec![0xe0, 0x00]].concat()
    });
    let certificate = house.path("visitor.pem").display().to_string();
    let key = house.path("visitor.key").display().to_string();
    let own = [
        version,
        "-servername",
        "localhost",
        "-ign_eof",
        "-cert",
        &certificate,
        "-key",
        &key,
    ];
    let said = openssl(house, &[&own[..], arguments].concat(), &connect);
    (said.contains("@\u{2}WX"), said)
}

#[test]
fn a_ticket_opens_no_door_to_a_revoked_certificate() {
    for (version, number) in [("-tls1_3", 1.0), ("-tls1_2", 2.0)] {
        let house = House::start(DEMANDING, "");
        put(&house.home, "visitor", &house.client("visitor", 7));
        let session = house.path("session").display().to_string();
        let (accepted, said) = visit(&house, version, &["-sess_out", &session]);
        assert!(accepted && said.contains("New, TLSv1."), "{said}");
        let (accepted, said) = visit(&house, version, &["-sess_in", &session]);
        assert!(accepted && said.contains("Reused, TLSv1."), "{said}");

        let (_, _) = visit(&house, version, &["-sess_out", &session]);
        house.home.write("crl.pem", house.clients.revoke(&[66, 7]));
        house.wait_for_reloads(1.0, false);
        let (accepted, said) = visit(&house, version, &["-sess_in", &session]);
        assert!(!accepted, "{number}: {said}");
        house
            .broker
            .wait_for_log(&["TLS handshake failed", "Revoked"]);
        house
            .broker
            .wait_for_samples(&[("postbud_connects_accepted_total", 3.0)]);
    }
}

#[test]
fn certificates_come_and_go_while_clients_stay() {
    let house = House::start("", "[auth]\nanonymous = true\n");
    let (mut first, shown_first) = house.connect("first");
    // Written over, one file after the other.
    put(&house.home, "server", &house.servers.server(&["localhost"]));
    house.wait_for_reloads(1.0, false);
    let (mut second, shown_second) = house.connect("second");
    assert_ne!(shown_second, shown_first);

    // A wrong one changes nothing, however it is wrong.
    let stranger = Authority::new("servers").server(&["localhost"]);
    for wrong in ["no certificate", &stranger.certificate] {
        let failures = house.sample("postbud_tls_reloads_total", ",result=\"failure\"");
        let (_, before) = crate::support::http::get(house.broker.http, "/metrics");
        let before = crate::support::metrics::sample(&before, &failures).expect("it is there");
        let wrong = house.home.write("wrong.pem", wrong);
        fs::rename(wrong, house.path("server.pem")).expect("a file to replace");
        house.broker.wait_for_samples(&[(&failures, before + 1.0)]);
        house.wait_for_reloads(1.0, true);
        let (_, shown) = house.connect("meanwhile");
        assert_eq!(shown, shown_second);
    }
    house
        .broker
        .wait_for_log(&["ERROR", "certificates stay as they are", "server.pem"]);

    // The right one, renamed into its place.
    let third = house.servers.server(&["localhost"]);
    let [certificate, key] = put(&house.home, "next", &third);
    fs::rename(key, house.path("server.key")).expect("a file to replace");
    fs::rename(certificate, house.path("server.pem")).expect("a file to replace");
    house.wait_for_reloads(2.0, false);
    let (mut third, shown_third) = house.connect("third");
    assert!(![&shown_first, &shown_second].contains(&&shown_third));
    for client in [&mut first, &mut second, &mut third] {
        client.expect_nothing();
    }
}

// Breaks if: a reload leaves certificates as they were, or applies the rest of what came with a wrong one.
#[test]
fn a_reload_takes_certificates_and_all_else_or_nothing() {
    let rest = "[auth]\nanonymous = true\n[session]\nreceive_maximum = 77\n";
    let house = House::start_with("reload_interval = 0\n", rest);
    let broker = &house.broker;
    let (mut first, shown_first) = house.connect("first");
    put(&house.home, "server", &house.servers.server(&["localhost"]));
    reload::reloaded(broker, 1);
    let (mut second, shown_second) = house.connect("second");
    assert_ne!(shown_second, shown_first);

    house.home.write("server.pem", "no certificate");
    reload::edit(broker, "= 77", "= 33");
    broker.signal("HUP");
    broker.wait_for_samples(&[
        ("postbud_reloads_total{result=\"failure\"}", 1.0),
        ("postbud_reload_failing", 1.0),
    ]);
    broker.wait_for_log(&["ERROR", "server.pem"]);
    let (_, shown) = house.connect("third");
    assert_eq!(shown, shown_second);
    reload::told_receive_maximum(broker, "fourth", 77);

    put(&house.home, "server", &house.servers.server(&["localhost"]));
    reload::reloaded(broker, 2);
    let (_, shown) = house.connect("fifth");
    assert!(![&shown_first, &shown_second].contains(&&shown));
    reload::told_receive_maximum(broker, "sixth", 33);
    for client in [&mut first, &mut second] {
        client.expect_nothing();
    }
}

#[test]
fn until_when_certificates_are_good_is_told() {
    let house = House::start(DEMANDING, "");
    let soon = house.clients.client("server", 5, |parameters| {
        let week =
            std::time::SystemTime::now() + std::time::Duration::from_secs((7 * 24 + 12) * 3600);
        parameters.not_after = week.into();
    });
    let (_, metrics) = crate::support::http::get(house.broker.http, "/metrics");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("a time after 1970").as_secs_f64();
    let month = now + 29.0 * 24.0 * 3600.0..now + 31.0 * 24.0 * 3600.0;
    for (family, file) in [
        ("certificate_expiry", "server.pem"),
        ("certificate_expiry", "other.pem"),
        ("client_ca_expiry", "clients.pem"),
        ("crl_next_update", "crl.pem"),
    ] {
        let file = format!(",file=\"{}\"", house.path(file).display());
        let name = house.sample(&format!("postbud_tls_{family}_timestamp_seconds"), &file);
        let value = crate::support::metrics::sample(&metrics, &name);
        let value = value.unwrap_or_else(|| panic!("no {name} in\n{metrics}"));
        let is_far = family == "certificate_expiry" && value > month.end;
        assert!(is_far || month.contains(&value), "{name}: {value}");
    }
    put(&house.home, "other", &soon);
    house
        .broker
        .wait_for_log(&["WARN", "other.pem", "expires in 7 days"]);
}

/// Slow and silent ones, before the handshake and in the middle of it.
#[test]
fn slow_handshakes_end_in_time_and_harm_nobody() {
    let patience = "[auth]\nanonymous = true\n[limits]\nconnect_timeout = \"2s\"\n";
    let house = House::start("", patience);
    let mut witness = Witness::new(house.broker.tcp);
    let hello = tls::client_hello(&house.path("ca.pem"));
    let slow = (0..300).map(|number| {
        use std::io::Write;
        let mut stream = narrow(house.door);
        let part = number % hello.len();
        stream.write_all(&hello[..part]).expect("it is open");
        stream
    });
    let slow: Vec<_> = slow.collect();
    let (mut client, _) = house.connect("quick");
    witness.is_unharmed();
    for mut stream in slow {
        // Nothing but an alert is said to who says nothing.
        assert!(read_to_close(&mut stream).len() < 10);
    }
    client.expect_nothing();
    witness.is_unharmed();
    let closed = "postbud_connections_closed_total{reason=\"no_connect\"}";
    house
        .broker
        .wait_for_samples(&[(closed, 300.0), ("postbud_connections", 2.0)]);
}
