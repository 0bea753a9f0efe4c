//! A unit's portal: its receipts, and one with what it is about, which of its own hosts match, what to do and by when, and the forms to sign
//! and to feed back. Works without JavaScript. Nothing on it comes from anything but the unit's own receipts.

use api::Matter as Shown;
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use matter::disclose::Match;
use matter::receipt::{self, Receipt};
use matter::warn::Verdict;
use matter::{Kind, Matter, Order};
use serde_json::json;

use super::Page;
use super::matters::{Form, Told, may, told};
use super::warnings::{Mark, mark, notice, said, unit_name};
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::reply::Fail;
use crate::serve::routes::App;
use crate::serve::routes::matters::{ListParams, find, page_of};

/// Receipts on the page; older ones are in the list of receipts.
const SHOWN_MAX: usize = 100;

fn kind() -> Result<&'static Kind, Fail> {
    Kind::find(Receipt::KIND).ok_or_else(Fail::not_found)
}

struct Row {
    id: String,
    level: Mark,
    title: String,
    unit: String,
    state: String,
    exercise: bool,
    ended: bool,
    sent: String,
    sign_by: String,
    sign_late: bool,
    answer_by: String,
    answer_late: bool,
}

#[derive(Template)]
#[template(path = "portal.html")]
struct PortalView<'a> {
    page: &'a Page,
    open: Vec<Row>,
    over: Vec<Row>,
}

pub async fn all(State(shared): State<App>, caller: Caller, page: Page) -> Result<Response, Fail> {
    shared
        .work(move |s| {
            let mut rows = Vec::new();
            for exercise in [false, true] {
                let params = ListParams { exercise: Some(exercise), full: Some(true), limit: Some(SHOWN_MAX), ..ListParams::default() };
                let found = page_of(s, &caller, kind()?, &params)?;
                rows.extend(found.items.into_iter().filter_map(|m| serde_json::from_value::<Receipt>(m.body?).ok()));
            }
            let book = s.office.book();
            let (over, open): (Vec<_>, Vec<_>) =
                rows.iter().map(|r| row(&page, unit_name(&page, &book, &r.unit), r)).partition(|r| r.ended);
            Ok(page.answer_ref(StatusCode::OK, &PortalView { page: &page, open, over }))
        })
        .await
}

fn row(page: &Page, unit: String, receipt: &Receipt) -> Row {
    let time = |t: Option<event::Timestamp>| t.map(|t| page.times.short(&t.to_string())).unwrap_or_default();
    Row {
        id: receipt.id.clone(),
        level: mark(page, Verdict::issued(receipt.level)),
        title: receipt.last().map(|c| said(page, &c.notice.title)).unwrap_or_default(),
        unit,
        state: page.state_word(receipt.state.name()),
        exercise: receipt.exercise,
        ended: receipt.state == receipt::State::Ended,
        sent: time(Some(receipt.sent)),
        sign_by: if receipt.signature().is_none() { time(receipt.sign_limit()) } else { String::new() },
        sign_late: receipt.signature().is_none() && receipt.receipt_overdue.is_some(),
        answer_by: time(receipt.feedback_due),
        answer_late: receipt.feedback_overdue.is_some() && receipt.answer().is_none(),
    }
}

struct Answer {
    at: String,
    who: String,
    affected: String,
    objects: u32,
    measures: String,
    help: String,
}

#[derive(Template)]
#[template(path = "receipt.html")]
struct OneView<'a> {
    page: &'a Page,
    matter: Shown,
    row: Row,
    step: String,
    number: u32,
    issuer: String,
    certainty: String,
    tlp: String,
    pap: String,
    hash: String,
    broken: bool,
    notice: Vec<(String, String)>,
    measures: Vec<String>,
    /// What was seen elsewhere, and of whom.
    elsewhere: String,
    others: String,
    hosts: Vec<Match>,
    hosts_more: usize,
    signed: String,
    answers: Vec<Answer>,
    earlier: Vec<(u32, String, String)>,
    forms: Vec<Form>,
    history: Vec<Told>,
    problem: String,
}

pub fn one(shared: &Shared, caller: &Caller, page: &Page, id: &str, status: StatusCode, problem: String) -> Result<Response, Fail> {
    let kind = kind()?;
    let mut matter = find(shared, caller, kind, id)?;
    let mut receipt = read(&mut matter)?;
    // One of the unit's own people opened it: that is what seen means. Nobody else's look counts.
    let theirs = caller.scope.units.is_some() && kind.act_row("see").is_some_and(|row| may(caller, row));
    if receipt.seen.is_none() && theirs {
        let order = Order { kind: kind.word.to_owned(), id: Some(id.to_owned()), expected: None, act: json!({"act": "see"}), key: None };
        match shared.office.act(&caller.actor(), shared.now(), order) {
            Ok(_) => {
                matter = find(shared, caller, kind, id)?;
                receipt = read(&mut matter)?;
            }
            Err(why) => tracing::warn!(%why, id, "not marked as seen"),
        }
    }
    let book = shared.office.book();
    let time = |t: event::Timestamp| page.times.short(&t.to_string());
    let copy = receipt.last().ok_or_else(|| Fail::code(api::Code::Internal))?;
    let rows = receipt.sensible().into_iter().filter_map(|word| kind.act_row(word)).filter(|row| may(caller, row));
    let mut forms: Vec<Form> = rows.map(|row| Form::new(page, row, format!("/{}/{id}/{}", kind.plural, row.word))).collect();
    if let Some(first) = forms.first_mut() {
        first.open = receipt.state != receipt::State::Ended;
    }
    let view = OneView {
        page,
        row: row(page, unit_name(page, &book, &receipt.unit), &receipt),
        step: page.word("warning.step.", copy.step.name()),
        number: copy.number,
        issuer: said(page, &copy.issuer),
        certainty: serde_json::to_value(copy.certainty).ok().and_then(|v| Some(page.state_word(v.as_str()?))).unwrap_or_default(),
        tlp: copy.tlp.name().to_uppercase(),
        pap: copy.pap.name().to_uppercase(),
        hash: copy.hash.chars().take(16).collect(),
        broken: receipt.verify(&book).is_err(),
        notice: notice(page, &copy.notice),
        measures: copy.notice.measures.iter().map(|m| said(page, m)).collect(),
        elsewhere: copy.disclosed.as_ref().map(|d| said(page, &d.text)).unwrap_or_default(),
        others: copy.disclosed.as_ref().map(|d| d.others.join(", ")).unwrap_or_default(),
        hosts: copy.disclosed.iter().flat_map(|d| d.hosts.clone()).collect(),
        hosts_more: copy.disclosed.as_ref().map_or(0, |d| d.beyond),
        signed: receipt.signature().map(|s| format!("{} {}", s.who, time(s.at))).unwrap_or_default(),
        answers: receipt
            .feedback
            .iter()
            .rev()
            .map(|f| Answer {
                at: time(f.at),
                who: f.who.clone(),
                affected: page.word("receipt.affected.", f.affected.name()),
                objects: f.objects,
                measures: f.measures.clone(),
                help: f.help.clone(),
            })
            .collect(),
        earlier: receipt
            .copies
            .iter()
            .rev()
            .skip(1)
            .map(|c| (c.number, page.word("warning.step.", c.step.name()), time(c.issued)))
            .collect(),
        forms,
        history: told(shared, caller, page, kind, id)?,
        matter,
        problem,
    };
    Ok(page.answer_ref(status, &view))
}

fn read(matter: &mut Shown) -> Result<Receipt, Fail> {
    serde_json::from_value(matter.body.take().unwrap_or_default()).map_err(|_| Fail::code(api::Code::Internal))
}
