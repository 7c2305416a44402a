//! The same file of permissions and the same users: whoever may read and write what with mosquitto may do so with
//! Postbud.
//!
//! A file is made from a seed, with lines of every kind; six clients subscribe to nearly everything and publish to
//! everything. Left out is where Postbud is stricter or better on purpose: values with `/` or a leading `$` in
//! patterns, Wills that may not be published (refused at CONNECT, not dropped when their time has come), and groups
//! of which only some members may read a message (it goes to one that may).

use std::fmt::Write as _;
use std::process::Command;

use super::dialect::Dialect;
use super::pair::Pair;
use super::random::{Random, from_environment};
use crate::support::folder::Folder;

/// How many files are tried unless the environment says otherwise.
const FILES: u64 = 40;
/// Messages with each.
const MESSAGES: usize = 40;

const USERS: [&str; 3] = ["anna", "bert", "eve"];
const PASSWORD: &str = "secret";

/// Client Identifiers with their users.
const CLIENTS: [(&str, &str); 6] = [
    ("nobody", ""),
    ("anna-1", "anna"),
    ("bert-1", "bert"),
    ("eve-1", "eve"),
    ("an+a", "anna"),
    ("no#", ""),
];

const TOPICS: [&str; 12] = [
    "a",
    "a/b",
    "a/b/c",
    "b/c",
    "/a",
    "$other/x",
    "own/anna/x",
    "own/bert/x",
    "dev/anna-1",
    "dev/nobody",
    "nobody/x",
    "$otherwise",
];

/// What lines and subscriptions are about.
const FILTERS: [&str; 13] = [
    "a",
    "a/#",
    "#",
    "+",
    "+/b",
    "a/+",
    "+/+/c",
    "/+",
    "$other/#",
    "own/+/x",
    "own/anna/#",
    "dev/+",
    "own/#",
];

const PATTERNS: [&str; 8] = [
    "own/%u/#", "own/%u/x", "dev/%c", "dev/%c/#", "%c/#", "+/%c", "own/%c/x", "a/+",
];

const ACCESS: [&str; 6] = ["read ", "write ", "readwrite ", "", "deny ", "read "];

/// A file of up to 14 lines. Eve has none of her own.
fn permissions(random: &mut Random) -> String {
    let mut file = "# Made from a seed.\n".to_owned();
    let lines = 4 + random.below(11);
    for line in 0..lines {
        let access = random.of(&ACCESS);
        let line = match (random.below(4), line * 3 / lines) {
            (0, _) => format!("pattern {access}{}", random.of(&PATTERNS)),
            (_, 0) => format!("topic {access}{}", random.of(&FILTERS)),
            (_, part) => {
                let user = USERS[part - 1];
                format!("user {user}\ntopic {access}{}", random.of(&FILTERS))
            }
        };
        let _ = writeln!(file, "{line}");
    }
    file
}

/// Both brokers with these permissions, and all clients.
#[track_caller]
fn guarded(folder: &Folder, permissions: &str, dialect: Dialect) -> Pair {
    let lines = USERS.map(|user| format!("{user}:{PASSWORD}\n"));
    let users = folder.write("users", lines.concat());
    let hashed = Command::new("mosquitto_passwd")
        .arg("-U")
        .arg(&users)
        .status();
    assert!(hashed.expect("mosquitto_passwd runs").success());
    let file = folder.write("permissions", permissions);
    let mut pair = Pair::guarded(&file, &users);
    for (client, user) in CLIENTS {
        let connect = dialect.connect(client);
        let connect = match user {
            "" => connect,
            user => connect.user_name(user).password(PASSWORD),
        };
        pair.open(client, &connect);
    }
    pair
}

/// A conversation about one file. Returns how many messages came.
fn converse(seed: u64) -> usize {
    let mut random = Random(seed);
    let folder = Folder::new();
    let dialect = random.of(&[Dialect::V311, Dialect::V5]);
    let text = permissions(&mut random);
    println!("seed {seed}, {dialect:?}\n{text}");
    let mut pair = guarded(&folder, &text, dialect);
    for (client, _) in CLIENTS {
        let filters = match random.below(4) {
            0 => vec![
                format!("$share/{client}/#")
                    .replace(['+'], "p")
                    .replace("no#", "no"),
            ],
            1 => vec![random.of(&FILTERS).to_owned()],
            _ => vec!["#".to_owned(), "$other/#".to_owned()],
        };
        let filters: Vec<_> = filters.iter().map(|filter| (filter.as_str(), 1)).collect();
        pair.send(client, dialect.subscribe(&filters));
    }
    for number in 0..MESSAGES {
        let (client, _) = random.of(&CLIENTS);
        let topic = random.of(&TOPICS);
        let qos = random.below(2) as u8;
        let message = dialect.publish(topic, format!("m{number}")).qos(qos, 7);
        let retain = !topic.starts_with('$') && random.one_in(4);
        let message = if retain { message.retain() } else { message };
        pair.send(client, message.bytes());
        for (client, _) in CLIENTS {
            if pair.owes(client) {
                pair.answer(client);
            }
        }
    }
    // What is retained is asked for by all.
    for (client, _) in CLIENTS {
        pair.send(client, dialect.subscribe(&[("a/#", 1)]));
        if pair.owes(client) {
            pair.answer(client);
        }
    }
    pair.messages()
}

// Breaks if: `MosquittoFile::judge` of `auth/acl/mosquitto.rs` lets a pattern go before a user's own lines, gives the
// lines before the first user to everybody, or a delivery is not asked about.
#[test]
fn the_same_permissions_are_the_same() {
    let first = from_environment("DIFFERENTIAL_SEED").unwrap_or(1);
    let count = from_environment("DIFFERENTIAL_CONVERSATIONS").unwrap_or(FILES);
    let messages: usize = (first..first + count).map(converse).sum();
    // Or nobody may do anything.
    assert!(
        count < 5 || messages as u64 > 8 * count,
        "{messages} messages"
    );
}

// Breaks if: a subscription is refused that mosquitto grants, or a publication is told otherwise.
#[test]
fn subscriptions_are_granted_and_publications_refused_alike() {
    let folder = Folder::new();
    let text =
        "topic deny secret/#\ntopic read news/#\nuser anna\ntopic write news/#\ntopic deny #\n";
    let mut pair = guarded(&folder, text, Dialect::V5);
    let filters = [
        "#",
        "+",
        "$SYS/#",
        "secret/#",
        "$share/g/#",
        "$share/g/secret/x",
        "$share/g/$SYS/#",
        "news/1",
    ];
    for filter in filters {
        pair.send("eve-1", Dialect::V5.subscribe(&[(filter, 1)]));
        pair.saw("eve-1", &["SUBACK 1 [01]"]);
    }
    for (client, topic) in [
        ("nobody", "news/1"),
        ("anna-1", "news/1"),
        ("eve-1", "secret/x"),
        ("bert-1", "$SYS/broker/uptime"),
    ] {
        let publish = Dialect::V5.publish(topic, "x").qos(1, 7);
        pair.send(client, publish.bytes());
    }
}
