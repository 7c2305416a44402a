use std::sync::atomic::AtomicUsize;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::super::super::testing::{Issuer, Server};
use super::super::super::web::Options;
use super::super::wrong::Wrong;
use super::*;

/// What a test's server has: the keys it shows, or the status it fails with.
#[derive(Clone)]
struct Shown(Arc<Mutex<Result<Value, u16>>>);

impl Shown {
    fn set(&self, keys: &[Value]) {
        *self.0.lock() = Ok(json!({ "keys": keys }));
    }

    fn fails(&self, status: u16) {
        *self.0.lock() = Err(status);
    }
}

async fn server(keys: &[Value]) -> (Server, Shown) {
    let shown = Shown(Arc::new(Mutex::new(Err(503))));
    shown.set(keys);
    let reply = shown.clone();
    let server = Server::start(move |_| {
        let shown = reply.0.lock().clone();
        async move {
            match shown {
                Ok(keys) => (200, keys.to_string()),
                Err(status) => (status, String::new()),
            }
        }
    });
    (server.await, shown)
}

const NEVER: Duration = Duration::from_secs(3600);

fn source(url: Url, pace: Pace) -> Source {
    Source {
        web: Web::new(&Options::default(), &[&url], 1).unwrap(),
        url,
        algorithms: vec![Algorithm::EdDsa],
        pace,
        counts: Arc::default(),
        last: Arc::default(),
    }
}

fn patient() -> Pace {
    Pace {
        refresh: NEVER,
        retry: NEVER,
        least: Duration::ZERO,
    }
}

/// Fetches again, and waits until that is done.
async fn fetched(remote: &Remote) {
    let (done, mut told) = watch::channel(false);
    let waits = remote.after_fetch(Instant::now(), || {
        Box::new(move || done.send(true).unwrap())
    });
    assert!(waits, "keys can be fetched");
    let told = tokio::time::timeout(Duration::from_secs(20), told.wait_for(|it| *it));
    told.await
        .expect("a fetch has an end")
        .expect("the waiter was called");
}

fn known(remote: &Remote, issuer: &Issuer, id: &str) -> Result<(), Wrong> {
    let token = issuer.token("EdDSA", Some(id), &json!({}));
    let token = super::super::compact::Compact::read(&token)
        .unwrap()
        .unwrap();
    let keys = remote.keys().ok_or(Wrong::NoKeys)?;
    keys.check(Algorithm::EdDsa, Some(id), token.signed, &token.signature)
}

fn count(counts: &Counts, label: &str) -> u64 {
    let mut all = counts.key_fetches.read();
    all.find(|(known, _)| *known == label).unwrap().1
}

#[tokio::test]
async fn keys_come_and_go() {
    let (one, two) = (Issuer::ed25519(), Issuer::ed25519());
    let (server, shown) = server(&[one.jwk("1")]).await;
    let source = source(server.url("/keys"), patient());
    let counts = Arc::clone(&source.counts);
    let remote = Remote::new(source, &Handle::current());
    assert_eq!(known(&remote, &one, "1"), Err(Wrong::NoKeys));
    fetched(&remote).await;
    assert_eq!(known(&remote, &one, "1"), Ok(()));
    assert_eq!(known(&remote, &two, "2"), Err(Wrong::UnknownKey));
    shown.set(&[one.jwk("1"), two.jwk("2")]);
    fetched(&remote).await;
    assert_eq!(known(&remote, &two, "2"), Ok(()));
    shown.set(&[two.jwk("2")]);
    fetched(&remote).await;
    assert_eq!(known(&remote, &one, "1"), Err(Wrong::UnknownKey));
    assert_eq!(known(&remote, &two, "2"), Ok(()));
    assert_eq!(count(&counts, "fetched"), 3);
    assert!(counts.keys_fetched.load(Ordering::Relaxed) > 1_700_000_000);
    assert_eq!(server.asked()[0].line, "GET /keys");
}

#[tokio::test]
async fn the_last_good_set_stays_in_force() {
    let issuer = Issuer::ed25519();
    let (server, shown) = server(&[issuer.jwk("1")]).await;
    let source = source(server.url("/keys"), patient());
    let counts = Arc::clone(&source.counts);
    let remote = Remote::new(source, &Handle::current());
    fetched(&remote).await;
    for (label, status) in [("status", 500), ("status", 404), ("malformed", 200)] {
        match status {
            200 => shown.set(&[json!({"kty": "RSA"})]),
            status => shown.fails(status),
        }
        let before = count(&counts, label);
        fetched(&remote).await;
        assert_eq!(count(&counts, label), before + 1);
        assert_eq!(known(&remote, &issuer, "1"), Ok(()), "{status}");
    }
}

#[tokio::test]
async fn after_a_reload_nobody_waits_for_keys_that_are_known() {
    let issuer = Issuer::ed25519();
    let (server, shown) = server(&[issuer.jwk("1")]).await;
    let before = source(server.url("/keys"), patient());
    let last = Arc::clone(&before.last);
    let remote = Remote::new(before, &Handle::current());
    fetched(&remote).await;
    drop(remote);
    shown.fails(500);
    let again = |path, algorithm| {
        let mut source = source(server.url(path), patient());
        source.last = Arc::clone(&last);
        source.algorithms = vec![algorithm];
        Remote::new(source, &Handle::current())
    };
    assert_eq!(
        known(&again("/keys", Algorithm::EdDsa), &issuer, "1"),
        Ok(())
    );
    // What was fetched elsewhere, or may not be used any more, is not known.
    assert!(again("/others", Algorithm::EdDsa).keys().is_none());
    assert!(again("/keys", Algorithm::Es256).keys().is_none());
}

#[tokio::test]
async fn keys_are_fetched_at_intervals_and_sooner_after_a_failure() {
    let issuer = Issuer::ed25519();
    let (server, shown) = server(&[]).await;
    shown.fails(503);
    let pace = Pace {
        refresh: NEVER,
        retry: Duration::from_millis(5),
        least: NEVER,
    };
    let remote = Remote::new(source(server.url("/keys"), pace), &Handle::current());
    let begun = Instant::now();
    let patience = Duration::from_secs(20);
    while server.asked().len() < 3 {
        assert!(begun.elapsed() < patience, "it is tried again");
        tokio::task::yield_now().await;
    }
    shown.set(&[issuer.jwk("1")]);
    while remote.keys().is_none() {
        assert!(begun.elapsed() < patience, "it is tried until it goes well");
        tokio::task::yield_now().await;
    }
}

/// However many tokens name keys that nobody knows, the issuer is asked once in a while.
#[tokio::test]
async fn a_stranger_cannot_have_the_issuer_asked_at_will() {
    let issuer = Issuer::ed25519();
    let (server, _) = server(&[issuer.jwk("1")]).await;
    let pace = Pace {
        least: NEVER,
        ..patient()
    };
    let remote = Remote::new(source(server.url("/keys"), pace), &Handle::current());
    fetched(&remote).await;
    for _ in 0..1000 {
        let waits = remote.after_fetch(Instant::now(), || panic!("nobody waits for nothing"));
        assert!(!waits);
    }
    assert_eq!(server.asked().len(), 1);
    assert!(remote.after_fetch(Instant::now() + NEVER, || Box::new(|| ())));
}

#[tokio::test]
async fn so_many_wait_and_no_more_and_all_are_let_go() {
    let server = Server::start(|_| std::future::pending()).await;
    let remote = Remote::new(source(server.url("/keys"), patient()), &Handle::current());
    let gone = Arc::new(AtomicUsize::new(0));
    struct Gone(Arc<AtomicUsize>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    for number in 0..WAITING_MAXIMUM + 10 {
        let gone = Gone(Arc::clone(&gone));
        let waits = remote.after_fetch(Instant::now(), || Box::new(move || drop(gone)));
        assert_eq!(waits, number < WAITING_MAXIMUM);
    }
    drop(remote);
    assert_eq!(gone.load(Ordering::SeqCst), WAITING_MAXIMUM + 10);
}
