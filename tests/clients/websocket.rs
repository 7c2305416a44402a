//! MQTT in a WebSocket: how frames and packets relate, who is let in, and how it ends.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame};
use tungstenite::{Error, Message};

use crate::limits::read_to_close;
use crate::support::DEADLINE;
use crate::support::broker::Broker;
use crate::support::raw::{
    Carrier, RawClient, connect_5, connect_311, connect_311_with_will, puback_311, publish_311,
    publish_311_qos1, subscribe_311,
};
use crate::support::tls;
use crate::support::websocket::{Framed, WS, WSS, connect, request};

const ANONYMOUS: &str = "[auth]\nanonymous = true\n";

fn start(rest: &str) -> Broker {
    Broker::configured(&format!("{ANONYMOUS}{rest}{WS}"))
}

fn closed(reason: &str) -> String {
    format!("postbud_connections_closed_total{{reason=\"{reason}\"}}")
}

#[track_caller]
fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, DEADLINE).expect("the port is bound");
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("an option every socket has");
    stream
}

#[track_caller]
fn open(broker: &Broker) -> Framed<TcpStream> {
    connect(tcp(broker.listening("ws")))
}

/// Sends a frame of our own making.
#[track_caller]
fn send_frame(client: &mut Framed<TcpStream>, opcode: Data, is_final: bool, payload: &[u8]) {
    let frame = Frame::message(payload.to_vec(), OpCode::Data(opcode), is_final);
    let sent = client.socket.send(Message::Frame(frame));
    sent.expect("the connection is open");
}

/// The next message; the answer to a ping and the like as well.
#[track_caller]
fn next(client: &mut Framed<TcpStream>) -> Message {
    client.socket.read().expect("a message")
}

/// The code of the Close that comes next, and that the connection ends then.
#[track_caller]
fn expect_close(client: &mut Framed<TcpStream>) -> Option<u16> {
    let code = match next(client) {
        Message::Close(frame) => frame.map(|frame| frame.code.into()),
        other => panic!("no Close: {other:?}"),
    };
    match client.socket.read() {
        Err(Error::ConnectionClosed) => code,
        other => panic!("no end: {other:?}"),
    }
}

const CONNACK_311: [u8; 4] = [0x20, 0x02, 0x00, 0x00];

#[test]
fn frames_and_packets_need_not_align() {
    let broker = start("");
    let mut client = open(&broker);
    // One packet in three frames of a message, a ping between them, and one in two messages.
    let connect = connect_311("client");
    send_frame(&mut client, Data::Binary, false, &connect[..1]);
    client
        .socket
        .send(Message::Ping("still there?".into()))
        .expect("open");
    send_frame(&mut client, Data::Continue, false, &connect[1..7]);
    send_frame(&mut client, Data::Continue, true, &connect[7..]);
    assert_eq!(next(&mut client), Message::Pong("still there?".into()));
    assert_eq!(next(&mut client), Message::binary(&CONNACK_311[..]));
    let subscribe = subscribe_311(1, "news", 0);
    let (first, second) = subscribe.split_at(5);
    send_frame(&mut client, Data::Binary, true, first);
    send_frame(&mut client, Data::Binary, true, b"");
    send_frame(&mut client, Data::Binary, true, second);
    assert_eq!(next(&mut client), Message::binary(&[0x90, 3, 0, 1, 0][..]));
    // Three packets in one frame, the last of them in part.
    let said = [
        publish_311("news", b"one"),
        publish_311("news", b"two"),
        vec![0xc0, 0x00],
    ]
    .concat();
    let (most, last) = said.split_at(said.len() - 1);
    send_frame(&mut client, Data::Binary, true, most);
    send_frame(&mut client, Data::Binary, true, last);
    let expected = [
        publish_311("news", b"one"),
        publish_311("news", b"two"),
        vec![0xd0, 0x00],
    ]
    .concat();
    let mut received = Vec::new();
    while received.len() < expected.len() {
        received.extend_from_slice(&next(&mut client).into_data());
    }
    assert_eq!(received, expected);
}

/// Breaks if: a frame is put together before it is taken, and so has to have a bound.
#[test]
fn a_frame_may_hold_more_packets_than_anything_else() {
    let broker = start("[session]\npacket_size_maximum = \"8KiB\"\n");
    let mut client = RawClient::over(open(&broker));
    client.open(&connect_311("client"));
    let many: Vec<u8> = (1..=1000)
        .flat_map(|id| publish_311_qos1(id, "news", &[b'x'; 4096]))
        .collect();
    client.send(&many);
    for id in 1..=1000 {
        client.expect(&puback_311(id));
    }
}

/// Payloads around every length of a header, both ways, over ws and wss.
#[test]
fn payloads_of_all_sizes_arrive_byte_for_byte() {
    let broker = Broker::configured(&format!("{ANONYMOUS}{WS}{WSS}"));
    let secure = |broker: &Broker| {
        let stream = tls::connect(tcp(broker.listening("wss")), &broker.certificates.authority);
        RawClient::over(connect(stream))
    };
    let mut clients = [RawClient::over(open(&broker)), secure(&broker)];
    for (client, name) in clients.iter_mut().zip(["over ws", "over wss"]) {
        client.open(&connect_311(name));
        client.subscribe_311("sizes", 0);
    }
    let most = 1024 * 1024 - 1 - 3 - 2 - "sizes".len();
    for size in [
        0, 115, 116, 117, 118, 119, 16_384, 65_520, 65_525, 65_536, 200_000, most,
    ] {
        let payload: Vec<_> = (0..size).map(|at| (at % 251) as u8).collect();
        let message = publish_311("sizes", &payload);
        for from in 0..clients.len() {
            clients[from].send(&message);
            for client in &mut clients {
                assert!(client.packet() == message, "{size} bytes");
            }
        }
    }
}

#[test]
fn a_text_frame_ends_the_connection() {
    let broker = start("");
    let mut watcher = RawClient::accepted(broker.tcp, &connect_311("watcher"));
    watcher.subscribe_311("will", 0);
    let mut client = open(&broker);
    let address = client.socket().local_addr().expect("bound").to_string();
    client
        .write_all(&connect_311_with_will("client", "will", "gone"))
        .expect("open");
    client.flush().expect("open");
    assert_eq!(next(&mut client), Message::binary(&CONNACK_311[..]));
    client.socket.send(Message::text("{}")).expect("open");
    // [MQTT5-6.0.0-1]
    assert_eq!(expect_close(&mut client), Some(1003));
    watcher.expect(&publish_311("will", b"gone"));
    broker.wait_for_samples(&[(&closed("websocket_error"), 1.0)]);
    broker.wait_for_log(&[
        "websocket_error",
        "a text frame",
        &address,
        "listener=\"ws:",
    ]);
}

#[test]
fn frames_against_the_rules_end_the_connection() {
    let broker = start("");
    let masked = |head: &[u8]| [head, &[0; 4]].concat();
    for (bytes, code) in [
        (vec![0x82, 0x02, 0xc0, 0x00], 1002),
        (masked(&[0xc2, 0x80]), 1002),
        (masked(&[0x83, 0x80]), 1002),
        (masked(&[0x80, 0x80]), 1002),
        (masked(&[0x89, 0xfe, 0, 126]), 1002),
        (masked(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]), 1002),
    ] {
        let mut client = open(&broker);
        client.socket.get_mut().write_all(&bytes).expect("open");
        assert_eq!(expect_close(&mut client), Some(code), "{bytes:02x?}");
    }
    broker.wait_for_samples(&[
        (&closed("websocket_error"), 6.0),
        ("postbud_connections", 0.0),
    ]);
}

/// What a frame says of its length is nothing to hold on to; what is in it has the bounds of every packet.
#[test]
fn a_frame_of_any_length_costs_nothing_and_a_packet_too_large_is_refused() {
    let broker = start("[session]\npacket_size_maximum = \"8KiB\"\n");
    let mut client = open(&broker);
    let head = [&[0x82, 0xff][..], &(u64::MAX >> 1).to_be_bytes(), &[0; 4]].concat();
    let body = [&connect_5("client")[..], &[0x30, 0xff, 0xff, 0xff, 0x7f]].concat();
    client
        .socket
        .get_mut()
        .write_all(&[head, body].concat())
        .expect("open");
    // In one frame or two.
    let mut received = Vec::new();
    let end = loop {
        match next(&mut client) {
            Message::Binary(payload) => received.extend_from_slice(&payload),
            end => break end,
        }
    };
    assert_eq!(received[0], 0x20, "{received:02x?}");
    let disconnect = &received[2 + usize::from(received[1])..];
    assert_eq!((disconnect[0], disconnect[2]), (0xe0, 0x95));
    match end {
        Message::Close(Some(frame)) => assert_eq!(frame.code, CloseCode::Normal),
        other => panic!("no Close: {other:?}"),
    }
}

#[test]
fn either_side_closes_and_the_other_answers() {
    let broker = start("");
    let mut watcher = RawClient::accepted(broker.tcp, &connect_311("watcher"));
    watcher.subscribe_311("will/#", 0);
    let with_will = |name: &str| connect_311_with_will(name, &format!("will/{name}"), "gone");
    let mut polite = open(&broker);
    let said = [with_will("polite"), vec![0xe0, 0x00]].concat();
    send_frame(&mut polite, Data::Binary, true, &said);
    assert_eq!(next(&mut polite), Message::binary(&CONNACK_311[..]));
    assert_eq!(expect_close(&mut polite), Some(1000));
    // A Close is no DISCONNECT.
    let mut brief = open(&broker);
    send_frame(&mut brief, Data::Binary, true, &with_will("brief"));
    assert_eq!(next(&mut brief), Message::binary(&CONNACK_311[..]));
    let reason = CloseFrame {
        code: CloseCode::Away,
        reason: "the page is left".into(),
    };
    brief.socket.close(Some(reason)).expect("open");
    assert_eq!(expect_close(&mut brief), Some(1001));
    watcher.expect(&publish_311("will/brief", b"gone"));
    broker.wait_for_samples(&[
        (&closed("disconnected"), 1.0),
        (&closed("eof"), 1.0),
        ("postbud_connections", 1.0),
    ]);
}

#[test]
fn a_stopping_broker_says_why_and_closes() {
    let broker = start("");
    let mut client = open(&broker);
    send_frame(&mut client, Data::Binary, true, &connect_5("client"));
    assert_eq!(next(&mut client).into_data()[0], 0x20);
    broker.signal("TERM");
    let disconnect = next(&mut client).into_data();
    assert_eq!((disconnect[0], disconnect[2]), (0xe0, 0x8b));
    assert_eq!(expect_close(&mut client), Some(1000));
    assert_eq!(broker.finish().code, Some(0));
}

#[track_caller]
fn status(address: SocketAddr, path: &str, fields: &[(&'static str, &str)]) -> u16 {
    match request(tcp(address), path, fields) {
        Ok((_, response)) => response.status().as_u16(),
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("no answer: {error}"),
    }
}

#[test]
fn who_asks_for_something_else_is_refused() {
    let origins = "[listener.websocket]\norigins = [\"https://example.org\"]\n";
    let broker = Broker::configured(&format!("{ANONYMOUS}{WS}{origins}"));
    let address = broker.listening("ws");
    let protocol = |name| ("Sec-WebSocket-Protocol", name);
    let mqtt = protocol("mqtt");
    let from = |origin| ("Origin", origin);
    for (path, fields, expected) in [
        ("/mqtt", &[mqtt][..], 101),
        ("/mqtt", &[protocol("mqttv3.1")], 101),
        ("/mqtt", &[protocol("chat, mqtt")], 101),
        ("/mqtt", &[mqtt, from("https://example.org")], 101),
        ("/mqtt", &[mqtt, from("https://evil.example")], 403),
        ("/mqtt", &[mqtt, from("null")], 403),
        ("/", &[mqtt], 404),
        ("/mqtt", &[protocol("wamp")], 400),
    ] {
        assert_eq!(status(address, path, fields), expected, "{path} {fields:?}");
    }
    // Neither a subprotocol, nor a WebSocket, nor HTTP at all.
    let host = "Host: x\r\n";
    let mut talkers = [
        (
            "GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "HTTP/1.1 426 ",
        ),
        (
            format!("POST /mqtt HTTP/1.1\r\n{host}\r\n"),
            "HTTP/1.1 400 ",
        ),
        (
            String::from_utf8(connect_311("client")).expect("it is ASCII") + "\r\n\r\n",
            "HTTP/1.1 400 ",
        ),
        (
            format!("GET /mqtt HTTP/1.1\r\n{}", host.repeat(10_000)),
            "HTTP/1.1 400 ",
        ),
    ]
    .into_iter();
    let refused = |(said, answer): (String, &str)| {
        let mut stream = tcp(address);
        // The broker may have had enough before it is all said.
        let _ = stream.write_all(said.as_bytes());
        let heard = read_to_close(&mut stream);
        let heard = String::from_utf8_lossy(&heard).into_owned();
        assert!(heard.starts_with(answer), "{said:.40}: {heard}");
        stream.local_addr().expect("bound").to_string()
    };
    let address = refused(talkers.next().expect("the first"));
    broker.wait_for_log(&["websocket_refused", "request for something else", &address]);
    talkers.for_each(|talker| drop(refused(talker)));
    broker.wait_for_samples(&[
        (&closed("websocket_refused"), 8.0),
        ("postbud_connections_handshaking", 0.0),
    ]);
}

#[test]
fn a_slow_request_is_not_waited_for() {
    let broker = start("[limits]\nconnect_timeout = \"500ms\"\n");
    let mut stream = tcp(broker.listening("ws"));
    stream
        .write_all(b"GET /mqtt HTTP/1.1\r\nHost: x\r\n")
        .expect("open");
    let begun = Instant::now();
    // A byte now and then does not help: there is one deadline for all of it.
    while stream.write_all(b"x").is_ok() {
        assert!(begun.elapsed() < DEADLINE, "still waited for");
        std::thread::sleep(Duration::from_millis(20));
    }
    // And the request is not all that has to come in time.
    let mut late = open(&broker);
    assert!(matches!(next(&mut late), Message::Close(_)));
    broker.wait_for_samples(&[(&closed("no_connect"), 2.0)]);
}

/// Breaks if: ALPN is that of MQTT, for which browsers do not ask.
#[test]
fn browsers_ask_for_http_inside_tls() {
    let broker = Broker::configured(&format!("{ANONYMOUS}{WSS}"));
    let stream = tls::connect_asking(
        tcp(broker.listening("wss")),
        &broker.certificates.authority,
        &[b"h2", b"http/1.1"],
    );
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut client = RawClient::over(connect(stream));
    client.open(&connect_311("client"));
}
