//! A store on the disk behind a buffer, as a disk has one: what is in it is lost when the power is cut,
//! but for as much of it as the test likes.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use postbud::codec::{QoS, SubscriptionOptions};
use postbud::store::record::{Accepted, KeptWill, Opened, Record, Replaces, Target};
use postbud::store::state::{KeptOwner, State};
use postbud::store::{Ask, Failure, Health, Progress, Recalls, Receipt, Store};

use crate::stores::{Folder, Settled};

/// Writes when the test says so, and tells what it has written when the test says so.
pub struct Lagging {
    disk: Arc<Settled>,
    buffer: Mutex<Buffer>,
}

#[derive(Default)]
struct Buffer {
    /// Records that have not been written.
    records: VecDeque<Owned>,
    /// Those who wait, and behind how many records from the first ever.
    receipts: VecDeque<(u64, Receipt)>,
    /// Records that were taken, and that were written.
    taken: u64,
    written: u64,
}

/// A record without what it borrowed, put in again.
type Owned = Box<dyn Fn(&Settled) + Send>;

impl Lagging {
    pub fn open(folder: Folder) -> (Arc<Self>, State) {
        let (disk, state) = Settled::open(folder);
        let buffer = Mutex::default();
        (Arc::new(Self { disk, buffer }), state)
    }

    /// Writes the first records, without telling anybody.
    fn write(&self, count: usize) {
        for _ in 0..count {
            let next = self.buffer.lock().records.pop_front();
            let Some(record) = next else { return };
            record(&self.disk);
            self.buffer.lock().written += 1;
        }
    }

    /// Writes the first records, and tells those who waited for what is written.
    pub fn flush(&self, count: usize) {
        self.write(count);
        loop {
            let mut buffer = self.buffer.lock();
            let written = buffer.written;
            let due = buffer.receipts.front().is_some_and(|it| it.0 <= written);
            let told = due.then(|| buffer.receipts.pop_front()).flatten();
            drop(buffer);
            match told {
                Some((_, receipt)) => receipt.tell(Ok(())),
                None => return,
            }
        }
    }

    /// How many records are in the buffer.
    pub fn waiting(&self) -> usize {
        self.buffer.lock().records.len()
    }

    /// The power is cut when so many more records are written: what is found then.
    pub fn cut(&self, more: usize) -> Folder {
        self.write(more);
        self.disk.killed()
    }

    pub fn hand_out(&self) -> bool {
        self.disk.hand_out()
    }
}

impl Store for Lagging {
    fn append(&self, record: Record<'_>, ask: Option<Ask<'_>>) -> Progress {
        let mut buffer = self.buffer.lock();
        buffer.records.push_back(owned(&record));
        buffer.taken += 1;
        let behind = buffer.taken;
        let Some(ask) = ask else {
            return Progress::Done;
        };
        if let Some((last, receipt)) = buffer.receipts.back_mut()
            && ask.is_of(receipt)
            && ask.join(receipt)
        {
            // As a store may that makes all safe together.
            *last = behind;
        } else {
            buffer.receipts.push_back((behind, ask.receipt()));
        }
        Progress::Later
    }

    fn remembers(&self) -> bool {
        true
    }

    fn accepts(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn recall(&self, numbers: Vec<u64>, to: Arc<dyn Recalls>) {
        self.write(usize::MAX);
        self.disk.recall(numbers, to);
    }

    fn health(&self) -> Health {
        Health::default()
    }
}

fn owned(record: &Record<'_>) -> Owned {
    match *record {
        Record::Opened(ref opened) => opened_owned(opened),
        Record::Message(ref accepted) => message_owned(accepted),
        Record::Due {
            number,
            retained,
            targets,
        } => due_owned(number, retained, targets),
        Record::Subscribed {
            session,
            filters,
            id,
        } => {
            let filters = filters
                .iter()
                .map(|(filter, options)| ((*filter).to_owned(), *options));
            let filters: Vec<(String, SubscriptionOptions)> = filters.collect();
            Box::new(move |disk| {
                let filters: Vec<_> = filters.iter().map(|it| (it.0.as_str(), it.1)).collect();
                let filters = &filters[..];
                put(
                    disk,
                    Record::Subscribed {
                        session,
                        filters,
                        id,
                    },
                );
            })
        }
        Record::Unsubscribed { session, filters } => {
            let filters: Vec<String> = filters.iter().map(|it| (*it).to_owned()).collect();
            Box::new(move |disk| {
                let filters: Vec<_> = filters.iter().map(String::as_str).collect();
                let filters = &filters[..];
                put(disk, Record::Unsubscribed { session, filters });
            })
        }
        Record::Group {
            group,
            share,
            filter,
        } => {
            let (share, filter) = (share.to_owned(), filter.to_owned());
            Box::new(move |disk| {
                let (share, filter) = (share.as_str(), filter.as_str());
                put(
                    disk,
                    Record::Group {
                        group,
                        share,
                        filter,
                    },
                );
            })
        }
        ref other => small_owned(other),
    }
}

fn small_owned(record: &Record<'_>) -> Owned {
    match *record {
        Record::Cleared { topic } => {
            let topic = topic.to_owned();
            Box::new(move |disk| put(disk, Record::Cleared { topic: &topic }))
        }
        Record::Fed { number, ref target } => {
            let ids = target.subscription_ids.to_vec();
            let (owner, group, qos, retain) =
                (target.owner, target.group, target.qos, target.retain);
            Box::new(move |disk| {
                let target = Target {
                    owner,
                    group,
                    qos,
                    retain,
                    subscription_ids: &ids,
                };
                put(disk, Record::Fed { number, target });
            })
        }
        ref other => plain_owned(other),
    }
}

/// Records that borrow nothing.
fn plain_owned(record: &Record<'_>) -> Owned {
    let record: Record<'static> = match *record {
        Record::Left {
            session,
            at,
            expiry,
            will,
        } => Record::Left {
            session,
            at,
            expiry,
            will,
        },
        Record::WillDone { session } => Record::WillDone { session },
        Record::Ended { session } => Record::Ended { session },
        Record::Dissolved { group } => Record::Dissolved { group },
        Record::Released { session, id } => Record::Released { session, id },
        Record::Sent {
            holder,
            id,
            number,
            group,
            qos,
        } => Record::Sent {
            holder,
            id,
            number,
            group,
            qos,
        },
        Record::Received { holder, id } => Record::Received { holder, id },
        Record::Done { holder, id } => Record::Done { holder, id },
        Record::Returned { holder, id } => Record::Returned { holder, id },
        Record::Dropped { owner, number } => Record::Dropped { owner, number },
        ref other => panic!("{other:?} borrows"),
    };
    Box::new(move |disk| put(disk, record))
}

fn opened_owned(opened: &Opened<'_>) -> Owned {
    let (session, expiry, back) = (opened.session, opened.expiry, opened.back);
    let client_id = opened.client_id.to_owned();
    let owner = KeptOwner::from(opened.owner);
    let will = opened.will.as_ref();
    let will = will.map(|it| (it.message.clone(), it.delay, it.expiry));
    Box::new(move |disk| {
        let will = will.as_ref().map(|(message, delay, expiry)| KeptWill {
            message,
            delay: *delay,
            expiry: *expiry,
        });
        let client_id = client_id.as_str();
        put(
            disk,
            Record::Opened(Opened {
                session,
                client_id,
                owner: owner.as_recorded(),
                expiry,
                will,
                back,
            }),
        );
    })
}

fn message_owned(accepted: &Accepted<'_>) -> Owned {
    let (number, message) = (accepted.number, accepted.message.clone());
    let (held, retained, due) = (accepted.held, accepted.retained, accepted.due);
    let publisher = accepted.publisher.map(str::to_owned);
    let targets = targets_owned(accepted.targets);
    Box::new(move |disk| {
        let targets = targets_of(&targets);
        put(
            disk,
            Record::Message(Accepted {
                number,
                message: &message,
                held,
                retained,
                publisher: publisher.as_deref(),
                due,
                targets: &targets,
            }),
        );
    })
}

fn due_owned(number: u64, retained: Option<Replaces<'_>>, targets: &[Target<'_>]) -> Owned {
    let retained = retained.map(|it| {
        let publisher = it.publisher.map(str::to_owned);
        (it.topic.to_owned(), it.clears, publisher)
    });
    let targets = targets_owned(targets);
    Box::new(move |disk| {
        let retained = retained.as_ref().map(|it| Replaces {
            topic: &it.0,
            clears: it.1,
            publisher: it.2.as_deref(),
        });
        let targets = &targets_of(&targets);
        put(
            disk,
            Record::Due {
                number,
                retained,
                targets,
            },
        );
    })
}

/// Targets without what they borrow.
type Targets = Vec<(u64, bool, QoS, bool, Vec<u32>)>;

fn targets_owned(targets: &[Target<'_>]) -> Targets {
    let targets = targets.iter().map(|it| {
        let ids = it.subscription_ids.to_vec();
        (it.owner, it.group, it.qos, it.retain, ids)
    });
    targets.collect()
}

fn targets_of(targets: &Targets) -> Vec<Target<'_>> {
    let targets = targets.iter().map(|it| Target {
        owner: it.0,
        group: it.1,
        qos: it.2,
        retain: it.3,
        subscription_ids: &it.4,
    });
    targets.collect()
}

fn put(disk: &Settled, record: Record<'_>) {
    assert_eq!(disk.append(record, None), Progress::Done);
}
