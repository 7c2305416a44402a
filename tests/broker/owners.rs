//! Whose a session is, and who may have it.

use postbud::broker::{Ending, Gauge};
use postbud::codec::{QoS, ReasonCode, Version};

use crate::engines::{Doorman, RIDDLE};
use crate::house::House;
use crate::received::Got;
use crate::restart::Home;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const NO: ReasonCode = ReasonCode::NotAuthorized;

/// Somebody's session that is away, with a message that waits.
fn with_something_in_it(house: &House, version: Version, user: Option<&'static str>) {
    let hello = house.hello(version, "c").expiry(3600);
    let hello = user.into_iter().fold(hello, |hello, user| hello.user(user));
    let client = hello.will("gone", "x").open();
    client.subscribe("t", QoS::AtLeastOnce);
    client.disconnect();
    house.v5("writer").open().publish1(1, "t", "secret");
}

// The attacker knows the Client Identifier, and has a user of its own, or none.
// Breaks if: another's session is shown, ended, changed or so much as disturbed.
#[test]
fn another_users_session_is_refused_and_untouched() {
    for version in VERSIONS {
        for thief in [Some("bob"), Some(""), None] {
            for clean in [true, false] {
                let house = House::new();
                with_something_in_it(&house, version, Some("ann"));
                let hello = house.hello(version, "c").expiry(3600);
                let hello = if clean { hello.clean() } else { hello };
                let hello = thief
                    .into_iter()
                    .fold(hello, |hello, user| hello.user(user));
                let client = hello.send();
                let welcome = client.welcome();
                assert_eq!((welcome.code, welcome.present), (NO, false), "{version}");
                assert_eq!(client.ending(), Some(Ending::Closed(NO)));
                assert_eq!(house.snapshot().sessions_refused, 1);
                let owner = house.hello(version, "c").expiry(3600).user("ann");
                let (owner, present) = owner.open_present();
                // MQTT 3.1 has no word for it.
                let told = version != Version::V31;
                assert_eq!(present, told, "{version} {thief:?} {clean}");
                assert_eq!(owner.payloads(), ["secret"]);
            }
        }
    }
}

// Breaks if: a thief can at least put its owner out of the connection.
#[test]
fn another_users_connection_goes_on() {
    let house = House::new();
    let owner = house.v5("c").user("ann").open();
    owner.subscribe("t", QoS::AtMostOnce);
    for thief in [Some("bob"), None] {
        let hello = house.v5("c");
        let hello = thief
            .into_iter()
            .fold(hello, |hello, user| hello.user(user));
        assert_eq!(hello.send().welcome().code, NO);
    }
    owner.publish("t", "still here");
    assert_eq!(owner.payloads(), ["still here"]);
    let again = house.v5("c").user("ann").open();
    assert_eq!(
        owner.ending(),
        Some(Ending::Closed(ReasonCode::SessionTakenOver))
    );
    again.disconnect();
    // It ended with its connection: the Client Identifier is anybody's again.
    house.v5("c").user("bob").open();
}

// Breaks if: a user is shown what was nobody's, or nobody may go on with it.
#[test]
fn what_is_nobodys_is_taken_up_by_nobody_and_begun_anew_by_a_user() {
    for version in VERSIONS {
        let house = House::new();
        with_something_in_it(&house, version, None);
        let (client, present) = house.hello(version, "c").expiry(3600).open_present();
        assert_eq!(present, version != Version::V31, "{version}");
        client.hang_up();
        let watcher = house.v5("watcher").open();
        watcher.subscribe("gone", QoS::AtMostOnce);
        let hello = house.hello(version, "c").expiry(3600).user("ann");
        let (client, present) = hello.open_present();
        assert!(!present, "{version}");
        assert_eq!(client.take(), [], "{version}");
        assert_eq!(house.gauge(Gauge::Subscriptions), 1);
        client.hang_up();
        let (_, present) = house
            .hello(version, "c")
            .expiry(3600)
            .user("ann")
            .open_present();
        let told = version != Version::V31;
        assert_eq!(present, told, "it is hers from then on");
        assert_eq!(house.hello(version, "c").send().welcome().code, NO);
    }
}

// The Will of what ends is due, as it is with a Clean Start. [MQTT5-3.1.4-3]
#[test]
fn the_will_of_nobodys_session_is_published_when_a_user_begins_anew() {
    let house = House::new();
    let watcher = house.v5("watcher").open();
    watcher.subscribe("gone", QoS::AtMostOnce);
    let hello = house.v5("c").expiry(3600).will("gone", "x").will_delay(60);
    let before = hello.open();
    house.v5("c").expiry(3600).user("ann").open();
    assert_eq!(watcher.payloads(), ["x"]);
    assert_eq!(
        before.take(),
        [Got::Disconnect(ReasonCode::SessionTakenOver)]
    );
}

// Breaks if: whose a session is is forgotten when the broker is killed, or compacts its store.
#[test]
fn a_session_is_its_owners_after_a_restart() {
    let mut home = Home::new();
    with_something_in_it(&home.house, Version::V5, Some("ann"));
    let nobodys = home.house.v5("n").expiry(3600).open();
    nobodys.subscribe("t", QoS::AtLeastOnce);
    for _ in 0..3 {
        home = home.killed();
        let bob = home.house.v5("c").expiry(3600).user("bob").send();
        assert_eq!(bob.welcome().code, NO);
        assert_eq!(home.house.v5("c").expiry(3600).send().welcome().code, NO);
        let shown = home
            .house
            .broker
            .session("c", home.house.now())
            .expect("it is there");
        assert_eq!(shown.user.as_deref(), Some("ann"));
    }
    let ann = home.house.v5("c").expiry(3600).user("ann").open();
    assert_eq!(ann.payloads(), ["secret"]);
    let (_, present) = home.house.v5("n").expiry(3600).user("ann").open_present();
    assert!(!present, "nobody's is not shown to a user");
    let home = home.killed();
    assert_eq!(home.house.v5("n").expiry(3600).send().welcome().code, NO);
}

// Breaks if: who proves to be another one goes on with the session of the first.
#[test]
fn a_session_does_not_change_hands_by_authenticating_again() {
    let doorman = Doorman::that(|_| {});
    let house = House::with_auth(doorman.clone());
    let client = house.v5("c").method(RIDDLE, Some(b"right")).open();
    doorman.now(|mind| mind.riddler = Some("bob"));
    client.auth(ReasonCode::ReAuthenticate, Some(RIDDLE), Some(b"right"));
    client.assert_closed(NO);
}
