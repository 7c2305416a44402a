//! A deep queue: very many messages for one session that is away.
//!
//! ```text
//! fill ─> [ pairs beside it, pairs beside nothing, … ] ─> kill ─> start ─> drain ─> disk at rest
//! ```

use std::time::{Duration, Instant};

use super::broker::{Broker, Running};
use super::connections;
use super::disk;
use super::durability::{PAYLOAD, Place};
use super::failure::Failure;
use super::ledger::Discrepancies;
use super::load::{self, Load};
use super::process::{self, Usage};
use super::report::{self, median};
use super::rounds::{self, Figures, PATIENCE};
use super::summary::{self, Summary};
use super::traffic::{self, Pace, Shape, Traffic};

/// What `--only` calls it.
pub const NAME: &str = "deep-queue";

/// The client that is away.
const SLEEPER: &str = "sleeper";
const PUBLISHERS: usize = 20;
/// What fills the queue: nobody receives anything now.
const FILL: Traffic = Traffic {
    payload: PAYLOAD,
    topics: "deep",
    ..Traffic::of(Shape::Away(PUBLISHERS), 1, traffic::window(200, 50, 200))
};
/// What the client receives when it is back.
const DRAIN: Traffic = Traffic {
    shape: Shape::FanIn(PUBLISHERS),
    ..FILL
};
/// Others, whom a deep queue should not concern.
const OTHERS: Traffic = Traffic {
    payload: PAYLOAD,
    kept: true,
    topics: "others",
    ..Traffic::of(Shape::Pairs(20), 1, Pace::PerSecond(4_000))
};
/// Bytes of topic and payload of each message.
const CONTENT: f64 = (PAYLOAD + "deep/0000".len()) as f64;
/// How long the disk may take to come to rest.
const REST: Duration = Duration::from_secs(30);
const MB: f64 = 1e6;

/// How deep the queue is.
fn depth(place: &Place<'_>) -> u64 {
    match (place.options.full, place.options.quick) {
        (true, _) => 10_000_000,
        (false, true) => 50_000,
        (false, false) => 1_000_000,
    }
}

/// Runs it, and says what came of its goals.
pub fn run(place: &Place<'_>, summary: &mut Summary) -> Result<bool, Failure> {
    let deep = place.postbud("deep", "flush", 2 * depth(place));
    let mut running = deep.start(place.directory)?;
    let filled = fill(place, &running).map_err(|failure| running.explain(failure))?;
    filled.tell();
    let (beside, alone) = beside(place, &running)?;
    let others = Others::of(&beside, &alone);
    others.tell(&beside, &alone);
    running.kill()?;
    let restarted = restart(place, &deep)?;
    restarted.tell();
    let Restarted { mut running, .. } = restarted;
    let drained = drain(place, &running, &filled).map_err(|failure| running.explain(failure))?;
    drained.tell(&filled);
    running.stop()?;

    let written = (filled.written + drained.written) as f64 / filled.messages as f64 / CONTENT;
    let mut told = vec![summary::judged(
        NAME,
        Some(written),
        1.5,
        "of topic and payload, written",
    )];
    if !place.options.quick {
        let most = filled.messages as f64 / 1e6;
        let (cpu, peak) = (restarted.cpu as f64 / 1e9, restarted.peak as f64 / MB);
        told.extend([
            summary::judged(NAME, Some(cpu), 0.5 * most, "seconds of CPU to start"),
            summary::judged(NAME, Some(peak), 100.0 * most, "MB of memory to start"),
            summary::judged(
                NAME,
                Some(drained.left as f64 / MB),
                64.0,
                "MB of the disk left",
            ),
            summary::judged(
                NAME,
                Some(drained.rest.as_secs_f64()),
                5.0,
                "seconds until then",
            ),
        ]);
    }
    told.extend([
        summary::judged(NAME, Some(others.cpu), 1.2, "of others' CPU without it"),
        summary::judged(NAME, Some(others.p99), 1.5, "of others' p99 without it"),
    ]);
    for verdict in told {
        println!("  {verdict}");
        summary.verdicts.push(verdict);
    }
    Ok(drained.discrepancies.none() && others.sound)
}

/// What filling the queue took.
struct Filled {
    /// Messages of each publisher.
    sent: Vec<u64>,
    messages: u64,
    elapsed: Duration,
    cpu: u64,
    written: u64,
    disk: u64,
    resident: u64,
}

fn fill(place: &Place<'_>, running: &Running) -> Result<Filled, Failure> {
    let mut stream = connections::open_kept(&running.way(&FILL)?, SLEEPER, false)?;
    connections::subscribe(
        &mut stream,
        FILL.dialect,
        &[&load::everything(&FILL)],
        FILL.qos,
    )?;
    drop(stream);
    let mut load = Load::connect(&running.way(&FILL)?, &FILL, PATIENCE)?;
    let (began, before) = (Instant::now(), Usage::of(running.pid())?);
    let written = process::written(running.pid())?;
    while load.completed() < depth(place) {
        load.run_for(Duration::from_millis(10))?;
    }
    load.drain()?;
    let discrepancies = load.discrepancies();
    if !discrepancies.none() {
        return Err(Failure::new(format!("it filled with {discrepancies:?}")));
    }
    let sent = load.sent();
    let filled = Filled {
        messages: sent.iter().sum(),
        sent,
        elapsed: began.elapsed(),
        cpu: before.until(&Usage::of(running.pid())?).cpu,
        written: process::written(running.pid())? - written,
        disk: disk::usage(&place.store("deep"))?,
        resident: process::anonymous_resident(running.pid())?,
    };
    load.disconnect();
    Ok(filled)
}

impl Filled {
    fn tell(&self) {
        let each = |total: u64| total as f64 / self.messages as f64;
        println!(
            "  filled     {} messages in {:.1} s, {:.0}/s acknowledged, {:.3} us of CPU and {:.0} B \
             written each ({:.2} x content)",
            self.messages,
            self.elapsed.as_secs_f64(),
            self.messages as f64 / self.elapsed.as_secs_f64(),
            each(self.cpu) / 1e3,
            each(self.written),
            each(self.written) / CONTENT,
        );
        println!(
            "             {:.0} MB of the disk, {:.0} MB of memory, {:.0} B each",
            self.disk as f64 / MB,
            self.resident as f64 / MB,
            each(self.resident),
        );
    }
}

/// Other pairs in the broker with the deep queue and, in turn, in one without.
fn beside(place: &Place<'_>, deep: &Running) -> Result<(Vec<Figures>, Vec<Figures>), Failure> {
    let empty = place.postbud("empty", "flush", 10_000);
    let empty = empty.start(place.directory)?;
    let (mut beside, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..place.options.rounds(3) {
        for (running, figures) in [(deep, &mut beside), (&empty, &mut alone)] {
            let (options, directory) = (place.options, place.directory);
            figures.push(rounds::traffic_turn(&OTHERS, running, options, directory)?);
        }
    }
    empty.stop()?;
    Ok((beside, alone))
}

/// How others fare beside a deep queue, as multiples of how they fare without.
struct Others {
    cpu: f64,
    p99: f64,
    sound: bool,
}

impl Others {
    fn of(beside: &[Figures], alone: &[Figures]) -> Others {
        let ratio = |pick: fn(&Figures) -> f64| of(beside, pick) / of(alone, pick);
        let mut all = beside.iter().chain(alone);
        Others {
            cpu: ratio(|it| it.cpu),
            p99: ratio(p99),
            sound: all.all(|it| it.discrepancies.none()),
        }
    }

    fn tell(&self, beside: &[Figures], alone: &[Figures]) {
        for (what, figures) in [("beside it", beside), ("without", alone)] {
            println!(
                "  {what:<9}  20 pairs, 4,000/s: {:.3} us of CPU each, p99 {:.0} us",
                of(figures, |it| it.cpu) / 1e3,
                of(figures, p99) / 1e3,
            );
        }
        if !self.sound {
            println!("  ! messages of others were lost, repeated or misrouted");
        }
    }
}

fn of(figures: &[Figures], pick: fn(&Figures) -> f64) -> f64 {
    let all: Vec<f64> = figures.iter().map(pick).collect();
    median(&all)
}

fn p99(figures: &Figures) -> f64 {
    figures.latency[1] as f64
}

/// What starting again took.
struct Restarted {
    running: Running,
    elapsed: Duration,
    cpu: u64,
    resident: u64,
    peak: u64,
}

fn restart(place: &Place<'_>, deep: &Broker) -> Result<Restarted, Failure> {
    let began = Instant::now();
    let running = deep.start(place.directory)?;
    let elapsed = began.elapsed();
    let pid = running.pid();
    // All that the process has used so far is what starting took.
    let cpu = Usage::of(pid)?.total();
    Ok(Restarted {
        elapsed,
        cpu,
        resident: process::anonymous_resident(pid)?,
        peak: process::peak_resident(pid)?,
        running,
    })
}

impl Restarted {
    fn tell(&self) {
        println!(
            "  restarted  in {:.2} s after a kill, {:.2} s of CPU; {:.0} MB of memory, at most {:.0} MB",
            self.elapsed.as_secs_f64(),
            self.cpu as f64 / 1e9,
            self.resident as f64 / MB,
            self.peak as f64 / MB,
        );
    }
}

/// What emptying the queue took.
struct Drained {
    elapsed: Duration,
    cpu: u64,
    written: u64,
    discrepancies: Discrepancies,
    left: u64,
    rest: Duration,
}

fn drain(place: &Place<'_>, running: &Running, filled: &Filled) -> Result<Drained, Failure> {
    let pid = running.pid();
    let (began, before) = (Instant::now(), Usage::of(pid)?);
    let written = process::written(pid)?;
    let stream = connections::open_kept(&running.way(&DRAIN)?, SLEEPER, true)?;
    let mut load = Load::collect(stream, &DRAIN, &filled.sent, PATIENCE)?;
    load.drain()?;
    let (elapsed, discrepancies) = (began.elapsed(), load.discrepancies());
    let cpu = before.until(&Usage::of(pid)?).cpu;
    let (left, rest) = disk::settled_usage(&place.store("deep"), REST)?;
    load.disconnect();
    Ok(Drained {
        elapsed,
        cpu,
        written: process::written(pid)? - written,
        discrepancies,
        left,
        rest,
    })
}

impl Drained {
    fn tell(&self, filled: &Filled) {
        let each = |total: u64| total as f64 / filled.messages as f64;
        println!(
            "  drained    in {:.1} s, {:.0}/s, {:.3} us of CPU and {:.0} B written each ({:.2} x content); {}",
            self.elapsed.as_secs_f64(),
            filled.messages as f64 / self.elapsed.as_secs_f64(),
            each(self.cpu) / 1e3,
            each(self.written),
            each(self.written) / CONTENT,
            report::delivery(&self.discrepancies),
        );
        println!(
            "             {:.0} MB of the disk after {:.1} s, {:.0} MB before",
            self.left as f64 / MB,
            self.rest.as_secs_f64(),
            filled.disk as f64 / MB,
        );
    }
}
