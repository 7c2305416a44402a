//! Several kinds of rules behind one gate.

use super::options::Rule;
use super::*;
use crate::auth::gate::{Gate, Parts};
use crate::auth::testing::Directory;
use crate::auth::{Access, Auth, Identity, Permission, Who};
use crate::codec::QoS;

use Permission::{Allowed, Denied};

fn gate(options: &Options) -> Gate {
    let mut rules = rules(options).expect("the file is right");
    rules.extend(last(options));
    Gate::new(Parts {
        rules,
        ..Parts::default()
    })
}

/// Whether somebody may publish to a topic, be sent it, and subscribe to it.
fn may(gate: &Gate, topic: &str) -> [Permission; 3] {
    let identity = Identity::default();
    let who = Who {
        client_id: "c",
        identity: &identity,
        caller: None,
    };
    let (qos, retain, share) = (QoS::AtMostOnce, false, None);
    let publish = Access::Publish { topic, qos, retain };
    let filter = topic;
    let subscribe = Access::Subscribe { filter, share, qos };
    [publish, Access::Receive { topic }, subscribe]
        .map(|access| gate.allows(&who, access, &mut || panic!("it knows at once")))
}

fn watches(gate: &Gate) -> bool {
    let identity = Identity::default();
    gate.watches_deliveries(&Who {
        client_id: "c",
        identity: &identity,
        caller: None,
    })
}

#[test]
fn without_any_rules_everything_is_allowed() {
    let gate = gate(&Options::default());
    assert_eq!(may(&gate, "t"), [Allowed; 3]);
    assert!(!watches(&gate));
}

// Breaks if: a file or a list that has nothing in it counts as none.
#[test]
fn with_empty_ones_nothing_is() {
    let home = Directory::new();
    let list = gate(&Options {
        rules: Some(Arc::new([])),
        ..Options::default()
    });
    assert_eq!(may(&list, "t"), [Denied; 3]);
    assert!(!watches(&list));
    let file = gate(&Options {
        mosquitto_file: Some(home.file("acl", "# to be written\n")),
        ..Options::default()
    });
    // Its subscriptions are granted, and bring nothing.
    assert_eq!(may(&file, "t"), [Denied, Denied, Allowed]);
    assert!(watches(&file));
}

// Breaks if: rules in TOML go before mosquitto's file, or what is said of everything else before either.
#[test]
fn mosquittos_file_goes_before_the_list_and_both_before_all_else() {
    let home = Directory::new();
    let file = home.file("acl", "topic read a\ntopic deny b\n");
    let both = Options {
        mosquitto_file: Some(file),
        rules: Some(Arc::new([
            Rule::about(Effect::Deny, &["a", "c"]),
            Rule::about(Effect::Allow, &["b", "d"]),
        ])),
        default: Effect::Deny,
    };
    let strict = gate(&both);
    let open = gate(&Options {
        default: Effect::Allow,
        ..both
    });
    for (topic, publish, receive, rest) in [
        ("a", Denied, Allowed, None),
        ("b", Denied, Denied, None),
        ("c", Denied, Denied, None),
        ("d", Allowed, Allowed, None),
        ("e", Denied, Denied, Some(Allowed)),
    ] {
        assert_eq!(may(&strict, topic), [publish, receive, Allowed], "{topic}");
        let expected = [rest.unwrap_or(publish), rest.unwrap_or(receive), Allowed];
        assert_eq!(may(&open, topic), expected, "{topic}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_told() {
    let home = Directory::new();
    let file = home.file("acl", "topic a\ntopic b/#/c\n");
    let options = Options {
        mosquitto_file: Some(file.clone()),
        ..Options::default()
    };
    let error = rules(&options).err().expect("the second line is wrong");
    let expected = format!("{}:2: \"b/#/c\" is not a Topic Filter", file.display());
    assert_eq!(error.to_string(), expected);
}
