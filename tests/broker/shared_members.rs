//! Shared subscriptions while members come and go: nothing is lost, nothing is stuck.

use postbud::broker::Gauge;
use postbud::codec::{QoS, ReasonCode};
use postbud::queue::DropReason;

use crate::client::{Client, numbers};
use crate::house::House;
use crate::received::Got;

const JOBS: &str = "$share/crew/jobs";

/// A member with a session that lasts; subscribes unless it has.
fn member<'h>(house: &'h House, id: &'h str) -> Client<'h> {
    let (client, present) = house.v5(id).expiry(3600).open_present();
    if !present {
        client.subscribe(JOBS, QoS::ExactlyOnce);
    }
    client
}

/// A member whose session ends with its connection.
fn passing<'h>(house: &'h House, id: &'h str) -> Client<'h> {
    let client = house.v5(id).open();
    client.subscribe(JOBS, QoS::ExactlyOnce);
    client
}

fn publish_jobs(house: &House, first: u16, last: u16) {
    let writer = house.v5("writer").open();
    for id in first..=last {
        writer.publish1(id, "jobs", &id.to_string());
    }
}

fn sorted(mut payloads: Vec<String>) -> Vec<usize> {
    payloads.sort_by_key(|payload| payload.parse::<usize>().expect("a number"));
    payloads
        .iter()
        .map(|payload| payload.parse().expect("a number"))
        .collect()
}

#[test]
fn what_a_member_had_not_acknowledged_goes_to_another_at_once_as_a_first_delivery() {
    for join in [member, passing] {
        for gracefully in [true, false] {
            let house = House::new();
            let leaver = join(&house, "leaver");
            publish_jobs(&house, 1, 5);
            let had = leaver.messages();
            assert_eq!(had.len(), 5);
            leaver.puback(had[1].id);
            let stayer = member(&house, "stayer");
            assert_eq!(stayer.take(), []);
            if gracefully {
                leaver.disconnect();
            } else {
                leaver.hang_up();
            }
            let messages = stayer.messages();
            let payloads: Vec<_> = messages.iter().map(|m| m.payload.as_str()).collect();
            assert_eq!(payloads, ["1", "3", "4", "5"], "in their order");
            assert!(
                messages.iter().all(|message| !message.dup),
                "first deliveries here"
            );
            assert_eq!(join(&house, "leaver").take(), [], "not to both");
        }
    }
}

#[test]
fn what_was_written_but_not_read_goes_to_another_too() {
    let house = House::new();
    let stuck = member(&house, "stuck");
    stuck.set_room(Some(0));
    publish_jobs(&house, 1, 3);
    let other = member(&house, "other");
    stuck.hang_up();
    assert_eq!(other.drain(), numbers(1, 3));
}

#[test]
fn a_takeover_hands_over_to_others_like_any_end_of_a_connection() {
    let house = House::new();
    let old = member(&house, "taken");
    publish_jobs(&house, 1, 3);
    assert_eq!(old.payloads(), numbers(1, 3));
    let other = member(&house, "other");
    let new = member(&house, "taken");
    old.assert_closed(ReasonCode::SessionTakenOver);
    assert_eq!(other.payloads(), numbers(1, 3));
    assert_eq!(new.take(), []);
}

#[test]
fn the_only_member_finds_what_it_left_when_it_is_taken_over() {
    let house = House::new();
    let old = member(&house, "alone");
    publish_jobs(&house, 1, 3);
    assert_eq!(old.payloads(), numbers(1, 3));
    let new = member(&house, "alone");
    assert_eq!(new.drain(), numbers(1, 3));
}

// [MQTT5-4.8.2-4]
#[test]
fn a_qos_2_message_that_was_begun_stays_with_its_member_and_is_finished_there() {
    let house = House::new();
    let begun = member(&house, "begun");
    let writer = house.v5("writer").open();
    writer.publish2(1, "jobs", "sent");
    writer.publish2(2, "jobs", "received");
    let messages = begun.messages();
    begun.pubrec(messages[1].id);
    assert_eq!(begun.take().len(), 1, "PUBREL");
    let other = member(&house, "other");
    begun.hang_up();
    assert_eq!(other.take(), []);
    let begun = member(&house, "begun");
    let again = begun.take();
    let Got::Publish(message) = &again[0] else {
        panic!("{again:?}")
    };
    assert_eq!((message.id, message.dup), (messages[0].id, true));
    assert_eq!(again[1], Got::Pubrel(messages[1].id, ReasonCode::Success));
    begun.pubrec(message.id);
    begun.pubcomp(message.id);
    begun.pubcomp(messages[1].id);
    assert_eq!(other.take(), []);
}

// [MQTT5-4.8.2-5]
#[test]
fn a_qos_2_message_that_was_begun_ends_with_its_session_and_nothing_else_does() {
    let house = House::new();
    let ending = passing(&house, "ending");
    house.v5("writer").open().publish2(9, "jobs", "begun");
    publish_jobs(&house, 1, 3);
    assert_eq!(ending.messages().len(), 4);
    let other = member(&house, "other");
    ending.hang_up();
    assert_eq!(other.drain(), numbers(1, 3));
    assert_eq!(house.dropped(DropReason::Ended), 1);
}

#[test]
fn messages_wait_in_order_while_the_last_persistent_member_is_away() {
    let house = House::new();
    member(&house, "a").disconnect();
    publish_jobs(&house, 1, 50);
    let a = house.v5("a").expiry(3600).receive_maximum(7).open();
    assert_eq!(a.drain(), numbers(1, 50));
}

#[test]
fn what_was_in_flight_comes_before_what_waited() {
    let house = House::new();
    let a = member(&house, "a");
    publish_jobs(&house, 1, 3);
    assert_eq!(a.payloads(), numbers(1, 3));
    a.hang_up();
    publish_jobs(&house, 4, 6);
    assert_eq!(member(&house, "a").drain(), numbers(1, 6));
}

#[test]
fn the_backlog_belongs_to_the_group_and_a_new_member_shares_it() {
    let house = House::new();
    member(&house, "away").disconnect();
    publish_jobs(&house, 1, 10);
    let new = house.v5("new").expiry(60).receive_maximum(4).open();
    new.subscribe(JOBS, QoS::AtLeastOnce);
    assert_eq!(new.messages().len(), 4);
    let away = member(&house, "away");
    assert_eq!(sorted(away.drain()), (5..=10).collect::<Vec<_>>());
}

#[test]
fn the_backlog_survives_the_member_that_it_waited_with() {
    let house = House::new();
    let expiring = house.v5("expiring").expiry(10).open();
    expiring.subscribe(JOBS, QoS::AtLeastOnce);
    member(&house, "lasting").disconnect();
    expiring.disconnect();
    publish_jobs(&house, 1, 5);
    house.seconds(10);
    assert_eq!(house.gauge(Gauge::Groups), 1);
    assert_eq!(member(&house, "lasting").drain(), numbers(1, 5));
}

#[test]
fn a_group_ends_with_its_last_member() {
    let house = House::new();
    let a = member(&house, "a");
    let b = house.v5("b").expiry(10).open();
    b.subscribe(JOBS, QoS::AtLeastOnce);
    a.unsubscribe(JOBS);
    assert_eq!(house.gauge(Gauge::Groups), 1);
    b.hang_up();
    publish_jobs(&house, 1, 5);
    house.seconds(10);
    assert_eq!(house.gauge(Gauge::Groups), 0);
    assert_eq!(house.dropped(DropReason::Ended), 5);
    a.subscribe(JOBS, QoS::AtLeastOnce);
    assert_eq!(a.take(), [], "another group of the same name");
    publish_jobs(&house, 6, 7);
    assert_eq!(a.drain(), numbers(6, 7));
}

#[test]
fn qos_0_is_dropped_and_counted_when_nobody_is_there() {
    let house = House::new();
    member(&house, "a").disconnect();
    house.v5("writer").open().publish("jobs", "light");
    assert_eq!(house.dropped(DropReason::Away), 1);
    assert_eq!(member(&house, "a").take(), []);
}

#[test]
fn qos_0_waits_for_members_that_are_away_if_so_configured() {
    let house = House::with_options(|options| options.session.queue_qos0_offline = true);
    member(&house, "a").disconnect();
    house.v5("writer").open().publish("jobs", "light");
    assert_eq!(member(&house, "a").payloads(), ["light"]);
}

#[test]
fn a_member_that_unsubscribes_finishes_what_was_begun() {
    let house = House::new();
    let [leaver, stayer] = ["leaver", "stayer"].map(|id| member(&house, id));
    publish_jobs(&house, 1, 4);
    let had = leaver.messages();
    assert_eq!((had.len(), stayer.drain().len()), (2, 2));
    leaver.unsubscribe(JOBS);
    publish_jobs(&house, 5, 6);
    assert_eq!(
        stayer.drain(),
        numbers(5, 6),
        "new messages go to who is left"
    );
    assert_eq!(leaver.take(), []);
    leaver.hang_up();
    assert_eq!(
        stayer.take(),
        [],
        "what was begun is not the group's any more"
    );
    let leaver = house.v5("leaver").expiry(3600).open();
    let again = leaver.messages();
    assert!(again.iter().all(|message| message.dup));
    assert_eq!(again.len(), 2);
}

#[test]
fn the_last_member_may_unsubscribe_with_messages_in_flight() {
    let house = House::new();
    let alone = member(&house, "alone");
    publish_jobs(&house, 1, 2);
    let had = alone.messages();
    alone.unsubscribe(JOBS);
    assert_eq!(house.gauge(Gauge::Groups), 0);
    for message in had {
        alone.puback(message.id);
    }
    assert_eq!(alone.ending(), None);
    alone.hang_up();
    assert_eq!(member(&house, "alone").take(), []);
}

#[test]
fn subscribing_again_changes_what_was_granted_and_draws_nothing_twice() {
    let house = House::new();
    let a = member(&house, "a");
    publish_jobs(&house, 1, 2);
    assert_eq!(a.messages().len(), 2);
    a.subscribe(JOBS, QoS::AtMostOnce);
    assert_eq!(a.take(), []);
    publish_jobs(&house, 3, 3);
    assert_eq!(a.messages()[0].qos, QoS::AtMostOnce);
    assert_eq!(house.gauge(Gauge::Subscriptions), 1);
}

#[test]
fn a_member_of_several_groups_gives_back_to_each_its_own() {
    let house = House::new();
    let both = member(&house, "both");
    both.subscribe("$share/other/jobs", QoS::AtLeastOnce);
    publish_jobs(&house, 1, 2);
    assert_eq!(both.messages().len(), 4);
    let crew = member(&house, "crew");
    let other = house.v5("other").open();
    other.subscribe("$share/other/jobs", QoS::AtLeastOnce);
    both.hang_up();
    assert_eq!(crew.drain(), numbers(1, 2));
    assert_eq!(other.drain(), numbers(1, 2));
}

#[test]
fn a_member_passes_its_own_messages_over_not_those_of_the_group() {
    let house = House::new();
    let mixed = member(&house, "mixed");
    mixed.subscribe("own", QoS::AtLeastOnce);
    let writer = house.v5("w").open();
    writer.publish1(1, "own", "own 1");
    writer.publish1(2, "jobs", "1");
    writer.publish1(3, "own", "own 2");
    assert_eq!(mixed.messages().len(), 3);
    let other = member(&house, "other");
    mixed.hang_up();
    assert_eq!(other.drain(), ["1"]);
    assert_eq!(member(&house, "mixed").drain(), ["own 1", "own 2"]);
}
