//! `[[listener]]`: where clients connect, and what is spoken there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::network::Network;
use crate::listener::options::{
    Inside, InternetOptions, ListenerOptions, Options, Place as Where, ProxyOptions, TcpOptions,
    TlsOptions, UnixOptions, WebSocketOptions,
};

use super::assignments::{Assignments, Slot};
use super::entrance::{self, EntranceSettings, or_none};
use super::error::{Place, Problem};
use super::keys::{Array, DAY, GIBIBYTE, Key, SECOND, TENTH, key, restart};
use super::tls::{self, TlsSettings};
use super::value::Value;

/// What is known of one listener before its parts are put together.
#[derive(Clone, Debug, Default)]
pub struct ListenerSettings {
    name: Option<String>,
    kind: Option<Kind>,
    address: Option<SocketAddr>,
    path: Option<PathBuf>,
    mode: Option<u32>,
    proxy_protocol: bool,
    trusted_proxies: Vec<Network>,
    proxy_user: ProxyUser,
    tcp: TcpOptions,
    websocket_path: Option<String>,
    origins: Vec<String>,
    tls: TlsSettings,
    entrance: EntranceSettings,
}

/// What is spoken on a listener, without what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    Tls,
    Ws,
    Wss,
    Unix,
}

impl Kind {
    fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    fn is_internet(self) -> bool {
        self != Self::Unix
    }
}

const KINDS: &[(&str, Kind)] = &[
    ("tcp", Kind::Tcp),
    ("tls", Kind::Tls),
    ("ws", Kind::Ws),
    ("wss", Kind::Wss),
    ("unix", Kind::Unix),
];

/// Its word in the configuration.
fn word(kind: Kind) -> &'static str {
    let known = KINDS.iter().find(|(_, known)| *known == kind);
    known.map_or("", |(word, _)| word)
}

/// Whom a proxy's word makes a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ProxyUser {
    #[default]
    Nobody,
    CommonName,
}

const PROXY_USERS: &[(&str, ProxyUser)] = &[
    ("", ProxyUser::Nobody),
    ("common-name", ProxyUser::CommonName),
];

/// The settings of each `[[listener]]`.
pub const LISTENER_KEYS: &[Key<ListenerSettings>] = &[
    restart("name", |v, to| v.name(64, &mut to.name)),
    restart("kind", |v, to| v.choice(KINDS, &mut to.kind)),
    restart("address", |v, to| v.address(&mut to.address)),
    restart("path", |v, to| v.path(&mut to.path)),
    restart("mode", |v, to| v.mode(&mut to.mode)),
    restart("proxy_protocol", |v, to| v.boolean(&mut to.proxy_protocol)),
    restart("trusted_proxies", |v, to| {
        v.networks(&mut to.trusted_proxies)
    }),
    restart("proxy_user", |v, to| {
        v.choice(PROXY_USERS, &mut to.proxy_user)
    }),
    restart("tcp.nodelay", |v, to| v.boolean(&mut to.tcp.nodelay)),
    restart("tcp.keepalive", |v, to| {
        v.duration_or_zero(SECOND..=DAY, &mut to.tcp.keepalive)
    }),
    restart("tcp.backlog", |v, to| {
        v.number(1..=65_535, &mut to.tcp.backlog)
    }),
    restart("tcp.receive_buffer", |v, to| {
        v.size_or_zero(BUFFER_LEAST..=GIBIBYTE, &mut to.tcp.receive_buffer)
    }),
    restart("tcp.send_buffer", |v, to| {
        v.size_or_zero(BUFFER_LEAST..=GIBIBYTE, &mut to.tcp.send_buffer)
    }),
    restart("websocket.path", |v, to| v.url_path(&mut to.websocket_path)),
    restart("websocket.origins", |v, to| v.origins(&mut to.origins)),
    key("authentication", |v, to| {
        v.boolean(&mut to.entrance.authentication)
    }),
    key("versions", |v, to| {
        entrance::versions(v, &mut to.entrance.versions)
    }),
    restart("mount", |v, to| entrance::mount(v, &mut to.entrance.mount)),
    key("limits.connections_maximum", |v, to| {
        let read = |v: &Value, it: &mut usize| v.number(1..=u64::MAX, it);
        or_none(v, read, &mut to.entrance.connections_maximum)
    }),
    key("limits.receive_maximum", |v, to| {
        let read = |v: &Value, it: &mut u16| v.number(1..=65_535, it);
        or_none(v, read, &mut to.entrance.receive_maximum)
    }),
    key("limits.packet_size_maximum", |v, to| {
        let read = |v: &Value, it: &mut u32| v.size(256..=268_435_460, it);
        or_none(v, read, &mut to.entrance.packet_size_maximum)
    }),
    key("limits.topic_alias_maximum", |v, to| {
        let read = |v: &Value, it: &mut u16| v.number(0..=65_535, it);
        or_none(v, read, &mut to.entrance.topic_alias_maximum)
    }),
    key("limits.keep_alive_maximum", |v, to| {
        let read = |v: &Value, it: &mut u16| v.keep_alive(it);
        or_none(v, read, &mut to.entrance.keep_alive_maximum)
    }),
    key("limits.expiry_maximum", |v, to| {
        let read = |v: &Value, it: &mut Duration| v.expiry(it);
        or_none(v, read, &mut to.entrance.expiry_maximum)
    }),
    key("tls.certificate", |v, to| v.paths(&mut to.tls.certificates)),
    key("tls.key", |v, to| v.paths(&mut to.tls.keys)),
    key("tls.minimum_version", |v, to| {
        v.choice(tls::VERSIONS, &mut to.tls.minimum_version)
    }),
    key("tls.tickets", |v, to| {
        v.boolean(to.tls.tickets.get_or_insert_default())
    }),
    key("tls.reload_interval", |v, to| {
        v.duration_or_zero(TENTH..=DAY, to.tls.reload_interval.get_or_insert_default())
    }),
    key("tls.client_certificate", |v, to| {
        v.choice(tls::CLIENT_CERTIFICATES, &mut to.tls.client_certificate)
    }),
    key("tls.client_ca", |v, to| {
        let mut path = None;
        v.path_or_none(&mut path)?;
        to.tls.client_ca = Some(path);
        Ok(())
    }),
    key("tls.crl", |v, to| v.paths(&mut to.tls.crl)),
    key("tls.expired_crl", |v, to| {
        v.choice(tls::EXPIRED_LISTS, &mut to.tls.expired_crl)
    }),
    key("tls.user_from", |v, to| {
        v.choice(tls::FIELDS, &mut to.tls.user_from)
    }),
    key("tls.client_id_from", |v, to| {
        v.choice(tls::FIELDS, &mut to.tls.client_id_from)
    }),
];

/// Less than a packet of the network makes no sense.
const BUFFER_LEAST: u64 = 4096;

/// Keys that only some kinds of listener take: what they begin with, which kinds, and what to do.
type Reserved = (&'static str, fn(Kind) -> bool, &'static str);

const RESERVED: &[Reserved] = &[
    // Whoever wrote a certificate under a plain listener believes it to be encrypted.
    (
        "tls.",
        Kind::is_tls,
        "kind = \"tls\" or \"wss\", or no TLS settings",
    ),
    (
        "websocket.",
        Kind::is_websocket,
        "kind = \"ws\" or \"wss\", or no WebSocket settings",
    ),
    (
        "tcp.",
        Kind::is_internet,
        "another kind, or no TCP settings",
    ),
    ("address", Kind::is_internet, "path, or another kind"),
    (
        "proxy_",
        Kind::is_internet,
        "another kind, or no PROXY protocol",
    ),
    (
        "trusted_proxies",
        Kind::is_internet,
        "another kind, or no PROXY protocol",
    ),
    (
        "path",
        |kind| kind == Kind::Unix,
        "kind = \"unix\", or path under [listener.websocket]",
    ),
    ("mode", |kind| kind == Kind::Unix, "kind = \"unix\""),
];

/// Puts the parts of all listeners together. What is wrong with them, beyond what was reported already, is
/// added to `problems`.
pub fn settle(
    written: &Assignments,
    name: &str,
    listeners: Vec<ListenerSettings>,
    options: &mut Options,
    problems: &mut Vec<Problem>,
) {
    if listeners.is_empty() && !written.malformed.contains(&Array::Listener) {
        problems.push(Problem::new(
            Place::File {
                name: name.into(),
                position: None,
            },
            "there is no listener; expected at least one [[listener]] with kind and address",
        ));
    }
    for (index, parts) in listeners.into_iter().enumerate() {
        match (Listener { written, index }).put_together(parts) {
            Ok(listener) => options.listeners.extend(listener),
            Err(problem) => problems.push(problem),
        }
    }
}

/// Whether users come from certificates: of clients, or told by a proxy.
pub fn name_users(options: &Options) -> bool {
    let mut listeners = options.listeners.iter();
    listeners.any(|listener| {
        let clients = listener.tls.as_ref().and_then(|tls| tls.clients.as_ref());
        let proxy = match &listener.place {
            Where::Internet(options) => options.proxy.as_ref(),
            Where::Unix(_) => None,
        };
        clients.is_some_and(|clients| clients.user_from.is_some())
            || proxy.is_some_and(|proxy| proxy.common_name)
    })
}

/// One listener as it was written.
struct Listener<'a> {
    written: &'a Assignments,
    index: usize,
}

impl Listener<'_> {
    fn slot(&self, path: &'static str) -> Slot {
        Slot::of_listener(self.index, path)
    }

    fn is_given(&self, path: &'static str) -> bool {
        self.written.place(self.slot(path)).is_some()
    }

    /// Whether this setting is given, and more than an empty list or text.
    fn says_something(&self, path: &'static str) -> bool {
        match self.written.values.get(&self.slot(path)) {
            None => false,
            Some((Value::Strings(texts), _)) => !texts.is_empty(),
            Some((Value::String(text) | Value::Text(text), _)) => !text.is_empty(),
            Some(_) => true,
        }
    }

    /// A problem of this setting, or of the table if it is not given.
    fn wrong(&self, path: &'static str, text: String) -> Problem {
        let begins = &self.written.tables(Array::Listener)[self.index];
        let place = self.written.place(self.slot(path)).unwrap_or(begins);
        Problem::new(place.clone(), text)
    }

    /// `Ok(None)` if a part is missing because it was wrong, which has been reported.
    fn put_together(
        &self,
        mut parts: ListenerSettings,
    ) -> Result<Option<ListenerOptions>, Problem> {
        self.needs(
            "kind",
            "kind = \"tcp\", \"tls\", \"ws\", \"wss\" or \"unix\"",
        )?;
        let Some(kind) = parts.kind else {
            return Ok(None);
        };
        match kind {
            Kind::Unix => self.needs("path", "a path such as path = \"/run/postbud/mqtt\"")?,
            _ => self.needs("address", "an address such as address = \"127.0.0.1:1883\"")?,
        }
        self.refuse_foreign(kind)?;
        let tls = match kind.is_tls() {
            false => None,
            true => {
                let parts = std::mem::take(&mut parts.tls);
                match tls::settle(self.written, self.index, word(kind), parts)? {
                    Some(options) => Some(TlsOptions {
                        inside: match kind {
                            Kind::Wss => Inside::Http,
                            _ => Inside::Mqtt,
                        },
                        ..options
                    }),
                    None => return Ok(None),
                }
            }
        };
        let websocket = kind.is_websocket().then(|| WebSocketOptions {
            path: parts.websocket_path.take().unwrap_or("/mqtt".to_owned()),
            origins: std::mem::take(&mut parts.origins),
        });
        let name = parts.name.take().map(Into::into);
        let entrance = std::mem::take(&mut parts.entrance);
        let place = match kind {
            Kind::Unix => parts.path.map(|path| {
                let mode = parts.mode.unwrap_or(MODE);
                Where::Unix(UnixOptions { path, mode })
            }),
            _ => self.internet(parts)?.map(Where::Internet),
        };
        Ok(place.map(|place| ListenerOptions {
            name,
            place,
            tls,
            websocket,
            authentication: entrance.authentication,
            connections_maximum: entrance.connections_maximum,
            entrance: Arc::new(entrance.entrance()),
        }))
    }

    fn needs(&self, path: &'static str, expected: &str) -> Result<(), Problem> {
        match self.is_given(path) {
            true => Ok(()),
            false => {
                let index = self.index;
                let text = format!("listener.{index} has no {path}; expected {expected}");
                Err(self.wrong(path, text))
            }
        }
    }

    /// Refuses what listeners of another kind take.
    fn refuse_foreign(&self, kind: Kind) -> Result<(), Problem> {
        let given = self.slot("kind");
        // A variable that changes the kind goes before what the file says for the old one: there is no way to
        // take lines out of a file with a variable.
        let overridden = matches!(self.written.place(given), Some(Place::Variable(_)));
        let word = word(kind);
        for path in LISTENER_KEYS.iter().map(|key| key.path) {
            let Some(place) = self.written.place(self.slot(path)) else {
                continue;
            };
            let reserved = RESERVED
                .iter()
                .find(|(begins, ..)| path.starts_with(begins));
            let foreign = reserved.filter(|(_, takes, _)| !takes(kind));
            if let Some((_, _, expected)) = foreign
                && !(overridden && matches!(place, Place::File { .. }))
            {
                let slot = self.slot(path);
                let text = format!("{slot} is given but {given} is {word:?}; expected {expected}");
                return Err(Problem::new(place.clone(), text));
            }
        }
        Ok(())
    }

    fn internet(&self, parts: ListenerSettings) -> Result<Option<InternetOptions>, Problem> {
        let proxy = match parts.proxy_protocol {
            true => Some(ProxyOptions {
                trusted: parts.trusted_proxies,
                common_name: parts.proxy_user == ProxyUser::CommonName,
            }),
            false => None,
        };
        let switch = self.slot("proxy_protocol");
        match &proxy {
            Some(proxy) if proxy.trusted.is_empty() => {
                if self.says_something("trusted_proxies") {
                    return Ok(None);
                }
                let text = format!(
                    "{switch} is true but no proxy is trusted; \
                     expected trusted_proxies = [\"10.0.0.0/8\"] or their addresses"
                );
                return Err(self.wrong("proxy_protocol", text));
            }
            Some(_) => {}
            None => {
                for path in ["trusted_proxies", "proxy_user"] {
                    if self.says_something(path) {
                        let slot = self.slot(path);
                        let text = format!(
                            "{slot} is given but {switch} is not true; \
                             expected proxy_protocol = true, or nothing of proxies"
                        );
                        return Err(self.wrong(path, text));
                    }
                }
            }
        }
        Ok(parts.address.map(|address| InternetOptions {
            address,
            tcp: parts.tcp,
            proxy,
        }))
    }
}

/// Owner and group may connect.
const MODE: u32 = 0o660;

#[cfg(test)]
mod tests;
