//! Where messages are, by their numbers.

use std::collections::BTreeMap;

/// Where a message is in the log, and how many hold on to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// The segment; 0 while it is not known where the message is.
    pub segment: u32,
    /// The offset of its frame in the segment; in the frame it is found by its number.
    pub offset: u32,
    /// How many queues, deliveries in flight and topics hold it.
    pub refs: u32,
}

/// How many numbers are a page.
const PAGE: u64 = 256;
/// By how many slots a page grows.
const STEP: usize = 16;

/// Slots of a page's numbers, as far as they are present, in their order.
#[derive(Debug, Default)]
struct Page {
    present: [u64; 4],
    slots: Vec<Slot>,
}

impl Page {
    /// Whether a number is present, and where it is or would be.
    fn find(&self, at: u8) -> (bool, usize) {
        let (word, bit) = (usize::from(at >> 6), 1 << (at & 63));
        let mut index = (self.present[word] & (bit - 1)).count_ones();
        for before in &self.present[..word] {
            index += before.count_ones();
        }
        (self.has(at), index as usize)
    }

    fn has(&self, at: u8) -> bool {
        self.present[usize::from(at >> 6)] & (1 << (at & 63)) != 0
    }

    fn flip(&mut self, at: u8) {
        self.present[usize::from(at >> 6)] ^= 1 << (at & 63);
    }
}

/// Messages by number: about 12 bytes for each where they are dense.
#[derive(Debug, Default)]
pub(super) struct Messages {
    pages: BTreeMap<u64, Page>,
    /// The page with the largest number, which is not among the others: most that is asked is of the
    /// newest messages.
    last: (u64, Page),
    len: usize,
}

impl Messages {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn get(&mut self, number: u64) -> Option<&mut Slot> {
        let page = self.page(number / PAGE)?;
        match page.find(number as u8) {
            (true, index) => Some(&mut page.slots[index]),
            (false, _) => None,
        }
    }

    fn page(&mut self, page: u64) -> Option<&mut Page> {
        match self.last.0 == page {
            true => Some(&mut self.last.1),
            false => self.pages.get_mut(&page),
        }
    }

    /// The page for a new number; the newest page is the one at hand.
    fn page_for(&mut self, page: u64) -> &mut Page {
        if page > self.last.0 {
            let before = std::mem::take(&mut self.last);
            if !before.1.slots.is_empty() {
                self.pages.insert(before.0, before.1);
            }
            self.last.0 = page;
        }
        match self.last.0 == page {
            true => &mut self.last.1,
            false => self.pages.entry(page).or_default(),
        }
    }

    pub fn insert(&mut self, number: u64, slot: Slot) {
        let page = self.page_for(number / PAGE);
        match page.find(number as u8) {
            (true, index) => page.slots[index] = slot,
            (false, index) => {
                if page.slots.len() == page.slots.capacity() {
                    page.slots.reserve_exact(STEP);
                }
                page.slots.insert(index, slot);
                page.flip(number as u8);
                self.len += 1;
            }
        }
    }

    pub fn remove(&mut self, number: u64) -> Option<Slot> {
        let page = self.page(number / PAGE)?;
        let (true, index) = page.find(number as u8) else {
            return None;
        };
        let slot = page.slots.remove(index);
        page.flip(number as u8);
        if page.slots.is_empty() {
            *page = Page::default();
            self.pages.remove(&(number / PAGE));
        } else if page.slots.len() + 2 * STEP < page.slots.capacity() {
            page.slots.shrink_to(page.slots.len() + STEP);
        }
        self.len -= 1;
        Some(slot)
    }

    /// All of them, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Slot)> + '_ {
        let pages = self.pages.iter().chain(Some((&self.last.0, &self.last.1)));
        pages.flat_map(|(number, page)| {
            let all = (0..=u8::MAX).filter(|at| page.has(*at));
            let numbers = all.map(move |at| number * PAGE + u64::from(at));
            numbers.zip(page.slots.iter().copied())
        })
    }

    /// Changes all slots.
    pub fn each(&mut self, mut change: impl FnMut(&mut Slot)) {
        let pages = self.pages.values_mut().chain(Some(&mut self.last.1));
        pages.flat_map(|it| &mut it.slots).for_each(&mut change);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::disk::segments::faulty::Random;

    // Breaks if: a slot is found under another number, or lost when its page grows or shrinks.
    #[test]
    fn slots_are_found_by_their_numbers() {
        let (mut messages, mut model) = (Messages::default(), BTreeMap::new());
        let mut random = Random::new(3);
        for step in 0..20_000_u32 {
            let number = random.below(2000) + random.below(2) * (1 << 40);
            if random.below(5) < 3 {
                let slot = Slot {
                    segment: step,
                    offset: 16,
                    refs: 1,
                };
                messages.insert(number, slot);
                model.insert(number, slot);
            } else {
                assert_eq!(messages.remove(number), model.remove(&number));
            }
            assert_eq!(messages.get(number).copied(), model.get(&number).copied());
            assert_eq!(messages.len(), model.len());
        }
        let all: Vec<_> = messages.iter().collect();
        assert_eq!(all, model.into_iter().collect::<Vec<_>>());
    }
}
