//! What is shown of the certificates of listeners.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::http::{TlsContent, TlsFile, TlsListener};
use crate::listener::tls::Status;
use crate::listener::tls::setup::{Content, Date};

/// How a listener's TLS is, for the metrics.
pub(super) fn shown(status: Status) -> TlsListener {
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
