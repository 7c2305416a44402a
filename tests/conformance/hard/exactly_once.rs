//! QoS 2, cut at each of its steps and in the middle of its packets, and what does not belong to it.
//!
//! ```text
//!   sender ── PUBLISH ─────> receiver      1: cut in PUBLISH, or behind it
//!          <───── PUBREC ──                2: cut in PUBREC, or behind it
//!          ── PUBREL ──────>               3: cut in PUBREL, or behind it
//!          <──── PUBCOMP ──                4: cut in PUBCOMP, or behind it
//! ```
//!
//! The broker has always noticed the cut before the session is resumed. What a takeover does instead is in
//! [`super::takeover`].

use crate::bytes::{Publish, ack_5, prop, puback, pubcomp, pubrec, pubrel, two};
use crate::received::Ack;
use crate::support::broker::Broker;

use super::either::{
    BOTH, Client, V5, V311, Version, Watch, expect_no_more, open, passing, reader, tell,
};

const ID: u16 = 7;

/// What a client has seen of the exchange of its PUBLISH when its connection is cut, by the bytes that it has
/// written last.
#[derive(Clone, Copy, Debug)]
enum Written {
    /// So many bytes of PUBLISH; less than none is all but so many.
    Publish(isize),
    /// All of PUBLISH, and PUBREC was read or not.
    Pubrec { read: bool },
    /// So many bytes of PUBREL.
    Pubrel(usize),
    /// All of PUBREL, and PUBCOMP was read or not.
    Pubcomp { read: bool },
}

const CUTS: [Written; 11] = [
    Written::Publish(1),
    Written::Publish(2),
    Written::Publish(5),
    Written::Publish(-1),
    Written::Pubrec { read: false },
    Written::Pubrec { read: true },
    Written::Pubrel(1),
    Written::Pubrel(2),
    Written::Pubrel(3),
    Written::Pubcomp { read: false },
    Written::Pubcomp { read: true },
];

/// Publishes up to the cut.
#[track_caller]
fn publish_until(writer: &mut Client, publish: &Publish, cut: Written) {
    let bytes = publish.bytes();
    match cut {
        Written::Publish(count) => {
            let count = count.rem_euclid(bytes.len() as isize) as usize;
            return writer.send(&bytes[..count]);
        }
        Written::Pubrec { read: false } => return writer.send(&bytes),
        _ => {
            writer.send(&bytes);
            writer.expect(&pubrec(ID));
        }
    }
    match cut {
        Written::Pubrel(count) => writer.send(&pubrel(ID)[..count]),
        Written::Pubcomp { read } => {
            writer.send(&pubrel(ID));
            if read {
                writer.expect(&pubcomp(ID));
            }
        }
        _ => {}
    }
}

/// Goes on with a publication as a client has to that knows only what it has read.
#[track_caller]
fn go_on(writer: &mut Client, publish: &Publish, cut: Written) {
    match cut {
        Written::Publish(_) | Written::Pubrec { read: false } => {
            writer.send(&publish.clone().dup().bytes());
            writer.expect(&pubrec(ID));
            writer.send(&pubrel(ID));
            writer.expect(&pubcomp(ID));
        }
        Written::Pubrec { read: true } | Written::Pubrel(_) => {
            writer.send(&pubrel(ID));
            writer.expect(&pubcomp(ID));
        }
        // The broker has heard the first one.
        Written::Pubcomp { read: false } => {
            writer.send(&pubrel(ID));
            writer.expect_reason(0x70, ID, 0x92);
        }
        Written::Pubcomp { read: true } => {}
    }
}

/// The next message has the same Packet Identifier, so each also shows that the one before had set it free.
// Breaks if: `Inbound::attach` in src/session/inbound.rs does not keep `held`; or `Inbound::release` there keeps the
// id held.
#[test]
fn inbound_cut_at_each_step_and_resumed_is_delivered_once() {
    for version in BOTH {
        let broker = Broker::start();
        let mut watch = Watch::new(&broker);
        let mut reader = reader(&broker, "t");
        let mut present = false;
        for cut in CUTS {
            println!("{version:?}: {cut:?}");
            let payload = format!("{cut:?}");
            let publish = version.publish("t", &payload).qos(2, ID);
            let mut writer = open(&broker, version, &version.watched("w"), present);
            present = true;
            publish_until(&mut writer, &publish, cut);
            watch.cut(writer, "w");
            let mut writer = open(&broker, version, &version.watched("w"), true);
            go_on(&mut writer, &publish, cut);
            writer.leave();
            reader.expect_taken(&payload);
        }
        expect_no_more(&broker, "t", &mut [&mut reader]);
    }
}

/// As often as it can be: the same message is cut at every step, and at every step twice.
// Breaks if: `Inbound::repeated` in src/session/inbound.rs does not find an id that is held since an earlier
// connection, or `Inbound::attach` there does not keep `held`.
#[test]
fn inbound_one_message_cut_at_every_step_is_delivered_once() {
    for version in BOTH {
        let broker = Broker::start();
        let mut watch = Watch::new(&broker);
        let mut reader = reader(&broker, "t");
        let publish = version.publish("t", "once").qos(2, ID);
        let (first, again, release) = (publish.bytes(), publish.dup().bytes(), pubrel(ID));
        let turns: [(&[u8], Option<Vec<u8>>); 10] = [
            (&first[..first.len() / 2], None),
            (&first, None),
            (&again[..again.len() - 1], None),
            (&again, None),
            (&again, Some(pubrec(ID))),
            (&release[..2], None),
            (&release[..3], None),
            (&release, None),
            (&release[..1], None),
            (&[], None),
        ];
        let mut present = false;
        for (written, read) in turns {
            let mut writer = open(&broker, version, &version.watched("w"), present);
            present = true;
            writer.send(written);
            if let Some(packet) = read {
                writer.expect(&packet);
            }
            watch.cut(writer, "w");
        }
        let mut writer = open(&broker, version, &version.watched("w"), true);
        writer.send(&pubrel(ID));
        writer.expect_reason(0x70, ID, 0x92);
        reader.expect_taken("once");
        expect_no_more(&broker, "t", &mut [&mut reader]);
    }
}

/// What the client has read and written of a delivery when its connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    /// PUBLISH has come, and was not read.
    Nothing,
    Publish,
    /// So many bytes of PUBREC were written; at 4 it is whole, and PUBREL was not read.
    Pubrec(usize),
    Pubrel,
    /// So many bytes of PUBCOMP were written; at 4 it is whole.
    Pubcomp(usize),
}

const DELIVERIES: [Got; 12] = [
    Got::Nothing,
    Got::Publish,
    Got::Pubrec(1),
    Got::Pubrec(2),
    Got::Pubrec(3),
    Got::Pubrec(4),
    Got::Pubrel,
    Got::Pubcomp(1),
    Got::Pubcomp(2),
    Got::Pubcomp(3),
    Got::Pubcomp(4),
    Got::Nothing,
];

/// Takes a message up to the cut; returns its Packet Identifier, if it was read.
#[track_caller]
fn take_until(client: &mut Client, cut: Got, payload: &str) -> Option<u16> {
    if cut == Got::Nothing {
        return None;
    }
    let id = client.expect_sent(false, 2, payload);
    match cut {
        Got::Nothing | Got::Publish => {}
        Got::Pubrec(count) => client.send(&pubrec(id)[..count]),
        Got::Pubrel | Got::Pubcomp(_) => {
            client.send(&pubrec(id));
            client.expect(&pubrel(id));
        }
    }
    if let Got::Pubcomp(count) = cut {
        client.send(&pubcomp(id)[..count]);
    }
    Some(id)
}

/// Expects what a resumed session has to begin with; returns the Packet Identifier.
#[track_caller]
fn expect_again(client: &mut Client, cut: Got, id: Option<u16>, payload: &str) -> Option<u16> {
    match cut {
        Got::Nothing | Got::Publish | Got::Pubrec(..4) => {
            let again = client.expect_sent(true, 2, payload);
            assert_eq!(id.unwrap_or(again), again);
            Some(again)
        }
        Got::Pubrec(_) | Got::Pubrel | Got::Pubcomp(..4) => {
            client.expect(&pubrel(id.expect("it was read")));
            id
        }
        Got::Pubcomp(_) => None,
    }
}

/// Twice, as if the client had not got what was sent again either.
// Breaks if: `Window::resend` in src/session/window.rs skips `Stage::Release` or sends `Stage::Publish` for it,
// `Outbound::resend` in src/session/outbound.rs publishes without DUP, or `Window::pubcomp` keeps the entry.
#[test]
fn outbound_cut_at_each_step_goes_on_where_it_was() {
    for version in BOTH {
        let broker = Broker::start();
        let mut watch = Watch::new(&broker);
        let connect = version.watched("r");
        open(&broker, version, &connect, false).subscribe("t", 2);
        watch.wait("r");
        for cut in DELIVERIES {
            println!("{version:?}: {cut:?}");
            let payload = format!("{cut:?}");
            let mut client = open(&broker, version, &connect, true);
            tell(&broker, "t", 2, &[&payload]);
            let mut id = take_until(&mut client, cut, &payload);
            for _ in 0..2 {
                watch.cut(client, "r");
                client = open(&broker, version, &connect, true);
                id = expect_again(&mut client, cut, id, &payload);
                client.expect_alive();
            }
            match cut {
                Got::Nothing | Got::Publish | Got::Pubrec(..4) => {
                    client.finish(2, id.expect("it was sent again"));
                }
                _ => id.into_iter().for_each(|id| client.send(&pubcomp(id))),
            }
            client.expect_alive();
            watch.cut(client, "r");
            // Now there is nothing left of it.
            let mut client = open(&broker, version, &connect, true);
            client.expect_alive();
            watch.cut(client, "r");
        }
    }
}

/// The session takes up all of them in the order in which they were first sent.
// Breaks if: `Window::resend` in src/session/window.rs sends every PUBREL before the first PUBLISH, or
// `Window::pubrec` there moves its entry to the end.
#[test]
fn outbound_messages_at_different_steps_are_taken_up_in_their_order() {
    for version in BOTH {
        let broker = Broker::start();
        let mut watch = Watch::new(&broker);
        let connect = version.watched("r");
        let mut client = open(&broker, version, &connect, false);
        client.subscribe("t", 2);
        let payloads: Vec<String> = (0..9).map(|n| n.to_string()).collect();
        tell(&broker, "t", 2, &payloads);
        let ids: Vec<u16> = payloads
            .iter()
            .map(|payload| client.expect_sent(false, 2, payload))
            .collect();
        // Of each three: one only received, one released, one done. In an order of the client's own.
        for index in [8, 1, 4, 2, 7, 5] {
            client.send(&pubrec(ids[index]));
            client.expect(&pubrel(ids[index]));
        }
        for index in [5, 8, 2] {
            client.send(&pubcomp(ids[index]));
        }
        client.send(&pubrec(ids[0])[..3]);
        for _ in 0..2 {
            watch.cut(client, "r");
            client = open(&broker, version, &connect, true);
            for index in [0, 1, 3, 4, 6, 7] {
                match index % 3 {
                    0 => {
                        let id = client.expect_sent(true, 2, &payloads[index]);
                        assert_eq!(id, ids[index]);
                    }
                    _ => client.expect(&pubrel(ids[index])),
                }
            }
            client.expect_alive();
        }
        for index in [6, 0, 3] {
            client.send(&pubrec(ids[index]));
            client.expect(&pubrel(ids[index]));
        }
        for index in [0, 1, 3, 4, 6, 7] {
            client.send(&pubcomp(ids[index]));
        }
        tell(&broker, "t", 2, &["next"]);
        client.expect_taken("next");
        client.expect_alive();
    }
}

/// Also on the next connection, and while another exchange stays open beside it.
// Breaks if: `Inbound::release` in src/session/inbound.rs keeps the id held, or removes another one.
#[test]
fn an_id_is_a_new_message_at_once_after_pubcomp() {
    for version in BOTH {
        let broker = Broker::start();
        let mut watch = Watch::new(&broker);
        let mut reader = reader(&broker, "t");
        let mut writer = open(&broker, version, &version.watched("w"), false);
        let open_one = version.publish("t", "open").qos(2, 8);
        writer.send(&open_one.bytes());
        writer.expect(&pubrec(8));
        reader.expect_taken("open");
        for n in 0..30 {
            writer.publish_all("t", 2, ID, &["the same"]);
            reader.expect_taken("the same");
            if n % 10 == 9 {
                watch.cut(writer, "w");
                writer = open(&broker, version, &version.watched("w"), true);
            }
        }
        writer.send(&open_one.dup().bytes());
        writer.expect(&pubrec(8));
        writer.send(&pubrel(8));
        writer.expect(&pubcomp(8));
        expect_no_more(&broker, "t", &mut [&mut reader]);
    }
}

/// Whatever else it says: topic, payload, RETAIN, DUP. The first one is the message.
// Breaks if: `Open::publish` in src/broker/packets.rs calls `Broker::retain` before `Inbound::publish`, or
// `Inbound::repeated` in src/session/inbound.rs compares more than the id or asks for DUP.
#[test]
fn a_second_publish_with_an_id_in_use_is_answered_and_goes_nowhere() {
    for version in BOTH {
        let broker = Broker::start();
        let mut watch = Watch::new(&broker);
        let mut reader = reader(&broker, "#");
        let mut writer = open(&broker, version, &version.watched("w"), false);
        writer.send(&version.publish("t", "first").qos(2, ID).bytes());
        writer.expect(&pubrec(ID));
        reader.expect_taken("first");
        let others = [
            version.publish("t", "second").qos(2, ID),
            version.publish("t", "").qos(2, ID),
            version.publish("u", "first").qos(2, ID),
            version.publish("u", "second").qos(2, ID).dup(),
            version.publish("u", "kept").qos(2, ID).retain(),
        ];
        for _ in 0..2 {
            for other in &others {
                writer.send(&other.bytes());
                writer.expect(&pubrec(ID));
            }
            watch.cut(writer, "w");
            assert_eq!(reader.message().topic, "broken/w");
            writer = open(&broker, version, &version.watched("w"), true);
        }
        writer.send(&pubrel(ID));
        writer.expect(&pubcomp(ID));
        expect_no_more(&broker, "t", &mut [&mut reader]);
        // Nothing was retained.
        let mut late = passing(&broker, version, "late");
        late.subscribe("u", 2);
        late.expect_alive();
    }
}

// Breaks if: `Open::release` in src/broker/packets.rs or `Outbound::pubrec` in src/session/outbound.rs ends the
// connection for an id that nobody knows, or answers with another code; or `Window::pubcomp` or `Window::puback` in
// src/session/window.rs is out of step for it.
#[test]
fn acknowledgements_out_of_nowhere_are_answered_and_harmless() {
    for version in BOTH {
        let broker = Broker::start();
        let mut client = passing(&broker, version, "client");
        client.subscribe("t", 2);
        tell(&broker, "t", 2, &["message"]);
        let id = client.expect_sent(false, 2, "message");
        for unknown in [id + 1, 0x0100, 0xffff] {
            client.send(&pubrel(unknown));
            client.expect_reason(0x70, unknown, 0x92);
            client.send(&pubrec(unknown));
            client.expect_reason(0x62, unknown, 0x92);
            client.send(&pubcomp(unknown));
            client.send(&puback(unknown));
            client.expect_alive();
        }
        if version == V5 {
            // A refusal of what was never sent has no answer.
            client.send(&ack_5(0x50, 0xffff, 0x80, &[]));
            client.expect_alive();
        }
        // The exchange that there is has not been harmed, nor its id been taken for the client's own.
        client.send(&pubrel(id));
        client.expect_reason(0x70, id, 0x92);
        client.finish(2, id);
        client.expect_alive();
        // An id once done is as unknown as any.
        client.send(&pubrec(id));
        client.expect_reason(0x62, id, 0x92);
        client.send(&pubcomp(id));
        client.expect_alive();
    }
}

/// The client's refusal ends the exchange: the next message takes its place, and it never comes again.
// Breaks if: `Window::pubrec` in src/session/window.rs answers an error with a PUBREL, or keeps the entry.
#[test]
fn pubrec_with_an_error_ends_the_exchange() {
    let broker = Broker::start();
    let mut watch = Watch::new(&broker);
    let connect = V5.watched("r").property(two(prop::RECEIVE_MAXIMUM, 1));
    let mut client = open(&broker, V5, &connect, false);
    client.subscribe("t", 2);
    let codes = [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    let payloads: Vec<String> = (0..=codes.len()).map(|n| n.to_string()).collect();
    tell(&broker, "t", 2, &payloads);
    for (payload, code) in payloads.iter().zip(codes) {
        let id = client.expect_sent(false, 2, payload);
        client.send(&ack_5(0x50, id, code, &[]));
    }
    let last = client.expect_sent(false, 2, &payloads[codes.len()]);
    watch.cut(client, "r");
    let mut client = open(&broker, V5, &connect, true);
    let again = client.expect_sent(true, 2, &payloads[codes.len()]);
    assert_eq!(again, last);
    client.send(&ack_5(0x50, again, 0x83, &[]));
    client.expect_alive();
    // It is unknown now, as an id is that was never given.
    client.send(&pubrec(again));
    let ack = Ack::v5(&client.packet());
    assert_eq!((ack.first, &ack.reasons[..]), (0x62, &[0x92][..]));
    watch.cut(client, "r");
    open(&broker, V5, &connect, true).expect_alive();
}

/// An acknowledgement that does not go with the step of its message: what came before it, the acknowledgement, and
/// what the resumed session begins with.
#[derive(Clone, Copy, Debug)]
enum OutOfStep {
    PubackForQos2,
    PubcompBeforePubrec,
    PubackAfterPubrel,
    PubrecForQos1,
    PubcompForQos1,
}

/// It is a protocol error, and the exchange is where it was.
// Breaks if: `Window::puback`, `Window::pubrec` or `Window::pubcomp` in src/session/window.rs removes or moves the
// entry of a message before it looks at its stage.
#[test]
fn an_acknowledgement_out_of_step_ends_the_connection_and_not_the_exchange() {
    use OutOfStep::{
        PubackAfterPubrel, PubackForQos2, PubcompBeforePubrec, PubcompForQos1, PubrecForQos1,
    };
    for version in BOTH {
        let broker = Broker::start();
        let connect = version.lasting("r");
        let mut client = open(&broker, version, &connect, false);
        client.subscribe("t", 2);
        for breach in [
            PubackForQos2,
            PubcompBeforePubrec,
            PubackAfterPubrel,
            PubrecForQos1,
            PubcompForQos1,
        ] {
            println!("{version:?}: {breach:?}");
            let qos = if matches!(breach, PubrecForQos1 | PubcompForQos1) {
                1
            } else {
                2
            };
            tell(&broker, "t", qos, &["message"]);
            let id = client.expect_sent(false, qos, "message");
            match breach {
                PubackForQos2 => client.send(&puback(id)),
                PubcompBeforePubrec | PubcompForQos1 => client.send(&pubcomp(id)),
                PubrecForQos1 => client.send(&pubrec(id)),
                PubackAfterPubrel => {
                    client.send(&pubrec(id));
                    client.expect(&pubrel(id));
                    client.send(&puback(id));
                }
            }
            client.expect_end(0x82);
            client = open(&broker, version, &connect, true);
            if matches!(breach, PubackAfterPubrel) {
                client.expect(&pubrel(id));
                client.send(&pubcomp(id));
            } else {
                assert_eq!(client.expect_sent(true, qos, "message"), id);
                client.finish(qos, id);
            }
            client.expect_alive();
        }
    }
}

/// The broker does not mix its own ids with the client's: both sides have an exchange with the same id under way,
/// and both are cut and resumed.
// Breaks if: `Open::release` in src/broker/packets.rs asks the outbound side, or `Inbound::attach` in
// src/session/inbound.rs does not keep `held`.
#[test]
fn the_same_id_in_both_directions_is_two_exchanges() {
    for version in [V311, V5] {
        both_directions(version);
    }
}

fn both_directions(version: Version) {
    let broker = Broker::start();
    let mut watch = Watch::new(&broker);
    let mut reader = reader(&broker, "from");
    let connect = version.watched("c");
    let mut client = open(&broker, version, &connect, false);
    client.subscribe("to", 2);
    tell(&broker, "to", 2, &["inward"]);
    let id = client.expect_sent(false, 2, "inward");
    let outward = version.publish("from", "outward").qos(2, id);
    client.send(&outward.bytes());
    client.expect(&pubrec(id));
    watch.cut(client, "c");
    let mut client = open(&broker, version, &connect, true);
    assert_eq!(client.expect_sent(true, 2, "inward"), id);
    client.send(&[pubrec(id), outward.dup().bytes()].concat());
    // PUBREL of the one and PUBREC of the other, in any order.
    let mut came = [client.packet(), client.packet()];
    came.sort();
    assert_eq!(came, [pubrec(id), pubrel(id)]);
    client.send(&pubcomp(id));
    watch.cut(client, "c");
    let mut client = open(&broker, version, &connect, true);
    client.expect_alive();
    client.send(&pubrel(id));
    client.expect(&pubcomp(id));
    reader.expect_taken("outward");
    expect_no_more(&broker, "from", &mut [&mut reader]);
}
