//! What is kept on the disk: which scenarios there are, where they run, and what is expected.

use std::path::{Path, PathBuf};

use super::arguments::Options;
use super::broker::{Broker, Keeping, Scratch};
use super::failure::Failure;
use super::summary::Summary;
use super::{deep, disk, kept};

/// Bytes of each payload.
pub const PAYLOAD: usize = 200;

/// The scenarios: what `--only` calls them, and what they are.
pub const NAMED: [(&str, &str); 2] = [
    (
        kept::NAME,
        "50 publishers -> 50 subscribers with sessions that are kept, 200 B, QoS 1, 20 outstanding",
    ),
    (
        deep::NAME,
        "very many messages of 200 B, QoS 1, for one session that is away: restart, end, neighbours",
    ),
];

/// The scenarios that were asked for.
pub fn chosen(options: &Options) -> Vec<&'static str> {
    let asked_for = |name: &str| {
        let mut only = options.only.iter();
        options.only.is_empty() || only.any(|only| name.starts_with(only.as_str()))
    };
    let names = NAMED.iter().map(|(name, _)| *name);
    names.filter(|name| asked_for(name)).collect()
}

/// Where a scenario runs, and with what.
pub struct Place<'a> {
    /// The postbud to be measured.
    pub postbud: &'a Broker,
    /// The mosquitto to be compared with, if there is one.
    pub mosquitto: Option<&'a Broker>,
    /// A directory on the disk.
    pub directory: &'a Path,
    /// How to run it.
    pub options: &'a Options,
}

impl Place<'_> {
    /// A postbud that keeps what comes as `durability` says, for queues of so many messages, in a
    /// store of its own.
    pub fn postbud(&self, name: &str, durability: &'static str, queue: u64) -> Broker {
        let path = self.store(name);
        self.postbud.that_keeps(
            name,
            Keeping {
                durability,
                path,
                queue,
            },
        )
    }

    /// Where the store of that postbud is.
    pub fn store(&self, name: &str) -> PathBuf {
        self.directory.join(format!("store-{name}"))
    }
}

/// Runs the scenarios `names`; false if something in them is not sound.
pub fn run(
    names: &[&str],
    brokers: &[Broker],
    options: &Options,
    summary: &mut Summary,
) -> Result<bool, Failure> {
    let of = |name: &str| brokers.iter().find(|broker| broker.name == name);
    let (Some(postbud), false) = (of("postbud"), names.is_empty()) else {
        return Ok(true);
    };
    // Cargo's own place for such files is on the disk that everything is built on.
    let target = option_env!("CARGO_TARGET_TMPDIR").map(PathBuf::from);
    let target = target.filter(|it| it.is_dir());
    let scratch = Scratch::within(&target.unwrap_or_else(std::env::temp_dir))?;
    println!("\nstores are on {}", disk::kind(scratch.path()));
    let place = Place {
        postbud,
        mosquitto: of("mosquitto"),
        directory: scratch.path(),
        options,
    };
    let mut sound = true;
    for (name, what) in NAMED.iter().filter(|(name, _)| names.contains(name)) {
        println!("\n{name}: {what}");
        let outcome = match *name {
            kept::NAME => kept::run(&place, summary),
            _ => deep::run(&place, summary),
        };
        sound &= outcome.unwrap_or_else(|failure| {
            println!("  ! {name} failed: {failure}");
            false
        });
    }
    Ok(sound)
}
