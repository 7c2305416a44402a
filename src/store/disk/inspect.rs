//! What is in a store, and whether it is whole.

use std::fs;
use std::io;
use std::path::Path;

use super::look::Look;
use super::report::Report;
use super::segments::VERSION;
use super::segments::error::OpenError;
use super::segments::files::Files;
use super::segments::still::Still;
use crate::store::archive::report::{Error, Inspection, Segment};
use crate::store::record::DELAYED;

/// Where damaged files are set aside.
const ASIDE: &str = "damaged";

/// See [`crate::store::archive::inspect`].
pub fn inspect(folder: &Path) -> Result<Inspection, Error> {
    let mut inspection = survey(&look(folder)?);
    note_aside(folder, &mut inspection);
    Ok(inspection)
}

/// See [`crate::store::archive::verify`].
pub fn verify(folder: &Path) -> Result<Inspection, Error> {
    let mut look = look(folder)?;
    let bytes = read_all(&mut look);
    let mut inspection = survey(&look);
    inspection.message_bytes = Some(bytes);
    note_aside(folder, &mut inspection);
    Ok(inspection)
}

/// Reads a store that exists.
pub(super) fn look(folder: &Path) -> Result<Look<Still>, Error> {
    let files = Still::new(folder).map_err(|error| open(OpenError::Io(error)))?;
    let names = files.list().map_err(|error| open(OpenError::Io(error)))?;
    let known = |name: &String| name.starts_with("mark-") || name.ends_with(".log");
    if !names.iter().any(known) {
        let missing = io::Error::new(io::ErrorKind::NotFound, "there is no store in it");
        return Err(open(OpenError::Io(missing)));
    }
    Look::new(files).map_err(open)
}

fn open(error: OpenError) -> Error {
    Error::Open(Box::new(error))
}

/// Reads every message back; returns their bytes.
pub(super) fn read_all<F: Files>(look: &mut Look<F>) -> u64 {
    let (mut bytes, mut unread) = (0, 0);
    for (number, slot) in look.messages() {
        match look.message(number, slot) {
            Some(it) => {
                let plain = it.plain;
                bytes += (plain.topic.len() + plain.forwarded.len() + plain.payload.len()) as u64;
            }
            None => unread += 1,
        }
    }
    look.report.unread = unread;
    bytes
}

/// Counts what is there.
pub(super) fn survey<F: Files>(look: &Look<F>) -> Inspection {
    let mirror = &look.mirror;
    let mut it = Inspection {
        format: VERSION,
        clock: mirror.clock,
        next_number: mirror.next,
        retained: mirror.retained.len() as u64,
        messages: mirror.messages.len() as u64,
        entries: look.report.log.entries,
        damage: look.report.lines(),
        notes: notes(&look.report),
        ..Inspection::default()
    };
    for held in mirror.holders.values() {
        if let Some(session) = &held.session {
            it.sessions += 1;
            it.subscriptions += session.subscriptions.len() as u64;
            it.in_flight += held.in_flight.len() as u64;
            it.queued += held.waiting.len() as u64;
        }
    }
    for (number, group) in &mirror.groups {
        let waiting = group.waiting.len() as u64;
        if *number == DELAYED {
            it.delayed = waiting;
        } else {
            it.groups += 1;
            it.backlog += waiting;
        }
    }
    it.segments = look
        .log
        .segments()
        .map(|it| Segment {
            number: it.segment,
            used: u64::from(it.used),
            disk: it.disk,
        })
        .collect();
    it
}

fn notes(report: &Report) -> Vec<String> {
    let torn = report.log.torn.iter().map(|it| {
        let (from, to) = (it.bytes.start, it.bytes.end);
        format!(
            "{}: bytes {from} to {to} were written, but never promised",
            it.file
        )
    });
    let mut all: Vec<_> = torn.collect();
    if report.unknown > 0 {
        all.push(format!("{} records name what is not kept", report.unknown));
    }
    all
}

fn note_aside(folder: &Path, inspection: &mut Inspection) {
    let files = fs::read_dir(folder.join(ASIDE)).map_or(0, Iterator::count);
    if files > 0 {
        let note = format!("{ASIDE}/: {files} files were set aside when they were found damaged");
        inspection.notes.push(note);
    }
}
