//! From CONNECT to CONNACK: terms, authentication, and the record of a persistent session.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Instant;

use crate::auth::{Access, Exchange, Identity, Request, Step, Tell, Verdict, Who};
use crate::codec::{
    Auth, Connack, Connect, Context, Packet, ReasonCode, Sender, Version, connect_version, encode,
};
use crate::session::options::Options;
use crate::session::{Fault, Line, Terms, Will};
use crate::store::record::Record;
use crate::store::{Ask, Failure, Progress, Safety};

use super::asking::{Asking, Questions};
use super::batch::Batch;
use super::connection::{Connection, NO_CONNECT, Phase};
use super::core::Broker;
use super::defence::{Level, TooOften};
use super::ending::Ending;
use super::mounted::Mounted;
use super::open::Open;
use super::person::{Claim, Owner, PROOF_ENDED, stands};
use super::port::{Port, Signal};
use super::sessions::{AskAgain, Asked, Wanted};

/// A connection whose CONNECT has come and whose CONNACK has not left.
pub(super) struct Waiting {
    pub terms: Terms,
    /// When the handshake must be over.
    pub connect_by: Instant,
    user_name: Option<Box<str>>,
    /// Whether the client wants nothing of a session that is there.
    clean_start: bool,
    /// The Authentication Method of the CONNECT.
    method: Option<Box<str>>,
    /// Which session the store was asked to keep.
    asked: Option<Asked>,
    /// A session that was kept and has ended for this connection; the store has to know before CONNACK
    /// leaves.
    ended: Option<u64>,
    /// The answers that it waits for.
    asking: Option<Box<Asking>>,
    what_for: WaitsFor,
    /// Whether it has been counted how often the client comes.
    is_counted: bool,
}

enum WaitsFor {
    /// The authenticator's verdict.
    Verdict,
    /// The client's next AUTH.
    Auth(Box<dyn Exchange>),
    /// Whether it may have its Will; then as below.
    Permission(Identity, Option<Vec<u8>>),
    /// The store; then the session opens for this identity, with this data in CONNACK.
    Store(Identity, Option<Vec<u8>>),
    /// The connection that has the session, until what has reached it is handled; then as above.
    Predecessor(Identity, Option<Vec<u8>>),
}

impl Waiting {
    /// Whether it waits for something else than the client.
    pub(super) fn is_pending(&self) -> bool {
        !matches!(self.what_for, WaitsFor::Auth(_))
    }
}

impl Broker {
    /// How packets are decoded for a client that may send such large ones.
    pub(super) fn context(&self, version: Version, maximum_packet_size: u32) -> Context {
        Context {
            version,
            sender: Sender::Client,
            maximum_packet_size,
        }
    }

    /// Turns somebody away who wants another's session.
    fn refuse_session(&self, terms: &Terms, owner: &Owner, port: &Port, now: Instant) -> Fault {
        if self.may_tell(port, now) {
            tracing::info!(
                client = &*terms.client_id,
                peer = port.peer().map(tracing::field::display),
                user = owner.user.as_deref(),
                "the session of this Client Identifier is another user's"
            );
        }
        self.metrics.session_refused();
        Fault::new(ReasonCode::NotAuthorized, "not authorized")
    }

    /// Why a client may not have this Will, if it may not.
    fn refuse_will(
        &self,
        will: &Will,
        who: &Who<'_>,
        questions: &mut Questions<'_>,
    ) -> Option<Fault> {
        let Some(topic) = self.topic_within(&will.message) else {
            let what = "the Will is for a topic that is none";
            return Some(Fault::new(ReasonCode::TopicNameInvalid, what));
        };
        let access = Access::Publish {
            topic,
            qos: will.message.qos(),
            retain: will.message.retain(),
        };
        let refused = self.refuse_topic(topic).or_else(|| {
            let allowed = questions.ask(|again| self.auth.allows(who, access, again));
            (!allowed).then_some(ReasonCode::NotAuthorized)
        });
        refused.map(|code| Fault::new(code, "the Will is not allowed"))
    }

    /// A Client Identifier that no client has, and that nobody can guess. [MQTT5-3.1.3-6]
    /// [MQTT5-3.2.2-16] [MQTT311-3.1.3-6]
    fn assign_client_id(&self) -> Arc<str> {
        let number = self.number();
        // Keyed by the system's randomness, and differently for each call.
        let secret = RandomState::new().hash_one(number);
        format!("auto-{number:x}-{secret:016x}").into()
    }
}

impl Connection {
    /// Whether the handshake waits for something else than the client.
    pub(super) fn is_pending(&self) -> bool {
        matches!(&self.phase, Phase::Waiting(waiting) if waiting.is_pending())
    }

    /// Takes a packet before the session is open.
    pub(super) fn before_open(
        &mut self,
        packet: &Packet<'_>,
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        match (&self.phase, packet) {
            (Phase::Fresh(by), Packet::Connect(connect)) => self.connect(connect, *by, batch),
            (Phase::Waiting(_), Packet::Auth(auth)) => self.auth(auth, batch),
            (Phase::Waiting(_), Packet::Disconnect(_)) => {
                self.phase = Phase::Closed(Ending::Disconnected);
                Ok(())
            }
            // [MQTT5-3.1.0-1] [MQTT5-3.1.0-2] [MQTT311-3.1.0-1] [MQTT311-3.1.0-2]
            (Phase::Fresh(_), _) => Err(NO_CONNECT),
            _ => Err(Fault::new(
                ReasonCode::ProtocolError,
                "only AUTH may come before CONNACK",
            )),
        }
    }

    // [MQTT5-3.1.4-1] [MQTT5-3.1.4-2]
    fn connect(
        &mut self,
        connect: &Connect<'_>,
        connect_by: Instant,
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        if self.broker.is_stopping() {
            return Err(STOPPING);
        }
        let mut mounted = Mounted::default();
        let mount = self.port.entrance().mount.as_deref();
        let connect = &mounted.connect(mount, connect)?;
        let broker = Arc::clone(&self.broker);
        let options = broker.options();
        let terms = self.negotiate(connect, &options.session)?;
        let client_id = Arc::clone(&terms.client_id);
        let method = connect.properties.authentication_method;
        // From here on a refusal knows what the client can read.
        self.phase = Phase::Waiting(Box::new(Waiting {
            terms,
            connect_by,
            user_name: connect.user_name.map(Box::from),
            clean_start: connect.clean_start,
            method: method.map(Box::from),
            asked: None,
            ended: None,
            asking: None,
            what_for: WaitsFor::Verdict,
            is_counted: false,
        }));
        if broker.defence.level() >= Level::Busy {
            return Err(BUSY);
        }
        let unavailable = !options.pubsub.retained.available;
        if unavailable
            && connect.version == Version::V5
            && connect.will.is_some_and(|will| will.retain)
        {
            // [MQTT5-3.2.2-13]
            return Err(Fault::new(
                ReasonCode::RetainNotSupported,
                "retain is not available",
            ));
        }
        let request = Request {
            client_id: &client_id,
            caller: self.port.caller(),
            user_name: connect.user_name,
            password: connect.password,
        };
        if let Some(method) = method {
            // [MQTT5-4.12.0-1]
            let exchange = broker.auth.exchange(method, &request).ok_or(Fault::new(
                ReasonCode::BadAuthenticationMethod,
                "the Authentication Method is not known",
            ))?;
            let data = connect.properties.authentication_data;
            return self.step(exchange, data, batch);
        }
        let port = &self.port;
        match broker.auth.authenticate(&request, &mut || tell(port)) {
            Verdict::Accept(identity) => self.admit(identity, None, batch),
            Verdict::Refuse(code) => Err(Fault::new(code, "not authenticated")),
            Verdict::Later => Ok(()),
        }
    }

    /// What the client is granted here.
    fn negotiate(&self, connect: &Connect<'_>, options: &Options) -> Result<Terms, Fault> {
        let entrance = self.port.entrance();
        if !entrance.speaks(connect.version) {
            let what = "this version of MQTT is not spoken here";
            return Err(Fault::new(ReasonCode::UnsupportedProtocolVersion, what));
        }
        let named = self.port.caller().client_id.as_ref();
        if !connect.client_id.is_empty() && named.is_some_and(|it| **it != *connect.client_id) {
            return Err(Fault::new(
                ReasonCode::ClientIdentifierNotValid,
                "the certificate is for another Client Identifier",
            ));
        }
        let assign = || named.map_or_else(|| self.broker.assign_client_id(), Arc::clone);
        let mut terms = Terms::negotiate(connect, &entrance.session(options), assign)?;
        terms.mount.clone_from(&entrance.mount);
        Ok(terms)
    }

    /// Takes an AUTH of the client's before CONNACK.
    fn auth(&mut self, auth: &Auth<'_>, batch: &mut Batch) -> Result<(), Fault> {
        let Phase::Waiting(waiting) = &mut self.phase else {
            return Ok(());
        };
        check_method(waiting.method.as_deref(), auth)?;
        // [MQTT5-4.12.0-3]
        if auth.code != ReasonCode::ContinueAuthentication {
            return Err(Fault::new(
                ReasonCode::ProtocolError,
                "AUTH does not continue",
            ));
        }
        let before = std::mem::replace(&mut waiting.what_for, WaitsFor::Verdict);
        match before {
            WaitsFor::Auth(exchange) => self.step(exchange, auth.data, batch),
            _ => Err(Fault::new(
                ReasonCode::ProtocolError,
                "AUTH was not asked for",
            )),
        }
    }

    fn step(
        &mut self,
        mut exchange: Box<dyn Exchange>,
        data: Option<&[u8]>,
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        match exchange.step(data) {
            Step::Accept(identity, data) => self.admit(identity, data, batch),
            // [MQTT5-4.12.0-4]
            Step::Refuse(code) => Err(Fault::new(code, "not authenticated")),
            Step::Continue(data) => {
                let Phase::Waiting(waiting) = &mut self.phase else {
                    return Ok(());
                };
                let version = waiting.terms.version;
                // [MQTT5-4.12.0-2] [MQTT5-4.12.0-5]
                let auth = Packet::Auth(Auth {
                    code: ReasonCode::ContinueAuthentication,
                    method: waiting.method.as_deref(),
                    data: Some(&data),
                    reason_string: None,
                    user_properties: Default::default(),
                });
                let mut packet = Vec::new();
                encode(&auth, version, &mut packet).map_err(|_| {
                    Fault::new(
                        ReasonCode::UnspecifiedError,
                        "the Authentication Data is too long",
                    )
                })?;
                if packet.len() as u64 > u64::from(waiting.terms.packet_size_maximum) {
                    let what = "the client's Maximum Packet Size has no room for AUTH";
                    return Err(Fault::new(ReasonCode::PacketTooLarge, what));
                }
                waiting.what_for = WaitsFor::Auth(exchange);
                self.say(version, &packet, batch);
                Ok(())
            }
        }
    }

    /// The authenticator's verdict has come.
    pub(super) fn judged(&mut self, verdict: Result<Identity, ReasonCode>, batch: &mut Batch) {
        let Phase::Waiting(waiting) = &self.phase else {
            return;
        };
        if !matches!(waiting.what_for, WaitsFor::Verdict) {
            return;
        }
        let admitted = match verdict {
            Ok(identity) => self.admit(identity, None, batch),
            Err(code) => Err(Fault::new(code, "not authenticated")),
        };
        if let Err(fault) = admitted {
            self.refuse(&[], fault, batch);
        }
    }

    /// The client is who it says it is: opens the session, once the store knows of it.
    fn admit(
        &mut self,
        identity: Identity,
        data: Option<Vec<u8>>,
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        let Phase::Waiting(waiting) = &mut self.phase else {
            return Ok(());
        };
        if self.broker.is_stopping() {
            return Err(STOPPING);
        }
        if !std::mem::replace(&mut waiting.is_counted, true) {
            let user = identity.user.as_deref();
            let now = batch.now.instant;
            match self
                .broker
                .defence
                .comes_too_often(user, &waiting.terms.client_id, now)
            {
                Some(TooOften::User) => return Err(TOO_OFTEN),
                Some(TooOften::Client) => return Err(FLAPPING),
                None => {}
            }
        }
        if !stands(&identity, batch.now.wall) {
            return Err(PROOF_ENDED);
        }
        let owner = Owner::of(&identity, &self.port);
        let found = self.broker.registry.find(&waiting.terms.client_id);
        let claim = found.as_ref().map(|it| it.owner.claimed_by(&owner));
        if claim == Some(Claim::None) {
            let (terms, now) = (&waiting.terms, batch.now.instant);
            return Err(self.broker.refuse_session(terms, &owner, &self.port, now));
        }
        waiting.terms.clean_start = waiting.clean_start || claim == Some(Claim::Anew);
        let who = Who {
            client_id: &waiting.terms.client_id,
            identity: &identity,
            caller: Some(self.port.caller()),
        };
        let mut questions = Questions::new(&self.port, batch.now.instant);
        let will = waiting.terms.will.as_ref();
        let refused = will.and_then(|will| self.broker.refuse_will(will, &who, &mut questions));
        if let Some(session) = found.filter(|_| !waiting.terms.clean_start) {
            // The answers are there when it is opened.
            let side = session.inbound.lock();
            self.broker.forbidden(&side, &who, &mut questions);
        }
        if !questions.are_answered(&mut waiting.asking) {
            waiting.what_for = WaitsFor::Permission(identity, data);
            return Ok(());
        }
        if let Some(fault) = refused {
            return Err(fault);
        }
        match ask_the_store(&self.broker, &self.port, waiting, &owner) {
            Progress::Done => self.open_in_turn(identity, data, batch),
            Progress::Later => waiting.what_for = WaitsFor::Store(identity, data),
            Progress::Refused(_) => return Err(CANNOT_KEEP),
        }
        Ok(())
    }

    /// What it may do is known now.
    pub(super) fn permitted(&mut self, batch: &mut Batch) {
        let Phase::Waiting(waiting) = &mut self.phase else {
            return;
        };
        let over = |it: &Asking| it.is_over(batch.now.instant);
        if !waiting.asking.as_deref().is_some_and(over) {
            return;
        }
        match std::mem::replace(&mut waiting.what_for, WaitsFor::Verdict) {
            WaitsFor::Permission(identity, data) => {
                if let Err(fault) = self.admit(identity, data, batch) {
                    self.refuse(&[], fault, batch);
                }
            }
            before => waiting.what_for = before,
        }
    }

    /// The store knows of the session now, or cannot keep it.
    pub(super) fn stored(&mut self, outcome: Result<(), Failure>, batch: &mut Batch) {
        let Phase::Waiting(waiting) = &mut self.phase else {
            return;
        };
        let before = std::mem::replace(&mut waiting.what_for, WaitsFor::Verdict);
        let WaitsFor::Store(identity, data) = before else {
            waiting.what_for = before;
            return;
        };
        match outcome {
            Ok(()) => self.open_in_turn(identity, data, batch),
            Err(_) => self.refuse(&[], CANNOT_KEEP, batch),
        }
    }

    /// Opens the session once the connection that has it, if there is one, has been heard out.
    fn open_in_turn(&mut self, identity: Identity, data: Option<Vec<u8>>, batch: &mut Batch) {
        let Phase::Waiting(waiting) = &mut self.phase else {
            return;
        };
        let predecessor = self.broker.connection_of(&waiting.terms.client_id);
        if predecessor.is_some_and(|port| port.hear_out_for(Arc::clone(&self.port))) {
            waiting.what_for = WaitsFor::Predecessor(identity, data);
            return;
        }
        self.open(identity, data, batch);
    }

    /// The connection that had the session, or still has it, has been heard out.
    pub(super) fn predecessor_heard_out(&mut self, batch: &mut Batch) {
        let Phase::Waiting(waiting) = &mut self.phase else {
            return;
        };
        match std::mem::replace(&mut waiting.what_for, WaitsFor::Verdict) {
            WaitsFor::Predecessor(identity, data) => self.open(identity, data, batch),
            before => waiting.what_for = before,
        }
    }

    // [MQTT5-3.1.4-5] [MQTT311-3.1.4-4]
    fn open(&mut self, identity: Identity, data: Option<Vec<u8>>, batch: &mut Batch) {
        let nothing = Phase::Fresh(batch.now.instant);
        let Phase::Waiting(mut waiting) = std::mem::replace(&mut self.phase, nothing) else {
            return;
        };
        let Waiting {
            terms,
            method,
            asked,
            ..
        } = &*waiting;
        let options = self.broker.options();
        let information = response_information(&options.session, &terms.client_id);
        let connack = |present| {
            let information = (!information.is_empty()).then_some(&*information);
            let retain = options.pubsub.retained.available;
            let mut connack = terms.connack(present, retain, information);
            // [MQTT5-4.12.0-5] [MQTT5-4.12.0-6]
            connack.properties.authentication_method = method.as_deref();
            connack.properties.authentication_data = data.as_deref();
            encode_connack(connack, terms)
        };
        if connack(false).is_empty() {
            let what = "the client's Maximum Packet Size has no room for CONNACK";
            let fault = Fault::new(ReasonCode::PacketTooLarge, what);
            let maximum = terms.packet_size_maximum;
            self.refuse_as(Some(terms.version), maximum, fault, batch);
            return;
        }
        let wanted = Wanted {
            terms,
            asked: asked.as_ref(),
            identity: &identity,
            owner: &Owner::of(&identity, &self.port),
        };
        let opened = match self.broker.open(&wanted, &self.port, connack, batch) {
            Ok(opened) => opened,
            Err(AskAgain { ended }) => {
                waiting.ended = ended;
                self.phase = Phase::Waiting(waiting);
                if let Err(fault) = self.admit(identity, data, batch) {
                    self.refuse(&[], fault, batch);
                }
                return;
            }
        };
        if let Some(asked) = &mut waiting.asked {
            asked.settle();
        }
        let Waiting {
            terms,
            user_name,
            method,
            ..
        } = *waiting;
        tracing::debug!(
            client = &*terms.client_id,
            peer = self.port.peer().map(tracing::field::display),
            user = identity.user.as_deref().or(user_name.as_deref()),
            version = ?terms.version,
            "connected"
        );
        self.phase = Phase::Open(Box::new(Open::new(opened, &terms, method, batch.now)));
    }

    /// Turns the client away: a CONNACK with the reason where there is one to give, and the end.
    pub(super) fn refuse(&mut self, input: &[u8], fault: Fault, batch: &mut Batch) {
        let (version, maximum) = match &self.phase {
            Phase::Waiting(waiting) => (
                Some(waiting.terms.version),
                waiting.terms.packet_size_maximum,
            ),
            _ => (connect_version(input), u32::MAX),
        };
        self.refuse_as(version, maximum, fault, batch);
    }

    // [MQTT5-3.1.4-2] [MQTT5-3.2.2-6] [MQTT5-3.2.2-7] [MQTT5-4.13.2-1] [MQTT311-3.2.2-4]
    // [MQTT311-3.2.2-5] [MQTT311-3.2.2-6] [MQTT311-3.1.4-1]
    fn refuse_as(
        &mut self,
        version: Option<Version>,
        maximum: u32,
        fault: Fault,
        batch: &mut Batch,
    ) {
        self.broker.blame(&self.port, fault.code, batch.now.instant);
        if self.broker.may_tell(&self.port, batch.now.instant) {
            tracing::info!(
                client = self.client_id(),
                peer = self.port.peer().map(tracing::field::display),
                reason = fault.code.name(),
                "refused: {fault}"
            );
        }
        self.broker.metrics.refused(fault.code);
        self.phase = Phase::Closed(Ending::Closed(fault.code));
        let Some(version) = version else { return };
        if version != Version::V5 && fault.code.connack_v3().is_none() {
            return;
        }
        let mut connack = Connack::refusal(fault.code);
        if version == Version::V5 {
            connack.properties.reason_string = Some(fault.what);
            if connack.encoded_len(version) as u64 > u64::from(maximum) {
                // [MQTT5-3.2.2-19]
                connack.properties.reason_string = None;
            }
        }
        let mut packet = Vec::new();
        let fits = connack.encoded_len(version) as u64 <= u64::from(maximum);
        if fits && connack.encode(version, &mut packet).is_ok() {
            self.say(version, &packet, batch);
        }
    }

    /// Commits a packet while no session is open.
    fn say(&mut self, version: Version, packet: &[u8], batch: &mut Batch) {
        let mut own = self.port.own().lock();
        let line = own.get_or_insert_with(|| Box::new(Line::bare(version)));
        line.commit_packets(packet, 1, &mut batch.context(&self.broker));
        // No session, nobody else to flush it.
        self.port.signal(Signal::Write);
    }
}

/// Asks the store to keep the session that is to be opened, or to know of the one that had to end.
fn ask_the_store(
    broker: &Arc<Broker>,
    port: &Arc<Port>,
    waiting: &mut Waiting,
    owner: &Owner,
) -> Progress {
    let terms = &waiting.terms;
    let ask = Ask {
        to: port,
        ticket: 0,
        safety: Safety::Flushed,
        patient: false,
    };
    let ended = waiting.ended.take();
    if broker.is_stores_business(terms) {
        // The number of a new session stays its own when an old one has ended for it.
        let asked = waiting.asked.take().filter(|_| ended.is_some());
        let mut asked = asked.unwrap_or_else(|| Asked::new(broker, terms));
        let which = (asked.number, !asked.is_new);
        let progress = broker.keep_session(which, terms, owner, Some(ask));
        if matches!(progress, Progress::Refused(_)) {
            asked.settle(); // The store has never heard of it.
        }
        waiting.asked = Some(asked);
        return progress;
    }
    match ended {
        Some(session) => broker.keep_state(Record::Ended { session }, ask),
        None => Progress::Done,
    }
}

const CANNOT_KEEP: Fault = Fault::new(ReasonCode::ServerUnavailable, "the session cannot be kept");

const BUSY: Fault = Fault::new(ReasonCode::ServerBusy, "there is too much to do");

const TOO_OFTEN: Fault = Fault::new(
    ReasonCode::ConnectionRateExceeded,
    "the user connects too often",
);

const FLAPPING: Fault = Fault::new(ReasonCode::Banned, "the client connects too often");

const STOPPING: Fault = Fault::new(ReasonCode::ServerUnavailable, "the broker is stopping");

/// An AUTH must name the method of the CONNECT. [MQTT5-4.12.0-5] [MQTT5-4.12.0-7] [MQTT5-4.12.1-1]
pub(super) fn check_method(method: Option<&str>, auth: &Auth<'_>) -> Result<(), Fault> {
    match method {
        None => Err(Fault::new(
            ReasonCode::ProtocolError,
            "AUTH without an Authentication Method in CONNECT",
        )),
        Some(method) if auth.method != Some(method) => Err(Fault::new(
            ReasonCode::ProtocolError,
            "AUTH with another Authentication Method than CONNECT",
        )),
        Some(_) => Ok(()),
    }
}

/// What a client is told that asks for Response Information.
fn response_information(options: &Options, client_id: &str) -> String {
    let mut information = options.response_information.replace("%c", client_id);
    if information.len() > usize::from(u16::MAX) {
        // Longer than a string can be: it is only a service.
        information.clear();
    }
    information
}

/// A CONNACK without what the client's Maximum Packet Size has no room for.
// [MQTT5-3.2.2-19] [MQTT5-3.2.2-20]
fn encode_connack(mut connack: Connack<'_>, terms: &Terms) -> Vec<u8> {
    let maximum = u64::from(terms.packet_size_maximum);
    if connack.encoded_len(terms.version) as u64 > maximum {
        connack.properties.response_information = None;
    }
    let mut packet = Vec::new();
    if connack.encoded_len(terms.version) as u64 > maximum
        || connack.encode(terms.version, &mut packet).is_err()
    {
        packet.clear();
    }
    packet
}

/// The callback for a verdict that comes later. Dropped without a word, it refuses.
fn tell(port: &Arc<Port>) -> Tell {
    struct Judge(Option<Arc<Port>>);
    impl Drop for Judge {
        fn drop(&mut self) {
            if let Some(port) = self.0.take() {
                port.judge(Err(ReasonCode::ServerUnavailable));
            }
        }
    }
    let mut judge = Judge(Some(Arc::clone(port)));
    Box::new(move |verdict| {
        if let Some(port) = judge.0.take() {
            port.judge(verdict);
        }
    })
}
