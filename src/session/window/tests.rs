use super::*;
use crate::message::{Message, Parts};
use crate::queue::SubscriptionIds;

const OK: ReasonCode = ReasonCode::Success;
const REFUSED: ReasonCode = ReasonCode::QuotaExceeded;

pub(super) fn delivery(qos: QoS, payload: &str) -> Delivery {
    let parts = Parts {
        topic: "t",
        forwarded: &[],
        payload: payload.as_bytes(),
        qos,
        retain: false,
        expires: None,
    };
    Delivery {
        message: Message::new(parts, &mut Vec::new()),
        subscription_ids: SubscriptionIds::default(),
        qos,
        retain: false,
        attempts: 0,
    }
}

fn payload(delivery: &Delivery) -> &str {
    std::str::from_utf8(delivery.message.payload()).expect("text")
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("not zero")
}

fn group(number: u64) -> Option<Source> {
    NonZeroU64::new(number).map(Source)
}

fn add(window: &mut Window, qos: QoS) -> u16 {
    window
        .add(delivery(qos, "m"), None)
        .expect("an id is free")
        .get()
}

/// Adds a message and has it acknowledged at once.
fn pass(window: &mut Window) -> u16 {
    let given = add(window, QoS::AtLeastOnce);
    assert!(window.puback(id(given)).expect("in step").is_some());
    given
}

/// Offers everything that is unsent; returns ids, with an R where PUBREL is due.
fn offered(window: &mut Window, mut answer: impl FnMut(u16) -> Resend) -> Vec<String> {
    let mut offers = Vec::new();
    window.resend(|entry| {
        let release = matches!(entry.stage, Stage::Release);
        offers.push(format!("{}{}", entry.id, if release { "R" } else { "" }));
        answer(entry.id.get())
    });
    offers
}

// [MQTT5-2.2.1-4] [MQTT311-2.3.1-1]
#[test]
fn ids_go_up_from_1_and_around_without_0() {
    let mut window = Window::new();
    for expected in 1..=u16::MAX {
        assert_eq!(pass(&mut window), expected);
    }
    assert_eq!(pass(&mut window), 1, "0 is no id");
}

// [MQTT5-2.2.1-4] [MQTT311-2.3.1-4]
#[test]
fn an_id_in_use_is_passed_over_every_time_around() {
    let mut window = Window::new();
    let stuck = [
        add(&mut window, QoS::ExactlyOnce),
        add(&mut window, QoS::AtLeastOnce),
    ];
    assert_eq!(stuck, [1, 2]);
    for _ in 0..3 {
        for expected in 3..=u16::MAX {
            assert_eq!(pass(&mut window), expected);
        }
    }
    assert_eq!(window.len(), 2);
}

// [MQTT5-2.2.1-4] [MQTT311-2.3.1-4]
#[test]
fn ids_met_behind_a_stuck_oldest_are_passed_over_too() {
    let mut window = Window::new();
    let oldest = add(&mut window, QoS::AtLeastOnce);
    for _ in 2..=9 {
        pass(&mut window);
    }
    assert_eq!(add(&mut window, QoS::AtLeastOnce), 10);
    assert_eq!(add(&mut window, QoS::AtLeastOnce), 11);
    for _ in 12..=u16::MAX {
        pass(&mut window);
    }
    // Around: 1 is stuck, and beyond it 10 and 11 are met in the second lap.
    for expected in 2..=9 {
        assert_eq!(add(&mut window, QoS::AtLeastOnce), expected);
    }
    assert_eq!(add(&mut window, QoS::AtLeastOnce), 12);
    // The oldest goes, and what is now the oldest is not what ids meet first.
    assert!(window.puback(id(oldest)).expect("in step").is_some());
    for _ in 13..=u16::MAX {
        pass(&mut window);
    }
    assert_eq!(add(&mut window, QoS::AtLeastOnce), 1, "free again");
    assert_eq!(add(&mut window, QoS::AtLeastOnce), 13, "2 to 12 are in use");
}

#[test]
fn with_all_ids_taken_the_message_comes_back_until_one_is_free() {
    let mut window = Window::new();
    for _ in 1..=u16::MAX {
        add(&mut window, QoS::AtLeastOnce);
    }
    let back = window.add(delivery(QoS::AtLeastOnce, "one too many"), None);
    assert_eq!(payload(&back.expect_err("no id is free")), "one too many");
    assert!(window.puback(id(40)).expect("in step").is_some());
    assert_eq!(add(&mut window, QoS::AtLeastOnce), 40, "the only free one");
    assert!(
        window
            .add(delivery(QoS::AtLeastOnce, "again"), None)
            .is_err()
    );
}

#[test]
fn ids_stay_distinct_through_laps_with_holes() {
    let mut window = Window::new();
    let mut in_use = std::collections::VecDeque::new();
    for step in 0_u32..200_000 {
        let given = add(&mut window, QoS::AtLeastOnce);
        assert!(!in_use.contains(&given), "{given} is in use");
        in_use.push_back(given);
        // The oldest stay a long time, others go in an order of their own.
        if in_use.len() > 20 {
            let index = if step % 5_000 == 0 {
                0
            } else {
                10 + step as usize % 10
            };
            let gone = in_use.remove(index).expect("in range");
            assert!(window.puback(id(gone)).expect("in step").is_some());
        }
    }
}

#[test]
fn qos1_ends_with_puback() {
    let mut window = Window::new();
    add(&mut window, QoS::AtLeastOnce);
    assert_eq!(window.newest().map(payload), Some("m"));
    assert!(window.puback(id(1)).expect("in step").is_some());
    assert!(
        window.puback(id(1)).expect("in step").is_none(),
        "the second one ends nothing"
    );
    assert_eq!(window.len(), 0);
}

// [MQTT5-4.3.3-4] [MQTT5-4.3.3-5] [MQTT5-4.3.3-6]
#[test]
fn qos2_ends_with_pubcomp_and_drops_its_message_at_pubrec() {
    let mut window = Window::new();
    add(&mut window, QoS::ExactlyOnce);
    assert_eq!(window.pubrec(id(1), OK), Ok(Received::Release(OK)));
    assert!(window.newest().is_none(), "only the id is needed any more");
    assert_eq!(
        window.pubrec(id(1), OK),
        Ok(Received::Release(OK)),
        "a repeated PUBREC"
    );
    assert_eq!(window.pubcomp(id(1)), Ok(true));
    assert_eq!(window.pubcomp(id(1)), Ok(false));
    assert_eq!(window.len(), 0);
}

// [MQTT5-4.4.0-2]
#[test]
fn an_error_pubrec_ends_the_exchange() {
    let mut window = Window::new();
    add(&mut window, QoS::ExactlyOnce);
    assert_eq!(window.pubrec(id(1), REFUSED), Ok(Received::Refused(true)));
    assert_eq!(window.pubrec(id(1), REFUSED), Ok(Received::Refused(false)));
    assert_eq!(window.len(), 0);
}

// [MQTT5-3.6.2-1]
#[test]
fn a_pubrec_of_an_unknown_id_is_told_so() {
    let mut window = Window::new();
    let unknown = ReasonCode::PacketIdentifierNotFound;
    assert_eq!(window.pubrec(id(7), OK), Ok(Received::Release(unknown)));
}

#[test]
fn acknowledgements_of_the_wrong_kind_are_out_of_step_and_change_nothing() {
    let mut window = Window::new();
    add(&mut window, QoS::AtLeastOnce);
    add(&mut window, QoS::ExactlyOnce);
    add(&mut window, QoS::ExactlyOnce);
    assert_eq!(window.pubrec(id(3), OK), Ok(Received::Release(OK)));
    assert_eq!(window.pubrec(id(1), OK), Err(OutOfStep));
    assert_eq!(window.pubrec(id(1), REFUSED), Err(OutOfStep));
    assert_eq!(window.pubcomp(id(1)), Err(OutOfStep));
    assert_eq!(window.puback(id(2)).err(), Some(OutOfStep));
    assert_eq!(window.pubcomp(id(2)), Err(OutOfStep));
    assert_eq!(window.puback(id(3)).err(), Some(OutOfStep));
    assert_eq!((window.len(), window.sent()), (3, 3));
}

// [MQTT5-4.4.0-1] [MQTT5-4.6.0-1] [MQTT311-4.4.0-1] [MQTT311-4.6.0-1]
#[test]
fn entries_are_offered_once_per_connection_in_their_first_order() {
    let mut window = Window::new();
    for qos in [
        QoS::AtLeastOnce,
        QoS::ExactlyOnce,
        QoS::ExactlyOnce,
        QoS::AtLeastOnce,
    ] {
        add(&mut window, qos);
    }
    assert_eq!(window.pubrec(id(3), OK), Ok(Received::Release(OK)));
    assert_eq!(
        offered(&mut window, |_| Resend::Sent),
        [""; 0],
        "at no other time"
    );
    window.detach();
    assert!(window.has_unsent());
    assert_eq!(window.sent(), 0);
    let half = |id| if id < 3 { Resend::Sent } else { Resend::Later };
    assert_eq!(offered(&mut window, half), ["1", "2", "3R", "4"]);
    assert_eq!(window.sent(), 2);
    assert_eq!(offered(&mut window, |_| Resend::Sent), ["3R", "4"]);
    assert!(!window.has_unsent());
    window.detach();
    assert_eq!(
        offered(&mut window, |_| Resend::Sent),
        ["1", "2", "3R", "4"]
    );
}

#[test]
fn an_entry_given_up_frees_its_id() {
    let mut window = Window::new();
    add(&mut window, QoS::AtLeastOnce);
    add(&mut window, QoS::AtLeastOnce);
    window.detach();
    let first = |id| {
        if id == 1 {
            Resend::Forget
        } else {
            Resend::Later
        }
    };
    assert_eq!(offered(&mut window, first), ["1", "2"]);
    assert_eq!((window.len(), window.sent()), (1, 0));
    assert!(window.puback(id(1)).expect("in step").is_none());
    assert!(window.has_unsent());
}

#[test]
fn acknowledgements_before_the_resend_leave_the_rest_to_be_sent() {
    let mut window = Window::new();
    for qos in [
        QoS::AtLeastOnce,
        QoS::ExactlyOnce,
        QoS::ExactlyOnce,
        QoS::AtLeastOnce,
    ] {
        add(&mut window, qos);
    }
    window.detach();
    assert!(window.puback(id(1)).expect("in step").is_some());
    assert_eq!(
        window.pubrec(id(2), OK),
        Ok(Received::Release(OK)),
        "PUBREL leaves with it"
    );
    assert_eq!(window.pubrec(id(3), REFUSED), Ok(Received::Refused(true)));
    assert_eq!((window.len(), window.sent()), (2, 1));
    assert_eq!(offered(&mut window, |_| Resend::Sent), ["4"]);
}

// [MQTT5-4.8.2-4]
#[test]
fn groups_get_their_qos1_messages_back_in_order() {
    let mut window = Window::new();
    let entries = [
        (QoS::AtLeastOnce, "a", group(1)),
        (QoS::AtLeastOnce, "own", None),
        (QoS::ExactlyOnce, "begun", group(1)),
        (QoS::AtLeastOnce, "b", group(2)),
        (QoS::AtLeastOnce, "acknowledged", group(1)),
        (QoS::AtLeastOnce, "c", group(1)),
    ];
    for (qos, payload, source) in entries {
        assert!(window.add(delivery(qos, payload), source).is_ok());
    }
    assert!(window.puback(id(5)).expect("in step").is_some());
    let back = window.detach();
    let back: Vec<_> = back
        .iter()
        .map(|(source, d)| (Some(*source), payload(d)))
        .collect();
    assert_eq!(back, [(group(1), "a"), (group(2), "b"), (group(1), "c")]);
    assert_eq!(offered(&mut window, |_| Resend::Sent), ["2", "3"]);
    assert_eq!(window.detach().len(), 0, "nothing goes back twice");
}

#[test]
fn an_emptied_window_holds_no_memory() {
    let mut window = Window::new();
    for _ in 0..1000 {
        add(&mut window, QoS::AtLeastOnce);
    }
    for number in 1..=1000 {
        assert!(window.puback(id(number)).expect("in step").is_some());
    }
    assert_eq!(window.entries.capacity(), 0);
}
