//! Bytes stay as they are, and no bytes do harm.

use super::super::bytes::Reader;
use super::super::{entry, format};
use super::model::Op;
use crate::codec::QoS;
use crate::message::{Message, Parts};
use crate::store::record::{KeptWill, Opened, Owner, Record};

fn each() -> Vec<Op> {
    vec![
        Op::Opened(8, true),
        Op::Left(3, true),
        Op::WillDone(3),
        Op::Ended(3),
        Op::Subscribed(3, "a", QoS::ExactlyOnce),
        Op::Unsubscribed(3, "a"),
        Op::Group(4),
        Op::Dissolved(4),
        Op::Message {
            number: 302,
            topic: 1,
            held: Some((3, 7)),
            retained: true,
            targets: vec![(3, false, QoS::AtLeastOnce), (4, true, QoS::ExactlyOnce)],
        },
        Op::Cleared(1),
        Op::Released(3, 7),
        Op::Fed(3, 302),
        Op::Sent(3, 1, 302, Some(4), QoS::AtLeastOnce),
        Op::Received(3, 1),
        Op::Done(3, 1),
        Op::Dropped(4, 302),
        Op::Returned(3, 1),
        Op::Delayed {
            number: 304,
            topic: 2,
            held: Some((3, 7)),
        },
        Op::Due {
            number: 304,
            retained: Some(2),
            targets: vec![(3, false, QoS::AtLeastOnce)],
        },
    ]
}

// Breaks if: the layout of any record changes, so that an older store could not be read.
#[test]
fn records_are_written_as_they_always_were() {
    let mut text = String::new();
    for op in each() {
        let mut bytes = Vec::new();
        op.encode(&mut bytes);
        let hex = bytes.iter().map(|it| format!("{it:02x}"));
        text += &hex.collect::<String>();
        text.push('\n');
    }
    assert_eq!(text, include_str!("golden-records-1.txt"));
}

// Breaks if: the layout of a session that is somebody's changes, or whose it is is lost on the way.
#[test]
fn whose_a_session_is_is_written_as_it_always_was() {
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|it| format!("{it:02x}"))
            .collect::<String>()
    };
    let cases = [
        (
            (Some("ann"), None),
            "1b09073c01630103616e6e",
            "1d0e070101630103616e6e3c00000000",
        ),
        (
            (None, Some("m/")),
            "1b08073c016302026d2f",
            "1d0d0701016302026d2f3c00000000",
        ),
        (
            (Some(""), Some("m/")),
            "1b09073c01630300026d2f",
            "1d0e070101630300026d2f3c00000000",
        ),
        ((None, None), "01043c", ""),
    ];
    for ((user, mount), opened, carried) in cases {
        let owner = Owner { user, mount };
        let record = Record::Opened(Opened {
            session: 7,
            client_id: "c",
            owner,
            expiry: 60,
            will: None,
            back: false,
        });
        let (mut frame, mut rest) = (Vec::new(), Vec::new());
        format::encode(&mut frame, &mut rest, &record);
        let read = entry::next(&mut Reader(&frame)).and_then(|(kind, it)| entry::decode(kind, it));
        let Some(entry::Entry::Opened { owner: found, .. }) = read else {
            panic!("{read:?}");
        };
        assert_eq!(found, owner);
        let session = entry::Session {
            client_id: "c".into(),
            owner: owner.into(),
            expiry: 60,
            ..entry::Session::default()
        };
        let holder = entry::Holder {
            number: 7,
            session: Some(session),
            in_flight: Vec::new(),
        };
        rest.clear();
        let kind = entry::write_holder(&mut rest, &holder);
        let read = entry::decode(kind, &rest);
        assert!(matches!(read, Some(entry::Entry::Holder(found)) if found == holder));
        // As before there were users, if it is nobody's.
        if owner == Owner::default() {
            assert_eq!((frame[0], kind), (1, 21));
        } else {
            let mut frame_of_holder = Vec::new();
            format::finish(&mut frame_of_holder, kind, &rest);
            assert_eq!(hex(&frame), opened);
            assert_eq!(hex(&frame_of_holder), carried);
        }
    }
}

// Breaks if: decoding trusts a length or a number.
#[test]
fn no_bytes_do_harm() {
    let mut frame = Vec::new();
    for op in each() {
        op.encode(&mut frame);
    }
    let read = |frame: &[u8]| {
        let mut reader = Reader(frame);
        let mut good = 0;
        while let Some((kind, rest)) = entry::next(&mut reader) {
            good += usize::from(entry::decode(kind, rest).is_some());
            entry::will(rest);
        }
        good
    };
    assert_eq!(read(&frame), each().len());
    for at in 0..frame.len() {
        assert!(read(&frame[..at]) <= each().len());
        for bit in 0..8 {
            let mut bad = frame.clone();
            bad[at] ^= 1 << bit;
            read(&bad);
            bad[at] = 0xff;
            read(&bad);
        }
    }
}

// Breaks if: records say more than they need to.
#[test]
fn a_message_and_its_acknowledgement_are_small() {
    let mut bytes = Vec::new();
    let number = 3_000_000_000;
    let targets = vec![(2_000_000_000, false, QoS::AtLeastOnce)];
    let message = Op::Message {
        number,
        topic: 0,
        held: None,
        retained: false,
        targets,
    };
    message.encode(&mut bytes);
    Op::Sent(2_000_000_000, 60_000, number, None, QoS::AtLeastOnce).encode(&mut bytes);
    Op::Done(2_000_000_000, 60_000).encode(&mut bytes);
    let said = super::model::message(number, 0);
    let payload = said.topic().len() + said.payload().len();
    let over = bytes.len() - payload;
    assert!(over < 64, "{over} bytes beside topic and payload");
}

// Breaks if: who comes back is refused for want of room, who is new is not, or a large Will comes with
// either; or if the kind cannot be read again.
#[test]
fn who_was_there_before_needs_no_room() {
    for (back, will, grows) in [
        (false, None, true),
        (true, None, false),
        (true, Some(900), false),
        (true, Some(2000), true),
    ] {
        let message = will.map(|payload| {
            let parts = Parts {
                topic: "gone",
                forwarded: &[],
                payload: &vec![0; payload],
                qos: QoS::AtLeastOnce,
                retain: false,
                expires: None,
            };
            Message::new(parts, &mut Vec::new())
        });
        let record = Record::Opened(Opened {
            session: 7,
            client_id: "c",
            owner: Owner::default(),
            expiry: 60,
            will: message.as_ref().map(|message| KeptWill {
                message,
                delay: 0,
                expiry: None,
            }),
            back,
        });
        let kind = format::kind(&record);
        assert_eq!(format::grows(kind), grows, "{back} {will:?}");
        let (mut frame, mut rest) = (Vec::new(), Vec::new());
        format::encode(&mut frame, &mut rest, &record);
        let read = entry::next(&mut Reader(&frame)).and_then(|(kind, it)| entry::decode(kind, it));
        let same = matches!(read, Some(entry::Entry::Opened { session: 7, .. }));
        assert!(same, "{read:?}");
    }
}
