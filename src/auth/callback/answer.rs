//! What the service answers, in JSON, as services for EMQX do.
//!
//! | status | body | means |
//! |---|---|---|
//! | 200 | `{"result": "allow"}` | yes |
//! | 200 | `{"result": "deny"}` | no |
//! | 200 | `{"result": "ignore"}` | not for it to say |
//! | 204 | | yes |
//!
//! An answer about who a client is may say more: `user`, the user that it is, if not its User Name; `groups`;
//! `expires` (or `expire_at`), the end of its connection in seconds since the Unix epoch; `superuser` (or
//! `is_superuser`), who may do everything; and `acl`, what it may do. All else is passed over. What cannot be
//! read is no answer.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::message::Timestamp;

use super::super::Identity;
use super::super::grants::{Everything, Grants};

/// What was answered to either question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Yes.
    Allow,
    /// No.
    Deny,
    /// Not for the service to say.
    Ignore,
}

impl Verdict {
    /// One word for it, as a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Ignore => "ignore",
        }
    }
}

/// Why something is no answer, as a metric's label.
pub type NoAnswer = &'static str;

#[derive(Deserialize)]
struct Answered {
    result: Verdict,
}

#[derive(Default, Deserialize)]
struct More {
    user: Option<String>,
    #[serde(default)]
    groups: Option<Vec<Box<str>>>,
    #[serde(alias = "expire_at")]
    expires: Option<f64>,
    #[serde(alias = "is_superuser")]
    superuser: Option<bool>,
    acl: Option<Value>,
}

/// What an answer says.
///
/// # Errors
///
/// It is none.
pub fn verdict(status: StatusCode, body: &[u8]) -> Result<Verdict, NoAnswer> {
    match status {
        StatusCode::NO_CONTENT => Ok(Verdict::Allow),
        StatusCode::OK => {
            let answer: Answered = read(body)?;
            Ok(answer.result)
        }
        _ => Err("status"),
    }
}

/// What an answer says about who a client with this User Name is.
///
/// # Errors
///
/// It is none.
pub fn identity(
    status: StatusCode,
    body: &[u8],
    user_name: Option<&str>,
) -> Result<(Verdict, Identity), NoAnswer> {
    let verdict = verdict(status, body)?;
    if verdict != Verdict::Allow {
        return Ok((verdict, Identity::default()));
    }
    let more: More = match status {
        StatusCode::NO_CONTENT => More::default(),
        _ => read(body)?,
    };
    let user = more.user.as_deref().or(user_name);
    if user.is_some_and(|user| user.is_empty() || user.contains(char::is_control)) {
        return Err("malformed");
    }
    let mut identity = Identity {
        user: user.map(Arc::from),
        groups: more.groups.unwrap_or_default().into(),
        ..Identity::default()
    };
    if let Some(seconds) = more.expires {
        let end = Duration::try_from_secs_f64(seconds).map_err(|_| "malformed")?;
        identity.expires = Some(Timestamp::from_millis(0).after(end));
    }
    if let Some(acl) = &more.acl {
        let grants = Grants::read(acl).map_err(|_| "malformed")?;
        identity.grants = Some(Arc::new(grants));
    }
    if more.superuser == Some(true) {
        identity.grants = Some(Arc::new(Everything));
    }
    Ok((verdict, identity))
}

/// Reads an object; without a look at its beginning, a list of its values would do as well.
fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, NoAnswer> {
    let is_object = body.trim_ascii_start().starts_with(b"{");
    let object = is_object.then(|| serde_json::from_slice(body).ok());
    object.flatten().ok_or("malformed")
}

#[cfg(test)]
mod tests;
