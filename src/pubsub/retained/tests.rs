use super::*;
use crate::codec::QoS;
use crate::message::Parts;
use crate::topic::filter;

fn message(topic: &str, payload: &[u8], expires: Option<u64>) -> Message {
    let parts = Parts {
        topic,
        forwarded: &[],
        payload,
        qos: QoS::AtMostOnce,
        retain: true,
        expires: expires.map(Timestamp::from_millis),
    };
    Message::new(parts, &mut Vec::new())
}

fn store(topics: &[&str]) -> Retained {
    let mut store = Retained::new(RetainedOptions::default());
    for topic in topics {
        assert_eq!(store.set(message(topic, b"x", None), None), Ok(()));
    }
    store
}

fn found(store: &Retained, filter: &str, steps: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut after = None;
    for _ in 0..1000 {
        after = store.find(
            filter,
            after.as_deref(),
            None,
            steps,
            Timestamp::default(),
            &mut found,
        );
        if after.is_none() {
            return found
                .iter()
                .map(|message| message.topic().to_owned())
                .collect();
        }
    }
    panic!("the walk does not end for {filter}")
}

#[test]
fn every_filter_finds_what_it_matches_and_nothing_else() {
    // Characters on both sides of the slash, empty levels, `$`, and one level more or less.
    let levels = ["", "a", "b", "a!", "a0", "ab", "$a", "c"];
    let mut topics = Vec::new();
    for first in levels {
        topics.push(first.to_owned());
        for second in levels {
            topics.push(format!("{first}/{second}"));
            for third in ["", "a", "c"] {
                topics.push(format!("{first}/{second}/{third}"));
            }
        }
    }
    topics.retain(|topic| !topic.is_empty());
    let borrowed: Vec<&str> = topics.iter().map(String::as_str).collect();
    let store = store(&borrowed);
    assert_eq!(store.len(), topics.len());
    let parts = ["", "a", "ab", "$a", "+", "x"];
    let mut filters = vec!["#".to_owned(), "+".to_owned()];
    for first in parts {
        filters.extend([format!("{first}/#"), format!("{first}/+")]);
        for second in parts {
            for third in ["#", "+", "c", "a", "b"] {
                filters.push(format!("{first}/{second}/{third}"));
            }
            filters.push(format!("{first}/{second}"));
        }
    }
    for filter in &filters {
        let mut expected: Vec<&str> = borrowed
            .iter()
            .copied()
            .filter(|topic| filter::matches(filter, topic))
            .collect();
        expected.sort_unstable();
        for steps in [1, 3, 1_000_000] {
            assert_eq!(
                found(&store, filter, steps),
                expected,
                "{filter}, {steps} steps a turn"
            );
        }
    }
}

#[test]
fn a_topic_has_one_message_and_an_empty_one_clears_it() {
    let mut store = store(&["a", "b"]);
    assert_eq!(store.set(message("a", b"longer", None), None), Ok(()));
    assert_eq!((store.len(), store.bytes()), (2, 7 + 2));
    assert_eq!(store.get("a").map(Message::payload), Some(&b"longer"[..]));
    assert_eq!(store.set(message("a", b"", None), None), Ok(()));
    assert_eq!((store.len(), store.bytes()), (1, 2));
    assert!(store.get("a").is_none());
}

#[test]
fn at_its_bound_the_store_refuses_one_more_but_replaces_and_clears() {
    let options = RetainedOptions {
        available: true,
        messages: 2,
        bytes: 8,
    };
    let mut store = Retained::new(options);
    assert_eq!(store.set(message("a", b"1", None), None), Ok(()));
    assert_eq!(store.set(message("b", b"1", None), None), Ok(()));
    assert_eq!(store.set(message("c", b"1", None), None), Err(Refused));
    assert_eq!(store.set(message("b", b"12345", None), None), Ok(()));
    assert_eq!(
        store.set(message("b", b"123456", None), None),
        Err(Refused),
        "too many bytes"
    );
    assert_eq!(
        store.set(message("a", b"2", None), None),
        Ok(()),
        "replacing goes on"
    );
    assert_eq!(store.set(message("a", b"", None), None), Ok(()));
    assert_eq!((store.len(), store.bytes()), (1, 6));
}

#[test]
fn expired_messages_are_not_found_and_are_swept() {
    let mut store = store(&["a", "c"]);
    assert_eq!(store.set(message("b", b"x", Some(10)), None), Ok(()));
    let now = Timestamp::from_millis(10);
    let mut found = Vec::new();
    assert_eq!(store.find("#", None, None, 100, now, &mut found), None);
    assert_eq!(found.len(), 2);
    let (next, removed) = store.sweep(None, 2, now, |_| {});
    assert_eq!((next.as_deref(), removed), (Some("b"), 1));
    let (next, removed) = store.sweep(next.as_deref(), 2, now, |_| {});
    assert_eq!((next, removed), (None, 0));
    assert_eq!(store.len(), 2);
}

#[test]
fn a_publisher_can_be_left_out() {
    let mut store = store(&[]);
    let of = |name: &str| Some(name.into());
    assert_eq!(store.set(message("a", b"x", None), of("me")), Ok(()));
    assert_eq!(store.set(message("b", b"x", None), of("you")), Ok(()));
    assert_eq!(store.set(message("c", b"x", None), None), Ok(()));
    let mut found = Vec::new();
    let now = Timestamp::default();
    assert_eq!(store.find("#", None, Some("me"), 10, now, &mut found), None);
    let topics: Vec<_> = found.iter().map(Message::topic).collect();
    assert_eq!(topics, ["b", "c"]);
}
