//! The register and "install an agent".

use std::collections::BTreeMap;

use api::{EnrolToken, NewEnrolToken, Unit, UnitPut};
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::{Page, SafeForm};
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::reply::Fail;
use crate::serve::routes::App;
use crate::serve::routes::register::{invite as make, unit_list, write_unit};

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
