//! A file that mosquitto_passwd has written, used unchanged.

use std::process::Command;

use super::{fed, mosquitto_file, script, told, with_passwords};
use crate::support::DEADLINE;
use crate::support::broker::Broker;
use crate::support::folder::Folder;

/// Passwords that tempt parsers; mosquitto_passwd takes all of them.
const USERS: [(&str, &str); 4] = [
    ("anna", "secret"),
    ("b\u{f8}rge", "p\u{e6}:ss w$rd:"),
    ("two words", " "),
    ("empty", ""),
];

const KINDS: [&str; 2] = ["sha512-pbkdf2", "sha512"];

/// A broker with such a file, to which somebody has added a comment and an empty line.
fn broker(folder: &Folder, kind: &str) -> Broker {
    let file = mosquitto_file(folder, &USERS, kind);
    let written = std::fs::read_to_string(&file).expect("it was written");
    let file = folder.write("users", format!("# users: all of them\n\n{written}"));
    with_passwords(&file, "")
}

// Breaks if: somebody whom mosquitto lets in is kept out, or the other way round, in either format.
#[test]
fn users_of_mosquitto_are_let_in_with_their_passwords_only() {
    for kind in KINDS {
        let folder = Folder::new();
        let broker = broker(&folder, kind);
        for version in [4, 5] {
            for (user, password) in USERS {
                let connack = told(&broker, version, Some(user), Some(password.as_bytes()));
                assert_eq!(connack[3], 0, "{kind} {version} {user}");
                let almost = [password.as_bytes(), b"."].concat();
                for wrong in [&b"wrong"[..], b"Secret", &almost] {
                    let connack = told(&broker, version, Some(user), Some(wrong));
                    let code = if version == 5 { 0x86 } else { 4 };
                    assert_eq!(connack[3], code, "{kind} {version} {user} {wrong:?}");
                }
            }
        }
    }
}

// Breaks if: a client can see from the answer which user names there are.
#[test]
fn who_is_refused_is_not_told_why() {
    let folder = Folder::new();
    let broker = broker(&folder, KINDS[0]);
    for (version, wrong, nobody) in [(4, 4, 5), (5, 0x86, 0x87)] {
        for password in [Some(&b"wrong"[..]), Some(b""), None] {
            let known = told(&broker, version, Some("anna"), password);
            assert_eq!(known[3], wrong, "{version} {password:?}");
            for unknown in ["Anna", "anna ", "anna:", "", "#"] {
                let answer = told(&broker, version, Some(unknown), password);
                assert_eq!(answer, known, "{version} {unknown:?} {password:?}");
            }
        }
        // Who gives no name is nobody, and nobody is not let in.
        assert_eq!(told(&broker, version, None, None)[3], nobody);
    }
    assert_eq!(told(&broker, 5, None, Some(b"secret"))[3], 0x87);
    broker.wait_for_log(&["refused", "127.0.0.1:", "bad_user_name_or_password"]);
    let refused = "postbud_connects_refused_total{reason=\"bad_user_name_or_password\"}";
    broker.wait_for_samples(&[(refused, 36.0)]);
}

// Breaks if: the check of an unknown user's password is left out because it cannot be right.
#[test]
fn others_may_be_anonymous_beside_users() {
    let folder = Folder::new();
    let file = mosquitto_file(&folder, &USERS[..1], KINDS[0]);
    let broker = with_passwords(&file, "[auth]\nanonymous = true\n");
    for version in [4, 5] {
        assert_eq!(told(&broker, version, None, None)[3], 0);
        assert_eq!(told(&broker, version, Some("anna"), Some(b"secret"))[3], 0);
        let code = if version == 5 { 0x86 } else { 4 };
        for user in ["anna", "nobody"] {
            let connack = told(&broker, version, Some(user), Some(b"wrong"));
            assert_eq!(connack[3], code, "{user}");
        }
    }
}

#[test]
fn mosquitto_pub_publishes_as_a_user() {
    let folder = Folder::new();
    let broker = broker(&folder, KINDS[0]);
    let publish = |version: &str, user: &str, password: &str| {
        let mut command = Command::new("mosquitto_pub");
        command.args([
            "-V",
            version,
            "-h",
            "127.0.0.1",
            "-q",
            "1",
            "-t",
            "t",
            "-m",
            "m",
        ]);
        command.args([
            "-p",
            &broker.tcp.port().to_string(),
            "-u",
            user,
            "-P",
            password,
        ]);
        fed(command, b"")
    };
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        for (user, password) in USERS {
            let (ok, _, said) = publish(version, user, password);
            assert!(ok, "{version} {user}: {said}");
        }
        for (user, password) in [("anna", "wrong"), ("nobody", "secret")] {
            let (ok, _, said) = publish(version, user, password);
            let said = said.to_lowercase();
            let why = "bad user name or password";
            assert!(!ok && said.contains(why), "{version} {user}: {said}");
        }
    }
}

#[test]
fn paho_connects_as_a_user() {
    let folder = Folder::new();
    let broker = broker(&folder, KINDS[0]);
    let (mut input, mut expected) = (String::new(), Vec::new());
    for version in [3, 4, 5] {
        let mut line = |user: &str, password: &str, answer: &str| {
            input.push_str(&format!("{version}\t{user}\t{password}\n"));
            expected.push(answer.to_owned());
        };
        for (user, password) in USERS {
            line(user, password, "Success");
        }
        for (user, password) in [("anna", "wrong"), ("nobody", "secret"), ("anna", "-")] {
            line(user, password, "Bad user name or password");
        }
        line("-", "-", "Not authorized");
    }
    let port = broker.tcp.port().to_string();
    let deadline = DEADLINE.as_secs().to_string();
    let answers = script("connects.py", &[&port, &deadline], &input);
    assert_eq!(answers, expected, "{input}");
}

#[test]
fn a_wrong_file_keeps_the_broker_from_starting_and_says_where() {
    let folder = Folder::new();
    let file = folder.write("users", "# fine\nanna:in-the-clear\n");
    let text = format!(
        "[[listener]]\nkind = \"tcp\"\naddress = \"127.0.0.1:0\"\n[http]\naddress = \"\"\n\
         [store]\ndurability = \"memory\"\n[auth.password]\nfile = {file:?}\n"
    );
    let config = folder.write("c.toml", text);
    for word in ["check", "serve"] {
        let mut command = crate::support::broker::command(folder.path());
        command.arg(word).arg("--config").arg(&config);
        let (ok, _, said) = fed(command, b"");
        let place = format!("postbud: {}:2: ", file.display());
        assert!(!ok && said.contains(&place), "{word}: {said}");
        assert!(!said.contains("in-the-clear"), "{word}: {said}");
    }
}
