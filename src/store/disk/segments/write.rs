//! From chunks to files: commit, and what follows when it fails.

use std::io;

use super::error::{CommitError, is_full};
use super::files::Files;
use super::format::{self, HEADER, Header, RECORD};
use super::log::{Chunk, Log};
use super::recovery::Part;

/// A file that records are written to. It never failed: one that does is not written again.
pub(super) struct Writer<F: Files> {
    pub number: u32,
    pub segment: u32,
    /// The offset in the segment at which the file begins.
    pub base: u32,
    pub first: u64,
    pub file: F::File,
    /// How long it is: from the last record on, zeros or stale bytes.
    pub length: u64,
    /// The header is still to be written, with the first records.
    pub fresh: bool,
}

/// What failed, and whose write it was; a flush is nobody's.
struct Failed {
    chunk: Option<usize>,
    error: io::Error,
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self { chunk: None, error }
    }
}

impl<F: Files> Log<F> {
    /// Writes what was appended and, if `sync`, makes it durable.
    ///
    /// Without `sync` it is safe against the end of the process; a copy stays in memory until a
    /// flush, which happens unasked when that is more than the options allow.
    ///
    /// # Errors
    ///
    /// If it cannot be written or flushed. Nothing is lost: the next commit writes all of it again, to a
    /// new file.
    pub fn commit(&mut self, sync: bool) -> Result<(), CommitError> {
        if self.chunks.is_empty() {
            return Ok(());
        }
        let sync = sync || self.pending() > self.options.unflushed_maximum;
        let mut outcome = self.write_all(sync);
        while let Err(failed) = &outcome {
            let no_room = is_full(&failed.error);
            let chunk = failed.chunk.filter(|_| no_room);
            self.distrust(chunk);
            if !no_room || !self.find_room() {
                break;
            }
            outcome = self.write_all(sync);
        }
        match outcome {
            Ok(()) if sync => self.settle(),
            Ok(()) => {}
            Err(failed) if is_full(&failed.error) => return Err(CommitError::Full),
            Err(failed) => return Err(CommitError::Io(failed.error)),
        }
        Ok(())
    }

    /// Writes each chunk with one call, and flushes each file.
    fn write_all(&mut self, sync: bool) -> Result<(), Failed> {
        for index in 0..self.chunks.len() {
            self.write_chunk(index).map_err(|error| Failed {
                chunk: Some(index),
                error,
            })?;
        }
        if sync {
            for writer in &self.writers {
                if self.chunks.iter().any(|it| it.file == Some(writer.number)) {
                    self.files.sync(&writer.file)?;
                }
            }
        }
        Ok(())
    }

    fn write_chunk(&mut self, index: usize) -> io::Result<()> {
        if self.chunks[index].file.is_none() {
            self.begin(index)?;
        }
        let chunk = &mut self.chunks[index];
        let number = chunk.file;
        let Some(writer) = self.writers.iter_mut().find(|it| Some(it.number) == number) else {
            return Err(io::Error::other("a chunk without its file"));
        };
        let len = chunk.bytes.len();
        if chunk.written == len {
            return Ok(());
        }
        let start = HEADER + u64::from(chunk.offset - writer.base);
        let end = start + len as u64;
        let length = padded(end, writer.length, self.options.step, self.options.segment);
        // What was the end of the log can be seen, whatever a file held before.
        let behind = length.saturating_sub(end);
        let zeros = match length > writer.length {
            true => behind as usize,
            false => behind.min(RECORD as u64) as usize,
        };
        if writer.fresh {
            let header = Header {
                identity: self.identity,
                number: writer.number,
                segment: writer.segment,
                base: writer.base,
                recycled: writer.length > 0,
                first: writer.first,
                durable: self.durable,
            };
            let mut all = header.encode();
            all.reserve_exact(len + zeros);
            all.extend_from_slice(&chunk.bytes);
            all.resize(all.len() + zeros, 0);
            self.files.write_at(&writer.file, &all, 0)?;
        } else {
            // The zeros stand behind the records only for the call.
            chunk.bytes.resize(len + zeros, 0);
            let from = chunk.written;
            let outcome =
                self.files
                    .write_at(&writer.file, &chunk.bytes[from..], start + from as u64);
            chunk.bytes.truncate(len);
            outcome?;
        }
        chunk.written = len;
        writer.fresh = false;
        self.disk += length.saturating_sub(writer.length);
        writer.length = writer.length.max(length);
        Ok(())
    }

    /// Begins a file for a chunk. It holds nothing until the chunk is written.
    fn begin(&mut self, index: usize) -> io::Result<()> {
        let prepared = match self.prepared.take() {
            Some(prepared) => prepared,
            None => self.prepare()?,
        };
        let chunk = &mut self.chunks[index];
        chunk.file = Some(prepared.number);
        chunk.written = 0;
        self.disk += prepared.length;
        self.writers.push(Writer {
            number: prepared.number,
            segment: chunk.segment,
            base: chunk.offset,
            first: chunk.first,
            file: prepared.file,
            length: prepared.length,
            fresh: true,
        });
        Ok(())
    }

    /// Turns away from files after a failure: from that of one chunk if the disk had no room for its
    /// bytes, or else from all, because nobody knows which pages the system has given up.
    fn distrust(&mut self, only: Option<usize>) {
        let mut turned = Vec::new();
        for (index, chunk) in self.chunks.iter_mut().enumerate() {
            if only.is_some_and(|it| it != index) {
                continue;
            }
            let Some(number) = chunk.file.take() else {
                continue;
            };
            chunk.written = 0;
            turned.push(number);
        }
        if only.is_none() {
            turned.extend(self.writers.iter().map(|it| it.number));
        }
        self.writers.retain(|it| !turned.contains(&it.number));
        turned.retain(|it| !self.is_part(*it) && !self.abandoned.contains(it));
        self.abandoned.extend(turned);
        let known: u64 = self.parts.values().flatten().map(|it| it.length).sum();
        let begun: u64 = self.writers.iter().map(|it| it.length).sum();
        let both = |it: &&super::write::Writer<F>| self.is_part(it.number);
        let twice: u64 = self.writers.iter().filter(both).map(|it| it.length).sum();
        self.disk = known + begun - twice;
    }

    /// Whether a file holds something durable that counts.
    pub(super) fn is_part(&self, number: u32) -> bool {
        self.parts.values().flatten().any(|it| it.number == number)
    }

    /// All chunks are durable.
    fn settle(&mut self) {
        for chunk in std::mem::take(&mut self.chunks) {
            self.settle_chunk(&chunk);
            self.reuse(chunk.bytes);
        }
        self.durable = self.next;
        let tail = self.tail.filter(|it| !it.sealed);
        self.writers
            .retain(|it| tail.is_some_and(|tail| tail.segment == it.segment));
        let gone = match self.pictures.are_held() {
            true => Vec::new(),
            false => std::mem::take(&mut self.abandoned),
        };
        for number in gone {
            // It counts no more, whether this succeeds or not: what took over from it is durable.
            let _ = self.files.remove(&format::log_name(number));
        }
        self.prepare_ahead();
    }

    fn settle_chunk(&mut self, chunk: &Chunk) {
        let number = chunk.file;
        let Some(writer) = self.writers.iter().find(|it| Some(it.number) == number) else {
            return;
        };
        let parts = self.parts.entry(chunk.segment).or_default();
        let stop = chunk.offset + chunk.bytes.len() as u32;
        match parts.last_mut().filter(|it| it.number == writer.number) {
            Some(part) => {
                (part.stop, part.end, part.length) = (stop, chunk.end, writer.length);
            }
            None => parts.push(Part {
                number: writer.number,
                segment: chunk.segment,
                base: writer.base,
                stop,
                first: writer.first,
                end: chunk.end,
                length: writer.length,
            }),
        }
    }
}

/// The length of a file after a write up to `end`: it grows in steps, but not beyond a full segment,
/// and a write that is itself a step or more needs no zeros behind it.
fn padded(end: u64, length: u64, step: u32, segment: u32) -> u64 {
    if end <= length {
        return length;
    }
    let step = u64::from(step.max(1));
    end.next_multiple_of(step).min(u64::from(segment)).max(end)
}
