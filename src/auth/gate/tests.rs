use std::sync::mpsc;

use parking_lot::Mutex;

use super::*;

/// A way that has one opinion, at once or when the test says so.
struct Always {
    opinion: fn() -> Opinion,
    thoughts: Option<Arc<Mutex<Vec<Answer>>>>,
}

impl Way for Always {
    fn opinion(&self, _: &Request<'_>, answer: &mut dyn FnMut() -> Answer) -> Opinion {
        match &self.thoughts {
            Some(thoughts) => {
                thoughts.lock().push(answer());
                Opinion::Later
            }
            None => (self.opinion)(),
        }
    }
}

fn at_once(opinion: fn() -> Opinion) -> Box<dyn Way> {
    Box::new(Always {
        opinion,
        thoughts: None,
    })
}

fn thinks(thoughts: &Arc<Mutex<Vec<Answer>>>) -> Box<dyn Way> {
    Box::new(Always {
        opinion: || Opinion::Next,
        thoughts: Some(Arc::clone(thoughts)),
    })
}

fn anna() -> Opinion {
    Opinion::Accept(Identity::of("anna"))
}

fn request<'a>(caller: &'a Caller, user_name: Option<&'a str>) -> Request<'a> {
    Request {
        client_id: "c",
        caller,
        user_name,
        password: user_name.map(|_| b"secret".as_slice()),
    }
}

/// What becomes of a client: the user it is, or why it is refused.
fn outcome(verdict: Verdict) -> Result<Option<String>, ReasonCode> {
    match verdict {
        Verdict::Accept(identity) => Ok(identity.user.map(|user| user.to_string())),
        Verdict::Refuse(code) => Err(code),
        Verdict::Later => panic!("it takes its time"),
    }
}

fn never() -> Tell {
    panic!("answers at once")
}

fn judged(parts: Parts, user_name: Option<&str>) -> Result<Option<String>, ReasonCode> {
    let caller = Caller::default();
    let request = request(&caller, user_name);
    outcome(Gate::new(parts).authenticate(&request, &mut never))
}

#[test]
fn nobody_is_accepted_by_a_gate_of_nothing() {
    let refused = Err(ReasonCode::NotAuthorized);
    assert_eq!(judged(Parts::default(), None), refused);
    assert_eq!(judged(Parts::default(), Some("u")), refused);
}

#[test]
fn who_gives_a_name_has_to_prove_it_where_there_is_a_way() {
    let parts = |ways| Parts {
        anonymous: true,
        ways,
        ..Parts::default()
    };
    let next = || vec![at_once(|| Opinion::Next)];
    assert_eq!(judged(parts(next()), None), Ok(None));
    assert_eq!(
        judged(parts(next()), Some("u")),
        Err(ReasonCode::BadUserNameOrPassword)
    );
    assert_eq!(judged(parts(vec![]), Some("u")), Ok(None));
}

#[test]
fn the_first_way_that_has_an_opinion_decides() {
    let refuse = || Opinion::Refuse(ReasonCode::Banned);
    let parts = |ways| Parts {
        ways,
        ..Parts::default()
    };
    let ways = vec![at_once(|| Opinion::Next), at_once(anna), at_once(refuse)];
    assert_eq!(judged(parts(ways), Some("u")), Ok(Some("anna".into())));
    let ways = vec![at_once(refuse), at_once(anna)];
    assert_eq!(judged(parts(ways), Some("u")), Err(ReasonCode::Banned));
}

#[test]
fn an_open_listener_asks_nobody() {
    let gate = Gate::new(Parts {
        ways: vec![at_once(|| Opinion::Refuse(ReasonCode::Banned))],
        ..Parts::default()
    });
    let caller = Caller {
        open: true,
        ..Caller::default()
    };
    let verdict = gate.authenticate(&request(&caller, Some("u")), &mut never);
    assert_eq!(outcome(verdict), Ok(None));
}

#[test]
fn what_comes_later_goes_on_where_it_was() {
    let thoughts = Arc::default();
    let gate = Gate::new(Parts {
        ways: vec![
            thinks(&thoughts),
            at_once(|| Opinion::Next),
            thinks(&thoughts),
        ],
        ..Parts::default()
    });
    let (told, verdicts) = mpsc::channel();
    let caller = Caller::default();
    let verdict = gate.authenticate(&request(&caller, Some("u")), &mut || {
        let told = told.clone();
        Box::new(move |verdict| told.send(verdict).expect("the test listens"))
    });
    assert!(matches!(verdict, Verdict::Later), "{verdict:?}");
    let first = thoughts.lock().remove(0);
    first(Opinion::Next);
    assert!(
        verdicts.try_recv().is_err(),
        "the third way has not said anything"
    );
    // The parts in force when it came are asked to the end.
    gate.replace(Parts::default());
    let third = thoughts.lock().remove(0);
    third(anna());
    let verdict = verdicts.try_recv().expect("it was told");
    assert_eq!(
        verdict.map(|identity| identity.user),
        Ok(Some("anna".into()))
    );
}

#[test]
fn an_answer_that_is_dropped_drops_the_callback() {
    struct Dropped(mpsc::Sender<()>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.send(()).expect("the test listens");
        }
    }
    let thoughts = Arc::default();
    let gate = Gate::new(Parts {
        ways: vec![thinks(&thoughts)],
        ..Parts::default()
    });
    let (sender, dropped) = mpsc::channel();
    let caller = Caller::default();
    let mut guard = Some(Dropped(sender));
    let verdict = gate.authenticate(&request(&caller, None), &mut || {
        let guard = guard.take();
        Box::new(move |_| drop(guard))
    });
    assert!(matches!(verdict, Verdict::Later), "{verdict:?}");
    thoughts.lock().clear();
    assert_eq!(dropped.try_recv(), Ok(()));
}

/// Rules that rule everything alike.
struct Flat(Ruling);

impl Rules for Flat {
    fn ruling(&self, _: &Who<'_>, _: Access<'_>, _: &mut dyn FnMut() -> AskAgain) -> Ruling {
        self.0
    }
}

#[test]
fn grants_come_before_rules_and_silence_is_denied() {
    let permission = |grants: Option<Ruling>, rules: &[Ruling]| {
        let gate = Gate::new(Parts {
            rules: rules.iter().map(|it| Arc::new(Flat(*it)) as _).collect(),
            ..Parts::default()
        });
        let identity = Identity {
            grants: grants.map(|it| Arc::new(Flat(it)) as _),
            ..Identity::default()
        };
        let who = Who {
            client_id: "c",
            identity: &identity,
            caller: None,
        };
        gate.allows(&who, Access::Receive { topic: "t" }, &mut || {
            panic!("answers at once")
        })
    };
    use Ruling::{Allow, Deny, Later, Silent};
    assert_eq!(permission(None, &[]), Permission::Allowed);
    assert_eq!(permission(None, &[Silent]), Permission::Denied);
    assert_eq!(
        permission(None, &[Silent, Allow, Deny]),
        Permission::Allowed
    );
    assert_eq!(permission(None, &[Deny, Allow]), Permission::Denied);
    assert_eq!(permission(None, &[Later, Allow]), Permission::Later);
    assert_eq!(permission(Some(Silent), &[]), Permission::Denied);
    assert_eq!(permission(Some(Allow), &[Deny]), Permission::Allowed);
    assert_eq!(permission(Some(Deny), &[Allow]), Permission::Denied);
}
