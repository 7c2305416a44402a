//! Files of users, one a line: `name:secret`, where the secret is something that was made of a password.
//!
//! ```text
//!   # a comment: the line begins with it
//!   anna:$7$101$Tvw9lBlS0ynOY8pL$8K8N9t…
//! ```
//!
//! They are read as mosquitto reads its password file: ASCII blanks around a name, and around what follows it, do
//! not count. Unlike there, a line that is neither of these nor empty makes the file unusable: whoever is
//! missing from it by mistake would rather hear of it before the broker starts than at the door.
//!
//! No error shows what a line says: it may be a secret.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Size of a file above which it cannot be meant as one of users.
const LARGEST: u64 = 64 << 20;

/// Longest name that MQTT can carry.
const NAME_BYTES: usize = u16::MAX as usize;

/// A file that cannot be used.
#[derive(Debug)]
pub struct Error {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Read(io::Error),
    TooLarge,
    /// A line, counted from 1.
    Line(usize, Flaw),
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is no text.
    NotUtf8,
    /// It has a name at most.
    NoColon,
    /// The name is not one that can be told from something else.
    Name(&'static str),
    /// An earlier line has the same name.
    Twice,
    /// The secret is none: what was expected.
    Secret(&'static str),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("is not UTF-8"),
            Self::NoColon => f.write_str("has no colon; expected USER:SECRET, or # and a comment"),
            Self::Name(expected) => write!(f, "has a wrong user name; expected {expected}"),
            Self::Twice => {
                f.write_str("has a user that an earlier line has; expected each user once")
            }
            Self::Secret(expected) => write!(f, "has no usable secret; expected {expected}"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            Kind::Read(_) => write!(f, "{path}: cannot be read"),
            Kind::TooLarge => write!(f, "{path}: is larger than 64 MiB; expected a file of users"),
            Kind::Line(line, flaw) => write!(f, "{path}:{line}: the line {flaw}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::Read(error) => Some(error),
            Kind::TooLarge | Kind::Line(..) => None,
        }
    }
}

/// The users of a file, and what `take` makes of their names and secrets.
///
/// # Errors
///
/// The file cannot be read, or a line of it is wrong.
pub fn load<T>(
    path: &Path,
    take: impl Fn(&str, &str) -> Result<T, Flaw>,
) -> Result<HashMap<Arc<str>, T>, Error> {
    let text = read(path)?;
    parse(path, &text, take)
}

/// The bytes of a file.
///
/// # Errors
///
/// It cannot be read, or is too large.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let error = |kind| Error {
        path: path.to_owned(),
        kind,
    };
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut text))
        .map_err(|it| error(Kind::Read(it)))?;
    match text.len() as u64 > LARGEST {
        true => Err(error(Kind::TooLarge)),
        false => Ok(text),
    }
}

/// The users of a text that is, or is to be, in the file `path`.
///
/// # Errors
///
/// A line is wrong.
pub fn parse<T>(
    path: &Path,
    text: &[u8],
    take: impl Fn(&str, &str) -> Result<T, Flaw>,
) -> Result<HashMap<Arc<str>, T>, Error> {
    let mut users = HashMap::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let parsed = match entry(line) {
            Ok(None) => continue,
            Ok(Some((name, _))) if users.contains_key(name) => Err(Flaw::Twice),
            Ok(Some((name, text))) => check_name(name)
                .and_then(|()| take(name, text))
                .map(|secret| (Arc::from(name), secret)),
            Err(flaw) => Err(flaw),
        };
        let (name, secret) = parsed.map_err(|flaw| Error {
            path: path.to_owned(),
            kind: Kind::Line(index + 1, flaw),
        })?;
        users.insert(name, secret);
    }
    Ok(users)
}

/// The name and the secret of a line, unless it is empty or a comment.
fn entry(line: &[u8]) -> Result<Option<(&str, &str)>, Flaw> {
    if line.starts_with(b"#") || line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let line = std::str::from_utf8(line).map_err(|_| Flaw::NotUtf8)?;
    let (name, secret) = line.split_once(':').ok_or(Flaw::NoColon)?;
    Ok(Some((name.trim_ascii(), secret.trim_ascii())))
}

/// Whether a name can stand in such a file and come back as it was.
///
/// # Errors
///
/// It cannot; the flaw says what was expected.
pub fn check_name(name: &str) -> Result<(), Flaw> {
    let expected = match name {
        "" => "one that is not empty",
        _ if name.len() > NAME_BYTES => "at most 65,535 bytes",
        _ if name.starts_with('#') => "one that does not begin with #",
        _ if name.contains(':') => "one without a colon",
        _ if name.contains(char::is_control) => "one without control characters",
        _ if name.trim_ascii() != name => "one without blanks around it",
        _ => return Ok(()),
    };
    Err(Flaw::Name(expected))
}

/// The text with a user's secret set, in the place where the user is already or at the end; every other line is
/// as it was.
pub fn with(text: &[u8], name: &str, secret: &str) -> Vec<u8> {
    let mut new = Vec::with_capacity(text.len() + name.len() + secret.len() + 2);
    let line = format!("{name}:{secret}\n");
    let mut written = false;
    for old in text.split_inclusive(|byte| *byte == b'\n') {
        if !is_of(old, name) {
            new.extend_from_slice(old);
        } else if !written {
            new.extend_from_slice(line.as_bytes());
            written = true;
        }
    }
    if !written {
        if new.last().is_some_and(|byte| *byte != b'\n') {
            new.push(b'\n');
        }
        new.extend_from_slice(line.as_bytes());
    }
    new
}

/// The text without a user, if it is there.
pub fn without(text: &[u8], name: &str) -> Option<Vec<u8>> {
    let lines = || text.split_inclusive(|byte| *byte == b'\n');
    lines().any(|line| is_of(line, name)).then(|| {
        let others = lines().filter(|line| !is_of(line, name));
        others.flatten().copied().collect()
    })
}

fn is_of(line: &[u8], name: &str) -> bool {
    matches!(entry(line), Ok(Some((found, _))) if found == name)
}

/// What most of `all` have in common.
pub fn usual<T: PartialEq + Eq + std::hash::Hash>(all: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: HashMap<T, usize> = HashMap::new();
    for it in all {
        *counts.entry(it).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(it, _)| it)
}

#[cfg(test)]
mod tests;
