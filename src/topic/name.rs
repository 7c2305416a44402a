//! Topic Names: what a message is published to.
//!
//! A name is a sequence of levels with `/` between them. A level may be empty, so `/` alone is a
//! name of two levels, and every name has at least one.

use std::str::Split;

use super::error::Error;

/// The most bytes a Topic Name or Topic Filter has: what a two byte length can say.
pub const MAX_LEN: usize = 65_535;

/// Says whether `name` is a Topic Name.
///
/// A name that begins with `$` passes: who may publish to such a name is a matter of permission,
/// not of form.
///
/// # Errors
///
/// [`Error::Empty`], [`Error::TooLong`], [`Error::Null`] or [`Error::Wildcard`]; of several, the
/// first in this order.
pub fn check(name: &str) -> Result<(), Error> {
    check_length(name)?;
    let bytes = name.as_bytes();
    // Without an early exit the compiler turns the loop into vector instructions, and nearly
    // every name that arrives is valid and has to be read to its end anyway.
    let suspicious = bytes.iter().fold(false, |found, &b| {
        found | (b == 0) | (b == b'+') | (b == b'#')
    });
    if !suspicious {
        return Ok(());
    }
    if bytes.contains(&0) {
        return Err(Error::Null); // [MQTT5-4.7.3-2] [MQTT311-4.7.3-2]
    }
    Err(Error::Wildcard) // [MQTT5-4.7.0-1] [MQTT311-4.7.1-1]
}

/// The two rules on length, which names and filters share.
pub(super) fn check_length(text: &str) -> Result<(), Error> {
    match text.len() {
        0 => Err(Error::Empty), // [MQTT5-4.7.3-1] [MQTT311-4.7.3-1]
        len if len > MAX_LEN => Err(Error::TooLong), // [MQTT5-4.7.3-3] [MQTT311-4.7.3-3]
        _ => Ok(()),
    }
}

/// The levels of a Topic Name, or of a Topic Filter without its `$share/{ShareName}/`.
///
/// ```
/// let levels: Vec<_> = postbud::topic::name::levels("/a//b").collect();
/// assert_eq!(levels, ["", "a", "", "b"]);
/// ```
pub fn levels(topic: &str) -> Split<'_, char> {
    topic.split('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_and_odd_names_pass() {
        for name in [
            "a",
            "/",
            "//",
            "a/b",
            "/a",
            "a/",
            " ",
            "$SYS/x",
            "$share/g/x",
            "ø/æ",
            "\u{feff}",
        ] {
            assert_eq!(check(name), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn broken_names_are_refused_with_the_reason() {
        assert_eq!(check(""), Err(Error::Empty));
        for name in ["+", "#", "a/+", "a/#", "a+b", "a#", "sport+/x"] {
            assert_eq!(check(name), Err(Error::Wildcard), "{name:?}");
        }
        for name in ["\0", "a\0b", "a/\0", "+\0", "\0#"] {
            assert_eq!(check(name), Err(Error::Null), "{name:?}");
        }
    }

    #[test]
    fn a_bad_byte_is_found_wherever_it_stands() {
        for len in 1..80 {
            for at in 0..len {
                for (bad, why) in [
                    ('+', Error::Wildcard),
                    ('#', Error::Wildcard),
                    ('\0', Error::Null),
                ] {
                    let name: String = (0..len).map(|i| if i == at { bad } else { 'x' }).collect();
                    assert_eq!(check(&name), Err(why), "{name:?}");
                }
            }
        }
    }

    #[test]
    fn the_length_limit_is_in_bytes() {
        assert_eq!(check(&"x".repeat(65_535)), Ok(()));
        assert_eq!(check(&"x".repeat(65_536)), Err(Error::TooLong));
        assert_eq!(check(&"ø".repeat(32_767)), Ok(()));
        assert_eq!(check(&"ø".repeat(32_768)), Err(Error::TooLong));
    }

    #[test]
    fn every_slash_separates() {
        assert_eq!(levels("a").collect::<Vec<_>>(), ["a"]);
        assert_eq!(levels("/").collect::<Vec<_>>(), ["", ""]);
        assert_eq!(levels("a//b/").collect::<Vec<_>>(), ["a", "", "b", ""]);
    }
}
