//! From `postbud.toml` and the environment to each room's own `Options`.
//!
//! ```text
//!   config/postbud.toml ─┐   built into the binary; replaced whole by --config FILE
//!   FILE ────────────────┤
//!                        ▼
//!                 file: TOML, each value with its place ──┐
//!                                                         ▼
//!   POSTBUD_… ──► environment: the same, by name ──► assignments: the later one goes before
//!                                                         │
//!                    keys: what there is to set  ──────►  ▼
//!                    value: how it may be written     settings: all rooms' Options, checked
//!                                                         │  across keys
//!                                                         ▼
//!                                                       Config, or every Problem with its place
//! ```
//!
//! Invariants:
//!
//! - `keys` is the only list of settings. The file, the environment, the suggestions for
//!   misspelt names and the test that `config/postbud.toml` is complete all read it.
//! - What a file does not name has the `Default` of the room's `Options`.
//! - Each key says whether another value of it applies at once when the configuration is read again, or
//!   after a restart. `changes` puts together what is in force then: by key, never by room.
//! - The broker starts with a configuration that is right as a whole or not at all; everything that
//!   is wrong is reported at once, each with FILE:LINE:COLUMN or the variable's name, what is
//!   wrong and what was expected.
//!
//! Read again, the same way is gone with what is written now; `changes` compares it with what was, and what
//! is in force then is settled like any other configuration.
//!
//! No room below imports this one: it imports their `options`.

mod acl;
mod assignments;
mod changes;
mod conflicts;
mod entrance;
mod environment;
mod error;
mod file;
mod groups;
mod keys;
mod listeners;
mod load;
mod log;
mod settings;
mod suggestion;
mod token;
mod units;
mod value;

pub use changes::Change;
pub use error::{Error, Place, Position, Problem};
pub use keys::Applies;
pub use load::{Config, Origin};
pub use log::{Level, Options as LogOptions};

#[cfg(test)]
mod tests;
