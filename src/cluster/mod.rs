//! Which node owns a session.
//!
//! [`Cluster`] is the contract that an engine for several nodes fills later; [`single::Single`] is
//! the broker on its own.

pub mod single;

/// Counts the attachments of sessions to connections: of two claims to one session the one with
/// the greater epoch holds, and whoever acts under a smaller one is too late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// Decides who owns what among several nodes.
pub trait Cluster: Send + Sync {
    /// Claims the session of this Client Identifier for a connection on this node. Each claim gets
    /// an epoch greater than every earlier claim to the same session.
    fn claim(&self, client_id: &str) -> Epoch;
}
