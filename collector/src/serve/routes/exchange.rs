//! The register in and out as a file: CSV and TOML. An import is taken whole or not at all; every problem is told with its line.

use api::{Code, RegisterChange, RegisterImport};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use matter::register::RowKind;
use serde::Deserialize;

use super::register::{Wish, change};
use super::{App, Params};
use crate::register::Declared;
use crate::register::table::{self, Problem, Read};
use crate::serve::Shared;
use crate::serve::gate::Caller;
use crate::serve::reply::{self, Fail};

/// Bytes of an imported text.
pub const IMPORT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Rows listed in the answer of an import.
const LISTED_MAX: usize = 1_000;

/// How a register is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Csv,
    Toml,
}

impl Format {
    /// TOML has tables in its lines; the first line of our CSV has none.
    fn of(text: &str) -> Self {
        let first = text.trim_start_matches('\u{feff}').lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#'));
        if first.is_some_and(|l| l.starts_with('[') || l.contains(" = ")) { Self::Toml } else { Self::Csv }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImportParams {
    format: Option<Format>,
    dry_run: bool,
}

pub async fn import(
    State(shared): State<App>,
    caller: Caller,
    Params(params): Params<ImportParams>,
    body: Bytes,
) -> Result<Response, Fail> {
    let done = shared
        .work(move |s| {
            let text = std::str::from_utf8(&body).map_err(|e| {
                let line = 1 + body.iter().take(e.valid_up_to()).filter(|b| **b == b'\n').count();
                let zh = format!("第 {line} 行不是 UTF-8 文本，请以 UTF-8 编码保存后再导入");
                Fail::because(Code::Unprocessable, format!("line {line} is not UTF-8 text; save it as UTF-8 and import again"), zh)
            })?;
            take_in(s, &caller, text, params.format, params.dry_run)
        })
        .await?;
    Ok(reply::json(&done))
}

fn told(problems: &[Problem]) -> Fail {
    let en: Vec<String> = problems.iter().map(|p| p.told("register")).collect();
    let zh: Vec<String> = problems.iter().map(|p| p.told_zh("导入内容")).collect();
    Fail::because(Code::Unprocessable, en.join("\n"), zh.join("\n"))
}

/// Takes a register in, or says what that would change.
pub fn take_in(shared: &Shared, caller: &Caller, text: &str, format: Option<Format>, dry_run: bool) -> Result<RegisterImport, Fail> {
    if !caller.scope.is_city() {
        return Err(Fail::because(Code::Denied, "the register is kept by the city", "登记表由市级维护"));
    }
    let mut rows = 0;
    let changed = change(shared, caller, "import", dry_run, |register| {
        let known = register.all();
        let read = match format.unwrap_or_else(|| Format::of(text)) {
            Format::Toml => table::read_toml(text),
            Format::Csv => table::read_csv(text, known),
        };
        let read: Read = read.map_err(|problems| told(&problems))?;
        let mut next: Declared = known.clone();
        read.rows.iter().for_each(|(_, row)| next.put(row.clone()));
        let misfits = read.misfits(&next);
        if !misfits.is_empty() {
            return Err(told(&misfits));
        }
        rows = read.rows.len();
        Ok(read.rows.into_iter().map(|(_, row)| Wish::Put(row)).collect())
    })?;
    let added = changed.iter().filter(|(.., keys)| keys.is_none()).count();
    let one = |(kind, id, keys): &(RowKind, String, Option<Vec<String>>)| RegisterChange {
        kind: kind.name().to_owned(),
        id: id.clone(),
        change: if keys.is_none() { "added" } else { "changed" }.to_owned(),
        keys: keys.clone().unwrap_or_default(),
    };
    Ok(RegisterImport {
        dry_run,
        added: added as u64,
        changed: (changed.len() - added) as u64,
        unchanged: rows.saturating_sub(changed.len()) as u64,
        items: changed.iter().take(LISTED_MAX).map(one).collect(),
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExportParams {
    format: Option<Format>,
    kind: Option<RowKind>,
}

pub async fn export(State(shared): State<App>, caller: Caller, Params(params): Params<ExportParams>) -> Result<Response, Fail> {
    let format = params.format.unwrap_or(Format::Csv);
    let text = shared
        .work(move |s| {
            let all = s.backstage.register().all().within(caller.scope.units.as_ref());
            Ok(match format {
                Format::Csv => table::write_csv(&all, params.kind),
                Format::Toml => table::write_toml(&all, params.kind),
            })
        })
        .await?;
    let (media, name) = match format {
        Format::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"register.csv\""),
        Format::Toml => ("application/toml", "attachment; filename=\"register.toml\""),
    };
    let mut response = reply::typed(media, text);
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(name));
    Ok(response)
}
