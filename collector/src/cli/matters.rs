//! `vedette warnings …`, `vedette orders …`: every kind of matter from the table of kinds: list, show, history, and its acts.
//!
//! The commands are made of the same rows the API is made of, so a new kind is here as soon as it has its row.

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use matter::{ActRow, FieldRow, Input, KINDS, Kind};
use serde_json::{Map, Value, json};

use super::client::{Client, Trouble};
use super::output::{Column, Language, Look, Printer, clean};
use super::{exit, word};
use crate::serve::i18n;

/// One of the commands.
#[derive(Debug, Clone)]
pub struct MattersCommand {
    kind: &'static str,
    verb: Verb,
}

#[derive(Debug, Clone)]
enum Verb {
    List {
        query: Vec<(&'static str, String)>,
        limit: usize,
    },
    Show {
        id: String,
    },
    History {
        id: String,
    },
    /// Of warnings: whether every chain of revisions holds.
    Verify,
    Act {
        act: &'static str,
        id: Option<String>,
        body: Map<String, Value>,
        revision: Option<u64>,
        key: Option<String>,
        dry_run: bool,
    },
}

impl clap::FromArgMatches for MattersCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing = || clap::Error::raw(clap::error::ErrorKind::MissingSubcommand, "say what to do: list, show, history or an act\n");
        let (plural, of_kind) = matches.subcommand().ok_or_else(missing)?;
        let kind = KINDS.iter().find(|k| k.plural == plural).ok_or_else(missing)?;
        let (verb, args) = of_kind.subcommand().ok_or_else(missing)?;
        let text = |name: &str| args.get_one::<String>(name).cloned();
        let verb = match verb {
            "list" => Verb::List {
                query: LIST.iter().filter_map(|(name, _)| Some((*name, text(name)?))).chain(flags(args)).collect(),
                limit: args.get_one::<usize>("limit").copied().unwrap_or(50),
            },
            "show" => Verb::Show { id: text("id").unwrap_or_default() },
            "history" => Verb::History { id: text("id").unwrap_or_default() },
            "verify" => Verb::Verify,
            other => {
                let act = kind.acts.iter().find(|a| a.word.replace('_', "-") == other).ok_or_else(missing)?;
                Verb::Act {
                    act: act.word,
                    id: if act.opens { None } else { text("id") },
                    body: body(act, args)?,
                    revision: args.try_get_one::<u64>("revision").ok().flatten().copied(),
                    key: args.try_get_one::<String>("key").ok().flatten().cloned(),
                    dry_run: args.get_flag("dry-run"),
                }
            }
        };
        Ok(Self { kind: kind.word, verb })
    }
    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Subcommand for MattersCommand {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        KINDS.iter().fold(command, |command, kind| command.subcommand(of_kind(kind)))
    }
    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        Self::augment_subcommands(command)
    }
    fn has_subcommand(name: &str) -> bool {
        KINDS.iter().any(|k| k.plural == name)
    }
}

const LIST: &[(&str, &str)] = &[
    ("state", "Fixed words, several with commas; open for all but closed ones; all"),
    ("level", "At least this: blue, yellow, orange, red"),
    ("unit", "Unit id"),
    ("link", "Something it belongs to: id of a warning, a drill, an alert"),
    ("q", "Part of id or title"),
];

fn flags(args: &ArgMatches) -> impl Iterator<Item = (&'static str, String)> {
    ["exercise", "full"].into_iter().filter(|name| args.get_flag(name)).map(|name| (name, "true".to_owned()))
}

fn of_kind(kind: &'static Kind) -> clap::Command {
    let id = || Arg::new("id").required(true).value_name("ID").help(format!("Id, as `vedette {} list` shows it", kind.plural));
    let mut list = clap::Command::new("list").about(format!("List {}, newest change first", kind.plural));
    for (name, about) in LIST {
        let default = if *name == "state" { Some("open") } else { None };
        list = list.arg(Arg::new(*name).long(*name).help(*about).default_value(default.unwrap_or("")));
    }
    list = list
        .arg(Arg::new("exercise").long("exercise").action(ArgAction::SetTrue).help("Drills' in place of the real ones"))
        .arg(Arg::new("full").long("full").action(ArgAction::SetTrue).help("With everything they hold (for -o json)"))
        .arg(Arg::new("limit").short('n').long("limit").value_parser(value_parser!(usize)).default_value("50").help("How many at most"));
    let mut command = clap::Command::new(kind.plural)
        .about(format!("{} ({}): list, show, history, and what can be done", capital(kind.plural), kind.zh))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(list)
        .subcommand(clap::Command::new("show").about(format!("Show one {}", kind.word)).arg(id()))
        .subcommand(clap::Command::new("history").about(format!("What was done with a {}, oldest first", kind.word)).arg(id()));
    if kind.word == "warning" {
        let about = "Recompute every chain of revisions and what each unit was told; exit 1 and the broken ones if any";
        command = command.subcommand(clap::Command::new("verify").about(about));
    }
    for act in kind.acts.iter().filter(|a| a.right.is_some()) {
        let mut sub = clap::Command::new(act.word.replace('_', "-")).about(format!("{} ({})", act.about, act.about_zh));
        if act.opens {
            sub = sub.arg(Arg::new("key").long("key").help("The same key opens nothing twice"));
        } else {
            let revision = Arg::new("revision").long("revision").value_parser(value_parser!(u64));
            sub = sub.arg(id()).arg(revision.help("Only if it is still at this revision"));
        }
        for field in act.fields {
            sub = options(sub, field);
        }
        let file = Arg::new("file").long("file").value_name("FILE").help("JSON object with the fields; options win over it");
        let dry = Arg::new("dry-run").long("dry-run").action(ArgAction::SetTrue).help("Say what it would do, and do nothing");
        command = command.subcommand(sub.arg(file).arg(dry));
    }
    command
}

fn capital(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// Options every command has; a field of such a name gets another.
const TAKEN: &[&str] = &["help", "id", "key", "revision", "file", "dry-run", "server", "token-file", "ca", "output", "lang", "version"];

/// The option of a field: its name with dashes.
fn long(name: &str) -> String {
    let name = name.replace('_', "-");
    if TAKEN.contains(&name.as_str()) { format!("{name}-wanted") } else { name }
}

/// Option of a field: its name with dashes. Text in two languages has one option each.
fn options(command: clap::Command, field: &'static FieldRow) -> clap::Command {
    let option = |name: String, help: String| Arg::new(name.clone()).long(name).help(help);
    let about = format!("{}{}", field.about, if field.required { " (needed)" } else { "" });
    match field.input {
        Input::Yes => command.arg(option(long(field.name), about).action(ArgAction::SetTrue)),
        Input::Words => command.arg(option(long(field.name), format!("{about}; may be given several times")).action(ArgAction::Append)),
        Input::Boths => {
            let help = format!("{about}: '中文 | English'; may be given several times");
            command.arg(option(long(field.name), help).action(ArgAction::Append))
        }
        Input::Both => command
            .arg(option(long(field.name), format!("{about}: Chinese")))
            .arg(option(format!("{}-en", long(field.name)), format!("{about}: English"))),
        Input::Choice(words) => command.arg(option(long(field.name), about).value_parser(words.to_vec())),
        Input::Number => command.arg(option(long(field.name), about).value_name("N").allow_hyphen_values(true)),
        Input::Time => command.arg(option(long(field.name), format!("{about}, RFC 3339"))),
        Input::Json => command.arg(option(long(field.name), format!("{about}; JSON, or @FILE (.json, .toml)"))),
        Input::Line | Input::Text => command.arg(option(long(field.name), about)),
    }
}

/// The act's body out of file and options.
fn body(act: &'static ActRow, args: &ArgMatches) -> Result<Map<String, Value>, clap::Error> {
    let wrong = |why: String| clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("{why}\n"));
    let object = |path: &str| -> Result<Value, clap::Error> {
        let text = std::fs::read_to_string(path).map_err(|e| wrong(format!("{path}: {e}")))?;
        if path.ends_with(".toml") {
            return toml::from_str(&text).map_err(|e| wrong(format!("{path}: {e}")));
        }
        serde_json::from_str(&text).map_err(|e| wrong(format!("{path}: {e}")))
    };
    let mut body = match args.get_one::<String>("file") {
        None => Map::new(),
        Some(path) => match object(path)? {
            Value::Object(map) => map,
            _ => return Err(wrong(format!("{path}: is no JSON object"))),
        },
    };
    for field in act.fields {
        let one = |name: &str| args.get_one::<String>(name).cloned();
        let many = || args.get_many::<String>(&long(field.name)).map(|all| all.cloned().collect::<Vec<_>>());
        let value = match field.input {
            Input::Yes => args.get_flag(&long(field.name)).then_some(Value::Bool(true)),
            Input::Words => many().map(|all| json!(all)),
            Input::Boths => many().map(|all| {
                let split = |t: &String| {
                    t.split_once('|').map_or((t.trim().to_owned(), String::new()), |(a, b)| (a.trim().to_owned(), b.trim().to_owned()))
                };
                all.iter().map(split).map(|(zh, en)| json!({"zh": zh, "en": en})).collect()
            }),
            Input::Both => match (one(&long(field.name)), one(&format!("{}-en", long(field.name)))) {
                (None, None) => None,
                (zh, en) => Some(json!({"zh": zh.unwrap_or_default(), "en": en.unwrap_or_default()})),
            },
            Input::Number => match one(&long(field.name)) {
                None => None,
                Some(text) => {
                    let number: serde_json::Number =
                        serde_json::from_str(&text).map_err(|_| wrong(format!("--{}: '{text}' is no number", long(field.name))))?;
                    Some(Value::Number(number))
                }
            },
            Input::Json => match one(&long(field.name)) {
                None => None,
                Some(text) => Some(match text.strip_prefix('@') {
                    Some(path) => object(path)?,
                    None => serde_json::from_str(&text).map_err(|e| wrong(format!("--{}: {e}", long(field.name))))?,
                }),
            },
            Input::Line | Input::Text | Input::Time | Input::Choice(_) => one(&long(field.name)).map(Value::String),
        };
        if let Some(value) = value {
            body.insert(field.name.to_owned(), value);
        }
        if field.required && !body.contains_key(field.name) {
            return Err(wrong(format!("--{} is needed: {}", long(field.name), field.about)));
        }
    }
    Ok(body)
}

pub async fn run(client: &Client, printer: &Printer, command: &MattersCommand) -> Result<u8, Trouble> {
    let Some(kind) = KINDS.iter().find(|k| k.word == command.kind) else { return Ok(exit::BAD_INPUT) };
    let base = format!("/api/v1/{}", kind.plural);
    match &command.verb {
        Verb::List { query, limit } => {
            let query: Vec<(&str, &str)> = query.iter().map(|(k, v)| (*k, v.as_str())).filter(|(_, v)| !v.is_empty()).collect();
            printer.list(&client.pages(&base, &query, *limit).await?, COLUMNS);
        }
        Verb::Show { id } => {
            let one = client.get(&format!("{base}/{}", word(id)?), &[]).await?;
            printer.one(&one, told);
        }
        Verb::History { id } => {
            let page = client.get(&format!("{base}/{}/history", word(id)?), &[]).await?;
            printer.list(page["items"].as_array().map_or(&[], Vec::as_slice), HISTORY);
        }
        Verb::Verify => {
            let proof = client.get(&format!("{base}/verify"), &[]).await?;
            printer.one(&proof, proved);
            return Ok(if proof["intact"] == true { exit::DONE } else { exit::FOUND });
        }
        Verb::Act { act, id, body, revision, key, dry_run } => {
            let path = match id {
                Some(id) => format!("{base}/{}/{act}", word(id)?),
                None => format!("{base}/{act}"),
            };
            let path = if *dry_run { format!("{path}?dry_run=true") } else { path };
            let seen = revision.map_or_else(|| "*".to_owned(), |n| format!("\"{n}\""));
            let mut headers = vec![("if-match", seen.as_str())];
            headers.extend(key.as_deref().map(|k| ("idempotency-key", k)));
            let done = client.post(&path, &headers, &Value::Object(body.clone())).await?;
            printer.one(&done, outcome);
        }
    }
    Ok(exit::DONE)
}

fn lang(language: Language) -> i18n::Lang {
    if language == Language::Zh { i18n::Lang::Zh } else { i18n::Lang::En }
}

/// A fixed word in the reader's language, as it is where the table lacks it.
fn spoken(text: &str, language: Language) -> String {
    let id = format!("word.{text}");
    if i18n::table().contains_key(&id) { i18n::say(lang(language), &id) } else { text.to_owned() }
}

fn both(value: &Value, language: Language) -> String {
    let text = |key: &str| value[key].as_str().unwrap_or("").to_owned();
    matter::Both::new(text("zh"), text("en")).pick(language == Language::Zh).to_owned()
}

fn field(value: &Value, key: &str) -> String {
    crate::serve::reply::flat(&value[key])
}

/// `11-23 08:00:05`.
fn short(value: &Value) -> String {
    let whole = value.as_str().unwrap_or("");
    match (whole.get(5..10), whole.get(11..19)) {
        (Some(day), Some(clock)) => format!("{day} {clock}"),
        _ => whole.to_owned(),
    }
}

const fn column(en: &'static str, zh: &'static str, look: Look, cell: fn(&Value, Language) -> String) -> Column {
    Column { en, zh, look, cell }
}

const COLUMNS: &[Column] = &[
    column("LEVEL", "级别", Look::Mark, |v, l| spoken(v["level"].as_str().unwrap_or(""), l)),
    column("CHANGED (UTC)", "更新 (UTC)", Look::Key, |v, _| short(&v["updated"])),
    column("ID", "标识", Look::Key, |v, _| field(v, "id")),
    column("STATE", "状态", Look::Mark, |v, l| spoken(v["state"].as_str().unwrap_or(""), l)),
    column("TITLE", "标题", Look::Plain, |v, l| {
        let mark = if v["exercise"] == true { i18n::say(lang(l), "matters.exercise.short") + " " } else { String::new() };
        format!("{mark}{}", both(&v["title"], l))
    }),
    column("UNITS", "单位", Look::Plain, |v, _| field(v, "units")),
    column("DUE (UTC)", "到期 (UTC)", Look::Extra, |v, _| short(&v["due"])),
];

const HISTORY: &[Column] = &[
    column("REVISION", "版本", Look::Number, |v, _| field(v, "revision")),
    column("TIME (UTC)", "时间 (UTC)", Look::Key, |v, _| short(&v["time"])),
    column("BY", "操作人", Look::Key, |v, _| field(v, "by")),
    column("ACT", "操作", Look::Key, |v, _| field(v, "act")),
    column("FIELDS", "字段", Look::Plain, |v, _| {
        v["body"].as_object().filter(|o| !o.is_empty()).map(|_| v["body"].to_string()).unwrap_or_default()
    }),
];

fn told(value: &Value, language: Language) -> String {
    let mut text = String::new();
    let level = value["level"].as_str().map(|l| i18n::say(lang(language), &format!("level.{l}")) + "  ").unwrap_or_default();
    let mark = if value["exercise"] == true { i18n::say(lang(language), "matters.exercise.short") + "  " } else { String::new() };
    text.push_str(&clean(&format!("{mark}{level}{}", both(&value["title"], language))));
    text.push('\n');
    for key in ["id", "state", "units", "opened", "updated", "due", "links", "acts"] {
        let shown = if key == "state" { spoken(value[key].as_str().unwrap_or(""), language) } else { field(value, key) };
        if !shown.is_empty() {
            text.push_str(&clean(&format!("  {key:<10} {shown}")));
            text.push('\n');
        }
    }
    lines(&value["body"], 1, language, &mut text);
    text
}

/// A body as indented lines.
fn lines(value: &Value, depth: usize, language: Language, out: &mut String) {
    let Some(map) = value.as_object() else { return };
    for (key, item) in map {
        let pad = "  ".repeat(depth);
        let name = {
            let id = format!("field.{key}");
            if i18n::table().contains_key(&id) { i18n::say(lang(language), &id) } else { key.replace('_', " ") }
        };
        let plain = |v: &Value| v.get("zh").is_some() && v.get("en").is_some();
        match item {
            Value::Null => {}
            Value::String(t) if t.is_empty() => {}
            Value::Array(a) if a.is_empty() => {}
            v if plain(v) => {
                let said = both(v, language);
                if !said.is_empty() {
                    out.push_str(&format!("{pad}{name}: {}\n", clean(&said)));
                }
            }
            Value::Object(_) => {
                out.push_str(&format!("{pad}{name}:\n"));
                lines(item, depth + 1, language, out);
            }
            Value::Array(list) if list.iter().any(Value::is_object) => {
                out.push_str(&format!("{pad}{name}:\n"));
                for (n, one) in list.iter().enumerate() {
                    if plain(one) {
                        out.push_str(&format!("{pad}  {}. {}\n", n + 1, clean(&both(one, language))));
                    } else if let (Ok(reason), true) =
                        (serde_json::from_value::<warning::AlertReason>(one.clone()), one.get("args").is_some())
                    {
                        out.push_str(&format!("{pad}  {}. {}\n", n + 1, clean(&warning::render(&reason, lang(language).of_warning()))));
                    } else {
                        out.push_str(&format!("{pad}  {}.\n", n + 1));
                        lines(one, depth + 2, language, out);
                    }
                }
            }
            other => out.push_str(&format!("{pad}{name}: {}\n", clean(&spoken(&crate::serve::reply::flat(other), language)))),
        }
    }
}

/// What was checked, and each chain that does not hold with its first broken revision.
fn proved(value: &Value, language: Language) -> String {
    let n = |key: &str| value[key].as_u64().unwrap_or(0);
    let (warnings, revisions, receipts, copies) = (n("warnings"), n("revisions"), n("receipts"), n("copies"));
    let mut text = match language {
        Language::Zh => format!("{warnings} 份预警 {revisions} 个版本，{receipts} 份签收单 {copies} 个副本\n"),
        _ => format!("{warnings} warnings with {revisions} revisions, {receipts} receipts with {copies} copies\n"),
    };
    for broken in value["broken"].as_array().map_or(&[][..], Vec::as_slice) {
        let (kind, id, number) = (field(broken, "kind"), field(broken, "id"), field(broken, "number"));
        let why = both(&broken["why"], language);
        let line = match language {
            Language::Zh => format!("损坏：{kind} {id} 第 {number} 版：{why}"),
            _ => format!("BROKEN {kind} {id} revision {number}: {why}"),
        };
        text.push_str(&clean(&line));
        text.push('\n');
    }
    text.push_str(match (value["intact"] == true, language) {
        (true, Language::Zh) => "完好\n",
        (true, _) => "intact\n",
        (false, Language::Zh) => "已被改动\n",
        (false, _) => "tampered with\n",
    });
    text
}

fn outcome(value: &Value, language: Language) -> String {
    let matter = &value["matter"];
    let zh = language == Language::Zh;
    let done = match (value["dry_run"] == true, zh) {
        (true, true) => "仅预演，未作任何更改：",
        (true, false) => "dry run, nothing was changed: ",
        (false, _) => "",
    };
    let state = spoken(matter["state"].as_str().unwrap_or(""), language);
    let with = match (value["changed"].as_u64().unwrap_or(1).saturating_sub(1), value["messages"].as_u64().unwrap_or(0), zh) {
        (others, messages, true) => format!("另有 {others} 件事项随之变更，{messages} 条通知"),
        (others, messages, false) => format!("{others} other matters with it, {messages} messages"),
    };
    clean(&format!("{done}{} {} [{state}] {}; {with}", field(matter, "id"), both(&matter["title"], language), field(matter, "units")))
        + "\n"
}
