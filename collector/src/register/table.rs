//! The register as a file: TOML (as `config/register.toml`) and CSV in and out, every problem with its line.
//!
//! TOML says a row whole. CSV says of a row the columns it has: a column that is not there leaves what is known, an empty cell clears it. In both,
//! an asset may be a range (`rtu-[01-12]`).
//!
//! Limits: [`TOML_BYTES_MAX`] of a TOML, the caller's of a CSV, `ROWS_MAX` rows, [`PROBLEMS_MAX`] problems told.

use std::collections::BTreeMap;

use matter::Both;
use matter::register::{Asset, Declared, Fault, Object, ROWS_MAX, Row, RowKind, Unit};
use serde::{Deserialize, Serialize};

use super::csv;

/// Problems told at once.
pub const PROBLEMS_MAX: usize = 50;

/// Bytes of a TOML: all its problems are looked for at once, which costs.
pub const TOML_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// From 1; 0: not in this text (a row that was there before).
    pub line: usize,
    pub key: String,
    pub text: Both,
}

impl Problem {
    pub fn told(&self, origin: &str) -> String {
        let at = if self.line == 0 { origin.to_owned() } else { format!("{origin}:{}", self.line) };
        if self.key.is_empty() { format!("{at}: {}", self.text.en) } else { format!("{at}: key '{}': {}", self.key, self.text.en) }
    }
    pub fn told_zh(&self, origin: &str) -> String {
        let at = if self.line == 0 { origin.to_owned() } else { format!("{origin} 第 {} 行", self.line) };
        if self.key.is_empty() { format!("{at}：{}", self.text.zh) } else { format!("{at}，{}：{}", self.key, self.text.zh) }
    }
}

/// Rows with the line each begins in.
#[derive(Debug, Default)]
pub struct Read {
    pub rows: Vec<(usize, Row)>,
    /// Line of a key of a row, where it is written.
    lines: BTreeMap<(RowKind, String), Place>,
}

#[derive(Debug, Clone)]
struct Place {
    row: usize,
    /// Key → line.
    keys: BTreeMap<&'static str, usize>,
}

impl Read {
    /// What does not fit together once these rows are in, with its line.
    pub fn misfits(&self, all: &Declared) -> Vec<Problem> {
        let problem = |(kind, id, fault): (RowKind, String, Fault)| {
            let at = self.lines.get(&(kind, id.clone()));
            let line = at.map_or(0, |p| p.keys.get(fault.key).copied().unwrap_or(p.row));
            let text = if line == 0 && !id.is_empty() {
                Both::new(format!("{} {id}：{}", kind.zh(), fault.text.zh), format!("{} {id}: {}", kind.name(), fault.text.en))
            } else {
                fault.text
            };
            Problem { line, key: fault.key.to_owned(), text }
        };
        let mut problems: Vec<Problem> = all.faults().into_iter().map(problem).collect();
        problems.sort_by_key(|p| p.line);
        problems.truncate(PROBLEMS_MAX);
        problems
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unit: Vec<Unit>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    object: Vec<Object>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    asset: Vec<Asset>,
}

/// Reads rows, in the order units, objects, assets, and checks each by itself.
pub fn read_toml(text: &str) -> Result<Read, Vec<Problem>> {
    if text.len() > TOML_BYTES_MAX {
        let most = TOML_BYTES_MAX >> 20;
        let text =
            Both::new(format!("超过 {most} MiB，请改用 CSV 或分批导入"), format!("larger than {most} MiB; use CSV, or send it in parts"));
        return Err(vec![Problem { line: 0, key: String::new(), text }]);
    }
    let file: File = settings::load_text("", text).map_err(|errors| {
        let told = |p: &settings::Problem| Problem {
            line: p.place.line,
            key: p.key.clone(),
            text: Both::new(format!("内容有误（{}）", p.message), p.message.clone()),
        };
        errors.problems.iter().map(told).collect::<Vec<_>>()
    })?;
    let headers = Headers::of(text);
    let mut taking = Taking::default();
    for (n, unit) in file.unit.into_iter().enumerate() {
        taking.take(Row::Unit(unit), headers.lines(RowKind::Unit, n));
    }
    for (n, object) in file.object.into_iter().enumerate() {
        taking.take(Row::Object(object), headers.lines(RowKind::Object, n));
    }
    for (n, asset) in file.asset.into_iter().enumerate() {
        taking.take(Row::Asset(asset), headers.lines(RowKind::Asset, n));
    }
    taking.done()
}

/// Reads rows of a CSV over what is known.
pub fn read_csv(text: &str, known: &Declared) -> Result<Read, Vec<Problem>> {
    let rows = csv::rows(text, known)?;
    let mut taking = Taking { problems: rows.problems, ..Taking::default() };
    for (line, row) in rows.rows {
        taking.take(row, Place { row: line, keys: BTreeMap::new() });
    }
    taking.done()
}

/// Rows taken one by one.
#[derive(Default)]
struct Taking {
    read: Read,
    problems: Vec<Problem>,
}

impl Taking {
    fn take(&mut self, row: Row, place: Place) {
        let line_of = |key: &str| place.keys.get(key).copied().unwrap_or(place.row);
        let refuse = |fault: Fault| Problem { line: line_of(fault.key), key: fault.key.to_owned(), text: fault.text };
        let rows = match row {
            Row::Asset(asset) => match asset.expand() {
                Ok(made) => made.into_iter().map(Row::Asset).collect(),
                Err(fault) => return self.problems.push(refuse(fault)),
            },
            other => vec![other],
        };
        for row in rows {
            if let Err(fault) = row.check() {
                self.problems.push(refuse(fault));
                return;
            }
            if self.read.rows.len() >= ROWS_MAX {
                return;
            }
            let key = (row.kind(), row.id().to_owned());
            if let Some(before) = self.read.lines.insert(key, place.clone()) {
                let (id, line) = (row.id(), before.row);
                self.problems.push(Problem {
                    line: line_of("id"),
                    key: "id".into(),
                    text: Both::new(
                        format!("“{id}”已在第 {line} 行出现，每行须各有标识"),
                        format!("'{id}' is there twice, first in line {line}; every {} has its own", row.kind().name()),
                    ),
                });
                return;
            }
            self.read.rows.push((place.row, row));
        }
    }

    fn done(mut self) -> Result<Read, Vec<Problem>> {
        if self.problems.is_empty() {
            return Ok(self.read);
        }
        self.problems.sort_by_key(|p| p.line);
        self.problems.truncate(PROBLEMS_MAX);
        Err(self.problems)
    }
}

/// Where rows begin.
struct Headers<'a> {
    lines: Vec<&'a str>,
    /// Lines of `[[unit]]`, `[[object]]`, `[[asset]]`, from 0.
    of: [Vec<usize>; 3],
}

impl<'a> Headers<'a> {
    fn of(text: &'a str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let mut found: [Vec<usize>; 3] = Default::default();
        for (line, content) in lines.iter().enumerate() {
            let content = content.trim_start();
            for (list, kind) in found.iter_mut().zip(RowKind::ALL) {
                let rest = content.strip_prefix("[[").map(str::trim_start).and_then(|c| c.strip_prefix(kind.name()));
                if rest.is_some_and(|r| r.trim_start().starts_with("]]")) {
                    list.push(line);
                }
            }
        }
        Self { lines, of: found }
    }

    /// Lines of the `n`-th row of a kind; 0 where it is not written under a header of its own.
    fn lines(&self, kind: RowKind, n: usize) -> Place {
        let list = self.of.get(kind as usize).map_or(&[][..], Vec::as_slice);
        let Some(header) = list.get(n) else { return Place { row: 0, keys: BTreeMap::new() } };
        let mut keys = BTreeMap::new();
        let rest = self.lines.get(header + 1..).unwrap_or_default();
        let inside = (header + 1..).zip(rest).take_while(|(_, l)| !l.trim_start().starts_with("[["));
        for (line, content) in inside {
            let Some((word, _)) = content.split_once('=') else { continue };
            if let Some(key) = csv::COLUMNS.iter().chain(&["contacts"]).find(|k| **k == word.trim()) {
                keys.entry(*key).or_insert(line + 1);
            }
        }
        Place { row: header + 1, keys }
    }
}

/// The rows as TOML that reads back as them.
pub fn write_toml(all: &Declared, only: Option<RowKind>) -> String {
    let wanted = |kind| only.is_none_or(|o| o == kind);
    let mut file = File::default();
    if wanted(RowKind::Unit) {
        file.unit = all.units.values().cloned().collect();
    }
    if wanted(RowKind::Object) {
        file.object = all.objects.values().cloned().collect();
    }
    if wanted(RowKind::Asset) {
        file.asset = all.assets.values().cloned().collect();
    }
    toml::to_string(&file).unwrap_or_default()
}

/// The rows as CSV that reads back as them; begins with the mark by which spreadsheets know UTF-8.
pub fn write_csv(all: &Declared, only: Option<RowKind>) -> String {
    csv::write(all, only)
}

/// What taking rows over changes: (kind, id, keys that change; empty for a new row).
pub fn changes(before: &Declared, rows: &[(usize, Row)]) -> Vec<(RowKind, String, Option<Vec<String>>)> {
    let keys = |row: &Row| serde_json::to_value(row).ok().and_then(|v| v.as_object().cloned()).unwrap_or_default();
    let mut out = Vec::new();
    for (_, row) in rows {
        match before.row(row.kind(), row.id()) {
            None => out.push((row.kind(), row.id().to_owned(), None)),
            Some(old) if old == *row => {}
            Some(old) => {
                let (old, new) = (keys(&old), keys(row));
                let all: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
                let changed = all.into_iter().filter(|k| old.get(*k) != new.get(*k)).cloned().collect();
                out.push((row.kind(), row.id().to_owned(), Some(changed)));
            }
        }
    }
    out
}
