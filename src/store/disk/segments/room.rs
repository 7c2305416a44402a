//! Room on the disk: files that are ready, spares, the reserve, and the bound.

use std::io;

use super::error::is_full;
use super::files::Files;
use super::format::{self, HEADER};
use super::log::{Log, Prepared};

/// The file that keeps room back.
pub(super) const RESERVE: &str = "reserve";
/// The reserve while it is made.
pub(super) const RESERVE_NEW: &str = "reserve.new";
/// How many zeros are written at once.
const ZEROS: usize = 1 << 20;

impl<F: Files> Log<F> {
    /// Whether an entry is taken: decided from what is in memory, before anything changes.
    ///
    /// The bound leaves as much as the reserve to kinds that make the log smaller. Spares are not
    /// counted: they are given up for what needs their room.
    pub(super) fn has_room(&self, kind: u8, size: u64) -> bool {
        let shrinking = (self.options.shrinking)(kind);
        if self.full && !shrinking {
            return false;
        }
        let Some(maximum) = self.options.bytes_maximum else {
            return true;
        };
        let kept = if shrinking {
            0
        } else {
            u64::from(self.options.reserve)
        };
        let mut growth = size + self.gists.room();
        for chunk in &self.chunks {
            let writer = self.writers.iter().find(|it| Some(it.number) == chunk.file);
            let bytes = chunk.bytes.len() as u64;
            growth += match writer {
                Some(it) => {
                    let end = HEADER + u64::from(chunk.offset - it.base) + bytes;
                    end.saturating_sub(it.length)
                }
                None => HEADER + bytes,
            };
        }
        let free = self.writers.last().map_or(0, |it| match self.tail {
            Some(tail) if tail.segment == it.segment => {
                let end = HEADER + u64::from(tail.offset - it.base);
                it.length.saturating_sub(end)
            }
            _ => 0,
        });
        let begins = u64::from(self.writers.is_empty() && self.chunks.is_empty()) * HEADER;
        self.disk + (growth + begins).saturating_sub(free) <= maximum.saturating_sub(kept)
    }

    /// Makes a file ready under a new number: a spare, or a new one without a byte.
    ///
    /// When this has succeeded the name is durable, so a flush of the file is enough to keep it.
    pub(super) fn prepare(&mut self) -> io::Result<Prepared<F>> {
        match self.spares.pop() {
            Some((spare, length)) => self.adopt(&format::spare_name(spare), length),
            None => {
                let number = self.take_number();
                let made = self.files.create(&format::log_name(number));
                self.ready(number, made, 0)
            }
        }
    }

    /// Makes an existing file the next one.
    fn adopt(&mut self, name: &str, length: u64) -> io::Result<Prepared<F>> {
        let number = self.take_number();
        let own = format::log_name(number);
        let made = self.files.rename(name, &own);
        let made = made.and_then(|()| self.files.open(&own));
        self.ready(number, made, length)
    }

    fn ready(
        &mut self,
        number: u32,
        made: io::Result<F::File>,
        length: u64,
    ) -> io::Result<Prepared<F>> {
        let ready = made.and_then(|file| self.files.sync_folder("").map(|()| file));
        match ready {
            Ok(file) => Ok(Prepared {
                number,
                file,
                length,
            }),
            Err(error) => {
                self.abandoned.push(number);
                Err(error)
            }
        }
    }

    /// A number is never used twice, not even if nothing came of it.
    fn take_number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// Has the next file ready before the current segment is full, so that changing over costs one
    /// flush more than any other commit, and this one folder flush.
    pub(super) fn prepare_ahead(&mut self) {
        let late = self.options.capacity() / 4 * 3;
        let tail = self.tail.filter(|it| it.offset > late);
        if tail.is_some() && self.prepared.is_none() {
            // If this fails, the commit that needs the file tries again and tells.
            self.prepared = self.prepare().ok();
        }
    }

    /// After the disk was found full: has a file ready that has its room already. False if there is
    /// none any more.
    pub(super) fn find_room(&mut self) -> bool {
        if self.prepared.as_ref().is_some_and(|it| it.length > HEADER) {
            return true;
        }
        if let Some(empty) = self.prepared.take() {
            self.abandoned.push(empty.number);
        }
        while !self.spares.is_empty() {
            self.prepared = self.prepare().ok();
            if self.prepared.is_some() {
                return true;
            }
        }
        self.full = true;
        let needed = HEADER + self.pending() as u64;
        if !self.reserve || needed > u64::from(self.options.reserve) {
            return false;
        }
        self.reserve = false;
        let length = self
            .files
            .open(RESERVE)
            .and_then(|it| self.files.length(&it));
        self.prepared = length.and_then(|it| self.adopt(RESERVE, it)).ok();
        self.prepared.is_some()
    }

    /// Makes the reserve if there is none. Only when this succeeds is a full log full no more.
    pub(super) fn restore(&mut self) {
        if self.reserve && !self.full {
            return;
        }
        let made = if self.reserve || self.options.reserve == 0 {
            Ok(())
        } else {
            self.make_reserve()
        };
        match made {
            Ok(()) => {
                self.reserve = self.options.reserve > 0;
                self.full = false;
            }
            Err(error) => {
                let _ = self.files.remove(RESERVE_NEW);
                self.full |= is_full(&error);
            }
        }
    }

    fn make_reserve(&self) -> io::Result<()> {
        let file = self.files.create(RESERVE_NEW)?;
        let size = u64::from(self.options.reserve);
        let zeros = vec![0; ZEROS.min(self.options.reserve as usize)];
        let mut at = 0;
        while at < size {
            let len = (size - at).min(zeros.len() as u64);
            self.files.write_at(&file, &zeros[..len as usize], at)?;
            at += len;
        }
        self.files.sync(&file)?;
        self.files.rename(RESERVE_NEW, RESERVE)?;
        self.files.sync_folder("")
    }
}
