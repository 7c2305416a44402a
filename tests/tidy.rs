//! Style is a test, not a plea: the shape of the house, checked on its own source.
//!
//! `tidy/rules.rs` holds the rules and their constants (the floors of the house, the longest file), each
//! a function from the tree to its violations; `tidy/samples.rs` proves with bad samples that each can
//! fail; `tidy/source.rs` and `tidy/paths.rs` take the files apart. Only the standard library is used and
//! nothing is compiled, so this is the fastest test of all.

#[path = "tidy/paths.rs"]
mod paths;
#[path = "tidy/rules.rs"]
mod rules;
#[cfg(test)]
#[path = "tidy/samples.rs"]
mod samples;
#[path = "tidy/source.rs"]
mod source;

use std::path::Path;

use rules::Tree;

fn tree() -> Tree {
    Tree::read(Path::new(env!("CARGO_MANIFEST_DIR")))
}

#[track_caller]
fn check(rule: &str, violations: &[String]) {
    assert!(
        violations.is_empty(),
        "{rule}:\n  {}\n",
        violations.join("\n  ")
    );
}

#[test]
fn imports_run_downward() {
    let rule = "a room imports only from the floors below it";
    check(rule, &rules::imports_run_downward(&tree()));
}

#[test]
fn roofs_are_no_floors() {
    let rule = "a module gathers its children or carries them, never both";
    check(rule, &rules::roofs_are_no_floors(&tree()));
}

#[test]
fn no_file_is_orphan() {
    check(
        "every file of src is compiled",
        &rules::no_file_is_orphan(&tree()),
    );
}

#[test]
fn files_are_short() {
    check(
        "a long file is a room with two jobs",
        &rules::files_are_short(&tree()),
    );
}

#[test]
fn functions_are_short() {
    check(
        "a function fits on a page",
        &rules::functions_are_short(&tree()),
    );
}

#[test]
fn pure_rooms_stay_pure() {
    let rule = "no runtime, socket, clock or lock in a pure room: time is an argument";
    check(rule, &rules::pure_rooms_stay_pure(&tree()));
}

#[test]
fn only_the_server_names_engines() {
    let rule = "only `server` chooses a store and a cluster";
    check(rule, &rules::only_the_server_names_engines(&tree()));
}

#[test]
fn statements_exist() {
    let known = rules::statement_ids(include_str!("conformance/statements.tsv"));
    assert_eq!(
        known.len(),
        251 + 141,
        "MQTT 5.0 has 251 statements, MQTT 3.1.1 has 141"
    );
    let rule = "cite statements of tests/conformance/statements.tsv as [MQTT5-…] or [MQTT311-…]";
    check(rule, &rules::statements_exist(&tree(), &known));
}

#[test]
fn the_root_is_a_map() {
    let rule = "src/lib.rs has documentation, attributes and `mod` lines only";
    check(rule, &rules::the_root_is_a_map(&tree()));
}

#[test]
fn nothing_is_left_over() {
    check(
        "finish it, explain it or remove it",
        &rules::nothing_is_left_over(&tree()),
    );
}

#[test]
fn no_machine_is_named() {
    check(
        "the tree is the same on every machine",
        &rules::no_machine_is_named(&tree()),
    );
}

#[test]
fn the_tree_was_read() {
    let tree = tree();
    for path in ["src/lib.rs", "src/main.rs", "tests/tidy.rs", "Cargo.toml"] {
        assert!(
            tree.files.iter().any(|file| file.path == path),
            "{path} was not read"
        );
    }
}
