//! A WebSocket over a stream that takes little at a time, heard by somebody else's client.

use std::collections::VecDeque;
use std::io::{Cursor, Read, Write};
use std::task::Waker;

use proptest::prelude::*;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket as Client};

use super::*;

/// What the broker reads and writes: writes take as many bytes as `room` says, one number each; at its end
/// they take all.
#[derive(Debug, Default)]
struct Pipe {
    comes: VecDeque<Vec<u8>>,
    is_over: bool,
    left: Vec<u8>,
    room: VecDeque<usize>,
    writes: usize,
    shut: bool,
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.comes.pop_front() {
            Some(bytes) => buffer.put_slice(&bytes),
            None if !self.is_over => return Poll::Pending,
            None => {}
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all: Vec<u8> = parts.iter().flat_map(|part| part.to_vec()).collect();
        let room = self.room.pop_front().unwrap_or(all.len());
        if room == 0 {
            return Poll::Pending;
        }
        let taken = room.min(all.len());
        self.writes += 1;
        self.left.extend_from_slice(&all[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut = true;
        Poll::Ready(Ok(()))
    }
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn websocket(pipe: Pipe) -> WebSocket<Pipe> {
    WebSocket::new(pipe, Meter::default())
}

/// What a client has sent with these messages.
fn said(messages: &[Message]) -> Vec<u8> {
    let mut client = Client::from_raw_socket(Cursor::new(Vec::new()), Role::Client, None);
    for message in messages {
        client.write(message.clone()).expect("memory takes all");
    }
    client.flush().expect("memory takes all");
    client.get_ref().get_ref().clone()
}

/// What a client hears: messages, until there are no more.
fn heard(bytes: &[u8]) -> Vec<Message> {
    struct Heard<'a>(&'a [u8]);
    impl Read for Heard<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }
    impl Write for Heard<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut client = Client::from_raw_socket(Heard(bytes), Role::Client, None);
    let mut messages = Vec::new();
    while let Ok(message) = client.read() {
        messages.push(message);
    }
    messages
}

/// Reads once; nothing if there is nothing yet.
fn read(websocket: &mut WebSocket<Pipe>) -> Option<Vec<u8>> {
    let mut buffer = [0; 4096];
    match websocket.poll_read(&mut context(), &mut buffer) {
        Poll::Ready(count) => Some(buffer[..count.unwrap()].to_vec()),
        Poll::Pending => None,
    }
}

/// Writes as a driver does: what was not taken is offered again.
fn write(websocket: &mut WebSocket<Pipe>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        if let Poll::Ready(taken) = websocket.poll_write(&mut context(), bytes) {
            bytes = &bytes[taken.unwrap()..];
        }
    }
    while websocket.poll_flush(&mut context()).is_pending() {}
}

fn close(websocket: &mut WebSocket<Pipe>) {
    while websocket.poll_close(&mut context()).is_pending() {}
}

fn code(message: &Message) -> Option<u16> {
    match message {
        Message::Close(frame) => frame.as_ref().map(|frame| frame.code.into()),
        other => panic!("no Close: {other:?}"),
    }
}

/// Breaks if: a frame is made of each packet, or its header is a write of its own.
#[test]
fn a_batch_is_one_frame_and_one_write() {
    let mut websocket = websocket(Pipe::default());
    let batch = [7; 70_000];
    write(&mut websocket, &batch);
    assert_eq!(websocket.stream.writes, 1);
    assert_eq!(
        heard(&websocket.stream.left),
        [Message::binary(batch.to_vec())]
    );
}

#[test]
fn a_ping_is_answered_between_two_frames() {
    let mut websocket = websocket(Pipe::default());
    // Header and two bytes, then nothing.
    websocket.stream.room = [4, 0, 0].into();
    let batch = b"batch";
    let taken = websocket.poll_write(&mut context(), batch);
    assert!(matches!(taken, Poll::Ready(Ok(2))), "{taken:?}");
    let pings = [Message::Ping("early".into()), Message::Ping("late".into())];
    websocket.stream.comes.push_back(said(&pings));
    assert_eq!(read(&mut websocket), None);
    write(&mut websocket, &batch[2..]);
    let expected = [Message::binary(&batch[..]), Message::Pong("late".into())];
    assert_eq!(heard(&websocket.stream.left), expected);
    // And without anything to write.
    websocket.stream.comes.push_back(said(&pings[..1]));
    assert_eq!(read(&mut websocket), None);
    assert_eq!(
        heard(&websocket.stream.left)[2..],
        [Message::Pong("early".into())]
    );
}

#[test]
fn an_idle_connection_holds_nothing() {
    let mut websocket = websocket(Pipe::default());
    websocket.stream.room = [1, 3, 0, 1].into();
    websocket
        .stream
        .comes
        .push_back(said(&[Message::Ping(vec![1; 125].into())]));
    while websocket.pong.is_some() || !websocket.urgent.is_empty() || read(&mut websocket).is_some()
    {
    }
    write(&mut websocket, &[1; 1000]);
    assert_eq!(websocket.urgent.capacity(), 0);
    assert!(size_of_val(&websocket) - size_of::<Pipe>() < 256);
}

#[test]
fn the_clients_close_is_answered_with_its_code() {
    let mut websocket = websocket(Pipe::default());
    let frame = tungstenite::protocol::CloseFrame {
        code: 1001.into(),
        reason: "away".into(),
    };
    let last = [Message::binary("last"), Message::Close(Some(frame))];
    websocket.stream.comes.push_back(said(&last));
    assert_eq!(read(&mut websocket), Some(b"last".to_vec()));
    assert_eq!(read(&mut websocket), Some(vec![]), "the end");
    assert_eq!(websocket.breach(), None);
    // It reads no more.
    write(&mut websocket, b"late");
    close(&mut websocket);
    let heard = heard(&websocket.stream.left);
    assert_eq!(heard.iter().map(code).collect::<Vec<_>>(), [Some(1001)]);
    assert!(websocket.stream.shut);
}

#[test]
fn our_close_waits_for_the_clients() {
    let mut websocket = websocket(Pipe::default());
    write(&mut websocket, b"goodbye");
    close(&mut websocket);
    close(&mut websocket);
    let heard = heard(&websocket.stream.left);
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert_eq!(code(&heard[1]), Some(1000));
    assert!(
        !websocket.stream.shut,
        "the client's Close is still to come"
    );
    // What it says meanwhile is nobody's, and not answered.
    let late = [Message::binary("late"), Message::Ping("?".into())];
    websocket.stream.comes.push_back(said(&late));
    assert_eq!(read(&mut websocket), Some(b"late".to_vec()));
    websocket
        .stream
        .comes
        .push_back(said(&[Message::Close(None)]));
    assert_eq!(read(&mut websocket), Some(vec![]), "the end");
    assert!(websocket.stream.shut);
    assert_eq!(super::tests::heard(&websocket.stream.left).len(), 2);
}

#[test]
fn a_breach_is_told_and_ends_the_connection_below() {
    let mut websocket = websocket(Pipe::default());
    let messages = [Message::binary("fine"), Message::text("not fine")];
    websocket.stream.comes.push_back(said(&messages));
    assert_eq!(read(&mut websocket), Some(b"fine".to_vec()));
    assert_eq!(read(&mut websocket), Some(vec![]));
    let breach = websocket.breach().expect("a breach");
    assert_eq!(breach.ending, Ending::WebSocketError);
    // What was on its way to it still goes there.
    write(&mut websocket, b"answer");
    close(&mut websocket);
    let heard = heard(&websocket.stream.left);
    assert_eq!(heard[0], Message::binary("answer"));
    assert_eq!(code(&heard[1]), Some(1003));
    assert!(websocket.stream.shut);
    // And whatever it goes on to say is thrown away.
    websocket.stream.comes.push_back(vec![0xff; 10]);
    assert_eq!(read(&mut websocket).map(|it| it.len()), Some(10));
}

#[test]
fn an_end_without_close_is_an_end() {
    let mut websocket = websocket(Pipe::default());
    websocket.stream.is_over = true;
    assert_eq!(read(&mut websocket), Some(vec![]));
    assert_eq!(websocket.breach(), None);
}

/// Who only pings does not keep the thread.
#[test]
fn pings_take_turns_with_others() {
    let mut websocket = websocket(Pipe::default());
    let pings = (0..READS_PER_POLL + 1).map(|_| said(&[Message::Ping("?".into())]));
    websocket.stream.comes = pings.collect();
    assert_eq!(read(&mut websocket), None);
    assert_eq!(websocket.stream.comes.len(), 1);
}

proptest! {
    /// However little the socket takes at a time, and whenever pings come, the client hears every byte of every
    /// batch, in order and in whole frames.
    #[test]
    fn whatever_the_socket_takes_the_client_hears_all(
        batches in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..400), 1..6),
        room in prop::collection::vec(0_usize..150, 0..60),
    ) {
        let mut websocket = websocket(Pipe { room: room.into(), ..Pipe::default() });
        for batch in &batches {
            websocket.stream.comes.push_back(said(&[Message::Ping("?".into())]));
            let mut rest = &batch[..];
            while !rest.is_empty() {
                read(&mut websocket);
                if let Poll::Ready(taken) = websocket.poll_write(&mut context(), rest) {
                    rest = &rest[taken.unwrap()..];
                }
            }
        }
        while websocket.poll_flush(&mut context()).is_pending() {}
        close(&mut websocket);
        let heard = heard(&websocket.stream.left);
        let data = |message: &Message| matches!(message, Message::Binary(_));
        let data: Vec<_> = heard.iter().filter(|it| data(it)).cloned().collect();
        let expected: Vec<_> = batches.into_iter().map(Message::binary).collect();
        prop_assert_eq!(data, expected);
        prop_assert_eq!(heard.last().and_then(code), Some(1000));
    }
}
