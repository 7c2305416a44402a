//! 3.11 UNSUBACK.

use crate::bytes::{prop, subscribe_5, unsubscribe_5};
use crate::received::Ack;
use crate::support::broker::Broker;

use super::steps::{connect, connect_small, expect_small, user_property};

// Breaks if: `Open::unsubscribe` in src/broker/packets.rs explains 0x11 in a Reason String.
#[test]
fn mqtt5_3_11_2_1_unsuback_has_no_reason_string_beyond_the_clients_maximum() {
    let broker = Broker::start();
    let mut small = connect_small(&broker, "small");
    small.send(&unsubscribe_5(1, &[], &["none", "of", "them"]));
    let reasons = expect_small(&mut small, 0xb0, prop::REASON_STRING);
    assert_eq!(reasons, [0x11; 3]);
}

// Breaks if: `Open::unsubscribe` in src/broker/packets.rs returns the User Properties of the UNSUBSCRIBE.
#[test]
fn mqtt5_3_11_2_2_unsuback_has_no_user_property_beyond_the_clients_maximum() {
    let broker = Broker::start();
    let mut small = connect_small(&broker, "small");
    small.send(&unsubscribe_5(1, &user_property(100), &["none"]));
    let reasons = expect_small(&mut small, 0xb0, prop::USER_PROPERTY);
    assert_eq!(reasons, [0x11]);
}

// Breaks if: `Broker::unsubscribe` in src/broker/subscribe.rs puts the codes of what it removed first.
#[test]
fn mqtt5_3_11_3_1_unsuback_has_its_codes_in_the_order_of_the_filters() {
    let broker = Broker::start();
    let mut client = connect(&broker, "client");
    let filters = ["b", "d", "$share/g/e"].map(|filter| (filter, 0));
    client.send(&subscribe_5(1, &[], &filters));
    assert_eq!(client.packet()[0], 0x90);
    let filters = ["z", "b", "c", "$share/g/e", "$share/h/e", "d"];
    client.send(&unsubscribe_5(2, &[], &filters));
    let ack = Ack::v5(&client.packet());
    assert_eq!(ack.reasons, [0x11, 0, 0x11, 0, 0x11, 0]);
}

// Breaks if: `NoSubscriptionExisted` in src/codec/reason.rs gets another value than 0x11.
#[test]
fn mqtt5_3_11_3_2_unsuback_has_codes_of_its_table() {
    let broker = Broker::start();
    let mut client = connect(&broker, "client");
    client.send(&subscribe_5(1, &[], &[("a", 2)]));
    assert_eq!(client.packet()[0], 0x90);
    for code in [0x00, 0x11] {
        client.send(&unsubscribe_5(2, &[], &["a"]));
        client.expect(&[0xb0, 0x04, 0x00, 0x02, 0x00, code]);
    }
}
