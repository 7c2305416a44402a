//! A bad sample for every rule: a rule that catches nothing would pass for ever.

use super::rules::*;
use super::source::Source;

fn tree(files: &[(&str, &str)]) -> Tree {
    Tree::new(
        files
            .iter()
            .map(|(path, text)| Source::new(path, text))
            .collect(),
    )
}

/// Asserts that the rule finds in `files` exactly the violations that contain these words.
#[track_caller]
fn finds(rule: impl Fn(&Tree) -> Vec<String>, files: &[(&str, &str)], expected: &[&str]) {
    let found = rule(&tree(files));
    let matching = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(line, words)| line.contains(words));
    assert!(matching, "expected {expected:?}, found {found:#?}");
}

#[test]
fn an_import_upward_or_sideways_is_found() {
    let found = ["src/codec/packet.rs:1: `codec` may not import `session`"];
    finds(
        imports_run_downward,
        &[("src/codec/packet.rs", "use crate::session::Session;")],
        &found,
    );
    let sideways = (
        "src/session/mod.rs",
        "fn f() -> crate::pubsub::Router { x }",
    );
    finds(
        imports_run_downward,
        &[sideways],
        &["`session` may not import `pubsub`"],
    );
    let by_super = ("src/topic/trie.rs", "use super::super::codec;");
    finds(
        imports_run_downward,
        &[by_super],
        &["`topic` may not import `codec`"],
    );
    let grouped = (
        "src/queue/mod.rs",
        "use crate::{\n    message::Message,\n    broker::Broker,\n};",
    );
    finds(
        imports_run_downward,
        &[grouped],
        &["src/queue/mod.rs:3: `queue` may not import `broker`"],
    );
    finds(
        imports_run_downward,
        &[("src/topic.rs", "use postbud::cli;")],
        &["may not import `cli`"],
    );
    finds(
        imports_run_downward,
        &[("src/utilities.rs", "")],
        &["`utilities` is no room"],
    );
}

#[test]
fn imports_downward_are_allowed() {
    let broker = "use crate::{session, topic::Name}; use std::io; use super::queue::Queue;";
    let main = ("src/main.rs", "fn main() { postbud::cli::run() }");
    finds(
        imports_run_downward,
        &[("src/broker.rs", broker), main],
        &[],
    );
    finds(
        imports_run_downward,
        &[("src/codec/a.rs", "// use crate::broker;\nuse super::b;")],
        &[],
    );
}

#[test]
fn a_roof_that_is_a_floor_is_found() {
    let roof = (
        "src/codec/mod.rs",
        "mod packet; mod wire; pub use packet::Packet; pub struct Error;",
    );
    let floor = (
        "src/codec/packet.rs",
        "use super::Error; use super::wire::Reader;",
    );
    let wire = ("src/codec/wire.rs", "");
    finds(
        roofs_are_no_floors,
        &[roof, floor, wire],
        &["`codec` is a roof (src/codec/mod.rs:1)"],
    );
    let through_the_roof = ("src/codec/wire.rs", "use crate::codec::Packet;");
    let packet = ("src/codec/packet.rs", "");
    finds(
        roofs_are_no_floors,
        &[roof, packet, through_the_roof],
        &["`codec` is a roof"],
    );
    let beside = ("src/codec/packet.rs", "use super::wire::Reader;");
    finds(roofs_are_no_floors, &[roof, beside, wire], &[]);
    let only_floor = (
        "src/codec/mod.rs",
        "mod packet; mod wire; pub struct Error;",
    );
    finds(roofs_are_no_floors, &[only_floor, floor, wire], &[]);
}

#[test]
fn unit_tests_may_stand_on_a_roof() {
    let roof = (
        "src/codec/mod.rs",
        "mod packet; pub use packet::Packet;\n#[cfg(test)]\nmod tests;",
    );
    let tests = (
        "src/codec/tests.rs",
        "use super::*; use crate::codec::Packet;",
    );
    let inline = (
        "src/codec/packet.rs",
        "#[cfg(test)]\nmod tests { use crate::codec::Packet; }",
    );
    finds(roofs_are_no_floors, &[roof, tests, inline], &[]);
}

#[test]
fn an_orphan_is_found() {
    let root = ("src/lib.rs", "pub mod topic;\npub mod codec;");
    let topic = (
        "src/topic/mod.rs",
        "mod name; mod inner { mod deep; }\n#[cfg(test)]\nmod tests;",
    );
    let known = [
        "src/topic/name.rs",
        "src/topic/inner/deep.rs",
        "src/topic/tests.rs",
    ];
    let mut files = vec![root, topic];
    files.extend(known.map(|path| (path, "")));
    finds(no_file_is_orphan, &files, &[]);
    files.push(("src/topic/filter.rs", ""));
    files.push(("src/store/mod.rs", ""));
    finds(
        no_file_is_orphan,
        &files,
        &["src/store/mod.rs", "src/topic/filter.rs"],
    );
    let moved = ("src/lib.rs", "#[path = \"elsewhere.rs\"]\nmod topic;");
    finds(
        no_file_is_orphan,
        &[moved],
        &["`topic` lies where its name does not say"],
    );
}

#[test]
fn tests_may_lie_beside_what_they_test() {
    let root = ("src/lib.rs", "pub mod topic;");
    let topic = (
        "src/topic.rs",
        "#[cfg(test)]\n#[path = \"topic_tests.rs\"]\nmod tests;",
    );
    let tests = (
        "src/topic_tests.rs",
        "use super::X; use super::super::codec::Y;",
    );
    finds(no_file_is_orphan, &[root, topic, tests], &[]);
    finds(
        imports_run_downward,
        &[root, topic, tests],
        &["`topic` may not import `codec`"],
    );
}

#[test]
fn length_is_found() {
    let long = "\n".repeat(FILE_LINES + 1);
    finds(files_are_short, &[("benches/a.rs", &long)], &["801 lines"]);
    finds(files_are_short, &[("benches/a.rs", &long[1..])], &[]);
    let function = |lines: usize| format!("fn f(x: [u8; 3]) {{{}}}", "\n".repeat(lines - 1));
    let (at_most, too_long) = (function(FUNCTION_LINES), function(FUNCTION_LINES + 1));
    finds(functions_are_short, &[("tests/a.rs", &at_most)], &[]);
    finds(
        functions_are_short,
        &[("tests/a.rs", &too_long)],
        &["tests/a.rs:1: `f` has 71 lines"],
    );
    let declared = format!("trait T {{ fn f(&self) -> u8; }}{}", "\n".repeat(80));
    finds(functions_are_short, &[("src/a.rs", &declared)], &[]);
}

#[test]
fn a_clock_or_lock_in_a_pure_room_is_found() {
    let clock = (
        "src/session/mod.rs",
        "use std::time::Instant;\nfn f() { Instant::now(); }",
    );
    finds(
        pure_rooms_stay_pure,
        &[clock],
        &["src/session/mod.rs:2: `session` knows no `std::time"],
    );
    let lock = ("src/queue/mod.rs", "use std::sync::{Arc, Mutex};");
    finds(
        pure_rooms_stay_pure,
        &[lock],
        &["`queue` knows no `std::sync::Mutex`"],
    );
    let runtime = ("src/pubsub/mod.rs", "#[tokio::test]\nasync fn f() {}");
    finds(
        pure_rooms_stay_pure,
        &[runtime],
        &["`pubsub` knows no `tokio`"],
    );
    let socket = (
        "src/codec/a.rs",
        "use core::net::IpAddr; use std::sync::Arc; use std::time::Instant;",
    );
    finds(
        pure_rooms_stay_pure,
        &[socket],
        &["`codec` knows no `std::net`"],
    );
    finds(
        pure_rooms_stay_pure,
        &[("src/broker/mod.rs", "use tokio::net;")],
        &[],
    );
}

#[test]
fn an_engine_named_outside_is_found() {
    let store = [
        (
            "src/lib.rs",
            "pub mod store; pub mod broker; pub mod server;",
        ),
        (
            "src/store/mod.rs",
            "pub mod memory; pub use memory::Memory;",
        ),
        ("src/store/memory.rs", "pub struct Memory;"),
    ];
    let with = |path, text| [&store[..], &[(path, text)]].concat();
    let broker = "use crate::store;\nfn f() { store::memory::open() }";
    let found = ["src/broker/mod.rs:2: names the engine `store::memory`"];
    finds(
        only_the_server_names_engines,
        &with("src/broker/mod.rs", broker),
        &found,
    );
    let exported = "use crate::store::Memory;";
    finds(
        only_the_server_names_engines,
        &with("src/broker/mod.rs", exported),
        &["store::memory"],
    );
    finds(
        only_the_server_names_engines,
        &with("src/server.rs", exported),
        &[],
    );
    let test = "#[cfg(test)]\nmod tests { use crate::store::Memory; }";
    finds(
        only_the_server_names_engines,
        &with("src/broker/mod.rs", test),
        &[],
    );
}

#[test]
fn an_unknown_statement_is_found() {
    let known = statement_ids("version\tid\n5\t3.1.2-24\tS\n3.1.1\t3.1.0-1\tC\n");
    let rule = |tree: &Tree| statements_exist(tree, &known);
    let good =
        "// [MQTT5-3.1.2-24] and [MQTT311-3.1.0-1]. MQTT 5.0, MQTT-like\nlet x = \"MQTT5-9\";";
    finds(rule, &[("src/a.rs", good)], &[]);
    let misspelt = "fn f() {} // [MQTT5-3.1.2-42]\n/// see MQTT311-3.1.0-1-2";
    finds(
        rule,
        &[("src/a.rs", misspelt)],
        &["src/a.rs:1: no", "src/a.rs:2: no"],
    );
    finds(
        rule,
        &[("src/a.rs", "// [MQTT-3.1.2-24]")],
        &["no statement `MQTT-3.1.2-24`"],
    );
    finds(
        rule,
        &[("src/a.rs", "// [MQTT3.1.1-3.1.0-1].")],
        &["`MQTT3.1.1-3.1.0-1`"],
    );
}

#[test]
fn code_in_the_root_is_found() {
    let map = "//! The map.\n#![forbid(unsafe_code)]\npub mod topic;\npub(crate) mod codec;";
    finds(the_root_is_a_map, &[("src/lib.rs", map)], &[]);
    finds(
        the_root_is_a_map,
        &[("src/lib.rs", "pub use topic::Name;")],
        &["more than `mod` lines"],
    );
    finds(
        the_root_is_a_map,
        &[("src/lib.rs", "mod a; fn f() {}")],
        &["more than `mod` lines"],
    );
}

#[test]
fn leftovers_are_found() {
    let marker = format!("// {}: later", concat!("TO", "DO"));
    finds(
        nothing_is_left_over,
        &[("benches/a.rs", &marker)],
        &["benches/a.rs:1"],
    );
    let stub = format!("fn f() {{ {}!() }}", "todo");
    finds(nothing_is_left_over, &[("src/a.rs", &stub)], &["`todo!`"]);
    let skipped = "#[test]\n#[ ignore ]\nfn f() {}";
    finds(
        nothing_is_left_over,
        &[("tests/a.rs", skipped)],
        &["tests/a.rs:2"],
    );
    let reason = "#[ignore = \"needs a cluster\"]\nfn f() { let todo = 1; }";
    finds(nothing_is_left_over, &[("tests/a.rs", reason)], &[]);
}

#[test]
fn a_path_of_one_machine_is_found() {
    let folder = |name: &str| format!("open(\"/{name}/x\")");
    let (private, shared) = (folder("root"), folder("tmp"));
    let files = [
        ("tests/a.sh", private.as_str()),
        ("README.md", shared.as_str()),
    ];
    finds(
        no_machine_is_named,
        &files,
        &["tests/a.sh:1", "README.md:1"],
    );
    let lock = format!(
        "\"resolved\": \"https://{}.org/x\"",
        concat!("registry.", "npmjs")
    );
    finds(
        no_machine_is_named,
        &[("tests/package-lock.json", &lock)],
        &["package-lock.json:1"],
    );
    let topics = "$share/work/jobs and a/home/b and /homework and /workers/+";
    finds(no_machine_is_named, &[("README.md", topics)], &[]);
}
