//! `tail`: alerts that are there, then each change as it comes. After a cut it goes on where it was; what the server no longer
//! holds is read again from the list, and said so on standard error.

use std::collections::BTreeMap;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Method;
use serde_json::Value;

use super::client::{Client, Trouble, address};
use super::names::UnitNames;
use super::output::{Format, Language, Printer};
use super::stream::Blocks;
use super::{exit, show};

/// Nothing heard for this long is a cut: the server sends a sign of life every few seconds.
const SILENCE_S: u64 = 20;

pub async fn tail(client: &Client, printer: &Printer, query: &str, follow: bool) -> Result<u8, Trouble> {
    let mut seen = Seen { revisions: BTreeMap::new(), names: UnitNames::of(client, printer).await };
    let mut position = catch_up(client, printer, query, &mut seen).await?;
    if !follow {
        return Ok(exit::DONE);
    }
    let mut wait = 1;
    loop {
        match listen(client, printer, query, &mut position, &mut seen).await {
            // A refusal will not get better by asking again.
            Err(trouble @ (Trouble::Problem(_) | Trouble::Input(_))) => return Err(trouble),
            Ok(()) => wait = 1,
            Err(trouble) => {
                eprintln!("{}; {wait} s", trouble.say(printer.lang));
                tokio::time::sleep(Duration::from_secs(wait)).await;
                wait = (wait * 2).min(30);
            }
        }
    }
}

/// Prints what the list has and has not been printed yet, oldest first; gives the position it agrees with.
async fn catch_up(client: &Client, printer: &Printer, query: &str, seen: &mut Seen) -> Result<String, Trouble> {
    let page = client.get("/api/v1/alerts", &[("q", query), ("state", "open"), ("limit", "100")]).await?;
    for alert in page["items"].as_array().into_iter().flatten().rev() {
        print(printer, alert, seen);
    }
    Ok(page["feed"].as_str().unwrap_or("").to_owned())
}

/// Reads the feed until it ends or falls silent.
async fn listen(client: &Client, printer: &Printer, query: &str, position: &mut String, seen: &mut Seen) -> Result<(), Trouble> {
    let path = address("/api/v1/feed", &[("q", query)][..usize::from(!query.is_empty())]);
    let headers = [("last-event-id", position.as_str()), ("accept", "text/event-stream")];
    let response = client.send(Method::GET, &path, &headers, None).await?;
    if !response.status().is_success() {
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
        return Err(serde_json::from_slice(&bytes).map_or(Trouble::Status(status), Trouble::Problem));
    }
    let mut body = response.into_body();
    let mut blocks = Blocks::default();
    loop {
        let frame = tokio::time::timeout(Duration::from_secs(SILENCE_S), body.frame()).await;
        let cut = |why: &str| Trouble::Connection(format!("the feed {why}"));
        let Some(frame) = frame.map_err(|_| cut("fell silent"))? else { return Err(cut("ended")) };
        if let Ok(data) = frame.map_err(|_| cut("was cut"))?.into_data() {
            blocks.push(&data).map_err(|_| cut("sends an event without an end; is this a Vedette collector?"))?;
        }
        while let Some(told) = blocks.take() {
            if !told.id.is_empty() {
                *position = told.id;
            }
            match told.name.as_str() {
                "alert" => {
                    if let Ok(data) = serde_json::from_str::<Value>(&told.data) {
                        print(printer, &data["alert"], seen);
                    }
                }
                "resync" => {
                    eprintln!(
                        "{}",
                        if printer.lang == Language::Zh {
                            "中间部分已不可续传，重新读取列表"
                        } else {
                            "too much was missed; reading the list again"
                        }
                    );
                    *position = catch_up(client, printer, query, seen).await?;
                    return Ok(());
                }
                _ => {}
            }
        }
    }
}

/// What was printed already, and what units are called.
struct Seen {
    revisions: BTreeMap<String, u64>,
    names: UnitNames,
}

/// Alerts whose newest printed revision is remembered; past it the smallest id is forgotten and may be printed twice.
const SEEN_MAX: usize = 100_000;

fn print(printer: &Printer, alert: &Value, seen: &mut Seen) {
    let (id, revision) = (alert["id"].as_str().unwrap_or("").to_owned(), alert["revision"].as_u64().unwrap_or(0));
    if seen.revisions.get(&id).is_some_and(|r| *r >= revision) {
        return;
    }
    if seen.revisions.len() >= SEEN_MAX {
        seen.revisions.pop_first();
    }
    seen.revisions.insert(id, revision);
    match printer.format {
        Format::Table => super::output::write(&line(&seen.names.one(alert.clone()), printer.lang)),
        // A stream is lines, whatever was asked for: an array without an end is no JSON.
        _ => super::output::write(&format!("{alert}\n")),
    }
}

fn line(alert: &Value, lang: Language) -> String {
    let mut out = String::new();
    for column in show::ALERTS {
        let text = super::output::clean(&(column.cell)(alert, lang));
        if !text.is_empty() {
            out.push_str(&text);
            out.push_str("  ");
        }
    }
    out.push('\n');
    out
}
