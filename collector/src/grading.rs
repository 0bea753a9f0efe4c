//! `vedette grade`: what level a warning about a case should have after the tables in force, and why. Asks nobody and changes nothing.
//!
//! A case is a TOML file (or JSON, by its ending): objects, what was seen on them, weaknesses, grades of an incident. Limits: those of a
//! configuration file, and `warning::grade::CASE_MAX`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use settings::{Errors, Layers};
use warning::grade::{Case, Recommendation, Tables};
use warning::{Lang, render};

use crate::cli::{Format, Global, Language, clean, exit, write};

/// The tables that ship.
pub const TABLES: &str = include_str!("../../config/grading.toml");

/// Grade a case: the recommended warning level with its reasons
///
/// Importance of the objects × possible damage, certainty, spread, and the floor of a confirmed incident, each with the row of the table it came
/// from. Several cases are graded one after another:
///   vedette grade case.toml
///   vedette grade --tables /etc/vedette/grading.toml drill/*.toml -o json
///   vedette grade --print-tables > grading.toml
/// Exit code: 0 graded, 2 a case or table that makes no sense.
#[derive(Debug, Clone, Args)]
#[command(verbatim_doc_comment)]
pub struct GradeArgs {
    /// Cases, TOML or JSON
    #[arg(value_name = "CASE", required_unless_present_any = ["print_tables", "print_case"])]
    cases: Vec<PathBuf>,
    /// Tables to grade by, in place of those that ship
    #[arg(long, value_name = "FILE")]
    tables: Option<PathBuf>,
    /// KEV (CISA, JSON or CSV) and EPSS (FIRST, CSV): fills in what is known of a case's weaknesses
    #[arg(long, value_name = "FILE")]
    weakness: Vec<PathBuf>,
    /// Print the tables that ship, to be edited
    #[arg(long)]
    print_tables: bool,
    /// Print a case with every key, to be edited
    #[arg(long)]
    print_case: bool,
}

pub fn command(args: &GradeArgs, global: &Global) -> ExitCode {
    if args.print_tables || args.print_case {
        write(if args.print_case { CASE } else { TABLES });
        return ExitCode::SUCCESS;
    }
    let (tables, cases) = match load(args) {
        Ok(loaded) => loaded,
        Err(problems) => {
            problems.iter().for_each(|p| eprintln!("{}", clean(p)));
            return ExitCode::from(exit::BAD_INPUT);
        }
    };
    let graded: Vec<(&PathBuf, Case, Recommendation)> = args
        .cases
        .iter()
        .zip(cases)
        .map(|(path, case)| {
            let said = tables.recommend(&case);
            (path, case, said)
        })
        .collect();
    let language = global.lang.decided();
    let values = graded.iter().map(|(path, case, said)| value(path, case, said));
    let text = match global.output {
        Format::Json => format!("{}\n", serde_json::to_string_pretty(&values.collect::<Vec<_>>()).unwrap_or_default()),
        Format::Jsonl => values.map(|v| format!("{v}\n")).collect(),
        Format::Count => format!("{}\n", graded.len()),
        Format::Table => graded.iter().map(|(path, case, said)| told(path, case, said, language)).collect::<Vec<_>>().join("\n"),
        Format::Csv | Format::Navigator => {
            eprintln!("grade prints table, json, jsonl or count");
            return ExitCode::from(exit::BAD_INPUT);
        }
    };
    write(&text);
    ExitCode::SUCCESS
}

/// All problems of all files at once.
fn load(args: &GradeArgs) -> Result<(Tables, Vec<Case>), Vec<String>> {
    let mut problems = Vec::new();
    let tables = tables(args.tables.as_deref()).map_err(|e| problems.push(e.to_string())).ok();
    let (weaknesses, unread) = crate::weakness::load(&args.weakness);
    problems.extend(unread);
    let mut cases: Vec<Case> = args.cases.iter().filter_map(|path| case(path).map_err(|e| problems.push(e)).ok()).collect();
    cases.iter_mut().for_each(|case| weaknesses.fill(case));
    match tables {
        Some(tables) if problems.is_empty() => Ok((tables, cases)),
        _ => Err(problems),
    }
}

/// Tables of a file, or those that ship.
pub fn tables(path: Option<&Path>) -> Result<Tables, Errors> {
    let layers = match path {
        Some(path) => Layers::new().file(path),
        None => Layers::new().text("grading.toml", TABLES),
    };
    let loaded = layers.load::<Tables>()?;
    let problems: Vec<_> = loaded.value.problems().into_iter().map(|(key, what)| loaded.document.problem(&key, what)).collect();
    if problems.is_empty() { Ok(loaded.value) } else { Err(Errors { problems }) }
}

fn case(path: &Path) -> Result<Case, String> {
    if path.extension().is_some_and(|e| e == "json") {
        let shown = path.display();
        let size = std::fs::metadata(path).map_err(|e| format!("{shown}: {e}"))?.len();
        if size > settings::FILE_BYTES_MAX {
            return Err(format!("{shown}: {size} bytes; a case has at most {}", settings::FILE_BYTES_MAX));
        }
        let text = std::fs::read_to_string(path).map_err(|e| format!("{shown}: {e}"))?;
        let case: Case = serde_json::from_str(&text).map_err(|e| format!("{shown}:{}:{}: {e}", e.line(), e.column()))?;
        let problems: Vec<String> = case.problems().into_iter().map(|(key, what)| format!("{shown}: key '{key}': {what}")).collect();
        return if problems.is_empty() { Ok(case) } else { Err(problems.join("\n")) };
    }
    let loaded = Layers::new().file(path).load::<Case>().map_err(|e| e.to_string())?;
    let problems: Vec<_> = loaded.value.problems().into_iter().map(|(key, what)| loaded.document.problem(&key, what)).collect();
    if problems.is_empty() { Ok(loaded.value) } else { Err(Errors { problems }.to_string()) }
}

fn value(path: &Path, case: &Case, said: &Recommendation) -> Value {
    let mut value = serde_json::to_value(said).unwrap_or_default();
    let in_words = |lang| said.reasons.iter().map(|r| render(r, lang)).collect::<Vec<_>>();
    value["case"] = json!(path.display().to_string());
    value["title"] = json!(case.title);
    value["reasons_en"] = json!(in_words(Lang::En));
    value["reasons_zh"] = json!(in_words(Lang::Zh));
    value
}

fn told(path: &Path, case: &Case, said: &Recommendation, language: Language) -> String {
    let zh = language == Language::Zh;
    let level = match (said.level, zh) {
        (Some(level), true) => {
            ["蓝色预警（IV 级）", "黄色预警（III 级）", "橙色预警（II 级）", "红色预警（I 级）"][level as usize].to_owned()
        }
        (Some(level), false) => format!("{} (level {})", level.name(), ["IV", "III", "II", "I"][level as usize]),
        (None, true) => "不发布预警".to_owned(),
        (None, false) => "no warning".to_owned(),
    };
    let title = if case.title.is_empty() { String::new() } else { format!("  {}", clean(&case.title)) };
    let facts = if zh {
        format!("损害程度 {}，涉及 {} 个单位、{} 个行业，处置次序 {}/100", said.damage, said.units, said.sectors, said.priority)
    } else {
        format!("damage {} of 4, {} units, {} sectors, priority {} of 100", said.damage, said.units, said.sectors, said.priority)
    };
    let lang = if zh { Lang::Zh } else { Lang::En };
    let mut text = format!("{}{title}\n{}{level}\n  {facts}\n", path.display(), if zh { "建议：" } else { "recommended: " });
    for reason in &said.reasons {
        text.push_str(&format!("  · {}\n", clean(&render(reason, lang))));
    }
    text
}

const CASE: &str = r#"# 一个待研判的案例 · A case to be graded: vedette grade CASE.toml
title = "beacon at a bank and a telecom"

# 已确认安全事件的级别，预计的级别（1 特别重大 … 4 一般）。Grade of a confirmed incident, of one that is expected.
# incident_grade = 3
# forecast_grade = 2
# 已由人工确认。A person has looked and says it is so.
confirmed = false

# 受影响或受威胁的保护对象。Objects affected or exposed.
[[object]]
id = "core-banking"
unit = "city-bank"
sector = "finance"
mlps = 3
cii = true
serves_cii = 0

[[object]]
id = "signalling"
unit = "metro-telecom"
sector = "telecom"
mlps = 3
cii = true

# 已观察到的情况。What was seen: ATT&CK tactics and techniques, "succeeded" or "blocked", who says so (Admiralty code A1 to F6).
[[evidence]]
id = "A1f00c0ffee000001"
object = "core-banking"
tactics = ["TA0011"]
techniques = ["T1071.001"]
outcome = "succeeded"
source = "agent"
grade = "B2"

[[evidence]]
id = "report 17"
object = "signalling"
tactics = ["TA0011"]
source = "metro-telecom"
grade = "C3"

# 尚未被利用的漏洞。A flaw nobody is known to have used.
[[weakness]]
id = "CVE-2026-0001"
object = "signalling"
reachable = true
kev = true
epss = 0.7
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_case_is_graded_by_the_printed_tables() {
        let folder = tempfile::tempdir().unwrap();
        let (case_path, tables_path) = (folder.path().join("case.toml"), folder.path().join("grading.toml"));
        std::fs::write(&case_path, CASE).unwrap();
        std::fs::write(&tables_path, TABLES).unwrap();
        let case = case(&case_path).unwrap();
        let said = tables(Some(&tables_path)).unwrap().recommend(&case);
        let english = told(&case_path, &case, &said, Language::En);
        assert!(english.contains("recommended: orange (level II)") && english.contains("damage 2 seen in 2 sectors: 3"), "{english}");
        let chinese = told(&case_path, &case, &said, Language::Zh);
        assert!(chinese.contains("建议：橙色预警（II 级）") && chinese.contains("建议上报"), "{chinese}");
    }

    #[test]
    fn every_mistake_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("case.toml");
        std::fs::write(&path, CASE.replace("object = \"signalling\"", "object = \"signaling\"").replace("mlps = 3", "mlps = 7")).unwrap();
        let error = case(&path).unwrap_err();
        for word in ["case.toml:", "'signaling', which is not listed", "MLPS levels are 1 to 5"] {
            assert!(error.contains(word), "{error}");
        }
        let tables_path = folder.path().join("grading.toml");
        std::fs::write(&tables_path, TABLES.replace("epss = 0.5", "epss = 5.0")).unwrap();
        let error = tables(Some(&tables_path)).unwrap_err().to_string();
        assert!(error.contains("grading.toml:") && error.contains("key 'damage.epss': 5: EPSS is from 0 to 1"), "{error}");
    }
}
