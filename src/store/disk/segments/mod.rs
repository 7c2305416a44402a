//! A segmented log of opaque entries that survives power loss, torn writes and bad sectors.
//!
//! # The shape
//!
//! ```text
//!   append ──> chunks (memory) ──commit──> file ──fdatasync──> durable
//!
//!   segment 7   offset 0 ........................... end      what a Location names
//!   files       [ 0000000009.log         ][ 0000000011.log ]  parts: 9 failed to be written at some
//!                 number 9, base 0          number 11, base X  offset X, and 11 went on from there
//! ```
//!
//! An entry is named by its segment and its offset there for as long as the segment exists. A segment
//! is one file, or several after failures: a file whose write or flush failed is never written again
//! (what the page cache says of it cannot be trusted); everything since the last good flush is still
//! in a chunk, and is written to a new file that takes over from the old one at the chunk's offset.
//!
//! | file | what |
//! |---|---|
//! | `0000000001.log` | records of a segment, from its base on; see `format.rs` |
//! | `mark-a`, `mark-b` | written in turn: which files must exist, and what has been promised |
//! | `0000000001.spare` | a retired file, to be used again without writing zeros first |
//! | `reserve` | zeros: room for what makes the log smaller when the disk is full |
//! | `damaged/` | files that were set aside |
//! | `lock` | held by the process that has the log open |
//!
//! # Invariants
//!
//! - Sequences are consecutive. Sequences below `durable` were flushed before anybody was told so.
//! - File and segment numbers only grow, and the checksum of a record covers its segment and offset,
//!   so what a file held in an earlier life is never taken for a record.
//! - A file takes over all sequences from its `first` on: what older files hold of them counts no more.
//! - A file is listed in the mark only after it was flushed, and removed only after a flushed mark no
//!   longer lists it. So a listed file that is missing was lost, and an old one unlisted was retired.
//! - A bad place is a torn tail if nothing at or after it was ever promised; then the log ends there,
//!   and a new file begins. Otherwise it is damage: what follows is kept, what is missing is named.
//! - A file that has another name as well, in a copy, is never used again; while somebody has a picture
//!   of the log, files that are given up stay where they are (`picture.rs`).
//! - Opening never writes to a file of records but to make durable what it found there.

pub mod error;
pub mod files;
mod format;
mod gist;
mod inventory;
pub mod log;
mod look;
mod mark;
pub mod picture;
mod recovery;
mod repair;
mod retire;
mod room;
mod scan;
pub mod still;
mod told;
pub mod types;
mod write;

pub use format::VERSION;

#[cfg(test)]
pub mod faulty;
#[cfg(test)]
mod tests;
