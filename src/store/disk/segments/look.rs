//! Reading a log without opening it: nothing is cut, set aside, recycled or written.

use super::error::OpenError;
use super::files::Files;
use super::log::Log;
use super::recovery;
use super::types::{Entry, Options, Recovered};

impl<F: Files> Log<F> {
    /// Reads a log as [`Log::open`] does, and leaves it as it is. What comes back is for reading: what
    /// was found need not be durable, and the files are not in order.
    ///
    /// # Errors
    ///
    /// If another process has the log open, it is of a later version, or the disk fails.
    pub fn look(
        files: F,
        options: Options,
        visitor: &mut dyn FnMut(Entry<'_>),
    ) -> Result<(Self, Recovered), OpenError> {
        let lock = files.lock().map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => OpenError::Locked,
            _ => OpenError::Io(error),
        })?;
        let names = files.list()?;
        let found = recovery::recover(&files, &names, options.identity, visitor)?;
        let report = found.report.clone();
        Ok((Self::assemble(files, lock, options, &names, &found), report))
    }
}
