//! What was read from the disk, and whether it is still what is there.
//!
//! A file has changed when its length, its time of modification or its inode has: that holds for one that
//! is written over, one that another is renamed onto, and a symbolic link, or one on the way to it, that
//! points elsewhere. The clock of a file system is coarse, so a file that was young when it was read counts
//! as changed at the next look; its contents then tell whether it was.

use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::error::Error;

/// Size of a file above which it cannot be meant as any of those read here. The largest are revocation
/// lists, with some 40 bytes for each certificate.
const LARGEST: u64 = 64 << 20;

/// How long after its last change a file may change again without its time telling.
const YOUTH: Duration = Duration::from_secs(2);

/// All files that were read for one purpose, in order.
#[derive(Debug, Default)]
pub struct Readings(Vec<Reading>);

#[derive(Debug)]
struct Reading {
    path: PathBuf,
    /// As it was just before it was read; nothing if it could not be asked for.
    stamp: Option<Stamp>,
    /// Whether it had been changed so shortly before that the stamp says little.
    young: bool,
    /// Of its contents; nothing if they could not be read.
    digest: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    inode: (u64, u64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            inode: inode(&metadata),
        })
    }

    fn is_young(&self) -> bool {
        // A time in the future is none to rely on either.
        self.modified
            .and_then(|modified| modified.elapsed().ok())
            .is_none_or(|age| age < YOUTH)
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

impl Readings {
    /// Reads a file and remembers what it was like.
    pub fn read(&mut self, path: &Path) -> Result<Vec<u8>, Error> {
        // Before it is read: what changes meanwhile is seen at the next look.
        let stamp = Stamp::of(path);
        let contents = contents(path);
        let digest = |bytes: &Vec<u8>| {
            let mut hasher = DefaultHasher::new();
            hasher.write(bytes);
            hasher.finish()
        };
        self.0.push(Reading {
            path: path.to_owned(),
            young: stamp.is_some_and(|it| it.is_young()),
            stamp,
            digest: contents.as_ref().ok().map(digest),
        });
        let path = || path.to_owned();
        let contents = contents.map_err(|source| Error::Read {
            path: path(),
            source,
        })?;
        match contents.len() as u64 > LARGEST {
            true => Err(Error::TooLarge { path: path() }),
            false => Ok(contents),
        }
    }

    /// Whether any of the files may have changed since.
    pub fn are_outdated(&self) -> bool {
        let changed = |it: &Reading| it.young || Stamp::of(&it.path) != it.stamp;
        self.0.iter().any(changed)
    }

    /// Whether the same files had the same contents.
    pub fn are_as(&self, other: &Self) -> bool {
        let contents = |it: &Self| -> Vec<_> {
            let files = it.0.iter();
            files.map(|file| (file.path.clone(), file.digest)).collect()
        };
        contents(self) == contents(other)
    }
}

fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    File::open(path)?
        .take(LARGEST + 1)
        .read_to_end(&mut contents)?;
    Ok(contents)
}

#[cfg(test)]
mod tests;
