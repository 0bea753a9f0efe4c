//! The register — units, objects, what is not as declared, import — and "install an agent".

use std::collections::BTreeMap;

use api::{
    Agent, Asset, Contact, DifferenceDecision, EnrolToken, NewEnrolToken, ObjectPut, Permission, ProtectedObject, RegisterDifference,
    RegisterImport, Unit, UnitPut,
};
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::{Page, SafeForm};
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::reply::Fail;
use crate::serve::routes::differences::{difference_list, settle};
use crate::serve::routes::exchange::take_in;
use crate::serve::routes::register::{
    asset_list, dependency_list, invite as make, object_list, unit_list, unit_of, write_contacts, write_object, write_unit,
};
use crate::serve::routes::{App, PathId, agents_in_scope};

/// Sectors the form offers; any other id may be given through the API.
pub const SECTORS: [&str; 8] = ["finance", "energy", "power", "telecom", "transport", "water", "health", "government"];

#[derive(Template)]
#[template(path = "units.html")]
struct UnitsView<'a> {
    page: &'a Page,
    sectors: BTreeMap<String, Vec<Unit>>,
    total: usize,
    problem: String,
}

fn units_page(shared: &Shared, page: &Page, caller: &Caller, status: StatusCode, problem: String) -> Result<Response, Fail> {
    let mut sectors: BTreeMap<String, Vec<Unit>> = BTreeMap::new();
    let units = unit_list(shared, &caller.scope)?;
    let total = units.len();
    for unit in units {
        sectors.entry(unit.sector.clone()).or_default().push(unit);
    }
    Ok(page.answer_ref(status, &UnitsView { page, sectors, total, problem }))
}

fn words(page: &Page, fail: &Fail) -> String {
    let (title, detail) = if page.is_zh() { (&fail.0.title_zh, &fail.0.detail_zh) } else { (&fail.0.title, &fail.0.detail) };
    if detail.is_empty() { title.clone() } else { detail.clone() }
}

pub async fn units(State(shared): State<App>, caller: Caller, page: Page) -> Result<Response, Fail> {
    shared.work(move |s| units_page(s, &page, &caller, StatusCode::OK, String::new())).await
}

#[derive(Debug, Deserialize)]
pub struct UnitForm {
    id: String,
    name: String,
    sector: String,
    #[serde(default)]
    contact: String,
}

pub async fn put_unit(State(shared): State<App>, caller: Caller, page: Page, SafeForm(form): SafeForm<UnitForm>) -> Result<Response, Fail> {
    shared
        .work(move |s| {
            let put = UnitPut { name: form.name, sector: form.sector, contact: form.contact, ..UnitPut::default() };
            match write_unit(s, &caller, &form.id, put) {
                Ok(_) => Ok(Redirect::to("/units").into_response()),
                Err(fail) if fail.0.status == 422 => units_page(s, &page, &caller, StatusCode::UNPROCESSABLE_ENTITY, words(&page, &fail)),
                Err(fail) => Err(fail),
            }
        })
        .await
}

/// Rows of assets on a unit's page; the rest is in the export.
const ASSETS_SHOWN: usize = 200;

#[derive(Template)]
#[template(path = "unit.html")]
struct UnitView<'a> {
    page: &'a Page,
    unit: Unit,
    /// One contact a line, as the form takes them.
    contacts: String,
    objects: Vec<ProtectedObject>,
    assets: Vec<Asset>,
    assets_left: usize,
    agents: Vec<Agent>,
    /// What its objects need, and who needs them: (object, other, unit of the other).
    needs: Vec<(String, String, String)>,
    needed_by: Vec<(String, String, String)>,
    differences: Vec<RegisterDifference>,
    problem: String,
}

fn unit_page(shared: &Shared, page: &Page, caller: &Caller, id: &str, status: StatusCode, problem: String) -> Result<Response, Fail> {
    let scope = &caller.scope;
    let unit = unit_of(shared, scope, id)?;
    let mut assets: Vec<Asset> = asset_list(shared, scope).into_iter().filter(|a| a.unit_id == id).collect();
    let assets_left = assets.len().saturating_sub(ASSETS_SHOWN);
    assets.truncate(ASSETS_SHOWN);
    let (mut needs, mut needed_by) = (Vec::new(), Vec::new());
    for d in dependency_list(shared, scope).items {
        if d.unit_id == id {
            needs.push((d.object, d.needs, d.needs_unit_id));
        } else if d.needs_unit_id == id {
            needed_by.push((d.needs, d.object, d.unit_id));
        }
    }
    let line = |c: &Contact| [&c.role, &c.name, &c.phone, &c.mail].map(String::as_str).join("; ").trim_end_matches("; ").to_owned();
    let view = UnitView {
        page,
        contacts: unit.contacts.iter().map(line).collect::<Vec<_>>().join("\n"),
        objects: object_list(shared, scope).into_iter().filter(|o| o.unit_id == id).collect(),
        agents: agents_in_scope(shared, scope).into_iter().filter(|a| a.unit_id == id).collect(),
        differences: difference_list(shared, scope, false)?.into_iter().filter(|d| d.unit_id == id).collect(),
        unit,
        assets,
        assets_left,
        needs,
        needed_by,
        problem,
    };
    Ok(page.answer_ref(status, &view))
}

pub async fn unit(State(shared): State<App>, caller: Caller, page: Page, PathId(id): PathId) -> Result<Response, Fail> {
    shared.work(move |s| unit_page(s, &page, &caller, &id, StatusCode::OK, String::new())).await
}

#[derive(Debug, Deserialize)]
pub struct ContactsForm {
    #[serde(default)]
    contacts: String,
}

/// `role; name; phone; mail` a line.
fn read_contacts(text: &str, old: &[Contact]) -> Vec<Contact> {
    let read = |line: &str| {
        let parts: Vec<&str> = line.split([';', '；']).map(str::trim).collect();
        let part = |n: usize| parts.get(n).copied().unwrap_or("").to_owned();
        let (role, name, phone, mail) = (part(0), part(1), part(2), part(3));
        // Channels and language have no place in the line: whoever keeps the name keeps them.
        let known = old.iter().find(|c| c.name == name).cloned().unwrap_or_default();
        Contact { name, role, phone, mail, ..known }
    };
    text.lines().filter(|l| !l.trim().is_empty()).map(read).collect()
}

pub async fn put_contacts(
    State(shared): State<App>,
    caller: Caller,
    page: Page,
    PathId(id): PathId,
    SafeForm(form): SafeForm<ContactsForm>,
) -> Result<Response, Fail> {
    shared
        .work(move |s| {
            let old = unit_of(s, &caller.scope, &id)?.contacts;
            match write_contacts(s, &caller, &id, read_contacts(&form.contacts, &old)) {
                Ok(unit) => Ok(Redirect::to(&format!("/units/{}", unit.id)).into_response()),
                Err(fail) if fail.0.status == 422 => {
                    unit_page(s, &page, &caller, &id, StatusCode::UNPROCESSABLE_ENTITY, words(&page, &fail))
                }
                Err(fail) => Err(fail),
            }
        })
        .await
}

#[derive(Template)]
#[template(path = "objects.html")]
struct ObjectsView<'a> {
    page: &'a Page,
    objects: Vec<ProtectedObject>,
    units: Vec<Unit>,
    circles: Vec<String>,
    problem: String,
}

fn objects_page(shared: &Shared, page: &Page, caller: &Caller, status: StatusCode, problem: String) -> Result<Response, Fail> {
    let circles = dependency_list(shared, &caller.scope).circles.iter().map(|c| c.join(" → ")).collect();
    let (objects, units) = (object_list(shared, &caller.scope), unit_list(shared, &caller.scope)?);
    Ok(page.answer_ref(status, &ObjectsView { page, objects, units, circles, problem }))
}

pub async fn objects(State(shared): State<App>, caller: Caller, page: Page) -> Result<Response, Fail> {
    shared.work(move |s| objects_page(s, &page, &caller, StatusCode::OK, String::new())).await
}

#[derive(Debug, Deserialize)]
pub struct ObjectForm {
    id: String,
    unit_id: String,
    name: String,
    #[serde(default)]
    mlps: String,
    #[serde(default)]
    cii: String,
    #[serde(default)]
    protection: String,
    #[serde(default)]
    filing: String,
    #[serde(default)]
    needs: String,
}

pub async fn put_object(
    State(shared): State<App>,
    caller: Caller,
    page: Page,
    SafeForm(form): SafeForm<ObjectForm>,
) -> Result<Response, Fail> {
    shared
        .work(move |s| {
            let put = ObjectPut {
                unit_id: form.unit_id,
                name: form.name.trim().to_owned(),
                mlps: form.mlps.trim().parse().ok(),
                cii: !form.cii.is_empty(),
                protection: form.protection.trim().to_owned(),
                filing: form.filing.trim().to_owned(),
                needs: form.needs.split([',', ';', '，', '；', ' ']).filter(|t| !t.is_empty()).map(str::to_owned).collect(),
                ..ObjectPut::default()
            };
            match write_object(s, &caller, form.id.trim(), put) {
                Ok(_) => Ok(Redirect::to("/objects").into_response()),
                Err(fail) if fail.0.status == 422 => objects_page(s, &page, &caller, StatusCode::UNPROCESSABLE_ENTITY, words(&page, &fail)),
                Err(fail) => Err(fail),
            }
        })
        .await
}

#[derive(Template)]
#[template(path = "differences.html")]
struct DifferencesView<'a> {
    page: &'a Page,
    differences: Vec<RegisterDifference>,
    left: usize,
    may_decide: bool,
    problem: String,
}

/// Differences on the page; the rest is read through the API.
const DIFFERENCES_SHOWN: usize = 500;

fn differences_page(shared: &Shared, page: &Page, caller: &Caller, status: StatusCode, problem: String) -> Result<Response, Fail> {
    let mut differences = difference_list(shared, &caller.scope, true)?;
    // What people let stand comes last.
    differences.sort_by_key(|d| d.ignored.is_some());
    let left = differences.len().saturating_sub(DIFFERENCES_SHOWN);
    differences.truncate(DIFFERENCES_SHOWN);
    let may_decide = caller.may(Permission::RegisterWrite) && caller.scope.is_city();
    Ok(page.answer_ref(status, &DifferencesView { page, differences, left, may_decide, problem }))
}

pub async fn differences(State(shared): State<App>, caller: Caller, page: Page) -> Result<Response, Fail> {
    shared.work(move |s| differences_page(s, &page, &caller, StatusCode::OK, String::new())).await
}

#[derive(Debug, Deserialize)]
pub struct DecisionForm {
    decision: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    days: Option<i64>,
}

pub async fn decide(
    State(shared): State<App>,
    caller: Caller,
    page: Page,
    PathId(id): PathId,
    SafeForm(form): SafeForm<DecisionForm>,
) -> Result<Response, Fail> {
    shared
        .work(move |s| {
            let days = form.days.unwrap_or(30).clamp(0, 10_000);
            let until = s.now().plus_secs(days * 86_400).to_string();
            let wish = DifferenceDecision { decision: form.decision, reason: form.reason, until, ..DifferenceDecision::default() };
            match settle(s, &caller, &id, &wish) {
                Ok(_) => Ok(Redirect::to("/register/differences").into_response()),
                Err(fail) if fail.0.status == 422 => {
                    differences_page(s, &page, &caller, StatusCode::UNPROCESSABLE_ENTITY, words(&page, &fail))
                }
                Err(fail) => Err(fail),
            }
        })
        .await
}

#[derive(Template)]
#[template(path = "import.html")]
struct ImportView<'a> {
    page: &'a Page,
    text: String,
    done: Option<RegisterImport>,
    problems: Vec<String>,
}

pub async fn import_form(page: Page) -> Result<Response, Fail> {
    Ok(page.answer_ref(StatusCode::OK, &ImportView { page: &page, text: String::new(), done: None, problems: Vec::new() }))
}

#[derive(Debug, Deserialize)]
pub struct ImportForm {
    #[serde(default)]
    text: String,
    /// `try` or `import`.
    #[serde(default)]
    what: String,
}

pub async fn import(State(shared): State<App>, caller: Caller, page: Page, SafeForm(form): SafeForm<ImportForm>) -> Result<Response, Fail> {
    shared
        .work(move |s| {
            let (done, problems, status) = match take_in(s, &caller, &form.text, None, form.what != "import") {
                Ok(done) => (Some(done), Vec::new(), StatusCode::OK),
                Err(fail) if fail.0.status == 422 => {
                    (None, words(&page, &fail).lines().map(str::to_owned).collect(), StatusCode::UNPROCESSABLE_ENTITY)
                }
                Err(fail) => return Err(fail),
            };
            Ok(page.answer_ref(status, &ImportView { page: &page, text: form.text, done, problems }))
        })
        .await
}

#[derive(Template)]
#[template(path = "enrol.html")]
struct EnrolView<'a> {
    page: &'a Page,
    units: Vec<Unit>,
    made: Option<EnrolToken>,
    problem: String,
}

pub async fn enrol(State(shared): State<App>, caller: Caller, page: Page) -> Result<Response, Fail> {
    shared
        .work(move |s| {
            let units = unit_list(s, &caller.scope)?;
            Ok(page.answer_ref(StatusCode::OK, &EnrolView { page: &page, units, made: None, problem: String::new() }))
        })
        .await
}

#[derive(Debug, Deserialize)]
pub struct EnrolForm {
    unit_id: String,
    #[serde(default)]
    minutes: Option<u32>,
    #[serde(default)]
    note: String,
}

pub async fn invite(State(shared): State<App>, caller: Caller, page: Page, SafeForm(form): SafeForm<EnrolForm>) -> Result<Response, Fail> {
    shared
        .work(move |s| {
            let wish = NewEnrolToken { unit_id: form.unit_id, minutes: form.minutes.unwrap_or(30), note: form.note };
            let units = unit_list(s, &caller.scope)?;
            let (made, problem, status) = match make(s, &caller, &wish) {
                Ok(made) => (Some(made), String::new(), StatusCode::OK),
                Err(fail) if fail.0.status == 422 => (None, words(&page, &fail), StatusCode::UNPROCESSABLE_ENTITY),
                Err(fail) => return Err(fail),
            };
            Ok(page.answer_ref(status, &EnrolView { page: &page, units, made, problem }))
        })
        .await
}
