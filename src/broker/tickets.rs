//! Replies that wait for the store.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::codec::ReasonCode;
use crate::session::Token;
use crate::store::{Ask, Failure, Progress};

use super::shared::SessionRef;

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
        session: &SessionRef,
        (token, code): (Token, ReasonCode),
        what: What,
        ask: impl FnOnce(Ask<'_>) -> Progress,
    ) -> Result<Option<ReasonCode>, Failure> {
        let ticket = self.0.as_ref().map_or(0, |given| given.next);
        match ask(session.ask(ticket)) {
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

    /// What waited under these tickets, in its order.
    pub(super) fn redeem(
        &mut self,
        tickets: RangeInclusive<u64>,
    ) -> impl Iterator<Item = Awaited> + '_ {
        let awaited = self.0.as_mut().map(|given| &mut given.awaited);
        awaited.into_iter().flat_map(move |awaited| {
            let from = awaited.partition_point(|it| it.ticket < *tickets.start());
            let until = awaited.partition_point(|it| it.ticket <= *tickets.end());
            awaited.drain(from..until.max(from))
        })
    }
}
