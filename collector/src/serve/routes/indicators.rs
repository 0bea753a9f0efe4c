//! Indicators of compromise: list, add, remove, ask.
//!
//! TLP 2.0 holds here: a caller of one unit or sector is not told what is `amber+strict` or `red`, neither that it is there nor who gave it;
//! only callers of the whole city add, remove and see the sources.

use std::sync::Arc;

use api::{
    Code, IndicatorAnswer, IndicatorAnswers, IndicatorMatch, IndicatorPage, IndicatorProblem, IndicatorQuestion, IndicatorSearch,
    IndicatorSource,
};
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use event::{SECOND_NS, Timestamp};
use indicator::{Format, Found, Observable, Tlp};
use serde::Deserialize;

use super::{App, Json, Params, PathId};
use crate::indicators::{Indicators, Refused, Source, Upload, check_name};
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::reply::{self, Fail};

/// Values of one question.
const VALUES_MAX: usize = 1_000;

impl From<Refused> for Fail {
    fn from(Refused(en, zh): Refused) -> Self {
        Self::because(Code::Unprocessable, en, zh)
    }
}

fn city(caller: &Caller) -> Result<(), Fail> {
    if caller.scope.is_city() { Ok(()) } else { Err(Fail::code(Code::Denied)) }
}

fn held(shared: &Shared) -> Result<Arc<Indicators>, Fail> {
    shared.backstage.indicators().ok_or_else(Fail::not_found)
}

fn show(all: &Indicators, source: &Source) -> IndicatorSource {
    let search = all.search(&source.name).filter(|_| !source.configured).map(|s| {
        let ((asked, to_ask), (looked, found)) = (s.progress(), s.events());
        IndicatorSearch { state: s.state().name().to_owned(), asked, to_ask, looked, found }
    });
    IndicatorSource {
        name: source.name.clone(),
        origin: if source.configured { "configuration" } else { "upload" }.to_owned(),
        format: source.format.to_owned(),
        entries: source.entries,
        passed_over: source.passed_over,
        refused: source.refused,
        problems: source
            .problems
            .iter()
            .map(|p| IndicatorProblem { line: p.line, value: p.value.clone(), reason: p.reason.clone() })
            .collect(),
        tlp: source.tlp.name().to_owned(),
        added: source.added.map(|t| t.to_string()).unwrap_or_default(),
        by: source.by.clone(),
        expires: source.expires.map(|t| t.to_string()).unwrap_or_default(),
        search,
    }
}

pub async fn list(State(shared): State<App>, caller: Caller) -> Result<Response, Fail> {
    city(&caller)?;
    let page = shared
        .work(|s| {
            let all = held(s)?;
            let book = all.book();
            Ok(IndicatorPage {
                items: book.sources.iter().map(|source| show(&all, source)).collect(),
                entries: book.set.len() as u64,
                bytes: book.set.bytes() as u64,
                refused: book.set.counts().refused,
                events_marked: all.counts().0,
            })
        })
        .await?;
    Ok(reply::json(&page))
}

/// What is said about an upload, in the query string; the feed itself is the body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    source: String,
    #[serde(default)]
    format: String,
    #[serde(default)]
    tlp: String,
    confidence: Option<u8>,
    /// RFC 3339, or a number of days from now with a `d`.
    #[serde(default)]
    expires: String,
    #[serde(default)]
    columns: String,
}

impl Said {
    fn upload(self, by: &str, now: Timestamp) -> Result<Upload, Refused> {
        check_name(&self.source)?;
        if !self.format.is_empty() && Format::from_name(&self.format).is_none() {
            return Err(Refused(
                "format is auto, stix, misp, csv, list or events".into(),
                "format 应为 auto、stix、misp、csv、list 或 events".into(),
            ));
        }
        let tlp = match self.tlp.as_str() {
            "" => None,
            word => Some(Tlp::parse(word).ok_or_else(|| {
                Refused(
                    "tlp is clear, green, amber, amber+strict or red".into(),
                    "tlp 应为 clear、green、amber、amber+strict 或 red".into(),
                )
            })?),
        };
        if self.confidence.is_some_and(|c| c > 100) {
            return Err(Refused("confidence is 0 to 100".into(), "confidence 应为 0 至 100".into()));
        }
        let expires = match self.expires.as_str() {
            "" => None,
            text => {
                let days = text.strip_suffix('d').and_then(|n| n.trim().parse::<i64>().ok()).filter(|n| (1..=36_500).contains(n));
                let at = days.map(|n| now.plus_secs(n * 86_400)).or_else(|| Timestamp::parse_rfc3339(text));
                let bad =
                    || Refused("expires is RFC 3339, or days as '30d'".into(), "expires 应为 RFC 3339 时间，或“30d”形式的天数".into());
                Some(at.ok_or_else(bad)?)
            }
        };
        Ok(Upload {
            source: self.source,
            format: self.format,
            tlp,
            confidence: self.confidence,
            expires_ns: expires.map(Timestamp::ns),
            columns: self.columns.split(',').map(str::trim).filter(|c| !c.is_empty()).take(64).map(str::to_owned).collect(),
            added_ns: now.ns(),
            by: by.to_owned(),
            ..Upload::default()
        })
    }
}

pub async fn add(State(shared): State<App>, caller: Caller, Params(said): Params<Said>, body: Bytes) -> Result<Response, Fail> {
    city(&caller)?;
    let source = shared
        .work(move |s| {
            let upload = said.upload(&caller.name, s.now())?;
            let all = held(s)?;
            let source = all.add(&upload, &body)?;
            s.audit(&caller.name, "indicators.add", &source.name, None, &format!("{} entries, {} refused", source.entries, source.refused));
            s.backstage.indicators_added(&source.name);
            Ok(show(&all, &source))
        })
        .await?;
    Ok(reply::json(&source))
}

pub async fn remove(State(shared): State<App>, caller: Caller, PathId(name): PathId) -> Result<Response, Fail> {
    city(&caller)?;
    shared
        .work(move |s| {
            if !held(s)?.remove(&name)? {
                return Err(Fail::not_found());
            }
            s.audit(&caller.name, "indicators.remove", &name, None, "");
            s.backstage.indicators_changed();
            Ok(())
        })
        .await?;
    Ok(reply::empty())
}

pub async fn check(State(shared): State<App>, caller: Caller, Json(question): Json<IndicatorQuestion>) -> Result<Response, Fail> {
    if question.values.len() > VALUES_MAX {
        return Err(Fail::because(Code::Unprocessable, "at most 1,000 values at once", "每次最多查询 1000 个值"));
    }
    let answers = shared
        .work(move |s| {
            let book = held(s)?.book();
            let now = s.now();
            let open = |found: &Found| caller.scope.is_city() || found.meta.tlp.reaches_units();
            let one = |value: String| match Observable::parse(&value) {
                Ok(asked) => IndicatorAnswer {
                    matches: book.set.about(&asked).into_iter().filter(open).map(|f| tell(&f, now)).collect(),
                    problem: String::new(),
                    value,
                },
                Err(problem) => IndicatorAnswer { value, problem: problem.to_owned(), matches: Vec::new() },
            };
            Ok(IndicatorAnswers { items: question.values.into_iter().map(one).collect() })
        })
        .await?;
    Ok(reply::json(&answers))
}

fn tell(found: &Found, now: Timestamp) -> IndicatorMatch {
    let text = |t: Option<Timestamp>| t.map(|t| t.to_string()).unwrap_or_default();
    let from = found.valid.from.is_none_or(|t| t.since(now) < SECOND_NS);
    IndicatorMatch {
        indicator: found.value.clone(),
        kind: found.kind.name().to_owned(),
        source: found.meta.source.clone(),
        tlp: found.meta.tlp.name().to_owned(),
        confidence: found.meta.confidence,
        labels: found.meta.labels.clone(),
        description: found.meta.description.clone(),
        valid_from: text(found.valid.from),
        valid_until: text(found.valid.until),
        valid: from && found.valid.until.is_none_or(|t| now < t),
    }
}
