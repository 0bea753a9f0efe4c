//! The operator's command line: everything it does goes through `/api/v1`, so that it can do exactly what its token may.
//!
//! Contract: results on standard output, everything else on standard error; `-o table|json|jsonl|csv`; `--lang zh|en|auto`;
//! `NO_COLOR`; exit code 0 done, 1 something was found or did not hold, 2 bad input, 3 cannot connect, 4 denied.

mod baseline;
mod client;
mod export;
mod indicators;
mod matters;
mod names;
mod notify;
mod output;
mod register;
pub mod show;
pub mod stream;
mod tail;

use std::path::PathBuf;

use crate::serve::people::random_hex;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use names::UnitNames;

use crate::rules::{RulesArgs, RulesCommand};
pub use client::{Client, Trouble};
pub use output::{Column, Format, Lang, Language, Look, Printer, clean, write};

/// Exit codes.
pub mod exit {
    pub const DONE: u8 = 0;
    /// Something was found, or a check did not hold.
    pub const FOUND: u8 = 1;
    pub const BAD_INPUT: u8 = 2;
    pub const NO_CONNECTION: u8 = 3;
    pub const DENIED: u8 = 4;
}

/// Where the server is and how to print.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Address of the collector's console, e.g. https://soc.example:8443 [env: VEDETTE_SERVER] [default: http://127.0.0.1:8080]
    #[arg(long, global = true, help_heading = "Connection")]
    pub server: Option<String>,
    /// File with an API token; without it the token is taken from VEDETTE_TOKEN (never from the command line, which others can read)
    #[arg(long, global = true, help_heading = "Connection")]
    pub token_file: Option<PathBuf>,
    /// PEM file of the authority that signed the server's certificate [env: VEDETTE_CA]
    #[arg(long, global = true, help_heading = "Connection")]
    pub ca: Option<PathBuf>,
    /// How to print: a table for people, or JSON, JSON lines, CSV for programs
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, help_heading = "Output")]
    pub output: Format,
    /// Language of titles and reasons; auto follows LANG
    #[arg(long, global = true, value_enum, default_value_t = Lang::Auto, help_heading = "Output")]
    pub lang: Lang,
}

/// What a client command does. `serve` and `replay` stand beside these in the program's own list.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List alerts, newest change first
    ///
    /// The filter is the console's: words are searched, key:value narrows.
    ///   vedette alerts 'sector:power severity>=high since:2h'
    ///   vedette alerts --state all -o csv > alerts.csv
    #[command(verbatim_doc_comment)]
    Alerts(AlertsArgs),
    /// Show one alert
    Alert { id: String },
    /// Show why an alert was raised: reasons, parties and the events behind it
    Why { id: String },
    /// Acknowledge alerts: seen, and mine
    Ack(JudgeArgs),
    /// Close alerts with a reason
    Close {
        #[command(flatten)]
        judge: JudgeArgs,
        /// Why it is closed
        #[arg(long, value_enum)]
        reason: CloseWord,
    },
    /// Take back what `ack --query` or `close --query` did, within an hour
    Undo {
        /// The token it printed
        token: String,
    },
    /// Follow alerts as they come; resumes where it was after a cut
    ///
    ///   vedette tail 'severity>=high' --follow -o jsonl | jq .title
    #[command(verbatim_doc_comment)]
    Tail {
        /// Filter in the query language
        #[arg(default_value = "")]
        query: String,
        /// Keep following; without it, what is there is printed and that is all
        #[arg(short, long)]
        follow: bool,
    },
    /// Search events
    Events {
        /// Filter in the query language
        #[arg(default_value = "")]
        query: String,
        #[arg(short = 'n', long, default_value_t = 50)]
        limit: usize,
    },
    /// List agents: alive or silent, what they cannot see, whether their sums add up (exit 1 if one is silent or does not add up)
    Agents {
        /// alive, late, silent, never_seen, revoked; several with commas
        #[arg(long, default_value = "")]
        liveness: String,
    },
    /// End an agent's identity: its link is cut, its certificate is not taken again
    Revoke {
        /// Agent id, as `vedette agents` lists it
        agent: String,
        /// Why; kept in the audit trail
        #[arg(long)]
        reason: String,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Units of the register: list, show, change, remove
    Units(register::UnitsArgs),
    /// Protected objects and what they need: list, change, remove
    Objects(register::ObjectsArgs),
    /// Declared assets: list, change, remove
    Assets(register::AssetsArgs),
    /// The register as a whole: import, export, and what is not as declared
    #[command(subcommand)]
    Register(register::RegisterCommand),
    /// Whom something would concern
    #[command(subcommand)]
    Route(register::RouteCommand),
    /// Make a one-use string that enrols one agent of a unit
    EnrolToken {
        /// Unit the agent will belong to
        #[arg(long)]
        unit: String,
        /// Minutes it may be used
        #[arg(long, default_value_t = 30)]
        minutes: u32,
        #[arg(long, default_value = "")]
        note: String,
    },
    /// API tokens of your own
    #[command(subcommand)]
    Token(TokenCommand),
    /// People who may log in: list, add
    People(PeopleArgs),
    /// Rules: those in force, and check, test, cover and try them
    Rules(crate::rules::RulesArgs),
    /// Indicators of compromise: add feeds, list, remove, ask about a value
    #[command(subcommand)]
    Indicators(indicators::IndicatorsCommand),
    /// What is usual on control networks: review, freeze, edit
    #[command(subcommand)]
    Baseline(baseline::BaselineCommand),
    /// Print a warning, a receipt or an incident as CAP, STIX, MISP, OCSF, CSV or IDEA0
    ///
    ///   vedette export W0123456789abcdef --format cap > warning.cap.xml
    #[command(verbatim_doc_comment)]
    Export(export::ExportArgs),
    /// Show what is known of flaws: exploited (CISA's KEV), chance to be exploited (EPSS)
    Weakness {
        /// Ids, e.g. CVE-2024-3400
        #[arg(required = true)]
        cve: Vec<String>,
    },
    #[command(flatten)]
    Matters(matters::MattersCommand),
    /// Channels of notification: list, test
    #[command(subcommand)]
    Notify(notify::NotifyCommand),
    /// The delivery log: who was told what, when, on which channel
    Deliveries(notify::DeliveriesArgs),
    /// Read configuration and rules again
    Reload,
    /// The audit trail
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Look at a running collector: reachable, ready, allowed, agents heard, audit chain whole, with what to do where not
    Doctor,
    /// Print a contract or a sample
    #[command(subcommand)]
    Print(PrintCommand),
}

#[derive(Debug, Clone, Args)]
pub struct AlertsArgs {
    /// Filter in the query language
    #[arg(default_value = "")]
    query: String,
    /// new, acknowledged, investigating, escalated, closed, open, all; several with commas
    #[arg(long, default_value = "open")]
    state: String,
    /// At least this: informational, low, medium, high, critical
    #[arg(long, default_value = "")]
    severity: String,
    /// How many at most
    #[arg(short = 'n', long, default_value_t = 50)]
    limit: usize,
}

#[derive(Debug, Clone, Args)]
pub struct JudgeArgs {
    /// Alert ids
    #[arg(required_unless_present = "query", conflicts_with = "query")]
    ids: Vec<String>,
    /// All open alerts this query matches, in place of ids; prints the token that undoes it
    #[arg(long)]
    query: Option<String>,
    /// A note kept in the history
    #[arg(long)]
    note: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum CloseWord {
    Confirmed,
    AuthorisedActivity,
    FalsePositive,
    Duplicate,
    ExpectedMaintenance,
}

#[derive(Debug, Clone, Subcommand)]
pub enum TokenCommand {
    /// List tokens
    List,
    /// Create one; it is shown once
    Create {
        name: String,
        /// viewer, operator, shift_lead, rule_author, sector_user, sector_lead, auditor, display, metrics, admin
        #[arg(long, default_value = "viewer")]
        role: String,
        /// Units it may see; none: as much as you
        #[arg(long, value_delimiter = ',')]
        units: Vec<String>,
        #[arg(long, default_value_t = 90)]
        days: u32,
    },
    /// Revoke one
    Revoke { id: String },
}

#[derive(Debug, Clone, clap::Args)]
pub struct PeopleArgs {
    #[command(subcommand)]
    what: Option<PeopleCommand>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum PeopleCommand {
    /// List them; also without a word
    List,
    /// Add one, or give one another role, scope and password; prints a password that opens nothing but its own change
    ///
    ///   vedette people add wang --role shift_lead
    ///   vedette people add li --role sector_lead --units bank-city
    #[command(verbatim_doc_comment)]
    Add {
        /// 1 to 64 letters, digits, `.`, `-`, `_`
        name: String,
        /// viewer, operator, shift_lead, rule_author, sector_user, sector_lead, auditor, display, metrics, admin
        #[arg(long)]
        role: String,
        /// Units this person may see; none: the whole city
        #[arg(long, value_delimiter = ',')]
        units: Vec<String>,
    },
}

#[derive(Debug, Clone, Subcommand)]
pub enum AuditCommand {
    /// Newest entries
    List {
        #[arg(short = 'n', long, default_value_t = 50)]
        limit: usize,
    },
    /// Recompute the hash chain (exit 1 if it does not hold)
    Verify,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub enum PrintCommand {
    /// The configuration file with every key and its default
    Config,
    /// The metrics as they look when nothing has happened yet
    Metrics,
    /// The OpenAPI 3.1 document
    Openapi,
}

/// Carries out a command and says the exit code. Blocks; starts a small runtime where it needs one.
pub fn run(global: &Global, command: &Command) -> u8 {
    let printer = Printer::new(global.output, global.lang);
    let done = match command {
        Command::Print(what) => print(*what),
        Command::Rules(args) if args.is_local() => args.run(None, global).map_err(|e| Trouble::Input(format!("{e:#}"))),
        online => match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Err(error) => Err(Trouble::Input(format!("cannot start: {error}"))),
            Ok(runtime) => runtime.block_on(async {
                let client = connect(global)?;
                remote(&client, &printer, global, online).await
            }),
        },
    };
    match done {
        Ok(code) => code,
        Err(trouble) => {
            eprintln!("vedette: {}", trouble.say(printer.lang));
            trouble.code()
        }
    }
}

/// Prints what `check --deep` found; the exit code.
pub fn print_findings(global: &Global, findings: &[crate::check::Finding]) -> u8 {
    let printer = Printer::new(global.output, global.lang);
    let zh = printer.lang == Language::Zh;
    let pick = |(en, zh_text): &(String, String)| if zh { zh_text.clone() } else { en.clone() };
    let rows: Vec<Value> = findings
        .iter()
        .map(|f| json!({"check": f.check, "good": f.good, "found": pick(&f.found), "way_out": if f.good { String::new() } else { pick(&f.way_out) }}))
        .collect();
    printer.list(&rows, show::DOCTOR);
    if findings.iter().all(|f| f.good) { exit::DONE } else { exit::FOUND }
}

/// The client the flags and the environment describe.
pub fn connect(global: &Global) -> Result<Client, Trouble> {
    let env = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let server = global.server.clone().or_else(|| env("VEDETTE_SERVER")).unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let token = match &global.token_file {
        Some(path) => std::fs::read_to_string(path).map_err(|e| Trouble::Input(format!("{}: {e}", path.display())))?.trim().to_owned(),
        None => env("VEDETTE_TOKEN").unwrap_or_default(),
    };
    let ca = global.ca.clone().or_else(|| env("VEDETTE_CA").map(PathBuf::from));
    Client::new(&server, &token, ca.as_deref())
}

fn print(what: PrintCommand) -> Result<u8, Trouble> {
    let text = match what {
        PrintCommand::Config => crate::config::SAMPLE.to_owned(),
        PrintCommand::Openapi => api::document_json(),
        PrintCommand::Metrics => {
            let metrics = telemetry::Metrics::new("vedette");
            let _serve = crate::metrics::ServeMetrics::new(&metrics);
            let _engine = crate::metrics::PipelineMetrics::new(&metrics);
            let _stages = crate::metrics::StageMetrics::new(&metrics);
            let _notify = crate::notify::NotifyMetrics::new(&metrics);
            metrics.render()
        }
    };
    output::write(&text);
    Ok(exit::DONE)
}

async fn remote(client: &Client, printer: &Printer, global: &Global, command: &Command) -> Result<u8, Trouble> {
    match command {
        Command::Alerts(args) => {
            let page = client
                .pages("/api/v1/alerts", &[("q", &args.query), ("state", &args.state), ("severity", &args.severity)], args.limit)
                .await?;
            printer.list(&UnitNames::of(client, printer).await.all(page), show::ALERTS);
        }
        Command::Alert { id } => {
            let alert = client.get(&format!("/api/v1/alerts/{}", word(id)?), &[]).await?;
            printer.one(&UnitNames::of(client, printer).await.one(alert), show::alert);
        }
        Command::Why { id } => {
            let why = client.get(&format!("/api/v1/alerts/{}/why", word(id)?), &[]).await?;
            printer.one(&UnitNames::of(client, printer).await.one(why), show::why);
        }
        Command::Ack(args) => return judge(client, printer, args, "acknowledge", None).await,
        Command::Close { judge: args, reason } => {
            let reason = reason.to_possible_value().map(|v| v.get_name().to_owned());
            return judge(client, printer, args, "close", reason).await;
        }
        Command::Undo { token } => {
            let done = client.post("/api/v1/alerts/undo", &[], &json!({"undo": token})).await?;
            return Ok(say_bulk(printer, &done));
        }
        Command::Tail { query, follow } => return tail::tail(client, printer, query, *follow).await,
        Command::Events { query, limit } => printer.list(&client.pages("/api/v1/events", &[("q", query)], *limit).await?, show::EVENTS),
        Command::Agents { liveness } => {
            let agents = client.pages("/api/v1/agents", &[("liveness", liveness)], usize::MAX).await?;
            let agents = UnitNames::of(client, printer).await.all(agents);
            printer.list(&agents, show::AGENTS);
            let bad = agents.iter().any(|a| a["liveness"] == "silent" || a["ledger_balanced"] == false);
            return Ok(if bad { exit::FOUND } else { exit::DONE });
        }
        Command::Revoke { agent, reason, dry_run } => {
            let path = format!("/api/v1/agents/{}", word(agent)?);
            let known = client.get(&path, &[]).await?;
            let now = if *dry_run { known } else { client.post(&format!("{path}/revoke"), &[], &json!({"reason": reason})).await? };
            let done = if *dry_run { "would be revoked" } else { "revoked" };
            printer.one(&now, |v, _| {
                let text = |key: &str| v[key].as_str().unwrap_or("").to_owned();
                format!("{done}: {} {} ({})\n", text("id"), text("host"), text("unit"))
            });
        }
        Command::Units(args) => return register::units(client, printer, args).await,
        Command::Objects(args) => return register::objects(client, printer, args).await,
        Command::Assets(args) => return register::assets(client, printer, args).await,
        Command::Register(what) => return register::register(client, printer, what).await,
        Command::Route(what) => return register::route(client, printer, what).await,
        Command::EnrolToken { unit, minutes, note } => {
            let made = client.post("/api/v1/enrolment-tokens", &[], &json!({"unit_id": unit, "minutes": minutes, "note": note})).await?;
            printer.one(&made, |v, _| format!("{}\n", v["enrolment"].as_str().unwrap_or("")));
        }
        Command::Token(TokenCommand::List) => printer.list(&client.pages("/api/v1/tokens", &[], usize::MAX).await?, show::TOKENS),
        Command::Token(TokenCommand::Create { name, role, units, days }) => {
            let units = if units.is_empty() { Value::Null } else { json!(units) };
            let made = client.post("/api/v1/tokens", &[], &json!({"name": name, "role": role, "units": units, "days": days})).await?;
            printer.one(&made, |v, _| format!("{}\n", v["token"].as_str().unwrap_or("")));
        }
        Command::Token(TokenCommand::Revoke { id }) => client.delete(&format!("/api/v1/tokens/{}", word(id)?)).await?,
        Command::People(PeopleArgs { what: None | Some(PeopleCommand::List) }) => {
            printer.list(&client.pages("/api/v1/people", &[], usize::MAX).await?, show::PEOPLE);
        }
        Command::People(PeopleArgs { what: Some(PeopleCommand::Add { name, role, units }) }) => {
            let password = random_hex(10).map_err(|_| Trouble::Input("no random numbers on this machine".to_owned()))?;
            let units = if units.is_empty() { Value::Null } else { json!(units) };
            let wish = json!({"name": name, "role": role, "units": units, "password": password});
            let mut made = client.post("/api/v1/people", &[], &wish).await?;
            made["password"] = json!(password);
            printer.one(&made, |v, _| format!("{} / {}\n", v["name"].as_str().unwrap_or(""), v["password"].as_str().unwrap_or("")));
        }
        Command::Rules(RulesArgs { what: Some(RulesCommand::Show { id }) }) => {
            printer.one(&client.get(&format!("/api/v1/rules/{}", word(id)?), &[]).await?, show::rule);
        }
        Command::Rules(RulesArgs { what: Some(RulesCommand::Diff(args)) }) => return crate::rules::diff::run(client, printer, args).await,
        Command::Rules(args @ RulesArgs { what: Some(RulesCommand::Coverage(_)) }) => {
            let mut fired = std::collections::BTreeMap::new();
            for alert in client.pages("/api/v1/alerts", &[("state", "all")], usize::MAX).await? {
                *fired.entry(alert["rule_id"].as_str().unwrap_or_default().to_owned()).or_insert(0) += 1;
            }
            return args.run(Some(&fired), global).map_err(|e| Trouble::Input(format!("{e:#}")));
        }
        Command::Rules(_) => {
            let page = client.get("/api/v1/rules", &[]).await?;
            printer.list(page["items"].as_array().map_or(&[], Vec::as_slice), show::RULES);
            let faults = page["faults"].as_array().map_or(&[][..], Vec::as_slice);
            for fault in faults {
                eprintln!(
                    "{}:{}:{}: {}",
                    fault["path"].as_str().unwrap_or("?"),
                    fault["line"],
                    fault["column"],
                    fault["message"].as_str().unwrap_or("")
                );
            }
            return Ok(if faults.is_empty() { exit::DONE } else { exit::FOUND });
        }
        Command::Indicators(what) => return indicators::run(client, printer, what).await,
        Command::Baseline(what) => return baseline::run(client, printer, what).await,
        Command::Export(args) => return export::run(client, args).await,
        Command::Weakness { cve } => {
            let flaws = export::weaknesses(client, cve).await?;
            printer.list(&flaws, show::WEAKNESSES);
        }
        Command::Matters(what) => return matters::run(client, printer, what).await,
        Command::Reload => {
            let done = client.post("/-/reload", &[], &json!({})).await?;
            printer.one(&done, |v, _| format!("{} rules in force\n", v["rules"]));
        }
        Command::Audit(AuditCommand::List { limit }) => printer.list(&client.pages("/api/v1/audit", &[], *limit).await?, show::AUDIT),
        Command::Audit(AuditCommand::Verify) => {
            let proof = client.get("/api/v1/audit/verify", &[]).await?;
            printer.one(&proof, show::proof);
            return Ok(if proof["intact"] == true { exit::DONE } else { exit::FOUND });
        }
        Command::Notify(command) => return notify::run(client, printer, command).await,
        Command::Deliveries(args) => return notify::deliveries(client, printer, args).await,
        Command::Doctor => return doctor(client, printer).await,
        Command::Print(_) => {}
    }
    Ok(exit::DONE)
}

/// An id as a part of a path: nothing that could lead elsewhere.
fn word(text: &str) -> Result<&str, Trouble> {
    let good = !text.is_empty() && text.len() <= 256 && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'));
    if good { Ok(text) } else { Err(Trouble::Input(format!("'{}' is not an id", text.chars().take(80).collect::<String>()))) }
}

/// The same judgement for each alert; says how many matched, changed and were left out, and why.
async fn judge(client: &Client, printer: &Printer, args: &JudgeArgs, action: &str, reason: Option<String>) -> Result<u8, Trouble> {
    if let Some(query) = &args.query {
        let body = json!({"q": query, "action": action, "reason": reason, "note": args.note, "dry_run": args.dry_run});
        let done = client.post("/api/v1/alerts/triage", &[], &body).await?;
        return Ok(say_bulk(printer, &done));
    }
    let mut rows = Vec::new();
    let mut skipped = 0;
    for id in &args.ids {
        let path = format!("/api/v1/alerts/{}", word(id)?);
        let outcome = if args.dry_run {
            client.get(&path, &[]).await.map(|a| json!({"changed": false, "alert": a}))
        } else {
            let body = json!({"action": action, "reason": reason, "note": args.note});
            client.post(&format!("{path}/triage"), &[("if-match", "*")], &body).await
        };
        match outcome {
            Ok(done) => rows.push(json!({"id": id, "changed": done["changed"], "state": done["alert"]["state"], "owner": done["alert"]["owner"], "title": done["alert"]["title"], "title_zh": done["alert"]["title_zh"]})),
            Err(Trouble::Problem(problem)) if matches!(problem.status, 404 | 409 | 422) => {
                eprintln!("{id}: {}", Trouble::Problem(problem).say(printer.lang));
                skipped += 1;
            }
            Err(other) => return Err(other),
        }
    }
    printer.list(&rows, show::JUDGED);
    Ok(if skipped == 0 { exit::DONE } else { exit::FOUND })
}

/// The sample as a table; what matched, changed and was left out on the error stream.
fn say_bulk(printer: &Printer, done: &Value) -> u8 {
    let zh = printer.lang == Language::Zh;
    let show = |a: &Value| json!({"id": a["id"], "changed": done["dry_run"] != true, "state": a["state"], "owner": a["owner"], "title": a["title"], "title_zh": a["title_zh"]});
    let rows: Vec<Value> = done["sample"].as_array().into_iter().flatten().map(show).collect();
    printer.list(&rows, show::JUDGED);
    let skipped = done["skipped"].as_array().map_or(&[][..], Vec::as_slice);
    for one in skipped {
        let why = if zh { &one["why_zh"] } else { &one["why"] };
        let text = format!("{}: {} {}", one["id"].as_str().unwrap_or(""), one["code"].as_str().unwrap_or(""), why.as_str().unwrap_or(""));
        eprintln!("{}", clean(text.trim_end()));
    }
    let (matched, changed) = (&done["matched"], &done["changed"]);
    match (done["dry_run"] == true, zh) {
        (true, true) => eprintln!("匹配 {matched} 条，将更改 {changed} 条；未作任何更改"),
        (true, false) => eprintln!("{matched} match, {changed} would change; nothing was done"),
        (false, true) => eprintln!("匹配 {matched} 条，已更改 {changed} 条，跳过 {} 条", skipped.len()),
        (false, false) => eprintln!("{matched} matched, {changed} changed, {} skipped", skipped.len()),
    }
    if let Some(token) = done["undo"].as_str() {
        eprintln!("{}: vedette undo {}", if zh { "撤销（一小时内）" } else { "to undo within the hour" }, clean(token));
    }
    if skipped.is_empty() { exit::DONE } else { exit::FOUND }
}

/// What a person would look at first when something seems wrong.
async fn doctor(client: &Client, printer: &Printer) -> Result<u8, Trouble> {
    let mut rows: Vec<Value> = Vec::new();
    let mut add = |check: &str, good: bool, words: String, way_out: &str| {
        rows.push(json!({"check": check, "good": good, "found": words, "way_out": if good { "" } else { way_out }}));
    };
    client.text("/-/healthy").await?;
    add("reachable", true, client.server().to_owned(), "");
    match client.text("/-/ready").await {
        Ok(_) => add("ready", true, String::new(), ""),
        Err(Trouble::Problem(_)) | Err(Trouble::Status(..)) => {
            add("ready", false, "not ready".into(), "see /-/ready for what is missing and the collector's log for why")
        }
        Err(other) => return Err(other),
    }
    let me = client.get("/api/v1/me", &[]).await;
    match me {
        Err(trouble) => add("token", false, trouble.say(printer.lang), "set VEDETTE_TOKEN to a token that is valid"),
        Ok(me) => {
            add("token", true, format!("{} ({})", me["name"].as_str().unwrap_or(""), me["role"].as_str().unwrap_or("")), "");
            if let Ok(page) = client.get("/api/v1/channels", &[]).await {
                for channel in page["items"].as_array().into_iter().flatten() {
                    let text = |key: &str| channel[key].as_str().unwrap_or("").to_owned();
                    let (reason, dead) = (text("reason"), channel["dead"].as_u64().unwrap_or(0));
                    let words = format!("{} {} waiting, {dead} given up {reason}", text("name"), channel["waiting"]);
                    let way = "`vedette notify test NAME` says what is wrong; `vedette deliveries --state dead` lists what was given up";
                    add("channel", reason.is_empty() && dead == 0, words, way);
                }
            }
            if let Ok(agents) = client.pages("/api/v1/agents", &[], usize::MAX).await {
                let silent: Vec<&str> = agents.iter().filter(|a| a["liveness"] == "silent").filter_map(|a| a["host"].as_str()).collect();
                add(
                    "agents heard",
                    silent.is_empty(),
                    format!("{} of {} silent: {}", silent.len(), agents.len(), silent.join(", ")),
                    "look at the host, its network and `vedette-agent doctor` there",
                );
                let off: Vec<&str> = agents.iter().filter(|a| a["ledger_balanced"] == false).filter_map(|a| a["host"].as_str()).collect();
                add(
                    "ledgers add up",
                    off.is_empty(),
                    off.join(", "),
                    "events are missing without a declaration: treat the host as suspect",
                );
                let skewed: Vec<&str> = agents
                    .iter()
                    .filter(|a| a["clock_skew_ms"].as_i64().is_some_and(|ms| ms.abs() > 1000))
                    .filter_map(|a| a["host"].as_str())
                    .collect();
                add("clocks", skewed.is_empty(), skewed.join(", "), "more than a second off: check time synchronisation on these hosts");
            }
            if let Ok(page) = client.get("/api/v1/rules", &[]).await {
                let faults = page["faults"].as_array().map_or(0, Vec::len);
                add(
                    "rules",
                    faults == 0,
                    format!("{} in force, {faults} refused", page["items"].as_array().map_or(0, Vec::len)),
                    "`vedette rules` names each with its line and the way out",
                );
            }
            if let Ok(proof) = client.get("/api/v1/audit/verify", &[]).await {
                add(
                    "audit chain",
                    proof["intact"] == true,
                    format!("{} entries", proof["entries"]),
                    "somebody changed the audit trail: keep the database and find out who",
                );
            }
        }
    }
    printer.list(&rows, show::DOCTOR);
    Ok(if rows.iter().all(|r| r["good"] == true) { exit::DONE } else { exit::FOUND })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_cannot_lead_elsewhere() {
        assert!(word("A0123").is_ok());
        for bad in ["", "../x", "a/b", "a?b", "中"] {
            assert!(word(bad).is_err(), "{bad}");
        }
    }
}
