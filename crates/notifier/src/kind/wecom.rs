//! WeCom group robot (企业微信群机器人, developer.work.weixin.qq.com/document/path/91770).
//!
//! `markdown.content` takes at most 4,096 bytes of UTF-8; 20 messages a minute and robot. The address holds the key, so it is read from a file.
//! Answers: `errcode` 0 done; 45009 too often; -1 and 50001.. busy; 93000 the address is wrong, and everything else: never.

use std::path::PathBuf;

use event::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::{http_route, robot};
use crate::{Answer, Channel, Letter, Limits, Reader, Request, Route, Verdict, config, text};

pub(super) const LIMITS: Limits = Limits { window_s: 61, most: 20, reserve: 10, digest_max: 2_000, whole: false };
const CONTENT_BYTES_MAX: usize = 4_096;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// File with the robot's address, `https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=…`.
    url_file: PathBuf,
    #[serde(default)]
    ca: Option<PathBuf>,
}

struct Wecom {
    route: Route,
    path: String,
}

pub(super) fn read(section: &toml::Table, read: Reader) -> Result<Box<dyn Channel>, String> {
    let config: Config = settings::section(section)?;
    let url = config::secret("url_file", Some(&config.url_file), read)?.unwrap_or_default();
    let (route, path) = http_route("url_file", url.expose(), false, config.ca)
        .map_err(|_| "key 'url_file': the file does not hold an https:// address".to_owned())?;
    Ok(Box::new(Wecom { route, path }))
}

impl Channel for Wecom {
    fn route(&self) -> &Route {
        &self.route
    }
    fn render(&self, letter: &Letter, _: Timestamp) -> Request {
        let colour = match text::level_of(letter) {
            Some(warning::grade::Level::Red | warning::grade::Level::Orange) => "warning",
            Some(_) => "info",
            None => "comment",
        };
        let body = format!("**<font color=\"{colour}\">{}</font>**\n{}", text::subject(letter), text::markdown(letter));
        let content = text::cut(&body, CONTENT_BYTES_MAX, letter.zh);
        let body = json!({"msgtype": "markdown", "markdown": {"content": content}});
        Request::Http {
            path: self.path.clone(),
            headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
            body: body.to_string().into_bytes(),
        }
    }
    fn classify(&self, answer: &Answer) -> Verdict {
        match robot::code(answer, &["errcode"], &["errmsg"]) {
            Err(verdict) => verdict,
            Ok((0, _)) => Verdict::Done,
            Ok((45_009, why)) => Verdict::retry_after(60, format!("45009 {why}")),
            Ok((code @ (-1 | 45_033 | 50_001..=50_003), why)) => Verdict::retry(format!("{code} {why}")),
            Ok((code, why)) => Verdict::reject(format!("{code} {why}")),
        }
    }
}
