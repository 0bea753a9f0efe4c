//! CSV (RFC 4180 with comma, semicolon or tab): columns by their names in the first line, or as stated.

use super::{LINE_MAX, ReadOptions, Sink, time};
use crate::{Meta, Observable, Tlp, Validity};

/// What a column means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Value,
    Kind,
    Source,
    Tlp,
    Confidence,
    From,
    Until,
    Labels,
    Description,
    Other,
}

const COLUMNS_MAX: usize = 256;

fn column(name: &str) -> Column {
    match name.trim().trim_matches(['"', '#', ' ']).to_ascii_lowercase().replace([' ', '-'], "_").as_str() {
        "value" | "indicator" | "indicator_value" | "ioc" | "ioc_value" | "ip" | "ip_address" | "dst_ip" | "dstip" | "address"
        | "domain" | "hostname" | "host" | "url" | "hash" | "md5" | "sha1" | "sha256" | "md5_hash" | "sha1_hash" | "sha256_hash"
        | "email" => Column::Value,
        "type" | "indicator_type" | "ioc_type" => Column::Kind,
        "source" | "feed" | "provider" | "reporter" => Column::Source,
        "tlp" => Column::Tlp,
        "confidence" | "confidence_level" | "score" => Column::Confidence,
        "valid_from" | "first_seen" | "first_seen_utc" => Column::From,
        "valid_until" | "expires" | "expiration" | "expiry" => Column::Until,
        "labels" | "tags" | "label" | "tag" => Column::Labels,
        "description" | "comment" | "note" | "malware" | "malware_printable" | "threat" => Column::Description,
        _ => Column::Other,
    }
}

/// True if a line names at least one column that holds values, and two columns at all (or is that name alone).
pub(super) fn is_header(line: &str) -> bool {
    let names = split(line, separator(line));
    names.iter().any(|n| column(n) == Column::Value) && names.iter().all(|n| Observable::parse(n).is_err())
}

fn separator(line: &str) -> char {
    [',', ';', '\t'].into_iter().max_by_key(|s| line.matches(*s).count()).unwrap_or(',')
}

/// Fields of one line; `""` in quotes is a quote.
fn split(line: &str, separator: char) -> Vec<String> {
    let mut out = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            c if c == separator && !quoted => {
                if out.len() < COLUMNS_MAX {
                    out.push(field.trim().to_owned());
                }
                field.clear();
            }
            c => field.push(c),
        }
    }
    if out.len() < COLUMNS_MAX {
        out.push(field.trim().to_owned());
    }
    out
}

pub(super) fn read(text: &str, options: &ReadOptions, sink: &mut Sink<'_>) {
    let base = options.meta();
    let mut columns: Vec<Column> = options.columns.iter().map(|c| column(c)).collect();
    let mut separated = None;
    if !columns.is_empty() && !columns.contains(&Column::Value) {
        sink.reading.problem(0, &options.columns.join(","), "no stated column holds values; name one 'value'");
        return;
    }
    for (n, line) in text.lines().enumerate() {
        let number = n as u64 + 1;
        let trimmed = line.trim();
        // Feeds of abuse.ch comment their line of names.
        let names = columns.is_empty()
            && trimmed.trim_start_matches('#').trim().contains([',', ';', '\t'])
            && is_header(trimmed.trim_start_matches('#').trim());
        if trimmed.is_empty() || (trimmed.starts_with('#') && !names) {
            continue;
        }
        if line.len() > LINE_MAX {
            sink.reading.problem(number, line, "the line is too long");
            continue;
        }
        let trimmed = if names { trimmed.trim_start_matches('#').trim() } else { trimmed };
        let separator = *separated.get_or_insert_with(|| separator(trimmed));
        let fields = split(trimmed, separator);
        if columns.is_empty() {
            columns = fields.iter().map(|f| column(f)).collect();
            if !columns.contains(&Column::Value) {
                sink.reading.problem(
                    number,
                    trimmed,
                    "no column is named value, indicator, ip, domain, url, hash or email; state the columns",
                );
                return;
            }
            continue;
        }
        match row(&columns, &fields, &base, options.valid()) {
            Ok((needs, meta, valid)) => needs.into_iter().for_each(|value| sink.take(&[value], &meta, valid)),
            Err((value, reason)) => sink.reading.problem(number, &value, reason),
        }
    }
}

/// The entries of one row: each column of values gives one.
fn row(
    columns: &[Column],
    fields: &[String],
    base: &Meta,
    mut valid: Validity,
) -> Result<(Vec<Observable>, Meta, Validity), (String, String)> {
    let mut values = Vec::new();
    let mut meta = base.clone();
    for (column, field) in columns.iter().zip(fields).filter(|(_, f)| !f.is_empty()) {
        let bad = |what: &str| (field.clone(), what.to_owned());
        match column {
            Column::Value => values.push(Observable::parse(field).map_err(bad)?),
            Column::Source => meta.source.clone_from(field),
            Column::Tlp => meta.tlp = Tlp::parse(field).ok_or_else(|| bad("tlp is none of clear, green, amber, amber+strict, red"))?,
            Column::Confidence => meta.confidence = confidence(field).ok_or_else(|| bad("confidence is not a number from 0 to 100"))?,
            Column::From => valid.from = Some(time(field).ok_or_else(|| bad("valid from is not a time"))?),
            Column::Until => valid.until = Some(time(field).ok_or_else(|| bad("valid until is not a time"))?),
            Column::Labels => {
                meta.labels =
                    field.split([',', ';', '|', ' ']).map(str::trim).filter(|l| !l.is_empty()).take(16).map(str::to_owned).collect()
            }
            Column::Description => meta.description.clone_from(field),
            Column::Kind | Column::Other => {}
        }
    }
    if values.is_empty() {
        return Err((fields.join(","), "the row has no value".into()));
    }
    Ok((values, meta, valid))
}

fn confidence(text: &str) -> Option<u8> {
    match text.trim().to_ascii_lowercase().as_str() {
        "low" => Some(15),
        "medium" => Some(50),
        "high" => Some(85),
        text => text.trim_end_matches('%').parse::<u8>().ok().filter(|n| *n <= 100),
    }
}
