//! TOML of every shape: what is found, and the place and words for what cannot be.

use super::*;

/// All problems of a text, one per line, and what was read.
fn problems(text: &str) -> (String, Option<Assignments>) {
    let mut problems = Vec::new();
    let written = read("f.toml", text, &mut problems);
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    (lines.join("\n"), written)
}

fn refused(text: &str, expected: &str) {
    assert_eq!(problems(text).0, expected, "in:\n{text}");
}

#[test]
fn values_are_found_with_their_places() {
    let (complaints, written) = problems(
        "[[listener]]\nkind = \"tcp\"\n\n  [[listener]]\nkind='tls'\n[listener.tls]\n\
         key=\"k\"\n[log]\nlevel   = \"æ\"  # and so on\n[queue]\nmessages = 0x10",
    );
    assert_eq!(complaints, "");
    let written = written.unwrap();
    let shown: Vec<String> = written
        .values
        .iter()
        .map(|(slot, (value, place))| format!("{place} {slot} {value}"))
        .collect();
    assert_eq!(
        shown,
        [
            "f.toml:9:11 log.level the string \"æ\"",
            "f.toml:11:12 queue.messages 16",
            "f.toml:2:8 listener.0.kind the string \"tcp\"",
            "f.toml:5:6 listener.1.kind the string \"tls\"",
            "f.toml:7:5 listener.1.tls.key the string \"k\"",
        ]
    );
    let listeners = written.tables(Array::Listener).iter();
    let listeners: Vec<String> = listeners.map(ToString::to_string).collect();
    assert_eq!(listeners, ["f.toml:1:1", "f.toml:4:3"]);
}

#[test]
fn dotted_and_inline_tables_are_the_same() {
    for text in [
        "log.level = 1",
        "log = { level = 1 }",
        "[log]\nlevel = 1",
        "\"log\".'level' = 1",
    ] {
        let (complaints, written) = problems(text);
        assert_eq!(complaints, "");
        let slot = Slot::plain("log.level");
        assert_eq!(
            written.unwrap().values[&slot].0,
            Value::Integer(1),
            "{text}"
        );
    }
    let (complaints, written) = problems("listener = [{ kind = \"tcp\", tls.key = \"k\" }]");
    assert_eq!(complaints, "");
    let written = written.unwrap();
    assert!(written.place(Slot::of_listener(0, "tls.key")).is_some());
}

#[test]
fn an_unknown_key_is_told_what_was_meant() {
    refused(
        "\n[session]\n  recieve_maximum = 5",
        "f.toml:3:3: unknown key session.recieve_maximum; did you mean session.receive_maximum?",
    );
    refused(
        "[lgo]\nlevel = 1",
        "f.toml:1:2: unknown key lgo; did you mean log?",
    );
    refused(
        "[[listener]]\n[listener.tls]\ncertifcate = 1",
        "f.toml:3:1: unknown key listener.0.tls.certifcate; \
         did you mean listener.0.tls.certificate?",
    );
    refused(
        "[session]\nmessages = 5",
        "f.toml:2:1: unknown key session.messages; did you mean queue.messages?",
    );
    refused(
        "anonymous = true",
        "f.toml:1:1: unknown key anonymous; did you mean auth.anonymous?",
    );
    refused(
        "[store]\ncolour = 1",
        "f.toml:2:1: unknown key store.colour; expected one of path, durability, \
         bytes_maximum, strict, topics",
    );
    refused(
        "[[listener]]\nport = 1883",
        "f.toml:2:1: unknown key listener.0.port; expected one of name, kind, address, path, mode, \
         proxy_protocol, trusted_proxies, proxy_user, tcp, websocket, authentication, versions, mount, limits, tls",
    );
    refused(
        "[colours]",
        "f.toml:1:2: unknown key colours; expected one of listener, limits, overload, http, control, auth, \
         acl, session, queue, shared, delayed, retained, store, sys, log, groups",
    );
}

/// Whatever the key holds, the error stays on one line of bounded length.
#[test]
fn an_unknown_key_is_printed_safely() {
    let (complaint, _) = problems(&format!("\"a\\n{}\" = 1", "b".repeat(10_000)));
    assert_eq!(complaint.lines().count(), 1);
    assert!(complaint.len() < 400, "{complaint}");
}

#[test]
fn all_unknown_keys_are_told_at_once_beside_what_is_right() {
    let (complaints, written) = problems("[log]\nlevel = \"info\"\na = 1\n[b]\n[c]");
    assert_eq!(complaints.lines().count(), 3, "{complaints}");
    assert!(written.unwrap().place(Slot::plain("log.level")).is_some());
}

#[test]
fn a_table_that_is_none() {
    refused("log = 5", "f.toml:1:7: log is 5; expected a table [log]");
    refused(
        "[[log]]",
        "f.toml:1:1: log is an array; expected a table [log]",
    );
    refused(
        "[[listener]]\ntls = \"certs\"",
        "f.toml:2:7: listener.0.tls is the string \"certs\"; expected a table [listener.tls]",
    );
}

#[test]
fn listeners_that_are_no_array_of_tables() {
    const EXPECTED: &str = "expected [[listener]], as often as there are listeners";
    refused(
        "[listener]\nkind = \"tcp\"",
        &format!("f.toml:1:1: [listener] is one table; {EXPECTED}"),
    );
    refused(
        "listener = 1883",
        &format!("f.toml:1:12: listener is 1883; {EXPECTED}"),
    );
    refused(
        "listener = [{}, 1883]",
        &format!("f.toml:1:17: listener.1 is 1883; {EXPECTED}"),
    );
    let malformed = |text| problems(text).1.unwrap().malformed;
    assert!(malformed("[listener]").contains(&Array::Listener));
    assert!(malformed("listener = []").is_empty());
}

#[test]
fn an_array_may_be_within_a_table() {
    for text in [
        "[store]\nstrict = true\n[[store.topics]]\nfilter = \"a\"\n[[store.topics]]\nfilter = 1",
        "store = { strict = true, topics = [{ filter = \"a\" }, { filter = 1 }] }",
    ] {
        let (complaints, written) = problems(text);
        assert_eq!(complaints, "");
        let written = written.unwrap();
        assert_eq!(written.tables(Array::StoreTopics).len(), 2);
        let slot = Slot::of(Array::StoreTopics, 1, "filter");
        assert_eq!(written.values[&slot].0, Value::Integer(1));
        assert_eq!(slot.to_string(), "store.topics.1.filter");
    }
    refused(
        "[store.topics]\nfilter = \"a\"",
        "f.toml:1:1: [store.topics] is one table; \
         expected [[store.topics]], as often as there are topics",
    );
    refused(
        "store.topics = [1]",
        "f.toml:1:17: store.topics.0 is 1; \
         expected [[store.topics]], as often as there are topics",
    );
    refused(
        "[[store.topics]]\nfitler = \"a\"",
        "f.toml:2:1: unknown key store.topics.0.fitler; did you mean store.topics.0.filter?",
    );
    refused(
        "[[store.topic]]",
        "f.toml:1:9: unknown key store.topic; did you mean store.topics?",
    );
}

#[test]
fn a_text_that_is_not_toml_is_told_where_it_stops_being_it() {
    for (text, place) in [
        ("[log]\nlevel = ", "f.toml:2:9: not TOML: "),
        (
            "[log]\nlevel \"info\"",
            "f.toml:2:7: not TOML: key with no value, expected `=`",
        ),
        (
            "[log]\n[auth]\n[log]",
            "f.toml:3:2: not TOML: duplicate key",
        ),
        (
            "[log]\nlevel = 1\nlevel = 2",
            "f.toml:3:1: not TOML: duplicate key",
        ),
        ("[log", "f.toml:1:5: not TOML: "),
        ("\u{0}", "f.toml:1:2: not TOML: "),
    ] {
        let (complaint, written) = problems(text);
        assert!(complaint.starts_with(place), "{text:?}: {complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        assert!(written.is_none());
    }
}

#[test]
fn deep_nesting_is_an_error_and_not_a_crash() {
    let (complaint, _) = problems(&format!(
        "a = {}1{}",
        "[".repeat(50_000),
        "]".repeat(50_000)
    ));
    assert!(!complaint.is_empty());
}

#[test]
fn values_no_setting_takes_are_named_in_words() {
    for (text, shown) in [
        ("1.5", "a number with a fraction"),
        ("2026-01-01", "a date or time"),
        ("[1]", "an array"),
        ("{ a = 1 }", "a table"),
        ("9223372036854775808", "a number beyond 64 bits"),
    ] {
        let (complaint, written) = problems(&format!("log.level = {text}"));
        assert_eq!(complaint, "");
        let (value, _) = &written.unwrap().values[&Slot::plain("log.level")];
        assert_eq!(value.to_string(), shown);
    }
}
