//! What kinds of load there are.

/// The kinds of load.
#[derive(Debug, Clone, Copy)]
pub enum Load {
    /// Messages from publishers to subscribers.
    Traffic(Traffic),
    /// Connections that say nothing: their memory in the broker.
    Idle {
        /// How many, if the descriptor limit allows.
        connections: usize,
        /// How many in a quick run.
        quick: usize,
        /// Whether they are inside TLS.
        tls: bool,
    },
    /// Connections that come and go: their CPU in the broker.
    Churn {
        /// How many in one turn.
        connections: usize,
        /// How many in a quick run.
        quick: usize,
        /// How many are open at the same time.
        at_once: usize,
    },
    /// Retained messages: their CPU and memory in the broker.
    Retained {
        /// How many.
        count: usize,
        /// How many in a quick run.
        quick: usize,
    },
}

impl Load {
    /// Whether its connections are inside TLS.
    pub fn tls(&self) -> bool {
        match self {
            Load::Traffic(traffic) => traffic.tls,
            Load::Idle { tls, .. } => *tls,
            Load::Churn { .. } | Load::Retained { .. } => false,
        }
    }
}

/// A load of messages.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    /// Who receives what from whom.
    pub shape: Shape,
    /// QoS of publications and subscriptions.
    pub qos: u8,
    /// Bytes of each payload, at least [`super::flow::SMALLEST_PAYLOAD`].
    pub payload: usize,
    /// When the next message goes out.
    pub pace: Pace,
    /// Whether the sessions outlive their connections, so that what is for them must be kept.
    pub kept: bool,
    /// First level of all topics.
    pub topics: &'static str,
    /// What is spoken.
    pub dialect: Dialect,
    /// Whether the connections are inside TLS.
    pub tls: bool,
    /// Who else is there.
    pub beside: Beside,
}

impl Traffic {
    /// 64 bytes of payload, MQTT 3.1.1, plain TCP, sessions that end with their connections, and
    /// nobody else.
    pub const fn of(shape: Shape, qos: u8, pace: Pace) -> Traffic {
        Traffic {
            shape,
            qos,
            payload: 64,
            pace,
            kept: false,
            topics: "bench",
            dialect: Dialect::Three,
            tls: false,
            beside: Beside::Nobody,
        }
    }

    /// As it is in a quick run, if it is one.
    pub fn scaled(self, is_quick: bool) -> Traffic {
        Traffic {
            beside: self.beside.scaled(is_quick),
            ..self
        }
    }
}

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// MQTT 3.1.1.
    Three,
    /// MQTT 5 with a Content Type and two User Properties in each PUBLISH.
    Properties,
    /// MQTT 5 with Topic Aliases: publishers name their topic once, and subscribers allow the broker
    /// to do so.
    Aliases,
}

impl Dialect {
    /// Whether it is MQTT 5.
    pub fn is_five(self) -> bool {
        self != Dialect::Three
    }
}

/// Who else is there, beside publishers and subscribers.
#[derive(Debug, Clone, Copy)]
pub enum Beside {
    /// Nobody.
    Nobody,
    /// So many connections that say nothing.
    Idle {
        /// How many.
        connections: usize,
        /// How many in a quick run.
        quick: usize,
    },
    /// A subscriber to everything that does not read.
    Slow,
    /// Wildcard subscriptions that match nothing of the traffic, of which some come and go all the
    /// time.
    Subscriptions {
        /// How many.
        count: usize,
        /// How many in a quick run.
        quick: usize,
    },
}

impl Beside {
    /// As it is in a quick run, if it is one.
    fn scaled(self, is_quick: bool) -> Beside {
        match self {
            Beside::Idle { quick, .. } if is_quick => Beside::Idle {
                connections: quick,
                quick,
            },
            Beside::Subscriptions { quick, .. } if is_quick => Beside::Subscriptions {
                count: quick,
                quick,
            },
            _ => self,
        }
    }
}

/// Who receives what from whom.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// So many publishers, each with a subscriber and a topic of its own.
    Pairs(usize),
    /// One publisher, one topic, so many subscribers to it.
    FanOut(usize),
    /// So many publishers with a topic each, one subscriber to all of them by a wildcard.
    FanIn(usize),
    /// So many publishers with a topic each, and so many members of one group that share what comes.
    Shared {
        /// How many publishers.
        publishers: usize,
        /// How many members.
        members: usize,
    },
    /// So many publishers with a topic each, and nobody who receives anything.
    Away(usize),
}

impl Shape {
    /// How many publishers there are.
    pub fn publishers(self) -> usize {
        match self {
            Shape::Pairs(count) | Shape::FanIn(count) | Shape::Away(count) => count,
            Shape::FanOut(_) => 1,
            Shape::Shared { publishers, .. } => publishers,
        }
    }

    /// How many subscribers there are.
    pub fn subscribers(self) -> usize {
        match self {
            Shape::Pairs(count) | Shape::FanOut(count) => count,
            Shape::FanIn(_) => 1,
            Shape::Shared { members, .. } => members,
            Shape::Away(_) => 0,
        }
    }

    /// How many subscribers each message goes to.
    pub fn copies(self) -> usize {
        match self {
            Shape::FanOut(count) => count,
            Shape::Pairs(_) | Shape::FanIn(_) | Shape::Shared { .. } => 1,
            Shape::Away(_) => 0,
        }
    }
}

/// When a publisher's next messages go out.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// As soon as a whole burst fits into the window, written at once (closed loop).
    Window {
        /// Messages outstanding per publisher. With QoS 0 those not yet received by the
        /// subscribers; with QoS 1 and 2 those not yet acknowledged to the publisher.
        outstanding: u64,
        /// Messages per write.
        burst: u64,
        /// With QoS 1 and 2, the most that may be published and not yet received by the
        /// subscribers: a bound on what piles up in the broker, above what the window reaches
        /// while the broker is fair to both sides.
        ahead: u64,
    },
    /// By the clock, whatever the broker does (open loop), over all publishers in turn.
    /// Latency is measured.
    PerSecond(u64),
}

/// 100 on their way per publisher, in bursts of 50.
pub const UNACKNOWLEDGED: Pace = window(100, 50, 100);
/// 20 unacknowledged per publisher, in bursts of 10.
pub const ACKNOWLEDGED: Pace = window(20, 10, 100);
/// One message to 500 subscribers is a load of its own: fewer of them.
pub const TO_MANY: Pace = window(20, 10, 40);
/// 100 publishers share one subscriber: less than 1,000 in all are on their way to it, which a
/// broker's default bounds for one client should carry.
pub const FROM_MANY: Pace = window(8, 4, 8);

/// A closed loop, see [`Pace::Window`].
pub const fn window(outstanding: u64, burst: u64, ahead: u64) -> Pace {
    Pace::Window {
        outstanding,
        burst,
        ahead,
    }
}
