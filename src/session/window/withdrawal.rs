//! Messages of groups that are not acknowledged in time.
//!
//! The protocol has no way to take a PUBLISH back, so the entry stays: its id is taken, and it counts as
//! in flight, until the client acknowledges it or its connection ends. Only the message goes.

use crate::codec::{PacketId, QoS};
use crate::message::Message;
use crate::queue::Delivery;

use super::{InFlight, Source, Stage, Window};

impl Window {
    /// Notes since when the message added last is in flight.
    pub(in crate::session) fn stamp_newest(&mut self, since: u32) {
        if let Some(entry) = self.entries.back_mut() {
            entry.since = since;
        }
    }

    /// Shows all QoS 1 messages of a group that wait for their acknowledgement, in the order in which
    /// they were sent: id, delivery, and since when.
    pub(in crate::session) fn unacknowledged(
        &self,
        source: Source,
    ) -> impl Iterator<Item = (PacketId, &Delivery, u32)> {
        let of_group = self
            .entries
            .iter()
            .filter(move |it| it.source == Some(source));
        of_group.filter_map(|it| Some((it.id, waits(it)?, it.since)))
    }

    /// Takes a message of a group back, if it still waits for its acknowledgement under this id. Returns
    /// also whether the store followed it.
    pub(in crate::session) fn withdraw(
        &mut self,
        source: Source,
        id: PacketId,
        message: &Message,
    ) -> Option<(Delivery, bool)> {
        let index = self.position(id)?;
        let entry = &mut self.entries[index];
        let is_it = waits(entry).is_some_and(|it| it.message.is_same(message));
        if entry.source != Some(source) || !is_it {
            return None;
        }
        entry.source = None;
        let followed = std::mem::take(&mut entry.kept);
        match std::mem::replace(&mut entry.stage, Stage::Withdrawn) {
            Stage::Publish(delivery) => Some((delivery, followed)),
            Stage::Release | Stage::Withdrawn => None,
        }
    }
}

/// The delivery that waits for a PUBACK.
fn waits(entry: &InFlight) -> Option<&Delivery> {
    match &entry.stage {
        Stage::Publish(it) if it.qos == QoS::AtLeastOnce && entry.sent => Some(it),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::super::tests::delivery;
    use super::*;
    use crate::codec::ReasonCode;

    const GROUP: Source = Source(NonZeroU64::MIN);

    fn window() -> (Window, PacketId) {
        let mut window = Window::new();
        let added = window.add(delivery(QoS::AtLeastOnce, "job"), Some(GROUP));
        window.stamp_newest(7);
        (window, added.expect("an id"))
    }

    fn in_flight(window: &Window) -> Vec<(PacketId, u32)> {
        let all = window.unacknowledged(GROUP);
        all.map(|(id, _, since)| (id, since)).collect()
    }

    // Breaks if: the id of what was withdrawn is free before it is acknowledged, or the late PUBACK is
    // refused.
    #[test]
    fn an_id_is_taken_until_its_late_acknowledgement() {
        let (mut window, id) = window();
        assert_eq!(in_flight(&window), [(id, 7)]);
        let message = window.newest().expect("it is there").message.clone();
        let (delivery, followed) = window.withdraw(GROUP, id, &message).expect("it waits");
        assert!(delivery.message.is_same(&message) && !followed);
        assert_eq!(in_flight(&window), []);
        assert_eq!((window.len(), window.sent()), (1, 1));
        assert!(window.withdraw(GROUP, id, &message).is_none(), "only once");
        assert!(window.pubrec(id, ReasonCode::Success).is_err());
        assert!(window.pubcomp(id).is_err());
        assert!(window.puback(id).is_ok_and(|it| it.is_some()));
        assert_eq!(window.len(), 0);
    }

    // Breaks if: what another member has is sent again to the first, or given back a second time.
    #[test]
    fn what_was_withdrawn_ends_with_the_connection() {
        let (mut window, id) = window();
        let message = window.newest().expect("it is there").message.clone();
        window.withdraw(GROUP, id, &message);
        assert!(window.detach().is_empty());
        assert_eq!((window.len(), window.has_unsent()), (0, false));
    }

    // Breaks if: an id is enough to take whatever it stands for now.
    #[test]
    fn only_the_message_that_is_meant_is_withdrawn() {
        let (mut window, id) = window();
        let message = window.newest().expect("it is there").message.clone();
        let other = delivery(QoS::AtLeastOnce, "job").message;
        let elsewhere = Source(NonZeroU64::MAX);
        assert!(window.withdraw(GROUP, id, &other).is_none());
        assert!(window.withdraw(elsewhere, id, &message).is_none());
        window.disown(GROUP);
        assert!(window.withdraw(GROUP, id, &message).is_none());
        let begun = window.add(delivery(QoS::ExactlyOnce, "two"), Some(GROUP));
        let message = window.newest().expect("it is there").message.clone();
        let begun = begun.expect("an id");
        assert!(window.withdraw(GROUP, begun, &message).is_none(), "QoS 2");
    }
}
