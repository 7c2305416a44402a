//! Section 3.6: PUBREL.

use super::peer::{breach, client, expect_sent, no_breach, publish, start, subscriber};
use crate::bytes::{Publish, pubcomp, pubrec, pubrel};

#[test]
// Breaks if: codec/header.rs `check_flags` lets any flags pass, or codec/packet_type.rs `first_byte` gives PUBREL none.
fn mqtt311_3_6_1_1_pubrel_has_the_flags_0010() {
    let broker = start();
    // From a client, with an id that is held and one that is not.
    no_breach(&broker, &pubrel(7));
    for flags in (0..16).filter(|flags| *flags != 0b0010) {
        let bad = [0x60 | flags, 2, 0, 7];
        breach(&broker, &bad);
        let mut publisher = client(&broker, "publisher");
        publisher.send(&Publish::v311("t", "sent").qos(2, 7).bytes());
        publisher.expect(&pubrec(7));
        publisher.send(&bad);
        publisher.expect_closed();
    }
    // From the broker.
    let mut subscriber = subscriber(&broker, "subscriber", "u", 2);
    publish(&mut client(&broker, "publisher"), 2, "u", "hi");
    let [high, low] = expect_sent(&mut subscriber, 2, "u", "hi").to_be_bytes();
    let id = u16::from_be_bytes([high, low]);
    subscriber.send(&pubrec(id));
    subscriber.expect(&[0b0110_0010, 2, high, low]);
    subscriber.send(&pubcomp(id));
}
