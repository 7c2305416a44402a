//! Who runs when: for each scenario, the brokers in turn, several rounds of it.
//!
//! ```text
//! turn:  start ─> connect ─> warm up ─> [ window ] ─> drain ─> check the ledgers ─> stop
//!                                       CPU before and after
//! ```

use std::path::Path;
use std::time::{Duration, Instant};

use super::arguments::Options;
use super::broker::{Broker, Running, Scratch};
use super::certificate::Certificate;
use super::connections::{self, Idle};
use super::durability;
use super::failure::Failure;
use super::floor::Fault;
use super::ledger::Discrepancies;
use super::load;
use super::process::{self, Machine, SystemCalls, Usage};
use super::report;
use super::retained::{self, Retained};
use super::scenario::{self, Scenario};
use super::summary::{self, Summary};
use super::traffic::{Load, Traffic};

/// How long a broker may make no progress.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A window is followed by others as long as the broker has used less CPU than this, in nanoseconds: what
/// the kernel tells is exact to 4 ms only.
const ENOUGH: u64 = 50_000_000;
/// So many at most.
const WINDOWS: usize = 8;

/// What one turn of one broker gave.
#[derive(Debug, Clone)]
pub enum Measured {
    /// Messages.
    Traffic(Figures),
    /// Idle connections.
    Idle(Idle),
    /// Connections that came and went.
    Churn {
        /// Broker CPU for each, in nanoseconds.
        cpu_each: f64,
    },
    /// Retained messages.
    Retained(Retained),
}

/// What a turn with messages gave.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Broker CPU per delivered message, in nanoseconds.
    pub cpu: f64,
    /// The generator's.
    pub generator_cpu: f64,
    /// Delivered messages per second of wall time.
    pub rate: f64,
    /// Times that a thread of the broker waited, per delivered message.
    pub waits: f64,
    /// The broker's system calls per delivered message, where counted.
    pub system_calls: Option<f64>,
    /// The most memory resident, in bytes.
    pub peak_resident: u64,
    /// Messages acknowledged to their publishers per second of wall time.
    pub acknowledged: f64,
    /// Bytes that the broker wrote to the disk, per delivered message.
    pub written: f64,
    /// Processors that the broker used.
    pub cores: f64,
    /// The share of all processors that was in use, by whomever.
    pub busy: f64,
    /// Latency in nanoseconds: p50, p99, p99.9, longest.
    pub latency: [u64; 4],
    /// What the ledgers say.
    pub discrepancies: Discrepancies,
}

impl Measured {
    /// The figure that is compared between brokers; less is better.
    pub fn figure(&self) -> f64 {
        match self {
            Measured::Traffic(figures) => figures.cpu,
            Measured::Idle(idle) => idle.bytes_each,
            Measured::Churn { cpu_each } => *cpu_each,
            Measured::Retained(retained) => retained.set + retained.read,
        }
    }

    /// Latency in nanoseconds, where measured: p50, p99, p99.9, longest.
    pub fn latency(&self) -> Option<[u64; 4]> {
        match self {
            Measured::Traffic(figures) => Some(figures.latency),
            _ => None,
        }
    }

    /// The most memory resident, in bytes, where looked at.
    pub fn peak_resident(&self) -> Option<u64> {
        match self {
            Measured::Traffic(figures) => Some(figures.peak_resident),
            Measured::Retained(retained) => Some(retained.peak_resident),
            _ => None,
        }
    }
}

/// What one broker's turns in one scenario gave.
#[derive(Debug)]
pub struct Turns {
    /// The broker's name.
    pub broker: String,
    /// One for each round.
    pub measured: Vec<Measured>,
    /// What ended the turns early.
    pub failure: Option<Failure>,
}

/// Runs all that is asked for. False if a broker failed, or lost, repeated or reordered messages.
pub fn run(options: &Options) -> Result<bool, Failure> {
    let brokers = brokers(options)?;
    let scenarios = scenarios(options)?;
    let kept = durability::chosen(options);
    let scratch = Scratch::new()?;
    let began = Instant::now();
    report::opening(&brokers, options);
    let (mut sound, mut summary) = (true, Summary::default());
    for scenario in scenarios {
        let turns = turns(scenario, &brokers, options, scratch.path());
        sound &= report::table(scenario, &turns);
        let verdict = summary::verdict(scenario, &turns);
        if let Some(verdict) = &verdict {
            println!("  postbud: {verdict}");
        }
        summary.add(scenario, &turns, verdict.as_ref());
    }
    sound &= durability::run(&kept, &brokers, options, &mut summary)?;
    summary.print(began.elapsed());
    Ok(sound)
}

fn brokers(options: &Options) -> Result<Vec<Broker>, Failure> {
    let built_in = [
        Broker::postbud(),
        Broker::mosquitto(),
        Some(Broker::floor(Fault::None)),
    ];
    let mut brokers: Vec<Broker> = built_in.into_iter().flatten().collect();
    for (name, line) in &options.extra {
        let broker = Broker::command(name, line);
        // One that is called like a built-in one stands in for it, goals included.
        match brokers.iter_mut().find(|known| known.name == *name) {
            Some(known) => *known = broker,
            None => brokers.push(broker),
        }
    }
    for wanted in &options.brokers {
        if !brokers.iter().any(|broker| broker.name == *wanted) {
            return Err(Failure::new(format!("there is no broker {wanted:?} here")));
        }
    }
    if options.brokers.is_empty() {
        for name in ["postbud", "mosquitto"] {
            if !brokers.iter().any(|broker| broker.name == name) {
                eprintln!("brokers: there is no {name} here, so it is left out");
            }
        }
    } else {
        brokers.retain(|broker| options.brokers.contains(&broker.name));
    }
    Ok(brokers)
}

fn scenarios(options: &Options) -> Result<Vec<&'static Scenario>, Failure> {
    let kept = durability::NAMED.iter().map(|(name, _)| *name);
    let names = scenario::TABLE.iter().map(|scenario| scenario.name);
    for wanted in &options.only {
        let mut names = names.clone().chain(kept.clone());
        if !names.any(|name| name.starts_with(wanted.as_str())) {
            return Err(Failure::new(format!(
                "there is no scenario {wanted:?} (see --list)"
            )));
        }
    }
    let asked_for = |name: &str| {
        options
            .only
            .iter()
            .any(|only| name.starts_with(only.as_str()))
    };
    let all = options.only.is_empty() && !options.durability;
    Ok(scenario::TABLE
        .iter()
        .filter(|scenario| all || asked_for(scenario.name))
        .collect())
}

/// Who takes turns in a scenario: a name, the broker, and the load.
fn competitors<'a>(
    scenario: &'a Scenario,
    brokers: &'a [Broker],
) -> Vec<(&'a str, &'a Broker, &'a Load)> {
    let mut all = Vec::new();
    let can = |it: &&Broker| {
        (scenario.floor || it.name != "floor") && (!scenario.load.tls() || it.speaks_tls())
    };
    for broker in brokers.iter().filter(can) {
        all.push((broker.name.as_str(), broker, &scenario.load));
        if let (Some(reference), "postbud") = (&scenario.reference, broker.name.as_str()) {
            all.push((reference.name, broker, &reference.load));
        }
    }
    all
}

fn turns(
    scenario: &Scenario,
    brokers: &[Broker],
    options: &Options,
    directory: &Path,
) -> Vec<Turns> {
    let competitors = competitors(scenario, brokers);
    let mut all: Vec<Turns> = Vec::new();
    for (name, _, _) in &competitors {
        all.push(Turns {
            broker: (*name).to_owned(),
            measured: Vec::new(),
            failure: None,
        });
    }
    for _ in 0..options.rounds(scenario.rounds) {
        for ((_, broker, load), turns) in competitors.iter().zip(&mut all) {
            // A broker that failed once would only waste the time of the others.
            if turns.failure.is_none() {
                match turn(load, broker, options, directory) {
                    Ok(measured) => turns.measured.push(measured),
                    Err(failure) => turns.failure = Some(failure),
                }
            }
        }
    }
    all
}

fn turn(
    load: &Load,
    broker: &Broker,
    options: &Options,
    directory: &Path,
) -> Result<Measured, Failure> {
    let mut running = match load {
        Load::Retained { .. } => broker.without_bounds().start(directory)?,
        _ if load.tls() => broker
            .with_tls(Certificate::write(directory)?)
            .start(directory)?,
        _ => broker.start(directory)?,
    };
    let outcome = match *load {
        Load::Traffic(traffic) => {
            traffic_turn(&traffic.scaled(options.quick), &running, options, directory)
                .map(Measured::Traffic)
        }
        Load::Idle {
            connections,
            quick,
            tls,
        } => {
            let settle = Duration::from_millis(if options.quick { 1500 } else { 8000 });
            let count = within_descriptors(if options.quick { quick } else { connections })?;
            let way = running.way_for_idle(tls)?;
            connections::idle(&way, running.pid(), count, settle).map(Measured::Idle)
        }
        Load::Churn {
            connections,
            quick,
            at_once,
        } => {
            let count = if options.quick { quick } else { connections };
            churn_turn(&running, count, at_once)
        }
        Load::Retained { count, quick } => {
            let count = if options.quick { quick } else { count };
            retained::run(&running, count).map(Measured::Retained)
        }
    };
    let measured = outcome.map_err(|failure| running.explain(failure))?;
    running.stop()?;
    Ok(measured)
}

/// Loads `running` with `traffic` and measures a window of it.
pub fn traffic_turn(
    traffic: &Traffic,
    running: &Running,
    options: &Options,
    directory: &Path,
) -> Result<Figures, Failure> {
    let (broker, generator) = (running.pid(), std::process::id());
    let mut load = load::Load::connect(&running.way(traffic)?, traffic, PATIENCE)?;
    load.run_for(options.warm_up)?;
    load.latency().clear();

    let (began, already) = (Instant::now(), load.received());
    let (acknowledged, machine) = (load.completed(), Machine::now()?);
    let written = process::written(broker)?;
    let (broker_before, generator_before) = (Usage::of(broker)?, Usage::of(generator)?);
    let mut used = broker_before.until(&Usage::of(broker)?);
    for _ in 0..WINDOWS {
        load.run_for(options.window)?;
        used = broker_before.until(&Usage::of(broker)?);
        if used.cpu >= ENOUGH {
            break;
        }
    }
    let generator_used = generator_before.until(&Usage::of(generator)?);
    let (elapsed, delivered) = (began.elapsed(), load.received() - already);
    let written = process::written(broker)? - written;
    let busy = machine.busy_until(&Machine::now()?);
    let acknowledged = load.completed() - acknowledged;
    let latency = load.latency();
    let at = |quantile| latency.quantile(quantile);
    let latency = [at(0.5), at(0.99), at(0.999), latency.longest()];
    if delivered == 0 {
        return Err(Failure::new("nothing was delivered in the measured window"));
    }

    let mut system_calls = None;
    if options.syscalls {
        system_calls = Some(count_system_calls(&mut load, broker, directory)?);
    }
    load.drain()?;
    let discrepancies = load.discrepancies();
    if discrepancies.lost > 0 {
        // Lost, or only stuck? A broker that still serves accepts a connection.
        let stuck = |failure: Failure| failure.while_doing("the broker is stuck");
        connections::open(&running.way(traffic)?, "still-there").map_err(stuck)?;
    }
    let peak_resident = process::peak_resident(broker)?;
    load.disconnect();
    let each = |total: u64| total as f64 / delivered as f64;
    Ok(Figures {
        cpu: each(used.cpu),
        generator_cpu: each(generator_used.cpu),
        rate: delivered as f64 / elapsed.as_secs_f64(),
        waits: each(used.waits),
        system_calls,
        peak_resident,
        acknowledged: acknowledged as f64 / elapsed.as_secs_f64(),
        written: each(written),
        cores: used.cpu as f64 / elapsed.as_nanos() as f64,
        busy,
        latency,
        discrepancies,
    })
}

/// System calls per delivered message, from a quiet moment to a quiet moment, so that nothing was
/// on its way at either. Being traced makes a broker slow, and a slow one finds more to do at each
/// wake: read the figure as a lower bound.
fn count_system_calls(
    load: &mut load::Load,
    broker: u32,
    directory: &Path,
) -> Result<f64, Failure> {
    load.drain()?;
    let counter = SystemCalls::count(broker, directory)?;
    let already = load.received();
    load.run_for(Duration::from_millis(500))?;
    load.drain()?;
    let delivered = load.received() - already;
    Ok(counter.finish()? as f64 / delivered.max(1) as f64)
}

fn churn_turn(running: &Running, count: usize, at_once: usize) -> Result<Measured, Failure> {
    connections::churn(running.address(), at_once, at_once)?;
    let before = Usage::of(running.pid())?;
    connections::churn(running.address(), count, at_once)?;
    // The last batch's closes belong to the count, too.
    std::thread::sleep(Duration::from_millis(20));
    let used = before.until(&Usage::of(running.pid())?);
    Ok(Measured::Churn {
        cpu_each: used.cpu as f64 / count as f64,
    })
}

/// As many connections as the descriptor limit leaves room for, here and in the broker.
fn within_descriptors(wanted: usize) -> Result<usize, Failure> {
    let limit = process::descriptor_limits()?.soft;
    Ok(wanted.min(limit.saturating_sub(200) as usize).max(1))
}
