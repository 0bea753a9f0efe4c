//! Pages of matters: a list, one with everything in it and its history, and a form for every act, made of the table of kinds. A kind with a
//! page of its own has a row in `PAGES`, and this one steps back.

use std::collections::BTreeMap;

use api::{Code, Matter, MatterEntry, MatterPage};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use matter::{ActRow, FieldRow, Input, KINDS, Kind, Permission};
use serde_json::{Value, json};
use warning::grade::Level;

use super::{PAGES, Page, SafeForm, cases, portal, warnings};
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::i18n;
use crate::serve::reply::Fail;
use crate::serve::routes::matters::{ListParams, Wish, do_it, entries, find as find_matter, page_of};
use crate::serve::routes::{App, Params};
use crate::store::desk::level_number;

/// Values of a body shown; one of a thousand hosts is read through the API.
const LINES_MAX: usize = 400;

/// A list and one matter as a kind of its own look shows them: after the head, what a form was refused for.
type ShowList = fn(&Shared, &Caller, &Page, &BTreeMap<String, String>, StatusCode, String) -> Result<Response, Fail>;
type ShowOne = fn(&Shared, &Caller, &Page, &str, StatusCode, String) -> Result<Response, Fail>;

/// Kinds with a look of their own; addresses, rights and forms stay those of every kind.
static OWN: &[(&str, Option<ShowList>, ShowOne)] = &[
    ("warning", Some(warnings::list), warnings::one),
    ("receipt", None, portal::one),
    ("campaign", None, cases::campaign),
    ("incident", None, cases::incident),
    ("silence", None, cases::silence),
];

/// What a page of a kind is, by its address.
enum What {
    List,
    One,
    Open(&'static ActRow),
    Act(&'static ActRow),
}

fn addresses(kind: &'static Kind) -> Vec<(&'static str, String, Permission, What)> {
    let base = format!("/{}", kind.plural);
    let mut all = vec![("GET", base.clone(), kind.read, What::List), ("GET", format!("{base}/{{id}}"), kind.read, What::One)];
    for act in kind.acts {
        match act.right {
            None => {}
            Some(right) if act.opens => all.push(("POST", format!("{base}/new/{}", act.word), right, What::Open(act))),
            Some(right) => all.push(("POST", format!("{base}/{{id}}/{}", act.word), right, What::Act(act))),
        }
    }
    all.retain(|(method, path, ..)| !PAGES.iter().any(|p| p.method == *method && p.path == path));
    all
}

pub fn mount(mut router: Router<App>) -> Router<App> {
    for kind in KINDS {
        for (_, path, _, what) in addresses(kind) {
            let handler = match what {
                What::List => get(move |shared, caller, page, params| list(shared, caller, page, params, kind)),
                What::One => get(move |shared, caller, page, id| one(shared, caller, page, id, kind)),
                What::Open(act) => post(move |shared, caller, page, form| open(shared, caller, page, form, kind, act)),
                What::Act(act) => post(move |shared, caller, page, id, form| carry_out(shared, caller, page, id, form, kind, act)),
            };
            router = router.route(&path, handler);
        }
    }
    router
}

/// Permission and name, for the gate.
pub fn find(method: &str, path: &str) -> Option<(Permission, &'static str)> {
    let kind = KINDS.iter().find(|k| path[1.min(path.len())..].split('/').next() == Some(k.plural))?;
    let (.., permission, what) = addresses(kind).into_iter().find(|(m, p, ..)| *m == method && p == path)?;
    let name = match what {
        What::List => "pageMatters",
        What::One => "pageMatter",
        What::Open(_) | What::Act(_) => "pageMatterAct",
    };
    Some((permission, name))
}

/// A kind with how many are open, for the overview.
pub struct KindLine {
    pub plural: &'static str,
    pub name: String,
    pub open: u64,
    pub all: u64,
    /// Open ones by level, the gravest first.
    pub levels: Vec<(&'static str, u64)>,
}

/// What is looked at first stands first; a kind not named here comes after them.
const ORDER: &[&str] = &["warning", "campaign", "incident", "receipt", "order", "clock", "silence", "consultation", "bulletin", "drill"];

/// The name of a kind in the reader's language.
pub fn kind_name(page: &Page, kind: &Kind) -> String {
    if page.is_zh() {
        return kind.zh.to_owned();
    }
    let mut name = kind.plural.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    name
}

#[derive(Template)]
#[template(path = "desk.html")]
struct DeskView<'a> {
    page: &'a Page,
    kinds: Vec<KindLine>,
}

/// What there is to work on, by kind.
pub async fn desk(State(shared): State<App>, caller: Caller, page: Page) -> Result<Response, Fail> {
    shared
        .work(move |s| {
            let mut kinds = Vec::new();
            let place = |k: &Kind| ORDER.iter().position(|word| *word == k.word).unwrap_or(ORDER.len());
            let mut wanted: Vec<&'static Kind> = KINDS.iter().filter(|k| caller.may(k.read)).collect();
            wanted.sort_by_key(|k| place(k));
            for kind in wanted {
                let counts = s.desk.matter_counts(&caller.scope, kind.word, kind.word == "drill")?;
                kinds.push(KindLine {
                    plural: kind.plural,
                    name: kind_name(&page, kind),
                    open: counts.iter().filter(|(_, closed, ..)| !closed).map(|(.., n)| n).sum(),
                    all: counts.iter().map(|(.., n)| n).sum(),
                    levels: [Level::Blue, Level::Yellow, Level::Orange, Level::Red]
                        .into_iter()
                        .rev()
                        .map(|level| {
                            let of = |(_, closed, at, _): &&(String, bool, u8, u64)| !closed && *at == level_number(Some(level));
                            (level.name(), counts.iter().filter(of).map(|(.., n)| n).sum())
                        })
                        .filter(|(_, n)| *n > 0)
                        .collect(),
                });
            }
            Ok(page.answer_ref(StatusCode::OK, &DeskView { page: &page, kinds }))
        })
        .await
}

#[derive(Template)]
#[template(path = "matters.html")]
struct ListView<'a> {
    page: &'a Page,
    plural: &'static str,
    name: String,
    found: MatterPage,
    params: ListParams,
    forms: Vec<Form>,
    problem: String,
}

async fn list(
    State(shared): State<App>,
    caller: Caller,
    page: Page,
    Params(params): Params<BTreeMap<String, String>>,
    kind: &'static Kind,
) -> Result<Response, Fail> {
    shared.work(move |s| show_list(s, &caller, &page, kind, &params, StatusCode::OK, String::new())).await
}

fn show_list(
    shared: &Shared,
    caller: &Caller,
    page: &Page,
    kind: &'static Kind,
    asked: &BTreeMap<String, String>,
    status: StatusCode,
    problem: String,
) -> Result<Response, Fail> {
    if let Some(own) = OWN.iter().find(|(word, ..)| *word == kind.word).and_then(|(_, list, _)| *list) {
        return own(shared, caller, page, asked, status, problem);
    }
    let text = |name: &str| asked.get(name).cloned().filter(|t| !t.is_empty());
    let params = ListParams {
        state: Some(text("state").unwrap_or_else(|| "open".to_owned())),
        level: text("level"),
        unit: text("unit"),
        link: text("link"),
        q: text("q"),
        exercise: Some(asked.get("exercise").is_some_and(|t| t == "true")),
        cursor: text("cursor"),
        ..ListParams::default()
    };
    let found = page_of(shared, caller, kind, &params)?;
    let forms = kind.acts.iter().filter(|a| a.opens && may(caller, a));
    let forms = forms.map(|a| Form::new(page, a, format!("/{}/new/{}", kind.plural, a.word))).collect();
    let view = ListView { page, plural: kind.plural, name: kind_name(page, kind), found, params, forms, problem };
    Ok(page.answer_ref(status, &view))
}

pub fn may(caller: &Caller, act: &ActRow) -> bool {
    act.right.is_some_and(|right| caller.may(right))
}

#[derive(Template)]
#[template(path = "matter.html")]
struct OneView<'a> {
    page: &'a Page,
    plural: &'static str,
    name: String,
    matter: Matter,
    lines: Vec<Line>,
    history: Vec<Told>,
    forms: Vec<Form>,
    problem: String,
}

/// An act of the history in words.
pub struct Told {
    pub entry: MatterEntry,
    pub by: String,
    pub act: String,
    pub body: String,
}

/// The history of a matter, newest first.
pub fn told(shared: &Shared, caller: &Caller, page: &Page, kind: &'static Kind, id: &str) -> Result<Vec<Told>, Fail> {
    let told = entries(shared, caller, kind, id)?.into_iter().rev().map(|entry| {
        let row = kind.act_row(&entry.act);
        let act = row.map_or_else(|| page.word("act.", &entry.act), |row| about(page, row));
        let body = if entry.body.as_object().is_some_and(|o| !o.is_empty()) { entry.body.to_string() } else { String::new() };
        let by = warnings::who(page, &entry.by);
        Told { entry, by, act, body: body.chars().take(2_000).collect() }
    });
    Ok(told.collect())
}

async fn one(State(shared): State<App>, caller: Caller, page: Page, Path(id): Path<String>, kind: &'static Kind) -> Result<Response, Fail> {
    shared.work(move |s| show_one(s, &caller, &page, kind, &id, StatusCode::OK, String::new())).await
}

fn show_one(
    shared: &Shared,
    caller: &Caller,
    page: &Page,
    kind: &'static Kind,
    id: &str,
    status: StatusCode,
    problem: String,
) -> Result<Response, Fail> {
    if let Some((.., own)) = OWN.iter().find(|(word, ..)| *word == kind.word) {
        return own(shared, caller, page, id, status, problem);
    }
    let matter = find_matter(shared, caller, kind, id)?;
    let mut lines = Vec::new();
    if let Some(body) = &matter.body {
        describe(page, "", body, 0, &mut lines);
    }
    let history = told(shared, caller, page, kind, id)?;
    let forms = kind.acts.iter().filter(|a| !a.opens && may(caller, a));
    let forms = forms
        .map(|a| Form { revision: Some(matter.revision), ..Form::new(page, a, format!("/{}/{id}/{}", kind.plural, a.word)) })
        .collect();
    let view = OneView { page, plural: kind.plural, name: kind_name(page, kind), matter, lines, history, forms, problem };
    Ok(page.answer_ref(status, &view))
}

fn about(page: &Page, act: &ActRow) -> String {
    if page.is_zh() { act.about_zh } else { act.about }.to_owned()
}

/// A form of one act.
pub struct Form {
    /// Address it is sent to.
    pub action: String,
    pub about: String,
    pub fields: Vec<Shown>,
    /// Shown unfolded.
    pub open: bool,
    /// The revision the reader saw: somebody else's change in between is not overwritten.
    pub revision: Option<u64>,
}

pub struct Shown {
    pub name: &'static str,
    pub label: String,
    pub required: bool,
    pub input: &'static str,
    pub choices: &'static [&'static str],
    /// What stands there already; the second part of a text in two languages.
    pub value: String,
    pub value_en: String,
}

impl Form {
    /// What stands in a field already: its text, or both texts.
    pub fn fill(&mut self, name: &str, value: impl Into<String>, english: impl Into<String>) {
        if let Some(field) = self.fields.iter_mut().find(|f| f.name == name) {
            (field.value, field.value_en) = (value.into(), english.into());
        }
    }

    pub fn new(page: &Page, act: &'static ActRow, action: String) -> Self {
        let fields = act.fields.iter().map(|f| Shown {
            name: f.name,
            label: if page.is_zh() { f.about_zh } else { f.about }.to_owned(),
            required: f.required,
            input: match f.input {
                Input::Line => "line",
                Input::Text => "text",
                Input::Number => "number",
                Input::Yes => "yes",
                Input::Time => "time",
                Input::Choice(_) => "choice",
                Input::Words => "words",
                Input::Both => "both",
                Input::Boths => "boths",
                Input::Json => "json",
            },
            choices: if let Input::Choice(words) = f.input { words } else { &[] },
            value: String::new(),
            value_en: String::new(),
        });
        Self { action, about: about(page, act), fields: fields.collect(), open: false, revision: None }
    }
}

type Fields = BTreeMap<String, String>;

async fn open(
    State(shared): State<App>,
    caller: Caller,
    page: Page,
    SafeForm(form): SafeForm<Fields>,
    kind: &'static Kind,
    act: &'static ActRow,
) -> Result<Response, Fail> {
    shared
        .work(move |s| {
            let wish = read(act, &form).map(|body| Wish { kind, act, id: None, expected: None, key: None, body });
            match wish.and_then(|wish| do_it(s, &caller, wish, false)) {
                Ok(done) => Ok(Redirect::to(&format!("/{}/{}", kind.plural, done.matter.id)).into_response()),
                Err(why) if shown_here(&why) => show_list(s, &caller, &page, kind, &BTreeMap::new(), status(&why), page.problem(&why.0)),
                Err(why) => Err(why),
            }
        })
        .await
}

async fn carry_out(
    State(shared): State<App>,
    caller: Caller,
    page: Page,
    Path(id): Path<String>,
    SafeForm(form): SafeForm<Fields>,
    kind: &'static Kind,
    act: &'static ActRow,
) -> Result<Response, Fail> {
    shared
        .work(move |s| {
            let expected = form.get("revision").and_then(|r| r.parse().ok());
            let wish = read(act, &form).map(|body| Wish { kind, act, id: Some(id.clone()), expected, key: None, body });
            match wish.and_then(|wish| do_it(s, &caller, wish, false)) {
                Ok(done) => Ok(Redirect::to(&format!("/{}/{}", kind.plural, done.matter.id)).into_response()),
                Err(why) if shown_here(&why) => show_one(s, &caller, &page, kind, &id, status(&why), page.problem(&why.0)),
                Err(why) => Err(why),
            }
        })
        .await
}

/// Said above the form it came from.
pub fn shown_here(why: &Fail) -> bool {
    matches!(why.0.status, 400 | 403 | 409 | 422)
}

fn status(why: &Fail) -> StatusCode {
    StatusCode::from_u16(why.0.status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY)
}

/// The act's fields out of a form.
pub fn read(act: &ActRow, form: &Fields) -> Result<Value, Fail> {
    let mut body = serde_json::Map::new();
    for field in act.fields {
        if let Some(value) = value(field, form)? {
            body.insert(field.name.to_owned(), value);
        }
    }
    Ok(Value::Object(body))
}

fn value(field: &FieldRow, form: &Fields) -> Result<Option<Value>, Fail> {
    let bad =
        |en: &str, zh: &str| Fail::because(Code::Unprocessable, format!("{}: {en}", field.about), format!("{}：{zh}", field.about_zh));
    if field.input == Input::Both {
        let part = |lang: &str| form.get(&format!("{}.{lang}", field.name)).map_or("", |t| t.trim());
        let (zh, en) = (part("zh"), part("en"));
        return match (zh.is_empty() && en.is_empty(), field.required) {
            (true, true) => Err(bad("is needed", "必填")),
            (true, false) => Ok(None),
            _ => Ok(Some(json!({"zh": zh, "en": en}))),
        };
    }
    let text = form.get(field.name).map_or("", |t| t.trim());
    if field.input == Input::Yes {
        return Ok(Some(Value::Bool(matches!(text, "on" | "true" | "yes"))));
    }
    if text.is_empty() {
        return if field.required { Err(bad("is needed", "必填")) } else { Ok(None) };
    }
    let lines = || text.lines().map(str::trim).filter(|l| !l.is_empty());
    Ok(Some(match field.input {
        Input::Line | Input::Text | Input::Choice(_) => Value::String(text.to_owned()),
        Input::Number => {
            serde_json::from_str::<serde_json::Number>(text).map(Value::Number).map_err(|_| bad("is no number", "不是数字"))?
        }
        Input::Time => {
            Value::String(time(text).ok_or_else(|| bad("is no time; write 2026-11-23 16:00", "不是时间，请写成 2026-11-23 16:00"))?)
        }
        Input::Words => lines().collect(),
        Input::Boths => lines()
            .map(|line| {
                let (zh, en) = line.split_once('|').unwrap_or((line, ""));
                json!({"zh": zh.trim(), "en": en.trim()})
            })
            .collect(),
        Input::Json | Input::Both | Input::Yes => serde_json::from_str(text).map_err(|_| bad("is no JSON", "不是 JSON"))?,
    }))
}

/// RFC 3339 as it is; what a browser's time field gives is the city's own time, eight hours before UTC.
fn time(text: &str) -> Option<String> {
    let whole = match text.len() {
        16 => format!("{}:00+08:00", text.replace(' ', "T")),
        19 => format!("{}+08:00", text.replace(' ', "T")),
        _ => text.to_owned(),
    };
    event::Timestamp::parse_rfc3339(&whole).map(|t| t.to_string())
}

/// A value of a body as a line.
pub struct Line {
    pub depth: usize,
    pub label: String,
    pub text: String,
}

/// A body, value by value, in the reader's language.
pub fn describe(page: &Page, label: &str, value: &Value, depth: usize, out: &mut Vec<Line>) {
    if out.len() >= LINES_MAX {
        return;
    }
    let mut line = |text: String| out.push(Line { depth, label: label.to_owned(), text });
    match value {
        Value::Null => {}
        Value::Bool(yes) => line(page.say(if *yes { "matters.yes" } else { "matters.no" })),
        Value::Number(n) => line(n.to_string()),
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => line(word_or_time(page, text)),
        Value::Array(items) if items.is_empty() => {}
        Value::Array(items) if items.iter().all(|v| v.is_string() || v.is_number()) => {
            let words: Vec<String> = items.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect();
            line(words.join(", "));
        }
        Value::Array(items) => {
            line(String::new());
            for (n, item) in items.iter().enumerate() {
                describe(page, &format!("{}", n + 1), item, depth + 1, out);
            }
        }
        Value::Object(map) => {
            let text = |key: &str| map.get(key).and_then(Value::as_str);
            if let (Some(zh), Some(en)) = (text("zh"), text("en")) {
                let picked = matter::Both::new(zh, en).pick(page.is_zh()).to_owned();
                if !picked.is_empty() {
                    line(picked);
                }
                return;
            }
            if let Ok(reason) = serde_json::from_value::<warning::AlertReason>(value.clone())
                && map.contains_key("args")
            {
                line(warning::render(&reason, page.lang.of_warning()));
                return;
            }
            let inner = if label.is_empty() { depth } else { depth + 1 };
            if !label.is_empty() {
                line(String::new());
            }
            for (key, item) in map {
                describe(page, &field_name(page, key), item, inner, out);
            }
        }
    }
}

fn field_name(page: &Page, key: &str) -> String {
    let id = format!("field.{key}");
    if i18n::table().contains_key(&id) { page.say(&id) } else { key.replace('_', " ") }
}

fn word_or_time(page: &Page, text: &str) -> String {
    if text.len() >= 20 && text.as_bytes().get(10) == Some(&b'T') && event::Timestamp::parse_rfc3339(text).is_some() {
        return page.times.full(text);
    }
    let id = format!("word.{text}");
    if i18n::table().contains_key(&id) { page.say(&id) } else { text.to_owned() }
}

impl Page {
    /// A fixed word of a matter (its state) in the reader's language; one the table lacks as it is.
    pub fn state_word(&self, word: &str) -> String {
        word_or_time(self, word)
    }
    pub fn both<'a>(&self, text: &'a api::BothTexts) -> &'a str {
        let (first, other) = if self.is_zh() { (&text.zh, &text.en) } else { (&text.en, &text.zh) };
        if first.is_empty() { other } else { first }
    }
}
