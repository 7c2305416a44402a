//! What holds for those who come in by one listener, in place of what holds for all others.

use std::time::Duration;

use crate::broker::{Entrance, Limits};
use crate::codec::Version;

use super::value::{Expected, Value};

/// What is known of it before its parts are put together.
#[derive(Clone, Debug)]
pub struct EntranceSettings {
    /// Whether clients have to prove who they are as the configuration has it.
    pub authentication: bool,
    /// The versions spoken.
    pub versions: Vec<Version>,
    /// The mount point, or nothing.
    pub mount: String,
    /// Network Connections.
    pub connections_maximum: Option<usize>,
    /// See [`Limits`].
    pub receive_maximum: Option<u16>,
    /// See [`Limits`].
    pub packet_size_maximum: Option<u32>,
    /// See [`Limits`].
    pub topic_alias_maximum: Option<u16>,
    /// See [`Limits`].
    pub keep_alive_maximum: Option<u16>,
    /// See [`Limits`].
    pub expiry_maximum: Option<Duration>,
}

impl Default for EntranceSettings {
    fn default() -> Self {
        Self {
            authentication: true,
            versions: Entrance::default().versions,
            mount: String::new(),
            connections_maximum: None,
            receive_maximum: None,
            packet_size_maximum: None,
            topic_alias_maximum: None,
            keep_alive_maximum: None,
            expiry_maximum: None,
        }
    }
}

impl EntranceSettings {
    /// As the broker takes it.
    pub fn entrance(&self) -> Entrance {
        Entrance {
            versions: self.versions.clone(),
            mount: (!self.mount.is_empty()).then(|| self.mount.as_str().into()),
            limits: Limits {
                receive_maximum: self.receive_maximum,
                packet_size_maximum: self.packet_size_maximum,
                topic_alias_maximum: self.topic_alias_maximum,
                keep_alive_maximum: self.keep_alive_maximum,
                expiry_maximum: self.expiry_maximum,
            },
        }
    }
}

/// A value that is read by `read`, or "", which is none.
pub fn or_none<T: Default>(
    value: &Value,
    read: impl FnOnce(&Value, &mut T) -> Result<(), Expected>,
    to: &mut Option<T>,
) -> Result<(), Expected> {
    if matches!(value, Value::String(text) | Value::Text(text) if text.is_empty()) {
        *to = None;
        return Ok(());
    }
    let mut given = T::default();
    read(value, &mut given).map_err(|Expected(what)| Expected(format!("{what}, or \"\"")))?;
    *to = Some(given);
    Ok(())
}

/// The longest mount point.
const MOUNT: usize = 1024;

/// A mount point, or "".
pub fn mount(value: &Value, to: &mut String) -> Result<(), Expected> {
    let mut text = String::new();
    let read = value.text(MOUNT, &mut text).is_ok();
    let levels = text.ends_with('/') && !text.starts_with('$');
    let plain = !text.contains(['+', '#', '\0']);
    if read && (text.is_empty() || levels && plain) {
        *to = text;
        return Ok(());
    }
    Err(Expected(format!(
        "levels of a topic of at most {MOUNT} bytes that end with /, such as \"floor/2/\", or \"\""
    )))
}

const VERSIONS: [(&str, Version); 3] = [
    ("3.1", Version::V31),
    ("3.1.1", Version::V311),
    ("5", Version::V5),
];

/// Protocol versions, at least one.
pub fn versions(value: &Value, to: &mut Vec<Version>) -> Result<(), Expected> {
    let known = |text: &&str| VERSIONS.iter().find(|(name, _)| name == text);
    let versions = value.list().and_then(|texts| {
        let versions = texts.iter().map(|text| known(text).map(|it| it.1));
        versions.collect::<Option<Vec<_>>>()
    });
    match versions.filter(|it| !it.is_empty()) {
        Some(versions) => {
            *to = versions;
            Ok(())
        }
        None => Err(Expected(
            "an array of at least one of \"3.1\", \"3.1.1\" and \"5\"".to_owned(),
        )),
    }
}
