use serde_json::json;

use super::super::super::testing::Issuer;
use super::*;

fn part(value: &str) -> String {
    URL_SAFE_NO_PAD.encode(value)
}

#[test]
fn a_token_is_taken_apart() {
    let token = Issuer::secret().token("HS256", Some("k"), &json!({"sub": "anna"}));
    let read = Compact::read(&token).unwrap().unwrap();
    assert_eq!(
        (&*read.algorithm, read.key.as_deref()),
        ("HS256", Some("k"))
    );
    assert_eq!(read.signature.len(), 32);
    let (signed, _) = token.rsplit_once('.').unwrap();
    assert_eq!(read.signed, signed.as_bytes());
    assert_eq!(read.claims().unwrap()["sub"], "anna");
}

#[test]
fn what_does_not_look_like_one_is_left_to_others() {
    let header = part("{\"alg\":\"HS256\"}");
    for text in [
        "",
        "secret",
        "my.pass.word",
        "..",
        "e.e.e",
        "eyJ.eyJ",
        &header,
        &format!("{header}.e30"),
        &format!("{header}.e30.x.y"),
        &format!("{header}.e30.x.y.z"),
        &format!("{header}=.e30.x"),
        &format!("{}.e30.x", part("[\"alg\"]")),
        &format!("{}.e30.x", part("{\"alg\"")),
    ] {
        assert!(matches!(Compact::read(text), Ok(None)), "{text}");
    }
    for (text, looks) in [("my.pass.word", false), ("e..", true), ("ey", false)] {
        assert_eq!(looks_like_one(text.as_bytes()), looks, "{text}");
    }
    let token = Issuer::secret().token("HS256", None, &json!({}));
    assert!(looks_like_one(token.as_bytes()));
}

#[test]
fn what_looks_like_one_and_is_none_is_malformed() {
    for (header, rest) in [
        ("{}", "e30.e30"),
        ("{\"alg\":1}", "e30.e30"),
        ("{\"alg\":null}", "e30.e30"),
        ("{\"alg\":\"HS256\",\"kid\":7}", "e30.e30"),
        (
            "{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}",
            "e30.e30",
        ),
        ("{\"alg\":\"HS256\"}", "e30.not*base64"),
        ("{\"alg\":\"HS256\"}", "e30.e30="),
        // The last character has bits that are no part of the signature.
        ("{\"alg\":\"HS256\"}", "e30.e31"),
    ] {
        let token = format!("{}.{rest}", part(header));
        assert_eq!(
            Compact::read(&token).err(),
            Some(Wrong::Malformed),
            "{header} {rest}"
        );
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let token = format!("{}.{}.", part("{\"alg\":\"HS256\"}"), part(&deep));
    for claims in ["", "e30x", &part("[]"), &part("\"sub\""), &part(&deep)] {
        let token = format!("{}.{claims}.", part("{\"alg\":\"HS256\"}"));
        let read = Compact::read(&token).unwrap().unwrap();
        assert_eq!(
            read.claims().err(),
            Some(Wrong::Malformed),
            "{:.40}",
            claims
        );
    }
    assert!(Compact::read(&token).unwrap().is_some());
}
