//! The table of loads. To add one, add a row.

use super::traffic::{
    ACKNOWLEDGED, Beside, Dialect, FROM_MANY, Load, Pace, Shape, TO_MANY, Traffic, UNACKNOWLEDGED,
    window,
};

use Goal::{Below, PerCpuSecond, TimesFloor, TimesReference};

/// All scenarios: name, what it is, load, goal. Unless a row says otherwise, payloads have 64 bytes.
#[rustfmt::skip]
pub const TABLE: &[Scenario] = &[
    row("pairs-qos0", "50 publishers -> 50 subscribers, QoS 0, 100 outstanding in bursts of 50",
        traffic(PAIRS, 0, UNACKNOWLEDGED), Some(TimesFloor(3.5))),
    row("pairs-qos1", "50 publishers -> 50 subscribers, QoS 1, 20 outstanding in bursts of 10",
        traffic(PAIRS, 1, ACKNOWLEDGED), Some(TimesFloor(2.2))),
    row("pairs-qos2", "50 publishers -> 50 subscribers, QoS 2, 20 outstanding in bursts of 10",
        traffic(PAIRS, 2, ACKNOWLEDGED), Some(TimesFloor(2.5))),
    row("fan-out-qos0", "1 publisher -> 500 subscribers, QoS 0, 20 outstanding in bursts of 10",
        traffic(FAN_OUT, 0, TO_MANY), Some(TimesFloor(2.0))),
    row("fan-out-qos1", "1 publisher -> 500 subscribers, QoS 1, 20 outstanding in bursts of 10",
        traffic(FAN_OUT, 1, TO_MANY), Some(TimesFloor(2.2))),
    row("fan-in-qos0", "100 publishers -> 1 wildcard subscriber, QoS 0, 8 outstanding in bursts of 4",
        traffic(FAN_IN, 0, FROM_MANY), Some(TimesFloor(8.0))),
    row("fan-in-qos1", "100 publishers -> 1 wildcard subscriber, QoS 1, 8 outstanding in bursts of 4",
        traffic(FAN_IN, 1, FROM_MANY), Some(TimesFloor(3.0))),
    row("paced-qos0", "20,000 messages/s over 50 pairs, QoS 0, 5 each 250 us",
        traffic(PAIRS, 0, Pace::PerSecond(20_000)), Some(TimesFloor(1.3))),
    row("idle", "connections that say nothing: the broker's own (anonymous) memory for each",
        Load::Idle { connections: 5_000, quick: 2_000, tls: false }, Some(Below(1_500.0))),
    row("churn", "TCP connect, CONNECT, CONNACK, DISCONNECT, close; 50 at a time",
        Load::Churn { connections: 5_000, quick: 1_000, at_once: 50 }, Some(PerCpuSecond(125_000.0))),

    row("pairs-1k", "as pairs-qos0, with payloads of 1 KiB",
        bytes(PAIRS, 1 << 10, UNACKNOWLEDGED), None),
    row("pairs-16k", "as pairs-qos0, with payloads of 16 KiB, 10 outstanding in bursts of 5",
        bytes(PAIRS, 16 << 10, window(10, 5, 10)), None),
    row("fan-out-1k", "as fan-out-qos0, with payloads of 1 KiB",
        bytes(FAN_OUT, 1 << 10, TO_MANY), None),
    row("fan-out-16k", "as fan-out-qos0, with payloads of 16 KiB, 4 outstanding in bursts of 2",
        bytes(FAN_OUT, 16 << 10, window(4, 2, 4)), None),

    row("props-qos0", "as pairs-qos0, MQTT 5, with Content Type and two User Properties",
        five(Dialect::Properties, 0, UNACKNOWLEDGED), None),
    row("props-qos1", "as pairs-qos1, MQTT 5, with Content Type and two User Properties",
        five(Dialect::Properties, 1, ACKNOWLEDGED), None),
    row("alias-qos0", "as pairs-qos0, MQTT 5, with Topic Aliases both ways",
        five(Dialect::Aliases, 0, UNACKNOWLEDGED), None).above_floor(),
    row("alias-qos1", "as pairs-qos1, MQTT 5, with Topic Aliases both ways",
        five(Dialect::Aliases, 1, ACKNOWLEDGED), None).above_floor(),

    row("tls-pairs", "as pairs-qos0, inside TLS; beside the same on plain TCP",
        Load::Traffic(Traffic { tls: true, ..Traffic::of(PAIRS, 0, UNACKNOWLEDGED) }), None)
        .against("plain", traffic(PAIRS, 0, UNACKNOWLEDGED)),
    row("tls-idle", "as idle, inside TLS; beside the same on plain TCP",
        Load::Idle { connections: 2_000, quick: 500, tls: true }, Some(Below(12_288.0)))
        .against("plain", Load::Idle { connections: 2_000, quick: 500, tls: false }),

    row("shared", "50 publishers -> 100 members of one group, QoS 1, 20 outstanding in bursts of 10",
        traffic(Shape::Shared { publishers: 50, members: 100 }, 1, ACKNOWLEDGED), None),
    row("retained", "1,000,000 retained messages set at QoS 1, and read through one wildcard at QoS 0",
        Load::Retained { count: 1_000_000, quick: 50_000 }, None).above_floor().in_rounds(1),
    row("subs-100k", "as pairs-qos0, with 100,000 wildcard subscriptions elsewhere, 1,000/s coming and going",
        beside(PAIRS, SUBSCRIPTIONS_100K), Some(TimesReference(1.2)))
        .against("1,000", beside(PAIRS, SUBSCRIPTIONS_1K)),
    row("subs-1m", "the same with 1,000,000 wildcard subscriptions",
        beside(PAIRS, SUBSCRIPTIONS_1M), Some(TimesReference(1.2)))
        .against("1,000", beside(PAIRS, SUBSCRIPTIONS_1K)).in_rounds(1),
    row("growth-1k", "5 pairs, QoS 0, among 1,000 connections in all, the others idle",
        beside(FEW_PAIRS, IDLE_990), Some(TimesReference(1.2)))
        .against("10 in all", beside(FEW_PAIRS, Beside::Nobody)),
    row("growth-10k", "5 pairs, QoS 0, among 10,000 connections in all, the others idle",
        beside(FEW_PAIRS, IDLE_9990), Some(TimesReference(1.2)))
        .against("10 in all", beside(FEW_PAIRS, Beside::Nobody)),
    row("slow", "as pairs-qos0, beside a subscriber to everything that does not read",
        beside(PAIRS, Beside::Slow), Some(TimesReference(1.2)))
        .against("without", beside(PAIRS, Beside::Nobody)),
];

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
    /// Whether the floor can carry the load.
    pub floor: bool,
    /// The load that Postbud carries in turn with it, to be compared with.
    pub reference: Option<Reference>,
    /// Turns of each broker, unless more are asked for: fewer where one of them takes long.
    pub rounds: usize,
}

/// A load to compare with.
#[derive(Debug)]
pub struct Reference {
    /// What the table calls it.
    pub name: &'static str,
    /// The load.
    pub load: Load,
}

/// What Postbud is to reach.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// At most so many times the figure that the floor has in the same run.
    TimesFloor(f64),
    /// At most this figure.
    Below(f64),
    /// At most so many times the figure with the load of the reference.
    TimesReference(f64),
    /// At least so many of what is counted for each second of CPU.
    PerCpuSecond(f64),
}

const PAIRS: Shape = Shape::Pairs(50);
const FAN_OUT: Shape = Shape::FanOut(500);
const FAN_IN: Shape = Shape::FanIn(100);
const FEW_PAIRS: Shape = Shape::Pairs(5);

const IDLE_990: Beside = idle(990, 490);
const IDLE_9990: Beside = idle(9_990, 1_990);
const SUBSCRIPTIONS_1K: Beside = subscriptions(1_000, 1_000);
const SUBSCRIPTIONS_100K: Beside = subscriptions(100_000, 20_000);
const SUBSCRIPTIONS_1M: Beside = subscriptions(1_000_000, 50_000);

const fn row(name: &'static str, what: &'static str, load: Load, goal: Option<Goal>) -> Scenario {
    Scenario {
        name,
        what,
        load,
        goal,
        floor: true,
        reference: None,
        rounds: 3,
    }
}

const fn traffic(shape: Shape, qos: u8, pace: Pace) -> Load {
    Load::Traffic(Traffic::of(shape, qos, pace))
}

const fn bytes(shape: Shape, payload: usize, pace: Pace) -> Load {
    Load::Traffic(Traffic {
        payload,
        ..Traffic::of(shape, 0, pace)
    })
}

const fn five(dialect: Dialect, qos: u8, pace: Pace) -> Load {
    Load::Traffic(Traffic {
        dialect,
        ..Traffic::of(PAIRS, qos, pace)
    })
}

const fn beside(shape: Shape, beside: Beside) -> Load {
    Load::Traffic(Traffic {
        beside,
        ..Traffic::of(shape, 0, UNACKNOWLEDGED)
    })
}

const fn idle(connections: usize, quick: usize) -> Beside {
    Beside::Idle { connections, quick }
}

const fn subscriptions(count: usize, quick: usize) -> Beside {
    Beside::Subscriptions { count, quick }
}

impl Scenario {
    /// Without the floor, which cannot carry it.
    const fn above_floor(mut self) -> Scenario {
        self.floor = false;
        self
    }

    /// In fewer turns than others.
    const fn in_rounds(mut self, rounds: usize) -> Scenario {
        self.rounds = rounds;
        self
    }

    /// In turn with another load, instead of the floor.
    const fn against(mut self, name: &'static str, load: Load) -> Scenario {
        self.reference = Some(Reference { name, load });
        self.above_floor()
    }
}
