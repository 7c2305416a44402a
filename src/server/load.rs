//! Measures how much there is to do, and tells the broker.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::broker::defence::{Level, Measured};
use crate::broker::{Batch, Broker};
use crate::listener::driver::now;

/// How often it is measured.
const INTERVAL: Duration = Duration::from_millis(250);

/// Measures memory and lateness for as long as the process runs.
pub(super) async fn watch(broker: Arc<Broker>) {
    let of_machine = allowed();
    let defence = broker.defence();
    loop {
        let due = Instant::now() + INTERVAL;
        tokio::time::sleep_until(due.into()).await;
        let measured = Measured {
            memory: resident().unwrap_or(0),
            memory_maximum: defence.memory_maximum(of_machine),
            lag: due.elapsed(),
        };
        let (before, after) = defence.measured(measured);
        if before != after {
            tell(after, measured);
        }
        if before < after && after == Level::Pressed {
            broker.shed(&mut Batch::new(now()));
        }
        defence.tell_what_was_left_out(Instant::now());
    }
}

fn tell(level: Level, measured: Measured) {
    let Measured {
        memory,
        memory_maximum,
        lag,
    } = measured;
    let what = match level {
        Level::Calm => "overload is over",
        Level::Busy => "overload: new sessions are refused",
        Level::Pressed => "overload: nobody is accepted, and QoS 0 is shed",
    };
    let level = level.label();
    let lag = lag.as_millis();
    tracing::warn!(level, memory, memory_maximum, lag_ms = lag, "{what}");
}

/// Resident memory of this process.
fn resident() -> Option<u64> {
    // In one call, several times a second: who does not know how much there is asks for it in small pieces.
    let mut status = [0; 4096];
    let length = File::open("/proc/self/status")
        .ok()?
        .read(&mut status)
        .ok()?;
    kibibytes(std::str::from_utf8(&status[..length]).ok()?, "VmRSS:")
}

/// What the machine has, or the control group allows, whichever is less.
fn allowed() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| kibibytes(&text, "MemTotal:"));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&groups).into_iter();
    let limits = limits.filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok());
    machine.into_iter().chain(limits).min()
}

/// The files in which a limit of this process's control group may be, or of one above it: of version 2, then
/// of version 1.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            it if it.split(',').any(|it| it == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let within = PathBuf::from(path.trim_start_matches('/'));
        let folders = within.ancestors();
        files.extend(folders.map(|it| PathBuf::from(root).join(it).join(name)));
    }
    files
}

/// A value in kB, as the kernel writes them, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Breaks if: what the kernel writes is read wrongly, or not found on this machine.
    #[test]
    fn memory_is_read_as_the_kernel_writes_it() {
        let status = "Name:\tpostbud\nVmHWM:\t  9 kB\nVmRSS:\t    1234 kB\n";
        assert_eq!(kibibytes(status, "VmRSS:"), Some(1234 * 1024));
        assert_eq!(kibibytes(status, "VmSwap:"), None);
        assert_eq!(kibibytes("VmRSS: many kB", "VmRSS:"), None);
        let (resident, allowed) = (resident(), allowed());
        assert!(resident.is_some_and(|it| it > 1 << 20), "{resident:?}");
        assert!(allowed > resident, "{allowed:?}");
    }

    // Breaks if: the limit of a container is not found.
    #[test]
    fn limits_are_looked_for_in_both_versions() {
        let files = |text| {
            let files = limit_files(text).into_iter();
            files.map(|it| it.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            files("0::/system.slice/postbud\n"),
            [
                "/sys/fs/cgroup/system.slice/postbud/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!(
            files("5:cpu,memory:/a\n1:name=systemd:/\nnonsense\n"),
            [
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ]
        );
    }
}
