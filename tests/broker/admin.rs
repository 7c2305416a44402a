//! What an operator sees and does.

use std::sync::Arc;
use std::time::Duration;

use postbud::broker::admin::{Kicked, Page, SessionSummary};
use postbud::broker::{Batch, Ending, Gauge};
use postbud::codec::{QoS, ReasonCode, Version};
use postbud::queue::DropReason;

use crate::client::numbers;
use crate::house::House;
use crate::received::Got;
use crate::restart::{Home, deep};
use crate::stores::{Folder, Recorder};

/// What an operator does, with a batch of its own, and all that follows.
fn act<R>(house: &House, what: impl FnOnce(&mut Batch) -> R) -> R {
    let done = what(&mut Batch::new(house.now()));
    house.run();
    done
}

fn listed(house: &House, after: Option<&str>, most: usize) -> (Vec<String>, bool) {
    let Page { items, more } = house.broker.sessions(after, most, house.now());
    (
        items.iter().map(|it| it.client_id.to_string()).collect(),
        more,
    )
}

fn summary(house: &House, client_id: &str) -> SessionSummary {
    let found = house.broker.session(client_id, house.now());
    found.expect("it is there").summary
}

// Breaks if: a page is not in order, leaves one out, or says wrongly whether there is more.
#[test]
fn sessions_are_listed_in_pages() {
    let house = House::new();
    assert_eq!(listed(&house, None, 10), (vec![], false));
    for name in ["d", "a", "c", "b", "e"] {
        house.v5(name).open();
    }
    let names = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
    assert_eq!(listed(&house, None, 2), (names("ab"), true));
    assert_eq!(listed(&house, Some("b"), 2), (names("cd"), true));
    assert_eq!(listed(&house, Some("d"), 2), (names("e"), false));
    assert_eq!(listed(&house, Some("e"), 2), (vec![], false));
    assert_eq!(listed(&house, None, 5), (names("abcde"), false));
}

// Breaks if: what a session holds is counted wrongly, or its times are not those of its connection.
#[test]
fn a_session_is_shown_with_what_it_holds() {
    let house = House::new();
    let client = house
        .v5("c")
        .expiry(60)
        .receive_maximum(1)
        .will("w", "gone")
        .will_delay(7)
        .open();
    client.subscribe("t/#", QoS::ExactlyOnce);
    client.subscribe("$share/g/u", QoS::AtLeastOnce);
    client.publish2(9, "nobody", "x");
    let writer = house.v5("writer").open();
    for number in 1..=3 {
        writer.publish1(1, "t/1", &number.to_string());
    }
    house.seconds(5);
    let shown = house.broker.session("c", house.now()).expect("it is there");
    let it = &shown.summary;
    assert_eq!((it.connected, it.since), (true, Duration::from_secs(5)));
    assert_eq!((it.expiry, it.subscriptions), (Some(60), 2));
    assert_eq!((it.in_flight, it.queued, it.queued_bytes), (1, 2, 8));
    assert_eq!(
        (shown.version, shown.kept, shown.held),
        (Some(Version::V5), false, 1)
    );
    assert_eq!(shown.ends_in, None);
    let will = shown.will.expect("it has one");
    assert_eq!((&*will.topic, will.delay, will.payload), ("w", 7, 4));
    let filters: Vec<_> = shown.subscriptions.iter().map(|it| &*it.0).collect();
    assert_eq!(filters, ["$share/g/u", "t/#"]);

    client.hang_up();
    house.seconds(20);
    let shown = house.broker.session("c", house.now()).expect("it is there");
    let it = &shown.summary;
    assert_eq!((it.connected, it.since), (false, Duration::from_secs(20)));
    assert_eq!(shown.ends_in, Some(Duration::from_secs(40)));
    assert_eq!(shown.version, None);
    assert!(shown.will.is_none(), "its delay is over");
    house.seconds(40);
    assert!(house.broker.session("c", house.now()).is_none());
}

// Breaks if: a kick takes the session along, forgets the Will, or says something else than 0x98.
#[test]
fn a_kick_ends_the_connection_and_not_the_session() {
    let house = House::new();
    let watcher = house.v5("watcher").open();
    watcher.subscribe("w", QoS::AtMostOnce);
    let new = house.v5("new").expiry(60).will("w", "new gone").open();
    new.subscribe("t", QoS::AtLeastOnce);
    let old = house.v311("old").open();
    for (client, name) in [(new, "new"), (old, "old")] {
        assert_eq!(act(&house, |_| house.broker.kick(name)), Kicked::Done);
        client.assert_closed(ReasonCode::AdministrativeAction);
    }
    assert_eq!(watcher.payloads(), ["new gone"]);
    assert_eq!(house.broker.kick("new"), Kicked::Away);
    assert_eq!(house.broker.kick("old"), Kicked::Unknown);
    let (_, present) = house.v5("new").resume().open_present();
    assert!(present);
}

// Breaks if: anything of a deleted session is left, in the broker or in the store, or its client is not told.
#[test]
fn a_deleted_session_is_gone() {
    let store = Arc::new(Recorder::default());
    let house = House::with_store(Arc::clone(&store) as _);
    let watcher = house.v5("watcher").open();
    watcher.subscribe("w", QoS::AtMostOnce);
    let here = house
        .v5("here")
        .expiry(60)
        .will("w", "here")
        .will_delay(9)
        .open();
    here.subscribe("t", QoS::AtLeastOnce);
    let away = house.v5("away").expiry(60).open();
    away.subscribe("t", QoS::AtLeastOnce);
    away.hang_up();
    house.v5("writer").open().publish1(1, "t", "waits");
    store.take();
    assert!(act(&house, |batch| house
        .broker
        .delete_session("here", batch)));
    let got = here.take();
    assert_eq!(got.len(), 2, "{got:?}");
    assert_eq!(got[1], Got::Disconnect(ReasonCode::AdministrativeAction));
    let closed = Ending::Closed(ReasonCode::AdministrativeAction);
    assert_eq!(here.ending(), Some(closed));
    assert_eq!(
        store.take(),
        ["left for 60, will true", "will done", "ended"]
    );
    assert_eq!(watcher.payloads(), ["here"], "its Will is due with its end");
    assert!(act(&house, |batch| house
        .broker
        .delete_session("away", batch)));
    assert_eq!(store.take(), ["ended"]);
    assert!(!act(&house, |batch| house
        .broker
        .delete_session("away", batch)));
    assert_eq!(
        (
            house.gauge(Gauge::Queued),
            house.gauge(Gauge::Subscriptions)
        ),
        (0, 1)
    );
    assert_eq!(
        (house.gauge(Gauge::Sessions), house.gauge(Gauge::Connected)),
        (2, 2)
    );
    let (_, present) = house.v5("here").resume().open_present();
    assert!(!present);
    house.seconds(3600);
    assert_eq!(
        house.gauge(Gauge::Sessions),
        3,
        "nothing of them was left to happen"
    );
}

// Breaks if: what a deleted member had from its group is not given to another.
#[test]
fn what_a_deleted_member_held_goes_to_others() {
    let house = House::new();
    let first = house.v5("first").expiry(60).receive_maximum(1).open();
    first.subscribe("$share/g/t", QoS::AtLeastOnce);
    let writer = house.v5("writer").open();
    for number in 1..=3 {
        writer.publish1(1, "t", &number.to_string());
    }
    let second = house.v5("second").open();
    second.subscribe("$share/g/t", QoS::AtLeastOnce);
    assert_eq!(second.drain(), numbers(2, 3));
    assert!(act(&house, |batch| house
        .broker
        .delete_session("first", batch)));
    assert_eq!(second.drain(), ["1"]);
}

// Breaks if: a purge takes what is in flight, leaves something waiting, or does not tell the store.
#[test]
fn a_purge_gives_up_what_waits() {
    let store = Arc::new(Recorder::default());
    let house = House::with_store(Arc::clone(&store) as _);
    let reader = house.v5("reader").expiry(60).receive_maximum(1).open();
    reader.subscribe("t", QoS::AtLeastOnce);
    let writer = house.v5("writer").open();
    for number in 1..=4 {
        writer.publish1(1, "t", &number.to_string());
    }
    store.take();
    let purged = act(&house, |batch| house.broker.purge_session("reader", batch));
    assert_eq!(purged, Some(3));
    assert_eq!(store.take(), ["dropped"; 3]);
    assert_eq!(
        (
            house.dropped(DropReason::Purged),
            house.gauge(Gauge::Queued)
        ),
        (3, 0)
    );
    let left = summary(&house, "reader");
    assert_eq!((left.in_flight, left.queued, left.queued_bytes), (1, 0, 0));
    writer.publish1(1, "t", "5");
    assert_eq!(reader.drain(), ["1", "5"]);
    assert_eq!(
        act(&house, |batch| house.broker.purge_session("reader", batch)),
        Some(0)
    );
    assert_eq!(
        act(&house, |batch| house.broker.purge_session("nobody", batch)),
        None
    );
}

// Breaks if: a purge leaves the members of a group without what comes later, or does not tell the store.
#[test]
fn a_backlog_is_purged() {
    let store = Arc::new(Recorder::default());
    let house = House::with_store(Arc::clone(&store) as _);
    let member = house.v5("member").expiry(60).receive_maximum(1).open();
    member.subscribe("$share/g/t/#", QoS::AtLeastOnce);
    let writer = house.v5("writer").open();
    for number in 1..=4 {
        writer.publish1(1, "t/1", &number.to_string());
    }
    let shown = house.broker.group_details("g", "t/#").expect("it is there");
    assert_eq!(
        (shown.summary.members, shown.summary.connected, shown.kept),
        (1, 1, true)
    );
    assert_eq!(
        (shown.summary.backlog, shown.summary.backlog_bytes),
        (3, 12)
    );
    assert_eq!(
        (&*shown.members[0].client_id, shown.members[0].in_flight),
        ("member", 1)
    );
    store.take();
    let purge = |share, filter| {
        act(&house, |batch| {
            house.broker.purge_group(share, filter, batch)
        })
    };
    assert_eq!(purge("g", "t/#"), Some(3));
    assert_eq!(store.take(), ["dropped"; 3]);
    assert_eq!(
        (
            house.dropped(DropReason::Purged),
            house.gauge(Gauge::Queued)
        ),
        (3, 0)
    );
    writer.publish1(1, "t/1", "5");
    assert_eq!(member.drain(), ["1", "5"]);
    assert_eq!(
        (purge("g", "t/#"), purge("h", "t/#"), purge("g", "t")),
        (Some(0), None, None)
    );
}

// Breaks if: a group is left out of the list, or comes twice over its pages.
#[test]
fn groups_are_listed_in_pages() {
    let house = House::new();
    let client = house.v5("c").open();
    for filter in ["$share/b/t", "$share/a/t", "$share/a/s/+", "plain", "t"] {
        client.subscribe(filter, QoS::AtLeastOnce);
    }
    client.hang_up();
    assert!(
        house.broker.groups(None, 10).items.is_empty(),
        "they ended with their member"
    );
    let client = house.v5("c").open();
    for filter in ["$share/b/t", "$share/a/t", "$share/a/s/+", "plain", "t"] {
        client.subscribe(filter, QoS::AtLeastOnce);
    }
    let page = |after| {
        let page = house.broker.groups(after, 2);
        let names = page
            .items
            .iter()
            .map(|it| format!("{} {}", it.share, it.filter));
        (names.collect::<Vec<_>>(), page.more)
    };
    assert_eq!(
        page(None),
        (vec!["a s/+".to_owned(), "a t".to_owned()], true)
    );
    assert_eq!(page(Some(("t", "a"))), (vec!["b t".to_owned()], false));
}

// Breaks if: what was purged comes back after a restart, or what is in the store only is not given up.
#[test]
fn what_was_purged_does_not_come_back() {
    let home: Home = deep(Folder::new());
    for name in ["reader", "member"] {
        let client = home.house.v5(name).expiry(3600).open();
        client.subscribe(
            if name == "reader" { "t" } else { "$share/g/t" },
            QoS::AtLeastOnce,
        );
        client.hang_up();
    }
    let writer = home.house.v5("writer").open();
    for number in 1..=200 {
        writer.publish1(1, "t", &number.to_string());
    }
    let house = &home.house;
    assert_eq!(
        act(house, |batch| house.broker.purge_session("reader", batch)),
        Some(200)
    );
    assert_eq!(
        act(house, |batch| house.broker.purge_group("g", "t", batch)),
        Some(200)
    );
    writer.publish1(1, "t", "201");
    let home = deep(home.store.killed());
    for name in ["reader", "member"] {
        let client = home.house.v5(name).expiry(3600).open();
        assert_eq!(client.drain(), ["201"], "{name}");
    }
    assert_eq!(home.house.gauge(Gauge::Queued), 0);
}
