//! Nothing but the broker's own memory.

use std::sync::Arc;

use super::contract::{Ask, Failure, Health, Progress, Recalls, Store};
use super::record::Record;

/// Keeps nothing beyond what the broker holds in its own structures, and so is never late and never
/// full: their bounds are the bounds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

impl Store for Memory {
    fn append(&self, _: Record<'_>, _: Option<Ask<'_>>) -> Progress {
        Progress::Done
    }

    fn remembers(&self) -> bool {
        false
    }

    fn accepts(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn recall(&self, _: Vec<u64>, _: Arc<dyn Recalls>) {}

    fn health(&self) -> Health {
        Health::default()
    }
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use super::super::contract::{Safety, Waits};
    use super::*;

    /// Nobody who is to be told anything.
    struct Nobody;

    impl Waits for Nobody {
        fn outcome(&self, _: RangeInclusive<u64>, _: Result<(), Failure>) {
            unreachable!("nothing comes later");
        }
    }

    #[test]
    fn what_is_in_memory_is_as_safe_as_it_will_be() {
        let record = Record::Ended { session: 1 };
        let ask = Ask {
            to: &Arc::new(Nobody),
            ticket: 0,
            safety: Safety::Flushed,
            patient: false,
        };
        assert_eq!(Memory.append(record, Some(ask)), Progress::Done);
    }
}
