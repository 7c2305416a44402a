use super::*;
use crate::codec::QoS;
use crate::message::Parts;
use crate::queue::SubscriptionIds;

fn delivery(payload: &[u8], expires: Option<u64>) -> Delivery {
    let parts = Parts {
        topic: "t",
        forwarded: &[],
        payload,
        qos: QoS::AtLeastOnce,
        retain: false,
        expires: expires.map(Timestamp::from_millis),
    };
    Delivery {
        message: Message::new(parts, &mut Vec::new()),
        subscription_ids: SubscriptionIds::default(),
        qos: QoS::AtLeastOnce,
        retain: false,
        attempts: 0,
    }
}

fn payloads(queue: &mut Queue) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| queue.pop())
        .map(|d| d.message.payload().to_vec())
        .collect()
}

fn bounded(messages: usize, bytes: usize, overflow: Overflow) -> Options {
    Options {
        messages,
        bytes,
        overflow,
    }
}

#[test]
fn drop_newest_keeps_what_was_promised_first() {
    let options = bounded(2, 1000, Overflow::DropNewest);
    let mut queue = Queue::new();
    assert_eq!(queue.push(delivery(b"1", None), &options, |_| {}), 0);
    assert_eq!(queue.push(delivery(b"2", None), &options, |_| {}), 0);
    assert_eq!(queue.push(delivery(b"3", None), &options, |_| {}), 1);
    assert_eq!(payloads(&mut queue), [b"1", b"2"]);
    assert_eq!(queue.bytes(), 0);
}

#[test]
fn drop_oldest_makes_room_in_bytes_too() {
    let options = bounded(10, 9, Overflow::DropOldest);
    let mut queue = Queue::new();
    assert_eq!(queue.push(delivery(b"1", None), &options, |_| {}), 0);
    assert_eq!(queue.push(delivery(b"2", None), &options, |_| {}), 0);
    assert_eq!(queue.push(delivery(b"4444444", None), &options, |_| {}), 2);
    assert_eq!(payloads(&mut queue), [b"4444444".to_vec()]);
}

#[test]
fn an_empty_queue_takes_any_one_message() {
    let options = bounded(1, 1, Overflow::DropNewest);
    let mut queue = Queue::new();
    assert_eq!(
        queue.push(delivery(b"too large", None), &options, |_| {}),
        0
    );
    assert_eq!(queue.len(), 1);
}

#[test]
fn what_is_given_back_comes_first_and_in_order() {
    let options = Options::default();
    let mut queue = Queue::new();
    assert_eq!(queue.push(delivery(b"3", None), &options, |_| {}), 0);
    queue.give_back([delivery(b"1", None), delivery(b"2", None)].into_iter());
    assert_eq!(queue.bytes(), 6);
    assert_eq!(payloads(&mut queue), [b"1", b"2", b"3"]);
}

#[test]
fn expired_messages_leave_from_the_front() {
    let options = Options::default();
    let mut queue = Queue::new();
    for (payload, expires) in [(b"1", Some(5)), (b"2", Some(10)), (b"3", None)] {
        assert_eq!(queue.push(delivery(payload, expires), &options, |_| {}), 0);
    }
    assert_eq!(queue.drop_expired(Timestamp::from_millis(7), |_| {}), 1);
    assert_eq!(payloads(&mut queue), [b"2", b"3"]);
}

#[test]
fn a_drained_queue_holds_no_memory() {
    let options = Options::default();
    let mut queue = Queue::new();
    for _ in 0..1000 {
        assert_eq!(queue.push(delivery(b"x", None), &options, |_| {}), 0);
    }
    while queue.pop().is_some() {}
    assert_eq!(queue.capacity(), 0);
    assert_eq!(queue.clear(), 0);
}

fn numbered(number: u64) -> Delivery {
    let delivery = delivery(number.to_string().as_bytes(), None);
    let number = number.try_into().expect("not 0");
    delivery.message.keep_as(number);
    delivery
}

/// Reads back what a queue asks for, as a store would; returns how many messages that were.
fn read_back(queue: &mut Queue, at_most: usize) -> usize {
    let Some(wanted) = queue.wanted() else {
        return 0;
    };
    let wanted = wanted.into_iter().take(at_most);
    let found: Vec<_> = wanted.map(|it| (it, Some(numbered(it).message))).collect();
    let count = found.len();
    queue.supply(found.into_iter(), |gone| panic!("{gone:?} is lost"));
    count
}

// Breaks if: more than the bound is held in memory, or anything comes twice, late or not at all.
#[test]
fn a_deep_queue_leaves_its_messages_to_the_store() {
    let options = bounded(1000, 100_000, Overflow::DropNewest);
    let mut queue = Queue::new();
    queue.spill(Some(10));
    for number in 1..=100 {
        assert_eq!(queue.push(numbered(number), &options, |_| {}), 0);
    }
    let bytes: usize = (1..=100).map(|it| numbered(it).message.size()).sum();
    assert_eq!((queue.len(), queue.bytes()), (100, bytes));
    assert!(queue.held() <= 12, "{}", queue.held());
    let mut expected = 1;
    while !queue.is_empty() {
        assert!(queue.held() <= 24, "{}", queue.held());
        match queue.pop() {
            Some(next) => {
                assert_eq!(next.message.payload(), expected.to_string().as_bytes());
                expected += 1;
                // More comes while it is drained, and takes its place at the end.
                if expected % 3 == 0 && expected < 150 {
                    let number = 100 + expected / 3;
                    assert_eq!(queue.push(numbered(number), &options, |_| {}), 0);
                }
            }
            None => assert!(read_back(&mut queue, 3) > 0, "stuck at {expected}"),
        }
    }
    assert_eq!((expected, queue.bytes(), queue.wanted()), (150, 0, None));
}

// Breaks if: what the store does not keep is left to it, or passes what came before it.
#[test]
fn what_the_store_does_not_keep_waits_behind_what_it_does() {
    let options = bounded(1000, 100_000, Overflow::DropNewest);
    let mut queue = Queue::new();
    queue.spill(Some(1));
    for number in 1..=2 {
        assert_eq!(queue.push(numbered(number), &options, |_| {}), 0);
    }
    assert_eq!(queue.push(delivery(b"3", None), &options, |_| {}), 0);
    assert_eq!(payloads(&mut queue), [b"1"]);
    assert_eq!(queue.wanted(), Some(vec![2]));
    assert_eq!(queue.wanted(), None, "once");
    assert!(queue.pop().is_none());
    queue.supply([(2, Some(numbered(2).message))].into_iter(), |_| {});
    assert_eq!(payloads(&mut queue), [b"2", b"3"]);
    assert!(queue.is_empty());
}

// Breaks if: dropping the oldest, or losing one, disturbs the count or what is read back.
#[test]
fn what_gives_way_or_is_lost_is_passed_over() {
    let options = bounded(4, 100_000, Overflow::DropOldest);
    let mut queue = Queue::new();
    queue.spill(Some(1));
    let mut gone = Vec::new();
    for number in 1..=4 {
        assert_eq!(queue.push(numbered(number), &options, |_| {}), 0);
    }
    assert_eq!(payloads(&mut queue), [b"1"]);
    queue.spill(Some(100));
    assert_eq!(queue.wanted(), Some(vec![2, 3, 4]));
    for number in 5..=6 {
        let mut note = |it: Gone<'_>| gone.push(it.number.map(u64::from));
        assert_eq!(
            queue.push(numbered(number), &options, &mut note),
            number as usize - 5
        );
    }
    assert_eq!(gone, [Some(2)]);
    let found = [2, 3, 4].map(|it| (it, (it != 3).then(|| numbered(it).message)));
    let mut lost = Vec::new();
    queue.supply(found.into_iter(), |it| lost.push(it.number.map(u64::from)));
    assert_eq!(lost, [Some(3)]);
    assert_eq!(
        (queue.len(), payloads(&mut queue)),
        (3, vec![b"4".to_vec()])
    );
    assert_eq!(queue.wanted(), Some(vec![5, 6]));
    assert_eq!(queue.clear(), 2);
    assert_eq!((queue.bytes(), queue.is_empty()), (0, true));
}

// Breaks if: a queue takes more memory although none is left, drops what the store keeps, or takes nothing
// although it is empty.
#[test]
fn under_pressure_only_what_gives_way_is_replaced() {
    for (overflow, left) in [(Overflow::DropNewest, "1"), (Overflow::DropOldest, "3")] {
        let options = bounded(10, 1000, overflow);
        let mut queue = Queue::new();
        assert_eq!(
            queue.push_pressed(delivery(b"1", None), &options, |_| {}),
            0
        );
        let weight = queue.weight();
        assert!(weight > 0);
        for number in [b"2", b"3"] {
            let dropped = queue.push_pressed(delivery(number, None), &options, |_| {});
            assert_eq!(dropped, 1, "{overflow:?}");
        }
        assert_eq!(queue.weight(), weight);
        assert_eq!(payloads(&mut queue), [left.as_bytes()]);
        assert_eq!(queue.weight(), 0);
    }
    let options = bounded(1000, 100_000, Overflow::DropNewest);
    let mut queue = Queue::new();
    queue.spill(Some(1000));
    for number in 1..=10 {
        assert_eq!(queue.push_pressed(numbered(number), &options, |_| {}), 0);
    }
    assert_eq!((queue.held(), queue.len()), (0, 10), "left to the store");
    assert_eq!(queue.weight(), 10 * STORED_ENTRY);
    assert_eq!(queue.wanted().map(|it| it.len()), Some(10));
}
