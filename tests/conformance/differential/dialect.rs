//! The same packets in both versions, for conversations that both versions have.

use super::pair::Pair;
use crate::bytes::{
    Connect, Publish, Will, pubrel, subscribe_5, subscribe_311, unsubscribe_5, unsubscribe_311,
};

/// A version of MQTT, which builds its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    V311,
    V5,
}

/// Holds a conversation in each version, with brokers that are new.
#[track_caller]
pub fn in_both(conversation: impl Fn(&mut Pair, Dialect)) {
    for dialect in [Dialect::V311, Dialect::V5] {
        conversation(&mut Pair::start(), dialect);
    }
}

impl Dialect {
    pub fn is_5(self) -> bool {
        self == Self::V5
    }

    /// CONNECT of a session that ends with its connection.
    pub fn connect(self, client_id: &str) -> Connect {
        match self {
            Self::V311 => Connect::v311(client_id),
            Self::V5 => Connect::v5(client_id),
        }
    }

    /// CONNECT of a session that is kept, and resumed.
    pub fn lasting(self, client_id: &str) -> Connect {
        let connect = self.connect(client_id).clean(false);
        match self {
            Self::V311 => connect,
            Self::V5 => connect.expiry(600),
        }
    }

    /// CONNECT with a Will.
    pub fn with_will(self, client_id: &str, will: Will) -> Connect {
        self.connect(client_id).will(will)
    }

    /// SUBSCRIBE with the Packet Identifier 1.
    pub fn subscribe(self, filters: &[(&str, u8)]) -> Vec<u8> {
        match self {
            Self::V311 => subscribe_311(1, filters),
            Self::V5 => subscribe_5(1, &[], filters),
        }
    }

    /// UNSUBSCRIBE with the Packet Identifier 2.
    pub fn unsubscribe(self, filters: &[&str]) -> Vec<u8> {
        match self {
            Self::V311 => unsubscribe_311(2, filters),
            Self::V5 => unsubscribe_5(2, &[], filters),
        }
    }

    pub fn publish(self, topic: &str, payload: impl AsRef<[u8]>) -> Publish {
        match self {
            Self::V311 => Publish::v311(topic, payload),
            Self::V5 => Publish::v5(topic, payload),
        }
    }

    /// Connects "sub" with this CONNECT, and subscribes.
    #[track_caller]
    pub fn subscriber(self, pair: &mut Pair, connect: &Connect, filters: &[(&str, u8)]) {
        pair.open("sub", connect);
        pair.came("sub", 1);
        pair.send("sub", self.subscribe(filters));
        pair.came("sub", 1);
    }

    /// Connects "pub".
    #[track_caller]
    pub fn publisher(self, pair: &mut Pair) {
        pair.open("pub", &self.connect("pub"));
        pair.came("pub", 1);
    }

    /// "pub" publishes with the Packet Identifier 9, and at QoS 2 releases it.
    #[track_caller]
    pub fn tell(self, pair: &mut Pair, message: &Publish, qos: u8) {
        let bytes = message.clone().qos(qos, 9).bytes();
        pair.together(&format!("pub publishes {bytes:02x?}"), |side| {
            side.send("pub", &bytes);
            if qos == 2 {
                side.send("pub", &pubrel(9));
            }
        });
    }
}
