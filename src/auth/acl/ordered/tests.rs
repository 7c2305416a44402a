//! Which rule decides; that what is granted is never more than what is allowed; and how many are looked at.

use proptest::prelude::*;

use super::*;
use crate::auth::acl::pattern::Pattern;
use crate::auth::{Caller, Identity};
use crate::codec::QoS;

use Ruling::{Allow, Deny, Silent};

fn allow(topics: &[&str]) -> Rule {
    Rule::about(Effect::Allow, topics)
}

fn deny(topics: &[&str]) -> Rule {
    Rule::about(Effect::Deny, topics)
}

fn names(names: &[&str]) -> Vec<Name> {
    names.iter().filter_map(|it| Name::new(it)).collect()
}

fn publish(topic: &str) -> Access<'_> {
    Access::Publish {
        topic,
        qos: QoS::AtMostOnce,
        retain: false,
    }
}

fn subscribe(filter: &str) -> Access<'_> {
    Access::Subscribe {
        filter,
        share: None,
        qos: QoS::AtMostOnce,
    }
}

/// A client that is asked about.
#[derive(Clone, Debug, Default)]
struct Client {
    id: &'static str,
    identity: Identity,
    caller: Option<Caller>,
}

impl Client {
    fn of(id: &'static str, user: &str, groups: &[&str]) -> Self {
        let mut identity = match user {
            "" => Identity::default(),
            user => Identity::of(user),
        };
        identity.groups = groups.iter().map(|it| Box::from(*it)).collect();
        Self {
            id,
            identity,
            caller: None,
        }
    }

    fn from(mut self, peer: &str) -> Self {
        self.caller = Some(Caller {
            peer: Some(peer.parse().expect("an address with a port")),
            ..Caller::default()
        });
        self
    }

    fn who(&self) -> Who<'_> {
        Who {
            client_id: self.id,
            identity: &self.identity,
            caller: self.caller.as_ref(),
        }
    }

    fn asks(&self, rules: &Ordered, access: Access<'_>) -> Ruling {
        rules.ruling(&self.who(), access, &mut || panic!("they know at once"))
    }
}

fn ordered(rules: &[Rule]) -> Ordered {
    Ordered::new(rules.into())
}

#[test]
fn the_first_rule_that_has_the_topic_decides() {
    let rules = ordered(&[
        deny(&["a/secret/#"]),
        allow(&["a/#", "b"]),
        deny(&["#"]),
        allow(&["c"]),
    ]);
    let anybody = Client::default();
    for (topic, expected) in [
        ("a/x", Allow),
        ("a/secret", Deny),
        ("a/secret/x", Deny),
        ("b", Allow),
        ("c", Deny),
        ("$SYS/x", Silent),
    ] {
        assert_eq!(anybody.asks(&rules, publish(topic)), expected, "{topic}");
        let receive = Access::Receive { topic };
        assert_eq!(anybody.asks(&rules, receive), expected, "{topic}");
        assert_eq!(anybody.asks(&rules, subscribe(topic)), expected, "{topic}");
    }
}

// The ways around a list: wildcards, shares (the filter within is what is asked for), `$SYS`, and asking for more.
#[test]
fn a_subscription_is_to_be_allowed_whole() {
    let rules = ordered(&[
        deny(&["site/+/vault/#"]),
        allow(&["site/#", "$SYS/broker/uptime"]),
    ]);
    let anybody = Client::default();
    for (filter, expected) in [
        ("site/7/door", Allow),
        ("site/+/door", Allow),
        ("site/+/door/#", Allow),
        ("$SYS/broker/uptime", Allow),
        // Some of it is denied.
        ("site/7/vault", Deny),
        ("site/+/vault/x", Deny),
        ("site/#", Deny),
        ("site/+/+", Deny),
        ("+/7/vault", Deny),
        ("#", Deny),
        ("+/#", Deny),
        // Some of it is not allowed.
        ("+", Silent),
        ("+/7/door", Silent),
        ("$SYS/#", Silent),
        ("$SYS/broker/+", Silent),
        ("$SYS/broker/uptime/#", Silent),
        ("other", Silent),
    ] {
        for share in [None, Some("x")] {
            let access = Access::Subscribe {
                filter,
                share,
                qos: QoS::AtMostOnce,
            };
            assert_eq!(anybody.asks(&rules, access), expected, "{filter} {share:?}");
        }
    }
    let all = ordered(&[allow(&["#"])]);
    assert_eq!(anybody.asks(&all, subscribe("#")), Allow);
    assert_eq!(anybody.asks(&all, subscribe("$SYS/#")), Silent);
    let none = ordered(&[deny(&["#"]), allow(&["#", "$SYS/#"])]);
    assert_eq!(anybody.asks(&none, subscribe("+")), Deny);
    assert_eq!(anybody.asks(&none, subscribe("$SYS/#")), Allow);
}

#[test]
fn a_rule_speaks_of_what_it_names() {
    let reading = Rule {
        publish: false,
        ..allow(&["t"])
    };
    let writing = Rule {
        subscribe: false,
        qos: QoS::AtLeastOnce,
        retain: Some(false),
        ..allow(&["t"])
    };
    let quiet = Rule {
        qos: QoS::AtMostOnce,
        ..reading.clone()
    };
    let anybody = Client::default();
    let ask = |rule: &Rule| {
        let rules = ordered(std::slice::from_ref(rule));
        let write = |qos, retain| {
            let topic = "t";
            anybody.asks(&rules, Access::Publish { topic, qos, retain })
        };
        let read = |qos| {
            let (filter, share) = ("t", None);
            anybody.asks(&rules, Access::Subscribe { filter, share, qos })
        };
        let receive = anybody.asks(&rules, Access::Receive { topic: "t" });
        [
            write(QoS::AtLeastOnce, false),
            write(QoS::ExactlyOnce, false),
            write(QoS::AtMostOnce, true),
            read(QoS::AtMostOnce),
            read(QoS::ExactlyOnce),
            receive,
        ]
    };
    assert_eq!(ask(&reading), [Silent, Silent, Silent, Allow, Allow, Allow]);
    assert_eq!(
        ask(&writing),
        [Allow, Silent, Silent, Silent, Silent, Silent]
    );
    assert_eq!(ask(&quiet), [Silent, Silent, Silent, Allow, Silent, Allow]);
    assert_eq!(ask(&deny(&["t"])), [Deny; 6]);
}

#[test]
fn a_rule_speaks_of_whom_it_names() {
    let of = |users: &[&str], clients: &[&str], groups: &[&str], addresses: &[&str]| Rule {
        users: names(users),
        clients: names(clients),
        groups: names(groups),
        addresses: addresses.iter().map(|it| it.parse().expect(it)).collect(),
        ..allow(&["t"])
    };
    let nobody = Client::of("gate", "", &[]);
    let anna = Client::of("gate", "anna", &["ops", "night"]);
    let away = || anna.clone();
    for (rule, client, speaks) in [
        (of(&[], &[], &[], &[]), nobody.clone(), true),
        (of(&["anna"], &[], &[], &[]), away(), true),
        (of(&["anna"], &[], &[], &[]), nobody.clone(), false),
        (of(&["bert", "an*"], &[], &[], &[]), away(), true),
        (of(&["ann", "annas*", "nna*"], &[], &[], &[]), away(), false),
        (of(&["*"], &[], &[], &[]), away(), true),
        (of(&["*"], &[], &[], &[]), nobody.clone(), false),
        (of(&[], &["ga*"], &[], &[]), nobody.clone(), true),
        (of(&[], &["door"], &[], &[]), nobody.clone(), false),
        (of(&[], &[], &["night"], &[]), away(), true),
        (of(&[], &[], &["n*", "day"], &[]), away(), true),
        (of(&[], &[], &["day"], &[]), away(), false),
        (of(&[], &[], &["*"], &[]), nobody.clone(), false),
        (of(&["anna"], &["gate"], &["ops"], &[]), away(), true),
        (of(&["anna"], &["door"], &["ops"], &[]), away(), false),
        (of(&["anna"], &["gate"], &["day"], &[]), away(), false),
        (of(&["bert"], &["gate"], &["ops"], &[]), away(), false),
        (of(&[], &["gate"], &["day"], &[]), away(), false),
        (of(&[], &[], &[], &["10.0.0.0/8"]), away(), false),
        (
            of(&[], &[], &[], &["10.0.0.0/8"]),
            away().from("10.1.2.3:4"),
            true,
        ),
        (
            of(&[], &[], &[], &["10.0.0.0/8"]),
            away().from("[::ffff:10.1.2.3]:4"),
            true,
        ),
        (
            of(&[], &[], &[], &["::1", "10.0.0.0/8"]),
            away().from("[::1]:4"),
            true,
        ),
        (
            of(&[], &[], &[], &["10.0.0.0/8"]),
            away().from("11.1.2.3:4"),
            false,
        ),
        (
            of(&["bert"], &[], &[], &["::1"]),
            away().from("[::1]:4"),
            false,
        ),
    ] {
        let expected = if speaks { Allow } else { Silent };
        let rules = ordered(&[rule]);
        let ruling = client.asks(&rules, publish("t"));
        assert_eq!(ruling, expected, "{:?} {:?}", rules.rules, client.who());
    }
}

#[test]
fn whoever_comes_through_a_unix_domain_socket_has_no_address() {
    let local = Client {
        caller: Some(Caller::default()),
        ..Client::default()
    };
    let rules = ordered(&[Rule {
        addresses: ["0.0.0.0/0", "::/0"]
            .map(|it| it.parse().expect(it))
            .to_vec(),
        ..allow(&["t"])
    }]);
    assert_eq!(local.asks(&rules, publish("t")), Silent);
}

#[test]
fn own_topics_are_within_one_level() {
    let rules = ordered(&[
        deny(&["dev/%c/lock"]),
        allow(&["dev/%c/#", "user/%u", "%c/x"]),
    ]);
    for (client, topic, expected) in [
        (Client::of("pump", "anna", &[]), "dev/pump/on", Allow),
        (Client::of("pump", "anna", &[]), "dev/pump/lock", Deny),
        (Client::of("pump", "anna", &[]), "user/anna", Allow),
        (Client::of("pump", "anna", &[]), "user/pump", Silent),
        (Client::of("pump", "", &[]), "user/", Silent),
        (Client::of("pump/x", "", &[]), "dev/pump/x/on", Silent),
        (Client::of("pump/x", "", &[]), "dev/pump/x/lock", Deny),
        (Client::of("+", "", &[]), "dev/pump/on", Silent),
        (Client::of("#", "+", &[]), "user/anna", Silent),
        (Client::of("+", "", &[]), "dev/pump/lock", Deny),
        (Client::of("$SYS", "", &[]), "$SYS/x", Silent),
        (Client::of("c$", "", &[]), "c$/x", Allow),
    ] {
        assert_eq!(
            client.asks(&rules, publish(topic)),
            expected,
            "{} {topic}",
            client.id
        );
    }
    let greedy = Client::of("+", "", &[]);
    assert_eq!(greedy.asks(&rules, subscribe("dev/+/on")), Silent);
    assert_eq!(
        Everything.ruling(&greedy.who(), publish("x"), &mut || panic!("at once")),
        Allow
    );
}

// Breaks if: a decision about one user looks at the rules of all.
#[test]
fn of_ten_thousand_users_only_ones_own_rules_are_looked_at() {
    let mut rules = vec![deny(&["never/#"])];
    for user in 0..10_000 {
        let of_user = |topic: String| Rule {
            users: names(&[&format!("user-{user}")]),
            ..allow(&[&topic])
        };
        rules.push(of_user(format!("a/{user}/#")));
        rules.push(of_user(format!("b/{user}/#")));
        rules.push(Rule {
            clients: names(&[&format!("client-{user}-*")]),
            ..allow(&[&format!("c/{user}")])
        });
    }
    rules.push(Rule {
        users: names(&["user-1*"]),
        ..allow(&["one/#"])
    });
    rules.push(allow(&["all"]));
    let rules = ordered(&rules);
    for (id, user, looked_at) in [
        ("client-77-x", "user-7777", 5),
        ("other", "user-1234", 5),
        ("client-77-x", "unheard of", 3),
        ("ø", "æ", 2),
    ] {
        let client = Client::of(id, user, &[]);
        assert_eq!(
            rules.index.find(&client.who()).len(),
            looked_at,
            "{id} {user}"
        );
    }
    let client = Client::of("client-77-x", "user-7777", &[]);
    for (topic, expected) in [
        ("b/7777/x", Allow),
        ("b/7778/x", Silent),
        ("c/77", Allow),
        ("c/78", Silent),
        ("all", Allow),
        ("never/x", Deny),
    ] {
        assert_eq!(client.asks(&rules, publish(topic)), expected, "{topic}");
    }
}

const LEVELS: [&str; 5] = ["a", "b", "$x", "", "%c"];

fn name() -> impl Strategy<Value = String> {
    let level = prop::sample::select(&["a", "b", "$x", "", "c"][..]);
    let levels = prop::collection::vec(level, 1..4);
    let names = levels.prop_map(|levels| levels.join("/"));
    names.prop_filter("a name has a character", |name| !name.is_empty())
}

fn filter_of(levels: &'static [&'static str]) -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => prop::sample::select(levels), 1 => Just("+")];
    let levels = prop::collection::vec(level, 1..4);
    let filters = (levels, prop::bool::ANY).prop_map(|(levels, open)| {
        let filter = levels.join("/");
        if open { format!("{filter}/#") } else { filter }
    });
    let filters = prop_oneof![9 => filters, 1 => Just("#".to_owned())];
    filters.prop_filter("a filter has a character", |filter| !filter.is_empty())
}

fn some_names() -> impl Strategy<Value = Vec<Name>> {
    let name = prop::sample::select(&["c", "cc", "c*", "*", "d", "æ*", "æø"][..]);
    let list = prop::collection::vec(name, 0..3);
    list.prop_map(|list| names(&list))
}

prop_compose! {
    fn some_rule()(
        topics in prop::collection::vec(filter_of(&LEVELS), 1..3),
        allows in prop::bool::ANY,
        (publish, subscribe) in (prop::bool::ANY, prop::bool::ANY),
        users in some_names(),
        clients in some_names(),
        groups in some_names(),
    ) -> Rule {
        let topics: Vec<_> = topics.iter().map(String::as_str).collect();
        Rule { publish, subscribe, users, clients, groups, ..if allows { allow(&topics) } else { deny(&topics) } }
    }
}

fn some_client() -> impl Strategy<Value = Client> {
    let word = || prop::sample::select(&["c", "cc", "æø", "æ", "+", "a/b"][..]);
    let groups = prop::collection::vec(word(), 0..3);
    (word(), prop::option::of(word()), groups)
        .prop_map(|(id, user, groups)| Client::of(id, user.unwrap_or_default(), &groups))
}

/// The same, from the words of the configuration: each rule in turn, each condition by itself.
fn naive(rules: &[Rule], who: &Who<'_>, topic: &str, publishes: bool) -> Ruling {
    let is_named = |names: &[Name], name: &str| {
        let mut names = names.iter();
        names.any(|it| match it {
            Name::Exactly(it) => **it == *name,
            Name::Beginning(it) => name.starts_with(&**it),
        })
    };
    for rule in rules {
        let about = if publishes {
            rule.publish
        } else {
            rule.subscribe
        };
        let user = who.identity.user.as_deref();
        let mut groups = who.identity.groups.iter();
        let of = (rule.users.is_empty() || user.is_some_and(|it| is_named(&rule.users, it)))
            && (rule.clients.is_empty() || is_named(&rule.clients, who.client_id))
            && (rule.groups.is_empty() || groups.any(|it| is_named(&rule.groups, it)));
        let has = |pattern: &Pattern| {
            let own = match rule.effect {
                Effect::Allow => pattern.to_grant(who),
                Effect::Deny => pattern.to_deny(who),
            };
            own.is_some_and(|own| filter::matches(&own, topic))
        };
        if about && of && rule.topics.iter().any(has) {
            return if rule.effect == Effect::Allow {
                Allow
            } else {
                Deny
            };
        }
    }
    Silent
}

proptest! {
    // Breaks if: the index loses a rule, or puts rules into another order.
    #[test]
    fn names_are_judged_rule_by_rule(
        rules in prop::collection::vec(some_rule(), 0..8),
        client in some_client(),
        topic in name(),
    ) {
        let who = client.who();
        let list = ordered(&rules);
        prop_assert_eq!(client.asks(&list, publish(&topic)), naive(&rules, &who, &topic, true));
        let receive = Access::Receive { topic: &topic };
        prop_assert_eq!(client.asks(&list, receive), naive(&rules, &who, &topic, false));
    }

    // Breaks if: a subscription is granted that brings what is denied, or not allowed, by name.
    #[test]
    fn what_a_granted_filter_matches_is_allowed_by_name(
        rules in prop::collection::vec(some_rule(), 1..6),
        client in some_client(),
        asked in filter_of(&["a", "b", "$x", "", "c"]),
        topics in prop::collection::vec(name(), 40),
    ) {
        let list = ordered(&rules);
        if client.asks(&list, subscribe(&asked)) == Allow {
            for topic in topics.iter().filter(|topic| filter::matches(&asked, topic)) {
                let ruling = client.asks(&list, Access::Receive { topic });
                prop_assert_eq!(ruling, Allow, "{} for {}", topic, &asked);
            }
        }
    }

    #[test]
    fn a_filter_without_wildcards_is_judged_as_the_name_it_is(
        rules in prop::collection::vec(some_rule(), 0..8),
        client in some_client(),
        topic in name(),
    ) {
        let list = ordered(&rules);
        let by_filter = client.asks(&list, subscribe(&topic));
        prop_assert_eq!(by_filter, client.asks(&list, Access::Receive { topic: &topic }));
    }
}
