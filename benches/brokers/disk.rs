//! What the disk can do, and how much of it is used.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use super::failure::Failure;

/// Bytes of each write.
const PAGE: usize = 4096;
/// Pages of the file that is written to, again and again.
const PAGES: u64 = 4096;

/// How often in a second the disk under `directory` makes 4 KiB durable: one write and one
/// `fdatasync` after the other, into a file whose room has been written before.
pub fn flushes_per_second(directory: &Path, duration: Duration) -> Result<f64, Failure> {
    let path = directory.join("flushes");
    let file = File::create(&path)?;
    file.write_all_at(&vec![0; PAGE * PAGES as usize], 0)?;
    file.sync_all()?;
    let page = [0x5A; PAGE];
    let (began, mut count) = (Instant::now(), 0u64);
    while began.elapsed() < duration {
        file.write_all_at(&page, count % PAGES * PAGE as u64)?;
        file.sync_data()?;
        count += 1;
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    fs::remove_file(&path)?;
    Ok(rate)
}

/// Bytes of the disk that the files below `directory` take.
pub fn usage(directory: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // A file may go between being listed and being looked at.
        match entry.metadata() {
            Ok(found) if found.is_dir() => bytes += usage(&entry.path())?,
            Ok(found) => bytes += found.blocks() * 512,
            Err(_) => {}
        }
    }
    Ok(bytes)
}

/// What `usage` comes to rest at, and after how long: it has not moved for two seconds, or was given
/// `patience`.
pub fn settled_usage(directory: &Path, patience: Duration) -> Result<(u64, Duration), Failure> {
    let began = Instant::now();
    let (mut bytes, mut since) = (usage(directory)?, Duration::ZERO);
    while began.elapsed() < patience && began.elapsed() - since < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(20));
        let now = usage(directory)?;
        if now != bytes {
            (bytes, since) = (now, began.elapsed());
        }
    }
    Ok((bytes, since))
}

/// The kind of file system that `directory` is on.
pub fn kind(directory: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let places = mounts.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        Some((words.next()?, words.next()?))
    });
    let above = places.filter(|(place, _)| directory.starts_with(place));
    // Of two at the same place the later one covers the other.
    let nearest = above.max_by_key(|(place, _)| place.len());
    nearest.map_or("unknown", |(_, kind)| kind).to_owned()
}
