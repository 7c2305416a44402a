//! Variables that set, add, mislead, and come from somewhere else.

use super::*;
use crate::config::error::Position;

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(
        variables
            .iter()
            .map(|(name, value)| (name.into(), value.into())),
    )
}

/// Lays variables over a file with one listener; returns the assignments and all problems.
fn overlay(variables: &[(&str, &str)]) -> (Assignments, String) {
    let at = Place::File {
        name: "f".into(),
        position: Some(Position { line: 1, column: 1 }),
    };
    let mut written = Assignments::default();
    written.tables.insert(Array::Listener, vec![at.clone()]);
    let old = Value::String("old".to_owned());
    written
        .values
        .insert(Slot::of_listener(0, "address"), (old.clone(), at.clone()));
    written.values.insert(Slot::plain("log.level"), (old, at));
    let mut problems = Vec::new();
    environment(variables).overlay(&mut written, &mut problems);
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    (written, lines.join("\n"))
}

fn refused(name: &str, expected: &str) {
    assert_eq!(overlay(&[(name, "x")]).1, format!("{name}: {expected}"));
}

/// Two settings with one variable would make one of them unreachable.
#[test]
fn every_setting_has_a_variable_of_its_own() {
    let mut names: Vec<String> = paths(KEYS).map(variable).collect();
    for index in [0, 12] {
        for array in Array::ALL {
            let keys = array.keys().into_iter();
            names.extend(keys.map(|path| format!("{}{index}_{}", beginning(array), upper(path))));
        }
    }
    names.push(CONFIG.to_owned());
    let count = names.len();
    for name in names.iter().filter(|name| *name != CONFIG) {
        assert!(slot(name).is_some(), "{name}");
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn a_variable_goes_before_the_file_and_leaves_the_rest() {
    let (written, complaints) = overlay(&[("POSTBUD_LOG_LEVEL", "debug"), ("PATH", "/bin")]);
    assert_eq!(complaints, "");
    let (value, place) = &written.values[&Slot::plain("log.level")];
    assert_eq!(*value, Value::Text("debug".to_owned()));
    assert_eq!(place.to_string(), "POSTBUD_LOG_LEVEL");
    let (value, _) = &written.values[&Slot::of_listener(0, "address")];
    assert_eq!(*value, Value::String("old".to_owned()));
}

#[test]
fn listeners_are_changed_and_added_by_number() {
    let (written, complaints) = overlay(&[
        ("POSTBUD_LISTENER_10_KIND", "k10"),
        ("POSTBUD_LISTENER_0_TLS_MINIMUM_VERSION", "k0"),
        ("POSTBUD_LISTENER_1_KIND", "k1"),
        ("POSTBUD_LISTENER_1_ADDRESS", "a1"),
        ("POSTBUD_LISTENER_2_KIND", "k2"),
    ]);
    assert_eq!(
        complaints,
        "POSTBUD_LISTENER_10_KIND: the listeners before number 10 are missing; \
         expected a number from 0 to 3, where 3 adds one"
    );
    assert_eq!(written.tables(Array::Listener).len(), 3);
    let given = |index, path| {
        written.values[&Slot::of_listener(index, path)]
            .0
            .to_string()
    };
    assert_eq!(given(0, "tls.minimum_version"), "\"k0\"");
    assert_eq!(given(1, "kind"), "\"k1\"");
    assert_eq!(given(1, "address"), "\"a1\"");
    assert_eq!(given(2, "kind"), "\"k2\"");
}

/// Other arrays have numbers of their own, and may have no table in the file.
#[test]
fn topics_of_the_store_are_added_by_number() {
    let (written, complaints) = overlay(&[
        ("POSTBUD_STORE_TOPICS_0_FILTER", "a/#"),
        ("POSTBUD_STORE_TOPICS_1_DURABILITY", "write"),
        ("POSTBUD_STORE_TOPICS_3_FILTER", "b"),
    ]);
    assert_eq!(
        complaints,
        "POSTBUD_STORE_TOPICS_3_FILTER: the topics before number 3 are missing; \
         expected a number from 0 to 2, where 2 adds one"
    );
    assert_eq!(written.tables(Array::Listener).len(), 1);
    assert_eq!(written.tables(Array::StoreTopics).len(), 2);
    let slot = Slot::of(Array::StoreTopics, 1, "durability");
    let (value, place) = &written.values[&slot];
    assert_eq!(*value, Value::Text("write".to_owned()));
    assert_eq!(place.to_string(), "POSTBUD_STORE_TOPICS_1_DURABILITY");
}

/// The first number that is one too high.
#[test]
fn a_gap_of_one_listener_is_a_gap() {
    let (written, complaint) = overlay(&[("POSTBUD_LISTENER_2_KIND", "tcp")]);
    assert_eq!(
        complaint,
        "POSTBUD_LISTENER_2_KIND: the listeners before number 2 are missing; \
         expected a number from 0 to 1, where 1 adds one"
    );
    assert_eq!(written.tables(Array::Listener).len(), 1);
}

#[test]
fn an_unknown_variable_is_told_what_was_meant() {
    refused(
        "POSTBUD_LOG_LEVL",
        "unknown variable; did you mean POSTBUD_LOG_LEVEL?",
    );
    refused(
        "POSTBUD_log_level",
        "unknown variable; did you mean POSTBUD_LOG_LEVEL?",
    );
    refused(
        "POSTBUD_CONFG",
        "unknown variable; did you mean POSTBUD_CONFIG?",
    );
    refused(
        "POSTBUD_LISTENER_7_ADRESS",
        "unknown variable; did you mean POSTBUD_LISTENER_7_ADDRESS?",
    );
    refused(
        "POSTBUD_STORE_TOPICS_2_FITLER",
        "unknown variable; did you mean POSTBUD_STORE_TOPICS_2_FILTER?",
    );
    refused(
        "POSTBUD_LISTENER_ADDRESS",
        "unknown variable; did you mean POSTBUD_LISTENER_0_ADDRESS?",
    );
    for name in ["POSTBUD_", "POSTBUD_ANSWER_TO_EVERYTHING"] {
        refused(
            name,
            "unknown variable; expected POSTBUD_ with the table and the key in the \
             configuration file, such as POSTBUD_LOG_LEVEL",
        );
    }
}

#[test]
fn a_listener_has_one_spelling_of_its_number() {
    for name in [
        "POSTBUD_LISTENER_00_KIND",
        "POSTBUD_LISTENER_+0_KIND",
        "POSTBUD_LISTENER_-1_KIND",
        "POSTBUD_LISTENER_99999999999999999999999_KIND",
    ] {
        let (written, complaint) = overlay(&[(name, "tcp")]);
        assert!(
            complaint.starts_with(&format!("{name}: unknown variable; ")),
            "{complaint}"
        );
        assert_eq!(written.tables(Array::Listener).len(), 1);
    }
}

#[cfg(unix)]
#[test]
fn what_is_not_text_is_told_by_name() {
    use std::os::unix::ffi::OsStringExt;
    let bytes = |text: &[u8]| OsString::from_vec(text.to_vec());
    let mut problems = Vec::new();
    Environment::new(
        [
            (bytes(b"POSTBUD_LOG_LEVEL"), bytes(b"\xff")),
            (bytes(b"POSTBUD_\xff"), bytes(b"x")),
        ]
        .into_iter(),
    )
    .overlay(&mut Assignments::default(), &mut problems);
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines[0],
        "POSTBUD_LOG_LEVEL: the value is not UTF-8; expected text"
    );
    assert!(
        lines[1].starts_with("POSTBUD_\u{fffd}: unknown variable; "),
        "{}",
        lines[1]
    );
    assert_eq!(lines.len(), 2);
}

#[test]
fn the_file_is_named_by_a_variable_that_sets_nothing_else() {
    let environment = environment(&[("POSTBUD_CONFIG", "a/b.toml")]);
    assert_eq!(environment.config(), Some(PathBuf::from("a/b.toml")));
    let mut problems = Vec::new();
    let mut written = Assignments::default();
    environment.overlay(&mut written, &mut problems);
    assert!(problems.is_empty() && written.values.is_empty());
}

#[test]
fn what_a_container_platform_says_of_its_services_is_not_ours() {
    let (_, complaints) = overlay(&[
        ("POSTBUD_SERVICE_HOST", "10.0.0.1"),
        ("POSTBUD_SERVICE_PORT", "1883"),
        ("POSTBUD_SERVICE_PORT_MQTT", "1883"),
        ("POSTBUD_PORT", "tcp://10.0.0.1:1883"),
        ("POSTBUD_PORT_1883_TCP", "tcp://10.0.0.1:1883"),
        ("POSTBUD_PORT_1883_TCP_PROTO", "tcp"),
        ("POSTBUD_HTTP_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("POSTBUD_HTTP_SERVICE_HOST", "10.0.0.1"),
    ]);
    assert_eq!(complaints, "");
    refused(
        "POSTBUD_PORT",
        "unknown variable; expected POSTBUD_ with the table and the key in the configuration \
         file, such as POSTBUD_LOG_LEVEL",
    );
    assert_ne!(overlay(&[("POSTBUD_PORT_X_TCP", "1")]).1, "");
}

/// The exception above must never swallow a setting.
#[test]
fn no_setting_looks_like_a_container_platforms_variable() {
    for path in paths(KEYS).chain(Array::ALL.into_iter().flat_map(Array::keys)) {
        assert!(
            !is_service_link(&variable(path), &"tcp://a".into()),
            "{path}"
        );
    }
}
