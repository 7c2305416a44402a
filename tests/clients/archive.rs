//! `postbud store`: the program over a store that no broker has open.

use std::fs::File;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::support::broker::command;
use crate::support::folder::Folder;

const LINES: &str = include_str!("../../src/store/archive/golden-lines-1.jsonl");

/// Runs `postbud store` with these words, and this on its standard input.
fn store(home: &Folder, words: &[&str], input: &str) -> Output {
    let input = home.write("input", input);
    let mut command = command(home.path());
    command.arg("store").args(words);
    command.stdin(Stdio::from(File::open(input).expect("it was written")));
    command.output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// The exit code, and what was said on standard output and standard error.
fn said(output: &Output) -> (Option<i32>, String, String) {
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn flip(folder: &Path, at: usize) {
    let file = folder.join("0000000001.log");
    let mut bytes = std::fs::read(&file).expect("a file of records");
    bytes[at] ^= 1;
    std::fs::write(&file, bytes).expect("it can be written");
}

// Breaks if: a store cannot be taken out and put together again by the program.
#[test]
fn in_and_out_and_in_again() {
    let home = Folder::new();
    let (code, out, err) = said(&store(&home, &["import", "one"], LINES));
    assert_eq!((code, &*out), (Some(0), ""), "{err}");
    assert_eq!(
        err,
        "postbud: one: imported 1 sessions, 1 groups and 4 messages (1 retained)\n"
    );
    let (code, out, err) = said(&store(&home, &["export", "one"], ""));
    assert_eq!((code, &*out, &*err), (Some(0), LINES, ""));
    let (code, _, err) = said(&store(&home, &["import", "one"], LINES));
    assert_eq!(code, Some(1));
    assert!(
        err.starts_with("postbud: one: there is something in it"),
        "{err}"
    );
    let cut = LINES.replace("\"qos\":2", "\"qos\":3");
    let (code, _, err) = said(&store(&home, &["import", "two"], &cut));
    assert_eq!(
        (code, &*err),
        (Some(1), "postbud: two: line 3: qos is 0, 1 or 2\n")
    );
}

// Breaks if: what is in a store is not told, or not as people and programs read it.
#[test]
fn what_is_in_it() {
    let home = Folder::new();
    store(&home, &["import", "one"], LINES);
    let (code, out, err) = said(&store(&home, &["inspect", "one"], ""));
    assert_eq!((code, &*err), (Some(0), ""));
    for line in [
        "store         one, format 1",
        "last heard of 2023-11-14 22:13:20Z",
        "sessions      1 with 1 subscriptions, 2 messages in flight and 1 queued",
        "groups        1 with 1 messages waiting",
        "retained      1 messages",
        "delayed       1 messages",
        "messages      4",
        "damage        none",
    ] {
        assert!(out.lines().any(|it| it == line), "{line} in\n{out}");
    }
    let (code, out, _) = said(&store(&home, &["verify", "--json", "one"], ""));
    assert_eq!(code, Some(0));
    let start = "{\"format\":1,\"clock\":1700000000000,\"next_number\":12,\"sessions\":1,";
    assert!(out.starts_with(start), "{out}");
    assert!(out.contains("\"message_bytes\":15,"), "{out}");
    assert!(out.ends_with("\"damage\":[],\"notes\":[]}\n"), "{out}");
}

// Breaks if: damage is passed over, or not told by the exit code.
#[test]
fn what_is_damaged() {
    let home = Folder::new();
    store(&home, &["import", "one"], LINES);
    flip(&home.path().join("one"), 4096 + 100);
    let (code, out, err) = said(&store(&home, &["verify", "one"], ""));
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(
        out.contains("DAMAGED       0000000001.log is damaged from byte 4128 to "),
        "{out}"
    );
    assert!(out.contains("1 entries were lost"), "{out}");
    assert_eq!(err, "postbud: one: the store is damaged: see above\n");
    let (code, _, err) = said(&store(&home, &["export", "one"], ""));
    assert_eq!(code, Some(1));
    assert!(
        err.starts_with("postbud: one: 0000000001.log is damaged"),
        "{err}"
    );
    // Looking is not judging.
    assert_eq!(said(&store(&home, &["inspect", "one"], "")).0, Some(0));
    let (code, _, err) = said(&store(&home, &["inspect", "nothing"], ""));
    assert_eq!(code, Some(1));
    assert!(
        err.starts_with("postbud: nothing: the store cannot be opened: No such file"),
        "{err}"
    );
}
