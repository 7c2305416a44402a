use super::*;

#[test]
fn identifiers_come_back_in_order() {
    let mut buf = SubscriptionIdsBuf::new();
    for id in [1, 127, 128, 268_435_455, 1] {
        buf.push(id).unwrap();
    }
    let ids: Vec<_> = buf.as_ref().iter().collect();
    assert_eq!(ids, [1, 127, 128, 268_435_455, 1]);
    let scattered = SubscriptionIds::validated(b"\x0B\x01\x23\0\x01\x0B\x7F");
    assert_eq!(scattered.iter().collect::<Vec<_>>(), [1, 127]);
    assert_eq!(format!("{scattered:?}"), "[1, 127]");
}

#[test]
fn identifiers_have_bounds() {
    let mut buf = SubscriptionIdsBuf::new();
    assert!(buf.push(0).is_err());
    assert!(buf.push(268_435_456).is_err());
    assert!(buf.as_ref().is_empty());
}
