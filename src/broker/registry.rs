//! Client Identifier to session.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use parking_lot::Mutex;

use super::shared::SessionRef;

/// Every session of the broker by its Client Identifier, in shards so that a storm of connects
/// does not queue up at one lock.
///
/// Invariant: a session is in the registry exactly until it has ended.
pub(super) struct Registry {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
}

type Shard = HashSet<Named>;

/// A session as its Client Identifier, so that a table of them holds nothing else.
struct Named(SessionRef);

impl Borrow<str> for Named {
    fn borrow(&self) -> &str {
        &self.0.client_id
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.0.client_id == other.0.client_id
    }
}

impl Eq for Named {}

impl Hash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.client_id.hash(state);
    }
}

const SHARDS: usize = 64;

impl Default for Registry {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Registry {
    fn shard(&self, client_id: &str) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(client_id) as usize % SHARDS]
    }

    /// The session of this Client Identifier.
    pub(super) fn find(&self, client_id: &str) -> Option<SessionRef> {
        let shard = self.shard(client_id).lock();
        shard.get(client_id).map(|known| known.0.clone())
    }

    /// Adds a session unless its Client Identifier has one; returns whether it was added.
    pub(super) fn add(&self, session: &SessionRef) -> bool {
        // One that is there stays.
        let mut shard = self.shard(&session.client_id).lock();
        shard.insert(Named(session.clone()))
    }

    /// Removes this session, if its Client Identifier has not passed to another.
    pub(super) fn remove(&self, session: &SessionRef) {
        let mut shard = self.shard(&session.client_id).lock();
        let client_id = &*session.client_id;
        if shard
            .get(client_id)
            .is_some_and(|known| known.0 == *session)
        {
            shard.remove(client_id);
            if shard.len() < shard.capacity() / 4 {
                shard.shrink_to_fit();
            }
        }
    }

    /// Visits every session, a shard at a time. `visit` must not use the registry.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&SessionRef)) {
        for shard in &self.shards {
            // Collected first: what is done with a session takes its locks, which come before the
            // registry's.
            let sessions: Vec<SessionRef> = shard.lock().iter().map(|it| it.0.clone()).collect();
            sessions.iter().for_each(&mut visit);
        }
    }
}
