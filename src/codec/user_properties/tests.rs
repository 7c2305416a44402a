use super::*;

#[test]
fn pairs_come_back_in_order() {
    let mut buf = UserPropertiesBuf::new();
    assert!(buf.as_ref().is_empty());
    buf.push("a", "1").unwrap();
    buf.push("", "").unwrap();
    buf.push("a", "ø").unwrap();
    let pairs: Vec<_> = buf.as_ref().iter().collect();
    assert_eq!(pairs, [("a", "1"), ("", ""), ("a", "ø")]);
    assert_eq!(buf.as_ref().encoded_len(), 7 + 5 + 8);
    assert_eq!(
        format!("{:?}", buf.as_ref()),
        r#"[("a", "1"), ("", ""), ("a", "ø")]"#
    );
}

#[test]
fn equality_looks_through_what_lies_between() {
    let scattered = UserProperties::validated(b"\x26\0\x01a\0\x011\x23\0\x01\x26\0\x01b\0\x012");
    let mut buf = UserPropertiesBuf::new();
    buf.push("a", "1").unwrap();
    assert_ne!(scattered, buf.as_ref());
    buf.push("b", "2").unwrap();
    assert_eq!(scattered, buf.as_ref());
    assert_eq!(scattered.encoded_len(), 14);
    let mut out = Vec::new();
    scattered.write(&mut out);
    assert_eq!(out, buf.bytes);
}

#[test]
fn bad_pairs_are_not_taken_in() {
    let mut buf = UserPropertiesBuf::new();
    let long = "x".repeat(65_536);
    assert_eq!(buf.push(&long, ""), Err(EncodeError::FieldTooLong));
    assert_eq!(buf.push("", &long), Err(EncodeError::FieldTooLong));
    assert_eq!(buf.push("a", "\0"), Err(EncodeError::NullCharacter));
    assert!(buf.as_ref().is_empty());
}
