//! What the owner of a group asks of a member that does not acknowledge in time.

use super::Outbound;
use crate::codec::PacketId;
use crate::message::Message;
use crate::queue::Delivery;
use crate::session::journal::Step;
use crate::session::window::Source;

impl Outbound {
    /// Notes since when the message is in flight that was sent last, by a clock of the caller.
    pub fn stamp_newest(&mut self, since: u32) {
        self.window.stamp_newest(since);
    }

    /// All QoS 1 messages of a group that wait for their acknowledgement, in the order in which they were
    /// sent: id, delivery, and since when.
    pub fn unacknowledged(
        &self,
        source: Source,
    ) -> impl Iterator<Item = (PacketId, &Delivery, u32)> {
        self.window.unacknowledged(source)
    }

    /// Takes a message of a group back, if it still waits for its acknowledgement under this id. The id
    /// and its share of the quota stay taken until the client acknowledges it or its connection ends.
    pub fn withdraw(
        &mut self,
        source: Source,
        id: PacketId,
        message: &Message,
    ) -> Option<Delivery> {
        let (delivery, followed) = self.window.withdraw(source, id, message)?;
        self.follow(followed, Step::Returned(id));
        Some(delivery)
    }
}
