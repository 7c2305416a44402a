//! Which files of records there are, and which there should be.

use super::error::OpenError;
use super::files::Files;
use super::format::{self, HEADER, Header, Unreadable};
use super::mark::Listed;
use super::recovery::Found;
use super::scan;

/// A file that exists or should.
pub(super) struct Item {
    pub number: u32,
    pub listed: Option<Listed>,
    pub state: State,
}

/// What there is of it.
pub(super) enum State {
    Good(Header),
    /// No header of this file; `blank` if it was only prepared to be used.
    Unreadable {
        blank: bool,
    },
    Missing,
}

impl Item {
    /// Its first sequence, if anything says it.
    pub fn first(&self) -> Option<u64> {
        match &self.state {
            State::Good(header) => Some(header.first),
            _ => self.listed.map(|it| it.first),
        }
    }
}

/// All files of records that count, in the order of their numbers, and what the mark knows of them.
pub(super) fn collect<F: Files>(
    files: &F,
    names: &[String],
    found: &mut Found,
) -> Result<Vec<Item>, OpenError> {
    let listed = found.mark.as_ref().map_or(&[][..], |it| &it.listed);
    let newer_from = found.mark.as_ref().map_or(0, |it| it.next_number);
    found.identity = found.mark.as_ref().map_or(found.identity, |it| it.identity);
    found.next_number = newer_from.max(1);
    found.next_segment = found.mark.as_ref().map_or(1, |it| it.next_segment.max(1));
    let mut numbers: Vec<_> = names
        .iter()
        .filter_map(|it| format::number_of(it, ".log"))
        .collect();
    numbers.extend(listed.iter().map(|it| it.number));
    numbers.sort_unstable();
    numbers.dedup();
    let mut known = found.mark.is_some();
    let mut items = Vec::new();
    for number in numbers {
        found.next_number = found.next_number.max(number.saturating_add(1));
        let listed = listed.iter().find(|it| it.number == number).copied();
        let name = format::log_name(number);
        if listed.is_none() && number < newer_from {
            found.dropped.push(name);
            continue;
        }
        let state = match names.contains(&name) {
            true => examine(files, &name, listed.is_some())?,
            false => State::Missing,
        };
        let state = match state {
            State::Good(header) => {
                if !known {
                    (known, found.identity) = (true, header.identity);
                }
                found.next_segment = found.next_segment.max(header.segment.saturating_add(1));
                match (header.identity == found.identity, header.number == number) {
                    (true, true) => State::Good(header),
                    (true, false) => State::Unreadable { blank: true },
                    (false, _) => State::Unreadable { blank: false },
                }
            }
            state => state,
        };
        items.push(Item {
            number,
            listed,
            state,
        });
    }
    Ok(items)
}

fn examine<F: Files>(files: &F, name: &str, listed: bool) -> Result<State, OpenError> {
    let file = files.open(name)?;
    let mut page = vec![0; HEADER as usize];
    match scan::read(files, &file, &mut page, 0) {
        Ok(read) => page.truncate(read),
        // The mark knows what its header said.
        Err(_) if listed => return Ok(State::Unreadable { blank: false }),
        // Without its header a whole file would be taken for damaged: better not to start.
        Err(error) => return Err(error.into()),
    }
    match Header::decode(&page) {
        Ok(header) => Ok(State::Good(header)),
        Err(Unreadable::Newer(version)) => Err(OpenError::Newer {
            file: name.to_owned(),
            version,
        }),
        Err(Unreadable::Bad) => Ok(State::Unreadable {
            blank: page.iter().all(|it| *it == 0),
        }),
    }
}
