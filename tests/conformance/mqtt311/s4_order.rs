//! Section 4.6: message ordering.

use std::ops::Range;

use super::peer::{
    client, connack, connect, expect_sent, persistent, publish, received, resume, start, subscribe,
    subscriber,
};
use crate::bytes::{Connect, Publish, puback, pubcomp, pubrec, pubrel};
use crate::received::expect_alive;
use crate::support::raw::{RawClient, narrow};

/// Identifiers in no order at all.
const IDS: [u16; 8] = [7, 3, 65_535, 1, 0x0100, 2, 9, 4];

#[test]
// Breaks if: session/window.rs `resend` goes through the entries backwards, or by id.
fn mqtt311_4_6_0_1_messages_are_sent_again_in_their_order() {
    const MESSAGES: usize = 60;
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let mut subscriber = connect(&broker, &persistent("subscriber"));
    subscribe(&mut subscriber, "t/+", 2);
    let mut sent = Vec::new();
    for number in 0..MESSAGES {
        let (topic, payload) = (format!("t/{}", number % 3), number.to_string());
        let qos = u8::try_from(1 + number % 2).expect("1 or 2");
        publish(&mut publisher, qos, &topic, &payload);
        let id = expect_sent(&mut subscriber, qos, &topic, &payload);
        sent.push(Publish::v311(&topic, &payload).qos(qos, id).dup().bytes());
        // Holes, and ids that are used again: their order is not that of the messages.
        if number % 10 == 4 {
            subscriber.send(&puback(id));
            expect_alive(&mut subscriber);
            sent.pop();
        }
    }
    for _ in 0..2 {
        drop(subscriber);
        subscriber = resume(&broker, &persistent("subscriber"));
        for again in &sent {
            subscriber.expect(again);
        }
        expect_alive(&mut subscriber);
    }
}

#[test]
// Breaks if: session/replies.rs `push` puts an acknowledgement in front, or `pop` passes over one that waits.
fn mqtt311_4_6_0_2_pubacks_are_sent_in_the_order_of_the_messages() {
    let broker = start();
    let _subscriber = subscriber(&broker, "subscriber", "heard", 1);
    let mut publisher = client(&broker, "publisher");
    for _ in 0..20 {
        let burst: Vec<_> = IDS
            .iter()
            .zip(["heard", "unheard"].into_iter().cycle())
            .map(|(id, topic)| Publish::v311(topic, "").qos(1, *id).bytes())
            .collect();
        publisher.send(&burst.concat());
        for id in IDS {
            publisher.expect(&puback(id));
        }
    }
}

#[test]
// Breaks if: session/replies.rs `push` puts an acknowledgement in front, or `pop` passes over one that waits.
fn mqtt311_4_6_0_3_pubrecs_are_sent_in_the_order_of_the_messages() {
    let broker = start();
    let _subscriber = subscriber(&broker, "subscriber", "heard", 2);
    let mut publisher = client(&broker, "publisher");
    for _ in 0..20 {
        let burst: Vec<_> = IDS
            .iter()
            .zip(["heard", "unheard"].into_iter().cycle())
            .map(|(id, topic)| Publish::v311(topic, "").qos(2, *id).bytes())
            .collect();
        publisher.send(&burst.concat());
        for id in IDS {
            publisher.expect(&pubrec(id));
        }
        publisher.send(&IDS.map(pubrel).concat());
        for id in IDS {
            publisher.expect(&pubcomp(id));
        }
    }
}

#[test]
// Breaks if: session/outbound.rs `pubrec` leaves the PUBREL to `draw`, which goes by the order of the messages.
fn mqtt311_4_6_0_4_pubrels_are_sent_in_the_order_of_the_pubrecs() {
    let broker = start();
    let mut subscriber = subscriber(&broker, "subscriber", "t", 2);
    let mut publisher = client(&broker, "publisher");
    for shift in 0..6 {
        let mut ids = ["0", "1", "2", "3", "4", "5"].map(|payload| {
            publish(&mut publisher, 2, "t", payload);
            expect_sent(&mut subscriber, 2, "t", payload)
        });
        ids.rotate_left(shift);
        ids.swap(1, 4);
        // In one write, so that there is something to confuse.
        subscriber.send(&ids.map(pubrec).concat());
        for id in ids {
            subscriber.expect(&pubrel(id));
        }
        subscriber.send(&ids.map(pubcomp).concat());
    }
}

/// More messages than may be in flight at once: some go straight through, some wait, and those of each topic come
/// out in the order in which they went in.
#[test]
// Breaks if: queue/mod.rs `pop` gives out the newest first.
fn mqtt311_4_6_0_5_every_topic_is_ordered_by_default() {
    const MESSAGES: usize = 600;
    let broker = start();
    for qos in 0..3 {
        let mut subscriber = subscriber(&broker, "subscriber", "t/+", qos);
        let mut publisher = client(&broker, "publisher");
        // The first half before anything is acknowledged, so that there are some that wait.
        publish_all(&mut publisher, qos, 0..MESSAGES / 2);
        let rest = MESSAGES / 2..MESSAGES;
        let publishing = std::thread::spawn(move || publish_all(&mut publisher, qos, rest));
        let mut next = [0, 1, 2];
        let mut window = Vec::new();
        let mut count = 0;
        while count < MESSAGES {
            let packet = subscriber.packet();
            if packet[0] == 0x62 {
                subscriber.send(&[&[0x70], &packet[1..]].concat());
                continue;
            }
            let message = crate::received::Published::v311(&packet);
            let number: usize = String::from_utf8_lossy(&message.payload)
                .parse()
                .expect("a number");
            let topic = number % 3;
            assert_eq!(
                (&message.topic[..], number),
                (&*format!("t/{topic}"), next[topic])
            );
            next[topic] += 3;
            count += 1;
            // Acknowledged in batches, the latest first.
            window.push(message.packet_id);
            if window.len() == 100 || count == MESSAGES {
                for id in window.drain(..).rev() {
                    match qos {
                        0 => {}
                        1 => subscriber.send(&puback(id)),
                        _ => subscriber.send(&pubrec(id)),
                    }
                }
            }
        }
        publishing.join().expect("the publisher has done its part");
    }
}

/// Publishes these numbers to three topics, in bursts, and takes what answers them.
fn publish_all(publisher: &mut RawClient, qos: u8, numbers: Range<usize>) {
    let mut published = numbers.start;
    while published < numbers.end {
        let ids: Vec<u16> = (1..=100).collect();
        let burst: Vec<_> = ids
            .iter()
            .map(|id| {
                let number = published + usize::from(*id) - 1;
                let topic = format!("t/{}", number % 3);
                let message = Publish::v311(topic, number.to_string());
                message.qos(qos, *id).bytes()
            })
            .collect();
        publisher.send(&burst.concat());
        for id in &ids {
            match qos {
                0 => {}
                1 => publisher.expect(&puback(*id)),
                _ => publisher.expect(&pubrec(*id)),
            }
        }
        if qos == 2 {
            for id in &ids {
                publisher.send(&pubrel(*id));
                publisher.expect(&pubcomp(*id));
            }
        }
        published += ids.len();
    }
    // Nothing answers QoS 0: all has been handled when this is answered.
    expect_alive(publisher);
}

/// Several publishers at once, each with all three QoS to one topic: what comes from one of them at one QoS comes in
/// its order, to every subscriber.
#[test]
// Breaks if: session/outbound.rs `deliver` puts a message that has to wait in front of the queue, or
// session/wire.rs lets two flushers write at once.
fn mqtt311_4_6_0_6_messages_of_one_client_topic_and_qos_keep_their_order() {
    const ROUNDS: u16 = 300;
    let broker = start();
    let names = ["a", "b", "c"];
    let mut subscribers =
        ["1", "2"].map(|name| subscriber(&broker, &format!("subscriber {name}"), "t", 2));
    let publishing = names.map(|name| {
        let mut publisher = client(&broker, name);
        std::thread::spawn(move || {
            for round in 0..ROUNDS {
                let payload = format!("{name} {round}");
                // Three messages under way at once, not one after the other.
                let messages = [0, 1, 2].map(|qos| {
                    let id = round * 2 + u16::from(qos);
                    Publish::v311("t", &payload).qos(qos, id + 1).bytes()
                });
                publisher.send(&messages.concat());
                publisher.expect(&puback(round * 2 + 2));
                publisher.expect(&pubrec(round * 2 + 3));
                publisher.send(&pubrel(round * 2 + 3));
                publisher.expect(&pubcomp(round * 2 + 3));
            }
        })
    });
    for subscriber in &mut subscribers {
        let mut next = [[0; 3]; 3];
        let mut left = 3 * names.len() * usize::from(ROUNDS);
        while left > 0 {
            let packet = subscriber.packet();
            if packet[0] == 0x62 {
                subscriber.send(&[&[0x70], &packet[1..]].concat());
                continue;
            }
            let message = crate::received::Published::v311(&packet);
            let text = String::from_utf8(message.payload).expect("a name and a number");
            let (name, round) = text.split_once(' ').expect("a name and a number");
            let from = names.iter().position(|known| *known == name);
            let expected = &mut next[from.expect("a publisher")][usize::from(message.qos)];
            assert_eq!(
                round,
                expected.to_string(),
                "from {name} at {}",
                message.qos
            );
            *expected += 1;
            left -= 1;
            match message.qos {
                0 => {}
                1 => subscriber.send(&puback(message.packet_id)),
                _ => subscriber.send(&pubrec(message.packet_id)),
            }
        }
    }
    for publisher in publishing {
        publisher.join().expect("the publisher has done its part");
    }
    // Nothing is left over.
    let mut marker = client(&broker, "marker");
    publish(&mut marker, 0, "t", "marker");
    for subscriber in &mut subscribers {
        let rest = std::iter::repeat_with(|| subscriber.packet()).find(|packet| packet[0] != 0x62);
        let rest = crate::received::Published::v311(&rest.expect("it repeats for ever"));
        assert_eq!(rest.payload, b"marker");
    }
}

/// Every connection adds a message, which comes after all that is sent again.
#[test]
// Breaks if: session/window.rs `add` puts a new entry in front.
fn mqtt311_4_6_0_1_also_with_one_message_at_a_time() {
    let broker = start();
    let mut publisher = client(&broker, "publisher");
    let mut subscriber = connect(&broker, &persistent("subscriber"));
    subscribe(&mut subscriber, "t", 1);
    for payload in ["1", "2", "3"] {
        publish(&mut publisher, 1, "t", payload);
        drop(subscriber);
        subscriber = resume(&broker, &persistent("subscriber"));
        let before = payload.parse::<usize>().expect("a number");
        for expected in 1..=before {
            assert_eq!(
                received(&mut subscriber).payload,
                expected.to_string().as_bytes()
            );
        }
        expect_alive(&mut subscriber);
    }
}

/// Far more than socket buffers hold, for a client that does not read: most of it waits in the broker.
#[test]
// Breaks if: queue/mod.rs `push` puts a message of QoS 0 in front.
fn mqtt311_4_6_0_6_also_at_qos_0_for_who_reads_late() {
    const MESSAGES: usize = 600;
    let broker = start();
    let mut late = RawClient::over(narrow(broker.tcp));
    late.send(&Connect::v311("late").bytes());
    late.expect(&connack(false, 0));
    subscribe(&mut late, "t", 0);
    let mut publisher = client(&broker, "publisher");
    let payload = |number: usize| format!("{number:016384}");
    for number in 0..MESSAGES {
        publisher.send(&Publish::v311("t", payload(number)).bytes());
    }
    expect_alive(&mut publisher);
    for number in 0..MESSAGES {
        let message = received(&mut late);
        assert!(
            message.payload == payload(number).as_bytes(),
            "not message {number}"
        );
    }
    expect_alive(&mut late);
}
