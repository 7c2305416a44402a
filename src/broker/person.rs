//! Who a session's client is, for those who ask what it may do.
//!
//! ```text
//!   CONNECT, AUTH ──> Person(identity, connection) ──(connection ends)──> Person(identity, nowhere)
//!                                                      found in the store ──> Person(owner, nowhere)
//! ```
//!
//! A client that is away is judged by what it had proved; after a restart, by its user name, which is what
//! is kept of it. Rules that go by its address say nothing of it then.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use crate::auth::{Access, Identity, Permission, Who};
use crate::codec::ReasonCode;
use crate::message::Timestamp;
use crate::session::Fault;
use crate::topic::{filter, mount};

use super::batch::Now;
use super::core::Broker;
use super::port::Port;
use super::restore::until;
use super::shared::{InboundSide, SessionRef};

/// Who a client has proved to be, and where it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Person {
    /// Nothing, if it has proved nothing.
    pub identity: Option<Arc<Identity>>,
    /// Its connection, while it has one.
    pub port: Option<Arc<Port>>,
}

/// Who has proved nothing.
static NOBODY: LazyLock<Identity> = LazyLock::new(Identity::default);

/// What has been proved, by somebody who may have proved nothing.
pub(super) fn identity(proved: &Option<Arc<Identity>>) -> &Identity {
    proved.as_deref().unwrap_or(&NOBODY)
}

/// As it is kept of somebody: nothing, if nothing has been proved.
pub(super) fn proved(identity: &Identity) -> Option<Arc<Identity>> {
    (!identity.is_nobody()).then(|| Arc::new(identity.clone()))
}

/// When what has been proved ends.
pub(super) fn proof_ends(identity: Option<&Identity>, now: Now) -> Option<Instant> {
    let ends = identity?.expires?;
    Some(now.instant + until(ends, now.wall))
}

impl Person {
    /// It, for rules.
    pub(super) fn who<'a>(&'a self, client_id: &'a str) -> Who<'a> {
        Who {
            client_id,
            identity: identity(&self.identity),
            caller: self.port.as_deref().map(Port::caller),
        }
    }
}

/// A proof has ended: of it nothing is left. [MQTT5-4.13.2-1]
pub(super) const PROOF_ENDED: Fault =
    Fault::new(ReasonCode::NotAuthorized, "the proof of identity has ended");

/// Whether a proof still stands.
pub(super) fn stands(identity: &Identity, now: Timestamp) -> bool {
    identity.expires.is_none_or(|ends| now < ends)
}

/// Whose a session is. It stays so for as long as there is the session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Owner {
    /// A user, or nobody in particular.
    pub user: Option<Arc<str>>,
    /// The mount point that its topics are below, if there is one.
    pub mount: Option<Arc<str>>,
}

/// What somebody is to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Its owner, who goes on with it.
    Own,
    /// A user, while the session is nobody's: a new one takes its place, and nothing of it is shown.
    Anew,
    /// Somebody else.
    None,
}

impl Owner {
    /// Who comes with this identity, by this connection.
    pub(super) fn of(identity: &Identity, port: &Port) -> Self {
        Self {
            user: identity.user.clone(),
            mount: port.entrance().mount.clone(),
        }
    }

    /// What `other` is to a session of this owner.
    pub(super) fn claimed_by(&self, other: &Self) -> Claim {
        match &self.user {
            _ if self.mount != other.mount => Claim::None,
            user if *user == other.user => Claim::Own,
            None => Claim::Anew,
            Some(_) => Claim::None,
        }
    }
}

impl Broker {
    /// Notes who the client of a session is from now on, and whether its deliveries have to be asked about.
    pub(super) fn introduce(&self, session: &SessionRef, side: &InboundSide, person: Person) {
        let watched = self
            .auth
            .watches_deliveries(&person.who(&session.client_id));
        let before = session.introduce(person, watched);
        if watched || before {
            // Remembered routes were made for another.
            for (filter, _) in side.subscriptions.iter() {
                if let Ok(parsed) = filter::parse(filter) {
                    self.generations.changed(parsed.filter);
                }
            }
            session.outbound.lock().outbound.doubt();
        }
    }

    /// Whether a session may still have a message with this topic that has waited for it: whether one of
    /// its subscriptions matches, and it may be sent such.
    pub(super) fn may_have(&self, session: &SessionRef, side: &InboundSide, topic: &str) -> bool {
        side.subscriptions.match_any(topic) && self.may_receive(session, topic)
    }

    /// Whether a session may be sent a message with this topic. Always, unless its deliveries have to be
    /// asked about, or it has no name for it below its mount point.
    pub(super) fn may_receive(&self, session: &SessionRef, topic: &str) -> bool {
        let mount = session.owner.mount.as_deref();
        if mount.is_some_and(|mount| !mount::shows(mount, topic)) {
            return false;
        }
        if !session.is_watched() {
            return true;
        }
        let person = session.person();
        let who = person.who(&session.client_id);
        let access = Access::Receive { topic };
        // It is never answered later.
        let permission = self.auth.allows(&who, access, &mut || Box::new(|| ()));
        permission == Permission::Allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Breaks if: anybody goes on with, or ends, what is another's.
    #[test]
    fn a_session_is_its_owners() {
        let owner = |user: Option<&str>, mount: Option<&str>| Owner {
            user: user.map(Arc::from),
            mount: mount.map(Arc::from),
        };
        let (ann, bob, nobody) = (Some("ann"), Some("bob"), None);
        for (whose, who, claim) in [
            (ann, ann, Claim::Own),
            (ann, bob, Claim::None),
            (ann, nobody, Claim::None),
            (nobody, nobody, Claim::Own),
            (nobody, ann, Claim::Anew),
            (Some(""), nobody, Claim::None),
        ] {
            let same = owner(whose, Some("m/")).claimed_by(&owner(who, Some("m/")));
            assert_eq!(same, claim, "{whose:?} {who:?}");
            for other in [None, Some("n/")] {
                let other = owner(whose, Some("m/")).claimed_by(&owner(who, other));
                assert_eq!(other, Claim::None, "{whose:?} {who:?}");
            }
        }
    }
}
