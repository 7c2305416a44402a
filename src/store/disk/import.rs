//! From lines to a new store.
//!
//! ```text
//!   lines ──> Taken (what is known so far) ──> records as compaction writes them ──> DIR/importing
//!                └─ refused: with the line's number         all read again, and counted ──> DIR
//! ```
//!
//! What compaction carries forward says how things are, not what happened: just what is needed here.
//! The store is made in a folder of its own and moved when it is whole, the marks last, so that what
//! was not finished is never taken for a store.

use std::collections::HashSet;
use std::fs;
use std::io::{self, BufRead, Read};
use std::path::Path;

use super::bytes::stretch;
use super::engine::FRAME;
use super::entry::{self, Flags, Flight, Holder, Plain, Session, Wanted};
use super::format::{self, Written};
use super::look::Look;
use super::segments::error::{AppendError, CommitError};
use super::segments::files::{Disk, Files};
use super::segments::log::Log;
use super::segments::still::Still;
use super::segments::types;
use crate::codec::{PacketId, PublishProperties, QoS, SubscriptionOptions};
use crate::message::{Message, Parts, Timestamp};
use crate::store::archive::line::{self, FORMAT, Line};
use crate::store::archive::report::{ImportError, Imported};
use crate::store::record::{DELAYED, KeptWill};
use crate::store::state::KeptOwner;
use crate::topic::{filter, name};

/// Where a store is made before it is whole.
const FOLDER: &str = "importing";
/// The longest line: the largest payload there can be as base64, and room for what is beside it.
const LINE: u64 = 512 << 20;
/// How much is written before it is flushed.
const STRIDE: usize = 4 << 20;
/// The kind of all entries: the log has no bound while it is made.
const KIND: u8 = 2;

/// See [`crate::store::archive::import`].
pub fn import(folder: &Path, from: &mut dyn BufRead) -> Result<Imported, ImportError> {
    fs::create_dir_all(folder).map_err(store)?;
    if fs::read_dir(folder).map_err(store)?.next().is_some() {
        return Err(ImportError::NotEmpty);
    }
    let inside = folder.join(FOLDER);
    let outcome = make(&inside, from).and_then(|imported| {
        move_up(folder, &inside).map_err(store)?;
        Ok(imported)
    });
    if outcome.is_err() {
        // What is left of it is not whole; that it cannot be removed is not the error to tell.
        let _ = fs::remove_dir_all(&inside);
    }
    outcome
}

fn store(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ImportError {
    ImportError::Store(error.into())
}

/// Makes the store and reads it again.
fn make(inside: &Path, from: &mut dyn BufRead) -> Result<Imported, ImportError> {
    let files = Disk::new(inside).map_err(store)?;
    let options = types::Options {
        // The broker that opens it keeps room back as it is told.
        reserve: 0,
        ..types::Options::default()
    };
    let (log, _) = Log::open(files, options, &mut |_| {}).map_err(store)?;
    let mut taken = Taken::new(Sink {
        log,
        frame: Vec::new(),
        bytes: 0,
    });
    let (mut text, mut number) = (Vec::new(), 0);
    while !taken.ended {
        number += 1;
        text.clear();
        let read = Read::take(&mut *from, LINE).read_until(b'\n', &mut text);
        read.map_err(ImportError::Input)?;
        let line = parse(&text).and_then(|line| taken.line(number, line));
        line.map_err(|refusal| refusal.at(number))?;
    }
    let found = taken.imported;
    taken.close().map_err(|refusal| refusal.at(number))?;
    let look = Still::new(inside).map_err(store)?;
    let look = Look::new(look).map_err(store)?;
    let kept = counted(&look);
    if kept.messages < found.messages {
        let what = format!("{} messages are for nobody", found.messages - kept.messages);
        return Err(ImportError::Line { line: number, what });
    }
    match kept == found && look.report.lines().is_empty() {
        true => Ok(found),
        false => Err(store("what was written is not what was read")),
    }
}

/// What is in the new store.
fn counted<F: Files>(look: &Look<F>) -> Imported {
    let it = super::inspect::survey(look);
    Imported {
        messages: it.messages,
        retained: it.retained,
        sessions: it.sessions,
        subscriptions: it.subscriptions,
        in_flight: it.in_flight,
        queued: it.queued,
        groups: it.groups,
        backlog: it.backlog,
        delayed: it.delayed,
    }
}

/// Puts the files where they belong, the marks last: without them what is there is no whole store.
fn move_up(folder: &Path, inside: &Path) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(inside)? {
        names.push(entry?.file_name());
    }
    names.sort_by_key(|name| name.to_string_lossy().starts_with("mark-"));
    for name in &names {
        fs::rename(inside.join(name), folder.join(name))?;
    }
    fs::remove_dir(inside)?;
    fs::File::open(folder)?.sync_all()
}

/// Why a line is not taken.
enum Refusal {
    Wrong(String),
    Store(ImportError),
}

impl Refusal {
    fn at(self, line: u64) -> ImportError {
        match self {
            Self::Wrong(what) => ImportError::Line { line, what },
            Self::Store(error) => error,
        }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        Self::Store(store(error))
    }
}

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        Self::Store(store(error))
    }
}

fn wrong<T>(what: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Wrong(what.into()))
}

fn parse(text: &[u8]) -> Result<Line, Refusal> {
    if text.is_empty() {
        return wrong("the lines end without an `end`: some are missing");
    }
    serde_json::from_slice(text).or_else(|error| {
        let said = error.to_string();
        // Where in the text it is only one line, the place says nothing but the column.
        let what = said.split(" at line ").next().unwrap_or(&said);
        match error.column() {
            0 => wrong(what),
            column => wrong(format!("column {column}: {what}")),
        }
    })
}

/// Where records go.
struct Sink {
    log: Log<Disk>,
    frame: Vec<u8>,
    bytes: usize,
}

impl Sink {
    fn put(&mut self, kind: u8, rest: &[u8]) -> Result<(), Refusal> {
        format::finish(&mut self.frame, kind, rest);
        if self.frame.len() >= FRAME {
            self.log.append(KIND, &self.frame)?;
            self.bytes += self.frame.len();
            self.frame.clear();
        }
        if self.bytes >= STRIDE {
            self.bytes = 0;
            self.log.commit(true)?;
        }
        Ok(())
    }

    fn close(mut self) -> Result<(), Refusal> {
        if !self.frame.is_empty() {
            self.log.append(KIND, &self.frame)?;
        }
        Ok(self.log.close()?)
    }
}

/// A message that waits for one owner, as often as it does.
struct Waits {
    owner: u64,
    number: u64,
    targets: Vec<u8>,
}

/// What is known from the lines so far.
struct Taken {
    sink: Sink,
    next_number: u64,
    begun: bool,
    ended: bool,
    imported: Imported,
    /// Messages, in order, and whether anybody has been found to have them.
    messages: Vec<u64>,
    retained: HashSet<String>,
    owners: HashSet<u64>,
    client_ids: HashSet<String>,
    shares: HashSet<(String, String)>,
    /// The session that the lines are about, until all but its queue is known.
    holder: Option<Holder>,
    /// The session or group that the lines are about.
    owner: Option<(u64, bool)>,
    waits: Option<Waits>,
    rest: Vec<u8>,
}

impl Taken {
    fn new(sink: Sink) -> Self {
        Self {
            sink,
            next_number: 0,
            begun: false,
            ended: false,
            imported: Imported::default(),
            messages: Vec::new(),
            retained: HashSet::new(),
            owners: HashSet::new(),
            client_ids: HashSet::new(),
            shares: HashSet::new(),
            holder: None,
            owner: None,
            waits: None,
            rest: Vec::new(),
        }
    }

    fn line(&mut self, number: u64, line: Line) -> Result<(), Refusal> {
        if self.begun != !matches!(line, Line::Header(_)) {
            return wrong("the first line, and only that, is the `header`");
        }
        match line {
            Line::Header(it) => self.header(&it),
            Line::Message(it) => self.message(&it, false),
            Line::Retained(it) => self.message(&it, true),
            Line::Session(it) => self.session(it),
            Line::Will(it) => self.will(&it),
            Line::Subscription(it) => self.subscription(it),
            Line::Held(it) => self.held(&it),
            Line::InFlight(it) => self.in_flight(it),
            Line::Queued(it) => self.queued(&it),
            Line::Group(it) => self.group(it),
            Line::Backlog(it) => self.backlog(&it),
            Line::End(it) if it.lines + 1 == number => {
                self.ended = true;
                Ok(())
            }
            Line::End(it) => wrong(format!(
                "{} lines before this one, not {}",
                number - 1,
                it.lines
            )),
        }
    }

    fn header(&mut self, it: &line::Header) -> Result<(), Refusal> {
        if it.format != FORMAT {
            return wrong(format!("format {}; expected {FORMAT}", it.format));
        }
        self.begun = true;
        self.next_number = it.next_number;
        self.put_numbers(format::RESTART, &[it.clock, it.next_number])
    }

    fn put_numbers(&mut self, kind: u8, values: &[u64]) -> Result<(), Refusal> {
        self.rest.clear();
        format::numbers(&mut self.rest, values);
        self.sink.put(kind, &self.rest)
    }

    /// A number of a session, group or message that is new.
    fn check_number(&self, number: u64) -> Result<(), Refusal> {
        match number {
            0 => wrong("the number 0 is none"),
            it if it >= self.next_number => wrong(format!(
                "the number {it} is not below next_number, {}",
                self.next_number
            )),
            _ => Ok(()),
        }
    }

    fn message(&mut self, it: &line::Message, retained: bool) -> Result<(), Refusal> {
        self.check_number(it.number)?;
        if self.owner.is_some() || self.messages.last().is_some_and(|last| *last >= it.number) {
            return wrong("messages come first, in the order of their numbers");
        }
        if it.due.is_some() && retained {
            return wrong("what is to be published later is not retained yet");
        }
        if it.publisher.is_some() && !retained && it.due.is_none() {
            return wrong("only what is retained, or to be published later, has a publisher");
        }
        let plain = Plain {
            qos: qos(it.qos)?,
            retain: it.retain,
            expires: it.expires.map(Timestamp::from_millis),
            topic: topic(&it.topic)?,
            forwarded: properties(&it.properties.0)?,
            payload: &it.payload.0,
        };
        if retained && !self.retained.insert(it.topic.clone()) {
            return wrong(format!("{:?} has a retained message already", it.topic));
        }
        self.rest.clear();
        let mut targets = Vec::new();
        if it.due.is_some() {
            let flags = Flags {
                group: true,
                qos: plain.qos,
                retain: plain.retain,
            };
            format::write_target(&mut targets, DELAYED, flags.to_byte(), &[]);
            self.imported.delayed += 1;
        }
        let header = Written {
            number: it.number,
            held: None,
            retained,
            publisher: it.publisher.as_deref(),
            due: it.due.map(Timestamp::from_millis),
            targets: &targets,
        };
        format::write_body(&mut self.rest, &header, &plain);
        self.messages.push(it.number);
        self.imported.messages += 1;
        self.imported.retained += u64::from(retained);
        self.sink.put(format::CARRIED, &self.rest)
    }

    fn session(&mut self, it: line::Session) -> Result<(), Refusal> {
        self.settle()?;
        self.check_number(it.number)?;
        if !self.owners.insert(it.number) {
            return wrong(format!("the number {} is in use", it.number));
        }
        if !self.client_ids.insert(it.client_id.clone()) {
            return wrong(format!("there is a session of {:?} already", it.client_id));
        }
        self.owner = Some((it.number, false));
        self.holder = Some(Holder {
            number: it.number,
            session: Some(Session {
                client_id: it.client_id.into(),
                owner: KeptOwner {
                    user: it.user.map(Box::from),
                    mount: it.mount.map(Box::from),
                },
                expiry: it.expiry,
                left: Some(it.left),
                ..Session::default()
            }),
            in_flight: Vec::new(),
        });
        self.imported.sessions += 1;
        Ok(())
    }

    /// What is known of a session whose queue has not begun.
    fn holder(&mut self, session: u64) -> Result<(&mut Session, &mut Vec<Flight>), Refusal> {
        match &mut self.holder {
            Some(Holder {
                number,
                session: Some(it),
                in_flight,
            }) if *number == session => Ok((it, in_flight)),
            _ => wrong(format!(
                "it does not follow session {session}, or follows its queue"
            )),
        }
    }

    fn will(&mut self, it: &line::Will) -> Result<(), Refusal> {
        let parts = Parts {
            topic: topic(&it.topic)?,
            forwarded: properties(&it.properties.0)?,
            payload: &it.payload.0,
            qos: qos(it.qos)?,
            retain: it.retain,
            expires: None,
        };
        let message = Message::new(parts, &mut Vec::new());
        let kept = KeptWill {
            message: &message,
            delay: it.delay,
            expiry: it.expiry,
        };
        let (session, _) = self.holder(it.session)?;
        if !session.will.is_empty() {
            return wrong("the session has a Will already");
        }
        let mut bytes = Vec::new();
        format::will(&mut bytes, &kept);
        session.will = bytes.into();
        Ok(())
    }

    fn subscription(&mut self, it: line::Subscription) -> Result<(), Refusal> {
        let Ok(_) = filter::parse(&it.filter) else {
            return wrong(format!("{:?} is no Topic Filter", it.filter));
        };
        let byte = it.qos
            | u8::from(it.no_local) << 2
            | u8::from(it.retain_as_published) << 3
            | it.retain_handling.min(3) << 4;
        let options: Option<SubscriptionOptions> =
            format::options_from(byte).filter(|_| it.qos < 3);
        let Some(options) = options else {
            return wrong("qos and retain_handling are 0, 1 or 2");
        };
        subscription_ids(it.id.as_slice())?;
        let (session, _) = self.holder(it.session)?;
        if session
            .subscriptions
            .iter()
            .any(|known| *known.0 == *it.filter)
        {
            return wrong(format!(
                "there is a subscription to {:?} already",
                it.filter
            ));
        }
        session
            .subscriptions
            .push((it.filter.into(), options, it.id));
        self.imported.subscriptions += 1;
        Ok(())
    }

    fn held(&mut self, it: &line::Held) -> Result<(), Refusal> {
        packet_id(it.id)?;
        let (session, _) = self.holder(it.session)?;
        if session.held.contains(&it.id) {
            return wrong(format!("the id {} is held already", it.id));
        }
        session.held.push(it.id);
        Ok(())
    }

    fn in_flight(&mut self, it: line::InFlight) -> Result<(), Refusal> {
        packet_id(it.id)?;
        subscription_ids(&it.subscription_ids)?;
        if let Some(message) = it.message {
            self.known(message)?;
        }
        let flags = Flags {
            group: it.group.is_some(),
            qos: qos(it.qos)?,
            retain: it.retain,
        };
        let (_, in_flight) = self.holder(it.session)?;
        if in_flight.iter().any(|known| known.id == it.id) {
            return wrong(format!("the id {} is in flight already", it.id));
        }
        in_flight.push(Flight {
            id: it.id,
            number: it.message,
            group: it.group,
            flags,
            ids: it.subscription_ids,
        });
        self.imported.in_flight += 1;
        Ok(())
    }

    fn queued(&mut self, it: &line::Queued) -> Result<(), Refusal> {
        subscription_ids(&it.subscription_ids)?;
        let flags = Flags {
            group: false,
            qos: qos(it.qos)?,
            retain: it.retain,
        };
        self.imported.queued += 1;
        self.wait(it.session, it.message, flags, &it.subscription_ids)
    }

    fn group(&mut self, it: line::Group) -> Result<(), Refusal> {
        self.settle()?;
        self.check_number(it.number)?;
        if !self.owners.insert(it.number) {
            return wrong(format!("the number {} is in use", it.number));
        }
        let whole = format!("$share/{}/{}", it.share, it.filter);
        let Ok(_) = filter::parse(&whole) else {
            return wrong(format!("{whole:?} is no Topic Filter"));
        };
        self.rest.clear();
        format::numbers(&mut self.rest, &[it.number]);
        stretch(&mut self.rest, it.share.as_bytes());
        stretch(&mut self.rest, it.filter.as_bytes());
        if !self.shares.insert((it.share, it.filter)) {
            return wrong(format!("there is a group {whole:?} already"));
        }
        self.owner = Some((it.number, true));
        self.imported.groups += 1;
        self.sink.put(format::GROUP, &self.rest)
    }

    fn backlog(&mut self, it: &line::Backlog) -> Result<(), Refusal> {
        let flags = Flags {
            group: true,
            qos: qos(it.qos)?,
            retain: it.retain,
        };
        self.imported.backlog += 1;
        self.wait(it.group, it.message, flags, &[])
    }

    /// A message waits for whom the lines are about.
    fn wait(&mut self, owner: u64, number: u64, flags: Flags, ids: &[u32]) -> Result<(), Refusal> {
        if self.owner != Some((owner, flags.group)) {
            return wrong(format!("it does not follow {owner}, for which it waits"));
        }
        self.known(number)?;
        self.settle_holder()?;
        let same = |it: &Waits| it.owner == owner && it.number == number;
        if let Some(before) = self.waits.as_ref().filter(|it| !same(it)) {
            if before.number > number {
                return wrong("messages wait in the order of their numbers");
            }
            self.settle_waits()?;
        }
        let waits = self.waits.get_or_insert(Waits {
            owner,
            number,
            targets: Vec::new(),
        });
        let wanted = Wanted {
            owner,
            nowhere: false,
            flags,
            ids: ids.to_vec(),
        };
        format::write_target(&mut waits.targets, owner, wanted.to_byte(), &wanted.ids);
        Ok(())
    }

    fn known(&self, number: u64) -> Result<(), Refusal> {
        match self.messages.binary_search(&number) {
            Ok(_) => Ok(()),
            Err(_) => wrong(format!("there is no message {number}")),
        }
    }

    /// Writes what is known of the session or group that the lines were about.
    fn settle(&mut self) -> Result<(), Refusal> {
        self.settle_holder()?;
        self.settle_waits()
    }

    fn settle_holder(&mut self) -> Result<(), Refusal> {
        if let Some(holder) = self.holder.take() {
            self.rest.clear();
            let kind = entry::write_holder(&mut self.rest, &holder);
            self.sink.put(kind, &self.rest)?;
        }
        Ok(())
    }

    fn settle_waits(&mut self) -> Result<(), Refusal> {
        if let Some(it) = self.waits.take() {
            self.rest.clear();
            format::numbers(&mut self.rest, &[it.number]);
            self.rest.extend_from_slice(&it.targets);
            self.sink.put(format::AGAIN, &self.rest)?;
        }
        Ok(())
    }

    fn close(mut self) -> Result<(), Refusal> {
        self.settle()?;
        self.sink.close()
    }
}

fn qos(bits: u8) -> Result<QoS, Refusal> {
    QoS::from_bits(bits).map_or_else(|| wrong("qos is 0, 1 or 2"), Ok)
}

fn packet_id(id: u16) -> Result<PacketId, Refusal> {
    PacketId::new(id).map_or_else(|| wrong("a Packet Identifier is not 0"), Ok)
}

fn topic(topic: &str) -> Result<&str, Refusal> {
    match name::check(topic) {
        Ok(()) => Ok(topic),
        Err(error) => wrong(format!("{topic:?} is no Topic Name: {error}")),
    }
}

/// Properties that a PUBLISH passes on, and no others.
fn properties(bytes: &[u8]) -> Result<&[u8], Refusal> {
    match PublishProperties::parse_forwarded(bytes) {
        Ok(it) if it.forwarded_len() == bytes.len() => Ok(bytes),
        _ => wrong("the properties are not those that a PUBLISH passes on"),
    }
}

/// The largest Subscription Identifier.
const ID_MAXIMUM: u32 = 268_435_455;

fn subscription_ids(ids: &[u32]) -> Result<(), Refusal> {
    match ids.iter().all(|id| (1..=ID_MAXIMUM).contains(id)) {
        true => Ok(()),
        false => wrong(format!("a Subscription Identifier is 1 to {ID_MAXIMUM}")),
    }
}
