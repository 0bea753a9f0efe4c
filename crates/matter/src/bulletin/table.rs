//! A bulletin as rows: what the print page shows and the CSV has, in one order.

use super::Bulletin;
use super::count::{Counts, Figures, Owed, Times};
use crate::Both;

/// A group of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    pub title: Both,
    pub rows: Vec<Row>,
}

/// One figure, with the period before.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub name: Both,
    /// Text as shown: `12`, `95.0 %`, `6 min`; `–` where there is none.
    pub now: String,
    pub before: String,
    /// Change in percent, where both are numbers and there was something before.
    pub change: Option<i64>,
}

impl Bulletin {
    /// Sections of the figures; empty until they are counted.
    pub fn sections(&self) -> Vec<Section> {
        self.figures.as_deref().map(sections).unwrap_or_default()
    }

    /// `section,item,value,before`, UTF-8, one line a figure; spreadsheet formulas are quoted away.
    pub fn csv(&self) -> String {
        let mut out = String::from("section,item,value,before\r\n");
        for section in self.sections() {
            for row in &section.rows {
                let cells = [section.title.pick(false), row.name.pick(false), &row.now, &row.before].map(cell);
                out.push_str(&cells.join(","));
                out.push_str("\r\n");
            }
        }
        if let Some(figures) = &self.figures {
            for blind in &figures.blind {
                out.push_str(&["blind unit", &blind.unit, blind.why.pick(false), ""].map(cell).join(","));
                out.push_str("\r\n");
            }
            for gap in &figures.gaps {
                out.push_str(&["retention gap", &gap.unit, gap.what.pick(false), ""].map(cell).join(","));
                out.push_str("\r\n");
            }
        }
        out
    }
}

fn cell(text: &str) -> String {
    let risky = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if risky { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

fn sections(figures: &Figures) -> Vec<Section> {
    let (now, before) = (&figures.now, &figures.before);
    let count = |zh: &str, en: &str, of: fn(&Counts) -> u64| number(Both::new(zh, en), of(now), of(before));
    let table = |zh: &str, en: &str, of: fn(&Counts) -> &std::collections::BTreeMap<String, u64>| -> Vec<Row> {
        let mut keys: Vec<&String> = of(now).keys().chain(of(before).keys()).collect();
        keys.sort();
        keys.dedup();
        let value = |c: &Counts, key: &String| of(c).get(key).copied().unwrap_or(0);
        keys.into_iter()
            .map(|key| number(Both::new(format!("{zh} {}", word_zh(key)), format!("{en} {key}")), value(now, key), value(before, key)))
            .collect()
    };
    let section =
        |zh: &str, en: &str, rows: Vec<Vec<Row>>| Section { title: Both::new(zh, en), rows: rows.into_iter().flatten().collect() };
    let grades = ["特别重大", "重大", "较大", "一般"].iter().enumerate().map(|(at, zh)| {
        let of = |c: &Counts| c.incidents_by_grade.get(at).copied().unwrap_or(0);
        number(Both::new(*zh, format!("grade {}", at + 1)), of(now), of(before))
    });
    let coverage = &figures.coverage;
    let share =
        |part: u64, of: u64| (part * 100).checked_div(of).map_or_else(|| "–".to_owned(), |percent| format!("{part} / {of} ({percent} %)"));
    let plain = |zh: &str, en: &str, value: String| Row { name: Both::new(zh, en), now: value, before: "–".to_owned(), change: None };
    vec![
        section(
            "网络攻击",
            "Attacks",
            vec![
                vec![
                    count("攻击活动（一次活动计一次）", "campaigns (each counts once)", |c| c.attacks),
                    count("跨单位活动", "across units", |c| c.attacks_across_units),
                ],
                table("行业", "sector", |c| &c.attacks_by_sector),
                table("技术", "technique", |c| &c.attacks_by_technique),
            ],
        ),
        section(
            "安全事件",
            "Incidents",
            vec![
                vec![count("确认", "confirmed", |c| c.incidents), count("办结", "closed", |c| c.incidents_closed)],
                grades.collect(),
                table("类别", "category", |c| &c.incidents_by_category),
            ],
        ),
        section(
            "预警",
            "Warnings",
            vec![
                vec![
                    count("首次发布", "first issued", |c| c.warnings),
                    count("事后判为误报（撤销）", "later judged false (cancelled)", |c| c.warnings_false),
                ],
                table("级别", "level", |c| &c.warnings_by_level),
                table("版本", "revision", |c| &c.steps),
            ],
        ),
        section(
            "时效",
            "Times",
            [
                ("发现至预警", "to warn", now.to_warn, before.to_warn),
                ("发出至送达", "to notice", now.to_notice, before.to_notice),
                ("发出至签收", "to sign for", now.to_sign, before.to_sign),
                ("发出至反馈", "to feed back", now.to_feed_back, before.to_feed_back),
            ]
            .into_iter()
            .map(|(zh, en, now, before)| times(zh, en, now, before))
            .collect(),
        ),
        section(
            "按时率",
            "On time",
            vec![
                owed("签收", "signed for", now.sign, before.sign),
                owed("反馈", "fed back", now.feedback, before.feedback),
                owed("处置反馈", "orders fed back", now.order_feedback, before.order_feedback),
                owed("法定报告", "statutory reports", now.clocks, before.clocks),
            ],
        ),
        section(
            "处置与演练",
            "Orders and drills",
            vec![vec![
                count("下达任务", "orders issued", |c| c.orders),
                count("办结任务", "orders closed", |c| c.orders_closed),
                count("演练次数", "drills", |c| c.drills),
                count("演练得分", "drill points", |c| c.drill_points),
                count("演练满分", "of points", |c| c.drill_of),
            ]],
        ),
        section(
            "告警处置",
            "Alerts",
            vec![vec![count("新增告警", "opened", |c| c.alerts)], table("关闭理由", "closed as", |c| &c.alerts_closed)],
        ),
        section(
            "覆盖",
            "Coverage",
            vec![vec![
                plain("有探针的单位", "units watched", share(coverage.units_watched, coverage.units)),
                plain("有探针的资产", "assets watched", share(coverage.assets_watched, coverage.assets)),
                plain("失联探针", "silent agents", share(coverage.agents_silent, coverage.agents)),
                plain("盲区单位", "blind units", (figures.blind.len() as u64 + figures.blind_beyond).to_string()),
                plain("留存缺口", "retention gaps", (figures.gaps.len() as u64 + figures.gaps_beyond).to_string()),
            ]],
        ),
    ]
}

fn number(name: Both, now: u64, before: u64) -> Row {
    let change = (before > 0).then(|| (i128::from(now) - i128::from(before)) * 100 / i128::from(before));
    Row { name, now: now.to_string(), before: before.to_string(), change: change.and_then(|c| i64::try_from(c).ok()) }
}

fn times(zh: &str, en: &str, now: Times, before: Times) -> Vec<Row> {
    let line = |part: &str, of: fn(&Times) -> Option<i64>| Row {
        name: Both::new(format!("{zh} {part}"), format!("{en} {part}")),
        now: took(of(&now)),
        before: took(of(&before)),
        change: None,
    };
    vec![line("p50", |t| t.p50_s), line("p90", |t| t.p90_s)]
}

fn took(seconds: Option<i64>) -> String {
    match seconds {
        None => "–".to_owned(),
        Some(s) if s < 120 => format!("{s} s"),
        Some(s) => crate::ties::span(s).en,
    }
}

fn owed(zh: &str, en: &str, now: Owed, before: Owed) -> Vec<Row> {
    let rate = |o: &Owed| o.rate_permille().map_or("–".to_owned(), |p| format!("{}.{} % ({}/{})", p / 10, p % 10, o.in_time, o.due));
    vec![
        Row { name: Both::new(format!("{zh}按时"), format!("{en} in time")), now: rate(&now), before: rate(&before), change: None },
        number(Both::new(format!("{zh}逾期"), format!("{en} late")), now.late, before.late),
        number(Both::new(format!("{zh}未完成"), format!("{en} missing")), now.missing, before.missing),
    ]
}

/// Words of the product in Chinese; others as they are.
fn word_zh(word: &str) -> &str {
    match word {
        "red" => "红色",
        "orange" => "橙色",
        "yellow" => "黄色",
        "blue" => "蓝色",
        "advisory" => "风险提示",
        "issue" => "发布",
        "update" => "更新",
        "upgrade" => "升级",
        "downgrade" => "降级",
        "extend" => "延期",
        "lift" => "解除",
        "cancel" => "撤销",
        "expire" => "到期",
        "confirmed" => "属实",
        "authorised_activity" => "授权活动",
        "false_positive" => "误报",
        "duplicate" => "重复",
        "expected_maintenance" => "计划检修",
        "finance" => "金融",
        "energy" => "能源",
        "power" => "电力",
        "telecom" => "通信",
        "transport" => "交通",
        "water" => "水务",
        "health" => "卫生",
        "government" => "政务",
        "other" => "其他",
        other => other,
    }
}
