//! `[incident]` of `config/desk.toml`, and the categories of GB/T 20986-2023.

use serde::{Deserialize, Serialize};

use crate::Both;

/// Time limits of incidents. Lists go by grade, 1 (特别重大) first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncidentTable {
    pub source: String,
    pub effective_from: String,
    /// Minutes from opening to an owner, and to a judgement.
    pub owner_min: u32,
    pub judge_min: u32,
    /// Minutes from confirmation to handling, and from there to recovery.
    pub handle_min: [u32; 4],
    pub recover_min: [u32; 4],
    /// Minutes from recovery to the closing summary.
    pub summary_min: u32,
}

impl Default for IncidentTable {
    fn default() -> Self {
        Self {
            source: "default".to_owned(),
            effective_from: "2026-11-01".to_owned(),
            owner_min: 15,
            judge_min: 60,
            handle_min: [15, 30, 120, 480],
            recover_min: [240, 480, 1440, 4320],
            summary_min: 43_200,
        }
    }
}

impl IncidentTable {
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut out = Vec::new();
        let limits = [self.owner_min, self.judge_min, self.summary_min];
        if limits.into_iter().chain(self.handle_min).chain(self.recover_min).any(|n| n == 0) {
            out.push(("incident".to_owned(), "a time limit of 0 minutes has passed before it begins".to_owned()));
        }
        out
    }
}

/// Categories of GB/T 20986-2023 by their two digits. 04 (content) is kept so that its number is known; this product does not handle it.
pub static CATEGORIES: &[(&str, &str, &str)] = &[
    ("01", "恶意程序事件", "malware"),
    ("02", "网络攻击事件", "attack"),
    ("03", "数据安全事件", "data"),
    ("05", "设备设施故障事件", "failure of equipment"),
    ("06", "违规操作事件", "misuse"),
    ("07", "安全隐患事件", "weakness"),
    ("08", "异常行为事件", "anomaly"),
    ("09", "不可抗力事件", "force majeure"),
    ("10", "其他事件", "other"),
];

/// Name of a code's category; none for what is no code, or is out of scope.
pub fn category(code: &str) -> Option<Both> {
    let fits = matches!(code.len(), 2 | 5) && code.bytes().all(|b| b.is_ascii_digit());
    let row = CATEGORIES.iter().find(|(two, ..)| fits && code.starts_with(two))?;
    Some(Both::new(row.1, row.2))
}

/// 特别重大 … 一般.
pub fn grade_name(grade: u8) -> Both {
    match grade {
        1 => Both::new("特别重大（I 级）", "especially serious (I)"),
        2 => Both::new("重大（II 级）", "serious (II)"),
        3 => Both::new("较大（III 级）", "relatively serious (III)"),
        _ => Both::new("一般（IV 级）", "general (IV)"),
    }
}
