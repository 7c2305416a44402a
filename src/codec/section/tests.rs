use super::*;
use crate::codec::ReasonCode;

#[test]
fn every_property_can_be_skipped() {
    for byte in 0..=u8::MAX {
        let Some(id) = PropertyId::from_byte(byte) else {
            continue;
        };
        assert_eq!(id as u8, byte);
        // Zeros make a shortest value of every form; the marker must be what is left.
        let mut reader = Reader::new(&[0, 0, 0, 0, 0xEE]);
        id.skip(&mut reader).unwrap();
        assert_eq!(reader.rest().last(), Some(&0xEE));
        let taken = 5 - reader.rest().len();
        assert!((1..=4).contains(&taken), "{id:?} took {taken}");
        assert!(id.skip(&mut Reader::new(&[])).is_err());
    }
}

#[test]
fn a_stretch_reaches_from_the_first_to_the_last() {
    let bytes = [0, 1, 2, 3, 4, 5];
    let mut stretch = Stretch::default();
    assert!(stretch.bytes().is_empty());
    stretch.extend(&bytes[1..], &bytes[2..]);
    assert_eq!(stretch.bytes(), [1]);
    stretch.extend(&bytes[4..], &bytes[5..]);
    assert_eq!(stretch.bytes(), [1, 2, 3, 4]);
    assert_eq!(stretch.count, 2);
}

#[test]
fn sections_keep_to_their_length() {
    let mut reader = Reader::new(&[2, 0x01, 0x01, 0x55]);
    let mut section = Section::open(&mut reader).unwrap();
    assert_eq!(reader.rest(), [0x55]);
    assert_eq!(
        section.next_id(),
        Ok(Some(PropertyId::PayloadFormatIndicator))
    );
    assert_eq!(section.flag(), Ok(true));
    assert_eq!(section.next_id(), Ok(None));
    assert!(section.flag().is_err());
}

#[test]
fn repetition_is_refused_unless_allowed() {
    let bytes = [0x0B, 1, 0x0B, 2];
    let mut section = Section::of(&bytes);
    section.next_id().unwrap();
    section.variable().unwrap();
    assert_eq!(
        section.next_id().unwrap_err().code,
        ReasonCode::ProtocolError
    );
    let mut section = Section::of(&bytes).repeatable(PropertyId::SubscriptionIdentifier);
    section.next_id().unwrap();
    section.variable().unwrap();
    assert_eq!(
        section.next_id(),
        Ok(Some(PropertyId::SubscriptionIdentifier))
    );
}
