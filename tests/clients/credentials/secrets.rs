//! What nobody may read: passwords and what was made of them, in logs and metrics.

use super::{passwd, told, with_passwords};
use crate::support::folder::Folder;
use crate::support::http::get;
use crate::support::raw::{RawClient, connect_5};

/// Beginnings of what is looked for, each in its own words.
const RIGHT: &str = "right-and-secret";
const WRONG: &str = "wrong-and-secret";

// Breaks if: a password, a hash, a salt or a proof is logged at the level that logs most, or is a label.
#[test]
fn neither_passwords_nor_hashes_are_in_the_log_or_the_metrics() {
    let folder = Folder::new();
    let arguments = ["users", "anna", "--stdin", "--scram-file", "verifiers"];
    assert!(passwd(&folder, &arguments, RIGHT).0);
    let [users, verifiers] = ["users", "verifiers"].map(|name| folder.path().join(name));
    let rest = format!("[auth.scram]\nfile = {verifiers:?}\n[log]\nlevel = \"trace\"\n");
    let broker = with_passwords(&users, &rest);
    for version in [4, 5] {
        for (user, password, accepted) in [
            ("anna", RIGHT, true),
            ("anna", WRONG, false),
            ("nobody", WRONG, false),
        ] {
            let connack = told(&broker, version, Some(user), Some(password.as_bytes()));
            assert_eq!(connack[3] == 0, accepted, "{user} {password}");
        }
    }
    let (proof, signature) = super::scram::overheard(&broker, "anna", RIGHT);
    let (wrong_proof, _) = super::scram::overheard(&broker, "anna", WRONG);
    // What was logged before this is all there.
    RawClient::connect(broker.tcp).send(&connect_5("marker"));
    broker.wait_for_log(&["marker"]);

    let mut secrets: Vec<String> = vec![RIGHT.into(), WRONG.into(), proof, signature, wrong_proof];
    for file in [&users, &verifiers] {
        let text = std::fs::read_to_string(file).expect("it was written");
        let parts = text.trim().split(['$', ':']).filter(|part| part.len() > 16);
        secrets.extend(parts.filter(|part| !part.contains("m=")).map(str::to_owned));
    }
    assert!(secrets.len() >= 5 + 2 + 3, "{secrets:?}");
    let (_, metrics) = get(broker.http, "/metrics");
    let log = broker.log();
    assert!(log.iter().any(|line| line.contains("anna")), "it says who");
    for secret in secrets {
        let shown = log.iter().find(|line| line.contains(&secret));
        assert_eq!(shown, None, "{secret}");
        assert!(!metrics.contains(&secret), "{secret}");
        // Nor as the bytes of a packet.
        let bytes: Vec<String> = secret.bytes().take(8).map(|it| it.to_string()).collect();
        let shown = log.iter().find(|line| line.contains(&bytes.join(", ")));
        assert_eq!(shown, None, "{secret}");
    }
}
