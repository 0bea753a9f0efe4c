//! The commands that run here rather than ask a server: `serve`, `replay`, `check`, `demo`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::app::{self, Bootstrap};
use crate::cli::Format;
use crate::config::{self, Config, LogStyle};
use crate::engine::{Engine, EngineOptions};
use crate::register::Register;
use crate::replay::{self, ReplayArgs};

/// Where `serve` and `check` look when no file is named and this one is there.
const DEFAULT_FILE: &str = "/etc/vedette/collector.toml";

/// What may be said on the command line in place of the file.
#[derive(Debug, Clone, Args)]
pub struct ConfigArgs {
    /// Configuration file; without it /etc/vedette/collector.toml where that exists, else the defaults
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder for everything that is kept
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Sigma rules, a file or folder; may be given several times
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Folder of field mappings
    #[arg(long, value_name = "DIR")]
    mappings: Option<PathBuf>,
    /// Register of units and assets
    #[arg(long, value_name = "FILE")]
    register: Option<PathBuf>,
    /// Indicators of compromise (STIX 2.1, MISP JSON, CSV, plain lists), a file or folder; may be given several times
    #[arg(long, value_name = "PATH")]
    indicators: Vec<PathBuf>,
    /// Console, API and metrics
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Where agents connect
    #[arg(long, value_name = "ADDRESS:PORT")]
    link_listen: Option<SocketAddr>,
    /// Where new agents enrol
    #[arg(long, value_name = "ADDRESS:PORT")]
    enrol_listen: Option<SocketAddr>,
    /// Host written into enrolment strings
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
}

impl ConfigArgs {
    /// File, then environment (`VEDETTE__LINK__LISTEN`), then flags; all problems at once.
    pub fn load(&self) -> Result<Config, String> {
        let mut layers = settings::Layers::new();
        let file = self.config.clone().or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|p| p.exists()));
        if let Some(file) = &file {
            layers = layers.file(file);
        }
        let text = |path: &Path| path.display().to_string();
        let list = |paths: &[PathBuf]| {
            let list: Vec<toml::Value> = paths.iter().map(|p| toml::Value::String(text(p))).collect();
            (!list.is_empty()).then(|| toml::Value::Array(list).to_string())
        };
        let loaded = layers
            .environment("VEDETTE", std::env::vars())
            .flag("--data", "data", self.data.as_deref().map(text))
            .flag("--rules", "rules", list(&self.rules))
            .flag("--indicators", "indicators.paths", list(&self.indicators))
            .flag("--mappings", "mappings", self.mappings.as_deref().map(text))
            .flag("--register", "register", self.register.as_deref().map(text))
            .flag("--listen", "serve.listen", self.listen.map(|a| a.to_string()))
            .flag("--link-listen", "link.listen", self.link_listen.map(|a| a.to_string()))
            .flag("--enrol-listen", "link.enrol_listen", self.enrol_listen.map(|a| a.to_string()))
            .flag("--advertise", "link.advertise", self.advertise.clone())
            .load::<Config>()
            .map_err(|errors| errors.to_string())?;
        let problems = config::check(&loaded.value);
        let told: Vec<String> = problems.into_iter().map(|(key, what)| loaded.document.problem(key, what).to_string()).collect();
        if told.is_empty() { Ok(loaded.value) } else { Err(told.join("\n")) }
    }
}

/// Run the collector: take events in, find, correlate, serve the console
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print one line of JSON with addresses, a first login, a token for a day, and an enrolment string for a host of UNIT
    #[arg(long, value_name = "UNIT")]
    bootstrap: Option<String>,
}

pub fn serve(args: &ServeArgs) -> ExitCode {
    let config = match args.config.load() {
        Ok(config) => config,
        Err(problems) => return bad_input(&problems),
    };
    let format = match config.log.format {
        LogStyle::Text => telemetry::LogFormat::Text,
        LogStyle::Json => telemetry::LogFormat::Json,
    };
    if let Err(error) = telemetry::init_logging("vedette", format, &config.log.filter) {
        return bad_input(&format!("[log] filter = \"{}\": {error}", config.log.filter));
    }
    let again = args.config.clone();
    match app::run(config, std::sync::Arc::new(move || again.load()), args.bootstrap.clone().map(|unit| Bootstrap { unit })) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "cannot go on");
            ExitCode::from(3)
        }
    }
}

/// Check configuration, rules, mappings, register and indicators: all problems at once, with file and line
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Look at this machine too: certificates, clock, disk, permissions, ports; each finding with its way out (exit 1 if one is bad)
    #[arg(long)]
    deep: bool,
}

pub fn check(args: &CheckArgs, global: &crate::cli::Global) -> ExitCode {
    let config = match args.config.load() {
        Ok(config) => config,
        Err(problems) => return bad_input(&problems),
    };
    if args.deep {
        let findings = crate::check::look(&config, crate::clock::now());
        return ExitCode::from(crate::cli::print_findings(global, &findings));
    }
    let mut problems = Vec::new();
    let mut rules = 0;
    match Engine::load(&EngineOptions { rules: config.rules.clone(), mappings: Some(config.mappings.clone()) }) {
        Ok((engine, faults)) => {
            rules = engine.rules().rules().len() + engine.rules().correlations().len();
            problems.extend(faults);
        }
        Err(error) => problems.push(error.to_string()),
    }
    let known = crate::indicators::load(&config.indicators.paths);
    problems.extend(known.problems);
    if let Err(error) = app::console_tls(&config) {
        problems.push(format!("{error:#}"));
    }
    if config.register.exists() {
        if let Err(error) = Register::load(&config.register) {
            problems.push(error.to_string());
        }
    } else {
        problems.push(format!("{}: there is no such register; copy config/register.toml there", config.register.display()));
    }
    if !problems.is_empty() {
        return bad_input(&problems.join("\n"));
    }
    let indicators = if known.files == 0 { String::new() } else { format!(", {} indicators of {} files", known.set.len(), known.files) };
    println!("configuration, {rules} rules{indicators} and the register are in order");
    ExitCode::SUCCESS
}

/// Run recorded input through the very engine `serve` runs: captures, logs, JSON lines in; alerts out
#[derive(Debug, Clone, Args)]
pub struct ReplayCommand {
    /// pcap, pcapng, log or JSON-lines files; found out by content
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Sigma rules, a file or folder; may be given several times
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Folder of field mappings
    #[arg(long, value_name = "DIR")]
    mappings: Option<PathBuf>,
    /// Register of units and assets
    #[arg(long, value_name = "FILE")]
    register: Option<PathBuf>,
    /// Indicators of compromise to look for in every event, a file or folder; may be given several times
    #[arg(long, value_name = "PATH")]
    indicators: Vec<PathBuf>,
}

pub fn replay(command: &ReplayCommand, output: Format) -> ExitCode {
    match run_replay(command, output) {
        Ok(code) => code,
        Err(error) => bad_input(&format!("{error:#}")),
    }
}

fn run_replay(command: &ReplayCommand, output: Format) -> Result<ExitCode> {
    anyhow::ensure!(
        matches!(output, Format::Table | Format::Json | Format::Jsonl),
        "replay prints tables and JSON lines; csv would lose the lists an alert holds"
    );
    let rules = if command.rules.is_empty() { found("rules").into_iter().collect() } else { command.rules.clone() };
    anyhow::ensure!(
        !rules.is_empty(),
        "no rules: name them with --rules, or run this in the clone (config/rules) or after an installation (/etc/vedette/rules)"
    );
    let args = ReplayArgs {
        files: command.files.clone(),
        engine: EngineOptions { rules, mappings: command.mappings.clone().or_else(|| found("mappings")) },
        register: command.register.clone().or_else(|| found("register.toml")),
        indicators: command.indicators.clone(),
        jsonl: output != Format::Table,
        batch: 1_024,
        ..ReplayArgs::default()
    };
    let bar = indicatif::ProgressBar::new(0);
    bar.set_style(indicatif::ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}")?);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    // A table is drawn at the end, in place of a line an alert.
    let mut nowhere = std::io::sink();
    let lines: &mut dyn Write = if output == Format::Table { &mut nowhere } else { &mut out };
    let summary = replay::run(&args, lines, &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    if output == Format::Table {
        table(&summary, &mut out)?;
    }
    out.flush()?;
    for problem in &summary.problems {
        eprintln!("{problem}");
    }
    eprintln!("{} files, {} events, {} findings, {} alerts", summary.files, summary.events, summary.findings, summary.alerts.len());
    Ok(ExitCode::from(if summary.damaged > 0 { 2 } else { u8::from(!summary.alerts.is_empty()) }))
}

fn table(summary: &replay::ReplaySummary, out: &mut dyn Write) -> Result<()> {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY).set_header(["time", "severity", "title", "source", "target", "events"]);
    for alert in &summary.alerts {
        let first = |list: &[String]| match list {
            [] => String::new(),
            [one] => one.clone(),
            [one, rest @ ..] => format!("{one} +{}", rest.len()),
        };
        table.add_row([
            event::Timestamp::from_ns(alert.first_time).to_string(),
            alert.severity().to_string(),
            alert.title.clone(),
            first(&alert.source_ips),
            first(&alert.target_ips),
            alert.event_count.to_string(),
        ]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}

/// The installed one, else the one of a clone.
fn found(name: &str) -> Option<PathBuf> {
    [Path::new("/etc/vedette").join(name), Path::new("config").join(name)].into_iter().find(|p| p.exists())
}

/// Play a city of five sectors under a scripted attack into a running collector, until Ctrl-C
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Folder for the identities of the demo's hosts
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// What to play: the attack, or its benign twin
    #[arg(long, value_enum, default_value = "attack")]
    day: crate::demo::story::Day,
    /// Milliseconds a second of the story takes; the times in the events stay the clock's
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pace: u64,
    /// End after so many seconds of the story, when all of it is acknowledged
    #[arg(long, value_name = "N")]
    seconds: Option<i64>,
}

/// Takes the server, its authority and a token that may enrol from the same flags and variables as the other commands.
pub fn demo(args: &DemoArgs, global: &crate::cli::Global) -> ExitCode {
    let how = crate::demo::Play { day: args.day, pace: std::time::Duration::from_millis(args.pace), seconds: args.seconds };
    let client = match crate::cli::connect(global) {
        Ok(client) => client,
        Err(trouble) => return bad_input(&trouble.say(crate::cli::Language::En)),
    };
    match crate::demo::run(&client, &args.state, how).context("the demo city") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(3)
        }
    }
}

pub fn bad_input(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(2)
}
