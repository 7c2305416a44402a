//! Keeps the list of mutants usable: `mutants.py` tries them, which takes an hour; this takes a moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use toml::{Table, Value};

use super::statements::{prefix_of, tests};

/// The fewest that would tell anything about the tests as a whole.
const FEWEST: usize = 40;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All mutants, as they are written down.
fn mutants() -> Vec<Table> {
    let mut mutants = Vec::new();
    for entry in fs::read_dir(root().join("tests/conformance/mutants")).expect("the folder") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a list of mutants");
        let list: Table = text
            .parse()
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let entries = list["mutant"].as_array().expect("[[mutant]]");
        mutants.extend(
            entries
                .iter()
                .map(|entry| entry.as_table().expect("a table").clone()),
        );
    }
    mutants
}

fn text<'a>(table: &'a Table, key: &str) -> &'a str {
    table
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no `{key}` in {table}"))
}

fn list<'a>(table: &'a Table, key: &str) -> Vec<&'a str> {
    let values = table.get(key).and_then(Value::as_array);
    let values = values.into_iter().flatten().filter_map(Value::as_str);
    values.collect()
}

/// The tests that have to notice a mutant: those named, or those named after its statements.
fn watchers<'a>(mutant: &'a Table, tests: &'a BTreeMap<String, String>) -> Vec<&'a str> {
    let named = list(mutant, "tests");
    if !named.is_empty() {
        return named;
    }
    let mut watchers = Vec::new();
    for statement in list(mutant, "statements") {
        let (version, id) = statement.split_once(' ').expect("version and number");
        let prefix = prefix_of(version, id);
        let before = watchers.len();
        watchers.extend(
            tests
                .keys()
                .map(String::as_str)
                .filter(|it| it.starts_with(&prefix)),
        );
        assert!(
            watchers.len() > before,
            "{}: {statement} has no test",
            text(mutant, "name")
        );
    }
    watchers
}

#[test]
fn every_mutant_finds_its_place_in_the_source() {
    let mut names = BTreeSet::new();
    for mutant in mutants() {
        let name = text(&mutant, "name");
        assert!(
            names.insert(name.to_owned()),
            "two mutants are called {name}"
        );
        let further = mutant.get("also").and_then(Value::as_array);
        let further = further.into_iter().flatten().filter_map(Value::as_table);
        for edit in [&mutant].into_iter().chain(further) {
            let (file, find) = (text(edit, "file"), text(edit, "find"));
            let source = fs::read_to_string(root().join(file))
                .unwrap_or_else(|error| panic!("{name}: {file}: {error}"));
            let count = source.matches(find).count();
            assert_eq!(count, 1, "{name}: in {file} `{find}` has to be once");
            assert_ne!(find, text(edit, "replace"), "{name} changes nothing");
        }
    }
    assert!(names.len() >= FEWEST, "only {} mutants", names.len());
}

#[test]
fn every_file_of_tests_has_a_mutant_that_it_has_to_notice() {
    let tests = tests();
    let mut watched = BTreeSet::new();
    for mutant in mutants() {
        assert!(!list(&mutant, "statements").is_empty(), "{mutant}");
        for test in watchers(&mutant, &tests) {
            let file = tests.get(test);
            watched.insert(file.unwrap_or_else(|| panic!("{test} does not exist")));
        }
    }
    let files: BTreeSet<_> = tests.values().collect();
    let unwatched: Vec<_> = files.difference(&watched).collect();
    assert!(unwatched.is_empty(), "no mutant for {unwatched:?}");
}
