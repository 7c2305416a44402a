//! Mosquitto's file of permissions, with mosquitto's meaning.
//!
//! ```text
//!   topic read public/#               until the first user: of who has proved no user name
//!   user anna
//!   topic readwrite home/#            of anna alone
//!   topic deny home/cellar
//!   pattern write devices/%c/data     of everybody, wherever it stands
//! ```
//!
//! A topic is held against what is a client's own, where a `deny` goes before what is granted, and then
//! against the patterns, in the same way. What nobody speaks of is not granted. Nothing of `topic` is for
//! everybody: who has a user name has only the lines of that user.
//!
//! Every subscription is granted, as it is by mosquitto, for a filter may ask for more than is meant to be read.
//! Instead each delivery is asked about.
//!
//! In two things this is stricter than mosquitto 2.0. A pattern grants nothing to a client whose value for it
//! has a `/`, or begins with the `$` of a topic: mosquitto is so careful only with `+` and `#`. And a user name
//! counts only if it is proved.

use std::collections::HashMap;
use std::path::Path;

use crate::auth::{Access, AskAgain, Rules, Ruling, Who};
use crate::topic::filter;

use super::error::{Error, What};
use super::pattern::Pattern;
use super::text;

/// What lines end with and topics are trimmed of: what C takes for space.
const SPACE: [char; 6] = [' ', '\t', '\n', '\r', '\x0b', '\x0c'];

/// The rules of such a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct MosquittoFile {
    /// Of who has proved no user name.
    nobody: Grants,
    users: HashMap<Box<str>, Grants>,
    /// Of everybody.
    patterns: Grants,
}

/// What lines grant and deny, in one place.
#[derive(Debug, Default, PartialEq, Eq)]
struct Grants {
    denied: Vec<Pattern>,
    granted: Vec<(Pattern, Allows)>,
}

/// What a line allows to be done with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allows {
    Read,
    Write,
    Both,
}

/// What is wanted of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Read,
    Write,
}

impl MosquittoFile {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or mosquitto would not take it either: the first line that is wrong.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = text::read(path)?;
        Self::parse(&bytes).map_err(|(line, what)| Error {
            file: path.to_owned(),
            line: Some(line),
            what,
        })
    }

    fn parse(bytes: &[u8]) -> Result<Self, (usize, What)> {
        let mut rules = Self::default();
        // Whose the next topics are.
        let mut user = None;
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let outcome = match str::from_utf8(line) {
                Ok(line) => rules.line(line, &mut user),
                Err(_) => Err(What::NotText),
            };
            outcome.map_err(|what| (index + 1, what))?;
        }
        Ok(rules)
    }

    fn line(&mut self, line: &str, user: &mut Option<Box<str>>) -> Result<(), What> {
        let line = line.trim_end_matches(SPACE);
        if line.starts_with('#') {
            return Ok(());
        }
        let line = line.trim_start_matches(' ');
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let grants = match word {
            "" => return Ok(()),
            "user" if rest.is_empty() => return Err(What::NoUser),
            "user" => {
                *user = Some(rest.trim_matches(SPACE).into());
                return Ok(());
            }
            "topic" => match user {
                Some(user) => self.users.entry(user.clone()).or_default(),
                None => &mut self.nobody,
            },
            "pattern" => &mut self.patterns,
            other => return Err(What::Word(other.to_owned())),
        };
        let rest = rest.trim_start_matches(' ');
        let (allows, topic) = match rest.split_once(' ') {
            None => (Some(Allows::Both), rest),
            Some((access, topic)) => (allows(access)?, topic.trim_matches(SPACE)),
        };
        if topic.is_empty() {
            return Err(What::NoTopic);
        }
        filter::check_bare(topic).map_err(|error| What::Filter(topic.to_owned(), error))?;
        let pattern = match word {
            "pattern" => Pattern::new(topic),
            _ => Pattern::verbatim(topic),
        };
        match allows {
            Some(allows) => grants.granted.push((pattern, allows)),
            None => grants.denied.push(pattern),
        }
        Ok(())
    }

    fn judge(&self, who: &Who<'_>, topic: &str, wants: Wants) -> Ruling {
        // Mosquitto keeps these for itself, whatever the file says.
        if topic.starts_with("$share") || (wants == Wants::Write && topic.starts_with("$SYS")) {
            return Ruling::Deny;
        }
        let user = who.identity.user.as_deref();
        let own = match user {
            Some(user) => self.users.get(user),
            None => Some(&self.nobody),
        };
        let ruling = own.map_or(Ruling::Silent, |own| own.judge(who, topic, wants));
        if ruling != Ruling::Silent || self.patterns.is_empty() {
            return ruling;
        }
        let has_wildcard = user.is_some_and(filter::has_wildcard);
        if has_wildcard || filter::has_wildcard(who.client_id) {
            return Ruling::Deny;
        }
        self.patterns.judge(who, topic, wants)
    }
}

impl Rules for MosquittoFile {
    fn ruling(&self, who: &Who<'_>, access: Access<'_>, _: &mut dyn FnMut() -> AskAgain) -> Ruling {
        match access {
            Access::Subscribe { .. } => Ruling::Allow,
            Access::Publish { topic, .. } => self.judge(who, topic, Wants::Write),
            Access::Receive { topic } => self.judge(who, topic, Wants::Read),
        }
    }

    fn watches_deliveries(&self, _: &Who<'_>) -> bool {
        true
    }
}

impl Grants {
    fn is_empty(&self) -> bool {
        self.denied.is_empty() && self.granted.is_empty()
    }

    fn judge(&self, who: &Who<'_>, topic: &str, wants: Wants) -> Ruling {
        let is_meant = |filter: &str| filter::matches(filter, topic);
        let mut denied = self.denied.iter().filter_map(|it| it.to_deny(who));
        if denied.any(|filter| is_meant(&filter)) {
            return Ruling::Deny;
        }
        let granted = self.granted.iter().filter(|(_, allows)| allows.is(wants));
        let mut granted = granted.filter_map(|(it, _)| it.to_grant(who));
        match granted.any(|filter| is_meant(&filter)) {
            true => Ruling::Allow,
            false => Ruling::Silent,
        }
    }
}

impl Allows {
    fn is(self, wants: Wants) -> bool {
        match self {
            Self::Both => true,
            Self::Read => wants == Wants::Read,
            Self::Write => wants == Wants::Write,
        }
    }
}

/// What the word in front of a topic allows, if it allows anything.
fn allows(word: &str) -> Result<Option<Allows>, What> {
    match word {
        "read" => Ok(Some(Allows::Read)),
        "write" => Ok(Some(Allows::Write)),
        "readwrite" => Ok(Some(Allows::Both)),
        "deny" => Ok(None),
        other => Err(What::Access(other.to_owned())),
    }
}

#[cfg(test)]
mod tests;
