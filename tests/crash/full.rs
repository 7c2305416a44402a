//! The disk is full, or cannot be written: what needs storing is refused, and the rest goes on.
//!
//! The disks are small file systems in memory (tmpfs), each in a mount namespace of its own that goes with
//! the test: `unshare -rm` makes it without being root. Where the kernel does not allow that, these tests
//! say so and do nothing; the ones with a bound on the store's use need no such disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::house::House;
use crate::resumed::{message, next, next_message, nothing, open, publish, subscribe};
use crate::support::DEADLINE;
use crate::support::process::Process;
use crate::wire::{Ack, Connect, Connection, Nothing, Packet, Publish, Version};

/// Queues that are larger than the disk.
const BOUNDS: &str = "[queue]\nmessages = 1_000_000\nbytes = \"1GiB\"\n\
    [store]\npath = \"{data}\"\n";

/// More messages of [`SIZE`] than any of these disks can hold.
const MANY: u32 = 20_000;
const SIZE: usize = 8 * 1024;

/// A small disk: a process that holds the namespace in which it is mounted.
struct SmallDisk {
    holder: Process,
    place: PathBuf,
}

impl SmallDisk {
    /// Mounts one over this directory; none if the kernel does not allow it.
    fn mount(place: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(place).expect("the folder for tests is writable");
        let script = "mount -t tmpfs -o \"$0\" none \"$1\" && echo mounted";
        let shell = |script: &str| {
            let mut command = Command::new("unshare");
            command
                .args(["-rm", "sh", "-c", script, options])
                .arg(place);
            command
        };
        let tried = shell(script).output().expect("util-linux is installed");
        if !tried.status.success() {
            let why = String::from_utf8_lossy(&tried.stderr);
            println!("not tested, as no disk can be mounted here: {why}");
            return None;
        }
        let holder = Process::start(shell(&format!("{script} && exec tail -f /dev/null")));
        holder.wait_for("`mounted`", |line| line == "mounted");
        Some(Self {
            holder,
            place: place.to_owned(),
        })
    }

    /// What to put before a command so that it sees the disk.
    fn enter(&self) -> Vec<String> {
        let id = self.holder.id().to_string();
        let words = [
            "nsenter",
            "-t",
            &id,
            "-U",
            "-m",
            "--preserve-credentials",
            "--",
        ];
        words.map(str::to_owned).to_vec()
    }

    /// A file on the disk, as others see it.
    fn file(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        let below = self.place.strip_prefix("/").expect("an absolute path");
        root.join(below).join(name)
    }
}

/// A client that publishes what must be stored, and what was acknowledged to it.
struct Filler {
    connection: Connection,
    acknowledged: BTreeSet<u32>,
    next: u32,
}

impl Filler {
    fn new(house: &House) -> Self {
        Self {
            connection: open(house, &Connect::passing(Version::V5, "filler")),
            acknowledged: BTreeSet::new(),
            next: 0,
        }
    }

    /// Publishes one message; returns its Reason Code.
    #[track_caller]
    fn publish(&mut self) -> u8 {
        self.next += 1;
        let number = self.next;
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(SIZE, b'x');
        self.connection.publish(&Publish {
            payload,
            ..message("r/1", 1, 1, "")
        });
        match next(&mut self.connection) {
            Packet::Ack(Ack::Puback, 1, code) => {
                if code < 0x80 {
                    self.acknowledged.insert(number);
                }
                code
            }
            other => panic!("no PUBACK: {other:?}"),
        }
    }

    /// Publishes until it is refused.
    #[track_caller]
    fn fill(&mut self) {
        for _ in 0..MANY {
            match self.publish() {
                0 => {}
                code => return assert_eq!(code, 0x97),
            }
        }
        panic!("{MANY} messages of {SIZE} bytes were taken");
    }

    /// Publishes until it is accepted again, which it must be in the end.
    #[track_caller]
    fn wait_for_room(&mut self, house: &House) {
        house.wait_for_sample("postbud_store_failure{reason=\"full\"}", 0.0);
        house.wait_for_sample("postbud_store_failure{reason=\"broken\"}", 0.0);
        let taken = (0..100).any(|_| self.publish() == 0);
        assert!(taken, "there is room, and nothing is taken");
    }
}

/// The reader that is away, and for whom everything is stored.
fn away() -> Connect<'static> {
    Connect::lasting(Version::V5, "away")
}

fn begin(house: &House) {
    let mut reader = open(house, &away());
    subscribe(&mut reader, "r/#", 1);
    reader.disconnect();
}

/// Reads all that waits for the reader; adds the numbers. As many clients do, it subscribes again whenever
/// it is back.
fn drain(house: &House, into: &mut BTreeSet<u32>) {
    let mut reader = open(house, &away());
    assert!(reader.session_present);
    reader.subscribe("r/#", 1);
    let mut since = Instant::now();
    let mut asked = false;
    loop {
        match reader.receive(Duration::from_millis(50)) {
            Ok(Packet::Publish(publish)) => {
                let number = publish.payload[..4].try_into().expect("four bytes");
                into.insert(u32::from_be_bytes(number));
                reader.ack(Ack::Puback, publish.id);
                since = Instant::now();
            }
            Ok(Packet::Pingresp) => break,
            Ok(other) => assert_eq!(other, Packet::Suback(1, vec![1])),
            Err(Nothing::Ended) => panic!("closed"),
            Err(Nothing::Yet) if !asked && house.sample("postbud_messages_queued") == 0.0 => {
                // All of it is before the answer.
                reader.send(&[0xc0, 0]);
                asked = true;
            }
            Err(Nothing::Yet) => {
                let waited = since.elapsed();
                assert!(waited < DEADLINE, "something waits, and does not come");
            }
        }
    }
    reader.disconnect();
}

/// What is refused while nothing can be stored, and what is not.
#[track_caller]
fn look_at_a_full_store(house: &House) {
    house.wait_for_log(&["ERROR", "the store is full", "refused"]);
    house.wait_for_sample("postbud_store_failure{reason=\"full\"}", 1.0);
    assert_eq!(
        house.get("/health"),
        (200, "ok, but the store is full\n".to_owned())
    );
    assert_eq!(
        house.get("/ready"),
        (503, "not ready: the store is full\n".to_owned())
    );
    // A client of MQTT 5 is told, and keeps its connection.
    let mut five = open(house, &Connect::passing(Version::V5, "five"));
    five.publish(&message("r/1", 1, 1, "1"));
    assert_eq!(next(&mut five), Packet::Ack(Ack::Puback, 1, 0x97));
    five.publish(&message("r/1", 2, 2, "2"));
    assert_eq!(next(&mut five), Packet::Ack(Ack::Pubrec, 2, 0x97));
    // One of 3.1.1 cannot be told.
    for qos in [1, 2] {
        let mut three = open(house, &Connect::passing(Version::V311, "three"));
        three.publish(&message("r/1", qos, 1, "1"));
        assert_eq!(three.receive(DEADLINE), Err(Nothing::Ended));
    }
    // What is not stored goes on: at QoS 0, and between clean sessions at any.
    let mut reader = open(house, &Connect::passing(Version::V311, "reader"));
    subscribe(&mut reader, "free/#", 2);
    publish(&mut five, &message("free/1", 0, 0, "a"));
    publish(&mut five, &message("free/1", 1, 1, "b"));
    publish(&mut five, &message("free/1", 2, 2, "c"));
    for (qos, text) in [(0, b"a"), (1, b"b"), (2, b"c")] {
        let came = next_message(&mut reader);
        assert_eq!((came.qos, &*came.payload), (qos, &text[..]));
    }
    // What was refused went to nobody.
    nothing(&mut five);
}

// Breaks if: a full disk lets an acknowledgement out, stops what needs no disk, or is not left behind
// without help once there is room.
#[test]
fn a_disk_that_others_fill_is_left_behind_when_they_give_it_back() {
    let mut house = House::new(BOUNDS);
    let Some(disk) = SmallDisk::mount(&house.data(), "size=96m") else {
        return;
    };
    house.enter(disk.enter());
    house.start();
    begin(&house);
    let mut filler = Filler::new(&house);
    assert_eq!(filler.publish(), 0);
    // Somebody else writes until there is no room left.
    let other = disk.file("other");
    let taken = fs::write(&other, vec![0; 200 << 20]);
    assert!(taken.is_err(), "the disk is not small");
    filler.fill();
    look_at_a_full_store(&house);
    fs::remove_file(&other).expect("it is there");
    filler.wait_for_room(&house);
    assert_eq!(house.get("/ready"), (200, "ready\n".to_owned()));
    house.wait_for_log(&["the store takes what comes again"]);
    house.kill();
    house.start();
    let mut came = BTreeSet::new();
    drain(&house, &mut came);
    let lost: Vec<_> = filler.acknowledged.difference(&came).collect();
    assert_eq!(lost, [&0; 0], "acknowledged and lost");
}

// Breaks if: the store cannot be opened on a disk that it filled itself, loses anything by that, or does
// not give the disk back when the messages are gone.
#[test]
fn a_disk_that_the_store_fills_is_left_behind_when_it_is_drained() {
    let mut house = House::new(BOUNDS);
    let Some(disk) = SmallDisk::mount(&house.data(), "size=64m") else {
        return;
    };
    house.enter(disk.enter());
    house.start();
    begin(&house);
    let mut filler = Filler::new(&house);
    filler.fill();
    look_at_a_full_store(&house);
    let mut acknowledged = std::mem::take(&mut filler.acknowledged);
    // Once more, as what is kept back must not be used up by a crash.
    for _ in 0..2 {
        house.kill();
        house.start();
        assert!(open(&house, &away()).session_present);
    }
    let mut came = BTreeSet::new();
    drain(&house, &mut came);
    let mut filler = Filler {
        next: filler.next,
        ..Filler::new(&house)
    };
    filler.wait_for_room(&house);
    drain(&house, &mut came);
    acknowledged.append(&mut filler.acknowledged);
    let lost: Vec<_> = acknowledged.difference(&came).collect();
    assert_eq!(lost, [&0; 0], "acknowledged and lost");
}

// Breaks if: the bound on the store's use is not kept, or reaching it loses or stops more than it must.
#[test]
fn a_bound_on_the_store_is_kept() {
    let bound: u32 = 24 << 20;
    let mut house = House::new(&format!("{BOUNDS}bytes_maximum = {bound}\n"));
    house.start();
    begin(&house);
    let mut filler = Filler::new(&house);
    let mut came = BTreeSet::new();
    for round in 0..3 {
        filler.fill();
        let used = house.sample("postbud_store_disk_bytes");
        assert!(used <= f64::from(bound), "{used} bytes of {bound}");
        assert!(
            used >= f64::from(bound) / 2.0,
            "full with {used} of {bound}"
        );
        if round == 0 {
            look_at_a_full_store(&house);
        }
        drain(&house, &mut came);
        filler.wait_for_room(&house);
    }
    house.kill();
    house.start();
    drain(&house, &mut came);
    let lost: Vec<_> = filler.acknowledged.difference(&came).collect();
    assert_eq!(lost, [&0; 0], "acknowledged and lost");
}

// Breaks if: a directory that cannot be written ends in a panic, or in a broker that stores nothing.
#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let mut house = House::new(BOUNDS);
    let Some(disk) = SmallDisk::mount(&house.data(), "ro") else {
        return;
    };
    house.enter(disk.enter());
    let finished = house.fail();
    let told = finished.stderr.join("\n");
    assert_eq!(finished.code, Some(1), "{told}");
    let place = house.data().display().to_string();
    for word in [place.as_str(), "Read-only file system"] {
        assert!(told.contains(word), "no `{word}` in {told}");
    }
    assert!(!told.contains("panicked"), "{told}");
}
