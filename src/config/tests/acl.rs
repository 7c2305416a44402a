//! `[[acl.rules]]`: each key to its option, rules in a file of their own, and what cannot be meant.

use super::*;
use crate::auth::acl::options::{Name, Rule};
use crate::auth::acl::pattern::Pattern;
use crate::codec::QoS;

const RULE: &str = "[[acl.rules]]\nallow = \"publish\"\ntopics = \"a\"\n";

fn rules(text: &str, variables: Variables<'_>) -> Vec<Rule> {
    let config = load(&format!("{LISTENER}{text}"), variables).unwrap();
    let rules = config.auth.acl.rules.expect("there are rules");
    rules.to_vec()
}

fn told(text: &str) -> String {
    complaints(&format!("{LISTENER}{text}"), &[])
}

/// The rule of [`RULE`].
fn simple() -> Rule {
    Rule {
        effect: Effect::Allow,
        publish: true,
        subscribe: false,
        topics: vec![Pattern::new("a")],
        users: vec![],
        clients: vec![],
        groups: vec![],
        addresses: vec![],
        retain: None,
        qos: QoS::ExactlyOnce,
    }
}

// Breaks if: a key of a rule reaches another option, or none.
#[test]
fn every_key_of_a_rule_reaches_its_option() {
    let rest = "user = [\"anna\", \"be*\"]\nclient = [\"c\"]\ngroup = \"g*\"\n\
                address = [\"10.0.0.0/8\", \"::1\"]\nretain = true\nqos = 1\n";
    let expected = Rule {
        users: vec![Name::Exactly("anna".into()), Name::Beginning("be".into())],
        clients: vec![Name::Exactly("c".into())],
        groups: vec![Name::Beginning("g".into())],
        addresses: vec!["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()],
        retain: Some(true),
        qos: QoS::AtLeastOnce,
        ..simple()
    };
    assert_eq!(rules(&format!("{RULE}{rest}"), &[]), [expected]);
    let text = "[[acl.rules]]\ndeny = [\"subscribe\", \"publish\"]\ntopics = [\"a/#\", \"%c/+\"]\n";
    let expected = Rule {
        effect: Effect::Deny,
        subscribe: true,
        topics: vec![Pattern::new("a/#"), Pattern::new("%c/+")],
        ..simple()
    };
    assert_eq!(rules(text, &[]), [expected]);
    let variables = [
        ("POSTBUD_ACL_RULES_0_DENY", "publish, subscribe"),
        ("POSTBUD_ACL_RULES_0_TOPICS", "a,b/#"),
        ("POSTBUD_ACL_DEFAULT", "allow"),
    ];
    let expected = Rule {
        effect: Effect::Deny,
        subscribe: true,
        topics: vec![Pattern::new("a"), Pattern::new("b/#")],
        ..simple()
    };
    assert_eq!(rules("", &variables), [expected]);
}

// Breaks if: rules of the file go before those of the configuration, or take their places.
#[test]
fn rules_may_be_in_a_file_of_their_own() {
    let home = Directory::new();
    let file = home.file(
        "rules.toml",
        "# ours\n[[acl.rules]]\ndeny = \"subscribe\"\ntopics = \"b\"\n\n\
         [[acl.rules]]\nallow = \"subscribe\"\ntopics = [\"c\"]\n",
    );
    let file = file.display().to_string();
    let named = |rules: &[Rule]| -> Vec<Pattern> {
        rules.iter().flat_map(|it| it.topics.clone()).collect()
    };
    let expected = ["a", "b", "c"].map(Pattern::new);
    let found = rules(&format!("[acl]\nfile = {file:?}\n{RULE}"), &[]);
    assert_eq!(named(&found), expected);
    let found = rules(RULE, &[("POSTBUD_ACL_FILE", &file)]);
    assert_eq!(named(&found), expected);
    // A variable is about the tables of the configuration, and can add one to them.
    let more = [
        ("POSTBUD_ACL_RULES_0_TOPICS", "a"),
        ("POSTBUD_ACL_RULES_0_ALLOW", "publish"),
    ];
    let found = rules(&format!("[acl]\nfile = {file:?}\n"), &more);
    assert_eq!(named(&found), expected);
}

// Breaks if: a file that has been emptied lets everybody do everything.
#[test]
fn a_file_without_rules_is_not_the_same_as_none() {
    let home = Directory::new();
    let file = home
        .file("rules.toml", "# to be written\n")
        .display()
        .to_string();
    assert_eq!(rules(&format!("[acl]\nfile = {file:?}\n"), &[]), []);
    for text in ["", "[acl]\nfile = \"\"\ndefault = \"deny\"\n"] {
        let config = load(&format!("{LISTENER}{text}"), &[]).unwrap();
        assert_eq!(config.auth.acl.rules, None, "{text}");
    }
}

// Breaks if: a mistake in the file of rules is told of another file, or without its line.
#[test]
fn what_is_wrong_in_a_file_of_rules_is_told_with_its_place() {
    let home = Directory::new();
    let file = home.file(
        "rules.toml",
        "[auth]\nanonymous = true\n[[groups]]\nshare = \"s\"\nfilter = \"f\"\n\
         [[acl.rules]]\nallow = \"publish\"\ntopics = [\"a\", \"b/#/c\"]\n\
         [[acl.rules]]\nallow = \"publish\"\ntopic = \"a\"\n",
    );
    let name = file.display().to_string();
    let text = told(&format!("{RULE}[acl]\nfile = {name:?}\n"));
    let text = text.replace(&name, "rules.toml");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "rules.toml:2:13: auth.anonymous is given in a file of rules; expected [[acl.rules]]",
            "rules.toml:3:1: [[groups]] is given in a file of rules; expected [[acl.rules]]",
            "rules.toml:4:9: groups.0.share is given in a file of rules; expected [[acl.rules]]",
            "rules.toml:5:10: groups.0.filter is given in a file of rules; expected [[acl.rules]]",
            "rules.toml:8:10: acl.rules.1.topics is an array; expected Topic Filters such as \
             \"devices/%c/#\", without $share, and not \"b/#/c\"",
            "rules.toml:9:1: acl.rules.2 has no topics; expected Topic Filters such as \
             topics = [\"devices/%c/#\"]",
            "rules.toml:11:1: unknown key acl.rules.1.topic; did you mean acl.rules.1.topics?",
        ]
    );
    let text = told("[acl]\nfile = \"/nonexistent/rules.toml\"\n");
    assert!(
        text.starts_with("/nonexistent/rules.toml: cannot be read: "),
        "{text}"
    );
    let file = home.file("large.toml", vec![b'\n'; 16 * 1024 * 1024 + 1]);
    let text = told(&format!("[acl]\nfile = {:?}\n", file.display().to_string()));
    assert!(text.contains("large.toml: is larger than 16MiB"), "{text}");
}

// Breaks if: a rule is taken that cannot mean what was written.
#[test]
fn what_cannot_be_meant_is_told() {
    let rule = |text: &str| told(&format!("[[acl.rules]]\n{text}\n"));
    for (text, complaint) in [
        (
            "topics = \"a\"",
            "4:1: acl.rules.0 has neither allow nor deny",
        ),
        (
            "allow = \"publish\"\ndeny = \"publish\"\ntopics = \"a\"",
            "6:8: acl.rules.0 has allow and deny",
        ),
        ("allow = \"publish\"", "4:1: acl.rules.0 has no topics"),
        (
            "allow = []\ntopics = \"a\"",
            "5:9: acl.rules.0.allow is an array; expected an array of \"publish\"",
        ),
        (
            "allow = \"read\"\ntopics = \"a\"",
            "5:9: acl.rules.0.allow is the string \"read\"",
        ),
        (
            "allow = \"publish\"\ntopics = []",
            "6:10: acl.rules.0.topics is an array; expected an array of",
        ),
        (
            "allow = \"publish\"\ntopics = [1]",
            "6:10: acl.rules.0.topics is an array; expected an array of",
        ),
        (
            "allow = \"publish\"\ntopics = \"$share/g/a\"",
            "6:10: acl.rules.0.topics is the string",
        ),
        (
            "allow = \"publish\"\ntopics = \"a\"\nuser = []",
            "7:8: acl.rules.0.user is an array",
        ),
        (
            "allow = \"publish\"\ntopics = \"a\"\nuser = \"\"",
            "7:8: acl.rules.0.user is the string",
        ),
        (
            "allow = \"publish\"\ntopics = \"a\"\nclient = \"*-x\"",
            "7:10: acl.rules.0.client is the",
        ),
        (
            "allow = \"publish\"\ntopics = \"a\"\naddress = \"10.0.0.1/8\"",
            "7:11: acl.rules.0.address is the",
        ),
        (
            "allow = \"publish\"\ntopics = \"a\"\nqos = 3",
            "7:7: acl.rules.0.qos is 3; expected a whole",
        ),
        (
            "allow = [\"publish\", \"subscribe\"]\ntopics = \"a\"\nretain = true",
            "7:10: acl.rules.0 has retain, which is said of publishing",
        ),
    ] {
        let found = rule(text);
        assert!(
            found.starts_with(&format!("c.toml:{complaint}")),
            "{text}: {found}"
        );
        assert_eq!(found.lines().count(), 1, "{text}: {found}");
    }
}

// Breaks if: a long list of rules takes time that grows with its square.
#[test]
fn twenty_thousand_rules_are_read() {
    let home = Directory::new();
    let rule = |user: u32| {
        format!(
            "[[acl.rules]]\nallow = [\"publish\", \"subscribe\"]\nuser = \"user-{user}\"\n\
             topics = [\"home/{user}/#\"]\n"
        )
    };
    let text: String = (0..20_000).map(rule).collect();
    let file = home.file("rules.toml", text).display().to_string();
    let found = rules(&format!("[acl]\nfile = {file:?}\n"), &[]);
    assert_eq!(found.len(), 20_000);
    assert_eq!(found[19_999].topics, [Pattern::new("home/19999/#")]);
}
