//! `vedette export`: a warning, a receipt or an incident in another house's form.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::client::{Client, Trouble, address};
use super::exit;

#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// Id of a warning (W…), of a receipt (R…: what a unit was told) or of an incident (I…)
    id: String,
    /// Form of it
    #[arg(long, value_enum)]
    format: Form,
    /// Number of the revision; the newest if not said
    #[arg(long)]
    revision: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// CAP 1.2, in Chinese and English
    Cap,
    /// STIX 2.1 bundle
    Stix,
    /// MISP event
    Misp,
    /// OCSF 1.8 finding
    Ocsf,
    /// Indicators as a table
    Csv,
    /// IDEA0 message
    Idea,
}

pub async fn run(client: &Client, args: &ExportArgs) -> Result<u8, Trouble> {
    let id = super::word(&args.id)?;
    let plural = match args.id.chars().next() {
        Some('R') => "receipts",
        Some('I') => "incidents",
        _ => "warnings",
    };
    let format = args.format.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
    let revision = args.revision.map(|n| n.to_string()).unwrap_or_default();
    let mut query = vec![("format", format.as_str())];
    if args.revision.is_some() {
        query.push(("revision", &revision));
    }
    super::write(&client.text(&address(&format!("/api/v1/{plural}/{id}/export"), &query)).await?);
    Ok(exit::DONE)
}

/// What is known of each of these flaws.
pub async fn weaknesses(client: &Client, ids: &[String]) -> Result<Vec<Value>, Trouble> {
    let mut out = Vec::new();
    for id in ids {
        out.push(client.get(&format!("/api/v1/weaknesses/{}", super::word(id)?), &[]).await?);
    }
    Ok(out)
}
