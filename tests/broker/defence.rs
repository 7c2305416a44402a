//! Rates, bans and overload: who waits, who is turned away, and that nobody else notices.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use postbud::auth::{
    Access, AskAgain, Auth, Exchange, Identity, Permission, Request, Tell, Verdict, Who,
};
use postbud::broker::defence::options::{Memory, Options, OverRate};
use postbud::broker::defence::{Level, Measured, Scope};
use postbud::broker::{Batch, Ending, Gauge};
use postbud::codec::{QoS, ReasonCode, Version};
use postbud::queue::DropReason;

use crate::client::Client;
use crate::house::{House, Setup};
use crate::received::Got;

/// Believes whatever user name it is told.
struct Gullible;

impl Auth for Gullible {
    fn authenticate(&self, request: &Request<'_>, _: &mut dyn FnMut() -> Tell) -> Verdict {
        Verdict::Accept(request.user_name.map(Identity::of).unwrap_or_default())
    }

    fn exchange(&self, _: &str, _: &Request<'_>) -> Option<Box<dyn Exchange>> {
        None
    }

    fn allows(&self, _: &Who<'_>, _: Access<'_>, _: &mut dyn FnMut() -> AskAgain) -> Permission {
        Permission::Allowed
    }
}

fn house(change: impl FnOnce(&mut Options)) -> House {
    let mut setup = Setup {
        auth: Arc::new(Gullible),
        ..Setup::default()
    };
    setup.options.defence.exempt.clear();
    change(&mut setup.options.defence);
    setup.build()
}

#[track_caller]
fn open<'h>(house: &'h House, id: &'h str, user: Option<&'h str>) -> Client<'h> {
    let mut hello = house.v5(id);
    hello.connect.user_name = user;
    hello.open()
}

/// The code of the CONNACK with which somebody is turned away, if it is.
fn refusal(house: &House, version: Version, id: &str, user: Option<&str>) -> Option<ReasonCode> {
    let mut hello = house.hello(version, id);
    hello.connect.user_name = user;
    let client = hello.send();
    let code = match client.next() {
        Some(Got::Connack(welcome)) => welcome.code,
        other => panic!("{other:?} in place of CONNACK"),
    };
    client.hang_up();
    code.is_error().then_some(code)
}

/// Sends so many messages in one piece, of which each is a PUBLISH of eight bytes at QoS 0.
fn flood(client: Client<'_>, count: usize) {
    client.send_bytes(&[0x30, 6, 0, 1, b't', 0, b'h', b'i'].repeat(count));
}

fn milliseconds(house: &House, count: u64) {
    house.advance(Duration::from_millis(count));
}

fn held_back(house: &House, scope: Scope) -> u64 {
    let figures = house.broker.defence().figures(house.now().instant);
    figures.held_back[scope as usize].1
}

// Breaks if: a rate of messages is not kept, loses what is ahead of its time, or holds up somebody else.
#[test]
fn whoever_sends_too_many_messages_waits() {
    let house = house(|it| {
        it.connection.messages = 10;
        it.connection.burst = Duration::from_secs(2);
    });
    let reader = open(&house, "reader", None);
    reader.subscribe("t", QoS::AtMostOnce);
    let writer = open(&house, "writer", None);
    flood(writer, 45);
    assert_eq!(reader.messages().len(), 20, "a burst");
    assert!(writer.is_paused());
    milliseconds(&house, 99);
    assert_eq!(reader.messages().len(), 0);
    milliseconds(&house, 1);
    assert_eq!(reader.messages().len(), 1);
    for _ in 0..10 {
        milliseconds(&house, 100);
    }
    assert_eq!(reader.messages().len(), 10);
    // Somebody else has a rate of its own.
    let other = open(&house, "other", None);
    flood(other, 5);
    assert_eq!(reader.messages().len(), 5);
    for _ in 0..14 {
        milliseconds(&house, 100);
    }
    assert_eq!(reader.messages().len(), 14, "nothing is lost");
    assert!(!writer.is_paused());
    assert!(held_back(&house, Scope::ConnectionMessages) > 0);
    assert_eq!(held_back(&house, Scope::ConnectionBytes), 0);
}

// Breaks if: bytes are not counted, or a packet that is larger than the burst never comes.
#[test]
fn whoever_sends_too_many_bytes_waits() {
    let house = house(|it| it.connection.bytes = 1000);
    let reader = open(&house, "reader", None);
    reader.subscribe("t", QoS::AtMostOnce);
    let writer = open(&house, "writer", None);
    writer.publish("t", &"x".repeat(4990));
    assert_eq!(reader.messages().len(), 1);
    writer.publish("t", "next");
    let mut waited = 0;
    while reader.messages().is_empty() {
        waited += 1;
        assert!(waited < 100, "it never comes");
        milliseconds(&house, 100);
    }
    // 5,000 bytes and a CONNECT, less the burst of a second.
    assert!((40..45).contains(&waited), "{waited}");
    assert!(held_back(&house, Scope::ConnectionBytes) > 0);
}

// Breaks if: a user escapes by a second connection, or pays for another one.
#[test]
fn connections_of_a_user_share_its_rate() {
    let house = house(|it| it.user.messages = 10);
    let reader = open(&house, "reader", None);
    reader.subscribe("t", QoS::AtMostOnce);
    let one = open(&house, "one", Some("anna"));
    let two = open(&house, "two", Some("anna"));
    flood(one, 6);
    flood(two, 6);
    assert_eq!(reader.messages().len(), 10);
    assert!(two.is_paused());
    flood(open(&house, "three", Some("bert")), 6);
    flood(open(&house, "four", None), 60);
    assert_eq!(reader.messages().len(), 66);
    // A new connection does not make it a new user.
    two.hang_up();
    let again = open(&house, "two", Some("anna"));
    flood(again, 1);
    assert_eq!(reader.messages().len(), 0);
    milliseconds(&house, 100);
    assert_eq!(reader.messages().len(), 1);
    assert!(held_back(&house, Scope::UserMessages) >= 2);
}

// Breaks if: an address escapes by a second connection, or a network of IPv6 counts as many.
#[test]
fn connections_from_an_address_share_its_rate() {
    let house = house(|it| it.address.messages = 10);
    let reader = open(&house, "reader", None);
    reader.subscribe("t", QoS::AtMostOnce);
    for (id, address) in [("a", "2001:db8::1"), ("b", "2001:db8::2")] {
        house.come_from(address);
        flood(open(&house, id, Some(id)), 6);
    }
    assert_eq!(reader.messages().len(), 10);
    house.come_from("2001:db8:0:1::1");
    flood(open(&house, "c", None), 6);
    assert_eq!(reader.messages().len(), 6);
}

// Breaks if: whoever is to be closed is held back instead, or is not told.
#[test]
fn whoever_sends_too_fast_may_be_closed() {
    for version in [Version::V5, Version::V311] {
        let house = house(|it| {
            it.connection.messages = 10;
            it.over_rate = OverRate::Close;
        });
        let writer = house.hello(version, "writer").open();
        flood(writer, 10);
        assert_eq!(writer.ending(), None);
        flood(writer, 1);
        writer.assert_closed(ReasonCode::MessageRateTooHigh);
    }
}

// Breaks if: a subscriber is held back for acknowledging what it was sent.
#[test]
fn acknowledgements_are_free() {
    let house = house(|it| it.user.messages = 5);
    let reader = open(&house, "reader", Some("anna"));
    reader.subscribe("t", QoS::ExactlyOnce);
    let writer = open(&house, "writer", None);
    for id in 1..=100 {
        writer.publish1(id, "t", "x");
    }
    assert_eq!(reader.drain().len(), 100);
    assert_eq!(held_back(&house, Scope::UserMessages), 0);
}

// Breaks if: somebody who is held back is closed for its silence, or is forgotten.
#[test]
fn whoever_is_held_back_is_not_blamed_for_silence() {
    let house = house(|it| it.connection.bytes = 100);
    let writer = house.v5("writer").keep_alive(1).open();
    writer.publish("t", &"x".repeat(1000));
    writer.send_bytes(&[0xc0, 0]);
    for _ in 0..8 {
        house.seconds(1);
    }
    assert!(writer.is_paused());
    for _ in 0..3 {
        milliseconds(&house, 900);
    }
    assert_eq!(writer.ending(), None);
    assert_eq!(writer.take().len(), 1, "PINGRESP");
    house.seconds(2);
    assert_eq!(
        writer.ending(),
        Some(Ending::Closed(ReasonCode::KeepAliveTimeout))
    );
}

// Breaks if: other limits hold only for those who connect later.
#[test]
fn limits_are_replaced_while_in_use() {
    let house = house(|_| {});
    let reader = open(&house, "reader", None);
    reader.subscribe("t", QoS::AtMostOnce);
    let writer = open(&house, "writer", Some("anna"));
    flood(writer, 50);
    assert_eq!(reader.messages().len(), 50);
    let mut slow = Options::default();
    slow.user.messages = 1;
    house.broker.defence().replace(slow);
    flood(writer, 50);
    assert_eq!(reader.messages().len(), 1);
    house.broker.defence().replace(Options::default());
    house.seconds(1);
    assert_eq!(reader.messages().len(), 49);
}

// Breaks if: a user connects as often as it likes, or keeps others from it.
#[test]
fn a_user_connects_at_its_rate() {
    let house = house(|it| {
        it.user.connects = 1;
        it.user.burst = Duration::from_secs(3);
    });
    let anna = Some("anna");
    let refused = |version| refusal(&house, version, "c", anna);
    assert_eq!([refused(Version::V5); 1], [None]);
    assert_eq!([refused(Version::V5), refused(Version::V311)], [None; 2]);
    let code = ReasonCode::ConnectionRateExceeded;
    assert_eq!(refused(Version::V5), Some(code));
    // 3.x has no such code: it is told that the broker is not available.
    let code = ReasonCode::ServerUnavailable;
    assert_eq!(refused(Version::V311), Some(code));
    assert_eq!(refusal(&house, Version::V5, "c", Some("bert")), None);
    assert_eq!(refusal(&house, Version::V5, "c", None), None);
    house.seconds(1);
    assert_eq!(refused(Version::V5), None);
}

// Breaks if: a client that flaps is not shut out, or another one is, or for ever.
#[test]
fn a_client_that_flaps_is_shut_out_for_a_while() {
    let house = house(|it| {
        it.flapping.connects = 3;
        it.flapping.within = Duration::from_secs(60);
        it.flapping.lasts = Duration::from_secs(300);
    });
    let comes = |id, user| refusal(&house, Version::V5, id, user);
    for _ in 0..3 {
        assert_eq!(comes("c", Some("anna")), None);
    }
    assert_eq!(comes("c", Some("anna")), Some(ReasonCode::Banned));
    // Whoever can only guess the Client Identifier harms nobody but itself.
    assert_eq!(comes("c", Some("bert")), None);
    assert_eq!(comes("d", Some("anna")), None);
    let now = house.now().instant;
    let banned = house.broker.defence().banned(now);
    assert_eq!(banned.len(), 1);
    assert_eq!(
        (&*banned[0].name, banned[0].user.as_deref()),
        ("c", Some("anna"))
    );
    assert_eq!(banned[0].left, Duration::from_secs(300));
    house.seconds(299);
    assert_eq!(comes("c", Some("anna")), Some(ReasonCode::Banned));
    house.seconds(1);
    for _ in 0..3 {
        assert_eq!(comes("c", Some("anna")), None);
    }
    assert_eq!(comes("c", Some("anna")), Some(ReasonCode::Banned));
    assert!(house.broker.defence().unban_client("c"));
    assert!(!house.broker.defence().unban_client("c"));
    assert_eq!(comes("c", Some("anna")), None);
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Whether a connection from there would be closed at once, and why.
fn turned_away(house: &House, from: &str) -> Option<Ending> {
    let now = house.now().instant;
    house.broker.admit(Some(address(from)), now).err()
}

// Breaks if: failures do not shut an address out, or shut out its neighbour, or last for ever.
#[test]
fn failures_shut_an_address_out() {
    let house = house(|it| {
        it.ban.failures = 3;
        it.ban.within = Duration::from_secs(10);
        it.ban.lasts = Duration::from_secs(100);
        it.exempt = vec!["198.51.100.0/24".parse().expect("a network")];
    });
    let offend = |from| {
        house.come_from(from);
        let client = house.accept(Version::V5, true);
        client.send_bytes(b"GET / HTTP/1.1");
        assert!(client.ending().is_some());
    };
    offend("192.0.2.1");
    offend("192.0.2.1");
    house.seconds(10);
    // The first two have been too long ago.
    offend("192.0.2.1");
    offend("192.0.2.1");
    assert_eq!(turned_away(&house, "192.0.2.1"), None);
    offend("192.0.2.1");
    let banned = Some(Ending::BannedAddress);
    assert_eq!(turned_away(&house, "192.0.2.1"), banned);
    assert_eq!(turned_away(&house, "192.0.2.2"), None);
    for _ in 0..5 {
        offend("198.51.100.7");
    }
    assert_eq!(turned_away(&house, "198.51.100.7"), None, "exempt");
    let now = house.now().instant;
    let list = house.broker.defence().banned(now);
    assert_eq!((&*list[0].name, list[0].refused), ("192.0.2.1", 1));
    house.seconds(100);
    assert_eq!(turned_away(&house, "192.0.2.1"), None);
    // Garbage of an open connection, and what a client is not trusted with.
    house.come_from("2001:db8::1");
    for _ in 0..3 {
        house.v5("c").open().send_bytes(&[0, 0]);
    }
    assert_eq!(turned_away(&house, "2001:db8::2"), banned);
    let defence = house.broker.defence();
    assert!(defence.unban_address(address("2001:db8::3")));
    assert_eq!(turned_away(&house, "2001:db8::2"), None);
    assert_eq!(house.closed("banned_address"), 2);
}

// Breaks if: places are not counted by address, not given back, or somebody else pays.
#[test]
fn an_address_has_its_share_of_places() {
    let house = house(|it| {
        it.address_connections_maximum = 3;
        it.address_handshakes_maximum = 2;
        it.handshakes_maximum = 4;
    });
    let now = house.now().instant;
    let admit = |from| house.broker.admit(Some(address(from)), now);
    let mut first = admit("192.0.2.1").expect("a place");
    let second = admit("192.0.2.1").expect("a place");
    let handshakes = Some(Ending::TooManyHandshakes);
    assert_eq!(admit("192.0.2.1").err(), handshakes);
    first.handshake_over();
    let third = admit("192.0.2.1").expect("a place");
    let full = Some(Ending::TooManyFromAddress);
    assert_eq!(admit("192.0.2.1").err(), full);
    let others = ["192.0.2.2", "192.0.2.3"].map(|it| admit(it).expect("a place"));
    assert_eq!(admit("192.0.2.4").err(), handshakes, "of all");
    drop((first, second, third));
    let again = admit("192.0.2.1").expect("a place");
    drop((others, again));
    assert_eq!(house.gauge(Gauge::Handshaking), 0);
    assert_eq!(house.gauge(Gauge::Connections), 0);
    assert_eq!(house.closed("too_many_from_address"), 1);
    assert_eq!(house.closed("too_many_handshakes"), 2);
}

// Breaks if: connections may come from one address as fast as they like.
#[test]
fn an_address_connects_at_its_rate() {
    let house = house(|it| it.address.connects = 5);
    let too_fast = Some(Ending::ConnectsTooFast);
    let refused = (0..8).filter(|_| turned_away(&house, "192.0.2.1") == too_fast);
    assert_eq!(refused.count(), 3);
    assert_eq!(turned_away(&house, "192.0.2.2"), None);
    milliseconds(&house, 200);
    assert_eq!(turned_away(&house, "192.0.2.1"), None);
}

fn measure(house: &House, per_cent: u64) -> Level {
    let measured = Measured {
        memory: per_cent,
        memory_maximum: Some(100),
        lag: Duration::ZERO,
    };
    let (before, after) = house.broker.defence().measured(measured);
    if after > before && after == Level::Pressed {
        house.broker.shed(&mut Batch::new(house.now()));
    }
    after
}

// Breaks if: an overload harms those who are there before those who are new, or does not end.
#[test]
fn overload_turns_new_ones_away_first() {
    let house = house(|_| {});
    let client = open(&house, "here", None);
    client.subscribe("t", QoS::AtMostOnce);
    assert_eq!(measure(&house, 90), Level::Busy);
    let refused = |version| refusal(&house, version, "new", None);
    assert_eq!(refused(Version::V5), Some(ReasonCode::ServerBusy));
    let unavailable = Some(ReasonCode::ServerUnavailable);
    assert_eq!(refused(Version::V311), unavailable);
    assert_eq!(turned_away(&house, "192.0.2.1"), None, "it is told why");
    client.publish("t", "still");
    assert_eq!(client.payloads(), ["still"]);
    assert_eq!(measure(&house, 96), Level::Pressed);
    let overloaded = Some(Ending::Overloaded);
    assert_eq!(turned_away(&house, "192.0.2.1"), overloaded);
    client.publish("t", "well");
    assert_eq!(client.payloads(), ["well"], "it takes what it is sent");
    assert_eq!(measure(&house, 50), Level::Calm);
    assert_eq!(refused(Version::V5), None);
}

// Breaks if: QoS 0 goes on piling up when memory is short, or what was promised is shed.
#[test]
fn overload_sheds_qos_0_of_those_who_are_behind() {
    let house = house(|_| {});
    let stuck = open(&house, "stuck", None);
    stuck.subscribe("zero", QoS::AtMostOnce);
    stuck.subscribe("one", QoS::AtLeastOnce);
    stuck.set_room(Some(0));
    let writer = open(&house, "writer", None);
    let large = "x".repeat(60_000);
    for _ in 0..6 {
        writer.publish("zero", &large);
    }
    let waiting = house.gauge(Gauge::Queued);
    assert!(waiting > 0, "some are on the wire");
    writer.publish1(1, "one", "promised");
    assert_eq!(measure(&house, 99), Level::Pressed);
    let shed = waiting as u64;
    assert_eq!(house.dropped(DropReason::Overload), shed);
    assert_eq!(house.gauge(Gauge::Queued), 1);
    writer.publish("zero", "late");
    assert_eq!(house.dropped(DropReason::Overload), shed + 1);
    measure(&house, 10);
    stuck.set_room(None);
    let payloads = stuck.drain();
    assert_eq!(payloads.last().map(String::as_str), Some("promised"));
    assert_eq!(house.gauge(Gauge::QueuedBytes), 0);
}

// Breaks if: many who do not read make what waits for them grow without a bound together.
#[test]
fn all_queues_together_are_bounded() {
    const BOUND: i64 = 1 << 20;
    let house = house(|it| it.overload.queued_bytes_maximum = BOUND as u64);
    let ids: Vec<_> = (0..40).map(|number| format!("c{number}")).collect();
    let stuck: Vec<_> = ids.iter().map(|id| open(&house, id, None)).collect();
    for client in &stuck {
        client.subscribe("t/#", QoS::AtLeastOnce);
        client.set_room(Some(0));
    }
    let healthy = open(&house, "healthy", None);
    healthy.subscribe("t/#", QoS::AtLeastOnce);
    let writer = open(&house, "writer", None);
    let payload = "x".repeat(1000);
    for id in 1..=500 {
        writer.publish("t/0", &payload);
        writer.publish1(id, "t/1", &payload);
        assert_eq!(healthy.drain().len(), 2, "who reads is served");
    }
    let queued = house.gauge(Gauge::QueuedBytes);
    // Each may have what is on its wire before it counts as behind, and one message.
    let most = BOUND + 41 * (20 << 10);
    assert!(queued > BOUND / 2 && queued < most, "{queued}");
    assert!(house.dropped(DropReason::Overload) > 10_000);
    house.hang_up_all();
    assert_eq!(house.gauge(Gauge::QueuedBytes), 0);
    assert_eq!(house.gauge(Gauge::Queued), 0);
}

// Breaks if: what waits for a group is not counted, is lost from the count, or grows without a bound.
#[test]
fn backlogs_of_groups_count_too() {
    const BOUND: i64 = 256 << 10;
    let house = house(|it| it.overload.queued_bytes_maximum = BOUND as u64);
    let member = open(&house, "member", None);
    member.subscribe("$share/g/t", QoS::AtLeastOnce);
    member.set_room(Some(0));
    let writer = open(&house, "writer", None);
    let payload = "x".repeat(1000);
    for id in 1..=1000 {
        writer.publish("t", &payload);
        writer.publish1(id, "t", &payload);
    }
    let queued = house.gauge(Gauge::QueuedBytes);
    assert!(
        queued > BOUND / 2 && queued < BOUND + (32 << 10),
        "{queued}"
    );
    assert!(house.dropped(DropReason::Overload) > 1000);
    member.set_room(None);
    assert!(member.drain().len() > 100, "what was there comes");
    assert_eq!(house.gauge(Gauge::QueuedBytes), 0);
    member.set_room(Some(0));
    for _ in 0..300 {
        writer.publish("t", &payload);
    }
    assert!(house.gauge(Gauge::QueuedBytes) > 0);
    house.hang_up_all();
    assert_eq!(house.gauge(Gauge::QueuedBytes), 0);
}

// Breaks if: the bound on memory is not the one that was configured.
#[test]
fn the_bound_on_memory_is_derived_given_or_absent() {
    let maximum = |memory| {
        let house = house(|it| it.overload.memory_maximum = memory);
        house.broker.defence().memory_maximum(Some(4000))
    };
    assert_eq!(maximum(Memory::Derived), Some(3000));
    assert_eq!(maximum(Memory::Bytes(77)), Some(77));
    assert_eq!(maximum(Memory::Unbounded), None);
}
