//! Topic Names, Topic Filters and the trie that finds who subscribed to what.
//!
//! This is the lowest room of the house: it works on text alone and knows no packets, no clients,
//! no clock and no runtime.
//!
//! ```text
//!   what a PUBLISH carries        what a SUBSCRIBE carries
//!   Topic Name                    Topic Filter
//!   "site/7/door"                 "$share/crew/site/+/door"
//!        |                              |
//!   name::check                   filter::parse --> ShareName "crew", filter "site/+/door"
//!        |                              |
//!        +---------> Trie <-------------+
//!              matches(name)      entry(filter), remove(filter)
//! ```
//!
//! # Invariants
//!
//! - Text is compared byte for byte. Nothing is normalised, folded or trimmed: `a`, `A`, `/a` and
//!   `a/` are four topics `[MQTT5-4.7.3-4]` `[MQTT311-4.7.3-4]`.
//! - An empty level is a level like any other: `a//b` has three.
//! - A filter that begins with a wildcard never matches a name that begins with `$`
//!   `[MQTT5-4.7.2-1]` `[MQTT311-4.7.2-1]`. [`filter::matches`] and [`Trie::matches`] agree on
//!   this and on everything else; a property test holds the second against the first.
//! - The rules are the same for MQTT 3.1, 3.1.1 and 5.0. Shared Subscriptions belong to 5.0, but
//!   clients of older versions use them with most brokers, so `$share/` means the same for all.

mod error;
pub mod filter;
pub mod mount;
pub mod name;
pub mod trie;

pub use error::Error;
pub use filter::Parsed;
pub use trie::Trie;
