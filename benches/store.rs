//! What the store on the disk costs: bytes written for each message, CPU of recovery, memory.
//!
//! `cargo bench --bench store`, with another number of messages as `-- 100000` and another folder than the
//! system's for temporary files in `TMPDIR`. Messages of 200 bytes are appended for a session that is away,
//! the store is closed and opened again, and all is sent and acknowledged. Bytes are those that were handed
//! to the operating system; memory is what is allocated, without the allocator's own.

// A global allocator cannot be written without unsafe code; this one counts and passes on.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use postbud::codec::{PacketId, QoS};
use postbud::message::{Message, Parts};
use postbud::store::disk::Disk;
use postbud::store::disk::options::Options;
use postbud::store::record::{Accepted, Opened, Owner, Record, Target};
use postbud::store::{Progress, Store};

/// Counts the bytes that are allocated.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(live, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let live = LIVE.fetch_add(size, Relaxed) + size;
        LIVE.fetch_sub(layout.size(), Relaxed);
        MOST.fetch_max(live - layout.size(), Relaxed);
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TOPIC: &str = "bench/queue/0001";
const PAYLOAD: usize = 200;
const SESSION: u64 = 1;
/// The number of the first message; those of a store that is not new are as large.
const FIRST: u64 = 3_000_000;
/// How many messages wait at a time in the scenario of a queue that keeps up.
const DEPTH: u64 = 1000;

/// CPU of all threads so far, of those that ended as well.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .expect("a name")
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11..13]
        .iter()
        .map(|it| it.parse::<u64>().expect("ticks"))
        .sum();
    Duration::from_millis(ticks * 10)
}

/// Bytes handed to the operating system so far.
fn written() -> u64 {
    let io = fs::read_to_string("/proc/self/io").expect("Linux");
    let line = io.lines().find_map(|it| it.strip_prefix("wchar: "));
    line.expect("a counter").parse().expect("a number")
}

/// Appends, and waits while the store is behind.
fn append(disk: &Disk, record: Record<'_>) {
    while let Progress::Refused(_) = disk.append(record, None) {
        std::thread::sleep(Duration::from_micros(200));
    }
    while disk.health().pending > 8 << 20 {
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn publish(disk: &Disk, number: u64, message: &Message) {
    let target = Target {
        owner: SESSION,
        group: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        subscription_ids: &[],
    };
    append(
        disk,
        Record::Message(Accepted {
            due: None,
            number,
            message,
            held: None,
            retained: false,
            publisher: None,
            targets: &[target],
        }),
    );
}

fn acknowledge(disk: &Disk, number: u64) {
    let (holder, id) = (
        SESSION,
        PacketId::new(1 + (number % 60_000) as u16).expect("not 0"),
    );
    append(
        disk,
        Record::Sent {
            holder,
            id,
            number,
            group: None,
            qos: QoS::AtLeastOnce,
        },
    );
    append(disk, Record::Done { holder, id });
}

fn open(path: &Path) -> Disk {
    let (disk, ..) = Disk::open(path, Options::default()).expect("the store opens");
    disk
}

fn begin(path: &Path) -> Disk {
    let _ = fs::remove_dir_all(path);
    let disk = open(path);
    append(
        &disk,
        Record::Opened(Opened {
            back: false,
            session: SESSION,
            client_id: "bench",
            owner: Owner::default(),
            expiry: u32::MAX,
            will: None,
        }),
    );
    disk
}

/// What went on since.
struct Since {
    time: Instant,
    cpu: Duration,
    written: u64,
}

impl Since {
    fn now() -> Self {
        Self {
            time: Instant::now(),
            cpu: cpu(),
            written: written(),
        }
    }

    fn print(&self, what: &str, count: u64) {
        let written = written() - self.written;
        let each = written as f64 / count as f64;
        println!(
            "{what:<28} {:>6.2} s {:>6.2} s CPU {:>8.1} MB written {each:>6.1} a message",
            self.time.elapsed().as_secs_f64(),
            (cpu() - self.cpu).as_secs_f64(),
            written as f64 / 1e6,
        );
    }
}

fn deep(path: &Path, count: u64, message: &Message) {
    let start = Since::now();
    let disk = begin(path);
    for number in FIRST..FIRST + count {
        publish(&disk, number, message);
    }
    disk.close().expect("written");
    drop(disk);
    start.print("append", count);

    let before = LIVE.load(Relaxed);
    MOST.store(before, Relaxed);
    let recovery = Since::now();
    let (disk, state, report) = Disk::open(path, Options::default()).expect("the store opens");
    recovery.print("recovery", count);
    assert_eq!(state.sessions[0].waiting.len() as u64, count, "{report:?}");
    drop(state);
    let per = |bytes: usize| (bytes - before) as f64 / count as f64;
    let (kept, most) = (per(LIVE.load(Relaxed)), per(MOST.load(Relaxed)));
    println!(
        "  memory                     {kept:>6.1} bytes a message, {most:.1} at most while it was opened"
    );

    let drain = Since::now();
    for number in FIRST..FIRST + count {
        acknowledge(&disk, number);
    }
    while disk.health().messages > 0 || disk.health().disk > 48 << 20 {
        std::thread::sleep(Duration::from_millis(1));
    }
    drain.print("acknowledge, give back", count);
    disk.close().expect("written");
    drop(disk);
    start.print("all of it", count);
    ratio(start.written, count);
}

fn shallow(path: &Path, count: u64, message: &Message) {
    let start = Since::now();
    let disk = begin(path);
    for number in FIRST..FIRST + count {
        publish(&disk, number, message);
        if number >= FIRST + DEPTH {
            acknowledge(&disk, number - DEPTH);
        }
    }
    disk.close().expect("written");
    drop(disk);
    start.print("a queue that keeps up", count);
    ratio(start.written, count);
}

fn ratio(before: u64, count: u64) {
    let said = count * (TOPIC.len() + PAYLOAD) as u64;
    let ratio = (written() - before) as f64 / said as f64;
    println!("  written                    {ratio:>6.2} times topic and payload");
}

fn main() {
    let count = std::env::args().find_map(|it| it.parse().ok());
    let count = count.unwrap_or(1_000_000);
    let path: PathBuf = std::env::temp_dir().join(format!("postbud-bench-{}", std::process::id()));
    let parts = Parts {
        topic: TOPIC,
        forwarded: &[],
        payload: &[7; PAYLOAD],
        qos: QoS::AtLeastOnce,
        retain: false,
        expires: None,
    };
    let message = Message::new(parts, &mut Vec::new());
    deep(&path, count, &message);
    shallow(&path, count, &message);
    let _ = fs::remove_dir_all(&path);
}
