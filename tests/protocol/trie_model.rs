//! The trie against the simplest thing that could be right: a list of filters, each held against
//! the topic by `filter::matches`.
//!
//! Left to chance, a filter of four levels rarely begins like another one, and a topic of four
//! levels matches next to nothing. So the alphabet is small, half of the new filters continue one
//! that is there, and most topics are what some filter asks for. Some levels are longer than what a
//! node keeps without an allocation.

use postbud::topic::{Trie, filter, name};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const LONG: &str = "a-level-that-is-longer-than-a-node";

/// What is drawn. What it comes to depends on the filters that are there.
#[derive(Clone, Debug)]
enum Step {
    Insert(String),
    /// A filter that is there, continued.
    Extend(Index, String),
    /// A filter that is there.
    Remove(Index),
    /// Most likely none of those.
    RemoveOther(String),
    Match(String),
    /// A topic that a filter asks for, whose wildcards stand for levels of this one.
    MatchLike(Index, String),
}

/// What happens to trie and model.
enum Action {
    Insert(String),
    Remove(String),
    Match(String),
}

fn text(alphabet: &'static [&'static str], longest: usize) -> impl Strategy<Value = String> {
    vec(select(alphabet), 1..=longest).prop_map(|levels| levels.join("/"))
}

fn a_filter() -> impl Strategy<Value = String> {
    let alphabet = &["", "a", "b", "aa", "+", "+", "#", "$SYS", "$", LONG];
    text(alphabet, 4).prop_filter_map("only filters", |text| {
        // Cut after the first `#`, rather than refuse what has one in the middle.
        let text = text.split_inclusive('#').next()?.to_owned();
        filter::check(&text).is_ok().then_some(text)
    })
}

fn a_topic() -> impl Strategy<Value = String> {
    let alphabet = &["", "a", "b", "aa", "$SYS", "$", "c", LONG];
    text(alphabet, 7).prop_filter("only names", |text| name::check(text).is_ok())
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => a_filter().prop_map(Step::Insert),
        3 => (any::<Index>(), a_filter()).prop_map(|(which, more)| Step::Extend(which, more)),
        4 => any::<Index>().prop_map(Step::Remove),
        1 => a_filter().prop_map(Step::RemoveOther),
        1 => a_topic().prop_map(Step::Match),
        4 => (any::<Index>(), a_topic()).prop_map(|(which, fill)| Step::MatchLike(which, fill)),
    ]
}

/// A filter with its wildcards replaced by levels of a topic, as a topic.
fn instance(filter: &str, fill: &str) -> Option<String> {
    let mut fill = name::levels(fill);
    let mut levels = Vec::new();
    for level in name::levels(filter) {
        match level {
            "+" => levels.push(fill.next().unwrap_or("a")),
            "#" => levels.extend(fill.by_ref()),
            _ => levels.push(level),
        }
    }
    let topic = levels.join("/");
    name::check(&topic).is_ok().then_some(topic)
}

/// A filter with the levels of another one below it.
fn extension(filter: &str, more: &str) -> Option<String> {
    let longer = format!("{filter}/{more}");
    filter::check(&longer).is_ok().then_some(longer)
}

/// The naive trie. A filter's value is the number of the step that inserted it.
#[derive(Default)]
struct Model(Vec<(String, usize)>);

impl Model {
    fn settle(&self, step: Step) -> Action {
        let pick = |which: Index| (!self.0.is_empty()).then(|| which.get(&self.0).0.as_str());
        match step {
            Step::Insert(filter) => Action::Insert(filter),
            Step::Extend(which, more) => {
                let longer = pick(which).and_then(|filter| extension(filter, &more));
                Action::Insert(longer.unwrap_or(more))
            }
            Step::Remove(which) => Action::Remove(pick(which).unwrap_or("a").to_owned()),
            Step::RemoveOther(filter) => Action::Remove(filter),
            Step::Match(topic) => Action::Match(topic),
            Step::MatchLike(which, fill) => {
                let topic = pick(which).and_then(|filter| instance(filter, &fill));
                Action::Match(topic.unwrap_or(fill))
            }
        }
    }

    fn get(&self, filter: &str) -> Option<&usize> {
        self.0
            .iter()
            .find(|(known, _)| known == filter)
            .map(|(_, value)| value)
    }

    fn entry(&mut self, filter: &str, value: usize) -> usize {
        if let Some(&known) = self.get(filter) {
            return known;
        }
        self.0.push((filter.to_owned(), value));
        value
    }

    fn remove(&mut self, filter: &str) -> Option<usize> {
        let at = self.0.iter().position(|(known, _)| known == filter)?;
        Some(self.0.swap_remove(at).1)
    }

    fn matches(&self, topic: &str) -> Vec<usize> {
        let matching = self
            .0
            .iter()
            .filter(|(filter, _)| filter::matches(filter, topic));
        sorted(matching.map(|&(_, value)| value).collect())
    }
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort_unstable();
    values
}

fn found(trie: &Trie<usize>, topic: &str) -> Vec<usize> {
    let mut found = Vec::new();
    trie.matches(topic, |&value| found.push(value));
    sorted(found)
}

fn listed(trie: &Trie<usize>) -> Vec<(String, usize)> {
    let mut listed = Vec::new();
    trie.iter(|filter, &value| listed.push((filter.to_owned(), value)));
    sorted(listed)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_trie_is_the_model(steps in vec(a_step(), 1..200)) {
        let mut trie = Trie::new();
        let mut model = Model::default();
        for (n, step) in steps.into_iter().enumerate() {
            match model.settle(step) {
                Action::Insert(filter) => {
                    prop_assert_eq!(*trie.entry(&filter, || n), model.entry(&filter, n));
                    prop_assert_eq!(trie.get(&filter), model.get(&filter));
                }
                Action::Remove(filter) => {
                    prop_assert_eq!(trie.remove(&filter), model.remove(&filter));
                    prop_assert_eq!(trie.get(&filter), None);
                }
                Action::Match(topic) => {
                    prop_assert_eq!(found(&trie, &topic), model.matches(&topic), "{}", topic);
                }
            }
            prop_assert_eq!(trie.len(), model.0.len());
        }
        prop_assert_eq!(listed(&trie), sorted(model.0.clone()));
        for (filter, value) in model.0 {
            prop_assert_eq!(trie.remove(&filter), Some(value));
        }
        prop_assert_eq!(trie.memory(), 0);
    }

    /// Every topic against the same filters, inserted in one order and in the reverse.
    #[test]
    fn the_order_of_insertion_does_not_matter(
        filters in vec(a_filter(), 1..60),
        topics in vec(a_topic(), 1..60),
    ) {
        let filters = sorted(filters);
        let (mut one, mut other) = (Trie::new(), Trie::new());
        for (n, filter) in filters.iter().enumerate() {
            one.entry(filter, || n);
        }
        for filter in filters.iter().rev() {
            let value = *one.get(filter).expect("inserted before");
            other.entry(filter, || value);
        }
        for topic in &topics {
            prop_assert_eq!(found(&one, topic), found(&other, topic), "{}", topic);
        }
        prop_assert_eq!(listed(&one), listed(&other));
    }

    /// `covers` says no more and no less than `matches` shows, as far as sampled names can tell.
    #[test]
    fn a_covered_filter_matches_nothing_else(
        outer in a_filter(),
        inner in a_filter(),
        topics in vec(a_topic(), 100),
    ) {
        if filter::covers(&outer, &inner) {
            for topic in topics.iter().filter_map(|fill| instance(&inner, fill)) {
                let escapes = filter::matches(&inner, &topic) && !filter::matches(&outer, &topic);
                prop_assert!(!escapes, "{} covers {} but for {}", outer, inner, topic);
            }
        }
        prop_assert!(filter::covers(&inner, &inner));
    }

    /// Whatever a client may send as text is judged without a panic.
    #[test]
    fn any_text_is_judged(text in "[ab+#/$\0æ]{0,12}|[$]share/[g+/]{0,3}/[ab+#/]{0,6}") {
        let topic = name::check(&text).is_ok();
        let plain = filter::check(&text).is_ok();
        if topic && !text.starts_with("$share") {
            prop_assert!(plain, "every name is a filter too");
            prop_assert!(filter::matches(&text, &text));
        }
        if let Ok(parsed) = filter::parse(&text) {
            prop_assert!(plain);
            let whole = match parsed.share {
                Some(share) => format!("$share/{share}/{}", parsed.filter),
                None => parsed.filter.to_owned(),
            };
            prop_assert_eq!(whole, text.as_str());
            // What may stay in a ShareName: no level, no wildcard.
            prop_assert!(parsed.share.is_none_or(|share| !share.contains(['/', '+', '#'])));
        }
    }
}
