//! How the broker defends itself, as series.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use crate::broker::defence::{Figures, Scope};

/// Rates, bans and overload.
pub(super) struct OfDefence {
    held_back: [Counter; Scope::ALL.len()],
    /// Addresses, then clients: there are so many, there were so many.
    banned: [(Gauge, Counter); 2],
    lines_left_out: Counter,
    level: Gauge,
    memory: Gauge,
    memory_maximum: Gauge,
    lag: Gauge,
}

impl OfDefence {
    pub(super) fn register() -> Self {
        let held_back = "postbud_held_back_total";
        describe_counter!(
            held_back,
            "How often a connection was not read for a while, or closed, by the rate it was over."
        );
        let (banned, bans) = ("postbud_banned", "postbud_bans_total");
        describe_gauge!(banned, "Addresses and clients that are banned.");
        describe_counter!(bans, "How often an address or a client was banned.");
        let lines = "postbud_log_lines_left_out_total";
        describe_counter!(
            lines,
            "Lines of the log that were only counted, in a flood."
        );
        let level = "postbud_overload_level";
        describe_gauge!(
            level,
            "0 calm, 1 no new sessions, 2 no new connections and QoS 0 shed."
        );
        let memory = "postbud_memory_bytes";
        describe_gauge!(memory, "Resident memory of the process.");
        let maximum = "postbud_memory_maximum_bytes";
        describe_gauge!(maximum, "The bound on it, 0 if there is none.");
        let lag = "postbud_scheduling_lag_seconds";
        describe_gauge!(lag, "How late a task ran that had nothing to wait for.");
        let of = |what| {
            (
                gauge!(banned, "what" => what),
                counter!(bans, "what" => what),
            )
        };
        Self {
            held_back: Scope::ALL.map(|scope| counter!(held_back, "reason" => scope.label())),
            banned: [of("address"), of("client")],
            lines_left_out: counter!(lines),
            level: gauge!(level),
            memory: gauge!(memory),
            memory_maximum: gauge!(maximum),
            lag: gauge!(lag),
        }
    }

    pub(super) fn set(&self, now: &Figures) {
        for (series, (_, count)) in self.held_back.iter().zip(now.held_back) {
            series.absolute(count);
        }
        let banned = [now.banned_addresses, now.banned_clients];
        for ((gauge, counter), (present, ever)) in self.banned.iter().zip(banned) {
            gauge.set(present as f64);
            counter.absolute(ever);
        }
        self.lines_left_out.absolute(now.lines_left_out);
        self.level.set(f64::from(now.level as u8));
        self.memory.set(now.measured.memory as f64);
        let maximum = now.measured.memory_maximum.unwrap_or(0);
        self.memory_maximum.set(maximum as f64);
        self.lag.set(now.measured.lag.as_secs_f64());
    }
}
