//! Whole configurations: the built-in one, files, variables over them, and mistakes across keys.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::assignments::Slot;
use super::keys::{Applies, Array, KEYS, paths};
use super::load::{BUILT_IN, BUILT_IN_NAME, Config, Origin};
use super::settings::Settings;
use super::{Error, file};
use crate::auth::acl::options::Effect;
use crate::auth::options::WayName;
use crate::listener::certificates;
use crate::listener::certificates::tests::Directory;
use crate::listener::options::{TlsOptions, TlsVersion};
use crate::pubsub::options::Strategy;
use crate::queue::options::Overflow;
use crate::store::options::Durability;

const LISTENER: &str = "[[listener]]\nkind = \"tcp\"\naddress = \"127.0.0.1:1\"\n";

pub(super) type Variables<'a> = &'a [(&'a str, &'a str)];

fn environment(variables: Variables<'_>) -> impl Iterator<Item = (OsString, OsString)> {
    variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
}

fn built_in(variables: Variables<'_>) -> Result<Config, Error> {
    Config::load(None, environment(variables))
}

pub(super) fn load(text: &str, variables: Variables<'_>) -> Result<Config, Error> {
    let home = Directory::new();
    Config::load(Some(&home.file("c.toml", text)), environment(variables))
}

/// The errors of a file, without the directory in front of its name.
pub(super) fn complaints(text: &str, variables: Variables<'_>) -> String {
    let home = Directory::new();
    let path = home.file("c.toml", text);
    let error = Config::load(Some(&path), environment(variables)).unwrap_err();
    error
        .to_string()
        .replace(&format!("{}/", home.path().display()), "")
}

fn tls_options(config: &Config, index: usize) -> &TlsOptions {
    let tls = config.listener.listeners[index].tls.as_ref();
    tls.unwrap_or_else(|| panic!("listener {index} is not TLS"))
}

#[test]
fn the_built_in_file_spells_out_every_key() {
    let mut problems = Vec::new();
    let written = file::read(BUILT_IN_NAME, BUILT_IN, &mut problems).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    let examples = file::read("examples", &examples(), &mut problems).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    let of_listeners = |slot: &&Slot| matches!(slot.within, Some((Array::Listener, _)));
    let examples = examples.values.keys().filter(of_listeners);
    let spelt: BTreeSet<&str> = written
        .values
        .keys()
        .chain(examples)
        .map(|slot| slot.path)
        .collect();
    let listener = Array::Listener.keys();
    let known: BTreeSet<&str> = paths(KEYS).chain(listener).collect();
    assert_eq!(spelt, known);
}

/// What is not there by default is there as an example, in a comment that is moved to the right.
fn examples() -> String {
    let examples: Vec<&str> = BUILT_IN
        .lines()
        .filter_map(|line| line.strip_prefix("#     "))
        .skip_while(|line| !line.starts_with("[["))
        .collect();
    examples.join("\n")
}

/// What else may be said of a listener has its default there.
#[test]
fn the_built_in_file_has_examples_of_listeners_with_their_defaults() {
    let config = load(&examples(), &[]).unwrap();
    let listeners = &config.listener.listeners;
    assert_eq!(listeners.len(), 2);
    let plain = "[[listener]]\nkind = \"wss\"\naddress = \"127.0.0.1:8084\"\nname = \"browsers\"\n\
                 [listener.tls]\ncertificate = \"certs/server.pem\"\nkey = \"certs/server.key\"\n\
                 [[listener]]\nkind = \"unix\"\npath = \"/run/postbud/mqtt\"\n";
    let plain = load(plain, &[]).unwrap();
    assert_eq!(*listeners, plain.listener.listeners);
}

#[test]
fn the_built_in_file_has_an_example_of_every_other_array() {
    let config = load(&examples(), &[]).unwrap();
    assert_eq!(
        config.store.promise.topics,
        [
            ("telemetry/#".into(), Durability::Memory),
            ("orders/#".into(), Durability::Flush)
        ]
    );
    let groups = config.broker.pubsub.groups.iter();
    let names: Vec<_> = groups.map(|it| (&*it.share, &*it.filter)).collect();
    assert_eq!(names, [("crew", "jobs/#"), ("ordered", "orders/#")]);
    let rules = config.auth.acl.rules.expect("there are examples");
    let effects: Vec<_> = rules.iter().map(|rule| rule.effect).collect();
    assert_eq!(effects, [Effect::Deny, Effect::Allow]);
}

#[test]
fn the_built_in_file_has_the_rooms_defaults() {
    let config = built_in(&[]).unwrap();
    let mut defaults = Settings::default();
    // The two exceptions that the file's first lines and the README promise.
    defaults.auth.anonymous = true;
    defaults.listener.listeners = config.listener.listeners.clone();
    assert_eq!(config.listener, defaults.listener);
    assert_eq!(config.http, defaults.http);
    assert_eq!(config.control, defaults.control);
    assert_eq!(config.auth, defaults.auth);
    assert_eq!(config.broker, defaults.broker);
    assert_eq!(config.store, defaults.store);
    assert_eq!(config.log, defaults.log);
    assert_eq!(config.origin, Origin::BuiltIn);
}

#[test]
fn the_built_in_listeners_are_on_loopback_with_and_without_tls() {
    let config = built_in(&[]).unwrap();
    let listeners = &config.listener.listeners;
    assert_eq!(listeners.len(), 2);
    assert_eq!(listeners[0].place.to_string(), "127.0.0.1:1883");
    assert_eq!(listeners[0].kind(), "tcp");
    assert_eq!(listeners[1].place.to_string(), "127.0.0.1:8883");
    let tls = tls_options(&config, 1);
    assert_eq!(tls.minimum_version, TlsVersion::V1_2);
    // Where the development certificates are made, under the names they get.
    let directory = config.development_certificates().unwrap();
    let files = &tls.certificates[0];
    assert_eq!(files.certificate, directory.join(certificates::CERTIFICATE));
    assert_eq!(files.key, directory.join(certificates::KEY));
}

#[test]
fn every_key_of_the_built_in_file_is_explained() {
    let mut explained = false;
    for (number, line) in BUILT_IN.lines().enumerate() {
        assert!(
            line.chars().count() <= 100,
            "line {} is too long",
            number + 1
        );
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(explained, "line {}: no comment above {line}", number + 1);
        }
        explained = line.starts_with('#');
    }
}

/// The comment above each key of the built-in file, by the key's path.
fn comments() -> Vec<(String, String)> {
    let (mut table, mut comment, mut found) = (String::new(), String::new(), Vec::new());
    for line in BUILT_IN.lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment += text;
            continue;
        }
        if let Some((key, _)) = line.split_once(" = ") {
            found.push((format!("{table}{key}"), comment.clone()));
        } else if line.starts_with('[') {
            let name = line.trim_matches(['[', ']']);
            table = format!("{name}.");
        }
        comment.clear();
    }
    found
}

// Breaks if: the file does not say of a setting that it needs a restart, or says so of one that does not.
#[test]
fn the_built_in_file_marks_what_needs_a_restart() {
    let listener = Array::Listener.settings().into_iter();
    let listener = listener.map(|(path, applies)| (format!("listener.{path}"), applies));
    let known = KEYS.iter().map(|key| (key.path.to_owned(), key.applies));
    let known: Vec<(String, Applies)> = known.chain(listener).collect();
    for (path, comment) in comments() {
        let applies = known.iter().find(|(known, _)| *known == path);
        let (_, applies) = applies.unwrap_or_else(|| panic!("{path} is a key"));
        let expected = *applies == Applies::AfterRestart;
        let marked = comment.contains("(restart)");
        assert_eq!(marked, expected, "the comment of {path}");
    }
}

// Breaks if: what is said of a listener is told to be in force before it is bound anew, or what is read again
// for its certificates is told to wait.
#[test]
fn of_a_listener_what_new_clients_meet_applies_at_once() {
    for (path, applies) in Array::Listener.settings() {
        let at_once = applies == Applies::AtOnce;
        let expected = ["tls.", "limits.", "authentication", "versions"];
        let expected = expected.iter().any(|it| path.starts_with(it));
        assert_eq!(at_once, expected, "{path}");
    }
    let words = "needs a restart, but for\n# authentication, versions, and what is under \
                 [listener.limits] and [listener.tls]. (restart)";
    assert!(BUILT_IN.contains(words));
}

/// Arrays that are there as examples only are marked before the first of them.
#[test]
fn the_built_in_file_marks_the_arrays_that_need_a_restart() {
    for array in Array::ALL.into_iter().filter(|it| *it != Array::Listener) {
        let begins = format!("#     [[{}]]", array.path());
        let before = BUILT_IN.split(&begins).next().unwrap();
        let paragraph = before.trim_end_matches(['#', '\n']).rsplit("\n\n").next();
        let paragraph: String = paragraph.unwrap().lines().rev().take(4).collect();
        let restart = |(_, applies)| applies == Applies::AfterRestart;
        let expected = array.settings().into_iter().any(restart);
        let marked = paragraph.contains("(restart)");
        assert_eq!(marked, expected, "what is said before {begins}");
    }
}

#[test]
fn a_file_names_only_what_it_changes_and_nobody_is_anonymous() {
    let config = load(LISTENER, &[]).unwrap();
    let defaults = Settings::default();
    assert!(!config.auth.anonymous);
    assert_eq!(config.listener.listeners.len(), 1);
    assert_eq!(config.http, defaults.http);
    assert_eq!(config.broker, defaults.broker);
    assert_eq!(config.store, defaults.store);
    assert!(matches!(&config.origin, Origin::File(path) if path.ends_with("c.toml")));
    assert_eq!(config.development_certificates(), None);
}

/// One value other than the default for each key.
const CHANGED: &[(&str, &str)] = &[
    ("limits.connections_maximum", "11"),
    ("limits.abandoned_sessions_maximum", "12"),
    ("limits.connect_timeout", "13s"),
    ("limits.write_timeout", "14s"),
    ("limits.drain_timeout", "15s"),
    ("http.address", "127.0.0.1:16"),
    ("control.socket", "ask/me"),
    ("auth.anonymous", "true"),
    ("auth.ways", "http,password"),
    ("auth.password.file", "users"),
    ("auth.password.checks_at_once", "40"),
    ("auth.password.checks_waiting", "41"),
    ("auth.scram.file", "verifiers"),
    ("acl.mosquitto_file", "acl/theirs"),
    // A file of rules without any.
    ("acl.file", "/dev/null"),
    ("acl.default", "allow"),
    ("session.receive_maximum", "17"),
    ("session.inflight_maximum", "18"),
    ("session.packet_size_maximum", "19KiB"),
    ("session.topic_alias_maximum", "20"),
    ("session.outbound_alias_maximum", "21"),
    ("session.keep_alive_maximum", "22"),
    ("session.expiry_maximum", "23h"),
    ("session.expiry_3x", "22h"),
    ("session.subscriptions_maximum", "25"),
    ("session.subscription_bytes_maximum", "126KiB"),
    ("session.topic_levels_maximum", "26"),
    ("session.unsent_maximum", "27KiB"),
    ("session.queue_qos0_offline", "true"),
    ("session.response_information", "r/%c"),
    ("queue.messages", "28"),
    ("queue.bytes", "29"),
    ("queue.overflow", "drop-oldest"),
    ("queue.memory", "29KiB"),
    ("shared.strategy", "sticky"),
    ("shared.queue_messages", "30"),
    ("shared.queue_bytes", "31"),
    ("shared.queue_overflow", "drop-oldest"),
    ("delayed.messages", "37"),
    ("delayed.bytes", "38"),
    ("delayed.longest", "39s"),
    ("retained.available", "false"),
    ("retained.messages", "32"),
    ("retained.bytes", "33"),
    ("store.path", "elsewhere"),
    ("store.durability", "write"),
    ("store.bytes_maximum", "36MiB"),
    ("store.strict", "true"),
    ("sys.interval", "34s"),
    ("log.level", "trace"),
];

/// No key is wired to a neighbour.
#[test]
fn every_key_reaches_its_option_from_the_file_and_from_the_environment() {
    let changed = [CHANGED, token::CHANGED, defence::CHANGED].concat();
    let named: BTreeSet<&str> = changed.iter().map(|(path, _)| *path).collect();
    assert_eq!(named, paths(KEYS).collect());

    let text = changed.iter().map(|(path, value)| toml_line(path, value));
    let text: String = text.collect();
    check_changed(&load(&format!("{text}{LISTENER}"), &[]).unwrap());

    let names: Vec<(String, &str)> = changed
        .iter()
        .map(|(path, value)| (super::environment::variable(path), *value))
        .collect();
    let variables: Vec<(&str, &str)> = names
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    check_changed(&load(LISTENER, &variables).unwrap());
}

fn toml_line(path: &str, value: &str) -> String {
    let bare = value == "true" || value == "false" || value.parse::<u64>().is_ok();
    if bare {
        format!("{path} = {value}\n")
    } else if value.contains(',') {
        let words: Vec<&str> = value.split(',').collect();
        format!("{path} = {words:?}\n")
    } else {
        format!("{path} = \"{value}\"\n")
    }
}

fn check_changed(config: &Config) {
    defence::check_changed(config);
    let seconds = Duration::from_secs;
    assert_eq!(config.broker.defence.connections_maximum, 11);
    assert_eq!(config.broker.abandoned_sessions_maximum, 12);
    assert_eq!(config.listener.connect_timeout, seconds(13));
    assert_eq!(config.listener.write_timeout, seconds(14));
    assert_eq!(config.listener.drain_timeout, seconds(15));
    assert_eq!(config.http.address.unwrap().port(), 16);
    assert_eq!(config.control.socket, Some(PathBuf::from("ask/me")));
    assert!(config.auth.anonymous);
    assert_eq!(config.auth.ways, [WayName::Http, WayName::Password]);
    let password = &config.auth.password;
    assert_eq!(password.file, Some(PathBuf::from("users")));
    assert_eq!((password.checks_at_once, password.checks_waiting), (40, 41));
    assert_eq!(config.auth.scram.file, Some(PathBuf::from("verifiers")));
    let acl = &config.auth.acl;
    assert_eq!(acl.mosquitto_file, Some(PathBuf::from("acl/theirs")));
    assert_eq!(acl.rules.as_deref(), Some(&[][..]));
    assert_eq!(acl.default, Effect::Allow);
    let session = &config.broker.session;
    assert_eq!(session.receive_maximum, 17);
    assert_eq!(session.inflight_maximum, 18);
    assert_eq!(session.packet_size_maximum, 19 * 1024);
    assert_eq!(session.topic_alias_maximum, 20);
    assert_eq!(session.outbound_alias_maximum, 21);
    assert_eq!(session.keep_alive_maximum, 22);
    assert_eq!(session.expiry_maximum, seconds(23 * 3600));
    assert_eq!(session.expiry_3x, seconds(22 * 3600));
    assert_eq!(session.subscriptions_maximum, 25);
    assert_eq!(session.subscription_bytes_maximum, 126 * 1024);
    assert_eq!(session.topic_levels_maximum, 26);
    assert_eq!(session.unsent_maximum, 27 * 1024);
    assert!(session.queue_qos0_offline);
    assert_eq!(session.response_information, "r/%c");
    assert_eq!((session.queue.messages, session.queue.bytes), (28, 29));
    assert_eq!(session.queue.overflow, Overflow::DropOldest);
    assert_eq!(config.broker.queue_memory, 29 * 1024);
    let pubsub = &config.broker.pubsub;
    assert_eq!(pubsub.strategy, Strategy::Sticky);
    assert_eq!(
        (pubsub.group_queue.messages, pubsub.group_queue.bytes),
        (30, 31)
    );
    assert_eq!(pubsub.group_queue.overflow, Overflow::DropOldest);
    let delayed = &config.broker.delayed;
    assert_eq!((delayed.messages, delayed.bytes), (37, 38));
    assert_eq!(delayed.longest, seconds(39));
    assert!(!pubsub.retained.available);
    assert_eq!((pubsub.retained.messages, pubsub.retained.bytes), (32, 33));
    assert_eq!(config.store.path, PathBuf::from("elsewhere"));
    assert_eq!(config.store.promise.default, Durability::Write);
    assert_eq!(config.broker.promise, config.store.promise);
    assert_eq!(config.store.bytes_maximum, Some(36 << 20));
    assert!(config.store.strict);
    assert_eq!(config.broker.sys_interval, seconds(34));
    assert_eq!(config.log.level.name(), "trace");
    token::check_changed(config);
}

#[test]
fn every_choice_has_its_word() {
    for (word, strategy) in [
        ("round-robin", Strategy::RoundRobin),
        ("random", Strategy::Random),
        ("sticky", Strategy::Sticky),
        ("least-inflight", Strategy::LeastInflight),
    ] {
        let config = built_in(&[("POSTBUD_SHARED_STRATEGY", word)]).unwrap();
        assert_eq!(config.broker.pubsub.strategy, strategy);
    }
    for (word, durability) in [
        ("flush", Durability::Flush),
        ("write", Durability::Write),
        ("memory", Durability::Memory),
    ] {
        let config = built_in(&[("POSTBUD_STORE_DURABILITY", word)]).unwrap();
        assert_eq!(config.store.promise.default, durability);
        assert_eq!(config.broker.promise.default, durability);
    }
    for word in ["error", "warn", "info", "debug", "trace"] {
        let config = built_in(&[("POSTBUD_LOG_LEVEL", word)]).unwrap();
        assert_eq!(config.log.level.name(), word);
    }
    let config = built_in(&[("POSTBUD_LISTENER_1_TLS_MINIMUM_VERSION", "1.3")]).unwrap();
    assert_eq!(tls_options(&config, 1).minimum_version, TlsVersion::V1_3);
}

#[test]
fn variables_change_and_add_listeners() {
    let config = built_in(&[
        ("POSTBUD_LISTENER_0_ADDRESS", "0.0.0.0:2883"),
        ("POSTBUD_LISTENER_1_TLS_CERTIFICATE", "mine.pem"),
        ("POSTBUD_LISTENER_2_KIND", "tcp"),
        ("POSTBUD_LISTENER_2_ADDRESS", "[::1]:1883"),
        ("POSTBUD_HTTP_ADDRESS", ""),
    ])
    .unwrap();
    let addresses: Vec<String> = config
        .listener
        .listeners
        .iter()
        .map(|it| it.place.to_string())
        .collect();
    assert_eq!(addresses, ["0.0.0.0:2883", "127.0.0.1:8883", "[::1]:1883"]);
    let files = &tls_options(&config, 1).certificates[0];
    assert_eq!(files.certificate, Path::new("mine.pem"));
    assert_eq!(config.http.address, None);
    // Half of the pair is somebody's own: a development certificate would not help.
    assert_eq!(config.development_certificates(), None);
}

#[test]
fn variables_alone_can_be_the_listeners_of_a_file() {
    let variables = [
        ("POSTBUD_LISTENER_0_KIND", "tcp"),
        ("POSTBUD_LISTENER_0_ADDRESS", "127.0.0.1:1"),
    ];
    assert_eq!(load("", &variables).unwrap().listener.listeners.len(), 1);
}

#[test]
fn the_command_line_goes_before_the_variable_that_names_a_file() {
    let home = Directory::new();
    let file = home.file("a.toml", LISTENER);
    let variable = file.display().to_string();
    let config = built_in(&[("POSTBUD_CONFIG", &variable)]).unwrap();
    assert_eq!(config.origin, Origin::File(file.clone()));
    let absent = [("POSTBUD_CONFIG", "absent.toml")];
    assert!(Config::load(Some(&file), environment(&absent)).is_ok());
    assert!(
        built_in(&absent)
            .unwrap_err()
            .to_string()
            .starts_with("absent.toml: cannot be read: ")
    );
}

#[test]
fn wrong_values_are_told_with_place_and_expectation() {
    assert_eq!(
        complaints(&format!("{LISTENER}[session]\nreceive_maximum = 0\n"), &[]),
        "c.toml:5:19: session.receive_maximum is 0; expected a whole number from 1 to 65535"
    );
    assert_eq!(
        complaints(LISTENER, &[("POSTBUD_SESSION_RECEIVE_MAXIMUM", "many")]),
        "POSTBUD_SESSION_RECEIVE_MAXIMUM: session.receive_maximum is \"many\"; \
         expected a whole number from 1 to 65535"
    );
    // A variable that mends a wrong line leaves nothing to complain of.
    let text = format!("{LISTENER}[log]\nlevel = \"loud\"\n");
    assert!(load(&text, &[("POSTBUD_LOG_LEVEL", "warn")]).is_ok());
}

#[test]
fn zero_is_refused_for_every_limit_that_would_stop_everything() {
    let is_limit = |path: &&str| {
        ["_maximum", "_timeout", "messages", "bytes"]
            .iter()
            .any(|end| path.ends_with(end))
    };
    let takes_zero = |path: &&str| load(&format!("{path} = 0\n{LISTENER}"), &[]).is_ok();
    let zero_means_none: Vec<&str> = paths(KEYS).filter(is_limit).filter(takes_zero).collect();
    assert_eq!(
        zero_means_none,
        [
            "limits.handshakes_maximum",
            "limits.drain_timeout",
            "limits.address.connections_maximum",
            "limits.address.handshakes_maximum",
            "overload.memory_maximum",
            "overload.lag_maximum",
            "session.topic_alias_maximum",
            "session.outbound_alias_maximum",
            "session.keep_alive_maximum",
            "session.expiry_maximum",
            "queue.total_bytes",
            "store.bytes_maximum",
        ]
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_once_in_order() {
    let text = "[[listener]]\nkind = \"tsl\"\naddress = 1\n[log]\nlevel = 3\nlvl = 4\n";
    let told = complaints(
        text,
        &[("POSTBUD_X", "1"), ("POSTBUD_AUTH_ANONYMOUS", "si")],
    );
    let places: Vec<&str> = told
        .lines()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "c.toml:2:8",
            "c.toml:3:11",
            "c.toml:5:9",
            "c.toml:6:1",
            "POSTBUD_AUTH_ANONYMOUS",
            "POSTBUD_X",
        ]
    );
}

#[test]
fn a_file_without_listeners_is_refused() {
    const NONE: &str = "there is no listener; \
                        expected at least one [[listener]] with kind and address";
    for text in ["", "listener = []", "[auth]\nanonymous = true"] {
        assert_eq!(complaints(text, &[]), format!("c.toml: {NONE}"));
    }
    // One that is written wrongly is not told twice.
    assert_eq!(
        complaints("[listener]\nkind = \"tcp\"", &[])
            .lines()
            .count(),
        1
    );
}

#[test]
fn a_listener_needs_a_kind_and_an_address() {
    assert_eq!(
        complaints(&format!("{LISTENER}  [[listener]]\nkind = \"tcp\"\n"), &[]),
        "c.toml:4:3: listener.1 has no address; \
         expected an address such as address = \"127.0.0.1:1883\""
    );
    assert_eq!(
        complaints("[[listener]]\naddress = \"127.0.0.1:1\"\n", &[]),
        "c.toml:1:1: listener.0 has no kind; expected kind = \"tcp\", \"tls\", \"ws\", \"wss\" or \"unix\""
    );
    assert_eq!(
        complaints(LISTENER, &[("POSTBUD_LISTENER_1_KIND", "tcp")]),
        "POSTBUD_LISTENER_1_KIND: listener.1 has no address; \
         expected an address such as address = \"127.0.0.1:1883\""
    );
}

#[test]
fn tls_needs_its_certificate_and_key() {
    let tls = LISTENER.replace("tcp", "tls");
    const EXPECTED: &str = "expected [listener.tls] with certificate and key";
    for (section, missing) in [
        ("", "there is no certificate and no key"),
        ("[listener.tls]\n", "there is no certificate and no key"),
        ("[listener.tls]\ncertificate = \"c\"\n", "there is no key"),
        ("[listener.tls]\nkey = \"k\"\n", "there is no certificate"),
    ] {
        assert_eq!(
            complaints(&format!("{tls}{section}"), &[]),
            format!("c.toml:2:8: listener.0.kind is \"tls\" but {missing}; {EXPECTED}")
        );
    }
    let whole = format!("{tls}[listener.tls]\ncertificate = \"c\"\nkey = \"k\"\n");
    let config = load(&whole, &[]).unwrap();
    assert_eq!(tls_options(&config, 0).minimum_version, TlsVersion::V1_2);
}

#[test]
fn a_certificate_for_a_plain_listener_is_refused() {
    let text = format!("{LISTENER}[listener.tls]\nkey = \"k\"\n");
    let expected = "listener.0.tls.key is given but listener.0.kind is \"tcp\"; \
                    expected kind = \"tls\" or \"wss\", or no TLS settings";
    assert_eq!(complaints(&text, &[]), format!("c.toml:5:7: {expected}"));
    assert_eq!(
        complaints(LISTENER, &[("POSTBUD_LISTENER_0_TLS_KEY", "k")]),
        format!("POSTBUD_LISTENER_0_TLS_KEY: {expected}")
    );
    // But a variable can turn TLS off, as it cannot take the file's lines away.
    let config = built_in(&[("POSTBUD_LISTENER_1_KIND", "tcp")]).unwrap();
    assert_eq!(config.listener.listeners[1].kind(), "tcp");
    assert_eq!(config.development_certificates(), None);
}

#[test]
fn two_listeners_cannot_share_an_address() {
    let two =
        |second: &str| format!("{LISTENER}[[listener]]\nkind = \"tcp\"\naddress = \"{second}\"\n");
    for second in ["127.0.0.1:1", "0.0.0.0:1"] {
        assert_eq!(
            complaints(&two(second), &[]),
            format!(
                "c.toml:6:11: listener.1.address is {second}, \
                 but listener.0.address is 127.0.0.1:1 (c.toml:3:11); \
                 expected an address of its own"
            )
        );
    }
    for second in ["127.0.0.1:2", "127.0.0.2:1", "[::1]:1", "[::]:1"] {
        load(&two(second), &[]).unwrap();
    }
    let free = two("127.0.0.1:0").replace("127.0.0.1:1", "127.0.0.1:0");
    load(&free, &[]).unwrap();
}

#[test]
fn http_cannot_share_an_address_with_a_listener() {
    assert_eq!(
        complaints(&format!("http.address = \"127.0.0.1:1\"\n{LISTENER}"), &[]),
        "c.toml:1:16: http.address is 127.0.0.1:1, \
         but listener.0.address is 127.0.0.1:1 (c.toml:4:11); expected an address of its own"
    );
    assert_eq!(
        complaints(LISTENER, &[("POSTBUD_LISTENER_0_ADDRESS", "0.0.0.0:18083")]),
        "POSTBUD_LISTENER_0_ADDRESS: listener.0.address is 0.0.0.0:18083, \
         but http.address is 127.0.0.1:18083 (the default); expected an address of its own"
    );
}

#[test]
fn sessions_of_3x_clients_cannot_outlive_the_longest_expiry() {
    let text = format!("session.expiry_maximum = \"1d\"\n{LISTENER}");
    let session = load(&text, &[]).unwrap().broker.session;
    assert_eq!(session.expiry_3x, session.expiry_maximum);
    assert_eq!(
        complaints(&format!("session.expiry_3x = \"25h\"\n{text}"), &[]),
        "c.toml:1:21: session.expiry_3x is longer than session.expiry_maximum; \
         expected at most 1d"
    );
    assert!(load(&format!("session.expiry_3x = \"1d\"\n{text}"), &[]).is_ok());
}

#[test]
fn topics_of_the_store_keep_their_order_and_reach_the_broker() {
    let topic = |filter: &str, durability: &str| {
        format!("[[store.topics]]\nfilter = \"{filter}\"\ndurability = \"{durability}\"\n")
    };
    let text = format!("{LISTENER}{}{}", topic("a/#", "write"), topic("#", "flush"));
    let variables = [
        ("POSTBUD_STORE_TOPICS_1_DURABILITY", "memory"),
        ("POSTBUD_STORE_TOPICS_2_FILTER", "c"),
        ("POSTBUD_STORE_TOPICS_2_DURABILITY", "flush"),
    ];
    let config = load(&text, &variables).unwrap();
    let expected = [
        ("a/#".into(), Durability::Write),
        ("#".into(), Durability::Memory),
        ("c".into(), Durability::Flush),
    ];
    assert_eq!(config.store.promise.topics, expected);
    assert_eq!(config.broker.promise, config.store.promise);
}

#[test]
fn a_topic_of_the_store_needs_its_filter_and_durability() {
    let told = |table: &str| complaints(&format!("{LISTENER}[[store.topics]]\n{table}\n"), &[]);
    assert_eq!(
        told("durability = \"flush\""),
        "c.toml:4:1: store.topics.0 has no filter; \
         expected a Topic Filter such as filter = \"telemetry/#\""
    );
    assert_eq!(
        told("filter = \"a\""),
        "c.toml:4:1: store.topics.0 has no durability; \
         expected durability = \"flush\", \"write\" or \"memory\""
    );
    assert_eq!(
        told("filter = \"a/#/b\"\ndurability = \"flush\""),
        "c.toml:5:10: store.topics.0.filter is the string \"a/#/b\"; \
         expected a Topic Filter such as \"telemetry/#\", without $share"
    );
    assert_eq!(
        told("filter = \"a\"\ndurability = \"soon\""),
        "c.toml:6:14: store.topics.0.durability is the string \"soon\"; \
         expected \"flush\", \"write\" or \"memory\""
    );
}

#[test]
fn a_bound_of_the_store_leaves_room_to_work() {
    let told = |size: &str| complaints(&format!("store.bytes_maximum = {size}\n{LISTENER}"), &[]);
    assert_eq!(
        told("\"1MiB\""),
        "c.toml:1:23: store.bytes_maximum is the string \"1MiB\"; expected 0 or a number of bytes \
         or a size such as \"64KiB\" (B, KiB, MiB, GiB) of at least 16MiB"
    );
}

#[test]
fn a_file_that_cannot_be_a_configuration_is_named() {
    let home = Directory::new();
    let told = |path: &Path| {
        let error = Config::load(Some(path), std::iter::empty())
            .unwrap_err()
            .to_string();
        error
            .strip_prefix(&path.display().to_string())
            .unwrap()
            .to_owned()
    };
    assert!(told(&home.path().join("absent")).starts_with(": cannot be read: "));
    assert!(told(home.path()).starts_with(": cannot be read: "));
    let large = home.file("large", vec![b'#'; 1024 * 1024 + 1]);
    assert_eq!(
        told(&large),
        ": is larger than 1MiB; expected a configuration"
    );
    let latin = home.file("latin", b"[log]\n# caf\xe9\n");
    assert_eq!(
        told(&latin),
        ":2:6: not UTF-8; expected TOML, which is UTF-8 text"
    );
}

mod acl;
mod defence;
mod groups;
mod token;
