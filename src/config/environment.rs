//! `POSTBUD_…` variables to assignments, which go before those of the file.
//!
//! | variable                        | sets                                                       |
//! |---------------------------------|------------------------------------------------------------|
//! | `POSTBUD_SESSION_EXPIRY_3X`     | `[session] expiry_3x`                                      |
//! | `POSTBUD_LISTENER_0_ADDRESS`    | `address` of the first `[[listener]]`                      |
//! | `POSTBUD_LISTENER_1_TLS_KEY`    | `key` under the second one's `[listener.tls]`              |
//! | `POSTBUD_STORE_TOPICS_0_FILTER` | `filter` of the first `[[store.topics]]`                   |
//! | `POSTBUD_CONFIG`                | the file to read, unless the command line names one        |
//!
//! The table after the last may be named, which adds one; a gap may not. A variable that begins
//! like this and sets nothing is an error: it is there because somebody relies on it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::assignments::{Assignments, Slot};
use super::error::{Place, Problem};
use super::keys::{Array, KEYS, paths};
use super::suggestion::nearest;
use super::value::Value;

/// What every variable of ours begins with.
const PREFIX: &str = "POSTBUD_";
/// Names the configuration file.
const CONFIG: &str = "POSTBUD_CONFIG";

/// The variables that are ours, by name.
#[derive(Clone)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
}

/// Names only: what they are set to may be secret.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

impl Environment {
    /// Picks ours out of all variables.
    pub fn new(all: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let variables = all
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
            .filter(|(name, value)| name.starts_with(PREFIX) && !is_service_link(name, value))
            .collect();
        Self { variables }
    }

    /// The configuration file, if a variable names one.
    pub fn config(&self) -> Option<PathBuf> {
        self.variables.get(CONFIG).map(PathBuf::from)
    }

    /// Lays the variables over what a file says. What is wrong is added to `problems`.
    pub fn overlay(&self, written: &mut Assignments, problems: &mut Vec<Problem>) {
        let mut found: BTreeMap<Slot, (Value, Place)> = BTreeMap::new();
        for (name, value) in self.variables.iter().filter(|(name, _)| *name != CONFIG) {
            let place = Place::Variable(name.clone());
            match (slot(name), value.to_str()) {
                (None, _) => problems.push(Problem::new(place, unknown(name))),
                (Some(_), None) => {
                    problems.push(Problem::new(place, "the value is not UTF-8; expected text"))
                }
                (Some(slot), Some(text)) => {
                    found.insert(slot, (Value::Text(text.to_owned()), place));
                }
            }
        }
        for (slot, (value, place)) in found {
            if let Some((array, index)) = slot.within {
                let tables = written.tables.entry(array).or_default();
                let count = tables.len();
                if index > count {
                    problems.push(Problem::new(
                        place,
                        format!(
                            "the {} before number {index} are missing; \
                             expected a number from 0 to {count}, where {count} adds one",
                            array.plural()
                        ),
                    ));
                    continue;
                }
                if index == count {
                    tables.push(place.clone());
                }
            }
            written.values.insert(slot, (value, place));
        }
    }
}

/// The variable that sets `path`.
pub fn variable(path: &str) -> String {
    format!("{PREFIX}{}", upper(path))
}

fn upper(path: &str) -> String {
    path.replace('.', "_").to_ascii_uppercase()
}

/// What the settings of an array's tables begin with; the number follows.
fn beginning(array: Array) -> String {
    format!("{}_", variable(array.path()))
}

/// What the variable sets, if anything.
fn slot(name: &str) -> Option<Slot> {
    if let Some((array, index, rest)) = table(name) {
        let path = array.keys().into_iter().find(|path| upper(path) == rest)?;
        return Some(Slot::of(array, index, path));
    }
    paths(KEYS)
        .find(|path| variable(path) == name)
        .map(Slot::plain)
}

/// Splits `POSTBUD_LISTENER_0_ADDRESS` into the listeners, 0 and `ADDRESS`.
fn table(name: &str) -> Option<(Array, usize, &str)> {
    Array::ALL.into_iter().find_map(|array| {
        let rest = name.strip_prefix(&beginning(array))?;
        let (digits, rest) = rest.split_once('_')?;
        let index: usize = digits.parse().ok()?;
        // One name for each: neither 00 nor +0.
        (index.to_string() == digits).then_some((array, index, rest))
    })
}

/// What to say of a variable that sets nothing.
fn unknown(name: &str) -> String {
    let index = table(name).map_or(0, |(_, index, _)| index);
    let in_tables = Array::ALL.into_iter().flat_map(|array| {
        let beginning = beginning(array);
        let keys = array.keys().into_iter();
        keys.map(move |path| format!("{beginning}{index}_{}", upper(path)))
    });
    let known: Vec<String> = paths(KEYS)
        .map(variable)
        .chain(in_tables)
        .chain([CONFIG.to_owned()])
        .collect();
    match nearest(ours(name), known.iter().map(|name| ours(name))) {
        Some(near) => format!("unknown variable; did you mean {PREFIX}{near}?"),
        None => "unknown variable; expected POSTBUD_ with the table and the key in the \
                 configuration file, such as POSTBUD_LOG_LEVEL"
            .to_owned(),
    }
}

/// The part of the name that can be misspelt. With the common beginning, everything would be near.
fn ours(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// Whether a container platform made the variable. For a service called "postbud" or "postbud-http"
/// Kubernetes puts POSTBUD_SERVICE_HOST, POSTBUD_HTTP_PORT_1883_TCP_ADDR and their like into every
/// container beside it. Refusing to start over them would punish the most natural name a service
/// can have; no setting is called like them.
fn is_service_link(name: &str, value: &OsString) -> bool {
    let is_url = || {
        let value = value.to_string_lossy();
        ["tcp://", "udp://", "sctp://"]
            .iter()
            .any(|scheme| value.starts_with(scheme))
    };
    let of_port = |(_, rest): (&str, &str)| {
        let mut parts = rest.split('_');
        parts.next().is_some_and(|port| port.parse::<u16>().is_ok())
            && parts
                .next()
                .is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && is_url())
        || name.split_once("_PORT_").is_some_and(of_port)
}

#[cfg(test)]
mod tests;
