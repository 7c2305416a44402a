//! A real browser: Debian's chromium shows a page in which MQTT.js connects, and the page reports.
//!
//! ```text
//!   test ──starts──> chromium ──GET──> the test's own HTTP server: page.html, mqtt.min.js
//!                       └──WebSocket──> broker                └──POST /report──> test
//! ```

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::support::broker::Broker;
use crate::support::folder::Folder;
use crate::support::process::Process;
use crate::support::websocket::{WS, WSS};

/// A browser takes its time to start where all else is slow already.
const PATIENCE: Duration = Duration::from_secs(100);

const PAGE: &str = include_str!("browser/page.html");
const MQTTJS: &str = "tests/.tools/mqttjs/node_modules/mqtt/dist/mqtt.min.js";

/// Serves the page, and hears what it reports.
struct Server {
    address: SocketAddr,
    reports: Receiver<String>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (sender, reports) = channel();
        // Ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sender = sender.clone();
                // A browser opens connections on which it says nothing yet.
                thread::spawn(move || answer(stream, &sender));
            }
        });
        Self { address, reports }
    }

    fn origin(&self, host: &str) -> String {
        format!("http://{host}:{}", self.address.port())
    }
}

/// Answers one request; nothing if the browser thinks better of it.
fn answer(stream: TcpStream, reports: &Sender<String>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    while head
        .last()
        .is_none_or(|line: &String| !line.trim().is_empty())
    {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        head.push(line.to_ascii_lowercase());
    }
    let length = head
        .iter()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length = length.map_or(0, |length| length.trim().parse().expect("a length"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join(MQTTJS);
    let (kind, text) = match head[0].split(' ').nth(1)?.split('?').next()? {
        "/" => ("text/html", PAGE.as_bytes().to_vec()),
        "/mqtt.min.js" => {
            let script = std::fs::read(scripts).expect("tests/setup.sh has brought MQTT.js");
            ("text/javascript", script)
        }
        "/report" => {
            // Nobody listens any more once the test has heard the first.
            let _ = reports.send(String::from_utf8_lossy(&body).into_owned());
            ("text/plain", Vec::new())
        }
        _ => ("text/plain", Vec::new()),
    };
    let length = text.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    let mut stream = reader.into_inner();
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&text).ok()
}

/// Shows the page and expects it to report that all is well.
#[track_caller]
fn show(server: &Server, host: &str, what: &str, broker: &str) {
    let folder = Folder::new();
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        // The authority is one of this test, which no browser knows.
        "--ignore-certificate-errors",
    ]);
    command.arg(format!(
        "--user-data-dir={}",
        folder.path().join("profile").display()
    ));
    command.env("HOME", folder.path());
    command.arg(format!("{}/?what={what}&url={broker}", server.origin(host)));
    let browser = Process::start(command);
    let report = server.reports.recv_timeout(PATIENCE);
    let report =
        report.unwrap_or_else(|_| panic!("no report in {PATIENCE:?}: {:#?}", browser.lines()));
    assert_eq!(report, "well", "{what}");
    // Not killed, so that the processes it has made go with it.
    browser.signal("TERM");
    browser.finish();
}

const ANONYMOUS: &str = "[auth]\nanonymous = true\n";

#[test]
fn a_page_publishes_and_subscribes_over_websocket() {
    let server = Server::start();
    let origins = format!(
        "[listener.websocket]\norigins = [\"{}\"]\n",
        server.origin("127.0.0.1")
    );
    let broker = Broker::configured(&format!("{ANONYMOUS}{WS}{origins}"));
    let url = format!("ws://127.0.0.1:{}/mqtt", broker.listening("ws").port());
    show(&server, "127.0.0.1", "features", &url);
    show(&server, "127.0.0.1", "closing", &url);
    // The same server by another name is another origin.
    show(&server, "localhost", "refusal", &url);
    broker.wait_for_log(&["websocket_refused", "an origin that is not listed"]);
}

#[test]
fn a_page_publishes_and_subscribes_over_secure_websocket() {
    let server = Server::start();
    let broker = Broker::configured(&format!("{ANONYMOUS}{WSS}"));
    let url = format!("wss://localhost:{}/mqtt", broker.listening("wss").port());
    show(&server, "localhost", "features", &url);
}

/// Breaks if: a frame may not be larger than a packet, for MQTT.js makes frames of as many packets as wait.
#[test]
fn a_page_that_publishes_more_than_fits_is_heard_to_the_end() {
    let server = Server::start();
    let queue = "[queue]\nbytes = \"64MiB\"\n[session]\nunsent_maximum = \"16MiB\"\n";
    let broker = Broker::configured(&format!("{ANONYMOUS}{queue}{WS}"));
    let url = format!("ws://127.0.0.1:{}/mqtt", broker.listening("ws").port());
    show(&server, "127.0.0.1", "burst", &url);
}
