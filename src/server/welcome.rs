//! What the broker says when it is ready.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::broker::Restored;
use crate::config::Config;
use crate::listener::accept::Bound;
use crate::listener::certificates::{AUTHORITY, Generated};
use crate::store::options::Options;

use super::store::Kept;

/// Where a listener is.
pub(super) struct Door {
    kind: &'static str,
    name: Arc<str>,
    at: String,
    port: Option<u16>,
}

impl Door {
    pub(super) fn of(bound: &Bound) -> Self {
        let address = bound.address().map(|address| format!("address={address}"));
        let path = bound.path().map(|path| format!("path={}", path.display()));
        Self {
            kind: bound.kind(),
            name: Arc::clone(bound.name()),
            at: address.or(path).unwrap_or_default(),
            port: bound.address().map(|address| address.port()),
        }
    }
}

/// Says where it listens, what that means, and what to try.
pub(super) fn say(
    config: &Config,
    generated: Generated,
    kept: &Kept,
    restored: Restored,
    doors: &[Door],
    http: Option<SocketAddr>,
) {
    for Door { kind, at, name, .. } in doors {
        tracing::info!("listening kind={kind} {at} listener={name}");
    }
    if let Some(address) = http {
        tracing::info!("listening kind=http address={address}");
    }
    match kept {
        Kept::InMemory(_) => tracing::info!("storing nothing: all state ends with the process"),
        Kept::OnDisk(_) => say_store(&config.store, restored),
    }
    match generated {
        Generated::Nothing => {}
        Generated::Created => tracing::info!("made a development CA and certificate in certs/"),
        Generated::Renewed => {
            tracing::info!("renewed the expired development certificate in certs/")
        }
    }
    if config.auth.anonymous {
        tracing::info!(
            "anonymous clients are allowed: whoever reaches a listener may do everything"
        );
    } else {
        tracing::info!("anonymous clients are refused");
    }
    if let Some(directory) = config.development_certificates() {
        suggest(doors, &directory.join(AUTHORITY).display().to_string());
    }
}

/// Says where state is kept, how safely, and what was there already.
fn say_store(options: &Options, restored: Restored) {
    let durability = options.promise.default.name();
    // The working directory is what a path in the configuration is relative to: not everybody knows.
    let path = options.path.canonicalize();
    let path = path.unwrap_or_else(|_| options.path.clone());
    let Restored {
        sessions,
        groups,
        queued,
        in_flight,
        retained,
        delayed,
        without_room,
    } = restored;
    tracing::info!(
        "storing path={} durability={durability} sessions={sessions} groups={groups} \
         queued={queued} in_flight={in_flight} retained={retained} delayed={delayed}",
        path.display()
    );
    if without_room > 0 {
        tracing::warn!(
            "{without_room} retained messages are beyond the bounds in force now, and left out"
        );
    }
}

/// Lines to try, for a first start without a configuration file.
fn suggest(doors: &[Door], authority: &str) {
    let port = |wanted| {
        let door = doors.iter().find(|door| door.kind == wanted);
        door.and_then(|door| door.port)
    };
    let mut lines = String::from("try, in two terminals:\n");
    if let Some(port) = port("tcp") {
        lines += &format!("  mosquitto_sub -h 127.0.0.1 -p {port} -t 'hello/#' -v\n");
        lines += &format!("  mosquitto_pub -h 127.0.0.1 -p {port} -t hello/world -m hi\n");
    }
    if let Some(port) = port("tls") {
        lines += "or the same inside TLS:\n";
        lines += &format!(
            "  mosquitto_sub -h localhost -p {port} --cafile {authority} -t 'hello/#' -v\n"
        );
        lines += &format!(
            "  mosquitto_pub -h localhost -p {port} --cafile {authority} -t hello/world -m hi\n"
        );
    }
    // For a person at a terminal, not for a log: it goes to standard error as it is.
    eprint!("{lines}");
}
