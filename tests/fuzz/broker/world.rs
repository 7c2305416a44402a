//! The script's hands: each step is done to the broker and to the model, and then both are compared.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::{NonZeroU16, NonZeroU32};

use postbud::broker::Ending;
use postbud::codec::{
    Connect, Packet, Publish, QoS, ReasonCode, RetainHandling, SubscriptionOptions, Version,
    Will as WillOf,
};
use postbud::pubsub::options::Strategy;
use postbud::queue::options::Overflow;

use super::groups::{Group, Job};
use super::ledger::{Answer, Expected, Published, Session, Subscription, Will, sorted};
use crate::client::{Client, ack, publish};
use crate::house::House;
use crate::received::Got;
use crate::routes::matches;
use crate::script::{Script, Words};

/// QoS 2 messages that a client leaves open, below every Receive Maximum of the broker's.
const OPEN: usize = 3;
/// How long a session of MQTT 3.x lasts, in seconds.
pub const EXPIRY_3X: u32 = 7 * 24 * 3600;

/// Runs a script to its end.
pub fn run(script: &Script) {
    let first = script.0.first().filter(|step| step.starts_with("options"));
    let words = Words::of(first.map_or("", String::as_str));
    let inflight = words.value("inflight").unwrap_or(100);
    let house = House::with_options(|options| {
        let session = &mut options.session;
        session.inflight_maximum = inflight as u16;
        session.unsent_maximum = words.value("unsent").unwrap_or(100_000) as usize;
        session.queue.messages = words.value("queue").unwrap_or(1_000) as usize;
        if words.has("oldest") {
            session.queue.overflow = Overflow::DropOldest;
        }
        let group = words.value("group").unwrap_or(1_000) as usize;
        options.pubsub.group_queue.messages = group;
        options.pubsub.strategy = match words.value("strategy") {
            Some(1) => Strategy::Random,
            Some(2) => Strategy::Sticky,
            Some(3) => Strategy::LeastInflight,
            _ => Strategy::RoundRobin,
        };
    });
    let mut world = World::new(&house, inflight as usize);
    for step in &script.0 {
        world.step(step);
    }
    world.finish();
}

/// A client that is connected.
pub struct Line<'h> {
    pub client: Client<'h>,
    pub version: Version,
    pub narrow: bool,
    pub take: usize,
    pub awaits: VecDeque<Got>,
}

pub struct World<'h> {
    pub house: &'h House,
    pub inflight: usize,
    pub now: u64,
    pub number: u32,
    pub packet_id: u16,
    pub lines: [Option<Line<'h>>; 4],
    pub sessions: [Option<Session>; 4],
    pub groups: BTreeMap<String, Group>,
    pub retained: BTreeMap<String, Published>,
    /// Deliveries that were passed over, with no excuse but a full queue or a small client.
    pub lost: u64,
}

const IDS: [&str; 4] = ["c0", "c1", "c2", "c3"];
const WILLS: [&str; 4] = ["w/0", "w/1", "w/2", "w/3"];

impl<'h> World<'h> {
    fn new(house: &'h House, inflight: usize) -> Self {
        Self {
            house,
            inflight,
            now: 0,
            number: 0,
            packet_id: 0,
            lines: Default::default(),
            sessions: Default::default(),
            groups: BTreeMap::new(),
            retained: BTreeMap::new(),
            lost: 0,
        }
    }

    pub fn step(&mut self, step: &str) {
        let mut words = Words::of(step);
        let verb = words.word();
        match verb {
            "options" => return,
            "seconds" => self.seconds(words.number()),
            _ => {
                let who = words.number() as usize % 4;
                self.client_step(verb, who, &mut words);
            }
        }
        self.look();
    }

    fn client_step(&mut self, verb: &str, who: usize, words: &mut Words<'_>) {
        if verb == "connect" {
            return self.connect(who, words);
        }
        let Some(line) = &mut self.lines[who] else {
            return;
        };
        match verb {
            "hangup" => return self.leave(who, verb),
            "wide" => return self.widen(who),
            _ if line.narrow && verb != "drain" => return,
            _ => {}
        }
        match verb {
            "disconnect" | "depart" => self.leave(who, verb),
            "subscribe" => self.subscribe(who, words),
            "unsubscribe" => self.unsubscribe(who, words.word()),
            "publish" => self.publish(who, words),
            "clear" => self.clear(who, words.word()),
            "again" => self.again(who),
            "release" => self.release(who),
            "answer" => {
                let count = self.session(who).owes.len().max(1);
                self.answer(who, words.number() as usize % count);
            }
            "refuse" => self.refuse(who),
            "stray" => self.stray(who),
            "narrow" => {
                line.narrow = true;
                line.client.set_room(Some(words.number() as usize));
            }
            "drain" => self.drain(who),
            other => panic!("no step `{other}`"),
        }
    }

    pub fn session(&mut self, who: usize) -> &mut Session {
        self.sessions[who].as_mut().expect("it is connected")
    }

    pub fn line(&mut self, who: usize) -> &mut Line<'h> {
        self.lines[who].as_mut().expect("it is connected")
    }

    fn connect(&mut self, who: usize, words: &Words<'_>) {
        let version = match words.value("v") {
            Some(3) => Version::V31,
            Some(4) => Version::V311,
            _ => Version::V5,
        };
        let v5 = version == Version::V5;
        let resume = words.has("resume");
        let will = self.will(who, words);
        let payload = will.as_ref().map(|will| payload_of(&will.message, 0));
        let take = words.value("take").filter(|_| v5).unwrap_or(65_535);
        let mut connect = self.house.hello(version, IDS[who]).connect;
        connect.clean_start = !resume;
        if v5 {
            let properties = &mut connect.properties;
            properties.receive_maximum = NonZeroU16::new(take as u16);
            properties.session_expiry = words.value("expiry");
            properties.topic_alias_maximum = if words.has("aliases") { 2 } else { 0 };
            properties.maximum_packet_size = words.value("size").and_then(NonZeroU32::new);
        }
        let mut connect: Connect<'_> = connect;
        connect.will = will.as_ref().map(|will| {
            let mut packet = WillOf {
                qos: will.message.qos,
                retain: will.message.retain,
                topic: WILLS[who],
                payload: payload.as_deref().unwrap_or_default().as_bytes(),
                properties: Default::default(),
            };
            packet.properties.delay = will.delay;
            packet
        });
        let goes_on = resume && self.sessions[who].as_ref().is_some_and(|it| it.expiry > 0);
        let client = self.house.accept(version, true);
        client.connect(&connect);
        let welcome = client.welcome();
        assert_eq!(welcome.code, ReasonCode::Success);
        assert!(welcome.present == goes_on || version == Version::V31);
        self.taken_over(who, goes_on);
        if !goes_on {
            self.end(who);
        }
        let session = self.sessions[who].get_or_insert_with(Session::new);
        session.away = None;
        session.connections += 1;
        session.small |= v5 && words.value("size").is_some();
        session.expiry = match (v5, resume) {
            (true, _) => words.value("expiry").unwrap_or(0),
            (false, true) => EXPIRY_3X,
            (false, false) => 0,
        };
        session.will = will;
        self.lines[who] = Some(Line {
            client,
            version,
            narrow: false,
            take: (take as usize).min(self.inflight),
            awaits: VecDeque::new(),
        });
    }

    fn will(&mut self, who: usize, words: &Words<'_>) -> Option<Will> {
        let qos = words.value("will")?;
        let v5 = words.value("v") == Some(5);
        let message = self.message(WILLS[who], qos, words.has("keep"), None);
        Some(Will {
            message,
            delay: words.value("delay").filter(|_| v5).unwrap_or(0),
        })
    }

    /// A new connection has come for a client that had one.
    fn taken_over(&mut self, who: usize, goes_on: bool) {
        let Some(line) = self.lines[who].take() else {
            return;
        };
        if !line.narrow {
            let taken = ReasonCode::SessionTakenOver;
            assert_eq!(line.client.ending(), Some(Ending::Closed(taken)));
            let last = match line.version {
                Version::V5 => vec![Got::Disconnect(taken)],
                _ => vec![],
            };
            assert_eq!(line.client.take(), last, "the last word");
        } else {
            line.client.hang_up();
        }
        self.detach(who);
        let will = self.session(who).will.clone();
        if goes_on {
            self.session(who).will = None;
            if let Some(will) = will.filter(|will| will.delay == 0) {
                self.route(Some(who), &will.message, true);
            }
        }
    }

    fn leave(&mut self, who: usize, how: &str) {
        let line = self.lines[who].take().expect("it is connected");
        match how {
            "disconnect" => line.client.disconnect(),
            "depart" if line.version == Version::V5 => {
                line.client
                    .disconnect_with(ReasonCode::DisconnectWithWill, None);
            }
            "depart" => line.client.disconnect(),
            _ => line.client.hang_up(),
        }
        let silent = how == "hangup" || how == "depart" && line.version == Version::V5;
        self.detach(who);
        let now = self.now;
        let session = self.session(who);
        session.away = Some(now);
        if !silent {
            session.will = None;
        }
        if session.expiry == 0 {
            return self.end(who);
        }
        if session.will.as_ref().is_some_and(|will| will.delay == 0) {
            self.publish_will(who);
        }
    }

    fn publish_will(&mut self, who: usize) {
        if let Some(will) = self.session(who).will.take() {
            self.route(Some(who), &will.message, true);
        }
    }

    /// The session has lost its connection: groups get back what they can.
    fn detach(&mut self, who: usize) {
        let session = self.sessions[who].as_mut().expect("it was connected");
        session.detach();
        for (share, group) in &mut self.groups {
            if !group.members.contains_key(&who) {
                continue;
            }
            let back = session.open.iter().filter(|(_, it)| {
                it.qos == QoS::AtLeastOnce && group_of(&it.topic) == Some(share.as_str())
            });
            // What was begun before it left and joined again is its own: that was marked then.
            let back: Vec<(u16, u32)> = back
                .filter(|(_, it)| {
                    group
                        .jobs
                        .get(&it.number)
                        .is_some_and(|job| job.holder == Some(who))
                })
                .map(|(id, it)| (*id, it.number))
                .collect();
            for (id, _) in &back {
                session.open.remove(id);
            }
            let numbers: BTreeSet<u32> = back.into_iter().map(|(_, number)| number).collect();
            group.back(who, &numbers);
        }
    }

    /// A session ends, if there is one: its Will first, and all that it is owed is forgotten.
    fn end(&mut self, who: usize) {
        if self.sessions[who].is_none() {
            return;
        }
        self.publish_will(who);
        self.sessions[who] = None;
        for group in self.groups.values_mut() {
            group.bury(who);
        }
    }

    fn subscribe(&mut self, who: usize, words: &mut Words<'_>) {
        let filter = words.word().to_owned();
        let line = self.line(who);
        let v5 = line.version == Version::V5;
        let share = shared(&filter);
        let mut qos = words.value("qos").unwrap_or(0);
        if share.is_some() {
            // At most once is no promise that could be kept by another member.
            qos = qos.max(1);
        }
        let mut options = SubscriptionOptions::v3(qos_of(qos));
        if v5 {
            options.no_local = words.has("local") && share.is_none();
            options.retain_as_published = words.has("as-published");
            options.retain_handling = match words.value("handling") {
                Some(1) => RetainHandling::IfNew,
                Some(2) => RetainHandling::Never,
                _ => RetainHandling::Always,
            };
        }
        let id = words.value("id").filter(|&id| id > 0 && v5);
        line.awaits.push_back(Got::Suback(77, vec![qos as u8]));
        line.client.send_subscribe(77, &[(&filter, options)], id);
        let subscription = Subscription {
            qos: options.qos,
            no_local: options.no_local,
            as_published: options.retain_as_published,
            id,
        };
        let replaced = self
            .session(who)
            .subscriptions
            .insert(filter.clone(), subscription);
        if let Some(share) = share {
            let group = self.groups.entry(share.to_owned()).or_default();
            group.members.insert(who, options.qos);
            return;
        }
        let wanted = match options.retain_handling {
            RetainHandling::Always => true,
            RetainHandling::IfNew => replaced.is_none(),
            RetainHandling::Never => false,
        };
        if wanted {
            self.feed(who, &filter, subscription);
        } else if replaced.is_some() {
            let kept: Vec<Published> = self.retained.values().cloned().collect();
            self.session(who)
                .feed_replaced(who, &filter, subscription, &kept);
        }
    }

    /// Retained messages are due to a subscription.
    fn feed(&mut self, who: usize, filter: &str, subscription: Subscription) {
        let now = self.now;
        let kept: Vec<Published> = self.retained.values().cloned().collect();
        let session = self.session(who);
        session.feed_ended(filter);
        session.fed = true;
        let kept = kept.iter().filter(|it| it.is_for(who, subscription));
        for kept in kept.filter(|it| matches(filter, &it.topic)) {
            if kept.expires.is_none_or(|at| at > now) {
                session.loose.push(kept.fed(filter, subscription, true));
            }
        }
    }

    fn unsubscribe(&mut self, who: usize, filter: &str) {
        let line = self.line(who);
        line.client.send_unsubscribe(78, &[filter]);
        let v5 = line.version == Version::V5;
        let known = self.session(who).subscriptions.remove(filter).is_some();
        let code = if known { 0 } else { 0x11 };
        let codes = if v5 { vec![code] } else { vec![] };
        self.line(who).awaits.push_back(Got::Unsuback(78, codes));
        self.session(who).feed_ended(filter);
        if let Some(group) = shared(filter).and_then(|share| self.groups.get_mut(share)) {
            group.part(who);
        }
    }

    fn message(&mut self, topic: &str, qos: u32, retain: bool, lasts: Option<u32>) -> Published {
        self.number += 1;
        Published {
            number: self.number,
            topic: topic.to_owned(),
            qos: qos_of(qos),
            retain,
            expires: lasts.map(|seconds| self.now + u64::from(seconds)),
            from: None,
        }
    }

    fn publish(&mut self, who: usize, words: &mut Words<'_>) {
        let topic = words.word();
        let qos = words.value("qos").unwrap_or(0);
        if qos == 2 && self.session(who).held.len() >= OPEN {
            return self.release(who);
        }
        let v5 = self.line(who).version == Version::V5;
        let lasts = words.value("expires").filter(|_| v5);
        let retain = words.has("keep") && !topic.starts_with('$');
        let message = self.message(topic, qos, retain, lasts);
        let payload = payload_of(&message, words.value("pad").unwrap_or(0));
        self.send(who, &message, &payload, lasts);
    }

    fn clear(&mut self, who: usize, topic: &str) {
        if topic.starts_with('$') {
            return;
        }
        let mut message = self.message(topic, 1, true, None);
        message.number = 0;
        self.send(who, &message, "", None);
    }

    fn send(&mut self, who: usize, message: &Published, payload: &str, lasts: Option<u32>) {
        let reached = self.route(Some(who), message, false);
        let promised = message.qos != QoS::AtMostOnce;
        let id = if promised { self.next_id(who) } else { 0 };
        let line = self.line(who);
        let code = match line.version {
            Version::V5 if !reached => ReasonCode::NoMatchingSubscribers,
            _ => ReasonCode::Success,
        };
        match message.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => line.awaits.push_back(Got::Puback(id, code)),
            QoS::ExactlyOnce => line.awaits.push_back(Got::Pubrec(id, code)),
        }
        let client = line.client;
        let mut packet = publish(message.qos, id, &message.topic, payload);
        packet.retain = message.retain;
        packet.properties.message_expiry = lasts;
        client.send(&Packet::Publish(packet));
        if message.qos == QoS::ExactlyOnce {
            self.session(who).held.insert(id, message.clone());
        }
    }

    /// The next id, which is none of those that are held. They go up, so the first that is held is the
    /// oldest.
    fn next_id(&mut self, who: usize) -> u16 {
        loop {
            self.packet_id = self.packet_id.wrapping_add(1).max(1);
            let id = self.packet_id;
            if !self.session(who).held.contains_key(&id) {
                return id;
            }
        }
    }

    /// Repeats a QoS 2 PUBLISH: it is answered, and goes to nobody.
    fn again(&mut self, who: usize) {
        let newest = self.session(who).held.last_key_value();
        let Some((id, message)) = newest.map(|(id, message)| (*id, message.clone())) else {
            return;
        };
        let payload = payload_of(&message, 0);
        let mut packet: Publish<'_> = publish(message.qos, id, &message.topic, &payload);
        packet.dup = true;
        packet.retain = message.retain;
        let line = self.line(who);
        line.awaits.push_back(Got::Pubrec(id, ReasonCode::Success));
        line.client.send(&Packet::Publish(packet));
    }

    fn release(&mut self, who: usize) {
        if let Some((id, _)) = self.session(who).held.pop_first() {
            let line = self.line(who);
            line.awaits.push_back(Got::Pubcomp(id, ReasonCode::Success));
            line.client.pubrel(id);
        }
    }

    /// A message goes to everybody who is to have it. Returns whether there is anybody.
    fn route(&mut self, from: Option<usize>, message: &Published, loose: bool) -> bool {
        if message.retain {
            self.keep(&Published {
                from,
                ..message.clone()
            });
        }
        let mut reached = false;
        for (who, session) in self.sessions.iter_mut().enumerate() {
            let Some(session) = session else { continue };
            let matching = session.subscriptions.iter().filter(|(filter, it)| {
                shared(filter).is_none()
                    && matches(filter, &message.topic)
                    && !(it.no_local && from == Some(who))
            });
            let matching: Vec<Subscription> = matching.map(|(_, it)| *it).collect();
            let Some(qos) = matching.iter().map(|it| it.qos).max() else {
                continue;
            };
            reached = true;
            let ids: Vec<u32> = matching.iter().filter_map(|it| it.id).collect();
            let expected = Expected {
                number: message.number,
                topic: message.topic.clone(),
                qos: qos.min(message.qos),
                retain: message.retain && matching.iter().any(|it| it.as_published),
                ids: sorted(&ids),
                expires: message.expires,
                must: true,
                feed: None,
            };
            let away = self.lines[who].is_none();
            match expected.qos {
                QoS::AtMostOnce if away => {}
                _ if loose => session.loose.push(expected),
                qos => session.live[qos as usize].push_back(expected),
            }
        }
        let group = group_of(&message.topic).and_then(|share| self.groups.get_mut(share));
        if let Some(group) = group.filter(|group| !group.members.is_empty()) {
            let job = Job {
                qos: message.qos,
                expires: message.expires,
                holder: None,
                done: false,
                lossy: message.qos == QoS::AtMostOnce,
            };
            group.jobs.insert(message.number, job);
            reached = true;
        }
        reached
    }

    /// A message is retained, or clears its topic. Who is still being sent what is retained may get
    /// either.
    fn keep(&mut self, message: &Published) {
        self.retained.remove(&message.topic);
        if message.number > 0 {
            self.retained.insert(message.topic.clone(), message.clone());
        }
        for session in self.sessions.iter_mut().flatten() {
            session.retained_changed(&message.topic);
            if !session.fed || message.number == 0 {
                continue;
            }
            let subscriptions = session.subscriptions.iter();
            let feeds = subscriptions
                .filter(|(filter, _)| shared(filter).is_none() && matches(filter, &message.topic));
            let more: Vec<_> = feeds
                .map(|(filter, it)| message.fed(filter, *it, false))
                .collect();
            session.loose.extend(more);
        }
    }

    fn seconds(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.now += 1;
            self.house.seconds(1);
            for who in 0..4 {
                let Some(session) = &self.sessions[who] else {
                    continue;
                };
                let Some(since) = session.away else { continue };
                let gone = (self.now - since) as u32;
                if gone >= session.expiry {
                    self.end(who);
                } else if session.will.as_ref().is_some_and(|it| gone >= it.delay) {
                    self.publish_will(who);
                }
            }
            self.look();
        }
    }

    /// Sends one of the answers that are owed.
    fn answer(&mut self, who: usize, index: usize) -> bool {
        let Some(answer) = self.session(who).owes.remove(index) else {
            return false;
        };
        let client = self.line(who).client;
        match answer {
            Answer::Puback(id) => {
                self.close(who, id);
                client.puback(id);
            }
            Answer::Pubrec(id) => {
                let session = self.session(who);
                let exchange = session.open.get_mut(&id).expect("it is open");
                exchange.received = true;
                let (number, topic) = (exchange.number, exchange.topic.clone());
                self.job_done(&topic, number);
                client.pubrec(id);
            }
            Answer::Pubcomp(id) => {
                self.session(who).open.remove(&id);
                client.pubcomp(id);
            }
        }
        true
    }

    fn close(&mut self, who: usize, id: u16) {
        let exchange = self.session(who).open.remove(&id).expect("it is open");
        self.job_done(&exchange.topic, exchange.number);
    }

    fn job_done(&mut self, topic: &str, number: u32) {
        if let Some(group) = group_of(topic).and_then(|share| self.groups.get_mut(share)) {
            group.done(number);
        }
    }

    /// Refuses what it would have to take at QoS 2 next, in MQTT 5.
    fn refuse(&mut self, who: usize) {
        let first = self.session(who).owes.front().copied();
        if let Some(Answer::Pubrec(id)) = first
            && self.line(who).version == Version::V5
        {
            self.session(who).owes.pop_front();
            self.close(who, id);
            let refused = ack(id, ReasonCode::QuotaExceeded);
            self.line(who).client.send(&Packet::Pubrec(refused));
        }
    }

    /// Acknowledgements of nothing harm nobody.
    fn stray(&mut self, who: usize) {
        let client = self.line(who).client;
        client.puback(65_535);
        client.pubcomp(65_534);
    }

    /// Its socket takes everything from now on. What comes at once may have been written long ago.
    fn widen(&mut self, who: usize) {
        let client = self.line(who).client;
        client.set_room(None);
        for got in client.take() {
            self.got(who, got);
        }
        self.line(who).narrow = false;
    }

    /// Answers until nothing comes any more: all that it is owed has come then.
    fn drain(&mut self, who: usize) {
        self.widen(who);
        self.look();
        while self.answer(who, 0) {
            self.look();
        }
        let session = self.sessions[who].as_mut().expect("it is connected");
        session.fed = false;
        if session.small {
            session.open.retain(|_, exchange| exchange.here);
        }
        let live = session.live.iter_mut().flat_map(std::mem::take);
        let left: Vec<Expected> = live.chain(std::mem::take(&mut session.loose)).collect();
        assert!(session.open.is_empty(), "{who}: {:?}", session.open);
        self.excuse(who, left);
    }
}

/// The number, and some more for size.
fn payload_of(message: &Published, pad: u32) -> String {
    format!("{}{}", message.number, ".".repeat(pad as usize))
}

fn qos_of(number: u32) -> QoS {
    QoS::from_bits((number % 3) as u8).expect("below 3")
}

/// The group that all messages of this topic belong to.
pub fn group_of(topic: &str) -> Option<&str> {
    topic.strip_prefix("$g/")?.split('/').next()
}

/// The group of a filter.
fn shared(filter: &str) -> Option<&str> {
    group_of(filter.strip_prefix("$share/")?.split_once('/')?.1)
}
