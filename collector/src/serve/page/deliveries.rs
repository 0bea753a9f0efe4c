//! The delivery log and the channels, for the city's people: what is on its way, what was given up and why, and a test of each channel.

use api::{Channel, ChannelTested, Delivery};
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::{Page, SafeForm};
use crate::serve::gate::Caller;
use crate::serve::reply::Fail;
use crate::serve::routes::deliveries::{self, Which};
use crate::serve::routes::{App, Params, PathId};

pub const STATES: [&str; 4] = ["queued", "failed", "sent", "dead"];

#[derive(Template)]
#[template(path = "deliveries.html")]
struct View<'a> {
    page: &'a Page,
    which: &'a Which,
    items: Vec<Delivery>,
    next: Option<String>,
    channels: Vec<Channel>,
    tested: Option<ChannelTested>,
    may_test: bool,
}

async fn show(shared: &App, page: Page, caller: &Caller, which: Which, tested: Option<ChannelTested>) -> Result<Response, Fail> {
    deliveries::city(caller)?;
    let may_test = caller.may(api::Permission::NotifyTest);
    shared
        .work(move |s| {
            let found = deliveries::find(s, &which)?;
            let channels = deliveries::all(s)?.items;
            let view = View { page: &page, which: &which, items: found.items, next: found.next, channels, tested, may_test };
            Ok(page.answer_ref(StatusCode::OK, &view))
        })
        .await
}

pub async fn list(State(shared): State<App>, caller: Caller, page: Page, Params(which): Params<Which>) -> Result<Response, Fail> {
    show(&shared, page, &caller, which, None).await
}

#[derive(Template)]
#[template(path = "delivery.html")]
struct One<'a> {
    page: &'a Page,
    d: Delivery,
    may_retry: bool,
}

pub async fn one(State(shared): State<App>, caller: Caller, page: Page, PathId(id): PathId) -> Result<Response, Fail> {
    deliveries::city(&caller)?;
    let may = caller.may(api::Permission::NotifyTest);
    shared
        .work(move |s| {
            let d = deliveries::with_tries(s, &id)?;
            let may_retry = may && d.state == "dead" && !d.channel.is_empty();
            Ok(page.answer_ref(StatusCode::OK, &One { page: &page, d, may_retry }))
        })
        .await
}

#[derive(Debug, Deserialize)]
pub struct Nothing {}

pub async fn retry(
    State(shared): State<App>,
    caller: Caller,
    PathId(id): PathId,
    SafeForm(_): SafeForm<Nothing>,
) -> Result<Response, Fail> {
    deliveries::city(&caller)?;
    shared
        .work(move |s| {
            deliveries::again(s, &caller, &id)?;
            Ok(Redirect::to(&format!("/deliveries/{id}")).into_response())
        })
        .await
}

#[derive(Debug, Deserialize)]
pub struct TestForm {
    channel: String,
}

pub async fn test(State(shared): State<App>, caller: Caller, page: Page, SafeForm(form): SafeForm<TestForm>) -> Result<Response, Fail> {
    deliveries::city(&caller)?;
    let tested = deliveries::try_out(&shared, &caller, &form.channel, None).await?;
    show(&shared, page, &caller, Which::default(), Some(tested)).await
}
