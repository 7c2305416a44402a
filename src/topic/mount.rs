//! Mount points: a prefix that all topics of some clients are below, without their knowing.
//!
//! ```text
//!   client says "lamp/on"      ── name ────> "floor/2/lamp/on"              what everybody else sees
//!   client says "$share/g/+/x" ── filter ──> "$share/g/floor/2/+/x"
//!   client sees "lamp/on"     <── inside ─── "floor/2/lamp/on"
//! ```
//!
//! `$SYS` is the broker's own, and the same for all. A mount point ends with `/`, so that whole levels come
//! before what the client says.

use super::filter as filters;
use super::name::check_length;

/// The broker's own topics.
fn is_sys(text: &str) -> bool {
    text == "$SYS" || text.starts_with("$SYS/")
}

/// A Topic Name as it is outside.
pub fn name(mount: &str, name: &str) -> String {
    match is_sys(name) {
        true => name.to_owned(),
        false => [mount, name].concat(),
    }
}

/// A Topic Filter as it is outside, of a Shared Subscription or not.
pub fn filter(mount: &str, text: &str) -> String {
    let plain = filters::parse(text).map_or(text, |parsed| parsed.filter);
    if is_sys(plain) {
        return text.to_owned();
    }
    let share = &text[..text.len() - plain.len()];
    [share, mount, plain].concat()
}

/// Whether a name or filter is not too long outside.
pub fn fits(outside: &str) -> bool {
    check_length(outside).is_ok()
}

/// Whether there is a way to name this topic inside.
pub fn shows(mount: &str, topic: &str) -> bool {
    is_sys(topic) || topic.len() > mount.len() && topic.starts_with(mount)
}

/// A Topic Name as it is inside.
pub fn inside<'a>(mount: &str, topic: &'a str) -> &'a str {
    let inside = topic.strip_prefix(mount);
    inside.filter(|it| !it.is_empty()).unwrap_or(topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Breaks if: a client can name what is not below its mount point, or is shown where that is.
    #[test]
    fn all_but_sys_is_below_the_mount_point() {
        for (said, outside) in [
            ("a", "m/a"),
            ("/", "m//"),
            ("$other", "m/$other"),
            ("$SYSTEM", "m/$SYSTEM"),
            ("m/a", "m/m/a"),
        ] {
            assert_eq!(name("m/", said), outside);
            assert!(shows("m/", outside));
            assert_eq!(inside("m/", outside), said);
        }
        assert_eq!(name("m/", "$SYS/x"), "$SYS/x");
        assert_eq!(inside("m/", "$SYS/x"), "$SYS/x");
        for (said, outside) in [
            ("#", "m/#"),
            ("+/x", "m/+/x"),
            ("$share/g/#", "$share/g/m/#"),
            ("$share/g/$share/g/x", "$share/g/m/$share/g/x"),
            ("$share/g/$SYS/#", "$share/g/$SYS/#"),
            ("$SYS/#", "$SYS/#"),
            ("$shared/x", "m/$shared/x"),
        ] {
            assert_eq!(filter("m/", said), outside);
        }
        // `m/#` matches `m` as well.
        assert!(!shows("m/", "m") && !shows("m/", "m/") && !shows("m/", "n/a"));
        assert!(fits(&"x".repeat(65_535)) && !fits(&"x".repeat(65_536)));
    }
}
