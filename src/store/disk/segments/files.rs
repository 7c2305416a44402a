//! The I/O layer under the log: one folder of files, so that tests can stand in for the disk.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A folder of files. Names are relative to it and may begin with one subfolder (`damaged/x`).
///
/// Nothing is durable before [`Files::sync`] for content, and [`Files::sync_folder`] for names.
pub trait Files {
    /// An open file.
    type File;
    /// What keeps a second process out until it is dropped.
    type Lock;

    /// Names of the files in the folder, without those of subfolders, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// An empty file, new or emptied, for reading and writing.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// An existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// How long the file is.
    fn length(&self, file: &Self::File) -> io::Result<u64>;
    /// Reads up to `into.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, file: &Self::File, into: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes all of `bytes`.
    fn write_at(&self, file: &Self::File, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Cuts a file to this length, so that the disk has the rest back.
    fn cut(&self, file: &Self::File, length: u64) -> io::Result<()>;
    /// Makes content and length durable (fdatasync).
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// Makes the names in the folder (`""`) or in a subfolder durable.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;
    /// Renames, replacing what has the name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Gives a file a second name; fine if it has it already.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;
    /// How many names a file has, in this folder and elsewhere.
    fn names(&self, name: &str) -> io::Result<u64>;
    /// Removes a name.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes a subfolder durably; fine if it exists.
    fn make_folder(&self, folder: &str) -> io::Result<()>;
    /// Takes the lock of the folder, or fails with [`io::ErrorKind::WouldBlock`].
    fn lock(&self) -> io::Result<Self::Lock>;
}

/// A folder on a real disk.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Opens the folder, and makes it durably if it does not exist.
    ///
    /// # Errors
    ///
    /// If the operating system refuses.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let missing: Vec<_> = folder.ancestors().take_while(|it| !it.exists()).collect();
        fs::create_dir_all(folder)?;
        for made in missing {
            let above = made.parent().filter(|it| !it.as_os_str().is_empty());
            File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        options
    }
}

impl Files for Disk {
    type File = File;
    type Lock = File;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if let (true, Ok(name)) = (
                entry.file_type()?.is_file(),
                entry.file_name().into_string(),
            ) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        Self::options()
            .create(true)
            .truncate(true)
            .open(self.folder.join(name))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        Self::options().open(self.folder.join(name))
    }

    fn length(&self, file: &File) -> io::Result<u64> {
        Ok(file.metadata()?.len())
    }

    fn read_at(&self, file: &File, into: &mut [u8], position: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            match file.read_at(&mut into[filled..], position + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
        file.write_all_at(bytes, position)
    }

    fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        File::open(self.folder.join(folder))?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        match fs::hard_link(self.folder.join(from), self.folder.join(to)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            outcome => outcome,
        }
    }

    fn names(&self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.folder.join(name))?.nlink())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(name))
    }

    fn make_folder(&self, folder: &str) -> io::Result<()> {
        fs::create_dir_all(self.folder.join(folder))?;
        self.sync_folder("")
    }

    fn lock(&self) -> io::Result<File> {
        let file = Self::options()
            .create(true)
            .truncate(false)
            .open(self.folder.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}
