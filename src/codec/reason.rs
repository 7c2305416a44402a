//! Reason Codes: the one byte with which a packet says how something went.
//!
//! The table below is section 2.4 of MQTT 5.0 with, per code, the packets that may carry it. Two
//! packets restrict it further by direction (DISCONNECT and AUTH), see
//! [`ReasonCode::may_be_sent_by`]. MQTT 3.x has return codes in CONNACK and SUBACK only; the
//! broker speaks Reason Codes throughout and translates at the wire, see
//! [`ReasonCode::connack_v3`].

use std::fmt;

use super::context::Sender;
use super::packet_type::PacketType;

macro_rules! reason_codes {
    ($(
        $(#[$doc:meta])*
        $variant:ident = $byte:literal, $name:literal, $text:literal, [$($packet:ident)*];
    )*) => {
        /// How something went: below 0x80 well, from 0x80 on not.
        ///
        /// `Success` stands for the three meanings that 0x00 has: Success, Normal disconnection
        /// and Granted QoS 0.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum ReasonCode {
            $($(#[$doc])* $variant = $byte,)*
        }

        impl ReasonCode {
            /// All codes, in the order of their numbers.
            pub const ALL: &'static [ReasonCode] = &[$(ReasonCode::$variant,)*];

            /// The code of a byte; `None` when the specification assigns it no meaning.
            pub const fn from_byte(byte: u8) -> Option<ReasonCode> {
                match byte {
                    $($byte => Some(ReasonCode::$variant),)*
                    _ => None,
                }
            }

            /// A stable snake_case name, for metric labels.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ReasonCode::$variant => $name,)*
                }
            }

            /// The specification's own words, for messages to people.
            pub const fn text(self) -> &'static str {
                match self {
                    $(ReasonCode::$variant => $text,)*
                }
            }

            /// Whether a packet of this type may carry the code at all.
            pub const fn allowed_in(self, packet: PacketType) -> bool {
                let packets: u16 = match self {
                    $(ReasonCode::$variant => 0 $(| 1 << (PacketType::$packet as u8))*,)*
                };
                packets & (1 << (packet as u8)) != 0
            }
        }
    };
}

reason_codes! {
    /// 0x00, also Normal disconnection and Granted QoS 0.
    Success = 0x00, "success", "Success",
        [Connack Puback Pubrec Pubrel Pubcomp Suback Unsuback Disconnect Auth];
    /// The subscription is granted, with QoS 1 at most.
    GrantedQos1 = 0x01, "granted_qos_1", "Granted QoS 1", [Suback];
    /// The subscription is granted, with QoS 2 at most.
    GrantedQos2 = 0x02, "granted_qos_2", "Granted QoS 2", [Suback];
    /// A client says goodbye and wants its will published all the same.
    DisconnectWithWill = 0x04, "disconnect_with_will", "Disconnect with Will Message",
        [Disconnect];
    /// The message was accepted, and nobody has subscribed to it. Only a hint.
    NoMatchingSubscribers = 0x10, "no_matching_subscribers", "No matching subscribers",
        [Puback Pubrec];
    /// There was nothing to unsubscribe from.
    NoSubscriptionExisted = 0x11, "no_subscription_existed", "No subscription existed",
        [Unsuback];
    /// The other side is to take the next step of the authentication.
    ContinueAuthentication = 0x18, "continue_authentication", "Continue authentication", [Auth];
    /// A client begins an authentication anew on the connection it has.
    ReAuthenticate = 0x19, "re_authenticate", "Re-authenticate", [Auth];
    /// It failed, and the sender does not say why, or no other code does.
    UnspecifiedError = 0x80, "unspecified_error", "Unspecified error",
        [Connack Puback Pubrec Suback Unsuback Disconnect];
    /// The bytes cannot be parsed as the specification has them.
    MalformedPacket = 0x81, "malformed_packet", "Malformed Packet", [Connack Disconnect];
    /// The packet parses, but may not come, or not come now.
    ProtocolError = 0x82, "protocol_error", "Protocol Error", [Connack Disconnect];
    /// It is valid, and this server will not do it.
    ImplementationSpecificError = 0x83, "implementation_specific_error",
        "Implementation specific error", [Connack Puback Pubrec Suback Unsuback Disconnect];
    /// The server does not speak the version that the CONNECT names.
    UnsupportedProtocolVersion = 0x84, "unsupported_protocol_version",
        "Unsupported Protocol Version", [Connack];
    /// The Client Identifier is well-formed, and the server does not take it.
    ClientIdentifierNotValid = 0x85, "client_identifier_not_valid",
        "Client Identifier not valid", [Connack];
    /// The server does not accept this user name with this password.
    BadUserNameOrPassword = 0x86, "bad_user_name_or_password", "Bad User Name or Password",
        [Connack];
    /// The client may not do this, or not connect at all.
    NotAuthorized = 0x87, "not_authorized", "Not authorized",
        [Connack Puback Pubrec Suback Unsuback Disconnect];
    /// The server cannot serve clients at the moment.
    ServerUnavailable = 0x88, "server_unavailable", "Server unavailable", [Connack];
    /// The server has too much to do: the client is to try again later.
    ServerBusy = 0x89, "server_busy", "Server busy", [Connack Disconnect];
    /// The client has been shut out by an administrator.
    Banned = 0x8A, "banned", "Banned", [Connack];
    /// The server stops.
    ServerShuttingDown = 0x8B, "server_shutting_down", "Server shutting down", [Disconnect];
    /// Section 2.4 allows it in DISCONNECT too (a failed re-authentication), although the table
    /// of the DISCONNECT section leaves it out.
    BadAuthenticationMethod = 0x8C, "bad_authentication_method", "Bad authentication method",
        [Connack Disconnect];
    /// Nothing came from the client for one and a half times its Keep Alive.
    KeepAliveTimeout = 0x8D, "keep_alive_timeout", "Keep Alive timeout", [Disconnect];
    /// Another connection has come with the same Client Identifier.
    SessionTakenOver = 0x8E, "session_taken_over", "Session taken over", [Disconnect];
    /// The Topic Filter is well-formed, and not accepted here.
    TopicFilterInvalid = 0x8F, "topic_filter_invalid", "Topic Filter invalid",
        [Suback Unsuback Disconnect];
    /// The Topic Name is well-formed, and not accepted here.
    TopicNameInvalid = 0x90, "topic_name_invalid", "Topic Name invalid",
        [Connack Puback Pubrec Disconnect];
    /// The Packet Identifier belongs to an exchange that has not ended: the two sides disagree on the
    /// state of the session.
    PacketIdentifierInUse = 0x91, "packet_identifier_in_use", "Packet Identifier in use",
        [Puback Pubrec Suback Unsuback];
    /// The Packet Identifier is not that of any exchange. No error while a session is being resumed.
    PacketIdentifierNotFound = 0x92, "packet_identifier_not_found",
        "Packet Identifier not found", [Pubrel Pubcomp];
    /// More QoS 1 and 2 messages came than the Receive Maximum lets be unacknowledged.
    ReceiveMaximumExceeded = 0x93, "receive_maximum_exceeded", "Receive Maximum exceeded",
        [Disconnect];
    /// A Topic Alias is 0, over the maximum, or not yet defined.
    TopicAliasInvalid = 0x94, "topic_alias_invalid", "Topic Alias invalid", [Disconnect];
    /// The packet is larger than the receiver's Maximum Packet Size.
    PacketTooLarge = 0x95, "packet_too_large", "Packet too large", [Connack Disconnect];
    /// Messages come faster than the receiver lets them.
    MessageRateTooHigh = 0x96, "message_rate_too_high", "Message rate too high", [Disconnect];
    /// A limit that was set for the client, or by an administrator, is reached.
    QuotaExceeded = 0x97, "quota_exceeded", "Quota exceeded",
        [Connack Puback Pubrec Suback Disconnect];
    /// An administrator has closed the connection.
    AdministrativeAction = 0x98, "administrative_action", "Administrative action", [Disconnect];
    /// The payload is not what its Payload Format Indicator says.
    PayloadFormatInvalid = 0x99, "payload_format_invalid", "Payload format invalid",
        [Connack Puback Pubrec Disconnect];
    /// The server keeps no retained messages, and was asked to.
    RetainNotSupported = 0x9A, "retain_not_supported", "Retain not supported",
        [Connack Disconnect];
    /// The QoS is higher than the Maximum QoS of the server.
    QosNotSupported = 0x9B, "qos_not_supported", "QoS not supported", [Connack Disconnect];
    /// The client is to go elsewhere for now.
    UseAnotherServer = 0x9C, "use_another_server", "Use another server", [Connack Disconnect];
    /// The client is to go elsewhere for good.
    ServerMoved = 0x9D, "server_moved", "Server moved", [Connack Disconnect];
    /// The server has no Shared Subscriptions for this client.
    SharedSubscriptionsNotSupported = 0x9E, "shared_subscriptions_not_supported",
        "Shared Subscriptions not supported", [Suback Disconnect];
    /// Connections come faster than the server lets them.
    ConnectionRateExceeded = 0x9F, "connection_rate_exceeded", "Connection rate exceeded",
        [Connack Disconnect];
    /// The connection has lasted as long as it was allowed to.
    MaximumConnectTime = 0xA0, "maximum_connect_time", "Maximum connect time", [Disconnect];
    /// The server takes no Subscription Identifiers, and got one.
    SubscriptionIdentifiersNotSupported = 0xA1, "subscription_identifiers_not_supported",
        "Subscription Identifiers not supported", [Suback Disconnect];
    /// The server takes no wildcards in Topic Filters, and got one.
    WildcardSubscriptionsNotSupported = 0xA2, "wildcard_subscriptions_not_supported",
        "Wildcard Subscriptions not supported", [Suback Disconnect];
}

impl ReasonCode {
    /// Whether the code reports a failure.
    pub const fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    /// Whether `sender` may put the code into such a packet: [`ReasonCode::allowed_in`], and for
    /// DISCONNECT and AUTH also the "Sent by" column of their tables.
    pub const fn may_be_sent_by(self, packet: PacketType, sender: Sender) -> bool {
        if !self.allowed_in(packet) {
            return false;
        }
        let client = matches!(sender, Sender::Client);
        match packet {
            PacketType::Disconnect => match self {
                ReasonCode::DisconnectWithWill => client,
                ReasonCode::NotAuthorized
                | ReasonCode::ServerBusy
                | ReasonCode::ServerShuttingDown
                | ReasonCode::BadAuthenticationMethod
                | ReasonCode::KeepAliveTimeout
                | ReasonCode::SessionTakenOver
                | ReasonCode::TopicFilterInvalid
                | ReasonCode::RetainNotSupported
                | ReasonCode::QosNotSupported
                | ReasonCode::UseAnotherServer
                | ReasonCode::ServerMoved
                | ReasonCode::SharedSubscriptionsNotSupported
                | ReasonCode::ConnectionRateExceeded
                | ReasonCode::MaximumConnectTime
                | ReasonCode::SubscriptionIdentifiersNotSupported
                | ReasonCode::WildcardSubscriptionsNotSupported => !client,
                _ => true,
            },
            PacketType::Auth => match self {
                ReasonCode::Success => !client,
                ReasonCode::ReAuthenticate => client,
                _ => true,
            },
            _ => true,
        }
    }

    /// The CONNACK return code of MQTT 3.x that says the same, or the nearest thing a 3.x client
    /// understands. `None`: there is none, and the server closes without a CONNACK
    /// `[MQTT311-3.2.2-6]`.
    pub const fn connack_v3(self) -> Option<u8> {
        match self {
            ReasonCode::Success => Some(0),
            ReasonCode::UnsupportedProtocolVersion => Some(1),
            ReasonCode::ClientIdentifierNotValid => Some(2),
            ReasonCode::ServerUnavailable
            | ReasonCode::ServerBusy
            | ReasonCode::QuotaExceeded
            | ReasonCode::UseAnotherServer
            | ReasonCode::ServerMoved
            | ReasonCode::ConnectionRateExceeded => Some(3),
            ReasonCode::BadUserNameOrPassword => Some(4),
            ReasonCode::NotAuthorized
            | ReasonCode::Banned
            | ReasonCode::BadAuthenticationMethod => Some(5),
            _ => None,
        }
    }

    /// The Reason Code of a CONNACK return code of MQTT 3.x; `None` for the reserved ones (6 on).
    pub const fn from_connack_v3(code: u8) -> Option<ReasonCode> {
        match code {
            0 => Some(ReasonCode::Success),
            1 => Some(ReasonCode::UnsupportedProtocolVersion),
            2 => Some(ReasonCode::ClientIdentifierNotValid),
            3 => Some(ReasonCode::ServerUnavailable),
            4 => Some(ReasonCode::BadUserNameOrPassword),
            5 => Some(ReasonCode::NotAuthorized),
            _ => None,
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests;
