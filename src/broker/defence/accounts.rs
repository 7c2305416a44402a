//! What is counted of users, addresses and clients, in tables of a bounded size.
//!
//! An account that nobody uses and that owes nothing is as good as a new one, so forgetting it changes
//! nothing. When a table is full, those are forgotten first; only if there are none, those that would be as
//! good as new soonest are. So whoever comes with many names pays with each of them, and gains by it at most
//! what a new name gets anyway; those who are connected keep their accounts in any case.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::bucket::{Bucket, Tick, Window};

/// What is counted of one of them.
#[derive(Debug, Default)]
pub struct Account {
    /// Packets.
    pub messages: Bucket,
    /// Bytes.
    pub bytes: Bucket,
    /// Connects.
    pub connects: Bucket,
    /// Connections there are.
    pub connections: AtomicUsize,
    /// Those of them that have not opened a session.
    pub handshakes: AtomicUsize,
    /// Failures of an address, connects of a client.
    pub events: Mutex<Window>,
}

impl Account {
    /// When it will be as good as a new one.
    fn blank(&self) -> Tick {
        let buckets = [&self.messages, &self.bytes, &self.connects].map(Bucket::full);
        let window = self.events.lock().end();
        buckets.into_iter().fold(window, Tick::max)
    }
}

/// Takes a place of so many; whether there was one.
pub fn take_place(places: &AtomicUsize, most: usize) -> bool {
    let taken = places.fetch_add(1, Ordering::Relaxed);
    let there = most == 0 || taken < most;
    if !there {
        give_place_back(places);
    }
    there
}

/// Gives a place back.
pub fn give_place_back(places: &AtomicUsize) {
    places.fetch_sub(1, Ordering::Relaxed);
}

/// Accounts by name.
///
/// Invariant: a shard has no more accounts than its share of the table, or an eighth more than those that
/// somebody uses, whichever is more.
#[derive(Debug)]
pub struct Accounts<K> {
    shards: Box<[Mutex<Shard<K>>]>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Shard<K> {
    accounts: HashMap<K, Arc<Account>>,
    /// So many accounts are the next reason to look for some to forget.
    sweep_at: usize,
}

const SHARDS: usize = 32;

impl<K> Default for Accounts<K> {
    fn default() -> Self {
        let shard = || Shard {
            accounts: HashMap::new(),
            sweep_at: 0,
        };
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl<K: Hash + Eq> Accounts<K> {
    /// The account of this name, in a table of `most` accounts.
    pub fn of<Q>(&self, name: &Q, most: usize, now: Tick) -> Arc<Account>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned + ?Sized,
        Q::Owned: Into<K>,
    {
        let shard = self.hasher.hash_one(name) as usize % SHARDS;
        let mut shard = self.shards[shard].lock();
        if let Some(account) = shard.accounts.get(name) {
            return Arc::clone(account);
        }
        let most = most.div_ceil(SHARDS);
        if shard.accounts.len() >= shard.sweep_at.max(most) {
            shard.sweep(most, now);
        }
        let account = Arc::<Account>::default();
        shard
            .accounts
            .insert(name.to_owned().into(), Arc::clone(&account));
        account
    }

    /// How many there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        let lengths = self.shards.iter().map(|it| it.lock().accounts.len());
        lengths.sum()
    }
}

impl<K: Hash + Eq> Shard<K> {
    fn sweep(&mut self, most: usize, now: Tick) {
        let is_used = |account: &Arc<Account>| Arc::strong_count(account) > 1;
        self.accounts
            .retain(|_, account| is_used(account) || account.blank() > now);
        let keep = most - most.div_ceil(8);
        let surplus = self.accounts.len().saturating_sub(keep);
        if surplus > 0 {
            let unused = self.accounts.values().filter(|it| !is_used(it));
            let mut blank: Vec<Tick> = unused.map(|it| it.blank()).collect();
            let last = surplus.min(blank.len()).checked_sub(1);
            if let Some(last) = last {
                let (_, soonest, _) = blank.select_nth_unstable(last);
                let soonest = *soonest;
                self.accounts
                    .retain(|_, account| is_used(account) || account.blank() > soonest);
            }
        }
        let length = self.accounts.len();
        self.sweep_at = length + length / 8 + 1;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::bucket::Rate;
    use super::*;

    const RATE: Rate = Rate {
        per_second: 1,
        burst: Duration::from_secs(1),
    };

    /// A table of names, which are numbers as text.
    fn of(accounts: &Accounts<Box<str>>, name: usize, now: Tick) -> Arc<Account> {
        accounts.of(name.to_string().as_str(), 320, now)
    }

    // Breaks if: an attacker with many names makes the table grow.
    #[test]
    fn many_names_do_not_make_it_grow() {
        let accounts = Accounts::default();
        for name in 0..100_000 {
            let account = of(&accounts, name, Tick(1));
            account.messages.take(1 + name as u64 % 7, RATE, Tick(1));
        }
        assert!(accounts.len() <= 320 + 2 * SHARDS, "{}", accounts.len());
    }

    // Breaks if: somebody who is connected, or owes most, is given a new account for others' sake.
    #[test]
    fn those_who_are_connected_or_owe_most_keep_their_accounts() {
        let accounts = Accounts::default();
        let connected: Vec<_> = (0..50).map(|it| of(&accounts, it, Tick(1))).collect();
        for account in &connected {
            account.messages.take(2, RATE, Tick(1));
        }
        of(&accounts, 50, Tick(1))
            .messages
            .take(1_000_000, RATE, Tick(1));
        for name in 100..100_000 {
            of(&accounts, name, Tick(1)).bytes.take(5, RATE, Tick(1));
        }
        for (name, account) in connected.iter().enumerate() {
            assert!(Arc::ptr_eq(account, &of(&accounts, name, Tick(1))));
        }
        let debtor = of(&accounts, 50, Tick(1));
        assert!(debtor.messages.due(RATE, Tick(1)).is_some());
    }

    // Breaks if: idle accounts stay although there is no room for others.
    #[test]
    fn those_that_owe_nothing_go_first() {
        let accounts = Accounts::default();
        for name in 0..320 {
            of(&accounts, name, Tick(1))
                .events
                .lock()
                .hit(RATE.burst, Tick(1));
        }
        let later = Tick(10_000_000_000);
        let guilty = of(&accounts, 1000, later);
        guilty.events.lock().hit(RATE.burst, later);
        drop(guilty);
        for name in 2000..2200 {
            of(&accounts, name, later);
        }
        let events = of(&accounts, 1000, later)
            .events
            .lock()
            .hit(RATE.burst, later);
        assert_eq!(events, 2, "forgotten for those who had done nothing");
    }

    // Breaks if: one more than there may be gets a place, or a place is lost.
    #[test]
    fn places_are_given_back() {
        let places = AtomicUsize::new(0);
        assert!(take_place(&places, 2) && take_place(&places, 2));
        assert!(!take_place(&places, 2));
        give_place_back(&places);
        assert!(take_place(&places, 2));
        assert!(take_place(&places, 0), "0 is no bound");
    }
}
