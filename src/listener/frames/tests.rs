//! Frames that somebody else's encoder has made, cut anywhere; and everything that breaks the rules.

use proptest::prelude::*;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::*;

const BINARY: OpCode = OpCode::Data(Data::Binary);
const CONTINUE: OpCode = OpCode::Data(Data::Continue);

/// A frame as a client sends it.
fn frame(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = match opcode {
        OpCode::Data(_) => Frame::message(payload.to_vec(), opcode, is_final),
        OpCode::Control(_) => {
            let mut frame = Frame::pong(payload.to_vec());
            frame.header_mut().opcode = opcode;
            frame.header_mut().is_final = is_final;
            frame
        }
    };
    frame.header_mut().mask = Some([0x11, 0x22, 0x44, 0x88]);
    let mut bytes = Vec::new();
    frame.format(&mut bytes).expect("memory takes all");
    bytes
}

fn binary(payload: &[u8]) -> Vec<u8> {
    frame(BINARY, true, payload)
}

fn control(control: Control, payload: &[u8]) -> Vec<u8> {
    frame(OpCode::Control(control), true, payload)
}

/// All data in `bytes`, which come in pieces of this size; the last ping, and the end.
fn taken(bytes: &[u8], size: usize) -> (Vec<u8>, Option<Vec<u8>>, Option<End>) {
    let mut inbound = Inbound::default();
    let (mut data, mut ping) = (Vec::new(), None);
    for piece in bytes.chunks(size) {
        let mut piece = piece.to_vec();
        let taken = inbound.take(&mut piece);
        data.extend_from_slice(&piece[..taken.data]);
        ping = taken.ping.or(ping);
        if taken.end.is_some() {
            return (data, ping, taken.end);
        }
    }
    (data, ping, None)
}

fn breach_of(bytes: &[u8]) -> Option<(u16, &'static str)> {
    let ends: Vec<_> = [1, 3, usize::MAX]
        .map(|size| taken(bytes, size).2)
        .into_iter()
        .collect();
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
    match ends[0] {
        Some(End::Breach(breach)) => Some((breach.code, breach.what)),
        _ => None,
    }
}

#[test]
fn payloads_are_one_stream_wherever_frames_begin() {
    let long = vec![7; 70_000];
    let bytes = [
        binary(b"one"),
        binary(b""),
        frame(BINARY, false, b"two "),
        control(Control::Ping, b"there?"),
        frame(CONTINUE, false, &long[..200]),
        control(Control::Pong, b"unasked"),
        frame(CONTINUE, true, &long),
        binary(b"three"),
    ]
    .concat();
    let data = [b"onetwo ", &long[..200], &long, b"three"].concat();
    for size in [1, 2, 3, 7, 64, 1000, 65_536, usize::MAX] {
        let expected = (data.clone(), Some(b"there?".to_vec()), None);
        assert!(taken(&bytes, size) == expected, "in pieces of {size}");
    }
}

#[test]
fn lengths_around_every_form_are_taken() {
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 65_537] {
        let payload: Vec<_> = (0..length).map(|at| (at % 251) as u8).collect();
        let bytes = [binary(&payload), binary(b"!")].concat();
        let (data, ..) = taken(&bytes, 4096);
        assert!(data == [&payload[..], b"!"].concat(), "{length}");
    }
}

/// Breaks if: a length that is only said makes anything grow.
#[test]
fn a_frame_of_any_length_is_passed_on_as_it_comes() {
    let mut head = vec![0x82, 0xff];
    head.extend_from_slice(&0x7fff_ffff_ffff_ffff_u64.to_be_bytes());
    head.extend_from_slice(&[0; 4]);
    let mut inbound = Inbound::default();
    let taken = inbound.take(&mut head);
    assert_eq!(taken, Taken::default());
    for _ in 0..3 {
        let mut piece = vec![0x30; 5000];
        assert_eq!(inbound.take(&mut piece).data, 5000);
    }
    assert_eq!(inbound.control.capacity(), 0);
}

#[test]
fn only_the_last_ping_waits_for_an_answer() {
    let bytes = [
        control(Control::Ping, b"1"),
        control(Control::Ping, &[2; 125]),
    ]
    .concat();
    assert_eq!(taken(&bytes, 4096), (vec![], Some(vec![2; 125]), None));
    assert_eq!(
        taken(&control(Control::Ping, b""), 1),
        (vec![], Some(vec![]), None)
    );
}

#[test]
fn nothing_comes_after_close() {
    let status = |code: u16| code.to_be_bytes().to_vec();
    let reasoned = [&status(4999)[..], "æ".as_bytes()].concat();
    for (payload, code) in [
        (vec![], None),
        (status(1000), Some(1000)),
        (status(1001), Some(1001)),
        (reasoned, Some(4999)),
    ] {
        let bytes = [
            binary(b"last"),
            control(Control::Close, &payload),
            binary(b"late"),
            vec![0xff; 10],
        ]
        .concat();
        for size in [1, usize::MAX] {
            let end = Some(End::Close(code));
            assert_eq!(taken(&bytes, size), (b"last".to_vec(), None, end));
        }
    }
}

#[test]
fn who_breaks_the_rules_is_told_by_a_status_code() {
    let unmasked = vec![0x82, 0x01, 0x00];
    let reserved = |bits: u8| {
        let mut bytes = binary(b"x");
        bytes[0] |= bits;
        bytes
    };
    let opcode = |opcode: u8| {
        let mut bytes = binary(b"x");
        bytes[0] = 0x80 | opcode;
        bytes
    };
    let length = |length: &[u8]| [&[0x82][..], length, &[0; 4]].concat();
    let text = OpCode::Data(Data::Text);
    let ping = OpCode::Control(Control::Ping);
    let close = |payload: &[u8]| control(Control::Close, payload);
    for (bytes, code) in [
        // [MQTT5-6.0.0-1]
        (frame(text, true, b"{}"), 1003),
        (frame(text, false, b""), 1003),
        (unmasked, 1002),
        (reserved(0x10), 1002),
        (reserved(0x20), 1002),
        (reserved(0x40), 1002),
        (opcode(0x3), 1002),
        (opcode(0x7), 1002),
        (opcode(0xb), 1002),
        (opcode(0xf), 1002),
        (frame(CONTINUE, true, b"of what?"), 1002),
        ([frame(BINARY, false, b"a"), binary(b"b")].concat(), 1002),
        (
            [
                frame(BINARY, false, b"a"),
                frame(CONTINUE, true, b""),
                frame(CONTINUE, true, b""),
            ]
            .concat(),
            1002,
        ),
        (frame(ping, false, b""), 1002),
        (control(Control::Ping, &[0; 126]), 1002),
        (length(&[0xfe, 0, 125]), 1002),
        (length(&[0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), 1002),
        (length(&[0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]), 1002),
        (close(&[3]), 1002),
        (close(&999_u16.to_be_bytes()), 1002),
        (close(&1004_u16.to_be_bytes()), 1002),
        (close(&1005_u16.to_be_bytes()), 1002),
        (close(&1006_u16.to_be_bytes()), 1002),
        (close(&1015_u16.to_be_bytes()), 1002),
        (close(&5000_u16.to_be_bytes()), 1002),
        (close(&[0x03, 0xe8, 0xff]), 1007),
    ] {
        let breach = breach_of(&bytes);
        assert_eq!(
            breach.map(|it| it.0),
            Some(code),
            "{bytes:02x?}: {breach:?}"
        );
    }
}

#[test]
fn headers_to_clients_are_those_of_another_encoder() {
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 24] {
        for (opcode, theirs) in [
            (Opcode::Binary, BINARY),
            (Opcode::Pong, OpCode::Control(Control::Pong)),
            (Opcode::Close, OpCode::Control(Control::Close)),
        ] {
            let mut expected = Vec::new();
            let mut frame = Frame::pong(vec![]);
            frame.header_mut().opcode = theirs;
            let written = frame.header().format(length, &mut expected);
            written.expect("memory takes all");
            let (bytes, size) = header(opcode, usize::try_from(length).expect("small"));
            assert_eq!(bytes[..size], expected, "{opcode:?} of {length}");
        }
    }
}

proptest! {
    /// However the bytes are cut, what is taken is the same.
    #[test]
    fn cuts_make_no_difference(
        bytes in prop::collection::vec(prop_oneof![3 => Just(0x82_u8), 2 => Just(0x81), 5 => any::<u8>()], 0..200),
        frames in prop::collection::vec((prop::sample::select(vec![BINARY, CONTINUE]), any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 0..6),
        size in 1_usize..40,
    ) {
        let frames = frames.iter().flat_map(|(opcode, is_final, payload)| frame(*opcode, *is_final, payload));
        let all: Vec<u8> = frames.chain(bytes).collect();
        prop_assert_eq!(taken(&all, size), taken(&all, usize::MAX));
    }
}
