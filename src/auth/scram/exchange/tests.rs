use std::num::NonZeroU32;

use super::super::verifier::{Key, Verifier, mac};
use super::*;

/// The example of RFC 7677, section 3.
const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
    s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn users() -> Arc<Users> {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("Base64");
    let iterations = NonZeroU32::new(4096).expect("not 0");
    let verifier = Verifier::of("pencil", &salt, iterations).expect("a fine password");
    let known = [("user".into(), Arc::new(verifier))];
    Arc::new(Users::new(known.into()).expect("randomness"))
}

fn exchange(claimed: Option<&str>) -> ServerSide {
    ServerSide::with_nonce(users(), claimed, SERVER_NONCE.to_owned())
}

/// What the server says first.
#[track_caller]
fn challenge(exchange: &mut ServerSide, message: &str) -> String {
    match exchange.step(Some(message.as_bytes())) {
        Step::Continue(data) => String::from_utf8(data).expect("text"),
        other => panic!("{other:?} to {message}"),
    }
}

/// The code with which the exchange ends.
#[track_caller]
fn refusal(exchange: &mut ServerSide, message: Option<&str>) -> ReasonCode {
    match exchange.step(message.map(str::as_bytes)) {
        Step::Refuse(code) => code,
        other => panic!("{other:?} to {message:?}"),
    }
}

#[test]
fn the_example_of_the_rfc() {
    for claimed in [None, Some("user")] {
        let mut exchange = exchange(claimed);
        assert_eq!(challenge(&mut exchange, CLIENT_FIRST), SERVER_FIRST);
        match exchange.step(Some(CLIENT_FINAL.as_bytes())) {
            Step::Accept(identity, Some(data)) => {
                assert_eq!(identity.user.as_deref(), Some("user"));
                assert_eq!(data, SERVER_FINAL.as_bytes());
            }
            other => panic!("{other:?}"),
        }
        let code = refusal(&mut exchange, Some(CLIENT_FINAL));
        assert_eq!(code, ReasonCode::ProtocolError, "it is over");
    }
}

// Breaks if: who knows the password of one user can be, or be called, another.
#[test]
fn who_wants_to_be_somebody_else_is_refused_at_the_end() {
    for (claimed, first, last) in [
        (Some("admin"), CLIENT_FIRST, CLIENT_FINAL),
        (None, "n,a=admin,n=user,r=rOprNGfwEbeRWgbNEkqO", ""),
    ] {
        let mut exchange = exchange(claimed);
        let server_first = challenge(&mut exchange, first);
        let nonce = server_first.split(',').next().expect("r=");
        assert_ne!(server_first, SERVER_FIRST.replace("4096", ""));
        let last = match last {
            "" => {
                let binding = STANDARD.encode("n,a=admin,");
                proved(
                    "pencil",
                    first,
                    &server_first,
                    &format!("c={binding},{nonce}"),
                )
            }
            last => last.to_owned(),
        };
        assert_eq!(
            refusal(&mut exchange, Some(&last)),
            ReasonCode::NotAuthorized
        );
    }
}

/// A client's last message, computed as a client does.
fn proved(password: &str, first: &str, server_first: &str, without_proof: &str) -> String {
    let bare = first.splitn(3, ',').nth(2).expect("a bare message");
    let salt = server_first
        .split(",s=")
        .nth(1)
        .and_then(|it| it.split(',').next());
    let salt = STANDARD.decode(salt.expect("a salt")).expect("Base64");
    let mut salted: Key = [0; 32];
    aws_lc_rs::pbkdf2::derive(
        aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256,
        NonZeroU32::new(4096).expect("not 0"),
        &salt,
        password.as_bytes(),
        &mut salted,
    );
    let mut key = mac(&salted, b"Client Key");
    let stored = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &key);
    let message = format!("{bare},{server_first},{without_proof}");
    let signature = mac(stored.as_ref(), message.as_bytes());
    key.iter_mut()
        .zip(signature)
        .for_each(|(byte, it)| *byte ^= it);
    format!("{without_proof},p={}", STANDARD.encode(key))
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_the_same() {
    let mut shown = Vec::new();
    for name in ["user", "nobody", "I\u{ad}X", "\u{7}"] {
        let first = format!("n,,n={name},r=abc");
        let mut exchange = exchange(None);
        let server_first = challenge(&mut exchange, &first);
        let nonce = server_first.split(',').next().expect("r=").to_owned();
        let last = proved("wrong", &first, &server_first, &format!("c=biws,{nonce}"));
        assert_eq!(
            refusal(&mut exchange, Some(&last)),
            ReasonCode::NotAuthorized,
            "{name}"
        );
        shown.push(server_first.len());
    }
    assert!(shown.iter().all(|it| *it == shown[0]), "{shown:?}");
    // Even somebody who guesses what nobody's verifier is made of proves nothing with it.
    let mut exchange = exchange(None);
    let server_first = challenge(&mut exchange, "n,,n=nobody,r=abc");
    assert!(!server_first.is_empty());
}

// Breaks if: an unknown name can be told by its salt: another one each time, or the same as that of others.
#[test]
fn an_unknown_user_has_a_salt_of_its_own_that_stays() {
    let salt = |name: &str| {
        let first = format!("n,,n={name},r=abc");
        let server_first = challenge(&mut exchange(None), &first);
        let salt = server_first.split(",s=").nth(1).expect("a salt");
        salt.to_owned()
    };
    assert_eq!(salt("nobody"), salt("nobody"));
    assert_ne!(salt("nobody"), salt("nobody2"));
    assert_ne!(salt("nobody"), salt("user"));
}

// Breaks if: a message of another exchange, or one that was changed on its way, is taken.
#[test]
fn what_does_not_belong_to_the_exchange_is_refused() {
    for (from, to, code) in [
        ("c=biws", "c=eSws", ReasonCode::ProtocolError),
        ("c=biws", "c=biwsYQ==", ReasonCode::ProtocolError),
        ("r=rOpr", "r=xOpr", ReasonCode::ProtocolError),
        ("hNlF$k0,", "hNlF$k1,", ReasonCode::ProtocolError),
        (",p=", ",x=y,p=", ReasonCode::NotAuthorized),
        ("p=dHzb", "p=eHzb", ReasonCode::NotAuthorized),
    ] {
        let mut exchange = exchange(None);
        challenge(&mut exchange, CLIENT_FIRST);
        let last = CLIENT_FINAL.replace(from, to);
        assert_ne!(last, CLIENT_FINAL, "{from}");
        assert_eq!(refusal(&mut exchange, Some(&last)), code, "{last}");
        let again = refusal(&mut exchange, Some(CLIENT_FINAL));
        assert_eq!(again, ReasonCode::ProtocolError, "there is one try");
    }
}

#[test]
fn an_exchange_begins_with_the_clients_message() {
    for message in [
        None,
        Some(""),
        Some(CLIENT_FINAL),
        Some("p=tls-unique,,n=user,r=1"),
    ] {
        let code = refusal(&mut exchange(None), message);
        assert_eq!(code, ReasonCode::ProtocolError, "{message:?}");
    }
}

// Breaks if: the nonce can be foreseen.
#[test]
fn no_two_exchanges_have_the_same_nonce() {
    let nonce = || {
        let mut exchange = ServerSide::new(users(), None).expect("randomness");
        challenge(&mut exchange, CLIENT_FIRST)
    };
    assert_ne!(nonce(), nonce());
}
