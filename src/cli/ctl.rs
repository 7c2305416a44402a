//! `postbud ctl`: asks a running broker, over its control socket.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};

use super::moment::Span;
use super::table::{Table, shown};
use crate::control::protocol::{
    Answer, Ban, Group, GroupDetails, GroupName, Reloaded, Request, Session, SessionDetails,
};
use crate::topic::filter;

/// How long a request may take to be taken.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer, in bytes.
const ANSWER_MAXIMUM: u64 = 256 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct Control {
    /// The broker's control socket; that of the configuration if it is left out
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Print the answer as one JSON object
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
enum Verb {
    /// List sessions by their Client Identifiers
    Sessions {
        /// Only those after this Client Identifier
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// So many at most
        #[arg(long, value_name = "COUNT", default_value_t = 1000)]
        limit: u32,
    },
    /// One session: show, delete, purge
    #[command(subcommand)]
    Session(SessionVerb),
    /// Close a client's connection with 0x98, Administrative action; its session stays
    Kick {
        /// The Client Identifier
        #[arg(value_name = "ID")]
        client_id: String,
    },
    /// List shared groups by their Topic Filters
    Groups {
        /// Only those after this group
        #[arg(long, value_name = "GROUP", value_parser = group_name)]
        after: Option<GroupName>,
        /// So many at most
        #[arg(long, value_name = "COUNT", default_value_t = 1000)]
        limit: u32,
    },
    /// One shared group: show, purge
    #[command(subcommand)]
    Group(GroupVerb),
    /// List the addresses and clients that are banned
    Bans,
    /// Let an address in again, or a client
    Unban {
        /// The address
        #[arg(value_name = "ADDRESS", required_unless_present = "client")]
        address: Option<IpAddr>,
        /// The Client Identifier
        #[arg(long, value_name = "ID", conflicts_with = "address")]
        client: Option<String>,
    },
    /// Copy the store, as it is now, into a folder that is empty or does not exist
    Snapshot {
        /// The folder
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Read the configuration and the files it names again, and put all in force, or nothing if anything
    /// is wrong
    Reload,
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
enum SessionVerb {
    /// Show what it holds
    Show {
        /// The Client Identifier
        #[arg(value_name = "ID")]
        client_id: String,
    },
    /// End it, with its connection if it has one; its Will is due
    Delete {
        /// The Client Identifier
        #[arg(value_name = "ID")]
        client_id: String,
    },
    /// Give up what waits for it; what is in flight goes on
    Purge {
        /// The Client Identifier
        #[arg(value_name = "ID")]
        client_id: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
enum GroupVerb {
    /// Show its members and its backlog
    Show {
        /// The group, as clients subscribe to it: $share/NAME/FILTER
        #[arg(value_name = "GROUP", value_parser = group_name)]
        group: GroupName,
    },
    /// Give its backlog up; what is in flight goes on
    Purge {
        /// The group, as clients subscribe to it: $share/NAME/FILTER
        #[arg(value_name = "GROUP", value_parser = group_name)]
        group: GroupName,
    },
}

/// A group as clients subscribe to it.
fn group_name(text: &str) -> Result<GroupName, String> {
    let expected = || "expected a group as clients subscribe to it: $share/NAME/FILTER".to_owned();
    let parsed = filter::parse(text).map_err(|_| expected())?;
    Ok(GroupName {
        share: parsed.share.ok_or_else(expected)?.to_owned(),
        filter: parsed.filter.to_owned(),
    })
}

impl Control {
    /// Asks over this socket, and prints the answer.
    pub(super) fn run(&self, socket: &Path) -> Result<(), Box<dyn Error>> {
        let request = self.verb.request()?;
        let line = ask(socket, &request)
            .map_err(|error| format!("{}: {}", socket.display(), in_words(&error)))?;
        let answer: Answer = serde_json::from_slice(&line)
            .map_err(|error| format!("{}: no answer of a broker: {error}", socket.display()))?;
        if let Answer::Error { message } = &answer {
            return Err(message.clone().into());
        }
        let text = match self.json {
            true => serde_json::to_string(&answer)? + "\n",
            false => text(&answer),
        };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }
}

impl Verb {
    fn request(&self) -> io::Result<Request> {
        Ok(match self.clone() {
            Self::Sessions { after, limit } => Request::Sessions { after, limit },
            Self::Session(SessionVerb::Show { client_id }) => Request::Session { client_id },
            Self::Session(SessionVerb::Delete { client_id }) => {
                Request::DeleteSession { client_id }
            }
            Self::Session(SessionVerb::Purge { client_id }) => Request::PurgeSession { client_id },
            Self::Kick { client_id } => Request::Kick { client_id },
            Self::Groups { after, limit } => Request::Groups { after, limit },
            Self::Group(GroupVerb::Show { group }) => {
                let GroupName { share, filter } = group;
                Request::Group { share, filter }
            }
            Self::Group(GroupVerb::Purge { group }) => {
                let GroupName { share, filter } = group;
                Request::PurgeGroup { share, filter }
            }
            Self::Bans => Request::Bans,
            Self::Unban { address, client } => match (address, client) {
                (Some(address), _) => Request::UnbanAddress { address },
                (None, client) => Request::UnbanClient {
                    client_id: client.unwrap_or_default(),
                },
            },
            // The broker may have been started elsewhere.
            Self::Snapshot { folder } => Request::Snapshot {
                to: std::path::absolute(folder)?,
            },
            Self::Reload => Request::Reload,
        })
    }
}

/// Sends a request and waits for the answer, for as long as that takes: a store may be large.
fn ask(socket: &Path, request: &Request) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream)
        .take(ANSWER_MAXIMUM)
        .read_until(b'\n', &mut answer)?;
    match answer.last() {
        Some(b'\n') => Ok(answer),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no control socket: is the broker running?".to_owned(),
        io::ErrorKind::ConnectionRefused => "no broker listens there any more".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "only the user who runs the broker may ask it".to_owned()
        }
        io::ErrorKind::UnexpectedEof => "the broker closed without an answer".to_owned(),
        _ => error.to_string(),
    }
}

/// An answer for people.
fn text(answer: &Answer) -> String {
    match answer {
        Answer::Sessions { items, more } => {
            let mut text = sessions(items);
            if let Some(last) = items.last().filter(|_| *more) {
                let _ = writeln!(text, "there are more: --after {}", shown(&last.client_id));
            }
            text
        }
        Answer::Session(it) => session(it),
        Answer::Groups { items, more } => {
            let mut text = groups(items);
            if let Some(last) = items.last().filter(|_| *more) {
                let _ = writeln!(text, "there are more: --after '{}'", whole_name(last));
            }
            text
        }
        Answer::Group(it) => group(it),
        Answer::Bans { items, more } => {
            let mut text = bans(items);
            text.push_str(if *more { "there are more\n" } else { "" });
            text
        }
        Answer::Done => "done\n".to_owned(),
        Answer::Purged { messages } => format!("{messages} messages were given up\n"),
        Answer::Snapshot(it) => format!(
            "{} files of records, {} bytes, of which {} were copied and the rest linked\n",
            it.files, it.bytes, it.copied
        ),
        Answer::Reloaded(it) => reloaded(it),
        Answer::Error { message } => format!("{message}\n"),
    }
}

fn reloaded(it: &Reloaded) -> String {
    let mut text = String::new();
    for change in &it.changed {
        let _ = writeln!(text, "{}", shown(change));
    }
    for change in &it.restart {
        let _ = writeln!(text, "{}  needs a restart", shown(change));
    }
    if text.is_empty() {
        text += "no setting is different; the files that they name were read again\n";
    }
    text
}

fn state(connected: bool) -> &'static str {
    if connected { "connected" } else { "away" }
}

fn expiry(expiry: Option<u32>) -> String {
    match expiry {
        None => "never".to_owned(),
        Some(0) => "at once".to_owned(),
        Some(seconds) => Span(seconds.into()).to_string(),
    }
}

fn sessions(items: &[Session]) -> String {
    let mut table = Table::new([
        "client",
        "state",
        "since",
        "expiry",
        "subscr.",
        "in flight",
        "queued",
        "bytes",
    ]);
    for it in items {
        table.row([
            shown(&it.client_id),
            state(it.connected).to_owned(),
            Span(it.since).to_string(),
            expiry(it.expiry),
            it.subscriptions.to_string(),
            it.in_flight.to_string(),
            it.queued.to_string(),
            it.queued_bytes.to_string(),
        ]);
    }
    table.to_string()
}

fn session(it: &SessionDetails) -> String {
    let of = &it.session;
    let mut text = String::new();
    let mut row = |name: &str, what: String| {
        let _ = writeln!(text, "{name:<15}{what}");
    };
    row("client", shown(&of.client_id));
    let nobody = || "nobody in particular".to_owned();
    row("user", it.user.as_deref().map_or_else(nobody, shown));
    if let Some(mount) = &it.mount {
        row("mount point", shown(mount));
    }
    let from = it
        .peer
        .as_ref()
        .map_or(String::new(), |it| format!(" from {it}"));
    let version = match it.version {
        Some(3) => " by MQTT 3.1",
        Some(4) => " by MQTT 3.1.1",
        Some(_) => " by MQTT 5.0",
        None => "",
    };
    row(
        "state",
        format!(
            "{} for {}{from}{version}",
            state(of.connected),
            Span(of.since)
        ),
    );
    let end = it
        .ends_in
        .map_or(String::new(), |it| format!(", ends in {}", Span(it)));
    row("expiry", format!("{}{end}", expiry(of.expiry)));
    row("stored", if it.kept { "yes" } else { "no" }.to_owned());
    row("in flight", of.in_flight.to_string());
    row(
        "queued",
        format!("{} messages, {} bytes", of.queued, of.queued_bytes),
    );
    row("QoS 2 ids held", it.held.to_string());
    match &it.will {
        None => row("will", "none".to_owned()),
        Some(will) => row(
            "will",
            format!(
                "{} at QoS {}{}, {} bytes, after {}",
                shown(&will.topic),
                will.qos,
                if will.retain { ", retained" } else { "" },
                will.payload_bytes,
                Span(will.delay.into())
            ),
        ),
    }
    row("subscriptions", of.subscriptions.to_string());
    for it in &it.subscriptions {
        let mut how = format!("QoS {}", it.qos);
        for (set, name) in [
            (it.no_local, ", no local"),
            (it.retain_as_published, ", retain as published"),
        ] {
            how.push_str(if set { name } else { "" });
        }
        let id = it.id.map_or(String::new(), |id| format!(", id {id}"));
        row("", format!("{} ({how}{id})", shown(&it.filter)));
    }
    left_out(&mut text, it.subscriptions.len(), of.subscriptions);
    text
}

/// What did not fit the answer.
fn left_out(text: &mut String, here: usize, all: u64) {
    let missing = all.saturating_sub(here as u64);
    if missing > 0 {
        let _ = writeln!(text, "{:<15}and {missing} more", "");
    }
}

fn bans(items: &[Ban]) -> String {
    let mut table = Table::new(["banned", "user", "why", "left", "refused"]);
    for it in items {
        table.row([
            shown(&it.name),
            it.user.as_ref().map_or(String::new(), |user| shown(user)),
            it.reason.clone(),
            Span(it.left).to_string(),
            it.refused.to_string(),
        ]);
    }
    table.to_string()
}

fn whole_name(it: &Group) -> String {
    shown(&format!("$share/{}/{}", it.share, it.filter))
}

fn groups(items: &[Group]) -> String {
    let mut table = Table::new(["group", "members", "connected", "backlog", "bytes"]);
    for it in items {
        table.row([
            whole_name(it),
            it.members.to_string(),
            it.connected.to_string(),
            it.backlog.to_string(),
            it.backlog_bytes.to_string(),
        ]);
    }
    table.to_string()
}

fn group(it: &GroupDetails) -> String {
    let of = &it.group;
    let mut text = String::new();
    let mut row = |name: &str, what: String| {
        let _ = writeln!(text, "{name:<15}{what}");
    };
    row("group", whole_name(of));
    row(
        "backlog",
        format!("{} messages, {} bytes", of.backlog, of.backlog_bytes),
    );
    row("stored", if it.kept { "yes" } else { "no" }.to_owned());
    row(
        "members",
        format!("{}, of which {} are connected", of.members, of.connected),
    );
    for it in &it.members {
        let (state, client) = (state(it.connected), shown(&it.client_id));
        row(
            "",
            format!(
                "{client} ({state}, QoS {}, {} in flight)",
                it.qos, it.in_flight
            ),
        );
    }
    left_out(&mut text, it.members.len(), of.members);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // Breaks if: a group is not named as clients subscribe to it.
    #[test]
    fn groups_are_named_as_clients_subscribe_to_them() {
        let name = group_name("$share/team/jobs/#").expect("a group");
        assert_eq!((&*name.share, &*name.filter), ("team", "jobs/#"));
        for text in ["jobs/#", "$share/team", "$share//a", "$share/a/#/b", ""] {
            let error = group_name(text).expect_err(text);
            assert!(error.contains("$share/NAME/FILTER"), "{error}");
        }
    }

    // Breaks if: what a client calls itself can move the cursor or forge a line of the table.
    #[test]
    fn names_cannot_forge_a_line() {
        let item = Session {
            client_id: "a\u{1b}[2J\nb".to_owned(),
            connected: true,
            since: 61,
            expiry: None,
            subscriptions: 1,
            in_flight: 2,
            queued: 3,
            queued_bytes: 4,
        };
        let text = text(&Answer::Sessions {
            items: vec![item],
            more: true,
        });
        assert_eq!(
            text,
            "client         state      since  expiry  subscr.  in flight  queued  bytes\n\
             a\\u{1b}[2J\\nb  connected  1m 1s  never   1        2          3       4\n\
             there are more: --after a\\u{1b}[2J\\nb\n"
        );
    }
}
