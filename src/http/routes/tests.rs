//! Raw HTTP/1.1 over loopback sockets: what is answered, and what happens to peers that misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::connection::Limits;
use super::{State, serve_within};

/// How long a test waits for what must happen before it fails.
const DEADLINE: Duration = Duration::from_secs(20);
/// A limit that no test reaches.
const LONG: Duration = Duration::from_secs(3600);

const PATIENT: Limits = Limits {
    first: LONG,
    idle: LONG,
    ..Limits::SERVING
};

/// A server on a port of its own.
struct Server {
    address: SocketAddr,
    ready: Arc<AtomicBool>,
    failing: Arc<AtomicBool>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        Self::rendering(limits, "# HELP a b\na 1\n".to_owned()).await
    }

    async fn rendering(limits: Limits, metrics: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ready = Arc::new(AtomicBool::new(false));
        let failing = Arc::new(AtomicBool::new(false));
        let failure = failing.clone();
        let state = State {
            render: Arc::new(move || metrics.clone()),
            ready: ready.clone(),
            failure: Arc::new(move || failure.load(Ordering::Acquire).then(|| "it is full".into())),
        };
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move { drop(stopped.await) };
        let task = tokio::spawn(serve_within(limits, listener, state, shutdown));
        Self {
            address,
            ready,
            failing,
            stop,
            task,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// One request on a connection of its own.
    async fn request(&self, line: &str) -> String {
        let mut stream = self.connect().await;
        let request = format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        rest(&mut stream).await
    }
}

/// Everything until the server closes; a reset counts as closing.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut chunk).await {
            bytes.extend_from_slice(&chunk[..count]);
        }
    };
    timeout(DEADLINE, reading)
        .await
        .expect("the server closes the connection");
    String::from_utf8(bytes).unwrap()
}

/// Reads until `end` has arrived.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let reading = async {
        while !text.ends_with(end) {
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            text.push(char::from(byte[0]));
        }
    };
    timeout(DEADLINE, reading)
        .await
        .expect("the answer arrives");
    text
}

#[tokio::test]
async fn metrics_are_rendered_and_labelled_as_the_text_format() {
    let server = Server::start(PATIENT).await;
    let answer = server.request("GET /metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert!(answer.ends_with("\r\n\r\n# HELP a b\na 1\n"), "{answer}");
}

#[tokio::test]
async fn health_is_ok_whether_or_not_the_broker_is_ready() {
    let server = Server::start(PATIENT).await;
    for ready in [false, true] {
        server.ready.store(ready, Ordering::Release);
        let answer = server.request("GET /health").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
    }
}

#[tokio::test]
async fn readiness_follows_the_flag_both_ways() {
    let server = Server::start(PATIENT).await;
    let expected = [
        (
            false,
            "HTTP/1.1 503 Service Unavailable\r\n",
            "\r\n\r\nnot ready\n",
        ),
        (true, "HTTP/1.1 200 OK\r\n", "\r\n\r\nready\n"),
        (
            false,
            "HTTP/1.1 503 Service Unavailable\r\n",
            "\r\n\r\nnot ready\n",
        ),
    ];
    for (ready, status, body) in expected {
        server.ready.store(ready, Ordering::Release);
        let answer = server.request("GET /ready").await;
        assert!(answer.starts_with(status), "{answer}");
        assert!(answer.ends_with(body), "{answer}");
    }
}

// Breaks if: readiness does not ask whether anything can be stored, or health fails with it.
#[tokio::test]
async fn a_broker_that_cannot_store_is_well_and_not_ready() {
    let server = Server::start(PATIENT).await;
    server.ready.store(true, Ordering::Release);
    server.failing.store(true, Ordering::Release);
    let answer = server.request("GET /health").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nok, but it is full\n"), "{answer}");
    let answer = server.request("GET /ready").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\nnot ready: it is full\n"),
        "{answer}"
    );
    server.failing.store(false, Ordering::Release);
    let answer = server.request("GET /ready").await;
    assert!(answer.ends_with("\r\n\r\nready\n"), "{answer}");
}

#[tokio::test]
async fn other_paths_and_methods_are_told_what_there_is() {
    let server = Server::start(PATIENT).await;
    for path in ["/", "/metrics/", "/nothing?a=b"] {
        let answer = server.request(&format!("GET {path}")).await;
        assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
        for known in ["/metrics ", "/health ", "/ready "] {
            assert!(answer.contains(known), "{answer}");
        }
    }
    let answer = server.request("POST /metrics").await;
    assert!(
        answer.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"),
        "{answer}"
    );
    assert!(answer.contains("allow: GET,HEAD\r\n"), "{answer}");
    let answer = server.request("HEAD /health").await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn garbage_ends_only_its_own_connection() {
    let server = Server::start(PATIENT).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"\x10\x0c\x00\x04MQTT\x05\x02\x00\x3c\x00\r\n\r\n")
        .await
        .unwrap();
    let answer = rest(&mut stream).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
        "{answer}"
    );
    assert!(server.request("GET /health").await.ends_with("ok\n"));
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let server = Server::start(PATIENT).await;
    let mut stream = server.connect().await;
    // More bytes in total than one request may have: each answer starts the count anew.
    let padding = "a".repeat(PATIENT.request_bytes / 4);
    for _ in 0..8 {
        let request = format!("GET /health HTTP/1.1\r\nHost: a\r\nX: {padding}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        assert!(
            until(&mut stream, "\r\n\r\nok\n")
                .await
                .starts_with("HTTP/1.1 200 OK")
        );
    }
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let limits = Limits {
        first: Duration::from_millis(50),
        ..PATIENT
    };
    let server = Server::start(limits).await;
    assert_eq!(rest(&mut server.connect().await).await, "");
}

/// Bytes keep coming, but never a whole request: the deadline does not move.
#[tokio::test]
async fn a_dribbling_connection_is_closed() {
    let limits = Limits {
        first: Duration::from_millis(200),
        ..PATIENT
    };
    let server = Server::start(limits).await;
    let (mut reader, mut writer) = server.connect().await.into_split();
    let dribbling = tokio::spawn(async move {
        let mut every = tokio::time::interval(Duration::from_millis(10));
        writer.write_all(b"GET /health HTTP/1.1\r\nX: ").await?;
        loop {
            every.tick().await;
            writer.write_all(b"a").await?;
        }
        #[allow(unreachable_code)]
        Ok::<(), std::io::Error>(())
    });
    let mut byte = [0];
    let end = timeout(DEADLINE, reader.read(&mut byte))
        .await
        .expect("the server closes");
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    dribbling.abort();
}

#[tokio::test]
async fn a_connection_that_idles_after_an_answer_is_closed() {
    let limits = Limits {
        idle: Duration::from_millis(50),
        ..PATIENT
    };
    let server = Server::start(limits).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    assert!(rest(&mut stream).await.ends_with("\r\n\r\nok\n"));
}

/// The answer is far larger than the socket's buffers and nobody reads it: the place is given up.
#[tokio::test]
async fn a_peer_that_does_not_read_is_closed_and_its_place_is_free_again() {
    let limits = Limits {
        connections: 1,
        idle: Duration::from_millis(50),
        ..PATIENT
    };
    let server = Server::rendering(limits, "a".repeat(64 * 1024 * 1024)).await;
    let mut stuck = server.connect().await;
    stuck
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    assert!(server.request("GET /health").await.ends_with("ok\n"));
    drop(stuck);
}

#[tokio::test]
async fn an_endless_request_is_cut_off() {
    let server = Server::start(PATIENT).await;
    let mut stream = server.connect().await;
    let flood = async {
        stream.write_all(b"GET /health HTTP/1.1\r\n").await?;
        loop {
            stream
                .write_all(b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")
                .await?;
        }
        #[allow(unreachable_code)]
        Ok::<(), std::io::Error>(())
    };
    let outcome = timeout(DEADLINE, flood)
        .await
        .expect("the server stops reading and closes");
    assert!(outcome.is_err());
    assert!(server.request("GET /health").await.ends_with("ok\n"));
}

/// The bound is ours, not the library's, which would take some 400 KiB before it says 431.
#[tokio::test]
async fn a_request_over_the_limit_gets_no_answer() {
    let limits = Limits {
        request_bytes: 1024,
        ..PATIENT
    };
    let server = Server::start(limits).await;
    let mut stream = server.connect().await;
    let padding = "a".repeat(64 * 1024);
    let request = format!("GET /health HTTP/1.1\r\nHost: a\r\nX: {padding}\r\n\r\n");
    // Fails if the server has closed before all was sent.
    let _ = stream.write_all(request.as_bytes()).await;
    assert_eq!(rest(&mut stream).await, "");
    assert!(server.request("GET /health").await.ends_with("ok\n"));
}

/// With every place taken a further peer waits; it is served as soon as one leaves.
#[tokio::test]
async fn connections_over_the_limit_wait_for_a_place() {
    let limits = Limits {
        connections: 2,
        ..PATIENT
    };
    let server = Server::start(limits).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream
            .write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        until(&mut stream, "\r\n\r\nok\n").await;
        held.push(stream);
    }
    let mut third = server.connect().await;
    third
        .write_all(b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    // The first two are still served, so the server is alive and simply has not taken the third.
    for stream in &mut held {
        stream
            .write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        until(stream, "\r\n\r\nok\n").await;
    }
    // Asks the system, not the runtime, which may not have heard of an answer yet.
    let mut third = third.into_std().unwrap();
    let error = std::io::Read::read(&mut third, &mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    let mut third = TcpStream::from_std(third).unwrap();
    drop(held.pop());
    assert!(
        until(&mut third, "ready\n")
            .await
            .starts_with("HTTP/1.1 503")
    );
}

#[tokio::test]
async fn shutdown_closes_idle_connections_and_frees_the_port() {
    let server = Server::start(PATIENT).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    until(&mut idle, "\r\n\r\nok\n").await;
    server.stop.send(()).unwrap();
    assert_eq!(rest(&mut idle).await, "");
    timeout(DEADLINE, server.task)
        .await
        .expect("serving ends")
        .unwrap()
        .unwrap();
    TcpListener::bind(server.address)
        .await
        .expect("the port is free");
}

/// Half a request would otherwise keep the broker from stopping for as long as it likes.
#[tokio::test]
async fn shutdown_does_not_wait_for_half_a_request() {
    let server = Server::start(PATIENT).await;
    let mut half = server.connect().await;
    half.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
    assert!(server.request("GET /health").await.ends_with("ok\n"));
    server.stop.send(()).unwrap();
    timeout(DEADLINE, server.task)
        .await
        .expect("serving ends")
        .unwrap()
        .unwrap();
}
