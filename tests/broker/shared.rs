//! Shared subscriptions as work queues: who gets a message, and what happens when nobody can.

use postbud::broker::Gauge;
use postbud::codec::{Packet, QoS, ReasonCode, SubscriptionOptions, Version};
use postbud::pubsub::options::Strategy;
use postbud::queue::DropReason;
use postbud::queue::options::Overflow;

use crate::client::{Client, ack, numbers, publish};
use crate::house::House;

const JOBS: &str = "$share/crew/jobs";

/// A member of the crew with a session that lasts.
fn member<'h>(house: &'h House, id: &'h str, receive_maximum: u16) -> Client<'h> {
    let client = house
        .v5(id)
        .expiry(3600)
        .receive_maximum(receive_maximum)
        .open();
    client.subscribe(JOBS, QoS::ExactlyOnce);
    client
}

fn publish_jobs(writer: Client<'_>, first: u16, last: u16) {
    for id in first..=last {
        writer.publish1(id, "jobs", &id.to_string());
    }
}

// [MQTT5-4.8.2-1]
#[test]
fn one_member_gets_each_message_and_each_member_its_share() {
    let house = House::new();
    let members = ["a", "b", "c"].map(|id| member(&house, id, 100));
    let writer = house.v5("writer").open();
    publish_jobs(writer, 1, 30);
    let shares = members.map(|member| member.payloads());
    assert!(shares.iter().all(|share| share.len() == 10), "{shares:?}");
    let mut all = shares.concat();
    all.sort_by_key(|payload| payload.parse::<usize>().expect("a number"));
    assert_eq!(all, numbers(1, 30));
}

#[test]
fn members_of_every_version_share() {
    let house = House::new();
    let members = [Version::V31, Version::V311, Version::V5].map(|version| {
        let id = ["old", "usual", "new"][version as usize];
        let client = house.hello(version, id).open();
        client.subscribe(JOBS, QoS::AtLeastOnce);
        client
    });
    publish_jobs(house.v5("writer").open(), 1, 6);
    assert!(members.iter().all(|member| member.payloads().len() == 2));
}

#[test]
fn groups_with_other_names_or_filters_and_plain_subscribers_get_their_own() {
    let house = House::new();
    let filters = [
        "$share/crew/jobs",
        "$share/others/jobs",
        "$share/crew/+",
        "$share/crew/jobs/#",
        "jobs",
    ];
    let clients: Vec<_> = ["a", "b", "c", "d", "e"]
        .iter()
        .zip(filters)
        .map(|(id, filter)| {
            let client = house.v5(id).open();
            client.subscribe(filter, QoS::AtMostOnce);
            client
        })
        .collect();
    assert_eq!(house.gauge(Gauge::Groups), 4);
    house.v5("writer").open().publish("jobs", "x");
    for (client, filter) in clients.iter().zip(filters) {
        assert_eq!(client.payloads(), ["x"], "{filter}");
    }
    let both = house.v5("both").open();
    both.subscribe("$share/alone/jobs", QoS::AtMostOnce);
    both.subscribe("jobs", QoS::AtMostOnce);
    house.v5("writer").open().publish("jobs", "y");
    assert_eq!(both.payloads(), ["y", "y"], "a group's and a client's own");
}

#[test]
fn a_member_at_its_receive_maximum_is_passed_over() {
    let house = House::new();
    let [slow, fast] = [("slow", 2), ("fast", 100)].map(|(id, max)| member(&house, id, max));
    let writer = house.v5("writer").open();
    publish_jobs(writer, 1, 20);
    assert_eq!(slow.payloads().len(), 2);
    assert_eq!(fast.payloads().len(), 18);
}

#[test]
fn what_nobody_can_take_waits_for_whoever_can_first() {
    let house = House::new();
    let [a, b] = ["a", "b"].map(|id| member(&house, id, 1));
    let writer = house.v5("writer").open();
    publish_jobs(writer, 1, 5);
    let (first, second) = (a.messages(), b.messages());
    assert_eq!((first.len(), second.len()), (1, 1));
    b.puback(second[0].id);
    assert_eq!(b.payloads(), ["3"]);
    assert_eq!(a.take(), []);
    a.puback(first[0].id);
    assert_eq!(a.payloads(), ["4"]);
    assert_eq!(house.dropped(DropReason::QueueFull), 0);
}

#[test]
fn qos_0_does_not_wait_for_a_quota() {
    let house = House::new();
    let [a, b] = ["a", "b"].map(|id| member(&house, id, 1));
    let writer = house.v5("writer").open();
    publish_jobs(writer, 1, 2);
    a.take();
    b.take();
    writer.publish("jobs", "light");
    assert_eq!([a.payloads(), b.payloads()].concat(), ["light"]);
}

#[test]
fn a_member_that_does_not_read_is_passed_over_and_gets_its_share_when_it_does() {
    let house = House::with_options(|options| options.session.unsent_maximum = 200);
    let [stuck, well] = ["stuck", "well"].map(|id| member(&house, id, 1000));
    let writer = house.v5("writer").open();
    stuck.set_room(Some(0));
    publish_jobs(writer, 1, 100);
    let taken = well.payloads().len();
    assert!(taken > 80, "{taken} of 100");
    stuck.set_room(None);
    assert_eq!(stuck.payloads().len(), 100 - taken);
    publish_jobs(writer, 101, 110);
    assert_eq!((stuck.payloads().len(), well.payloads().len()), (5, 5));
}

#[test]
fn when_all_members_are_blocked_nothing_is_stuck_after_they_read_again() {
    for direct in [true, false] {
        let house = House::with_options(|options| options.session.unsent_maximum = 100);
        let hello = |id| {
            let hello = house.v5(id).expiry(60);
            if direct { hello } else { hello.indirect() }
        };
        let members = ["a", "b"].map(|id| hello(id).open());
        for member in members {
            member.subscribe(JOBS, QoS::AtMostOnce);
            member.set_room(Some(0));
        }
        let writer = house.v5("writer").open();
        for number in 1..=200 {
            writer.publish("jobs", &number.to_string());
        }
        members[0].set_room(Some(50));
        members[0].set_room(None);
        let first = members[0].payloads();
        members[1].set_room(None);
        let second = members[1].payloads();
        assert!(second.len() < 20, "what waited went to who could take it");
        let mut all: Vec<usize> = [first, second]
            .concat()
            .iter()
            .map(|payload| payload.parse().expect("a number"))
            .collect();
        all.sort_unstable();
        assert_eq!(all, (1..=200).collect::<Vec<_>>());
    }
}

// Between the moment when a member can take messages again and the moment when it draws them.
#[test]
fn a_new_message_does_not_overtake_the_backlog() {
    let house = House::with_options(|options| options.session.unsent_maximum = 40);
    let reader = house.v5("reader").open();
    reader.subscribe(JOBS, QoS::AtMostOnce);
    reader.set_room(Some(0));
    let writer = house.v5("writer").open();
    for number in 1..=9 {
        writer.publish("jobs", &number.to_string());
    }
    reader.set_room_unseen(None);
    reader.step();
    writer.feed(&Packet::Publish(publish(QoS::AtMostOnce, 0, "jobs", "10")));
    writer.step();
    house.run();
    assert_eq!(reader.payloads(), numbers(1, 10));
}

// [MQTT5-4.8.2-3]
#[test]
fn each_member_gets_messages_at_the_qos_that_it_was_granted() {
    let house = House::new();
    let members = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce].map(|qos| {
        let client = house.v5(["q0", "q1", "q2"][qos as usize]).open();
        client.subscribe_with(JOBS, SubscriptionOptions::v3(qos), Some(10 + qos as u32));
        (client, qos)
    });
    let writer = house.v5("writer").open();
    for id in 1..=9 {
        writer.publish2(id, "jobs", "x");
    }
    for (member, qos) in members {
        let messages = member.messages();
        assert_eq!(messages.len(), 3);
        for message in messages {
            assert_eq!(
                (message.qos, &message.subscriptions[..]),
                (qos, &[10 + qos as u32][..])
            );
        }
    }
}

// [MQTT5-3.3.1-13] [MQTT5-3.3.1-12]
#[test]
fn there_are_no_retained_messages_for_a_new_member() {
    let house = House::new();
    let writer = house.v5("writer").open();
    writer.retain("jobs", "retained");
    let options = SubscriptionOptions {
        retain_as_published: true,
        ..Default::default()
    };
    let client = house.v5("c").open();
    client.subscribe_with(JOBS, options, None);
    assert_eq!(client.take(), []);
    writer.retain("jobs", "live");
    let messages = client.messages();
    assert_eq!((messages.len(), messages[0].retain), (1, true));
}

// [MQTT5-3.8.3-4]
#[test]
fn no_local_on_a_shared_subscription_breaks_the_protocol() {
    let house = House::new();
    let client = house.v5("c").open();
    let mut bytes = vec![0x82, 0, 0, 1, 0, 0, 16];
    bytes.extend_from_slice(JOBS.as_bytes());
    bytes.push(0b0000_0100);
    bytes[1] = u8::try_from(bytes.len() - 2).expect("short");
    client.send_bytes(&bytes);
    client.assert_closed(ReasonCode::ProtocolError);
}

#[test]
fn strategies_choose_as_they_say() {
    let share_of_ten = |strategy| {
        let house = House::with_options(|options| options.pubsub.strategy = strategy);
        let members = ["a", "b"].map(|id| member(&house, id, 100));
        // One job for each to begin with; the first is done with its own.
        let writer = house.v5("writer").open();
        publish_jobs(writer, 1, 2);
        let first = members.map(|member| member.messages());
        for message in &first[0] {
            members[0].puback(message.id);
        }
        publish_jobs(writer, 3, 12);
        members.map(|member| member.payloads().len())
    };
    assert_eq!(share_of_ten(Strategy::RoundRobin), [5, 5]);
    assert_eq!(share_of_ten(Strategy::Sticky), [10, 0]);
    // The second member begins with one more in flight.
    let [a, b] = share_of_ten(Strategy::LeastInflight);
    assert_eq!((a + b, a.abs_diff(b) <= 2), (10, true));
    let [a, b] = share_of_ten(Strategy::Random);
    assert_eq!(a + b, 10);
}

#[test]
fn random_members_all_get_something() {
    let house = House::with_options(|options| options.pubsub.strategy = Strategy::Random);
    let members = ["a", "b", "c"].map(|id| member(&house, id, 1000));
    let writer = house.v5("writer").open();
    publish_jobs(writer, 1, 300);
    let shares = members.map(|member| member.payloads().len());
    assert_eq!(shares.iter().sum::<usize>(), 300);
    assert!(
        shares.iter().all(|share| (50..150).contains(share)),
        "{shares:?}"
    );
}

#[test]
fn a_sticky_member_that_can_take_no_more_hands_over() {
    let house = House::with_options(|options| options.pubsub.strategy = Strategy::Sticky);
    let [a, b] = [("a", 3), ("b", 100)].map(|(id, max)| member(&house, id, max));
    publish_jobs(house.v5("writer").open(), 1, 10);
    assert_eq!(a.payloads(), numbers(1, 3));
    assert_eq!(b.payloads(), numbers(4, 10));
}

#[test]
fn the_backlog_is_bounded_and_what_is_dropped_is_counted() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let house = House::with_options(|options| {
            options.pubsub.group_queue.messages = 3;
            options.pubsub.group_queue.overflow = overflow;
        });
        member(&house, "a", 10).hang_up();
        publish_jobs(house.v5("writer").open(), 1, 10);
        assert_eq!(house.dropped(DropReason::QueueFull), 7);
        let back = house.v5("a").expiry(60).open();
        let kept = match overflow {
            Overflow::DropNewest => numbers(1, 3),
            Overflow::DropOldest => numbers(8, 10),
        };
        assert_eq!(back.drain(), kept);
    }
}

#[test]
fn a_message_that_expires_in_the_backlog_is_dropped_and_counted() {
    let house = House::new();
    member(&house, "a", 10).hang_up();
    let writer = house.v5("writer").open();
    let mut brief = publish(QoS::AtLeastOnce, 1, "jobs", "brief");
    brief.properties.message_expiry = Some(10);
    writer.send(&Packet::Publish(brief));
    publish_jobs(writer, 2, 2);
    house.seconds(10);
    assert_eq!(house.v5("a").expiry(60).open().drain(), ["2"]);
    assert_eq!(house.dropped(DropReason::Expired), 1);
}

// [MQTT5-4.8.2-6]
#[test]
fn an_error_acknowledgement_is_final() {
    let house = House::new();
    let [a, b] = ["a", "b"].map(|id| member(&house, id, 10));
    let writer = house.v5("writer").open();
    publish_jobs(writer, 1, 1);
    writer.publish2(2, "jobs", "2");
    let refused = [a.messages(), b.messages()];
    let error = ReasonCode::UnspecifiedError;
    a.send(&Packet::Puback(ack(refused[0][0].id, error)));
    b.send(&Packet::Pubrec(ack(refused[1][0].id, error)));
    for client in [a, b] {
        client.hang_up();
    }
    for id in ["a", "b"] {
        assert_eq!(house.v5(id).expiry(60).open().take(), []);
    }
}
