//! `vedette rules diff`: what changed rules would have done on stored history, asked of a running collector.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use http_body_util::BodyExt;
use hyper::Method;
use serde_json::{Value, json};

use super::case::duration;
use crate::cli::{Client, Language, Printer, Trouble, clean, exit, show};

/// Events shown of one alert, and the longest line of the answer.
const LINE_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// Changed or new rule files; a document replaces the one in force that has its id
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How far back: 24h, 7d, 90m
    #[arg(long, value_name = "TIME", default_value = "24h")]
    since: String,
}

pub async fn run(client: &Client, printer: &Printer, args: &DiffArgs) -> Result<u8, Trouble> {
    let since = duration(&args.since).filter(|ns| *ns >= event::SECOND_NS);
    let since_s =
        since.ok_or_else(|| Trouble::Input(format!("--since '{}' is no time: write 24h, 7d or 90m", args.since)))? / event::SECOND_NS;
    let mut sources = Vec::new();
    for file in &args.files {
        let text = std::fs::read_to_string(file).map_err(|e| Trouble::Input(format!("{}: {e}", file.display())))?;
        sources.push(json!({"path": file.display().to_string(), "text": text}));
    }
    let body = json!({"sources": sources, "since_s": since_s});
    let response = client.send(Method::POST, "/api/v1/rules/diff", &[], Some(&body)).await?;
    let status = response.status();
    let mut body = response.into_body();
    if !status.is_success() {
        let bytes = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
        return Err(serde_json::from_slice(&bytes).map_or(Trouble::Status(status.as_u16()), Trouble::Problem));
    }
    let bar = indicatif::ProgressBar::new(1);
    if let Ok(style) = indicatif::ProgressStyle::with_template("{bar:40} {percent}% {msg} {eta}") {
        bar.set_style(style);
    }
    let cut = |why: &str| Trouble::Connection(format!("the answer broke off: {why}"));
    let mut rest = Vec::new();
    loop {
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let step: Value = serde_json::from_slice(&line).map_err(|e| cut(&e.to_string()))?;
            if let Some(progress) = step.get("progress") {
                bar.set_length(progress["of_s"].as_u64().unwrap_or(1));
                bar.set_position(progress["done_s"].as_u64().unwrap_or(0));
                bar.set_message(format!("{} events", progress["events"]));
            }
            if let Some(why) = step["failed"].as_str() {
                return Err(Trouble::Connection(why.to_owned()));
            }
            if let Some(result) = step.get("result") {
                bar.finish_and_clear();
                printer.one(result, text);
                let same = result["gained"] == 0 && result["lost"] == 0;
                return Ok(if same { exit::DONE } else { exit::FOUND });
            }
        }
        let frame = body.frame().await.ok_or_else(|| cut("no result"))?.map_err(|e| cut(&e.to_string()))?;
        if let Ok(data) = frame.into_data() {
            rest.extend_from_slice(&data);
        }
        if rest.len() > LINE_BYTES_MAX {
            return Err(cut("a line without end"));
        }
    }
}

fn text(v: &Value, lang: Language) -> String {
    let zh = lang == Language::Zh;
    let n = |key: &str| v[key].as_u64().unwrap_or(0);
    let word = |v: &Value| clean(v.as_str().unwrap_or_default());
    let mut out = String::new();
    for rule in v["rules"].as_array().into_iter().flatten() {
        let role = match (word(&rule["role"]).as_str(), zh) {
            ("changed", true) => "已修改",
            ("new", true) => "新增",
            (_, true) => "受影响",
            ("changed", false) => "changed",
            ("new", false) => "new",
            (_, false) => "listens to a changed one",
        };
        let _ = writeln!(out, "{}  ({role})  {} → {}", word(&rule["title"]), rule["alerts_before"], rule["alerts_after"]);
    }
    let (from, to) = (word(&v["from"]), word(&v["to"]));
    if zh {
        let _ = writeln!(out, "{from} – {to}，共 {} 个事件", n("events"));
        let _ = writeln!(
            out,
            "告警 {} → {}：保留 {}，新增 {}，减少 {}",
            n("alerts_before"),
            n("alerts_after"),
            n("kept"),
            n("gained"),
            n("lost")
        );
        let _ = writeln!(out, "减少的告警中：已确认 {}，误报 {}", n("lost_confirmed"), n("lost_false"));
    } else {
        let _ = writeln!(out, "{from} – {to}, {} events", n("events"));
        let _ = writeln!(
            out,
            "alerts {} → {}: {} kept, {} gained, {} lost",
            n("alerts_before"),
            n("alerts_after"),
            n("kept"),
            n("gained"),
            n("lost")
        );
        let _ = writeln!(out, "of the lost ones {} were confirmed, {} false positives", n("lost_confirmed"), n("lost_false"));
    }
    if n("left_out") > 0 {
        let _ = writeln!(out, "{}", if zh { "个别秒内事件过多，未全部计入" } else { "some seconds hold more events than were looked at" });
    }
    for (sign, key) in [("+", "gained_alerts"), ("-", "lost_alerts")] {
        for one in v[key].as_array().into_iter().flatten() {
            let alert = &one["alert"];
            let title = if zh && !word(&alert["title_zh"]).is_empty() { &alert["title_zh"] } else { &alert["title"] };
            let judged = one["judged"].as_str().map_or_else(String::new, |j| format!("  [{j}]"));
            let _ = writeln!(
                out,
                "{sign} {}  {}  {}  {} – {}  ×{}{judged}",
                word(&alert["severity"]),
                word(title),
                show::parties(alert),
                word(&alert["first_time"]),
                word(&alert["last_time"]),
                alert["event_count"]
            );
            for event in one["events"].as_array().into_iter().flatten() {
                let _ = writeln!(out, "    {}  {}  {}", word(&event["time"]), word(&event["host"]), clean(&show::gist(event)));
            }
        }
    }
    out
}
