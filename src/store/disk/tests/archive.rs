//! A store that nobody has open: looked at, taken out as lines, and put together again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::Disk;
use super::super::engine::Engine;
use super::super::options::Options;
use super::super::segments::files;
use super::contract::{Folder, recall};
use super::model::{Model, say};
use super::random::fill;
use super::small;
use crate::store::archive::report::{Error, ImportError, Imported};
use crate::store::archive::{export, import, inspect, verify};

const GOLDEN: &str = include_str!("../../archive/golden-lines-1.jsonl");

/// A store with whatever a seed makes of it.
fn made(folder: &Path, seed: u64) -> Model {
    let files = files::Disk::new(folder).expect("a folder");
    let (mut engine, _) = Engine::open(files, small(), 1000).expect("opens");
    let model = fill(&mut engine, seed, 1500);
    engine.log.close().expect("closed");
    model
}

fn exported(folder: &Path) -> String {
    let mut text = Vec::new();
    let damage = export(folder, &mut text).expect("exported");
    assert_eq!(damage, Vec::<String>::new());
    String::from_utf8(text).expect("lines of text")
}

/// All files and what is in them.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.insert(path.clone(), std::fs::read(&path).expect("a file"));
        }
    }
    all
}

// Breaks if: anything of the state is left out on the way out or in, or comes in another order.
#[test]
fn what_was_exported_and_imported_is_exported_again() {
    let home = Folder::new("export");
    for seed in 3000..3012 {
        let (old, new) = (
            home.0.join(format!("{seed}-old")),
            home.0.join(format!("{seed}-new")),
        );
        let mut model = made(&old, seed);
        let text = exported(&old);
        import(&new, &mut text.as_bytes()).expect("imported");
        assert_eq!(exported(&new), text, "seed {seed}");
        model.restart();
        let (disk, state, _) = Disk::open(&new, Options::default()).expect("opens");
        let found = say(&state, |number| recall(&disk, number));
        assert_eq!(found, model.found(), "seed {seed}");
    }
}

// Breaks if: a line of an older export is read differently.
#[test]
fn every_kind_of_line_is_taken() {
    let home = Folder::new("golden");
    let imported = import(&home.0, &mut GOLDEN.as_bytes()).expect("imported");
    let expected = Imported {
        messages: 4,
        delayed: 1,
        retained: 1,
        sessions: 1,
        subscriptions: 1,
        in_flight: 2,
        queued: 1,
        groups: 1,
        backlog: 1,
    };
    assert_eq!(imported, expected);
    assert_eq!(exported(&home.0), GOLDEN);
}

// Breaks if: looking at a store locks it for ever, cuts, marks or moves anything in it.
#[test]
fn looking_changes_nothing() {
    let home = Folder::new("look");
    made(&home.0, 7);
    let before = contents(&home.0);
    let counted = inspect(&home.0).expect("inspected");
    assert_eq!((counted.format, counted.damage.len()), (1, 0));
    assert!(counted.sessions > 0 && counted.messages > 0, "{counted:?}");
    assert!(!counted.segments.is_empty() && counted.entries > 0);
    let verified = verify(&home.0).expect("verified");
    assert!(verified.message_bytes > Some(0));
    assert_eq!(counted.messages, verified.messages);
    exported(&home.0);
    assert!(contents(&home.0) == before, "a file has changed");
}

// Breaks if: what a broker writes at the moment is read as if it lay still, or the other way round.
#[test]
fn a_store_in_use_is_not_looked_at() {
    let home = Folder::new("in-use");
    let (disk, ..) = Disk::open(&home.0, Options::default()).expect("opens");
    let refused = |it: Result<_, Error>| it.map(|_| ()).expect_err("in use").to_string();
    assert_eq!(
        refused(inspect(&home.0).map(|_| ())),
        "the store is in use by another process"
    );
    drop(disk);
    inspect(&home.0).expect("it lies still");
    let nothing = home.0.join("nothing");
    assert!(refused(inspect(&nothing).map(|_| ())).contains("No such file"));
    assert!(!nothing.exists(), "looking makes no folder");
    std::fs::create_dir(&nothing).expect("a folder");
    assert!(refused(verify(&nothing).map(|_| ())).contains("there is no store in it"));
}

// Breaks if: a flipped byte is not found, or what is left cannot be taken out.
#[test]
fn damage_is_named_and_the_rest_is_exported() {
    let home = Folder::new("damage");
    made(&home.0, 8);
    let names = std::fs::read_dir(&home.0).expect("a folder");
    let mut logs: Vec<_> = names.map(|it| it.expect("an entry").path()).collect();
    logs.retain(|it| it.extension().is_some_and(|it| it == "log"));
    logs.sort();
    let mut bytes = std::fs::read(&logs[0]).expect("a file");
    bytes[4096 + 300] ^= 0x40;
    std::fs::write(&logs[0], &bytes).expect("written");
    let before = contents(&home.0);
    let found = verify(&home.0).expect("verified");
    let name = logs[0]
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    let named = |it: &String| it.starts_with(&name) && it.contains("entries were lost");
    assert!(found.damage.iter().any(named), "{:?}", found.damage);
    let mut text = Vec::new();
    let damage = export(&home.0, &mut text).expect("exported");
    assert_eq!(damage, found.damage);
    assert!(contents(&home.0) == before, "a file has changed");
    let new = home.0.join("new");
    import(&new, &mut &text[..]).expect("what is left is whole in itself");
}

/// What is said of the golden lines with one of them changed; the folder is empty again.
fn refusal(home: &Folder, from: &str, to: &str) -> String {
    let text = GOLDEN.replacen(from, to, 1);
    assert_ne!(text, GOLDEN, "{from}");
    let error = import(&home.0, &mut text.as_bytes()).expect_err(to);
    assert!(contents(&home.0).is_empty(), "something is left");
    assert_eq!(std::fs::read_dir(&home.0).expect("a folder").count(), 0);
    error.to_string()
}

/// What is changed in the golden lines, to what, and how what is said of it begins.
const REFUSALS: &[(&str, &str, &str)] = &[
    (
        "\"format\":1",
        "\"format\":2",
        "line 1: format 2; expected 1",
    ),
    (
        "{\"kind\":\"header\"",
        "{\"kind\":\"haeder\"",
        "line 1: column",
    ),
    (
        "\"number\":5",
        "\"number\":12",
        "line 2: the number 12 is not below next_number, 12",
    ),
    (
        "\"number\":6",
        "\"number\":5",
        "line 3: messages come first",
    ),
    (
        "\"topic\":\"a/b\"",
        "\"topic\":\"a/#\"",
        "line 2: \"a/#\" is no Topic Name",
    ),
    ("\"qos\":1", "\"qos\":3", "line 2: qos is 0, 1 or 2"),
    ("\"AAH/\"", "\"AAH\"", "line 2: "),
    ("\"AQE=\"", "\"AQI=\"", "line 2: the properties are not"),
    ("\"publisher\":\"p\",", "\"publisher\":7,", "line 4: "),
    (
        "{\"kind\":\"retained\"",
        "{\"kind\":\"message\"",
        "line 4: only what is retained",
    ),
    (
        "\"number\":2",
        "\"number\":0",
        "line 6: the number 0 is none",
    ),
    (
        "\"will\",\"session\":2",
        "\"will\",\"session\":3",
        "line 7: it does not follow session 3",
    ),
    (
        "$share/g/a/#",
        "$share/g/a/#/b",
        "line 8: \"$share/g/a/#/b\" is no Topic Filter",
    ),
    (
        "\"retain_handling\":2",
        "\"retain_handling\":3",
        "line 8: qos and retain_handling",
    ),
    (
        "\"id\":7",
        "\"id\":0",
        "line 9: a Packet Identifier is not 0",
    ),
    (
        "\"message\":5",
        "\"message\":4",
        "line 10: there is no message 4",
    ),
    (
        "\"subscription_ids\":[9]",
        "\"subscription_ids\":[0]",
        "line 10: a Subscription",
    ),
    (
        "\"id\":2,\"qos\":2",
        "\"id\":1,\"qos\":2",
        "line 11: the id 1 is in flight",
    ),
    (
        "\"queued\",\"session\":2",
        "\"queued\",\"session\":9",
        "line 12: it does not follow 9",
    ),
    (
        "\"number\":3",
        "\"number\":2",
        "line 13: the number 2 is in use",
    ),
    (
        "\"backlog\",\"group\":3",
        "\"backlog\",\"group\":2",
        "line 14: it does not follow 2",
    ),
    (
        "\"lines\":14",
        "\"lines\":13",
        "line 15: 14 lines before this one, not 13",
    ),
    (
        "{\"kind\":\"end\",\"lines\":14}\n",
        "",
        "line 15: the lines end without an `end`",
    ),
    (
        "\"queued\",\"session\":2,\"message\":6",
        "\"queued\",\"session\":2,\"message\":5",
        "line 15: 1 messages are for nobody",
    ),
    (
        "{\"kind\":\"message\",\"number\":8",
        "{\"kind\":\"retained\",\"number\":8",
        "line 5: what is to be published later",
    ),
];

// Breaks if: a line that is not right is taken, or its number or what is wrong with it is not said.
#[test]
fn what_is_not_right_is_refused_with_its_line() {
    let home = Folder::new("refuse");
    for (from, to, expected) in REFUSALS {
        let said = refusal(&home, from, to);
        assert!(said.starts_with(expected), "{said}; expected {expected}");
    }
}

// Breaks if: an import writes into a store that is there.
#[test]
fn only_an_empty_folder_is_imported_into() {
    let home = Folder::new("not-empty");
    import(&home.0, &mut GOLDEN.as_bytes()).expect("imported");
    let before = contents(&home.0);
    let again = import(&home.0, &mut GOLDEN.as_bytes());
    assert!(matches!(again, Err(ImportError::NotEmpty)), "{again:?}");
    assert!(contents(&home.0) == before, "a file has changed");
}
