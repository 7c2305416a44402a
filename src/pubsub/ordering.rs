//! Which messages of a group go to the same member.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::codec::UserProperties;
use crate::message::Message;
use crate::topic::name;

use super::options::OrderingKey;

impl OrderingKey {
    /// The bucket of a message, if it has a value to order by: messages of the same value are in the
    /// same one. There are no more buckets than this number can tell apart, so what a group remembers of
    /// values is bounded, however many there are.
    pub(super) fn bucket(&self, message: &Message) -> Option<u16> {
        let value = match self {
            Self::Level(level) => name::levels(message.topic()).nth(level.checked_sub(1)?)?,
            Self::UserProperty(wanted) => {
                let properties = UserProperties::in_section(message.forwarded());
                properties.iter().find(|(name, _)| **name == **wanted)?.1
            }
        };
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Some(hasher.finish() as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{QoS, UserPropertiesBuf};
    use crate::message::Parts;

    fn message(topic: &str, properties: &[(&str, &str)]) -> Message {
        let mut pairs = UserPropertiesBuf::new();
        for (name, value) in properties {
            pairs.push(name, value).expect("a pair");
        }
        // A content type in front, as other properties may be.
        let forwarded = [&[3, 0, 1, b'x'], pairs.as_bytes()].concat();
        let parts = Parts {
            topic,
            forwarded: &forwarded,
            payload: b"",
            qos: QoS::AtLeastOnce,
            retain: false,
            expires: None,
        };
        Message::new(parts, &mut Vec::new())
    }

    // Breaks if: another level is looked at, or a topic without the level gets a bucket.
    #[test]
    fn a_level_of_the_topic_decides() {
        let key = OrderingKey::Level(2);
        let of = |topic| key.bucket(&message(topic, &[]));
        assert_eq!(of("jobs/a/1"), of("tasks/a/2/x"));
        assert_ne!(of("jobs/a/1"), of("jobs/b/1"));
        assert!(of("jobs/").is_some(), "an empty level is a level");
        assert_eq!(of("jobs"), None);
        assert_eq!(OrderingKey::Level(0).bucket(&message("jobs", &[])), None);
    }

    // Breaks if: another property is looked at, or the last one of a name goes before the first.
    #[test]
    fn the_first_user_property_of_the_name_decides() {
        let key = OrderingKey::UserProperty("id".into());
        let of = |properties| key.bucket(&message("t", properties));
        assert_eq!(
            of(&[("id", "7"), ("id", "8")]),
            of(&[("x", "8"), ("id", "7")])
        );
        assert_ne!(of(&[("id", "7")]), of(&[("id", "8")]));
        assert_eq!(of(&[("ID", "7")]), None);
        assert_eq!(of(&[]), None);
    }
}
