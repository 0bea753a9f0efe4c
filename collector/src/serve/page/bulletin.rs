//! A bulletin as a sheet of paper (A4) and as CSV.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use matter::bulletin::Bulletin;
use matter::bulletin::table::Section;
use matter::{Kind, Matter};

use super::Page;
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::reply::{Fail, typed};
use crate::serve::routes::matters::find;
use crate::serve::routes::{App, PathId};

#[derive(Template)]
#[template(path = "bulletin.html")]
struct Sheet<'a> {
    page: &'a Page,
    bulletin: Bulletin,
    sections: Vec<Section>,
    /// The signature holds; none: not issued.
    holds: Option<bool>,
}

/// A matter of this kind in the caller's scope, read.
pub(super) fn read<M: Matter>(shared: &Shared, caller: &Caller, id: &str) -> Result<M, Fail> {
    let kind = Kind::find(M::KIND).ok_or_else(Fail::not_found)?;
    let body = find(shared, caller, kind, id)?.body.unwrap_or_default();
    serde_json::from_value(body).map_err(|error| {
        tracing::error!(%error, kind = M::KIND, id, "stored matter cannot be read");
        Fail::code(api::Code::Internal)
    })
}

pub async fn print(State(shared): State<App>, caller: Caller, page: Page, PathId(id): PathId) -> Result<Response, Fail> {
    shared
        .work(move |s| {
            let bulletin: Bulletin = read(s, &caller, &id)?;
            let holds = bulletin.issued.as_ref().map(|_| bulletin.holds(&s.office.book()));
            let sections = bulletin.sections();
            Ok(page.answer_ref(StatusCode::OK, &Sheet { page: &page, bulletin, sections, holds }))
        })
        .await
}

pub async fn csv(State(shared): State<App>, caller: Caller, PathId(id): PathId) -> Result<Response, Fail> {
    let bulletin = shared.work(move |s| read::<Bulletin>(s, &caller, &id)).await?;
    let mut response = typed("text/csv; charset=utf-8", bulletin.csv());
    let name = format!("attachment; filename=\"bulletin-{}-{}.csv\"", bulletin.period.every.name(), bulletin.period.day());
    if let Ok(name) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}
