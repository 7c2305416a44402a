//! What others may do to a Network Connection: write to it, tell it something, wake it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

use crate::auth::{Caller, Identity};
use crate::codec::ReasonCode;
use crate::session::Line;
use crate::store::{Failure, Waits};

use super::entrance::Entrance;

/// The transport of a connection, as far as others than its own task may use it.
pub trait Link: Send + Sync {
    /// Whether [`Self::try_write`] works: if not, bytes leave through the connection's own task.
    fn is_direct(&self) -> bool;

    /// Writes what the transport takes at once.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it takes nothing now; anything else ends the connection.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Wakes the connection's own task.
    fn wake(&self);
}

/// What a connection's own task is woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Signal {
    /// Bytes wait that nobody else can write.
    Write = 1,
    /// Mail has come.
    Mail = 2,
    /// There is room to draw messages into.
    Draw = 4,
    /// Answers are there that it waits for.
    Answer = 8,
}

/// What has been told to a connection since it last looked.
#[derive(Debug, Default)]
pub(super) struct Mail {
    /// Close, for this reason.
    pub close: Option<ReasonCode>,
    /// Whether the store keeps the session that CONNECT asks for.
    pub kept: Option<Result<(), Failure>>,
    /// The verdict on its CONNECT.
    pub verdict: Option<Result<Identity, ReasonCode>>,
    /// Whether the connection that has its session has been heard out.
    pub heard_out: bool,
    /// Connections that want its session, and wait until it has been heard out.
    pub successors: Vec<Arc<Port>>,
}

/// Mail, as long as somebody reads it.
#[derive(Debug)]
enum Inbox {
    Empty,
    Mail(Box<Mail>),
    /// The connection is no more.
    Shut,
}

impl Inbox {
    /// Puts something in; whether anybody will read it.
    fn put(&mut self, write: impl FnOnce(&mut Mail)) -> bool {
        match self {
            Self::Empty => {
                let mut mail = Box::default();
                write(&mut mail);
                *self = Self::Mail(mail);
                true
            }
            Self::Mail(mail) => {
                write(mail);
                true
            }
            Self::Shut => false,
        }
    }

    /// Takes everything out.
    fn take(&mut self) -> Mail {
        match self {
            Self::Mail(mail) => {
                let mail = std::mem::take(&mut **mail);
                *self = Self::Empty;
                mail
            }
            Self::Empty | Self::Shut => Mail::default(),
        }
    }
}

/// One connection as others see it.
pub struct Port {
    link: Box<dyn Link>,
    caller: Caller,
    entrance: Arc<Entrance>,
    signals: AtomicU8,
    inbox: Mutex<Inbox>,
    /// The connection's bytes while no session holds them: before CONNACK, and after the session
    /// has been detached.
    own: Mutex<Option<Box<Line>>>,
}

impl Port {
    /// A connection that came from `caller`.
    pub fn new(link: Box<dyn Link>, caller: Caller) -> Self {
        Self {
            link,
            caller,
            entrance: Arc::default(),
            signals: AtomicU8::new(0),
            inbox: Mutex::new(Inbox::Empty),
            own: Mutex::default(),
        }
    }

    /// The same, for one that came in by a listener of its own kind.
    pub fn by(self, entrance: Arc<Entrance>) -> Self {
        Self { entrance, ..self }
    }

    /// What holds for who comes in where it did.
    pub(super) fn entrance(&self) -> &Entrance {
        &self.entrance
    }

    /// Where the connection comes from.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The address it comes from, if its transport has one.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.caller.peer
    }

    pub(super) fn link(&self) -> &dyn Link {
        &*self.link
    }

    pub(super) fn own(&self) -> &Mutex<Option<Box<Line>>> {
        &self.own
    }

    /// Sets a signal and wakes the connection's task, once until it looks.
    pub(super) fn signal(&self, signal: Signal) {
        let before = self.signals.fetch_or(signal as u8, Ordering::AcqRel);
        if before & signal as u8 == 0 {
            self.link.wake();
        }
    }

    /// Whether a signal waits.
    pub fn is_signalled(&self) -> bool {
        self.signals.load(Ordering::Acquire) != 0
    }

    /// Takes all signals.
    pub(super) fn take_signals(&self) -> Signals {
        Signals(self.signals.swap(0, Ordering::AcqRel))
    }

    pub(super) fn take_mail(&self) -> Mail {
        self.inbox.lock().take()
    }

    fn put(&self, write: impl FnOnce(&mut Mail)) -> bool {
        let put = self.inbox.lock().put(write);
        if put {
            self.signal(Signal::Mail);
        }
        put
    }

    /// Asks the connection to close; the first reason counts.
    pub(super) fn close(&self, reason: ReasonCode) {
        self.put(|mail| {
            mail.close.get_or_insert(reason);
        });
    }

    /// Tells the verdict on the connection's CONNECT.
    pub(super) fn judge(&self, verdict: Result<Identity, ReasonCode>) {
        self.put(|mail| mail.verdict = Some(verdict));
    }

    /// Asks the connection to handle what has reached it, and then to tell `successor`, which waits
    /// for that; whether it will.
    pub(super) fn hear_out_for(&self, successor: Arc<Port>) -> bool {
        self.put(|mail| mail.successors.push(successor))
    }

    /// Tells the connection that the one which has its session has been heard out.
    pub(super) fn heard_out(&self) {
        self.put(|mail| mail.heard_out = true);
    }

    /// The connection is no more: nobody waits for it, now or later.
    pub(super) fn shut(&self) {
        let before = std::mem::replace(&mut *self.inbox.lock(), Inbox::Shut);
        if let Inbox::Mail(mail) = before {
            mail.successors.iter().for_each(|port| port.heard_out());
        }
    }
}

/// Waits for one outcome only: of the record of the session that is to be opened.
impl Waits for Port {
    fn outcome(&self, _: RangeInclusive<u64>, outcome: Result<(), Failure>) {
        self.put(|mail| mail.kept = Some(outcome));
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port")
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

/// Signals taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signals(u8);

impl Signals {
    pub(super) fn has(self, signal: Signal) -> bool {
        self.0 & signal as u8 != 0
    }
}
