//! How a value may be written, and what was expected if it is written otherwise.
//!
//! Each reader stores what it read in a target, which stays as it was on failure. The error is only
//! the second half of the sentence, "expected …"; the caller knows which setting it is about and
//! [`Value`] prints itself as the first half.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::units;
use crate::auth::acl::options::Name;
use crate::auth::acl::pattern::Pattern;
use crate::auth::network::Network;
use crate::auth::web::Url;
use crate::broker::defence::options::Memory;
use crate::topic::{filter, name};

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A TOML string.
    String(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML array of strings.
    Strings(Vec<String>),
    /// The text of an environment variable, which has no type of its own.
    Text(String),
    /// Something no setting takes; in words, with its article.
    Other(&'static str),
}

/// Printed behind "is": `the string "x"`, `7`, `true`, `an array`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => write!(f, "the string {:?}", shortened(text)),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Strings(_) => f.write_str("an array"),
            Self::Text(text) => write!(f, "{:?}", shortened(text)),
            Self::Other(kind) => f.write_str(kind),
        }
    }
}

/// Enough of a value to recognise it in an error.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// What would have been right: the text behind "expected".
#[derive(Debug, PartialEq, Eq)]
pub struct Expected(pub String);

/// The longest Session Expiry Interval there is; it means "never".
const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

impl Value {
    /// `true` or `false`.
    pub fn boolean(&self, target: &mut bool) -> Result<(), Expected> {
        let value = match self {
            Self::Boolean(value) => Some(*value),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        };
        store(value, target, || "true or false".to_owned())
    }

    /// A whole number within `bounds`. `u64::MAX` as the upper bound means none.
    pub fn number<T: TryFrom<u64>>(
        &self,
        bounds: RangeInclusive<u64>,
        target: &mut T,
    ) -> Result<(), Expected> {
        let number = match self {
            Self::Integer(number) => u64::try_from(*number).ok(),
            Self::Text(text) => units::number(text),
            _ => None,
        };
        let value = number
            .filter(|n| bounds.contains(n))
            .and_then(|n| T::try_from(n).ok());
        store(value, target, || {
            format!("a whole number {}", range(&bounds, u64::to_string))
        })
    }

    /// A number of bytes, with or without a unit, within `bounds`. `u64::MAX` as the upper bound
    /// means none.
    pub fn size<T: TryFrom<u64>>(
        &self,
        bounds: RangeInclusive<u64>,
        target: &mut T,
    ) -> Result<(), Expected> {
        let bytes = match self {
            Self::Integer(number) => u64::try_from(*number).ok(),
            Self::String(text) | Self::Text(text) => units::size(text),
            _ => None,
        };
        let value = bytes
            .filter(|n| bounds.contains(n))
            .and_then(|n| T::try_from(n).ok());
        store(value, target, || {
            format!(
                "a number of bytes or a size such as \"64KiB\" (B, KiB, MiB, GiB) {}",
                range(&bounds, |bytes| units::show_size(*bytes))
            )
        })
    }

    /// As [`Self::size`], or zero, which stands for no bound at all.
    pub fn size_or_zero<T: TryFrom<u64> + Default>(
        &self,
        bounds: RangeInclusive<u64>,
        target: &mut Option<T>,
    ) -> Result<(), Expected> {
        let mut bytes = T::default();
        if self.size(0..=0, &mut bytes).is_ok() {
            *target = None;
            return Ok(());
        }
        self.size(bounds, &mut bytes)
            .map_err(|Expected(text)| Expected(format!("0 or {text}")))?;
        *target = Some(bytes);
        Ok(())
    }

    /// A duration, or a whole number of seconds, within `bounds`.
    pub fn duration(
        &self,
        bounds: RangeInclusive<Duration>,
        target: &mut Duration,
    ) -> Result<(), Expected> {
        let value = self.any_duration().filter(|value| bounds.contains(value));
        store(value, target, || duration_expected(&bounds))
    }

    /// Zero, or a duration within `bounds`.
    pub fn duration_or_zero(
        &self,
        bounds: RangeInclusive<Duration>,
        target: &mut Duration,
    ) -> Result<(), Expected> {
        let value = self
            .any_duration()
            .filter(|value| value.is_zero() || bounds.contains(value));
        store(value, target, || {
            format!("0 or {}", duration_expected(&bounds))
        })
    }

    /// A duration of whole seconds that fits into 16 bits, as a Keep Alive does.
    pub fn keep_alive(&self, target: &mut u16) -> Result<(), Expected> {
        let value = self
            .any_duration()
            .filter(|value| value.subsec_nanos() == 0)
            .and_then(|value| u16::try_from(value.as_secs()).ok());
        store(value, target, || {
            let bounds = Duration::ZERO..=Duration::from_secs(u16::MAX.into());
            format!("whole seconds: {}", duration_expected(&bounds))
        })
    }

    /// A Session Expiry Interval: whole seconds that fit into 32 bits, or `"never"`.
    pub fn expiry(&self, target: &mut Duration) -> Result<(), Expected> {
        let value = match self {
            Self::String(text) | Self::Text(text) if text == "never" => Some(NEVER),
            other => other
                .any_duration()
                .filter(|v| *v < NEVER && v.subsec_nanos() == 0),
        };
        store(value, target, || {
            let bounds = Duration::ZERO..=NEVER - Duration::from_secs(1);
            format!("\"never\" or whole seconds: {}", duration_expected(&bounds))
        })
    }

    /// An IP address with a port.
    pub fn address<T: From<SocketAddr>>(&self, target: &mut T) -> Result<(), Expected> {
        let value = match self {
            Self::String(text) | Self::Text(text) => text.parse::<SocketAddr>().ok(),
            _ => None,
        };
        store(value.map(T::from), target, || ADDRESS.to_owned())
    }

    /// An IP address with a port, or the empty string for none.
    pub fn address_or_none(&self, target: &mut Option<SocketAddr>) -> Result<(), Expected> {
        match self {
            Self::String(text) | Self::Text(text) if text.is_empty() => {
                *target = None;
                Ok(())
            }
            other => other
                .address(target)
                .map_err(|Expected(text)| Expected(format!("{text}, or \"\" for none"))),
        }
    }

    /// The name of a file or directory.
    pub fn path<T: From<PathBuf>>(&self, target: &mut T) -> Result<(), Expected> {
        let value = match self {
            Self::String(text) | Self::Text(text) if !text.is_empty() => Some(PathBuf::from(text)),
            _ => None,
        };
        store(value.map(T::from), target, || {
            "a path such as \"certs/server.pem\"".to_owned()
        })
    }

    /// The name of a file, or none if it is empty.
    pub fn path_or_none(&self, target: &mut Option<PathBuf>) -> Result<(), Expected> {
        match self {
            Self::String(text) | Self::Text(text) if text.is_empty() => {
                *target = None;
                Ok(())
            }
            other => other
                .path(target)
                .map_err(|Expected(text)| Expected(format!("{text}, or \"\" for none"))),
        }
    }

    /// Where a web server is asked, or nowhere if it is empty.
    pub fn url_or_none(&self, target: &mut Option<Url>) -> Result<(), Expected> {
        let value = match self {
            Self::String(text) | Self::Text(text) if text.is_empty() => Some(None),
            Self::String(text) | Self::Text(text) => text.parse().ok().map(Some),
            _ => None,
        };
        store(value, target, || {
            "a URL such as \"https://id.example/keys\", without a user or password in it, or \"\" \
             for none"
                .to_owned()
        })
    }

    /// A Topic Filter, but not one of a Shared Subscription.
    pub fn topic_filter<T: From<Box<str>>>(&self, target: &mut T) -> Result<(), Expected> {
        let is_plain = |text: &&String| filter::parse(text).is_ok_and(|it| it.share.is_none());
        let value = match self {
            Self::String(text) | Self::Text(text) => Some(text).filter(is_plain),
            _ => None,
        };
        store(value.map(|it| T::from(it.as_str().into())), target, || {
            "a Topic Filter such as \"telemetry/#\", without $share".to_owned()
        })
    }

    /// Topic Filters in which `%c` and `%u` may stand for names; at least one.
    pub fn topic_patterns(&self, target: &mut Vec<Pattern>) -> Result<(), Expected> {
        let is_plain = |text: &str| filter::parse(text).is_ok_and(|it| it.share.is_none());
        let pattern = |text: &str| is_plain(text).then(|| Pattern::new(text));
        let what = "Topic Filters such as \"devices/%c/#\", without $share";
        self.each(what, pattern, target)
    }

    /// Names, or beginnings of names with a `*` behind; at least one.
    pub fn names(&self, target: &mut Vec<Name>) -> Result<(), Expected> {
        let name = |text: &str| Name::new(text).filter(|_| !text.is_empty());
        let what = "names, in which * can only come last, such as \"anna\" or \"sensor-*\"";
        self.each(what, name, target)
    }

    /// At least one of something, in an array or alone.
    pub fn each<T>(
        &self,
        what: &str,
        parse: impl Fn(&str) -> Option<T>,
        target: &mut Vec<T>,
    ) -> Result<(), Expected> {
        let texts = self.list().filter(|texts| !texts.is_empty());
        let Some(texts) = texts else {
            return Err(Expected(format!("an array of {what}")));
        };
        let mut values = Vec::with_capacity(texts.len());
        for text in texts {
            let value = parse(text);
            let text = shortened(text);
            values.push(value.ok_or_else(|| Expected(format!("{what}, and not {text:?}")))?);
        }
        *target = values;
        Ok(())
    }

    /// A Topic Name, but not one that begins with `$`.
    pub fn topic_name<T: From<Box<str>>>(&self, target: &mut T) -> Result<(), Expected> {
        let is_plain = |text: &&String| name::check(text).is_ok() && !text.starts_with('$');
        let value = match self {
            Self::String(text) | Self::Text(text) => Some(text).filter(is_plain),
            _ => None,
        };
        store(value.map(|it| T::from(it.as_str().into())), target, || {
            "a Topic Name such as \"dead/jobs\", not beginning with $".to_owned()
        })
    }

    /// A ShareName.
    pub fn share_name<T: From<Box<str>>>(&self, target: &mut T) -> Result<(), Expected> {
        let is_share = |text: &&String| !text.is_empty() && !text.contains(['/', '+', '#', '\0']);
        let value = match self {
            Self::String(text) | Self::Text(text) => Some(text).filter(is_share),
            _ => None,
        };
        store(value.map(|it| T::from(it.as_str().into())), target, || {
            "a ShareName such as \"crew\", without /, + and #".to_owned()
        })
    }

    /// A name of at most `most` bytes, by which people know something.
    pub fn name(&self, most: usize, target: &mut Option<String>) -> Result<(), Expected> {
        let mut name = String::new();
        match self.text(most, &mut name) {
            Ok(()) if !name.trim().is_empty() => {
                *target = Some(name);
                Ok(())
            }
            _ => Err(Expected(format!(
                "a name of 1 to {most} bytes without control characters"
            ))),
        }
    }

    /// The permissions of a file, in octal digits.
    pub fn mode(&self, target: &mut Option<u32>) -> Result<(), Expected> {
        let mode = match self {
            Self::String(text) | Self::Text(text) => Some(text),
            _ => None,
        };
        let octal = |text: &&String| {
            (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte))
        };
        let mode = mode.filter(octal);
        let mode = mode.and_then(|text| u32::from_str_radix(text, 8).ok());
        let mode = mode.filter(|mode| *mode <= 0o777);
        store(mode.map(Some), target, || {
            "permissions in octal, such as \"660\"".to_owned()
        })
    }

    /// The path of a resource of HTTP.
    pub fn url_path(&self, target: &mut Option<String>) -> Result<(), Expected> {
        let path = match self {
            Self::String(text) | Self::Text(text) => Some(text),
            _ => None,
        };
        let sound = |text: &&String| {
            let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte);
            text.len() <= 1024 && text.starts_with('/') && text.bytes().all(plain)
        };
        store(path.filter(sound).cloned().map(Some), target, || {
            "a path such as \"/mqtt\", without ? and #".to_owned()
        })
    }

    /// Origins of web pages, as browsers tell them.
    pub fn origins(&self, target: &mut Vec<String>) -> Result<(), Expected> {
        let is_origin = |text: &&str| {
            let (scheme, rest) = text.split_once("://").unwrap_or(("", ""));
            let host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
            *text == "null"
                || scheme
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
                    && !scheme.is_empty()
                    && !rest.is_empty()
                    && rest.bytes().all(host)
        };
        let origins = self.list();
        let origins = origins.filter(|origins| origins.iter().all(is_origin));
        let lower = |origins: Vec<&str>| origins.iter().map(|it| it.to_ascii_lowercase()).collect();
        store(origins.map(lower), target, || {
            "an array of origins such as \"https://example.org\", without a path".to_owned()
        })
    }

    /// Networks, or single addresses.
    pub fn networks(&self, target: &mut Vec<Network>) -> Result<(), Expected> {
        let networks = self.list().and_then(|texts| {
            let networks = texts.iter().map(|text| text.parse().ok());
            networks.collect::<Option<Vec<Network>>>()
        });
        store(networks, target, || {
            "an array of addresses and networks such as \"10.0.0.0/8\"".to_owned()
        })
    }

    /// Text of at most `most` bytes, which may be empty.
    pub fn text(&self, most: usize, target: &mut String) -> Result<(), Expected> {
        let value = match self {
            Self::String(text) | Self::Text(text) => Some(text),
            _ => None,
        };
        let sound = |text: &&String| text.len() <= most && !text.contains(char::is_control);
        store(value.filter(sound).cloned(), target, || {
            format!("text of at most {most} bytes without control characters")
        })
    }

    /// A bound on memory: bytes, 0 for none, or `"auto"`.
    pub fn memory(&self, target: &mut Memory) -> Result<(), Expected> {
        match self {
            Self::String(text) | Self::Text(text) if text == "auto" => {
                *target = Memory::Derived;
                return Ok(());
            }
            _ => {}
        }
        let mut bytes = None;
        self.size_or_zero(LEAST_MEMORY..=u64::MAX, &mut bytes)
            .map_err(|Expected(text)| Expected(format!("\"auto\", {text}")))?;
        *target = bytes.map_or(Memory::Unbounded, Memory::Bytes);
        Ok(())
    }

    /// Text of 1 to `most` bytes.
    pub fn word(&self, most: usize, target: &mut String) -> Result<(), Expected> {
        let mut text = String::new();
        let read = self.text(most, &mut text).ok();
        store(
            read.map(|()| text).filter(|text| !text.is_empty()),
            target,
            || format!("text of 1 to {most} bytes without control characters"),
        )
    }

    /// One of a few words.
    pub fn choice<C: Copy, T: From<C>>(
        &self,
        choices: &[(&str, C)],
        target: &mut T,
    ) -> Result<(), Expected> {
        let value = match self {
            Self::String(text) | Self::Text(text) => choices
                .iter()
                .find(|(name, _)| name == text)
                .map(|(_, value)| *value),
            _ => None,
        };
        store(value.map(T::from), target, || {
            let names: Vec<String> = choices
                .iter()
                .map(|(name, _)| format!("{name:?}"))
                .collect();
            match names.split_last() {
                Some((last, [])) => last.clone(),
                Some((last, others)) => format!("{} or {last}", others.join(", ")),
                None => String::new(),
            }
        })
    }

    /// The strings of an array; of a single string, that one; of a variable, those between commas.
    pub(super) fn list(&self) -> Option<Vec<&str>> {
        match self {
            Self::Strings(texts) => Some(texts.iter().map(String::as_str).collect()),
            Self::String(text) => Some(vec![text]),
            Self::Text(text) if text.is_empty() => Some(Vec::new()),
            Self::Text(text) => Some(text.split(',').map(str::trim).collect()),
            _ => None,
        }
    }

    /// Any of a few words, each once, in an order that means something; in an environment variable with commas
    /// between them.
    pub fn choices<C: Copy + PartialEq>(
        &self,
        choices: &[(&str, C)],
        target: &mut Vec<C>,
    ) -> Result<(), Expected> {
        let chosen = |words: Vec<&str>| {
            let mut chosen: Vec<C> = Vec::new();
            for word in words {
                let (_, choice) = choices.iter().find(|(name, _)| *name == word)?;
                if chosen.contains(choice) {
                    return None;
                }
                chosen.push(*choice);
            }
            Some(chosen)
        };
        store(self.list().and_then(chosen), target, || {
            let names: Vec<String> = choices
                .iter()
                .map(|(name, _)| format!("{name:?}"))
                .collect();
            format!("an array of any of {}, each once", names.join(", "))
        })
    }

    fn any_duration(&self) -> Option<Duration> {
        match self {
            Self::Integer(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
            Self::String(text) | Self::Text(text) => units::duration(text),
            _ => None,
        }
    }
}

/// A bound on memory below which nothing could be done.
const LEAST_MEMORY: u64 = 16 << 20;

const ADDRESS: &str =
    "an IP address with a port, such as \"127.0.0.1:1883\", \"0.0.0.0:1883\" or \"[::1]:1883\"";

fn store<T>(
    value: Option<T>,
    target: &mut T,
    expected: impl FnOnce() -> String,
) -> Result<(), Expected> {
    match value {
        Some(value) => {
            *target = value;
            Ok(())
        }
        None => Err(Expected(expected())),
    }
}

fn duration_expected(bounds: &RangeInclusive<Duration>) -> String {
    let (least, most) = (*bounds.start(), *bounds.end());
    format!(
        "a number of seconds or a duration such as \"10s\" (ms, s, m, h, d) from {} to {}",
        units::show_duration(least),
        units::show_duration(most)
    )
}

fn range(bounds: &RangeInclusive<u64>, show: impl Fn(&u64) -> String) -> String {
    match *bounds.end() {
        u64::MAX => format!("of at least {}", show(bounds.start())),
        _ => format!("from {} to {}", show(bounds.start()), show(bounds.end())),
    }
}

#[cfg(test)]
mod tests;
