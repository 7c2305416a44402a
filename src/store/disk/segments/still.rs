//! A folder that is only read: what looks at a store cannot change it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::files::{Disk, Files};

/// A folder on a real disk, for reading. Everything else is refused.
#[derive(Debug)]
pub struct Still {
    folder: PathBuf,
    /// Reads as the folder that is written does.
    disk: Disk,
}

impl Still {
    /// A folder that exists.
    ///
    /// # Errors
    ///
    /// If there is none, or it cannot be read.
    pub fn new(folder: &Path) -> io::Result<Self> {
        fs::read_dir(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            disk: Disk::new(folder)?,
        })
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Files for Still {
    type File = File;
    /// Nothing, if the store was never open: a copy has no file to lock.
    type Lock = Option<File>;

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn create(&self, _: &str) -> io::Result<File> {
        refused()
    }

    fn open(&self, name: &str) -> io::Result<File> {
        File::open(self.folder.join(name))
    }

    fn length(&self, file: &File) -> io::Result<u64> {
        self.disk.length(file)
    }

    fn read_at(&self, file: &File, into: &mut [u8], position: u64) -> io::Result<usize> {
        self.disk.read_at(file, into, position)
    }

    fn write_at(&self, _: &File, _: &[u8], _: u64) -> io::Result<()> {
        refused()
    }

    fn cut(&self, _: &File, _: u64) -> io::Result<()> {
        refused()
    }

    fn sync(&self, _: &File) -> io::Result<()> {
        refused()
    }

    fn sync_folder(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        refused()
    }

    fn link(&self, _: &str, _: &str) -> io::Result<()> {
        refused()
    }

    fn names(&self, name: &str) -> io::Result<u64> {
        self.disk.names(name)
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn make_folder(&self, _: &str) -> io::Result<()> {
        refused()
    }

    /// Shared with others who read: who writes is kept out meanwhile, and keeps out who reads.
    fn lock(&self) -> io::Result<Option<File>> {
        let file = match File::open(self.folder.join("lock")) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}
