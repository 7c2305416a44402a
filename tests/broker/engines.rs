//! An authenticator that takes its time, refuses what the test wants refused, and asks a riddle.

use std::sync::Arc;

use parking_lot::Mutex;
use postbud::auth::{
    Access, AskAgain, Auth, Exchange, Identity, Permission, Request, Step, Tell, Verdict, Who,
};
use postbud::codec::ReasonCode;

/// Decides who comes in.
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
    thoughts: Mutex<Vec<Tell>>,
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

    /// Forgets what it was thinking about.
    pub fn forget(&self) {
        self.thoughts.lock().clear();
    }
}

impl Auth for Doorman {
    fn authenticate(&self, _: &Request<'_>, tell: &mut dyn FnMut() -> Tell) -> Verdict {
        if let Some(code) = self.refuses {
            return Verdict::Refuse(code);
        }
        if self.thinks {
            self.thoughts.lock().push(tell());
            return Verdict::Later;
        }
        Verdict::Accept(Identity::default())
    }

    fn exchange(&self, method: &str, _: &Request<'_>) -> Option<Box<dyn Exchange>> {
        let wrong = self.wrong_answer.unwrap_or(ReasonCode::NotAuthorized);
        (method == RIDDLE).then(|| {
            Box::new(Riddle {
                asked: false,
                wrong,
            }) as _
        })
    }

    fn allows(
        &self,
        _: &Who<'_>,
        access: Access<'_>,
        _: &mut dyn FnMut() -> AskAgain,
    ) -> Permission {
        let below = |prefix: Option<&str>, text: &str| prefix.is_some_and(|p| text.starts_with(p));
        let denied = match access {
            Access::Publish { topic, .. } => below(self.no_publish, topic),
            Access::Subscribe { filter, .. } => below(self.no_subscribe, filter),
            Access::Receive { .. } => false,
        };
        match denied {
            true => Permission::Denied,
            false => Permission::Allowed,
        }
    }
}

/// Asks "riddle?" and wants "right". Who comes with "right" at once is not asked. "right, says anna" comes from the
/// user of that name.
struct Riddle {
    asked: bool,
    wrong: ReasonCode,
}

impl Exchange for Riddle {
    fn step(&mut self, data: Option<&[u8]>) -> Step {
        match data {
            Some(b"right") => Step::Accept(Identity::default(), Some(b"welcome".to_vec())),
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
