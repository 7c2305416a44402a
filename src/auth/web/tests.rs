use std::time::Instant;

use super::super::testing::{Directory, Server};
use super::*;

fn options(timeout: u64) -> Options {
    Options {
        timeout: Duration::from_millis(timeout),
        ..Options::default()
    }
}

#[test]
fn what_is_a_url() {
    for text in [
        "http://a",
        "https://a.example:8443/b?c=d",
        "http://[::1]:80/",
        "HTTP://a/",
    ] {
        assert!(text.parse::<Url>().is_ok(), "{text}");
    }
    for text in [
        "",
        "a",
        "/a",
        "a:80",
        "ftp://a",
        "http://",
        "http:///a",
        "https://user:secret@a",
        "http://a/#b",
        "http://a b",
    ] {
        assert_eq!(text.parse::<Url>(), Err(NoUrl), "{text}");
    }
    // A query may hold a secret.
    let url: Url = "https://a.example:8443/b?key=secret".parse().unwrap();
    assert_eq!(url.to_string(), "https://a.example:8443/b");
    assert_eq!(format!("{url:?}"), "https://a.example:8443/b");
}

#[tokio::test]
async fn a_server_is_asked_with_the_headers_of_a_file() {
    let home = Directory::new();
    let headers = home.file(
        "headers",
        "# ours\n\nAuthorization: Bearer s:1\r\n X-Two:2\n",
    );
    let server = Server::start(|_| async { (201, "said".to_owned()) }).await;
    let url = server.url("/a?b=c");
    let options = Options {
        headers: Some(headers),
        ..options(5000)
    };
    let web = Web::new(&options, &[&url], 1).unwrap();
    let (status, body) = web.post(&url, b"{\"x\":1}".to_vec(), 100).await.unwrap();
    assert_eq!((status.as_u16(), &body[..]), (201, &b"said"[..]));
    web.get(&url, 100).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked[0].line, "POST /a?b=c");
    assert_eq!(asked[0].body, "{\"x\":1}");
    assert_eq!(asked[1].line, "GET /a?b=c");
    for (name, value) in [
        ("authorization", "Bearer s:1"),
        ("x-two", "2"),
        ("accept", "application/json"),
    ] {
        let found = |it: &(String, String)| it.0 == name && it.1 == value;
        assert!(
            asked.iter().all(|it| it.headers.iter().any(found)),
            "{name}: {asked:?}"
        );
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told_apart() {
    let server = Server::start(|asked| async move {
        if asked.line.ends_with("/slow") {
            std::future::pending::<()>().await;
        }
        (200, "x".repeat(101))
    })
    .await;
    let (slow, large) = (server.url("/slow"), server.url("/large"));
    let dead: Url = "http://127.0.0.1:1/".parse().unwrap();
    let web = Web::new(&options(200), &[&slow], 1).unwrap();
    let begun = Instant::now();
    let outcome = web.get(&slow, 100).await;
    assert!(matches!(outcome, Err(Failure::Timeout)), "{outcome:?}");
    assert!(begun.elapsed() >= Duration::from_millis(200));
    let outcome = web.get(&large, 100).await;
    assert!(matches!(outcome, Err(Failure::TooLarge)), "{outcome:?}");
    assert!(web.get(&large, 101).await.is_ok());
    let outcome = web.get(&dead, 100).await.unwrap_err();
    assert_eq!(outcome.label(), "unreachable");
    assert!(outcome.to_string().contains("refused"), "{outcome}");
}

#[tokio::test]
async fn nobody_is_sent_elsewhere() {
    let server = Server::start(|_| async { (307, String::new()) }).await;
    let url = server.url("/");
    let web = Web::new(&options(5000), &[&url], 1).unwrap();
    let (status, _) = web.get(&url, 100).await.unwrap();
    assert_eq!(status.as_u16(), 307);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_file_that_is_wrong_says_where() {
    let home = Directory::new();
    let url: Url = "https://127.0.0.1:1/".parse().unwrap();
    let made = |options: &Options| Web::new(options, &[&url], 1).err().unwrap().to_string();
    let secret = home.file("headers", "A: 1\nBearer secret\n");
    let said = made(&Options {
        headers: Some(secret),
        ..Options::default()
    });
    assert!(said.contains("headers:2: no header"), "{said}");
    assert!(!said.contains("secret"), "{said}");
    let absent = Some(home.path().join("absent"));
    let said = made(&Options {
        headers: absent.clone(),
        ..Options::default()
    });
    assert!(said.ends_with("absent: cannot be read"), "{said}");
    let said = made(&Options {
        authorities: absent,
        ..Options::default()
    });
    assert!(said.ends_with("absent: cannot be read"), "{said}");
    for (name, text) in [("empty", ""), ("key", "-----BEGIN PUBLIC KEY-----\n")] {
        let said = made(&Options {
            authorities: Some(home.file(name, text)),
            ..Options::default()
        });
        assert!(said.contains(&format!("{name}: no certificate")), "{said}");
    }
}

/// A server with a certificate, which answers one request on each connection.
async fn encrypted(home: &Directory) -> (std::net::SocketAddr, PathBuf) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let ca = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = server.signed_by(&key, &issuer).unwrap();
    let file = home.file("ca.pem", ca.pem());
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = [0; 4096];
            assert_ne!(stream.read(&mut request).await.unwrap(), 0);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (address, file)
}

#[tokio::test]
async fn who_is_asked_by_https_has_to_be_who_it_says() {
    let home = Directory::new();
    let (address, authority) = encrypted(&home).await;
    let url: Url = format!("https://{address}/").parse().unwrap();
    let trusting = |file: PathBuf| Options {
        authorities: Some(file),
        ..options(5000)
    };
    let web = Web::new(&trusting(authority.clone()), &[&url], 1).unwrap();
    let (status, body) = web.get(&url, 100).await.unwrap();
    assert_eq!((status.as_u16(), &body[..]), (200, &b"ok"[..]));
    // Somebody else answers for it.
    let stranger = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let stranger = home.file("stranger.pem", stranger.cert.pem());
    let web = Web::new(&trusting(stranger), &[&url], 1).unwrap();
    let failure = web.get(&url, 100).await.unwrap_err();
    assert_eq!(failure.label(), "unreachable");
    assert!(
        failure.to_string().contains("invalid peer certificate"),
        "{failure}"
    );
    // It is asked by another name than its certificate's.
    let other: Url = format!("https://localhost:{}/", address.port())
        .parse()
        .unwrap();
    let web = Web::new(&trusting(authority), &[&other], 1).unwrap();
    assert_eq!(
        web.get(&other, 100).await.unwrap_err().label(),
        "unreachable"
    );
}
