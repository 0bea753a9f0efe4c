//! The channels. A new one is a file here and a row in [`CHANNELS`].

mod alertmanager;
mod dingtalk;
mod feishu;
mod mail;
mod robot;
mod syslog;
mod webhook;
mod wecom;

use std::path::PathBuf;

use crate::queue::Limits;
use crate::{Answer, ChannelKind, Route, Verdict, config, loopback};

/// Every kind of channel there is.
pub static CHANNELS: &[ChannelKind] = &[
    ChannelKind {
        word: "mail",
        about: "mail by SMTP, text and HTML, threaded",
        about_zh: "电子邮件（SMTP，文本与 HTML，同一预警成串）",
        limits: Limits::per_minute(120, 20),
        addressed: true,
        read: mail::read,
    },
    ChannelKind {
        word: "webhook",
        about: "JSON by HTTP POST, signed with HMAC-SHA256",
        about_zh: "HTTP POST JSON，带 HMAC-SHA256 签名",
        limits: Limits::per_minute(600, 60),
        addressed: false,
        read: webhook::read,
    },
    ChannelKind {
        word: "alertmanager",
        about: "Prometheus Alertmanager, API v2",
        about_zh: "Prometheus Alertmanager（API v2）",
        limits: Limits::per_minute(600, 60).whole(),
        addressed: false,
        read: alertmanager::read,
    },
    ChannelKind {
        word: "syslog",
        about: "syslog RFC 5424, or CEF in it, by UDP, TCP or TLS",
        about_zh: "syslog RFC 5424 或 CEF（UDP、TCP、TLS）",
        limits: Limits::per_minute(6_000, 600).whole(),
        addressed: false,
        read: syslog::read,
    },
    ChannelKind {
        word: "wecom",
        about: "a WeCom group robot",
        about_zh: "企业微信群机器人",
        limits: wecom::LIMITS,
        addressed: false,
        read: wecom::read,
    },
    ChannelKind {
        word: "dingtalk",
        about: "a DingTalk group robot",
        about_zh: "钉钉群机器人",
        limits: dingtalk::LIMITS,
        addressed: false,
        read: dingtalk::read,
    },
    ChannelKind {
        word: "feishu",
        about: "a Feishu group robot",
        about_zh: "飞书群机器人",
        limits: feishu::LIMITS,
        addressed: false,
        read: feishu::read,
    },
];

/// The route of an address. Plain HTTP is for loopback, unless `plain` says otherwise.
fn http_route(key: &str, url: &str, plain: bool, trust: Option<PathBuf>) -> Result<(Route, String), String> {
    let (secure, host, port, authority, path) = config::address(key, url)?;
    if !secure && !plain && !loopback(&host) {
        return Err(format!("key '{key}': value \"{}\": messages would travel in the clear; use https://", hide(url)));
    }
    Ok((Route::Http { secure, host, port, authority, trust }, path))
}

/// An address without what may be secret in its path and query.
fn hide(url: &str) -> String {
    let after = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(after..).and_then(|rest| rest.find(['/', '?'])).map_or(url.len(), |at| after + at);
    url.get(..end).unwrap_or_default().to_owned()
}

/// What every HTTP status means where the body says nothing: 2xx done; 408, 425, 429 and 5xx later; 401 and 407 later too (a person may put
/// the token right meanwhile); the rest never.
fn by_status(answer: &Answer) -> Verdict {
    match answer {
        Answer::Http { status: 200..=299, .. } | Answer::Written => Verdict::Done,
        Answer::Http { status, retry_after, body } => {
            let reason = format!("HTTP {status} {}", String::from_utf8_lossy(body.get(..200.min(body.len())).unwrap_or_default()));
            match (status, retry_after.and_then(|t| t.trim().parse().ok())) {
                (401 | 407 | 408 | 425 | 429 | 500..=599, Some(after_s)) => Verdict::retry_after(after_s, reason),
                (401 | 407 | 408 | 425 | 429 | 500..=599, None) => Verdict::retry(reason),
                _ => Verdict::reject(reason),
            }
        }
        Answer::Smtp { code, text } => Verdict::retry(format!("{code} {text}")),
        Answer::Broken(why) => Verdict::retry(*why),
    }
}

#[cfg(test)]
pub(crate) use dingtalk::sign as dingtalk_sign;
#[cfg(test)]
pub(crate) use feishu::sign as feishu_sign;
