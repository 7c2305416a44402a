//! Topic Aliases, both ways. Both maps end with the connection. [MQTT5-3.3.2-7]

use std::collections::HashMap;
use std::num::NonZeroU16;

use crate::codec::ReasonCode;

use super::fault::Fault;

/// What the client's aliases stand for: alias 1 is at index 0.
#[derive(Debug, Default)]
pub(super) struct InboundAliases {
    topics: Vec<Box<str>>,
}

impl InboundAliases {
    /// The Topic Name that `alias` stands for.
    pub(super) fn known(&self, alias: NonZeroU16) -> Option<&str> {
        let known = self.topics.get(usize::from(alias.get()) - 1);
        known
            .map(|topic| &**topic)
            .filter(|topic| !topic.is_empty())
    }

    /// The Topic Name of a PUBLISH that carries `alias`, which sets the alias if it also carries a
    /// topic. `maximum` is what the broker announced.
    // [MQTT5-3.3.2-9] [MQTT5-3.3.2-12] [MQTT5-3.2.2-17]
    pub(super) fn resolve<'a>(
        &'a mut self,
        alias: NonZeroU16,
        topic: &str,
        maximum: u16,
    ) -> Result<&'a str, Fault> {
        if alias.get() > maximum {
            return Err(Fault::new(
                ReasonCode::TopicAliasInvalid,
                "the Topic Alias is above the announced maximum",
            ));
        }
        let index = usize::from(alias.get()) - 1;
        if !topic.is_empty() {
            if index >= self.topics.len() {
                self.topics.resize(index + 1, Box::default());
            }
            if *self.topics[index] != *topic {
                self.topics[index] = topic.into();
            }
        }
        match self.topics.get(index) {
            Some(known) if !known.is_empty() => Ok(known),
            _ => Err(Fault::new(
                ReasonCode::ProtocolError,
                "the Topic Alias stands for no topic",
            )),
        }
    }
}

/// Aliases that the broker gave to topics it sends: the first topics that come, up to the maximum.
/// None is ever moved to another topic, so a topic that has an alias always has the same.
#[derive(Debug)]
pub(super) struct OutboundAliases {
    given: HashMap<Box<[u8]>, NonZeroU16>,
    maximum: u16,
}

/// How a PUBLISH names its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// By its name alone.
    Name,
    /// By its name, with an alias that stands for it from now on.
    NameAndAlias(NonZeroU16),
    /// By an alias that the client knows.
    Alias(NonZeroU16),
}

impl OutboundAliases {
    pub(super) fn new(maximum: u16) -> Self {
        Self {
            given: HashMap::new(),
            maximum,
        }
    }

    /// How to name `topic` in a PUBLISH. Changes nothing: see [`Self::commit`].
    pub(super) fn naming(&self, topic: &[u8]) -> Naming {
        if let Some(alias) = self.given.get(topic) {
            return Naming::Alias(*alias);
        }
        // An alias property takes three bytes: it cannot pay for a shorter topic.
        let next = u16::try_from(self.given.len() + 1)
            .ok()
            .filter(|next| *next <= self.maximum);
        match next.and_then(NonZeroU16::new) {
            Some(alias) if topic.len() > 3 => Naming::NameAndAlias(alias),
            _ => Naming::Name,
        }
    }

    /// Notes that a PUBLISH with this naming is committed to the wire: only then does the client
    /// learn the alias.
    pub(super) fn commit(&mut self, topic: &[u8], naming: Naming) {
        if let Naming::NameAndAlias(alias) = naming {
            self.given.insert(topic.into(), alias);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(n: u16) -> NonZeroU16 {
        NonZeroU16::new(n).expect("not zero")
    }

    #[test]
    fn a_client_sets_uses_and_moves_its_aliases() {
        let mut aliases = InboundAliases::default();
        assert_eq!(aliases.resolve(alias(2), "a", 2), Ok("a"));
        assert_eq!(aliases.resolve(alias(2), "", 2), Ok("a"));
        assert_eq!(aliases.resolve(alias(2), "b", 2), Ok("b"));
        assert_eq!(aliases.resolve(alias(2), "", 2), Ok("b"));
    }

    #[test]
    fn aliases_above_the_maximum_or_unset_are_refused_with_their_codes() {
        let mut aliases = InboundAliases::default();
        let code = |result: Result<&str, Fault>| result.expect_err("refused").code;
        assert_eq!(
            code(aliases.resolve(alias(3), "a", 2)),
            ReasonCode::TopicAliasInvalid
        );
        assert_eq!(
            code(aliases.resolve(alias(1), "", 2)),
            ReasonCode::ProtocolError
        );
        assert_eq!(aliases.resolve(alias(2), "a", 2), Ok("a"));
        assert_eq!(
            code(aliases.resolve(alias(1), "", 2)),
            ReasonCode::ProtocolError
        );
    }

    #[test]
    fn outbound_aliases_go_to_the_first_topics_and_stay() {
        let mut aliases = OutboundAliases::new(1);
        let naming = aliases.naming(b"first");
        assert_eq!(naming, Naming::NameAndAlias(alias(1)));
        assert_eq!(
            aliases.naming(b"first"),
            naming,
            "not committed: still unknown to the client"
        );
        aliases.commit(b"first", naming);
        assert_eq!(aliases.naming(b"first"), Naming::Alias(alias(1)));
        assert_eq!(aliases.naming(b"second"), Naming::Name);
        assert_eq!(
            OutboundAliases::new(1).naming(b"abc"),
            Naming::Name,
            "too short to pay"
        );
    }
}
