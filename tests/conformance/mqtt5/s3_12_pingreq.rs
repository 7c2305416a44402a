//! 3.12 PINGREQ.

use crate::bytes::{PINGREQ, PINGRESP, subscribe_5};
use crate::support::broker::Broker;

use super::steps::connect;

/// The answer is a PINGRESP of exactly two bytes, one for each.
// Breaks if: `Open::pong` in src/broker/packets.rs commits nothing, or `PINGRESP` there has another byte.
#[test]
fn mqtt5_3_12_4_1_pingreq_is_answered_with_pingresp() {
    let broker = Broker::start();
    let mut client = connect(&broker, "client");
    client.send(&PINGREQ);
    client.expect(&PINGRESP);
    client.send(&PINGREQ.repeat(100));
    for _ in 0..100 {
        client.expect(&PINGRESP);
    }
    client.send(&subscribe_5(1, &[], &[("a", 0)]));
    assert_eq!(client.packet()[0], 0x90, "a PINGRESP too many");
}
