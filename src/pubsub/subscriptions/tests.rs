use super::*;

type Table = Subscriptions<u32, &'static str>;

fn granted(qos: QoS) -> Granted {
    Granted {
        id: None,
        qos,
        no_local: false,
        retain_as_published: false,
    }
}

fn with_id(qos: QoS, id: u32) -> Granted {
    Granted {
        id: NonZeroU32::new(id),
        ..granted(qos)
    }
}

fn who(route: &Route<u32, &'static str>) -> Vec<u32> {
    let mut who: Vec<u32> = route.recipients.iter().map(|r| r.subscriber).collect();
    who.sort_unstable();
    who
}

#[test]
fn overlapping_subscriptions_give_one_delivery_at_the_highest_qos_with_all_ids() {
    let mut table = Table::default();
    table.subscribe("a/+", 1, with_id(QoS::AtMostOnce, 10));
    table.subscribe("a/#", 1, with_id(QoS::ExactlyOnce, 20));
    table.subscribe("a/b", 2, granted(QoS::AtLeastOnce));
    let route = table.route("a/b", None);
    assert_eq!(who(&route), [1, 2]);
    let first = route
        .recipients
        .iter()
        .find(|r| r.subscriber == 1)
        .expect("recipient 1");
    assert_eq!(first.qos, QoS::ExactlyOnce);
    let mut ids = first.ids.as_slice().to_vec();
    ids.sort_unstable();
    assert_eq!(ids, [10, 20]);
}

#[test]
fn no_local_holds_for_the_publisher_and_for_that_subscription_only() {
    let mut table = Table::default();
    let no_local = Granted {
        no_local: true,
        ..with_id(QoS::ExactlyOnce, 1)
    };
    table.subscribe("t", 1, no_local);
    assert!(table.route("t", Some(&1)).is_empty());
    assert_eq!(who(&table.route("t", Some(&2))), [1]);
    table.subscribe("#", 1, with_id(QoS::AtMostOnce, 2));
    let route = table.route("t", Some(&1));
    assert_eq!(route.recipients[0].qos, QoS::AtMostOnce);
    assert_eq!(route.recipients[0].ids.as_slice(), [2]);
}

#[test]
fn the_same_filter_replaces_and_is_counted_once() {
    let mut table = Table::default();
    table.subscribe("t", 1, granted(QoS::AtMostOnce));
    table.subscribe("t", 1, granted(QoS::AtLeastOnce));
    assert_eq!(table.len(), 1);
    assert_eq!(table.route("t", None).recipients[0].qos, QoS::AtLeastOnce);
    assert!(table.unsubscribe("t", &1));
    assert!(!table.unsubscribe("t", &1));
    assert!(table.is_empty());
}

#[test]
fn a_long_list_of_subscribers_grows_and_shrinks() {
    let mut table = Table::default();
    for subscriber in 0..100 {
        table.subscribe("t", subscriber, granted(QoS::AtMostOnce));
    }
    assert_eq!(who(&table.route("t", None)), (0..100).collect::<Vec<_>>());
    for subscriber in 0..99 {
        assert!(table.unsubscribe("t", &subscriber));
    }
    assert_eq!(who(&table.route("t", None)), [99]);
    assert!(table.unsubscribe("t", &99));
    assert_eq!((table.len(), table.trie.len()), (0, 0));
}

#[test]
fn groups_stand_beside_plain_subscriptions_of_the_same_filter() {
    let mut table = Table::default();
    table.subscribe("t", 1, granted(QoS::AtMostOnce));
    assert_eq!(table.group("t", "g", || "first"), "first");
    assert_eq!(table.group("t", "g", || "second"), "first", "made once");
    assert_eq!(table.group("t", "h", || "other"), "other");
    let route = table.route("t", None);
    assert_eq!((who(&route), route.groups.len()), (vec![1], 2));
    assert_eq!(table.find_group("t", "g"), Some(&"first"));
    assert_eq!(table.remove_group("t", "g"), Some("first"));
    assert_eq!(table.remove_group("t", "g"), None);
    assert!(table.unsubscribe("t", &1));
    assert_eq!(table.remove_group("t", "h"), Some("other"));
    assert_eq!(
        (table.len(), table.trie.len()),
        (0, 0),
        "nothing is left in the trie"
    );
}

#[test]
fn an_entry_is_as_small_as_it_should_be() {
    // A handle is a pointer: the common case of one subscriber costs three words in the trie.
    assert!(size_of::<Entry<std::sync::Arc<u32>, std::sync::Arc<u32>>>() <= 24);
}
