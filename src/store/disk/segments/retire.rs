//! What is written apart from records: the mark, and files that come and go.

use std::io;

use super::error::{CommitError, OpenError, RetireError, is_full};
use super::files::Files;
use super::format::{self, HEADER};
use super::log::Log;
use super::mark::{self, Listed, Mark, OPEN};
use super::recovery::{Found, Part};
use super::repair;
use super::room::RESERVE_NEW;
use super::types::Retire;

/// Where files are that were set aside.
pub(super) const FOLDER: &str = "damaged";
/// How much is copied at once.
const STRETCH: u64 = 1 << 20;
/// A mark has at least so many bytes of zeros behind its list, so that it can grow on a full disk:
/// without a new mark nothing could be retired.
const MARK_PAGE: usize = 4096;
/// How many bytes of gists are put into a mark at most; there is as much room for them.
const MARK_GISTS: usize = 12 << 10;

impl<F: Files> Log<F> {
    /// Gives a sealed segment up, after the caller has carried forward and committed what it needs.
    ///
    /// # Errors
    ///
    /// If the segment is not sealed, something is not durable yet, or the disk fails.
    pub fn retire(&mut self, segment: u32, how: Retire) -> Result<(), RetireError> {
        if !self.chunks.is_empty() {
            return Err(RetireError::Uncommitted);
        }
        if self.is_current(segment) {
            return Err(RetireError::Current);
        }
        let parts = self.parts.get(&segment).ok_or(RetireError::Unknown)?;
        if how == Retire::SetAside {
            let names = parts.iter().map(|it| format::log_name(it.number));
            let names: Vec<_> = names.collect();
            set_aside(&self.files, &names, self.next_number).map_err(RetireError::Io)?;
            self.next_number += 1;
        }
        self.forget_readers(segment);
        let parts = self.parts.remove(&segment).unwrap_or_default();
        if let Err(error) = self.write_mark() {
            self.parts.insert(segment, parts);
            return Err(RetireError::Io(error));
        }
        for part in parts {
            self.disk = self.disk.saturating_sub(part.length);
            self.release(part, how);
        }
        self.restore();
        Ok(())
    }

    /// A file that the mark no longer lists: if anything fails here, the next opening removes it.
    fn release(&mut self, part: Part, how: Retire) {
        let name = format::log_name(part.number);
        let whole = part.length >= u64::from(self.options.segment) / 2;
        let kept: u64 = self.spares.iter().map(|it| it.1).sum();
        let bound = self.options.bytes_maximum.unwrap_or(u64::MAX);
        let bound = bound.saturating_sub(u64::from(self.options.reserve));
        let fits =
            self.disk + kept + part.length <= bound && self.spares.len() < self.options.spares;
        let again = how == Retire::Recycle && whole && fits && !self.full;
        let spare = format::spare_name(part.number);
        if self.pictures.are_held() {
            self.abandoned.push(part.number);
        } else if again && !self.is_copied(&name) && self.files.rename(&name, &spare).is_ok() {
            self.spares.push((part.number, part.length));
        } else if self.files.remove(&name).is_err() {
            self.abandoned.push(part.number);
        }
    }

    /// Says durably what is promised, when there is nothing else to do; costs a flush only if something
    /// was committed since the last time. Also tries to get the reserve back.
    ///
    /// # Errors
    ///
    /// If the disk fails. Nothing that was committed is less safe then.
    pub fn idle(&mut self) -> io::Result<()> {
        if self.chunks.is_empty() && self.durable != self.marked.1 {
            self.write_mark()?;
        }
        self.restore();
        Ok(())
    }

    /// Commits durably and writes the mark, so that opening again finds nothing in doubt.
    ///
    /// # Errors
    ///
    /// If the commit or the mark fails.
    pub fn close(mut self) -> Result<(), CommitError> {
        if !self.full {
            self.seal();
        }
        self.commit(true)?;
        self.idle().map_err(CommitError::Io)
    }

    /// The mark as it should be. Only with no chunks: then all files that count are listed.
    pub(super) fn mark(&self) -> Mark {
        let current = self.tail.filter(|it| !it.sealed).map(|it| it.segment);
        let newest = self.parts.values().flatten().map(|it| it.number).max();
        let listed = self.parts.values().flatten().map(|it| Listed {
            number: it.number,
            segment: it.segment,
            first: it.first,
            end: match Some(it.segment) == current && Some(it.number) == newest {
                true => OPEN,
                false => it.end,
            },
        });
        let prepared = self.prepared.as_ref().map(|it| it.number);
        let gists = self.gists.rest().filter(|it| it.len() <= MARK_GISTS);
        Mark {
            identity: self.identity,
            counter: self.marked.0 + 1,
            durable: self.durable,
            next_number: prepared.unwrap_or(self.next_number),
            next_segment: self.next_segment,
            listed: listed.collect(),
            gists: gists.unwrap_or_default(),
        }
    }

    /// Writes the older of the two marks anew; after a failure the same one again, since the other may
    /// be the only good one.
    fn write_mark(&mut self) -> io::Result<()> {
        let mark = self.mark();
        let slot = (mark.counter % 2) as usize;
        let name = mark::NAMES[slot];
        let written = (|| {
            self.settle_mark()?;
            let file = match self.marks_exist[slot] {
                true => self.files.open(name)?,
                false => self.files.create(name)?,
            };
            let mut bytes = mark.encode();
            let room = bytes.len() - mark.gists.len() + MARK_GISTS + MARK_PAGE;
            let room = room.next_multiple_of(MARK_PAGE);
            let length = match room > self.mark_rooms[slot] {
                true => room,
                false => bytes.len().next_multiple_of(MARK_PAGE),
            };
            bytes.resize(length, 0);
            self.files.write_at(&file, &bytes, 0)?;
            self.files.sync(&file)?;
            self.mark_rooms[slot] = self.mark_rooms[slot].max(room);
            match self.marks_exist[slot] {
                true => Ok(()),
                false => self.files.sync_folder(""),
            }
        })();
        match written {
            Ok(()) => {
                self.marks_exist[slot] = true;
                self.marked = (mark.counter, mark.durable);
            }
            Err(_) => self.marked.0 += 2,
        }
        written
    }

    /// Makes the mark durable that was found at opening, before the other is overwritten: that it could
    /// be read does not mean that it is on the disk.
    fn settle_mark(&mut self) -> io::Result<()> {
        let Some(found) = &self.mark_found else {
            return Ok(());
        };
        let file = self.files.open(mark::NAMES[(found.counter % 2) as usize])?;
        self.files.write_at(&file, &found.encode(), 0)?;
        self.files.sync(&file)?;
        self.files.sync_folder("")?;
        self.mark_found = None;
        Ok(())
    }

    /// Makes what recovery found durable, and says so in the mark.
    pub(super) fn settle_found(&mut self, found: &Found) -> Result<(), OpenError> {
        if let Some((index, position)) = found.unsettled {
            let mut from = if position == HEADER { 0 } else { position };
            for part in &found.parts[index..] {
                self.rewrite(part, from)?;
                from = 0;
            }
            self.files.sync_folder("")?;
        }
        if !found.aside.is_empty() {
            set_aside(&self.files, &found.aside, self.next_number)?;
            self.next_number += 1;
        }
        let new = self.mark();
        let same = self.marks_exist == [true; 2]
            && !found.bad_mark
            && found.mark.as_ref().is_some_and(|old| {
                let listed = old.listed == new.listed && old.durable == new.durable;
                listed && old.next_number == new.next_number && old.next_segment == new.next_segment
            });
        if same {
            self.marked.1 = self.durable;
            return Ok(());
        }
        match self.write_mark() {
            // On a full disk the old mark is still true; only less is promised.
            Err(error) if is_full(&error) && found.mark.is_some() => Ok(()),
            Err(error) => Err(error.into()),
            // On a full disk there may be no room for a mark that does not exist yet.
            Ok(()) if self.marks_exist == [true; 2] => Ok(()),
            Ok(()) => Ok(self.write_mark()?),
        }
    }

    /// Writes the same bytes again and flushes them: that they could be read does not mean that they
    /// are on the disk, if a flush failed before the process ended.
    fn rewrite(&self, part: &Part, from: u64) -> io::Result<()> {
        let file = self.files.open(&format::log_name(part.number))?;
        let end = HEADER + u64::from(part.stop - part.base);
        let mut at = from;
        while at < end.min(part.length) {
            let len = (end.min(part.length) - at).min(STRETCH);
            let mut bytes = vec![0; len as usize];
            let read = self.files.read_at(&file, &mut bytes, at)?;
            self.files.write_at(&file, &bytes[..read], at)?;
            at += len;
        }
        self.files.sync(&file)
    }

    /// Removes what counts no more and gathers what can be used.
    pub(super) fn tidy(&mut self, names: &[String], found: Found) -> Result<(), OpenError> {
        if self.marked.1 == self.durable {
            for name in found.dropped.iter().chain(&found.aside) {
                let _ = self.files.remove(name);
            }
        }
        for name in names {
            let Some(number) = format::number_of(name, ".spare") else {
                continue;
            };
            let length = self.files.open(name).and_then(|it| self.files.length(&it));
            match length {
                Ok(length) if self.spares.len() < self.options.spares => {
                    self.spares.push((number, length));
                }
                _ => _ = self.files.remove(name),
            }
        }
        for left in [RESERVE_NEW, repair::COPY] {
            if names.iter().any(|it| it == left) {
                let _ = self.files.remove(left);
            }
        }
        // Behind the records of a file that could not be repaired is what tells of those that are lost.
        if found.report.left.is_empty() {
            self.give_back();
        }
        self.restore();
        Ok(())
    }

    /// Cuts what files have behind their records: none of them is written any more. Where the reserve is
    /// missing, most of it may be there.
    fn give_back(&mut self) {
        if self.reserve {
            return;
        }
        for part in self.parts.values_mut().flatten() {
            let end = HEADER + u64::from(part.stop.saturating_sub(part.base));
            let name = format::log_name(part.number);
            if part.length <= end || !matches!(self.files.names(&name), Ok(1)) {
                continue;
            }
            let cut = self.files.open(&name).and_then(|file| {
                self.files.cut(&file, end)?;
                self.files.sync(&file)
            });
            // If it cannot be done, the file is as good as it was.
            if cut.is_ok() {
                self.disk -= part.length - end;
                part.length = end;
            }
        }
    }
}

/// Keeps files under another name, whatever becomes of their own; `once` is a number that was never
/// used, so that what was kept before is not lost. Returns the names.
pub(super) fn set_aside<F: Files>(
    files: &F,
    names: &[String],
    once: u32,
) -> io::Result<Vec<String>> {
    files.make_folder(FOLDER)?;
    let kept: Vec<_> = names.iter().map(|it| aside_name(it, once)).collect();
    for (name, kept) in names.iter().zip(&kept) {
        files.link(name, kept)?;
    }
    files.sync_folder(FOLDER)?;
    Ok(kept)
}

fn aside_name(name: &str, once: u32) -> String {
    let stem = name.strip_suffix(".log").unwrap_or(name);
    format!("{FOLDER}/{stem}-{once}.log")
}
