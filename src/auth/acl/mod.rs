//! Access control lists: who may publish and subscribe to which topics.
//!
//! ```text
//!   mosquitto's file ──> mosquitto: grants all subscriptions, and is asked about each delivery
//!   [[acl.rules]]    ──> ordered:   the first rule that applies decides; a subscription is granted if all
//!                                   that it could match is
//! ```
//!
//! Rules are held against names and filters by [`crate::topic::filter`] alone. A file is read when the rules are
//! made, never again: who wants what it says now makes new ones.

pub mod error;
mod index;
mod mosquitto;
pub mod options;
mod ordered;
pub mod pattern;
mod text;

use std::sync::Arc;

use self::error::Error;
use self::mosquitto::MosquittoFile;
use self::options::{Effect, Options};
use self::ordered::{Everything, Ordered};
use super::Rules;

/// The rules that are named, in the order in which they are to be asked.
///
/// # Errors
///
/// A file cannot be read, or has something wrong in it.
pub fn rules(options: &Options) -> Result<Vec<Arc<dyn Rules>>, Error> {
    let mut rules: Vec<Arc<dyn Rules>> = Vec::new();
    if let Some(file) = &options.mosquitto_file {
        rules.push(Arc::new(MosquittoFile::read(file)?));
    }
    if let Some(list) = &options.rules {
        rules.push(Arc::new(Ordered::new(Arc::clone(list))));
    }
    Ok(rules)
}

/// What is to be asked after all others, these and any other, if not everything that they do not decide is denied.
pub fn last(options: &Options) -> Option<Arc<dyn Rules>> {
    match options.default {
        Effect::Allow => Some(Arc::new(Everything)),
        Effect::Deny => None,
    }
}

#[cfg(test)]
mod tests;
