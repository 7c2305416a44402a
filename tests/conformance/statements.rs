//! Holds the list of statements against the tests: every statement has a test that exists, or a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const LIST: &str = include_str!("statements.tsv");
const COLUMNS: &str = "version\tid\twho\tobservable\tlevel\ttest\treason\tparaphrase";

/// One row of the list.
struct Statement {
    version: &'static str,
    id: &'static str,
    who: &'static str,
    observable: bool,
    level: &'static str,
    test: Option<&'static str>,
    reason: Option<&'static str>,
    paraphrase: &'static str,
}

fn statements() -> Vec<Statement> {
    let mut lines = LIST.lines();
    assert_eq!(lines.next(), Some(COLUMNS), "the columns");
    lines.map(statement).collect()
}

fn statement(line: &'static str) -> Statement {
    let fields: Vec<&str> = line.split('\t').collect();
    let [
        version,
        id,
        who,
        observable,
        level,
        test,
        reason,
        paraphrase,
    ] = fields[..]
    else {
        panic!("not eight columns: {line}")
    };
    let some = |text: &'static str| (!text.is_empty()).then_some(text);
    Statement {
        version,
        id,
        who,
        observable: observable == "yes",
        level,
        test: some(test),
        reason: some(reason),
        paraphrase,
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// The test functions that are named after a statement, and the files they are in.
pub fn tests() -> BTreeMap<String, String> {
    let mut tests = BTreeMap::new();
    for version in ["mqtt311", "mqtt5"] {
        for entry in fs::read_dir(folder().join(version)).expect("the folder of a version") {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("a source file");
            let file = path.file_name().expect("a name").to_string_lossy();
            let names = text.lines().filter_map(|line| line.strip_prefix("fn "));
            for name in names.filter_map(|rest| rest.split('(').next()) {
                if name.starts_with(version) {
                    let before = tests.insert(name.to_owned(), format!("{version}/{file}"));
                    assert_eq!(before, None, "two tests are called {name}");
                }
            }
        }
    }
    tests
}

fn prefix(statement: &Statement) -> String {
    prefix_of(statement.version, statement.id)
}

/// The beginning of the name of a statement's tests: `mqtt5_3_1_2_24_`.
pub fn prefix_of(version: &str, id: &str) -> String {
    let version = version.replace('.', "");
    format!("mqtt{version}_{}_", id.replace(['.', '-'], "_"))
}

#[test]
fn every_statement_is_listed_once() {
    let ids: BTreeSet<_> = statements().iter().map(|s| (s.version, s.id)).collect();
    assert_eq!(ids.len(), statements().len(), "an id is listed twice");
    let count = |version| ids.iter().filter(|(v, _)| *v == version).count();
    assert_eq!((count("5"), count("3.1.1")), (251, 141));
}

#[test]
fn every_statement_has_a_test_that_exists_or_a_reason() {
    let tests = tests();
    for statement in statements() {
        let id = prefix(&statement);
        assert!(
            ["must", "should", "may"].contains(&statement.level),
            "{id}: level {}",
            statement.level
        );
        match (statement.test, statement.reason) {
            (Some(test), None) => {
                assert!(test.starts_with(&id), "{test} is not named after {id}");
                assert!(tests.contains_key(test), "{test} does not exist");
            }
            (None, Some(_)) => {}
            (test, reason) => panic!("{id}: a test or a reason, not {test:?} and {reason:?}"),
        }
    }
}

#[test]
fn every_test_named_after_a_statement_says_what_breaks_it() {
    for (test, file) in tests() {
        let text = fs::read_to_string(folder().join(&file)).expect("a source file");
        let place = text.find(&format!("fn {test}(")).expect("the test");
        let above = &text[..place];
        let comment = above.rfind("\n}\n").map_or(above, |start| &above[start..]);
        assert!(comment.contains("#[test]"), "{file}: {test} is not a test");
        assert!(
            comment.contains("Breaks if:"),
            "{file}: {test} has no line `Breaks if:`"
        );
    }
}

#[test]
fn the_report_is_what_the_list_says() {
    let path = folder().join("REPORT.md");
    let report = report();
    if std::env::var_os("UPDATE_REPORT").is_some() {
        fs::write(&path, &report).expect("the report is written");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == report,
        "REPORT.md is old: run this test with UPDATE_REPORT=1 and commit it"
    );
}

fn report() -> String {
    let tests = tests();
    let statements = statements();
    let mut report = String::from(
        "# Statements and their tests\n\nGenerated from `statements.tsv`. B: binds both sides, S: the server, C: the client.\n",
    );
    for version in ["5", "3.1.1"] {
        let of: Vec<_> = statements.iter().filter(|s| s.version == version).collect();
        let covered = of.iter().filter(|s| s.test.is_some()).count();
        let observable = of.iter().filter(|s| s.observable).count();
        let _ = write!(
            report,
            "\n## MQTT {version}\n\n{} statements, {observable} of them observable from outside; {covered} have a test.\n\n\
             | id | who | statement | test, or why there is none |\n|---|---|---|---|\n",
            of.len(),
        );
        for statement in of {
            let how = match (statement.test, statement.reason) {
                (Some(test), _) => {
                    let file = tests.get(test).map_or("", String::as_str);
                    format!("`{file}`: `{test}`")
                }
                (None, reason) => reason.unwrap_or_default().to_owned(),
            };
            let (id, who, text) = (statement.id, statement.who, statement.paraphrase);
            let _ = writeln!(
                report,
                "| {id} | {who} | {} | {} |",
                text.replace('|', "\\|"),
                how.replace('|', "\\|")
            );
        }
    }
    report
}
