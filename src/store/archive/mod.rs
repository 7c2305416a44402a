//! A store that no broker has open: what is in it, whether it is whole, and the way out of it and into
//! another as lines of JSON.
//!
//! ```text
//!   folder ── inspect, verify ──> Inspection           nothing in it is changed
//!          ── export ──> lines ── import ──> folder    an empty one, and all of it or nothing
//! ```
//!
//! Reading keeps a broker from opening the store meanwhile, as a broker that has it open keeps others
//! from reading.

pub mod line;
pub mod report;

use std::io::{BufRead, Write};
use std::path::Path;

use super::disk;
use report::{Error, ImportError, Imported, Inspection};

/// What is in a store.
///
/// # Errors
///
/// If there is none, it is in use, of a later version, or the disk fails.
pub fn inspect(folder: &Path) -> Result<Inspection, Error> {
    disk::inspect::inspect(folder)
}

/// The same, and every message is read back: what is missing is among the damage.
///
/// # Errors
///
/// As [`inspect`].
pub fn verify(folder: &Path) -> Result<Inspection, Error> {
    disk::inspect::verify(folder)
}

/// Writes all that a broker would find; see [`mod@line`]. Returns what is damaged and so is not in it.
///
/// # Errors
///
/// As [`inspect`], or if the lines cannot be written.
pub fn export(folder: &Path, to: &mut dyn Write) -> Result<Vec<String>, Error> {
    disk::export::export(folder, to)
}

/// Makes a store of lines, in a folder that is empty or does not exist.
///
/// # Errors
///
/// If the folder is not empty, a line is not right, or the disk fails. The folder is empty again then.
pub fn import(folder: &Path, from: &mut dyn BufRead) -> Result<Imported, ImportError> {
    disk::import::import(folder, from)
}
