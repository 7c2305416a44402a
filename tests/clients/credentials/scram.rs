//! SCRAM-SHA-256 over MQTT 5, with a client whose cryptography is Python's.

use std::path::PathBuf;

use super::{passwd, script, told, with_passwords};
use crate::support::broker::Broker;
use crate::support::folder::Folder;
use crate::support::raw::{RawClient, packet, string};

const METHOD: &str = "SCRAM-SHA-256";

/// Method and data, as properties with their length.
fn properties(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("data of the protocol");
    let method = [&[0x15], &string(METHOD)[..]].concat();
    let data = [&[0x16], &length.to_be_bytes()[..], data].concat();
    // The remaining length of a packet is written like that of properties.
    packet(0, &[method, data].concat()).split_off(1)
}

fn connect(client_id: &str, user: Option<&str>, data: &str) -> Vec<u8> {
    let flags = if user.is_some() { 0x82 } else { 0x02 };
    let header = [&b"\x00\x04MQTT\x05"[..], &[flags, 0, 60]].concat();
    let user = user.map(string).unwrap_or_default();
    let body = [header, properties(data.as_bytes()), string(client_id), user].concat();
    packet(0x10, &body)
}

fn auth(code: u8, data: &str) -> Vec<u8> {
    packet(0xf0, &[&[code], &properties(data.as_bytes())[..]].concat())
}

/// The Authentication Data of a packet, which is text that begins with a letter and an equals sign.
#[track_caller]
fn data(packet: &[u8]) -> String {
    let text = String::from_utf8_lossy(packet);
    assert!(text.contains(METHOD), "{text:?}");
    let begins = |it: &[u8]| it[0] == 0x16 && matches!(it[3], b'r' | b'v') && it[4] == b'=';
    let at = packet.windows(5).position(begins);
    let at = at.unwrap_or_else(|| panic!("no data in {text:?}"));
    let length = usize::from(u16::from_be_bytes([packet[at + 1], packet[at + 2]]));
    String::from_utf8(packet[at + 3..at + 3 + length].to_vec()).expect("text")
}

/// Whom a client says it is, and with what.
#[derive(Clone, Copy)]
struct Claim<'a> {
    user: &'a str,
    password: &'a str,
    gs2: &'a str,
}

impl<'a> Claim<'a> {
    fn of(user: &'a str, password: &'a str) -> Self {
        Self {
            user,
            password,
            gs2: "n,,",
        }
    }

    /// The whole first message.
    fn first(&self) -> String {
        format!("{}n={},r=nonce-of-the-client", self.gs2, self.user)
    }

    /// The last message, and what the server has to prove then.
    #[track_caller]
    fn last(&self, server_first: &str) -> (String, String) {
        assert!(
            server_first.starts_with("r=nonce-of-the-client"),
            "{server_first}"
        );
        let first = self.first();
        let arguments = [
            "proof",
            self.password,
            self.gs2,
            &first[self.gs2.len()..],
            server_first,
        ];
        let mut lines = script("scram.py", &arguments, "").into_iter();
        let mut next = || lines.next().expect("two lines");
        (next(), next())
    }

    /// Goes as far as the answer to the client's last message; whether that proves what it must is checked
    /// if it is an acceptance.
    #[track_caller]
    fn connect(&self, broker: &Broker, user_name: Option<&str>) -> (RawClient, Vec<u8>) {
        let mut client = RawClient::connect(broker.tcp);
        client.send(&connect("c", user_name, &self.first()));
        let challenge = client.packet();
        assert_eq!(
            (challenge[0], challenge[2]),
            (0xf0, 0x18),
            "{challenge:02x?}"
        );
        let (last, proof) = self.last(&data(&challenge));
        client.send(&auth(0x18, &last));
        let connack = client.packet();
        assert_eq!(connack[0], 0x20, "{connack:02x?}");
        if connack[3] == 0 {
            assert_eq!(data(&connack), proof, "the broker knows the user, too");
        } else {
            client.expect_closed();
        }
        (client, connack)
    }
}

/// A whole exchange: the proof of the client, and that of a broker that knows the same password.
pub fn overheard(broker: &Broker, user: &str, password: &str) -> (String, String) {
    let claim = Claim::of(user, password);
    let mut client = RawClient::connect(broker.tcp);
    client.send(&connect("c", None, &claim.first()));
    let (last, signature) = claim.last(&data(&client.packet()));
    client.send(&auth(0x18, &last));
    client.packet();
    let (_, proof) = last.rsplit_once(",p=").expect("a proof");
    let signature = signature.trim_start_matches("v=");
    (proof.to_owned(), signature.to_owned())
}

/// A file that Python has made.
fn verifiers(folder: &Folder) -> PathBuf {
    let line = |user, password| {
        let arguments = ["verifier", user, password, "salt of the test", "4096"];
        script("scram.py", &arguments, "").concat()
    };
    let lines = [
        line("anna", "secret"),
        line("a=,b", "p\u{e6}:ss"),
        line("bo", "secret"),
    ];
    folder.write("verifiers", lines.join("\n"))
}

fn broker(folder: &Folder) -> Broker {
    let file = verifiers(folder);
    Broker::configured(&format!(
        "[auth.scram]\nfile = {file:?}\n[log]\nlevel = \"debug\"\n"
    ))
}

#[test]
fn a_client_proves_that_it_knows_its_password_and_so_does_the_broker() {
    let folder = Folder::new();
    let broker = broker(&folder);
    for (claim, user_name) in [
        (Claim::of("anna", "secret"), None),
        (Claim::of("anna", "secret"), Some("anna")),
        (Claim::of("a=3D=2Cb", "p\u{e6}:ss"), None),
        (
            Claim {
                gs2: "y,,",
                ..Claim::of("anna", "secret")
            },
            None,
        ),
        (
            Claim {
                gs2: "n,a=anna,",
                ..Claim::of("anna", "secret")
            },
            None,
        ),
    ] {
        let (mut client, connack) = claim.connect(&broker, user_name);
        assert_eq!(
            connack[3], 0,
            "{} {}: {connack:02x?}",
            claim.user, claim.gs2
        );
        client.expect_nothing();
    }
    broker.wait_for_log(&["connected", "user=\"a=,b\""]);
    // It is the only way in.
    assert_eq!(told(&broker, 5, Some("anna"), Some(b"secret"))[3], 0x87);
    assert_eq!(told(&broker, 4, Some("anna"), Some(b"secret"))[3], 5);
}

// Breaks if: it shows which names are known, or one user's password opens another's door.
#[test]
fn who_does_not_know_the_password_is_refused_like_who_is_not_known() {
    let folder = Folder::new();
    let broker = broker(&folder);
    let (_, wrong) = Claim::of("anna", "wrong").connect(&broker, None);
    assert_eq!(wrong[3], 0x87);
    for (claim, user_name) in [
        (Claim::of("nobody", "secret"), None),
        (Claim::of("anna", "secret"), Some("bo")),
        (
            Claim {
                gs2: "n,a=bo,",
                ..Claim::of("anna", "secret")
            },
            None,
        ),
    ] {
        let (_, answer) = claim.connect(&broker, user_name);
        assert_eq!(answer, wrong, "{} {user_name:?}", claim.user);
    }
    for first in [
        "p=tls-server-end-point,,n=anna,r=x",
        "n,,n=anna",
        "",
        "n,,m=x,n=anna,r=x",
    ] {
        let mut client = RawClient::connect(broker.tcp);
        client.send(&connect("c", None, first));
        assert_eq!(client.packet()[3], 0x82, "{first}");
        client.expect_closed();
    }
    broker.wait_for_log(&["refused", "127.0.0.1:", "not_authorized"]);
}

// Breaks if: somebody else's last message opens the door again.
#[test]
fn what_was_overheard_is_of_no_use() {
    let folder = Folder::new();
    let broker = broker(&folder);
    let claim = Claim::of("anna", "secret");
    let mut client = RawClient::connect(broker.tcp);
    client.send(&connect("c", None, &claim.first()));
    let (last, _) = claim.last(&data(&client.packet()));
    client.send(&auth(0x18, &last));
    assert_eq!(client.packet()[3], 0);
    let mut thief = RawClient::connect(broker.tcp);
    thief.send(&connect("d", None, &claim.first()));
    thief.packet();
    thief.send(&auth(0x18, &last));
    assert_eq!(thief.packet()[3], 0x82);
    thief.expect_closed();
    client.expect_nothing();
}

// [MQTT5-4.12.1-1] Breaks if: a connection can become another user's.
#[test]
fn a_client_authenticates_again_as_the_same_user_only() {
    let folder = Folder::new();
    let broker = broker(&folder);
    let (mut client, _) = Claim::of("anna", "secret").connect(&broker, None);
    let again = |client: &mut RawClient, claim: Claim<'_>| {
        client.send(&auth(0x19, &claim.first()));
        let (last, proof) = claim.last(&data(&client.packet()));
        client.send(&auth(0x18, &last));
        (client.packet(), proof)
    };
    let (answer, proof) = again(&mut client, Claim::of("anna", "secret"));
    assert_eq!(answer[0], 0xf0, "{answer:02x?}");
    assert_eq!(data(&answer), proof);
    client.expect_nothing();
    for (user, password) in [("bo", "secret"), ("anna", "wrong")] {
        let (mut client, _) = Claim::of("anna", "secret").connect(&broker, None);
        let (answer, _) = again(&mut client, Claim::of(user, password));
        assert_eq!(
            (answer[0], answer[2]),
            (0xe0, 0x87),
            "{user}: {answer:02x?}"
        );
        client.expect_closed();
    }
}

// Breaks if: the two files that `postbud passwd` writes at once are not of the same password.
#[test]
fn one_call_of_passwd_opens_both_doors() {
    let folder = Folder::new();
    let arguments = ["users", "anna", "--stdin", "--scram-file", "verifiers"];
    let (ok, said) = passwd(&folder, &arguments, "se,cr=t\n");
    assert!(ok, "{said}");
    let [users, verifiers] = ["users", "verifiers"].map(|name| folder.path().join(name));
    let scram = format!("[auth.scram]\nfile = {verifiers:?}\n");
    let broker = with_passwords(&users, &scram);
    let connack = told(&broker, 5, Some("anna"), Some(b"se,cr=t"));
    assert_eq!(connack[3], 0);
    let (_, connack) = Claim::of("anna", "se,cr=t").connect(&broker, None);
    assert_eq!(connack[3], 0);
    let (_, connack) = Claim::of("anna", "another").connect(&broker, None);
    assert_eq!(connack[3], 0x87);
}
