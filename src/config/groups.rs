//! `[[groups]]`: what is said of single groups.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use crate::pubsub::options::{
    GroupOptions, NamedGroup, Options as PubsubOptions, OrderingKey, Strategy,
};
use crate::queue::options::{Options as QueueOptions, Overflow};
use crate::topic::filter;

use super::assignments::{Assignments, Slot};
use super::error::Problem;
use super::keys::{ANY, Array, DAY, Key, STRATEGIES, TENTH, restart};

/// What is known of one group before its parts are put together.
#[derive(Clone, Debug, Default)]
pub struct GroupSettings {
    /// Its ShareName.
    share: Option<Box<str>>,
    /// Its Topic Filter.
    filter: Option<Box<str>>,
    declared: bool,
    strategy: Option<Strategy>,
    messages: Option<usize>,
    bytes: Option<usize>,
    overflow: Option<GroupOverflow>,
    /// Zero is none.
    acknowledgement_timeout: Duration,
    /// Zero is none.
    delivery_limit: u16,
    dead_letter: Option<Box<str>>,
    level: Option<usize>,
    user_property: String,
}

/// What gives way when a group is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GroupOverflow {
    /// A message in the queue, or the one that comes.
    Drop(Overflow),
    /// The publisher.
    Refuse,
}

const OVERFLOWS: &[(&str, GroupOverflow)] = &[
    ("drop-newest", GroupOverflow::Drop(Overflow::DropNewest)),
    ("drop-oldest", GroupOverflow::Drop(Overflow::DropOldest)),
    ("refuse", GroupOverflow::Refuse),
];

/// The settings of each `[[groups]]`.
pub const GROUP_KEYS: &[Key<GroupSettings>] = &[
    restart("share", |v, to| v.share_name(&mut to.share)),
    restart("filter", |v, to| v.topic_filter(&mut to.filter)),
    restart("declared", |v, to| v.boolean(&mut to.declared)),
    restart("strategy", |v, to| v.choice(STRATEGIES, &mut to.strategy)),
    restart("messages_maximum", |v, to| {
        v.number(1..=ANY, to.messages.insert(0))
    }),
    restart("bytes_maximum", |v, to| v.size(1..=ANY, to.bytes.insert(0))),
    restart("overflow", |v, to| v.choice(OVERFLOWS, &mut to.overflow)),
    restart("acknowledgement_timeout", |v, to| {
        v.duration_or_zero(TENTH..=DAY, &mut to.acknowledgement_timeout)
    }),
    restart("delivery_limit", |v, to| {
        v.number(0..=65_535, &mut to.delivery_limit)
    }),
    restart("dead_letter", |v, to| v.topic_name(&mut to.dead_letter)),
    restart("ordering_key.level", |v, to| {
        v.number(1..=65_536, to.level.insert(0))
    }),
    restart("ordering_key.user_property", |v, to| {
        v.text(1024, &mut to.user_property)
    }),
];

/// Puts the parts of all groups together. Returns what is wrong with them beyond what was reported
/// already.
pub fn settle(
    written: &Assignments,
    groups: Vec<GroupSettings>,
    options: &mut PubsubOptions,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, parts) in groups.into_iter().enumerate() {
        match one(written, index, parts, options) {
            Ok(group) => options.groups.extend(group),
            Err(problem) => problems.push(problem),
        }
    }
    problems
}

/// One group. `Ok(None)` if a part is missing because it was wrong, which has been reported.
fn one(
    written: &Assignments,
    index: usize,
    parts: GroupSettings,
    options: &PubsubOptions,
) -> Result<Option<NamedGroup>, Problem> {
    let begins = &written.tables(Array::Groups)[index];
    let slot = |path| Slot::of(Array::Groups, index, path);
    let wrong = |path: &'static str, text: String| {
        let place = written.place(slot(path)).unwrap_or(begins);
        Problem::new(place.clone(), text)
    };
    for (path, expected) in [
        ("share", "a ShareName such as share = \"crew\""),
        ("filter", "a Topic Filter such as filter = \"jobs/#\""),
    ] {
        if written.place(slot(path)).is_none() {
            let text = format!("groups.{index} has no {path}; expected {expected}");
            return Err(wrong(path, text));
        }
    }
    let (Some(share), Some(filter)) = (parts.share.clone(), parts.filter.clone()) else {
        return Ok(None);
    };
    if options.named(&share, &filter).is_some() {
        let text = format!("groups.{index} is there already; expected each group once");
        return Err(wrong("share", text));
    }
    let level = "ordering_key.level";
    if parts.level.is_some() && !parts.user_property.is_empty() {
        let other = slot("ordering_key.user_property");
        let text = format!(
            "{} is given, and {other} too; expected one of them",
            slot(level)
        );
        return Err(wrong(level, text));
    }
    if let Some(topic) = &parts.dead_letter {
        let given = slot("dead_letter");
        let expected = match parts.delivery_limit {
            0 => Some("a delivery_limit, without which nothing is given up"),
            _ if filter::matches(&filter, topic) => Some("a topic that the group does not get"),
            _ => None,
        };
        if let Some(expected) = expected {
            let text = format!("{given} is {topic:?}; expected {expected}");
            return Err(wrong("dead_letter", text));
        }
    }
    Ok(Some(NamedGroup {
        declared: parts.declared,
        options: Arc::new(put_together(parts, options)),
        share,
        filter,
    }))
}

/// What is not said of a group is as with all.
fn put_together(parts: GroupSettings, all: &PubsubOptions) -> GroupOptions {
    let queue = all.group_queue;
    let overflow = match parts.overflow {
        None | Some(GroupOverflow::Refuse) => queue.overflow,
        Some(GroupOverflow::Drop(overflow)) => overflow,
    };
    let timeout = parts.acknowledgement_timeout;
    let property = Some(parts.user_property).filter(|it| !it.is_empty());
    let property = property.map(|it| OrderingKey::UserProperty(it.into()));
    GroupOptions {
        strategy: parts.strategy.unwrap_or(all.strategy),
        queue: QueueOptions {
            messages: parts.messages.unwrap_or(queue.messages),
            bytes: parts.bytes.unwrap_or(queue.bytes),
            overflow,
        },
        refuses: parts.overflow == Some(GroupOverflow::Refuse),
        acknowledgement_timeout: Some(timeout).filter(|it| !it.is_zero()),
        delivery_limit: NonZeroU16::new(parts.delivery_limit),
        dead_letter: parts.dead_letter,
        ordering: parts.level.map(OrderingKey::Level).or(property),
    }
}
