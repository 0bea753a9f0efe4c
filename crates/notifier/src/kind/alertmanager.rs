//! Prometheus Alertmanager, `POST /api/v2/alerts`.
//!
//! One alert a thread: a warning that is updated, raised or lifted is the same alert with the same labels, so the labels hold nothing that
//! changes but the level; what was sent at another level ends with the level. Labels are bounded: `alertname`, `level`, `kind`, `thread`,
//! `exercise`, and what the configuration adds. `startsAt` is the message's time; a step that ends the warning sends `endsAt` for every level.

use std::collections::BTreeMap;
use std::path::PathBuf;

use event::Timestamp;
use matter::Message;
use serde::Deserialize;
use serde_json::{Value, json};
use settings::Secret;
use warning::grade::Level;

use super::{by_status, http_route};
use crate::{Answer, Channel, Letter, Reader, Request, Route, Verdict, config, text};

const LABELS_MAX: usize = 10;
const ALERTS_MAX: usize = 200;
const ANNOTATION_BYTES_MAX: usize = 4_096;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Where it listens: `http://127.0.0.1:9093`, with its path prefix where it has one.
    url: String,
    /// File with a token sent as `Authorization: Bearer`.
    #[serde(default)]
    token_file: Option<PathBuf>,
    #[serde(default)]
    ca: Option<PathBuf>,
    /// Further labels on every alert.
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

struct Alertmanager {
    route: Route,
    path: String,
    token: Option<Secret>,
    labels: BTreeMap<String, String>,
}

pub(super) fn read(section: &toml::Table, read: Reader) -> Result<Box<dyn Channel>, String> {
    let config: Config = settings::section(section)?;
    let (route, path) = http_route("url", &config.url, false, config.ca)?;
    if config.labels.len() > LABELS_MAX {
        return Err(format!("key 'labels': {} labels: at most {LABELS_MAX}", config.labels.len()));
    }
    let fits =
        |n: &str| n.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && n.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if let Some(bad) = config.labels.keys().find(|n| !fits(n)) {
        return Err(format!("key 'labels': '{bad}' is no label name: letters, digits and _ only"));
    }
    let path = format!("{}/api/v2/alerts", path.trim_end_matches('/'));
    Ok(Box::new(Alertmanager {
        route,
        path,
        token: config::secret("token_file", config.token_file.as_deref(), read)?,
        labels: config.labels,
    }))
}

impl Alertmanager {
    fn alert(&self, message: &Message, level: Option<Level>, ends: bool, letter: &Letter) -> Value {
        let mut labels = self.labels.clone();
        let name = if letter.test { "VedetteTest" } else { "VedetteNotice" };
        labels.insert("alertname".into(), name.into());
        labels.insert("level".into(), level.map_or("none", Level::name).into());
        labels.insert("kind".into(), message.kind.clone());
        labels.insert("thread".into(), message.thread.clone());
        labels.insert("exercise".into(), message.exercise.to_string());
        let time = message.time.to_string();
        let mut alert = json!({
            "labels": labels,
            "annotations": {
                "summary": text::cut(&text::line(message.title.pick(letter.zh)), ANNOTATION_BYTES_MAX, letter.zh),
                "description": text::cut(message.text.pick(letter.zh), ANNOTATION_BYTES_MAX, letter.zh),
                "marks": text::marks(level, message.exercise, letter.test).trim().to_owned(),
            },
            "startsAt": time,
        });
        if let (true, Some(object)) = (ends, alert.as_object_mut()) {
            object.insert("endsAt".into(), json!(time));
        }
        if let (Some(link), Some(object)) = (text::link(letter, message), alert.as_object_mut()) {
            object.insert("generatorURL".into(), json!(link));
        }
        alert
    }
}

impl Channel for Alertmanager {
    fn route(&self) -> &Route {
        &self.route
    }
    fn render(&self, letter: &Letter, _: Timestamp) -> Request {
        let mut alerts = Vec::new();
        for message in letter.messages.iter().take(ALERTS_MAX) {
            let ended = message.revision.as_ref().is_some_and(|r| r.step.ends());
            if !ended {
                alerts.push(self.alert(message, message.level, false, letter));
            }
            // Another colour, or none any more: what was told under the old ones ends.
            if let Some(revision) = &message.revision {
                let ending = [Level::Red, Level::Orange, Level::Yellow, Level::Blue].map(Some).into_iter().chain([None]);
                for level in ending.filter(|l| ended || (revision.number > 1 && *l != message.level)) {
                    alerts.push(self.alert(message, level, true, letter));
                }
            }
        }
        let mut headers = vec![("content-type", "application/json".to_owned())];
        if let Some(token) = &self.token {
            headers.push(("authorization", format!("Bearer {}", token.expose())));
        }
        Request::Http { path: self.path.clone(), headers, body: Value::Array(alerts).to_string().into_bytes() }
    }
    fn classify(&self, answer: &Answer) -> Verdict {
        by_status(answer)
    }
}
