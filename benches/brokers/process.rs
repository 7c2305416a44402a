//! What a process has used, out of `/proc`; and its system calls, out of strace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::failure::Failure;

/// Nanoseconds of one tick in `/proc/{pid}/stat`: Linux shows user space 100 a second everywhere.
const TICK: u64 = 10_000_000;

/// What a process had used at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// User and system time of all threads that live, in nanoseconds, exact to a scheduler tick
    /// (4 ms at most for each thread that is running just now).
    living_threads: u64,
    /// User and system time of the process, ended threads included, in nanoseconds but only in
    /// steps of 10 ms.
    process: u64,
    /// Times that a living thread gave up its processor to wait.
    waits: u64,
}

/// What a process used between two moments.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    /// User and system time, in nanoseconds.
    pub cpu: u64,
    /// Times that a thread waited and had to be woken.
    pub waits: u64,
}

impl Usage {
    /// Reads what the process `pid` has used so far.
    pub fn of(pid: u32) -> Result<Usage, Failure> {
        let gone = |error| {
            Failure::new(format!(
                "cannot read the CPU time of process {pid}: {error}"
            ))
        };
        let (mut living_threads, mut waits) = (0, 0);
        for task in fs::read_dir(format!("/proc/{pid}/task")).map_err(gone)? {
            let task = task.map_err(gone)?.path();
            // A thread may end between being listed and being read.
            living_threads += first_number(&task.join("schedstat")).unwrap_or(0);
            waits += field(&task.join("status"), "voluntary_ctxt_switches:").unwrap_or(0);
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(gone)?;
        // The command's name, in parentheses, may contain anything; the fields count behind it.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|f| f.parse::<u64>().ok());
        Ok(Usage {
            living_threads,
            process: ticks.sum::<u64>() * TICK,
            waits,
        })
    }

    /// User and system time so far, in nanoseconds.
    pub fn total(&self) -> u64 {
        let nothing = Usage {
            living_threads: 0,
            process: 0,
            waits: 0,
        };
        nothing.until(self).cpu
    }

    /// What was used from `self` until `later`.
    pub fn until(&self, later: &Usage) -> Used {
        let exact = later.living_threads.saturating_sub(self.living_threads);
        let coarse = later.process.saturating_sub(self.process);
        // The exact sum forgets threads that ended, and is not there on kernels without schedstat.
        let cpu = if exact + 3 * TICK < coarse {
            coarse
        } else {
            exact
        };
        Used {
            cpu,
            waits: later.waits.saturating_sub(self.waits),
        }
    }
}

/// The most memory the process ever had resident, in bytes.
pub fn peak_resident(pid: u32) -> Result<u64, Failure> {
    memory(pid, "VmHWM:")
}

/// The process's own (anonymous) resident memory, in bytes: neither files nor socket buffers.
pub fn anonymous_resident(pid: u32) -> Result<u64, Failure> {
    // `RssAnon` is cheaper, but on many kernels a sum of per-processor counters that lags behind by
    // up to 32 pages for each. The rollup counts the pages, where we may trace the process.
    let counted = field(
        Path::new(&format!("/proc/{pid}/smaps_rollup")),
        "Anonymous:",
    );
    counted.map_or_else(|| memory(pid, "RssAnon:"), |kilobytes| Ok(kilobytes * 1024))
}

fn memory(pid: u32, name: &str) -> Result<u64, Failure> {
    let path = PathBuf::from(format!("/proc/{pid}/status"));
    let missing = || Failure::new(format!("{} has no {name}", path.display()));
    field(&path, name)
        .map(|kilobytes| kilobytes * 1024)
        .ok_or_else(missing)
}

/// Bytes that the process has written to files so far: what it sends on sockets is not among them.
pub fn written(pid: u32) -> Result<u64, Failure> {
    // `write_bytes` would count a whole folio of the page cache, of up to 2 MiB, whenever a byte of it
    // is written to after a flush, although only the pages that changed go to the disk.
    let path = format!("/proc/{pid}/io");
    let missing = || Failure::new(format!("{path} has no wchar"));
    field(Path::new(&path), "wchar:").ok_or_else(missing)
}

/// What the whole machine's processors did up to one moment.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    busy: u64,
    all: u64,
}

impl Machine {
    /// Reads it.
    pub fn now() -> Result<Machine, Failure> {
        let text = fs::read_to_string("/proc/stat")?;
        let line = text.lines().next().unwrap_or("");
        let times = line.split_whitespace().skip(1).take(8);
        let times: Vec<u64> = times.filter_map(|time| time.parse().ok()).collect();
        let all: u64 = times.iter().sum();
        // The fourth is idle, the fifth idle with a disk at work.
        let idle: u64 = times.iter().skip(3).take(2).sum();
        Ok(Machine {
            busy: all - idle,
            all,
        })
    }

    /// The share of all processors that was in use, by whomever, from `self` until `later`.
    pub fn busy_until(&self, later: &Machine) -> f64 {
        let all = later.all.saturating_sub(self.all).max(1);
        later.busy.saturating_sub(self.busy) as f64 / all as f64
    }
}

/// How many descriptors this process, and each child, may have open.
#[derive(Debug, Clone, Copy)]
pub struct DescriptorLimits {
    /// What is in force.
    pub soft: u64,
    /// What it can be raised to.
    pub hard: u64,
}

/// Reads the descriptor limits in force.
pub fn descriptor_limits() -> Result<DescriptorLimits, Failure> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let mut numbers = line.unwrap_or("").split_whitespace();
    let mut next = || {
        numbers
            .next()
            .map_or(1024, |number| number.parse().unwrap_or(u64::MAX))
    };
    Ok(DescriptorLimits {
        soft: next(),
        hard: next(),
    })
}

fn first_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path)
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

fn field(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Asks a process of ours to end. The standard library can only kill; a shell can ask.
pub fn terminate(pid: u32) {
    signal(pid, "TERM");
}

fn signal(pid: u32, name: &str) {
    let _ = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid} 2>/dev/null")])
        .status();
}

/// An strace that counts the system calls of a process while it lives.
pub struct SystemCalls {
    strace: Child,
    summary: PathBuf,
}

impl SystemCalls {
    /// Attaches to the process `pid`; comes back when calls are being counted.
    pub fn count(pid: u32, directory: &Path) -> Result<SystemCalls, Failure> {
        let summary = directory.join(format!("strace-{pid}"));
        let strace = Command::new("strace")
            .args(["-f", "-c", "-U", "calls,name", "-o"])
            .arg(&summary)
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| Failure::new(format!("cannot run strace: {error}")))?;
        let counter = SystemCalls { strace, summary };
        let deadline = Instant::now() + Duration::from_secs(5);
        while field(Path::new(&format!("/proc/{pid}/status")), "TracerPid:").unwrap_or(0) == 0 {
            if Instant::now() > deadline {
                return Err(Failure::new("strace did not attach in 5 s"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(counter)
    }

    /// Detaches; the number of calls since it attached.
    pub fn finish(mut self) -> Result<u64, Failure> {
        signal(self.strace.id(), "INT");
        self.strace.wait()?;
        let summary = fs::read_to_string(&self.summary)?;
        let total = summary
            .lines()
            .rev()
            .find(|line| line.trim_end().ends_with("total"));
        let calls = total.and_then(|line| line.split_whitespace().next()?.parse().ok());
        calls.ok_or_else(|| Failure::new("strace printed no total"))
    }
}

impl Drop for SystemCalls {
    fn drop(&mut self) {
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}
