use super::*;

#[test]
fn lists_give_back_what_was_put_in() {
    let mut subscribe = FiltersBuf::new();
    let mut unsubscribe = UnsubscribeFiltersBuf::new();
    let mut expected = Vec::new();
    for handling in [
        RetainHandling::Always,
        RetainHandling::IfNew,
        RetainHandling::Never,
    ] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            for flag in [false, true] {
                let options = SubscriptionOptions {
                    qos,
                    no_local: flag,
                    retain_as_published: !flag,
                    retain_handling: handling,
                };
                subscribe.push("a/+", options).unwrap();
                unsubscribe.push("a/+").unwrap();
                expected.push(("a/+", options));
            }
        }
    }
    assert_eq!(subscribe.as_ref().iter().collect::<Vec<_>>(), expected);
    assert_eq!(subscribe.as_ref().count(), expected.len());
    assert_eq!(unsubscribe.as_ref().iter().count(), expected.len());
    assert_eq!(unsubscribe.as_ref().count(), expected.len());
    let read = Filters::read(Reader::new(&subscribe.bytes), Version::V5).unwrap();
    assert_eq!(read, subscribe.as_ref());
}

#[test]
fn malformed_filters_are_not_taken_in() {
    let mut subscribe = FiltersBuf::new();
    let mut unsubscribe = UnsubscribeFiltersBuf::new();
    let long = "x".repeat(65_536);
    for filter in ["", "a#", "+a", "$share/g", "a\0", &long] {
        let error = subscribe
            .push(filter, SubscriptionOptions::default())
            .unwrap_err();
        assert!(matches!(error, EncodeError::Topic(_)), "{error}");
        assert_eq!(unsubscribe.push(filter), Err(error));
    }
    let no_local = SubscriptionOptions {
        no_local: true,
        ..SubscriptionOptions::default()
    };
    assert!(subscribe.push("$share/g/a", no_local).is_err());
    assert!(
        subscribe.push("$shared/g/a", no_local).is_ok(),
        "not a Shared Subscription"
    );
    assert_eq!(
        (subscribe.as_ref().count(), unsubscribe.as_ref().count()),
        (1, 0)
    );
}

#[test]
fn filters_are_bounded() {
    let entry = b"\0\x01a\0";
    let bytes = entry.repeat(MAXIMUM_FILTERS);
    let filters = Filters::read(Reader::new(&bytes), Version::V311).unwrap();
    assert_eq!(filters.count(), MAXIMUM_FILTERS);
    let bytes = entry.repeat(MAXIMUM_FILTERS + 1);
    let error = Filters::read(Reader::new(&bytes), Version::V311).unwrap_err();
    assert_eq!(error.code, ReasonCode::QuotaExceeded);
    let bytes = b"\0\x01a".repeat(MAXIMUM_FILTERS + 1);
    let error = UnsubscribeFilters::read(Reader::new(&bytes)).unwrap_err();
    assert_eq!(error.code, ReasonCode::QuotaExceeded);
}
