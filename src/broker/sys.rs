//! `$SYS/broker/…`: the broker's numbers as retained messages, under mosquitto's names.

use crate::codec::QoS;
use crate::message::{Message, Parts};

use super::batch::{Batch, Now};
use super::core::Broker;
use super::metrics::Gauge;

/// Publishes the broker's numbers, and remembers what it needs for averages.
#[derive(Debug)]
pub struct Sys {
    started: Now,
}

impl Sys {
    /// Begins to count from `now`.
    pub fn new(now: Now) -> Self {
        Self { started: now }
    }

    /// Publishes every number.
    pub fn publish(&mut self, broker: &Broker, batch: &mut Batch) {
        let uptime = batch
            .now
            .instant
            .saturating_duration_since(self.started.instant);
        let put = |topic: &str, value: String, batch: &mut Batch| {
            let topic = format!("$SYS/broker/{topic}");
            let parts = Parts {
                topic: &topic,
                forwarded: &[],
                payload: value.as_bytes(),
                qos: QoS::AtMostOnce,
                retain: true,
                expires: None,
            };
            broker.publish(Message::new(parts, &mut Vec::new()), None, batch);
        };
        put(
            "version",
            concat!("postbud version ", env!("CARGO_PKG_VERSION")).into(),
            batch,
        );
        put("uptime", format!("{} seconds", uptime.as_secs()), batch);
        let connected = broker.metrics().read(Gauge::Connected);
        put("clients/connected", connected.to_string(), batch);
        broker.finish(batch);
    }
}
