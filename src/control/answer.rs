//! From what is asked to what the broker does and says.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::broker::admin::{self, Kicked};
use crate::broker::{Batch, Broker, Now};

use super::protocol::{
    Answer, Ban, Group, GroupDetails, Member, PAGE_MAXIMUM, Reloaded, Request, Session,
    SessionDetails, Snapshot, Subscription, Will,
};

/// Bytes of names in one answer, about: a client may call itself what it likes, up to 64 KiB.
const NAMES_MAXIMUM: usize = 4 << 20;

/// What copies the store into a folder, and says what came of it.
pub type Snapshots = Arc<dyn Fn(&Path) -> Result<Snapshot, String> + Send + Sync>;

/// What reads the configuration again, and says what came of it.
pub type Reload = Arc<dyn Fn() -> Result<Reloaded, String> + Send + Sync>;

/// What is asked about.
#[derive(Clone)]
pub struct House {
    /// The broker.
    pub broker: Arc<Broker>,
    /// The time.
    pub now: fn() -> Now,
    /// Copies the store, if there is one to copy.
    pub snapshots: Option<Snapshots>,
    /// Reads the configuration again.
    pub reload: Reload,
}

impl fmt::Debug for House {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("House").finish_non_exhaustive()
    }
}

impl House {
    /// Answers one line. May take as long as a copy of the store.
    pub(super) fn answer(&self, line: &[u8]) -> Answer {
        match serde_json::from_slice::<Request>(line) {
            Ok(request) => {
                let answer = self.obey(&request);
                note(&request, &answer);
                answer
            }
            Err(error) => refuse(format!("the request is not understood: {error}")),
        }
    }

    fn obey(&self, request: &Request) -> Answer {
        let now = (self.now)();
        match request {
            Request::Sessions { after, limit } => self.sessions(after.as_deref(), *limit, now),
            Request::Session { client_id } => match self.broker.session(client_id, now) {
                Some(it) => Answer::Session(Box::new(details(it))),
                None => unknown_session(client_id),
            },
            Request::Kick { client_id } => match self.broker.kick(client_id) {
                Kicked::Done => Answer::Done,
                Kicked::Away => refuse(format!("{client_id:?} is not connected")),
                Kicked::Unknown => unknown_session(client_id),
            },
            Request::DeleteSession { client_id } => {
                match self.broker.delete_session(client_id, &mut Batch::new(now)) {
                    true => Answer::Done,
                    false => unknown_session(client_id),
                }
            }
            Request::PurgeSession { client_id } => {
                let purged = self.broker.purge_session(client_id, &mut Batch::new(now));
                purged.map_or_else(|| unknown_session(client_id), purged_messages)
            }
            Request::Groups { after, limit } => {
                let after = after.as_ref().map(|it| (&*it.filter, &*it.share));
                self.groups(after, *limit)
            }
            Request::Group { share, filter } => match self.broker.group_details(share, filter) {
                Some(it) => Answer::Group(group_details(it)),
                None => unknown_group(share, filter),
            },
            Request::PurgeGroup { share, filter } => {
                let batch = &mut Batch::new(now);
                let purged = self.broker.purge_group(share, filter, batch);
                purged.map_or_else(|| unknown_group(share, filter), purged_messages)
            }
            Request::Bans => self.bans(now),
            Request::UnbanAddress { address } => {
                match self.broker.defence().unban_address(*address) {
                    true => Answer::Done,
                    false => refuse(format!("{address} is not banned")),
                }
            }
            Request::UnbanClient { client_id } => {
                match self.broker.defence().unban_client(client_id) {
                    true => Answer::Done,
                    false => refuse(format!("{client_id:?} is not banned")),
                }
            }
            Request::Snapshot { to } => self.snapshot(to),
            Request::Reload => match (self.reload)() {
                Ok(reloaded) => Answer::Reloaded(reloaded),
                Err(why) => refuse(why),
            },
        }
    }

    fn sessions(&self, after: Option<&str>, limit: u32, now: Now) -> Answer {
        let page = self.broker.sessions(after, most(limit), now);
        let mut more = page.more;
        let mut items: Vec<_> = page.items.into_iter().map(session).collect();
        more |= cut(&mut items, |it| it.client_id.len());
        Answer::Sessions { items, more }
    }

    fn groups(&self, after: Option<(&str, &str)>, limit: u32) -> Answer {
        let page = self.broker.groups(after, most(limit));
        let mut more = page.more;
        let mut items: Vec<_> = page.items.into_iter().map(group).collect();
        more |= cut(&mut items, |it| it.share.len() + it.filter.len());
        Answer::Groups { items, more }
    }

    fn bans(&self, now: Now) -> Answer {
        let mut items = self.broker.defence().banned(now.instant);
        let mut more = items.len() > PAGE_MAXIMUM as usize;
        items.truncate(PAGE_MAXIMUM as usize);
        let banned = items.into_iter().map(|it| Ban {
            name: it.name.into(),
            user: it.user.map(String::from),
            reason: it.reason.label().to_owned(),
            left: it.left.as_secs(),
            refused: it.refused,
        });
        let mut items: Vec<_> = banned.collect();
        more |= cut(&mut items, |it| {
            it.name.len() + it.user.as_ref().map_or(0, String::len)
        });
        Answer::Bans { items, more }
    }

    fn snapshot(&self, to: &Path) -> Answer {
        if !to.is_absolute() {
            return refuse(format!("{} is no absolute path", to.display()));
        }
        match &self.snapshots {
            None => refuse("nothing is stored: durability is \"memory\"".to_owned()),
            Some(snapshots) => match snapshots(to) {
                Ok(snapshot) => Answer::Snapshot(snapshot),
                Err(why) => refuse(format!("{}: {why}", to.display())),
            },
        }
    }
}

/// What was done by hand is in the log; what was only looked at is not.
fn note(request: &Request, answer: &Answer) {
    match (request, answer) {
        (_, Answer::Error { .. }) => {}
        (Request::Kick { client_id }, _) => tracing::info!(client_id, "control: closed"),
        (Request::DeleteSession { client_id }, _) => {
            tracing::info!(client_id, "control: session deleted");
        }
        (Request::PurgeSession { client_id }, Answer::Purged { messages }) => {
            tracing::info!(client_id, messages, "control: queue purged");
        }
        (Request::PurgeGroup { share, filter }, Answer::Purged { messages }) => {
            tracing::info!(share, filter, messages, "control: backlog purged");
        }
        (Request::UnbanAddress { address }, _) => tracing::info!(%address, "control: unbanned"),
        (Request::UnbanClient { client_id }, _) => tracing::info!(client_id, "control: unbanned"),
        (Request::Snapshot { to }, _) => {
            tracing::info!(to = %to.display(), "control: snapshot taken");
        }
        _ => {}
    }
}

fn refuse(message: String) -> Answer {
    Answer::Error { message }
}

fn unknown_session(client_id: &str) -> Answer {
    refuse(format!("there is no session of {client_id:?}"))
}

fn unknown_group(share: &str, filter: &str) -> Answer {
    refuse(format!("there is no group $share/{share}/{filter}"))
}

fn purged_messages(count: usize) -> Answer {
    Answer::Purged {
        messages: count as u64,
    }
}

fn most(limit: u32) -> usize {
    limit.clamp(1, PAGE_MAXIMUM) as usize
}

/// Leaves out what would make an answer too long, but never the first; whether anything was.
fn cut<T>(items: &mut Vec<T>, bytes: impl Fn(&T) -> usize) -> bool {
    let mut sum = 0;
    let fitting = items.iter().take_while(|it| {
        sum += bytes(it);
        sum <= NAMES_MAXIMUM
    });
    let fitting = fitting.count().max(1);
    let more = items.len() > fitting;
    items.truncate(fitting);
    more
}

fn session(it: admin::SessionSummary) -> Session {
    Session {
        client_id: it.client_id.to_string(),
        connected: it.connected,
        since: it.since.as_secs(),
        expiry: it.expiry,
        subscriptions: it.subscriptions as u64,
        in_flight: it.in_flight as u64,
        queued: it.queued as u64,
        queued_bytes: it.queued_bytes as u64,
    }
}

fn details(it: admin::SessionDetails) -> SessionDetails {
    let subscriptions = it.subscriptions.into_iter();
    let mut subscriptions: Vec<_> = subscriptions
        .map(|(filter, subscribed)| Subscription {
            filter: filter.into(),
            qos: subscribed.options.qos as u8,
            no_local: subscribed.options.no_local,
            retain_as_published: subscribed.options.retain_as_published,
            id: subscribed.id,
        })
        .collect();
    cut(&mut subscriptions, |it| it.filter.len());
    SessionDetails {
        session: session(it.summary),
        user: it.user.map(|it| it.to_string()),
        mount: it.mount.map(|it| it.to_string()),
        version: it.version.map(|it| it as u8),
        peer: it.peer.map(|it| it.to_string()),
        kept: it.kept,
        ends_in: it.ends_in.map(|it| it.as_secs()),
        will: it.will.map(|it| Will {
            topic: it.topic.into(),
            qos: it.qos as u8,
            retain: it.retain,
            delay: it.delay,
            payload_bytes: it.payload as u64,
        }),
        subscriptions,
        held: it.held as u64,
    }
}

fn group(it: admin::GroupSummary) -> Group {
    Group {
        share: it.share.into(),
        filter: it.filter.into(),
        members: it.members as u64,
        connected: it.connected as u64,
        backlog: it.backlog as u64,
        backlog_bytes: it.backlog_bytes as u64,
    }
}

fn group_details(it: admin::GroupDetails) -> GroupDetails {
    let members = it.members.into_iter();
    let mut members: Vec<_> = members
        .map(|it| Member {
            client_id: it.client_id.to_string(),
            connected: it.connected,
            qos: it.qos as u8,
            in_flight: it.in_flight as u64,
        })
        .collect();
    cut(&mut members, |it| it.client_id.len());
    GroupDetails {
        group: group(it.summary),
        kept: it.kept,
        members,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Breaks if: a page of long names grows without a bound, or one that is too long is never shown.
    #[test]
    fn an_answer_has_a_bound() {
        let mut names = vec![64 << 10; 100];
        assert!(cut(&mut names, |it| *it));
        assert_eq!(names.len(), 64);
        let mut one = vec![NAMES_MAXIMUM + 1; 2];
        assert!(cut(&mut one, |it| *it));
        assert_eq!(one.len(), 1);
        assert!(!cut(&mut one, |it| *it));
        assert!(!cut(&mut Vec::<usize>::new(), |it| *it));
    }
}
