//! Stores that are late, out of order, full, or broken; and one on the disk that can be killed.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;
use postbud::message::Message;
use postbud::store::disk::Disk;
use postbud::store::disk::options::Options;
use postbud::store::record::Record;
use postbud::store::state::State;
use postbud::store::{Ask, Failure, Health, Progress, Recalls, Receipt, Safety, Store, Waits};

/// Tells its outcomes when the test says so, in whatever order.
pub struct Late {
    waits: fn(&Record<'_>) -> bool,
    pending: Mutex<Vec<(String, Receipt)>>,
    /// Client Identifiers by session.
    names: Mutex<HashMap<u64, String>>,
}

impl Late {
    /// Late with every record.
    pub fn new() -> Arc<Self> {
        Self::with(|_| true)
    }

    /// Late with messages only.
    pub fn with_messages() -> Arc<Self> {
        Self::with(|record| matches!(record, Record::Message(_)))
    }

    /// Late with the records for which `waits` says so.
    pub fn with(waits: fn(&Record<'_>) -> bool) -> Arc<Self> {
        Arc::new(Self {
            waits,
            pending: Mutex::default(),
            names: Mutex::default(),
        })
    }

    /// What it has not told yet, oldest first.
    pub fn pending(&self) -> Vec<String> {
        self.pending
            .lock()
            .iter()
            .map(|(what, _)| what.clone())
            .collect()
    }

    /// Tells the outcome of one pending record.
    pub fn tell(&self, index: usize, outcome: Result<(), Failure>) {
        let (_, receipt) = self.pending.lock().remove(index);
        receipt.tell(outcome);
    }

    /// Tells that everything pending is kept; returns how many records that were.
    pub fn tell_all(&self) -> usize {
        let pending = std::mem::take(&mut *self.pending.lock());
        let count = pending.len();
        for (_, receipt) in pending {
            receipt.tell(Ok(()));
        }
        count
    }
}

impl Store for Late {
    fn append(&self, record: Record<'_>, ask: Option<Ask<'_>>) -> Progress {
        if let Record::Opened(opened) = record {
            let mut names = self.names.lock();
            names.insert(opened.session, opened.client_id.to_owned());
        }
        let Some(ask) = ask.filter(|_| (self.waits)(&record)) else {
            return Progress::Done;
        };
        let what = describe(&record, &self.names.lock());
        self.pending.lock().push((what, ask.receipt()));
        Progress::Later
    }

    fn remembers(&self) -> bool {
        true
    }

    fn accepts(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn recall(&self, _: Vec<u64>, _: Arc<dyn Recalls>) {
        unreachable!("no queue is that deep");
    }

    fn health(&self) -> Health {
        Health::default()
    }
}

fn describe(record: &Record<'_>, names: &HashMap<u64, String>) -> String {
    let name = |session: &u64| names.get(session).map_or("?", String::as_str);
    match record {
        Record::Message(accepted) => {
            let payload = String::from_utf8_lossy(accepted.message.payload());
            format!("message {payload}")
        }
        Record::Released { session, id } => format!("released {} {id}", name(session)),
        Record::Subscribed { session, .. } => format!("subscribed {}", name(session)),
        Record::Unsubscribed { session, .. } => format!("unsubscribed {}", name(session)),
        Record::Opened(opened) => format!("opened {}", opened.client_id),
        other => format!("{other:?}"),
    }
}

/// Cannot keep some records, and says so before `append` has returned, as the contract allows.
pub struct Failing {
    count: AtomicUsize,
    fails: fn(usize, &Record<'_>) -> Option<Failure>,
}

impl Failing {
    /// `fails` is asked with the number of the record, from 1.
    pub fn when(fails: fn(usize, &Record<'_>) -> Option<Failure>) -> Arc<Self> {
        Arc::new(Self {
            count: AtomicUsize::new(0),
            fails,
        })
    }

    /// Every message fails.
    pub fn with_messages() -> Arc<Self> {
        Self::when(|_, record| matches!(record, Record::Message(_)).then_some(Failure::Full))
    }
}

impl Store for Failing {
    fn append(&self, record: Record<'_>, ask: Option<Ask<'_>>) -> Progress {
        let Some(ask) = ask.filter(|ask| !ask.patient) else {
            return Progress::Done;
        };
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        match (self.fails)(number, &record) {
            None => Progress::Done,
            Some(failure) => {
                ask.receipt().tell(Err(failure));
                Progress::Later
            }
        }
    }

    fn remembers(&self) -> bool {
        true
    }

    fn accepts(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn recall(&self, _: Vec<u64>, _: Arc<dyn Recalls>) {
        unreachable!("no queue is that deep");
    }

    fn health(&self) -> Health {
        Health::default()
    }
}

/// Writes down what it is told.
#[derive(Default)]
pub struct Recorder {
    told: Mutex<Vec<String>>,
}

impl Recorder {
    /// What it has been told since it was last asked.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock())
    }
}

impl Store for Recorder {
    fn append(&self, record: Record<'_>, _: Option<Ask<'_>>) -> Progress {
        self.told.lock().push(in_short(&record));
        Progress::Done
    }

    fn remembers(&self) -> bool {
        true
    }

    fn accepts(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn recall(&self, _: Vec<u64>, _: Arc<dyn Recalls>) {
        unreachable!("no queue is that deep");
    }

    fn health(&self) -> Health {
        Health::default()
    }
}

fn in_short(record: &Record<'_>) -> String {
    match *record {
        Record::Opened(opened) => format!("opened {} for {}", opened.client_id, opened.expiry),
        Record::Left { expiry, will, .. } => format!("left for {expiry}, will {will}"),
        Record::WillDone { .. } => "will done".to_owned(),
        Record::Ended { .. } => "ended".to_owned(),
        Record::Subscribed { filters, .. } => {
            let filters = filters.iter().map(|(filter, _)| *filter);
            format!("subscribed {}", filters.collect::<Vec<_>>().join(" "))
        }
        Record::Unsubscribed { filters, .. } => format!("unsubscribed {}", filters.join(" ")),
        Record::Group { share, filter, .. } => format!("group {share} {filter}"),
        Record::Dissolved { .. } => "dissolved".to_owned(),
        Record::Message(accepted) => {
            let payload = String::from_utf8_lossy(accepted.message.payload());
            let held = accepted.held.map_or(0, |(_, id)| id.get());
            let count = accepted.targets.len();
            let retained = accepted.retained;
            format!("message {payload} for {count}, held {held}, retained {retained}")
        }
        Record::Due {
            retained, targets, ..
        } => {
            let (count, retained) = (targets.len(), retained.is_some());
            format!("due for {count}, retained {retained}")
        }
        Record::Cleared { topic } => format!("cleared {topic}"),
        Record::Released { id, .. } => format!("released {id}"),
        Record::Fed { .. } => "fed".to_owned(),
        Record::Sent { id, group, .. } => format!("sent {id}, of a group {}", group.is_some()),
        Record::Received { id, .. } => format!("received {id}"),
        Record::Done { id, .. } => format!("done {id}"),
        Record::Returned { id, .. } => format!("returned {id}"),
        Record::Dropped { .. } => "dropped".to_owned(),
    }
}

/// Takes nothing that needs room while it is full.
#[derive(Default)]
pub struct Full {
    pub is_full: AtomicBool,
    told: Mutex<Vec<String>>,
}

impl Full {
    /// What it has taken since it was last asked.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock())
    }

    pub fn set(&self, full: bool) {
        self.is_full.store(full, Ordering::Relaxed);
    }
}

impl Store for Full {
    fn append(&self, record: Record<'_>, _: Option<Ask<'_>>) -> Progress {
        let grows = matches!(
            record,
            Record::Opened(_)
                | Record::Subscribed { .. }
                | Record::Group { .. }
                | Record::Message(_)
        );
        if grows && self.is_full.load(Ordering::Relaxed) {
            return Progress::Refused(Failure::Full);
        }
        self.told.lock().push(in_short(&record));
        Progress::Done
    }

    fn remembers(&self) -> bool {
        true
    }

    fn accepts(&self) -> Result<(), Failure> {
        match self.is_full.load(Ordering::Relaxed) {
            true => Err(Failure::Full),
            false => Ok(()),
        }
    }

    fn recall(&self, _: Vec<u64>, _: Arc<dyn Recalls>) {
        unreachable!("no queue is that deep");
    }

    fn health(&self) -> Health {
        Health::default()
    }
}

/// A store on the disk, each record of which is there before anything goes on; and what a process
/// that was killed would leave of it.
pub struct Settled {
    disk: Disk,
    recalls: Arc<Recalled>,
    folder: Folder,
}

/// A folder that is gone after the test.
pub struct Folder(PathBuf);

/// What is read back, until the test hands it out: who waits for an append holds locks that who is
/// handed it takes.
#[derive(Default)]
struct Recalled {
    under_way: AtomicUsize,
    read: Mutex<Vec<(Arc<dyn Recalls>, Found)>>,
}

type Found = Vec<(u64, Option<Message>)>;

struct Kept {
    to: Arc<dyn Recalls>,
    recalls: Arc<Recalled>,
}

impl Recalls for Kept {
    fn recalled(&self, found: Found) {
        self.recalls.read.lock().push((Arc::clone(&self.to), found));
    }
}

struct Ear(Mutex<Sender<Result<(), Failure>>>);

impl Waits for Ear {
    fn outcome(&self, _: RangeInclusive<u64>, outcome: Result<(), Failure>) {
        self.0.lock().send(outcome).expect("the test listens");
    }
}

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("postbud-broker-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Settled {
    /// Opens the store in this folder, and tells what is in it.
    pub fn open(folder: Folder) -> (Arc<Self>, State) {
        let options = Options {
            flush: false,
            segment: 256 << 10,
            reserve: 512 << 10,
            ..Options::default()
        };
        let (disk, state, report) = Disk::open(&folder.0, options).expect("opens");
        assert_eq!((report.unknown, report.undecoded, report.unread), (0, 0, 0));
        assert_eq!(report.missing, []);
        let recalls = Arc::default();
        let store = Self {
            disk,
            recalls,
            folder,
        };
        (Arc::new(store), state)
    }

    /// Hands out what has been read back; returns whether more is under way.
    pub fn hand_out(&self) -> bool {
        let read = std::mem::take(&mut *self.recalls.read.lock());
        for (to, found) in read {
            to.recalled(found);
            self.recalls.under_way.fetch_sub(1, Ordering::AcqRel);
        }
        self.recalls.under_way.load(Ordering::Acquire) > 0
    }

    /// What is found if the process ends at this moment.
    pub fn killed(&self) -> Folder {
        let nothing = Record::Cleared { topic: "nothing" };
        assert_eq!(self.append(nothing, None), Progress::Done);
        let copy = Folder::new();
        for entry in std::fs::read_dir(&self.folder.0).expect("a folder") {
            let entry = entry.expect("a file");
            std::fs::copy(entry.path(), copy.0.join(entry.file_name())).expect("copied");
        }
        copy
    }
}

impl Store for Settled {
    fn append(&self, record: Record<'_>, _: Option<Ask<'_>>) -> Progress {
        let (sender, receiver) = channel();
        let ear = Arc::new(Ear(Mutex::new(sender)));
        let ask = Ask {
            to: &ear,
            ticket: 0,
            safety: Safety::Written,
            patient: false,
        };
        let progress = self.disk.append(record, Some(ask));
        assert_eq!(progress, Progress::Later);
        let outcome = receiver.recv_timeout(Duration::from_secs(60));
        assert_eq!(outcome, Ok(Ok(())));
        Progress::Done
    }

    fn remembers(&self) -> bool {
        true
    }

    fn accepts(&self) -> Result<(), Failure> {
        self.disk.accepts()
    }

    fn recall(&self, numbers: Vec<u64>, to: Arc<dyn Recalls>) {
        self.recalls.under_way.fetch_add(1, Ordering::AcqRel);
        let recalls = Arc::clone(&self.recalls);
        self.disk.recall(numbers, Arc::new(Kept { to, recalls }));
    }

    fn health(&self) -> Health {
        self.disk.health()
    }
}
