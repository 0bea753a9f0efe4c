//! A webhook: one JSON object by POST.
//!
//! Headers: `Idempotency-Key` (the same in every attempt: drop what you have seen), `X-Vedette-Timestamp` (Unix seconds) and, where a secret is
//! set, `X-Vedette-Signature: v1=` hex of HMAC-SHA256 over `timestamp.body`. Check the signature over the bytes as received, and the time
//! against a few minutes.

use std::path::PathBuf;

use event::Timestamp;
use serde::Deserialize;
use serde_json::json;
use settings::Secret;

use super::{by_status, http_route};
use crate::{Answer, Channel, Letter, Reader, Request, Route, Verdict, config, hex, hmac_sha256, text};

/// Messages of a digest that are sent in full.
const MESSAGES_MAX: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// `https://host/path`; plain `http://` on loopback only.
    url: String,
    /// File with the shared secret of the signature.
    #[serde(default)]
    secret_file: Option<PathBuf>,
    /// File with a token sent as `Authorization: Bearer`.
    #[serde(default)]
    token_file: Option<PathBuf>,
    /// PEM file of the authorities that are trusted; the system's otherwise.
    #[serde(default)]
    ca: Option<PathBuf>,
}

struct Webhook {
    route: Route,
    path: String,
    secret: Option<Secret>,
    token: Option<Secret>,
}

pub(super) fn read(section: &toml::Table, read: Reader) -> Result<Box<dyn Channel>, String> {
    let config: Config = settings::section(section)?;
    let (route, path) = http_route("url", &config.url, false, config.ca)?;
    Ok(Box::new(Webhook {
        route,
        path,
        secret: config::secret("secret_file", config.secret_file.as_deref(), read)?,
        token: config::secret("token_file", config.token_file.as_deref(), read)?,
    }))
}

/// `v1=` and hex.
pub(crate) fn signature(secret: &str, timestamp_s: i64, body: &[u8]) -> String {
    let mut signed = format!("{timestamp_s}.").into_bytes();
    signed.extend_from_slice(body);
    format!("v1={}", hex(&hmac_sha256(secret.as_bytes(), &signed)))
}

impl Channel for Webhook {
    fn route(&self) -> &Route {
        &self.route
    }
    fn render(&self, letter: &Letter, now: Timestamp) -> Request {
        let shown = letter.messages.get(..MESSAGES_MAX.min(letter.messages.len())).unwrap_or_default();
        let body = json!({
            "version": 1,
            "key": letter.key,
            "test": letter.test,
            "exercise": letter.messages.iter().any(|m| m.exercise),
            "level": text::level_of(letter).map(warning::grade::Level::name),
            "subject": text::subject(letter),
            "messages": shown,
            "more": letter.more + letter.messages.len() - shown.len(),
        })
        .to_string()
        .into_bytes();
        let mut headers = vec![
            ("content-type", "application/json; charset=utf-8".to_owned()),
            ("idempotency-key", letter.key.to_owned()),
            ("x-vedette-timestamp", now.secs().to_string()),
        ];
        if let Some(secret) = &self.secret {
            headers.push(("x-vedette-signature", signature(secret.expose(), now.secs(), &body)));
        }
        if let Some(token) = &self.token {
            headers.push(("authorization", format!("Bearer {}", token.expose())));
        }
        Request::Http { path: self.path.clone(), headers, body }
    }
    fn classify(&self, answer: &Answer) -> Verdict {
        by_status(answer)
    }
}
