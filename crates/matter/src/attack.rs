//! ATT&CK's tactics as rules write them and as grading wants them.
//!
//! Rules name tactics by word (`lateral-movement`); Enterprise and ICS share most words but not the ids. Which of the two is meant follows
//! from the techniques beside it: those of ICS are numbered `T0…`. A word nobody knows is kept out of grading and shown as it is.

use crate::Both;

/// One tactic: word, id in Enterprise, id in ICS (empty where it has none), names.
pub struct Tactic {
    pub word: &'static str,
    pub enterprise: &'static str,
    pub ics: &'static str,
    pub zh: &'static str,
    pub en: &'static str,
}

const fn row(word: &'static str, enterprise: &'static str, ics: &'static str, zh: &'static str, en: &'static str) -> Tactic {
    Tactic { word, enterprise, ics, zh, en }
}

/// In the order of an attack, the most harmful last.
pub static TACTICS: &[Tactic] = &[
    row("reconnaissance", "TA0043", "", "侦察", "reconnaissance"),
    row("resource-development", "TA0042", "", "资源准备", "resource development"),
    row("initial-access", "TA0001", "TA0108", "初始访问", "initial access"),
    row("execution", "TA0002", "TA0104", "执行", "execution"),
    row("persistence", "TA0003", "TA0110", "驻留", "persistence"),
    row("privilege-escalation", "TA0004", "TA0111", "提升权限", "privilege escalation"),
    row("defense-evasion", "TA0005", "TA0103", "规避防御", "defence evasion"),
    row("credential-access", "TA0006", "", "窃取凭据", "credential access"),
    row("discovery", "TA0007", "TA0102", "内部探测", "discovery"),
    row("lateral-movement", "TA0008", "TA0109", "横向移动", "lateral movement"),
    row("collection", "TA0009", "TA0100", "收集数据", "collection"),
    row("command-and-control", "TA0011", "TA0101", "命令与控制", "command and control"),
    row("exfiltration", "TA0010", "", "外传数据", "exfiltration"),
    row("inhibit-response-function", "", "TA0107", "抑制响应功能", "inhibit response function"),
    row("impair-process-control", "", "TA0106", "破坏过程控制", "impair process control"),
    row("impact", "TA0040", "TA0105", "造成影响", "impact"),
];

/// Other words for the same.
const ALIASES: &[(&str, &str)] = &[
    ("evasion", "defense-evasion"),
    ("stealth", "defense-evasion"),
    ("defense-impairment", "defense-evasion"),
    ("defence-evasion", "defense-evasion"),
];

impl Tactic {
    /// By word or id, in any spelling rules use.
    pub fn find(name: &str) -> Option<&'static Self> {
        let word = name.trim().to_ascii_lowercase().replace(['_', ' '], "-");
        let word = ALIASES.iter().find(|(alias, _)| *alias == word).map_or(word.as_str(), |(_, word)| word);
        TACTICS.iter().find(|t| {
            let is = |id: &str| !id.is_empty() && id.eq_ignore_ascii_case(word);
            t.word == word || is(t.enterprise) || is(t.ics)
        })
    }
    /// Id of the matrix that is meant.
    pub const fn id(&self, control: bool) -> &'static str {
        if (control && !self.ics.is_empty()) || self.enterprise.is_empty() { self.ics } else { self.enterprise }
    }
    pub fn name(&self) -> Both {
        Both::new(self.zh, self.en)
    }
    /// Place in the order of an attack.
    pub fn stage(&self) -> usize {
        TACTICS.iter().position(|t| t.word == self.word).unwrap_or(0)
    }
}

/// Whether one of them is a technique of ATT&CK for ICS.
pub fn of_control(techniques: &[String]) -> bool {
    techniques.iter().any(|t| t.starts_with("T0"))
}

/// `T1110.001` → `T1110`.
pub fn parent(technique: &str) -> &str {
    technique.split('.').next().unwrap_or(technique)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_ids_name_the_same_tactic_and_the_matrix_follows_the_techniques() {
        for (name, control, id) in [
            ("lateral-movement", false, "TA0008"),
            ("lateral-movement", true, "TA0109"),
            ("Lateral_Movement", false, "TA0008"),
            ("evasion", true, "TA0103"),
            ("stealth", false, "TA0005"),
            ("impair-process-control", false, "TA0106"),
            ("credential-access", true, "TA0006"),
            ("ta0040", false, "TA0040"),
            ("TA0105", true, "TA0105"),
        ] {
            assert_eq!(Tactic::find(name).map(|t| t.id(control)), Some(id), "{name}");
        }
        assert!(Tactic::find("mischief").is_none() && Tactic::find("").is_none());
        assert_eq!(parent("T1110.001"), "T1110");
    }
}
