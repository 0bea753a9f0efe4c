//! Rules in force and rules refused.

use axum::extract::State;
use axum::response::Response;

use super::{App, PathId};
use crate::serve::gate::Caller;
use crate::serve::reply::{self, Fail};

pub async fn list(State(shared): State<App>, _caller: Caller) -> Result<Response, Fail> {
    let mut page = shared.work(|s| Ok(s.backstage.rules())).await?;
    for rule in &mut page.items {
        rule.source.clear();
    }
    Ok(reply::json(&page))
}

pub async fn one(State(shared): State<App>, _caller: Caller, PathId(id): PathId) -> Result<Response, Fail> {
    let page = shared.work(|s| Ok(s.backstage.rules())).await?;
    let rule = page.items.into_iter().find(|r| r.id == id).ok_or_else(Fail::not_found)?;
    Ok(reply::json(&rule))
}
