//! The trie against the simplest thing that could be right: a list of filters, each held against
//! the topic by `filter::matches`.
//!
//! The alphabet is small and the levels are few, so that filters collide, nest, split labels and
//! join them again. Some levels are longer than what a node keeps without an allocation.

use postbud::topic::{Trie, filter, name};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const LONG: &str = "a-level-that-is-longer-than-a-node";

/// What happens to trie and model.
#[derive(Clone, Debug)]
enum Step {
    Insert(String),
    /// One of those that are there.
    Remove(Index),
    /// Most likely none of those.
    RemoveOther(String),
    Match(String),
}

fn text(alphabet: &'static [&'static str], longest: usize) -> impl Strategy<Value = String> {
    vec(select(alphabet), 1..=longest).prop_map(|levels| levels.join("/"))
}

fn a_filter() -> impl Strategy<Value = String> {
    let alphabet = &["", "a", "b", "aa", "+", "+", "#", "$SYS", "$", LONG];
    text(alphabet, 6).prop_filter_map("only filters", |text| {
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
        5 => a_filter().prop_map(Step::Insert),
        4 => any::<Index>().prop_map(Step::Remove),
        1 => a_filter().prop_map(Step::RemoveOther),
        4 => a_topic().prop_map(Step::Match),
    ]
}

/// The naive trie. A filter's value is the number of the step that inserted it.
#[derive(Default)]
struct Model(Vec<(String, usize)>);

impl Model {
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
        for (n, step) in steps.iter().enumerate() {
            match step {
                Step::Insert(filter) => {
                    prop_assert_eq!(*trie.entry(filter, || n), model.entry(filter, n));
                    prop_assert_eq!(trie.get(filter), model.get(filter));
                }
                Step::Remove(_) if model.0.is_empty() => {}
                Step::Remove(which) => {
                    let filter = which.get(&model.0).0.clone();
                    prop_assert_eq!(trie.remove(&filter), model.remove(&filter));
                    prop_assert_eq!(trie.get(&filter), None);
                }
                Step::RemoveOther(filter) => {
                    prop_assert_eq!(trie.remove(filter), model.remove(filter));
                }
                Step::Match(topic) => {
                    prop_assert_eq!(found(&trie, topic), model.matches(topic), "{}", topic);
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
            for topic in &topics {
                let escapes = filter::matches(&inner, topic) && !filter::matches(&outer, topic);
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
