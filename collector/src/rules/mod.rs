//! `vedette rules`: the rules in force, and what one does before they are: check, test, cover, try on what is stored.
//!
//! `check`, `test` and `coverage` work on files and ask no server; `list`, `show` and `diff` ask a running collector.

pub mod case;
pub mod coverage;
pub mod diff;
pub mod test;
pub mod trial;

use std::collections::BTreeMap;

use anyhow::Result;
use clap::{Args, Subcommand};
use rule::RuleError;
use serde_json::json;

use crate::cli::{Column, Format, Global, Look, Printer, exit};
use crate::engine::Engine;
use crate::rulebook::RuleArgs;

#[derive(Debug, Clone, Args)]
pub struct RulesArgs {
    #[command(subcommand)]
    pub what: Option<RulesCommand>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum RulesCommand {
    /// List rules in force and rules refused (exit 1 if one was refused); also without a word
    List,
    /// Show one rule as the collector has it
    Show {
        /// Id of the rule
        id: String,
    },
    /// Read rule files and name every mistake with file, line, column and the way out (exit 2 if there is one)
    Check(CheckArgs),
    /// Run tests of rules: sequences of events with time, and what must be found
    ///
    ///   vedette rules test tests/rules --rules config/rules
    #[command(verbatim_doc_comment)]
    Test(test::TestArgs),
    /// What changed rules would have done on stored history: alerts gained and lost, with sample events (exit 1 if any)
    ///
    ///   vedette rules diff --since 7d config/rules/access/ssh_guessing.yml
    #[command(verbatim_doc_comment)]
    Diff(diff::DiffArgs),
    /// ATT&CK techniques the rules speak of: rules, tested, fired; -o navigator prints a layer
    Coverage(coverage::CoverageArgs),
}

#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Rule files and folders; without them, those of --rules or the installed ones
    #[arg(value_name = "PATH")]
    files: Vec<std::path::PathBuf>,
    #[command(flatten)]
    rules: RuleArgs,
}

impl RulesArgs {
    /// True if it needs no server.
    pub fn is_local(&self) -> bool {
        match &self.what {
            Some(RulesCommand::Check(_) | RulesCommand::Test(_)) => true,
            Some(RulesCommand::Coverage(args)) => !args.live,
            _ => false,
        }
    }

    /// Carries out what needs no server; `fired` are alerts by rule where a server was asked for them.
    pub fn run(&self, fired: Option<&BTreeMap<String, u64>>, global: &Global) -> Result<u8> {
        match &self.what {
            Some(RulesCommand::Check(args)) => check(args, global),
            Some(RulesCommand::Test(args)) => test::run(args, global),
            Some(RulesCommand::Coverage(args)) => coverage::run(args, fired, global),
            _ => Ok(exit::DONE),
        }
    }
}

fn check(args: &CheckArgs, global: &Global) -> Result<u8> {
    let mut own = args.rules.clone();
    if !args.files.is_empty() {
        own.rules.clone_from(&args.files);
    }
    let book = own.or_found()?.load()?;
    let mut faults = book.faults;
    let (engine, more) = Engine::with_rules(book.rules);
    faults.extend(more);
    let rules = engine.rules();
    let row = |kind: &str, e: &RuleError| json!({"kind": kind, "path": e.path, "line": e.line, "column": e.column, "what": e.what, "way_out": e.way_out});
    let rows: Vec<_> = faults.iter().map(|e| row("refused", e)).chain(rules.notices().iter().map(|e| row("notice", e))).collect();
    match global.output {
        Format::Table => {
            for (kind, error) in faults.iter().map(|e| ("", e)).chain(rules.notices().iter().map(|e| ("notice: ", e))) {
                crate::cli::write(&format!("{kind}{error}\n"));
            }
        }
        _ => Printer::new(global.output, global.lang).list(&rows, COLUMNS),
    }
    eprintln!(
        "{} rules and {} correlations in order, {} refused, {} notices",
        rules.rules().len(),
        rules.correlations().len()
            - faults.iter().filter(|f| rules.correlations().iter().any(|c| c.path == f.path && c.line == f.line)).count(),
        faults.len(),
        rules.notices().len()
    );
    Ok(if faults.is_empty() { exit::DONE } else { exit::BAD_INPUT })
}

const COLUMNS: &[Column] = &[Column { en: "WHAT", zh: "内容", cell: |v, _| v["what"].to_string(), look: Look::Plain }];
