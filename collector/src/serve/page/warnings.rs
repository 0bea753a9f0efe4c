//! Warnings for the people who judge and issue them: the list, and one with its three levels side by side, why, what stands in the way of the
//! next step, who was told and what they answered. The acts are the forms of every kind; only those that make sense now are offered.

use std::collections::BTreeMap;

use api::{Matter as Shown, MatterPage};
use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use matter::campaign::Campaign;
use matter::incident::Incident;
use matter::receipt::Receipt;
use matter::route::{Concern, concerned};
use matter::warn::{self, Verdict, Warning};
use matter::{Actor, Book, Both, Desk, Kind, Matter, Notice, Refusal, Revision};

use super::Page;
use super::matters::{Form, Told, may, told};
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::reply::Fail;
use crate::serve::routes::matters::{ListParams, find, page_of};

/// Receipts on one page; units a warning goes to at most.
const RECEIPTS_MAX: usize = 1_000;
/// Units offered that are not told yet.
const OFFERED_MAX: usize = 40;

/// The kind's row.
fn kind(word: &str) -> Result<&'static Kind, Fail> {
    Kind::find(word).ok_or_else(Fail::not_found)
}

/// A level with its mark.
pub struct Mark {
    pub class: &'static str,
    pub text: String,
}

pub fn mark(page: &Page, level: Verdict) -> Mark {
    let text = level.level().map_or_else(|| page.state_word(level.name()), |l| page.word("level.", l.name()));
    Mark { class: level.name(), text }
}

struct Row {
    id: String,
    title: String,
    state: String,
    exercise: bool,
    recommended: Option<Mark>,
    assessed: Option<Mark>,
    issued: Option<Mark>,
    told: usize,
    signed: usize,
    fed_back: usize,
    overdue: bool,
    updated: String,
}

#[derive(Template)]
#[template(path = "warnings.html")]
struct ListView<'a> {
    page: &'a Page,
    rows: Vec<Row>,
    state: String,
    q: String,
    exercise: bool,
    next: Option<String>,
    forms: Vec<Form>,
    problem: String,
}

pub fn list(
    shared: &Shared,
    caller: &Caller,
    page: &Page,
    asked: &BTreeMap<String, String>,
    status: StatusCode,
    problem: String,
) -> Result<Response, Fail> {
    let kind = kind(Warning::KIND)?;
    let text = |name: &str| asked.get(name).cloned().filter(|t| !t.is_empty());
    let (state, q) = (text("state").unwrap_or_else(|| "open".to_owned()), text("q"));
    let exercise = asked.get("exercise").is_some_and(|t| t == "true");
    let params = ListParams {
        state: Some(state.clone()),
        level: text("level"),
        q: q.clone(),
        exercise: Some(exercise),
        full: Some(true),
        limit: Some(50),
        cursor: text("cursor"),
        ..ListParams::default()
    };
    let MatterPage { items, next } = page_of(shared, caller, kind, &params)?;
    let mut rows = Vec::with_capacity(items.len());
    for item in items {
        let Some(warning) = item.body.clone().and_then(|b| serde_json::from_value::<Warning>(b).ok()) else { continue };
        let receipts = receipts(shared, caller, &warning)?;
        rows.push(Row {
            title: page.both(&item.title).to_owned(),
            state: page.state_word(&item.state),
            exercise: item.exercise,
            recommended: warning.recommended.as_ref().map(|r| mark(page, r.verdict())),
            assessed: warning.assessed.as_ref().map(|a| mark(page, a.level)),
            issued: warning.issued_level.map(|l| mark(page, l)),
            told: receipts.len(),
            signed: receipts.iter().filter(|r| r.signature().is_some()).count(),
            fed_back: receipts.iter().filter(|r| r.answer().is_some()).count(),
            overdue: warning.overdue.is_some(),
            updated: item.updated,
            id: item.id,
        });
    }
    let forms = kind.acts.iter().filter(|a| a.opens && may(caller, a));
    let forms = forms.map(|a| Form::new(page, a, format!("/{}/new/{}", kind.plural, a.word))).collect();
    let view = ListView { page, rows, state, q: q.unwrap_or_default(), exercise, next, forms, problem };
    Ok(page.answer_ref(status, &view))
}

/// Receipts of a warning, by unit.
fn receipts(shared: &Shared, caller: &Caller, warning: &Warning) -> Result<Vec<Receipt>, Fail> {
    if warning.revisions.is_empty() {
        return Ok(Vec::new());
    }
    let params = ListParams {
        link: Some(warning.id.clone()),
        exercise: Some(warning.exercise),
        full: Some(true),
        limit: Some(RECEIPTS_MAX),
        ..ListParams::default()
    };
    let found = page_of(shared, caller, kind(Receipt::KIND)?, &params)?;
    let mut all: Vec<Receipt> = found.items.into_iter().filter_map(|m| serde_json::from_value(m.body?).ok()).collect();
    all.sort_by(|a, b| a.unit.cmp(&b.unit));
    Ok(all)
}

/// A unit's receipt as a row.
struct Line {
    id: String,
    unit: String,
    state: String,
    signed: String,
    receipt_due: String,
    feedback_due: String,
    overdue: bool,
    escalated: String,
    affected: String,
    objects: u32,
    help: String,
}

struct Version {
    number: u32,
    step: String,
    level: Mark,
    issued: String,
    drafted: String,
    approved: String,
    hash: String,
    broken: String,
}

struct Offer {
    unit: String,
    id: String,
    why: String,
}

#[derive(Template)]
#[template(path = "warning.html")]
struct OneView<'a> {
    page: &'a Page,
    matter: Shown,
    recommended: Option<Mark>,
    assessed: Option<Mark>,
    assessed_why: String,
    issued: Option<Mark>,
    right: Mark,
    reasons: Vec<String>,
    notice: Vec<(String, String)>,
    measures: Vec<String>,
    /// Address and id of what it is about.
    about: Vec<(String, String)>,
    audience: Vec<String>,
    offers: Vec<Offer>,
    draft: Option<Stage>,
    overdue: bool,
    review: String,
    expires: String,
    not_down: Vec<String>,
    not_over: Vec<String>,
    proposal: Vec<(String, String)>,
    receipts: Vec<Line>,
    versions: Vec<Version>,
    broken: String,
    notes: Vec<(String, String, String)>,
    forms: Vec<Form>,
    history: Vec<Told>,
    problem: String,
}

/// The revision in preparation.
struct Stage {
    step: String,
    stage: String,
    level: Option<Mark>,
    hands: String,
    mine: bool,
    approved: String,
    returned: String,
}

pub fn one(shared: &Shared, caller: &Caller, page: &Page, id: &str, status: StatusCode, problem: String) -> Result<Response, Fail> {
    let kind = kind(Warning::KIND)?;
    let mut matter = find(shared, caller, kind, id)?;
    let body = matter.body.take().unwrap_or_default();
    let warning: Warning = serde_json::from_value(body).map_err(|_| Fail::code(api::Code::Internal))?;
    let book = shared.office.book();
    let look = look(shared, &book, &warning);
    let name = |unit: &str| unit_name(page, &book, unit);
    let receipts = receipts(shared, caller, &warning)?;
    let text = warning.draft.as_ref().map(|d| &d.notice).or(warning.last().map(|r| &r.notice));
    let audience = warning.draft.as_ref().map(|d| &d.units).or(warning.last().map(|r| &r.units)).cloned().unwrap_or_default();
    let reasons =
        warning.recommended.iter().flat_map(|r| &r.recommendation.reasons).chain(warning.last().into_iter().flat_map(|r| &r.reasons));
    let mut sentences: Vec<String> = Vec::new();
    for reason in reasons.map(|r| graded(page, &book, r)) {
        if !sentences.contains(&reason) {
            sentences.push(reason);
        }
    }
    let broken = warn::verify(&warning, &book).err();
    let view = OneView {
        page,
        recommended: warning.recommended.as_ref().map(|r| mark(page, r.verdict())),
        assessed: warning.assessed.as_ref().map(|a| mark(page, a.level)),
        assessed_why: warning.assessed.as_ref().map(|a| format!("{} · {}", a.by, a.reason)).unwrap_or_default(),
        issued: warning.issued_level.map(|l| mark(page, l)),
        right: mark(page, look.right),
        reasons: sentences,
        notice: text.map(|n| notice(page, n)).unwrap_or_default(),
        measures: text.map(|n| n.measures.iter().map(|m| m.pick(page.is_zh()).to_owned()).collect()).unwrap_or_default(),
        offers: offers(page, &book, &warning, &audience),
        about: matter.links.iter().map(|id| (address(shared, caller, id), id.clone())).collect(),
        audience: audience.iter().map(|u| name(u)).collect(),
        draft: warning.draft.as_ref().map(|d| stage(page, caller, d)),
        overdue: warning.overdue.is_some(),
        review: warning.review_due.map(|t| page.times.short(&t.to_string())).unwrap_or_default(),
        expires: warning.last().filter(|r| !r.step.ends()).map(|r| page.times.short(&r.expires.to_string())).unwrap_or_default(),
        not_down: look.not_down.iter().map(|b| said(page, b)).collect(),
        not_over: look.not_over.iter().map(|b| said(page, b)).collect(),
        proposal: proposal(page, &warning),
        receipts: receipts.iter().map(|r| line(page, name(&r.unit), r)).collect(),
        versions: warning.revisions.iter().rev().map(|r| version(page, r, &book)).collect(),
        broken: broken.map(|b| format!("{} · {}", b.number, b.why.pick(page.is_zh()))).unwrap_or_default(),
        notes: warning.notes.iter().rev().map(|n| (page.times.short(&n.at.to_string()), n.by.clone(), n.text.clone())).collect(),
        forms: forms(page, caller, kind, &warning, matter.revision),
        history: told(shared, caller, page, kind, id)?,
        matter,
        problem,
    };
    Ok(page.answer_ref(status, &view))
}

/// Where something a warning is about is shown; empty: nowhere.
fn address(shared: &Shared, caller: &Caller, id: &str) -> String {
    let kinds = [Campaign::KIND, Incident::KIND, Warning::KIND].into_iter().filter_map(Kind::find).filter(|k| caller.may(k.read));
    let there = |kind: &&'static Kind| shared.desk.matter(&caller.scope, kind.word, id).is_ok_and(|row| row.is_some());
    kinds.into_iter().find(there).map(|kind| format!("/{}/{id}", kind.plural)).unwrap_or_default()
}

/// What only the desk can say of it: how high it may go, and what still keeps it from going down or being lifted.
struct Look {
    right: Verdict,
    not_down: Vec<Both>,
    not_over: Vec<Both>,
}

fn look(shared: &Shared, book: &Book, warning: &Warning) -> Look {
    let by = Actor::desk();
    let mut seen = Look { right: Verdict::Advisory, not_down: Vec::new(), not_over: Vec::new() };
    // A transaction that is never kept: the shelf is read inside one.
    let looked = shared.desk.transact(&mut |shelf| {
        let desk = Desk { book, shelf, by: &by, now: shared.now() };
        seen.right = warning.right(&desk);
        if warning.issued_level.is_some() && !warning.state.closed() {
            seen.not_down = warning.not_yet_down(&desk)?;
            seen.not_over = warning.not_yet_over(&desk)?;
        }
        Err(Refusal::Storage(String::new()))
    });
    if let Err(Refusal::Storage(why)) = looked
        && !why.is_empty()
    {
        tracing::error!(why, id = warning.id, "what stands in the way of a warning cannot be read");
    }
    seen
}

pub fn unit_name(page: &Page, book: &Book, unit: &str) -> String {
    let name = book.units.get(unit).map_or(unit, |u| u.name.as_str());
    page.unit(unit, name).to_owned()
}

/// A person, or the desk itself.
pub fn who(page: &Page, name: &str) -> String {
    if name == "desk" { page.say("matters.by.desk") } else { name.to_owned() }
}

/// A reason of a grade, with the object by its name instead of its id.
pub fn graded(page: &Page, book: &Book, reason: &warning::AlertReason) -> String {
    let mut reason = reason.clone();
    if let Some(serde_json::Value::String(id)) = reason.args.get_mut("object") {
        if let Some(object) = book.objects.get(id) {
            *id = page.named(&object.name, &object.name_en).to_owned();
        } else if let Some(unit) = id.strip_prefix("unit:") {
            *id = unit_name(page, book, unit);
        }
    }
    warning::render(&reason, page.lang.of_warning())
}

pub fn said(page: &Page, both: &Both) -> String {
    both.pick(page.is_zh()).to_owned()
}

/// The parts of a notice that are not empty, each with its heading.
pub fn notice(page: &Page, notice: &Notice) -> Vec<(String, String)> {
    let indicators = notice.indicators.iter().map(|i| format!("{} {}", i.r#type, i.value)).collect::<Vec<_>>().join("\n");
    let techniques = notice.techniques.iter().map(|t| format!("{t} {}", page.technique(t))).collect::<Vec<_>>().join("\n");
    let parts = [
        ("warning.event", said(page, &notice.event)),
        ("warning.threat", said(page, &notice.threat)),
        ("warning.scope", said(page, &notice.scope)),
        ("warning.impact", said(page, &notice.impact)),
        ("warning.category", notice.category.clone()),
        ("warning.indicators", indicators),
        ("warning.techniques", techniques),
    ];
    parts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(id, text)| (page.say(id), text)).collect()
}

/// Units the register says are concerned and nobody tells yet.
fn offers(page: &Page, book: &Book, warning: &Warning, audience: &[String]) -> Vec<Offer> {
    if warning.state.closed() {
        return Vec::new();
    }
    let text = warning.draft.as_ref().map(|d| &d.notice).or(warning.last().map(|r| &r.notice));
    let recommended = warning.recommended.as_ref();
    let objects = recommended.and_then(|r| r.case.as_ref()).map(|c| c.object.iter().map(|o| o.id.clone()).collect());
    let concern = Concern {
        indicators: text.map(|n| n.indicators.clone()).unwrap_or_default(),
        objects: objects.unwrap_or_default(),
        units: recommended.map(|r| r.concerned.clone()).unwrap_or_default(),
        ..Concern::default()
    };
    let routed = concerned(book, &concern).into_iter().filter(|r| !audience.contains(&r.unit) && book.units.contains_key(&r.unit));
    let offer = |r: matter::route::Routed| Offer {
        why: r.why.first().map(|w| said(page, &w.text)).unwrap_or_default(),
        id: r.unit.clone(),
        unit: unit_name(page, book, &r.unit),
    };
    routed.take(OFFERED_MAX).map(offer).collect()
}

fn stage(page: &Page, caller: &Caller, draft: &warn::Draft) -> Stage {
    let person = |s: &warn::Said| format!("{} {} {}", s.by, page.times.short(&s.at.to_string()), s.text);
    Stage {
        step: page.word("warning.step.", draft.step.name()),
        stage: page.state_word(draft.stage.name()),
        level: draft.level.map(|l| mark(page, l)),
        hands: draft.hands.iter().cloned().collect::<Vec<_>>().join(", "),
        mine: draft.hands.contains(&caller.name),
        approved: draft.approved.as_ref().map(person).unwrap_or_default(),
        returned: draft.returned.as_ref().map(person).unwrap_or_default(),
    }
}

fn proposal(page: &Page, warning: &Warning) -> Vec<(String, String)> {
    let Some(proposal) = &warning.proposal else { return Vec::new() };
    let mut lines = vec![
        (page.say("warning.proposed"), format!("{} · {} · {}", said(page, &proposal.to), mark(page, proposal.level).text, proposal.reason)),
        (page.say("warning.by"), format!("{} {}", proposal.by, page.times.short(&proposal.at.to_string()))),
    ];
    if let Some(answer) = &proposal.answer {
        let granted = answer.level.map_or_else(|| page.say("warning.refused"), |l| mark(page, l).text);
        lines.push((page.say("warning.answer"), format!("{granted} · {} · {}", answer.reference, answer.by)));
    }
    lines
}

fn line(page: &Page, unit: String, receipt: &Receipt) -> Line {
    let time = |t: Option<event::Timestamp>| t.map(|t| page.times.short(&t.to_string())).unwrap_or_default();
    let answer = receipt.answer();
    Line {
        id: receipt.id.clone(),
        unit,
        state: page.state_word(receipt.state.name()),
        signed: receipt.signature().map(|s| format!("{} {}", s.who, time(Some(s.at)))).unwrap_or_default(),
        receipt_due: time(receipt.receipt_due),
        feedback_due: time(receipt.feedback_due),
        overdue: receipt.receipt_overdue.is_some() && receipt.signature().is_none()
            || receipt.feedback_overdue.is_some() && answer.is_none(),
        escalated: match receipt.escalated {
            0 => String::new(),
            steps => page.word("receipt.line.", &steps.min(3).to_string()),
        },
        affected: answer.map(|f| page.word("receipt.affected.", f.affected.name())).unwrap_or_default(),
        objects: answer.map_or(0, |f| f.objects),
        help: answer.map(|f| f.help.clone()).unwrap_or_default(),
    }
}

fn version(page: &Page, revision: &Revision, book: &Book) -> Version {
    Version {
        number: revision.number,
        step: page.word("warning.step.", revision.step.name()),
        level: mark(page, Verdict::issued(revision.level)),
        issued: page.times.full(&revision.issued.to_string()),
        drafted: who(page, &revision.drafted_by),
        approved: revision.approved_by.clone().unwrap_or_default(),
        hash: revision.hash.chars().take(16).collect(),
        broken: if book.holds(revision) { String::new() } else { page.say("warning.broken") },
    }
}

/// Forms of what makes sense now and this person may; the next step first and unfolded.
fn forms(page: &Page, caller: &Caller, kind: &'static Kind, warning: &Warning, revision: u64) -> Vec<Form> {
    let hands = warning.draft.as_ref().is_some_and(|d| d.hands.contains(&caller.name));
    let rows = warning.sensible().into_iter().filter_map(|word| kind.act_row(word));
    let rows = rows.filter(|row| may(caller, row) && !(row.word == "approve" && hands));
    let mut forms: Vec<Form> = rows
        .map(|row| {
            let mut form = Form::new(page, row, format!("/{}/{}/{}", kind.plural, warning.id, row.word));
            form.revision = Some(revision);
            fill(&mut form, row.word, warning);
            form
        })
        .collect();
    if let Some(first) = forms.first_mut().filter(|_| !warning.state.closed()) {
        first.open = true;
    }
    forms
}

/// What stands there already.
fn fill(form: &mut Form, act: &str, warning: &Warning) {
    if act == "assess" {
        let recommended = warning.recommended.as_ref().map(|r| r.verdict().name());
        form.fill("level", warning.draft.as_ref().and_then(|d| d.level).map(Verdict::name).or(recommended).unwrap_or(""), "");
        return;
    }
    let draft = warning.draft.as_ref().filter(|_| act == "edit");
    let (notice, units) = match (draft, warning.last()) {
        (Some(draft), _) => (&draft.notice, Some(&draft.units)),
        (None, Some(last)) if matches!(act, "update" | "upgrade" | "downgrade") => (&last.notice, None),
        _ => return,
    };
    let texts = [
        ("title", &notice.title),
        ("event", &notice.event),
        ("threat", &notice.threat),
        ("scope", &notice.scope),
        ("impact", &notice.impact),
    ];
    for (name, text) in texts {
        form.fill(name, text.zh.clone(), text.en.clone());
    }
    form.fill("category", notice.category.clone(), "");
    form.fill("measures", notice.measures.iter().map(|m| format!("{} | {}", m.zh, m.en)).collect::<Vec<_>>().join("\n"), "");
    if !notice.indicators.is_empty() {
        form.fill("indicators", serde_json::to_string(&notice.indicators).unwrap_or_default(), "");
    }
    form.fill("techniques", notice.techniques.join("\n"), "");
    if let Some(units) = units {
        form.fill("units", units.join("\n"), "");
    }
}
