use std::sync::Arc;

use serde_json::{Value, json};

use super::super::super::{Caller, Identity};
use super::*;
use crate::codec::QoS;

fn parsed(question: &[u8]) -> Value {
    serde_json::from_slice(question).unwrap()
}

#[test]
fn all_that_is_known_of_a_client_is_told() {
    let caller = Caller {
        listener: "inner".into(),
        peer: Some("192.0.2.1:4711".parse().unwrap()),
        user: Some("CN".into()),
        ..Caller::default()
    };
    let request = |password| Request {
        client_id: "c",
        caller: &caller,
        user_name: Some("u\"\n"),
        password,
    };
    let expected = json!({
        "client_id": "c", "user_name": "u\"\n", "password": "pass",
        "address": "192.0.2.1", "port": 4711, "listener": "inner", "certificate_user": "CN",
    });
    assert_eq!(parsed(&who_is(&request(Some(b"pass")))), expected);
    let binary = parsed(&who_is(&request(Some(b"\xff\x00"))));
    assert_eq!(
        (&binary["password"], &binary["password_base64"]),
        (&json!(null), &json!("/wA="))
    );
    let bare = Request {
        client_id: "",
        caller: &Caller::default(),
        user_name: None,
        password: None,
    };
    let expected = json!({
        "client_id": "", "user_name": null, "password": null,
        "address": null, "port": null, "listener": "", "certificate_user": null,
    });
    assert_eq!(parsed(&who_is(&bare)), expected);
}

#[test]
fn two_questions_that_differ_in_anything_have_two_keys() {
    let identity = |user: Option<&str>, groups: &[&str]| Identity {
        user: user.map(Arc::from),
        groups: groups.iter().map(|it| Box::from(*it)).collect(),
        ..Identity::default()
    };
    let callers = ["192.0.2.1:1", "192.0.2.2:1"].map(|peer| Caller {
        listener: "l".into(),
        peer: Some(peer.parse().unwrap()),
        ..Caller::default()
    });
    let identities = [
        identity(None, &[]),
        identity(Some(""), &[]),
        identity(Some("u"), &[]),
        identity(Some("u"), &["g"]),
    ];
    let publish = |topic, qos, retain| Access::Publish { topic, qos, retain };
    let subscribe = |filter, share, qos| Access::Subscribe { filter, share, qos };
    let accesses = [
        publish("t", QoS::AtMostOnce, false),
        publish("t", QoS::AtLeastOnce, false),
        publish("t", QoS::AtMostOnce, true),
        publish("u", QoS::AtMostOnce, false),
        subscribe("t", None, QoS::AtMostOnce),
        subscribe("t", Some("s"), QoS::AtMostOnce),
        subscribe("t", None, QoS::ExactlyOnce),
    ];
    let mut keys = std::collections::HashSet::new();
    let mut count = 0;
    for client_id in ["c", "d"] {
        for identity in &identities {
            for caller in [None, Some(&callers[0]), Some(&callers[1])] {
                let who = Who {
                    client_id,
                    identity,
                    caller,
                };
                for access in accesses {
                    keys.insert(key(&may_do(&who, access).unwrap()));
                    count += 1;
                }
                assert!(may_do(&who, Access::Receive { topic: "t" }).is_none());
            }
        }
    }
    assert_eq!(keys.len(), count);
    // The port is another one with each connection, and no part of it.
    let again = Caller {
        peer: Some("192.0.2.1:2".parse().unwrap()),
        ..callers[0].clone()
    };
    let [one, two] = [&callers[0], &again].map(|caller| {
        let who = Who {
            client_id: "c",
            identity: &identities[2],
            caller: Some(caller),
        };
        may_do(&who, accesses[0]).unwrap()
    });
    assert_eq!(key(&one), key(&two));
    let expected = json!({
        "action": "publish", "topic": "t", "qos": 0, "retain": false, "share": null,
        "client_id": "c", "user": "u", "groups": [], "address": "192.0.2.1", "listener": "l",
    });
    assert_eq!(parsed(&one), expected);
}
