//! What a shared group owes: each message to one member.

use std::collections::{BTreeMap, BTreeSet};

use postbud::codec::QoS;

/// One group. Every topic belongs to one group at most, so what comes on it came by way of that.
#[derive(Debug, Default)]
pub struct Group {
    pub members: BTreeMap<usize, QoS>,
    pub jobs: BTreeMap<u32, Job>,
}

/// One message of a group.
#[derive(Debug)]
pub struct Job {
    pub qos: QoS,
    pub expires: Option<u64>,
    /// Who is known to have it, and has not acknowledged it.
    pub holder: Option<usize>,
    pub done: bool,
    /// Whether it may be lost by rule: its session ended, or its group.
    pub lossy: bool,
}

impl Group {
    /// A message of the group comes to a client for the first time.
    pub fn comes(&mut self, number: u32, to: usize, qos: QoS, again: bool) {
        let job = self.jobs.get_mut(&number);
        let job = job.unwrap_or_else(|| panic!("{number} was not given to the group"));
        assert!(!job.done, "{number} comes although it was done");
        assert_eq!(job.holder, None, "{number} comes to {to} as well");
        if let Some(granted) = self.members.get(&to).filter(|_| !again) {
            assert_eq!(qos, job.qos.min(*granted), "QoS of {number}");
        }
        match qos {
            QoS::AtMostOnce => job.done = true,
            _ => job.holder = Some(to),
        }
    }

    pub fn done(&mut self, number: u32) {
        if let Some(job) = self.jobs.get_mut(&number) {
            job.done = true;
            job.holder = None;
        }
    }

    /// A member lost its connection: what it had at QoS 1 (these numbers) goes to others.
    pub fn back(&mut self, member: usize, numbers: &BTreeSet<u32>) {
        for (_, job) in self.jobs.iter_mut().filter(|(it, _)| numbers.contains(it)) {
            if job.holder == Some(member) {
                job.holder = None;
            }
        }
    }

    /// A member leaves of its own will: it keeps what it has, as its own.
    pub fn part(&mut self, member: usize) {
        let own = self.jobs.values_mut();
        for job in own.filter(|job| job.holder == Some(member)) {
            job.holder = None;
            job.done = true;
        }
        self.leave(member);
    }

    /// A member leaves, or its session ends: what was on the way to it, unseen, may be lost.
    fn leave(&mut self, member: usize) {
        if self.members.remove(&member).is_some() {
            for job in self.jobs.values_mut().filter(|job| job.holder.is_none()) {
                job.lossy = true;
            }
        }
    }

    /// The session of somebody who may have been a member ended: what it held is gone with it, and
    /// given to nobody else. [MQTT5-4.8.2-5]
    pub fn bury(&mut self, member: usize) {
        self.leave(member);
        for job in self.jobs.values_mut().filter(|job| !job.done) {
            job.lossy |= job.holder.is_none();
            job.done = job.holder == Some(member);
        }
    }
}
