//! What is answered on which path, and how serving ends.
//!
//! | path       | answer                                                                        |
//! |------------|-------------------------------------------------------------------------------|
//! | `/metrics` | 200, every metric in the Prometheus text format                               |
//! | `/health`  | 200 `ok` for as long as the process serves at all: restart it when this fails |
//! | `/ready`   | 200 `ready` or 503 `not ready`: send clients elsewhere while this fails       |
//!
//! A broker that cannot store is not ready, and both say why: what needs no storing goes on, but a
//! client that comes for more is better served elsewhere. It is not ill: a restart would mend nothing.
//!
//! Anything else is 404 and lists these, and a method other than GET and HEAD is 405.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::connection::{Limits, Listener};

/// How long requests under way may take to finish once serving is to end.
const GRACE: Duration = Duration::from_secs(1);

const TEXT: &str = "text/plain; charset=utf-8";
/// The version is that of the text format, which scrapers choose their parser by.
const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

const PATHS: &str = "\
there is nothing here; there is
/metrics  every metric, in the Prometheus text format
/health   200 as long as the broker runs
/ready    200 while it takes clients, 503 while it starts, stops or cannot store
";

/// What the answers are made of.
#[derive(Clone)]
pub struct State {
    /// Renders every metric in the Prometheus text format, version 0.0.4. Called on a runtime
    /// thread for each scrape, so it must not wait. It is the place to run the recorder's upkeep,
    /// though not the only one: nobody may be scraping.
    pub render: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether clients are welcome: set once every listener is bound, cleared when draining starts.
    pub ready: Arc<AtomicBool>,
    /// Why what would have to be stored is refused, if it is. Must not wait.
    pub failure: Arc<dyn Fn() -> Option<String> + Send + Sync>,
}

/// Serves HTTP on `listener` until `shutdown` resolves; then closes idle connections and gives
/// requests under way a second to finish.
///
/// # Errors
///
/// None in practice: failures to accept are logged and tried again, and a failing connection harms
/// no other. The type leaves room for what the HTTP library may report one day.
pub async fn serve(
    listener: TcpListener,
    state: State,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    serve_within(Limits::SERVING, listener, state, shutdown).await
}

async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    state: State,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stopping, stopped) = oneshot::channel();
    let shutdown = async move {
        shutdown.await;
        // Fails only if serving has ended by itself, and then nobody needs to know.
        let _ = stopping.send(());
    };
    let serving = axum::serve(Listener::new(listener, limits), router(state))
        .with_graceful_shutdown(shutdown)
        .into_future();
    let patience_ends = async {
        // Resolves with an error if serving ended by itself; the other branch has won then.
        let _ = stopped.await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        biased;
        outcome = serving => outcome,
        // What is left ends at its own deadline, or with the runtime.
        () = patience_ends => Ok(()),
    }
}

fn router(state: State) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .fallback(unknown)
        .with_state(state)
}

async fn metrics(Extract(state): Extract<State>) -> impl IntoResponse {
    ([(CONTENT_TYPE, METRICS_TEXT)], (state.render)())
}

async fn health(Extract(state): Extract<State>) -> impl IntoResponse {
    let text = match (state.failure)() {
        Some(failure) => format!("ok, but {failure}\n"),
        None => "ok\n".to_owned(),
    };
    ([(CONTENT_TYPE, TEXT), (CACHE_CONTROL, "no-store")], text)
}

async fn ready(Extract(state): Extract<State>) -> impl IntoResponse {
    let (status, text) = match (state.ready.load(Ordering::Acquire), (state.failure)()) {
        (true, None) => (StatusCode::OK, "ready\n".to_owned()),
        (true, Some(failure)) => {
            let text = format!("not ready: {failure}\n");
            (StatusCode::SERVICE_UNAVAILABLE, text)
        }
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n".to_owned()),
    };
    (
        status,
        [(CONTENT_TYPE, TEXT), (CACHE_CONTROL, "no-store")],
        text,
    )
}

async fn unknown() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, [(CONTENT_TYPE, TEXT)], PATHS)
}

#[cfg(test)]
mod tests;
