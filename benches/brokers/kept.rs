//! Sessions that are kept: what each durability costs, beside mosquitto that keeps nothing.

use std::time::Duration;

use super::broker::Broker;
use super::disk;
use super::durability::{PAYLOAD, Place};
use super::failure::Failure;
use super::ledger::Discrepancies;
use super::report::{self, median};
use super::rounds::{self, Figures, Measured, Turns};
use super::summary::{self, Summary};
use super::traffic::{ACKNOWLEDGED, Shape, Traffic};

/// What `--only` calls it.
pub const NAME: &str = "kept-qos1";

const TRAFFIC: Traffic = Traffic {
    payload: PAYLOAD,
    kept: true,
    ..Traffic::of(Shape::Pairs(50), 1, ACKNOWLEDGED)
};
/// Bytes of topic and payload of each message.
const CONTENT: f64 = (PAYLOAD + "bench/0000".len()) as f64;
/// With so much of all processors in use, these and not the disk are the bound.
const BUSY: f64 = 0.9;

/// Runs it, and says what came of its goals.
pub fn run(place: &Place<'_>, summary: &mut Summary) -> Result<bool, Failure> {
    let queue = 10_000;
    let mut brokers = ["flush", "write", "memory"]
        .map(|durability| place.postbud(durability, durability, queue))
        .to_vec();
    brokers.extend(place.mosquitto.cloned());
    let mut flushes = Vec::new();
    let turns = turns(place, &brokers, &mut flushes)?;
    let sound = table(&turns);
    println!(
        "  the disk makes 4 KiB durable {:.0} times a second",
        median(&flushes)
    );
    let of = |name| report::median_of(&turns, name);
    let ratio = |to| Some(of("flush")? / of(to)?);
    let mut told = vec![
        summary::judged(NAME, ratio("memory"), 1.6, "of the CPU with memory"),
        summary::judged(NAME, ratio("mosquitto"), 1.0, "of mosquitto's CPU"),
    ];
    if let Some(flush) = turns.iter().find(|turns| turns.broker == "flush") {
        let written = figure(flush, |it| it.written / CONTENT);
        let what = "of topic and payload, written";
        told.push(summary::judged(NAME, Some(written), 1.5, what));
        let rate = figure(flush, |it| it.acknowledged) / median(&flushes);
        told.push(rate_told(rate, figure(flush, |it| it.busy)));
    }
    let goal = "see below".to_owned();
    summary.add_line(NAME, "flush", "memory", &turns, Some(goal));
    for verdict in told {
        println!("  {verdict}");
        summary.verdicts.push(verdict);
    }
    Ok(sound)
}

fn rate_told(rate: f64, busy: f64) -> String {
    let word = match (rate >= 20.0, busy >= BUSY) {
        (true, _) => "reached",
        (false, true) => "bound by CPU",
        (false, false) => "MISSED ",
    };
    format!(
        "{NAME:<12} {word} with {rate:.0} acknowledged for each flush of the disk, {:.0} % of all \
         processors in use (goal: at least 20, or bound by CPU)",
        busy * 100.0
    )
}

fn turns(
    place: &Place<'_>,
    brokers: &[Broker],
    flushes: &mut Vec<f64>,
) -> Result<Vec<Turns>, Failure> {
    let mut all: Vec<Turns> = Vec::new();
    for broker in brokers {
        all.push(Turns {
            broker: broker.name.clone(),
            measured: Vec::new(),
            failure: None,
        });
    }
    for _ in 0..place.options.rounds(3) {
        let long = place.options.window.min(Duration::from_secs(1));
        flushes.push(disk::flushes_per_second(place.directory, long)?);
        for (broker, turns) in brokers.iter().zip(&mut all) {
            if turns.failure.is_none() {
                match turn(place, broker) {
                    Ok(figures) => turns.measured.push(Measured::Traffic(figures)),
                    Err(failure) => turns.failure = Some(failure),
                }
            }
        }
    }
    Ok(all)
}

fn turn(place: &Place<'_>, broker: &Broker) -> Result<Figures, Failure> {
    let mut running = broker.start(place.directory)?;
    let outcome = rounds::traffic_turn(&TRAFFIC, &running, place.options, place.directory);
    let figures = outcome.map_err(|failure| running.explain(failure))?;
    running.stop()?;
    // Whoever comes next begins with nothing.
    let store = place.store(&broker.name);
    if store.exists() {
        std::fs::remove_dir_all(store)?;
    }
    Ok(figures)
}

/// The median of a figure of one broker.
fn figure(turns: &Turns, pick: impl Fn(&Figures) -> f64) -> f64 {
    let all: Vec<f64> = report::all_figures(std::slice::from_ref(turns))
        .map(pick)
        .collect();
    median(&all)
}

fn table(turns: &[Turns]) -> bool {
    let heading = [
        "broker",
        "CPU/msg",
        "min..max us",
        "x memory",
        "x mosquitto",
        "generator",
        "acked/s",
        "waits/msg",
        "written/msg",
        "x content",
        "cores",
        "delivery",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let mut sound = true;
    for broker in turns.iter().filter(|turns| !turns.measured.is_empty()) {
        let mut sum = Discrepancies::default();
        for figures in report::all_figures(std::slice::from_ref(broker)) {
            sum.add(&figures.discrepancies);
        }
        sound &= sum.none();
        rows.push(row(broker, turns, &sum));
    }
    report::print_aligned(&rows);
    for turns in turns {
        if let Some(failure) = &turns.failure {
            println!("  ! {} failed: {failure}", turns.broker);
            sound = false;
        }
    }
    sound
}

fn row(broker: &Turns, all: &[Turns], sum: &Discrepancies) -> Vec<String> {
    let of = |pick: fn(&Figures) -> f64| figure(broker, pick);
    let [middle, range] = report::figures(broker);
    let ratio = |to| report::ratio(broker, report::median_of(all, to));
    vec![
        broker.broker.clone(),
        middle,
        range,
        ratio("memory"),
        ratio("mosquitto"),
        report::microseconds(of(|it| it.generator_cpu)),
        format!("{:.0}", of(|it| it.acknowledged)),
        format!("{:.4}", of(|it| it.waits)),
        format!("{:.0} B", of(|it| it.written)),
        format!("{:.2}", of(|it| it.written / CONTENT)),
        format!("{:.2}", of(|it| it.cores)),
        report::delivery(sum),
    ]
}
