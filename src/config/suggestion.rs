//! "Did you mean …?" for misspelt names.

/// Longer names than any that exist are not compared: the work is quadratic.
const LONGEST: usize = 64;

/// The candidate that is nearest to `wrong`, if any is near enough to be what was meant: at most
/// one slip in three characters. Upper and lower case are the same.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = letters(wrong);
    if wrong.len() > LONGEST {
        return None;
    }
    let allowed = (wrong.len() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&wrong, &letters(candidate)), candidate))
        .filter(|(slips, _)| *slips <= allowed)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

fn letters(text: &str) -> Vec<char> {
    text.chars()
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

/// How many characters to insert, remove, replace or swap with their neighbour to get from one to
/// the other (optimal string alignment). Three rows of the usual table are enough.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before_last = vec![0; to.len() + 1];
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1; to.len() + 1];
        for (j, b) in to.iter().enumerate() {
            let replace = last[j] + usize::from(a != b);
            row[j + 1] = replace.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                row[j + 1] = row[j + 1].min(before_last[j - 1] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let between = |a: &str, b: &str| distance(&letters(a), &letters(b));
        for (a, b, slips) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("abc", "abd", 1),
            ("abc", "acb", 1),
            ("recieve", "receive", 1),
            ("kitten", "sitting", 3),
            ("LEVEL", "level", 0),
        ] {
            assert_eq!(between(a, b), slips, "{a} {b}");
            assert_eq!(between(b, a), slips, "{b} {a}");
        }
    }

    #[test]
    fn the_nearest_is_suggested_and_nothing_far_is() {
        let known = ["address", "anonymous", "level"];
        assert_eq!(nearest("adress", known), Some("address"));
        assert_eq!(nearest("anonimus", known), Some("anonymous"));
        assert_eq!(nearest("LEVLE", known), Some("level"));
        assert_eq!(nearest("port", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"a".repeat(100_000), known), None);
    }
}
