//! `[[groups]]`: each key to its option, and what cannot be meant.

use std::num::NonZeroU16;

use super::*;
use crate::pubsub::options::{GroupOptions, NamedGroup, OrderingKey};
use crate::queue::options::Options as QueueOptions;

const CREW: &str = "[[groups]]\nshare = \"crew\"\nfilter = \"jobs/#\"\n";

fn groups(text: &str, variables: Variables<'_>) -> Vec<NamedGroup> {
    let config = load(&format!("{LISTENER}{text}"), variables).unwrap();
    config.broker.pubsub.groups
}

fn told(text: &str) -> String {
    complaints(&format!("{LISTENER}{text}"), &[])
}

// Breaks if: a key of a group reaches another option, or none.
#[test]
fn every_key_of_a_group_reaches_its_option() {
    let text = "declared = true\nstrategy = \"sticky\"\nmessages_maximum = 11\n\
        bytes_maximum = \"12KiB\"\noverflow = \"refuse\"\nacknowledgement_timeout = \"13s\"\n\
        delivery_limit = 14\ndead_letter = \"dead/jobs\"\nordering_key = { level = 15 }\n";
    let expected = NamedGroup {
        share: "crew".into(),
        filter: "jobs/#".into(),
        declared: true,
        options: GroupOptions {
            strategy: Strategy::Sticky,
            queue: QueueOptions {
                messages: 11,
                bytes: 12 * 1024,
                overflow: Overflow::DropNewest,
            },
            refuses: true,
            acknowledgement_timeout: Some(Duration::from_secs(13)),
            delivery_limit: NonZeroU16::new(14),
            dead_letter: Some("dead/jobs".into()),
            ordering: Some(OrderingKey::Level(15)),
        }
        .into(),
    };
    assert_eq!(groups(&format!("{CREW}{text}"), &[]), [expected]);
    let variables = [
        ("POSTBUD_GROUPS_0_SHARE", "crew"),
        ("POSTBUD_GROUPS_0_FILTER", "jobs/#"),
        ("POSTBUD_GROUPS_0_OVERFLOW", "drop-oldest"),
        ("POSTBUD_GROUPS_0_ORDERING_KEY_USER_PROPERTY", "customer"),
    ];
    let group = &groups("", &variables)[0];
    let property = OrderingKey::UserProperty("customer".into());
    assert_eq!(group.options.ordering, Some(property));
    assert_eq!(group.options.queue.overflow, Overflow::DropOldest);
    assert!(!group.options.refuses && !group.declared);
}

// Breaks if: what is not said of a group is other than with all groups.
#[test]
fn what_is_not_said_of_a_group_is_as_with_all() {
    let shared = "[shared]\nstrategy = \"random\"\nqueue_messages = 5\n\
        queue_bytes = 6\nqueue_overflow = \"drop-oldest\"\n";
    let none = "acknowledgement_timeout = 0\ndelivery_limit = 0\n";
    let text = format!("{LISTENER}{CREW}{none}{shared}");
    let pubsub = load(&text, &[]).unwrap().broker.pubsub;
    assert_eq!(*pubsub.groups[0].options, pubsub.unnamed());
    assert_eq!(pubsub.unnamed().queue.messages, 5);
    assert!(pubsub.named("crew", "jobs/#").is_some());
    assert!(pubsub.named("crew", "jobs").is_none());
}

// Breaks if: a group without a name, or one that is there twice, is accepted.
#[test]
fn a_group_is_named_once() {
    assert_eq!(
        told("[[groups]]\nfilter = \"a\"\n"),
        "c.toml:4:1: groups.0 has no share; expected a ShareName such as share = \"crew\""
    );
    assert_eq!(
        told("[[groups]]\nshare = \"a\"\n"),
        "c.toml:4:1: groups.0 has no filter; expected a Topic Filter such as filter = \"jobs/#\""
    );
    assert_eq!(
        told(&format!("{CREW}{CREW}")),
        "c.toml:8:9: groups.1 is there already; expected each group once"
    );
    assert_eq!(
        told("[[groups]]\nshare = \"a/b\"\nfilter = \"$share/g/a\"\n"),
        "c.toml:5:9: groups.0.share is the string \"a/b\"; \
         expected a ShareName such as \"crew\", without /, + and #\n\
         c.toml:6:10: groups.0.filter is the string \"$share/g/a\"; \
         expected a Topic Filter such as \"telemetry/#\", without $share"
    );
}

// Breaks if: dead letters would go round for ever, or nowhere, or order would follow from two things.
#[test]
fn what_cannot_be_meant_is_refused() {
    assert_eq!(
        told(&format!("{CREW}dead_letter = \"dead\"\n")),
        "c.toml:7:15: groups.0.dead_letter is \"dead\"; \
         expected a delivery_limit, without which nothing is given up"
    );
    assert_eq!(
        told(&format!(
            "{CREW}delivery_limit = 1\ndead_letter = \"jobs/dead\"\n"
        )),
        "c.toml:8:15: groups.0.dead_letter is \"jobs/dead\"; \
         expected a topic that the group does not get"
    );
    assert_eq!(
        told(&format!(
            "{CREW}delivery_limit = 1\ndead_letter = \"$SYS/dead\"\n"
        )),
        "c.toml:8:15: groups.0.dead_letter is the string \"$SYS/dead\"; \
         expected a Topic Name such as \"dead/jobs\", not beginning with $"
    );
    assert_eq!(
        told(&format!(
            "{CREW}ordering_key = {{ level = 1, user_property = \"a\" }}\n"
        )),
        "c.toml:7:26: groups.0.ordering_key.level is given, \
         and groups.0.ordering_key.user_property too; expected one of them"
    );
    assert_eq!(
        told(&format!("{CREW}overflow = \"block\"\n")),
        "c.toml:7:12: groups.0.overflow is the string \"block\"; \
         expected \"drop-newest\", \"drop-oldest\" or \"refuse\""
    );
}
