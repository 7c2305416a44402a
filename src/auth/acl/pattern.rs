//! Topic Filters in which `%c` stands for a client's own Client Identifier and `%u` for its user name.
//!
//! Client Identifiers are the client's choice, and user names may be. So what is put in for them must not
//! reach further than one level of what was written:
//!
//! ```text
//!   devices/%c/#   for  pump      devices/pump/#
//!                  for  pump/x    nothing: that would be within what belongs to pump
//!                  for  +         nothing: that would be what belongs to everybody
//!   %c/#           for  $SYS      nothing: what begins with $ is nobody's unless it is named
//! ```

use std::borrow::Cow;

use crate::auth::Who;

/// A Topic Filter that may have placeholders in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    has_client: bool,
    has_user: bool,
}

impl Pattern {
    /// A pattern of a text that is a Topic Filter as it is written.
    pub fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            has_client: text.contains("%c"),
            has_user: text.contains("%u"),
        }
    }

    /// A pattern of a text in which nothing is put in for anything.
    pub fn verbatim(text: &str) -> Self {
        Self {
            text: text.into(),
            has_client: false,
            has_user: false,
        }
    }

    /// The filter for `who`, if it is to be granted something: none if a value that had to be put in is not
    /// there, or could reach further than what was written.
    pub fn to_grant(&self, who: &Who<'_>) -> Option<Cow<'_, str>> {
        let user = who.identity.user.as_deref();
        let is_safe = |placeholder, value: &str| {
            let leads = self.text.starts_with(placeholder) && value.starts_with('$');
            let reaches = value.is_empty() || value.contains(['/', '+', '#']);
            !leads && !reaches
        };
        let client_is_safe = !self.has_client || is_safe("%c", who.client_id);
        let user_is_safe = !self.has_user || user.is_some_and(|user| is_safe("%u", user));
        if client_is_safe && user_is_safe {
            self.to_deny(who)
        } else {
            None
        }
    }

    /// The filter for `who`, if it is to be denied something. A value with wildcards only denies more; it is
    /// none if there is no user to be put in.
    pub fn to_deny(&self, who: &Who<'_>) -> Option<Cow<'_, str>> {
        if !self.has_client && !self.has_user {
            return Some(Cow::Borrowed(&self.text));
        }
        let user = who.identity.user.as_deref();
        if self.has_user && user.is_none() {
            return None;
        }
        let mut filled = String::with_capacity(self.text.len() + who.client_id.len());
        let mut rest = &*self.text;
        // What was put in is not looked at again.
        while let Some(at) = rest.find('%') {
            let (before, from) = rest.split_at(at);
            filled.push_str(before);
            let value = match from.get(..2) {
                Some("%c") => Some(who.client_id),
                Some("%u") => user,
                _ => None,
            };
            filled.push_str(value.unwrap_or("%"));
            rest = &from[if value.is_some() { 2 } else { 1 }..];
        }
        filled.push_str(rest);
        Some(Cow::Owned(filled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Identity;

    fn filled(text: &str, client_id: &str, user: Option<&str>) -> [Option<String>; 2] {
        let identity = user.map(Identity::of).unwrap_or_default();
        let who = Who {
            client_id,
            identity: &identity,
            caller: None,
        };
        let pattern = Pattern::new(text);
        [pattern.to_grant(&who), pattern.to_deny(&who)].map(|it| it.map(Cow::into_owned))
    }

    fn same(text: &str) -> [Option<String>; 2] {
        [Some(text.to_owned()), Some(text.to_owned())]
    }

    #[test]
    fn values_are_put_in_wherever_they_are_wanted() {
        for (text, expected) in [
            ("a/b", "a/b"),
            ("%c", "pump"),
            ("%u/%c/#", "anna/pump/#"),
            ("x/dev-%c/%u", "x/dev-pump/anna"),
            ("%c%c/%%c", "pumppump/%pump"),
            ("100%/%", "100%/%"),
            ("%ø/%C/%U", "%ø/%C/%U"),
        ] {
            assert_eq!(filled(text, "pump", Some("anna")), same(expected), "{text}");
        }
        // A value that looks like a placeholder is only a value.
        assert_eq!(filled("%c/%u", "%u", Some("%c")), same("%u/%c"));
        assert_eq!(filled("%c/x", "no$sys", None), same("no$sys/x"));
        assert_eq!(filled("x/%c", "$SYS", None), same("x/$SYS"));
    }

    #[test]
    fn who_has_no_user_name_has_none_put_in() {
        assert_eq!(filled("a/%u", "c", None), [None, None]);
        assert_eq!(filled("a/%u/%c", "c", None), [None, None]);
        assert_eq!(filled("a/%c", "c", None), same("a/c"));
    }

    #[test]
    fn nothing_is_granted_by_a_value_that_reaches_further() {
        for value in ["+", "#", "a/b", "a/#", "/", "", "a+", "b#"] {
            let expected = Some(format!("x/{value}/y"));
            assert_eq!(filled("x/%c/y", value, None), [None, expected.clone()]);
            assert_eq!(filled("x/%u/y", "c", Some(value)), [None, expected]);
            assert_eq!(filled("x/y", value, Some(value)), same("x/y"));
        }
        assert_eq!(filled("%c/#", "$SYS", None), [None, Some("$SYS/#".into())]);
        assert_eq!(filled("%u/#", "c", Some("$x")), [None, Some("$x/#".into())]);
    }
}
