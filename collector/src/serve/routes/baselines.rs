//! What is usual on control networks: list, show, and edits by people, each in the audit trail with its words.

use std::sync::{Arc, Mutex, PoisonError};

use api::{Baseline, BaselineChange, BaselineDetail, BaselineEdit, BaselineEntry, BaselineMark, BaselinePage, Code, time_text};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use super::{App, Json, Paging, Params, PathId};
use crate::baseline::{Allow, Baselines, Edit, EditError, Entry, Mark, Origin, Station, What};
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::reply::{self, Fail};
use crate::store::Scope;

const NOTE_CHARS_MAX: usize = 500;
const WORD_CHARS_MAX: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListParams {
    state: Option<String>,
    unit: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

pub async fn list(
    State(shared): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Params(params): Params<ListParams>,
) -> Result<Response, Fail> {
    let mut all = shared.work(move |s| stations(s, caller.scope)).await?;
    if let Some(state) = params.state.as_deref().filter(|w| !w.is_empty()) {
        all.retain(|b| b.state == state || state == "deviating" && b.deviations > 0);
    }
    if let Some(unit) = params.unit.as_deref().filter(|u| !u.is_empty()) {
        all.retain(|b| b.unit == unit);
    }
    let (items, next) = Paging { limit: params.limit, cursor: params.cursor }.cut(all)?;
    Ok(reply::list(&headers, &BaselinePage { items, next }))
}

pub async fn one(State(shared): State<App>, caller: Caller, PathId(id): PathId) -> Result<Response, Fail> {
    let detail = shared
        .work(move |s| {
            ask(s, move |all| {
                let station = all.station(&id).filter(|s| sees(&caller.scope, s))?;
                let mut items: Vec<BaselineEntry> = station.entries.iter().map(|(id, e)| show_entry(id, e)).collect();
                items.sort_by(|a, b| {
                    (&a.state, &a.master, &a.function, &a.object_type).cmp(&(&b.state, &b.master, &b.function, &b.object_type))
                });
                Some(BaselineDetail { baseline: show(&id, station), items })
            })
        })
        .await?;
    Ok(reply::json(&detail.ok_or_else(Fail::not_found)?))
}

pub async fn edit(State(shared): State<App>, caller: Caller, PathId(id): PathId, Json(wish): Json<BaselineEdit>) -> Result<Response, Fail> {
    let edit = read(&wish)?;
    let change = shared.work(move |s| carry_out(s, &caller, &id, &edit, &wish)).await?;
    Ok(reply::json(&change))
}

fn carry_out(shared: &Shared, caller: &Caller, id: &str, edit: &Edit, wish: &BaselineEdit) -> Result<BaselineChange, Fail> {
    let mark = Mark::new(&caller.name, wish.note.trim(), shared.now());
    let (scope, dry_run, station, edit) = (caller.scope.clone(), wish.dry_run, id.to_owned(), edit.clone());
    let done = change(shared, move |all| {
        let known = all.station(&station).filter(|s| sees(&scope, s));
        let Some(unit) = known.map(|s| s.unit.clone()) else { return (Err(EditError::NoStation), false) };
        if dry_run {
            return (all.preview(&station, &edit, mark).map(|c| (c, unit)), false);
        }
        let done = all.edit(&station, &edit, mark).map(|c| (c, unit));
        let changed = done.is_ok();
        (done, changed)
    })?;
    let (change, unit) = done.map_err(|error| match error {
        EditError::NoStation => Fail::not_found(),
        other => Fail::because(Code::Unprocessable, other.to_string(), other.zh()),
    })?;
    if !dry_run {
        let note = if wish.note.trim().is_empty() { String::new() } else { format!(" ({})", wish.note.trim()) };
        shared.audit(&caller.name, &format!("baseline.{}", wish.action), id, unit.as_deref(), &format!("{}{note}", change.done));
    }
    Ok(BaselineChange { done: change.done, dry_run, baseline: change.station.as_ref().map(|s| show(id, s)) })
}

/// What is wished, checked.
fn read(wish: &BaselineEdit) -> Result<Edit, Fail> {
    let bad = |en: &str, zh: &str| Fail::because(Code::Unprocessable, en.to_owned(), zh.to_owned());
    if wish.note.chars().count() > NOTE_CHARS_MAX {
        return Err(bad("a note has at most 500 characters", "备注最多 500 个字符"));
    }
    let word = |text: &Option<String>| -> Result<String, Fail> {
        let text = text.as_deref().unwrap_or_default().trim();
        if text.chars().count() > WORD_CHARS_MAX || text.chars().any(char::is_control) {
            return Err(bad("a word has at most 100 characters", "每项最多 100 个字符"));
        }
        Ok(text.to_owned())
    };
    match wish.action.as_str() {
        "freeze" => Ok(Edit::Freeze),
        "unfreeze" => Ok(Edit::Unfreeze),
        "forget" => Ok(Edit::Forget { entry: wish.entry.clone() }),
        "allow" => {
            if let Some(entry) = &wish.entry {
                return Ok(Edit::Allow(Allow::Entry(entry.clone())));
            }
            let (master, function) = (word(&wish.master)?, word(&wish.function)?);
            if master.is_empty() || function.is_empty() {
                return Err(bad("allow needs an entry, or a master and a function", "allow 需要条目标识，或同时给出主站与功能"));
            }
            let range = match (wish.from, wish.to) {
                (None, None) => None,
                (Some(from), to) if to.is_none_or(|to| to >= from) => Some((from, to.unwrap_or(from))),
                _ => return Err(bad("a range goes from its first to its last address", "地址范围应由小到大")),
            };
            let what = What {
                master,
                number: wish.number,
                function,
                sub_function: word(&wish.sub_function)?,
                object_type: word(&wish.object_type)?,
            };
            Ok(Edit::Allow(Allow::Written { what, range }))
        }
        other => Err(bad(
            &format!("'{}' is no action: freeze, unfreeze, allow, forget", other.chars().take(40).collect::<String>()),
            "操作应为 freeze、unfreeze、allow 或 forget",
        )),
    }
}

fn sees(scope: &Scope, station: &Station) -> bool {
    scope.allows(station.unit.as_deref())
}

fn stations(shared: &Shared, scope: Scope) -> Result<Vec<Baseline>, Fail> {
    let mut all: Vec<Baseline> =
        ask(shared, move |all| all.stations().filter(|(_, s)| sees(&scope, s)).map(|(id, s)| show(id, s)).collect())?;
    all.sort_by(|a, b| (&a.unit, &a.station, &a.protocol).cmp(&(&b.unit, &b.station, &b.protocol)));
    Ok(all)
}

/// Asks the engine's owner, who alone holds the baselines, and waits.
fn ask<T: Send + 'static>(shared: &Shared, look: impl FnOnce(&Baselines) -> T + Send + 'static) -> Result<T, Fail> {
    change(shared, move |all| (look(all), false))
}

/// The same with a change (true), which is durable when this returns.
fn change<T: Send + 'static>(shared: &Shared, act: impl FnOnce(&mut Baselines) -> (T, bool) + Send + 'static) -> Result<T, Fail> {
    let slot = Arc::new(Mutex::new(None));
    let filled = Arc::clone(&slot);
    let answered = shared.backstage.baselines(Box::new(move |all| {
        let (value, changed) = act(all);
        *filled.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        changed
    }));
    let value = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    value.filter(|_| answered).ok_or_else(|| Fail::code(Code::Unavailable))
}

fn show_mark(mark: &Mark) -> BaselineMark {
    BaselineMark { by: mark.by.clone(), at: time_text(mark.at), note: mark.note.clone() }
}

fn show(id: &str, station: &Station) -> Baseline {
    let deviations = station.deviations();
    Baseline {
        id: id.to_owned(),
        unit: station.unit.clone().unwrap_or_default(),
        station: station.address.clone(),
        protocol: station.protocol.clone(),
        state: if station.is_frozen() { "frozen" } else { "learning" }.to_owned(),
        frozen: station.frozen.as_ref().map(show_mark),
        entries: (station.entries.len() - deviations) as u64,
        deviations: deviations as u64,
        first_seen: time_text(station.first),
        last_seen: time_text(station.last),
    }
}

fn show_entry(id: &str, entry: &Entry) -> BaselineEntry {
    BaselineEntry {
        id: id.to_owned(),
        master: entry.what.master.clone(),
        number: entry.what.number,
        function: entry.what.function.clone(),
        sub_function: entry.what.sub_function.clone(),
        object_type: entry.what.object_type.clone(),
        ranges: entry.ranges.iter().map(|(from, to)| [from, to]).collect(),
        names: entry.names.iter().cloned().collect(),
        any: entry.any,
        objects: entry.objects(),
        is_write: entry.is_write,
        state: match entry.origin {
            Origin::Learned => "learned",
            Origin::Allowed => "allowed",
            Origin::Deviating => "deviating",
        }
        .to_owned(),
        allowed: entry.mark.as_ref().map(show_mark),
        count: entry.count,
        first_seen: time_text(entry.first),
        last_seen: time_text(entry.last),
    }
}
