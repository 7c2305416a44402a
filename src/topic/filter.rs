//! Topic Filters: what a client subscribes to.
//!
//! A filter is a sequence of levels like a Topic Name, and two levels are special: `+` stands for
//! exactly one level, whatever it is, and `#`, which can only come last, for any number of them,
//! none included. A filter of a Shared Subscription has two more levels in front:
//!
//! ```text
//!   $share / crew / site/+/door/#
//!            |      |
//!            |      the Topic Filter that names are held against
//!            the ShareName: the group whose members share the messages
//! ```
//!
//! [`check`] and [`parse`] take what a client sent, `$share` included. The other functions take
//! the bare filter, [`Parsed::filter`], and expect one that passed: on another text they answer
//! something, and do not panic.

use super::error::Error;
use super::name;

/// The first level of a Shared Subscription's filter. Only this spelling: `$SHARE` is ordinary.
const SHARE: &str = "$share";

/// A Topic Filter taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Parsed<'a> {
    /// The ShareName of a Shared Subscription; never empty, without `/`, `+` and `#`.
    pub share: Option<&'a str>,
    /// The filter proper, without `$share/{ShareName}/`.
    pub filter: &'a str,
}

/// Says whether `filter` is a Topic Filter, of a Shared Subscription or not.
///
/// # Errors
///
/// As [`parse`].
pub fn check(filter: &str) -> Result<(), Error> {
    parse(filter).map(|_| ())
}

/// Takes a Topic Filter apart, as a SUBSCRIBE or UNSUBSCRIBE carries it.
///
/// What follows the ShareName is not looked at for a second `$share`: in `$share/a/$share/b/x`
/// the group `a` asks for the topic `$share/b/x`.
///
/// # Errors
///
/// Everything but [`Error::Wildcard`], which only names can be guilty of. Length and U+0000 are
/// judged first, then the share, then the wildcards.
pub fn parse(text: &str) -> Result<Parsed<'_>, Error> {
    name::check_length(text)?;
    let bytes = text.as_bytes();
    // As in `name::check`: no early exit, so that this becomes vector instructions.
    let (null, wild) = bytes.iter().fold((false, false), |(null, wild), &b| {
        (null | (b == 0), wild | (b == b'+') | (b == b'#'))
    });
    if null {
        return Err(Error::Null); // [MQTT5-4.7.3-2] [MQTT311-4.7.3-2]
    }
    let parsed = split_share(text)?;
    if wild {
        check_wildcards(parsed.filter)?;
    }
    Ok(parsed)
}

/// Takes `$share/{ShareName}/` off, if it is there.
fn split_share(text: &str) -> Result<Parsed<'_>, Error> {
    let plain = Parsed {
        share: None,
        filter: text,
    };
    let Some(rest) = text.strip_prefix(SHARE) else {
        return Ok(plain);
    };
    if rest.is_empty() {
        return Err(Error::ShareName); // `$share` alone [MQTT5-4.8.2-1]
    }
    // `$shared/x` only looks like it.
    let Some(rest) = rest.strip_prefix('/') else {
        return Ok(plain);
    };
    let (share, filter) = match rest.split_once('/') {
        Some((share, filter)) => (share, Some(filter)),
        None => (rest, None),
    };
    if share.is_empty() || has_wildcard(share) {
        return Err(Error::ShareName); // [MQTT5-4.8.2-1] [MQTT5-4.8.2-2]
    }
    match filter {
        Some(filter) if !filter.is_empty() => Ok(Parsed {
            share: Some(share),
            filter,
        }),
        _ => Err(Error::ShareFilter), // [MQTT5-4.8.2-2]
    }
}

/// Says whether `filter` is a bare Topic Filter. One that begins with `$share` is one like any other
/// here: it is held against names, not subscribed to.
///
/// # Errors
///
/// As [`parse`], but for what only shares can be guilty of.
pub fn check_bare(filter: &str) -> Result<(), Error> {
    name::check_length(filter)?;
    if filter.bytes().any(|b| b == 0) {
        return Err(Error::Null); // [MQTT5-4.7.3-2] [MQTT311-4.7.3-2]
    }
    check_wildcards(filter)
}

/// Says whether every wildcard of a filter stands where it may.
fn check_wildcards(filter: &str) -> Result<(), Error> {
    let bytes = filter.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        let begins = at == 0 || bytes[at - 1] == b'/';
        let next = bytes.get(at + 1);
        match byte {
            // [MQTT5-4.7.1-1] [MQTT311-4.7.1-2]
            b'#' if !begins || next.is_some() => return Err(Error::MisplacedHash),
            // [MQTT5-4.7.1-2] [MQTT311-4.7.1-3]
            b'+' if !begins || next.is_some_and(|&b| b != b'/') => {
                return Err(Error::MisplacedPlus);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Says whether a filter has a `+` or a `#`, that is, can match more than one name.
pub fn has_wildcard(filter: &str) -> bool {
    filter.bytes().any(|b| matches!(b, b'+' | b'#'))
}

/// Says whether a filter begins with a wildcard, and so matches no name that begins with `$`.
fn begins_with_wildcard(filter: &str) -> bool {
    filter.starts_with(['+', '#'])
}

/// Says whether a bare filter matches a Topic Name.
///
/// This is the definition, level by level, that the trie is held against, and the way to ask
/// about one filter and one name. For many filters, use [`Trie`](super::trie::Trie).
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && begins_with_wildcard(filter) {
        return false; // [MQTT5-4.7.2-1] [MQTT311-4.7.2-1]
    }
    let mut levels = name::levels(topic);
    for wanted in name::levels(filter) {
        if wanted == "#" {
            return true; // even with no level left: "sport/#" matches "sport"
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Says whether every name that `inner` matches is matched by `outer` too.
///
/// Both are bare filters. Permission to use `outer` implies permission to use `inner` exactly
/// when this is true; there is no name that proves a `true` or a `false` wrong.
pub fn covers(outer: &str, inner: &str) -> bool {
    // A name has at least one character [MQTT5-4.7.3-1], hence at least one level, and a second
    // one if the first is empty. That makes these two equal to longer filters that the loop below
    // could not tell from them.
    let inner = match inner {
        "#" => "+/#",
        "/#" => "/+/#",
        _ => inner,
    };
    if inner.starts_with('$') && begins_with_wildcard(outer) {
        return false; // [MQTT5-4.7.2-1] [MQTT311-4.7.2-1]
    }
    let mut inner = name::levels(inner);
    for allowed in name::levels(outer) {
        if allowed == "#" {
            return true;
        }
        match inner.next() {
            // It also matches names that end here, or go deeper than `allowed`.
            None | Some("#") => return false,
            Some(level) if allowed == "+" || allowed == level => {}
            Some(_) => return false,
        }
    }
    inner.next().is_none()
}

/// Says whether there is a name that both filters match.
///
/// Both are bare filters. What is refused by one of them is safe from a subscription to the other exactly
/// when this is false.
pub fn overlaps(one: &str, other: &str) -> bool {
    let begins = |with: &str, without: &str| with.starts_with('$') && begins_with_wildcard(without);
    if begins(one, other) || begins(other, one) {
        return false; // [MQTT5-4.7.2-1] [MQTT311-4.7.2-1]
    }
    // As in `covers`: without this, `/#` and `+` would meet at the name of no characters.
    let long = |filter| if filter == "/#" { "/+/#" } else { filter };
    let mut others = name::levels(long(other));
    for level in name::levels(long(one)) {
        match (level, others.next()) {
            ("#", _) | (_, Some("#")) => return true,
            (_, None) => return false,
            ("+", _) | (_, Some("+")) => {}
            (level, Some(other)) if level == other => {}
            _ => return false,
        }
    }
    others.next().is_none_or(|rest| rest == "#")
}

#[cfg(test)]
mod tests;
