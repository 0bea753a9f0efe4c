//! Judging everything a filter matches, by forms alone: what would change, then doing it, then taking it back.

use api::{BulkOutcome, BulkTriage, TriageAction};
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::{Page, SafeForm};
use crate::serve::gate::Caller;
use crate::serve::reply::Fail;
use crate::serve::routes::App;
use crate::serve::routes::bulk::{judge_all, take_back};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct BulkForm {
    q: String,
    state: String,
    severity: String,
    action: String,
    reason: String,
    note: String,
    /// Anything: do it. Nothing: say what would change.
    sure: String,
}

#[derive(Debug, Deserialize)]
pub struct UndoForm {
    undo: String,
}

#[derive(Template)]
#[template(path = "bulk.html")]
struct BulkView<'a> {
    page: &'a Page,
    wish: BulkForm,
    what: String,
    done: BulkOutcome,
    undone: bool,
}

pub async fn triage(State(shared): State<App>, caller: Caller, page: Page, SafeForm(form): SafeForm<BulkForm>) -> Result<Response, Fail> {
    let action = TriageAction::from_name(&form.action).ok_or_else(|| Fail::code(api::Code::BadRequest))?;
    let given = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
    shared
        .work(move |s| {
            let wish = BulkTriage {
                q: form.q.clone(),
                state: given(&form.state),
                severity: given(&form.severity),
                sector: None,
                unit: None,
                action,
                // The form always has the field; what it says is about closing only.
                reason: given(&form.reason).filter(|_| action == TriageAction::Close),
                note: given(&form.note),
                dry_run: form.sure.is_empty(),
            };
            let done = judge_all(s, &caller, &wish)?;
            let mut what = page.word("bulk.action.", action.name());
            if let Some(reason) = &wish.reason {
                what = format!("{what} · {}", page.word("reason.", reason));
            }
            Ok(page.answer_ref(StatusCode::OK, &BulkView { page: &page, wish: form, what, done, undone: false }))
        })
        .await
}

pub async fn undo(State(shared): State<App>, caller: Caller, page: Page, SafeForm(form): SafeForm<UndoForm>) -> Result<Response, Fail> {
    shared
        .work(move |s| {
            let done = take_back(s, &caller, &form.undo)?;
            let view = BulkView { page: &page, wish: BulkForm::default(), what: String::new(), done, undone: true };
            Ok(page.answer_ref(StatusCode::OK, &view))
        })
        .await
}
