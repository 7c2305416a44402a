//! Who is sent what: deliveries that are asked about, and permissions that are withdrawn.

use std::sync::Arc;
use std::time::Duration;

use postbud::broker::Gauge;
use postbud::codec::{Packet, QoS, ReasonCode, SubscriptionOptions, Version};
use postbud::queue::DropReason;

use crate::client::{numbers, publish};
use crate::engines::{Doorman, Mind, RIDDLE};
use crate::house::House;
use crate::received::Got;
use crate::restart::Home;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const NO: ReasonCode = ReasonCode::NotAuthorized;
const OK: ReasonCode = ReasonCode::Success;

/// One that looks at deliveries.
fn watching(change: impl FnOnce(&mut Mind)) -> (Arc<Doorman>, House) {
    let doorman = Doorman::that(|it| {
        it.mind.get_mut().watches = true;
        change(it.mind.get_mut());
    });
    let house = House::with_auth(doorman.clone());
    (doorman, house)
}

fn watched_questions(doorman: &Doorman) -> usize {
    doorman.mind.lock().questions[1]
}

// Breaks if: who may not have a message gets it for a wildcard, or nobody counts that it was kept back.
#[test]
fn who_may_not_have_a_message_is_left_out() {
    for version in VERSIONS {
        let (doorman, house) = watching(|mind| mind.unreadable = vec!["bob:secret"]);
        let ann = house.hello(version, "a").user("ann").open();
        let bob = house.hello(version, "b").user("bob").open();
        for client in [ann, bob] {
            client.subscribe("#", QoS::AtLeastOnce);
        }
        let writer = house.v5("writer").open();
        for number in 0..10 {
            writer.publish("secret/x", "s");
            writer.publish1(1, "open", &number.to_string());
            assert_eq!(writer.take(), [Got::Puback(1, OK)]);
        }
        assert_eq!(ann.messages().len(), 20, "{version}");
        assert!(
            bob.messages().iter().all(|it| it.topic == "open"),
            "{version}"
        );
        assert_eq!(house.dropped(DropReason::NotPermitted), 10);
        assert_eq!(watched_questions(&doorman), 4, "two topics, two readers");
    }
}

// Breaks if: a remembered route outlives a change of permissions.
#[test]
fn routes_follow_permissions() {
    let (doorman, house) = watching(|_| {});
    let reader = house.v5("reader").user("ann").open();
    reader.subscribe("t", QoS::AtMostOnce);
    let writer = house.v5("writer").open();
    writer.publish("t", "1");
    doorman.now(|mind| mind.unreadable = vec!["ann:t"]);
    house.broker.permissions_changed();
    house.run();
    writer.publish("t", "2");
    doorman.now(|mind| mind.unreadable.clear());
    house.broker.permissions_changed();
    house.run();
    writer.publish("t", "3");
    assert_eq!(reader.payloads(), ["1", "3"]);
}

// Breaks if: deliveries that nobody looked at go on unseen once somebody does.
#[test]
fn whether_deliveries_are_watched_may_change() {
    let (doorman, house) = watching(|mind| {
        mind.watches = false;
        mind.unreadable = vec!["t"];
    });
    let reader = house.v5("reader").open();
    reader.subscribe("#", QoS::AtMostOnce);
    let writer = house.v5("writer").open();
    writer.publish("t", "1");
    assert_eq!(watched_questions(&doorman), 0);
    doorman.now(|mind| mind.watches = true);
    house.broker.permissions_changed();
    house.run();
    writer.publish("t", "2");
    writer.publish("u", "3");
    assert_eq!(reader.payloads(), ["1", "3"]);
}

// Breaks if: what may be remembered for a while is remembered for ever.
#[test]
fn a_route_is_asked_about_again_in_time() {
    let (doorman, house) = watching(|mind| mind.remembered_for = Some(Duration::from_secs(5)));
    let reader = house.v5("reader").open();
    reader.subscribe("#", QoS::AtMostOnce);
    let writer = house.v5("writer").open();
    writer.publish("t", "1");
    doorman.now(|mind| mind.unreadable = vec!["t"]);
    house.seconds(4);
    writer.publish("t", "2");
    house.seconds(1);
    writer.publish("t", "3");
    assert_eq!(reader.payloads(), ["1", "2"]);
}

#[test]
fn retained_messages_are_withheld_too() {
    for version in VERSIONS {
        let (_, house) = watching(|mind| mind.unreadable = vec!["bob:secret"]);
        let writer = house.v5("writer").open();
        for topic in ["a", "secret/1", "secret/2", "z"] {
            writer.retain(topic, "x");
        }
        let bob = house.hello(version, "b").user("bob").open();
        bob.subscribe("#", QoS::AtMostOnce);
        let topics: Vec<_> = bob.messages().into_iter().map(|it| it.topic).collect();
        assert_eq!(topics, ["a", "z"], "{version}");
        let ann = house.hello(version, "a").user("ann").open();
        ann.subscribe("#", QoS::AtMostOnce);
        assert_eq!(ann.messages().len(), 4);
    }
}

// Breaks if: a member that may not have a message is given it, or a message that nobody may have keeps the
// others waiting.
#[test]
fn a_group_passes_over_members_that_may_not_have_a_message() {
    let (_, house) = watching(|mind| mind.unreadable = vec!["bob:secret", "carl:secret"]);
    let bob = house.v5("b").user("bob").open();
    bob.subscribe("$share/g/#", QoS::AtLeastOnce);
    let writer = house.v5("writer").open();
    writer.publish1(1, "secret/1", "1");
    writer.publish1(2, "open", "2");
    assert_eq!(bob.payloads(), ["2"], "nobody may have the first");
    assert_eq!(house.dropped(DropReason::NotPermitted), 1);
    let ann = house.v5("a").user("ann").expiry(60).open();
    ann.subscribe("$share/g/#", QoS::AtLeastOnce);
    for number in 3..9 {
        writer.publish1(number, "secret/1", &number.to_string());
    }
    assert_eq!((bob.take(), ann.drain()), (vec![], numbers(3, 8)));
    // It waits for her who may have it, here or away.
    ann.hang_up();
    writer.publish1(9, "secret/1", "9");
    assert_eq!(house.gauge(Gauge::Queued), 1);
    let ann = house.v5("a").user("ann").expiry(60).open();
    assert_eq!((ann.drain(), bob.take()), (numbers(9, 9), vec![]));
    assert_eq!(house.dropped(DropReason::NotPermitted), 1);
}

// Breaks if: who is away is forgotten, or judged as somebody else.
#[test]
fn who_is_away_is_judged_by_who_it_is() {
    let (doorman, house) = watching(|mind| mind.unreadable = vec!["bob:secret"]);
    let open = |user: &'static str| house.v5(user).user(user).expiry(3600).open();
    for user in ["ann", "bob"] {
        let client = open(user);
        client.subscribe("#", QoS::AtLeastOnce);
        client.hang_up();
    }
    let writer = house.v5("writer").open();
    writer.publish1(1, "secret", "1");
    writer.publish1(2, "t", "2");
    assert_eq!(open("bob").drain(), ["2"]);
    // What waits is looked at again.
    doorman.now(|mind| mind.unreadable = vec!["ann:secret"]);
    house.broker.permissions_changed();
    assert_eq!(open("ann").drain(), ["2"]);
}

/// A reader of all that is below "a" and "b", away or not taking anything, for which five messages wait on
/// each.
fn queued<'a>(house: &'a House, version: Version, away: bool) -> crate::client::Client<'a> {
    let reader = house
        .hello(version, "reader")
        .expiry(3600)
        .user("ann")
        .open();
    reader.subscribe("a/#", QoS::AtLeastOnce);
    reader.subscribe("b/#", QoS::AtLeastOnce);
    reader.set_room(Some(0));
    let writer = house.v5("writer").open();
    // Enough to be over what the wire takes.
    writer.publish("b/filler", &"x".repeat(200_000));
    if away {
        reader.hang_up();
    }
    for number in 0..5 {
        writer.publish1(1, "a/x", &format!("a{number}"));
        writer.publish1(2, "b/x", &format!("b{number}"));
    }
    reader
}

// Breaks if: what waits because of a subscription is sent although that is not allowed any more.
#[test]
fn what_waits_for_a_withdrawn_subscription_is_not_sent() {
    for version in VERSIONS {
        for away in [false, true] {
            let doorman = Doorman::that(|_| {});
            let house = House::with_auth(doorman.clone());
            let mut reader = queued(&house, version, away);
            doorman.now(|mind| mind.forbidden = vec!["a"]);
            house.broker.permissions_changed();
            house.run();
            if away {
                reader = house
                    .hello(version, "reader")
                    .expiry(3600)
                    .user("ann")
                    .open();
            }
            reader.set_room(None);
            let mut got = reader.drain();
            got.retain(|payload| payload.len() == 2);
            assert_eq!(got, ["b0", "b1", "b2", "b3", "b4"], "{version} {away}");
            assert_eq!(house.dropped(DropReason::NotPermitted), 5);
            assert_eq!(house.gauge(Gauge::Subscriptions), 1);
            assert_eq!(house.snapshot().subscriptions_withdrawn, 1);
            // The connection goes on, and so does the other subscription.
            let writer = house.v5("writer").open();
            writer.publish("a/x", "no");
            writer.publish("b/x", "yes");
            assert_eq!(reader.payloads(), ["yes"], "{version} {away}");
        }
    }
}

// Breaks if: a permission comes back and the subscription with it, or what was withdrawn is back after the
// broker was killed.
#[test]
fn a_withdrawn_subscription_is_gone_for_good() {
    let doorman = Doorman::that(|_| {});
    let home = Home::guarded(doorman.clone());
    queued(&home.house, Version::V5, false);
    doorman.now(|mind| mind.forbidden = vec!["a"]);
    home.house.broker.permissions_changed();
    home.house.run();
    // Killed before anything was drawn.
    let home = home.killed_and_guarded(Doorman::that(|_| {}));
    let reader = home.house.v5("reader").expiry(3600).user("ann").open();
    let mut got = reader.drain();
    got.retain(|payload| payload.len() == 2);
    assert_eq!(got, ["b0", "b1", "b2", "b3", "b4"]);
    assert_eq!(home.house.gauge(Gauge::Subscriptions), 1);
}

// Breaks if: what changed while the broker was down is not seen.
#[test]
fn permissions_may_change_while_the_broker_is_down() {
    let home = Home::new();
    queued(&home.house, Version::V5, true);
    let doorman = Doorman::that(|it| it.mind.get_mut().forbidden = vec!["a"]);
    let home = home.killed_and_guarded(doorman);
    let reader = home.house.v5("reader").expiry(3600).user("ann").open();
    let got = reader.drain();
    assert_eq!(
        got.iter().filter(|it| it.starts_with('a')).count(),
        0,
        "{got:?}"
    );
    assert_eq!(
        got.iter().filter(|it| it.starts_with('b')).count(),
        5,
        "{got:?}"
    );
}

// Breaks if: a subscription to a group, or retained messages that are still to be sent, are left over.
#[test]
fn members_and_feeds_are_withdrawn_as_well() {
    let doorman = Doorman::that(|_| {});
    let house = House::with_auth(doorman.clone());
    let writer = house.v5("writer").open();
    for number in 0..2000 {
        writer.retain(&format!("a/{number}"), &"x".repeat(500));
    }
    let member = house.v5("member").open();
    member.subscribe("$share/g/a/#", QoS::AtLeastOnce);
    member.subscribe("b", QoS::AtLeastOnce);
    member.set_room(Some(0));
    let options = SubscriptionOptions::v3(QoS::AtMostOnce);
    member.send_subscribe(1, &[("a/#", options)], None);
    doorman.now(|mind| mind.forbidden = vec!["a"]);
    house.broker.permissions_changed();
    house.run();
    assert_eq!(house.gauge(Gauge::Subscriptions), 1);
    assert_eq!(house.gauge(Gauge::Groups), 0);
    member.set_room(None);
    let got = member.take();
    assert!(
        got.len() < 1000,
        "{} of what was committed before",
        got.len()
    );
    writer.publish("b", "y");
    assert_eq!(member.payloads(), ["y"]);
}

// Breaks if: a Will outlives the permission to leave it, on a connection or after it.
#[test]
fn a_will_that_is_not_allowed_any_more_is_not_published() {
    for (away, topic) in [
        (false, "w"),
        (true, "w"),
        (false, "$delayed/5/w"),
        (true, "$delayed/5/w"),
    ] {
        let doorman = Doorman::that(|_| {});
        let house = House::with_auth(doorman.clone());
        let reader = house.v5("reader").open();
        reader.subscribe("#", QoS::AtMostOnce);
        let hello = house.v5("c").expiry(3600).will(topic, "x").will_delay(10);
        let client = hello.open();
        if away {
            client.hang_up();
        }
        doorman.now(|mind| mind.forbidden = vec!["w"]);
        house.broker.permissions_changed();
        house.run();
        if !away {
            // The permission that comes back brings no Will back.
            doorman.now(|mind| mind.forbidden.clear());
            client.hang_up();
        }
        house.seconds(10);
        house.seconds(5);
        assert_eq!(reader.take(), [], "{away} {topic}");
    }
}

// Breaks if: a Will is published before it is known whether it is allowed, or lost although it is.
#[test]
fn a_will_waits_until_it_is_known_whether_it_is_allowed() {
    for allowed in [true, false] {
        let doorman = Doorman::that(|_| {});
        let house = House::with_auth(doorman.clone());
        let reader = house.v5("reader").open();
        reader.subscribe("slow", QoS::AtMostOnce);
        let client = house
            .v5("c")
            .expiry(3600)
            .will("slow", "x")
            .will_delay(10)
            .open();
        client.hang_up();
        doorman.now(|mind| mind.ponders = Some("slow"));
        house.broker.permissions_changed();
        doorman.answer(true);
        house.seconds(10);
        assert_eq!(reader.take(), []);
        doorman.answer(allowed);
        house.seconds(1);
        let expected = if allowed { vec!["x"] } else { vec![] };
        assert_eq!(reader.payloads(), expected);
    }
}

// Breaks if: a subscription is taken away, or kept, before the answer is there.
#[test]
fn what_a_session_has_is_kept_until_the_answer_is_there() {
    let doorman = Doorman::that(|_| {});
    let house = House::with_auth(doorman.clone());
    let reader = house.v5("reader").open();
    for filter in ["slow/a", "slow/b", "t"] {
        reader.subscribe(filter, QoS::AtMostOnce);
    }
    let writer = house.v5("writer").open();
    doorman.now(|mind| {
        mind.ponders = Some("slow");
        mind.forbidden = vec!["t"];
    });
    house.broker.permissions_changed();
    house.run();
    assert_eq!(
        house.gauge(Gauge::Subscriptions),
        2,
        "what is known is done"
    );
    reader.publish("elsewhere", "nothing stands still");
    doorman.answer_about("slow/a", false);
    house.run();
    doorman.answer_about("slow/b", true);
    house.run();
    assert_eq!(house.gauge(Gauge::Subscriptions), 1);
    doorman.now(|mind| mind.ponders = None);
    writer.publish("slow/a", "no");
    writer.publish("slow/b", "yes");
    assert_eq!(reader.payloads(), ["yes"]);
}

// Breaks if: a subscription of which nobody ever says anything is kept, or keeps its connection busy.
#[test]
fn what_nobody_answers_for_is_withdrawn() {
    let doorman = Doorman::that(|_| {});
    let house = House::with_auth(doorman.clone());
    let reader = house.v5("reader").keep_alive(200).open();
    reader.subscribe("slow", QoS::AtMostOnce);
    doorman.now(|mind| mind.ponders = Some("slow"));
    house.broker.permissions_changed();
    house.run();
    house.seconds(59);
    assert_eq!(house.gauge(Gauge::Subscriptions), 1);
    house.seconds(1);
    assert_eq!(house.gauge(Gauge::Subscriptions), 0);
    let left = reader.patience().expect("a Keep Alive");
    assert_eq!(
        left,
        Duration::from_secs(240),
        "and nothing else to wait for"
    );
    assert_eq!((reader.take(), reader.ending()), (vec![], None));
}

// Breaks if: a client loses what it was granted because somebody who is asked about it is down, or is
// granted more meanwhile.
#[test]
fn where_nobody_can_say_what_was_granted_stays() {
    let doorman = Doorman::that(|_| {});
    let house = House::with_auth(doorman.clone());
    let reader = house.v5("reader").open();
    reader.subscribe("a", QoS::AtMostOnce);
    doorman.now(|mind| mind.speechless = Some(""));
    house.broker.permissions_changed();
    house.run();
    assert_eq!(house.gauge(Gauge::Subscriptions), 1);
    let options = SubscriptionOptions::v3(QoS::AtMostOnce);
    reader.send_subscribe(1, &[("b", options)], None);
    let refused = vec![NO as u8];
    assert_eq!(reader.next(), Some(Got::Suback(1, refused)));
    doorman.now(|mind| mind.speechless = None);
    reader.subscribe("b", QoS::AtMostOnce);
    assert_eq!(house.gauge(Gauge::Subscriptions), 2, "not remembered");
}

// Breaks if: a client that comes back is sent what waits before it is known whether it may still have it.
#[test]
fn who_comes_back_waits_until_it_is_known_what_it_may_have() {
    for allowed in [true, false] {
        let doorman = Doorman::that(|_| {});
        let house = House::with_auth(doorman.clone());
        let open = || house.v5("reader").expiry(3600).user("ann");
        let reader = open().open();
        reader.subscribe("slow", QoS::AtLeastOnce);
        reader.hang_up();
        house.v5("writer").open().publish1(1, "slow", "x");
        doorman.now(|mind| mind.ponders = Some("slow"));
        let reader = open().send();
        assert_eq!(reader.take(), []);
        doorman.answer(allowed);
        house.run();
        assert!(reader.welcome().present);
        let expected = if allowed { vec!["x"] } else { vec![] };
        assert_eq!(reader.payloads(), expected);
        assert_eq!(house.gauge(Gauge::Subscriptions), i64::from(allowed));
    }
}

// Breaks if: who authenticates again keeps what was decided about who it was.
#[test]
fn a_new_proof_is_a_new_look() {
    let (doorman, house) = watching(|mind| mind.riddler = Some("ann"));
    let client = house.v5("c").method(RIDDLE, Some(b"right")).open();
    client.subscribe("a", QoS::AtMostOnce);
    client.subscribe("b", QoS::AtMostOnce);
    client.publish("a", "1");
    client.publish("b", "2");
    assert_eq!(client.payloads(), ["1", "2"]);
    // Nobody is told that permissions have changed: only this proof says so.
    doorman.now(|mind| mind.forbidden = vec!["a"]);
    client.auth(ReasonCode::ReAuthenticate, Some(RIDDLE), Some(b"right"));
    client.take();
    client.send(&Packet::Publish(publish(QoS::AtLeastOnce, 1, "a", "3")));
    client.publish("b", "4");
    let got = client.take();
    assert_eq!(got[0], Got::Puback(1, NO));
    assert_eq!(got.len(), 2);
    assert_eq!(house.gauge(Gauge::Subscriptions), 1);
}
