//! `vedette match`: any stream of JSON lines against any Sigma rules and correlations; one line a finding.
//!
//! ```text
//! reader ─ chunks ─▶ workers (rules) ─ text, fed ─▶ in order again ─▶ correlations ─▶ output
//! ```
//! Output order is input order, however many workers there are: chunks carry numbers and wait for their turn. Memory is bounded by the
//! number of chunks under way (`CHUNKS_A_WORKER`) and by the correlations' own limits; the reader waits when all are under way.
//!
//! What cannot be read is counted, its first lines are named on standard error, and the exit code says so (2); the lines beside it are
//! matched. Exit code 1: something was found; 0: nothing was.

mod correlating;
pub mod input;
mod record;
mod report;
mod work;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::{Result, ensure};
use clap::Args;
use event::{LogSource, Timestamp};

use crate::cli::{Format, Global};
use crate::rulebook::{self, RuleArgs};

use correlating::Correlating;
use input::{Input, Lines};
pub use record::{Form, ecs as ecs_source, speaks_sigma, time as time_of};
use report::Shape;
pub use report::{json_value, stored};
use work::{Done, Job, Plan, Worker};

/// Match any stream of JSON lines against any Sigma rules and correlations
///
/// Fields are taken as they are named (`a.b` reaches into objects) or through --mapping. Input may be packed (gzip, zstd) and may be one
/// JSON array. One line a finding, in input order:
///   vedette match --rules sigma/rules events.jsonl.zst -o jsonl
///   journalctl -o json | vedette match --rules config/rules --product linux -o count
/// Exit code: 0 nothing found, 1 something found, 2 a rule, file or line could not be read.
#[derive(Debug, Clone, Args)]
#[command(verbatim_doc_comment)]
pub struct MatchArgs {
    /// Files of JSON lines, one JSON object a line; - or nothing: standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Sigma rules and correlations, a file or folder; may be given several times; with --indicators alone the indicator rules that ship
    #[arg(long, value_name = "PATH", required_unless_present = "indicators")]
    rules: Vec<PathBuf>,
    /// Indicators of compromise looked for in every event before the rules see it, a file or folder; may be given several times
    #[arg(long, value_name = "PATH")]
    indicators: Vec<PathBuf>,
    /// Field mapping, a file or folder; without it fields are taken as they are named
    #[arg(long, visible_alias = "mappings", value_name = "PATH")]
    mapping: Vec<PathBuf>,
    /// Log source of every event, whatever it says itself
    #[arg(long, value_name = "WORD")]
    product: Option<String>,
    /// Likewise its category
    #[arg(long, value_name = "WORD")]
    category: Option<String>,
    /// Likewise its service
    #[arg(long, value_name = "WORD")]
    service: Option<String>,
    /// How events name their log source
    #[arg(long, value_enum, default_value_t = Form::Auto)]
    source: Form,
    /// Field with the event's time; without it the usual names are tried (@timestamp, time, UtcTime, ts, …)
    #[arg(long, value_name = "FIELD")]
    time_field: Option<String>,
    /// Seconds an event may be late and still be counted exactly by a correlation
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    lateness: u32,
    /// Threads that match [default: one a core, at most 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
    /// Print figures to standard error: events, bytes, seconds, events a second, findings by rule
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    stats: Option<StatsForm>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StatsForm {
    Text,
    /// One line.
    Json,
}

/// Chunks under way a worker.
const CHUNKS_A_WORKER: usize = 3;
/// Findings whose windows are fetched at once.
const AHEAD: usize = 32;
/// Records looked at to find out how a stream names its log source.
const SAMPLE: usize = 64;

pub fn command(args: &MatchArgs, global: &Global) -> ExitCode {
    match run(args, global) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(crate::cli::exit::BAD_INPUT)
        }
    }
}

/// Figures of a run.
#[derive(Debug, Default)]
struct Tally {
    events: u64,
    bytes: u64,
    findings: u64,
    unreadable: u64,
    untimed: u64,
    damaged: u64,
    /// Inputs whose events name no log source.
    unsourced: Vec<usize>,
    named: Vec<String>,
    /// Seconds of processor time of all threads while matching, and of the busiest of them.
    cpu: f64,
    cpu_busiest: f64,
    by_rule: Vec<u64>,
    by_correlation: BTreeMap<String, u64>,
}

impl Tally {
    fn spent(&mut self, seconds: f64) {
        self.cpu += seconds;
        self.cpu_busiest = self.cpu_busiest.max(seconds);
    }
}

fn run(args: &MatchArgs, global: &Global) -> Result<u8> {
    let started = crate::clock::instant();
    let shape = match global.output {
        Format::Table => Shape::Table(global.lang.decided()),
        Format::Json | Format::Jsonl => Shape::Jsonl,
        Format::Count => Shape::Count,
        Format::Csv | Format::Navigator => anyhow::bail!("match prints table, json, jsonl or count"),
    };
    let book = book(args)?;
    let known = crate::indicators::load(&args.indicators);
    rulebook::tell(&known.problems);
    let (mut correlating, more) = Correlating::new(&book.rules, args.lateness);
    let faults: Vec<_> = book.faults.into_iter().chain(more).collect();
    rulebook::tell(&faults);
    let rules = book.rules;
    ensure!(!rules.rules().is_empty(), "no rule could be loaded");
    let loaded = started.elapsed();
    let cpu_loaded = thread_cpu_seconds();

    let paths = if args.files.is_empty() { vec![PathBuf::from("-")] } else { args.files.clone() };
    let inputs: Vec<Input> = paths.iter().map(|p| Input::from_path(p)).collect();
    let mut fed = vec![false; rules.rules().len()];
    if correlating.is_some() {
        let listened: std::collections::HashSet<&str> =
            rules.correlations().iter().flat_map(|c| &c.rules).filter(|r| !r.correlation).map(|r| r.id.as_str()).collect();
        for (fed, meta) in fed.iter_mut().zip(rules.rules()) {
            *fed = listened.contains(meta.id.as_str());
        }
    }
    // The time is a field like any other here, under whatever name.
    let times = args.time_field.iter().map(String::as_str).chain(record::TIME_FIELDS.iter().copied()).map(event::Name::from);
    let read = correlating.iter().flat_map(Correlating::reads).chain(times);
    let plan = Plan {
        feed: rule::Feed::new(fed, read),
        rules: &rules,
        indicators: known.set,
        now: crate::clock::now(),
        given: LogSource::owned(args.product.as_deref(), args.category.as_deref(), args.service.as_deref()),
        time_field: args.time_field.clone(),
        shape,
        files: if inputs.len() > 1 { inputs.iter().map(Input::name).collect() } else { Vec::new() },
        heads: rules.rules().iter().map(|m| (m.alerts || m.shadow).then(|| report::head(shape, m))).collect(),
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = args.threads.map_or(cores.min(8), usize::from);
    let mut end = End {
        plan: &plan,
        correlating: correlating.as_mut(),
        out: Output::new(global.output == Format::Json),
        held: None,
        tally: Tally { by_rule: vec![0; rules.rules().len()], ..Tally::default() },
        bar: bar(&inputs)?,
        scratch: Vec::new(),
    };
    let whole = stream(&plan, args.source, &inputs, workers, &mut end);
    let whole = whole && end.finish();
    end.bar.finish_and_clear();
    if shape == Shape::Count && whole {
        end.counts()?;
    }
    let closed = end.out.close(whole);
    let mut tally = end.tally;
    tally.spent(thread_cpu_seconds() - cpu_loaded);
    let counters = correlating.as_ref().map(Correlating::counters);
    if closed.is_err() {
        // Whoever read our output went away, as `head` does.
        return Ok(0);
    }
    say(&tally, &plan, &inputs);
    if let Some(form) = args.stats {
        stats(form, &tally, &rules, counters, workers, loaded, started.elapsed());
    }
    let unasked = !tally.unsourced.is_empty() && plan.given == LogSource::default();
    let bad = tally.unreadable > 0 || tally.damaged > 0 || !faults.is_empty() || known.refused > 0 || unasked;
    Ok(if bad { crate::cli::exit::BAD_INPUT } else { u8::from(tally.findings > 0) })
}

/// The rules to match with: those named, or, for a look for indicators alone, the rules that ship for them.
fn book(args: &MatchArgs) -> Result<rulebook::Book> {
    let named = RuleArgs { rules: args.rules.clone(), mapping: args.mapping.clone() };
    if !args.rules.is_empty() {
        return named.load_with(true, &rule::Options::default());
    }
    let (mappings, mut faults) = named.mappings(true)?;
    let own = rule::Source { path: "indicator_seen.yml".to_owned(), text: INDICATOR_RULES.to_owned() };
    let (rules, more) = rule::RuleSet::from_sources(&[own], &mappings, &rule::Options::default());
    faults.extend(more);
    Ok(rulebook::Book { rules, faults })
}

const INDICATOR_RULES: &str = include_str!("../../../config/rules/indicator/indicator_seen.yml");

/// What comes out of the reader or a worker, by its place in the stream.
enum Piece {
    Done(Done),
    /// An input, or the rest of it, could not be read.
    Damaged(String),
    /// A thread is done and took so many seconds of processor time. It has no place in the stream.
    Spent(f64),
    /// The events of an input name no log source.
    Unsourced(usize),
}

/// Runs reader and workers, and hands their pieces to `end` in order. False if nobody takes the output any more.
fn stream(plan: &Plan<'_>, form: Form, inputs: &[Input], workers: usize, end: &mut End<'_>) -> bool {
    let (jobs, taken) = sync_channel::<(u64, Job)>(workers);
    let (pieces, ready) = sync_channel::<(u64, Piece)>(workers * CHUNKS_A_WORKER);
    let (give, buffers) = sync_channel::<Vec<u8>>(workers * CHUNKS_A_WORKER + 1);
    for _ in 0..workers * CHUNKS_A_WORKER {
        let _ = give.try_send(Vec::new());
    }
    let taken = Mutex::new(taken);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (taken, pieces) = (&taken, pieces.clone());
            scope.spawn(move || {
                let mut worker = Worker::new(plan);
                loop {
                    let next = taken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
                    let Ok((number, job)) = next else { break };
                    if pieces.send((number, Piece::Done(worker.run(job)))).is_err() {
                        break;
                    }
                }
                let _ = pieces.send((u64::MAX, Piece::Spent(thread_cpu_seconds())));
            });
        }
        scope.spawn(move || {
            read(form, inputs, &jobs, &pieces, &buffers);
            let _ = pieces.send((u64::MAX, Piece::Spent(thread_cpu_seconds())));
        });
        let mut waiting = BTreeMap::new();
        let mut turn = 0;
        let whole = loop {
            let Ok((number, piece)) = ready.recv() else { break true };
            if let Piece::Spent(seconds) = piece {
                end.tally.spent(seconds);
                continue;
            }
            waiting.insert(number, piece);
            let mut gone = false;
            while let Some(piece) = waiting.remove(&turn) {
                turn += 1;
                gone |= !end.piece(piece, &give);
            }
            if gone {
                break false;
            }
        };
        // Reader and workers end when nobody listens.
        drop((ready, give));
        whole
    })
}

/// Reads the inputs one after another into numbered chunks.
fn read(form: Form, inputs: &[Input], jobs: &SyncSender<(u64, Job)>, pieces: &SyncSender<(u64, Piece)>, buffers: &Receiver<Vec<u8>>) {
    let mut number = 0;
    let mut next = || {
        number += 1;
        number - 1
    };
    for (file, input) in inputs.iter().enumerate() {
        let damaged = |what: &dyn std::fmt::Display| Piece::Damaged(format!("{}: {what}", input.name()));
        let mut lines: Lines = match input.open() {
            Ok(lines) => lines,
            Err(error) => {
                if pieces.send((next(), damaged(&error))).is_err() {
                    return;
                }
                continue;
            }
        };
        let mut decided = form;
        loop {
            let Ok(buffer) = buffers.recv() else { return };
            match lines.next(buffer) {
                Ok(Some(chunk)) => {
                    if decided == Form::Auto {
                        decided = sample(&chunk.bytes);
                        if decided == Form::None && pieces.send((next(), Piece::Unsourced(file))).is_err() {
                            return;
                        }
                    }
                    if jobs.send((next(), Job { file, form: decided, chunk })).is_err() {
                        return;
                    }
                }
                Ok(None) => {
                    let cut = lines.cut().then(|| damaged(&"the array ends before its closing bracket; what stands before was matched"));
                    // The buffer is not given back: one more for the next input.
                    let spare = Piece::Done(Done { file, ..Done::default() });
                    for piece in [Some(spare), cut].into_iter().flatten() {
                        if pieces.send((next(), piece)).is_err() {
                            return;
                        }
                    }
                    break;
                }
                Err(error) => {
                    let told = damaged(&format_args!("{error}; what stands before was matched"));
                    let spare = Piece::Done(Done { file, ..Done::default() });
                    for piece in [spare, told] {
                        if pieces.send((next(), piece)).is_err() {
                            return;
                        }
                    }
                    break;
                }
            }
        }
    }
}

/// How the first records name their log source.
fn sample(bytes: &[u8]) -> Form {
    let records = bytes
        .split(|b| *b == b'\n')
        .filter(|l| !l.trim_ascii().is_empty())
        .take(SAMPLE)
        .filter_map(|l| serde_json::from_slice::<serde_json::Value>(l).ok());
    let mut ecs = false;
    for record in records {
        if record::speaks_sigma(&record) {
            return Form::Sigma;
        }
        ecs |= record::speaks_ecs(&record);
    }
    if ecs { Form::Ecs } else { Form::None }
}

/// Where the pieces come together again.
struct End<'a> {
    plan: &'a Plan<'a>,
    correlating: Option<&'a mut Correlating>,
    out: Output,
    /// The piece before, whose last finding waits to know the time of the next one.
    held: Option<Done>,
    tally: Tally,
    bar: indicatif::ProgressBar,
    scratch: Vec<u8>,
}

impl End<'_> {
    /// False if the output is gone.
    fn piece(&mut self, piece: Piece, give: &SyncSender<Vec<u8>>) -> bool {
        match piece {
            Piece::Damaged(what) => {
                self.tally.damaged += 1;
                self.tally.named.push(what);
                true
            }
            Piece::Unsourced(file) => {
                self.tally.unsourced.push(file);
                true
            }
            Piece::Spent(seconds) => {
                self.tally.spent(seconds);
                true
            }
            Piece::Done(mut done) => {
                let _ = give.try_send(std::mem::take(&mut done.buffer));
                self.bar.inc(done.consumed);
                let name = self.plan.files.get(done.file).map_or("line ", |f| f.as_str());
                let tally = &mut self.tally;
                tally.events += done.events;
                tally.bytes += done.bytes;
                tally.unreadable += done.unreadable;
                tally.untimed += done.untimed;
                for (line, why) in done.named.drain(..) {
                    if tally.named.len() < work::NAMED_MAX {
                        let colon = if self.plan.files.is_empty() { "" } else { ":" };
                        tally.named.push(format!("{name}{colon}{line}: {why}"));
                    }
                }
                for rule in done.hits.drain(..) {
                    if let Some(count) = tally.by_rule.get_mut(rule as usize) {
                        *count += 1;
                    }
                    tally.findings += u64::from(self.plan.heads.get(rule as usize).is_some_and(Option::is_some));
                }
                if done.fed.is_empty() && self.held.is_none() {
                    return self.out.write(&done.text).is_ok();
                }
                let next = done.fed.first().map(|(_, f)| f.time);
                match self.held.take() {
                    // Nothing in this piece says how time goes on: its text is joined to the one that waits.
                    Some(mut before) if next.is_none() && before.text.len() < input::CHUNK_BYTES => {
                        before.text.append(&mut done.text);
                        self.held = Some(before);
                        true
                    }
                    Some(before) => {
                        let written = self.settle(before, next);
                        self.held = Some(done);
                        written
                    }
                    None => {
                        self.held = Some(done);
                        true
                    }
                }
            }
        }
    }

    /// Writes a piece's text, and between its lines what the correlations say.
    fn settle(&mut self, done: Done, next: Option<Timestamp>) -> bool {
        let Some(correlating) = self.correlating.as_deref_mut() else { return self.out.write(&done.text).is_ok() };
        let mut at = 0;
        let times: Vec<Timestamp> = done.fed.iter().skip(1).map(|(_, f)| f.time).collect();
        let mut fed = done.fed.into_iter();
        for n in 0.. {
            if n % AHEAD == 0 {
                correlating.foresee(fed.as_slice().iter().take(AHEAD).map(|(_, f)| f));
            }
            let Some((place, finding)) = fed.next() else { break };
            self.scratch.clear();
            for told in correlating.take(&finding, times.get(n).copied().or(next)) {
                self.tally.findings += 1;
                *self.tally.by_correlation.entry(told.rule.id.clone()).or_default() += 1;
                let rule = correlating::rule_of(self.plan.rules.correlations(), &told.rule.id);
                report::correlated(self.plan.shape, rule, told, &self.plan.files, &mut self.scratch);
            }
            if !self.scratch.is_empty() {
                let before = done.text.get(at..place).unwrap_or_default();
                if self.out.write(before).and_then(|()| self.out.write(&self.scratch)).is_err() {
                    return false;
                }
                at = place;
            }
        }
        self.out.write(done.text.get(at..).unwrap_or_default()).is_ok()
    }

    /// The last piece, and windows that were still open.
    fn finish(&mut self) -> bool {
        if let Some(done) = self.held.take()
            && !self.settle(done, None)
        {
            return false;
        }
        let Some(correlating) = self.correlating.as_deref_mut() else { return true };
        self.scratch.clear();
        for told in correlating.finish() {
            self.tally.findings += 1;
            *self.tally.by_correlation.entry(told.rule.id.clone()).or_default() += 1;
            let rule = correlating::rule_of(self.plan.rules.correlations(), &told.rule.id);
            report::correlated(self.plan.shape, rule, told, &self.plan.files, &mut self.scratch);
        }
        self.out.write(&self.scratch).is_ok()
    }

    /// `-o count`: count, level, id and title of every rule that found something, most first.
    fn counts(&mut self) -> Result<()> {
        let mut text = String::new();
        for (count, meta) in counted(&self.tally, self.plan.rules) {
            text.push_str(&format!("{count}\t{}\t{}\t{}\n", meta.severity.name(), meta.id, crate::cli::clean(&meta.title)));
        }
        let _ = self.out.write(text.as_bytes());
        Ok(())
    }
}

/// Rules and correlations that found something, most first, then by title.
fn counted<'r>(tally: &Tally, rules: &'r rule::RuleSet) -> Vec<(u64, &'r event::RuleMeta)> {
    let plain = tally.by_rule.iter().zip(rules.rules()).map(|(n, m)| (*n, &**m)).filter(|(n, m)| *n > 0 && (m.alerts || m.shadow));
    let over = rules.correlations().iter().filter_map(|c| Some((*tally.by_correlation.get(&c.meta.id)?, &*c.meta)));
    let mut all: Vec<_> = plain.chain(over).collect();
    all.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| (&a.1.title, &a.1.id).cmp(&(&b.1.title, &b.1.id))));
    all
}

/// Standard output, as lines or as one JSON array of them.
struct Output {
    out: io::BufWriter<io::Stdout>,
    array: bool,
    first: bool,
}

impl Output {
    fn new(array: bool) -> Self {
        Self { out: io::BufWriter::with_capacity(1 << 16, io::stdout()), array, first: true }
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if !self.array {
            return self.out.write_all(text);
        }
        for line in text.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            self.out.write_all(if self.first { b"[\n" } else { b",\n" })?;
            self.out.write_all(line)?;
            self.first = false;
        }
        Ok(())
    }

    fn close(&mut self, whole: bool) -> io::Result<()> {
        if self.array && whole {
            self.out.write_all(if self.first { b"[]\n" } else { b"\n]\n" })?;
        }
        self.out.flush()
    }
}

fn bar(inputs: &[Input]) -> Result<indicatif::ProgressBar> {
    let total: u64 = inputs.iter().map(Input::bytes).sum();
    let bar = if total > 0 { indicatif::ProgressBar::new(total) } else { indicatif::ProgressBar::hidden() };
    bar.set_style(indicatif::ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}")?);
    Ok(bar)
}

/// What could not be read, and what was done, to standard error.
fn say(tally: &Tally, plan: &Plan<'_>, inputs: &[Input]) {
    for what in &tally.named {
        eprintln!("{what}");
    }
    if tally.unreadable > 0 {
        eprintln!("{} lines could not be read; the others were matched", tally.unreadable);
    }
    if tally.untimed > 0 {
        eprintln!("{} matches for correlations say no time and were not counted; name the field with --time-field", tally.untimed);
    }
    let unsourced: Vec<String> = tally.unsourced.iter().filter_map(|n| inputs.get(*n)).map(Input::name).collect();
    if !unsourced.is_empty() && plan.given == LogSource::default() {
        eprintln!(
            "{}: the events name no log source, so that no rule was asked; give --product, --category or --service",
            unsourced.join(", ")
        );
    }
    eprintln!("{} events, {} findings", tally.events, tally.findings);
}

fn stats(
    form: StatsForm,
    tally: &Tally,
    rules: &rule::RuleSet,
    counters: Option<correlate::Counters>,
    workers: usize,
    loaded: std::time::Duration,
    whole: std::time::Duration,
) {
    let cpu = cpu_seconds();
    let matching = (whole - loaded).as_secs_f64();
    let rate = |seconds: f64| if seconds > 0.0 { (tally.events as f64 / seconds).round() } else { 0.0 };
    let by_rule: Vec<serde_json::Value> = counted(tally, rules)
        .iter()
        .map(|(n, m)| serde_json::json!({"rule": m.id, "title": m.title, "level": m.severity.name(), "findings": n}))
        .collect();
    let rounded = |x: f64| (x * 1000.0).round() / 1000.0;
    let figures = serde_json::json!({
        "rules": rules.rules().len(), "correlations": rules.correlations().len(), "threads": workers,
        "events": tally.events, "bytes": tally.bytes, "unreadable": tally.unreadable, "findings": tally.findings,
        "load_seconds": rounded(loaded.as_secs_f64()), "seconds": rounded(whole.as_secs_f64()), "cpu_seconds": cpu.map(rounded),
        "cpu_seconds_matching": rounded(tally.cpu), "cpu_seconds_busiest": rounded(tally.cpu_busiest),
        "events_per_second": rate(matching), "megabytes_per_second": rounded(tally.bytes as f64 / 1e6 / matching.max(1e-9)),
        "resident_megabytes_peak": peak_megabytes(),
        "correlated": counters.map(|c| serde_json::json!({
            "entries": c.entries, "duplicates": c.duplicates, "ungrouped": c.ungrouped, "clock_ahead": c.clock_ahead,
            "evicted_groups": c.evicted_groups, "evicted_entries": c.evicted_entries, "told": c.told, "retold": c.retold,
        })),
        "by_rule": by_rule,
    });
    match form {
        StatsForm::Json => eprintln!("{figures}"),
        StatsForm::Text => {
            for (name, value) in figures.as_object().into_iter().flatten().filter(|(n, v)| *n != "by_rule" && !v.is_null()) {
                eprintln!("{name:<24} {value}");
            }
            for (n, meta) in counted(tally, rules) {
                eprintln!("{n:>12}  {:<13}  {}", meta.severity.name(), crate::cli::clean(&meta.title));
            }
        }
    }
}

/// Seconds of processor time this process has used: user and system, in ticks of a hundredth.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut words = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = words.next()?.parse::<u64>().ok()? + words.next()?.parse::<u64>().ok()?;
    Some(ticks as f64 / 100.0)
}

/// Seconds of processor time this thread has used.
fn thread_cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).map_or(0.0, |ns| ns / 1e9)
}

fn peak_megabytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kb| kb / 1024)
}
