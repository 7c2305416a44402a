//! What is wrong with a configuration, and where.
//!
//! One [`Error`] carries every [`Problem`] that was found, in the order in which an administrator
//! would mend them: down the file, then the environment. A problem prints as one line.

use std::fmt;
use std::sync::Arc;

/// A configuration that cannot be used. Concerns the process: it does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    problems: Vec<Problem>,
}

impl Error {
    /// An error of at least one problem.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        Self { problems }
    }

    /// Everything that is wrong; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is written.
    pub place: Place,
    /// What is wrong and what was expected, on one line.
    pub text: String,
}

impl Problem {
    pub(super) fn new(place: Place, text: impl Into<String>) -> Self {
        Self {
            place,
            text: text.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a configuration file.
    File {
        /// The file as it was named to us.
        name: Arc<str>,
        /// The place in it; `None` is the file as a whole.
        position: Option<Position>,
    },
    /// In an environment variable of this name.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                name,
                position: None,
            } => f.write_str(name),
            Self::File {
                name,
                position: Some(at),
            } => {
                write!(f, "{name}:{}:{}", at.line, at.column)
            }
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// A place in a text, as editors count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl Position {
    /// The position of the byte at `offset`, which is cut to the length of `text`.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        Lines::of(text).position(offset)
    }
}

/// Where the lines of a text begin, for positions of many things in it.
pub(super) struct Lines<'a> {
    text: &'a str,
    beginnings: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let newlines = text.match_indices('\n').map(|(newline, _)| newline + 1);
        Self {
            text,
            beginnings: std::iter::once(0).chain(newlines).collect(),
        }
    }

    /// The position of the byte at `offset`, which is cut to the length of the text.
    pub(super) fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = self.beginnings.partition_point(|it| *it <= before.len());
        let begins = self.beginnings[line - 1];
        Position {
            line,
            column: before[begins..].chars().count() + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let text = "a\nbæc\n\nd";
        for (offset, line, column) in [
            (0, 1, 1),
            (1, 1, 2),
            (2, 2, 1),
            (5, 2, 3),
            (6, 2, 4),
            (7, 3, 1),
            (8, 4, 1),
            (9, 4, 2),
        ] {
            assert_eq!(
                Position::of(text, offset),
                Position { line, column },
                "{offset}"
            );
        }
        assert_eq!(Position::of(text, 99), Position { line: 4, column: 2 });
        assert_eq!(Position::of("", 0), Position { line: 1, column: 1 });
    }

    #[test]
    fn problems_are_told_down_the_file_and_then_by_variable() {
        let at = |line, column| Place::File {
            name: "f".into(),
            position: Some(Position { line, column }),
        };
        let error = Error::new(vec![
            Problem::new(Place::Variable("B".into()), "fourth"),
            Problem::new(at(10, 1), "third"),
            Problem::new(Place::Variable("C".into()), "fifth"),
            Problem::new(at(2, 7), "second"),
            Problem::new(
                Place::File {
                    name: "f".into(),
                    position: None,
                },
                "first",
            ),
        ]);
        assert_eq!(
            error.to_string(),
            "f: first\nf:2:7: second\nf:10:1: third\nB: fourth\nC: fifth"
        );
    }
}
