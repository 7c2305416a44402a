//! Which service is asked, and how much of it.

use std::time::Duration;

use super::super::web::{self, Url};

/// Everything about the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where it is asked who a client is; nowhere if there is none.
    pub authenticate: Option<Url>,
    /// Where it is asked what a client may do; nowhere if there is none.
    pub authorize: Option<Url>,
    /// How it is asked.
    pub web: web::Options,
    /// Questions that are put to it at once.
    pub requests_at_once: usize,
    /// Questions that wait to be put to it.
    pub requests_waiting: usize,
    /// How long an answer about what a client may do holds.
    pub cache_time: Duration,
    /// Answers that are remembered at most.
    pub cache_size: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            authenticate: None,
            authorize: None,
            web: web::Options::default(),
            requests_at_once: 32,
            requests_waiting: 1000,
            cache_time: Duration::from_secs(60),
            cache_size: 10_000,
        }
    }
}
