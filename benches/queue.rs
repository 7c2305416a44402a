//! What a queue costs: nanoseconds and allocations for a message that is put in and taken out.
//!
//! `cargo bench --bench queue`. The messages are there before and stay: what is measured is their
//! waiting.

// The allocator and the clock of `measure` cannot be had without.
#![allow(unsafe_code)]

mod measure;

use std::hint::black_box;
use std::num::NonZeroU64;

use measure::{Figure, line, line_after};
use postbud::codec::QoS;
use postbud::message::{Message, Parts};
use postbud::queue::options::{Options, Overflow};
use postbud::queue::{Chunked, Delivery, Gone, InStore, Queue, Stored, SubscriptionIds};

/// Messages that go through in a round.
const ROUND: usize = 10_000;

fn message(number: u64) -> Message {
    let parts = Parts {
        topic: "site/17/device/4711/temperature",
        forwarded: &[],
        payload: &[b'x'; 64],
        qos: QoS::AtLeastOnce,
        retain: false,
        expires: None,
    };
    let message = Message::new(parts, &mut Vec::new());
    if let Some(number) = NonZeroU64::new(number) {
        message.keep_as(number);
    }
    message
}

fn delivery(message: &Message) -> Delivery {
    Delivery {
        message: message.clone(),
        subscription_ids: SubscriptionIds::default(),
        qos: message.qos(),
        retain: false,
        attempts: 0,
    }
}

fn bounds(messages: usize, overflow: Overflow) -> Options {
    Options {
        messages,
        bytes: usize::MAX,
        overflow,
    }
}

fn none(_: Gone<'_>) {
    unreachable!("there is room");
}

/// Messages go through a queue in which so many wait.
fn through(depth: usize) -> Figure {
    let (message, options) = (message(0), bounds(usize::MAX, Overflow::DropNewest));
    let mut queue = Queue::new();
    let push = |queue: &mut Queue| {
        assert_eq!(queue.push(delivery(&message), &options, none), 0);
    };
    (0..depth).for_each(|_| push(&mut queue));
    line(&format!("put and take, {depth} wait"), ROUND, || {
        for _ in 0..ROUND {
            push(&mut queue);
            assert!(black_box(queue.pop()).is_some());
        }
    })
}

/// A queue is filled, and then emptied.
fn filled(depth: usize) {
    let (message, options) = (message(0), bounds(usize::MAX, Overflow::DropNewest));
    let mut queue = Queue::new();
    line(&format!("fill with {depth}, then empty"), depth, || {
        for _ in 0..depth {
            assert_eq!(queue.push(delivery(&message), &options, none), 0);
        }
        while let Some(oldest) = queue.pop() {
            black_box(oldest);
        }
    });
}

/// A full queue takes one more, and one gives way.
fn full(overflow: Overflow) {
    let (message, options) = (message(0), bounds(1_000, overflow));
    let mut queue = Queue::new();
    let mut push = |gone: &mut usize| {
        let dropped = queue.push(delivery(&message), &options, |_| *gone += 1);
        black_box(dropped);
    };
    let mut gone = 0;
    (0..1_000).for_each(|_| push(&mut gone));
    line(&format!("full, {overflow:?}"), ROUND, || {
        let mut gone = 0;
        (0..ROUND).for_each(|_| push(&mut gone));
        assert_eq!(gone, ROUND);
    });
}

/// What the store keeps goes to the deep end, is asked for and supplied, and is taken.
fn deep(depth: usize) -> Figure {
    let options = bounds(usize::MAX, Overflow::DropNewest);
    let mut queue = Queue::new();
    queue.spill(Some(64 * 1024));
    // What was read back carries its number, and one will do for each.
    let mut next = 0;
    let mut put = |queue: &mut Queue, message: &Message| {
        next += 1;
        message.keep_as(NonZeroU64::new(next).expect("not 0"));
        assert_eq!(queue.push(delivery(message), &options, none), 0);
    };
    let message = message(1);
    (0..depth).for_each(|_| put(&mut queue, &message));
    let name = format!("put to the store, supply, take, {depth} wait");
    line(&name, ROUND, || {
        for _ in 0..ROUND {
            put(&mut queue, &message);
            if let Some(numbers) = queue.wanted() {
                let found = numbers.into_iter();
                let found = found.map(|number| (number, Some(message.clone())));
                queue.supply(found, none);
            }
            assert!(black_box(queue.pop()).is_some());
        }
    })
}

fn in_store(depth: u64) -> Figure {
    let stored = |number: u64| Stored {
        number: NonZeroU64::new(number).expect("not 0"),
        subscription_ids: SubscriptionIds::default(),
        size: 100,
        qos: QoS::AtLeastOnce,
        retain: false,
    };
    let made = || (1..=depth).map(stored).collect::<InStore>();
    let (name, mut kept) = (format!("note a number, {depth} are noted"), made());
    let before = |kept: &mut InStore| *kept = made();
    line_after(&name, ROUND, &mut kept, before, |kept| {
        for number in 1..=ROUND as u64 {
            kept.push(stored(depth + number));
        }
        black_box(kept.len());
    })
}

fn chunked(depth: usize) -> Figure {
    let mut queue = Chunked::default();
    (0..depth).for_each(|it| queue.push_back(it));
    line(
        &format!("chunks: put and take, {depth} wait"),
        ROUND,
        || {
            for number in 0..ROUND {
                queue.push_back(number);
                black_box(queue.pop_front());
            }
        },
    )
}

fn compare(what: &str, (few, many): (Figure, Figure)) {
    let ratio = many.nanoseconds / few.nanoseconds;
    println!("  {what}: {ratio:.2} times");
}

fn main() {
    let depths = (through(10), through(100_000));
    compare("deep to shallow", depths);
    filled(50);
    filled(10_000);
    full(Overflow::DropNewest);
    full(Overflow::DropOldest);
    let depths = (deep(2_000), deep(200_000));
    compare("deep to shallow", depths);
    let depths = (in_store(1_000), in_store(1_000_000));
    compare("deep to shallow", depths);
    let depths = (chunked(1_000), chunked(1_000_000));
    compare("deep to shallow", depths);
}
