use std::sync::mpsc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::super::testing::{Asked, Server};
use super::super::{Caller, Identity};
use super::*;
use crate::codec::QoS;

const PATIENCE: Duration = Duration::from_secs(20);

/// A service beside a runtime that it is asked on.
struct House {
    runtime: tokio::runtime::Runtime,
    server: Server,
    counts: Arc<Counts>,
    callback: Callback,
}

impl House {
    fn new<F, R>(change: impl FnOnce(&mut Options), reply: F) -> Self
    where
        F: Fn(Asked) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = (u16, String)> + Send + 'static,
    {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = runtime.block_on(Server::start(reply));
        let mut options = Options {
            authenticate: Some(server.url("/who")),
            authorize: Some(server.url("/may")),
            ..Options::default()
        };
        change(&mut options);
        let counts = Arc::default();
        let callback = Callback::new(&options, runtime.handle(), &counts).unwrap();
        Self {
            runtime,
            server,
            counts,
            callback,
        }
    }

    /// Asks who a client is, and returns where the answer will come.
    fn who(&self, user_name: &str) -> Result<mpsc::Receiver<Opinion>, ReasonCode> {
        let caller = Caller::default();
        let request = Request {
            client_id: "c",
            caller: &caller,
            user_name: Some(user_name),
            password: Some(b"secret"),
        };
        let (tell, told) = mpsc::channel();
        let mut answer = || -> Answer {
            let tell = tell.clone();
            Box::new(move |opinion| drop(tell.send(opinion)))
        };
        let way = self.callback.way.as_ref().unwrap();
        match way.opinion(&request, &mut answer) {
            Opinion::Later => Ok(told),
            Opinion::Refuse(code) => Err(code),
            other => panic!("{other:?} without asking"),
        }
    }

    fn ruling(&self, client_id: &str, topic: &str) -> (Ruling, mpsc::Receiver<()>) {
        let identity = Identity::of("anna");
        let who = Who {
            client_id,
            identity: &identity,
            caller: None,
        };
        let access = Access::Publish {
            topic,
            qos: QoS::AtMostOnce,
            retain: false,
        };
        let (tell, told) = mpsc::channel();
        let mut again = || -> AskAgain {
            let tell = tell.clone();
            Box::new(move || tell.send(()).unwrap())
        };
        let rules = self.callback.rules.as_ref().unwrap();
        (rules.ruling(&who, access, &mut again), told)
    }

    /// The ruling, once it is there, as whoever waits for it gets it.
    fn awaited(&self, client_id: &str, topic: &str) -> Ruling {
        match self.ruling(client_id, topic) {
            (Ruling::Later, told) => {
                told.recv_timeout(PATIENCE).expect("it is told");
                let (ruling, _) = self.ruling(client_id, topic);
                assert_ne!(ruling, Ruling::Later, "whoever was told finds the answer");
                ruling
            }
            (ruling, _) => ruling,
        }
    }

    fn asked(&self, path: &str) -> usize {
        let asked = self.server.asked();
        asked
            .iter()
            .filter(|it| it.line == format!("POST {path}"))
            .count()
    }
}

fn count(questions: &super::super::counts::Questions, label: &str) -> u64 {
    let mut all = questions.outcomes.read();
    all.find(|(known, _)| *known == label).unwrap().1
}

fn told(answer: Result<mpsc::Receiver<Opinion>, ReasonCode>) -> Result<String, Option<ReasonCode>> {
    match answer
        .map_err(Some)?
        .recv_timeout(PATIENCE)
        .expect("it is told")
    {
        Opinion::Accept(identity) => Ok(identity.user.unwrap().to_string()),
        Opinion::Refuse(code) => Err(Some(code)),
        Opinion::Next => Err(None),
        Opinion::Later => panic!("later still"),
    }
}

#[test]
fn the_service_says_who_a_client_is() {
    let house = House::new(
        |_| (),
        |asked| async move {
            let asked: Value = serde_json::from_str(&asked.body).unwrap();
            assert_eq!(asked["password"], "secret");
            match asked["user_name"].as_str().unwrap() {
                "yes" => (204, String::new()),
                "renamed" => (200, json!({"result": "allow", "user": "other"}).to_string()),
                "no" => (200, json!({"result": "deny"}).to_string()),
                "next" => (200, json!({"result": "ignore"}).to_string()),
                "broken" => (500, json!({"result": "allow"}).to_string()),
                "large" => (200, " ".repeat(100_000) + "{\"result\": \"allow\"}"),
                _ => (200, "allow".to_owned()),
            }
        },
    );
    let refused = Err(Some(ReasonCode::BadUserNameOrPassword));
    let unavailable = Err(Some(ReasonCode::ServerUnavailable));
    for (name, expected, label) in [
        ("yes", Ok("yes".to_owned()), "allow"),
        ("renamed", Ok("other".to_owned()), "allow"),
        ("no", refused, "deny"),
        ("next", Err(None), "ignore"),
        ("broken", unavailable.clone(), "status"),
        ("large", unavailable.clone(), "too_large"),
        ("odd", unavailable, "malformed"),
    ] {
        let before = count(&house.counts.authenticate, label);
        assert_eq!(told(house.who(name)), expected, "{name}");
        assert_eq!(
            count(&house.counts.authenticate, label),
            before + 1,
            "{name}"
        );
    }
    assert!(house.counts.authenticate.taken() > Duration::ZERO);
}

#[test]
fn who_gets_no_answer_in_time_is_refused() {
    let slow = |options: &mut Options| options.web.timeout = Duration::from_millis(100);
    let house = House::new(slow, |_| std::future::pending());
    assert_eq!(
        told(house.who("u")),
        Err(Some(ReasonCode::ServerUnavailable))
    );
    assert_eq!(house.awaited("c", "t"), Ruling::Unknown);
    let counts = &house.counts;
    assert_eq!(count(&counts.authenticate, "timeout"), 1);
    assert_eq!(count(&counts.authorize, "timeout"), 1);
}

#[test]
fn a_service_that_is_not_there_refuses() {
    let dead = |options: &mut Options| {
        let url: Url = "http://127.0.0.1:1/".parse().unwrap();
        options.authenticate = Some(url.clone());
        options.authorize = Some(url);
    };
    let house = House::new(dead, |_| std::future::pending());
    assert_eq!(
        told(house.who("u")),
        Err(Some(ReasonCode::ServerUnavailable))
    );
    assert_eq!(house.awaited("c", "t"), Ruling::Unknown);
    assert_eq!(count(&house.counts.authorize, "unreachable"), 1);
}

#[test]
fn so_many_are_asked_at_once_so_many_wait_and_one_more_is_refused() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let few = |options: &mut Options| {
        options.requests_at_once = 2;
        options.requests_waiting = 3;
        options.web.timeout = PATIENCE;
    };
    let house = House::new(few, move |_| {
        let held = Arc::clone(&held);
        async move {
            held.acquire().await.unwrap().forget();
            (204, String::new())
        }
    });
    let answers: Vec<_> = (0..5).map(|_| house.who("u").unwrap()).collect();
    assert_eq!(house.who("u").err(), Some(ReasonCode::ServerBusy));
    // Questions of the other sort have room of their own.
    assert_eq!(house.ruling("c", "t").0, Ruling::Later);
    assert_eq!(count(&house.counts.authenticate, "busy"), 1);
    let begun = Instant::now();
    while house.asked("/who") < 2 {
        assert!(begun.elapsed() < PATIENCE, "two are asked");
        std::thread::yield_now();
    }
    gate.add_permits(1000);
    for answer in answers {
        assert_eq!(told(Ok(answer)), Ok("u".to_owned()));
    }
    assert_eq!(told(house.who("u")), Ok("u".to_owned()));
    assert_eq!(count(&house.counts.authenticate, "allow"), 6);
    drop(house.runtime);
}

fn by_topic(asked: Asked) -> (u16, String) {
    let asked: Value = serde_json::from_str(&asked.body).unwrap();
    (200, json!({ "result": asked["topic"] }).to_string())
}

#[test]
fn the_service_says_what_a_client_may_do_and_it_is_remembered() {
    let house = House::new(|_| (), |asked| async { by_topic(asked) });
    for _ in 0..3 {
        assert_eq!(house.awaited("c", "allow"), Ruling::Allow);
        assert_eq!(house.awaited("c", "deny"), Ruling::Deny);
        assert_eq!(house.awaited("c", "ignore"), Ruling::Silent);
    }
    assert_eq!(house.asked("/may"), 3);
    // What is known of one client says nothing about another.
    assert_eq!(house.awaited("d", "allow"), Ruling::Allow);
    assert_eq!(house.asked("/may"), 4);
    // Each that waited was answered from memory in the end.
    assert_eq!(
        house
            .counts
            .remembered
            .load(std::sync::atomic::Ordering::Relaxed),
        10
    );
    let rules = house.callback.rules.as_ref().unwrap();
    assert_eq!(rules.remembered_for(), Some(Duration::from_secs(60)));
    let identity = Identity::default();
    let who = Who {
        client_id: "c",
        identity: &identity,
        caller: None,
    };
    let delivery = Access::Receive { topic: "allow" };
    let ruling = rules.ruling(&who, delivery, &mut || panic!("nobody is asked"));
    assert_eq!(
        (ruling, rules.watches_deliveries(&who)),
        (Ruling::Silent, false)
    );
}

/// Without a memory an answer is there for whoever waited for it all the same, all of a packet's questions.
#[test]
fn an_answer_is_there_for_whoever_waited_for_it() {
    let forgetful = |options: &mut Options| options.cache_time = Duration::ZERO;
    let house = House::new(forgetful, |asked| async { by_topic(asked) });
    let clients: Vec<String> = (0..20).map(|it| it.to_string()).collect();
    let waiting: Vec<_> = clients.iter().map(|id| house.ruling(id, "allow")).collect();
    for (ruling, told) in waiting {
        assert_eq!(ruling, Ruling::Later);
        told.recv_timeout(PATIENCE).expect("it is told");
    }
    for id in &clients {
        assert_eq!(house.ruling(id, "allow").0, Ruling::Allow);
    }
    assert_eq!(house.asked("/may"), 20);
    let rules = house.callback.rules.as_ref().unwrap();
    assert_eq!(rules.remembered_for(), Some(Duration::ZERO));
}

/// As the broker asks about a packet with many questions: all of them, and all of them again when it is told.
#[test]
fn who_asks_more_than_there_is_room_for_is_answered_in_rounds() {
    let few = |options: &mut Options| {
        options.requests_at_once = 2;
        options.requests_waiting = 4;
        options.cache_time = Duration::ZERO;
    };
    let house = House::new(few, |_| async {
        (200, json!({"result": "allow"}).to_string())
    });
    let topics: Vec<String> = (0..20).map(|it| it.to_string()).collect();
    let mut rounds = 0;
    loop {
        let asked: Vec<_> = topics
            .iter()
            .map(|topic| house.ruling("c", topic))
            .collect();
        assert!(asked.iter().all(|(ruling, _)| *ruling != Ruling::Deny));
        let mut later = asked
            .iter()
            .filter(|(ruling, _)| *ruling == Ruling::Later)
            .peekable();
        if later.peek().is_none() {
            break;
        }
        for (_, told) in later {
            told.recv_timeout(PATIENCE).expect("it is told");
        }
        rounds += 1;
    }
    assert!((2..=10).contains(&rounds), "{rounds}");
    assert_eq!(house.asked("/may"), topics.len());
    assert_eq!(count(&house.counts.authorize, "busy"), 0);
}

#[test]
fn what_is_not_configured_is_not_there() {
    let house = House::new(
        |options| options.authorize = None,
        |_| async { (204, String::new()) },
    );
    assert!(house.callback.way.is_some() && house.callback.rules.is_none());
    let house = House::new(
        |options| options.authenticate = None,
        |_| async { (204, String::new()) },
    );
    assert!(house.callback.way.is_none() && house.callback.rules.is_some());
}
