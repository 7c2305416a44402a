//! What is wrong with a file of permissions, and where.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::topic;

/// A file of permissions that cannot be used. Concerns the process, or the reload: nothing is taken from it.
#[derive(Debug)]
pub struct Error {
    /// The file, as the configuration names it.
    pub file: PathBuf,
    /// The line, from 1, unless it is the file as a whole.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: What,
}

/// What is wrong with a file of permissions.
#[derive(Debug)]
pub enum What {
    /// It cannot be read.
    Unreadable(io::Error),
    /// It has more than this many bytes.
    TooLarge(u64),
    /// The line is not UTF-8 text.
    NotText,
    /// The line begins with this word, which means nothing.
    Word(String),
    /// A line about a topic has no topic.
    NoTopic,
    /// A line about a user has no name.
    NoUser,
    /// In front of a topic stands this word, which is no access.
    Access(String),
    /// This is no Topic Filter.
    Filter(String, topic::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        match &self.what {
            What::Unreadable(_) => f.write_str("cannot be read"),
            What::TooLarge(most) => write!(f, "has more than {most} bytes; expected permissions"),
            What::NotText => f.write_str("not UTF-8; expected text"),
            What::Word(word) => write!(
                f,
                "the line begins with {word:?}; expected topic, pattern, user or #"
            ),
            What::NoTopic => f.write_str("there is no topic; expected a Topic Filter"),
            What::NoUser => f.write_str("there is no name; expected a user name"),
            What::Access(word) => write!(
                f,
                "the access is {word:?}; expected read, write, readwrite or deny"
            ),
            What::Filter(filter, _) => write!(f, "{filter:?} is not a Topic Filter"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.what {
            What::Unreadable(error) => Some(error),
            What::Filter(_, error) => Some(error),
            _ => None,
        }
    }
}
