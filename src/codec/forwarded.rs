//! The properties of a message that a server passes on unaltered.
//!
//! ```text
//!   PUBLISH  | payload format | content type | response topic | correlation data | user ...|
//!            | expiry | alias | subscription ids |
//!              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ not these: they are of one hop
//! ```
//!
//! The broker keeps them in wire form, in the order of the drawing, and copies them into each
//! delivery as they are. A message that has none of them, the usual case, keeps no bytes.

use super::property::PropertyId;
use super::sink::{Counter, PropertySection, Sink};
use super::user_properties::UserProperties;

/// What a PUBLISH and a will have in common.
#[derive(Clone, Copy)]
pub(super) struct Forwarded<'a> {
    pub(super) payload_format: Option<bool>,
    pub(super) content_type: Option<&'a str>,
    pub(super) response_topic: Option<&'a str>,
    pub(super) correlation_data: Option<&'a [u8]>,
    pub(super) user_properties: UserProperties<'a>,
}

impl Forwarded<'_> {
    fn is_empty(&self) -> bool {
        self.payload_format.is_none()
            && self.content_type.is_none()
            && self.response_topic.is_none()
            && self.correlation_data.is_none()
            && self.user_properties.is_empty()
    }

    /// How many bytes [`PropertySection::write`] writes.
    pub(super) fn len(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        let mut counter = Counter::default();
        self.write(&mut counter);
        counter.length()
    }
}

impl PropertySection for Forwarded<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        if self.is_empty() {
            return;
        }
        // [MQTT5-3.3.2-4] [MQTT5-3.3.2-20] [MQTT5-3.3.2-15] [MQTT5-3.3.2-16] [MQTT5-3.3.2-17]
        sink.flag_property(PropertyId::PayloadFormatIndicator, self.payload_format);
        sink.string_property(PropertyId::ContentType, self.content_type);
        sink.string_property(PropertyId::ResponseTopic, self.response_topic);
        sink.binary_property(PropertyId::CorrelationData, self.correlation_data);
        self.user_properties.write(sink);
    }
}
