//! Whole files in the places of damaged ones.
//!
//! A file with damage is copied, with its number and with every good record where it was. Where records
//! were bad there are the gists of their entries, under the sequences of those, as far as they are known;
//! for the rest there is a hole, which says that what is missing there was told. The copy is flushed, the
//! damaged file gets a name in `damaged/`, and then the copy takes its name. A power cut leaves the one or
//! the other.

use std::io;
use std::ops::Range;

use super::files::Files;
use super::format::{self, HEADER, Head, Header, KIND_HOLE, RECORD};
use super::recovery::{Fix, Found, Part};
use super::retire;
use super::scan::Scanner;
use super::told::Gist;

/// The copy while it is made.
pub(super) const COPY: &str = "copy.new";
/// How much is copied at once.
const STRETCH: u64 = 1 << 20;

/// Repairs all files with damage, and says in the report which. One that cannot be is left as it is.
pub(super) fn repair<F: Files>(files: &F, found: &mut Found) {
    let fixes = std::mem::take(&mut found.fixes);
    for fixes in fixes.chunk_by(|a, b| a.header.number == b.header.number) {
        let Some(header) = fixes.first().map(|it| it.header) else {
            continue;
        };
        let same = |it: &&mut Part| it.number == header.number;
        let Some(part) = found.parts.iter_mut().find(same) else {
            continue;
        };
        let once = found.next_number;
        found.next_number += 1;
        let name = format::log_name(header.number);
        match replace(files, &header, fixes, part, once) {
            Ok((whole, kept)) => {
                *part = whole;
                found.report.aside.extend(kept);
            }
            Err(error) => {
                let _ = files.remove(COPY);
                found.report.left.push((name, error.to_string()));
            }
        }
    }
}

fn replace<F: Files>(
    files: &F,
    header: &Header,
    fixes: &[Fix],
    part: &Part,
    once: u32,
) -> io::Result<(Part, Vec<String>)> {
    let whole = copy(files, header, fixes, part)?;
    let name = format::log_name(header.number);
    let kept = retire::set_aside(files, std::slice::from_ref(&name), once)?;
    files.rename(COPY, &name)?;
    files.sync_folder("")?;
    Ok((whole, kept))
}

/// Writes and flushes the copy; returns the part that it will be.
fn copy<F: Files>(files: &F, header: &Header, fixes: &[Fix], part: &Part) -> io::Result<Part> {
    let mut damaged = Scanner::open(files, header)?;
    let copy = files.create(COPY)?;
    let header = Header {
        recycled: false,
        ..*header
    };
    files.write_at(&copy, &header.encode(), 0)?;
    let mut at = HEADER;
    let mut stop = HEADER + u64::from(part.stop - part.base);
    for fix in fixes.iter().filter(|it| it.bytes.start >= HEADER) {
        copy_good(files, &mut damaged, &copy, at..fix.bytes.start)?;
        files.write_at(&copy, &fix.records, fix.bytes.start)?;
        at = match fix.last {
            true => fix.bytes.start + fix.records.len() as u64,
            false => fix.bytes.end,
        };
        stop = stop.max(at);
    }
    copy_good(files, &mut damaged, &copy, at..stop)?;
    files.write_at(&copy, &[0; RECORD], stop)?;
    files.sync(&copy)?;
    let offset = damaged.offset(stop).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Part {
        stop: offset,
        length: stop + RECORD as u64,
        ..*part
    })
}

fn copy_good<F: Files>(
    files: &F,
    from: &mut Scanner<'_, F>,
    to: &F::File,
    bytes: Range<u64>,
) -> io::Result<()> {
    let mut at = bytes.start;
    // The padding of the last record may be missing.
    let end = bytes.end.min(from.length());
    while at < end {
        let len = (end - at).min(STRETCH);
        let good = from.bytes(at, len as usize);
        let good = good.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        files.write_at(to, good, at)?;
        at += len;
    }
    Ok(())
}

/// Records that stand in the place of bad ones.
pub(super) struct Filling {
    pub records: Vec<u8>,
    /// Which of the gists are among them, and at which offset in the segment.
    pub visible: Vec<(usize, u32)>,
}

/// Gists in the place of bad records, and a hole where there are none and for what is left of the room, if
/// it is bounded. No gist is longer than what it is of, and all records have sizes that leave either nothing
/// or room for a hole.
pub(super) fn fill(
    header: &Header,
    offset: u32,
    room: Option<usize>,
    sequences: &Range<u64>,
    told: &[Gist],
) -> Filling {
    let seed = format::seed(header.identity, header.segment);
    let room = room.unwrap_or(usize::MAX);
    let (mut records, mut visible) = (Vec::new(), Vec::new());
    let push = |records: &mut Vec<u8>, kind: u8, sequence: u64, bytes: &[u8]| {
        let at = offset.saturating_add(records.len() as u32);
        let len = bytes.len() as u32;
        let head = Head {
            len,
            kind,
            sequence,
        };
        format::push(records, seed, at, head, bytes);
        at
    };
    let mut next = sequences.start;
    for (index, (sequence, kind, gist)) in told.iter().enumerate() {
        let before = usize::from(*sequence > next) * RECORD;
        let behind = usize::from(sequence + 1 < sequences.end) * RECORD;
        let needed = before + format::size(gist.len()) + behind;
        if records.len() + needed > room {
            continue;
        }
        if before > 0 {
            push(&mut records, KIND_HOLE, *sequence, &[]);
        }
        visible.push((index, push(&mut records, *kind, *sequence, gist)));
        next = sequence + 1;
    }
    let left = match room {
        usize::MAX => usize::from(next < sequences.end) * RECORD,
        room => room - records.len(),
    };
    if left > 0 {
        let zeros = vec![0; left.saturating_sub(RECORD)];
        push(&mut records, KIND_HOLE, sequences.end, &zeros);
    }
    Filling { records, visible }
}
