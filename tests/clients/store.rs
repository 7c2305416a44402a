//! The store's directory, as whoever starts the broker meets it: where it is, who has it, what is wrong
//! with it.

use std::fs;
use std::path::Path;

use crate::support::broker::{self, Broker};
use crate::support::folder::Folder;
use crate::support::process::{Finished, Process};
use crate::support::raw::{RawClient, connect_311, packet, string};

/// A configuration that stores in `path`.
fn storing(path: &Path, more: &str) -> String {
    format!("[auth]\nanonymous = true\n[store]\npath = {path:?}\n{more}")
}

/// Starts a broker that is not going to start.
fn refused(path: &Path, more: &str) -> Finished {
    let folder = Folder::new();
    let listener =
        "[[listener]]\nkind = \"tcp\"\naddress = \"127.0.0.1:0\"\n[http]\naddress = \"\"\n";
    let file = folder.write("c.toml", format!("{listener}{}", storing(path, more)));
    let mut command = broker::command(folder.path());
    command.arg("--config").arg(file);
    Process::start(command).finish()
}

/// Leaves retained messages in a store, several frames of them.
fn fill(path: &Path) {
    let broker = Broker::configured(&storing(path, ""));
    let mut client = RawClient::accepted(broker.tcp, &connect_311("client"));
    for number in 1..=20_u16 {
        let body = [
            &string(&format!("a/{number}"))[..],
            &number.to_be_bytes(),
            &[b'x'; 500],
        ];
        client.send(&packet(0x33, &body.concat()));
        client.expect(&packet(0x40, &number.to_be_bytes()));
    }
    assert_eq!(broker.stop().code, Some(0));
}

/// Flips a byte in the middle of what was written first.
fn damage(path: &Path) -> String {
    let mut logs: Vec<_> = fs::read_dir(path)
        .expect("it was made")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|it| it == "log"))
        .collect();
    logs.sort();
    let mut bytes = fs::read(&logs[0]).expect("it can be read");
    let at = bytes.windows(500).position(|it| it == [b'x'; 500]);
    bytes[at.expect("the first message is there") + 250] ^= 1;
    fs::write(&logs[0], bytes).expect("it can be written");
    let name = logs[0].file_name().expect("a file has a name");
    name.to_string_lossy().into_owned()
}

// Breaks if: the welcome does not say where state is kept, or the directory is not made.
#[test]
fn the_directory_is_made_and_told() {
    let folder = Folder::new();
    let path = folder.path().join("not/there/yet");
    let broker = Broker::configured(&storing(&path, ""));
    let path = path.canonicalize().expect("it was made");
    let place = format!("path={}", path.display());
    broker.wait_for_log(&["storing", &place, "durability=flush", "sessions=0"]);
    assert_eq!(broker.stop().code, Some(0));
}

// Breaks if: a broker that is to hold everything in memory opens the disk all the same.
#[test]
fn nothing_is_touched_if_nothing_is_stored() {
    let folder = Folder::new();
    let path = folder.path().join("data");
    let broker = Broker::configured(&storing(&path, "durability = \"memory\"\n"));
    broker.wait_for_log(&["storing nothing"]);
    assert_eq!(broker.stop().code, Some(0));
    assert!(!path.exists());
}

// Breaks if: one topic that is to be stored is not reason enough to open the disk.
#[test]
fn one_topic_is_enough_to_store() {
    let folder = Folder::new();
    let path = folder.path().join("data");
    let topic = "[[store.topics]]\nfilter = \"orders/#\"\ndurability = \"write\"\n";
    let more = format!("durability = \"memory\"\n{topic}");
    let broker = Broker::configured(&storing(&path, &more));
    broker.wait_for_log(&["storing path=", "durability=memory"]);
    assert!(path.is_dir());
}

// Breaks if: two processes can have one directory, or the second is not told why it cannot.
#[test]
fn a_second_process_is_refused_with_the_reason() {
    let folder = Folder::new();
    let path = folder.path().join("data");
    let broker = Broker::configured(&storing(&path, ""));
    let second = refused(&path, "");
    let told = second.stderr.join("\n");
    assert_eq!(second.code, Some(1), "{told}");
    let place = path.display().to_string();
    for word in [&place, "in use by another process"] {
        assert!(told.contains(word), "no `{word}` in {told}");
    }
    assert_eq!(broker.stop().code, Some(0));
    // The lock is gone with who had it.
    Broker::configured(&storing(&path, ""));
}

// Breaks if: a directory that cannot be made ends in a panic, or without its name.
#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let folder = Folder::new();
    let file = folder.write("file", "");
    let finished = refused(&file.join("data"), "");
    let told = finished.stderr.join("\n");
    assert_eq!(finished.code, Some(1), "{told}");
    let place = file.join("data").display().to_string();
    assert!(
        told.contains(&place) && !told.contains("panicked"),
        "{told}"
    );
}

// Breaks if: damage keeps the broker from starting, or is not told with its file.
#[test]
fn a_damaged_store_is_told_and_started_with() {
    let folder = Folder::new();
    let path = folder.path().join("data");
    fill(&path);
    let file = damage(&path);
    let broker = Broker::configured(&storing(&path, ""));
    broker.wait_for_log(&["ERROR", &file, "is damaged from byte", "lost"]);
    assert_eq!(broker.stop().code, Some(0));
}

// Breaks if: `strict` reaches nothing, or the refusal does not say what is damaged and what to do.
#[test]
fn a_damaged_store_is_refused_if_that_is_asked_for() {
    let folder = Folder::new();
    let path = folder.path().join("data");
    fill(&path);
    let file = damage(&path);
    let finished = refused(&path, "strict = true\n");
    let told = finished.stderr.join("\n");
    assert_eq!(finished.code, Some(1), "{told}");
    for word in [file.as_str(), "is damaged from byte", "strict = false"] {
        assert!(told.contains(word), "no `{word}` in {told}");
    }
}

// Breaks if: metrics are not given the store that is in use.
#[test]
fn what_is_stored_is_counted() {
    let folder = Folder::new();
    let path = folder.path().join("data");
    let broker = Broker::configured(&storing(&path, ""));
    let mut client = RawClient::accepted(broker.tcp, &connect_311("client"));
    let body = [&string("a")[..], &[0, 1], b"payload"].concat();
    client.send(&packet(0x33, &body));
    client.expect(&packet(0x40, &[0, 1]));
    broker.wait_for_samples(&[
        ("postbud_store_messages", 1.0),
        ("postbud_store_records_total", 1.0),
        ("postbud_store_failure{reason=\"full\"}", 0.0),
        ("postbud_store_failures_total", 0.0),
    ]);
}
