//! The server's side of one exchange.
//!
//! ```text
//!   CONNECT   n,,n=user,r=C          ──> First ── r=CS,s=salt,i=iterations ──> AUTH 0x18
//!   AUTH 0x18 c=biws,r=CS,p=proof    ──> Final ── v=signature ──> CONNACK, or AUTH 0x00
//!                                          └───── refused
//! ```
//!
//! A re-authentication is the same with AUTH 0x19 in place of CONNECT.

use std::sync::Arc;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::codec::ReasonCode;

use super::super::{Exchange, Identity, Step};
use super::message::{ClientFinal, ClientFirst};
use super::users::{Found, Users};

/// An exchange in progress.
pub struct ServerSide {
    users: Arc<Users>,
    /// The User Name of the CONNECT, if it had one: nobody is one user here and another there.
    claimed: Option<Box<str>>,
    /// The server's part of the nonce.
    nonce: String,
    state: State,
}

enum State {
    First,
    Final(Box<Challenge>),
    Over,
}

/// What the client has to answer.
struct Challenge {
    found: Found,
    gs2_header: Box<[u8]>,
    /// Both parts.
    nonce: String,
    /// The messages so far, as they are signed.
    signed: String,
}

/// Bytes of randomness in the server's part of the nonce.
const NONCE: usize = 18;

impl ServerSide {
    /// An exchange that has not begun; nothing if the system has no randomness to give.
    pub fn new(users: Arc<Users>, claimed: Option<&str>) -> Option<Self> {
        let mut nonce = [0; NONCE];
        rand::fill(&mut nonce).ok()?;
        Some(Self::with_nonce(users, claimed, STANDARD.encode(nonce)))
    }

    pub(super) fn with_nonce(users: Arc<Users>, claimed: Option<&str>, nonce: String) -> Self {
        Self {
            users,
            claimed: claimed.map(Box::from),
            nonce,
            state: State::First,
        }
    }

    fn first(&mut self, data: &[u8]) -> Option<Step> {
        let first = ClientFirst::parse(data)?;
        let mut found = self.users.find(&first.user);
        // Who wants to be taken for somebody else gets as far as somebody with a wrong password.
        let own = |name: Option<&str>| name.is_none_or(|name| name == first.user);
        if !own(first.authorization.as_deref()) || !own(self.claimed.as_deref()) {
            found.user = None;
        }
        let nonce = format!("{}{}", first.nonce, self.nonce);
        let salt = STANDARD.encode(found.verifier.salt());
        let reply = format!("r={nonce},s={salt},i={}", found.verifier.iterations());
        let signed = format!("{},{reply},", first.bare);
        let gs2_header = first.gs2_header.as_bytes().into();
        self.state = State::Final(Box::new(Challenge {
            found,
            gs2_header,
            nonce,
            signed,
        }));
        Some(Step::Continue(reply.into_bytes()))
    }
}

impl Challenge {
    fn answered(mut self, data: &[u8]) -> Option<Step> {
        let last = ClientFinal::parse(data)?;
        if last.nonce != self.nonce || *last.binding != *self.gs2_header {
            return None;
        }
        self.signed.push_str(last.without_proof);
        let verifier = &self.found.verifier;
        let proved = verifier.is_proved(self.signed.as_bytes(), &last.proof);
        let signature = STANDARD.encode(verifier.signature(self.signed.as_bytes()));
        Some(match self.found.user {
            Some(user) if proved => {
                let data = format!("v={signature}").into_bytes();
                Step::Accept(Identity::of(user), Some(data))
            }
            _ => Step::Refuse(ReasonCode::NotAuthorized),
        })
    }
}

impl Exchange for ServerSide {
    fn step(&mut self, data: Option<&[u8]>) -> Step {
        let data = data.unwrap_or_default();
        let step = match std::mem::replace(&mut self.state, State::Over) {
            State::First => self.first(data),
            State::Final(challenge) => challenge.answered(data),
            State::Over => None,
        };
        step.unwrap_or(Step::Refuse(ReasonCode::ProtocolError))
    }
}

#[cfg(test)]
mod tests;
