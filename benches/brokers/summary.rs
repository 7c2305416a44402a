//! Goals, and the table that says what all scenarios came to.

use std::fmt;
use std::time::Duration;

use super::report::{figures, median, median_of, print_aligned, ratio, reference};
use super::rounds::{Measured, Turns};
use super::scenario::{Goal, Scenario};

/// What all scenarios came to.
#[derive(Default)]
pub struct Summary {
    lines: Vec<Vec<String>>,
    /// Further goals, a sentence each.
    pub verdicts: Vec<String>,
}

impl Summary {
    /// Adds what a scenario of the table came to.
    pub fn add(&mut self, scenario: &Scenario, turns: &[Turns], verdict: Option<&Verdict>) {
        let told = verdict.map(Verdict::to_string);
        self.add_line(scenario.name, "postbud", reference(scenario), turns, told);
    }

    /// Adds a line: what `own` has, beside `against` and mosquitto.
    pub fn add_line(
        &mut self,
        name: &str,
        own: &str,
        against: &str,
        turns: &[Turns],
        told: Option<String>,
    ) {
        let of = |name: &str| {
            let mut turns = turns.iter().filter(|turns| !turns.measured.is_empty());
            turns.find(|turns| turns.broker == name)
        };
        let absent = || "-".to_owned();
        let figure = |name| of(name).map_or_else(absent, |turns| figures(turns)[0].clone());
        let times = |name| of(own).map_or_else(absent, |own| ratio(own, median_of(turns, name)));
        let cell = |pick: &dyn Fn(&Measured) -> Option<u64>, unit: f64, digits: usize| {
            let all = of(own).into_iter().flat_map(|own| &own.measured);
            let all: Vec<f64> = all.filter_map(pick).map(|it| it as f64 / unit).collect();
            match all.is_empty() {
                true => absent(),
                false => format!("{:.digits$}", median(&all)),
            }
        };
        let at = |rank: usize| cell(&|it| it.latency().map(|latency| latency[rank]), 1e3, 0);
        let mut line = vec![name.to_owned()];
        line.extend([own, against, "mosquitto"].map(figure));
        line.extend([times(against), times("mosquitto")]);
        line.extend([at(0), at(1), at(2), cell(&Measured::peak_resident, 1e6, 1)]);
        line.push(told.unwrap_or_else(absent));
        self.lines.push(line);
    }

    /// Prints it, and how long it took.
    pub fn print(self, elapsed: Duration) {
        if !self.lines.is_empty() {
            println!(
                "\nall in one: CPU for each message or connection, or bytes for each connection;"
            );
            println!(
                "latency and memory are postbud's; \"other\" is what the scenario says it is beside"
            );
            let heading = [
                "scenario",
                "postbud",
                "floor/other",
                "mosquitto",
                "x floor/other",
                "x mosquitto",
                "p50 us",
                "p99",
                "p99.9",
                "peak MB",
                "postbud's goal",
            ];
            let mut rows = vec![heading.map(str::to_owned).to_vec()];
            rows.extend(self.lines);
            print_aligned(&rows);
        }
        if !self.verdicts.is_empty() {
            println!("\npostbud's goals for what is kept on the disk");
            for verdict in self.verdicts {
                println!("  {verdict}");
            }
        }
        println!("\n{:.0} s in all", elapsed.as_secs_f64());
    }
}

/// What came of a goal.
pub struct Verdict {
    /// The figure, if there is one.
    reached: Option<f64>,
    bound: f64,
    /// Whether the figure must not be below the bound, rather than not above it.
    at_least: bool,
    what: String,
}

/// What came of a scenario's goal, if it has one.
pub fn verdict(scenario: &Scenario, turns: &[Turns]) -> Option<Verdict> {
    let goal = scenario.goal?;
    let own = median_of(turns, "postbud");
    let times = |other: &str| Some(own? / median_of(turns, other)?);
    let (reached, bound, what) = match goal {
        Goal::TimesFloor(bound) => (times("floor"), bound, "x floor".to_owned()),
        Goal::TimesReference(bound) => {
            let name = reference(scenario);
            (times(name), bound, format!("x {name}"))
        }
        Goal::Below(bytes) => (own, bytes, "bytes each".to_owned()),
        Goal::PerCpuSecond(count) => {
            let of = |broker: &str| Some(1e9 / median_of(turns, broker)?);
            let floor = of("floor").filter(|floor| *floor < count);
            let beyond = floor.map(|floor| format!("; the floor has {floor:.0}"));
            let what = format!("per CPU-second{}", beyond.unwrap_or_default());
            (of("postbud"), count, what)
        }
    };
    Some(Verdict {
        reached,
        bound,
        at_least: matches!(goal, Goal::PerCpuSecond(_)),
        what,
    })
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { bound, what, .. } = self;
        let digits = if *bound < 20.0 { 2 } else { 0 };
        let side = if self.at_least { "at least" } else { "at most" };
        match self.reached {
            None => write!(out, "not judged")?,
            Some(reached) => {
                let missed = (reached < *bound) == self.at_least && reached != *bound;
                let word = if missed { "MISSED " } else { "reached" };
                write!(out, "{word} with {reached:.digits$}")?;
            }
        }
        write!(out, " (goal: {side} {bound:.digits$} {what})")
    }
}

/// The sentence on a goal: a figure that must not exceed `bound`.
pub fn judged(name: &str, reached: Option<f64>, bound: f64, what: &str) -> String {
    let verdict = Verdict {
        reached,
        bound,
        at_least: false,
        what: what.to_owned(),
    };
    format!("{name:<12} {verdict}")
}
