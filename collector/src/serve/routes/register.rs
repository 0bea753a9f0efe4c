//! Sectors, units, assets, and enrolment strings.

use std::collections::BTreeMap;

use api::{Asset, AssetPage, AssetPut, Code, EnrolToken, NewEnrolToken, Sector, SectorPage, Unit, UnitPage, UnitPut};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::{App, Json, PathId};
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::i18n::{self, Lang};
use crate::serve::reply::{self, Fail};
use crate::store::Scope;
use crate::store::desk::{AssetRow, UnitRow};

/// Units and assets the register takes through the API.
pub const ROWS_MAX: usize = 100_000;

/// Units in scope, with the number of agents on the board.
pub fn unit_list(shared: &Shared, scope: &Scope) -> Result<Vec<Unit>, Fail> {
    let mut agents: BTreeMap<String, u64> = BTreeMap::new();
    for agent in shared.board.list(scope, shared.now()) {
        *agents.entry(agent.unit_id).or_default() += 1;
    }
    let mut english = shared.backstage.unit_names_en();
    let mut units: Vec<Unit> = unit_rows(shared, scope)?
        .into_iter()
        .map(|u| Unit {
            agents: agents.get(&u.id).copied().unwrap_or(0),
            name_en: english.remove(&u.id).unwrap_or_default(),
            id: u.id,
            name: u.name,
            sector: u.sector,
            contact: u.contact,
        })
        .collect();
    units.sort_by(|a, b| (&a.sector, &a.name, &a.id).cmp(&(&b.sector, &b.name, &b.id)));
    Ok(units)
}

/// Units of the register's file and those written through the API, which win; in scope.
fn unit_rows(shared: &Shared, scope: &Scope) -> Result<Vec<UnitRow>, Fail> {
    let mut rows: BTreeMap<String, UnitRow> =
        shared.backstage.units().into_iter().filter(|u| scope.allows(Some(&u.id))).map(|u| (u.id.clone(), u)).collect();
    rows.extend(shared.desk.units(scope)?.into_iter().map(|u| (u.id.clone(), u)));
    Ok(rows.into_values().collect())
}

pub async fn units(State(shared): State<App>, caller: Caller, headers: HeaderMap) -> Result<Response, Fail> {
    let items = shared.work(move |s| unit_list(s, &caller.scope)).await?;
    Ok(reply::list(&headers, &UnitPage { items }))
}

pub async fn sectors(State(shared): State<App>, caller: Caller, headers: HeaderMap) -> Result<Response, Fail> {
    let units = shared.work(move |s| unit_list(s, &caller.scope)).await?;
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for unit in units {
        *counts.entry(unit.sector).or_default() += 1;
    }
    let items = counts
        .into_iter()
        .map(|(id, units)| Sector { name: i18n::sector(Lang::En, &id), name_zh: i18n::sector(Lang::Zh, &id), id, units })
        .collect();
    Ok(reply::list(&headers, &SectorPage { items }))
}

/// A word used as a key: letters, digits, `.`, `-`, `_`, 1 to 64.
pub fn check_key(id: &str) -> Result<(), Fail> {
    let good = !id.is_empty() && id.len() <= 64 && id.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_'));
    if good {
        return Ok(());
    }
    Err(Fail::because(
        Code::Unprocessable,
        "an id has 1 to 64 letters, digits, '.', '-' or '_'",
        "标识应为 1 至 64 个字母、数字、“.”、“-”或“_”",
    ))
}

fn check_text(what: &str, what_zh: &str, text: &str, max: usize) -> Result<(), Fail> {
    let count = text.trim().chars().count();
    if (1..=max).contains(&count) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Fail::because(Code::Unprocessable, format!("{what} has 1 to {max} characters"), format!("{what_zh}应为 1 至 {max} 个字符")))
}

pub async fn put_unit(State(shared): State<App>, caller: Caller, PathId(id): PathId, Json(put): Json<UnitPut>) -> Result<Response, Fail> {
    let unit = shared.work(move |s| write_unit(s, &caller, &id, &put)).await?;
    Ok(reply::json(&unit))
}

pub fn write_unit(shared: &Shared, caller: &Caller, id: &str, put: &UnitPut) -> Result<Unit, Fail> {
    check_key(id)?;
    check_key(&put.sector)?;
    check_text("a name", "名称", &put.name, 100)?;
    if put.contact.chars().count() > 200 {
        return Err(Fail::because(Code::Unprocessable, "a contact has at most 200 characters", "联系方式最多 200 个字符"));
    }
    if !caller.scope.allows(Some(id)) {
        return Err(Fail::not_found());
    }
    let row =
        UnitRow { id: id.to_owned(), name: put.name.trim().to_owned(), sector: put.sector.clone(), contact: put.contact.trim().to_owned() };
    let known = shared.desk.units(&Scope::CITY)?;
    if known.len() >= ROWS_MAX && !known.iter().any(|u| u.id == row.id) {
        return Err(Fail::because(Code::Unprocessable, "the register is full", "登记表已满"));
    }
    shared.desk.put_unit(&row)?;
    shared.audit(&caller.name, "unit.put", id, Some(id), &format!("{} ({})", row.name, row.sector));
    shared.backstage.register_changed();
    Ok(Unit { id: row.id, name: row.name, name_en: String::new(), sector: row.sector, contact: row.contact, agents: 0 })
}

pub async fn assets(State(shared): State<App>, caller: Caller, headers: HeaderMap) -> Result<Response, Fail> {
    let rows = shared.work(move |s| Ok(s.desk.assets(&caller.scope)?)).await?;
    let items = rows.into_iter().map(show_asset).collect();
    Ok(reply::list(&headers, &AssetPage { items }))
}

fn show_asset(row: AssetRow) -> Asset {
    Asset { id: row.id, name: row.name, unit_id: row.unit.unwrap_or_default(), addresses: row.addresses, importance: row.importance }
}

pub async fn put_asset(State(shared): State<App>, caller: Caller, PathId(id): PathId, Json(put): Json<AssetPut>) -> Result<Response, Fail> {
    let asset = shared
        .work(move |s| {
            check_key(&id)?;
            check_text("a name", "名称", &put.name, 100)?;
            known_unit(s, &caller.scope, &put.unit_id)?;
            if !(1..=3).contains(&put.importance) {
                return Err(Fail::because(Code::Unprocessable, "importance is 1, 2 or 3", "重要程度应为 1、2 或 3"));
            }
            if put.addresses.len() > 64 || put.addresses.iter().any(|a| a.parse::<std::net::IpAddr>().is_err()) {
                return Err(Fail::because(Code::Unprocessable, "addresses are at most 64 IP addresses", "地址应为至多 64 个 IP 地址"));
            }
            // An asset of another unit is out of reach, and looks as if the name were taken by nobody else's business.
            if s.desk.assets(&Scope::CITY)?.iter().any(|a| a.id == id && !caller.scope.allows(a.unit.as_deref())) {
                return Err(Fail::not_found());
            }
            let row = AssetRow {
                id,
                unit: Some(put.unit_id),
                name: put.name.trim().to_owned(),
                importance: put.importance,
                addresses: put.addresses,
            };
            s.desk.put_asset(&row)?;
            s.audit(&caller.name, "asset.put", &row.id, row.unit.as_deref(), &row.name);
            s.backstage.register_changed();
            Ok(show_asset(row))
        })
        .await?;
    Ok(reply::json(&asset))
}

fn known_unit(shared: &Shared, scope: &Scope, unit: &str) -> Result<(), Fail> {
    if unit_rows(shared, scope)?.iter().any(|u| u.id == unit) {
        return Ok(());
    }
    let shown: String = unit.chars().filter(|c| !c.is_control()).take(64).collect();
    Err(Fail::because(Code::Unprocessable, format!("no unit '{shown}'; register it first"), format!("没有单位“{shown}”，请先登记")))
}

pub async fn enrol(State(shared): State<App>, caller: Caller, Json(wish): Json<NewEnrolToken>) -> Result<Response, Fail> {
    let made = shared.work(move |s| invite(s, &caller, &wish)).await?;
    Ok(reply::json(&made))
}

/// Makes a one-use enrolment string; audited without the secret.
pub fn invite(shared: &Shared, caller: &Caller, wish: &NewEnrolToken) -> Result<EnrolToken, Fail> {
    known_unit(shared, &caller.scope, &wish.unit_id)?;
    if !(1..=10_080).contains(&wish.minutes) {
        return Err(Fail::because(Code::Unprocessable, "minutes is 1 to 10080", "有效期应为 1 至 10080 分钟"));
    }
    if wish.note.chars().count() > 200 {
        return Err(Fail::because(Code::Unprocessable, "a note has at most 200 characters", "备注最多 200 个字符"));
    }
    let now = shared.now();
    let expires = now.plus_secs(i64::from(wish.minutes) * 60);
    let enrolment = shared.backstage.enrolment(&wish.unit_id, &wish.note, &caller.name, now, expires).map_err(|why| {
        tracing::error!(why, "enrolment string not made");
        Fail::code(Code::Internal)
    })?;
    shared.audit(
        &caller.name,
        "enrolment.create",
        &wish.unit_id,
        Some(&wish.unit_id),
        &format!("valid {} min; {}", wish.minutes, wish.note),
    );
    Ok(EnrolToken { enrolment, unit_id: wish.unit_id.clone(), expires: expires.to_string() })
}
