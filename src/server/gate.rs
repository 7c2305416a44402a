//! The gate, of the parts that the configuration names.

use crate::auth::certificate::Certificate;
use crate::auth::gate::{Parts, Way};
use crate::auth::options::{Options, WayName};

/// Makes the parts: at the start, and again at each reload.
pub(super) fn parts(options: &Options) -> Parts {
    Parts {
        anonymous: options.anonymous,
        ways: ways(options),
        methods: Vec::new(),
        rules: Vec::new(),
    }
}

/// The ways of proof that something is configured for, in the order in which they are asked.
fn ways(options: &Options) -> Vec<Box<dyn Way>> {
    let mut ways: Vec<Box<dyn Way>> = Vec::new();
    for name in &options.ways {
        match name {
            WayName::Certificate if options.certificates => ways.push(Box::new(Certificate)),
            WayName::Certificate | WayName::Password | WayName::Token | WayName::Http => {}
        }
    }
    ways
}
