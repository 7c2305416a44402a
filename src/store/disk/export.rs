//! From a store to lines. Messages are read one by one, so that it does not matter how many wait.

use std::io::{self, Write};
use std::path::Path;

use super::entry::{self, Body, Session};
use super::inspect::look;
use super::look::Look;
use super::mirror::{Held as Holder, Mirror};
use super::segments::files::Files;
use crate::store::archive::line::{
    Backlog, Bytes, End, FORMAT, Group, Header, Held, InFlight, Line, Message, Queued,
    Session as SessionLine, Subscription, Will,
};
use crate::store::archive::report::Error;
use crate::store::record::DELAYED;

/// See [`crate::store::archive::export`].
pub fn export(folder: &Path, to: &mut dyn Write) -> Result<Vec<String>, Error> {
    let mut look = look(folder)?;
    write_all(&mut look, to).map_err(Error::Output)?;
    Ok(look.report.lines())
}

/// Where lines go.
struct Output<'a> {
    to: &'a mut dyn Write,
    lines: u64,
}

impl Output<'_> {
    fn line(&mut self, line: &Line) -> io::Result<()> {
        serde_json::to_writer(&mut self.to, line)?;
        self.lines += 1;
        self.to.write_all(b"\n")
    }
}

/// Writes all lines, in an order that only depends on what is kept.
pub(super) fn write_all<F: Files>(look: &mut Look<F>, to: &mut dyn Write) -> io::Result<()> {
    let mut out = Output { to, lines: 0 };
    out.line(&Line::Header(Header {
        format: FORMAT,
        clock: look.mirror.clock,
        next_number: look.mirror.next,
    }))?;
    let readable = messages(look, &mut out)?;
    let mut numbers: Vec<_> = look.mirror.holders.keys().copied().collect();
    numbers.sort_unstable();
    for number in numbers {
        if let Some(mut held) = look.mirror.holders.remove(&number) {
            let session = held.session.take();
            if let Some(session) = session {
                write_session(&look.mirror, &readable, number, &session, held, &mut out)?;
            }
        }
    }
    let groups = look.mirror.groups.keys().copied();
    let mut numbers: Vec<_> = groups.filter(|it| *it != DELAYED).collect();
    numbers.sort_unstable();
    for number in numbers {
        if let Some(mut group) = look.mirror.groups.remove(&number)
            && let Some((share, filter)) = group.names.take()
        {
            out.line(&Line::Group(Group {
                number,
                share: share.into(),
                filter: filter.into(),
            }))?;
            for it in group
                .waiting
                .sorted()
                .filter(|it| readable.has(it.number()))
            {
                out.line(&Line::Backlog(Backlog {
                    group: number,
                    message: it.number(),
                    qos: it.flags().qos as u8,
                    retain: it.flags().retain,
                }))?;
            }
        }
    }
    let lines = out.lines;
    out.line(&Line::End(End { lines }))?;
    out.to.flush()
}

/// Which messages could be read: all but a few, so those are noted.
struct Readable {
    unread: Vec<u64>,
}

impl Readable {
    fn has(&self, number: u64) -> bool {
        self.unread.binary_search(&number).is_err()
    }
}

/// Messages by their numbers.
fn messages<F: Files>(look: &mut Look<F>, out: &mut Output<'_>) -> io::Result<Readable> {
    let mut unread = Vec::new();
    let delayed = look.mirror.groups.get_mut(&DELAYED);
    let delayed = delayed.map(|it| it.waiting.sorted().map(|it| it.number()).collect());
    let delayed: Vec<u64> = delayed.unwrap_or_default();
    for (number, slot) in look.messages() {
        let waits = delayed.binary_search(&number).is_ok();
        let Some(line) = look.message(number, slot).map(|it| spell_out(&it, waits)) else {
            unread.push(number);
            continue;
        };
        let retained = look.mirror.retained.get(&*line.topic);
        match retained.filter(|it| it.0 == number) {
            Some((_, publisher)) => out.line(&Line::Retained(Message {
                publisher: publisher.as_deref().map(str::to_owned),
                ..line
            }))?,
            None => out.line(&Line::Message(line))?,
        }
    }
    look.report.unread = unread.len() as u64;
    Ok(Readable { unread })
}

/// A message; `waits` is whether it is still to be published.
fn spell_out(it: &Body<'_>, waits: bool) -> Message {
    let plain = &it.plain;
    Message {
        number: it.number,
        topic: plain.topic.to_owned(),
        qos: plain.qos as u8,
        retain: plain.retain,
        expires: plain.expires.map(|it| it.as_millis()),
        due: it.due.filter(|_| waits).map(|it| it.as_millis()),
        publisher: it.publisher.filter(|_| waits).map(str::to_owned),
        properties: Bytes(plain.forwarded.to_vec()),
        payload: Bytes(plain.payload.to_vec()),
    }
}

fn write_session(
    mirror: &Mirror,
    readable: &Readable,
    number: u64,
    session: &Session,
    mut held: Holder,
    out: &mut Output<'_>,
) -> io::Result<()> {
    out.line(&Line::Session(SessionLine {
        number,
        client_id: session.client_id.to_string(),
        user: session.owner.user.as_deref().map(str::to_owned),
        mount: session.owner.mount.as_deref().map(str::to_owned),
        expiry: session.expiry,
        left: session.left.unwrap_or(mirror.clock),
    }))?;
    if let Some(will) = will(number, session) {
        out.line(&Line::Will(will))?;
    }
    for (filter, options, id) in &session.subscriptions {
        out.line(&Line::Subscription(Subscription {
            session: number,
            filter: filter.to_string(),
            qos: options.qos as u8,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            retain_handling: options.retain_handling as u8,
            id: *id,
        }))?;
    }
    for id in &session.held {
        out.line(&Line::Held(Held {
            session: number,
            id: *id,
        }))?;
    }
    for it in &held.in_flight {
        if it.number.is_none_or(|it| readable.has(it)) {
            out.line(&Line::InFlight(InFlight {
                session: number,
                id: it.id,
                message: it.number,
                group: it.group,
                qos: it.flags.qos as u8,
                retain: it.flags.retain,
                subscription_ids: it.ids.clone(),
            }))?;
        }
    }
    for it in held.waiting.sorted().filter(|it| readable.has(it.number())) {
        out.line(&Line::Queued(Queued {
            session: number,
            message: it.number(),
            qos: it.flags().qos as u8,
            retain: it.flags().retain,
            subscription_ids: mirror.ids(it.ids()).to_vec(),
        }))?;
    }
    Ok(())
}

fn will(number: u64, session: &Session) -> Option<Will> {
    if session.will.is_empty() {
        return None;
    }
    let will = entry::will(&session.will)?;
    let message = &will.message;
    Some(Will {
        session: number,
        delay: will.delay,
        expiry: will.expiry,
        topic: message.topic().to_owned(),
        qos: message.qos() as u8,
        retain: message.retain(),
        properties: Bytes(message.forwarded().to_vec()),
        payload: Bytes(message.payload().to_vec()),
    })
}
