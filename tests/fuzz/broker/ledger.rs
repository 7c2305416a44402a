//! What one session is owed, and what its client knows of the exchanges that are open.

use std::collections::{BTreeMap, VecDeque};

use postbud::codec::{QoS, Version};

use crate::received::Delivered;

/// A subscription as it was asked for, and granted.
#[derive(Clone, Copy, Debug)]
pub struct Subscription {
    pub qos: QoS,
    pub no_local: bool,
    pub as_published: bool,
    pub id: Option<u32>,
}

/// A message that has been published; number 0 stands for all that have no payload.
#[derive(Clone, Debug)]
pub struct Published {
    pub number: u32,
    pub topic: String,
    pub qos: QoS,
    pub retain: bool,
    /// The second in which it expires.
    pub expires: Option<u64>,
    /// The client that published it.
    pub from: Option<usize>,
}

/// A delivery that is to come.
#[derive(Clone, Debug)]
pub struct Expected {
    pub number: u32,
    pub topic: String,
    pub qos: QoS,
    pub retain: bool,
    pub ids: Vec<u32>,
    pub expires: Option<u64>,
    /// Whether it has to come; what is retained may change before it is sent.
    pub must: bool,
    /// The Topic Filter of the subscription that a retained message answers.
    pub feed: Option<String>,
}

impl Expected {
    fn is(&self, number: u32, came: &Delivered, version: Version) -> bool {
        let ids = version != Version::V5 || self.ids == sorted(&came.subscriptions);
        let same = (self.number, self.qos, self.retain) == (number, came.qos, came.retain);
        same && ids && self.topic == came.topic
    }
}

pub fn sorted(ids: &[u32]) -> Vec<u32> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids
}

/// An exchange in which the client is the receiver.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub number: u32,
    pub qos: QoS,
    pub topic: String,
    /// PUBREC has been sent: PUBLISH may not come again.
    pub received: bool,
    /// Its PUBLISH came on the present connection.
    pub here: bool,
}

/// What a client owes the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Puback(u16),
    Pubrec(u16),
    Pubcomp(u16),
}

/// The Will of the present connection, or one whose delay has not passed.
#[derive(Clone, Debug)]
pub struct Will {
    pub message: Published,
    pub delay: u32,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    pub expiry: u32,
    /// Since when it has no connection.
    pub away: Option<u64>,
    pub connections: u32,
    pub subscriptions: BTreeMap<String, Subscription>,
    /// By QoS, in the order in which they have to come.
    pub live: [VecDeque<Expected>; 3],
    /// Wills and retained messages, in any order.
    pub loose: Vec<Expected>,
    pub open: BTreeMap<u16, Exchange>,
    pub owes: VecDeque<Answer>,
    /// QoS 2 messages that the client has published and not released.
    pub held: BTreeMap<u16, Published>,
    pub will: Option<Will>,
    /// Whether a subscription may still be due retained messages.
    pub fed: bool,
    /// Whether it has had a connection on which not every message fits.
    pub small: bool,
}

impl Session {
    pub fn new() -> Self {
        Self {
            expiry: 0,
            away: None,
            connections: 0,
            subscriptions: BTreeMap::new(),
            live: Default::default(),
            loose: Vec::new(),
            open: BTreeMap::new(),
            owes: VecDeque::new(),
            held: BTreeMap::new(),
            will: None,
            fed: false,
            small: false,
        }
    }

    /// Takes a message off what is owed. Returns it, and what has been passed over for it.
    pub fn take(
        &mut self,
        number: u32,
        came: &Delivered,
        version: Version,
    ) -> Option<(Expected, Vec<Expected>)> {
        let live = &mut self.live[came.qos as usize];
        if let Some(at) = live.iter().position(|it| it.is(number, came, version)) {
            let passed = live.drain(..at).collect();
            return Some((live.pop_front()?, passed));
        }
        let fits =
            |must: bool| move |it: &Expected| it.must == must && it.is(number, came, version);
        let at = self.loose.iter().position(fits(true));
        let at = at.or_else(|| self.loose.iter().position(fits(false)))?;
        Some((self.loose.swap_remove(at), Vec::new()))
    }

    /// The connection has ended: what was at most once is lost.
    pub fn detach(&mut self) {
        self.live[0].clear();
        for loose in self.loose.iter_mut().filter(|it| it.qos == QoS::AtMostOnce) {
            loose.must = false;
        }
        self.owes.clear();
        for exchange in self.open.values_mut() {
            exchange.here = false;
        }
    }

    /// A QoS 1 message that has become too large to be repeated is given up, and its id is free again.
    pub fn give_up(&mut self, came: &Delivered) {
        let known = self.open.get(&came.id);
        let forgotten = known.is_some_and(|it| it.qos == QoS::AtLeastOnce && !it.here);
        if self.small && forgotten && !came.dup {
            self.open.remove(&came.id);
        }
    }

    /// PUBLISHes of this connection that the client has not finally answered.
    pub fn in_flight(&self) -> usize {
        self.open.values().filter(|exchange| exchange.here).count()
    }

    /// A retained message has changed: what was due of it is no longer sure to come.
    pub fn retained_changed(&mut self, topic: &str) {
        let loose = self.loose.iter_mut();
        for loose in loose.filter(|it| it.feed.is_some() && it.topic == topic) {
            loose.must = false;
        }
    }

    /// A subscription has ended, or begins again. What was to come of it does not, but for bytes that an
    /// earlier connection has lost.
    pub fn feed_ended(&mut self, filter: &str) {
        let first = self.connections == 1;
        self.loose.retain_mut(|it| {
            let of_it = it.feed.as_deref() == Some(filter);
            it.must &= !of_it;
            !(of_it && first)
        });
    }

    /// A subscription is replaced by one that asks for nothing: what was to come of it comes as the new
    /// one has it.
    pub fn feed_replaced(
        &mut self,
        who: usize,
        filter: &str,
        by: Subscription,
        kept: &[Published],
    ) {
        let old = self.loose.iter();
        let due: Vec<(String, bool)> = old
            .filter(|it| it.feed.as_deref() == Some(filter))
            .map(|it| (it.topic.clone(), it.must && self.connections == 1))
            .collect();
        self.feed_ended(filter);
        for (topic, must) in due {
            let kept = kept.iter().find(|kept| kept.topic == topic);
            let kept = kept.filter(|kept| kept.is_for(who, by));
            self.loose
                .extend(kept.map(|kept| kept.fed(filter, by, must)));
        }
    }
}

impl Published {
    /// Whether No Local lets a subscription of this client have it as a retained message.
    pub fn is_for(&self, who: usize, subscription: Subscription) -> bool {
        !(subscription.no_local && self.from == Some(who))
    }

    /// It as a subscription gets it that comes when it is retained.
    pub fn fed(&self, filter: &str, to: Subscription, must: bool) -> Expected {
        Expected {
            number: self.number,
            topic: self.topic.clone(),
            qos: self.qos.min(to.qos),
            retain: true,
            ids: to.id.into_iter().collect(),
            expires: self.expires,
            must,
            feed: Some(filter.to_owned()),
        }
    }
}
