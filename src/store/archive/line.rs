//! The lines of an export.
//!
//! Each is a JSON object with a `kind`. Numbers name sessions, groups and messages, as they do in the
//! store; payloads and properties are base64. Times are milliseconds since the Unix epoch, intervals
//! seconds. What does not apply is left out.
//!
//! | kind | what | where |
//! |---|---|---|
//! | `header` | version of this format, the store's clock and next number | first |
//! | `message` | a message that somebody is to have, or that is to be published later | by number |
//! | `retained` | the same, and it is the retained message of its topic | among them |
//! | `session` | a session | by number |
//! | `will`, `subscription`, `held`, `in_flight`, `queued` | what is its own, each in its order | after it |
//! | `group` | a shared group | by number |
//! | `backlog` | a message that waits for a member of it | after it |
//! | `end` | how many lines there are before it | last |

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version of the format.
pub const FORMAT: u32 = 1;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// What follows, and of when.
    Header(Header),
    /// A message that somebody is to have.
    Message(Message),
    /// A message that is the retained one of its topic.
    Retained(Message),
    /// A session.
    Session(Session),
    /// The Will of a session that is due.
    Will(Will),
    /// A subscription of a session.
    Subscription(Subscription),
    /// A QoS 2 Packet Identifier of a message that the session has published.
    Held(Held),
    /// A delivery in flight, in the order of the first sending.
    InFlight(InFlight),
    /// A message that waits for a session.
    Queued(Queued),
    /// A shared group.
    Group(Group),
    /// A message that waits for a member of a group.
    Backlog(Backlog),
    /// That was all: a file without this line was cut.
    End(End),
}

/// See [`Line::Header`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of the format.
    pub format: u32,
    /// When the store last heard of anything.
    pub clock: u64,
    /// Larger than every number in use.
    pub next_number: u64,
}

/// See [`Line::Message`] and [`Line::Retained`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Its number.
    pub number: u64,
    /// The Topic Name.
    pub topic: String,
    /// The QoS it was published with.
    pub qos: u8,
    /// The RETAIN flag it was published with.
    pub retain: bool,
    /// When it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// When it is to be published: nobody has it before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<u64>,
    /// The publisher's Client Identifier, of a message that is retained, or to be published later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// The properties that are passed on, as in a PUBLISH.
    #[serde(default, skip_serializing_if = "Bytes::is_empty")]
    pub properties: Bytes,
    /// The payload.
    pub payload: Bytes,
}

/// See [`Line::Session`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Its number.
    pub number: u64,
    /// Its Client Identifier.
    pub client_id: String,
    /// The user whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The mount point that its topics are below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// Its Session Expiry Interval.
    pub expiry: u32,
    /// Since when it has been away.
    pub left: u64,
}

/// See [`Line::Will`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Will {
    /// The session.
    pub session: u64,
    /// Will Delay Interval.
    pub delay: u32,
    /// Message Expiry Interval, from when it is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<u32>,
    /// The Topic Name.
    pub topic: String,
    /// The QoS to publish with.
    pub qos: u8,
    /// The RETAIN flag to publish with.
    pub retain: bool,
    /// The properties that are passed on, as in a PUBLISH.
    #[serde(default, skip_serializing_if = "Bytes::is_empty")]
    pub properties: Bytes,
    /// The payload.
    pub payload: Bytes,
}

/// See [`Line::Subscription`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// The session.
    pub session: u64,
    /// The Topic Filter, ShareName included.
    pub filter: String,
    /// The QoS that was granted.
    pub qos: u8,
    /// No Local.
    pub no_local: bool,
    /// Retain As Published.
    pub retain_as_published: bool,
    /// Retain Handling, 0 to 2.
    pub retain_handling: u8,
    /// The Subscription Identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
}

/// See [`Line::Held`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// The session.
    pub session: u64,
    /// The id.
    pub id: u16,
}

/// See [`Line::InFlight`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InFlight {
    /// The session.
    pub session: u64,
    /// Its Packet Identifier.
    pub id: u16,
    /// The message; nothing once PUBREC had come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<u64>,
    /// The group it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u64>,
    /// The QoS of the delivery.
    pub qos: u8,
    /// The RETAIN flag of the delivery.
    pub retain: bool,
    /// Its Subscription Identifiers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscription_ids: Vec<u32>,
}

/// See [`Line::Queued`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queued {
    /// The session.
    pub session: u64,
    /// The message.
    pub message: u64,
    /// The QoS of the delivery.
    pub qos: u8,
    /// The RETAIN flag of the delivery.
    pub retain: bool,
    /// Its Subscription Identifiers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscription_ids: Vec<u32>,
}

/// See [`Line::Group`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its number.
    pub number: u64,
    /// Its ShareName.
    pub share: String,
    /// Its Topic Filter, without the ShareName.
    pub filter: String,
}

/// See [`Line::Backlog`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backlog {
    /// The group.
    pub group: u64,
    /// The message.
    pub message: u64,
    /// The QoS it has for the group.
    pub qos: u8,
    /// The RETAIN flag it has for the group.
    pub retain: bool,
}

/// See [`Line::End`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// How many lines there are before it.
    pub lines: u64,
}

/// Bytes, written as base64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = STANDARD.decode(&text);
        bytes
            .map(Self)
            .map_err(|error| D::Error::custom(format!("no base64: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Breaks if: a field of a line is renamed or left out, so that older exports cannot be read.
    #[test]
    fn lines_are_written_as_they_always_were() {
        let text = include_str!("golden-lines-1.jsonl");
        let mut kinds = std::collections::HashSet::new();
        for line in text.lines() {
            let parsed: Line = serde_json::from_str(line).expect("a line");
            assert_eq!(serde_json::to_string(&parsed).expect("a line"), line);
            kinds.insert(std::mem::discriminant(&parsed));
        }
        assert_eq!(kinds.len(), 12, "each kind is there");
    }

    // Breaks if: a misspelt field is passed over, or what is no base64 is taken.
    #[test]
    fn what_is_not_known_is_refused() {
        let refused = |line: &str| {
            let parsed: Result<Line, _> = serde_json::from_str(line);
            parsed.expect_err(line).to_string()
        };
        let error = refused(r#"{"kind":"held","session":1,"id":2,"extra":3}"#);
        assert!(error.contains("unknown field `extra`"), "{error}");
        let error = refused(r#"{"kind":"hold","session":1,"id":2}"#);
        assert!(error.contains("unknown variant `hold`"), "{error}");
        let error = refused(r#"{"kind":"held","session":1}"#);
        assert!(error.contains("missing field `id`"), "{error}");
        let error = refused(
            r#"{"kind":"message","number":1,"topic":"t","qos":1,"retain":false,"payload":"?"}"#,
        );
        assert!(error.contains("no base64"), "{error}");
    }
}
