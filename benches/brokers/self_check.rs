//! Does the harness notice what it claims to notice?
//!
//! It runs short loads against the floor: as it is, which must come out clean, and with each fault
//! the floor can commit, of which each must be told as what it is. A bench that cannot see a lost
//! message would praise the broker that loses most.

use std::time::Duration;

use super::broker::{Broker, Running, Scratch};
use super::failure::Failure;
use super::floor::Fault;
use super::histogram::Histogram;
use super::ledger::Discrepancies;
use super::load::Load;
use super::pieces;
use super::process::Usage;
use super::traffic::{Dialect, Pace, Shape, TO_MANY, Traffic};

/// Long enough for a slow machine to schedule everybody, short enough to wait for a silent floor.
const PATIENCE: Duration = Duration::from_millis(1500);

/// What a load against a floor must come to.
enum Expected {
    /// These discrepancies, exactly.
    Exactly(Discrepancies),
    /// A failure whose text contains this.
    Failure(&'static str),
}

/// Runs all checks; false if one of them failed.
pub fn run() -> Result<bool, Failure> {
    let scratch = Scratch::new()?;
    let mut sound = true;
    let mut check = |name: &str, outcome: Result<(), Failure>| match outcome {
        Ok(()) => println!("self-check: {name}: ok"),
        Err(failure) => {
            println!("self-check: {name}: FAILED: {failure}");
            sound = false;
        }
    };
    check("latency is counted to within a percent", histogram());
    check("CPU time is seen", cpu_time());
    check("a wrong Topic Alias", pieces::aliases());
    check("a wrong answer to a subscription", pieces::churner());
    check("retained messages, lost and repeated", pieces::retained());
    check("bytes inside TLS", pieces::tls());
    for (name, fault, traffic, expected) in clean_loads().into_iter().chain(faulty_loads()) {
        let outcome = Broker::floor(fault)
            .start(scratch.path())
            .and_then(|mut running| {
                let seen = load(&mut running, &traffic);
                compare(seen, &expected)
            });
        check(name, outcome);
    }
    Ok(sound)
}

/// What a load is called, the floor's fault, the load, and what it must come to.
type Check = (&'static str, Fault, Traffic, Expected);

const WINDOW: Pace = TO_MANY;

fn traffic(shape: Shape, qos: u8) -> Traffic {
    Traffic::of(shape, qos, WINDOW)
}

fn pairs(qos: u8) -> Traffic {
    traffic(Shape::Pairs(5), qos)
}

fn group(members: usize) -> Traffic {
    let publishers = 5;
    let shape = Shape::Shared {
        publishers,
        members,
    };
    traffic(shape, 1)
}

fn properties(qos: u8) -> Traffic {
    Traffic {
        dialect: Dialect::Properties,
        ..pairs(qos)
    }
}

/// Loads on a floor that does nothing wrong.
fn clean_loads() -> Vec<Check> {
    let clean = |name, traffic| {
        (
            name,
            Fault::None,
            traffic,
            Expected::Exactly(Discrepancies::default()),
        )
    };
    vec![
        clean("pairs, QoS 0", pairs(0)),
        clean("pairs, QoS 1", pairs(1)),
        clean("pairs, QoS 2", pairs(2)),
        clean(
            "pairs, paced",
            Traffic {
                pace: Pace::PerSecond(5_000),
                ..pairs(0)
            },
        ),
        clean("fan-out, QoS 1", traffic(Shape::FanOut(20), 1)),
        clean("fan-in, QoS 2", traffic(Shape::FanIn(20), 2)),
        clean("a group, QoS 1", group(8)),
        clean("MQTT 5 with properties, QoS 1", properties(1)),
        clean(
            "payloads larger than a buffer",
            Traffic {
                payload: 200_000,
                ..pairs(1)
            },
        ),
    ]
}

/// Loads on a floor that does one thing wrong.
fn faulty_loads() -> Vec<Check> {
    let none = Discrepancies::default();
    let seen = |name, fault, qos, seen| (name, fault, pairs(qos), Expected::Exactly(seen));
    let fails = |name, fault, text| (name, fault, pairs(1), Expected::Failure(text));
    let (lost, twice) = (
        Discrepancies { lost: 1, ..none },
        Discrepancies { twice: 1, ..none },
    );
    let out_of_order = Discrepancies {
        out_of_order: 1,
        ..none
    };
    let misrouted = Discrepancies {
        misrouted: 1,
        ..none
    };
    let damaged = Discrepancies {
        lost: 1,
        misrouted: 1,
        ..none
    };
    let wrong_acknowledgements = Discrepancies {
        wrong_acknowledgements: 1,
        ..none
    };
    let of_group = |name, fault, members, seen| {
        let expected = Expected::Exactly(seen);
        (name, fault, group(members), expected)
    };
    let changed = Expected::Exactly(damaged);
    vec![
        of_group("a group's message, lost", Fault::Lose, 8, lost),
        of_group("a message to two members", Fault::Repeat, 8, twice),
        of_group("a member's order", Fault::Swap, 1, out_of_order),
        (
            "a changed property",
            Fault::Property,
            properties(0),
            changed,
        ),
        seen("a lost message", Fault::Lose, 0, lost),
        seen("a repeated message", Fault::Repeat, 1, twice),
        seen("messages in the wrong order", Fault::Swap, 0, out_of_order),
        seen("a misrouted message", Fault::Misroute, 0, misrouted),
        seen("a damaged message", Fault::Damage, 0, damaged),
        seen(
            "an acknowledgement too many",
            Fault::Acknowledge,
            1,
            wrong_acknowledgements,
        ),
        fails("a silent broker", Fault::Silence, "stuck"),
        fails("a dead broker", Fault::Die, "has ended"),
    ]
}

fn load(running: &mut Running, traffic: &Traffic) -> Result<Discrepancies, Failure> {
    let mut load = Load::connect(&running.way(traffic)?, traffic, PATIENCE)?;
    let mut outcome = Ok(());
    // In steps, until enough has come for every fault to have been committed, with a deadline.
    for _ in 0..1000 {
        outcome = outcome.and_then(|()| load.run_for(Duration::from_millis(10)));
        if outcome.is_err() || load.received() > 3_000 {
            break;
        }
    }
    outcome
        .and_then(|()| load.drain())
        .map_err(|failure| running.explain(failure))?;
    if load.received() < 2_000 {
        return Err(Failure::new(format!(
            "only {} messages received",
            load.received()
        )));
    }
    Ok(load.discrepancies())
}

fn compare(seen: Result<Discrepancies, Failure>, expected: &Expected) -> Result<(), Failure> {
    match (seen, expected) {
        (Ok(seen), Expected::Exactly(expected)) if seen == *expected => Ok(()),
        (Ok(seen), Expected::Exactly(expected)) => {
            Err(Failure::new(format!("expected {expected:?}, saw {seen:?}")))
        }
        (Ok(seen), Expected::Failure(what)) => {
            Err(Failure::new(format!("expected {what:?}, saw {seen:?}")))
        }
        (Err(failure), Expected::Failure(what)) if failure.0.contains(what) => Ok(()),
        (Err(failure), _) => Err(failure),
    }
}

fn histogram() -> Result<(), Failure> {
    let mut histogram = Histogram::new();
    for value in 1..=1_000_000 {
        histogram.record(value, 1);
    }
    for (quantile, exact) in [
        (0.0001, 100.0),
        (0.5, 500_000.0),
        (0.99, 990_000.0),
        (1.0, 1e6),
    ] {
        let told = histogram.quantile(quantile) as f64;
        if (told - exact).abs() > exact / 100.0 {
            return Err(Failure::new(format!(
                "quantile {quantile} of 1..=1000000 is told as {told}"
            )));
        }
    }
    if histogram.total() != 1_000_000 || histogram.longest() != 1_000_000 {
        return Err(Failure::new("count or longest is wrong"));
    }
    Ok(())
}

/// Burns processor time until it shows, with a deadline.
fn cpu_time() -> Result<(), Failure> {
    let own = std::process::id();
    let (before, began) = (Usage::of(own)?, std::time::Instant::now());
    while before.until(&Usage::of(own)?).cpu < 20_000_000 {
        if began.elapsed() > Duration::from_secs(20) {
            return Err(Failure::new("20 s of work did not show as 20 ms of CPU"));
        }
    }
    Ok(())
}
