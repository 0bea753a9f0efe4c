//! Feishu group robot (飞书自定义机器人, open.feishu.cn/document/client-docs/bot-v3/add-custom-bot).
//!
//! 100 messages a minute and 5 a second; a body of at most 20 KB. Signature: `timestamp` in seconds (within an hour) and `sign` = base64 of
//! HMAC-SHA256 over nothing, keyed by `timestamp\nsecret`, both in the body. Answers: `code` (older: `StatusCode`) 0 done; 11232, 9499 with
//! HTTP 429, 2200: later; 19021 signature, 19022 address, 19024 keyword and everything else: never.

use std::path::PathBuf;

use base64::Engine;
use event::Timestamp;
use serde::Deserialize;
use serde_json::json;
use settings::Secret;

use super::{http_route, robot};
use crate::{Answer, Channel, Letter, Limits, Reader, Request, Route, Verdict, config, hmac_sha256, text};

pub(super) const LIMITS: Limits = Limits { window_s: 61, most: 100, reserve: 20, digest_max: 2_000, whole: false };
/// As text; in JSON a character of Chinese stays as it is, and quotes and line ends double.
const TEXT_BYTES_MAX: usize = 9_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// File with the robot's address, `https://open.feishu.cn/open-apis/bot/v2/hook/…`.
    url_file: PathBuf,
    /// File with the secret of 签名校验.
    #[serde(default)]
    secret_file: Option<PathBuf>,
    #[serde(default)]
    ca: Option<PathBuf>,
}

struct Feishu {
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
    Ok(Box::new(Feishu { route, path, secret }))
}

pub(crate) fn sign(timestamp_s: i64, secret: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(hmac_sha256(format!("{timestamp_s}\n{secret}").as_bytes(), b""))
}

impl Channel for Feishu {
    fn route(&self) -> &Route {
        &self.route
    }
    fn render(&self, letter: &Letter, now: Timestamp) -> Request {
        let (subject, zh) = (text::subject(letter), letter.zh);
        let content = text::cut(&text::markdown(letter).replace("**", ""), TEXT_BYTES_MAX, zh);
        let lines: Vec<_> = content.lines().map(|l| json!([{"tag": "text", "text": l}])).collect();
        let mut body = json!({
            "msg_type": "post",
            "content": {"post": {(if zh { "zh_cn" } else { "en_us" }): {"title": text::cut(&subject, 300, zh), "content": lines}}},
        });
        if let (Some(secret), Some(object)) = (&self.secret, body.as_object_mut()) {
            object.insert("timestamp".into(), json!(now.secs().to_string()));
            object.insert("sign".into(), json!(sign(now.secs(), secret.expose())));
        }
        Request::Http {
            path: self.path.clone(),
            headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
            body: body.to_string().into_bytes(),
        }
    }
    fn classify(&self, answer: &Answer) -> Verdict {
        let often = matches!(answer, Answer::Http { status: 429, .. });
        match robot::code(answer, &["code", "StatusCode"], &["msg", "StatusMessage"]) {
            Err(verdict) => verdict,
            Ok((0, _)) => Verdict::Done,
            Ok((11_232, why)) => Verdict::retry_after(60, format!("11232 {why}")),
            Ok((code, why)) if often => Verdict::retry_after(60, format!("{code} {why}")),
            Ok((2_200, why)) => Verdict::retry(format!("2200 {why}")),
            Ok((code, why)) => Verdict::reject(format!("{code} {why}")),
        }
    }
}
