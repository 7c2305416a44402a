//! The whole broker, without sockets and on a clock that the script moves, against a model that knows
//! what every session and every group is owed.
//!
//! Clients 0 to 3 each have one Client Identifier; connecting while connected is a takeover. The model
//! is looked at after every step: what comes must be owed, in its order, at its QoS, with its flags and
//! identifiers, no more often than it may, and no more at once than the client takes; every answer must
//! be the right one; the broker's gauges must count what there is. At the end everybody comes back and
//! answers until nothing moves, and nothing may be missing but what expired, or what a counter says was
//! dropped by rule.
//!
//! | step | what it does |
//! |---|---|
//! | `options queue=3 group=3 inflight=2 unsent=300 strategy=1 oldest` | what the broker is built with; only as the first step |
//! | `connect 1 v=5 resume expiry=9 take=2 size=60 aliases will=1 delay=3 keep` | `will` is its QoS, `keep` retains it, `take` is Receive Maximum |
//! | `disconnect 1`, `depart 1`, `hangup 1` | in good order; with its Will; without a word |
//! | `subscribe 1 a/+ qos=2 id=3 local as-published handling=1` | |
//! | `unsubscribe 1 a/+` | |
//! | `publish 1 a/b qos=1 keep expires=4 pad=50` | `keep` is RETAIN |
//! | `clear 1 a/b` | a retained message without payload |
//! | `again 1`, `release 1` | repeats its newest QoS 2 PUBLISH that is open; releases its oldest |
//! | `answer 1 2` | the second of what it owes; `refuse 1` answers with an error where it can |
//! | `stray 1` | acknowledges what was never sent |
//! | `narrow 1 20`, `wide 1` | its socket takes so many bytes more, or all |
//! | `drain 1` | it answers everything until nothing comes |
//! | `seconds 3` | time passes |

mod groups;
mod ledger;
mod watch;
mod world;

use crate::dice::Dice;
use crate::script::Script;
use crate::trial::Target;

/// Topics: some for subscriptions with wildcards, two for groups, which no wildcard above reaches.
const TOPICS: &[&str] = &["a", "a/b", "a/c", "b", "b/b", "$g/1/x", "$g/1/y", "$g/2/x"];
const FILTERS: &[&str] = &[
    "a",
    "a/b",
    "a/+",
    "a/#",
    "+/b",
    "#",
    "+",
    "w/#",
    "$share/s/$g/1/#",
    "$share/s/$g/1/#",
    "$share/t/$g/2/+",
];

// Breaks if: `Window::detach` gives back to a group what is at QoS 2, `detach` gives nothing back,
// `Outbound::send` skips the expiry, a Will is published after a farewell, or `Inbound` routes a repeated
// QoS 2 PUBLISH.
#[test]
fn broker() {
    let target = Target {
        name: "broker",
        cases: 200,
    };
    target.run(generate, world::run);
}

fn generate(dice: &mut Dice) -> Script {
    let mut steps = vec![options(dice)];
    for client in 0..4 {
        if !dice.once_in(4) {
            steps.push(connect(dice, client));
        }
    }
    for _ in 0..dice.below(120) {
        let client = dice.below(4);
        steps.push(step(dice, client));
    }
    Script(steps)
}

fn options(dice: &mut Dice) -> String {
    let queue = *dice.pick(&[1_000, 1_000, 1_000, 2, 5]);
    let group = *dice.pick(&[1_000, 1_000, 2]);
    let inflight = *dice.pick(&[1, 2, 3, 100]);
    let unsent = *dice.pick(&[100_000, 300, 1]);
    let oldest = if dice.once_in(2) { " oldest" } else { "" };
    let strategy = dice.below(4);
    format!(
        "options queue={queue} group={group} inflight={inflight} unsent={unsent} strategy={strategy}{oldest}"
    )
}

fn connect(dice: &mut Dice, client: usize) -> String {
    let mut step = format!("connect {client} v={}", dice.pick(&[3, 4, 5, 5]));
    let mut sometimes = |dice: &mut Dice, times, text: String| {
        if dice.once_in(times) {
            step.push_str(&text);
        }
    };
    let (expiry, take, delay) = (dice.below(9), 1 + dice.below(4), dice.below(6));
    let will = dice.below(3);
    if !dice.once_in(4) {
        sometimes(dice, 1, format!(" resume expiry={}", expiry + 3));
    } else {
        sometimes(dice, 2, format!(" expiry={expiry}"));
    }
    sometimes(dice, 2, format!(" take={take}"));
    sometimes(dice, 12, " size=40".to_owned());
    sometimes(dice, 3, " aliases".to_owned());
    sometimes(dice, 3, format!(" will={will} delay={delay}"));
    sometimes(dice, 6, " keep".to_owned());
    step
}

fn step(dice: &mut Dice, client: usize) -> String {
    let (topic, filter) = (*dice.pick(TOPICS), *dice.pick(FILTERS));
    match dice.below(100) {
        0..=7 => connect(dice, client),
        8 | 9 => format!("disconnect {client}"),
        10 => format!("depart {client}"),
        11..=15 => format!("hangup {client}"),
        16..=26 => {
            let flags = *dice.pick(&["", "", " local", " as-published"]);
            let (qos, id, handling) = (dice.below(3), dice.below(3), dice.below(3));
            format!("subscribe {client} {filter} qos={qos} id={id} handling={handling}{flags}")
        }
        27..=30 => format!("unsubscribe {client} {filter}"),
        31..=58 => {
            let mut step = format!("publish {client} {topic} qos={}", dice.below(3));
            if dice.once_in(6) {
                step.push_str(" keep");
            }
            if dice.once_in(5) {
                step.push_str(&format!(" expires={}", 1 + dice.below(5)));
            }
            if dice.once_in(8) {
                step.push_str(" pad=50");
            }
            step
        }
        59 => format!("clear {client} {topic}"),
        60 | 61 => format!("again {client}"),
        62..=64 => format!("release {client}"),
        65..=80 => format!("answer {client} {}", dice.below(3)),
        81 => format!("refuse {client}"),
        82 => format!("stray {client}"),
        83..=85 => format!("narrow {client} {}", dice.below(60)),
        86..=88 => format!("wide {client}"),
        89..=93 => format!("drain {client}"),
        _ => format!("seconds {}", 1 + dice.below(4)),
    }
}
