//! Packets of clients whose topics are below a mount point: what they say, as everybody else sees it.
//!
//! All behind this knows the whole topics, rules included. They are taken apart again where a PUBLISH is put
//! onto the client's wire. A Response Topic is passed on as it is: it means something to who is below the
//! same mount point.

use std::borrow::Cow;

use crate::codec::{
    Connect, FiltersBuf, Packet, Publish, ReasonCode, Subscribe, Unsubscribe,
    UnsubscribeFiltersBuf, Will,
};
use crate::session::Fault;
use crate::topic::mount;

use super::delayed;

/// What a packet is made of.
#[derive(Default)]
pub(super) struct Mounted {
    topic: String,
    filters: FiltersBuf,
    given_up: UnsubscribeFiltersBuf,
}

const TOO_LONG: Fault = Fault::new(
    ReasonCode::TopicNameInvalid,
    "the topic is too long below its mount point",
);

impl Mounted {
    /// A packet as it is outside.
    ///
    /// # Errors
    ///
    /// A topic or filter becomes longer than there can be.
    pub(super) fn put<'a>(
        &'a mut self,
        mount: &str,
        packet: Packet<'a>,
    ) -> Result<Packet<'a>, Fault> {
        Ok(match packet {
            Packet::Publish(it) if !it.topic.is_empty() => {
                self.topic = outside(mount, it.topic)?;
                Packet::Publish(Publish {
                    topic: &self.topic,
                    ..it
                })
            }
            Packet::Subscribe(it) => {
                for (text, options) in it.filters.iter() {
                    let outside = mount::filter(mount, text);
                    let pushed = self.filters.push(&outside, options);
                    pushed.map_err(|_| TOO_LONG)?;
                }
                Packet::Subscribe(Subscribe {
                    filters: self.filters.as_ref(),
                    ..it
                })
            }
            Packet::Unsubscribe(it) => {
                for text in it.filters.iter() {
                    let outside = mount::filter(mount, text);
                    self.given_up.push(&outside).map_err(|_| TOO_LONG)?;
                }
                Packet::Unsubscribe(Unsubscribe {
                    filters: self.given_up.as_ref(),
                    ..it
                })
            }
            other => other,
        })
    }

    /// A CONNECT as it is outside: its Will may be for a topic.
    ///
    /// # Errors
    ///
    /// As [`Self::put`].
    pub(super) fn connect<'a>(
        &'a mut self,
        mount: Option<&str>,
        connect: &Connect<'a>,
    ) -> Result<Connect<'a>, Fault> {
        let (Some(mount), Some(will)) = (mount, connect.will) else {
            return Ok(*connect);
        };
        self.topic = outside(mount, will.topic)?;
        let topic = &self.topic;
        Ok(Connect {
            will: Some(Will { topic, ..will }),
            ..*connect
        })
    }
}

/// A Topic Name as it is outside; of one for later, the topic within is.
fn outside(mount: &str, said: &str) -> Result<String, Fault> {
    let outside: Cow<'_, str> = match delayed::split(said) {
        Some((front, within)) => [front, &mount::name(mount, within)].concat().into(),
        None if delayed::is_for_later(said) => said.into(),
        None => mount::name(mount, said).into(),
    };
    match mount::fits(&outside) {
        true => Ok(outside.into_owned()),
        false => Err(TOO_LONG),
    }
}
