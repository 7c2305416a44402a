//! What the service is asked, in JSON.
//!
//! ```text
//!   who is this?       {"client_id": "c", "user_name": "u", "password": "p", "address": "192.0.2.1",
//!                       "port": 40123, "listener": "0.0.0.0:1883", "certificate_user": null}
//!   may it do this?    {"action": "publish", "topic": "t", "qos": 1, "retain": false, "share": null,
//!                       "client_id": "c", "user": "u", "groups": [], "address": "192.0.2.1",
//!                       "listener": "0.0.0.0:1883"}
//! ```
//!
//! Everything that is known is there, with `null` for what is not. A password that is no text comes as
//! `password_base64`.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::super::{Access, Request, Who};
use super::cache::Key;

#[derive(Serialize)]
struct WhoIs<'a> {
    client_id: &'a str,
    user_name: Option<&'a str>,
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_base64: Option<String>,
    address: Option<String>,
    port: Option<u16>,
    listener: &'a str,
    certificate_user: Option<&'a str>,
}

/// The question who somebody is.
pub fn who_is(request: &Request<'_>) -> Vec<u8> {
    let caller = request.caller;
    let text = request.password.map(std::str::from_utf8);
    json(&WhoIs {
        client_id: request.client_id,
        user_name: request.user_name,
        password: text.and_then(Result::ok),
        password_base64: match (text, request.password) {
            (Some(Err(_)), Some(bytes)) => Some(STANDARD.encode(bytes)),
            _ => None,
        },
        address: caller.peer.map(|peer| peer.ip().to_string()),
        port: caller.peer.map(|peer| peer.port()),
        listener: &caller.listener,
        certificate_user: caller.user.as_deref(),
    })
}

#[derive(Serialize)]
struct MayDo<'a> {
    action: &'static str,
    topic: &'a str,
    qos: u8,
    retain: bool,
    share: Option<&'a str>,
    client_id: &'a str,
    user: Option<&'a str>,
    groups: &'a [Box<str>],
    address: Option<String>,
    listener: Option<&'a str>,
}

/// The question whether somebody may do something; none for deliveries, about which nobody is asked.
pub fn may_do(who: &Who<'_>, access: Access<'_>) -> Option<Vec<u8>> {
    let (action, topic, qos, retain, share) = match access {
        Access::Publish { topic, qos, retain } => ("publish", topic, qos, retain, None),
        Access::Subscribe { filter, share, qos } => ("subscribe", filter, qos, false, share),
        Access::Receive { .. } => return None,
    };
    let peer = who.caller.and_then(|caller| caller.peer);
    Some(json(&MayDo {
        action,
        topic,
        qos: qos as u8,
        retain,
        share,
        client_id: who.client_id,
        user: who.identity.user.as_deref(),
        groups: &who.identity.groups,
        address: peer.map(|peer| peer.ip().to_string()),
        listener: who.caller.map(|caller| &*caller.listener),
    }))
}

/// A question by which its answer is remembered: two that differ in anything have different ones.
pub fn key(question: &[u8]) -> Key {
    let digest = digest::digest(&digest::SHA256, question);
    let mut key = Key::default();
    key.copy_from_slice(digest.as_ref());
    key
}

fn json(question: &impl Serialize) -> Vec<u8> {
    // Texts, numbers and nothing: there is nothing in it that JSON could not say.
    serde_json::to_vec(question).unwrap_or_default()
}

#[cfg(test)]
mod tests;
