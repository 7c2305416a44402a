use std::sync::mpsc;

use serde_json::{Value, json};

use super::super::Caller;
use super::super::testing::{Directory, Issuer, Server};
use super::*;

fn seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn claims() -> Value {
    json!({"sub": "anna", "exp": seconds() + 600})
}

/// Tokens that are checked with what is in files.
fn files(options: &Options) -> Result<Tokens, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    Tokens::new(options, runtime.handle(), &Arc::default(), &Arc::default())
}

fn request<'a>(caller: &'a Caller, password: Option<&'a [u8]>) -> Request<'a> {
    Request {
        client_id: "c1",
        caller,
        user_name: Some("somebody"),
        password,
    }
}

fn at_once() -> Answer {
    panic!("it answers at once")
}

/// The user, or why it is refused; nothing if it is passed on.
fn judged(tokens: &Tokens, password: &[u8]) -> Option<Result<String, ReasonCode>> {
    let caller = Caller::default();
    outcome(tokens.opinion(&request(&caller, Some(password)), &mut at_once))
}

fn outcome(opinion: Opinion) -> Option<Result<String, ReasonCode>> {
    match opinion {
        Opinion::Accept(identity) => Some(Ok(identity.user.unwrap().to_string())),
        Opinion::Refuse(code) => Some(Err(code)),
        Opinion::Next => None,
        Opinion::Later => panic!("it takes its time"),
    }
}

const REFUSED: Option<Result<String, ReasonCode>> = Some(Err(ReasonCode::BadUserNameOrPassword));

fn anna() -> Option<Result<String, ReasonCode>> {
    Some(Ok("anna".to_owned()))
}

fn counted(tokens: &Tokens, label: &str) -> u64 {
    let mut all = tokens.0.counts.tokens.read();
    all.find(|(known, _)| *known == label).unwrap().1
}

fn with_pem(home: &Directory, issuer: &Issuer, algorithms: &[Algorithm]) -> Options {
    Options {
        algorithms: algorithms.to_vec(),
        key: Some(home.file("key.pem", issuer.pem())),
        ..Options::default()
    }
}

#[test]
fn a_token_says_who_its_client_is() {
    let (home, issuer) = (Directory::new(), Issuer::p256());
    let tokens = files(&with_pem(&home, &issuer, &[Algorithm::Es256])).unwrap();
    let token = issuer.token("ES256", None, &claims());
    assert_eq!(judged(&tokens, token.as_bytes()), anna());
    assert_eq!(counted(&tokens, "accepted"), 1);
}

#[test]
fn what_is_no_token_is_for_others() {
    let (home, issuer) = (Directory::new(), Issuer::ed25519());
    let tokens = files(&with_pem(&home, &issuer, &[Algorithm::EdDsa])).unwrap();
    for password in [&b""[..], b"secret", b"my.pass.word", b"e\xff.e.e", b"e.e.e"] {
        assert_eq!(judged(&tokens, password), None, "{password:?}");
    }
    let caller = Caller::default();
    let none = tokens.opinion(&request(&caller, None), &mut at_once);
    assert_eq!(outcome(none), None);
    assert!(tokens.0.counts.tokens.read().all(|(_, count)| count == 0));
}

#[test]
fn the_user_name_can_be_the_token() {
    let (home, issuer) = (Directory::new(), Issuer::ed25519());
    let options = Options {
        from: Field::UserName,
        ..with_pem(&home, &issuer, &[Algorithm::EdDsa])
    };
    let tokens = files(&options).unwrap();
    let (token, caller) = (issuer.token("EdDSA", None, &claims()), Caller::default());
    let request = Request {
        user_name: Some(&token),
        ..request(&caller, Some(b"something else"))
    };
    assert_eq!(outcome(tokens.opinion(&request, &mut at_once)), anna());
    assert_eq!(judged(&tokens, token.as_bytes()), None);
}

/// The claims that are right for [`every_attack_on_a_token_is_refused_and_counted`], but for one.
fn all_but(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims["aud"] = json!("broker");
    claims[name] = value;
    claims
}

/// What an attacker makes of a right token and a public key, with what it is counted as.
fn attacks(issuer: &Issuer, right: &str) -> Vec<(&'static str, String)> {
    let (head, signature) = right.rsplit_once('.').unwrap();
    let (header, _) = head.split_once('.').unwrap();
    let sound = || all_but("x", json!(1));
    let forger = Issuer::Secret(issuer.pem().into_bytes());
    let other = issuer.token("RS256", None, &all_but("sub", json!("bert")));
    let (other, _) = other.rsplit_once('.').unwrap();
    let unsigned = |algorithm: &str| {
        let token = issuer.token(algorithm, None, &sound());
        format!("{}.", token.rsplit_once('.').unwrap().0)
    };
    let signed = |algorithm: &str| issuer.token(algorithm, None, &sound());
    let with = |name, value| issuer.token("RS256", None, &all_but(name, value));
    vec![
        ("algorithm", unsigned("none")),
        ("algorithm", unsigned("None")),
        ("algorithm", forger.token("HS256", None, &sound())),
        ("algorithm", signed("RS384")),
        ("algorithm", signed("rs256")),
        ("signature", unsigned("RS256")),
        ("signature", Issuer::rsa().token("RS256", None, &sound())),
        ("signature", format!("{other}.{signature}")),
        ("signature", format!("{header}.e30.{signature}")),
        ("expired", with("exp", json!(seconds() - 60))),
        ("not_yet", with("nbf", json!(seconds() + 60))),
        ("audience", with("aud", json!("other"))),
        ("claim", with("sub", json!(""))),
        ("claim", with("acl", json!("all"))),
        ("too_large", with("x", json!("y".repeat(5000)))),
        ("malformed", issuer.token_with(&json!({"alg": 1}), &sound())),
    ]
}

#[test]
fn every_attack_on_a_token_is_refused_and_counted() {
    let (home, issuer) = (Directory::new(), Issuer::rsa());
    let options = Options {
        audience: "broker".to_owned(),
        size_maximum: 4096,
        ..with_pem(&home, &issuer, &[Algorithm::Rs256])
    };
    let tokens = files(&options).unwrap();
    let right = issuer.token("RS256", None, &all_but("x", json!(1)));
    assert_eq!(judged(&tokens, right.as_bytes()), anna());
    for (label, token) in attacks(&issuer, &right) {
        let before = counted(&tokens, label);
        let judged = judged(&tokens, token.as_bytes());
        assert_eq!(judged, REFUSED, "{label}: {token}");
        assert_eq!(counted(&tokens, label), before + 1, "{label}: {token}");
    }
}

#[test]
fn a_flood_of_wrong_tokens_is_none_of_lines() {
    let (home, issuer) = (Directory::new(), Issuer::ed25519());
    let tokens = files(&with_pem(&home, &issuer, &[Algorithm::EdDsa])).unwrap();
    for second in [7, 8] {
        let told = (0..1000).filter(|_| tokens.0.may_tell(second)).count();
        assert_eq!(told, TOLD_MAXIMUM as usize);
    }
}

/// Both sorts of keys at once, which is how a public key gets taken for a secret.
#[test]
fn a_secret_and_a_public_key_beside_each_other_stay_what_they_are() {
    let (home, issuer, secret) = (Directory::new(), Issuer::rsa(), Issuer::secret());
    let Issuer::Secret(bytes) = &secret else {
        unreachable!()
    };
    let options = Options {
        algorithms: vec![Algorithm::Rs256, Algorithm::Hs256],
        secret: Some(home.file("secret", [bytes, &b"\r\n"[..]].concat())),
        ..with_pem(&home, &issuer, &[])
    };
    let tokens = files(&options).unwrap();
    for (issuer, algorithm) in [(&issuer, "RS256"), (&secret, "HS256")] {
        let token = issuer.token(algorithm, Some("any"), &claims());
        assert_eq!(judged(&tokens, token.as_bytes()), anna(), "{algorithm}");
    }
    let forger = Issuer::Secret(issuer.pem().into_bytes());
    let token = forger.token("HS256", None, &claims());
    assert_eq!(judged(&tokens, token.as_bytes()), REFUSED);
}

#[test]
fn a_file_that_is_wrong_is_found_at_once() {
    let (home, issuer) = (Directory::new(), Issuer::ed25519());
    let said = |options: Options| {
        let error = files(&options).err().unwrap();
        let cause = std::error::Error::source(&error).unwrap();
        format!("{error}: {cause}")
    };
    let right = || with_pem(&home, &issuer, &[Algorithm::EdDsa]);
    for (name, options) in [
        (
            "absent",
            Options {
                key: Some(home.path().join("absent")),
                ..right()
            },
        ),
        (
            "short",
            Options {
                secret: Some(home.file("short", "hunter2")),
                algorithms: vec![Algorithm::Hs256],
                ..right()
            },
        ),
        (
            "set",
            Options {
                set: Some(home.file("set", "{}")),
                ..right()
            },
        ),
        (
            "key.pem",
            Options {
                algorithms: vec![Algorithm::Rs256],
                ..right()
            },
        ),
    ] {
        let said = said(options);
        assert!(said.contains(&format!("/{name}: ")), "{name}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let set = json!({"keys": [issuer.jwk("1"), {"kty": "oct", "k": ""}]});
    let options = Options {
        algorithms: vec![Algorithm::EdDsa],
        set: Some(home.file("set", set.to_string())),
        ..Options::default()
    };
    let token = issuer.token("EdDSA", Some("1"), &claims());
    assert_eq!(judged(&files(&options).unwrap(), token.as_bytes()), anna());
}

/// Asks once more about a token, and waits for the answer if it takes its time.
fn awaited(tokens: &Tokens, token: &str) -> Option<Result<String, ReasonCode>> {
    let caller = Caller::default();
    let (tell, told) = mpsc::channel();
    let mut answer = || -> Answer {
        let tell = tell.clone();
        Box::new(move |opinion| drop(tell.send(opinion)))
    };
    match tokens.opinion(&request(&caller, Some(token.as_bytes())), &mut answer) {
        Opinion::Later => {
            drop(tell);
            let patience = Duration::from_secs(20);
            outcome(told.recv_timeout(patience).unwrap_or(Opinion::Next))
        }
        opinion => outcome(opinion),
    }
}

#[test]
fn a_client_waits_for_keys_that_are_on_their_way() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (one, two) = (Issuer::ed25519(), Issuer::ed25519());
    let keys = json!({"keys": [one.jwk("1")]}).to_string();
    let server = runtime.block_on(Server::start(move |_| {
        let keys = keys.clone();
        async { (200, keys) }
    }));
    let options = Options {
        algorithms: vec![Algorithm::EdDsa],
        url: Some(server.url("/jwks")),
        ..Options::default()
    };
    let make =
        || Tokens::new(&options, runtime.handle(), &Arc::default(), &Arc::default()).unwrap();
    let tokens = make();
    assert_eq!(
        awaited(&tokens, &one.token("EdDSA", Some("1"), &claims())),
        anna()
    );
    assert_eq!(
        awaited(&tokens, &two.token("EdDSA", Some("2"), &claims())),
        REFUSED
    );
    assert_eq!(counted(&tokens, "unknown_key"), 1);
    assert_eq!(
        server.asked().len(),
        1,
        "one that is new has to wait for its turn"
    );
}

#[test]
fn nobody_gets_in_while_there_are_no_keys() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let issuer = Issuer::ed25519();
    let options = Options {
        algorithms: vec![Algorithm::EdDsa],
        url: Some("http://127.0.0.1:1/jwks".parse().unwrap()),
        ..Options::default()
    };
    let tokens = Tokens::new(&options, runtime.handle(), &Arc::default(), &Arc::default());
    let (tokens, token) = (tokens.unwrap(), issuer.token("EdDSA", Some("1"), &claims()));
    for _ in 0..3 {
        let refused = Some(Err(ReasonCode::ServerUnavailable));
        assert_eq!(awaited(&tokens, &token), refused);
    }
    assert_eq!(counted(&tokens, "no_keys"), 3);
}
