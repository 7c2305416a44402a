//! A password file that changes while the broker runs.

use std::fs;

use super::{mosquitto_file, told, with_passwords};
use crate::support::broker::Broker;
use crate::support::folder::Folder;

/// Sends SIGHUP and waits until so many reloads have gone well, and so many not.
#[track_caller]
fn reload(broker: &Broker, well: u32, ill: u32) {
    broker.signal("HUP");
    broker.wait_for_samples(&[
        ("postbud_reloads_total{result=\"success\"}", well.into()),
        ("postbud_reloads_total{result=\"failure\"}", ill.into()),
    ]);
}

#[track_caller]
fn is_let_in(broker: &Broker, user: &str, password: &str) -> bool {
    told(broker, 5, Some(user), Some(password.as_bytes()))[3] == 0
}

// Breaks if: a password outlives the reload that took it away, or half of a reload is put in force.
#[test]
fn passwords_are_those_of_the_file_after_a_reload() {
    let folder = Folder::new();
    let file = mosquitto_file(
        &folder,
        &[("anna", "old"), ("bert", "word")],
        "sha512-pbkdf2",
    );
    let broker = with_passwords(&file, "[session]\nreceive_maximum = 77\n");
    assert!(is_let_in(&broker, "anna", "old"));
    mosquitto_file(&folder, &[("anna", "new")], "sha512-pbkdf2");
    assert!(is_let_in(&broker, "anna", "old"), "nobody has said so");
    reload(&broker, 1, 0);
    assert!(is_let_in(&broker, "anna", "new"));
    assert!(!is_let_in(&broker, "anna", "old"));
    assert!(!is_let_in(&broker, "bert", "word"));
    // One good change and a bad one: neither holds.
    let good = fs::read_to_string(&file).expect("it was written");
    fs::write(&file, "anna:$7$broken\n").expect("it is ours");
    let config = broker.folder.path().join("postbud.toml");
    let text = fs::read_to_string(&config).expect("it was started with it");
    fs::write(&config, text.replace("= 77", "= 33")).expect("it is ours");
    reload(&broker, 1, 1);
    let place = format!("{}:1", file.display());
    broker.wait_for_log(&["ERROR", "reload:", &place]);
    broker.wait_for_log(&["reload: nothing was changed"]);
    let connack = told(&broker, 5, Some("anna"), Some(b"new"));
    let maximum = |wanted: u8| connack.windows(3).any(|it| it == [0x21, 0, wanted]);
    assert!(connack[3] == 0 && maximum(77), "{connack:02x?}");
    let said = broker.log().join("\n");
    assert!(
        !said.contains("broken"),
        "what stands in the file is secret"
    );
    fs::write(&file, good).expect("it is ours");
    reload(&broker, 2, 1);
    let connack = told(&broker, 5, Some("anna"), Some(b"new"));
    let maximum = |wanted: u8| connack.windows(3).any(|it| it == [0x21, 0, wanted]);
    assert!(maximum(33), "{connack:02x?}");
}
