//! DingTalk group robot (钉钉自定义机器人, open.dingtalk.com/document/robots/custom-robot-access).
//!
//! 20 messages a minute and robot; one more and the robot is silenced for ten minutes, reds included: so the queue never sends the 21st.
//! Signature: `timestamp` in milliseconds (within an hour of theirs) and `sign` = percent-encoded base64 of HMAC-SHA256, keyed by the secret,
//! over `timestamp\nsecret`. A markdown message takes 20,000 bytes. Answers: `errcode` 0 done; 130101 and 410100 too often: ten minutes;
//! -1 busy; 310000 security setting (signature, keyword, address) and everything else: never.

use std::path::PathBuf;

use base64::Engine;
use event::Timestamp;
use serde::Deserialize;
use serde_json::json;
use settings::Secret;

use super::{http_route, robot};
use crate::{Answer, Channel, Letter, Limits, Reader, Request, Route, Verdict, config, hmac_sha256, text};

pub(super) const LIMITS: Limits = Limits { window_s: 61, most: 20, reserve: 10, digest_max: 2_000, whole: false };
const TEXT_BYTES_MAX: usize = 18_000;
const THROTTLED_S: u32 = 600;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// File with the robot's address, `https://oapi.dingtalk.com/robot/send?access_token=…`.
    url_file: PathBuf,
    /// File with the secret of 加签, `SEC…`.
    #[serde(default)]
    secret_file: Option<PathBuf>,
    #[serde(default)]
    ca: Option<PathBuf>,
}

struct Dingtalk {
    route: Route,
    path: String,
    secret: Option<Secret>,
}

pub(super) fn read(section: &toml::Table, read: Reader) -> Result<Box<dyn Channel>, String> {
    let config: Config = settings::section(section)?;
    let url = config::secret("url_file", Some(&config.url_file), read)?.unwrap_or_default();
    let secret = config::secret("secret_file", config.secret_file.as_deref(), read)?;
    let (route, path) = http_route("url_file", url.expose(), false, config.ca)
        .map_err(|_| "key 'url_file': the file does not hold an https:// address".to_owned())?;
    Ok(Box::new(Dingtalk { route, path, secret }))
}

/// Percent-encoded for a query.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}

pub(crate) fn sign(timestamp_ms: i64, secret: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(hmac_sha256(secret.as_bytes(), format!("{timestamp_ms}\n{secret}").as_bytes()))
}

impl Channel for Dingtalk {
    fn route(&self) -> &Route {
        &self.route
    }
    fn render(&self, letter: &Letter, now: Timestamp) -> Request {
        let mut path = self.path.clone();
        if let Some(secret) = &self.secret {
            let join = if path.contains('?') { '&' } else { '?' };
            path.push_str(&format!("{join}timestamp={}&sign={}", now.ms(), encode(&sign(now.ms(), secret.expose()))));
        }
        let subject = text::subject(letter);
        let content = text::cut(&format!("#### {subject}\n\n{}", text::markdown(letter)), TEXT_BYTES_MAX, letter.zh);
        let body = json!({"msgtype": "markdown", "markdown": {"title": text::cut(&subject, 200, letter.zh), "text": content}});
        Request::Http {
            path,
            headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
            body: body.to_string().into_bytes(),
        }
    }
    fn classify(&self, answer: &Answer) -> Verdict {
        match robot::code(answer, &["errcode"], &["errmsg"]) {
            Err(verdict) => verdict,
            Ok((0, _)) => Verdict::Done,
            Ok((code @ (130_101 | 410_100 | 90_018), why)) => Verdict::retry_after(THROTTLED_S, format!("{code} {why}")),
            Ok((-1, why)) => Verdict::retry(format!("-1 {why}")),
            Ok((code, why)) => Verdict::reject(format!("{code} {why}")),
        }
    }
}
