//! `postbud passwd`, from the shell to the broker.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{mosquitto_file, passwd, script, told, with_passwords};
use crate::support::broker;
use crate::support::folder::Folder;

// Breaks if: what is written is not what the broker reads, or anybody else's line is touched.
#[test]
fn a_user_is_added_changed_and_deleted_in_a_file_of_mosquitto() {
    let folder = Folder::new();
    let file = mosquitto_file(&folder, &[("old", "timer"), ("anna", "first")], "sha512");
    let of_mosquitto = fs::read_to_string(&file).expect("it was written");
    let path = file.to_str().expect("text");
    fs::write(&file, format!("# ours\n{of_mosquitto}")).expect("it is ours");
    for (user, password) in [("anna", "se:cret"), ("b\u{f8}rge", "p\u{e6}ss\r\nnot this")] {
        let (ok, said) = passwd(&folder, &[path, user, "--stdin"], password);
        assert!(ok, "{said}");
    }
    let now = fs::read_to_string(&file).expect("it is there");
    let lines: Vec<&str> = now.lines().collect();
    assert_eq!(lines[0], "# ours");
    assert_eq!(Some(lines[1]), of_mosquitto.lines().next());
    assert!(
        lines[2].starts_with("anna:$argon2id$v=19$m=19456,t=2,p=1$"),
        "{now}"
    );
    assert_eq!(lines.len(), 4);
    {
        let broker = with_passwords(&file, "");
        for (user, password, code) in [
            ("old", "timer", 0),
            ("anna", "se:cret", 0),
            ("anna", "first", 0x86),
            ("b\u{f8}rge", "p\u{e6}ss", 0),
        ] {
            let connack = told(&broker, 5, Some(user), Some(password.as_bytes()));
            assert_eq!(connack[3], code, "{user} {password}");
        }
    }
    let (ok, said) = passwd(&folder, &[path, "anna", "--delete"], "");
    assert!(ok, "{said}");
    let then = fs::read_to_string(&file).expect("it is there");
    assert_eq!(then, now.replace(&format!("{}\n", lines[2]), ""));
    let (ok, said) = passwd(&folder, &[path, "anna", "--delete"], "");
    assert!(!ok && said.contains("no user \"anna\""), "{said}");
}

// Breaks if: the password can be seen over somebody's shoulder, or a slip of the finger becomes one.
#[test]
fn a_password_is_typed_twice_and_not_shown() {
    let folder = Folder::new();
    let program = broker::command(folder.path());
    let program = program.get_program().to_str().expect("text");
    let file = folder.path().join("users");
    let path = file.to_str().expect("text");
    let typed = [
        "hidden-word",
        "hidden-word",
        "--",
        program,
        "passwd",
        path,
        "anna",
    ];
    let seen = script("typed.py", &typed, "").join("\n");
    assert!(seen.contains("Password for anna: "), "{seen}");
    assert!(!seen.contains("hidden-word"), "{seen}");
    let mode = fs::metadata(&file)
        .expect("it was made")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let broker = with_passwords(&file, "");
    let connack = told(&broker, 4, Some("anna"), Some(b"hidden-word"));
    assert_eq!(connack[3], 0);

    let before = fs::read(&file).expect("it was made");
    let shell = format!("{program} passwd {path} anna; echo code $?");
    let typed = ["one-word", "another", "--", "/bin/sh", "-c", &shell];
    let seen = script("typed.py", &typed, "").join("\n");
    assert!(
        seen.contains("not the same") && seen.contains("code 1"),
        "{seen}"
    );
    assert_eq!(fs::read(&file).expect("it is there"), before);
}

#[test]
fn what_cannot_be_is_refused() {
    let folder = Folder::new();
    for (arguments, password, why) in [
        (&["users", "a:b", "--stdin"][..], "x", "without a colon"),
        (&["users", "anna", "--stdin"], "", "1 to 65,535 bytes"),
        (&["users", "anna"], "secret", "try --stdin"),
        (
            &["verifiers", "anna", "--scram", "--stdin"],
            "a\u{7}b",
            "RFC 4013",
        ),
        (
            &["not/there", "anna", "--stdin"],
            "secret",
            "cannot be written",
        ),
        (&["users", "anna", "--delete"], "", "no user"),
    ] {
        // Without a terminal, as from a job at night.
        let mut command = std::process::Command::new("setsid");
        let program = broker::command(folder.path());
        command
            .arg("--wait")
            .arg(program.get_program())
            .arg("passwd");
        command.args(arguments).current_dir(folder.path());
        let (ok, _, said) = super::fed(command, password.as_bytes());
        assert!(!ok && said.contains(why), "{arguments:?}: {said}");
        assert!(said.starts_with("postbud: "), "{said}");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).expect("it is there").collect();
    assert!(left.is_empty(), "{left:?}");
}
