//! The broker's numbers in the Prometheus text format.

use std::fmt;
use std::sync::Arc;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::broker::Broker;

/// Renders the broker's numbers.
pub struct Exporter {
    broker: Arc<Broker>,
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

/// Why metrics cannot be set up.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl Exporter {
    /// An exporter of this broker's numbers.
    ///
    /// # Errors
    ///
    /// The recorder refuses its own settings, which would be a mistake here.
    pub fn new(broker: Arc<Broker>) -> Result<Self, Error> {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        Ok(Self {
            broker,
            recorder,
            handle,
        })
    }

    /// Every metric, at this moment.
    pub fn render(&self) -> String {
        metrics::with_local_recorder(&self.recorder, || {
            let snapshot = self.broker.metrics().snapshot();
            metrics::counter!("postbud_connections_opened_total")
                .absolute(snapshot.connections_opened);
        });
        self.handle.render()
    }

    /// Keeps the recorder in order.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }
}
