//! What is read into a batch that fills many wires.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::listener::transport::Direct;

use super::socket::{Calls, Counted, drive};
use super::*;

const SUBSCRIBERS: usize = MANY_WIRES + 16;

/// SUBSCRIBE to "t" at QoS 0, and PUBLISH of "x" to it at QoS 1 under this id.
const SUBSCRIBE: &[u8] = b"\x82\x06\x00\x01\x00\x01t\x00";
fn publish(id: u8) -> [u8; 8] {
    [0x32, 6, 0, 1, b't', 0, id, b'x']
}

/// CONNECT of a client with this number, MQTT 3.1.1, without a Keep Alive.
fn connect(number: usize) -> Vec<u8> {
    let mut packet = b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x00\x00\x03".to_vec();
    packet.extend(format!("{number:03}").bytes());
    packet
}

async fn session(broker: &Arc<Broker>, number: usize, calls: Counted) -> UnixStream {
    let (mut client, calls) = calls.connected();
    drop(drive(broker, Direct::new(calls)));
    client.write_all(&connect(number)).await.expect("CONNECT");
    let mut answer = [0; 4];
    client.read_exact(&mut answer).await.expect("CONNACK");
    client
}

// Breaks if: what has come by the time that many wires are filled waits until all are written, or the
// publisher's answers do.
#[test]
fn what_comes_while_many_wires_are_filled_goes_with_the_rest() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let broker = broker();
        let mut subscribers = Vec::new();
        for number in 0..SUBSCRIBERS {
            let calls = Arc::<Calls>::default();
            let mut client = session(&broker, number, Counted::new(&calls)).await;
            client.write_all(SUBSCRIBE).await.expect("SUBSCRIBE");
            let mut answer = [0; 5];
            client.read_exact(&mut answer).await.expect("SUBACK");
            subscribers.push((client, calls));
        }
        let calls = Arc::<Calls>::default();
        // As soon as it has been heard, it says more.
        let talkative = Counted::new(&calls).saying_more(publish(2).to_vec());
        let mut publisher = session(&broker, SUBSCRIBERS, talkative).await;
        for (_, calls) in &subscribers {
            calls.take();
        }
        calls.take();
        publisher.write_all(&publish(1)).await.expect("PUBLISH");
        let mut answers = [0; 8];
        publisher.read_exact(&mut answers).await.expect("PUBACKs");
        assert_eq!(answers, [0x40, 2, 0, 1, 0x40, 2, 0, 2]);
        for (client, calls) in &mut subscribers {
            let mut messages = [0; 12];
            client.read_exact(&mut messages).await.expect("PUBLISH");
            assert_eq!(messages, *b"\x30\x04\x00\x01tx\x30\x04\x00\x01tx");
            let (_, writes) = calls.take();
            assert_eq!(writes, 1, "both in one");
        }
        let (_, writes) = calls.take();
        assert_eq!(writes, 2, "each answer before the messages are written");
    });
}
