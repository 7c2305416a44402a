//! The broker is killed, and another finds what the store on the disk has kept.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use postbud::broker::Gauge;
use postbud::broker::options::Options;
use postbud::codec::{Packet, QoS, ReasonCode, SubscriptionOptions};
use postbud::message::Timestamp;
use postbud::queue::DropReason;

use crate::client::{numbers, publish};
use crate::engines::Doorman;
use crate::house::House;
use crate::received::Got;
use crate::stores::{Folder, Settled};

/// A broker whose store survives it.
pub struct Home {
    pub store: Arc<Settled>,
    pub house: House,
}

impl Home {
    pub fn new() -> Self {
        Self::of(Folder::new(), Timestamp::from_millis(now()))
    }

    /// A new one with these options; they are to be changed likewise at each start.
    pub fn that(change: impl FnOnce(&mut Options)) -> Self {
        Self::with(Folder::new(), Timestamp::from_millis(now()), change)
    }

    fn of(folder: Folder, wall: Timestamp) -> Self {
        Self::with(folder, wall, |_| {})
    }

    fn with(folder: Folder, wall: Timestamp, change: impl FnOnce(&mut Options)) -> Self {
        Self::guarded_by(Doorman::that(|_| {}), folder, wall, change)
    }

    fn guarded_by(
        doorman: Arc<Doorman>,
        folder: Folder,
        wall: Timestamp,
        change: impl FnOnce(&mut Options),
    ) -> Self {
        let (store, state) = Settled::open(folder);
        let reads = Arc::clone(&store);
        let hand_out = Box::new(move || reads.hand_out());
        let found = (Arc::clone(&store) as _, hand_out as _);
        let house = House::found_by(doorman, found, state, wall, change);
        Self { store, house }
    }

    /// A new one with this one at the door.
    pub fn guarded(doorman: Arc<Doorman>) -> Self {
        let wall = Timestamp::from_millis(now());
        Self::guarded_by(doorman, Folder::new(), wall, |_| {})
    }

    /// As [`Self::killed`], with this one at the door from then on.
    pub fn killed_and_guarded(self, doorman: Arc<Doorman>) -> Self {
        let wall = self.house.now().wall;
        Self::guarded_by(doorman, self.store.killed(), wall, |_| {})
    }

    /// The process is killed now, and another begins so many seconds later.
    pub fn killed_for(self, seconds: u64) -> Self {
        self.killed_with(seconds, |_| {})
    }

    /// As [`Self::killed_for`], with these options from then on.
    pub fn killed_with(self, seconds: u64, change: impl FnOnce(&mut Options)) -> Self {
        let wall = self.house.now().wall.after(Duration::from_secs(seconds));
        Self::with(self.store.killed(), wall, change)
    }

    pub fn killed(self) -> Self {
        self.killed_for(0)
    }
}

/// The store looks at the clock itself, so the house starts with the same time.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_millis() as u64
}

// Breaks if: a subscription, its options or its identifier, or anything that waited is forgotten.
#[test]
fn a_session_goes_on_where_it_was() {
    let home = Home::new();
    let reader = home.house.v5("reader").expiry(3600).open();
    reader.subscribe_with("a/#", SubscriptionOptions::v3(QoS::ExactlyOnce), Some(7));
    let mut as_published = SubscriptionOptions::v3(QoS::AtLeastOnce);
    as_published.retain_as_published = true;
    reader.subscribe_with("b/+", as_published, None);
    reader.subscribe("c", QoS::AtLeastOnce);
    reader.unsubscribe("c");
    reader.hang_up();
    let writer = home.house.v5("writer").open();
    for number in 1..=50 {
        writer.publish1(1, "a/b", &number.to_string());
    }
    let mut retained = publish(QoS::AtLeastOnce, 1, "b/x", "retained");
    retained.retain = true;
    writer.send(&Packet::Publish(retained));

    let home = home.killed();
    let writer = home.house.v5("writer").open();
    writer.publish1(1, "a/b", "51");
    writer.publish1(1, "c", "nobody");
    let (reader, present) = home.house.v5("reader").expiry(3600).open_present();
    assert!(present);
    let got = reader.messages();
    let a: Vec<_> = got.iter().filter(|it| it.topic == "a/b").collect();
    let payloads: Vec<_> = a.iter().map(|it| it.payload.clone()).collect();
    assert_eq!(payloads, numbers(1, 51));
    assert!(
        a.iter()
            .all(|it| it.subscriptions == [7] && !it.retain && !it.dup)
    );
    let b: Vec<_> = got.iter().filter(|it| it.topic != "a/b").collect();
    assert_eq!(
        (b.len(), b[0].payload.as_str(), b[0].retain),
        (1, "retained", true)
    );
    for message in &got {
        reader.puback(message.id);
    }
    reader.hang_up();

    let home = home.killed();
    let (reader, present) = home.house.v5("reader").expiry(3600).open_present();
    assert!(present);
    assert_eq!(reader.take(), [], "what was acknowledged is gone");
}

// Breaks if: what was in flight loses its Packet Identifier, its DUP or its place, or comes twice.
#[test]
fn what_was_in_flight_is_sent_again_under_its_ids() {
    let home = Home::new();
    let reader = home.house.v5("reader").expiry(3600).open();
    reader.subscribe("t", QoS::ExactlyOnce);
    let writer = home.house.v5("writer").open();
    for number in 1..=3 {
        writer.publish1(1, "t", &format!("one {number}"));
        writer.publish2(2, "t", &format!("two {number}"));
        writer.pubrel(2);
    }
    let sent = reader.messages();
    let id = |payload: &str| {
        sent.iter()
            .find(|it| it.payload == payload)
            .expect("sent")
            .id
    };
    reader.puback(id("one 1"));
    reader.pubrec(id("two 1"));
    reader.pubrec(id("two 2"));
    let released = Got::Pubrel(id("two 2"), ReasonCode::Success);
    assert!(reader.take().contains(&released));
    reader.pubcomp(id("two 1"));

    let home = home.killed();
    let (reader, present) = home.house.v5("reader").expiry(3600).open_present();
    assert!(present);
    let again = reader.take();
    assert!(again.contains(&released));
    let again: Vec<_> = again
        .into_iter()
        .filter_map(|got| match got {
            Got::Publish(message) => Some((message.payload, message.id, message.dup)),
            _ => None,
        })
        .collect();
    let expected: Vec<_> = ["one 2", "one 3", "two 3"]
        .iter()
        .map(|it| ((*it).to_owned(), id(it), true))
        .collect();
    let mut sorted = again.clone();
    sorted.sort();
    assert_eq!(sorted, expected);
    // A new message takes an id that is free.
    let writer = home.house.v5("writer").open();
    writer.publish1(1, "t", "new");
    let new = reader.messages();
    assert!(again.iter().all(|it| it.1 != new[0].id) && new[0].id != id("two 2"));
}

// Breaks if: a QoS 2 id of a publisher is forgotten, or stays for ever.
#[test]
fn a_publisher_goes_on_with_what_it_had_begun() {
    let home = Home::new();
    let reader = home.house.v5("reader").expiry(3600).open();
    reader.subscribe("t", QoS::AtLeastOnce);
    reader.hang_up();
    let writer = home.house.v5("writer").expiry(3600).open();
    writer.publish2(9, "t", "once");
    assert_eq!(writer.take(), [Got::Pubrec(9, ReasonCode::Success)]);

    let home = home.killed();
    let writer = home.house.v5("writer").expiry(3600).open();
    writer.publish2(9, "t", "once");
    assert_eq!(writer.take(), [Got::Pubrec(9, ReasonCode::Success)]);
    writer.pubrel(9);
    assert_eq!(writer.take(), [Got::Pubcomp(9, ReasonCode::Success)]);

    let home = home.killed();
    let writer = home.house.v5("writer").expiry(3600).open();
    writer.pubrel(9);
    let unknown = ReasonCode::PacketIdentifierNotFound;
    assert_eq!(writer.take(), [Got::Pubcomp(9, unknown)]);
    writer.publish2(9, "t", "another");
    let reader = home.house.v5("reader").expiry(3600).open();
    assert_eq!(reader.drain(), ["once", "another"]);
}

// Breaks if: a retained message, its end or whose it was is forgotten.
#[test]
fn retained_messages_are_there() {
    let home = Home::new();
    let writer = home.house.v5("writer").open();
    for (topic, payload) in [
        ("a", "old"),
        ("a", "new"),
        ("b", "gone"),
        ("b", ""),
        ("c", "short"),
    ] {
        let mut message = publish(QoS::AtLeastOnce, 1, topic, payload);
        message.retain = true;
        if topic == "c" {
            message.properties.message_expiry = Some(10);
        }
        writer.send(&Packet::Publish(message));
    }
    writer.retain("d", "never acknowledged, and kept all the same");

    let home = home.killed_for(11);
    let reader = home.house.v5("reader").open();
    reader.subscribe("#", QoS::AtLeastOnce);
    let got = reader.messages();
    let found: Vec<_> = got
        .iter()
        .map(|it| (it.topic.as_str(), it.retain))
        .collect();
    assert_eq!(found, [("a", true), ("d", true)]);
    assert_eq!(got[0].payload, "new");
    let writer = home.house.v5("writer").open();
    let mut not_mine = SubscriptionOptions::v3(QoS::AtLeastOnce);
    not_mine.no_local = true;
    writer.subscribe_with("a", not_mine, None);
    assert_eq!(writer.messages(), [], "its own");
    home.house.seconds(2);

    let home = home.killed();
    assert_eq!(
        home.house.broker.retained().0,
        2,
        "what expired is gone for good"
    );
}

// Breaks if: the backlog of a group, or what its members had not acknowledged, is lost or comes twice.
#[test]
fn a_group_keeps_its_backlog() {
    let home = Home::new();
    for name in ["one", "two"] {
        let member = home.house.v5(name).expiry(3600).receive_maximum(2).open();
        member.subscribe("$share/crew/t", QoS::AtLeastOnce);
    }
    let writer = home.house.v5("writer").open();
    for number in 1..=10 {
        writer.publish1(1, "t", &number.to_string());
    }

    let home = home.killed();
    let member = home.house.v5("two").expiry(3600).open();
    let mut got = member.drain();
    got.sort_by_key(|it| it.parse::<usize>().expect("a number"));
    assert_eq!(got, numbers(1, 10));
    let writer = home.house.v5("writer").open();
    writer.publish1(1, "t", "11");
    assert_eq!(member.drain(), ["11"]);

    let home = home.killed();
    for name in ["one", "two"] {
        let member = home.house.v5(name).expiry(3600).open();
        assert_eq!(member.drain(), Vec::<String>::new());
        member.unsubscribe("$share/crew/t");
    }
    let home = home.killed();
    let writer = home.house.v5("writer").open();
    writer.publish1(1, "t", "12");
    let nobody = ReasonCode::NoMatchingSubscribers;
    assert_eq!(writer.take(), [Got::Puback(1, nobody)]);
}

// Breaks if: the clock stands still while nobody looks at it.
#[test]
fn time_goes_on_while_the_broker_is_down() {
    let home = Home::new();
    let watcher = home.house.v5("watcher").expiry(3600).open();
    watcher.subscribe("#", QoS::AtLeastOnce);
    watcher.hang_up();
    let short = home.house.v5("short").expiry(100).open();
    short.subscribe("t", QoS::AtLeastOnce);
    short.hang_up();
    let long = home.house.v5("long").expiry(150).open();
    long.subscribe("t", QoS::AtLeastOnce);
    let willing = home.house.v5("willing").expiry(3600);
    let willing = willing.will("will", "delayed").will_delay(50);
    let willing = willing.will_with(|will| will.qos = QoS::AtLeastOnce).open();
    let sudden = home.house.v5("sudden").expiry(3600).will("will", "at once");
    sudden.will_with(|will| will.qos = QoS::AtLeastOnce).open();
    willing.hang_up();
    home.house.seconds(30);
    let writer = home.house.v5("writer").open();
    for (payload, expiry) in [("fleeting", 60), ("lasting", 600)] {
        let mut message = publish(QoS::AtLeastOnce, 1, "t", payload);
        message.properties.message_expiry = Some(expiry);
        writer.send(&Packet::Publish(message));
    }
    let _ = long;

    // For `short` 101 seconds have passed. When `long` was last seen the store knows by its own clock.
    let home = home.killed_for(71);
    home.house.seconds(0);
    assert!(!home.house.v5("short").expiry(100).open_present().1);
    assert!(
        home.house.v5("long").expiry(150).open_present().1,
        "it was there until the end"
    );
    let (watcher, present) = home.house.v5("watcher").expiry(3600).open_present();
    assert!(present);
    let mut got = watcher.messages();
    got.sort_by(|a, b| a.payload.cmp(&b.payload));
    let payloads: Vec<_> = got.iter().map(|it| it.payload.as_str()).collect();
    assert_eq!(payloads, ["at once", "delayed", "lasting"]);
    assert_eq!(got[2].expiry, Some(600 - 71));
}

// Breaks if: anything is left of what ended, or a clean session of what was before it.
#[test]
fn what_ended_does_not_come_back() {
    let home = Home::new();
    for name in ["ended", "replaced", "replaced for good", "let go"] {
        let client = home.house.v5(name).expiry(3600).open();
        client.subscribe("t", QoS::AtLeastOnce);
        client.hang_up();
    }
    let writer = home.house.v5("writer").open();
    writer.publish1(1, "t", "before");
    home.house
        .v5("ended")
        .resume()
        .expiry(0)
        .open()
        .disconnect();
    home.house.v5("replaced").expiry(3600).clean().open();
    home.house.v311("replaced for good").open();
    let client = home.house.v5("let go").expiry(3600).open();
    client.disconnect_with(ReasonCode::Success, Some(0));
    home.house
        .v5("clean")
        .open()
        .subscribe("t", QoS::AtLeastOnce);

    let home = home.killed();
    let writer = home.house.v5("writer").open();
    writer.publish1(1, "t", "after");
    assert_eq!(
        writer.take(),
        [Got::Puback(1, ReasonCode::NoMatchingSubscribers)]
    );
    for (name, there) in [
        ("ended", false),
        ("replaced", true),
        ("replaced for good", false),
        ("let go", false),
        ("clean", false),
    ] {
        let (client, present) = home.house.v5(name).expiry(3600).open_present();
        assert_eq!(present, there, "{name}");
        assert_eq!(client.take(), [], "{name}");
    }
}

/// Holds next to nothing of its queues in memory.
pub fn deep(folder: Folder) -> Home {
    Home::with(folder, Timestamp::from_millis(now()), |options| {
        options.queue_memory = 100;
        options.session.queue.messages = 100_000;
        options.pubsub.group_queue.messages = 100_000;
    })
}

// Breaks if: what a deep queue leaves to the store is lost, comes twice or out of order, or stalls.
#[test]
fn a_deep_queue_is_read_back() {
    let home = deep(Folder::new());
    let reader = home.house.v5("reader").expiry(3600).open();
    reader.subscribe("t/#", QoS::ExactlyOnce);
    reader.hang_up();
    let writer = home.house.v5("writer").open();
    for number in 1..=1000 {
        writer.publish1(1, "t", &number.to_string());
    }
    let reader = home
        .house
        .v5("reader")
        .expiry(3600)
        .receive_maximum(20)
        .open();
    let mut got = Vec::new();
    while got.len() < 300 {
        for message in reader.messages() {
            got.push(message.payload);
            reader.puback(message.id);
        }
    }
    let home = deep(home.store.killed());
    let writer = home.house.v5("writer").open();
    let reader = home
        .house
        .v5("reader")
        .expiry(3600)
        .receive_maximum(20)
        .open();
    for number in 1001..=1100 {
        writer.publish2(1, "t", &number.to_string());
        writer.pubrel(1);
    }
    got.extend(reader.drain());
    assert_eq!(got, numbers(1, 1100));
    assert_eq!(home.house.dropped(DropReason::Unreadable), 0);
    assert_eq!(home.house.gauge(Gauge::Queued), 0);
}

// Breaks if: a group's backlog is not read back for whoever can take it.
#[test]
fn a_deep_backlog_is_read_back() {
    let home = deep(Folder::new());
    let member = home.house.v5("one").expiry(3600).open();
    member.subscribe("$share/crew/t", QoS::AtLeastOnce);
    member.hang_up();
    let writer = home.house.v5("writer").open();
    for number in 1..=500 {
        writer.publish1(1, "t", &number.to_string());
    }
    let member = home.house.v5("one").expiry(3600).receive_maximum(7).open();
    let mut got = Vec::new();
    while got.len() < 100 {
        for message in member.messages() {
            got.push(message.payload);
            member.puback(message.id);
        }
    }
    let home = deep(home.store.killed());
    let second = home.house.v5("two").open();
    second.subscribe("$share/crew/t", QoS::AtLeastOnce);
    let member = home.house.v5("one").expiry(3600).open();
    loop {
        let (one, two) = (member.drain(), second.drain());
        if one.is_empty() && two.is_empty() {
            break;
        }
        got.extend(one.into_iter().chain(two));
    }
    got.sort_by_key(|it| it.parse::<usize>().expect("a number"));
    assert_eq!(got, numbers(1, 500));
}
