//! What was issued, in the forms of other houses. A unit has what it was told (its receipt), the city what it issued; there is no other way from
//! a warning to bytes.

use api::Code;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use event::Timestamp;
use exchange::{Format, Sender, Told, ocsf};
use matter::{Kind, Revision};
use serde::Deserialize;
use serde_json::Value;

use super::{App, Params, PathId, matters};
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::reply::{self, Fail};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wish {
    format: String,
    revision: Option<u32>,
}

pub async fn warning(State(shared): State<App>, caller: Caller, PathId(id): PathId, Params(wish): Params<Wish>) -> Result<Response, Fail> {
    shared.work(move |s| revision_of(s, &caller, "warning", &id, &wish)).await
}

pub async fn receipt(State(shared): State<App>, caller: Caller, PathId(id): PathId, Params(wish): Params<Wish>) -> Result<Response, Fail> {
    shared.work(move |s| revision_of(s, &caller, "receipt", &id, &wish)).await
}

pub async fn incident(State(shared): State<App>, caller: Caller, PathId(id): PathId, Params(wish): Params<Wish>) -> Result<Response, Fail> {
    if wish.format != "ocsf" {
        return Err(Fail::because(Code::BadRequest, "an incident is exported as ocsf", "安全事件只能以 ocsf 格式导出"));
    }
    shared.work(move |s| incident_of(s, &caller, &id)).await
}

pub async fn weakness(State(shared): State<App>, PathId(id): PathId) -> Result<Response, Fail> {
    let all = shared.backstage.weaknesses();
    let flaw =
        all.find(&id).ok_or_else(|| Fail::because(Code::BadRequest, "an id is written CVE-2024-3400", "漏洞编号形如 CVE-2024-3400"))?;
    let due = flaw.due.to_string();
    let due = due.get(..8).map(|d| format!("{}-{}-{}", &d[..4], &d[4..6], &d[6..])).unwrap_or_default();
    Ok(reply::json(&api::Weakness {
        id: id.to_ascii_uppercase(),
        exploited: flaw.kev,
        ransomware: flaw.ransomware,
        due,
        epss: flaw.epss,
        percentile: flaw.percentile,
        known: all.len() as u64,
    }))
}

fn body(shared: &Shared, caller: &Caller, kind: &str, id: &str) -> Result<(Value, &'static Kind), Fail> {
    let kind = Kind::find(kind).ok_or_else(Fail::not_found)?;
    let found = matters::find(shared, caller, kind, id)?;
    Ok((found.body.unwrap_or_default(), kind))
}

/// Revisions in a warning's or receipt's body, oldest first.
pub fn revisions(body: &Value) -> Vec<Revision> {
    let list = ["revisions", "copies"].iter().find_map(|key| body[*key].as_array());
    list.into_iter().flatten().filter_map(|r| serde_json::from_value(r.clone()).ok()).collect()
}

/// Who speaks, in the time zone of this house at that moment.
pub fn sender(shared: &Shared, time: Timestamp) -> Sender {
    let zone = jiff::tz::TimeZone::get(&shared.config.time_zone).unwrap_or(jiff::tz::TimeZone::UTC);
    let offset = jiff::Timestamp::from_second(time.secs()).map_or(0, |t| zone.to_offset(t).seconds());
    Sender { name: shared.config.sender.clone(), offset_s: offset }
}

fn revision_of(shared: &Shared, caller: &Caller, kind: &str, id: &str, wish: &Wish) -> Result<Response, Fail> {
    let format = Format::from_name(&wish.format).ok_or_else(|| {
        Fail::because(Code::BadRequest, "format is cap, stix, misp, ocsf, csv or idea", "format 应为 cap、stix、misp、ocsf、csv 或 idea")
    })?;
    let (body, _) = body(shared, caller, kind, id)?;
    let all = revisions(&body);
    let chosen = match wish.revision {
        None => all.last(),
        Some(number) => all.iter().find(|r| r.number == number),
    };
    let Some(revision) = chosen else {
        return Err(if all.is_empty() {
            Fail::because(Code::Unprocessable, "it has not been issued yet", "尚未发布")
        } else {
            Fail::not_found()
        });
    };
    let earlier: Vec<(u32, Timestamp)> = all.iter().filter(|r| r.number < revision.number).map(|r| (r.number, r.issued)).collect();
    let sender = sender(shared, revision.issued);
    let text = format.write(&Told { revision, earlier: &earlier, sender: &sender });
    Ok(file(format.media_type(), &format!("{}-{}.{}", revision.warning, revision.number, format.ending()), text))
}

fn incident_of(shared: &Shared, caller: &Caller, id: &str) -> Result<Response, Fail> {
    let kind = Kind::find("incident").ok_or_else(Fail::not_found)?;
    let found = matters::find(shared, caller, kind, id)?;
    let body = found.body.unwrap_or_default();
    let time = |text: &str| Timestamp::parse_rfc3339(text).unwrap_or(Timestamp::from_secs(0));
    let words =
        |key: &str| -> Vec<String> { body[key].as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect() };
    let alerts = words("alerts");
    let techniques = words("techniques");
    let summary = body["closed"]["summary"].as_str().unwrap_or_default();
    let finding = ocsf::incident(&ocsf::Incident {
        id,
        title: if found.title.en.is_empty() { &found.title.zh } else { &found.title.en },
        description: summary,
        state: &found.state,
        grade: body["grade"].as_u64().and_then(|g| u8::try_from(g).ok()),
        opened: time(&found.opened),
        changed: time(&found.updated),
        owner: body["owner"].as_str().unwrap_or_default(),
        alerts: &alerts,
        techniques: &techniques,
        exercise: found.exercise,
    });
    let mut text = serde_json::to_string_pretty(&finding).unwrap_or_default();
    text.push('\n');
    Ok(file(Format::Ocsf.media_type(), &format!("{id}.{}", Format::Ocsf.ending()), text))
}

fn file(media_type: &'static str, name: &str, text: String) -> Response {
    let mut response = reply::typed(media_type, text);
    let safe: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')).collect();
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{safe}\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response
}
