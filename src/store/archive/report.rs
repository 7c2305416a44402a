//! What is told of a store that is not open.

use std::{error, fmt, io};

use serde::Serialize;

/// What is in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The version of its files.
    pub format: u32,
    /// When it last heard of anything, in milliseconds since the Unix epoch.
    pub clock: u64,
    /// Larger than every number in use.
    pub next_number: u64,
    /// Sessions.
    pub sessions: u64,
    /// Subscriptions of all sessions.
    pub subscriptions: u64,
    /// Messages that wait for sessions.
    pub queued: u64,
    /// Deliveries in flight.
    pub in_flight: u64,
    /// Shared groups.
    pub groups: u64,
    /// Messages that wait for members of groups.
    pub backlog: u64,
    /// Messages that are to be published later.
    pub delayed: u64,
    /// Retained messages.
    pub retained: u64,
    /// Messages, each counted once.
    pub messages: u64,
    /// Bytes of their topics, properties and payloads; only `verify` reads them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_bytes: Option<u64>,
    /// Entries of the log that were read.
    pub entries: u64,
    /// Its segments, in order.
    pub segments: Vec<Segment>,
    /// What is damaged or missing. Nothing, if the store is whole.
    pub damage: Vec<String>,
    /// What else is worth a word, and no harm.
    pub notes: Vec<String>,
}

/// A segment of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// Its number.
    pub number: u32,
    /// Bytes of records.
    pub used: u64,
    /// Bytes of its files.
    pub disk: u64,
}

/// A store cannot be read.
#[derive(Debug)]
pub enum Error {
    /// It cannot be opened for reading.
    Open(Box<dyn error::Error + Send + Sync>),
    /// What was asked for cannot be written.
    Output(io::Error),
}

/// What was taken into a new store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Messages, retained ones included.
    pub messages: u64,
    /// Retained messages.
    pub retained: u64,
    /// Sessions.
    pub sessions: u64,
    /// Subscriptions.
    pub subscriptions: u64,
    /// Deliveries in flight.
    pub in_flight: u64,
    /// Messages that wait for sessions.
    pub queued: u64,
    /// Shared groups.
    pub groups: u64,
    /// Messages that wait for members of groups.
    pub backlog: u64,
    /// Messages that are to be published later.
    pub delayed: u64,
}

/// A store was not made.
#[derive(Debug)]
pub enum ImportError {
    /// There is something in the folder already.
    NotEmpty,
    /// A line is not right.
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The lines cannot be read.
    Input(io::Error),
    /// The store cannot be written.
    Store(Box<dyn error::Error + Send + Sync>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Output(_) => f.write_str("the output cannot be written"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Open(error) => error.source(),
            Self::Output(error) => Some(error),
        }
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEmpty => {
                f.write_str("there is something in it already; expected an empty folder")
            }
            Self::Line { line, what } => write!(f, "line {line}: {what}"),
            Self::Input(_) => f.write_str("the lines cannot be read"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl error::Error for ImportError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::NotEmpty | Self::Line { .. } => None,
            Self::Input(error) => Some(error),
            Self::Store(error) => error.source(),
        }
    }
}
