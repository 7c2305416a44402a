use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;

fn key(number: u32) -> Key {
    let mut key = Key::default();
    key[..4].copy_from_slice(&number.to_be_bytes());
    key
}

fn say(cache: &mut Cache, number: u32, ruling: Ruling, until: Instant) {
    assert!(cache.answered((key(number), "c"), ruling, until).is_empty());
}

#[test]
fn an_answer_holds_for_a_while() {
    let (now, hour) = (Instant::now(), Duration::from_secs(3600));
    let mut cache = Cache::new(10);
    assert_eq!(cache.known(&key(1), now), Known::Nothing);
    say(&mut cache, 1, Ruling::Deny, now + hour);
    assert_eq!(cache.known(&key(1), now), Known::Said(Ruling::Deny));
    assert_eq!(cache.known(&key(2), now), Known::Nothing);
    assert_eq!(cache.known(&key(1), now + hour), Known::Nothing);
    say(&mut cache, 1, Ruling::Allow, now + hour * 2);
    assert_eq!(cache.known(&key(1), now + hour), Known::Said(Ruling::Allow));
}

#[test]
fn there_are_never_more_than_allowed_and_those_in_use_stay() {
    let (now, hour) = (Instant::now(), Duration::from_secs(3600));
    for size in [1, 2, 3, 10, 100] {
        let mut cache = Cache::new(size);
        for number in 0..1000 {
            say(&mut cache, number, Ruling::Allow, now + hour);
            assert!(cache.len() <= size + size % 2, "{} of {size}", cache.len());
            // The last one is always there, and so is one that is asked for again and again.
            assert_eq!(
                cache.known(&key(number), now),
                Known::Said(Ruling::Allow),
                "{size}"
            );
            if size >= 10 {
                assert_eq!(
                    cache.known(&key(0), now),
                    Known::Said(Ruling::Allow),
                    "{size}"
                );
            }
        }
        assert_eq!(cache.known(&key(1), now), Known::Nothing, "{size}");
    }
}

#[test]
fn a_question_is_asked_once_however_many_want_to_know() {
    let now = Instant::now();
    let mut cache = Cache::new(10);
    let told = Arc::new(AtomicUsize::new(0));
    cache.asks(key(1), "c");
    for _ in 0..3 {
        assert_eq!(cache.known(&key(1), now), Known::Asked);
        let told = Arc::clone(&told);
        cache.wait(
            key(1),
            Box::new(move || {
                told.fetch_add(1, Ordering::Relaxed);
            }),
        );
    }
    let until = now + Duration::from_secs(1);
    for again in cache.answered((key(1), "c"), Ruling::Allow, until) {
        again();
    }
    assert_eq!(told.load(Ordering::Relaxed), 3);
    assert_eq!(cache.known(&key(1), now), Known::Said(Ruling::Allow));
}

#[test]
fn who_has_more_questions_than_there_is_room_for_waits_for_its_own() {
    let now = Instant::now();
    let mut cache = Cache::new(10);
    let told = Arc::new(AtomicUsize::new(0));
    let again = || -> AskAgain {
        let told = Arc::clone(&told);
        Box::new(move || {
            told.fetch_add(1, Ordering::Relaxed);
        })
    };
    cache.asks(key(0), "c");
    cache.asks(key(1), "c");
    cache.asks(key(2), "d");
    assert_eq!((cache.asked_about("c"), cache.asked_about("e")), (2, 0));
    cache.wait_for_any("c", again());
    for again in cache.answered((key(2), "d"), Ruling::Allow, now) {
        again();
    }
    assert_eq!(told.load(Ordering::Relaxed), 0);
    for again in cache.answered((key(0), "c"), Ruling::Allow, now) {
        again();
    }
    assert_eq!(told.load(Ordering::Relaxed), 1);
    assert_eq!(cache.asked_about("c"), 1);
    cache.answered((key(1), "c"), Ruling::Allow, now);
    assert!(cache.shares.is_empty() && cache.asked.is_empty());
}
