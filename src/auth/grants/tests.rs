use std::sync::Arc;

use serde_json::json;

use super::super::Identity;
use super::*;
use crate::codec::QoS;

const QOS0: QoS = QoS::AtMostOnce;
const QOS1: QoS = QoS::AtLeastOnce;

fn ruling(acl: &Value, who: (&str, Option<&str>), access: Access<'_>) -> Ruling {
    let identity = Identity {
        user: who.1.map(Arc::from),
        ..Identity::default()
    };
    let who = Who {
        client_id: who.0,
        identity: &identity,
        caller: None,
    };
    let grants = Grants::read(acl).unwrap();
    grants.ruling(&who, access, &mut || panic!("answers at once"))
}

fn publish(topic: &str) -> Access<'_> {
    Access::Publish {
        topic,
        qos: QOS0,
        retain: false,
    }
}

fn subscribe(filter: &str) -> Access<'_> {
    Access::Subscribe {
        filter,
        share: None,
        qos: QOS0,
    }
}

const ANNA: (&str, Option<&str>) = ("c1", Some("anna"));

#[test]
fn the_first_entry_that_fits_decides_and_others_are_asked_where_none_does() {
    let acl = json!([
        {"permission": "deny", "action": "publish", "topic": "a/secret"},
        {"permission": "allow", "action": "publish", "topic": "a/+"},
        {"permission": "allow", "action": "subscribe", "topics": ["b/#", "c"]},
        {"permission": "allow", "topic": "both"},
    ]);
    for (access, expected) in [
        (publish("a/x"), Ruling::Allow),
        (publish("a/secret"), Ruling::Deny),
        (publish("a/x/y"), Ruling::Silent),
        (publish("b/x"), Ruling::Silent),
        (subscribe("b/+/x"), Ruling::Allow),
        (subscribe("c"), Ruling::Allow),
        (subscribe("a/x"), Ruling::Silent),
        (publish("both"), Ruling::Allow),
        (subscribe("both"), Ruling::Allow),
    ] {
        assert_eq!(ruling(&acl, ANNA, access), expected, "{access:?}");
    }
}

#[test]
fn a_subscription_gets_no_more_than_is_allowed() {
    let acl = json!([{"permission": "allow", "action": "subscribe", "topic": "a/+/b"}]);
    for filter in ["#", "+/#", "a/#", "a/+/+", "+/+/b", "a/+/b/#", "$SYS/#"] {
        assert_eq!(
            ruling(&acl, ANNA, subscribe(filter)),
            Ruling::Silent,
            "{filter}"
        );
    }
    for filter in ["a/+/b", "a/x/b"] {
        assert_eq!(
            ruling(&acl, ANNA, subscribe(filter)),
            Ruling::Allow,
            "{filter}"
        );
    }
    let everything = json!([{"permission": "allow", "action": "all", "topic": "#"}]);
    assert_eq!(
        ruling(&everything, ANNA, subscribe("$SYS/#")),
        Ruling::Silent
    );
    assert_eq!(ruling(&everything, ANNA, publish("$SYS/x")), Ruling::Silent);
}

#[test]
fn what_is_denied_cannot_be_had_with_a_wider_filter() {
    let acl = json!([
        {"permission": "deny", "action": "subscribe", "topic": "a/secret/#"},
        {"permission": "allow", "action": "subscribe", "topic": "#"},
    ]);
    for filter in ["#", "a/#", "+/secret", "a/+/x", "a/secret", "a/secret/x"] {
        assert_eq!(
            ruling(&acl, ANNA, subscribe(filter)),
            Ruling::Deny,
            "{filter}"
        );
    }
    for filter in ["b/#", "a/+", "a/open/#"] {
        let expected = match filter {
            "a/+" => Ruling::Deny, // it would bring `a/secret`
            _ => Ruling::Allow,
        };
        assert_eq!(ruling(&acl, ANNA, subscribe(filter)), expected, "{filter}");
    }
}

#[test]
fn eq_stands_for_the_filter_itself() {
    let acl = json!([
        {"permission": "deny", "action": "subscribe", "topic": "eq #"},
        {"permission": "allow", "action": "all", "topic": "eq a/#"},
        {"permission": "allow", "action": "all", "topic": "eq b"},
    ]);
    for (access, expected) in [
        (subscribe("#"), Ruling::Deny),
        (subscribe("a/#"), Ruling::Allow),
        (subscribe("a/b"), Ruling::Silent),
        (publish("a/b"), Ruling::Silent),
        (publish("b"), Ruling::Allow),
        (subscribe("b"), Ruling::Allow),
        (Access::Receive { topic: "a/b" }, Ruling::Allow),
        (Access::Receive { topic: "c" }, Ruling::Silent),
    ] {
        assert_eq!(ruling(&acl, ANNA, access), expected, "{access:?}");
    }
}

#[test]
fn qos_and_retain_can_be_said() {
    let acl = json!([
        {"permission": "allow", "action": "publish", "topic": "t", "qos": [0, "1"], "retain": false},
        {"permission": "allow", "action": "publish", "topic": "r", "qos": 2, "retain": "true"},
        {"permission": "allow", "action": "subscribe", "topic": "t", "qos": 1, "retain": "all"},
    ]);
    let publish = |topic, qos, retain| ruling(&acl, ANNA, Access::Publish { topic, qos, retain });
    assert_eq!(publish("t", QOS1, false), Ruling::Allow);
    assert_eq!(publish("t", QOS1, true), Ruling::Silent);
    assert_eq!(publish("t", QoS::ExactlyOnce, false), Ruling::Silent);
    assert_eq!(publish("r", QoS::ExactlyOnce, true), Ruling::Allow);
    assert_eq!(publish("r", QoS::ExactlyOnce, false), Ruling::Silent);
    let subscribe = |qos| {
        let (filter, share) = ("t", None);
        ruling(&acl, ANNA, Access::Subscribe { filter, share, qos })
    };
    assert_eq!(
        (subscribe(QOS0), subscribe(QOS1)),
        (Ruling::Silent, Ruling::Allow)
    );
}

#[test]
fn placeholders_are_filled_with_what_was_proved() {
    let acl = json!([
        {"permission": "allow", "action": "publish", "topic": "to/${clientid}/of-${username}/#"},
        {"permission": "allow", "action": "publish", "topic": "%c"},
    ]);
    assert_eq!(
        ruling(&acl, ANNA, publish("to/c1/of-anna/x")),
        Ruling::Allow
    );
    assert_eq!(
        ruling(&acl, ANNA, publish("to/c2/of-anna/x")),
        Ruling::Silent
    );
    assert_eq!(
        ruling(&acl, ANNA, publish("to/c1/of-${username}/x")),
        Ruling::Silent
    );
    // Only the older form knows these.
    assert_eq!(ruling(&acl, ANNA, publish("c1")), Ruling::Silent);
    assert_eq!(ruling(&acl, ANNA, publish("%c")), Ruling::Allow);
}

/// Names that would make another filter of the one that is written.
const INJECTIONS: [&str; 7] = ["#", "+", "a/b", "x/#", "/", "", "+/secret"];

#[test]
fn a_placeholder_never_becomes_another_filter() {
    for name in INJECTIONS {
        for (placeholder, who) in [
            ("${clientid}", (name, Some("anna"))),
            ("${username}", ("c1", Some(name))),
        ] {
            let topic = format!("of/{placeholder}/x");
            let allow = json!([{"permission": "allow", "action": "all", "topic": topic}]);
            for access in [
                publish("of/a/x"),
                publish("of/a/b/x"),
                publish(&format!("of/{name}/x")),
                subscribe("of/#"),
                subscribe("of/+/x"),
                subscribe(&format!("of/{name}/x")),
            ] {
                assert_eq!(
                    ruling(&allow, who, access),
                    Ruling::Silent,
                    "{name:?} {access:?}"
                );
            }
            let deny = json!([
                {"permission": "deny", "action": "all", "topic": topic},
                {"permission": "allow", "action": "all", "topic": "#"},
            ]);
            for access in [publish("of/a/x"), subscribe("of/+/x"), subscribe("#")] {
                assert_eq!(
                    ruling(&deny, who, access),
                    Ruling::Deny,
                    "{name:?} {access:?}"
                );
            }
            assert_eq!(ruling(&deny, who, publish("other")), Ruling::Allow);
        }
    }
}

#[test]
fn nobody_gets_at_what_begins_with_a_dollar_by_being_called_so() {
    let allow = json!([{"permission": "allow", "action": "all", "topic": "${clientid}/#"}]);
    for access in [subscribe("$SYS/#"), publish("$SYS/x"), subscribe("$SYS/x")] {
        assert_eq!(
            ruling(&allow, ("$SYS", None), access),
            Ruling::Silent,
            "{access:?}"
        );
    }
    let deny = json!([
        {"permission": "deny", "action": "all", "topic": "${clientid}/#"},
        {"permission": "allow", "action": "all", "topic": "$SYS/#"},
    ]);
    assert_eq!(
        ruling(&deny, ("$SYS", None), subscribe("$SYS/#")),
        Ruling::Deny
    );
}

#[test]
fn who_has_proved_no_user_name_is_nobody() {
    let acl = json!([{"permission": "allow", "action": "all", "topic": "of/${username}"}]);
    for topic in ["of/", "of/anna", "of/${username}"] {
        assert_eq!(
            ruling(&acl, ("c1", None), publish(topic)),
            Ruling::Silent,
            "{topic}"
        );
    }
}

#[test]
fn the_older_form_denies_what_it_does_not_allow() {
    let acl = json!({"pub": ["p/%c", "p/${username}"], "sub": ["s/#"], "all": ["both/%u"]});
    for (access, expected) in [
        (publish("p/c1"), Ruling::Allow),
        (publish("p/anna"), Ruling::Allow),
        (publish("s/x"), Ruling::Deny),
        (subscribe("s/x/#"), Ruling::Allow),
        (subscribe("p/c1"), Ruling::Deny),
        (publish("both/anna"), Ruling::Allow),
        (subscribe("both/anna"), Ruling::Allow),
        (subscribe("#"), Ruling::Deny),
        (Access::Receive { topic: "s/x" }, Ruling::Allow),
        (Access::Receive { topic: "p/c1" }, Ruling::Deny),
    ] {
        assert_eq!(ruling(&acl, ANNA, access), expected, "{access:?}");
    }
    assert_eq!(ruling(&json!({}), ANNA, publish("p")), Ruling::Deny);
}

#[test]
fn what_is_not_understood_is_refused_as_a_whole() {
    for acl in [
        json!("all"),
        json!(null),
        json!(true),
        json!([1]),
        json!([["allow", "publish", "t", null, null, null]]),
        json!([{"permission": "allow"}]),
        json!([{"permission": "perhaps", "topic": "t"}]),
        json!([{"permission": "allow", "action": "read", "topic": "t"}]),
        json!([{"permission": "allow", "topic": "t", "topics": ["u"]}]),
        json!([{"permission": "allow", "topic": "a#"}]),
        json!([{"permission": "allow", "topic": "a+${clientid}"}]),
        json!([{"permission": "allow", "topic": ""}]),
        json!([{"permission": "allow", "topic": "$share/g/t"}]),
        json!([{"permission": "allow", "topic": "t", "qos": 3}]),
        json!([{"permission": "allow", "topic": "t", "qos": [0, -1]}]),
        json!([{"permission": "allow", "topic": "t", "retain": "sometimes"}]),
        // A condition that is passed over would allow more than is meant.
        json!([{"permission": "allow", "topic": "t", "ipaddr": "10.0.0.0/8"}]),
        json!({"pub": "t"}),
        json!({"pub": ["a/#/b"]}),
        json!({"public": ["t"]}),
    ] {
        assert_eq!(Grants::read(&acl), Err(Unclear), "{acl}");
    }
}
