//! Reads a file of permissions whole.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::error::{Error, What};

/// Size of a file above which it cannot be meant: room for a few hundred thousand users.
const LARGEST: u64 = 64 * 1024 * 1024;

/// The file's bytes.
///
/// # Errors
///
/// It cannot be read, or is too large.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let wrong = |what| Error {
        file: path.to_owned(),
        line: None,
        what,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| wrong(What::Unreadable(error)))?;
    if bytes.len() as u64 > LARGEST {
        return Err(wrong(What::TooLarge(LARGEST)));
    }
    Ok(bytes)
}
