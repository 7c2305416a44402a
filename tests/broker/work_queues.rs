//! Groups of which more is configured: they collect before anybody comes, look after what is not
//! acknowledged, give up in the end, refuse, and keep what belongs together in order.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use postbud::broker::{Ending, Gauge};
use postbud::codec::{QoS, ReasonCode, UserPropertiesBuf};
use postbud::pubsub::options::{GroupOptions, NamedGroup, OrderingKey};
use postbud::queue::DropReason;

use crate::client::{Client, numbers, publish};
use crate::engines::Doorman;
use crate::house::{House, Setup};
use crate::received::Got;
use crate::restart::Home;
use crate::stores::Recorder;

const JOBS: &str = "$share/crew/jobs/#";

/// A house with a group `crew` on `jobs/#`.
fn setup(declared: bool, change: impl FnOnce(&mut GroupOptions)) -> Setup {
    let mut setup = Setup::default();
    setup.options.pubsub.groups = vec![crew(declared, change)];
    setup
}

fn crew(declared: bool, change: impl FnOnce(&mut GroupOptions)) -> NamedGroup {
    let mut options = GroupOptions::default();
    change(&mut options);
    NamedGroup {
        share: "crew".into(),
        filter: "jobs/#".into(),
        declared,
        options: Arc::new(options),
    }
}

fn house(change: impl FnOnce(&mut GroupOptions)) -> House {
    setup(false, change).build()
}

fn timeout(options: &mut GroupOptions) {
    options.acknowledgement_timeout = Some(Duration::from_secs(30));
}

fn limit(count: u16) -> Option<NonZeroU16> {
    NonZeroU16::new(count)
}

fn member<'h>(house: &'h House, id: &'h str) -> Client<'h> {
    let client = house.v5(id).expiry(3600).open();
    client.subscribe(JOBS, QoS::AtLeastOnce);
    client
}

fn publish_jobs(house: &House, first: u16, last: u16) {
    let writer = house.v5("writer").open();
    for id in first..=last {
        writer.publish1(id, "jobs/x", &id.to_string());
    }
}

// Breaks if: a declared group needs a member to collect, or ends with the last one.
#[test]
fn a_declared_group_collects_without_members() {
    let house = setup(true, |_| {}).build();
    assert_eq!(house.gauge(Gauge::Groups), 1);
    let writer = house.v5("w").open();
    writer.publish1(1, "jobs/x", "1");
    assert_eq!(writer.take(), [Got::Puback(1, ReasonCode::Success)]);
    publish_jobs(&house, 2, 3);
    writer.publish("jobs/x", "light");
    assert_eq!(house.dropped(DropReason::Away), 1, "QoS 0 is not kept");
    let first = member(&house, "first");
    assert_eq!(first.drain(), numbers(1, 3));
    first.unsubscribe(JOBS);
    assert_eq!(house.gauge(Gauge::Groups), 1);
    publish_jobs(&house, 4, 5);
    assert_eq!(first.take(), []);
    assert_eq!(member(&house, "second").drain(), numbers(4, 5));
}

// Breaks if: the store hears of a declared group only when somebody joins, or is not asked to keep what
// it collects.
#[test]
fn a_declared_group_is_kept_from_the_start() {
    let store = Arc::new(Recorder::default());
    let mut setup = setup(true, |_| {});
    setup.store = Arc::clone(&store) as _;
    let house = setup.build();
    assert_eq!(store.take(), ["group crew jobs/#"]);
    house.broker.declare_groups();
    assert_eq!(store.take(), Vec::<String>::new(), "it is there");
    publish_jobs(&house, 1, 1);
    let message = "message 1 for 1, held 0, retained false";
    assert_eq!(store.take(), [message]);
    let passing = house.v5("passing").open();
    passing.subscribe(JOBS, QoS::AtLeastOnce);
    assert_eq!(store.take(), ["sent 1, of a group true"]);
    assert_eq!(passing.payloads(), ["1"]);
    passing.puback(1);
    passing.unsubscribe(JOBS);
    assert_eq!(store.take(), ["done 1"], "nothing is dissolved");
}

// Breaks if: a message that a member is given at QoS 0 stays in the store for ever.
#[test]
fn what_nobody_acknowledges_is_not_kept_either() {
    let store = Arc::new(Recorder::default());
    let mut setup = setup(true, |_| {});
    setup.store = Arc::clone(&store) as _;
    let house = setup.build();
    let light = house.v5("light").open();
    light.subscribe(JOBS, QoS::AtMostOnce);
    store.take();
    publish_jobs(&house, 1, 1);
    let message = "message 1 for 1, held 0, retained false";
    assert_eq!(store.take(), [message, "dropped"]);
}

// Breaks if: nobody looks, or the first member's id or quota is given to something else meanwhile.
#[test]
fn what_is_not_acknowledged_in_time_goes_to_another_member() {
    let house = house(timeout);
    let slow = house.v5("slow").expiry(3600).receive_maximum(1).open();
    slow.subscribe(JOBS, QoS::AtLeastOnce);
    publish_jobs(&house, 1, 1);
    let had = slow.messages();
    assert_eq!(had.len(), 1);
    let other = member(&house, "other");
    house.seconds(29);
    assert_eq!(other.take(), []);
    house.seconds(1);
    let got = other.messages();
    assert_eq!((got[0].payload.as_str(), got[0].dup), ("1", false));
    publish_jobs(&house, 2, 4);
    assert_eq!(slow.take(), [], "its quota is taken");
    assert_eq!(other.messages().len(), 3);
    slow.puback(had[0].id);
    assert_eq!(slow.ending(), None, "a late PUBACK does no harm");
    publish_jobs(&house, 5, 6);
    assert_eq!(slow.payloads().len(), 1, "it has quota again");
    other.puback(got[0].id);
    slow.hang_up();
    assert_eq!(other.messages().len(), 2, "what it had last");
    house.seconds(3600);
    assert_eq!(slow.take(), []);
}

// Breaks if: a message is sent twice on one connection, or a late acknowledgement does not count while
// nobody else was given the message.
#[test]
fn what_is_overdue_stays_where_it_is_until_somebody_else_can_take_it() {
    let house = house(timeout);
    let alone = member(&house, "alone");
    publish_jobs(&house, 1, 2);
    let had = alone.messages();
    house.seconds(300);
    assert_eq!(alone.take(), []);
    alone.puback(had[0].id);
    let full = house.v5("full").expiry(3600).receive_maximum(1).open();
    full.subscribe("own", QoS::AtLeastOnce);
    house.v5("w").open().publish1(1, "own", "own");
    let own = full.messages();
    full.subscribe(JOBS, QoS::AtLeastOnce);
    assert_eq!(full.take(), [], "it has no room");
    full.puback(own[0].id);
    assert_eq!(full.payloads(), ["2"], "the first was acknowledged");
    alone.puback(had[1].id);
    alone.hang_up();
    assert_eq!(full.take(), [], "nothing is given back");
}

// Breaks if: overdue messages are found only when they are all of one member, or wait behind the
// backlog.
#[test]
fn what_is_overdue_comes_before_what_waits() {
    let house = house(timeout);
    let stuck = house.v5("stuck").expiry(3600).receive_maximum(2).open();
    stuck.subscribe(JOBS, QoS::AtLeastOnce);
    publish_jobs(&house, 1, 4);
    assert_eq!(stuck.payloads(), numbers(1, 2));
    house.seconds(30);
    let helper = house.v5("helper").expiry(3600).receive_maximum(1).open();
    helper.subscribe(JOBS, QoS::AtLeastOnce);
    assert_eq!(helper.drain(), numbers(1, 4));
    assert_eq!(stuck.take(), [], "two are still with it");
    house.seconds(300);
    assert_eq!(stuck.take(), []);
}

// Breaks if: the store would think after a crash that both have it, or that nobody has.
#[test]
fn the_store_hears_who_has_it_now() {
    let store = Arc::new(Recorder::default());
    let mut setup = setup(true, timeout);
    setup.store = Arc::clone(&store) as _;
    let house = setup.build();
    let slow = member(&house, "slow");
    publish_jobs(&house, 1, 1);
    let other = member(&house, "other");
    store.take();
    house.seconds(30);
    assert_eq!(store.take(), ["returned 1", "sent 1, of a group true"]);
    slow.puback(1);
    assert_eq!(store.take(), Vec::<String>::new());
    other.puback(1);
    assert_eq!(store.take(), ["done 1"]);
}

// Breaks if: a group without an acknowledgement timeout, or without anything in flight, wakes anybody.
#[test]
fn nobody_looks_for_nothing() {
    let next = |house: &House| house.broker.next_tick(house.now().instant) - house.now().instant;
    let plain = house(|_| {});
    member(&plain, "a");
    publish_jobs(&plain, 1, 1);
    let sweep = next(&plain);
    let watched = house(|options| {
        options.acknowledgement_timeout = Some(Duration::from_millis(100));
    });
    let a = member(&watched, "a");
    assert_eq!(next(&watched), sweep);
    publish_jobs(&watched, 1, 1);
    assert_eq!(next(&watched), Duration::from_millis(100));
    a.puback(1);
    watched.advance(Duration::from_millis(100));
    assert_eq!(next(&watched), sweep, "nothing is in flight");
}

// Breaks if: a message that others may not have keeps those that they may have with a slow member.
#[test]
fn what_others_may_not_have_keeps_nothing_else_from_them() {
    let doorman = Doorman::that(|it| {
        it.mind.get_mut().watches = true;
        it.mind.get_mut().unreadable = vec!["carl:jobs/secret"];
    });
    let setup = Setup {
        auth: doorman,
        ..setup(false, timeout)
    };
    let house = setup.build();
    let join = |user: &'static str| {
        let client = house.v5(user).user(user).open();
        client.subscribe(JOBS, QoS::AtLeastOnce);
        client
    };
    let slow = join("bob");
    let writer = house.v5("writer").open();
    writer.publish1(1, "jobs/secret", "1");
    writer.publish1(2, "jobs/open", "2");
    assert_eq!(slow.payloads(), ["1", "2"]);
    let other = join("carl");
    house.seconds(31);
    assert_eq!(other.payloads(), ["2"]);
}

fn limited(options: &mut GroupOptions) {
    timeout(options);
    options.delivery_limit = limit(2);
    options.dead_letter = Some("dead/jobs".into());
}

/// A collector of dead letters.
fn undertaker<'h>(house: &'h House) -> Client<'h> {
    let client = house.v5("undertaker").open();
    client.subscribe("dead/#", QoS::ExactlyOnce);
    client
}

// Breaks if: the limit is off by one, or the dead letter does not say what it was and why it is dead.
#[test]
fn what_is_tried_too_often_becomes_a_dead_letter() {
    let house = house(limited);
    let undertaker = undertaker(&house);
    let writer = house.v5("writer").open();
    let mut properties = UserPropertiesBuf::new();
    properties.push("mine", "stays").expect("a pair");
    let mut job = publish(QoS::AtLeastOnce, 1, "jobs/x", "poison");
    job.properties.user_properties = properties.as_ref();
    job.properties.message_expiry = Some(3600);
    let first = member(&house, "first");
    writer.send(&postbud::codec::Packet::Publish(job));
    let had = first.messages();
    let second = member(&house, "second");
    first.hang_up();
    assert_eq!(second.payloads(), ["poison"]);
    assert_eq!(undertaker.take(), []);
    house.seconds(30);
    let [letter] = &undertaker.messages()[..] else {
        panic!("one dead letter")
    };
    assert_eq!(
        (letter.topic.as_str(), letter.payload.as_str()),
        ("dead/jobs", "poison")
    );
    assert_eq!((letter.qos, letter.expiry), (QoS::AtLeastOnce, None));
    let said: Vec<_> = letter
        .properties
        .iter()
        .map(|(a, b)| (&**a, &**b))
        .collect();
    assert_eq!(
        said,
        [
            ("mine", "stays"),
            ("dead-letter-reason", "delivery-limit"),
            ("dead-letter-topic", "jobs/x"),
            ("dead-letter-attempts", "2"),
            ("dead-letter-share", "crew"),
        ]
    );
    assert_eq!(house.dropped(DropReason::DeliveryLimit), 1);
    second.puback(had[0].id);
    assert_eq!(second.ending(), None);
    let first = house.v5("first").expiry(3600).open();
    house.seconds(300);
    assert_eq!((first.take(), second.take()), (vec![], vec![]));
}

// Breaks if: what is given up is kept for ever when there is no topic for it, or is lost uncounted.
#[test]
fn without_a_topic_for_dead_letters_it_is_dropped_and_counted() {
    let store = Arc::new(Recorder::default());
    let mut setup = setup(true, |options| options.delivery_limit = limit(1));
    setup.store = Arc::clone(&store) as _;
    let house = setup.build();
    let only = member(&house, "only");
    publish_jobs(&house, 1, 1);
    store.take();
    only.hang_up();
    let told = store.take();
    assert_eq!(told.last().map(String::as_str), Some("dropped"), "{told:?}");
    assert_eq!(house.dropped(DropReason::DeliveryLimit), 1);
    assert_eq!(house.gauge(Gauge::Queued), 0);
    assert_eq!(member(&house, "next").take(), []);
}

// Breaks if: the original is given up before its dead letter is kept, so that a crash in between loses
// both.
#[test]
fn a_dead_letter_is_kept_before_the_original_is_given_up() {
    let store = Arc::new(Recorder::default());
    let mut setup = setup(true, limited);
    setup.store = Arc::clone(&store) as _;
    let house = setup.build();
    let away = house.v5("away").expiry(3600).open();
    away.subscribe("dead/jobs", QoS::AtLeastOnce);
    away.hang_up();
    let first = member(&house, "first");
    publish_jobs(&house, 1, 1);
    first.hang_up();
    let second = member(&house, "second");
    assert_eq!(second.payloads(), ["1"]);
    store.take();
    house.seconds(30);
    assert_eq!(
        store.take(),
        [
            "returned 1",
            "message 1 for 1, held 0, retained false",
            "dropped"
        ]
    );
    let away = house.v5("away").expiry(3600).open();
    assert_eq!(away.payloads(), ["1"]);
}

fn refusing(messages: usize) -> Setup {
    setup(true, |options| {
        options.refuses = true;
        options.queue.messages = messages;
    })
}

// Breaks if: a message that is refused reaches anybody, or room that is made is not noticed.
#[test]
fn a_full_group_refuses_and_nobody_has_it() {
    let house = refusing(2).build();
    let other = house.v5("other").open();
    other.subscribe("#", QoS::ExactlyOnce);
    let writer = house.v5("writer").open();
    writer.publish1(1, "jobs/x", "1");
    writer.publish2(2, "jobs/x", "2");
    writer.publish1(3, "jobs/x", "3");
    writer.publish2(4, "jobs/x", "4");
    let acked = writer.take();
    assert_eq!(
        acked,
        [
            Got::Puback(1, ReasonCode::Success),
            Got::Pubrec(2, ReasonCode::Success),
            Got::Puback(3, ReasonCode::QuotaExceeded),
            Got::Pubrec(4, ReasonCode::QuotaExceeded),
        ]
    );
    assert_eq!(other.payloads(), ["1", "2"]);
    writer.publish("jobs/x", "light");
    assert_eq!(other.payloads(), ["light"], "nobody could be told");
    assert_eq!(house.dropped(DropReason::Away), 1);
    let member = member(&house, "member");
    assert_eq!(member.payloads(), ["1", "2"]);
    writer.publish1(5, "jobs/x", "5");
    assert_eq!(writer.take(), [Got::Puback(5, ReasonCode::Success)]);
    assert_eq!(member.payloads(), ["5"]);
    member.set_room(Some(0));
    for _ in 0..3000 {
        writer.publish("jobs/x", &"light".repeat(20));
    }
    assert_eq!(
        house.gauge(Gauge::Queued),
        2,
        "the bound is for them as well"
    );
    assert!(house.dropped(DropReason::QueueFull) > 0);
}

// Breaks if: a 3.x client is told that a message was taken that was not.
#[test]
fn a_3x_publisher_is_closed_and_keeps_its_message() {
    let house = refusing(1).build();
    let writer = house.v311("writer").open();
    writer.publish1(1, "jobs/x", "1");
    assert_eq!(writer.take(), [Got::Puback(1, ReasonCode::Success)]);
    writer.publish1(2, "jobs/x", "2");
    assert_eq!(writer.take(), []);
    let closed = Ending::Closed(ReasonCode::QuotaExceeded);
    assert_eq!(writer.ending(), Some(closed));
}

// Breaks if: a message that is refused is stored, or what has expired still takes room.
#[test]
fn what_is_refused_is_not_stored_and_what_expired_takes_no_room() {
    let store = Arc::new(Recorder::default());
    let mut setup = refusing(1);
    setup.store = Arc::clone(&store) as _;
    let house = setup.build();
    let writer = house.v5("writer").open();
    let mut job = publish(QoS::AtLeastOnce, 1, "jobs/x", "brief");
    job.properties.message_expiry = Some(5);
    writer.send(&postbud::codec::Packet::Publish(job));
    store.take();
    writer.publish1(2, "jobs/x", "refused");
    assert_eq!(store.take(), Vec::<String>::new());
    house.seconds(5);
    writer.publish1(3, "jobs/x", "3");
    let message = "message 3 for 1, held 0, retained false";
    assert_eq!(store.take(), ["dropped", message]);
    let acked = writer.take();
    assert_eq!(
        acked[1..],
        [
            Got::Puback(2, ReasonCode::QuotaExceeded),
            Got::Puback(3, ReasonCode::Success),
        ]
    );
}

// Breaks if: what one member is to have in order is split up, or does not move when its connection ends.
#[test]
fn one_value_goes_to_one_member_in_order() {
    let house = house(|options| options.ordering = Some(OrderingKey::Level(2)));
    let [a, b] = ["a", "b"].map(|id| {
        let client = house.v5(id).expiry(3600).receive_maximum(2).open();
        client.subscribe(JOBS, QoS::AtLeastOnce);
        client
    });
    let writer = house.v5("writer").open();
    for round in 1..=4_u16 {
        for (key, id) in [("p", round), ("q", 10 + round)] {
            writer.publish1(id, &format!("jobs/{key}"), &format!("{key}{round}"));
        }
    }
    let (of_a, of_b) = (a.payloads(), b.payloads());
    assert_eq!(
        (of_a, of_b),
        (
            vec!["p1".into(), "p2".into()],
            vec!["q1".into(), "q2".into()]
        )
    );
    a.hang_up();
    assert_eq!(b.take(), [], "it is full");
    b.puback(1);
    b.puback(2);
    let rest = b.drain();
    let of = |key: &str| -> Vec<_> { rest.iter().filter(|it| it.starts_with(key)).collect() };
    assert_eq!(of("p"), ["p1", "p2", "p3", "p4"]);
    assert_eq!(of("q"), ["q3", "q4"]);
    let a = house.v5("a").expiry(3600).open();
    writer.publish1(30, "jobs/p", "p5");
    assert_eq!(a.take(), [], "it stays where it went");
    assert_eq!(b.drain(), ["p5"]);
}

// Breaks if: with an ordering key something overdue goes elsewhere while its member lives.
#[test]
fn order_goes_before_time() {
    let house = house(|options| {
        timeout(options);
        options.ordering = Some(OrderingKey::Level(2));
    });
    let a = member(&house, "a");
    publish_jobs(&house, 1, 2);
    assert_eq!(a.messages().len(), 2);
    let b = member(&house, "b");
    house.seconds(300);
    assert_eq!(b.take(), []);
    a.hang_up();
    assert_eq!(b.drain(), numbers(1, 2));
}

// Breaks if: another group than the one that is named behaves like it.
#[test]
fn groups_that_are_not_named_are_as_before() {
    let house = house(timeout);
    let slow = house.v5("slow").open();
    slow.subscribe("$share/other/jobs/#", QoS::AtLeastOnce);
    publish_jobs(&house, 1, 1);
    assert_eq!(slow.messages().len(), 1);
    let other = house.v5("other").open();
    other.subscribe("$share/other/jobs/#", QoS::AtLeastOnce);
    house.seconds(300);
    assert_eq!(other.take(), []);
}

// Breaks if: a member that is silent, or whose client starts anew, takes along what it had.
#[test]
fn whoever_goes_gives_back_at_once() {
    let house = house(|_| {});
    let silent = house.v5("silent").expiry(3600).keep_alive(10).open();
    silent.subscribe(JOBS, QoS::AtLeastOnce);
    publish_jobs(&house, 1, 2);
    assert_eq!(silent.messages().len(), 2);
    let anew = member(&house, "anew");
    assert_eq!(anew.take(), []);
    house.seconds(15);
    assert_eq!(anew.payloads(), numbers(1, 2));
    let stayer = member(&house, "stayer");
    house.v5("anew").clean().open();
    assert_eq!(
        stayer.payloads(),
        numbers(1, 2),
        "a clean start ends the session"
    );
    house.seconds(3600);
    let last = member(&house, "last");
    stayer.disconnect_with(ReasonCode::Success, Some(0));
    assert_eq!(last.drain(), numbers(1, 2), "a session that ends");
    assert_eq!(house.dropped(DropReason::Ended), 0);
}

// Breaks if: what a declared group has collected is lost or doubled by a restart, or the group ends with
// it.
#[test]
fn a_declared_group_survives_a_restart_without_members() {
    for ordering in [None, Some(OrderingKey::Level(2))] {
        let options = |options: &mut postbud::broker::options::Options| {
            options.pubsub.groups = vec![crew(true, |group| group.ordering = ordering.clone())];
        };
        let home = Home::that(options);
        publish_jobs(&home.house, 1, 3);
        let home = home.killed_with(10, options);
        assert_eq!(home.house.gauge(Gauge::Groups), 1);
        publish_jobs(&home.house, 4, 5);
        let first = member(&home.house, "first");
        assert_eq!(first.drain(), numbers(1, 5));
        first.unsubscribe(JOBS);
        let home = home.killed_with(10, options);
        assert_eq!(home.house.gauge(Gauge::Groups), 1);
        assert_eq!(member(&home.house, "second").take(), []);
    }
}

// Breaks if: a group that is declared no more stays without members.
#[test]
fn a_group_that_is_declared_no_more_ends_with_the_restart() {
    let declared = |options: &mut postbud::broker::options::Options| {
        options.pubsub.groups = vec![crew(true, |_| {})];
    };
    let home = Home::that(declared);
    publish_jobs(&home.house, 1, 3);
    let home = home.killed();
    assert_eq!(home.house.gauge(Gauge::Groups), 0);
    let home = home.killed_with(0, declared);
    assert_eq!(member(&home.house, "late").take(), []);
}

// Breaks if: after a crash both members have what one was given in place of the other, or neither has.
#[test]
fn what_was_handed_on_is_with_one_member_after_a_restart() {
    let watched = |options: &mut postbud::broker::options::Options| {
        options.pubsub.groups = vec![crew(true, timeout)];
    };
    for acknowledged in [false, true] {
        let home = Home::that(watched);
        let slow = member(&home.house, "slow");
        publish_jobs(&home.house, 1, 1);
        assert_eq!(slow.messages().len(), 1);
        let other = member(&home.house, "other");
        home.house.seconds(30);
        let had = other.messages();
        assert_eq!(had.len(), 1);
        if acknowledged {
            other.puback(had[0].id);
        }
        let home = home.killed_with(10, watched);
        let slow = home.house.v5("slow").expiry(3600).open();
        let expected = numbers(1, usize::from(!acknowledged));
        assert_eq!(slow.payloads(), expected, "it was the group's again");
    }
}
