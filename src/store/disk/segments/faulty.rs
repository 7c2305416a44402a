//! A simulated disk for tests: it keeps only what was flushed, and fails when it is told to.
//!
//! By seed, a power cut keeps a part of what was not flushed: each sector or page on its own, torn at
//! any byte; names that were not flushed are kept up to some point in their order.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;

use super::files::Files;

/// A small generator of numbers, so that a seed says everything.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The power goes: this call happens in part, and all later ones fail.
    Cut,
    /// An error; what was not flushed is dropped, kept, or called flushed, by seed.
    Error(io::ErrorKind),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    durable: Vec<u8>,
    cache: Vec<u8>,
    /// Sectors whose cache was not flushed.
    dirty: BTreeSet<usize>,
    /// Bytes that cannot be read.
    bad: std::ops::Range<u64>,
}

#[derive(Clone, Debug)]
enum Change {
    Add(String, usize),
    Remove(String),
    Rename(String, String),
}

impl Change {
    fn folder(&self) -> &str {
        match self {
            Self::Add(name, _) | Self::Remove(name) | Self::Rename(_, name) => {
                name.split_once('/').map_or("", |it| it.0)
            }
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Add(name, inode) => _ = names.insert(name.clone(), *inode),
            Self::Remove(name) => _ = names.remove(name),
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    changes: Vec<Change>,
    random: Random,
    calls: u64,
    faults: BTreeMap<u64, Fault>,
    off: bool,
    locked: bool,
    /// Bytes that all files may have, or an error for lack of room.
    room: usize,
    writes: u64,
    flushes: u64,
}

/// The simulated disk; clones are the same disk.
#[derive(Clone)]
pub(crate) struct Faulty(Rc<RefCell<State>>);

/// Holds the simulated lock.
pub(crate) struct Lock(Rc<RefCell<State>>);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.borrow_mut().locked = false;
    }
}

const SECTOR: usize = 512;

impl Faulty {
    pub fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(State {
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            random: Random::new(seed),
            calls: 0,
            faults: BTreeMap::new(),
            off: false,
            locked: false,
            room: usize::MAX,
            writes: 0,
            flushes: 0,
        })))
    }

    /// Lets the n-th call from now, counted from 0, fail.
    pub fn fail(&self, in_calls: u64, fault: Fault) {
        let mut state = self.0.borrow_mut();
        let at = state.calls + in_calls;
        state.faults.insert(at, fault);
    }

    pub fn heal(&self) {
        self.0.borrow_mut().faults.clear();
    }

    pub fn calls(&self) -> u64 {
        self.0.borrow().calls
    }

    pub fn flushes(&self) -> u64 {
        self.0.borrow().flushes
    }

    pub fn writes(&self) -> u64 {
        self.0.borrow().writes
    }

    pub fn is_off(&self) -> bool {
        self.0.borrow().off
    }

    pub fn set_room(&self, room: usize) {
        self.0.borrow_mut().room = room;
    }

    pub fn used(&self) -> usize {
        self.0.borrow().used()
    }

    pub fn names(&self) -> Vec<String> {
        self.0.borrow().names.keys().cloned().collect()
    }

    pub fn content(&self, name: &str) -> Vec<u8> {
        let state = self.0.borrow();
        state.inodes[state.names[name]].cache.clone()
    }

    /// Puts a file there, durably.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.0.borrow_mut();
        let inode = state.inodes.len();
        state.inodes.push(Inode {
            durable: bytes.to_vec(),
            cache: bytes.to_vec(),
            ..Inode::default()
        });
        state.names.insert(name.to_owned(), inode);
        state.durable_names.insert(name.to_owned(), inode);
    }

    /// Makes bytes of a file unreadable.
    pub fn set_unreadable(&self, name: &str, bytes: std::ops::Range<u64>) {
        let mut state = self.0.borrow_mut();
        let inode = state.names[name];
        state.inodes[inode].bad = bytes;
    }

    pub fn take(&self, name: &str) {
        let mut state = self.0.borrow_mut();
        state.names.remove(name);
        state.durable_names.remove(name);
    }

    /// A disk with the same files.
    pub fn copy(&self, seed: u64) -> Self {
        let copy = Self::new(seed);
        for name in self.names() {
            copy.put(&name, &self.content(&name));
        }
        copy
    }

    /// What is there after the power came back.
    pub fn restart(&self) {
        let mut state = self.0.borrow_mut();
        let State {
            inodes,
            names,
            durable_names,
            changes,
            random,
            ..
        } = &mut *state;
        let kept = random.below(changes.len() as u64 + 1) as usize;
        for change in changes.drain(..).take(kept) {
            change.apply(durable_names);
        }
        *names = durable_names.clone();
        for inode in inodes.iter_mut() {
            inode.lose(random);
        }
        state.faults.clear();
        state.off = false;
        state.locked = false;
    }
}

impl Inode {
    /// Keeps a part of what was not flushed.
    fn lose(&mut self, random: &mut Random) {
        let mode = random.below(4);
        let page = if random.below(2) == 0 { SECTOR } else { 4096 };
        let lucky: Vec<bool> = (0..=self.cache.len() / page)
            .map(|_| mode == 1 || mode > 1 && random.below(2) == 0)
            .collect();
        let dirty: Vec<_> = self.dirty.iter().copied().collect();
        for sector in dirty {
            if lucky.get(sector * SECTOR / page) != Some(&true) {
                continue;
            }
            let torn = mode == 3 && random.below(4) == 0;
            let len = if torn {
                random.below(512) as usize
            } else {
                SECTOR
            };
            self.flush(sector, len);
        }
        self.cache = self.durable.clone();
        self.dirty.clear();
    }

    /// Puts a beginning of a sector onto the disk.
    fn flush(&mut self, sector: usize, len: usize) {
        let from = sector * SECTOR;
        let to = (from + len).min(self.cache.len());
        if from < to {
            let end = self.durable.len().max(to);
            self.durable.resize(end, 0);
            self.durable[from..to].copy_from_slice(&self.cache[from..to]);
        }
    }

    fn flush_all(&mut self) {
        self.durable.truncate(self.cache.len());
        for sector in std::mem::take(&mut self.dirty) {
            self.flush(sector, SECTOR);
        }
    }

    fn write(&mut self, bytes: &[u8], at: usize) {
        let end = at + bytes.len();
        let old = self.cache.len();
        self.cache.resize(old.max(end), 0);
        self.cache[at..end].copy_from_slice(bytes);
        if end > at {
            self.dirty
                .extend(at.min(old) / SECTOR..end.div_ceil(SECTOR));
        }
    }

    fn fail_flush(&mut self, random: &mut Random) {
        for sector in self.dirty.clone() {
            if random.below(3) == 0 {
                self.flush(sector, SECTOR);
            }
        }
        match random.below(3) {
            0 => {}
            // Called clean, but never written.
            1 => self.dirty.clear(),
            _ => {
                self.cache = self.durable.clone();
                self.dirty.clear();
            }
        }
    }
}

fn error(fault: Fault) -> io::Error {
    match fault {
        Fault::Cut => io::Error::other("the power is gone"),
        Fault::Error(kind) => kind.into(),
    }
}

impl State {
    /// Counts a call, and says how it is to fail.
    fn call(&mut self) -> Result<Option<Fault>, io::Error> {
        if self.off {
            return Err(error(Fault::Cut));
        }
        let fault = self.faults.get(&self.calls).copied();
        self.calls += 1;
        self.off = fault == Some(Fault::Cut);
        Ok(fault)
    }

    /// A call that happens or does not.
    fn plain(&mut self) -> io::Result<()> {
        match self.call()? {
            Some(fault) => Err(error(fault)),
            None => Ok(()),
        }
    }

    fn used(&self) -> usize {
        let held: BTreeSet<_> = self.names.values().collect();
        held.iter().map(|it| self.inodes[**it].cache.len()).sum()
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        let found = self.names.get(name).copied();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }
}

impl Files for Faulty {
    type File = usize;
    type Lock = Lock;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.0.borrow_mut();
        state.plain()?;
        let names = state.names.keys().filter(|it| !it.contains('/'));
        Ok(names.cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<usize> {
        let mut state = self.0.borrow_mut();
        state.plain()?;
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.change(Change::Add(name.to_owned(), inode));
        Ok(inode)
    }

    fn open(&self, name: &str) -> io::Result<usize> {
        let mut state = self.0.borrow_mut();
        state.plain()?;
        state.find(name)
    }

    fn length(&self, file: &usize) -> io::Result<u64> {
        let mut state = self.0.borrow_mut();
        state.plain()?;
        Ok(state.inodes[*file].cache.len() as u64)
    }

    fn read_at(&self, file: &usize, into: &mut [u8], position: u64) -> io::Result<usize> {
        let mut state = self.0.borrow_mut();
        state.plain()?;
        let Inode { cache, bad, .. } = &state.inodes[*file];
        if position < bad.end && position + into.len() as u64 > bad.start {
            return Err(error(Fault::Error(io::ErrorKind::Other)));
        }
        let from = (position as usize).min(cache.len());
        let read = into.len().min(cache.len() - from);
        into[..read].copy_from_slice(&cache[from..from + read]);
        Ok(read)
    }

    fn write_at(&self, file: &usize, bytes: &[u8], position: u64) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let fault = state.call()?;
        state.writes += 1;
        let at = position as usize;
        let growth = (at + bytes.len()).saturating_sub(state.inodes[*file].cache.len());
        let no_room = state.used().saturating_add(growth) > state.room;
        let fault = fault.or(no_room.then_some(Fault::Error(io::ErrorKind::StorageFull)));
        let mut len = bytes.len();
        if fault.is_some() {
            len = state.random.below(len as u64 + 1) as usize;
            if no_room {
                len = len.saturating_sub(growth);
            }
        }
        state.inodes[*file].write(&bytes[..len], at);
        fault.map_or(Ok(()), |it| Err(error(it)))
    }

    fn cut(&self, file: &usize, length: u64) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.plain()?;
        let inode = &mut state.inodes[*file];
        inode.cache.truncate(length as usize);
        inode.dirty.split_off(&(length as usize).div_ceil(SECTOR));
        Ok(())
    }

    fn sync(&self, file: &usize) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let fault = state.call()?;
        state.flushes += 1;
        let State { inodes, random, .. } = &mut *state;
        match fault {
            None => inodes[*file].flush_all(),
            Some(Fault::Error(_)) => inodes[*file].fail_flush(random),
            Some(Fault::Cut) => {}
        }
        fault.map_or(Ok(()), |it| Err(error(it)))
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.plain()?;
        state.flushes += 1;
        let changes = std::mem::take(&mut state.changes);
        let (durable, rest): (Vec<_>, _) =
            changes.into_iter().partition(|it| it.folder() == folder);
        for change in durable {
            change.apply(&mut state.durable_names);
        }
        state.changes = rest;
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.plain()?;
        state.find(from)?;
        state.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.plain()?;
        let inode = state.find(from)?;
        state.change(Change::Add(to.to_owned(), inode));
        Ok(())
    }

    fn names(&self, name: &str) -> io::Result<u64> {
        let state = self.0.borrow();
        let inode = state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(state.names.values().filter(|it| *it == inode).count() as u64)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.plain()?;
        state.find(name)?;
        state.change(Change::Remove(name.to_owned()));
        Ok(())
    }

    fn make_folder(&self, _folder: &str) -> io::Result<()> {
        self.0.borrow_mut().plain()
    }

    fn lock(&self) -> io::Result<Lock> {
        let mut state = self.0.borrow_mut();
        if std::mem::replace(&mut state.locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Lock(Rc::clone(&self.0)))
    }
}
