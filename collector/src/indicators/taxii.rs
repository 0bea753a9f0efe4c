//! Indicators from TAXII 2.1 servers: `[[taxii]]` of the configuration. Each source is read whole, page by page, at its own interval, and becomes
//! an upload under its name: in force at once, looked for in history, on its way to agents. Objects that are not valid STIX 2.1 are left out and
//! named; a server that cannot be reached changes nothing, what it gave before stays in force.
//!
//! Limits: `SOURCES_MAX` sources, those of `exchange::taxii::Bounds`, `ANSWER_BYTES_MAX` a page. The paging itself is `exchange::taxii::Pull`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use event::Timestamp;
use exchange::taxii::{Bounds, MEDIA_TYPE, Next, Pull};
use http_body_util::{BodyExt, Limited};
use hyper::Method;
use indicator::Tlp;
use serde::Deserialize;
use tracing::{info, warn};

use super::{Indicators, Upload, check_name};
use crate::cli::{Client, Language};

/// Sources of the configuration.
pub const SOURCES_MAX: usize = 64;
/// Bytes of one page.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What goes wrong is tried again after this long, or at the next turn, whichever is sooner.
const AGAIN: Duration = Duration::from_secs(300);

/// `[[taxii]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaxiiSource {
    /// Name of the source among the indicators.
    pub name: String,
    /// An API root, e.g. `https://intel.example/taxii2/feeds/`.
    pub url: String,
    /// Id (or alias) of a collection of it.
    pub collection: String,
    #[serde(default = "hourly")]
    pub every: settings::Duration,
    /// For HTTP Basic, with `password_file`; or `token_file` for a bearer token.
    #[serde(default)]
    pub user: String,
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// PEM file of the authority that signed the server's certificate; the system's where not said.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// For objects that do not say themselves.
    #[serde(default)]
    pub tlp: Option<Tlp>,
    #[serde(default)]
    pub confidence: Option<u8>,
}

fn hourly() -> settings::Duration {
    settings::Duration::secs(3600)
}

/// What the types cannot say: (key, what is wrong).
pub fn problems(sources: &[TaxiiSource]) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    if sources.len() > SOURCES_MAX {
        out.push(("taxii", format!("{} sources; there are at most {SOURCES_MAX}", sources.len())));
    }
    for (n, source) in sources.iter().enumerate() {
        let name = &source.name;
        if check_name(name).is_err() || sources.iter().take(n).any(|s| s.name == *name) {
            out.push(("taxii", format!("name \"{name}\": 1 to 64 letters, digits, '.', '-' or '_', and each name once")));
        }
        if split(&source.url).is_none() {
            out.push(("taxii", format!("url \"{}\" of {name} is no https://host/api-root/ (http:// for this machine only)", source.url)));
        }
        if source.every.0.as_secs() < 60 {
            out.push(("taxii", format!("every of {name} is below 60 s: a server that is asked so often shuts its door")));
        }
        if source.password_file.is_some() == source.user.is_empty() {
            out.push(("taxii", format!("user and password_file of {name} come together")));
        }
        if source.password_file.is_some() && source.token_file.is_some() {
            out.push(("taxii", format!("{name} has password_file and token_file; give one")));
        }
    }
    out
}

/// Origin and path of an address.
fn split(url: &str) -> Option<(String, String)> {
    let uri: hyper::Uri = url.parse().ok()?;
    let scheme = uri.scheme_str().filter(|s| matches!(*s, "http" | "https"))?;
    let host = uri.host()?.trim_matches(['[', ']']);
    let near = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if scheme == "http" && !near {
        return None;
    }
    Some((format!("{scheme}://{}", uri.authority()?), uri.path().to_owned()))
}

/// Follows one source until the program stops. `added` is told of a source that changed.
pub async fn follow(source: TaxiiSource, all: Arc<Indicators>, now: fn() -> Timestamp, added: Arc<dyn Fn(&str) + Send + Sync>) {
    loop {
        let wait = match pull(&source).await {
            Ok(pull) => {
                keep(&source, &all, &pull, now(), added.as_ref()).await;
                Duration::from_secs(source.every.0.as_secs())
            }
            Err(error) => {
                warn!(source = source.name, error, "the TAXII collection was not read; what it gave before stays in force");
                AGAIN.min(Duration::from_secs(source.every.0.as_secs()))
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// The whole collection; the error is a sentence.
pub async fn pull(source: &TaxiiSource) -> Result<Pull, String> {
    let (origin, path) = split(&source.url).ok_or("the address is no https://host/api-root/")?;
    let token = source.token_file.as_deref().map(secret).transpose()?.unwrap_or_default();
    let say = |t: crate::cli::Trouble| t.say(Language::En);
    let client = Client::new(&origin, &token, source.ca.as_deref()).map_err(say)?;
    let basic = match &source.password_file {
        None => None,
        Some(file) => {
            let pair = format!("{}:{}", source.user, secret(file)?);
            Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
        }
    };
    let mut headers = vec![("accept", MEDIA_TYPE)];
    headers.extend(basic.as_deref().map(|b| ("authorization", b)));
    let mut pull = Pull::new(&path, &source.collection, None, Bounds::default());
    loop {
        let answer = client.send(Method::GET, &pull.request(), &headers, None).await.map_err(say)?;
        let status = answer.status().as_u16();
        let text = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let (media, retry, last) = (text("content-type").unwrap_or_default(), text("retry-after"), text("x-taxii-date-added-last"));
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect();
        let body =
            body.await.map_err(|e| format!("the answer broke off, or is larger than {} MiB: {e}", ANSWER_BYTES_MAX >> 20))?.to_bytes();
        match pull.answer(status, &media, retry.as_deref(), last.as_deref(), &body).map_err(|e| e.to_string())? {
            Next::Ask => {}
            Next::Wait(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            Next::Done => return Ok(pull),
        }
    }
}

async fn keep(source: &TaxiiSource, all: &Arc<Indicators>, pull: &Pull, now: Timestamp, added: &(dyn Fn(&str) + Send + Sync)) {
    let (bundle, checked) = pull.sound();
    let refused = checked.faults.len() as u64 + checked.beyond;
    if let Some(first) = checked.faults.first() {
        warn!(
            source = source.name,
            refused,
            object = first.object,
            reason = first.reason,
            "objects that are not valid STIX 2.1 are left out"
        );
    }
    let upload = Upload {
        source: source.name.clone(),
        format: "stix".to_owned(),
        tlp: source.tlp,
        confidence: source.confidence,
        added_ns: now.ns(),
        by: "taxii".to_owned(),
        ..Upload::default()
    };
    let (all, objects) = (all.clone(), pull.len());
    let done = tokio::task::spawn_blocking(move || {
        if all.holds(&upload.source, bundle.as_bytes()) {
            return Ok(None);
        }
        all.add(&upload, bundle.as_bytes()).map(Some)
    });
    match done.await {
        Ok(Ok(None)) => {}
        Ok(Ok(Some(taken))) => {
            info!(source = source.name, objects, entries = taken.entries, refused = taken.refused, "TAXII collection in force");
            added(&source.name);
        }
        Ok(Err(refused)) => warn!(source = source.name, objects, reason = refused.0, "the TAXII collection was not taken"),
        Err(error) => warn!(source = source.name, %error, "the TAXII collection was not taken"),
    }
}

/// A secret is the first line of its file.
fn secret(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let line = text.lines().next().unwrap_or_default().trim().to_owned();
    if line.is_empty() { Err(format!("{}: the first line is empty", path.display())) } else { Ok(line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_of_a_source_is_named() {
        let good = r#"name = "a"
url = "https://intel.example/taxii2/feeds/"
collection = "c"
"#;
        let read = |text: &str| toml::from_str::<TaxiiSource>(text).unwrap();
        assert!(problems(&[read(good)]).is_empty());
        for (more, word) in [
            ("every = \"5 s\"\n", "below 60 s"),
            ("user = \"u\"\n", "come together"),
            ("user = \"u\"\npassword_file = \"p\"\ntoken_file = \"t\"\n", "give one"),
        ] {
            let said = problems(&[read(&format!("{good}{more}"))]);
            assert!(said.len() == 1 && said[0].1.contains(word), "{said:?}");
        }
        assert!(problems(&[read(good), read(good)])[0].1.contains("each name once"));
        assert!(problems(&[read(&good.replace("https://", "http://"))])[0].1.contains("this machine only"));
        assert!(problems(&[read(&good.replace("https://intel.example", "http://127.0.0.1:9"))]).is_empty());
    }
}
