//! Why a text is not a Topic Name or not a Topic Filter.

use std::fmt;

/// What is wrong with a Topic Name or Topic Filter.
///
/// The sender of the packet erred, and the packet as a whole is affected; which Reason Code that
/// becomes is for the codec and the session to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// The text has no character at all.
    Empty,
    /// The text has more than [`MAX_LEN`](super::name::MAX_LEN) bytes.
    TooLong,
    /// The text contains U+0000.
    Null,
    /// A Topic Name contains `+` or `#`.
    Wildcard,
    /// A `#` in a Topic Filter is not the whole of its last level.
    MisplacedHash,
    /// A `+` in a Topic Filter is not the whole of its level.
    MisplacedPlus,
    /// A filter begins with `$share` but its ShareName is missing, empty, or contains `+` or `#`.
    ShareName,
    /// A filter has a `$share` and a ShareName, but no Topic Filter after them.
    ShareFilter,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a topic needs at least one character",
            Self::TooLong => "a topic has at most 65535 bytes",
            Self::Null => "a topic must not contain U+0000",
            Self::Wildcard => "a Topic Name must not contain + or #",
            Self::MisplacedHash => "# must be the whole last level of a Topic Filter",
            Self::MisplacedPlus => "+ must be a whole level of a Topic Filter",
            Self::ShareName => "$share/ needs a ShareName without + and #",
            Self::ShareFilter => "$share/{ShareName}/ needs a Topic Filter after it",
        })
    }
}

impl std::error::Error for Error {}
