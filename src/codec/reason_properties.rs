//! The two properties that every answer may carry: a Reason String and User Properties.

use super::error::DecodeError;
use super::property::PropertyId;
use super::section::Section;
use super::sink::{PropertySection, Sink};
use super::user_properties::UserProperties;

/// The property section of PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReasonProperties<'a> {
    pub(super) reason_string: Option<&'a str>,
    pub(super) user_properties: UserProperties<'a>,
}

impl<'a> ReasonProperties<'a> {
    pub(super) fn read(mut section: Section<'a>) -> Result<ReasonProperties<'a>, DecodeError> {
        let mut reason_string = None;
        while let Some(id) = section.next_id()? {
            match id {
                PropertyId::ReasonString => reason_string = Some(section.string()?),
                PropertyId::UserProperty => section.user_property()?,
                _ => return section.not_allowed(),
            }
        }
        Ok(ReasonProperties {
            reason_string,
            user_properties: section.user_properties(),
        })
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.reason_string.is_none() && self.user_properties.is_empty()
    }
}

impl PropertySection for ReasonProperties<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.string_property(PropertyId::ReasonString, self.reason_string);
        self.user_properties.write(sink);
    }
}
