//! How long a session outlives its connection, by the virtual clock.

use std::time::Duration;

use postbud::broker::{Ending, Gauge};
use postbud::codec::{QoS, ReasonCode, Version};

use crate::house::House;
use crate::received::Got;

const NEVER: u32 = u32::MAX;

fn sessions(house: &House) -> i64 {
    house.gauge(Gauge::Sessions)
}

// [MQTT5-4.1.0-2]
#[test]
fn a_session_ends_when_its_expiry_has_passed_and_not_before() {
    let house = House::new();
    let client = house.v5("c").expiry(100).open();
    client.subscribe("t", QoS::AtLeastOnce);
    house.seconds(1000);
    assert_eq!(
        sessions(&house),
        1,
        "the time with a connection does not count"
    );
    client.hang_up();
    house.seconds(99);
    assert_eq!(sessions(&house), 1);
    assert!(house.v5("c").expiry(100).open_present().1);
    house.seconds(50);
    assert_eq!(sessions(&house), 1, "back in time");
}

#[test]
fn an_expired_session_is_gone_with_all_it_had() {
    let house = House::new();
    let client = house.v5("c").expiry(100).open();
    client.subscribe("t", QoS::AtLeastOnce);
    client.disconnect();
    house.v5("writer").open().publish1(1, "t", "waiting");
    house.seconds(100);
    assert_eq!(sessions(&house), 1, "the writer's");
    assert_eq!(house.gauge(Gauge::Subscriptions), 0);
    let (client, present) = house.v5("c").expiry(100).open_present();
    assert!(!present);
    assert_eq!(client.take(), []);
}

#[test]
fn the_tick_is_asked_for_in_time() {
    let house = House::new();
    let now = house.now().instant;
    let client = house.v5("c").expiry(1).open();
    client.hang_up();
    let due = house.broker.next_tick(now);
    assert!(due <= now + Duration::from_secs(1));
}

// A later connection, even a short one, starts the time anew.
#[test]
fn an_expiry_that_belongs_to_an_earlier_absence_does_nothing() {
    let house = House::new();
    house.v5("c").expiry(100).open().hang_up();
    house.seconds(60);
    house.v5("c").expiry(100).open().hang_up();
    house.seconds(60);
    assert_eq!(sessions(&house), 1);
    house.seconds(40);
    assert_eq!(sessions(&house), 0);
}

#[test]
fn a_new_connection_may_change_the_expiry() {
    let house = House::new();
    house.v5("c").expiry(10).open().hang_up();
    house.v5("c").expiry(1000).open().hang_up();
    house.seconds(500);
    assert_eq!(sessions(&house), 1);
    let (client, present) = house.v5("c").expiry(0).open_present();
    assert!(present);
    client.hang_up();
    assert_eq!(sessions(&house), 0);
}

#[test]
fn a_session_may_be_kept_for_ever() {
    let ages = Duration::from_secs(100 * 365 * 24 * 3600);
    let house = House::with_options(|options| {
        options.session.expiry_maximum = Duration::from_secs(NEVER.into());
    });
    house.v5("c").expiry(NEVER).open().hang_up();
    house.advance(ages);
    assert_eq!(sessions(&house), 1);
    assert!(house.v5("c").expiry(NEVER).open_present().1);
}

#[test]
fn a_wish_above_the_maximum_is_cut_and_told() {
    let house = House::with_options(|options| {
        options.session.expiry_maximum = Duration::from_secs(60);
    });
    let client = house.v5("c").expiry(NEVER).send();
    assert_eq!(client.welcome().expiry, Some(60));
    let modest = house.v5("modest").expiry(60).send();
    assert_eq!(modest.welcome().expiry, None, "granted as asked for");
    client.hang_up();
    modest.hang_up();
    house.seconds(60);
    assert_eq!(sessions(&house), 0);
}

#[test]
fn disconnect_may_change_the_expiry() {
    let house = House::new();
    let longer = house.v5("longer").expiry(10).open();
    longer.disconnect_with(ReasonCode::Success, Some(100));
    let shorter = house.v5("shorter").expiry(1000).open();
    shorter.disconnect_with(ReasonCode::Success, Some(10));
    let ended = house.v5("ended").expiry(1000).open();
    ended.disconnect_with(ReasonCode::Success, Some(0));
    assert_eq!(sessions(&house), 2, "0 ends it at once");
    house.seconds(50);
    assert!(!house.v5("shorter").resume().open_present().1);
    assert!(house.v5("longer").resume().open_present().1);
}

#[test]
fn the_expiry_of_a_disconnect_is_cut_as_well() {
    let house = House::with_options(|options| {
        options.session.expiry_maximum = Duration::from_secs(60);
    });
    let client = house.v5("c").expiry(10).open();
    client.disconnect_with(ReasonCode::Success, Some(NEVER));
    house.seconds(60);
    assert_eq!(sessions(&house), 0);
}

#[test]
fn disconnect_may_not_give_an_expiry_to_a_session_without_one() {
    let house = House::new();
    let client = house.v5("c").open();
    client.disconnect_with(ReasonCode::Success, Some(10));
    client.assert_closed(ReasonCode::ProtocolError);
    assert_eq!(sessions(&house), 0);
    let allowed = house.v5("d").open();
    allowed.disconnect_with(ReasonCode::Success, Some(0));
    assert_eq!(allowed.take(), []);
    assert_eq!(allowed.ending(), Some(Ending::Disconnected));
}

#[test]
fn a_3_x_session_has_the_expiry_that_is_configured() {
    for version in [Version::V31, Version::V311] {
        let house = House::with_options(|options| {
            options.session.expiry_3x = Duration::from_secs(500);
        });
        house.hello(version, "c").resume().open().disconnect();
        house.seconds(499);
        assert_eq!(sessions(&house), 1, "{version}");
        house.seconds(1);
        assert_eq!(sessions(&house), 0, "{version}");
    }
}

#[test]
fn the_session_that_is_away_for_longest_makes_room_at_the_cap() {
    let house = House::with_options(|options| options.abandoned_sessions_maximum = 3);
    let ids = ["a", "b", "c", "d", "e"];
    for id in ids {
        house.v311(id).resume().open().hang_up();
        house.seconds(1);
    }
    assert_eq!(sessions(&house), 3);
    let present = |id| house.v311(id).resume().open_present().1;
    assert_eq!(ids.map(present), [false, false, true, true, true]);
}

#[test]
fn sessions_with_a_connection_do_not_count_towards_the_cap() {
    let house = House::with_options(|options| options.abandoned_sessions_maximum = 1);
    let here: Vec<_> = ["a", "b", "c"]
        .map(|id| house.v5(id).expiry(60).open())
        .into();
    house.v5("away").expiry(60).open().hang_up();
    house.seconds(1);
    assert_eq!(sessions(&house), 4);
    assert!(here.iter().all(|client| client.ending().is_none()));
}

#[test]
fn who_comes_back_before_the_tick_is_not_evicted() {
    let house = House::with_options(|options| options.abandoned_sessions_maximum = 1);
    house.v5("a").expiry(60).open().hang_up();
    house.v5("b").expiry(60).open().hang_up();
    let (a, present) = house.v5("a").expiry(60).open_present();
    assert!(present);
    house.seconds(1);
    assert_eq!(a.ending(), None);
    assert_eq!(sessions(&house), 2);
}

// It was marked as the oldest, came back and left: now it is the youngest.
#[test]
fn who_comes_back_and_leaves_again_is_not_the_one_away_for_longest() {
    let house = House::with_options(|options| options.abandoned_sessions_maximum = 1);
    for id in ["a", "b", "a"] {
        house.v5(id).expiry(60).open().hang_up();
        house.sleep_in(Duration::from_millis(1));
    }
    house.seconds(1);
    assert_eq!(sessions(&house), 1);
    assert!(house.v5("a").expiry(60).open_present().1);
}

// The session that is taken over ends, so there is one away, not two.
#[test]
fn a_clean_start_does_not_cost_another_its_session() {
    let house = House::with_options(|options| options.abandoned_sessions_maximum = 1);
    house.v5("away").expiry(60).open().hang_up();
    house.v5("c").expiry(60).open();
    house.v5("c").expiry(60).clean().open();
    house.seconds(1);
    assert_eq!(sessions(&house), 2);
    assert!(house.v5("away").expiry(60).open_present().1);
}

#[test]
fn an_evicted_session_ends_with_its_will() {
    let house = House::with_options(|options| options.abandoned_sessions_maximum = 1);
    let reader = house.v5("reader").open();
    reader.subscribe("will", QoS::AtMostOnce);
    house
        .v5("a")
        .expiry(60)
        .will("will", "evicted")
        .will_delay(30)
        .open()
        .hang_up();
    house.v5("b").expiry(60).open().hang_up();
    house.seconds(1);
    assert_eq!(reader.payloads(), ["evicted"]);
}

#[test]
fn a_stopping_broker_says_so_and_lets_nobody_in() {
    let house = House::new();
    let (new, old) = (house.v5("new").open(), house.v311("old").open());
    house.broker.stop();
    house.run();
    new.assert_closed(ReasonCode::ServerShuttingDown);
    old.assert_closed(ReasonCode::ServerShuttingDown);
    let late = house.v5("late").send();
    assert_eq!(late.welcome().code, ReasonCode::ServerUnavailable);
    assert_eq!(house.gauge(Gauge::Connected), 0);
}

#[test]
fn a_stopping_broker_lets_nobody_in_who_was_still_waiting() {
    let doorman = crate::engines::Doorman::that(|it| it.thinks = true);
    let house = House::with_auth(doorman.clone());
    let client = house.v5("c").send();
    house.broker.stop();
    doorman.speak(Ok(()));
    house.run();
    let told = client.take();
    assert!(
        matches!(&told[..], [] | [Got::Connack(_)]) && client.ending().is_some(),
        "{told:?}"
    );
    assert_eq!(house.gauge(Gauge::Connected), 0);
}
