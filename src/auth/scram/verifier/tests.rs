use super::*;

/// The example of RFC 7677: what it says of `pencil`, with its keys computed by Python's hashlib.
const PENCIL: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
    $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

#[test]
fn a_verifier_is_made_as_the_rfc_has_it() {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("Base64");
    let iterations = NonZeroU32::new(4096).expect("not 0");
    let made = Verifier::of("pencil", &salt, iterations).expect("a fine password");
    assert_eq!(made.to_string(), PENCIL);
    assert!(Verifier::parse(PENCIL).expect("it was written") == made);
}

// Breaks if: the password is not brought into its form before it is hashed (the examples of RFC 4013).
#[test]
fn passwords_are_prepared() {
    let iterations = NonZeroU32::MIN;
    let made = |password| Verifier::of(password, b"salt", iterations);
    let plain = made("IX").expect("a fine password");
    for same in ["I\u{ad}X", "\u{2168}"] {
        assert!(made(same) == Ok(plain.clone()), "{same:?}");
    }
    assert!(made("ix") != Ok(plain));
    for forbidden in ["", "\u{ad}", "a\u{7}", "\u{627}\u{31}"] {
        assert!(
            made(forbidden) == Err(CannotMake::Password),
            "{forbidden:?}"
        );
    }
}

#[test]
fn two_verifiers_of_one_password_are_not_alike() {
    let [one, other] = [(); 2].map(|()| Verifier::new("pencil").expect("randomness"));
    assert!(one != other);
    assert_eq!((one.iterations(), one.salt().len()), Verifier::NEW);
    let shown = format!("{one:?}");
    assert_eq!(shown, "Verifier { .. }");
}

#[test]
fn what_is_no_verifier_is_refused() {
    let good = |from: &str, to: &str| Verifier::parse(&PENCIL.replace(from, to)).is_ok();
    assert!(good("4096", "1") && good("4096", "10000000"));
    for (from, to) in [
        ("SHA-256", "SHA-1"),
        ("4096", "0"),
        ("4096", "10000001"),
        ("4096", "+1"),
        ("4096", ""),
        ("4096:", ""),
        ("W22ZaJ0SNY7soEsUEjb6gQ==", ""),
        ("W22ZaJ0SNY7soEsUEjb6gQ==", "?"),
        ("$WG5d", ":WG5d"),
        ("qY=:", "qY="),
        ("qY=", "qQ=="),
        ("2dU=", "2dU=$"),
    ] {
        assert!(!good(from, to), "{from} -> {to}");
    }
}
