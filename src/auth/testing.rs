//! What tests of this room share: a directory, a web server, an issuer of tokens.

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// An empty directory of one test's own, removed with this value.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("postbud-auth-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and returns its path.
    pub(crate) fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, contents).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a server has been asked: the method and the path, the headers in small letters, the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

type Reply = Pin<Box<dyn Future<Output = (u16, String)> + Send>>;

/// A web server that does as the test says, for as long as the runtime runs.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// One that answers each request with what `reply` makes of it: a status and a body.
    pub(crate) async fn start<F, R>(reply: F) -> Self
    where
        F: Fn(Asked) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = (u16, String)> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let log = Arc::clone(&asked);
        let handler = move |request: axum::extract::Request| -> Reply {
            let (log, reply) = (Arc::clone(&log), reply.clone());
            Box::pin(async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let header =
                    |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
                        (name.to_string(), value.to_str().unwrap().to_owned())
                    };
                let asked = Asked {
                    line: format!("{} {}", parts.method, parts.uri),
                    headers: parts.headers.iter().map(header).collect(),
                    body: String::from_utf8(body.to_vec()).unwrap(),
                };
                log.lock().push(asked.clone());
                reply(asked).await
            })
        };
        let router = axum::Router::new().fallback(move |request: axum::extract::Request| {
            let reply = handler(request);
            async move {
                let (status, body) = reply.await;
                (axum::http::StatusCode::from_u16(status).unwrap(), body)
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked }
    }

    /// Where something of it is.
    pub(crate) fn url(&self, path: &str) -> super::web::Url {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    /// All that it has been asked.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }
}

/// Somebody who signs tokens.
pub(crate) enum Issuer {
    Secret(Vec<u8>),
    Rsa(rsa::KeyPair),
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
}

impl Issuer {
    pub(crate) fn secret() -> Self {
        Self::Secret((0..64).collect())
    }

    pub(crate) fn rsa() -> Self {
        Self::Rsa(rsa::KeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(crate) fn p256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Self::Ec(pair.unwrap(), "P-256")
    }

    pub(crate) fn p384() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING);
        Self::Ec(pair.unwrap(), "P-384")
    }

    pub(crate) fn ed25519() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    /// Its public key in PEM.
    pub(crate) fn pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Secret(_) => panic!("a secret is not public"),
            Self::Rsa(pair) => pair.public_key().as_der().unwrap(),
            Self::Ec(pair, _) => pair.public_key().as_der().unwrap(),
            Self::Ed(pair) => pair.public_key().as_der().unwrap(),
        };
        let text = STANDARD.encode(der.as_ref());
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    /// Its key as it stands in a set.
    pub(crate) fn jwk(&self, id: &str) -> Value {
        let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Secret(secret) => json!({"kty": "oct", "kid": id, "k": encoded(secret)}),
            Self::Rsa(pair) => {
                // A sequence of two integers; the first has 256 bytes and a zero in front, the second 3.
                let der = pair.public_key().as_ref();
                let (n, e) = (&der[9..265], &der[der.len() - 3..]);
                json!({"kty": "RSA", "kid": id, "use": "sig", "n": encoded(n), "e": encoded(e)})
            }
            Self::Ec(pair, curve) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({"kty": "EC", "kid": id, "crv": curve, "x": encoded(x), "y": encoded(y)})
            }
            Self::Ed(pair) => {
                let x = encoded(pair.public_key().as_ref());
                json!({"kty": "OKP", "kid": id, "crv": "Ed25519", "x": x})
            }
        }
    }

    /// A token with these claims.
    pub(crate) fn token(&self, algorithm: &str, id: Option<&str>, claims: &Value) -> String {
        let mut header = json!({"alg": algorithm, "typ": "JWT"});
        if let Some(id) = id {
            header["kid"] = id.into();
        }
        self.token_with(&header, claims)
    }

    /// A token with this header.
    pub(crate) fn token_with(&self, header: &Value, claims: &Value) -> String {
        let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        let algorithm = header["alg"].as_str().unwrap_or_default();
        let signature = self.signature(algorithm, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn signature(&self, algorithm: &str, signed: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Secret(secret) => {
                let digest = match algorithm {
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::sign(&hmac::Key::new(digest, secret), signed)
                    .as_ref()
                    .to_vec()
            }
            Self::Rsa(pair) => {
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding = match algorithm {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, signed, &mut signature).unwrap();
                signature
            }
            Self::Ec(pair, _) => pair.sign(&random, signed).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(signed).as_ref().to_vec(),
        }
    }
}
