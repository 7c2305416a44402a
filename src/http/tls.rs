//! The certificates of TLS listeners as metrics: until when they are good, and whether they are up to date.
//!
//! Files come and go with a reload, and what is gone must not be shown. So these series live for one scrape
//! only, unlike those of the broker.

use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;

/// What there is to tell of one TLS listener.
#[derive(Clone, Debug, Default)]
pub struct TlsListener {
    /// Its name.
    pub name: String,
    /// How often its files were read again and found right.
    pub reloads: u64,
    /// How often they were found wrong.
    pub failed_reloads: u64,
    /// Whether they were the last time.
    pub failing: bool,
    /// When they were last found right, in seconds since the Unix epoch.
    pub last_success: f64,
    /// Until when each of its files is good.
    pub files: Vec<TlsFile>,
}

/// Until when a file is good.
#[derive(Clone, Debug)]
pub struct TlsFile {
    /// The file, as the configuration names it.
    pub name: String,
    /// What it holds.
    pub content: TlsContent,
    /// Until when, in seconds since the Unix epoch.
    pub until: f64,
}

/// What is in a file of a TLS listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsContent {
    /// A certificate that is shown to clients.
    Certificate,
    /// The authorities of clients' certificates.
    ClientCa,
    /// Revoked certificates.
    Crl,
}

impl TlsContent {
    fn family(self) -> &'static str {
        match self {
            Self::Certificate => "postbud_tls_certificate_expiry_timestamp_seconds",
            Self::ClientCa => "postbud_tls_client_ca_expiry_timestamp_seconds",
            Self::Crl => "postbud_tls_crl_next_update_timestamp_seconds",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Certificate => {
                "When the certificate shown to clients, or one of its chain, expires, in seconds \
                 since the Unix epoch."
            }
            Self::ClientCa => {
                "When the first authority of clients' certificates expires, in seconds since the \
                 Unix epoch."
            }
            Self::Crl => {
                "When the list of revoked certificates is to be replaced, in seconds since the \
                 Unix epoch."
            }
        }
    }
}

const RELOADS: &str = "postbud_tls_reloads_total";
const FAILING: &str = "postbud_tls_reload_failing";
const LAST_SUCCESS: &str = "postbud_tls_last_reload_timestamp_seconds";

/// The series of all these listeners, in the Prometheus text format.
pub fn render(listeners: &[TlsListener]) -> String {
    if listeners.is_empty() {
        return String::new();
    }
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        describe_counter!(
            RELOADS,
            "How often changed certificates of a listener were read again, by how that went."
        );
        describe_gauge!(
            FAILING,
            "1 while files of a listener are wrong and older certificates stay in force."
        );
        describe_gauge!(
            LAST_SUCCESS,
            "When the certificates in force were read, in seconds since the Unix epoch."
        );
        for listener in listeners {
            set(listener);
        }
    });
    recorder.handle().render()
}

fn set(listener: &TlsListener) {
    let name = || listener.name.clone();
    let reloads = [
        ("success", listener.reloads),
        ("failure", listener.failed_reloads),
    ];
    for (result, count) in reloads {
        counter!(RELOADS, "listener" => name(), "result" => result).absolute(count);
    }
    let failing = f64::from(u8::from(listener.failing));
    gauge!(FAILING, "listener" => name()).set(failing);
    gauge!(LAST_SUCCESS, "listener" => name()).set(listener.last_success);
    for file in &listener.files {
        let family = file.content.family();
        describe_gauge!(family, file.content.help());
        gauge!(family, "listener" => name(), "file" => file.name.clone()).set(file.until);
    }
}
