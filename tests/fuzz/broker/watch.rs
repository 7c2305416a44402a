//! The eyes: what has come is held against the model, and what is missing too.

use postbud::broker::Gauge;
use postbud::codec::{QoS, ReasonCode, Version};
use postbud::queue::DropReason;

use super::ledger::{Answer, Exchange, Expected};
use super::world::{EXPIRY_3X, World, group_of};
use crate::received::{Delivered, Got};

impl World<'_> {
    /// What did not come, or not in its turn, had expired, or was dropped by rule and counted.
    pub fn excuse(&mut self, who: usize, missing: Vec<Expected>) {
        let now = self.now;
        let mut unexcused = missing;
        unexcused.retain(|it| it.must && it.expires.is_none_or(|at| at > now));
        self.lost += unexcused.len() as u64;
        let reasons = [DropReason::QueueFull, DropReason::PacketTooLarge];
        let dropped: u64 = reasons.map(|it| self.house.dropped(it)).iter().sum();
        assert!(
            self.lost <= dropped,
            "{who} did not get {unexcused:?}; {dropped} were dropped by rule"
        );
    }

    /// Takes what has come to everybody, and holds it against the model.
    pub fn look(&mut self) {
        for who in 0..4 {
            let Some(line) = &self.lines[who] else {
                continue;
            };
            let client = line.client;
            for got in client.take() {
                self.got(who, got);
            }
            let line = self.line(who);
            let narrow = line.narrow;
            assert_eq!(client.ending(), None, "{who} was closed");
            assert!(narrow || line.awaits.is_empty(), "{who}: {:?}", line.awaits);
            if !narrow {
                let left = self.session(who).live[0].drain(..).collect();
                self.excuse(who, left);
            }
        }
        self.count();
    }

    fn count(&self) {
        let sessions = self.sessions.iter().flatten();
        let subscriptions: usize = sessions.clone().map(|it| it.subscriptions.len()).sum();
        let groups = self.groups.values();
        let groups = groups.filter(|group| !group.members.is_empty()).count();
        let connected = self.lines.iter().flatten().count();
        let expected = [
            (Gauge::Connected, connected),
            (Gauge::Sessions, sessions.count()),
            (Gauge::Subscriptions, subscriptions),
            (Gauge::Groups, groups),
        ];
        for (gauge, count) in expected {
            assert_eq!(self.house.gauge(gauge), count as i64, "{gauge:?}");
        }
    }

    pub fn got(&mut self, who: usize, got: Got) {
        match got {
            Got::Publish(came) => self.came(who, &came),
            Got::Pubrel(id, code) => {
                assert_eq!(code, ReasonCode::Success, "PUBREL {id}");
                let session = self.session(who);
                // A message that has become too large is given up by a PUBREL.
                if let Some(exchange) = session.open.get_mut(&id) {
                    exchange.received = true;
                }
                session.owes.push_back(Answer::Pubcomp(id));
            }
            other => {
                let awaited = self.line(who).awaits.pop_front();
                assert_eq!(awaited, Some(other), "to {who}");
            }
        }
    }

    /// A PUBLISH has come.
    fn came(&mut self, who: usize, came: &Delivered) {
        let number = number_of(came);
        let (version, narrow, take) = {
            let line = self.line(who);
            (line.version, line.narrow, line.take)
        };
        let session = self.session(who);
        session.give_up(came);
        let known = session.open.get_mut(&came.id).filter(|_| came.id > 0);
        if let Some(exchange) = known {
            // [MQTT5-2.2.1-4] [MQTT5-3.3.1-1] [MQTT5-4.4.0-1]
            assert!(came.dup && !exchange.here, "{who}: {came:?} is under way");
            assert!(!exchange.received, "{who}: {came:?} after PUBREC");
            let same = (exchange.number, exchange.qos, exchange.topic.as_str());
            assert_eq!(same, (number, came.qos, came.topic.as_str()));
            exchange.here = true;
        } else {
            // Bytes that were lost with a connection are sent again on the next.
            assert!(!came.dup || session.connections > 1, "{who}: {came:?}");
            self.first(who, number, came, version, narrow);
            if came.qos != QoS::AtMostOnce {
                let exchange = Exchange {
                    number,
                    qos: came.qos,
                    topic: came.topic.clone(),
                    received: false,
                    here: true,
                };
                self.session(who).open.insert(came.id, exchange);
            }
        }
        let session = self.session(who);
        match came.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => session.owes.push_back(Answer::Puback(came.id)),
            QoS::ExactlyOnce => session.owes.push_back(Answer::Pubrec(came.id)),
        }
        let count = session.in_flight();
        assert!(count <= take, "{count} in flight to {who}, at most {take}");
    }

    /// A message comes for the first time.
    fn first(&mut self, who: usize, number: u32, came: &Delivered, v: Version, narrow: bool) {
        let now = self.now;
        let alive = |expires: Option<u64>| {
            let late = expires.is_some_and(|at| at <= now) && !came.dup && !narrow;
            assert!(!late, "{who}: {came:?} has expired");
            // What was begun before its end may be ended after it.
            let told = came.dup || came.expiry.is_none_or(|left| left > 0);
            assert!(told && (v != Version::V5 || came.expiry.is_some() == expires.is_some()));
        };
        if let Some(group) = group_of(&came.topic).and_then(|it| self.groups.get_mut(it)) {
            group.comes(number, who, came.qos, came.dup);
            return alive(group.jobs[&number].expires);
        }
        let session = self.session(who);
        let Some((expected, passed)) = session.take(number, came, v) else {
            panic!("{who}: {came:?} is not owed: {session:#?}")
        };
        alive(expected.expires);
        self.excuse(who, passed);
    }

    /// Everybody whose session is there comes back, and answers until nothing moves.
    pub fn finish(&mut self) {
        for who in 0..4 {
            if self.sessions[who].is_some() && self.lines[who].is_none() {
                self.step(&format!("connect {who} v=5 resume expiry=5"));
            }
        }
        // Twice: what one of a group refuses for want of room may be drawn by another.
        for who in [0, 1, 2, 3, 0, 1, 2, 3] {
            if self.lines[who].is_some() {
                self.step(&format!("drain {who}"));
            }
        }
        let now = self.now;
        for (share, group) in std::mem::take(&mut self.groups) {
            let jobs = group.jobs.into_iter();
            let missing = jobs.filter(|(_, job)| {
                !job.done && !job.lossy && job.expires.is_none_or(|at| at > now)
            });
            let missing: Vec<_> = missing.collect();
            self.lost += missing.len() as u64;
            let reasons = [DropReason::QueueFull, DropReason::PacketTooLarge];
            let dropped: u64 = reasons.map(|it| self.house.dropped(it)).iter().sum();
            assert!(self.lost <= dropped, "group {share} lost {missing:?}");
        }
        assert_eq!(self.house.gauge(Gauge::Queued), 0, "something waits");
        self.house.hang_up_all();
        self.house.seconds(u64::from(EXPIRY_3X) + 10);
        for gauge in Gauge::ALL {
            assert_eq!(self.house.gauge(gauge), 0, "{gauge:?} is left over");
        }
    }
}

fn number_of(came: &Delivered) -> u32 {
    let digits = came.payload.trim_end_matches('.');
    match digits {
        "" => 0,
        _ => digits.parse().expect("a number"),
    }
}
