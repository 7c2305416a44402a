//! What a token says about its client, once its signature is right.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::message::Timestamp;

use super::super::grants::Grants;
use super::super::{Identity, Rules};
use super::options::Options;
use super::wrong::Wrong;

/// Who it is, if the claims are in order at this moment and about this client.
///
/// # Errors
///
/// The first thing that is wrong with them.
pub fn identity(
    options: &Options,
    claims: &Map<String, Value>,
    (client_id, user_name): (&str, Option<&str>),
    now: Timestamp,
) -> Result<Identity, Wrong> {
    let expires = in_force(options, claims, now)?;
    addressed(options, claims)?;
    let is = |claim: &str, wanted: Option<&str>| match claim.is_empty() {
        true => Ok(()),
        false => match (text(claims, claim)?, wanted) {
            (own, Some(wanted)) if own == wanted => Ok(()),
            _ => Err(Wrong::Claim),
        },
    };
    is(&options.client_id_claim, Some(client_id))?;
    is(&options.user_name_claim, user_name)?;
    let user = text(claims, &options.user_claim)?;
    if user.is_empty() || user.contains(char::is_control) {
        return Err(Wrong::Claim);
    }
    Ok(Identity {
        user: Some(user.into()),
        groups: groups(options, claims)?,
        expires,
        grants: grants(options, claims)?,
    })
}

/// Whether it is valid now; when it ends.
fn in_force(
    options: &Options,
    claims: &Map<String, Value>,
    now: Timestamp,
) -> Result<Option<Timestamp>, Wrong> {
    if let Some(begins) = moment(claims, "nbf")?
        && begins > now.after(options.leeway)
    {
        return Err(Wrong::NotYet);
    }
    match moment(claims, "exp")? {
        Some(ends) => {
            let ends = ends.after(options.leeway);
            (now < ends).then_some(Some(ends)).ok_or(Wrong::Expired)
        }
        None if options.expiry_required => Err(Wrong::Expired),
        None => Ok(None),
    }
}

/// Whether it is from whom and for whom it has to be.
fn addressed(options: &Options, claims: &Map<String, Value>) -> Result<(), Wrong> {
    let issuer = claims.get("iss").and_then(Value::as_str);
    if !options.issuer.is_empty() && issuer != Some(&*options.issuer) {
        return Err(Wrong::Issuer);
    }
    let is_wanted = |value: &Value| value.as_str() == Some(&*options.audience);
    let for_us = match claims.get("aud") {
        Some(Value::Array(several)) => several.iter().any(is_wanted),
        Some(one) => is_wanted(one),
        None => false,
    };
    (options.audience.is_empty() || for_us)
        .then_some(())
        .ok_or(Wrong::Audience)
}

fn groups(options: &Options, claims: &Map<String, Value>) -> Result<Arc<[Box<str>]>, Wrong> {
    let groups = match found(claims, &options.groups_claim) {
        None => return Ok(Arc::default()),
        Some(Value::Array(groups)) => groups.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    let groups = groups.iter().map(|it| it.as_str().map(Box::from));
    groups.collect::<Option<_>>().ok_or(Wrong::Claim)
}

fn grants(options: &Options, claims: &Map<String, Value>) -> Result<Option<Arc<dyn Rules>>, Wrong> {
    let Some(value) = found(claims, &options.acl_claim) else {
        return Ok(None);
    };
    let grants = Grants::read(value).map_err(|_| Wrong::Claim)?;
    Ok(Some(Arc::new(grants)))
}

/// A claim that has to be there, and a text.
fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<&'a str, Wrong> {
    found(claims, name)
        .and_then(Value::as_str)
        .ok_or(Wrong::Claim)
}

/// A claim by its name, or by a JSON pointer (RFC 6901) such as `/realm_access/roles`.
fn found<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let Some(path) = name.strip_prefix('/') else {
        return claims.get(name).filter(|_| !name.is_empty());
    };
    let mut steps = path
        .split('/')
        .map(|step| step.replace("~1", "/").replace("~0", "~"));
    let first = claims.get(&steps.next()?)?;
    steps.try_fold(first, |value, step| value.get(&step))
}

/// A moment as tokens tell it: seconds since the Unix epoch, perhaps with a fraction.
fn moment(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, Wrong> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = value.as_f64().filter(|it| *it >= 0.0).ok_or(Wrong::Claim)?;
    let moment = Duration::try_from_secs_f64(seconds).map_err(|_| Wrong::Claim)?;
    Ok(Some(Timestamp::from_millis(0).after(moment)))
}

#[cfg(test)]
mod tests;
