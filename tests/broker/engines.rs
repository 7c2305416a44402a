//! An authenticator that takes its time, refuses what the test wants refused, and asks a riddle.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use postbud::auth::{
    Access, AskAgain, Auth, Exchange, Identity, Permission, Request, Step, Tell, Verdict, Who,
};
use postbud::codec::ReasonCode;
use postbud::message::Timestamp;

/// Decides who comes in. Who gives a User Name is taken for that user.
#[derive(Default)]
pub struct Doorman {
    /// Refuses every CONNECT without a method with this code.
    pub refuses: Option<ReasonCode>,
    /// Thinks about every CONNECT until the test speaks for it.
    pub thinks: bool,
    /// Nobody may publish below this prefix.
    pub no_publish: Option<&'static str>,
    /// Nobody may subscribe below this prefix.
    pub no_subscribe: Option<&'static str>,
    /// With what a wrong answer to the riddle is refused.
    pub wrong_answer: Option<ReasonCode>,
    /// What may change while it is in use.
    pub mind: Mutex<Mind>,
    thoughts: Mutex<Vec<Tell>>,
}

/// What a doorman may change about what is allowed.
#[derive(Default)]
pub struct Mind {
    /// Nobody may publish or subscribe below these prefixes.
    pub forbidden: Vec<&'static str>,
    /// Whether deliveries are asked about.
    pub watches: bool,
    /// Nobody may be sent what is below these prefixes; with a user's name before a colon, that user.
    pub unreadable: Vec<&'static str>,
    /// What is below this prefix is answered later.
    pub ponders: Option<&'static str>,
    /// What is below this prefix it cannot say.
    pub speechless: Option<&'static str>,
    /// Who it is that knows the answer to the riddle.
    pub riddler: Option<&'static str>,
    /// When proofs end.
    pub expires: Option<Timestamp>,
    /// For how long answers may be remembered.
    pub remembered_for: Option<Duration>,
    /// How often it was asked to publish or subscribe, and to be sent something.
    pub questions: [usize; 2],
    /// What it ponders, and who wants to hear of it.
    pondered: Vec<(String, AskAgain)>,
    answers: HashMap<String, bool>,
}

/// The one Authentication Method it knows.
pub const RIDDLE: &str = "riddle";

/// How a right answer begins that says whose it is.
const SAYS: &[u8] = b"right, says ";

impl Doorman {
    /// One that lets everybody in and do everything, but for what `change` says.
    pub fn that(change: impl FnOnce(&mut Self)) -> Arc<Self> {
        let mut doorman = Self::default();
        change(&mut doorman);
        Arc::new(doorman)
    }

    /// Speaks the verdict it has thought about for longest.
    pub fn speak(&self, verdict: Result<(), ReasonCode>) {
        let tell = self.thoughts.lock().remove(0);
        tell(verdict.map(|()| Identity::default()));
    }

    fn identity(&self, user: Option<&str>) -> Identity {
        Identity {
            user: user.map(Arc::from),
            expires: self.mind.lock().expires,
            ..Identity::default()
        }
    }

    /// Changes its mind.
    pub fn now(&self, change: impl FnOnce(&mut Mind)) {
        change(&mut self.mind.lock());
    }

    /// How often it was asked whether somebody may publish or subscribe.
    pub fn asked(&self) -> usize {
        self.mind.lock().questions[0]
    }

    /// Answers all that it ponders.
    pub fn answer(&self, allowed: bool) {
        let pondered = std::mem::take(&mut self.mind.lock().pondered);
        for (question, again) in pondered {
            self.mind.lock().answers.insert(question, allowed);
            again();
        }
    }

    /// Answers what it ponders about this topic or filter.
    pub fn answer_about(&self, topic: &str, allowed: bool) {
        let mut mind = self.mind.lock();
        let about = |(question, _): &(String, AskAgain)| *question == *topic;
        let index = mind.pondered.iter().position(about);
        let (question, again) = mind.pondered.remove(index.expect("something to answer"));
        mind.answers.insert(question, allowed);
        drop(mind);
        again();
    }

    /// Forgets what it ponders.
    pub fn forget_questions(&self) {
        let pondered = std::mem::take(&mut self.mind.lock().pondered);
        drop(pondered);
    }

    /// Forgets what it was thinking about.
    pub fn forget(&self) {
        self.thoughts.lock().clear();
    }
}

impl Auth for Doorman {
    fn authenticate(&self, request: &Request<'_>, tell: &mut dyn FnMut() -> Tell) -> Verdict {
        if let Some(code) = self.refuses {
            return Verdict::Refuse(code);
        }
        if self.thinks {
            self.thoughts.lock().push(tell());
            return Verdict::Later;
        }
        Verdict::Accept(self.identity(request.user_name))
    }

    fn exchange(&self, method: &str, _: &Request<'_>) -> Option<Box<dyn Exchange>> {
        let wrong = self.wrong_answer.unwrap_or(ReasonCode::NotAuthorized);
        let riddler = self.mind.lock().riddler;
        let identity = self.identity(riddler);
        (method == RIDDLE).then(|| {
            Box::new(Riddle {
                asked: false,
                wrong,
                identity,
            }) as _
        })
    }

    fn allows(
        &self,
        who: &Who<'_>,
        access: Access<'_>,
        again: &mut dyn FnMut() -> AskAgain,
    ) -> Permission {
        let mut mind = self.mind.lock();
        let below = |prefix: Option<&str>, text: &str| prefix.is_some_and(|p| text.starts_with(p));
        let (never, text) = match access {
            Access::Publish { topic, .. } => (below(self.no_publish, topic), topic),
            Access::Subscribe { filter, .. } => (below(self.no_subscribe, filter), filter),
            Access::Receive { topic } => {
                mind.questions[1] += 1;
                return permission(mind.may_read(who.identity.user.as_deref(), topic));
            }
        };
        mind.questions[0] += 1;
        if below(mind.speechless, text) {
            return Permission::Unknown;
        }
        if below(mind.ponders, text) {
            if let Some(allowed) = mind.answers.get(text) {
                return permission(*allowed);
            }
            mind.pondered.push((text.to_owned(), again()));
            return Permission::Later;
        }
        let forbidden = mind.forbidden.iter().any(|it| text.starts_with(it));
        permission(!never && !forbidden)
    }

    fn watches_deliveries(&self, _: &Who<'_>) -> bool {
        self.mind.lock().watches
    }

    fn remembered_for(&self) -> Option<Duration> {
        self.mind.lock().remembered_for
    }
}

impl Mind {
    fn may_read(&self, user: Option<&str>, topic: &str) -> bool {
        let hits = |rule: &&str| match rule.split_once(':') {
            Some((name, prefix)) => user == Some(name) && topic.starts_with(prefix),
            None => topic.starts_with(*rule),
        };
        !self.unreadable.iter().any(hits)
    }
}

fn permission(allowed: bool) -> Permission {
    match allowed {
        true => Permission::Allowed,
        false => Permission::Denied,
    }
}

/// Asks "riddle?" and wants "right". Who comes with "right" at once is not asked. "right, says anna" comes from the
/// user of that name.
struct Riddle {
    asked: bool,
    wrong: ReasonCode,
    identity: Identity,
}

impl Exchange for Riddle {
    fn step(&mut self, data: Option<&[u8]>) -> Step {
        match data {
            Some(b"right") => Step::Accept(self.identity.clone(), Some(b"welcome".to_vec())),
            Some(said) if said.starts_with(SAYS) => {
                let user = String::from_utf8_lossy(&said[SAYS.len()..]);
                Step::Accept(Identity::of(&*user), None)
            }
            _ if self.asked => Step::Refuse(self.wrong),
            _ => {
                self.asked = true;
                Step::Continue(b"riddle?".to_vec())
            }
        }
    }
}
