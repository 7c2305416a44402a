use serde_json::json;

use super::super::super::{Access, Ruling, Who};
use super::*;
use crate::codec::QoS;

fn of(status: u16, body: &str) -> Result<Verdict, NoAnswer> {
    verdict(StatusCode::from_u16(status).unwrap(), body.as_bytes())
}

#[test]
fn an_answer_is_one_of_three() {
    for (status, body, expected) in [
        (200, "{\"result\":\"allow\"}", Ok(Verdict::Allow)),
        (200, "{\"result\":\"deny\"}", Ok(Verdict::Deny)),
        (
            200,
            "{\"result\":\"ignore\",\"more\":[1]}",
            Ok(Verdict::Ignore),
        ),
        (204, "", Ok(Verdict::Allow)),
    ] {
        assert_eq!(of(status, body), expected, "{status} {body}");
    }
}

/// Everything else refuses: what is not plainly a yes is none.
#[test]
fn all_else_is_no_answer() {
    for body in [
        "",
        "allow",
        "{}",
        "true",
        "[\"allow\"]",
        "{\"result\":\"ALLOW\"}",
        "{\"result\":\"allowed\"}",
        "{\"result\":true}",
        "{\"result\":null}",
        "{\"result\":\"allow\"",
        "{\"result\":\"allow\"} {}",
        "{\"result\":\"deny\",\"result\":\"allow\"}",
        "{\"Result\":\"allow\"}",
        "<html>allow</html>",
    ] {
        assert_eq!(of(200, body), Err("malformed"), "{body}");
    }
    for status in [
        201, 202, 203, 206, 301, 302, 400, 401, 403, 404, 500, 502, 503,
    ] {
        assert_eq!(
            of(status, "{\"result\":\"allow\"}"),
            Err("status"),
            "{status}"
        );
    }
}

fn who(body: &Value, user_name: Option<&str>) -> Result<(Verdict, Identity), NoAnswer> {
    identity(StatusCode::OK, body.to_string().as_bytes(), user_name)
}

#[test]
fn who_is_allowed_is_the_user_that_it_says_or_that_the_service_says() {
    let allow = json!({"result": "allow"});
    let user = |body: &Value, name| who(body, name).unwrap().1.user.map(|it| it.to_string());
    assert_eq!(user(&allow, Some("u")).as_deref(), Some("u"));
    assert_eq!(user(&allow, None), None);
    let other = json!({"result": "allow", "user": "v"});
    assert_eq!(user(&other, Some("u")).as_deref(), Some("v"));
    let (verdict, identity) = identity(StatusCode::NO_CONTENT, b"", Some("u")).unwrap();
    assert_eq!(
        (verdict, identity.user.as_deref()),
        (Verdict::Allow, Some("u"))
    );
    // Nobody is anybody who is not let in.
    let deny = json!({"result": "deny", "user": "v", "acl": 7});
    assert!(who(&deny, Some("u")).unwrap().1.user.is_none());
}

#[test]
fn an_answer_may_say_more() {
    let body = json!({
        "result": "allow", "groups": ["a", "b"], "expire_at": 1_800_000_000.5,
        "acl": [{"permission": "allow", "action": "publish", "topic": "of/${username}"}],
        "client_attrs": {"passed": "over"}, "is_superuser": false,
    });
    let (_, identity) = who(&body, Some("u")).unwrap();
    assert_eq!(
        identity.groups.iter().map(|it| &**it).collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(
        identity.expires,
        Some(Timestamp::from_millis(1_800_000_000_500))
    );
    let ruling = |identity: &Identity, topic| {
        let who = Who {
            client_id: "c",
            identity,
            caller: None,
        };
        let access = Access::Publish {
            topic,
            qos: QoS::AtMostOnce,
            retain: false,
        };
        let grants = identity.grants.as_ref().unwrap();
        grants.ruling(&who, access, &mut || panic!("answers at once"))
    };
    assert_eq!(ruling(&identity, "of/u"), Ruling::Allow);
    assert_eq!(ruling(&identity, "x"), Ruling::Silent);
    for name in ["superuser", "is_superuser"] {
        let mut body = body.clone();
        body[name] = json!(true);
        if name == "superuser" {
            body.as_object_mut().unwrap().remove("is_superuser");
        }
        let (_, identity) = who(&body, Some("u")).unwrap();
        assert_eq!(ruling(&identity, "x"), Ruling::Allow, "{name}");
    }
}

#[test]
fn more_that_is_not_understood_is_no_answer() {
    for (name, value) in [
        ("user", json!(7)),
        ("user", json!("")),
        ("user", json!("a\nb")),
        ("groups", json!("a")),
        ("groups", json!([1])),
        ("expires", json!("tomorrow")),
        ("expires", json!(-1)),
        ("expires", json!(1e300)),
        ("superuser", json!("yes")),
        ("acl", json!([{"permission": "allow"}])),
    ] {
        let body = json!({"result": "allow", name: value});
        assert_eq!(who(&body, Some("u")).err(), Some("malformed"), "{body}");
    }
}
