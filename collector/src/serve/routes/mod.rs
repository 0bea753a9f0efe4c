//! Handlers of the rows of `api::ROUTES`. The router is made from the table; `handler` is one exhaustive match, so a row
//! without a handler does not compile and a handler without a row cannot be reached.

pub mod agents;
pub use agents::all as agents_in_scope;
pub mod alerts;
mod audit;
mod baselines;
pub mod bulk;
pub mod deliveries;
pub mod differences;
mod events;
pub mod exchange;
pub mod export;
mod feed;
mod indicators;
pub mod matters;
mod meta;
pub mod people;
pub mod register;
mod rules;
mod trial;
mod warnings;
pub mod why;

use std::sync::Arc;

use api::{Code, Op, PAGE_DEFAULT, PAGE_MAX, ROUTES};
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request};
use axum::routing::{MethodRouter, delete, get, post, put};
use serde::de::DeserializeOwned;

use super::reply::Fail;
use super::{BODY_BYTES_MAX, Shared, gate, page};

pub type App = Arc<Shared>;

/// The whole of what is served.
pub fn router(shared: App) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        router = router.route(route.path, handler(route.op));
    }
    router = matters::mount(router);
    router = super::taxii::mount(router);
    router = page::mount(router);
    router
        .fallback(|| async { Fail::not_found() })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(axum::middleware::from_fn_with_state(shared.clone(), gate::guard))
        .with_state(shared)
}

/// Bytes of an uploaded feed of indicators.
const FEED_BYTES: usize = 256 * 1024 * 1024;

fn handler(op: Op) -> MethodRouter<App> {
    match op {
        Op::AlertsList => get(alerts::list),
        Op::AlertGet => get(alerts::one),
        Op::AlertEvents => get(alerts::events),
        Op::AlertHistory => get(alerts::history),
        Op::AlertWhy => get(why::one),
        Op::AlertTriage => post(alerts::triage),
        Op::AlertsBefore => get(bulk::before),
        Op::AlertsTriage => post(bulk::triage),
        Op::AlertsUndo => post(bulk::undo),
        Op::EventsList => get(events::list),
        Op::EventGet => get(events::one),
        Op::AgentsList => get(agents::list),
        Op::AgentGet => get(agents::one),
        Op::AgentRevoke => post(agents::revoke),
        Op::SectorsList => get(register::sectors),
        Op::UnitsList => get(register::units),
        Op::UnitGet => get(register::unit),
        Op::UnitPut => put(register::put_unit),
        Op::UnitRemove => delete(register::remove_unit),
        Op::ContactsPut => put(register::put_contacts),
        Op::ObjectsList => get(register::objects),
        Op::ObjectPut => put(register::put_object),
        Op::ObjectRemove => delete(register::remove_object),
        Op::AssetsList => get(register::assets),
        Op::AssetPut => put(register::put_asset),
        Op::AssetRemove => delete(register::remove_asset),
        Op::DependenciesList => get(register::dependencies),
        Op::DependencyPut => put(register::put_dependency),
        Op::DependencyRemove => delete(register::remove_dependency),
        Op::RegisterImport => post(exchange::import).layer(DefaultBodyLimit::max(exchange::IMPORT_BYTES_MAX)),
        Op::RegisterExport => get(exchange::export),
        Op::DifferencesList => get(differences::list),
        Op::DifferenceDecide => post(differences::decide),
        Op::RouteTest => post(differences::route),
        Op::EnrolTokenCreate => post(register::enrol),
        Op::RulesList => get(rules::list),
        Op::RuleGet => get(rules::one),
        Op::RulesTry => post(trial::run),
        Op::IndicatorsList => get(indicators::list),
        Op::IndicatorsAdd => post(indicators::add).layer(DefaultBodyLimit::max(FEED_BYTES)),
        Op::IndicatorsRemove => delete(indicators::remove),
        Op::IndicatorsCheck => post(indicators::check),
        Op::BaselinesList => get(baselines::list),
        Op::BaselineGet => get(baselines::one),
        Op::BaselineEditPost => post(baselines::edit),
        Op::DeliveriesList => get(deliveries::list),
        Op::DeliveryGet => get(deliveries::one),
        Op::DeliveryRetry => post(deliveries::retry),
        Op::ChannelsList => get(deliveries::channels),
        Op::ChannelTestPost => post(deliveries::test),

        Op::WeaknessGet => get(export::weakness),
        Op::WarningExport => get(export::warning),
        Op::ReceiptExport => get(export::receipt),
        Op::IncidentExport => get(export::incident),
        Op::AuditList => get(audit::list),
        Op::WarningsVerify => get(warnings::verify),
        Op::AuditVerify => get(audit::verify),
        Op::LoginPost => post(people::login),
        Op::LogoutPost => post(people::logout),
        Op::MeGet => get(people::me),
        Op::PeopleList => get(people::list),
        Op::PersonCreate => post(people::put),
        Op::PasswordPost => post(people::password),
        Op::TokensList => get(people::tokens),
        Op::TokenCreate => post(people::create_token),
        Op::TokenDelete => delete(people::delete_token),
        Op::FeedGet => get(feed::open),
        Op::StatsGet => get(meta::stats),
        Op::OpenApiGet => get(meta::openapi),
        Op::MetricsGet => get(meta::metrics),
        Op::HealthyGet => get(meta::healthy),
        Op::ReadyGet => get(meta::ready),
        Op::ReloadPost => post(meta::reload),
    }
}

/// The body as JSON of this shape, or a problem.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Fail;
    async fn from_request(request: Request, state: &App) -> Result<Self, Fail> {
        axum::Json::<T>::from_request(request, state).await.map(|axum::Json(v)| Self(v)).map_err(Fail::from)
    }
}

/// The query string in this shape, or a problem.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = Fail;
    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &App) -> Result<Self, Fail> {
        axum::extract::Query::<T>::from_request_parts(parts, state).await.map(|axum::extract::Query(v)| Self(v)).map_err(|rejection| {
            let text = rejection.body_text();
            let zh = format!("地址中的参数有误（{text}）");
            Fail::because(Code::BadRequest, text, zh)
        })
    }
}

/// One part of the path.
pub struct PathId(pub String);

impl FromRequestParts<App> for PathId {
    type Rejection = Fail;
    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &App) -> Result<Self, Fail> {
        let axum::extract::Path(id) =
            axum::extract::Path::<String>::from_request_parts(parts, state).await.map_err(|_| Fail::not_found())?;
        if id.is_empty() || id.len() > 256 {
            return Err(Fail::not_found());
        }
        Ok(Self(id))
    }
}

/// `limit` and `cursor` of a list.
#[derive(Debug, Default, serde::Deserialize)]
pub struct Paging {
    pub limit: Option<usize>,
    pub cursor: Option<String>,
}

impl Paging {
    pub fn limit(&self) -> Result<usize, Fail> {
        match self.limit {
            None => Ok(PAGE_DEFAULT),
            Some(n) if (1..=PAGE_MAX).contains(&n) => Ok(n),
            Some(_) => Err(Fail::because(Code::BadRequest, "limit is 1 to 1000", "limit 应为 1 至 1000")),
        }
    }
    /// A page out of a list that is wholly at hand; the cursor is the number of items before it.
    pub fn cut<T>(&self, items: Vec<T>) -> Result<(Vec<T>, Option<String>), Fail> {
        let skip: usize = match self.cursor.as_deref().filter(|c| !c.is_empty()) {
            None => 0,
            Some(text) => text.parse().map_err(|_| Fail::code(Code::BadCursor))?,
        };
        let limit = self.limit()?;
        let total = items.len();
        let page: Vec<T> = items.into_iter().skip(skip).take(limit).collect();
        let end = skip.saturating_add(page.len());
        Ok((page, (end < total).then(|| end.to_string())))
    }
}
