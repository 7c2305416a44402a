//! Section 4.8: handling of errors.

use super::peer::{
    breach, client, connack, expect_message, expect_sent, publish, start, suback, subscriber,
    unsuback,
};
use crate::bytes::{PINGRESP, Publish, packet, puback};
use crate::received::expect_alive;
use crate::support::broker::Broker;

/// What no statement of its own forbids, but no client may send. Others are not touched by it.
#[test]
// Breaks if: codec/reader.rs `finish` lets every rest pass, or `Variable::read` takes a fifth byte.
fn mqtt311_4_8_0_1_a_protocol_violation_closes_the_connection() {
    let broker = start();
    let mut witness = subscriber(&broker, "witness", "t", 2);
    // Packets that only a broker sends, and types that are nobody's.
    for bytes in [
        connack(false, 0),
        suback(1, &[0]),
        unsuback(1),
        PINGRESP.to_vec(),
        packet(0x00, &[]),
        packet(0xf0, &[]),
    ] {
        breach(&broker, &bytes);
    }
    // Bytes too few and too many: a packet that has no payload, with one.
    for first in [0x40, 0x50, 0x62, 0x70] {
        for body in [&[][..], &[0], &[0, 7, 0], &[0, 7, 0, 0]] {
            breach(&broker, &packet(first, body));
        }
    }
    breach(&broker, &packet(0xc0, &[0]));
    breach(&broker, &packet(0xe0, &[0]));
    // A Remaining Length of five bytes.
    breach(&broker, b"\x30\x80\x80\x80\x80\x01");
    breach(&broker, b"\xc0\xff\xff\xff\xff\x00");
    breach(&broker, b"\x30\x85\x80\x80\x80\x00\x00\x01thi");
    // The identifier zero is nobody's either.
    for first in [0x40, 0x50, 0x62, 0x70] {
        breach(&broker, &[first, 2, 0, 0]);
    }
    // What came before the breach counts, what comes after it does not.
    let before = Publish::v311("t", "before").qos(1, 1).bytes();
    let after = Publish::v311("t", "after").qos(1, 2).bytes();
    let mut last = client(&broker, "last");
    last.send(&[&before[..], &PINGRESP, &after].concat());
    last.expect(&puback(1));
    last.expect_closed();
    expect_message(&mut witness, 1, "t", "before");
    publish(&mut client(&broker, "publisher"), 1, "t", "marker");
    expect_message(&mut witness, 1, "t", "marker");
}

/// The same for acknowledgements that do not go with what they acknowledge.
#[test]
// Breaks if: session/window.rs `puback`, `pubrec` or `pubcomp` takes an entry of the wrong QoS or stage.
fn mqtt311_4_8_0_1_an_acknowledgement_of_the_wrong_kind_closes_the_connection() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    for (qos, wrong) in [(1, 0x50), (1, 0x70), (2, 0x40), (2, 0x70)] {
        let mut subscriber = subscriber(&broker, "subscriber", "t", 2);
        publish(&mut publisher, qos, "t", "hi");
        let id = expect_sent(&mut subscriber, qos, "t", "hi");
        subscriber.send(&packet(wrong, &id.to_be_bytes()));
        subscriber.expect_closed();
    }
    expect_alive(&mut publisher);
}

/// A packet that is larger than the broker is willing to hold is no violation, yet it cannot be handled: the connection
/// that sent it ends, without an acknowledgement, and no other.
#[test]
// Breaks if: codec/header.rs does not compare with `maximum_packet_size`, or skips the packet and goes on.
fn mqtt311_4_8_0_2_a_packet_that_cannot_be_handled_closes_the_connection() {
    let rest = "[auth]\nanonymous = true\n[session]\npacket_size_maximum = \"256B\"\n";
    let broker = Broker::configured(rest);
    let mut witness = subscriber(&broker, "witness", "t", 2);
    let mut publisher = client(&broker, "publisher");
    // Two bytes each for the header's rest, the topic's length and the id, one each for its type and the topic.
    let fits = "x".repeat(256 - 8);
    for qos in 1..3 {
        let too_large = Publish::v311("t", format!("{fits}x")).qos(qos, 7).bytes();
        assert_eq!(too_large.len(), 257);
        breach(&broker, &too_large);
        // It is not waited for: the header is enough.
        breach(&broker, &too_large[..5]);
        publish(&mut publisher, qos, "t", &fits);
        expect_message(&mut witness, qos, "t", &fits);
    }
    expect_alive(&mut publisher);
}
