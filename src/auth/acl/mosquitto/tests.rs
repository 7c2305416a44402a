//! What lines mean, and which are none.

use proptest::prelude::*;

use super::*;
use crate::auth::Identity;
use crate::codec::QoS;

use Ruling::{Allow, Deny, Silent};

fn file(text: &str) -> MosquittoFile {
    MosquittoFile::parse(text.as_bytes()).unwrap_or_else(|(line, what)| panic!("{line}: {what:?}"))
}

/// Asks about reading and writing `topic`.
fn judged(rules: &MosquittoFile, (client_id, user): (&str, &str), topic: &str) -> [Ruling; 2] {
    let identity = match user {
        "" => Identity::default(),
        user => Identity::of(user),
    };
    let who = Who {
        client_id,
        identity: &identity,
        caller: None,
    };
    let publish = Access::Publish {
        topic,
        qos: QoS::AtMostOnce,
        retain: false,
    };
    [Access::Receive { topic }, publish]
        .map(|access| rules.ruling(&who, access, &mut || panic!("it knows at once")))
}

const FILE: &str = "
# Who has no name.
topic read public/#
topic public/guests
topic deny public/secret

user anna
topic readwrite home/#
topic write   log/anna
topic deny home/cellar

user bert the second\t
topic read a topic with spaces
pattern read inbox/%u/#
pattern write devices/%c/data
pattern deny devices/broken/#
user anna
topic read back again
";

#[test]
fn a_topic_is_held_against_the_lines_of_its_user_and_then_the_patterns() {
    let rules = file(FILE);
    let (nobody, anna, bert) = (("c", ""), ("c", "anna"), ("c", "bert the second"));
    for (who, topic, read, write) in [
        (nobody, "public/x", Allow, Silent),
        (nobody, "public", Allow, Silent),
        (nobody, "public/guests", Allow, Allow),
        (nobody, "public/secret", Deny, Deny),
        (nobody, "home/x", Silent, Silent),
        (nobody, "inbox/%u/x", Silent, Silent),
        // What stands before all users is not for those who have a name.
        (anna, "public/x", Silent, Silent),
        (anna, "home/door", Allow, Allow),
        (anna, "home/cellar", Deny, Deny),
        (anna, "home/cellar/door", Allow, Allow),
        (anna, "log/anna", Silent, Allow),
        (anna, "back again", Allow, Silent),
        (anna, "inbox/anna/1", Allow, Silent),
        (anna, "inbox/bert/1", Silent, Silent),
        (bert, "inbox/bert the second", Allow, Silent),
        (bert, "a topic with spaces", Allow, Silent),
        (bert, "devices/c/data", Silent, Allow),
        (("broken", "anna"), "devices/broken/data", Deny, Deny),
        (("c", "unheard of"), "devices/c/data", Silent, Allow),
        (("c", "unheard of"), "public/x", Silent, Silent),
    ] {
        assert_eq!(judged(&rules, who, topic), [read, write], "{who:?} {topic}");
    }
}

#[test]
fn what_is_a_users_own_goes_before_patterns() {
    let rules =
        file("user anna\ntopic a/#\ntopic deny b\npattern deny a/b\npattern b\npattern a/b");
    assert_eq!(judged(&rules, ("c", "anna"), "a/b"), [Allow, Allow]);
    assert_eq!(judged(&rules, ("c", "anna"), "b"), [Deny, Deny]);
    assert_eq!(judged(&rules, ("c", "bert"), "a/b"), [Deny, Deny]);
    assert_eq!(judged(&rules, ("c", "bert"), "b"), [Allow, Allow]);
}

#[test]
fn a_deny_counts_wherever_it_stands() {
    let rules = file("topic a\ntopic deny a\npattern b\npattern deny b");
    assert_eq!(judged(&rules, ("c", ""), "a"), [Deny, Deny]);
    assert_eq!(judged(&rules, ("c", ""), "b"), [Deny, Deny]);
}

#[test]
fn wildcards_do_not_reach_what_begins_with_a_dollar() {
    let rules = file("topic #\ntopic +/x\ntopic $SYS/#\npattern +/%c");
    for (topic, read, write) in [
        ("any/thing", Allow, Allow),
        ("$SYS/broker/load", Allow, Deny),
        ("$SYSTEM/x", Silent, Deny),
        ("$other/x", Silent, Silent),
        ("$other/c", Silent, Silent),
        ("$share/g/x", Deny, Deny),
    ] {
        assert_eq!(judged(&rules, ("c", ""), topic), [read, write], "{topic}");
    }
}

#[test]
fn no_name_reaches_further_than_its_own_level() {
    let rules = file(
        "topic mine\nuser +\ntopic mine\nuser a/b\ntopic mine\n\
         pattern %c/#\npattern by/%u/#\npattern all\npattern deny no/%c",
    );
    for who in [("+", ""), ("a#", ""), ("c", "+"), ("#", "+")] {
        for topic in ["x/y", "by/x/y", "all"] {
            assert_eq!(judged(&rules, who, topic), [Deny, Deny], "{who:?} {topic}");
        }
        let own = if matches!(who.1, "" | "+") {
            Allow
        } else {
            Deny
        };
        assert_eq!(judged(&rules, who, "mine"), [own, own], "{who:?}");
    }
    // Only what these would have been put into is lost to them.
    for (who, topic, expected) in [
        (("a/b", ""), "a/b/x", Silent),
        (("a/b", ""), "all", Allow),
        (("a/b", ""), "no/a/b", Deny),
        (("c", "a/b"), "by/a/b/x", Silent),
        (("c", "a/b"), "c/x", Allow),
        (("$SYS", ""), "$SYS/broker/load", Silent),
        (("$x", ""), "$x/y", Silent),
        (("", ""), "/x", Silent),
    ] {
        assert_eq!(judged(&rules, who, topic)[0], expected, "{who:?} {topic}");
    }
}

#[test]
fn subscriptions_are_granted_and_deliveries_watched() {
    let identity = Identity::default();
    let who = Who {
        client_id: "c",
        identity: &identity,
        caller: None,
    };
    for text in ["", "topic deny #", "user anna\ntopic #"] {
        let rules = file(text);
        assert!(rules.watches_deliveries(&who));
        for (filter, share) in [("#", None), ("x", Some("g"))] {
            let access = Access::Subscribe {
                filter,
                share,
                qos: QoS::ExactlyOnce,
            };
            let ruling = rules.ruling(&who, access, &mut || panic!("it knows at once"));
            assert_eq!(ruling, Allow, "{text:?} {filter}");
        }
        assert_ne!(judged(&rules, ("c", ""), "x"), [Allow, Allow], "{text:?}");
    }
}

#[test]
fn lines_are_read_as_mosquitto_reads_them() {
    let plain = file("topic read a b\n");
    for text in [
        "topic read a b",
        "   topic   read   a b  \r\n\r\n",
        "topic read \t a b\t\n#topic c\n   \n\t\n",
    ] {
        assert_eq!(file(text), plain, "{text:?}");
    }
    // A word that stands alone is a topic.
    let rules = file("topic deny\ntopic %c");
    assert_eq!(judged(&rules, ("c", ""), "deny"), [Allow, Allow]);
    assert_eq!(judged(&rules, ("c", ""), "c"), [Silent, Silent]);
    assert_eq!(judged(&rules, ("c", ""), "%c"), [Allow, Allow]);
    assert_eq!(file("topic $share/g/x").nobody.granted.len(), 1);
}

#[test]
fn the_first_wrong_line_is_told_with_its_number() {
    for (text, line, complaint) in [
        (
            "topics a",
            1,
            "the line begins with \"topics\"; expected topic, pattern, user or #",
        ),
        (
            "topic a\n\n\ttopic b",
            3,
            "the line begins with \"\\ttopic\"; expected topic, pattern, user or #",
        ),
        (
            "  # no comment",
            1,
            "the line begins with \"#\"; expected topic, pattern, user or #",
        ),
        ("topic", 1, "there is no topic; expected a Topic Filter"),
        (
            "#\npattern  ",
            2,
            "there is no topic; expected a Topic Filter",
        ),
        ("user \n", 1, "there is no name; expected a user name"),
        (
            "topic rw a",
            1,
            "the access is \"rw\"; expected read, write, readwrite or deny",
        ),
        ("topic read a/#/b", 1, "\"a/#/b\" is not a Topic Filter"),
        ("pattern %c+", 1, "\"%c+\" is not a Topic Filter"),
        ("topic a\u{0}", 1, "\"a\\0\" is not a Topic Filter"),
    ] {
        let (at, what) = MosquittoFile::parse(text.as_bytes()).expect_err(text);
        let error = Error {
            file: "acl".into(),
            line: Some(at),
            what,
        };
        assert_eq!(
            error.to_string(),
            format!("acl:{line}: {complaint}"),
            "{text:?}"
        );
    }
    let (line, what) = MosquittoFile::parse(b"topic a\ntopic \xff").expect_err("not text");
    assert_eq!((line, matches!(what, What::NotText)), (2, true));
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let error = MosquittoFile::read(Path::new("/nonexistent/acl")).expect_err("it is not there");
    assert_eq!(error.to_string(), "/nonexistent/acl: cannot be read");
    assert!(std::error::Error::source(&error).is_some());
}

proptest! {
    // Breaks if: some text makes the reader or a decision panic.
    #[test]
    fn any_text_is_read_or_refused_and_any_topic_judged(
        words in prop::collection::vec(prop::sample::select(&[
            "topic", "pattern", "user", "read", "deny", " ", "  ", "\n", "\t", "#", "%c/", "%u", "%", "+", "/", "a", "ø", "\0",
        ][..]), 0..40),
        client_id in "[+#/%uc$ø]{0,4}",
        user in prop::option::of("[+#/%uc$ø]{0,4}"),
        topic in "[a%uc/$ø]{1,6}",
    ) {
        if let Ok(rules) = MosquittoFile::parse(words.concat().as_bytes()) {
            let user = user.unwrap_or_default();
            judged(&rules, (&client_id, &user), &topic);
        }
    }
}
