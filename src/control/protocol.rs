//! What is asked and answered, in lines of JSON.
//!
//! ```text
//!   {"verb":"kick","client_id":"c1"}              {"answer":"done"}
//!   {"verb":"sessions","after":"c1","limit":2}    {"answer":"sessions","items":[…],"more":true}
//!   {"verb":"session","client_id":"c9"}           {"answer":"error","message":"there is no session of \"c9\""}
//! ```
//!
//! Times are in seconds.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The longest request, in bytes: two strings of MQTT, each of their bytes escaped.
pub const REQUEST_MAXIMUM: usize = 1 << 20;
/// How many entries a page has at most.
pub const PAGE_MAXIMUM: u32 = 10_000;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Sessions by their Client Identifiers.
    Sessions {
        /// Only those after this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
        /// So many at most.
        limit: u32,
    },
    /// One session.
    Session {
        /// Its Client Identifier.
        client_id: String,
    },
    /// Closes the connection of a session.
    Kick {
        /// Its Client Identifier.
        client_id: String,
    },
    /// Ends a session.
    DeleteSession {
        /// Its Client Identifier.
        client_id: String,
    },
    /// Gives up what waits for a session.
    PurgeSession {
        /// Its Client Identifier.
        client_id: String,
    },
    /// Shared groups by their Topic Filters and ShareNames.
    Groups {
        /// Only those after this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<GroupName>,
        /// So many at most.
        limit: u32,
    },
    /// One group.
    Group {
        /// Its ShareName.
        share: String,
        /// Its Topic Filter.
        filter: String,
    },
    /// Gives up the backlog of a group.
    PurgeGroup {
        /// Its ShareName.
        share: String,
        /// Its Topic Filter.
        filter: String,
    },
    /// Who is banned.
    Bans,
    /// Lets an address in again.
    UnbanAddress {
        /// The address.
        address: IpAddr,
    },
    /// Lets a client in again.
    UnbanClient {
        /// Its Client Identifier.
        client_id: String,
    },
    /// Copies the store.
    Snapshot {
        /// The folder to make, by an absolute path.
        to: PathBuf,
    },
    /// Reads the configuration again.
    Reload,
}

/// Which group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupName {
    /// Its ShareName.
    pub share: String,
    /// Its Topic Filter, without the ShareName.
    pub filter: String,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// A page of sessions.
    Sessions {
        /// Those on it.
        items: Vec<Session>,
        /// Whether others follow.
        more: bool,
    },
    /// One session.
    Session(Box<SessionDetails>),
    /// A page of groups.
    Groups {
        /// Those on it.
        items: Vec<Group>,
        /// Whether others follow.
        more: bool,
    },
    /// One group.
    Group(GroupDetails),
    /// Who is banned.
    Bans {
        /// Addresses by their text, then clients by their Client Identifiers.
        items: Vec<Ban>,
        /// Whether there are others.
        more: bool,
    },
    /// It was done.
    Done,
    /// Messages were given up.
    Purged {
        /// How many.
        messages: u64,
    },
    /// The store was copied.
    Snapshot(Snapshot),
    /// The configuration was read again, and is in force.
    Reloaded(Reloaded),
    /// It was not done.
    Error {
        /// Why.
        message: String,
    },
}

/// A configuration that was read again: settings that are written otherwise than what was in force, each as
/// `session.receive_maximum: 256 -> 100`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Those that are in force now.
    pub changed: Vec<String>,
    /// Those that wait for a restart.
    pub restart: Vec<String>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its Client Identifier.
    pub client_id: String,
    /// Whether it has a connection.
    pub connected: bool,
    /// For how long it has had one, or none.
    pub since: u64,
    /// Its Session Expiry Interval; nothing if it never ends.
    pub expiry: Option<u32>,
    /// Its subscriptions.
    pub subscriptions: u64,
    /// Deliveries in flight.
    pub in_flight: u64,
    /// Messages that wait.
    pub queued: u64,
    /// Bytes of what waits, as far as they are known.
    pub queued_bytes: u64,
}

/// A session by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionDetails {
    /// What a list says of it.
    pub session: Session,
    /// The user whose it is.
    pub user: Option<String>,
    /// The mount point that its topics are below.
    pub mount: Option<String>,
    /// The protocol version of its connection, as in CONNECT: 3, 4 or 5.
    pub version: Option<u8>,
    /// Where its connection comes from.
    pub peer: Option<String>,
    /// Whether the store keeps it.
    pub kept: bool,
    /// When it ends if it has no connection until then.
    pub ends_in: Option<u64>,
    /// Its Will.
    pub will: Option<Will>,
    /// Its subscriptions, as many as fit an answer.
    pub subscriptions: Vec<Subscription>,
    /// QoS 2 Packet Identifiers of messages that its client has not released.
    pub held: u64,
}

/// A Will.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Will {
    /// The Topic Name.
    pub topic: String,
    /// The QoS to publish with.
    pub qos: u8,
    /// The RETAIN flag to publish with.
    pub retain: bool,
    /// Will Delay Interval.
    pub delay: u32,
    /// Bytes of the payload.
    pub payload_bytes: u64,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The Topic Filter, ShareName included.
    pub filter: String,
    /// The QoS that was granted.
    pub qos: u8,
    /// No Local.
    pub no_local: bool,
    /// Retain As Published.
    pub retain_as_published: bool,
    /// The Subscription Identifier.
    pub id: Option<u32>,
}

/// A shared group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its ShareName.
    pub share: String,
    /// Its Topic Filter, without the ShareName.
    pub filter: String,
    /// Its members.
    pub members: u64,
    /// Those that have a connection.
    pub connected: u64,
    /// Messages that wait for a member.
    pub backlog: u64,
    /// Bytes of them, as far as they are known.
    pub backlog_bytes: u64,
}

/// A shared group by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupDetails {
    /// What a list says of it.
    pub group: Group,
    /// Whether the store keeps its backlog.
    pub kept: bool,
    /// Its members, in the order in which they joined, as many as fit an answer.
    pub members: Vec<Member>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its Client Identifier.
    pub client_id: String,
    /// Whether it has a connection.
    pub connected: bool,
    /// The QoS that its subscription was granted.
    pub qos: u8,
    /// Deliveries in flight to it.
    pub in_flight: u64,
}

/// Somebody who is banned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// The address, or the first 256 bytes of the Client Identifier.
    pub name: String,
    /// The user of a client.
    pub user: Option<String>,
    /// Why: "failures" of an address, "flapping" of a client.
    pub reason: String,
    /// How many seconds it lasts still.
    pub left: u64,
    /// How often it was turned away.
    pub refused: u64,
}

/// A copy of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Files of records.
    pub files: u64,
    /// Bytes of them that count.
    pub bytes: u64,
    /// Of which so many were copied, and not linked.
    pub copied: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    // Breaks if: a request is written otherwise than programs send it, or a misspelt field is passed over.
    #[test]
    fn requests_are_plain_and_strict() {
        for text in [
            r#"{"verb":"sessions","after":"c","limit":9}"#,
            r#"{"verb":"session","client_id":"c"}"#,
            r#"{"verb":"kick","client_id":"c"}"#,
            r#"{"verb":"delete_session","client_id":"c"}"#,
            r#"{"verb":"purge_session","client_id":"c"}"#,
            r#"{"verb":"groups","after":{"share":"g","filter":"a"},"limit":9}"#,
            r#"{"verb":"group","share":"g","filter":"a"}"#,
            r#"{"verb":"purge_group","share":"g","filter":"a"}"#,
            r#"{"verb":"snapshot","to":"/copy"}"#,
            r#"{"verb":"bans"}"#,
            r#"{"verb":"unban_address","address":"192.0.2.7"}"#,
            r#"{"verb":"unban_client","client_id":"c"}"#,
        ] {
            let request: Request = serde_json::from_str(text).expect(text);
            assert_eq!(serde_json::to_string(&request).expect(text), text);
        }
        for text in [
            r#"{"verb":"sessions"}"#,
            r#"{"verb":"kick","client_id":"c","force":true}"#,
            r#"{"verb":"kill","client_id":"c"}"#,
            r#"{"client_id":"c"}"#,
            "[]",
            "",
        ] {
            serde_json::from_str::<Request>(text).expect_err(text);
        }
    }
}
