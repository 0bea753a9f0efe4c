//! The register: sectors, units, objects, assets, dependencies, and enrolment strings.
//!
//! The register is the city's to write; a unit's own people see what is theirs and keep their contacts. Every change goes through [`change`]: one
//! at a time, checked as a whole, written with its audit entries in one transaction, then in force.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use api::{
    Asset, AssetPage, AssetPut, Code, ContactsPut, Dependency, DependencyPage, EnrolToken, NewEnrolToken, ObjectPage, ObjectPut, Origin,
    ProtectedObject, Sector, SectorPage, Unit, UnitPage, UnitPut,
};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use matter::register::{self as shape, Contact, Declared, Fault, Row, RowKind};
use serde::Deserialize;

use super::{App, Json, Paging, Params, PathId};
use crate::register::{Register, table};
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::i18n::{self, Lang};
use crate::serve::reply::{self, Fail};
use crate::store::Scope;
use crate::store::desk::{AuditEntry, RegisterRow};

/// Things named in a refusal before the rest is counted.
const NAMED_MAX: usize = 10;

/// What a caller wants of one row.
pub enum Wish {
    Put(Row),
    Remove(RowKind, String),
}

/// What changed: kind, id, and the keys; none of them for a new row, `Some([])` never.
pub type Changed = (RowKind, String, Option<Vec<String>>);

/// Only the city writes the register: a unit that could take a name would learn which names others have.
fn for_the_city(caller: &Caller) -> Result<(), Fail> {
    if caller.scope.is_city() {
        return Ok(());
    }
    Err(Fail::because(
        Code::Denied,
        "the register is kept by the city; your own unit's contacts you may change",
        "登记表由市级维护；您可修改本单位的联系人",
    ))
}

fn fail_of(fault: &Fault) -> Fail {
    let said = (format!("{}: {}", fault.key, fault.text.en), format!("{}：{}", fault.key, fault.text.zh));
    Fail::because(Code::Unprocessable, said.0, said.1)
}

/// Changes the register, all of it or nothing; `make` sees it as it is and says what it wants. With `dry_run`, says what would change.
pub fn change(
    shared: &Shared,
    caller: &Caller,
    action: &str,
    dry_run: bool,
    make: impl FnOnce(&Register) -> Result<Vec<Wish>, Fail>,
) -> Result<Vec<Changed>, Fail> {
    let _turn = shared.register_turn.lock().unwrap_or_else(PoisonError::into_inner);
    let register = shared.backstage.register();
    let wishes = make(&register)?;
    let mut next = register.all().clone();
    let (mut rows, mut changed): (Vec<RegisterRow>, Vec<Changed>) = (Vec::new(), Vec::new());
    for wish in wishes {
        match wish {
            Wish::Put(row) => {
                row.check().map_err(|fault| fail_of(&fault))?;
                let one = [(0, row)];
                let told = table::changes(&next, &one);
                let [(_, row)] = one;
                if told.is_empty() {
                    continue;
                }
                changed.extend(told);
                next.put(row.clone());
                let (kind, id, unit) = (row.kind(), row.id().to_owned(), Some(row.unit().to_owned()));
                rows.push(RegisterRow { kind, id, unit, row: Some(row), old: false });
            }
            Wish::Remove(kind, id) => {
                let gone = next.remove(kind, &id).ok_or_else(Fail::not_found)?;
                changed.push((kind, id.clone(), None));
                rows.push(RegisterRow { kind, id, unit: Some(gone.unit().to_owned()), row: None, old: false });
            }
        }
    }
    if let Some((kind, id, fault)) = next.faults().into_iter().next() {
        let en = format!("{} {id}: {}: {}", kind.name(), fault.key, fault.text.en);
        return Err(Fail::because(Code::Unprocessable, en, format!("{} {id}，{}：{}", kind.zh(), fault.key, fault.text.zh)));
    }
    if dry_run || rows.is_empty() {
        return Ok(changed);
    }
    let audit: Vec<AuditEntry> = rows.iter().zip(&changed).map(|(row, what)| entry(shared, caller, action, row, what)).collect();
    shared.desk.put_register(&rows, &audit)?;
    shared.backstage.register_changed();
    Ok(changed)
}

fn entry(shared: &Shared, caller: &Caller, action: &str, row: &RegisterRow, (kind, id, keys): &Changed) -> AuditEntry {
    let name = match &row.row {
        Some(Row::Unit(unit)) => unit.name.as_str(),
        Some(Row::Object(object)) => object.name.as_str(),
        Some(Row::Asset(asset)) => asset.name.as_str(),
        None => "",
    };
    let what = keys.as_ref().map(|keys| format!(": {}", keys.join(", "))).unwrap_or_default();
    AuditEntry {
        time: shared.now().ns(),
        who: caller.name.clone(),
        action: format!("{}.{}", kind.name(), if row.row.is_none() { "remove" } else { action }),
        subject: id.clone(),
        unit: row.unit.clone(),
        detail: format!("{name}{what}").chars().take(500).collect(),
    }
}

/// Refuses to remove what something refers to, and says what.
fn unneeded(all: &Declared, kind: RowKind, id: &str) -> Result<(), Fail> {
    let found = all.referrers(kind, id);
    if found.is_empty() {
        return Ok(());
    }
    let more = found.len().saturating_sub(NAMED_MAX);
    let list = |name: fn(RowKind) -> &'static str, join: &str| {
        found.iter().take(NAMED_MAX).map(|(k, id)| format!("{} {id}", name(*k))).collect::<Vec<_>>().join(join)
    };
    let (en, zh) = (list(RowKind::name, ", "), list(RowKind::zh, "、"));
    let (and, and_zh) = if more > 0 { (format!(" and {more} more"), format!(" 等，另 {more} 项")) } else { Default::default() };
    Err(Fail::because(
        Code::Unprocessable,
        format!("{en}{and} still refer to it; remove or change them first"),
        format!("仍被 {zh}{and_zh} 引用，请先删除或修改这些登记"),
    ))
}

fn removal(shared: &Shared, caller: &Caller, kind: RowKind, id: &str) -> Result<Response, Fail> {
    for_the_city(caller)?;
    change(shared, caller, "remove", false, |register| {
        register.all().row(kind, id).ok_or_else(Fail::not_found)?;
        unneeded(register.all(), kind, id)?;
        let agents = if kind == RowKind::Unit { shared.board.list(&Scope::units([id]), shared.now()).len() } else { 0 };
        if agents > 0 {
            return Err(Fail::because(
                Code::Unprocessable,
                format!("{agents} agents are enrolled for it; revoke them first"),
                format!("尚有 {agents} 个探针归属该单位，请先吊销"),
            ));
        }
        Ok(vec![Wish::Remove(kind, id.to_owned())])
    })?;
    Ok(reply::empty())
}

fn origin(register: &Register, kind: RowKind, id: &str) -> Origin {
    if register.is_written(kind, id) { Origin::Desk } else { Origin::File }
}

/// A contact in one line.
pub fn contact_line(contact: &Contact) -> String {
    [&contact.name, &contact.phone, &contact.mail].into_iter().filter(|t| !t.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Units in scope, with what belongs to each.
pub fn unit_list(shared: &Shared, scope: &Scope) -> Result<Vec<Unit>, Fail> {
    let register = shared.backstage.register();
    let mut counts: BTreeMap<String, [u64; 3]> = BTreeMap::new();
    let mut count = |unit: &str, of: usize| {
        if let Some(slot) = counts.entry(unit.to_owned()).or_default().get_mut(of) {
            *slot += 1;
        }
    };
    shared.board.list(scope, shared.now()).iter().for_each(|a| count(&a.unit_id, 0));
    register.all().objects.values().for_each(|o| count(&o.unit, 1));
    register.assets().for_each(|a| count(&a.unit, 2));
    let show = |u: &shape::Unit| {
        let [agents, objects, assets] = counts.get(&u.id).copied().unwrap_or_default();
        Unit {
            id: u.id.clone(),
            name: u.name.clone(),
            name_en: u.name_en.clone(),
            sector: u.sector.clone(),
            contact: u.contacts.first().map(contact_line).unwrap_or_default(),
            contacts: u.contacts.clone(),
            networks: u.networks.clone(),
            domains: u.domains.clone(),
            named: u.named,
            agents,
            objects,
            assets,
            origin: origin(&register, RowKind::Unit, &u.id),
        }
    };
    let mut units: Vec<Unit> = register.units().filter(|u| scope.allows(Some(&u.id))).map(show).collect();
    units.sort_by(|a, b| (&a.sector, &a.name, &a.id).cmp(&(&b.sector, &b.name, &b.id)));
    Ok(units)
}

/// One unit in scope.
pub fn unit_of(shared: &Shared, scope: &Scope, id: &str) -> Result<Unit, Fail> {
    unit_list(shared, scope)?.into_iter().find(|u| u.id == id).ok_or_else(Fail::not_found)
}

pub async fn units(State(shared): State<App>, caller: Caller, headers: HeaderMap) -> Result<Response, Fail> {
    let items = shared.work(move |s| unit_list(s, &caller.scope)).await?;
    Ok(reply::list(&headers, &UnitPage { items }))
}

pub async fn unit(State(shared): State<App>, caller: Caller, PathId(id): PathId) -> Result<Response, Fail> {
    Ok(reply::json(&shared.work(move |s| unit_of(s, &caller.scope, &id)).await?))
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
    if shape::good_key(id) {
        return Ok(());
    }
    Err(Fail::because(
        Code::Unprocessable,
        "an id has 1 to 64 letters, digits, '.', '-' or '_'",
        "标识应为 1 至 64 个字母、数字、“.”、“-”或“_”",
    ))
}

pub async fn put_unit(State(shared): State<App>, caller: Caller, PathId(id): PathId, Json(put): Json<UnitPut>) -> Result<Response, Fail> {
    Ok(reply::json(&shared.work(move |s| write_unit(s, &caller, &id, put)).await?))
}

/// Creates or replaces a unit; what the wish does not say of contacts, networks, domains and consent stays as it was.
pub fn write_unit(shared: &Shared, caller: &Caller, id: &str, put: UnitPut) -> Result<Unit, Fail> {
    for_the_city(caller)?;
    change(shared, caller, "put", false, |register| {
        let old = register.unit(id).cloned().unwrap_or_default();
        let said = put.contact.trim().to_owned();
        let contacts = match put.contacts {
            Some(contacts) => contacts,
            // One contact in words replaces the first, unless it is the first in words.
            None if said.is_empty() || old.contacts.first().is_some_and(|c| contact_line(c) == said) => old.contacts,
            None => {
                let first = Contact { name: said, role: "duty".into(), ..Contact::default() };
                std::iter::once(first).chain(old.contacts.into_iter().skip(1)).collect()
            }
        };
        Ok(vec![Wish::Put(Row::Unit(shape::Unit {
            id: id.to_owned(),
            name: put.name.trim().to_owned(),
            name_en: if put.name_en.is_empty() { old.name_en } else { put.name_en.trim().to_owned() },
            sector: put.sector,
            contacts,
            networks: put.networks.unwrap_or(old.networks),
            domains: put.domains.unwrap_or(old.domains),
            named: put.named.unwrap_or(old.named),
        }))])
    })?;
    unit_of(shared, &caller.scope, id)
}

pub async fn remove_unit(State(shared): State<App>, caller: Caller, PathId(id): PathId) -> Result<Response, Fail> {
    shared.work(move |s| removal(s, &caller, RowKind::Unit, &id)).await
}

pub async fn put_contacts(
    State(shared): State<App>,
    caller: Caller,
    PathId(id): PathId,
    Json(put): Json<ContactsPut>,
) -> Result<Response, Fail> {
    Ok(reply::json(&shared.work(move |s| write_contacts(s, &caller, &id, put.contacts)).await?))
}

/// Replaces whom to call of a unit in scope.
pub fn write_contacts(shared: &Shared, caller: &Caller, id: &str, contacts: Vec<Contact>) -> Result<Unit, Fail> {
    change(shared, caller, "contacts", false, |register| {
        let old = register.unit(id).filter(|u| caller.scope.allows(Some(&u.id))).cloned().ok_or_else(Fail::not_found)?;
        Ok(vec![Wish::Put(Row::Unit(shape::Unit { contacts, ..old }))])
    })?;
    unit_of(shared, &caller.scope, id)
}

/// `unit`, `object`, `limit`, `cursor` of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListParams {
    unit: Option<String>,
    object: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

fn is(wish: &Option<String>, value: &str) -> bool {
    wish.as_deref().filter(|w| !w.is_empty()).is_none_or(|w| w == value)
}

/// Objects in scope, with how many assets each has.
pub fn object_list(shared: &Shared, scope: &Scope) -> Vec<ProtectedObject> {
    let register = shared.backstage.register();
    let mut assets: BTreeMap<&str, u64> = BTreeMap::new();
    register.assets().for_each(|a| *assets.entry(a.object.as_str()).or_default() += 1);
    let objects = register.all().objects.values().filter(|o| scope.allows(Some(&o.unit)));
    objects.map(|o| show_object(&register, o, assets.get(o.id.as_str()).copied().unwrap_or(0))).collect()
}

fn show_object(register: &Register, o: &shape::Object, assets: u64) -> ProtectedObject {
    ProtectedObject {
        id: o.id.clone(),
        unit_id: o.unit.clone(),
        name: o.name.clone(),
        name_en: o.name_en.clone(),
        mlps: o.mlps,
        cii: o.cii,
        protection: o.protection.clone(),
        filing: o.filing.clone(),
        needs: o.needs.clone(),
        assets,
        origin: origin(register, RowKind::Object, &o.id),
    }
}

pub async fn objects(
    State(shared): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Params(params): Params<ListParams>,
) -> Result<Response, Fail> {
    let mut items = shared.work(move |s| Ok(object_list(s, &caller.scope))).await?;
    items.retain(|o| is(&params.unit, &o.unit_id));
    let (items, next) = Paging { limit: params.limit, cursor: params.cursor }.cut(items)?;
    Ok(reply::list(&headers, &ObjectPage { items, next }))
}

pub async fn put_object(
    State(shared): State<App>,
    caller: Caller,
    PathId(id): PathId,
    Json(put): Json<ObjectPut>,
) -> Result<Response, Fail> {
    Ok(reply::json(&shared.work(move |s| write_object(s, &caller, &id, put)).await?))
}

pub fn write_object(shared: &Shared, caller: &Caller, id: &str, put: ObjectPut) -> Result<ProtectedObject, Fail> {
    for_the_city(caller)?;
    let ObjectPut { unit_id, name, name_en, mlps, cii, protection, filing, needs } = put;
    let row = shape::Object { id: id.to_owned(), unit: unit_id, name, name_en, mlps, cii, protection, filing, needs };
    change(shared, caller, "put", false, |_| Ok(vec![Wish::Put(Row::Object(row))]))?;
    object_of(shared, id)
}

fn object_of(shared: &Shared, id: &str) -> Result<ProtectedObject, Fail> {
    object_list(shared, &Scope::CITY).into_iter().find(|o| o.id == id).ok_or_else(Fail::not_found)
}

pub async fn remove_object(State(shared): State<App>, caller: Caller, PathId(id): PathId) -> Result<Response, Fail> {
    shared.work(move |s| removal(s, &caller, RowKind::Object, &id)).await
}

/// Assets in scope.
pub fn asset_list(shared: &Shared, scope: &Scope) -> Vec<Asset> {
    let register = shared.backstage.register();
    register.assets().filter(|a| scope.allows(Some(&a.unit))).map(|a| show_asset(&register, a)).collect()
}

fn show_asset(register: &Register, a: &shape::Asset) -> Asset {
    Asset {
        id: a.id.clone(),
        name: a.name.clone(),
        unit_id: a.unit.clone(),
        object: a.object.clone(),
        addresses: a.networks.clone(),
        importance: a.importance,
        agent: a.agent.clone(),
        hostname: a.hostname.clone(),
        os: a.os.clone(),
        ports: a.ports.clone(),
        origin: origin(register, RowKind::Asset, &a.id),
    }
}

pub async fn assets(
    State(shared): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Params(params): Params<ListParams>,
) -> Result<Response, Fail> {
    let mut items = shared.work(move |s| Ok(asset_list(s, &caller.scope))).await?;
    items.retain(|a| is(&params.unit, &a.unit_id) && is(&params.object, &a.object));
    let (items, next) = Paging { limit: params.limit, cursor: params.cursor }.cut(items)?;
    Ok(reply::list(&headers, &AssetPage { items, next }))
}

pub async fn put_asset(State(shared): State<App>, caller: Caller, PathId(id): PathId, Json(put): Json<AssetPut>) -> Result<Response, Fail> {
    let asset = shared
        .work(move |s| {
            for_the_city(&caller)?;
            let AssetPut { name, unit_id, object, addresses, importance, agent, hostname, os, ports } = put;
            let given = |t: Option<String>| t.filter(|t| !t.is_empty());
            let (agent, hostname, networks) = (given(agent), given(hostname), addresses);
            let row = shape::Asset { id: id.clone(), unit: unit_id, name, object, importance, agent, hostname, networks, os, ports };
            change(s, &caller, "put", false, |_| Ok(vec![Wish::Put(Row::Asset(row))]))?;
            asset_list(s, &Scope::CITY).into_iter().find(|a| a.id == id).ok_or_else(Fail::not_found)
        })
        .await?;
    Ok(reply::json(&asset))
}

pub async fn remove_asset(State(shared): State<App>, caller: Caller, PathId(id): PathId) -> Result<Response, Fail> {
    shared.work(move |s| removal(s, &caller, RowKind::Asset, &id)).await
}

/// What objects in scope need; whose that is only where it is in scope too.
pub fn dependency_list(shared: &Shared, scope: &Scope) -> DependencyPage {
    let register = shared.backstage.register();
    let all = register.all();
    let owner = |id: &str| all.objects.get(id).map(|o| o.unit.clone()).filter(|u| scope.allows(Some(u))).unwrap_or_default();
    let items = all.objects.values().filter(|o| scope.allows(Some(&o.unit))).flat_map(|o| {
        o.needs.iter().map(move |need| Dependency {
            id: format!("{}:{need}", o.id),
            object: o.id.clone(),
            unit_id: o.unit.clone(),
            needs: need.clone(),
            needs_unit_id: owner(need),
        })
    });
    DependencyPage { items: items.collect(), circles: if scope.is_city() { all.circles() } else { Vec::new() } }
}

pub async fn dependencies(State(shared): State<App>, caller: Caller, headers: HeaderMap) -> Result<Response, Fail> {
    let page = shared.work(move |s| Ok(dependency_list(s, &caller.scope))).await?;
    Ok(reply::list(&headers, &page))
}

fn depend(shared: &Shared, caller: &Caller, id: &str, on: bool) -> Result<ProtectedObject, Fail> {
    for_the_city(caller)?;
    let (object, need) = id.split_once(':').ok_or_else(|| {
        Fail::because(
            Code::BadRequest,
            "write object:needs, e.g. core-banking:idc-hosting",
            "请写成 对象:所依赖对象，例如 core-banking:idc-hosting",
        )
    })?;
    change(shared, caller, "put", false, |register| {
        let mut row = register.all().objects.get(object).cloned().ok_or_else(Fail::not_found)?;
        let there = row.needs.iter().any(|n| n == need);
        match (on, there) {
            (true, false) => row.needs.push(need.to_owned()),
            (false, true) => row.needs.retain(|n| n != need),
            (false, false) => return Err(Fail::not_found()),
            (true, true) => {}
        }
        Ok(vec![Wish::Put(Row::Object(row))])
    })?;
    object_of(shared, object)
}

pub async fn put_dependency(State(shared): State<App>, caller: Caller, PathId(id): PathId) -> Result<Response, Fail> {
    Ok(reply::json(&shared.work(move |s| depend(s, &caller, &id, true)).await?))
}

pub async fn remove_dependency(State(shared): State<App>, caller: Caller, PathId(id): PathId) -> Result<Response, Fail> {
    shared.work(move |s| depend(s, &caller, &id, false)).await?;
    Ok(reply::empty())
}

fn known_unit(shared: &Shared, scope: &Scope, unit: &str) -> Result<(), Fail> {
    if scope.allows(Some(unit)) && shared.backstage.register().unit(unit).is_some() {
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
