//! Which flaws are being used: CISA's Known Exploited Vulnerabilities (JSON or CSV) and FIRST's EPSS (CSV), kept in one table that grading asks.
//!
//! Held: 24 bytes a flaw, sorted; about 320,000 of EPSS make 8 MB. Limits: `FLAWS_MAX` flaws, `PROBLEMS_MAX` problems told. A row that cannot
//! be read is named with its line and left out.

use serde::Deserialize;
use warning::grade::Case;

/// Flaws held; CVE has some 300,000.
pub const FLAWS_MAX: usize = 1_000_000;
/// Rows that could not be read, told one by one.
pub const PROBLEMS_MAX: usize = 100;

/// What is known of one flaw.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Flaw {
    /// In CISA's list.
    pub kev: bool,
    /// CISA knows it of ransomware campaigns.
    pub ransomware: bool,
    /// Day it must be mended by, as `yyyymmdd`; 0 where there is none.
    pub due: u32,
    /// Chance to be exploited within 30 days, and its rank among all flaws, 0 to 1.
    pub epss: f32,
    pub percentile: f32,
}

/// Year and number of a CVE.
type Cve = (u16, u32);

/// The table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weaknesses {
    rows: Vec<(Cve, Flaw)>,
}

/// What reading a file came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// `kev` or `epss`.
    pub kind: &'static str,
    /// Version or day the file says of itself.
    pub version: String,
    pub taken: usize,
    pub refused: usize,
    /// (line or entry from 1, reason).
    pub problems: Vec<(usize, String)>,
}

impl Read {
    fn problem(&mut self, line: usize, reason: impl Into<String>) {
        self.refused += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push((line, reason.into()));
        }
    }
}

#[derive(Deserialize)]
struct Catalogue {
    #[serde(rename = "catalogVersion", default)]
    version: String,
    #[serde(default)]
    count: Option<usize>,
    vulnerabilities: Vec<serde_json::Value>,
}

impl Weaknesses {
    /// Takes a file in, over what is there. An `Err` says why it is neither KEV nor EPSS; nothing changed then.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Read, String> {
        let text = std::str::from_utf8(bytes).map_err(|e| format!("not UTF-8 text from byte {}", e.valid_up_to()))?;
        let text = text.trim_start_matches('\u{feff}');
        let mut fresh: Vec<(Cve, Flaw)> = Vec::new();
        let first = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#')).unwrap_or_default();
        let read = if first.starts_with('{') {
            kev_json(text, &mut fresh)?
        } else if first.to_ascii_lowercase().starts_with("cveid,") {
            kev_csv(text, &mut fresh)
        } else if first.to_ascii_lowercase().starts_with("cve,epss") {
            epss_csv(text, &mut fresh)
        } else {
            return Err("neither CISA's KEV (JSON with `vulnerabilities`, or CSV with `cveID`) nor EPSS (CSV with `cve,epss,percentile`)"
                .to_owned());
        };
        if read.taken == 0 {
            return Err("there is no flaw in it".to_owned());
        }
        self.merge(read.kind == "kev", fresh);
        Ok(read)
    }

    /// A new file replaces what the old one of its kind said.
    fn merge(&mut self, kev: bool, fresh: Vec<(Cve, Flaw)>) {
        for (_, flaw) in &mut self.rows {
            if kev {
                (flaw.kev, flaw.ransomware, flaw.due) = (false, false, 0);
            } else {
                (flaw.epss, flaw.percentile) = (0.0, 0.0);
            }
        }
        self.rows.extend(fresh);
        self.rows.sort_by_key(|(cve, _)| *cve);
        self.rows.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                let (a, b) = (&mut earlier.1, later.1);
                *a = Flaw {
                    kev: a.kev || b.kev,
                    ransomware: a.ransomware || b.ransomware,
                    due: a.due.max(b.due),
                    epss: a.epss.max(b.epss),
                    percentile: a.percentile.max(b.percentile),
                };
            }
            same
        });
        self.rows.retain(|(_, flaw)| *flaw != Flaw::default());
        self.rows.truncate(FLAWS_MAX);
    }

    pub fn get(&self, cve: &str) -> Option<Flaw> {
        let key = parse(cve)?;
        let at = self.rows.binary_search_by_key(&key, |(k, _)| *k).ok()?;
        self.rows.get(at).map(|(_, flaw)| *flaw)
    }
    /// As `get`, with nothing known where no list names it; none for what is no CVE id.
    pub fn find(&self, cve: &str) -> Option<Flaw> {
        parse(cve).map(|_| self.get(cve).unwrap_or_default())
    }
    pub fn len(&self) -> usize {
        self.rows.len()
    }
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
    /// Flaws in CISA's list.
    pub fn exploited(&self) -> usize {
        self.rows.iter().filter(|(_, f)| f.kev).count()
    }

    /// Writes what is known into the weaknesses of a case whose id is a CVE. What a person wrote there is not made smaller.
    pub fn fill(&self, case: &mut Case) {
        for weakness in &mut case.weakness {
            if let Some(flaw) = self.get(&weakness.id) {
                weakness.kev |= flaw.kev;
                weakness.epss = weakness.epss.max(f64::from(flaw.epss));
            }
        }
    }
}

/// What the desk asks while it takes alerts in.
impl matter::Flaws for Weaknesses {
    fn known(&self, cve: &str) -> Option<matter::Flaw> {
        let flaw = self.get(cve)?;
        // Through its text: 0.944 of a file stays 0.944.
        let epss = flaw.epss.to_string().parse().unwrap_or_default();
        Some(matter::Flaw { cve: cve.trim().to_ascii_uppercase(), kev: flaw.kev, epss })
    }
}

/// `CVE-2024-3400`.
fn parse(cve: &str) -> Option<Cve> {
    let rest = cve.trim();
    let rest = rest.get(..4).filter(|p| p.eq_ignore_ascii_case("cve-")).and_then(|_| rest.get(4..))?;
    let (year, number) = rest.split_once('-')?;
    if year.len() != 4 || number.len() < 4 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((year.parse().ok()?, number.parse().ok()?))
}

fn day(text: &str) -> u32 {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if digits.len() == 8 { digits.parse().unwrap_or(0) } else { 0 }
}

fn kev_json(text: &str, out: &mut Vec<(Cve, Flaw)>) -> Result<Read, String> {
    let catalogue: Catalogue = serde_json::from_str(text).map_err(|e| format!("not CISA's catalogue: {e}"))?;
    let mut read = Read { kind: "kev", version: catalogue.version.chars().take(40).collect(), ..Read::default() };
    for (n, entry) in catalogue.vulnerabilities.iter().enumerate() {
        let said = |key: &str| entry[key].as_str().unwrap_or_default();
        let Some(cve) = parse(said("cveID")) else {
            read.problem(n + 1, format!("'{}' is no CVE id", said("cveID").chars().take(40).collect::<String>()));
            continue;
        };
        take(out, &mut read, n + 1, cve, kev(said("dueDate"), said("knownRansomwareCampaignUse")));
    }
    if catalogue.count.is_some_and(|count| count != catalogue.vulnerabilities.len()) {
        read.problem(0, format!("it says it has {} entries and has {}", catalogue.count.unwrap_or(0), catalogue.vulnerabilities.len()));
    }
    Ok(read)
}

fn kev(due: &str, ransomware: &str) -> Flaw {
    Flaw { kev: true, ransomware: ransomware.eq_ignore_ascii_case("known"), due: day(due), ..Flaw::default() }
}

fn take(out: &mut Vec<(Cve, Flaw)>, read: &mut Read, line: usize, cve: Cve, flaw: Flaw) {
    if out.len() < FLAWS_MAX {
        out.push((cve, flaw));
        read.taken += 1;
    } else {
        read.problem(line, format!("more than {FLAWS_MAX} flaws"));
    }
}

/// Columns by name: `cveID`, `dueDate`, `knownRansomwareCampaignUse`.
fn kev_csv(text: &str, out: &mut Vec<(Cve, Flaw)>) -> Read {
    let mut read = Read { kind: "kev", ..Read::default() };
    let mut rows = records(text);
    let Some((_, head)) = rows.next() else { return read };
    let column = |name: &str| head.iter().position(|c| c.eq_ignore_ascii_case(name));
    let (id, due, ransomware) = (column("cveID"), column("dueDate"), column("knownRansomwareCampaignUse"));
    for (line, row) in rows {
        let cell = |at: Option<usize>| at.and_then(|n| row.get(n)).map_or("", String::as_str);
        match parse(cell(id)) {
            Some(cve) => take(out, &mut read, line, cve, kev(cell(due), cell(ransomware))),
            None => read.problem(line, format!("'{}' is no CVE id", cell(id).chars().take(40).collect::<String>())),
        }
    }
    read
}

/// `#model_version:v2025.03.14,score_date:…` and then `cve,epss,percentile`.
fn epss_csv(text: &str, out: &mut Vec<(Cve, Flaw)>) -> Read {
    let mut read = Read { kind: "epss", ..Read::default() };
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(note) = line.strip_prefix('#') {
            read.version = note.chars().take(100).collect();
            continue;
        }
        if line.is_empty() || line.get(..4).is_some_and(|h| h.eq_ignore_ascii_case("cve,")) {
            continue;
        }
        let mut cells = line.split(',').map(str::trim);
        let Some(cve) = cells.next().and_then(parse) else {
            read.problem(n + 1, "the first column is no CVE id");
            continue;
        };
        let mut share = || cells.next().and_then(|c| c.parse::<f32>().ok()).filter(|p| (0.0..=1.0).contains(p));
        match (share(), share()) {
            (Some(epss), Some(percentile)) => take(out, &mut read, n + 1, cve, Flaw { epss, percentile, ..Flaw::default() }),
            (Some(epss), None) => take(out, &mut read, n + 1, cve, Flaw { epss, ..Flaw::default() }),
            _ => read.problem(n + 1, "epss is no number from 0 to 1"),
        }
    }
    read
}

/// Records of a CSV with the line they begin on; quoted cells may hold commas, quotes and line ends.
fn records(text: &str) -> impl Iterator<Item = (usize, Vec<String>)> {
    let mut chars = text.chars().peekable();
    let mut line = 1;
    std::iter::from_fn(move || {
        chars.peek()?;
        let begun = line;
        let (mut row, mut cell, mut quoted) = (Vec::new(), String::new(), false);
        while let Some(c) = chars.next() {
            line += usize::from(c == '\n');
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    cell.push('"');
                }
                '"' => quoted = !quoted,
                ',' if !quoted => row.push(std::mem::take(&mut cell)),
                '\n' if !quoted => break,
                '\r' if !quoted => {}
                c => cell.push(c),
            }
        }
        row.push(cell);
        Some((begun, row))
    })
    .filter(|(_, row)| row.iter().any(|c| !c.trim().is_empty()))
}
