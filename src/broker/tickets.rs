//! Replies that wait for the store.

use std::collections::VecDeque;

use crate::codec::ReasonCode;
use crate::session::Token;
use crate::store::{Failure, Progress, Receipt};

/// What a session has asked the store for and not been told yet.
#[derive(Debug, Default)]
pub(super) struct Tickets(Option<Box<Given>>);

/// All that is kept of tickets, from the first that was given on.
#[derive(Debug, Default)]
struct Given {
    /// Sorted, for tickets are given in their order.
    awaited: VecDeque<Awaited>,
    next: u64,
}

/// One outcome that is awaited, and the reply that depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awaited {
    ticket: u64,
    pub token: Token,
    /// The code to settle the reply with if all went well.
    pub code: ReasonCode,
    pub what: What,
}

/// What cannot be promised if the store fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A message: its acknowledgement can say so.
    Message,
    /// Anything else, whose reply has no way to say so.
    State,
}

impl Tickets {
    /// Asks the store for something on which a reply depends. Returns the code to settle the reply
    /// with at once, or notes that it waits.
    ///
    /// # Errors
    ///
    /// The store does not take it.
    pub(super) fn ask(
        &mut self,
        receipt: impl Fn(u64) -> Receipt,
        (token, code): (Token, ReasonCode),
        what: What,
        ask: impl FnOnce(&mut dyn FnMut() -> Receipt) -> Progress,
    ) -> Result<Option<ReasonCode>, Failure> {
        let ticket = self.0.as_ref().map_or(0, |given| given.next);
        match ask(&mut || receipt(ticket)) {
            Progress::Done => Ok(Some(code)),
            Progress::Refused(failure) => Err(failure),
            Progress::Later => {
                let given = self.0.get_or_insert_default();
                given.next += 1;
                given.awaited.push_back(Awaited {
                    ticket,
                    token,
                    code,
                    what,
                });
                Ok(None)
            }
        }
    }

    /// What waited under this ticket.
    pub(super) fn redeem(&mut self, ticket: u64) -> Option<Awaited> {
        let awaited = &mut self.0.as_mut()?.awaited;
        let index = awaited
            .binary_search_by_key(&ticket, |awaited| awaited.ticket)
            .ok()?;
        awaited.remove(index)
    }
}
