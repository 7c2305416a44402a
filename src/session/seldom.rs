//! A list that is seldom anything but empty.

use std::ops::{Deref, DerefMut};

/// A list that takes one word while it has never had anything in it, for what nearly all sessions have none of.
#[derive(Debug)]
pub struct Seldom<T>(Option<Box<Items<T>>>);

#[derive(Debug)]
struct Items<T>(Vec<T>);

impl<T> Default for Seldom<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Seldom<T> {
    /// Appends one.
    pub fn push(&mut self, item: T) {
        self.items().push(item);
    }

    /// Drops those for which `keep` does not hold.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        if let Some(items) = &mut self.0 {
            items.0.retain(keep);
        }
    }

    /// Takes out the one that is there; the last comes to its place.
    ///
    /// # Panics
    ///
    /// There is none.
    pub fn swap_remove(&mut self, index: usize) -> T {
        self.items().swap_remove(index)
    }

    /// Takes all of them. There is less to allocate for the next.
    pub fn take(&mut self) -> Vec<T> {
        let items = self.0.as_mut();
        items.map_or_else(Vec::new, |items| std::mem::take(&mut items.0))
    }

    /// Gives the memory back, if there is nothing in it and it had room for more than so many. Its own three
    /// words stay, so that a list which fills again and again allocates no more than any other.
    pub fn shrink(&mut self, kept: usize) {
        if let Some(items) = &mut self.0
            && items.0.is_empty()
            && items.0.capacity() > kept
        {
            items.0 = Vec::new();
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.0.as_ref().map_or(0, |items| items.0.capacity())
    }

    fn items(&mut self) -> &mut Vec<T> {
        &mut self.0.get_or_insert_with(|| Box::new(Items(Vec::new()))).0
    }
}

impl<T> FromIterator<T> for Seldom<T> {
    fn from_iter<I: IntoIterator<Item = T>>(all: I) -> Self {
        let all: Vec<T> = all.into_iter().collect();
        Self((!all.is_empty()).then(|| Box::new(Items(all))))
    }
}

impl<T> Deref for Seldom<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_ref().map_or(&[], |items| &items.0)
    }
}

impl<T> DerefMut for Seldom<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.0.as_mut().map_or(&mut [], |items| &mut items.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Breaks if: one that is empty holds more than its word, or what was put in is not what is there.
    #[test]
    fn it_is_a_list_and_an_empty_one_is_a_word() {
        assert_eq!(size_of::<Seldom<[u64; 9]>>(), size_of::<usize>());
        let mut list = Seldom::default();
        list.retain(|_| false);
        list.shrink(0);
        assert!(list.is_empty() && list.0.is_none());
        for number in 0..5 {
            list.push(number);
        }
        list[0] = 7;
        assert_eq!(list[..], [7, 1, 2, 3, 4]);
        assert_eq!(list.swap_remove(1), 1);
        list.retain(|it| *it != 3);
        assert_eq!(list[..], [7, 4, 2]);
        list.shrink(0);
        assert_eq!(list.take(), [7, 4, 2]);
        list.push(1);
        list.retain(|_| false);
        list.shrink(100);
        assert!(list.capacity() > 0);
        list.shrink(0);
        assert_eq!(list.capacity(), 0);
        let made: Seldom<u8> = [1, 2].into_iter().collect();
        assert_eq!(made[..], [1, 2]);
    }
}
