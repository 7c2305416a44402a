//! Where messages are, by their numbers.

use std::collections::BTreeMap;

/// Where a message is in the log, and how many hold on to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// The segment; 0 while it is not known where the message is.
    pub segment: u32,
    /// The offset of its frame in the segment.
    pub offset: u32,
    /// The offset of its record in the frame.
    pub at: u32,
    /// How many queues, deliveries in flight and topics hold it.
    pub refs: u32,
}

/// Messages by number, in pages of 256 numbers: about 20 bytes for each where they are dense.
#[derive(Debug, Default)]
pub(super) struct Messages {
    pages: BTreeMap<u64, Vec<(u8, Slot)>>,
    len: usize,
}

impl Messages {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn get(&mut self, number: u64) -> Option<&mut Slot> {
        let page = self.pages.get_mut(&(number >> 8))?;
        let index = page.binary_search_by_key(&(number as u8), |it| it.0).ok()?;
        Some(&mut page[index].1)
    }

    pub fn insert(&mut self, number: u64, slot: Slot) {
        let page = self.pages.entry(number >> 8).or_default();
        match page.binary_search_by_key(&(number as u8), |it| it.0) {
            Ok(index) => page[index].1 = slot,
            Err(index) => {
                page.insert(index, (number as u8, slot));
                self.len += 1;
            }
        }
    }

    pub fn remove(&mut self, number: u64) -> Option<Slot> {
        let page = self.pages.get_mut(&(number >> 8))?;
        let index = page.binary_search_by_key(&(number as u8), |it| it.0).ok()?;
        let (_, slot) = page.remove(index);
        if page.is_empty() {
            self.pages.remove(&(number >> 8));
        } else if page.len() < page.capacity() / 4 {
            page.shrink_to_fit();
        }
        self.len -= 1;
        Some(slot)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, Slot)> + '_ {
        let pages = self.pages.iter();
        pages.flat_map(|(page, slots)| {
            slots
                .iter()
                .map(move |it| (page << 8 | u64::from(it.0), it.1))
        })
    }
}
