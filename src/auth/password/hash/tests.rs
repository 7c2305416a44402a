use super::*;

/// A password with what tempts parsers: no ASCII, a colon, a blank.
const PASSWORD: &str = "p\u{e6}:ss word";

/// Made with Python's hashlib, and with the argon2 command of the reference implementation.
const VECTORS: [&str; 4] = [
    "$7$101$AAECAwQFBgcICQoL$ThAq4OKLaA9l/witAL8SNwdzQQIDIjtf833RRiVtiSrYRidgo9gQlvR3UasKGNlXYzk6p+UCklCNjiSTHgF2FA==",
    "$6$AAECAwQFBgcICQoL$EYAUcHXcNw8NbNcqCLjV0zlFMF6gd8HVefZGJudsC99VuOoTZJMenQEB0lh+zXTAdNd03Bu9iEshIE2W0Yfw3g==",
    "$argon2id$v=19$m=256,t=3,p=4$c2FsdHNhbHRzYWx0$8zSZanWli85V4NcwCY+0pXX5vY5J+sSh",
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$xIJfHBAmnyfy3eWp29uTNI4wwWMuIV22SaqgM5gXqYU",
];

#[test]
fn hashes_that_others_made_are_of_their_password_and_of_no_other() {
    for text in VECTORS {
        let hash = Hash::parse(text).expect(text);
        assert!(hash.is_of(PASSWORD.as_bytes()), "{text}");
        for wrong in ["", "p\u{e6}:ss", "p\u{e6}:ss word ", "P\u{e6}:ss word"] {
            assert!(!hash.is_of(wrong.as_bytes()), "{text} of {wrong:?}");
        }
    }
}

#[test]
fn what_is_read_is_written_the_same() {
    for text in VECTORS {
        assert_eq!(Hash::parse(text).expect(text).to_string(), text);
    }
}

#[test]
fn a_new_hash_is_of_its_password_and_no_two_are_alike() {
    let [one, other] = [(); 2].map(|()| Hash::new(PASSWORD.as_bytes()).expect("randomness"));
    assert_ne!(one.to_string(), other.to_string());
    let read = Hash::parse(&one.to_string()).expect("it was just written");
    assert_eq!(read.cost(), Cost::NEW);
    assert!(read.is_of(PASSWORD.as_bytes()));
    assert!(!read.is_of(b"another"));
}

// Breaks if: a check for nobody is cheaper than one of the kind it stands for, or lets somebody in.
#[test]
fn nobodys_hash_costs_the_same_and_is_of_no_password() {
    for text in VECTORS {
        let cost = Hash::parse(text).expect(text).cost();
        let nobody = Hash::of_nobody(cost).expect("randomness");
        assert_eq!(nobody.cost(), cost);
        for password in ["", PASSWORD] {
            assert!(!nobody.is_of(password.as_bytes()), "{text}");
        }
        Hash::parse(&nobody.to_string()).expect("as good as any");
    }
}

#[test]
fn what_is_no_hash_is_refused() {
    let digest = STANDARD.encode([0; 64]);
    let short = STANDARD.encode([0; 63]);
    let salt = STANDARD.encode([0; 12]);
    let long = STANDARD.encode([0; 65]);
    for text in [
        "",
        "secret",
        "$5$a$b",
        "7$101$a$b",
        "$argon2i$v=19$m=256,t=3,p=4$c2FsdHNhbHRzYWx0$8zSZanWli85V4NcwCY+0pXX5vY5J+sSh",
        "$argon2id$v=16$m=256,t=3,p=4$c2FsdHNhbHRzYWx0$8zSZanWli85V4NcwCY+0pXX5vY5J+sSh",
        "$argon2id$v=19$m=256,t=3$c2FsdHNhbHRzYWx0$8zSZanWli85V4NcwCY+0pXX5vY5J+sSh",
        "$argon2id$v=19$t=3,m=256,p=4$c2FsdHNhbHRzYWx0$8zSZanWli85V4NcwCY+0pXX5vY5J+sSh",
        "$argon2id$v=19$m=256,t=3,p=4,data=aa$c2FsdHNhbHRzYWx0$8zSZanWli85V4NcwCY+0pXX5vY5J+sSh",
        "$argon2id$v=19$m=256,t=3,p=4$c2FsdHNhbHRzYWx0",
        "$argon2id$v=19$m=256,t=3,p=4$c2Fs$8zSZanWli85V4NcwCY+0pXX5vY5J+sSh",
        &format!("$6${salt}"),
        &format!("$6${salt}${short}"),
        &format!("$6${long}${digest}"),
        &format!("$6$${digest}"),
        &format!("$6${salt}${digest}$more"),
        &format!("$6$*${digest}"),
        &format!("$7${salt}${digest}"),
    ] {
        assert!(Hash::parse(text).is_err(), "{text}");
    }
}

// Breaks if: a number in the file can make a check last for ever or take all memory.
#[test]
fn what_a_check_may_cost_is_bounded() {
    let digest = STANDARD.encode([0; 64]);
    let pbkdf2 = |iterations: &str| Hash::parse(&format!("$7${iterations}$AAAA${digest}"));
    for iterations in ["1", "5000000"] {
        assert!(pbkdf2(iterations).is_ok(), "{iterations}");
    }
    for iterations in ["0", "5000001", "4294967297", "-1", "+1", "", "1e3", " 1"] {
        assert!(pbkdf2(iterations).is_err(), "{iterations}");
    }
    let argon2 = |cost: &str| {
        Hash::parse(&format!(
            "$argon2id$v=19${cost}$c2FsdHNhbHRzYWx0$8zSZanWli85V4NcwCY+0pXX5vY5J+sSh"
        ))
    };
    for cost in ["m=262144,t=16,p=1", "m=8,t=524288,p=1", "m=512,t=1,p=64"] {
        assert!(argon2(cost).is_ok(), "{cost}");
    }
    for cost in [
        "m=262145,t=1,p=1",
        "m=262144,t=17,p=1",
        "m=8,t=524289,p=1",
        "m=7,t=1,p=1",
        "m=8,t=0,p=1",
        "m=8,t=1,p=0",
        "m=15,t=1,p=2",
        "m=1024,t=1,p=65",
    ] {
        assert!(argon2(cost).is_err(), "{cost}");
    }
}

#[test]
fn a_hash_does_not_show_itself_in_a_log() {
    let shown = format!("{:?}", Hash::parse(VECTORS[0]).expect("a vector"));
    assert!(
        !shown.contains("ThAq") && !shown.contains("78, 16"),
        "{shown}"
    );
}
