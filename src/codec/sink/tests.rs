use super::*;

struct Bytes(usize);

impl Layout for Bytes {
    fn first_byte(&self) -> u8 {
        0x30
    }

    fn body<S: Sink>(&self, _: Version, sink: &mut S) {
        // Counted without being there: the first pass must refuse before the second would write.
        static BLOCK: [u8; 1 << 20] = [0; 1 << 20];
        for _ in 0..self.0 >> 20 {
            sink.bytes(&BLOCK);
        }
        sink.bytes(&BLOCK[..self.0 & ((1 << 20) - 1)]);
    }
}

#[test]
fn lengths_that_do_not_fit_are_faults_and_write_nothing() {
    let mut out = Vec::new();
    let error = encode(&Bytes(268_435_456), Version::V5, &mut out);
    assert_eq!(error, Err(EncodeError::PacketTooLarge));
    assert_eq!(out.capacity(), 0);
    assert_eq!(encoded_len(&Bytes(268_435_455), Version::V5), 268_435_460);
    assert_eq!(encoded_len(&Bytes(127), Version::V5), 129);
    assert_eq!(encoded_len(&Bytes(128), Version::V5), 131);
}

#[test]
fn the_first_fault_is_kept() {
    let mut counter = Counter::default();
    counter.string("a\0");
    counter.binary(&[0; 65_536]);
    assert_eq!(counter.finish(), Err(EncodeError::NullCharacter));
    let mut counter = Counter::default();
    counter.binary(&[0; 65_536]);
    assert_eq!(counter.finish(), Err(EncodeError::FieldTooLong));
    let mut counter = Counter::default();
    counter.variable(268_435_456);
    assert_eq!(counter.finish(), Err(EncodeError::PacketTooLarge));
}

#[test]
fn both_sinks_count_alike() {
    let mut counter = Counter::default();
    let mut out = Vec::new();
    fn write<S: Sink>(sink: &mut S) {
        sink.u8(1);
        sink.u16(2);
        sink.u32(3);
        for value in [
            0,
            127,
            128,
            16_383,
            16_384,
            2_097_151,
            2_097_152,
            268_435_455,
        ] {
            sink.variable(value);
        }
        sink.string("ø");
        sink.binary(b"\0\xFF");
        sink.flag_property(PropertyId::RetainAvailable, Some(true));
        sink.u16_property(PropertyId::TopicAlias, None);
    }
    write(&mut counter);
    write(&mut out);
    assert_eq!(counter.finish(), Ok(out.len()));
    assert_eq!(
        out[7..27],
        [
            0, 0x7F, 0x80, 1, 0xFF, 0x7F, 0x80, 0x80, 1, 0xFF, 0xFF, 0x7F, 0x80, 0x80, 0x80, 1,
            0xFF, 0xFF, 0xFF, 0x7F
        ]
    );
}
