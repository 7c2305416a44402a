use std::sync::mpsc;
use std::time::Duration;

use super::super::Caller;
use super::*;

const SOON: Duration = Duration::from_secs(20);

fn open(lines: &str, options: &PasswordOptions) -> Passwords {
    let users = entries::parse(Path::new("f"), lines.as_bytes(), |_, text| {
        Hash::parse(text).map(Arc::new)
    });
    Passwords::of(users.expect("right lines"), options).expect("threads")
}

/// Lines of users whose passwords are their names backwards.
fn line(name: &str, cost: Cost) -> String {
    let password: String = name.chars().rev().collect();
    format!(
        "{name}:{}\n",
        Hash::with(password.as_bytes(), cost).expect("randomness")
    )
}

const CHEAP: Cost = Cost::Argon2 {
    memory: 8,
    passes: 1,
    lanes: 1,
};

fn request<'a>(
    caller: &'a Caller,
    user: Option<&'a str>,
    password: Option<&'a str>,
) -> Request<'a> {
    Request {
        client_id: "c",
        caller,
        user_name: user,
        password: password.map(str::as_bytes),
    }
}

/// What becomes of a client, and whether a check was needed to say so.
fn judged(
    passwords: &Passwords,
    user: Option<&str>,
    password: Option<&str>,
) -> (Result<Option<String>, Option<ReasonCode>>, bool) {
    let caller = Caller::default();
    let (tell, told) = mpsc::channel();
    let mut answer = || -> Answer {
        let tell = tell.clone();
        Box::new(move |opinion| tell.send(opinion).expect("the test waits"))
    };
    let opinion = passwords.opinion(&request(&caller, user, password), &mut answer);
    let (opinion, later) = match opinion {
        Opinion::Later => (told.recv_timeout(SOON).expect("an answer"), true),
        at_once => (at_once, false),
    };
    let outcome = match opinion {
        Opinion::Accept(identity) => Ok(identity.user.map(|user| user.to_string())),
        Opinion::Refuse(code) => Err(Some(code)),
        Opinion::Next => Err(None),
        Opinion::Later => panic!("later twice"),
    };
    (outcome, later)
}

#[test]
fn who_has_the_password_is_the_user() {
    let lines = line("anna", CHEAP) + &line("b\u{f8}rge", Cost::Sha512);
    let passwords = open(&lines, &PasswordOptions::default());
    let wrong = Err(Some(ReasonCode::BadUserNameOrPassword));
    for (user, password, expected) in [
        ("anna", "anna", Ok(Some("anna".to_owned()))),
        (
            "b\u{f8}rge",
            "egr\u{f8}b",
            Ok(Some("b\u{f8}rge".to_owned())),
        ),
        ("anna", "Anna", wrong.clone()),
        ("anna", "", wrong.clone()),
        ("b\u{f8}rge", "anna", wrong),
        ("Anna", "anna", Err(None)),
        ("", "", Err(None)),
    ] {
        let got = judged(&passwords, Some(user), Some(password));
        assert_eq!(got, (expected, true), "{user} with {password}");
    }
}

#[test]
fn who_gives_no_password_has_it_wrong_and_who_gives_no_name_is_for_others() {
    let passwords = open(&line("anna", CHEAP), &PasswordOptions::default());
    let wrong = Err(Some(ReasonCode::BadUserNameOrPassword));
    assert_eq!(judged(&passwords, Some("anna"), None), (wrong, false));
    assert_eq!(judged(&passwords, Some("bo"), None), (Err(None), false));
    for password in [None, Some("anna")] {
        assert_eq!(judged(&passwords, None, password), (Err(None), false));
    }
}

// Breaks if: whether a user is known shows in the work that is done before the answer.
#[test]
fn an_unknown_user_costs_what_a_known_one_costs() {
    let many = Cost::Pbkdf2(101.try_into().expect("not 0"));
    let lines = [line("a", many), line("b", Cost::Sha512), line("c", many)].concat();
    let passwords = open(&lines, &PasswordOptions::default());
    let known = passwords.check("a", b"x").expect("a check");
    let unknown = passwords.check("nobody", b"x").expect("a check");
    assert_eq!(known.hash.cost(), unknown.hash.cost());
    assert_eq!(known.password, unknown.password);
    assert_eq!(
        (known.user.as_deref(), unknown.user.as_deref()),
        (Some("a"), None)
    );
    // And both are one job.
    for user in ["a", "nobody"] {
        assert!(judged(&passwords, Some(user), Some("x")).1, "{user}");
    }
}

#[test]
fn a_file_without_users_knows_nobody() {
    let passwords = open("# nobody yet\n", &PasswordOptions::default());
    assert_eq!(
        judged(&passwords, Some("anna"), Some("anna")),
        (Err(None), false)
    );
}

// Breaks if: a crowd of CONNECTs can make the line before the checks grow without a bound, or is answered
// twice.
#[test]
fn beyond_the_bound_clients_are_told_that_the_broker_is_busy() {
    let options = PasswordOptions {
        file: None,
        checks_at_once: 1,
        checks_waiting: 2,
    };
    let passwords = open(&line("anna", CHEAP), &options);
    // The only thread hangs in the first answer.
    let (release, hold) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let caller = Caller::default();
    let mut hold = Some(hold);
    let mut ask = || {
        let mut answer = || -> Answer {
            let (tell, hold) = (tell.clone(), hold.take());
            Box::new(move |opinion| {
                tell.send(opinion).expect("the test waits");
                if let Some(hold) = hold {
                    let _ = hold.recv();
                }
            })
        };
        passwords.opinion(&request(&caller, Some("anna"), Some("anna")), &mut answer)
    };
    assert!(matches!(ask(), Opinion::Later));
    told.recv_timeout(SOON).expect("the first is checked");
    for _ in 0..2 {
        assert!(matches!(ask(), Opinion::Later));
    }
    let refused = ask();
    assert!(
        matches!(refused, Opinion::Refuse(ReasonCode::ServerBusy)),
        "{refused:?}"
    );
    drop(release);
    for _ in 0..2 {
        let opinion = told.recv_timeout(SOON).expect("an answer");
        assert!(matches!(opinion, Opinion::Accept(_)), "{opinion:?}");
    }
    assert!(told.try_recv().is_err(), "nobody else was answered");
}

#[test]
fn a_wrong_file_is_an_error_with_its_line() {
    let home = std::env::temp_dir().join(format!("postbud-passwords-{}", std::process::id()));
    std::fs::write(&home, "anna:plain\n").expect("a folder for temporary files");
    let error = Passwords::open(&home, &PasswordOptions::default()).err();
    std::fs::remove_file(&home).expect("it was written");
    let text = error.expect("a plain password is no hash").to_string();
    assert!(text.contains(":1: ") && !text.contains("plain"), "{text}");
}
