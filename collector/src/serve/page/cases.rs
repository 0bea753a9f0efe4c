//! A campaign, an incident and a silence for the people who work on them: what it adds up to and why, which alerts, where it leads. The acts are
//! the forms of every kind, only those that make sense now, the next one unfolded.

use api::Matter as Shown;
use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use event::Timestamp;
use matter::campaign::{self, Campaign, Direction, Judged};
use matter::incident::{Incident, category, grade_name};
use matter::silence::Silence;
use matter::warn::Warning;
use matter::{Kind, Matter};
use serde::de::DeserializeOwned;

use super::Page;
use super::matters::{Form, Told, may, told};
use super::warnings::{graded, said, unit_name};
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::reply::Fail;
use crate::serve::routes::matters::{ListParams, find, page_of};

/// Alerts of an incident looked up for its page; the rest are their ids.
const ALERTS_SHOWN: usize = 100;
/// Warnings and incidents listed on a campaign's page.
const RELATED_MAX: usize = 50;

/// The matter of a kind, its head and itself.
pub(super) fn read<M: Matter + DeserializeOwned>(shared: &Shared, caller: &Caller, id: &str) -> Result<(&'static Kind, Shown, M), Fail> {
    let kind = Kind::find(M::KIND).ok_or_else(Fail::not_found)?;
    let mut shown = find(shared, caller, kind, id)?;
    let body = shown.body.take().unwrap_or_default();
    let matter = serde_json::from_value(body).map_err(|_| Fail::code(api::Code::Internal))?;
    Ok((kind, shown, matter))
}

/// Forms of the acts named that this person may do; the first is unfolded.
fn forms(page: &Page, caller: &Caller, kind: &'static Kind, matter: &Shown, words: &[&str]) -> Vec<Form> {
    let rows = words.iter().filter_map(|word| kind.act_row(word)).filter(|row| may(caller, row));
    let mut forms: Vec<Form> = rows
        .map(|row| {
            let mut form = Form::new(page, row, format!("/{}/{}/{}", kind.plural, matter.id, row.word));
            form.revision = Some(matter.revision);
            form
        })
        .collect();
    if let Some(first) = forms.first_mut().filter(|_| !matter.closed) {
        first.open = true;
    }
    forms
}

/// The form that opens another matter from this one, with what is known filled in.
pub(super) fn opening(page: &Page, caller: &Caller, kind: &str, act: &str, known: &[(&str, String)]) -> Option<Form> {
    let kind = Kind::find(kind)?;
    let row = kind.act_row(act).filter(|row| row.opens && may(caller, row))?;
    let mut form = Form::new(page, row, format!("/{}/new/{}", kind.plural, row.word));
    for (name, value) in known {
        form.fill(name, value.clone(), "");
    }
    Some(form)
}

fn time(page: &Page, time: Timestamp) -> String {
    page.times.short(&time.to_string())
}

/// A note of a person.
struct Note {
    time: String,
    who: String,
    text: String,
}

fn notes(page: &Page, all: &[campaign::Said]) -> Vec<Note> {
    all.iter().rev().map(|n| Note { time: time(page, n.time), who: n.who.clone(), text: n.text.clone() }).collect()
}

/// An alert as a row of another page.
struct AlertLine {
    id: String,
    /// `critical` … `info`, as the style sheet has it.
    severity: &'static str,
    title: String,
    units: String,
    state: String,
    last: String,
}

/// Another matter it belongs to.
pub(super) struct Related {
    pub href: String,
    pub title: String,
    pub level: Option<String>,
    pub state: String,
}

/// Matters of a kind that name this one.
pub(super) fn related<M: Matter>(shared: &Shared, caller: &Caller, page: &Page, link: &str, exercise: bool) -> Result<Vec<Related>, Fail> {
    let Some(kind) = Kind::find(M::KIND).filter(|k| caller.may(k.read)) else { return Ok(Vec::new()) };
    let params = ListParams { link: Some(link.to_owned()), exercise: Some(exercise), limit: Some(RELATED_MAX), ..ListParams::default() };
    let found = page_of(shared, caller, kind, &params)?;
    let one = |m: Shown| Related {
        href: format!("/{}/{}", kind.plural, m.id),
        title: page.both(&m.title).to_owned(),
        level: m.level.clone(),
        state: page.state_word(&m.state),
    };
    Ok(found.items.into_iter().map(one).collect())
}

struct UnitLine {
    name: String,
    sector: String,
    alerts: u64,
    first: String,
    last: String,
}

#[derive(Template)]
#[template(path = "campaign.html")]
struct CampaignView<'a> {
    page: &'a Page,
    matter: Shown,
    direction: String,
    first: String,
    last: String,
    next_look: String,
    alerts: u64,
    beyond: u64,
    damage: u8,
    reasons: Vec<String>,
    units: Vec<UnitLine>,
    units_beyond: u64,
    facts: Vec<(String, Vec<String>)>,
    members: Vec<AlertLine>,
    warnings: Vec<Related>,
    incidents: Vec<Related>,
    notes: Vec<Note>,
    forms: Vec<Form>,
    history: Vec<Told>,
    problem: String,
}

pub fn campaign(shared: &Shared, caller: &Caller, page: &Page, id: &str, status: StatusCode, problem: String) -> Result<Response, Fail> {
    let (kind, matter, campaign) = read::<Campaign>(shared, caller, id)?;
    let book = shared.office.book();
    let mut units: Vec<UnitLine> = Vec::with_capacity(campaign.units.len());
    for (unit, seen) in &campaign.units {
        units.push(UnitLine {
            name: unit_name(page, &book, unit),
            sector: page.sector(&seen.sector),
            alerts: seen.alerts,
            first: time(page, seen.first),
            last: time(page, seen.last),
        });
    }
    units.sort_by(|a, b| b.alerts.cmp(&a.alerts).then_with(|| a.name.cmp(&b.name)));
    let members = campaign.members.iter().rev().map(|m| AlertLine {
        id: m.alert.clone(),
        severity: severity(m.severity),
        title: campaign.rules.get(&m.rule).map_or_else(|| m.rule.clone(), |title| said(page, title)),
        units: m.units.iter().map(|u| unit_name(page, &book, u)).collect::<Vec<_>>().join(", "),
        state: page.word("campaign.judged.", judged_word(m.judged)),
        last: time(page, m.last),
    });
    let techniques = campaign.techniques.iter().map(|t| format!("{t} {}", page.technique(t))).collect();
    let facts = [
        ("campaign.from", campaign.from.clone()),
        ("campaign.indicators", campaign.indicators.clone()),
        ("campaign.techniques", techniques),
        ("campaign.rules", campaign.rules.values().map(|title| said(page, title)).collect()),
    ];
    let words: &[&str] = match campaign.state {
        campaign::State::Open => &["draft", "confirm", "forecast", "note", "close"],
        _ => &["note"],
    };
    let mut forms = forms(page, caller, kind, &matter, words);
    if campaign.state == campaign::State::Open {
        let alerts = campaign.members.iter().map(|m| m.alert.clone()).collect::<Vec<_>>().join("\n");
        let known = [("title", said(page, &campaign.title)), ("campaign", campaign.id.clone()), ("alerts", alerts)];
        forms.extend(opening(page, caller, Incident::KIND, "open", &known));
    }
    let recommended = campaign.recommended.as_ref();
    let view = CampaignView {
        page,
        direction: campaign.group.direction.map(|d| page.word("campaign.direction.", direction_word(d))).unwrap_or_default(),
        first: page.times.full(&campaign.first.to_string()),
        last: page.times.full(&campaign.last.to_string()),
        next_look: if matter.closed { String::new() } else { time(page, campaign.next_look) },
        alerts: campaign.alerts,
        beyond: campaign.beyond,
        damage: recommended.map_or(0, |r| r.damage),
        reasons: recommended.iter().flat_map(|r| &r.reasons).map(|r| graded(page, &book, r)).collect(),
        units,
        units_beyond: campaign.units_beyond,
        facts: facts.into_iter().filter(|(_, all)| !all.is_empty()).map(|(id, all)| (page.say(id), all)).collect(),
        members: members.collect(),
        warnings: related::<Warning>(shared, caller, page, &campaign.id, campaign.exercise)?,
        incidents: related::<Incident>(shared, caller, page, &campaign.id, campaign.exercise)?,
        notes: notes(page, &campaign.notes),
        forms,
        history: told(shared, caller, page, kind, id)?,
        matter,
        problem,
    };
    Ok(page.answer_ref(status, &view))
}

const fn judged_word(judged: Judged) -> &'static str {
    match judged {
        Judged::Open => "open",
        Judged::Confirmed => "confirmed",
        Judged::Dismissed => "dismissed",
    }
}

const fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
        Direction::Across => "across",
        Direction::Inside => "inside",
        Direction::Local => "local",
    }
}

/// A state it went through, or will.
struct Station {
    word: String,
    reached: bool,
    now: bool,
    when: String,
    text: String,
}

struct TimerLine {
    word: String,
    due: String,
    calls: u32,
}

#[derive(Template)]
#[template(path = "incident.html")]
struct IncidentView<'a> {
    page: &'a Page,
    matter: Shown,
    owner: String,
    category: String,
    grade: String,
    grade_why: String,
    opened: String,
    opened_text: String,
    /// There is something to tell of its states.
    storied: bool,
    stations: Vec<Station>,
    timers: Vec<TimerLine>,
    impact: Vec<(String, String)>,
    alerts: Vec<AlertLine>,
    beyond: usize,
    campaign: Option<Related>,
    merged: Vec<String>,
    merged_into: String,
    closed_why: String,
    closed_text: String,
    notes: Vec<Note>,
    forms: Vec<Form>,
    history: Vec<Told>,
    problem: String,
}

pub fn incident(shared: &Shared, caller: &Caller, page: &Page, id: &str, status: StatusCode, problem: String) -> Result<Response, Fail> {
    let (kind, matter, incident) = read::<Incident>(shared, caller, id)?;
    let mut alerts = Vec::new();
    for alert in incident.alerts.iter().take(ALERTS_SHOWN) {
        // One outside the reader's scope, or past its keeping, is left out as if it had never been.
        if let Some(found) = shared.desk.alert(&caller.scope, &warning::AlertId(alert.clone()))? {
            alerts.push(alert_line(page, &Shared::show(&found)));
        }
    }
    let guide = &shared.office.book().tables.desk.grade_guide;
    let impact = incident.impact.iter().map(|(measure, value)| {
        let about = guide.row.iter().find(|r| r.measure == *measure).map(|r| said(page, &r.about));
        (about.unwrap_or_else(|| measure.clone()), value.to_string())
    });
    let campaign = match (&incident.campaign, Kind::find(Campaign::KIND)) {
        (Some(id), Some(kind)) if caller.may(kind.read) => find(shared, caller, kind, id).ok().map(|m| Related {
            href: format!("/{}/{}", kind.plural, m.id),
            title: page.both(&m.title).to_owned(),
            level: m.level.clone(),
            state: page.state_word(&m.state),
        }),
        _ => None,
    };
    let (closed_why, closed_text) =
        incident.closed.as_ref().map(|c| (page.word("incident.reason.", c.reason.name()), c.summary.clone())).unwrap_or_default();
    let words = incident.sensible();
    let mut forms = forms(page, caller, kind, &matter, &words);
    for form in &mut forms {
        // What is known already stands there.
        form.fill("category", incident.category.clone(), "");
        if let Some(grade) = incident.grade {
            form.fill("grade", grade.to_string(), "");
        }
    }
    let view = IncidentView {
        page,
        owner: incident.owner.clone().unwrap_or_default(),
        category: category_text(page, &incident.category),
        grade: incident.grade.map(|g| said(page, &grade_name(g))).unwrap_or_default(),
        grade_why: incident.grade_why.as_ref().map(|why| said(page, why)).unwrap_or_default(),
        opened: format!("{} {}", incident.opened.who, time(page, incident.opened.time)),
        opened_text: incident.opened.text.clone(),
        storied: !incident.opened.text.is_empty() || incident.reached.values().any(|r| !r.text.is_empty()),
        stations: stations(page, &incident),
        timers: incident
            .timers
            .iter()
            .map(|t| TimerLine {
                word: page.word("incident.timer.", &t.word),
                due: time(page, t.since.plus_secs(i64::from(t.limit_min) * 60)),
                calls: t.calls,
            })
            .collect(),
        impact: impact.collect(),
        beyond: incident.alerts.len().saturating_sub(ALERTS_SHOWN),
        alerts,
        campaign,
        merged: incident.merged.keys().cloned().collect(),
        merged_into: incident.merged_into.clone().unwrap_or_default(),
        closed_why,
        closed_text,
        notes: notes(page, &incident.notes),
        forms,
        history: told(shared, caller, page, kind, id)?,
        matter,
        problem,
    };
    Ok(page.answer_ref(status, &view))
}

fn category_text(page: &Page, code: &str) -> String {
    category(code).map_or_else(|| code.to_owned(), |name| format!("{code} {}", said(page, &name)))
}

fn stations(page: &Page, incident: &Incident) -> Vec<Station> {
    use matter::incident::State;
    let all = [State::Suspected, State::Confirmed, State::Handling, State::Recovered, State::Closed];
    all.iter()
        .map(|state| {
            let reached = incident.reached.get(state.name());
            Station {
                word: page.state_word(state.name()),
                reached: reached.is_some() && *state <= incident.state,
                now: *state == incident.state,
                when: reached.map(|r| format!("{} {}", time(page, r.time), r.who)).unwrap_or_default(),
                text: reached.map(|r| r.text.clone()).unwrap_or_default(),
            }
        })
        .collect()
}

fn alert_line(page: &Page, alert: &api::Alert) -> AlertLine {
    AlertLine {
        id: alert.id.clone(),
        severity: severity(alert.severity_id),
        title: page.title(alert).to_owned(),
        units: alert.units.iter().map(|u| page.unit(&u.id, &u.name).to_owned()).collect::<Vec<_>>().join(", "),
        state: page.word("state.", &alert.state),
        last: page.times.short(&alert.last_time),
    }
}

/// Word of a severity; also its class in the style sheet.
fn severity(id: u8) -> &'static str {
    event::Severity::from_u8(id).unwrap_or_default().name()
}

struct HiddenLine {
    id: String,
    severity: &'static str,
    title: String,
    time: String,
}

#[derive(Template)]
#[template(path = "silence.html")]
struct SilenceView<'a> {
    page: &'a Page,
    matter: Shown,
    exception: bool,
    parts: Vec<(String, String)>,
    critical: bool,
    owner: String,
    reason: String,
    from: String,
    until: String,
    hidden: u64,
    last: Vec<HiddenLine>,
    notes: Vec<Note>,
    forms: Vec<Form>,
    history: Vec<Told>,
    problem: String,
}

pub fn silence(shared: &Shared, caller: &Caller, page: &Page, id: &str, status: StatusCode, problem: String) -> Result<Response, Fail> {
    let (kind, matter, silence) = read::<Silence>(shared, caller, id)?;
    let m = &silence.matcher;
    let parts: [(&str, &str); 7] = [
        ("rule", &m.rule),
        ("technique", &m.technique),
        ("unit", &m.unit),
        ("source", &m.source),
        ("target", &m.target),
        ("host", &m.host),
        ("user", &m.user),
    ];
    let words: Vec<&str> = if matter.closed { Vec::new() } else { kind.acts.iter().filter(|a| !a.opens).map(|a| a.word).collect() };
    let view = SilenceView {
        page,
        exception: silence.exception,
        parts: parts
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (page.word("silence.part.", name), value.to_owned()))
            .collect(),
        critical: m.critical,
        owner: silence.owner.clone(),
        reason: silence.reason.clone(),
        from: page.times.full(&silence.from.to_string()),
        until: page.times.full(&silence.until.to_string()),
        hidden: silence.hidden,
        last: silence
            .last
            .iter()
            .rev()
            .map(|h| HiddenLine { id: h.alert.clone(), severity: severity(h.severity), title: h.title.clone(), time: time(page, h.time) })
            .collect(),
        notes: notes(page, &silence.history),
        forms: forms(page, caller, kind, &matter, &words),
        history: told(shared, caller, page, kind, id)?,
        matter,
        problem,
    };
    Ok(page.answer_ref(status, &view))
}

/// Where an alert went, what names it, and what can be made of it: as forms with what is known filled in.
pub struct Belongs {
    pub(super) to: Vec<Related>,
    pub(super) forms: Vec<Form>,
}

pub fn belongs(shared: &Shared, caller: &Caller, page: &Page, alert: &api::Alert) -> Result<Belongs, Fail> {
    let mut to = Vec::new();
    if let Some(place) = shared.desk.place(&warning::AlertId(alert.id.clone()))? {
        for kind in [Campaign::KIND, Silence::KIND].into_iter().filter_map(Kind::find).filter(|k| caller.may(k.read)) {
            if let Some(row) = shared.desk.matter(&caller.scope, kind.word, &place)?
                && let Some(card) = (kind.card)(&row.body)
            {
                to.push(Related {
                    href: format!("/{}/{}", kind.plural, row.id),
                    title: said(page, &card.title),
                    level: card.level.map(|l| l.name().to_owned()),
                    state: page.state_word(card.state),
                });
            }
        }
    }
    to.extend(related::<Incident>(shared, caller, page, &alert.id, false)?);
    let units = alert.units.iter().map(|u| u.id.clone()).collect::<Vec<_>>();
    let mut forms = Vec::new();
    let known = [("title", page.title(alert).to_owned()), ("alerts", alert.id.clone()), ("units", units.join("\n"))];
    forms.extend(opening(page, caller, Incident::KIND, "open", &known));
    let one = |all: &[String]| if let [only] = all { only.clone() } else { String::new() };
    let known =
        [("rule", alert.rule_id.clone()), ("unit", one(&units)), ("source", one(&alert.source_ips)), ("target", one(&alert.target_ips))];
    forms.extend(opening(page, caller, Silence::KIND, "open", &known));
    Ok(Belongs { to, forms })
}
