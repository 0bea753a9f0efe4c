//! Categories of GB/T 20986-2023 in words, and what MISP, IDEA0 and RSIT call the like.

use matter::Both;

/// A category by its first two digits, or a subclass by all five.
struct Row {
    code: &'static str,
    zh: &'static str,
    en: &'static str,
    /// IDEA0 category (CESNET's list, mkII).
    idea: &'static str,
    /// Reference incident taxonomy (ENISA), as MISP writes it.
    rsit: &'static str,
}

const fn row(code: &'static str, zh: &'static str, en: &'static str, idea: &'static str, rsit: &'static str) -> Row {
    Row { code, zh, en, idea, rsit }
}

/// Subclasses stand before their category: the first that begins the code counts.
const ROWS: &[Row] = &[
    row("01004", "僵尸网络事件", "botnet incident", "Intrusion.Botnet", "malicious-code=\"infected-system\""),
    row("01007", "勒索软件事件", "ransomware incident", "Malware.Ransomware", "malicious-code=\"infected-system\""),
    row("01008", "挖矿病毒事件", "cryptomining malware incident", "Malware", "malicious-code=\"infected-system\""),
    row("01", "恶意程序事件", "malware incident", "Malware", "malicious-code=\"infected-system\""),
    row("02001", "网络扫描探测事件", "network scanning incident", "Recon.Scanning", "information-gathering=\"scanner\""),
    row("02002", "网络钓鱼事件", "phishing incident", "Fraud.Phishing", "fraud=\"phishing\""),
    row("02003", "漏洞利用事件", "exploitation incident", "Attempt.Exploit", "intrusion-attempts=\"ids-alert\""),
    row("02006", "凭据攻击事件", "credential attack incident", "Attempt.Login", "intrusion-attempts=\"brute-force\""),
    row("02008", "拒绝服务事件", "denial of service incident", "Availability.DoS", "availability=\"dos\""),
    row("02018", "失陷主机事件", "compromised host incident", "Intrusion.SysCompromise", "intrusions=\"system-compromise\""),
    row("02", "网络攻击事件", "network attack incident", "Attempt", "intrusions=\"system-compromise\""),
    row(
        "03",
        "数据安全事件",
        "data security incident",
        "Information.UnauthorizedAccess",
        "information-content-security=\"unauthorised-information-access\"",
    ),
    row("04", "信息内容安全事件", "content incident", "Other", "other=\"other\""),
    row("05", "设备设施故障事件", "equipment failure incident", "Availability.Outage", "availability=\"outage\""),
    row("06", "违规操作事件", "violation of rules incident", "Intrusion.UserCompromise", "intrusions=\"privileged-account-compromise\""),
    row("07", "安全隐患事件", "security hazard", "Vulnerable", "vulnerable=\"vulnerable-system\""),
    row("08", "异常行为事件", "anomalous behaviour incident", "Anomaly", "other=\"undetermined\""),
    row("09", "不可抗力事件", "force majeure incident", "Other", "other=\"other\""),
];

const OTHER: Row = row("10", "网络安全事件", "cybersecurity incident", "Other", "other=\"undetermined\"");

fn find(code: &str) -> &'static Row {
    ROWS.iter().find(|r| code.starts_with(r.code)).unwrap_or(&OTHER)
}

/// Name of a category; of incidents in general where the code is not known.
pub fn category(code: &str) -> Both {
    let row = find(code);
    Both::new(row.zh, row.en)
}

pub(crate) fn idea(code: &str) -> &'static str {
    find(code).idea
}

pub(crate) fn rsit(code: &str) -> &'static str {
    find(code).rsit
}
