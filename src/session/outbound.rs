//! What goes to the client: messages, in flight and waiting.
//!
//! ```text
//!   deliver ──> [waiting: QoS 1, 2] ──> window (id, quota) ──> wire ──> socket
//!          └──> [unsent: QoS 0] ───────────────────────────────^
//! ```
//!
//! A message goes straight to the wire when nothing of its kind waits and there is room; it waits
//! otherwise, in bounds. What frees room (an acknowledgement, a socket that takes bytes, a new
//! connection) is followed by [`Outbound::draw`].
//!
//! Invariants, on a connection:
//! - the quota is the Receive Maximum less what is in flight, PUBREL sent again included, so that
//!   resuming never lets more into flight than the client takes [MQTT5-4.9.0-1] [MQTT5-4.9.0-2];
//! - nothing else waits for the quota: QoS 0 passes by [MQTT5-3.3.4-10] [MQTT5-4.9.0-3];
//! - messages of one QoS leave in the order in which they were delivered [MQTT5-4.6.0-5]
//!   [MQTT311-4.6.0-6];
//! - no packet is larger than what the client accepts [MQTT5-3.1.2-24].

use std::fmt;
use std::sync::Arc;

use crate::codec::{
    MAXIMUM_PACKET_SIZE, PacketId, PacketType, PublishFrame, QoS, ReasonCode, Version, encode_ack,
};
use crate::message::{Message, Timestamp};
use crate::queue::{Delivery, DropReason, Gone, InStore, Queue, SubscriptionIds};
use crate::topic::mount;

use super::aliases::{Naming, OutboundAliases};
use super::fault::Fault;
use super::journal::{Journal, Step};
use super::options::Options;
use super::tally::Tally;
use super::terms::Terms;
use super::window::{OutOfStep, Received, Resend, Source, Stage, Window};
use super::wire::{Spare, Wire};

/// The outbound side of a session.
#[derive(Debug)]
pub struct Outbound {
    window: Window,
    waiting: Queue,
    unsent: Queue,
    line: Option<Box<Line>>,
    journal: Journal,
    /// Bytes of memory that the tally was told last.
    weighed: usize,
    /// Whether what waits may hold what the client may not have any more: nothing of it is sent before
    /// somebody has judged it.
    doubtful: bool,
}

/// What belongs to one Network Connection.
#[derive(Debug)]
pub struct Line {
    version: Version,
    /// The quota to start with.
    quota_maximum: u16,
    packet_size_maximum: u32,
    /// What topics become on their way, if that is anything.
    topics: Option<Box<Topics>>,
    wire: Wire,
}

/// What topics become for a client.
#[derive(Debug)]
struct Topics {
    aliases: Option<OutboundAliases>,
    /// What is taken off them.
    mount: Option<Arc<str>>,
}

/// What a call on this side works with.
#[derive(Debug)]
pub struct Context<'a> {
    /// The time.
    pub now: Timestamp,
    /// Limits of the session.
    pub options: &'a Options,
    /// Buffers to use again.
    pub spare: &'a mut Spare,
    /// What happens is counted here.
    pub tally: &'a mut Tally,
    /// Whether no more memory is to be taken by what waits.
    pub pressed: bool,
    /// Who says what the client may still have of what has waited in doubt.
    pub judge: Option<Judge<'a>>,
}

/// Says whether the client may have a message with this topic.
#[derive(Clone, Copy)]
pub struct Judge<'a>(pub &'a dyn Fn(&str) -> bool);

impl fmt::Debug for Judge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Judge")
    }
}

/// Messages that go back to their groups, oldest first.
pub type GivenBack = Vec<(Source, Delivery)>;

/// What an acknowledgement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acked {
    /// It ended an exchange: there is quota again.
    Done,
    /// It moved an exchange on.
    Onward,
    /// It named an id that is not in flight, which harms nobody.
    Unknown,
}

impl Acked {
    fn done(done: bool) -> Self {
        if done { Self::Done } else { Self::Unknown }
    }
}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            window: Window::new(),
            waiting: Queue::new(),
            unsent: Queue::new(),
            line: None,
            journal: Journal::default(),
            weighed: 0,
            doubtful: false,
        }
    }
}

impl Outbound {
    /// The outbound side of a session that was kept: what was in flight, oldest first, of which only
    /// the id is known once PUBREC had come, and what waited.
    pub fn restored(
        in_flight: impl Iterator<Item = (PacketId, Option<Delivery>)>,
        waiting: InStore,
    ) -> Self {
        let mut outbound = Self {
            window: Window::restored(in_flight),
            ..Self::default()
        };
        outbound.journal = Journal::restored(outbound.window.len() > 0);
        outbound.waiting.restore(waiting);
        outbound
    }

    /// A connection takes this side over; `first` is committed before anything else (CONNACK).
    /// What is in flight is sent again, in its order, as far as the quota goes.
    // [MQTT5-3.2.0-1] [MQTT5-4.4.0-1] [MQTT311-3.2.0-1] [MQTT311-4.4.0-1]
    pub fn attach(&mut self, terms: &Terms, first: &[u8], cx: &mut Context<'_>) {
        let mut line = Box::new(Line {
            version: terms.version,
            quota_maximum: terms.send_quota,
            packet_size_maximum: terms.packet_size_maximum.min(MAXIMUM_PACKET_SIZE),
            topics: Topics::on(terms).map(Box::new),
            wire: Wire::default(),
        });
        line.commit_packets(first, 1, cx);
        self.line = Some(line);
        self.draw(cx);
    }

    /// The connection ended. Returns what belonged to it, with bytes not yet written, and the
    /// messages that go back to their groups, oldest first.
    pub fn detach(
        &mut self,
        options: &Options,
        tally: &mut Tally,
    ) -> Option<(Box<Line>, GivenBack)> {
        let line = self.line.take()?;
        let unsent = match options.queue_qos0_offline {
            true => 0,
            false => self.unsent.clear(),
        };
        tally.drop(DropReason::Away, unsent);
        tally.queue_changed(unsent, 0);
        self.weigh(tally);
        Some((line, self.window.detach()))
    }

    /// The connection, if there is one.
    pub fn line(&mut self) -> Option<&mut Line> {
        self.line.as_deref_mut()
    }

    /// Whether a connection is there.
    pub fn is_connected(&self) -> bool {
        self.line.is_some()
    }

    /// Messages in flight.
    pub fn in_flight(&self) -> usize {
        self.window.len()
    }

    /// Messages that wait, of any QoS.
    pub fn queued(&self) -> usize {
        self.waiting.len() + self.unsent.len()
    }

    /// Whether a message of this QoS would go to the wire now: what a group asks before it gives
    /// one to this member.
    pub fn takes_now(&self, qos: QoS, options: &Options) -> bool {
        let Some(line) = &self.line else { return false };
        let room = line.wire.unsent() < options.unsent_maximum;
        match qos {
            QoS::AtMostOnce => room && self.unsent.is_empty(),
            _ => {
                let in_turn = self.waiting.is_empty() && !self.window.has_unsent();
                room && in_turn && self.quota() > 0
            }
        }
    }

    /// Whether anything waits for room: in a queue, or to be sent again.
    pub fn has_more(&self) -> bool {
        self.queued() > 0 || self.window.has_unsent()
    }

    /// Whether the client accepts a PUBLISH as large as this message makes, if it is connected.
    /// `delivery` makes what would be sent, in case it is a close call.
    pub fn fits(
        &self,
        message: &Message,
        now: Timestamp,
        delivery: impl FnOnce() -> Delivery,
    ) -> bool {
        self.line.as_ref().is_some_and(|line| {
            line.surely_fits(message) || line.naming(&delivery(), now).is_some()
        })
    }

    /// Delivers a message: to the wire, to the queue, or, in bounds, nowhere. `source` names the
    /// group it came from. Returns whether bytes were committed to the wire.
    pub fn deliver(
        &mut self,
        delivery: Delivery,
        source: Option<Source>,
        cx: &mut Context<'_>,
    ) -> bool {
        // What a group gives comes after it has asked.
        let squeezed = cx.pressed && source.is_none() && self.is_heavy();
        if !squeezed && self.takes_now(delivery.qos, cx.options) {
            let wrote = self.send(delivery, source, cx);
            if self.is_heavy() {
                self.weigh(cx.tally);
            }
            return wrote;
        }
        if cx.pressed && delivery.qos == QoS::AtMostOnce {
            cx.tally.drop(DropReason::Overload, 1);
            return false;
        }
        let queue = match delivery.qos {
            // [MQTT311-3.1.2-5] [MQTT5-4.5.0-1]
            QoS::AtLeastOnce | QoS::ExactlyOnce => &mut self.waiting,
            // Whether it came before the connection or during it: one queue keeps the order.
            QoS::AtMostOnce if self.line.is_some() || cx.options.queue_qos0_offline => {
                &mut self.unsent
            }
            QoS::AtMostOnce => {
                cx.tally.drop(DropReason::Away, 1);
                return false;
            }
        };
        // What nobody may be sent any more takes no room from what is alive. [MQTT5-3.3.2-5]
        let before = queue.len();
        let journal = &mut self.journal;
        let expired = queue.drop_expired(cx.now, |gone| journal.dropped(gone, None));
        cx.tally.drop(DropReason::Expired, expired);
        let gone = |gone: Gone<'_>| journal.dropped(gone, None);
        let (dropped, reason) = match cx.pressed {
            true => {
                let dropped = queue.push_pressed(delivery, &cx.options.queue, gone);
                (dropped, DropReason::Overload)
            }
            false => {
                let dropped = queue.push(delivery, &cx.options.queue, gone);
                (dropped, DropReason::QueueFull)
            }
        };
        cx.tally.drop(reason, dropped);
        cx.tally.queue_changed(before, queue.len());
        self.weigh(cx.tally);
        false
    }

    /// Sends what waits, as far as quota and room go. Returns whether bytes were committed.
    pub fn draw(&mut self, cx: &mut Context<'_>) -> bool {
        let mut wrote = self.resend(cx);
        let before = self.queued();
        if self.doubtful && cx.judge.is_none() {
            return wrote;
        }
        // In turns, so that a flood of QoS 0 to a slow client does not starve what was promised.
        loop {
            let mut drew = false;
            if self.has_room(cx)
                && let Some(delivery) = self.unsent.pop()
            {
                wrote |= self.send_judged(delivery, cx);
                drew = true;
            }
            let able = !self.window.has_unsent() && self.has_room(cx) && self.quota() > 0;
            if able && let Some(delivery) = self.waiting.pop() {
                wrote |= self.send_judged(delivery, cx);
                drew = true;
            }
            if !drew {
                self.doubtful &= self.queued() > 0;
                cx.tally.queue_changed(before, self.queued());
                self.weigh(cx.tally);
                return wrote;
            }
        }
    }

    /// Sends what has waited, if the client may still have it.
    fn send_judged(&mut self, delivery: Delivery, cx: &mut Context<'_>) -> bool {
        let judge = cx.judge.filter(|_| self.doubtful);
        if judge.is_some_and(|Judge(may_have)| !may_have(delivery.message.topic())) {
            self.journal.dropped(Gone::from(&delivery), None);
            cx.tally.drop(DropReason::NotPermitted, 1);
            return false;
        }
        self.send(delivery, None, cx)
    }

    /// How many more messages may be in flight: none without a connection.
    fn quota(&self) -> usize {
        let maximum = self
            .line
            .as_ref()
            .map_or(0, |line| usize::from(line.quota_maximum));
        maximum.saturating_sub(self.window.sent())
    }

    fn has_room(&self, cx: &Context<'_>) -> bool {
        self.line
            .as_ref()
            .is_some_and(|line| line.wire.unsent() < cx.options.unsent_maximum)
    }

    /// Sends again what was in flight when the last connection ended. PUBREL does not wait for
    /// quota, but takes of it what there is.
    fn resend(&mut self, cx: &mut Context<'_>) -> bool {
        let mut quota = self.quota();
        let Some(line) = self.line.as_deref_mut() else {
            return false;
        };
        let mut wrote = false;
        let mut stalled = false;
        let journal = &mut self.journal;
        self.window.resend(|entry| {
            let (id, kept, gated) = (entry.id, entry.kept, entry.gate.is_some());
            match &entry.stage {
                Stage::Release if gated => return Resend::Later,
                Stage::Release => line.pubrel(id, ReasonCode::Success, cx),
                // It ended with the connection.
                Stage::Withdrawn => return Resend::Forget,
                Stage::Publish(delivery) => {
                    let full = quota == 0 || line.wire.unsent() >= cx.options.unsent_maximum;
                    stalled |= full || gated;
                    if stalled {
                        return Resend::Later;
                    }
                    match line.naming(delivery, cx.now) {
                        // [MQTT5-3.3.1-1] [MQTT311-3.3.1-1]
                        Some(naming) => line.publish(delivery, naming, Some(id), true, cx),
                        // This connection takes less than the last one. [MQTT5-3.1.2-25]
                        None => {
                            cx.tally.drop(DropReason::PacketTooLarge, 1);
                            if delivery.qos != QoS::ExactlyOnce {
                                if kept {
                                    journal.push(Step::Done(id));
                                }
                                return Resend::Forget;
                            }
                            // The client may hold the id: only a PUBREL frees it on both sides.
                            entry.stage = Stage::Release;
                            if kept {
                                entry.gate = Some(journal.received(id));
                                return Resend::Later;
                            }
                            line.pubrel(id, ReasonCode::Success, cx);
                        }
                    }
                }
            }
            quota = quota.saturating_sub(1);
            wrote = true;
            Resend::Sent
        });
        wrote
    }

    /// Puts a message on the wire for the first time.
    fn send(&mut self, delivery: Delivery, source: Option<Source>, cx: &mut Context<'_>) -> bool {
        let Some(line) = self.line.as_deref_mut() else {
            return false;
        };
        // [MQTT5-3.3.2-5]
        if delivery.message.expired(cx.now) {
            self.journal.dropped(Gone::from(&delivery), source);
            cx.tally.drop(DropReason::Expired, 1);
            return false;
        }
        // [MQTT5-3.1.2-25]
        let Some(naming) = line.naming(&delivery, cx.now) else {
            self.journal.dropped(Gone::from(&delivery), source);
            cx.tally.drop(DropReason::PacketTooLarge, 1);
            return false;
        };
        if delivery.qos == QoS::AtMostOnce {
            line.publish(&delivery, naming, None, false, cx);
            return true;
        }
        let number = self.journal.followed(Gone::from(&delivery), source);
        let qos = delivery.qos;
        match self.window.add(delivery, source) {
            Ok(id) => {
                if let Some(number) = number {
                    let gate = self.journal.sent(id, (number, qos), source);
                    self.window.keep_newest(gate);
                    if gate.is_some() {
                        return false;
                    }
                }
                if let Some(delivery) = self.window.newest() {
                    line.publish(delivery, naming, Some(id), false, cx);
                }
                true
            }
            // Every id is in flight: the quota, which is at most 65,535, was 0 before that.
            Err(delivery) => {
                self.waiting.give_back(std::iter::once(delivery));
                false
            }
        }
    }

    /// Takes a PUBACK, whatever its code: an error ends the exchange as well.
    // [MQTT5-4.3.2-3] [MQTT5-4.4.0-2]
    pub fn puback(&mut self, id: PacketId) -> Result<Acked, Fault> {
        let kept = self.is_followed(id);
        let done = self.window.puback(id).map_err(out_of_step)?.is_some();
        self.follow(kept && done, Step::Done(id));
        Ok(Acked::done(done))
    }

    /// Takes a PUBREC and commits the PUBREL that answers it.
    pub fn pubrec(
        &mut self,
        id: PacketId,
        code: ReasonCode,
        cx: &mut Context<'_>,
    ) -> Result<Acked, Fault> {
        let kept = self.is_followed(id);
        let gated = kept && self.window.is_gated(id);
        match self.window.pubrec(id, code).map_err(out_of_step)? {
            Received::Refused(known) => {
                self.follow(kept && known, Step::Done(id));
                Ok(Acked::done(known))
            }
            Received::Release(code) => {
                if kept && !gated {
                    let gate = self.journal.received(id);
                    self.window.close_gate(id, gate);
                } else if let Some(line) = self.line.as_deref_mut().filter(|_| !gated) {
                    line.pubrel(id, code, cx);
                }
                Ok(Acked::Onward)
            }
        }
    }

    /// Takes a PUBCOMP.
    pub fn pubcomp(&mut self, id: PacketId) -> Result<Acked, Fault> {
        let kept = self.is_followed(id);
        let done = self.window.pubcomp(id).map_err(out_of_step)?;
        self.follow(kept && done, Step::Done(id));
        Ok(Acked::done(done))
    }

    /// Every step up to the one with this gate is safe: sends what waited for that. Returns whether bytes
    /// were committed.
    pub fn open_gates(&mut self, safe: u64, cx: &mut Context<'_>) -> bool {
        let mut wrote = false;
        let mut opened = false;
        while let Some((gate, id)) = self.journal.open(safe) {
            opened = true;
            let Some(line) = self.line.as_deref_mut() else {
                let _ = self.window.open_gate(id, gate);
                continue;
            };
            match self.window.open_gate(id, gate) {
                Some(Stage::Release) => line.pubrel(id, ReasonCode::Success, cx),
                // It fitted when it was given its id, and without a new alias it still does.
                Some(Stage::Publish(delivery)) => {
                    let naming = line.naming(delivery, cx.now).unwrap_or(Naming::Name);
                    line.publish(delivery, naming, Some(id), false, cx);
                }
                // Only what is of QoS 1 is withdrawn.
                Some(Stage::Withdrawn) | None => continue,
            }
            wrote = true;
        }
        // What was to be sent again may have waited as well.
        if opened && self.window.has_unsent() {
            wrote |= self.draw(cx);
        }
        wrote
    }

    fn is_followed(&self, id: PacketId) -> bool {
        self.journal.is_followed() && self.window.is_kept(id)
    }

    fn follow(&mut self, followed: bool, step: Step) {
        if followed {
            self.journal.push(step);
        }
    }

    /// Says whether the store keeps this session: whether what becomes of its deliveries is to be
    /// told, and how many bytes of what waits are held in memory beside. What came from a group is told
    /// in any case.
    pub fn keep(&mut self, memory: Option<usize>) {
        self.journal.keep(memory.is_some());
        self.waiting.spill(memory);
    }

    /// The numbers of the messages that are to be read back from the store next, if it is time.
    pub fn wanted(&mut self) -> Option<Vec<u64>> {
        self.line.as_ref()?;
        self.waiting.wanted()
    }

    /// Takes what was read back: a draw may go on. Returns how many messages are lost.
    pub fn supply(&mut self, found: impl Iterator<Item = (u64, Option<Message>)>) -> usize {
        let mut count = 0;
        let journal = &mut self.journal;
        self.waiting.supply(found, |lost| {
            count += 1;
            journal.dropped(lost, None);
        });
        count
    }

    /// Whether the store keeps this session.
    pub fn is_kept(&self) -> bool {
        self.journal.is_kept()
    }

    /// Whether the store has ever been told of a delivery to this session.
    pub fn is_known_to_the_store(&self) -> bool {
        self.journal.is_kept() || self.journal.is_followed()
    }

    /// Takes what the store has to be told, in its order; `None` if that is nothing.
    pub fn take_steps(&mut self) -> Option<Vec<Step>> {
        self.journal.has_news().then(|| self.journal.take())
    }

    /// The session has left a group: it finishes what it has begun, as its own.
    pub fn disown(&mut self, source: Source) {
        self.window.disown(source);
    }

    /// Ends the session: everything is dropped. Returns how many messages that were.
    pub fn end(&mut self) -> usize {
        let dropped = self.window.len() + self.waiting.len() + self.unsent.len();
        let line = self.line.take();
        *self = Self {
            line,
            weighed: self.weighed,
            ..Self::default()
        };
        dropped
    }
}

/// More than a PUBLISH adds to topic, properties and payload: fixed header (5), lengths (2 + 4),
/// packet id (2), expiry (5), alias (3), one Subscription Identifier (5).
const PUBLISH_ADDS: usize = 64;

fn out_of_step(_: OutOfStep) -> Fault {
    Fault::new(
        ReasonCode::ProtocolError,
        "an acknowledgement that does not go with its message",
    )
}

impl Topics {
    /// Nothing, if they stay as they are.
    fn on(terms: &Terms) -> Option<Self> {
        let (maximum, mount) = (terms.outbound_aliases, terms.mount.clone());
        (maximum > 0 || mount.is_some()).then(|| Self {
            aliases: (maximum > 0).then(|| OutboundAliases::new(maximum)),
            mount,
        })
    }
}

impl Line {
    /// A connection without a session: it carries what comes before CONNACK, or a refusal.
    pub fn bare(version: Version) -> Self {
        Self {
            version,
            quota_maximum: 0,
            packet_size_maximum: MAXIMUM_PACKET_SIZE,
            topics: None,
            wire: Wire::default(),
        }
    }

    /// Protocol version spoken on this connection.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The bytes on their way to the socket.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Largest packet that the client accepts.
    pub fn packet_size_maximum(&self) -> u32 {
        self.packet_size_maximum
    }

    /// Commits whole packets that are not deliveries.
    pub fn commit_packets(&mut self, packets: &[u8], count: usize, cx: &mut Context<'_>) {
        self.wire
            .commit(cx.spare, |out| out.extend_from_slice(packets));
        cx.tally.packets_sent += count as u64;
    }

    fn pubrel(&mut self, id: PacketId, code: ReasonCode, cx: &mut Context<'_>) {
        let version = self.version;
        self.wire.commit(cx.spare, |out| {
            encode_ack(PacketType::Pubrel, id, code, version, out)
        });
        cx.tally.packets_sent += 1;
    }

    /// Whether a message is so much smaller than what the client accepts that nothing a PUBLISH adds
    /// to it, but for several Subscription Identifiers, can matter.
    fn surely_fits(&self, message: &Message) -> bool {
        message.size() + PUBLISH_ADDS <= self.packet_size_maximum as usize
    }

    /// How the PUBLISH is to name its topic so that it fits the client's Maximum Packet Size, if
    /// there is a way. [MQTT5-3.1.2-24]
    fn naming(&self, delivery: &Delivery, now: Timestamp) -> Option<Naming> {
        let topic = delivery.message.topic_bytes();
        let aliases = self.topics.as_ref().and_then(|it| it.aliases.as_ref());
        let best = aliases.map_or(Naming::Name, |aliases| aliases.naming(topic));
        if self.surely_fits(&delivery.message) && delivery.subscription_ids.as_slice().len() <= 1 {
            return Some(best);
        }
        let fits = |naming: &Naming| {
            let id = (delivery.qos != QoS::AtMostOnce).then_some(PacketId::MAX);
            let topic = inside(self.topics.as_deref(), &delivery.message);
            let frame = frame(delivery, topic, id, false, *naming, now);
            frame.encoded_len(self.version) as u64 <= u64::from(self.packet_size_maximum)
        };
        // A new alias makes the packet longer: without it, it may still fit.
        let plain = matches!(best, Naming::NameAndAlias(_)).then_some(Naming::Name);
        Some(best).filter(fits).or_else(|| plain.filter(fits))
    }

    fn publish(
        &mut self,
        delivery: &Delivery,
        naming: Naming,
        id: Option<PacketId>,
        dup: bool,
        cx: &mut Context<'_>,
    ) {
        let version = self.version;
        let topic = inside(self.topics.as_deref(), &delivery.message);
        let frame = frame(delivery, topic, id, dup, naming, cx.now);
        self.wire.commit(cx.spare, |out| frame.encode(version, out));
        let topics = self.topics.as_mut();
        if let Some(aliases) = topics.and_then(|it| it.aliases.as_mut()) {
            aliases.commit(delivery.message.topic_bytes(), naming);
        }
        cx.tally
            .publish_sent(delivery.qos, delivery.message.payload().len());
    }
}

/// The topic as the client knows it.
fn inside<'a>(topics: Option<&Topics>, message: &'a Message) -> &'a [u8] {
    match topics.and_then(|it| it.mount.as_deref()) {
        Some(mount) => mount::inside(mount, message.topic()).as_bytes(),
        None => message.topic_bytes(),
    }
}

fn frame<'a>(
    delivery: &'a Delivery,
    name: &'a [u8],
    packet_id: Option<PacketId>,
    dup: bool,
    naming: Naming,
    now: Timestamp,
) -> PublishFrame<'a> {
    let Delivery {
        message,
        subscription_ids,
        qos,
        retain,
        ..
    } = delivery;
    let (topic, alias) = match naming {
        Naming::Name => (name, None),
        Naming::NameAndAlias(alias) => (name, Some(alias)),
        Naming::Alias(alias) => (&[][..], Some(alias)),
    };
    PublishFrame {
        dup,
        qos: *qos,
        retain: *retain,
        packet_id,
        topic,
        alias,
        message_expiry: message.remaining_expiry(now),
        subscription_ids: SubscriptionIds::as_slice(subscription_ids),
        forwarded: message.forwarded(),
        payload: message.payload(),
    }
}

mod pressure;
mod upkeep;
mod withdrawal;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;
