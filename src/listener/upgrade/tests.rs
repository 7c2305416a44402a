//! Requests for a WebSocket, right and wrong, and one that somebody else's client makes.

use tokio::io::duplex;

use super::*;

fn options(origins: &[&str]) -> WebSocketOptions {
    WebSocketOptions {
        path: "/mqtt".to_owned(),
        origins: origins.iter().map(|&origin| origin.to_owned()).collect(),
    }
}

/// The request of RFC 6455, with our subprotocol and these changes: a field's name with its value, or with
/// none to leave it out.
fn request(target: &str, changes: &[(&str, &str)]) -> String {
    let fields = [
        ("Host", "server.example.com"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Protocol", "mqtt"),
    ];
    let kept = |(name, _): &&(&str, &str)| !changes.iter().any(|(changed, _)| changed == name);
    let added = changes.iter().filter(|(_, value)| !value.is_empty());
    let fields = fields.iter().filter(kept).chain(added);
    let fields: String = fields
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("GET {target} HTTP/1.1\r\n{fields}\r\n")
}

fn judged(request: &str, origins: &[&str]) -> Result<String, Refusal> {
    let answer = judge(request.as_bytes(), &options(origins))?;
    Ok(answer.expect("the request is whole"))
}

#[test]
fn the_key_of_the_specification_gets_its_answer() {
    assert_eq!(
        judged(&request("/mqtt", &[]), &[]).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
}

#[test]
fn a_request_is_judged_when_it_is_whole() {
    let whole = request("/mqtt", &[]);
    for length in 0..whole.len() {
        let judged = judge(&whole.as_bytes()[..length], &options(&[]));
        assert_eq!(judged, Ok(None), "{length} bytes");
    }
}

#[test]
fn the_first_subprotocol_of_ours_is_chosen() {
    for (offered, chosen) in [
        ("mqttv3.1", "mqttv3.1"),
        ("mqtt, mqttv3.1", "mqtt"),
        ("mqttv3.1,mqtt", "mqttv3.1"),
        ("chat ,\tmqtt", "mqtt"),
        ("soap\r\nSec-WebSocket-Protocol: mqtt", "mqtt"),
    ] {
        let request = request("/mqtt", &[("Sec-WebSocket-Protocol", offered)]);
        let answer = judged(&request, &[]).unwrap();
        let field = format!("\r\nSec-WebSocket-Protocol: {chosen}\r\n");
        assert!(answer.contains(&field), "{offered}: {answer}");
    }
}

#[test]
fn what_may_be_written_otherwise_is() {
    for (target, changes) in [
        ("/mqtt?token=1", &[][..]),
        ("http://server.example.com/mqtt", &[]),
        ("/mqtt", &[("Connection", "keep-alive, Upgrade")]),
        (
            "/mqtt",
            &[("Connection", "keep-alive\r\nConnection: upgrade")],
        ),
        ("/mqtt", &[("Upgrade", "h2c, WebSocket")]),
        (
            "/mqtt",
            &[("Sec-WebSocket-Extensions", "permessage-deflate")],
        ),
        ("/mqtt", &[("host", "x"), ("Host", "")]),
    ] {
        let request = request(target, changes);
        let answer = judged(&request, &[]).unwrap();
        // No extension is accepted.
        assert!(!answer.contains("Extensions"), "{answer}");
    }
}

#[test]
fn what_is_wrong_is_refused() {
    for (target, changes, refusal) in [
        ("/", &[][..], Refusal::Path),
        ("/mqtt/", &[], Refusal::Path),
        ("/MQTT", &[], Refusal::Path),
        ("/%6dqtt", &[], Refusal::Path),
        ("http://server.example.com", &[], Refusal::Path),
        ("/mqtt", &[("Host", "")], Refusal::Malformed),
        ("/mqtt", &[("Host", "a\r\nHost: b")], Refusal::Malformed),
        ("/mqtt", &[("Upgrade", "")], Refusal::NoWebSocket),
        ("/mqtt", &[("Upgrade", "h2c")], Refusal::NoWebSocket),
        ("/mqtt", &[("Connection", "")], Refusal::NoWebSocket),
        ("/mqtt", &[("Connection", "close")], Refusal::NoWebSocket),
        ("/mqtt", &[("Sec-WebSocket-Version", "")], Refusal::Version),
        ("/mqtt", &[("Sec-WebSocket-Version", "8")], Refusal::Version),
        ("/mqtt", &[("Sec-WebSocket-Key", "")], Refusal::Key),
        ("/mqtt", &[("Sec-WebSocket-Key", "AAAA")], Refusal::Key),
        (
            "/mqtt",
            &[("Sec-WebSocket-Key", "????????????????????????")],
            Refusal::Key,
        ),
        (
            "/mqtt",
            &[("Sec-WebSocket-Protocol", "")],
            Refusal::Subprotocol,
        ),
        (
            "/mqtt",
            &[("Sec-WebSocket-Protocol", "MQTT")],
            Refusal::Subprotocol,
        ),
        (
            "/mqtt",
            &[("Sec-WebSocket-Protocol", "mqttx, wamp")],
            Refusal::Subprotocol,
        ),
    ] {
        let outcome = judged(&request(target, changes), &[]);
        assert_eq!(outcome, Err(refusal), "{target} {changes:?}");
    }
    let right = request("/mqtt", &[]);
    for (wrong, refusal) in [
        (right.replace("GET", "POST"), Refusal::Malformed),
        (right.replace("HTTP/1.1", "HTTP/1.0"), Refusal::Malformed),
        (right.replace("HTTP/1.1", "HTTP/2.0"), Refusal::Malformed),
        (format!("{right}\u{1}"), Refusal::Talkative),
        (
            "\u{10}\u{c}\0\u{4}MQTT\r\n\r\n".to_owned(),
            Refusal::Malformed,
        ),
        (
            request("/mqtt", &[("X", &"x".repeat(REQUEST_MAXIMUM))])[..REQUEST_MAXIMUM].to_owned(),
            Refusal::TooLong,
        ),
        (
            request("/mqtt", &[("X", &"1\r\nX: ".repeat(FIELDS_MAXIMUM))]),
            Refusal::TooLong,
        ),
    ] {
        assert_eq!(judged(&wrong, &[]), Err(refusal), "{:.80}", wrong);
    }
}

#[test]
fn pages_of_unlisted_origins_are_refused_and_who_is_no_page_is_not() {
    let listed = ["https://example.org", "null"];
    let from = |origin: &str, listed: &[&str]| {
        judged(&request("/mqtt", &[("Origin", origin)]), listed).map(drop)
    };
    for origin in ["https://example.org", "HTTPS://EXAMPLE.ORG", "null", ""] {
        assert_eq!(from(origin, &listed), Ok(()), "{origin}");
    }
    for origin in [
        "https://example.org.evil.example",
        "https://evil.example/https://example.org",
        "http://example.org",
        "https://example.org:8443",
        "https://www.example.org",
        "https://example.org\r\nOrigin: https://evil.example",
        "x",
    ] {
        assert_eq!(from(origin, &listed), Err(Refusal::Origin), "{origin}");
        assert_eq!(from(origin, &[]), Ok(()), "{origin}");
    }
}

#[tokio::test]
async fn who_is_refused_is_told_and_then_the_end() {
    for (path, status) in [("/mqtt", "400"), ("/", "404")] {
        let (mut client, mut server) = duplex(4096);
        let text = request(path, &[("Sec-WebSocket-Protocol", "")]);
        // More than the answer waits for.
        let text = format!("{text}{}", "x".repeat(2000));
        client.write_all(text.as_bytes()).await.unwrap();
        let nothing = options(&[]);
        let upgraded = tokio::spawn(async move { upgrade(&nothing, &mut server).await });
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(
            answer.ends_with("\r\nContent-Length: 0\r\n\r\n"),
            "{answer}"
        );
        drop(client);
        assert!(matches!(upgraded.await.unwrap(), Err(Error::Refused(_))));
    }
}

#[tokio::test]
async fn a_request_that_is_cut_is_no_request() {
    let (mut client, mut server) = duplex(4096);
    client.write_all(b"GET /mqtt HTTP/1.1\r\n").await.unwrap();
    drop(client);
    let outcome = upgrade(&options(&[]), &mut server).await;
    assert!(matches!(outcome, Err(Error::Cut(_))), "{outcome:?}");
}
