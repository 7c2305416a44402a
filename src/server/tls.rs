//! The certificates of all listeners: what is shown of them, and how they are read again.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::http::{TlsContent, TlsFile, TlsListener};
use crate::listener::options::Options;
use crate::listener::tls::setup::{Content, Date};
use crate::listener::tls::{Keeper, Prepared, Status};

use super::reload::with_causes;

/// What keeps the certificates of each listener, in their order; nothing for those without TLS.
pub(super) type Keepers = Arc<[Option<Arc<Keeper>>]>;

/// Looks after the files of all listeners, for as long as the process runs.
pub(super) fn watch(keepers: &Keepers) {
    for keeper in keepers.iter().flatten() {
        tokio::spawn(Arc::clone(keeper).watch());
    }
}

/// Reads the files of all listeners, for what these options say of them. They come into force when what is
/// returned is applied.
///
/// # Errors
///
/// What is wrong, a line for each listener.
pub(super) fn prepare(keepers: &Keepers, options: &Options) -> Result<Vec<Prepared>, String> {
    let mut prepared = Vec::new();
    let mut wrong = Vec::new();
    for (keeper, listener) in keepers.iter().zip(&options.listeners) {
        let (Some(keeper), Some(options)) = (keeper, &listener.tls) else {
            continue;
        };
        match keeper.prepare(options) {
            Ok(setup) => prepared.push(setup),
            Err(error) => wrong.push(with_causes(&error)),
        }
    }
    match wrong.is_empty() {
        true => Ok(prepared),
        false => Err(wrong.join("\n")),
    }
}

/// How the TLS of all listeners is, for the metrics.
pub(super) fn shown(keepers: &Keepers) -> Vec<TlsListener> {
    let keepers = keepers.iter().flatten();
    keepers.map(|keeper| one(keeper.status())).collect()
}

fn one(status: Status) -> TlsListener {
    TlsListener {
        name: status.listener.to_string(),
        reloads: status.tally.successes,
        failed_reloads: status.tally.failures,
        failing: status.tally.failing,
        last_success: seconds(status.tally.last_success),
        files: status.dates.iter().filter_map(file).collect(),
    }
}

/// A file that never ends has nothing to show.
fn file(date: &Date) -> Option<TlsFile> {
    Some(TlsFile {
        name: date.path.display().to_string(),
        content: match date.content {
            Content::Certificate => TlsContent::Certificate,
            Content::Authorities => TlsContent::ClientCa,
            Content::RevocationList => TlsContent::Crl,
        },
        until: date.until? as f64,
    })
}

fn seconds(time: SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}
