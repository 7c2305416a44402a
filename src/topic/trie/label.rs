//! The text of a node: one or more levels of a filter.

/// What a label holds without a heap allocation. Chosen so that [`Label`] is three words, as
/// large as the two words of a boxed slice and the word that says which it is have to be anyway.
const INLINE: usize = 22;

/// One or more levels, with `/` between them.
///
/// Most labels are short. Kept in the node, a short one costs no allocation, and comparing
/// it touches no other cache line than the node's.
pub(super) enum Label {
    Inline { len: u8, bytes: [u8; INLINE] },
    Boxed(Box<[u8]>),
}

impl Label {
    /// A copy of `text`.
    pub(super) fn new(text: &[u8]) -> Self {
        if text.len() <= INLINE {
            let mut bytes = [0; INLINE];
            bytes[..text.len()].copy_from_slice(text);
            Self::Inline {
                len: text.len() as u8,
                bytes,
            }
        } else {
            Self::Boxed(text.into())
        }
    }

    /// The levels of `head` followed by those of `tail`.
    pub(super) fn join(head: &Self, tail: &Self) -> Self {
        let (head, tail) = (head.bytes(), tail.bytes());
        let len = head.len() + 1 + tail.len();
        if len <= INLINE {
            let mut bytes = [0; INLINE];
            bytes[..head.len()].copy_from_slice(head);
            bytes[head.len()] = b'/';
            bytes[head.len() + 1..len].copy_from_slice(tail);
            Self::Inline {
                len: len as u8,
                bytes,
            }
        } else {
            Self::Boxed([head, b"/", tail].concat().into_boxed_slice())
        }
    }

    /// The text.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Self::Boxed(bytes) => bytes,
        }
    }

    /// The first level of the text.
    pub(super) fn first(&self) -> &[u8] {
        let bytes = self.bytes();
        &bytes[..level_end(bytes, 0)]
    }

    /// Whether this is the first level of the text.
    pub(super) fn begins_with(&self, level: &[u8]) -> bool {
        let bytes = self.bytes();
        bytes.starts_with(level) && bytes.get(level.len()).is_none_or(|&b| b == b'/')
    }

    /// Bytes on the heap.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Inline { .. } => 0,
            Self::Boxed(bytes) => bytes.len(),
        }
    }
}

/// Where the level that begins at `start` ends: at the next `/`, or with the text.
pub(super) fn level_end(text: &[u8], start: usize) -> usize {
    match text[start..].iter().position(|&b| b == b'/') {
        Some(len) => start + len,
        None => text.len(),
    }
}

/// How many bytes of `label` are whole levels that `text` begins with too.
///
/// The two share their first level; otherwise the answer means nothing.
pub(super) fn shared_levels(label: &[u8], text: &[u8]) -> usize {
    let same = label.iter().zip(text).take_while(|(a, b)| a == b).count();
    let level_ends = |text: &[u8]| text.get(same).is_none_or(|&b| b == b'/');
    if level_ends(label) && level_ends(text) {
        return same;
    }
    // They differ inside a level: the one before it was the last in common.
    label[..same].iter().rposition(|&b| b == b'/').unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_three_words() {
        assert_eq!(size_of::<Label>(), 24);
    }

    #[test]
    fn every_length_is_kept_and_joined() {
        let text: Vec<u8> = (0..100).map(|i| b'a' + i % 26).collect();
        for len in 0..100 {
            let label = Label::new(&text[..len]);
            assert_eq!(label.bytes(), &text[..len]);
            assert_eq!(label.memory(), if len <= INLINE { 0 } else { len });
            for cut in 0..len {
                let joined =
                    Label::join(&Label::new(&text[..cut]), &Label::new(&text[cut + 1..len]));
                let mut expected = text[..len].to_vec();
                expected[cut] = b'/';
                assert_eq!(joined.bytes(), expected);
                assert_eq!(joined.first(), &text[..cut]);
            }
        }
    }

    #[test]
    fn levels_end_at_a_slash_or_with_the_text() {
        assert_eq!(level_end(b"", 0), 0);
        assert_eq!(level_end(b"ab", 0), 2);
        assert_eq!(level_end(b"ab/c", 0), 2);
        assert_eq!(level_end(b"ab/c", 3), 4);
        assert_eq!(level_end(b"ab/", 3), 3);
        assert_eq!(level_end(b"/", 0), 0);
    }

    #[test]
    fn only_whole_levels_are_shared() {
        for (label, text, shared) in [
            ("a", "a", "a"),
            ("a", "a/b", "a"),
            ("a/b", "a", "a"),
            ("a/b", "a/b/c", "a/b"),
            ("a/b/c", "a/b", "a/b"),
            ("a/b", "a/c", "a"),
            ("a/bb", "a/b", "a"),
            ("a/b", "a/bb", "a"),
            ("a/b/cc/d", "a/b/cd/d", "a/b"),
            ("a/", "a", "a"),
            ("a/", "a/", "a/"),
            ("a//b", "a//c", "a/"),
            ("/a", "/b", ""),
            ("", "/b", ""),
            ("/", "/", "/"),
            ("+/#", "+/b", "+"),
        ] {
            assert_eq!(
                shared_levels(label.as_bytes(), text.as_bytes()),
                shared.len(),
                "{label} {text}"
            );
        }
    }
}
