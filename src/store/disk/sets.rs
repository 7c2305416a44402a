//! Sets of Subscription Identifiers, each kept once and known by a number.

use std::collections::HashMap;

/// How many sets there are before it is worth looking for those that nobody uses.
const FEW: usize = 1024;

/// Sets by number; 0 is the empty one.
#[derive(Debug)]
pub(super) struct Sets {
    sets: Vec<Box<[u32]>>,
    numbers: HashMap<Box<[u32]>, u32>,
    free: Vec<u32>,
    /// At how many sets in use those are to be looked for that are not.
    sweep_at: usize,
}

impl Default for Sets {
    fn default() -> Self {
        Self {
            sets: Vec::new(),
            numbers: HashMap::new(),
            free: Vec::new(),
            sweep_at: FEW,
        }
    }
}

impl Sets {
    /// A number for a set.
    pub fn intern(&mut self, ids: &[u32]) -> u32 {
        if ids.is_empty() {
            return 0;
        }
        if let Some(number) = self.numbers.get(ids) {
            return *number;
        }
        let number = match self.free.pop() {
            Some(number) => {
                self.sets[number as usize - 1] = ids.into();
                number
            }
            None => {
                self.sets.push(ids.into());
                self.sets.len() as u32
            }
        };
        self.numbers.insert(ids.into(), number);
        number
    }

    /// The set with this number.
    pub fn of(&self, number: u32) -> &[u32] {
        let index = (number as usize).checked_sub(1);
        index.and_then(|it| self.sets.get(it)).map_or(&[], |it| it)
    }

    /// Whether there are so many that [`Sets::keep`] is worth its work.
    pub fn is_many(&self) -> bool {
        self.numbers.len() >= self.sweep_at
    }

    /// Forgets all but those in use.
    pub fn keep(&mut self, in_use: impl Iterator<Item = u32>) {
        let mut used = vec![false; self.sets.len() + 1];
        for number in in_use {
            if let Some(it) = used.get_mut(number as usize) {
                *it = true;
            }
        }
        let (sets, free) = (&mut self.sets, &mut self.free);
        self.numbers.retain(|_, number| {
            let keep = used[*number as usize];
            if !keep {
                sets[*number as usize - 1] = Box::default();
                free.push(*number);
            }
            keep
        });
        self.sweep_at = FEW.max(self.numbers.len() * 2);
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Breaks if: a set that is in use is given up, or a number stands for two sets.
    #[test]
    fn sets_that_nobody_uses_are_given_up() {
        let mut sets = Sets::default();
        let kept = sets.intern(&[1, 2]);
        assert_eq!((sets.intern(&[]), sets.intern(&[1, 2])), (0, kept));
        for id in 0..FEW as u32 {
            sets.intern(&[id]);
        }
        assert!(sets.is_many());
        sets.keep([0, kept, 99_999].into_iter());
        assert!(!sets.is_many());
        assert_eq!((sets.len(), sets.of(kept)), (1, &[1, 2][..]));
        let new = sets.intern(&[7]);
        assert_ne!(new, kept);
        assert_eq!((sets.of(new), sets.of(0)), (&[7][..], &[][..]));
        assert!(new as usize <= FEW + 1, "{new} is used again");
    }
}
