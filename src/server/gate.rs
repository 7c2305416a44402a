//! The gate, of the parts that the configuration names.

use crate::auth::gate::Parts;
use crate::auth::options::Options;

/// Makes the parts: at the start, and again at each reload.
pub(super) fn parts(options: &Options) -> Parts {
    Parts {
        anonymous: options.anonymous,
        ways: Vec::new(),
        methods: Vec::new(),
        rules: Vec::new(),
    }
}
