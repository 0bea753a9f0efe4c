//! A statutory report as a form to be printed: the two items of a first report, what was supplemented, the clocks with their limits.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use matter::clock::Clock;

use super::Page;
use super::bulletin::read;
use crate::serve::gate::Caller;
use crate::serve::reply::Fail;
use crate::serve::routes::{App, PathId};

#[derive(Template)]
#[template(path = "clock.html")]
struct Sheet<'a> {
    page: &'a Page,
    clock: Clock,
}

impl Sheet<'_> {
    fn time(&self, time: Option<&event::Timestamp>) -> String {
        time.map_or_else(String::new, |t| self.page.times.full(&t.to_string()))
    }
    /// 特别重大 … 一般
    fn grade(&self) -> String {
        self.page.say(&format!("clock.grade.{}", self.clock.grade.clamp(1, 4)))
    }
    fn state(&self, state: &matter::clock::RunState) -> String {
        let word = serde_json::to_value(state).ok().and_then(|w| w.as_str().map(str::to_owned)).unwrap_or_default();
        self.page.state_word(&word)
    }
}

pub async fn print(State(shared): State<App>, caller: Caller, page: Page, PathId(id): PathId) -> Result<Response, Fail> {
    shared
        .work(move |s| {
            let clock: Clock = read(s, &caller, &id)?;
            Ok(page.answer_ref(StatusCode::OK, &Sheet { page: &page, clock }))
        })
        .await
}
