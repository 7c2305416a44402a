//! A web server that answers as a test says: keys of tokens, or a service that is asked about clients.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `POST /path`.
    pub line: String,
    /// The values of the header `Authorization`.
    pub authorization: Vec<String>,
    pub body: String,
}

/// A status and a body, or none: silence, for as long as the server is there.
pub type Reply = Option<(u16, String)>;

/// A running server, ended when dropped.
pub struct Service {
    /// Where it listens.
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    runtime: Option<Runtime>,
}

impl Service {
    /// Starts a server that answers each request with what `reply` makes of it.
    #[track_caller]
    pub fn start(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1:0", reply)
    }

    /// As [`Service::start`], on a given address.
    #[track_caller]
    pub fn start_on(
        address: &str,
        reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(address));
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (log, reply) = (Arc::clone(&asked), Arc::new(reply));
        let router = Router::new().fallback(move |request: Request| {
            let (log, reply) = (Arc::clone(&log), Arc::clone(&reply));
            handle(request, move |asked| {
                log.lock()
                    .expect("nobody panics with it")
                    .push(asked.clone());
                reply(asked)
            })
        });
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            asked,
            runtime: Some(runtime),
        }
    }

    /// Where something of it is.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All that it has been asked at a path.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        let asked = self.asked.lock().expect("nobody panics with it");
        let at_path = |it: &&Asked| it.line.ends_with(path);
        asked.iter().filter(at_path).cloned().collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Requests that are never answered would be waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = (StatusCode, String)> + Send>>;

fn handle(request: Request, reply: impl Fn(&Asked) -> Reply + Send + 'static) -> Answer {
    Box::pin(async move {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a body");
        let authorization = parts.headers.get_all("authorization").iter();
        let text = |value: &axum::http::HeaderValue| value.to_str().expect("a text").to_owned();
        let asked = Asked {
            line: format!("{} {}", parts.method, parts.uri),
            authorization: authorization.map(text).collect(),
            body: String::from_utf8(body.to_vec()).expect("JSON is UTF-8"),
        };
        match reply(&asked) {
            Some((status, body)) => (StatusCode::from_u16(status).expect("a status"), body),
            None => std::future::pending().await,
        }
    })
}
