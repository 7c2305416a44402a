//! What is kept, and how safely.

use std::path::PathBuf;

/// Where state is kept and what an acknowledgement promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Directory of the store. Not touched while `durability` is `Memory`.
    pub path: PathBuf,
    /// What must have happened to a message before it is acknowledged.
    pub durability: Durability,
}

/// How safe a message is when its acknowledgement leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// Held in memory: it outlives the connection, not the process.
    #[default]
    Memory,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: PathBuf::from("data"),
            durability: Durability::Memory,
        }
    }
}
