//! The two calls the demo makes to the console's API, over plain HTTP on loopback.

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::client::legacy::{Client as Legacy, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;

/// Answers larger than this are refused.
const BODY_BYTES_MAX: usize = 4 << 20;

pub struct Client {
    http: Legacy<HttpConnector, Full<bytes::Bytes>>,
    server: String,
    token: String,
}

impl Client {
    pub fn new(server: &str, token: &str) -> Self {
        Self {
            http: Legacy::builder(TokioExecutor::new()).build_http(),
            server: server.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
        }
    }

    pub async fn get(&self, path: &str) -> Result<serde_json::Value> {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &serde_json::Value) -> Result<serde_json::Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<&serde_json::Value>) -> Result<serde_json::Value> {
        let text = body.map(ToString::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(Full::from(text))?;
        let answer = self.http.request(request).await.with_context(|| format!("cannot reach {}", self.server))?;
        let status = answer.status();
        let body = http_body_util::Limited::new(answer.into_body(), BODY_BYTES_MAX)
            .collect()
            .await
            .map_err(|e| anyhow::anyhow!("{path}: {e}"))?
            .to_bytes();
        if !status.is_success() {
            bail!("{path}: {status} {}", String::from_utf8_lossy(&body));
        }
        Ok(serde_json::from_slice(&body)?)
    }
}
