//! What has to fit together in `[auth.token]`.

use crate::auth::token::options::Options;

use super::assignments::{Assignments, Slot};
use super::error::Problem;

/// Where keys come from.
const SOURCES: [&str; 4] = [
    "auth.token.secret_file",
    "auth.token.key_file",
    "auth.token.jwks_file",
    "auth.token.jwks_url",
];
const ALGORITHMS: &str = "auth.token.algorithms";

/// Keys without algorithms would be for nothing, and so would be algorithms without keys.
pub fn in_conflict(written: &Assignments, options: &Options) -> Option<Problem> {
    let place = |path: &'static str| written.place(Slot::plain(path));
    match (options.is_on(), options.algorithms.is_empty()) {
        (true, true) => {
            let mut given = SOURCES.into_iter().filter(|path| place(path).is_some());
            let source = given.next()?;
            let text = format!(
                "{source} is given but {ALGORITHMS} is empty; \
                 expected those that tokens are signed with, such as [\"ES256\"]"
            );
            Some(Problem::new(place(source)?.clone(), text))
        }
        (false, false) => {
            let text = format!(
                "{ALGORITHMS} is given but there is no key; \
                 expected one of {}",
                SOURCES.join(", ")
            );
            Some(Problem::new(place(ALGORITHMS)?.clone(), text))
        }
        _ => None,
    }
}
