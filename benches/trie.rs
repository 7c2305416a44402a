//! What the topic trie costs: bytes per subscription, and nanoseconds per match and change.
//!
//! `cargo bench --bench trie [-- SUBSCRIPTIONS]`, 1,000,000 unless said otherwise.
//!
//! Every shape of subscriptions gets a trie of its own. Its values are empty `Vec`s, three words
//! as the broker's lists of subscribers are. Bytes are what the allocator was asked for; the goal
//! is less than 200 for each filter beyond its own text. Subscriptions come, go and are matched in
//! random order, so that nearly every step of a match misses the processor's caches: a broker
//! whose traffic is less even sees shorter times.

// A global allocator cannot be written without unsafe code; this one counts and passes on.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use postbud::topic::Trie;

/// Counts the bytes that are allocated now, and the most there ever were.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn took(bytes: usize) {
    let held = HELD.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(held, Relaxed);
}

// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The subscriber list that the broker would keep under a filter.
type Value = Vec<u64>;

const PASSES: usize = 9;
const BATCH: usize = 500;

/// The filter, or a topic, with a number.
type Numbered = fn(usize) -> String;

/// A kind of subscriptions, and topics that are published to them.
struct Shape {
    name: &'static str,
    filter: Numbered,
    /// Each with the name that is printed.
    topics: &'static [(&'static str, Numbered)],
}

const SHAPES: &[Shape] = &[
    Shape {
        name: "mixed: 98 % site/S/device/D/+/temperature, 1 % site/S/#, 1 % exact",
        filter: |n| match n % 100 {
            0 => format!("site/{}/#", n / 100),
            1 => format!("site/{}/device/{n}/cellar/temperature", n / 100),
            _ => format!("site/{}/device/{n}/+/temperature", n / 100),
        },
        topics: &[
            ("2 matches", |n| {
                format!("site/{}/device/{n}/cellar/temperature", n / 100)
            }),
            ("1 match (site/S/#)", |n| format!("site/{}/alarm", n / 100)),
            ("wrong tail", |n| {
                format!("site/{}/device/{n}/cellar/humidity", n / 100)
            }),
            ("nothing", |n| {
                format!("plant/{}/device/{n}/cellar/temperature", n / 100)
            }),
        ],
    },
    Shape {
        name: "exact: devices/NNNNNNNN/state",
        filter: |n| format!("devices/{n:08}/state"),
        topics: &[
            ("1 match", |n| format!("devices/{n:08}/state")),
            ("no match", |n| format!("devices/x{n:08}/state")),
        ],
    },
    Shape {
        name: "two ends: 500,000 devices with cmd and cfg/#",
        filter: |n| match n % 2 {
            0 => format!("d/{}/cmd", n / 2),
            _ => format!("d/{}/cfg/#", n / 2),
        },
        topics: &[
            ("1 match (cmd)", |n| format!("d/{}/cmd", n / 2)),
            ("1 match (cfg/#)", |n| format!("d/{}/cfg/wifi/ssid", n / 2)),
        ],
    },
    Shape {
        name: "long names: uuid levels",
        filter: |n| {
            format!(
                "acme/{0:08x}-92ab-4cde-8f01-{0:012x}/telemetry/+/value",
                n * 7919
            )
        },
        topics: &[("1 match", |n| {
            format!(
                "acme/{0:08x}-92ab-4cde-8f01-{0:012x}/telemetry/rpm/value",
                n * 7919
            )
        })],
    },
    Shape {
        name: "worst for memory: a binary tree, every inner node divides",
        filter: |n| binary(n, "0", "1"),
        topics: &[("1 match", |n| binary(n, "0", "1"))],
    },
    Shape {
        name: "worst for time: + or a at each of 20 levels",
        filter: |n| binary(n, "+", "a"),
        topics: &[("16 matches", |_| {
            vec!["a"; 4]
                .into_iter()
                .chain(["b"; 16])
                .collect::<Vec<_>>()
                .join("/")
        })],
    },
];

/// A level for each of 20 bits.
fn binary(n: usize, zero: &str, one: &str) -> String {
    let levels = (0..20).map(|bit| if n >> bit & 1 == 0 { zero } else { one });
    levels.collect::<Vec<_>>().join("/")
}

/// The numbers below `count` in an order that no cache can guess, the same in every run.
fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..count).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(last, (state % (last as u64 + 1)) as usize);
    }
    order
}

/// The mean and the longest time that `change` takes.
fn timed(texts: &[String], mut change: impl FnMut(&str)) -> (u128, Duration) {
    let mut longest = Duration::ZERO;
    let start = Instant::now();
    let mut before = start;
    for text in texts {
        change(text);
        let now = Instant::now();
        longest = longest.max(now - before);
        before = now;
    }
    ((before - start).as_nanos() / texts.len() as u128, longest)
}

/// The mean nanoseconds of a match, and how many filters it finds.
///
/// The topics go by several times in batches, and the best time of every batch counts: other
/// programs only ever make it slower. A batch comes again only after all others, when nothing of it
/// is left in the caches.
fn match_time(trie: &Trie<Value>, topics: &[String]) -> (u128, f64) {
    let mut found = 0_u32;
    let mut best = vec![Duration::MAX; topics.len().div_ceil(BATCH)];
    for _ in 0..PASSES {
        for (best, batch) in best.iter_mut().zip(topics.chunks(BATCH)) {
            let start = Instant::now();
            for topic in batch {
                trie.matches(topic, |value| {
                    black_box(value);
                    found += 1;
                });
            }
            *best = start.elapsed().min(*best);
        }
    }
    let total: Duration = best.iter().sum();
    let found = f64::from(found) / (PASSES * topics.len()) as f64;
    (total.as_nanos() / topics.len() as u128, found)
}

fn measure(shape: &Shape, count: usize) {
    println!("\n{}", shape.name);
    let order = shuffled(count);
    let filters: Vec<String> = order.iter().map(|&n| (shape.filter)(n)).collect();
    let text: usize = filters.iter().map(String::len).sum();

    let empty = HELD.load(Relaxed);
    PEAK.store(empty, Relaxed);
    let mut trie: Trie<Value> = Trie::new();
    let insert = timed(&filters, |filter| {
        trie.entry(filter, Vec::new);
    });
    let held = HELD.load(Relaxed) - empty;
    let each = |bytes: usize| bytes as f64 / trie.len() as f64;
    println!(
        "  filters                     {:>10}  of {:.1} B",
        trie.len(),
        each(text)
    );
    println!(
        "  bytes each beyond the text  {:>10.1}  ({:.1} with the text, {:.1} at the peak)",
        each(held) - each(text),
        each(held),
        each(PEAK.load(Relaxed) - empty),
    );
    assert_eq!(
        held,
        trie.memory(),
        "Trie::memory tells what the allocator says"
    );
    println!(
        "  insert                      {:>10} ns  (longest {:?})",
        insert.0, insert.1
    );

    for (name, topic) in shape.topics {
        let topics: Vec<String> = shuffled(count)
            .iter()
            .rev()
            .take(200_000)
            .map(|&n| topic(n))
            .collect();
        let (each, matched) = match_time(&trie, &topics);
        println!("  match {name:<22}{each:>10} ns  ({matched:.2} found)");
    }

    let remove = timed(&filters, |filter| {
        trie.remove(filter);
    });
    println!(
        "  remove                      {:>10} ns  (longest {:?})",
        remove.0, remove.1
    );
    let left = HELD.load(Relaxed) - empty;
    println!("  bytes left after removal    {left:>10}");
}

fn main() {
    // Cargo passes `--bench`; the only argument of ours is a number.
    let count = std::env::args()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(1_000_000);
    for shape in SHAPES {
        measure(shape, count);
    }
}
