//! Who is shut out, and until when.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::bucket::Tick;

/// Why somebody is shut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Too many failures.
    Failures,
    /// Too many connects.
    Flapping,
}

impl Reason {
    /// The reason as a label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::Flapping => "flapping",
        }
    }
}

/// Somebody who is shut out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Banned {
    /// The address, or the Client Identifier, or as much of it as is remembered.
    pub name: Box<str>,
    /// Its user, if a client is shut out who has one.
    pub user: Option<Box<str>>,
    /// Why.
    pub reason: Reason,
    /// For how long still.
    pub left: Duration,
    /// How often it came and was turned away.
    pub refused: u64,
}

#[derive(Debug)]
struct Ban {
    name: Box<str>,
    user: Option<Box<str>>,
    until: Tick,
    refused: u64,
}

/// Bans of one kind.
#[derive(Debug)]
pub struct Bans<K> {
    reason: Reason,
    bans: Mutex<HashMap<K, Ban>>,
    /// Whether there may be any, for those who come in peace.
    any: AtomicBool,
    /// Bans there have been.
    made: AtomicU64,
}

impl<K: Hash + Eq + Copy> Bans<K> {
    /// Nobody is shut out.
    pub fn new(reason: Reason) -> Self {
        Self {
            reason,
            bans: Mutex::default(),
            any: AtomicBool::new(false),
            made: AtomicU64::new(0),
        }
    }

    /// Shuts somebody out. Of more than `most` the one that would end soonest ends at once.
    pub fn ban(
        &self,
        key: K,
        (name, user): (&str, Option<&str>),
        until: Tick,
        most: usize,
        now: Tick,
    ) {
        let mut bans = self.bans.lock();
        if bans.len() >= most.max(1) && !bans.contains_key(&key) {
            bans.retain(|_, ban| ban.until > now);
            let soonest = bans.iter().min_by_key(|(_, ban)| ban.until);
            let soonest = soonest.map(|(key, _)| *key);
            if bans.len() >= most.max(1)
                && let Some(soonest) = soonest
            {
                bans.remove(&soonest);
            }
        }
        let ban = Ban {
            name: name.into(),
            user: user.map(Box::from),
            until,
            refused: 0,
        };
        bans.insert(key, ban);
        self.any.store(true, Ordering::Release);
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether somebody who has come is shut out.
    pub fn refuses(&self, key: K, now: Tick) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let mut bans = self.bans.lock();
        let Some(ban) = bans.get_mut(&key) else {
            return false;
        };
        ban.refused += 1;
        let refuses = ban.until > now;
        if !refuses {
            bans.remove(&key);
            self.any.store(!bans.is_empty(), Ordering::Release);
        }
        refuses
    }

    /// Lets somebody in again; whether it was shut out.
    pub fn lift(&self, key: K) -> bool {
        self.bans.lock().remove(&key).is_some()
    }

    /// Lets everybody of this name in again; returns how many were shut out.
    pub fn lift_named(&self, name: &str) -> usize {
        let mut bans = self.bans.lock();
        let before = bans.len();
        bans.retain(|_, ban| *ban.name != *name);
        before - bans.len()
    }

    /// Everybody who is shut out, by name.
    pub fn list(&self, now: Tick) -> Vec<Banned> {
        let mut bans = self.bans.lock();
        bans.retain(|_, ban| ban.until > now);
        let banned = bans.values().map(|ban| Banned {
            name: ban.name.clone(),
            user: ban.user.clone(),
            reason: self.reason,
            left: Duration::from_nanos(ban.until.0 - now.0),
            refused: ban.refused,
        });
        let mut banned: Vec<_> = banned.collect();
        drop(bans);
        banned.sort_by(|a, b| (&a.name, &a.user).cmp(&(&b.name, &b.user)));
        banned
    }

    /// How many there are, and how many there have been.
    pub fn count(&self, now: Tick) -> (usize, u64) {
        let bans = self.bans.lock();
        let present = bans.values().filter(|ban| ban.until > now).count();
        (present, self.made.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Tick {
        Tick(second * 1_000_000_000)
    }

    // Breaks if: a ban lasts longer or shorter than it is to, or hits somebody else.
    #[test]
    fn a_ban_ends_in_time_or_when_it_is_lifted() {
        let bans = Bans::new(Reason::Failures);
        assert!(!bans.refuses(1, at(0)));
        bans.ban(1, ("one", None), at(10), 100, at(0));
        bans.ban(2, ("two", Some("user")), at(20), 100, at(0));
        assert!(bans.refuses(1, at(9)) && bans.refuses(2, at(9)));
        assert!(!bans.refuses(3, at(9)));
        assert!(!bans.refuses(1, at(10)), "over");
        let [banned] = &bans.list(at(12))[..] else {
            panic!("one is left")
        };
        assert_eq!(
            (&*banned.name, banned.user.as_deref()),
            ("two", Some("user"))
        );
        assert_eq!((banned.left, banned.refused), (Duration::from_secs(8), 1));
        assert_eq!(bans.count(at(12)), (1, 2));
        assert!(bans.lift(2) && !bans.lift(2));
        assert!(!bans.refuses(2, at(12)));
    }

    // Breaks if: whoever is banned from many addresses makes the table grow, or frees those who are banned
    // for longer.
    #[test]
    fn the_table_is_bounded() {
        let bans = Bans::new(Reason::Flapping);
        bans.ban(0, ("long", None), at(1000), 10, at(0));
        for key in 1..1000 {
            bans.ban(key, ("short", None), at(key), 10, at(0));
        }
        assert_eq!(bans.count(at(0)).0, 10);
        assert!(bans.refuses(0, at(0)));
    }
}
