use super::*;
use crate::codec::QoS;
use crate::message::{Message, Parts};

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
    assert_eq!(queue.entries.capacity(), 0);
    assert_eq!(queue.clear(), 0);
}
