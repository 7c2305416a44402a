//! Client Identifier to session.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

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

type Shard = HashMap<Arc<str>, SessionRef>;

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
        self.shard(client_id).lock().get(client_id).cloned()
    }

    /// Adds a session unless its Client Identifier has one; returns whether it was added.
    pub(super) fn add(&self, session: &SessionRef) -> bool {
        match self
            .shard(&session.client_id)
            .lock()
            .entry(Arc::clone(&session.client_id))
        {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(session.clone());
                true
            }
        }
    }

    /// Removes this session, if its Client Identifier has not passed to another.
    pub(super) fn remove(&self, session: &SessionRef) {
        let mut shard = self.shard(&session.client_id).lock();
        if shard
            .get(&session.client_id)
            .is_some_and(|known| known == session)
        {
            shard.remove(&session.client_id);
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
            let sessions: Vec<SessionRef> = shard.lock().values().cloned().collect();
            sessions.iter().for_each(&mut visit);
        }
    }
}
