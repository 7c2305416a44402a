//! `postbud store`: what is in a store that no broker has open, and the way out of it and into another.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::moment::Moment;
use crate::store::archive::report::Inspection;
use crate::store::archive::{self, report};

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub(super) enum StoreCommand {
    /// Say what is in a store, and what of it is damaged
    Inspect(Looked),
    /// Read every record and message; exit code 1 if anything is damaged or missing
    Verify(Looked),
    /// Write everything to standard output, as lines of JSON
    Export {
        /// The store's folder
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Make a store of lines from standard input
    Import {
        /// A folder that is empty, or does not exist
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct Looked {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The store's folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Does what was asked for. What was found wrong is an error, told after what was found.
pub(super) fn run(command: &StoreCommand) -> Result<(), Box<dyn Error>> {
    match command {
        StoreCommand::Inspect(it) => {
            let found = archive::inspect(&it.folder).map_err(|error| of(&it.folder, error))?;
            print(&it.folder, it.json, &found)
        }
        StoreCommand::Verify(it) => {
            let found = archive::verify(&it.folder).map_err(|error| of(&it.folder, error))?;
            print(&it.folder, it.json, &found)?;
            sound(&it.folder, found.damage.len())
        }
        StoreCommand::Export { folder } => {
            let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
            let damage = archive::export(folder, &mut out).map_err(|error| of(folder, error))?;
            drop(out);
            for it in &damage {
                eprintln!("postbud: {}: {it}", folder.display());
            }
            sound(folder, damage.len())
        }
        StoreCommand::Import { folder } => {
            let mut lines = io::BufReader::with_capacity(1 << 20, io::stdin().lock());
            let it = archive::import(folder, &mut lines).map_err(|error| of(folder, error))?;
            eprintln!(
                "postbud: {}: imported {} sessions, {} groups and {} messages ({} retained)",
                folder.display(),
                it.sessions,
                it.groups,
                it.messages,
                it.retained
            );
            Ok(())
        }
    }
}

/// An error, and of which folder it is.
#[derive(Debug)]
struct Of<E> {
    folder: PathBuf,
    error: E,
}

fn of<E>(folder: &Path, error: E) -> Of<E> {
    let folder = folder.to_owned();
    Of { folder, error }
}

impl<E: std::fmt::Display> std::fmt::Display for Of<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.folder.display(), self.error)
    }
}

impl<E: Error> Error for Of<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

fn sound(folder: &Path, damage: usize) -> Result<(), Box<dyn Error>> {
    match damage {
        0 => Ok(()),
        _ => Err(format!("{}: the store is damaged: see above", folder.display()).into()),
    }
}

fn print(folder: &Path, json: bool, found: &Inspection) -> Result<(), Box<dyn Error>> {
    let text = match json {
        true => serde_json::to_string(found)? + "\n",
        false => table(folder, found),
    };
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    Ok(written.map_err(report::Error::Output)?)
}

fn table(folder: &Path, found: &Inspection) -> String {
    let mut text = String::new();
    let mut row = |name: &str, what: String| {
        let _ = writeln!(text, "{name:<14}{what}");
    };
    row(
        "store",
        format!("{}, format {}", folder.display(), found.format),
    );
    row("last heard of", Moment(found.clock).to_string());
    row(
        "sessions",
        format!(
            "{} with {} subscriptions, {} messages in flight and {} queued",
            found.sessions, found.subscriptions, found.in_flight, found.queued
        ),
    );
    row(
        "groups",
        format!("{} with {} messages waiting", found.groups, found.backlog),
    );
    row("delayed", format!("{} messages", found.delayed));
    row("retained", format!("{} messages", found.retained));
    let bytes = found
        .message_bytes
        .map_or(String::new(), |it| format!(", {it} bytes"));
    row("messages", format!("{}{bytes}", found.messages));
    let used: u64 = found.segments.iter().map(|it| it.used).sum();
    let disk: u64 = found.segments.iter().map(|it| it.disk).sum();
    row(
        "log",
        format!(
            "{} entries, {used} bytes in {} segments of {disk} bytes",
            found.entries,
            found.segments.len()
        ),
    );
    for it in &found.segments {
        row(
            "",
            format!("segment {}: {} of {} bytes", it.number, it.used, it.disk),
        );
    }
    for it in &found.notes {
        row("note", it.clone());
    }
    match found.damage.is_empty() {
        true => row("damage", "none".to_owned()),
        false => found
            .damage
            .iter()
            .for_each(|it| row("DAMAGED", it.clone())),
    }
    text
}
