//! How the micro-benchmarks take a figure, and tell it.
//!
//! Each line does one thing over and over in short rounds, on memory that is warm. Told are the CPU
//! time of the thread in the best round, because the others were disturbed, and the allocations of
//! all rounds. Nanoseconds are good for nothing but ratios within one run; allocations are exact.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{c_int, c_long};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts the calls that allocate, growing included.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What one operation costs.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// CPU time in the best round.
    pub nanoseconds: f64,
    /// The mean of all rounds.
    pub allocations: f64,
}

const ROUNDS: usize = 40;

/// Does `round`, which is so many operations, over and over, and tells what one of them costs.
pub fn line(name: &str, operations: usize, mut round: impl FnMut()) -> Figure {
    line_after(name, operations, &mut (), |()| {}, |()| round())
}

/// As [`line`], with something before each round that is not measured.
pub fn line_after<S>(
    name: &str,
    operations: usize,
    state: &mut S,
    mut before: impl FnMut(&mut S),
    mut round: impl FnMut(&mut S),
) -> Figure {
    let (mut best, mut allocations) = (u64::MAX, 0);
    // The first rounds only make everything warm.
    for number in 0..ROUNDS + 3 {
        before(state);
        let (allocated, began) = (ALLOCATIONS.load(Relaxed), cpu());
        round(state);
        let took = cpu() - began;
        if number >= 3 {
            best = best.min(took);
            allocations += ALLOCATIONS.load(Relaxed) - allocated;
        }
    }
    let figure = Figure {
        nanoseconds: best as f64 / operations as f64,
        allocations: allocations as f64 / (ROUNDS * operations) as f64,
    };
    println!(
        "{name:<58} {:>8.1} ns {:>7.3} allocations",
        figure.nanoseconds, figure.allocations
    );
    figure
}

#[repr(C)]
struct Timespec {
    seconds: c_long,
    nanoseconds: c_long,
}

unsafe extern "C" {
    fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int;
}

/// `CLOCK_THREAD_CPUTIME_ID` of Linux.
const THREAD_CPU_TIME: c_int = 3;

/// CPU time of this thread so far, in nanoseconds.
fn cpu() -> u64 {
    let mut time = Timespec {
        seconds: 0,
        nanoseconds: 0,
    };
    // SAFETY: the C library, which the standard library links, writes a `timespec` of two longs
    // where it is told to, and keeps no pointer.
    let failed = unsafe { clock_gettime(THREAD_CPU_TIME, &mut time) };
    assert_eq!(failed, 0, "there is a clock for the thread's CPU time");
    // Neither is negative.
    time.seconds as u64 * 1_000_000_000 + time.nanoseconds as u64
}
