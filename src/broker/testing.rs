//! What a broker in tests works with, here and in the rooms above.

use std::sync::Arc;

use super::Engines;
use crate::auth::gate::{Gate, Parts};
use crate::cluster::single::Single;
use crate::store::memory::Memory;

/// The simplest there are: everybody is let in and may do everything, and nothing outlives the broker.
pub(crate) fn engines() -> Engines {
    Engines {
        auth: Arc::new(Gate::new(Parts {
            anonymous: true,
            ..Parts::default()
        })),
        store: Arc::new(Memory),
        cluster: Arc::new(Single::default()),
    }
}
