//! A case that is a list of steps, one on each line: a verb, and words that say to whom and what.

use crate::trial::Case;

/// Steps as they are written.
#[derive(Clone, Default)]
pub struct Script(pub Vec<String>);

impl Case for Script {
    fn read(text: &str) -> Self {
        Self(text.lines().map(str::to_owned).collect())
    }

    fn write(&self) -> String {
        self.0.join("\n")
    }

    fn pieces(&self) -> usize {
        self.0.len()
    }

    fn without(&self, from: usize, to: usize) -> Self {
        let mut less = self.clone();
        less.0.drain(from..to);
        less
    }
}

/// The words of one step.
pub struct Words<'a>(std::str::SplitWhitespace<'a>);

impl<'a> Words<'a> {
    pub fn of(step: &'a str) -> Self {
        Self(step.split_whitespace())
    }

    /// The next word; one that a shorter script leaves out is empty.
    pub fn word(&mut self) -> &'a str {
        self.0.next().unwrap_or_default()
    }

    /// The next word as a number; one that is left out is 0.
    pub fn number(&mut self) -> u32 {
        self.0.next().map_or(0, |word| {
            word.parse()
                .unwrap_or_else(|error| panic!("`{word}`: {error}"))
        })
    }

    /// Whether this word is among those that are left.
    pub fn has(&self, word: &str) -> bool {
        self.0.clone().any(|known| known == word)
    }

    /// The number after `name=` among the words that are left.
    pub fn value(&self, name: &str) -> Option<u32> {
        let mut values = self.0.clone().filter_map(|word| {
            let value = word.strip_prefix(name)?.strip_prefix('=')?;
            Some(value.parse().expect("a number"))
        });
        values.next()
    }
}
