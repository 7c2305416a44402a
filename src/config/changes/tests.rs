//! A configuration that is read again: what is told, and what is in force.

use std::fs;
use std::path::Path;

use super::*;
use crate::config::{Config, Error};
use crate::listener::certificates::tests::Directory;

const LISTENER: &str = "[[listener]]\nkind = \"tcp\"\naddress = \"127.0.0.1:1\"\n";

/// A broker's file, and what is in force.
struct Running {
    home: Directory,
    config: Config,
}

impl Running {
    fn new(text: &str) -> Self {
        let home = Directory::new();
        let path = home.file("c.toml", text);
        let config = Config::load(Some(&path), std::iter::empty()).expect("a right file");
        Self { home, config }
    }

    fn read_again(&self, text: &str) -> Result<(Config, Vec<Change>), Error> {
        self.home.file("c.toml", text);
        self.config.read_again()
    }

    /// Puts another file in force; returns what is told.
    fn reload(&mut self, text: &str) -> Vec<String> {
        let (config, changes) = self.read_again(text).expect("a right file");
        self.config = config;
        changes.iter().map(told).collect()
    }
}

fn told(change: &Change) -> String {
    let when = match change.applies {
        Applies::AtOnce => "",
        Applies::AfterRestart => " (restart)",
    };
    format!("{change}{when}")
}

#[test]
fn what_applies_at_once_is_in_force_and_told() {
    let mut running = Running::new(&format!("session.receive_maximum = 10\n{LISTENER}"));
    let told = running.reload(&format!(
        "session.receive_maximum = 20\nlog.level = \"debug\"\nauth.ways = [\"http\"]\n{LISTENER}"
    ));
    assert_eq!(
        told,
        [
            "auth.ways: not given -> [\"http\"]",
            "session.receive_maximum: 10 -> 20",
            "log.level: not given -> \"debug\""
        ]
    );
    assert_eq!(running.config.broker.session.receive_maximum, 20);
    let told = running.reload(LISTENER);
    assert_eq!(
        told,
        [
            "auth.ways: [\"http\"] -> not given",
            "session.receive_maximum: 20 -> not given",
            "log.level: \"debug\" -> not given"
        ]
    );
    assert_eq!(running.config.broker.session.receive_maximum, 256);
    assert!(running.reload(LISTENER).is_empty());
}

// Breaks if: what needs a restart is in force without one, or is told once and forgotten.
#[test]
fn what_needs_a_restart_stays_as_it_was_and_is_told_each_time() {
    let mut running = Running::new(&format!("store.path = \"a\"\n{LISTENER}"));
    let moved = format!("store.path = \"b\"\nqueue.messages = 5\n{LISTENER}");
    let told = running.reload(&moved);
    let expected = "store.path: \"a\" -> \"b\" (restart)";
    assert_eq!(told, ["queue.messages: not given -> 5", expected]);
    assert_eq!(running.config.store.path, Path::new("a"));
    assert_eq!(running.config.broker.session.queue.messages, 5);
    assert_eq!(running.reload(&moved), [expected]);
    let back = format!("store.path = \"a\"\nqueue.messages = 5\n{LISTENER}");
    assert!(running.reload(&back).is_empty(), "as it was");
}

#[test]
fn a_wrong_file_is_told_with_places_and_nothing_is_in_force() {
    let running = Running::new(LISTENER);
    for (text, place) in [
        ("queue.messages = 0", "c.toml:1:18: queue.messages is 0"),
        ("queue.mesages = 1", "c.toml:1:7: unknown key"),
        ("queue.messages =", "c.toml:1:17: not TOML"),
    ] {
        let error = running.read_again(&format!("{text}\n{LISTENER}"));
        let error = error.expect_err(text).to_string();
        assert!(error.contains(place), "{error}");
    }
    fs::remove_file(running.home.path().join("c.toml")).expect("it is ours");
    let error = running.config.read_again().expect_err("no file");
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

/// Also what has to wait for a restart must be right: the next start is no time for surprises.
#[test]
fn what_needs_a_restart_is_checked_as_well() {
    let running = Running::new(LISTENER);
    let error = running.read_again(&LISTENER.replace("tcp", "tsl"));
    assert!(error.is_err());
    let twice = format!("http.address = \"127.0.0.1:1\"\n{LISTENER}");
    assert!(running.read_again(&twice).is_err());
}

#[test]
fn variables_still_go_before_the_file() {
    let home = Directory::new();
    let path = home.file("c.toml", LISTENER);
    let variable = ("POSTBUD_QUEUE_MESSAGES".into(), "7".into());
    let config = Config::load(Some(&path), [variable].into_iter()).expect("a right file");
    home.file("c.toml", format!("queue.messages = 9\n{LISTENER}"));
    let (config, changes) = config.read_again().expect("a right file");
    assert_eq!(config.broker.session.queue.messages, 7);
    assert_eq!(changes, []);
}

#[test]
fn the_built_in_configuration_can_be_read_again() {
    let config = Config::load(None, std::iter::empty()).expect("it is right");
    let (again, changes) = config.read_again().expect("it is right");
    assert_eq!(changes, []);
    assert_eq!(again.broker, config.broker);
    assert_eq!(again.listener, config.listener);
}

fn listener(address: &str, rest: &str) -> String {
    format!("[[listener]]\nkind = \"tls\"\naddress = \"{address}\"\n[listener.tls]\n{rest}\n")
}

fn certificate(name: &str) -> String {
    format!("certificate = \"{name}.pem\"\nkey = \"{name}.key\"")
}

#[test]
fn listeners_are_known_by_where_they_listen() {
    let (a, b) = ("127.0.0.1:1", "127.0.0.1:2");
    let two = listener(a, &certificate("a")) + &listener(b, &certificate("b"));
    let mut running = Running::new(&two);
    let before = running.config.listener.clone();
    // In another order they are the same.
    let turned = listener(b, &certificate("b")) + &listener(a, &certificate("a"));
    assert!(running.reload(&turned).is_empty());
    assert_eq!(running.config.listener, before);
    // One goes, one comes, and neither does so now.
    let told = running.reload(&(listener("127.0.0.1:3", &certificate("c")) + &turned));
    assert_eq!(told, ["listener.0: not given -> \"127.0.0.1:3\" (restart)"]);
    assert_eq!(running.config.listener, before);
    let told = running.reload(&listener(b, &certificate("b")));
    assert_eq!(told, ["listener.0: \"127.0.0.1:1\" -> not given (restart)"]);
    assert_eq!(running.config.listener, before);
    let moved = listener("127.0.0.1:9", &certificate("a")) + &listener(b, &certificate("b"));
    let told = running.reload(&moved);
    assert_eq!(
        told,
        ["listener.0.address: \"127.0.0.1:1\" -> \"127.0.0.1:9\" (restart)"]
    );
    assert_eq!(running.config.listener, before);
}

#[test]
fn arrays_that_need_a_restart_stay_whole() {
    let topic = |filter: &str, durability: &str| {
        format!("[[store.topics]]\nfilter = \"{filter}\"\ndurability = \"{durability}\"\n")
    };
    let text = |topics: &[String]| format!("{LISTENER}{}", topics.concat());
    let (a, b, c) = (
        topic("a", "flush"),
        topic("b", "write"),
        topic("c", "memory"),
    );
    let mut running = Running::new(&text(&[a.clone(), c.clone()]));
    let before = running.config.store.promise.clone();
    let told = running.reload(&text(&[a.clone(), b, c.clone()]));
    assert_eq!(told, ["store.topics: no table -> table 1 (restart)"]);
    assert_eq!(running.config.store.promise, before);
    let told = running.reload(&text(&[a, topic("c", "flush")]));
    assert_eq!(
        told,
        ["store.topics.1.durability: \"memory\" -> \"flush\" (restart)"]
    );
    assert_eq!(running.config.store.promise, before);
    let told = running.reload(LISTENER);
    assert_eq!(told, ["store.topics: tables 0 to 1 -> no table (restart)"]);
    assert_eq!(running.config.store.promise, before);
    assert_eq!(running.config.broker.promise, before);
}
