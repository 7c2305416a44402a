//! The table of loads. To add one, add a row.

/// One load and what is expected of the broker under it.
#[derive(Debug)]
pub struct Scenario {
    /// What `--only` calls it.
    pub name: &'static str,
    /// What it is, for the heading of its table.
    pub what: &'static str,
    /// The load.
    pub load: Load,
    /// What Postbud is to reach, if anything has been set.
    pub goal: Option<Goal>,
}

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
    /// So many publishers with a topic each, and nobody who receives anything.
    Away(usize),
}

impl Shape {
    /// How many publishers there are.
    pub fn publishers(self) -> usize {
        match self {
            Shape::Pairs(count) | Shape::FanIn(count) | Shape::Away(count) => count,
            Shape::FanOut(_) => 1,
        }
    }

    /// How many subscribers there are.
    pub fn subscribers(self) -> usize {
        match self {
            Shape::Pairs(count) | Shape::FanOut(count) => count,
            Shape::FanIn(_) => 1,
            Shape::Away(_) => 0,
        }
    }

    /// How many subscribers each message goes to.
    pub fn copies(self) -> usize {
        match self {
            Shape::FanOut(count) => count,
            Shape::Pairs(_) | Shape::FanIn(_) => 1,
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

/// What Postbud is to reach.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// At most this share of the figure that mosquitto has in the same run.
    ShareOfMosquitto(f64),
    /// At most this figure.
    Below(f64),
}

const PAIRS: Shape = Shape::Pairs(50);
const FAN_OUT: Shape = Shape::FanOut(500);
const FAN_IN: Shape = Shape::FanIn(100);

/// 100 on their way per publisher, in bursts of 50.
const UNACKNOWLEDGED: Pace = Pace::Window {
    outstanding: 100,
    burst: 50,
    ahead: 100,
};
/// 20 unacknowledged per publisher, in bursts of 10.
pub const ACKNOWLEDGED: Pace = Pace::Window {
    outstanding: 20,
    burst: 10,
    ahead: 100,
};
/// One message to 500 subscribers is a load of its own: fewer of them.
const TO_MANY: Pace = Pace::Window {
    outstanding: 20,
    burst: 10,
    ahead: 40,
};
/// 100 publishers share one subscriber: less than 1,000 in all are on their way to it, which a
/// broker's default bounds for one client should carry.
const FROM_MANY: Pace = Pace::Window {
    outstanding: 8,
    burst: 4,
    ahead: 8,
};

const fn traffic(shape: Shape, qos: u8, pace: Pace) -> Load {
    Load::Traffic(Traffic {
        shape,
        qos,
        payload: 64,
        pace,
        kept: false,
        topics: "bench",
    })
}

/// All scenarios.
pub const TABLE: &[Scenario] = &[
    Scenario {
        name: "pairs-qos0",
        what: "50 publishers -> 50 subscribers, 64 B, QoS 0, 100 outstanding in bursts of 50",
        load: traffic(PAIRS, 0, UNACKNOWLEDGED),
        goal: Some(Goal::ShareOfMosquitto(1.0 / 5.0)),
    },
    Scenario {
        name: "pairs-qos1",
        what: "50 publishers -> 50 subscribers, 64 B, QoS 1, 20 outstanding in bursts of 10",
        load: traffic(PAIRS, 1, ACKNOWLEDGED),
        goal: Some(Goal::ShareOfMosquitto(1.0 / 4.0)),
    },
    Scenario {
        name: "pairs-qos2",
        what: "50 publishers -> 50 subscribers, 64 B, QoS 2, 20 outstanding in bursts of 10",
        load: traffic(PAIRS, 2, ACKNOWLEDGED),
        goal: Some(Goal::ShareOfMosquitto(1.0 / 4.0)),
    },
    Scenario {
        name: "fan-out-qos0",
        what: "1 publisher -> 500 subscribers, 64 B, QoS 0, 20 outstanding in bursts of 10",
        load: traffic(FAN_OUT, 0, TO_MANY),
        goal: None,
    },
    Scenario {
        name: "fan-out-qos1",
        what: "1 publisher -> 500 subscribers, 64 B, QoS 1, 20 outstanding in bursts of 10",
        load: traffic(FAN_OUT, 1, TO_MANY),
        goal: None,
    },
    Scenario {
        name: "fan-in-qos0",
        what: "100 publishers -> 1 wildcard subscriber, 64 B, QoS 0, 8 outstanding in bursts of 4",
        load: traffic(FAN_IN, 0, FROM_MANY),
        goal: None,
    },
    Scenario {
        name: "fan-in-qos1",
        what: "100 publishers -> 1 wildcard subscriber, 64 B, QoS 1, 8 outstanding in bursts of 4",
        load: traffic(FAN_IN, 1, FROM_MANY),
        goal: None,
    },
    Scenario {
        name: "paced-qos0",
        what: "20,000 messages/s over 50 pairs, 64 B, QoS 0, 5 each 250 us",
        load: traffic(PAIRS, 0, Pace::PerSecond(20_000)),
        goal: None,
    },
    Scenario {
        name: "idle",
        what: "connections that say nothing: the broker's own (anonymous) memory for each",
        load: Load::Idle {
            connections: 5_000,
            quick: 2_000,
        },
        goal: Some(Goal::Below(4_300.0)),
    },
    Scenario {
        name: "churn",
        what: "TCP connect, CONNECT, CONNACK, DISCONNECT, close; 50 at a time",
        load: Load::Churn {
            connections: 5_000,
            quick: 1_000,
            at_once: 50,
        },
        goal: None,
    },
];
