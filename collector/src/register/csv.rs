//! The register as one CSV (RFC 4180, UTF-8): a row is a unit, a contact of a unit, an object or an asset, as its column `kind` says; other columns
//! are the keys of the TOML. Lists are joined with `; `.
//!
//! A cell that a spreadsheet would take for a formula is led by an apostrophe, and read back without it. Limits: `ROWS_MAX` rows, 64 columns,
//! 64 KiB a cell.

use std::collections::BTreeMap;

use matter::Both;
use matter::register::{Asset, Contact, Declared, Object, ROWS_MAX, Row, RowKind, Unit};

use super::table::{PROBLEMS_MAX, Problem};

/// Columns, in the order they are written.
pub(super) const COLUMNS: &[&str] = &[
    "kind",
    "id",
    "unit",
    "name",
    "name_en",
    "sector",
    "networks",
    "domains",
    "named",
    "mlps",
    "cii",
    "protection",
    "filing",
    "needs",
    "object",
    "importance",
    "agent",
    "hostname",
    "os",
    "ports",
    "role",
    "phone",
    "mail",
    "channels",
    "lang",
];
const WIDTH_MAX: usize = 64;
const CELL_MAX: usize = 64 * 1024;

/// Rows with their lines, and what is wrong with others.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<(usize, Row)>,
    pub(super) problems: Vec<Problem>,
}

fn problem(line: usize, key: &str, en: impl Into<String>, zh: impl Into<String>) -> Problem {
    Problem { line, key: key.to_owned(), text: Both::new(zh, en) }
}

/// Reads rows over what is known. A text that is no such CSV at all is refused at once.
pub(super) fn rows(text: &str, known: &Declared) -> Result<Rows, Vec<Problem>> {
    let mut records = records(text.strip_prefix('\u{feff}').unwrap_or(text)).map_err(|p| vec![p])?.into_iter();
    let Some((_, header)) = records.next() else { return Ok(Rows::default()) };
    let mut columns = Vec::new();
    for name in header {
        match COLUMNS.iter().find(|c| **c == name.trim()) {
            Some(column) if !columns.contains(column) => columns.push(*column),
            _ => {
                let (name, list): (String, _) = (name.chars().take(64).collect(), COLUMNS.join(", "));
                return Err(vec![problem(
                    1,
                    "",
                    format!("column '{name}' is unknown or there twice; the first line names columns out of {list}"),
                    format!("列“{name}”未知或重复；首行列名取自 {list}"),
                )]);
            }
        }
    }
    if !columns.contains(&"kind") {
        return Err(vec![problem(1, "kind", "the first line names no column 'kind'", "首行缺少列“kind”")]);
    }
    let mut out = Rows::default();
    // Contacts of a unit are rows of their own; those in the text take the place of those known.
    let mut contacts: BTreeMap<String, (usize, Vec<Contact>)> = BTreeMap::new();
    for (line, cells) in records {
        if cells.iter().all(|c| c.trim().is_empty()) {
            continue;
        }
        if cells.len() > columns.len() {
            let (n, of) = (cells.len(), columns.len());
            out.problems.push(problem(line, "", format!("has {n} cells, the first line {of}"), format!("有 {n} 格，首行只有 {of} 列")));
            continue;
        }
        let cells = Cells { line, of: columns.iter().copied().zip(cells.iter().map(|c| plain(c))).collect() };
        match cells.read(known) {
            Ok(Said::Row(row)) => out.rows.push((line, *row)),
            Ok(Said::Contact(unit, contact)) => contacts.entry(unit).or_insert((line, Vec::new())).1.push(contact),
            Err(wrong) => out.problems.push(wrong),
        }
        if out.problems.len() >= PROBLEMS_MAX || out.rows.len() > ROWS_MAX {
            break;
        }
    }
    for (unit, (line, list)) in contacts {
        let said = out.rows.iter_mut().find_map(|(_, row)| match row {
            Row::Unit(u) if u.id == unit => Some(u),
            _ => None,
        });
        match (said, known.units.get(&unit)) {
            (Some(said), _) => said.contacts = list,
            (None, Some(old)) => out.rows.push((line, Row::Unit(Unit { contacts: list, ..old.clone() }))),
            (None, None) => out.problems.push(problem(
                line,
                "unit",
                format!("'{unit}' is no unit of the register or of this text; add a row of kind unit"),
                format!("登记表及本文件中均无单位“{unit}”，请加一行 kind 为 unit 的记录"),
            )),
        }
    }
    Ok(out)
}

/// Without the apostrophe that keeps a spreadsheet from calculating.
fn plain(cell: &str) -> String {
    match cell.strip_prefix('\'') {
        Some(rest) if rest.starts_with(['=', '+', '-', '@', '\t', '\r']) => rest.to_owned(),
        _ => cell.to_owned(),
    }
}

enum Said {
    Row(Box<Row>),
    Contact(String, Contact),
}

/// One record under its columns.
struct Cells {
    line: usize,
    of: BTreeMap<&'static str, String>,
}

impl Cells {
    fn text(&self, key: &str) -> Option<String> {
        self.of.get(key).map(|t| t.trim().to_owned())
    }
    fn need(&self, key: &str) -> Result<String, Problem> {
        let text = self.text(key).filter(|t| !t.is_empty());
        text.ok_or_else(|| problem(self.line, key, "is empty; this kind of row needs it", "为空，此类记录必填"))
    }
    fn set(&self, slot: &mut String, key: &str) {
        if let Some(text) = self.text(key) {
            *slot = text;
        }
    }
    fn option(&self, slot: &mut Option<String>, key: &str) {
        if let Some(text) = self.text(key) {
            *slot = (!text.is_empty()).then_some(text);
        }
    }
    fn list(&self, slot: &mut Vec<String>, key: &str) {
        if let Some(text) = self.text(key) {
            *slot = text.split([';', '；']).map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect();
        }
    }
    fn yes(&self, slot: &mut bool, key: &str) -> Result<(), Problem> {
        *slot = match self.text(key).as_deref() {
            None => return Ok(()),
            Some("" | "false" | "FALSE" | "no" | "0" | "否") => false,
            Some("true" | "TRUE" | "yes" | "1" | "是") => true,
            Some(other) => {
                return Err(problem(
                    self.line,
                    key,
                    format!("'{other}' is not true or false"),
                    format!("“{other}”应为 true 或 false（是/否）"),
                ));
            }
        };
        Ok(())
    }
    fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(key).filter(|t| !t.is_empty()) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| problem(self.line, key, format!("'{text}' is no such number"), format!("“{text}”不是有效数字")))
    }

    fn read(&self, known: &Declared) -> Result<Said, Problem> {
        let row = match self.need("kind")?.as_str() {
            "unit" | "单位" => Row::Unit(self.unit(known)?),
            "object" | "保护对象" => Row::Object(self.object(known)?),
            "asset" | "资产" => Row::Asset(self.asset(known)?),
            "contact" | "联系人" => return Ok(Said::Contact(self.need("unit")?, self.contact())),
            other => {
                let en = format!("'{other}' is not unit, contact, object or asset");
                return Err(problem(self.line, "kind", en, format!("“{other}”应为 unit、contact、object 或 asset")));
            }
        };
        Ok(Said::Row(Box::new(row)))
    }

    fn unit(&self, known: &Declared) -> Result<Unit, Problem> {
        let id = self.need("id")?;
        let mut unit = known.units.get(&id).cloned().unwrap_or_else(|| Unit { id, ..Unit::default() });
        self.set(&mut unit.name, "name");
        self.set(&mut unit.name_en, "name_en");
        self.set(&mut unit.sector, "sector");
        self.list(&mut unit.networks, "networks");
        self.list(&mut unit.domains, "domains");
        self.yes(&mut unit.named, "named")?;
        Ok(unit)
    }

    fn contact(&self) -> Contact {
        let mut contact = Contact::default();
        self.set(&mut contact.name, "name");
        self.set(&mut contact.role, "role");
        self.set(&mut contact.phone, "phone");
        self.set(&mut contact.mail, "mail");
        self.list(&mut contact.channels, "channels");
        self.set(&mut contact.lang, "lang");
        contact
    }

    fn object(&self, known: &Declared) -> Result<Object, Problem> {
        let id = self.need("id")?;
        let mut object = known.objects.get(&id).cloned().unwrap_or_else(|| Object { id, ..Object::default() });
        self.set(&mut object.unit, "unit");
        self.set(&mut object.name, "name");
        self.set(&mut object.name_en, "name_en");
        if self.of.contains_key("mlps") {
            object.mlps = self.number("mlps")?;
        }
        self.yes(&mut object.cii, "cii")?;
        self.set(&mut object.protection, "protection");
        self.set(&mut object.filing, "filing");
        self.list(&mut object.needs, "needs");
        Ok(object)
    }

    fn asset(&self, known: &Declared) -> Result<Asset, Problem> {
        let id = self.need("id")?;
        let mut asset = known.assets.get(&id).cloned().unwrap_or_else(|| Asset { id, importance: 1, ..Asset::default() });
        self.set(&mut asset.unit, "unit");
        self.set(&mut asset.name, "name");
        self.set(&mut asset.object, "object");
        if self.of.contains_key("importance") {
            asset.importance = self.number("importance")?.unwrap_or(1);
        }
        self.option(&mut asset.agent, "agent");
        self.option(&mut asset.hostname, "hostname");
        self.list(&mut asset.networks, "networks");
        self.set(&mut asset.os, "os");
        if self.of.contains_key("ports") {
            let mut texts = Vec::new();
            self.list(&mut texts, "ports");
            let port =
                |t: &String| t.parse().map_err(|_| problem(self.line, "ports", format!("'{t}' is no port"), format!("“{t}”不是端口号")));
            asset.ports = texts.iter().map(port).collect::<Result<_, _>>()?;
        }
        Ok(asset)
    }
}

/// Records with the line each begins in, from 1.
fn records(text: &str) -> Result<Vec<(usize, Vec<String>)>, Problem> {
    let mut out: Vec<(usize, Vec<String>)> = Vec::new();
    let (mut cells, mut cell) = (Vec::new(), String::new());
    let (mut line, mut begin) = (1, 1);
    let (mut quoted, mut was_quoted) = (false, false);
    let mut chars = text.chars().peekable();
    loop {
        let next = chars.next();
        let ends = match next {
            Some('"') if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
                false
            }
            Some('"') if quoted => {
                quoted = false;
                false
            }
            Some('"') if cell.is_empty() && !was_quoted => {
                (quoted, was_quoted) = (true, true);
                false
            }
            Some(c) if quoted => {
                line += usize::from(c == '\n');
                cell.push(c);
                false
            }
            None if quoted => {
                return Err(problem(
                    begin,
                    "",
                    "a quoted cell has no end; write \"\" for a quote inside",
                    "引号未闭合；单元格内的引号应写成 \"\"",
                ));
            }
            Some(',') => {
                cells.push(std::mem::take(&mut cell));
                was_quoted = false;
                false
            }
            Some('\r') if chars.peek() == Some(&'\n') => false,
            Some('\n') | None => true,
            Some(c) => {
                cell.push(c);
                false
            }
        };
        if cell.len() > CELL_MAX || cells.len() >= WIDTH_MAX {
            return Err(problem(begin, "", "has a cell of more than 64 KiB, or more than 64 cells", "单元格超过 64 KiB，或超过 64 列"));
        }
        if ends {
            if !(cells.is_empty() && cell.is_empty() && !was_quoted) {
                cells.push(std::mem::take(&mut cell));
                out.push((begin, std::mem::take(&mut cells)));
            }
            was_quoted = false;
            line += 1;
            begin = line;
            if out.len() > ROWS_MAX {
                return Err(problem(
                    begin,
                    "",
                    format!("more than {ROWS_MAX} rows; send it in parts"),
                    format!("超过 {ROWS_MAX} 行，请分批导入"),
                ));
            }
        }
        if next.is_none() {
            return Ok(out);
        }
    }
}

pub(super) fn write(all: &Declared, only: Option<RowKind>) -> String {
    let mut out = String::from("\u{feff}");
    let mut line = |cells: &BTreeMap<&str, String>| {
        let row: Vec<String> = COLUMNS.iter().map(|c| crate::serve::reply::cell(cells.get(c).map_or("", String::as_str))).collect();
        out.push_str(&row.join(","));
        out.push_str("\r\n");
    };
    line(&COLUMNS.iter().map(|c| (*c, (*c).to_owned())).collect());
    let list = |items: &[String]| items.join("; ");
    let yes = |on: bool| if on { "true".to_owned() } else { String::new() };
    for row in all.rows().filter(|row| only.is_none_or(|kind| kind == row.kind())) {
        let mut cells: BTreeMap<&str, String> = [("kind", row.kind().name().to_owned()), ("id", row.id().to_owned())].into();
        match &row {
            Row::Unit(u) => {
                cells.extend([("name", u.name.clone()), ("name_en", u.name_en.clone()), ("sector", u.sector.clone())]);
                cells.extend([("networks", list(&u.networks)), ("domains", list(&u.domains)), ("named", yes(u.named))]);
            }
            Row::Object(o) => {
                cells.extend([("unit", o.unit.clone()), ("name", o.name.clone()), ("name_en", o.name_en.clone()), ("cii", yes(o.cii))]);
                cells.extend([("mlps", o.mlps.map_or(String::new(), |l| l.to_string())), ("needs", list(&o.needs))]);
                cells.extend([("protection", o.protection.clone()), ("filing", o.filing.clone())]);
            }
            Row::Asset(a) => {
                cells.extend([("unit", a.unit.clone()), ("name", a.name.clone()), ("object", a.object.clone()), ("os", a.os.clone())]);
                cells.extend([("importance", a.importance.to_string()), ("networks", list(&a.networks))]);
                cells.extend([("agent", a.agent.clone().unwrap_or_default()), ("hostname", a.hostname.clone().unwrap_or_default())]);
                cells.insert("ports", a.ports.iter().map(u16::to_string).collect::<Vec<_>>().join("; "));
            }
        }
        line(&cells);
        if let Row::Unit(u) = &row {
            for c in &u.contacts {
                let mut cells: BTreeMap<&str, String> = [("kind", "contact".to_owned()), ("unit", u.id.clone())].into();
                cells.extend([("name", c.name.clone()), ("role", c.role.clone()), ("phone", c.phone.clone()), ("mail", c.mail.clone())]);
                cells.extend([("channels", list(&c.channels)), ("lang", c.lang.clone())]);
                line(&cells);
            }
        }
    }
    out
}
