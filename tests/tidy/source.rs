//! One source file, taken apart: what is code, what is comment, and the tokens of the code.
//!
//! ```text
//!   text      let a = "x // y"; // why
//!   code      let a = "      ";            comments and the insides of literals blanked
//!   comments                    // why     everything else blanked
//! ```
//!
//! Both halves keep the length and the line breaks of the text, so a line number found in one holds
//! in the others. This is not a Rust parser: it knows just enough (nested block comments, raw strings,
//! lifetimes beside character literals) that no rule mistakes a string for code.

/// A file of the tree, with its path relative to the package (`src/topic/trie.rs`).
pub struct Source {
    pub path: String,
    pub text: String,
    pub code: String,
    pub comments: String,
}

/// A token of the code with the line (from 1) it stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub text: &'a str,
    pub line: usize,
}

impl Token<'_> {
    /// An identifier, keyword or number: whatever begins with a letter, digit or underscore.
    pub fn is_word(&self) -> bool {
        self.text.starts_with(is_word_character)
    }
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let (code, comments) = split(text);
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            comments,
        }
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Rust that is compiled into the broker, as opposed to its tests and benches.
    pub fn is_broker(&self) -> bool {
        self.is_rust() && self.path.starts_with("src/")
    }

    /// The tokens of the code: words, `::`, and single characters for all else.
    pub fn tokens(&self) -> Vec<Token<'_>> {
        let mut tokens = Vec::new();
        for (index, line) in self.code.lines().enumerate() {
            let mut rest = line.trim_start();
            while let Some(first) = rest.chars().next() {
                let length = if is_word_character(first) {
                    rest.find(|c| !is_word_character(c)).unwrap_or(rest.len())
                } else if rest.starts_with("::") {
                    2
                } else {
                    first.len_utf8()
                };
                let (text, after) = rest.split_at(length);
                tokens.push(Token {
                    text,
                    line: index + 1,
                });
                rest = after.trim_start();
            }
        }
        tokens
    }
}

fn is_word_character(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What the scanner is inside of.
#[derive(Clone, Copy)]
enum Part {
    Code,
    Comment,
    Literal,
}

/// Splits `text` into its code and its comments.
fn split(text: &str) -> (String, String) {
    let mut code = String::with_capacity(text.len());
    let mut comments = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (length, part) = next_piece(rest);
        let (piece, after) = rest.split_at(length);
        match part {
            Part::Code => code.push_str(piece),
            Part::Comment => code.push_str(&blank(piece)),
            Part::Literal => code.push_str(&blank_inside(piece)),
        }
        match part {
            Part::Comment => comments.push_str(piece),
            Part::Code | Part::Literal => comments.push_str(&blank(piece)),
        }
        rest = after;
    }
    (code, comments)
}

/// The length of the next comment, literal, word, or run of other code.
fn next_piece(rest: &str) -> (usize, Part) {
    let word = rest.find(|c| !is_word_character(c)).unwrap_or(rest.len());
    if word > 0 {
        return match raw_string(rest, word) {
            Some(length) => (length, Part::Literal),
            None => (word, Part::Code),
        };
    }
    match rest.as_bytes() {
        [b'/', b'/', ..] => (rest.find('\n').unwrap_or(rest.len()), Part::Comment),
        [b'/', b'*', ..] => (block_comment(rest), Part::Comment),
        [b'"', ..] => (escaped_literal(rest, '"'), Part::Literal),
        [b'\'', ..] if is_character_literal(rest) => (escaped_literal(rest, '\''), Part::Literal),
        _ => {
            let first = rest.chars().next().map_or(1, char::len_utf8);
            let begins = |c: char| is_word_character(c) || matches!(c, '/' | '"' | '\'');
            (
                rest[first..]
                    .find(begins)
                    .map_or(rest.len(), |length| first + length),
                Part::Code,
            )
        }
    }
}

/// Length of a block comment, which may hold others.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Length of a literal that `quote` opens and closes, where a backslash hides the next character.
fn escaped_literal(rest: &str, quote: char) -> usize {
    let mut hidden = false;
    for (at, c) in rest.char_indices().skip(1) {
        if hidden {
            hidden = false;
        } else if c == '\\' {
            hidden = true;
        } else if c == quote {
            return at + c.len_utf8();
        }
    }
    rest.len()
}

/// Length of a raw string (`r"…"`, `br#"…"#`, …), if the word of that length at the start opens one.
fn raw_string(rest: &str, word: usize) -> Option<usize> {
    let (prefix, after) = rest.split_at(word);
    let hashes = after.len() - after.trim_start_matches('#').len();
    if !matches!(prefix, "r" | "br" | "cr") || !after[hashes..].starts_with('"') {
        return None;
    }
    let body = word + hashes + 1;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(
        rest[body..]
            .find(&close)
            .map_or(rest.len(), |at| body + at + close.len()),
    )
}

/// Whether the `'` at the start opens a character literal, not a lifetime or a loop label.
fn is_character_literal(rest: &str) -> bool {
    let mut after = rest.chars().skip(1);
    match after.next() {
        Some('\\') => true,
        Some(_) => after.next() == Some('\''),
        None => false,
    }
}

/// Spaces for everything but line breaks, one for each byte.
fn blank(piece: &str) -> String {
    piece
        .bytes()
        .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
        .collect()
}

/// As [`blank`], but the outermost quotes stay, so that `#[ignore = ""]` still has its value.
fn blank_inside(piece: &str) -> String {
    let mut blanked = blank(piece).into_bytes();
    for at in [piece.find(['"', '\'']), piece.rfind(['"', '\''])]
        .into_iter()
        .flatten()
    {
        blanked[at] = piece.as_bytes()[at];
    }
    String::from_utf8(blanked).expect("spaces, quotes and line breaks are valid UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Source::new("src/sample.rs", text).code
    }

    #[test]
    fn comments_and_literals_leave_the_code() {
        assert_eq!(code("a(); // b()"), "a();       ");
        assert_eq!(code("a /* b /* c */ d */ e"), "a                   e");
        assert_eq!(code(r#"f("x // y", 1)"#), r#"f("      ", 1)"#);
        assert_eq!(code(r#"f("a\"b")"#), r#"f("    ")"#);
        assert_eq!(code("r#\"a \" b\"#;"), "  \"     \" ;");
        assert_eq!(code("var\"x\""), "var\" \"");
    }

    #[test]
    fn lifetimes_are_not_literals() {
        assert_eq!(code("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
        assert_eq!(code("x == '\"' && y"), "x == ' ' && y");
        assert_eq!(code("x == '\\'' && y"), "x == '  ' && y");
        assert_eq!(code("x == 'é' && y"), "x == '  ' && y");
    }

    #[test]
    fn comments_are_kept_apart_on_their_lines() {
        let source = Source::new("src/sample.rs", "let a = \"// no\";\nb(); // yes\n");
        assert_eq!(source.comments.trim(), "// yes");
        assert_eq!(source.comments.lines().count(), 2);
    }

    #[test]
    fn tokens_are_words_separators_and_characters() {
        let source = Source::new("src/sample.rs", "use a::b_1;\nfn x<'a>() {}");
        let tokens = source.tokens();
        let words: Vec<_> = tokens.iter().map(|token| token.text).collect();
        let expected = [
            "use", "a", "::", "b_1", ";", "fn", "x", "<", "'", "a", ">", "(", ")",
        ];
        assert_eq!(words[..13], expected);
        assert_eq!(
            tokens[5],
            Token {
                text: "fn",
                line: 2
            }
        );
    }
}
