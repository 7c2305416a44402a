//! What the broker says when it is ready.

use std::net::SocketAddr;

use crate::config::Config;
use crate::listener::certificates::{AUTHORITY, Generated};

/// Says where it listens, what that means, and what to try.
pub(super) fn say(
    config: &Config,
    generated: Generated,
    addresses: &[(&'static str, SocketAddr)],
    http: Option<SocketAddr>,
) {
    for (kind, address) in addresses {
        tracing::info!("listening kind={kind} address={address}");
    }
    if let Some(address) = http {
        tracing::info!("listening kind=http address={address}");
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
        suggest(addresses, &directory.join(AUTHORITY).display().to_string());
    }
}

/// Lines to try, for a first start without a configuration file.
fn suggest(addresses: &[(&'static str, SocketAddr)], authority: &str) {
    let port = |wanted| {
        addresses
            .iter()
            .find(|(kind, _)| *kind == wanted)
            .map(|(_, a)| a.port())
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
