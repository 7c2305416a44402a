//! What client and broker agree on when a session opens.

use std::sync::Arc;
use std::time::Duration;

use crate::codec::{Connack, ConnackProperties, Connect, ReasonCode, Version};
use crate::message::{Message, Parts, Timestamp};

use super::fault::Fault;
use super::options::Options;

/// The Session Expiry Interval that never ends.
pub const NEVER: u32 = u32::MAX;

/// A Will Message, kept with the session until it is published or forgotten.
#[derive(Clone, Debug)]
pub struct Will {
    /// The message. Its expiry counts from publication, so it is not in the message yet.
    pub message: Message,
    /// Message Expiry Interval in seconds, if it has one.
    pub expiry: Option<u32>,
    /// Seconds between the end of the connection and publication.
    pub delay: u32,
}

/// The outcome of a CONNECT: every wish that the client stated, cut to what the broker grants.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Protocol version of the connection.
    pub version: Version,
    /// The Client Identifier that names the session. [MQTT5-3.1.3-2] [MQTT311-3.1.3-2]
    pub client_id: Arc<str>,
    /// Whether the broker chose it.
    pub assigned: bool,
    /// Whether an existing session is dropped first.
    pub clean_start: bool,
    /// Seconds that the session outlives the connection; 0 ends it with the connection,
    /// [`NEVER`] keeps it.
    pub expiry: u32,
    /// Whether that differs from what the client asked for.
    expiry_cut: bool,
    /// Seconds of Keep Alive in force; 0 is none.
    pub keep_alive: u16,
    /// Whether that differs from what the client asked for.
    keep_alive_cut: bool,
    /// The send quota to start with. [MQTT5-4.9.0-1]
    pub send_quota: u16,
    /// Largest packet that may be sent to the client. [MQTT5-3.1.2-24]
    pub packet_size_maximum: u32,
    /// Outbound Topic Aliases that may be assigned. [MQTT5-3.1.2-26] [MQTT5-3.1.2-27]
    pub outbound_aliases: u16,
    /// Whether reason strings may go with any packet. [MQTT5-3.1.2-29]
    pub problem_information: bool,
    /// Whether Response Information was asked for.
    response_information: bool,
    /// What is taken off the topics that the client is sent.
    pub mount: Option<Arc<str>>,
    /// The Will Message, if the client left one. [MQTT5-3.1.2-7] [MQTT311-3.1.2-8]
    pub will: Option<Will>,
    /// What the client may do.
    pub granted: Granted,
}

/// What a client is told that it may do, and may until its connection ends, whatever is granted to others
/// by then.
#[derive(Clone, Copy, Debug)]
pub struct Granted {
    /// Its Receive Maximum.
    pub receive_maximum: u16,
    /// The largest packet that it may send.
    pub packet_size_maximum: u32,
    /// Its Topic Aliases.
    pub topic_alias_maximum: u16,
}

impl Terms {
    /// Cuts the wishes of `connect` to what `options` grant. `assigned` is the unique Client
    /// Identifier to use if the client names none.
    ///
    /// # Errors
    ///
    /// A Client Identifier that the protocol version does not allow.
    pub fn negotiate(
        connect: &Connect<'_>,
        options: &Options,
        assigned: impl FnOnce() -> Arc<str>,
    ) -> Result<Self, Fault> {
        let assign = connect.client_id.is_empty();
        check_empty_id(connect)?;
        let properties = &connect.properties;
        let v5 = connect.version == Version::V5;
        let (expiry, expiry_cut) = negotiate_expiry(connect, options);
        let (keep_alive, keep_alive_cut) = negotiate_keep_alive(connect, options);
        let receive_maximum = properties.receive_maximum.map_or(u16::MAX, |n| n.get());
        Ok(Self {
            version: connect.version,
            client_id: if assign {
                assigned()
            } else {
                Arc::from(connect.client_id)
            },
            assigned: assign,
            clean_start: connect.clean_start,
            expiry,
            expiry_cut,
            keep_alive,
            keep_alive_cut,
            send_quota: receive_maximum.min(options.inflight_maximum).max(1),
            packet_size_maximum: properties.maximum_packet_size.map_or(u32::MAX, |n| n.get()),
            outbound_aliases: properties
                .topic_alias_maximum
                .min(options.outbound_alias_maximum),
            problem_information: v5 && properties.request_problem_information,
            response_information: v5 && properties.request_response_information,
            mount: None,
            will: will(connect),
            granted: Granted {
                receive_maximum: options.receive_maximum,
                packet_size_maximum: options.packet_size_maximum,
                topic_alias_maximum: options.topic_alias_maximum,
            },
        })
    }

    /// The CONNACK that accepts these terms. `response_information` is the text made for this
    /// client, if the broker offers any.
    pub fn connack<'a>(
        &'a self,
        session_present: bool,
        retain_available: bool,
        response_information: Option<&'a str>,
    ) -> Connack<'a> {
        let mut properties = ConnackProperties::default();
        if self.version == Version::V5 {
            // [MQTT5-3.1.3-7] [MQTT5-3.2.2-16]
            properties.assigned_client_id = self.assigned.then_some(&*self.client_id);
            properties.session_expiry = self.expiry_cut.then_some(self.expiry);
            let granted = self.granted;
            properties.receive_maximum = std::num::NonZeroU16::new(granted.receive_maximum);
            properties.maximum_packet_size = std::num::NonZeroU32::new(granted.packet_size_maximum);
            properties.topic_alias_maximum = granted.topic_alias_maximum;
            properties.retain_available = (!retain_available).then_some(false);
            // [MQTT5-3.2.2-22]: absent means that the client's own value holds.
            properties.server_keep_alive = self.keep_alive_cut.then_some(self.keep_alive);
            // [MQTT5-3.1.2-28]
            properties.response_information =
                response_information.filter(|_| self.response_information);
        }
        Connack {
            session_present,
            code: ReasonCode::Success,
            properties,
        }
    }

    /// Whether the client asked for a session that ends with its connection: a wish that was cut to
    /// that is another. Section 3.14.2.2.2 of MQTT 5.0 goes by the CONNECT packet.
    pub fn asked_for_no_expiry(&self) -> bool {
        self.expiry == 0 && !self.expiry_cut
    }

    /// How long the connection may be silent: one and a half times the Keep Alive.
    pub fn silence_allowed(&self) -> Option<Duration> {
        silence_allowed(self.keep_alive)
    }
}

/// How long a connection with so many seconds of Keep Alive may be silent, if there is one.
// [MQTT5-3.1.2-22] [MQTT311-3.1.2-24]
pub fn silence_allowed(keep_alive: u16) -> Option<Duration> {
    (keep_alive > 0).then(|| Duration::from_millis(u64::from(keep_alive) * 1500))
}

// MQTT 3.1 demands 1 to 23 characters; longer ones are accepted as in every other version.
// [MQTT311-3.1.3-7] [MQTT311-3.1.3-8] [MQTT5-3.1.3-6]
fn check_empty_id(connect: &Connect<'_>) -> Result<(), Fault> {
    let allowed = match connect.version {
        Version::V31 => false,
        Version::V311 => connect.clean_start,
        Version::V5 => true,
    };
    if connect.client_id.is_empty() && !allowed {
        return Err(Fault::new(
            ReasonCode::ClientIdentifierNotValid,
            "an empty Client Identifier needs a clean session",
        ));
    }
    Ok(())
}

fn negotiate_expiry(connect: &Connect<'_>, options: &Options) -> (u32, bool) {
    let maximum = u32::try_from(options.expiry_maximum.as_secs()).unwrap_or(NEVER);
    if connect.version == Version::V5 {
        let wanted = connect.properties.session_expiry.unwrap_or(0);
        return (wanted.min(maximum), wanted > maximum);
    }
    let default = u32::try_from(options.expiry_3x.as_secs()).unwrap_or(NEVER);
    (
        if connect.clean_start {
            0
        } else {
            default.min(maximum)
        },
        false,
    )
}

fn negotiate_keep_alive(connect: &Connect<'_>, options: &Options) -> (u16, bool) {
    let (wanted, maximum) = (connect.keep_alive, options.keep_alive_maximum);
    let beyond = maximum != 0 && (wanted == 0 || wanted > maximum);
    if beyond && connect.version == Version::V5 {
        (maximum, true)
    } else {
        (wanted, false)
    }
}

fn will(connect: &Connect<'_>) -> Option<Will> {
    let will = connect.will.as_ref()?;
    let mut forwarded = Vec::with_capacity(will.properties.forwarded_len());
    will.properties.write_forwarded(&mut forwarded);
    let parts = Parts {
        topic: will.topic,
        forwarded: &forwarded,
        payload: will.payload,
        qos: will.qos,
        // [MQTT5-3.1.2-14] [MQTT5-3.1.2-15] [MQTT311-3.1.2-16] [MQTT311-3.1.2-17]
        retain: will.retain,
        expires: None,
    };
    Some(Will {
        message: Message::new(parts, &mut Vec::new()),
        expiry: will.properties.message_expiry,
        delay: will.properties.delay,
    })
}

impl Will {
    /// The message as it is published at `now`: its expiry starts to count.
    pub fn publish(&self, now: Timestamp) -> Message {
        let Some(seconds) = self.expiry else {
            return self.message.clone();
        };
        let parts = Parts {
            topic: self.message.topic(),
            forwarded: self.message.forwarded(),
            payload: self.message.payload(),
            qos: self.message.qos(),
            retain: self.message.retain(),
            expires: Some(now.after(Duration::from_secs(seconds.into()))),
        };
        Message::new(parts, &mut Vec::new())
    }
}

#[cfg(test)]
mod tests;
