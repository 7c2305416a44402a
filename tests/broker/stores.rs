//! Stores that are late, out of order, or broken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use postbud::store::{Failure, Progress, Receipt, Record, Store};

/// Tells its outcomes when the test says so, in whatever order.
pub struct Late {
    waits: fn(&Record<'_>) -> bool,
    pending: Mutex<Vec<(String, Receipt)>>,
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
    fn append(&self, record: Record<'_>, receipt: &mut dyn FnMut() -> Receipt) -> Progress {
        if !(self.waits)(&record) {
            return Progress::Done;
        }
        self.pending.lock().push((describe(&record), receipt()));
        Progress::Later
    }
}

fn describe(record: &Record<'_>) -> String {
    match record {
        Record::Message(message) => {
            format!("message {}", String::from_utf8_lossy(message.payload()))
        }
        Record::Released { client_id, id } => format!("released {client_id} {id}"),
        Record::Subscribed { client_id, .. } => format!("subscribed {client_id}"),
        Record::Unsubscribed { client_id, .. } => format!("unsubscribed {client_id}"),
        Record::Opened { client_id, .. } => format!("opened {client_id}"),
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
    fn append(&self, record: Record<'_>, receipt: &mut dyn FnMut() -> Receipt) -> Progress {
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        match (self.fails)(number, &record) {
            None => Progress::Done,
            Some(failure) => {
                receipt().tell(Err(failure));
                Progress::Later
            }
        }
    }
}
