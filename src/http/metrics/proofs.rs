//! The numbers of tokens, and of a service that is asked by HTTP.

use std::sync::atomic::Ordering;

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use crate::auth::counts::{Counts, Questions};

/// The handles of their series.
pub struct OfProofs {
    tokens: Vec<Counter>,
    key_fetches: Vec<Counter>,
    keys_fetched: Gauge,
    authenticate: OfQuestions,
    authorize: OfQuestions,
    remembered: Counter,
}

impl OfProofs {
    pub fn register(counts: &Counts) -> Self {
        let tokens = "postbud_tokens_total";
        describe_counter!(tokens, "Tokens of clients, by what became of them.");
        let fetches = "postbud_token_key_fetches_total";
        describe_counter!(
            fetches,
            "How often the keys of tokens were fetched, by how that went."
        );
        let fetched = "postbud_token_keys_fetched_timestamp_seconds";
        describe_gauge!(
            fetched,
            "When the keys of tokens were last fetched, in seconds since the Unix epoch; 0 is never."
        );
        let requests = "postbud_auth_http_requests_total";
        describe_counter!(
            requests,
            "Questions to the HTTP service, by what it answered or why it did not."
        );
        let duration = "postbud_auth_http_duration_seconds";
        describe_gauge!(
            duration,
            "Seconds that all questions to the HTTP service took together, waiting for a place included."
        );
        let hits = "postbud_auth_http_cache_hits_total";
        describe_counter!(
            hits,
            "Questions about permissions that were answered from memory."
        );
        let outcomes = |name: &'static str, tally: &crate::auth::counts::Tally| {
            let labels = tally.read().map(|(label, _)| label);
            labels
                .map(|label| counter!(name, "outcome" => label))
                .collect()
        };
        Self {
            tokens: outcomes(tokens, &counts.tokens),
            key_fetches: outcomes(fetches, &counts.key_fetches),
            keys_fetched: gauge!(fetched),
            authenticate: OfQuestions::register("authenticate", &counts.authenticate),
            authorize: OfQuestions::register("authorize", &counts.authorize),
            remembered: counter!(hits),
        }
    }

    pub fn set(&self, now: &Counts) {
        for (series, (_, count)) in self.tokens.iter().zip(now.tokens.read()) {
            series.absolute(count);
        }
        for (series, (_, count)) in self.key_fetches.iter().zip(now.key_fetches.read()) {
            series.absolute(count);
        }
        self.keys_fetched
            .set(now.keys_fetched.load(Ordering::Relaxed) as f64);
        self.authenticate.set(&now.authenticate);
        self.authorize.set(&now.authorize);
        self.remembered
            .absolute(now.remembered.load(Ordering::Relaxed));
    }
}

/// Of one of the two questions.
struct OfQuestions {
    outcomes: Vec<Counter>,
    duration: Gauge,
}

impl OfQuestions {
    fn register(question: &'static str, questions: &Questions) -> Self {
        let name = "postbud_auth_http_requests_total";
        let labels = questions.outcomes.read().map(|(label, _)| label);
        let series = labels.map(|label| counter!(name, "question" => question, "outcome" => label));
        Self {
            outcomes: series.collect(),
            duration: gauge!("postbud_auth_http_duration_seconds", "question" => question),
        }
    }

    fn set(&self, now: &Questions) {
        for (series, (_, count)) in self.outcomes.iter().zip(now.outcomes.read()) {
            series.absolute(count);
        }
        self.duration.set(now.taken().as_secs_f64());
    }
}
