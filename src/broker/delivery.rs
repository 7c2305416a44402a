//! From the queues to the sockets.
//!
//! Who fills a wire flushes it: a session that a batch committed bytes for is in the batch's list
//! and is written to at its end, once. Only when the socket takes no more is the connection's own
//! task woken to go on. What frees room is followed by a draw: of the session's own queues by
//! whoever flushed, of retained messages and of groups by the connection's own task.

use std::io;
use std::sync::Arc;

use parking_lot::MutexGuard;

use crate::codec::QoS;
use crate::message::Message;
use crate::pubsub::{Group, Load, Recipient};
use crate::queue::{Delivery, DropReason, Gone};
use crate::session::{Chunk, Judge, Line, Source, Written};

use super::batch::Batch;
use super::core::Broker;
use super::port::{Port, Signal};
use super::shared::{Feed, GroupRef, InboundSide, OutboundSide, SessionRef};

/// Chunks that one flush writes to a connection before it leaves the rest to the connection's own
/// task, so that a recipient which is filled as fast as it is written keeps nobody.
const CHUNKS_PER_FLUSH: usize = 16;

/// Topics of the retained store that a connection looks at in one turn.
const RETAINED_STEPS: usize = 256;

impl Broker {
    /// Delivers a message to one session.
    pub(super) fn deliver(
        &self,
        recipient: &Recipient<SessionRef>,
        message: &Message,
        batch: &mut Batch,
    ) {
        let delivery = Delivery {
            message: message.clone(),
            subscription_ids: recipient.ids.clone(),
            qos: message.qos().min(recipient.qos),
            // [MQTT5-3.3.1-12] [MQTT5-3.3.1-13] [MQTT311-3.3.1-9]
            retain: message.retain() && recipient.retain_as_published,
            attempts: 0,
        };
        let mut side = recipient.subscriber.outbound.lock();
        self.put(&recipient.subscriber, &mut side, delivery, None, batch);
    }

    /// Puts a delivery into a session's outbound side.
    fn put(
        &self,
        session: &SessionRef,
        side: &mut OutboundSide,
        delivery: Delivery,
        source: Option<Source>,
        batch: &mut Batch,
    ) {
        if side.ended {
            batch.tally.drop(DropReason::Ended, 1);
            return;
        }
        let mut cx = batch.context(self);
        cx.pressed = self.defence.is_pressed();
        if side.outbound.deliver(delivery, source, &mut cx) {
            touch(session, side, batch);
        }
        self.tell_steps(session, side, batch);
    }

    /// Gives a message to one member of a group, or to its backlog.
    pub(super) fn offer(&self, shared: &GroupRef, message: &Message, batch: &mut Batch) {
        let mut group = shared.group.lock();
        if group.is_ended() {
            batch.tally.drop(DropReason::Ended, 1);
            return;
        }
        // What waits goes first; that it waits means that nobody could take it.
        if group.may_pass(message) && self.give(&mut group, shared, (message, 0), None, batch) {
            return;
        }
        let granted = match group.is_declared() {
            true => Some(QoS::ExactlyOnce),
            false => group.members().iter().map(|it| it.granted.qos).max(),
        };
        let qos = message.qos().min(granted.unwrap_or(QoS::AtMostOnce));
        let waits = qos > QoS::AtMostOnce
            || self.options().session.queue_qos0_offline
            || group
                .members()
                .iter()
                .any(|m| m.subscriber.outbound.lock().outbound.is_connected());
        if !waits {
            self.tell_dropped(shared, message);
            batch.tally.drop(DropReason::Away, 1);
            return;
        }
        if self.defence.is_pressed() && gives_way(&group, shared, qos) {
            self.tell_dropped(shared, message);
            batch.tally.drop(DropReason::Overload, 1);
            return;
        }
        let before = group.backlog();
        let gone = |gone: Gone<'_>| self.tell_gone(shared, gone);
        let expired = group.drop_expired(batch.now.wall, gone);
        batch.tally.drop(DropReason::Expired, expired);
        let light = message.qos() == QoS::AtMostOnce;
        let dropped = match light && shared.options.refuses && !group.has_room_for(message.size()) {
            // Nobody could be told, and nobody was promised anything.
            true => 1,
            false => group.wait(message.clone(), gone),
        };
        batch.tally.drop(DropReason::QueueFull, dropped);
        batch.tally.queue_changed(before, group.backlog());
        batch.tally.queued_bytes += shared.weigh(group.weight());
    }

    /// Gives a message to a member that can take it now, other than `except`; returns whether there was
    /// one. It comes with how often it was given to a member before.
    pub(super) fn give(
        &self,
        group: &mut Group<SessionRef>,
        shared: &GroupRef,
        (message, attempts): (&Message, u16),
        except: Option<&SessionRef>,
        batch: &mut Batch,
    ) -> bool {
        let options = self.options();
        // A member may fill up between being chosen and being given: then another is chosen.
        for _ in 0..=group.members().len() {
            let (chosen, hopeless) = self.choose(group, message, except, batch);
            let Some(member) = chosen.and_then(|index| group.members().get(index)) else {
                // Nobody could ever take it: it must not keep the rest waiting.
                if let Some(reason) = hopeless {
                    self.tell_dropped(shared, message);
                    batch.tally.drop(reason, 1);
                }
                return hopeless.is_some();
            };
            let delivery = member.delivery(message, attempts);
            let qos = delivery.qos;
            let subscriber = member.subscriber.clone();
            let mut side = subscriber.outbound.lock();
            if !side.outbound.takes_now(qos, &options.session) {
                continue;
            }
            let before = side.outbound.in_flight();
            self.put(&subscriber, &mut side, delivery, Some(shared.source), batch);
            match qos {
                // Nobody acknowledges it: that was the end of it.
                QoS::AtMostOnce => self.tell_dropped(shared, message),
                QoS::AtLeastOnce if side.outbound.in_flight() > before => {
                    self.look_after(group, shared, &mut side, batch);
                }
                QoS::AtLeastOnce | QoS::ExactlyOnce => {}
            }
            return true;
        }
        false
    }

    /// Chooses a member that can take a message now, other than `except`. Returns also why nobody ever
    /// could, if that is so: it is too large for all who are here, or no member may have it, here or away.
    /// While one may, it waits for that one, as it does for one that is away.
    pub(super) fn choose(
        &self,
        group: &mut Group<SessionRef>,
        message: &Message,
        except: Option<&SessionRef>,
        batch: &Batch,
    ) -> (Option<usize>, Option<DropReason>) {
        let options = self.options();
        let (mut asked, mut permitted, mut connected, mut fitting) = (0, 0, 0, 0);
        let chosen = group.choose(message, |member| {
            asked += 1;
            if !self.may_receive(&member.subscriber, message.topic()) {
                return Load::Never;
            }
            permitted += 1;
            let mut side = member.subscriber.outbound.lock();
            let fits = side
                .outbound
                .fits(message, batch.now.wall, || member.delivery(message, 0));
            let is_here = side.outbound.is_connected();
            connected += usize::from(is_here);
            fitting += usize::from(fits);
            if except == Some(&member.subscriber) {
                return Load::Busy;
            }
            let qos = message.qos().min(member.granted.qos);
            let takes = fits && side.outbound.takes_now(qos, &options.session);
            side.hungry |= fits && !takes;
            match (takes, is_here && !fits) {
                (true, _) => Load::Free(side.outbound.in_flight()),
                (false, true) => Load::Never,
                (false, false) => Load::Busy,
            }
        });
        let hopeless = if asked > 0 && permitted == 0 {
            Some(DropReason::NotPermitted)
        } else {
            (connected > 0 && fitting == 0).then_some(DropReason::PacketTooLarge)
        };
        (chosen, hopeless)
    }

    /// Hands out what a group has, for as long as there are takers: what others have had for too long,
    /// and then its backlog.
    pub(super) fn drain_group(&self, shared: &GroupRef, batch: &mut Batch) {
        let mut guard = shared.group.lock();
        if guard.is_overdue() {
            self.hand_on(&mut guard, shared, batch);
        }
        let before = guard.backlog();
        if before == 0 && !guard.has_lost() {
            return;
        }
        let mut expired = 0;
        let now = batch.now.wall;
        guard.drain(
            now,
            |group, message, attempts| self.give(group, shared, (message, attempts), None, batch),
            |gone| {
                self.tell_gone(shared, gone);
                expired += 1;
            },
        );
        batch.tally.drop(DropReason::Expired, expired);
        batch.tally.queue_changed(before, guard.backlog());
        batch.tally.queued_bytes += shared.weigh(guard.weight());
        let lost = guard.take_lost();
        for number in &lost {
            self.tell_lost(shared, *number);
        }
        batch.tally.drop(DropReason::Unreadable, lost.len());
        batch.tally.queue_changed(lost.len(), 0);
        if let Some(numbers) = guard.wanted() {
            self.store.recall(numbers, shared.recalls());
        }
    }

    /// Draws whatever the session's client can take now: its queues, retained messages for its new
    /// subscriptions, and the backlogs of its groups. Returns whether another turn is due.
    pub(super) fn draw(
        &self,
        session: &SessionRef,
        inbound: &InboundSide,
        batch: &mut Batch,
    ) -> bool {
        let again = {
            let mut side = session.outbound.lock();
            side.hungry = false;
            let may_have = |topic: &str| self.may_have(session, inbound, topic);
            let mut cx = batch.context(self);
            cx.judge = Some(Judge(&may_have));
            if side.outbound.draw(&mut cx) {
                touch(session, &mut side, batch);
            }
            self.tell_steps(session, &mut side, batch);
            self.feed(session, &mut side, batch)
        };
        for group in inbound.groups.iter() {
            self.drain_group(group, batch);
        }
        again
    }

    /// Sends retained messages to new subscriptions while there is room. Returns whether it stopped
    /// because it has done enough for one turn.
    fn feed(&self, session: &SessionRef, side: &mut OutboundSide, batch: &mut Batch) -> bool {
        let mut steps = RETAINED_STEPS;
        let mut found = Vec::new();
        let options = self.options();
        while let Some(mut feed) = side.feeds.pop_front() {
            found.clear();
            let now = batch.now.wall;
            // [MQTT5-3.8.3-3]
            let except = feed.granted.no_local.then_some(&*session.client_id);
            let next = self.retained.read().find(
                &feed.filter,
                feed.after.as_deref(),
                except,
                steps,
                now,
                &mut found,
            );
            let looked_at_all = next.is_none();
            for message in &found {
                if !self.may_receive(session, message.topic()) {
                    feed.after = Some(message.topic().into());
                    batch.tally.drop(DropReason::NotPermitted, 1);
                    continue;
                }
                let delivery = feed.delivery(message);
                if !side.outbound.takes_now(delivery.qos, &options.session) {
                    side.feeds.push_front(feed);
                    return false;
                }
                self.keep_feed(session, &delivery);
                feed.after = Some(message.topic().into());
                self.put(session, side, delivery, None, batch);
            }
            if !looked_at_all {
                feed.after = next;
                side.feeds.push_front(feed);
                return true;
            }
            // A walk looks at more than it finds.
            steps = steps.saturating_sub(found.len().max(RETAINED_STEPS / 16));
            if steps == 0 {
                return !side.feeds.is_empty();
            }
        }
        false
    }

    /// Writes what a session's wire holds, if nobody else does.
    pub(super) fn flush(&self, session: &SessionRef, batch: &mut Batch) {
        let mut side = session.outbound.lock();
        let Some(port) = side.port.clone() else {
            return;
        };
        if !port.link().is_direct() {
            port.signal(Signal::Write);
            return;
        }
        let Some(mut chunk) = side.outbound.line().and_then(|line| line.wire().take()) else {
            return;
        };
        for _ in 0..CHUNKS_PER_FLUSH {
            drop(side);
            let taken = match port.link().try_write(chunk.remaining()) {
                Ok(taken) => taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                // The connection's own task will meet the same error and end it.
                Err(_) => 0,
            };
            chunk.advance(taken);
            batch.sent(taken);
            side = session.outbound.lock();
            match self.put_back(session, &port, &mut side, chunk, taken, batch) {
                Written::All => return,
                Written::More(more) => chunk = more,
                Written::Blocked => return port.signal(Signal::Write),
            }
        }
        // Enough: an unwritten chunk leaves the wire blocked, and its own task goes on.
        self.put_back(session, &port, &mut side, chunk, 0, batch);
        port.signal(Signal::Write);
    }

    /// Gives a chunk back to the wire it came from, wherever that is by now, and draws into the
    /// room it made.
    pub(super) fn put_back(
        &self,
        session: &SessionRef,
        port: &Arc<Port>,
        side: &mut MutexGuard<'_, OutboundSide>,
        chunk: Chunk,
        taken: usize,
        batch: &mut Batch,
    ) -> Written {
        if !side
            .port
            .as_ref()
            .is_some_and(|present| Arc::ptr_eq(present, port))
        {
            // The session was detached while the chunk was being written; the connection keeps
            // the wire until it is empty.
            let written = put_back_own(port, chunk, taken, batch);
            port.signal(Signal::Write);
            return written;
        }
        let Some(line) = side.outbound.line() else {
            return Written::All;
        };
        let written = line.wire().put_back(chunk, taken, &mut batch.spare);
        match written {
            Written::All => side.outbound.weigh_if_any(&mut batch.tally),
            Written::More(_) => return written,
            Written::Blocked => {
                side.outbound.weigh(&mut batch.tally);
                return written;
            }
        }
        if side.hungry || !side.feeds.is_empty() {
            port.signal(Signal::Draw);
        }
        if !side.outbound.has_more() {
            return Written::All;
        }
        if side.outbound.is_doubtful() {
            // Only its own connection knows what it may have.
            port.signal(Signal::Draw);
            return Written::All;
        }
        let cx = &mut batch.context(self);
        let drew = side.outbound.draw(cx);
        self.tell_steps(session, side, batch);
        if !drew {
            return Written::All;
        }
        match side.outbound.line().and_then(|line| line.wire().take()) {
            Some(more) => Written::More(more),
            None => Written::All,
        }
    }
}

/// Whether a message to a group, at this QoS, does not wait while no more memory is to be taken: nobody
/// is promised that, neither by the store nor by a group that refuses what it has no room for.
fn gives_way(group: &Group<SessionRef>, shared: &GroupRef, qos: QoS) -> bool {
    let promised = shared.is_kept() || shared.options.refuses;
    qos == QoS::AtMostOnce || group.backlog() > 0 && !promised
}

/// Gives a chunk back to a wire that no session holds.
pub(super) fn put_back_own(port: &Port, chunk: Chunk, taken: usize, batch: &mut Batch) -> Written {
    let written = match port.own().as_deref_mut() {
        Some(line) => line.wire().put_back(chunk, taken, &mut batch.spare),
        None => Written::All,
    };
    if matches!(written, Written::All) {
        // Before its session is open, a connection reads on only when this has been sent.
        port.signal(Signal::Draw);
    }
    written
}

/// Puts the session on the batch's list if its wire is this batch's to flush.
pub(super) fn touch(session: &SessionRef, side: &mut OutboundSide, batch: &mut Batch) {
    if side
        .outbound
        .line()
        .map(Line::wire)
        .is_some_and(|wire| wire.touch())
    {
        batch.touched.push(session.clone());
    }
}

impl Feed {
    /// A retained message as this subscription gets it. [MQTT5-3.3.1-9] [MQTT311-3.3.1-8]
    fn delivery(&self, message: &Message) -> Delivery {
        let ids: Vec<u32> = self.granted.id.iter().map(|id| id.get()).collect();
        Delivery {
            message: message.clone(),
            subscription_ids: crate::queue::SubscriptionIds::new(&ids),
            qos: message.qos().min(self.granted.qos),
            retain: true,
            attempts: 0,
        }
    }
}
