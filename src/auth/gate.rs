//! Everything that has a say in who gets in and what they may do, in the order of the configuration.
//!
//! A client that names no method proves who it is in one of the *ways* there are. They are asked in turn: the
//! first one that accepts or refuses has decided, and one that knows nothing of such a client passes it on. If
//! all pass it on, it is refused. Rules are asked in the same manner; where all are silent, it is denied,
//! unless there are none at all.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::codec::ReasonCode;

use super::{
    Access, AskAgain, Auth, Caller, Exchange, Identity, Permission, Request, Rules, Ruling, Tell,
    Verdict, Who,
};

/// What a way of proof says about a client.
#[derive(Debug)]
pub enum Opinion {
    /// It is who it says.
    Accept(Identity),
    /// It is not, and nobody else is asked.
    Refuse(ReasonCode),
    /// Not for this way to say: the next one is asked.
    Next,
    /// The callback of [`Way::opinion`] will say, with one of the others.
    Later,
}

/// How an opinion that takes its time is told: once, from any thread. Dropping it refuses the client.
pub type Answer = Box<dyn FnOnce(Opinion) + Send>;

/// One way to prove who one is, in a single CONNECT.
pub trait Way: Send + Sync {
    /// What it makes of this client. Must be quick. `answer` makes the callback for [`Opinion::Later`], and is
    /// called only then.
    fn opinion(&self, request: &Request<'_>, answer: &mut dyn FnMut() -> Answer) -> Opinion;
}

/// A method of enhanced authentication.
pub trait Method: Send + Sync {
    /// Its name, as clients give it.
    fn name(&self) -> &str;

    /// Begins an exchange with a client.
    fn begin(&self, request: &Request<'_>) -> Box<dyn Exchange>;
}

/// What a gate is made of.
#[derive(Default)]
pub struct Parts {
    /// Whether clients that give no User Name are accepted when no way has decided; without any ways,
    /// those that give one too.
    pub anonymous: bool,
    /// The ways of proof, in the order in which they are asked.
    pub ways: Vec<Box<dyn Way>>,
    /// The methods of enhanced authentication.
    pub methods: Vec<Box<dyn Method>>,
    /// What rules there are, in the order in which they are asked.
    pub rules: Vec<Arc<dyn Rules>>,
}

/// Decides who gets in and what they may do. What it is made of can be replaced while it is in use.
pub struct Gate(ArcSwap<Parts>);

impl Gate {
    /// A gate of these parts.
    pub fn new(parts: Parts) -> Self {
        Self(ArcSwap::from_pointee(parts))
    }

    /// Replaces all parts at once. The broker is to be told that permissions have changed.
    pub fn replace(&self, parts: Parts) {
        self.0.store(Arc::new(parts));
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl Auth for Gate {
    fn authenticate(&self, request: &Request<'_>, tell: &mut dyn FnMut() -> Tell) -> Verdict {
        if request.caller.open {
            return Verdict::Accept(Identity::default());
        }
        consult(&self.0.load_full(), 0, request, tell)
    }

    fn exchange(&self, method: &str, request: &Request<'_>) -> Option<Box<dyn Exchange>> {
        let parts = self.0.load();
        let known = parts.methods.iter().find(|known| known.name() == method);
        known.map(|method| method.begin(request))
    }

    fn allows(
        &self,
        who: &Who<'_>,
        access: Access<'_>,
        again: &mut dyn FnMut() -> AskAgain,
    ) -> Permission {
        let parts = self.0.load();
        let grants = who.identity.grants.as_ref();
        for rules in grants.into_iter().chain(&parts.rules) {
            match rules.ruling(who, access, again) {
                Ruling::Allow => return Permission::Allowed,
                Ruling::Deny => return Permission::Denied,
                Ruling::Unknown => return Permission::Unknown,
                Ruling::Later => return Permission::Later,
                Ruling::Silent => {}
            }
        }
        match grants.is_none() && parts.rules.is_empty() {
            true => Permission::Allowed,
            false => Permission::Denied,
        }
    }

    fn watches_deliveries(&self, who: &Who<'_>) -> bool {
        let parts = self.0.load();
        let mut rules = who.identity.grants.iter().chain(&parts.rules);
        rules.any(|rules| rules.watches_deliveries(who))
    }

    fn remembered_for(&self) -> Option<Duration> {
        let parts = self.0.load();
        parts
            .rules
            .iter()
            .filter_map(|rules| rules.remembered_for())
            .min()
    }
}

/// Asks the ways in turn, from `first` on.
fn consult(
    parts: &Arc<Parts>,
    first: usize,
    request: &Request<'_>,
    tell: &mut dyn FnMut() -> Tell,
) -> Verdict {
    for (index, way) in parts.ways.iter().enumerate().skip(first) {
        let mut answer = || answer(Arc::clone(parts), index + 1, request, tell());
        match way.opinion(request, &mut answer) {
            Opinion::Accept(identity) => return Verdict::Accept(identity),
            Opinion::Refuse(code) => return Verdict::Refuse(code),
            Opinion::Later => return Verdict::Later,
            Opinion::Next => {}
        }
    }
    match request.user_name {
        None if parts.anonymous => Verdict::Accept(Identity::default()),
        Some(_) if parts.anonymous && parts.ways.is_empty() => Verdict::Accept(Identity::default()),
        Some(_) if !parts.ways.is_empty() => Verdict::Refuse(ReasonCode::BadUserNameOrPassword),
        _ => Verdict::Refuse(ReasonCode::NotAuthorized),
    }
}

/// Takes the opinion of a way that took its time, and asks those from `next` on if it has none.
fn answer(parts: Arc<Parts>, next: usize, request: &Request<'_>, tell: Tell) -> Answer {
    let claim = Claim::of(request);
    Box::new(move |opinion| {
        let mut tell = Some(tell);
        let verdict = match opinion {
            Opinion::Accept(identity) => Verdict::Accept(identity),
            Opinion::Refuse(code) => Verdict::Refuse(code),
            Opinion::Next => {
                let mut once = || tell.take().unwrap_or_else(|| Box::new(|_| ()));
                consult(&parts, next, &claim.request(), &mut once)
            }
            // It was asked for another; without one, the client is refused as `tell` goes.
            Opinion::Later => return,
        };
        let Some(tell) = tell else { return };
        match verdict {
            Verdict::Accept(identity) => tell(Ok(identity)),
            Verdict::Refuse(code) => tell(Err(code)),
            Verdict::Later => {}
        }
    })
}

/// A [`Request`] that outlives the packet it came in.
struct Claim {
    client_id: Box<str>,
    caller: Caller,
    user_name: Option<Box<str>>,
    password: Option<Box<[u8]>>,
}

impl Claim {
    fn of(request: &Request<'_>) -> Self {
        Self {
            client_id: request.client_id.into(),
            caller: request.caller.clone(),
            user_name: request.user_name.map(Box::from),
            password: request.password.map(Box::from),
        }
    }

    fn request(&self) -> Request<'_> {
        Request {
            client_id: &self.client_id,
            caller: &self.caller,
            user_name: self.user_name.as_deref(),
            password: self.password.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests;
