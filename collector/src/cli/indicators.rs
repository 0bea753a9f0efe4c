//! `vedette indicators`: add feeds, see sources and the search of history, remove a source, ask what is known of a value.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, Trouble, address};
use super::output::{Language, Printer};
use super::{exit, show};

#[derive(Debug, Clone, Subcommand)]
pub enum IndicatorsCommand {
    /// Add feeds: STIX 2.1 bundles, MISP JSON, CSV or plain lists; a source of the same name is replaced
    ///
    /// They are in force at once, reach the agents, and are looked for among stored events.
    ///   vedette indicators add urlhaus.csv --tlp green --confidence 80 --expires 30d
    #[command(verbatim_doc_comment)]
    Add(AddArgs),
    /// List sources: entries, what was refused, how far the search of history is
    List,
    /// Remove a source
    Remove {
        /// Name, as `vedette indicators list` shows it
        source: String,
    },
    /// Ask what is known of addresses, names, URLs, hashes (exit 1 if one is an indicator)
    Check {
        #[arg(required = true)]
        values: Vec<String>,
    },
}

#[derive(Debug, Clone, Args)]
pub struct AddArgs {
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// auto, stix, misp, csv, list, events (IntelMQ, n6)
    #[arg(long, default_value = "auto")]
    format: String,
    /// Name of the source; none: the file's name
    #[arg(long)]
    source: Option<String>,
    /// clear, green, amber, amber+strict, red; for what does not say itself [default: amber]
    #[arg(long, default_value = "")]
    tlp: String,
    /// 0 to 100, for what does not say itself [default: 50]
    #[arg(long)]
    confidence: Option<u8>,
    /// When it ends, for what does not say itself: RFC 3339, or days as 30d
    #[arg(long, default_value = "")]
    expires: String,
    /// Columns of a CSV without a line of names: value,description,…
    #[arg(long, default_value = "")]
    columns: String,
}

pub async fn run(client: &Client, printer: &Printer, command: &IndicatorsCommand) -> Result<u8, Trouble> {
    match command {
        IndicatorsCommand::Add(args) => return add(client, printer, args).await,
        IndicatorsCommand::List => {
            let page = client.get("/api/v1/indicators", &[]).await?;
            printer.list(page["items"].as_array().map_or(&[], Vec::as_slice), show::INDICATORS);
        }
        IndicatorsCommand::Remove { source } => client.delete(&format!("/api/v1/indicators/{}", super::word(source)?)).await?,
        IndicatorsCommand::Check { values } => {
            let answers = client.post("/api/v1/indicators/check", &[], &json!({"values": values})).await?;
            let empty = Vec::new();
            let items = answers["items"].as_array().unwrap_or(&empty);
            // A row for each match, and one for a value nobody names.
            let rows: Vec<Value> = items.iter().flat_map(rows).collect();
            printer.list(&rows, show::INDICATOR_MATCHES);
            let bad = items.iter().any(|i| !i["problem"].as_str().unwrap_or("").is_empty());
            let found = items.iter().any(|i| i["matches"].as_array().is_some_and(|m| !m.is_empty()));
            return Ok(if bad { exit::BAD_INPUT } else { u8::from(found) });
        }
    }
    Ok(exit::DONE)
}

fn rows(item: &Value) -> Vec<Value> {
    let matches = item["matches"].as_array().map_or(&[][..], Vec::as_slice);
    let mut rows: Vec<Value> = matches.to_vec();
    if rows.is_empty() {
        rows.push(json!({"problem": item["problem"]}));
    }
    for row in &mut rows {
        row["value"] = item["value"].clone();
    }
    rows
}

/// A source's name out of a file's.
fn source_of(path: &Path) -> String {
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' }).take(64).collect();
    name.trim_start_matches('.').to_owned()
}

async fn add(client: &Client, printer: &Printer, args: &AddArgs) -> Result<u8, Trouble> {
    if args.source.is_some() && args.files.len() > 1 {
        return Err(Trouble::Input("--source names one source: give one file, or leave --source away".to_owned()));
    }
    let mut added = Vec::new();
    for file in &args.files {
        let input = |e: std::io::Error| Trouble::Input(format!("{}: {e}", file.display()));
        if std::fs::metadata(file).map_err(input)?.len() > crate::indicators::FEED_BYTES_MAX {
            let most = crate::indicators::FEED_BYTES_MAX >> 20;
            return Err(Trouble::Input(format!("{}: larger than {most} MiB; split it", file.display())));
        }
        let bytes = std::fs::read(file).map_err(input)?;
        let source = args.source.clone().unwrap_or_else(|| source_of(file));
        let confidence = args.confidence.map(|c| c.to_string()).unwrap_or_default();
        let said = [
            ("source", source.as_str()),
            ("format", args.format.as_str()),
            ("tlp", args.tlp.as_str()),
            ("confidence", confidence.as_str()),
            ("expires", args.expires.as_str()),
            ("columns", args.columns.as_str()),
        ];
        let said: Vec<_> = said.into_iter().filter(|(_, v)| !v.is_empty()).collect();
        added.push(client.upload(&address("/api/v1/indicators", &said), bytes).await?);
    }
    printer.list(&added, show::INDICATORS);
    for source in &added {
        for problem in source["problems"].as_array().into_iter().flatten() {
            let text = |key: &str| problem[key].as_str().unwrap_or("").to_owned();
            let (line, value, reason) = (&problem["line"], text("value"), text("reason"));
            match printer.lang {
                Language::Zh => eprintln!("{} 第 {line} 行“{value}”未采用：{reason}", source["name"].as_str().unwrap_or("")),
                Language::En => eprintln!("{}:{line}: '{value}' not taken: {reason}", source["name"].as_str().unwrap_or("")),
            }
        }
    }
    Ok(exit::DONE)
}
