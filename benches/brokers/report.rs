//! Medians, ratios and tables, for a person to read.

use std::fs;

use super::arguments::Options;
use super::broker::Broker;
use super::ledger::Discrepancies;
use super::retained::Retained;
use super::rounds::{Figures, Measured, Turns};
use super::scenario::Scenario;
use super::traffic::Load;

/// Says what is about to run, and on what.
pub fn opening(brokers: &[Broker], options: &Options) {
    let names: Vec<&str> = brokers.iter().map(|broker| broker.name.as_str()).collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!("brokers: {}", names.join(", "));
    println!("machine: {cores} cores, Linux {}", kernel.trim());
    println!(
        "{} turn(s) each or fewer, interleaved, {:?} measured after {:?} of warming up; medians are shown",
        options.rounds(3),
        options.window,
        options.warm_up
    );
    if options.quick {
        println!("quick: of what a heading counts in thousands there is a twentieth or more");
    }
    println!(
        "CPU is user + system time of the broker's process per delivered message; wall time and"
    );
    println!("msg/s depend on how the machine is shared and are not compared");
}

/// Prints one scenario's table. False if something in it is not sound.
pub fn table(scenario: &Scenario, turns: &[Turns]) -> bool {
    println!("\n{}: {}", scenario.name, scenario.what);
    let mut rows = vec![heading(scenario, turns)];
    let references = [reference(scenario), "mosquitto"].map(|name| median_of(turns, name));
    let mut sound = true;
    for turns in turns {
        let mut row = vec![turns.broker.clone()];
        if !turns.measured.is_empty() {
            row.extend(figures(turns));
            row.extend(references.map(|reference| ratio(turns, reference)));
            let (cells, is_sound) = details(turns);
            row.extend(cells);
            sound &= is_sound;
        }
        rows.push(row);
    }
    print_aligned(&rows);
    for turns in turns {
        if let Some(failure) = &turns.failure {
            println!("  ! {} failed: {failure}", turns.broker);
            sound = false;
        }
        tell_generator(turns);
    }
    sound
}

/// What the first ratio is to.
pub fn reference(scenario: &Scenario) -> &'static str {
    let reference = scenario.reference.as_ref();
    reference.map_or("floor", |reference| reference.name)
}

/// Says so if the generator used more CPU than the broker: then the broker may have waited for it, and
/// found smaller batches than under a load from many machines.
fn tell_generator(turns: &Turns) {
    let turns = std::slice::from_ref(turns);
    let of = |pick: fn(&Figures) -> f64| median(&all_figures(turns).map(pick).collect::<Vec<_>>());
    let (own, broker) = (of(|it| it.generator_cpu), of(|it| it.cpu));
    if own > broker {
        let name = &turns[0].broker;
        let more = own / broker;
        println!("  (the generator used {more:.2} times the CPU of {name})");
    }
}

fn heading(scenario: &Scenario, turns: &[Turns]) -> Vec<String> {
    let mut names = match scenario.load {
        Load::Traffic(_) => vec!["broker", "CPU/msg", "min..max us"],
        Load::Idle { .. } => vec!["broker", "bytes each", "min..max"],
        Load::Churn { .. } => vec!["broker", "CPU each", "min..max us"],
        Load::Retained { .. } => vec!["broker", "set + read", "min..max us"],
    };
    let against = format!("x {}", reference(scenario));
    names.extend([against.as_str(), "x mosquitto"]);
    match scenario.load {
        Load::Traffic(_) => {
            names.extend(["generator", "msg/s", "waits/msg", "peak RSS"]);
            let sample = all_figures(turns).next();
            if sample.is_some_and(|figures| figures.system_calls.is_some()) {
                names.push("calls/msg");
            }
            names.extend(["p50 us", "p99", "p99.9", "longest", "delivery"]);
        }
        Load::Idle { .. } => names.push("connections"),
        Load::Churn { .. } => names.push("per CPU-second"),
        Load::Retained { .. } => names.extend([
            "CPU to set",
            "CPU to read",
            "bytes each",
            "at the peak",
            "messages",
            "delivery",
        ]),
    }
    names.into_iter().map(str::to_owned).collect()
}

/// The compared figure of a broker: median and range.
pub fn figures(turns: &Turns) -> [String; 2] {
    let all: Vec<f64> = turns.measured.iter().map(Measured::figure).collect();
    let (low, high) = all
        .iter()
        .fold((f64::MAX, f64::MIN), |(low, high), &figure| {
            (low.min(figure), high.max(figure))
        });
    let middle = median(&all);
    if matches!(turns.measured.first(), Some(Measured::Idle(_))) {
        return [format!("{middle:.0}"), format!("{low:.0}..{high:.0}")];
    }
    [
        microseconds(middle),
        format!("{:.3}..{:.3}", low / 1e3, high / 1e3),
    ]
}

/// The median of a broker's compared figure, as a multiple of another.
pub fn ratio(turns: &Turns, reference: Option<f64>) -> String {
    let own: Vec<f64> = turns.measured.iter().map(Measured::figure).collect();
    reference.map_or("-".to_owned(), |reference| {
        format!("{:.3}", median(&own) / reference)
    })
}

/// What stands behind the compared figure, and whether it is sound.
fn details(turns: &Turns) -> (Vec<String>, bool) {
    let Some(first) = turns.measured.first() else {
        return (Vec::new(), true);
    };
    match first {
        Measured::Idle(idle) => (vec![idle.connections.to_string()], true),
        Measured::Churn { .. } => {
            let each: Vec<f64> = turns.measured.iter().map(Measured::figure).collect();
            (vec![format!("{:.0}", 1e9 / median(&each))], true)
        }
        Measured::Traffic(first) => traffic_details(turns, first),
        Measured::Retained(_) => retained_details(turns),
    }
}

fn retained_details(turns: &Turns) -> (Vec<String>, bool) {
    let all = turns.measured.iter().filter_map(|measured| match measured {
        Measured::Retained(retained) => Some(*retained),
        _ => None,
    });
    let all: Vec<Retained> = all.collect();
    let of = |pick: fn(&Retained) -> f64| median(&all.iter().map(pick).collect::<Vec<_>>());
    let mut sum = Discrepancies::default();
    for retained in &all {
        sum.add(&retained.discrepancies);
    }
    let cells = vec![
        microseconds(of(|it| it.set)),
        microseconds(of(|it| it.read)),
        format!("{:.0}", of(|it| it.bytes_each)),
        format!("{:.0}", of(|it| it.peak_each)),
        format!("{:.0}", of(|it| it.count as f64)),
        delivery(&sum),
    ];
    (cells, sum.none())
}

fn traffic_details(turns: &Turns, first: &Figures) -> (Vec<String>, bool) {
    let of = |pick: &dyn Fn(&Figures) -> f64| {
        let all: Vec<f64> = all_figures(std::slice::from_ref(turns)).map(pick).collect();
        median(&all)
    };
    let mut cells = vec![
        microseconds(of(&|figures| figures.generator_cpu)),
        format!("{:.0}", of(&|figures| figures.rate)),
        format!("{:.4}", of(&|figures| figures.waits)),
        format!(
            "{:.1} MB",
            of(&|figures| figures.peak_resident as f64) / 1e6
        ),
    ];
    if first.system_calls.is_some() {
        cells.push(format!(
            "{:.3}",
            of(&|figures| figures.system_calls.unwrap_or(f64::NAN))
        ));
    }
    for rank in 0..4 {
        let at_rank = |figures: &Figures| figures.latency[rank] as f64;
        cells.push(format!("{:.0}", of(&at_rank) / 1e3));
    }
    let mut sum = Discrepancies::default();
    for figures in all_figures(std::slice::from_ref(turns)) {
        sum.add(&figures.discrepancies);
    }
    cells.push(delivery(&sum));
    (cells, sum.none())
}

pub fn delivery(sum: &Discrepancies) -> String {
    if sum.none() {
        return "complete, once, in order".to_owned();
    }
    let counts = [
        ("LOST", sum.lost),
        ("TWICE", sum.twice),
        ("OUT OF ORDER", sum.out_of_order),
        ("MISROUTED", sum.misrouted),
        ("WRONG ACKNOWLEDGEMENTS", sum.wrong_acknowledgements),
    ];
    let told = counts.iter().filter(|(_, count)| *count > 0);
    told.map(|(what, count)| format!("{what} {count}"))
        .collect::<Vec<_>>()
        .join(", ")
}

pub fn all_figures(turns: &[Turns]) -> impl Iterator<Item = &Figures> {
    turns
        .iter()
        .flat_map(|turns| &turns.measured)
        .filter_map(|measured| match measured {
            Measured::Traffic(figures) => Some(figures),
            _ => None,
        })
}

/// The median of a broker's compared figure, if it has one that can be divided by.
pub fn median_of(turns: &[Turns], broker: &str) -> Option<f64> {
    let turns = turns.iter().find(|turns| turns.broker == broker)?;
    let all: Vec<f64> = turns.measured.iter().map(Measured::figure).collect();
    (!all.is_empty())
        .then(|| median(&all))
        .filter(|median| *median > 0.0)
}

/// The middle of `figures`, or the mean of the two in the middle; NaN if there are none.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
    match (sorted.get(low), sorted.get(high)) {
        (Some(low), Some(high)) => (low + high) / 2.0,
        _ => f64::NAN,
    }
}

pub fn microseconds(nanoseconds: f64) -> String {
    format!("{:.3} us", nanoseconds / 1e3)
}

/// The first column to the left, the last as it is, all others to the right.
pub fn print_aligned(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width_of = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width_of).collect();
    for row in rows {
        let mut line = String::from(" ");
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            match column {
                0 => line.push_str(&format!(" {cell:<width$}")),
                _ if column + 1 == columns => line.push_str(&format!("  {cell}")),
                _ => line.push_str(&format!("  {cell:>width$}")),
            }
        }
        println!("{}", line.trim_end());
    }
}
