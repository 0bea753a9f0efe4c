//! `vedette rules coverage`: which ATT&CK techniques the rules speak of, by their tags; how many of those rules have a test that makes them
//! speak and one that keeps them silent; and, asked of a running collector, how many alerts each technique has had.
//!
//! `-o navigator` is a layer for the ATT&CK Navigator: the score is the number of rules, the comment names them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use event::RuleMeta;
use serde_json::{Value as Json, json};

use super::test;
use crate::cli::{Column, Format, Global, Language, Look, Printer, exit};
use crate::rulebook::{self, RuleArgs};
use crate::serve::i18n;

#[derive(Debug, Clone, Args)]
pub struct CoverageArgs {
    #[command(flatten)]
    pub rules: RuleArgs,
    /// Test files and case folders; a rule counts as tested if one of them expects it and it speaks
    #[arg(long, value_name = "PATH")]
    pub tests: Vec<PathBuf>,
    /// Ask the collector (--server) how many alerts each rule has raised
    #[arg(long)]
    pub live: bool,
}

/// A technique and the rules that name it.
#[derive(Debug, Default)]
struct Row {
    rules: BTreeSet<String>,
    titles: BTreeSet<String>,
    tactics: BTreeSet<String>,
    tested: usize,
    fired: Option<u64>,
}

/// `fired`: alerts by rule id, where a collector was asked.
pub fn run(args: &CoverageArgs, fired: Option<&BTreeMap<String, u64>>, global: &Global) -> Result<u8> {
    let own = args.rules.or_found()?;
    let book = own.load()?;
    rulebook::tell(&book.faults);
    let mut tested: BTreeSet<String> = BTreeSet::new();
    if !args.tests.is_empty() {
        let (outcomes, _) = test::outcomes(&args.tests, &own)?;
        for outcome in outcomes.iter().filter(|o| o.problems.is_empty() && !o.case.expect.is_empty()) {
            let meant = |m: &RuleMeta| {
                outcome.case.expect.iter().any(|e| m.id == e.rule || m.name.as_deref() == Some(&e.rule) || m.title == e.rule)
            };
            let metas = book.rules.rules().iter().chain(book.rules.correlations().iter().map(|c| &c.meta));
            tested.extend(metas.filter(|m| meant(m) && outcome.spoke.contains(&m.id)).map(|m| m.id.clone()));
        }
    }
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut untagged = 0;
    let metas = book.rules.rules().iter().chain(book.rules.correlations().iter().map(|c| &c.meta));
    for meta in metas.filter(|m| m.alerts || m.shadow) {
        untagged += usize::from(meta.techniques.is_empty());
        for technique in &meta.techniques {
            let row = rows.entry(technique.clone()).or_default();
            row.rules.insert(meta.id.clone());
            row.titles.insert(meta.title.clone());
            row.tactics.extend(meta.tactics.iter().cloned());
            row.tested += usize::from(tested.contains(&meta.id));
            if let Some(fired) = fired {
                *row.fired.get_or_insert(0) += fired.get(&meta.id).copied().unwrap_or(0);
            }
        }
    }
    if global.output == Format::Navigator {
        crate::cli::write(&format!("{:#}\n", layer(&rows)));
    } else {
        let items: Vec<Json> = rows
            .iter()
            .map(|(technique, row)| {
                json!({
                    "technique": technique, "name": i18n::technique(i18n::Lang::En, technique), "name_zh": i18n::technique(i18n::Lang::Zh, technique),
                    "tactics": row.tactics, "rules": row.rules.len(), "tested": row.tested, "fired": row.fired, "titles": row.titles,
                })
            })
            .collect();
        Printer::new(global.output, global.lang).list(&items, COLUMNS);
        eprintln!(
            "{} techniques, {} of them with a tested rule; {untagged} rules name no technique",
            rows.len(),
            rows.values().filter(|r| r.tested > 0).count()
        );
    }
    Ok(if book.faults.is_empty() { exit::DONE } else { exit::BAD_INPUT })
}

const COLUMNS: &[Column] = &[
    Column { en: "TECHNIQUE", zh: "技术", cell: |v, _| word(&v["technique"]), look: Look::Plain },
    Column { en: "NAME", zh: "名称", cell: |v, l| word(if l == Language::Zh { &v["name_zh"] } else { &v["name"] }), look: Look::Plain },
    Column { en: "RULES", zh: "规则数", cell: |v, _| v["rules"].to_string(), look: Look::Number },
    Column { en: "TESTED", zh: "有测试", cell: |v, _| v["tested"].to_string(), look: Look::Number },
    Column {
        en: "FIRED",
        zh: "已告警",
        cell: |v, _| v["fired"].as_u64().map_or_else(|| "–".into(), |n| n.to_string()),
        look: Look::Number,
    },
];

fn word(value: &Json) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Enterprise and ICS techniques are two domains of the Navigator, and a layer is of one: the one most techniques are of.
fn layer(rows: &BTreeMap<String, Row>) -> Json {
    let ics = |technique: &str| technique.starts_with("T0");
    let of_ics = rows.keys().filter(|t| ics(t)).count() * 2 > rows.len();
    let techniques: Vec<Json> = rows
        .iter()
        .filter(|(technique, _)| ics(technique) == of_ics)
        .map(|(technique, row)| {
            let mut one = json!({
                "techniqueID": technique, "score": row.rules.len(), "enabled": true,
                "comment": row.titles.iter().cloned().collect::<Vec<_>>().join("; "),
                "metadata": [{"name": "rules", "value": row.rules.len().to_string()}, {"name": "tested", "value": row.tested.to_string()}],
            });
            if let (Some(fired), Some(list)) = (row.fired, one["metadata"].as_array_mut()) {
                list.push(json!({"name": "fired", "value": fired.to_string()}));
            }
            one
        })
        .collect();
    let most = rows.values().map(|r| r.rules.len()).max().unwrap_or(1);
    json!({
        "name": "Vedette rules", "versions": {"attack": "17", "navigator": "5.1.0", "layer": "4.5"},
        "domain": if of_ics { "ics-attack" } else { "enterprise-attack" },
        "description": "techniques the loaded rules name; score = number of rules",
        "techniques": techniques,
        "gradient": {"colors": ["#e8f1fa", "#1f77b4"], "minValue": 0, "maxValue": most},
        "hideDisabled": false, "showTacticRowBackground": true, "selectTechniquesAcrossTactics": true, "selectSubtechniquesWithParent": false,
    })
}
