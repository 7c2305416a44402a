use std::sync::mpsc;
use std::time::Duration;

use super::*;

const SOON: Duration = Duration::from_secs(20);

/// A pool of one thread that is busy until the sender goes.
fn busy(waiting: usize) -> (Pool, mpsc::Sender<()>) {
    let pool = Pool::new(1, waiting).expect("a thread");
    let (hold, held) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let taken = pool.take_on(|| {
        Box::new(move || {
            begin.send(()).expect("the test waits");
            // Ends with the sender.
            let _ = held.recv();
        })
    });
    assert!(taken);
    begun.recv_timeout(SOON).expect("the job has begun");
    (pool, hold)
}

#[test]
fn jobs_are_done_in_their_order() {
    let (pool, hold) = busy(10);
    let (done, results) = mpsc::channel();
    for number in 0..10 {
        let done = done.clone();
        assert!(pool.take_on(|| Box::new(move || done.send(number).expect("the test waits"))));
    }
    drop(hold);
    let got: Vec<_> = (0..10)
        .map(|_| results.recv_timeout(SOON).expect("a result"))
        .collect();
    assert_eq!(got, (0..10).collect::<Vec<_>>());
}

// Breaks if: the line has no end, or a job that is not taken on is made all the same.
#[test]
fn no_more_wait_than_there_is_room_for() {
    let (pool, hold) = busy(2);
    for _ in 0..2 {
        assert!(pool.take_on(|| Box::new(|| ())));
    }
    assert!(!pool.take_on(|| unreachable!("there is no room for it")));
    drop(hold);
    // There is room again once one of them has begun.
    let end = std::time::Instant::now() + SOON;
    while !pool.take_on(|| Box::new(|| ())) {
        assert!(std::time::Instant::now() < end, "the thread has stopped");
        thread::yield_now();
    }
}

// Breaks if: a pool that is replaced forgets who waits, or keeps its threads.
#[test]
fn a_pool_that_is_dropped_does_what_it_has_taken_on_and_ends() {
    let (pool, hold) = busy(3);
    let shared = Arc::downgrade(&pool.0);
    let (done, results) = mpsc::channel();
    for number in 0..3 {
        let done = done.clone();
        assert!(pool.take_on(|| Box::new(move || done.send(number).expect("the test waits"))));
    }
    drop(done);
    drop(pool);
    assert!(shared.upgrade().is_some(), "there is work left");
    drop(hold);
    let got: Vec<i32> = results.iter().collect();
    assert_eq!(got, [0, 1, 2]);
    let end = std::time::Instant::now() + SOON;
    while shared.strong_count() > 0 {
        assert!(std::time::Instant::now() < end, "the thread has not ended");
        thread::yield_now();
    }
}
