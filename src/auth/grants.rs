//! What a proof itself says about what its client may do: the `acl` of a token, or of a service's answer.
//!
//! Two forms are read, as EMQX has them. A list is asked entry by entry, and the first that fits decides;
//! where none fits, other rules are asked:
//!
//! ```text
//!   [ {"permission": "allow", "action": "publish", "topic": "site/${clientid}/#", "qos": [0, 1]},
//!     {"permission": "deny", "action": "all", "topics": ["eq secret/#"], "retain": true} ]
//! ```
//!
//! The older form only allows, and what it does not allow is denied:
//!
//! ```text
//!   {"pub": ["site/%c/#"], "sub": ["site/%u"], "all": ["chat/+"]}
//! ```
//!
//! Both are strict: a subscription is allowed if all that it could bring is, and denied if any of it is
//! denied. `eq` stands for the very filter behind it. A placeholder is never filled with what would make
//! another filter of it (`/`, `+`, `#`, nothing at all, or a `$` in front): an entry that allows does not fit
//! then, and one that denies fits whatever the placeholder could stand for.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::topic::filter;

use super::{Access, AskAgain, Rules, Ruling, Who};

/// What somebody is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    entries: Vec<Entry>,
    /// What is said of all that no entry fits.
    otherwise: Ruling,
}

/// Somebody who may do everything.
#[derive(Clone, Copy, Debug)]
pub struct Everything;

impl Rules for Everything {
    fn ruling(&self, _: &Who<'_>, _: Access<'_>, _: &mut dyn FnMut() -> AskAgain) -> Ruling {
        Ruling::Allow
    }
}

/// A value that says nothing about permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unclear;

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the permissions are not of a form that is known")
    }
}

impl std::error::Error for Unclear {}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    allows: bool,
    publish: bool,
    subscribe: bool,
    topics: Vec<Pattern>,
    /// Which QoS it is about, by number.
    qos: [bool; 3],
    /// Whether it is about messages to be retained, or about all others.
    retain: Option<bool>,
}

/// A Topic Filter, perhaps with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    text: Box<str>,
    /// Whether it stands for this very filter, and not for what that matches.
    literal: bool,
    placeholders: bool,
}

/// How placeholders are written, and whether it is the Client Identifier that they stand for.
const PLACEHOLDERS: [(&str, bool); 4] = [
    ("${clientid}", true),
    ("${username}", false),
    ("%c", true),
    ("%u", false),
];

impl Grants {
    /// What a claim or an answer says.
    ///
    /// # Errors
    ///
    /// It has neither of the forms, or says something that is not known: who cannot tell what an entry is
    /// about cannot tell what it does not allow.
    pub fn read(value: &Value) -> Result<Self, Unclear> {
        match value {
            Value::Array(entries) => Ok(Self {
                entries: entries.iter().map(entry).collect::<Result<_, _>>()?,
                otherwise: Ruling::Silent,
            }),
            Value::Object(_) => {
                let older = Older::deserialize(value).map_err(|_| Unclear)?;
                let lists = [
                    (older.publish, true, false),
                    (older.subscribe, false, true),
                    (older.all, true, true),
                ];
                let entry = |(topics, publish, subscribe): (Vec<String>, bool, bool)| {
                    let topics = topics.iter().map(|it| Pattern::read(it, &PLACEHOLDERS));
                    Ok(Entry {
                        allows: true,
                        publish,
                        subscribe,
                        topics: topics.collect::<Result<_, _>>()?,
                        qos: [true; 3],
                        retain: None,
                    })
                };
                Ok(Self {
                    entries: lists.into_iter().map(entry).collect::<Result<_, _>>()?,
                    otherwise: Ruling::Deny,
                })
            }
            _ => Err(Unclear),
        }
    }
}

/// The older form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Older {
    #[serde(default, rename = "pub")]
    publish: Vec<String>,
    #[serde(default, rename = "sub")]
    subscribe: Vec<String>,
    #[serde(default)]
    all: Vec<String>,
}

/// An entry of a list as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    permission: String,
    #[serde(default = "all")]
    action: Value,
    topic: Option<String>,
    topics: Option<Vec<String>>,
    #[serde(default)]
    qos: Option<Value>,
    #[serde(default)]
    retain: Option<Value>,
}

fn all() -> Value {
    "all".into()
}

fn entry(value: &Value) -> Result<Entry, Unclear> {
    // A list of its values would do as well.
    let object = Some(value)
        .filter(|value| value.is_object())
        .ok_or(Unclear)?;
    let written = Written::deserialize(object).map_err(|_| Unclear)?;
    let allows = match &*written.permission {
        "allow" => true,
        "deny" => false,
        _ => return Err(Unclear),
    };
    let (publish, subscribe) = match written.action.as_str() {
        Some("publish" | "pub") => (true, false),
        Some("subscribe" | "sub") => (false, true),
        Some("all" | "pubsub") => (true, true),
        _ => return Err(Unclear),
    };
    let topics = match (written.topic, written.topics) {
        (Some(topic), None) => vec![topic],
        (None, Some(topics)) => topics,
        _ => return Err(Unclear),
    };
    // A `%` is only a `%` in this form.
    let known = &PLACEHOLDERS[..2];
    let topics = topics.iter().map(|topic| Pattern::read(topic, known));
    Ok(Entry {
        allows,
        publish,
        subscribe,
        topics: topics.collect::<Result<_, _>>()?,
        qos: written.qos.as_ref().map_or(Ok([true; 3]), qos)?,
        retain: written.retain.as_ref().map_or(Ok(None), retain)?,
    })
}

/// One QoS or several, as numbers or as text.
fn qos(value: &Value) -> Result<[bool; 3], Unclear> {
    let one = |value: &Value| match value {
        Value::Number(number) => number.as_u64().filter(|it| *it < 3),
        Value::String(text) => ["0", "1", "2"]
            .iter()
            .position(|it| it == text)
            .map(|it| it as u64),
        _ => None,
    };
    let several = match value {
        Value::Array(several) => several.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut known = [false; 3];
    for value in several {
        known[one(value).ok_or(Unclear)? as usize] = true;
    }
    Ok(known)
}

fn retain(value: &Value) -> Result<Option<bool>, Unclear> {
    match value {
        Value::Bool(retain) => Ok(Some(*retain)),
        Value::Number(number) => match number.as_u64() {
            Some(0) => Ok(Some(false)),
            Some(1) => Ok(Some(true)),
            _ => Err(Unclear),
        },
        Value::String(text) => match &**text {
            "all" => Ok(None),
            "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            _ => Err(Unclear),
        },
        _ => Err(Unclear),
    }
}

impl Pattern {
    fn read(text: &str, placeholders: &[(&str, bool)]) -> Result<Self, Unclear> {
        let literal = text.strip_prefix("eq ");
        let text = literal.unwrap_or(text);
        let has = |it: &(&str, bool)| text.contains(it.0);
        let pattern = Self {
            text: text.into(),
            literal: literal.is_some() && filter::has_wildcard(text),
            placeholders: placeholders.iter().any(has),
        };
        // A placeholder is no wildcard, so this judges the filter that will be there. `$share` is not part
        // of what is asked about.
        let parsed = filter::parse(text).map_err(|_| Unclear)?;
        match parsed.share {
            Some(_) => Err(Unclear),
            None => Ok(pattern),
        }
    }

    /// The filter that it is for somebody; for a pattern that cannot be filled, all that it could be.
    fn filled(&self, who: &Who<'_>) -> Filled<'_> {
        if !self.placeholders {
            return Filled::Exactly(Cow::Borrowed(&self.text));
        }
        let mut text = String::with_capacity(self.text.len() + 32);
        let mut rest = &*self.text;
        while let Some((at, placeholder, of_client)) = first_placeholder(rest) {
            text.push_str(&rest[..at]);
            rest = &rest[at + placeholder.len()..];
            let value = match of_client {
                true => Some(who.client_id),
                false => who.identity.user.as_deref(),
            };
            match value.filter(|value| fills(value, text.is_empty())) {
                Some(value) => text.push_str(value),
                None => {
                    let level = text.rfind('/').map_or(0, |slash| slash + 1);
                    text.truncate(level);
                    text.push('#');
                    return Filled::Within(text);
                }
            }
        }
        text.push_str(rest);
        Filled::Exactly(Cow::Owned(text))
    }
}

enum Filled<'a> {
    Exactly(Cow<'a, str>),
    /// It cannot be told; it would be within this.
    Within(String),
}

/// The first placeholder in a text: where it is, what it is, and whether it is the Client Identifier.
fn first_placeholder(text: &str) -> Option<(usize, &'static str, bool)> {
    let found = PLACEHOLDERS
        .iter()
        .filter_map(|(it, of_client)| Some((text.find(it)?, *it, *of_client)));
    found.min_by_key(|(at, ..)| *at)
}

/// Whether a value may stand in a filter, or at its beginning.
fn fills(value: &str, first: bool) -> bool {
    let dollar = first && value.starts_with('$');
    !value.is_empty() && !dollar && !value.contains(['/', '+', '#', '\0'])
}

/// What an entry is held against.
enum Asked<'a> {
    /// A Topic Name that is published to.
    Name(&'a str),
    /// A Topic Filter, and all that it matches.
    Filter(&'a str),
    /// The Topic Name of a message that a subscription brings.
    Message(&'a str),
}

impl Entry {
    fn fits(&self, who: &Who<'_>, access: Access<'_>) -> bool {
        let asked = match access {
            Access::Publish { topic, qos, retain } => {
                let about = self.publish && self.qos[qos as usize];
                if !about || self.retain.is_some_and(|it| it != retain) {
                    return false;
                }
                Asked::Name(topic)
            }
            Access::Subscribe { filter, qos, .. } => {
                if !self.subscribe || !self.qos[qos as usize] {
                    return false;
                }
                Asked::Filter(filter)
            }
            // With which QoS the subscription was asked for is not known any more: an entry that denies
            // some has denied the subscription.
            Access::Receive { topic } => {
                if !self.subscribe || (!self.allows && self.qos != [true; 3]) {
                    return false;
                }
                Asked::Message(topic)
            }
        };
        let topics = self.topics.iter();
        let mut fits = topics.map(|pattern| self.fits_pattern(pattern, who, &asked));
        fits.any(|fits| fits)
    }

    fn fits_pattern(&self, pattern: &Pattern, who: &Who<'_>, asked: &Asked<'_>) -> bool {
        let (own, literal) = match pattern.filled(who) {
            Filled::Exactly(own) => (own, pattern.literal),
            Filled::Within(_) if self.allows => return false,
            // Topics that begin with `$` too.
            Filled::Within(own) if own == "#" => return true,
            Filled::Within(own) => (Cow::Owned(own), false),
        };
        match asked {
            Asked::Filter(filter) if literal => own == *filter,
            // A name is no filter with a wildcard.
            Asked::Name(_) if literal => false,
            Asked::Message(_) if literal && !self.allows => false,
            Asked::Name(name) | Asked::Message(name) => filter::matches(&own, name),
            Asked::Filter(filter) if self.allows => filter::covers(&own, filter),
            Asked::Filter(filter) => filter::overlaps(&own, filter),
        }
    }
}

impl Rules for Grants {
    fn ruling(&self, who: &Who<'_>, access: Access<'_>, _: &mut dyn FnMut() -> AskAgain) -> Ruling {
        match self.entries.iter().find(|entry| entry.fits(who, access)) {
            Some(entry) if entry.allows => Ruling::Allow,
            Some(_) => Ruling::Deny,
            None => self.otherwise,
        }
    }
}

#[cfg(test)]
mod tests;
