//! The structure keeps its invariants, finds what it must, bears what a hostile client sends, and
//! gives its memory back. `tests/protocol/trie_model.rs` compares it with a naive model at random.

use std::collections::BTreeMap;

use super::*;
use crate::topic::filter;

/// Checks every invariant of the structure that can be stated without knowing the filters.
fn assert_sound<V>(trie: &Trie<V>) {
    if trie.is_empty() {
        assert_eq!(trie.memory(), 0);
        return;
    }
    let mut values = 0;
    let mut literals = 0;
    let mut children: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
    for (id, node) in trie.nodes.iter() {
        values += usize::from(node.value.is_some());
        if id == ROOT {
            continue;
        }
        let (count, xor) = children.entry(node.parent).or_default();
        *count += 1;
        *xor ^= id;
        assert!(
            node.value.is_some() || node.children >= 2,
            "node {id} decides nothing"
        );
        let parent = &trie.nodes[node.parent];
        let level = node.label.first();
        match level {
            b"+" => assert_eq!(parent.plus, id),
            b"#" => assert_eq!(parent.hash, id),
            _ => {
                literals += 1;
                let path = trie.key.join_all(path(trie, node.parent), level);
                assert_eq!(node.tag, trie.key.tag(path));
                assert_eq!(trie.literal_child(node.parent, level, path), id);
            }
        }
    }
    for (id, node) in trie.nodes.iter() {
        let counted = children.get(&id).copied().unwrap_or_default();
        assert_eq!((node.children, node.children_xor), counted, "node {id}");
    }
    assert_eq!(values, trie.len());
    assert_eq!(literals, trie.table.len());
    assert!(!trie.nodes.is_sparse());
}

fn path<V>(trie: &Trie<V>, id: u32) -> u64 {
    let mut above = Vec::new();
    let mut at = id;
    while at != ROOT {
        above.push(at);
        at = trie.nodes[at].parent;
    }
    above.iter().rev().fold(ROOT_PATH, |path, &id| {
        trie.key.join_all(path, trie.nodes[id].label.bytes())
    })
}

/// A trie in which the value of every filter is the filter.
fn trie_of<'a>(filters: &[&'a str]) -> Trie<&'a str> {
    let mut trie = Trie::new();
    for &filter in filters {
        assert_eq!(*trie.entry(filter, || filter), filter);
        assert_sound(&trie);
    }
    trie
}

fn matching<'a>(trie: &Trie<&'a str>, topic: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    trie.matches(topic, |&filter| found.push(filter));
    found.sort_unstable();
    found
}

/// How many nodes there are, the root not counted.
fn nodes<V>(trie: &Trie<V>) -> usize {
    trie.nodes.iter().count() - 1
}

#[test]
fn an_empty_trie_has_nothing() {
    let mut trie: Trie<u32> = Trie::default();
    assert!(trie.is_empty());
    assert_eq!(trie.memory(), 0);
    assert_eq!(trie.get("a"), None);
    assert_eq!(trie.get_mut("a"), None);
    assert_eq!(trie.remove("a"), None);
    trie.matches("a", |_| panic!("nothing is there"));
    trie.iter(|_, _| panic!("nothing is there"));
}

#[test]
fn a_value_is_made_once_and_can_be_changed() {
    let mut trie = Trie::new();
    *trie.entry("a/+", || 1) += 10;
    *trie.entry("a/+", || panic!("it is there")) += 100;
    assert_eq!(trie.get("a/+"), Some(&111));
    *trie.get_mut("a/+").unwrap() = 5;
    assert_eq!(trie.len(), 1);
    for other in ["a", "a/", "a/b", "+", "a/+/", "a/#", ""] {
        assert_eq!(trie.get(other), None, "{other:?}");
        assert_eq!(trie.remove(other), None, "{other:?}");
    }
    assert_eq!(trie.remove("a/+"), Some(5));
    assert_sound(&trie);
}

#[test]
fn the_drawing_is_the_structure() {
    let trie = trie_of(&[
        "site/1/#",
        "site/1/door/+/state",
        "site/1/door/front",
        "site/2/door/+/state",
    ]);
    let mut labels: Vec<&[u8]> = trie
        .nodes
        .iter()
        .map(|(_, node)| node.label.bytes())
        .collect();
    labels.sort_unstable();
    let expected: [&[u8]; 8] = [
        b"",
        b"#",
        b"+/state",
        b"1",
        b"2/door/+/state",
        b"door",
        b"front",
        b"site",
    ];
    assert_eq!(labels, expected);
}

#[test]
fn a_filter_that_ends_inside_a_label_splits_it_and_leaves_no_trace() {
    for (long, short) in [
        ("a/b/c", "a"),
        ("a/b/c", "a/b"),
        ("a//", "a/"),
        ("/", ""),
        ("+/+/#", "+/+"),
    ] {
        let mut trie = trie_of(&[long]);
        assert_eq!(nodes(&trie), 1);
        trie.entry(short, || short);
        assert_sound(&trie);
        assert_eq!(nodes(&trie), 2, "{long} {short}");
        assert_eq!(trie.remove(short), Some(short));
        assert_sound(&trie);
        assert_eq!(nodes(&trie), 1, "{long} {short}");
        assert_eq!(trie.get(long), Some(&long));
    }
}

#[test]
fn a_fork_is_joined_when_one_branch_goes() {
    for (one, other) in [
        ("a/b/c", "a/b/d"),
        ("a/+/c", "a/#"),
        ("a/b", "a/+"),
        ("a/", "a/b"),
        ("+/a", "+/+"),
    ] {
        let mut trie = trie_of(&[one, other]);
        assert_eq!(nodes(&trie), 3, "{one} {other}");
        assert_eq!(trie.remove(one), Some(one));
        assert_sound(&trie);
        assert_eq!(nodes(&trie), 1, "{one} {other}");
        assert_eq!(trie.get(other), Some(&other));
    }
}

#[test]
fn a_joined_node_keeps_its_children() {
    let mut trie = trie_of(&["a/b/c/d", "a/b/c/+", "a/b/c/#", "a/b/x"]);
    assert_eq!(trie.remove("a/b/x"), Some("a/b/x"));
    assert_sound(&trie);
    assert_eq!(
        matching(&trie, "a/b/c/d"),
        ["a/b/c/#", "a/b/c/+", "a/b/c/d"]
    );
    assert_eq!(matching(&trie, "a/b/x"), [""; 0]);
}

#[test]
fn wildcards_match_as_the_specification_says() {
    let trie = trie_of(&[
        "#",
        "+",
        "+/+",
        "/+",
        "/",
        "sport",
        "sport/#",
        "sport/+",
        "sport/+/#",
        "sport/tennis/+",
        "+/tennis/#",
        "sport/+/player",
        "$SYS/#",
        "$SYS/+",
        "+/monitor",
        "$SYS/monitor",
    ]);
    for (topic, expected) in [
        ("sport", &["#", "+", "sport", "sport/#"][..]),
        ("sport/", &["#", "+/+", "sport/#", "sport/+", "sport/+/#"]),
        (
            "sport/tennis",
            &["#", "+/+", "+/tennis/#", "sport/#", "sport/+", "sport/+/#"],
        ),
        (
            "sport/tennis/player",
            &[
                "#",
                "+/tennis/#",
                "sport/#",
                "sport/+/#",
                "sport/+/player",
                "sport/tennis/+",
            ],
        ),
        ("/", &["#", "+/+", "/", "/+"]),
        ("/a", &["#", "+/+", "/+"]),
        ("a", &["#", "+"]),
        ("$SYS", &["$SYS/#"]),
        ("$SYS/monitor", &["$SYS/#", "$SYS/+", "$SYS/monitor"]),
        ("$other/monitor", &[]),
        ("a/$SYS/b", &["#"]),
        ("a/monitor", &["#", "+/+", "+/monitor"]),
    ] {
        assert_eq!(matching(&trie, topic), expected, "{topic:?}");
    }
}

/// The way through a label of several levels leads to where its children are in the table, be
/// they many, one, or below a wildcard.
#[test]
fn children_below_long_labels_are_found() {
    for above in ["a/b", "a/b/c/d", "a/+/c", "+/b", "+/+/+", "a//", "/"] {
        for below in ["x", "x/y", "+/y", "#"] {
            let whole = format!("{above}/{below}");
            let topic = whole.replace('+', "p").replace('#', "x/y");
            assert_eq!(
                matching(&trie_of(&[above, &whole]), &topic),
                [&whole],
                "{whole:?}"
            );
            let other = format!("{above}/other");
            assert_eq!(
                matching(&trie_of(&[&other, &whole]), &topic),
                [&whole],
                "{whole:?}"
            );
        }
    }
}

/// Tags only say where to look. With one tag for all, everything is slower and nothing is wrong.
#[test]
fn colliding_tags_confuse_nobody() {
    let filters = [
        "a", "b", "a/a", "a/b", "b/a", "b/b", "aa", "aa/b", "a/bb", "a/b/a", "+/a", "+/b/a", "b/#",
        "a/+/b", "a/+/a", "/a", "a/", "/", "a//a", "b/+/a/b",
    ];
    let mut trie = Trie::new();
    trie.key = Key::colliding();
    for (n, filter) in filters.into_iter().enumerate() {
        trie.entry(filter, || filter);
        assert_sound(&trie);
        for topic in filters.map(|filter| filter.replace('+', "b").replace('#', "a")) {
            let known = filters[..=n].iter().copied();
            let mut expected: Vec<&str> = known.filter(|f| filter::matches(f, &topic)).collect();
            expected.sort_unstable();
            assert_eq!(matching(&trie, &topic), expected, "{topic:?}");
        }
    }
    for filter in filters {
        assert_eq!(trie.remove(filter), Some(filter));
        assert_sound(&trie);
    }
}

/// A label of several levels that begins with a wildcard, where the rule for `$` could be missed.
#[test]
fn dollar_topics_are_hidden_from_compressed_wildcards_too() {
    for wild in ["+/a/b", "+/#", "#", "+/+/+"] {
        assert_eq!(matching(&trie_of(&[wild]), "$x/a/b"), [""; 0], "{wild:?}");
        assert_eq!(matching(&trie_of(&[wild]), "x/a/b"), [wild], "{wild:?}");
        assert_eq!(
            matching(&trie_of(&[wild]), "x/$a/b").is_empty(),
            wild == "+/a/b",
            "{wild:?}"
        );
    }
}

#[test]
fn everything_is_listed_once_with_its_text() {
    let mut filters = [
        "#", "+/a", "/", "//", "a", "a/", "a/b/c", "a/b/d", "a/ø/æ", "ø",
    ];
    let trie = trie_of(&filters);
    let mut listed = Vec::new();
    trie.iter(|filter, value| {
        assert_eq!(filter, *value);
        listed.push(filter.to_owned());
    });
    listed.sort_unstable();
    filters.sort_unstable();
    assert_eq!(listed, filters);
}

/// Places from which a match goes on: what [`Trie::matches`] does, counted.
fn places(trie: &Trie<usize>, topic: &str) -> (usize, usize) {
    let mut found = 0;
    let root = Reached {
        node: ROOT,
        depth: 0,
        path: ROOT_PATH,
    };
    let mut search = Search {
        trie,
        levels: Levels::new(topic),
        places: Stack::new(root),
        visit: |_: &usize| found += 1,
    };
    search.leave(root, true);
    let mut places = 1;
    while let Some(reached) = search.places.pop() {
        search.leave(reached, true);
        places += 1;
    }
    (places, found)
}

// Breaks if: a match looks at what has nothing to do with its topic.
#[test]
fn what_a_match_looks_at_does_not_grow_with_filters_of_others() {
    let own = ["a/1/x", "a/+/x", "a/+/+", "a/1/#", "+/1/x", "#"];
    let mut trie = Trie::new();
    for filter in own {
        trie.entry(filter, || 0);
    }
    let mut added = 0;
    for others in [1_000, 100_000] {
        for number in added..others {
            let filter = format!("site/{}/device/{number}/+/temperature", number / 100);
            trie.entry(&filter, || number);
        }
        added = others;
        let topics = [
            ("a/1/x", (8, 6)),
            ("a/2/y", (4, 2)),
            ("b", (1, 1)),
            ("site/3/device/321/attic/temperature", (4, 2)),
            ("site/3/device/321/attic/humidity", (3, 1)),
            ("site/3/alarm", (2, 1)),
        ];
        let counted = topics.map(|(topic, _)| (topic, places(&trie, topic)));
        assert_eq!(counted, topics, "among {others}");
        for (topic, (_, found)) in topics {
            let mut matched = 0;
            trie.matches(topic, |_| matched += 1);
            assert_eq!(matched, found, "{topic}");
        }
    }
}

#[test]
fn a_panic_in_make_changes_nothing() {
    let mut trie = trie_of(&["a/b/c", "a/b/d"]);
    let attempt = std::panic::AssertUnwindSafe(|| {
        trie.entry("a/x", || panic!("on purpose"));
    });
    assert!(std::panic::catch_unwind(attempt).is_err());
    assert_sound(&trie);
    assert_eq!((trie.len(), nodes(&trie)), (2, 3));
}

/// What did not pass `filter::check` may match anything, but breaks nothing.
#[test]
fn unchecked_text_breaks_nothing() {
    let texts = [
        "", "#/a", "a/#/b", "a+", "#a", "##", "+#", "a/#/#", "\0", "+/#/+", "#/#", "a/#",
    ];
    let mut trie = trie_of(&texts);
    for text in texts {
        trie.matches(text, |_| ());
    }
    for text in texts {
        assert_eq!(trie.remove(text), Some(text));
        assert_sound(&trie);
    }
}

/// Many filters that come and go in another order than they came, with structure checks on the
/// way, through growth of the table, several pages, compaction and shrinking.
#[test]
fn thousands_come_and_go() {
    let filters: Vec<String> = (0..6000_u32)
        .map(|n| match n % 5 {
            0 => format!("site/{n}/#"),
            1 => format!("site/{}/+/state", n - 1),
            _ => format!("site/{}/device/{n}/a/rather/long/tail", n / 50),
        })
        .collect();
    let mut trie = Trie::new();
    for (n, filter) in filters.iter().enumerate() {
        trie.entry(filter, || n);
        if n % 500 == 0 {
            assert_sound(&trie);
        }
    }
    let full = trie.memory();
    assert_eq!(trie.len(), filters.len());
    for step in 0..filters.len() {
        let n = step * 3593 % filters.len(); // a prime: every number once
        assert_eq!(trie.remove(&filters[n]), Some(n));
        if step % 500 == 0 {
            assert_sound(&trie);
            let share = trie.memory() as f64 / full as f64;
            let left = trie.len() as f64 / filters.len() as f64;
            assert!(
                share < 3.5 * left + 0.05,
                "{share} of the memory for {left} of the filters"
            );
        }
    }
    assert_sound(&trie);
    assert_eq!(trie.memory(), 0);
}

/// As in `thousands_come_and_go`, the removals leave holes in every page.
#[test]
fn memory_is_given_back_although_survivors_are_scattered() {
    let mut trie = Trie::new();
    for n in 0..20_000_u32 {
        trie.entry(&format!("d/{n}/x"), || n);
    }
    let full = trie.memory();
    for n in (0..20_000).filter(|n| n % 100 != 0) {
        assert_eq!(trie.remove(&format!("d/{n}/x")), Some(n));
    }
    assert_sound(&trie);
    assert_eq!(trie.len(), 200);
    assert!(trie.memory() * 20 < full, "{} of {full}", trie.memory());
    for n in (0..20_000).filter(|n| n % 100 == 0) {
        let mut found = 0;
        trie.matches(&format!("d/{n}/x"), |&value| found += u32::from(value == n));
        assert_eq!(found, 1);
    }
}

/// One filter that comes and goes at the edge of a threshold must not move everything each time:
/// after moving together, half of the nodes must go before the next time.
#[test]
fn coming_and_going_at_a_threshold_does_not_compact_again() {
    let mut trie = Trie::new();
    for n in 0..4096 {
        trie.entry(&n.to_string(), || n);
    }
    let mut compactions = 0;
    let mut slots = trie.memory();
    for n in 0..4096 {
        trie.remove(&n.to_string());
        for _ in 0..3 {
            trie.entry("x", || 0);
            trie.remove("x");
        }
        compactions += usize::from(trie.memory() != slots);
        slots = trie.memory();
    }
    assert!(compactions < 40, "{compactions}");
}

mod hostile {
    use super::*;

    #[test]
    fn the_deepest_topic_and_filter() {
        let slashes = "/".repeat(65_535);
        let pluses = vec!["+"; 32_768].join("/");
        let deep = vec!["a"; 32_768].join("/");
        let trie = trie_of(&[&slashes, &pluses, &deep, "#", "/#", "a/a/+/#"]);
        assert_eq!(matching(&trie, &deep), ["#", &pluses, "a/a/+/#", &deep]);
        assert_eq!(matching(&trie, &slashes), ["#", "/#", &slashes]);
        assert_eq!(
            matching(&trie, &pluses.replace('+', "")),
            ["#", &pluses, "/#"]
        );
    }

    /// A node at every level, in two branches.
    #[test]
    fn a_chain_of_nested_filters() {
        let deep = vec!["a"; 1000].join("/");
        let wild = vec!["+"; 1000].join("/");
        let mut trie = Trie::new();
        for text in [&deep, &wild] {
            for end in (1..=text.len()).step_by(2) {
                trie.entry(&text[..end], || end);
            }
        }
        assert_eq!(nodes(&trie), 2000);
        let mut found = 0;
        trie.matches(&deep, |_| found += 1);
        assert_eq!(found, 2);
        trie.iter(|filter, &end| assert_eq!(filter.len(), end));
        for text in [&wild, &deep] {
            for end in (1..=text.len()).step_by(2) {
                assert_eq!(trie.remove(&text[..end]), Some(end));
            }
        }
        assert_eq!(trie.memory(), 0);
    }

    /// Every combination of `a` and `+`: as many places as filters, and not one more.
    #[test]
    fn all_combinations_of_wildcards() {
        let mut trie = Trie::new();
        for bits in 0..1 << 12 {
            let level = |at| if bits >> at & 1 == 0 { "a" } else { "+" };
            trie.entry(&(0..12).map(level).collect::<Vec<_>>().join("/"), || bits);
        }
        assert_sound(&trie);
        let mut found = Vec::new();
        trie.matches(&["a"; 12].join("/"), |&bits| found.push(bits));
        found.sort_unstable();
        assert_eq!(found, (0..1 << 12).collect::<Vec<_>>());
        let mut found = 0;
        trie.matches(&["b"; 12].join("/"), |_| found += 1);
        assert_eq!(found, 1);
    }

    /// Places put aside and levels beyond what fits the machine stack, at once.
    #[test]
    fn places_and_levels_spill_together() {
        let mut filters = Vec::new();
        for depth in 0..60 {
            let mut levels = vec!["a"; 60];
            levels[depth] = "+";
            filters.push(levels.join("/"));
            levels.truncate(depth + 1);
            filters.push(levels.join("/") + "/b/c");
        }
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        let trie = trie_of(&filters);
        for topic in [
            ["a"; 60].join("/"),
            ["a"; 59].join("/"),
            ["a"; 30].join("/") + "/b/c",
        ] {
            let mut expected: Vec<&str> = filters
                .iter()
                .copied()
                .filter(|f| filter::matches(f, &topic))
                .collect();
            expected.sort_unstable();
            assert_eq!(matching(&trie, &topic), expected);
        }
    }

    /// The names an attacker would take against a plain sum, product or folding of the bytes.
    #[test]
    fn levels_made_to_collide_do_not() {
        let mut trie = Trie::new();
        for n in 0..4096_u32 {
            // All of one length and with the same bytes, in other places.
            let level: String = (0..12)
                .map(|bit| if n >> bit & 1 == 0 { "ab" } else { "ba" })
                .collect();
            trie.entry(&level, || n);
            trie.entry(&format!("{level}/x"), || n);
        }
        assert_sound(&trie);
        assert!(
            trie.table.longest_run() < 256,
            "{}",
            trie.table.longest_run()
        );
    }
}
