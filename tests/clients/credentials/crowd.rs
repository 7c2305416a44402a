//! A crowd at the door: how many passwords wait for their check is bounded, and nobody else notices.

use super::{connect, told, with_passwords};
use crate::support::broker::Broker;
use crate::support::folder::Folder;
use crate::support::raw::RawClient;

/// Hashes that take about a quarter of a second each; the password is `secret`. Made with Python's hashlib.
const SLOW: &str = "anna:$7$400000$AAECAwQFBgcICQoL$3WP+4gCci8bAOz9okrktQE6ET0Hr9eh7AgRzay3hAl4lcqEkA2omWTm7ZMh7k3vxKPx4UbnRBdGOti3Xrhd5xw==\n";

const BUSY: &str = "postbud_connects_refused_total{reason=\"server_busy\"}";

fn broker(folder: &Folder) -> Broker {
    let file = folder.write("users", SLOW);
    with_passwords(&file, "checks_at_once = 1\nchecks_waiting = 3\n")
}

// Breaks if: the line before the checks has no end, or a check is done by a thread that serves clients.
#[test]
fn a_crowd_is_served_or_told_that_the_broker_is_busy() {
    let folder = Folder::new();
    let broker = broker(&folder);
    let hello = |id: &str| connect(5, id, Some("anna"), Some(b"secret"));
    let mut witness = RawClient::accepted(broker.tcp, &hello("witness"));
    let mut crowd: Vec<(u8, RawClient)> = (0..40)
        .map(|number: u8| {
            let version = if number.is_multiple_of(2) { 4 } else { 5 };
            let user = if number.is_multiple_of(3) {
                "anna"
            } else {
                "nobody"
            };
            let mut client = RawClient::connect(broker.tcp);
            let id = format!("c{number}");
            client.send(&connect(version, &id, Some(user), Some(b"secret")));
            (version, client)
        })
        .collect();
    witness.expect_nothing();
    let (mut busy, mut checked) = (0, 0);
    for (version, client) in &mut crowd {
        let code = client.packet()[3];
        match (*version, code) {
            (4, 3) | (5, 0x89) => busy += 1,
            (_, 0) | (4, 4) | (5, 0x86) => checked += 1,
            _ => panic!("{code:#x} to a client of version {version}"),
        }
        witness.expect_nothing();
    }
    assert!(checked >= 1 && busy >= 1, "{checked} checked, {busy} busy");
    broker.wait_for_samples(&[(BUSY, f64::from(busy))]);
    broker.wait_for_log(&["refused", "server_busy", "127.0.0.1:"]);
    // And it is over with them.
    assert_eq!(told(&broker, 5, Some("anna"), Some(b"secret"))[3], 0);
}

// Breaks if: a stopping broker waits for passwords of clients that it will not let in.
#[test]
fn a_broker_stops_while_passwords_wait() {
    let folder = Folder::new();
    let broker = broker(&folder);
    let mut crowd: Vec<RawClient> = (0..4)
        .map(|number| {
            let mut client = RawClient::connect(broker.tcp);
            let id = format!("c{number}");
            client.send(&connect(5, &id, Some("anna"), Some(b"secret")));
            client
        })
        .collect();
    broker.signal("TERM");
    for client in &mut crowd {
        client.packets_until_closed();
    }
    assert_eq!(broker.finish().code, Some(0));
}
