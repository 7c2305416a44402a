use serde_json::json;

use super::super::super::{Access, Ruling, Who};
use super::*;
use crate::codec::QoS;

const NOW: u64 = 1_800_000_000;

fn judged(
    options: &Options,
    claims: Value,
    about: (&str, Option<&str>),
) -> Result<Identity, Wrong> {
    let Value::Object(claims) = claims else {
        panic!("{claims} is no object")
    };
    identity(options, &claims, about, Timestamp::from_millis(NOW * 1000))
}

fn with(options: &Options, claims: Value) -> Result<Identity, Wrong> {
    judged(options, claims, ("c1", Some("anna")))
}

fn options(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::default();
    change(&mut options);
    options
}

#[test]
fn the_subject_is_the_user_and_the_connection_ends_with_the_token() {
    let claims = json!({"sub": "anna", "exp": NOW + 60});
    let identity = with(&Options::default(), claims).unwrap();
    assert_eq!(identity.user.as_deref(), Some("anna"));
    // The leeway is granted to the end as well.
    let end = Timestamp::from_millis((NOW + 70) * 1000);
    assert_eq!(identity.expires, Some(end));
    assert!(identity.groups.is_empty() && identity.grants.is_none());
}

#[test]
fn a_token_is_valid_from_then_to_then() {
    let exact = options(|it| it.leeway = Duration::ZERO);
    let lenient = options(|it| it.leeway = Duration::from_secs(30));
    let claims = |begins: u64, ends: u64| json!({"sub": "a", "nbf": begins, "exp": ends});
    for (options, begins, ends, wrong) in [
        (&exact, NOW, NOW + 1, None),
        (&exact, NOW + 1, NOW + 2, Some(Wrong::NotYet)),
        (&exact, NOW - 2, NOW, Some(Wrong::Expired)),
        (&lenient, NOW + 30, NOW + 31, None),
        (&lenient, NOW + 31, NOW + 32, Some(Wrong::NotYet)),
        (&lenient, 0, NOW - 29, None),
        (&lenient, 0, NOW - 30, Some(Wrong::Expired)),
    ] {
        assert_eq!(
            with(options, claims(begins, ends)).err(),
            wrong,
            "{begins} {ends}"
        );
    }
    let fraction = json!({"sub": "a", "exp": NOW as f64 + 0.5});
    let end = with(&exact, fraction).unwrap().expires;
    assert_eq!(end, Some(Timestamp::from_millis(NOW * 1000 + 500)));
}

#[test]
fn a_token_without_an_end_is_refused_unless_that_is_wanted() {
    let endless = json!({"sub": "anna"});
    assert_eq!(
        with(&Options::default(), endless.clone()).err(),
        Some(Wrong::Expired)
    );
    let wanted = options(|it| it.expiry_required = false);
    assert_eq!(with(&wanted, endless).unwrap().expires, None);
    // One that has an end ends all the same.
    let over = json!({"sub": "anna", "exp": NOW - 60});
    assert_eq!(with(&wanted, over).err(), Some(Wrong::Expired));
}

#[test]
fn a_moment_that_is_none_is_wrong() {
    for moment in [
        json!("1800000060"),
        json!(-1),
        json!(null),
        json!([1]),
        json!(1e300),
    ] {
        let wanted = options(|it| it.expiry_required = false);
        let exp = json!({"sub": "anna", "exp": moment});
        assert_eq!(with(&wanted, exp).err(), Some(Wrong::Claim), "{moment}");
        let nbf = json!({"sub": "anna", "nbf": moment, "exp": NOW + 60});
        assert_eq!(with(&wanted, nbf).err(), Some(Wrong::Claim), "{moment}");
    }
}

#[test]
fn issuer_and_audience_are_checked_if_they_are_configured() {
    let options = options(|it| {
        it.issuer = "https://id.example".to_owned();
        it.audience = "broker".to_owned();
    });
    let claims =
        |iss: Value, aud: Value| json!({"sub": "a", "exp": NOW + 1, "iss": iss, "aud": aud});
    let right = json!("https://id.example");
    for (iss, aud, wrong) in [
        (right.clone(), json!("broker"), None),
        (right.clone(), json!(["other", "broker"]), None),
        (right.clone(), json!("other"), Some(Wrong::Audience)),
        (right.clone(), json!(["other"]), Some(Wrong::Audience)),
        (right.clone(), json!([]), Some(Wrong::Audience)),
        (right.clone(), json!(["broke", "r"]), Some(Wrong::Audience)),
        (right.clone(), json!({"broker": 1}), Some(Wrong::Audience)),
        (right.clone(), json!(null), Some(Wrong::Audience)),
        (
            json!("https://id.example/"),
            json!("broker"),
            Some(Wrong::Issuer),
        ),
        (
            json!(["https://id.example"]),
            json!("broker"),
            Some(Wrong::Issuer),
        ),
        (json!(null), json!("broker"), Some(Wrong::Issuer)),
    ] {
        let shown = format!("{iss} {aud}");
        assert_eq!(with(&options, claims(iss, aud)).err(), wrong, "{shown}");
    }
    let bare = json!({"sub": "a", "exp": NOW + 1});
    assert_eq!(with(&options, bare.clone()).err(), Some(Wrong::Issuer));
    assert_eq!(with(&Options::default(), bare).err(), None);
}

#[test]
fn a_claim_can_tie_the_token_to_its_client() {
    let options = options(|it| {
        it.client_id_claim = "device".to_owned();
        it.user_name_claim = "name".to_owned();
    });
    let claims = |device: Value, name: Value| json!({"sub": "s", "exp": NOW + 1, "device": device, "name": name});
    let right = || claims(json!("c1"), json!("anna"));
    assert!(judged(&options, right(), ("c1", Some("anna"))).is_ok());
    for about in [
        ("c2", Some("anna")),
        ("c1", Some("bert")),
        ("c1", None),
        ("", Some("anna")),
    ] {
        assert_eq!(
            judged(&options, right(), about).err(),
            Some(Wrong::Claim),
            "{about:?}"
        );
    }
    for (device, name) in [(json!(null), json!("anna")), (json!("c1"), json!(["anna"]))] {
        assert_eq!(
            with(&options, claims(device, name)).err(),
            Some(Wrong::Claim)
        );
    }
    let missing = json!({"sub": "s", "exp": NOW + 1, "name": "anna"});
    assert_eq!(with(&options, missing).err(), Some(Wrong::Claim));
}

#[test]
fn a_token_that_names_nobody_proves_nothing() {
    for user in [
        json!(null),
        json!(""),
        json!(7),
        json!("a\nb"),
        json!("a\u{0}"),
        json!(["a"]),
    ] {
        let claims = json!({"sub": user, "exp": NOW + 1});
        assert_eq!(
            with(&Options::default(), claims).err(),
            Some(Wrong::Claim),
            "{user}"
        );
    }
    let options = options(|it| it.user_claim = "email".to_owned());
    let claims = json!({"sub": "s", "email": "anna@example.org", "exp": NOW + 1});
    let identity = with(&options, claims).unwrap();
    assert_eq!(identity.user.as_deref(), Some("anna@example.org"));
}

#[test]
fn groups_come_from_a_claim_wherever_it_is() {
    let groups = |name: &str, claims: Value| {
        let mut all = json!({"sub": "a", "exp": NOW + 1});
        all.as_object_mut()
            .unwrap()
            .extend(claims.as_object().unwrap().clone());
        let options = options(|it| it.groups_claim = name.to_owned());
        with(&options, all).map(|it| {
            it.groups
                .iter()
                .map(|it| it.to_string())
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(
        groups("groups", json!({"groups": ["a", "b"]})).unwrap(),
        ["a", "b"]
    );
    assert_eq!(groups("groups", json!({"groups": "a"})).unwrap(), ["a"]);
    assert_eq!(groups("groups", json!({})).unwrap(), [""; 0]);
    assert_eq!(
        groups("", json!({"": ["a"], "groups": ["b"]})).unwrap(),
        [""; 0]
    );
    let nested = json!({"realm_access": {"roles": ["r"], "a/b": ["s"]}});
    assert_eq!(
        groups("/realm_access/roles", nested.clone()).unwrap(),
        ["r"]
    );
    assert_eq!(groups("/realm_access/a~1b", nested.clone()).unwrap(), ["s"]);
    assert_eq!(groups("/realm_access/none", nested).unwrap(), [""; 0]);
    // A group that is not understood could be one that a rule denies something to.
    for wrong in [json!([1]), json!({"a": true}), json!(null), json!(7)] {
        assert_eq!(
            groups("groups", json!({ "groups": wrong })).err(),
            Some(Wrong::Claim)
        );
    }
}

#[test]
fn permissions_come_along() {
    let claims = |acl: Value| json!({"sub": "a", "exp": NOW + 1, "acl": acl});
    let rules = json!([{"permission": "allow", "action": "publish", "topic": "of/${clientid}"}]);
    let identity = with(&Options::default(), claims(rules)).unwrap();
    let who = Who {
        client_id: "c1",
        identity: &identity,
        caller: None,
    };
    let access = |topic| Access::Publish {
        topic,
        qos: QoS::AtMostOnce,
        retain: false,
    };
    let grants = identity.grants.as_ref().unwrap();
    let ruling = |topic| grants.ruling(&who, access(topic), &mut || panic!("answers at once"));
    assert_eq!(
        (ruling("of/c1"), ruling("of/c2")),
        (Ruling::Allow, Ruling::Silent)
    );
    let wrong = with(
        &Options::default(),
        claims(json!([{"permission": "allow"}])),
    );
    assert_eq!(wrong.err(), Some(Wrong::Claim));
    let passed_over = options(|it| it.acl_claim.clear());
    assert!(
        with(&passed_over, claims(json!(7)))
            .unwrap()
            .grants
            .is_none()
    );
}
