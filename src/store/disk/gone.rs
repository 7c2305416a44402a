//! Messages that cannot be read any more: who was to have them, and how they are given up.

use std::collections::{HashSet, VecDeque};

use super::format;
use super::messages::Slot;
use super::mirror::{Group, Mirror, PINNED};
use super::numbers::Numbered;
use super::report::Owner;
use crate::codec::QoS;
use crate::store::record::DELAYED;

/// One for whom a message is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// It waited.
    Waiting {
        owner: u64,
        group: bool,
        number: u64,
    },
    /// It was in flight.
    InFlight {
        holder: u64,
        id: u16,
        /// The group that would have it again.
        group: Option<u64>,
    },
    /// It was the retained message of its topic.
    Retained(Box<str>),
}

impl Gone {
    /// Whose message it was.
    pub fn owner(&self, mirror: &Mirror) -> Owner {
        let session = |number: &u64| {
            let held = mirror.holders.get(number);
            let session = held.and_then(|it| it.session.as_ref());
            match session {
                Some(it) => Owner::Session(it.client_id.clone()),
                None => Owner::Unnamed(*number),
            }
        };
        match self {
            Self::Waiting {
                owner,
                group: false,
                ..
            } => session(owner),
            Self::Waiting { owner: DELAYED, .. } => Owner::Delayed,
            Self::Waiting { owner, .. }
            | Self::InFlight {
                group: Some(owner), ..
            } => {
                let group = mirror.groups.get(owner);
                match group.and_then(|it| it.names.clone()) {
                    Some((share, filter)) => Owner::Group { share, filter },
                    None => Owner::Unnamed(*owner),
                }
            }
            Self::InFlight { holder, .. } => session(holder),
            Self::Retained(topic) => Owner::Retained(topic.clone()),
        }
    }

    /// Appends the record that gives it up.
    pub fn write(&self, frame: &mut Vec<u8>) {
        let mut rest = Vec::new();
        match self {
            Self::Waiting { owner, number, .. } => {
                format::numbers(&mut rest, &[*owner, *number]);
                format::finish(frame, format::DROPPED, &rest);
            }
            Self::InFlight { holder, id, .. } => {
                format::numbers(&mut rest, &[*holder, u64::from(*id)]);
                format::finish(frame, format::DONE, &rest);
            }
            Self::Retained(topic) => format::finish(frame, format::CLEARED, topic.as_bytes()),
        }
    }
}

impl Mirror {
    /// Messages at places that are gone, once for each who was to have them. What an unknown holder has
    /// begun with QoS 2 goes to nobody else [MQTT5-4.8.2-5], so nobody misses it.
    pub fn gone(&self, is_gone: impl Fn(&Slot) -> bool) -> Vec<Gone> {
        let numbers = self.messages.iter().filter(|it| is_gone(&it.1));
        let numbers: HashSet<u64> = numbers.map(|it| it.0).collect();
        let mut gone = Vec::new();
        if numbers.is_empty() {
            return gone;
        }
        for (holder, it) in &self.holders {
            let waiting = it.waiting.iter().map(|it| it.number());
            gone.extend(
                waiting
                    .filter(|it| numbers.contains(it))
                    .map(|number| Gone::Waiting {
                        owner: *holder,
                        group: false,
                        number,
                    }),
            );
            let kept = it.session.is_some();
            let missed = it.in_flight.iter().filter_map(|flight| {
                flight.number.filter(|it| numbers.contains(it))?;
                let back = flight.flags.qos == QoS::AtLeastOnce;
                let group = flight.group.filter(|_| back);
                (kept || group.is_some()).then_some(Gone::InFlight {
                    holder: *holder,
                    id: flight.id,
                    group,
                })
            });
            gone.extend(missed);
        }
        for (group, it) in &self.groups {
            let waiting = it.waiting.iter().map(|it| it.number());
            gone.extend(
                waiting
                    .filter(|it| numbers.contains(it))
                    .map(|number| Gone::Waiting {
                        owner: *group,
                        group: true,
                        number,
                    }),
            );
        }
        let retained = self.retained.iter().filter(|it| numbers.contains(&it.1.0));
        gone.extend(retained.map(|it| Gone::Retained(it.0.clone())));
        gone
    }

    /// Sessions and groups that nothing explained, and how many messages wait for each.
    pub fn unexplained(&self) -> Vec<(u64, u64)> {
        let holders = self.holders.iter().filter(|it| it.1.session.is_none());
        let holders = holders.map(|(number, it)| (*number, it.waiting.len() as u64));
        let groups = self.groups.iter().filter(|it| it.1.names.is_none());
        let groups = groups.map(|(number, it)| (*number, it.waiting.len() as u64));
        holders.chain(groups).filter(|it| it.1 > 0).collect()
    }

    /// The replay is over: what nothing explained is dropped, and what is still missing.
    pub fn finish(&mut self) {
        self.lenient = false;
        let unexplained = self.holders.iter().filter(|it| it.1.session.is_none());
        let mut unexplained: Vec<_> = unexplained.map(|it| *it.0).collect();
        unexplained.sort_unstable();
        for number in unexplained {
            self.ended(number);
        }
        let groups = std::mem::take(&mut self.groups);
        let (named, unnamed): (Numbered<Group>, Numbered<Group>) =
            groups.into_iter().partition(|it| it.1.names.is_some());
        self.groups = named;
        for it in unnamed.into_values() {
            self.release_all(it.waiting, VecDeque::new());
        }
        self.drop_missing();
        let loose = self.messages.iter();
        let loose = loose.filter(|(_, it)| it.segment == 0 || it.refs & !PINNED == 0);
        for number in loose.map(|it| it.0).collect::<Vec<_>>() {
            self.forget(number);
        }
        self.messages.each(|it| it.refs &= !PINNED);
    }

    fn drop_missing(&mut self) {
        let messages = &mut self.messages;
        if messages.iter().all(|it| it.1.segment > 0) {
            return;
        }
        let mut here = |number| messages.get(number).is_some_and(|it| it.segment > 0);
        for it in self.holders.values_mut() {
            it.waiting.retain(|it| here(it.number()));
            it.in_flight.retain(|it| it.number.is_none_or(&mut here));
        }
        for it in self.groups.values_mut() {
            it.waiting.retain(|it| here(it.number()));
        }
        self.retained.retain(|_, it| here(it.0));
    }
}
