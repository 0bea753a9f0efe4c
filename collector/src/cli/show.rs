//! What each command shows: columns, and the text of one thing.

use std::fmt::Write;

use serde_json::Value;

use super::output::{Column, Language, Look, clean};
use crate::serve::i18n;

fn lang(language: Language) -> i18n::Lang {
    if language == Language::Zh { i18n::Lang::Zh } else { i18n::Lang::En }
}
fn text(value: &Value) -> String {
    crate::serve::reply::flat(value)
}
fn title(v: &Value, l: Language) -> String {
    text(if l == Language::Zh && v["title_zh"].as_str().is_some_and(|t| !t.is_empty()) { &v["title_zh"] } else { &v["title"] })
}
/// `2026-11-23T08:00:05.123Z` → `11-23 08:00:05`, UTC.
fn time(value: &Value) -> String {
    let whole = value.as_str().unwrap_or("");
    match (whole.get(5..10), whole.get(11..19)) {
        (Some(day), Some(clock)) => format!("{day} {clock}"),
        _ => whole.to_owned(),
    }
}
fn units(v: &Value) -> String {
    let names: Vec<&str> = v["units"].as_array().into_iter().flatten().filter_map(|u| u["name"].as_str()).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first, rest @ ..] => format!("{first} +{}", rest.len()),
    }
}
fn first(v: &Value) -> String {
    let list: Vec<&str> = v.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match list.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [one, rest @ ..] => format!("{one} +{}", rest.len()),
    }
}
pub fn parties(v: &Value) -> String {
    let (source, target) = (first(&v["source_ips"]), first(&v["target_ips"]));
    match (source.is_empty(), target.is_empty()) {
        (true, true) => first(&v["hosts"]),
        (false, true) => source,
        _ => format!("{source} → {target}").trim().to_owned(),
    }
}

macro_rules! columns {
    ($($en:literal $zh:literal $look:ident $cell:expr),* $(,)?) => { &[$(Column { en: $en, zh: $zh, look: Look::$look, cell: $cell }),*] };
}

pub const ALERTS: &[Column] = columns![
    "SEVERITY" "级别" Mark |v, l| i18n::say(lang(l), &format!("severity.{}", v["severity"].as_str().unwrap_or("informational"))).to_lowercase(),
    "LAST (UTC)" "最近 (UTC)" Key |v, _| time(&v["last_time"]),
    "ID" "标识" Key |v, _| text(&v["id"]),
    "UNIT" "单位" Plain |v, _| units(v),
    "ALERT" "告警" Plain title,
    "SOURCE → TARGET" "源 → 目标" Extra |v, _| parties(v),
    "EVENTS" "事件数" Number |v, _| text(&v["event_count"]),
    "STATE" "状态" Plain |v, l| i18n::say(lang(l), &format!("state.{}", v["state"].as_str().unwrap_or("new"))).to_lowercase(),
    "OWNER" "负责人" Extra |v, _| text(&v["owner"]),
];
pub const EVENTS: &[Column] = columns![
    "TIME (UTC)" "时间 (UTC)" Key |v, _| time(&v["time"]),
    "HOST" "主机" Plain |v, _| text(&v["host"]),
    "SOURCE" "来源" Plain |v, _| text(&v["log_source"]),
    "WHAT" "内容" Plain |v, _| gist(v),
    "ID" "标识" Extra |v, _| text(&v["id"]),
];
pub const AGENTS: &[Column] = columns![
    "LIVENESS" "状态" Mark |v, l| i18n::say(lang(l), &format!("agents.{}", v["liveness"].as_str().unwrap_or("never_seen"))).to_lowercase(),
    "LAST HEARD (UTC)" "最近上报 (UTC)" Key |v, _| time(&v["last_seen"]),
    "HOST" "主机" Plain |v, _| text(&v["host"]),
    "UNIT" "单位" Plain |v, _| text(&v["unit"]),
    "CANNOT SEE" "不可见" Plain |v, _| v["coverage"].as_array().into_iter().flatten().filter(|c| c["state"] != "seeing" && c["state"] != "off").map(|c| format!("{} {}", text(&c["sensor"]), text(&c["subject"]))).collect::<Vec<_>>().join(", "),
    "LEDGER" "账目" Plain |v, l| i18n::say(lang(l), if v["ledger_balanced"] == false { "agents.ledger.bad" } else { "agents.ledger.ok" }),
    "CLOCK ms" "时钟 ms" Number |v, _| text(&v["clock_skew_ms"]),
    "VERSION" "版本" Extra |v, _| text(&v["version"]),
    "ID" "标识" Extra |v, _| text(&v["id"]),
];
pub const BASELINES: &[Column] = columns![
    "STATION" "站点" Key |v, _| text(&v["id"]),
    "ADDRESS" "地址" Key |v, _| text(&v["station"]),
    "PROTOCOL" "协议" Plain |v, _| text(&v["protocol"]),
    "UNIT" "单位" Plain |v, _| text(&v["unit"]),
    "STATE" "状态" Mark |v, l| match v["state"].as_str() { Some("frozen") => pick(l, "frozen", "已冻结").to_owned(), _ => pick(l, "learning", "学习中").to_owned() },
    "USUAL" "基线条目" Number |v, _| text(&v["entries"]),
    "DEVIATING" "偏离" Number |v, _| text(&v["deviations"]),
    "LAST SEEN (UTC)" "最近 (UTC)" Plain |v, _| time(&v["last_seen"]),
    "FROZEN BY" "冻结人" Extra |v, _| text(&v["frozen"]["by"]),
    "NOTE" "备注" Extra |v, _| text(&v["frozen"]["note"]),
];
pub const BASELINE_ENTRIES: &[Column] = columns![
    "ENTRY" "条目" Key |v, _| text(&v["id"]),
    "STATE" "状态" Mark |v, l| match v["state"].as_str() { Some("deviating") => pick(l, "deviating", "偏离").to_owned(), Some("allowed") => pick(l, "allowed", "已允许").to_owned(), _ => pick(l, "learned", "已学习").to_owned() },
    "MASTER" "主站" Key |v, _| text(&v["master"]),
    "NUMBER" "站号" Number |v, _| text(&v["number"]),
    "FUNCTION" "功能" Plain |v, _| [text(&v["function"]), text(&v["sub_function"])].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" "),
    "OBJECTS" "对象" Plain |v, _| [text(&v["object_type"]), text(&v["objects"])].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" "),
    "WRITES" "写" Plain |v, l| if v["is_write"] == true { pick(l, "yes", "是").to_owned() } else { String::new() },
    "COUNT" "次数" Number |v, _| text(&v["count"]),
    "LAST SEEN (UTC)" "最近 (UTC)" Plain |v, _| time(&v["last_seen"]),
    "BY" "操作人" Extra |v, _| text(&v["allowed"]["by"]),
    "NOTE" "备注" Extra |v, _| text(&v["allowed"]["note"]),
];
pub const BASELINE_CHANGES: &[Column] = columns![
    "STATION" "站点" Key |v, _| text(&v["id"]),
    "DONE" "结果" Plain |v, _| text(&v["done"]),
    "STATE" "状态" Plain |v, _| text(&v["state"]),
];
pub const INDICATORS: &[Column] = columns![
    "SOURCE" "来源" Key |v, _| text(&v["name"]),
    "ENTRIES" "条目" Number |v, _| text(&v["entries"]),
    "REFUSED" "未采用" Number |v, _| text(&v["refused"]),
    "FORMAT" "格式" Plain |v, _| text(&v["format"]),
    "TLP" "TLP" Plain |v, _| text(&v["tlp"]),
    "EXPIRES (UTC)" "到期 (UTC)" Plain |v, _| time(&v["expires"]),
    "HISTORY" "历史检索" Plain |v, l| history(&v["search"], l),
    "ORIGIN" "出处" Extra |v, _| text(&v["origin"]),
    "BY" "添加人" Extra |v, _| text(&v["by"]),
];
pub const WEAKNESSES: &[Column] = columns![
    "FLAW" "漏洞" Key |v, _| text(&v["id"]),
    "EXPLOITED" "已被利用" Plain |v, l| if v["exploited"] == true { pick(l, "yes", "是") } else { pick(l, "not known", "未知") }.to_owned(),
    "RANSOMWARE" "勒索利用" Plain |v, l| if v["ransomware"] == true { pick(l, "yes", "是") } else { pick(l, "not known", "未知") }.to_owned(),
    "EPSS" "EPSS" Number |v, _| text(&v["epss"]),
    "RANK" "位次" Number |v, _| text(&v["percentile"]),
    "DUE" "整改期限" Plain |v, _| text(&v["due"]),
];
pub const INDICATOR_MATCHES: &[Column] = columns![
    "VALUE" "值" Key |v, _| text(&v["value"]),
    "INDICATOR" "指标" Plain |v, l| if v["indicator"].is_string() { text(&v["indicator"]) } else if text(&v["problem"]).is_empty() { pick(l, "none", "无").to_owned() } else { text(&v["problem"]) },
    "TYPE" "类型" Plain |v, _| text(&v["type"]),
    "SOURCE" "来源" Plain |v, _| text(&v["source"]),
    "CONFIDENCE" "可信度" Number |v, _| text(&v["confidence"]),
    "TLP" "TLP" Plain |v, _| text(&v["tlp"]),
    "IN FORCE" "有效" Plain |v, l| match v["valid"].as_bool() { Some(true) => pick(l, "yes", "是"), Some(false) => pick(l, "no", "否"), None => "" }.to_owned(),
    "UNTIL (UTC)" "有效至 (UTC)" Plain |v, _| time(&v["valid_until"]),
    "DESCRIPTION" "说明" Extra |v, _| text(&v["description"]),
];

fn pick(lang: Language, en: &'static str, zh: &'static str) -> &'static str {
    if lang == Language::Zh { zh } else { en }
}

/// The search of history in a few words.
fn history(search: &Value, lang: Language) -> String {
    let state = match search["state"].as_str() {
        Some("running") => pick(lang, "running", "进行中"),
        Some("complete") => pick(lang, "complete", "已完成"),
        Some("bounded") => pick(lang, "bounded", "达到上限"),
        Some("failed") => pick(lang, "failed", "失败"),
        _ => return String::new(),
    };
    let found = pick(lang, "found", "发现");
    format!("{state} {}/{}, {found} {}", search["asked"], search["to_ask"], search["found"])
}
pub const UNITS: &[Column] = columns![
    "ID" "标识" Key |v, _| text(&v["id"]),
    "NAME" "名称" Plain |v, _| text(&v["name"]),
    "SECTOR" "行业" Plain |v, l| i18n::sector(lang(l), v["sector"].as_str().unwrap_or("")),
    "AGENTS" "探针数" Number |v, _| text(&v["agents"]),
    "CONTACT" "联系方式" Extra |v, _| text(&v["contact"]),
];
pub const OBJECTS: &[Column] = columns![
    "ID" "标识" Key |v, _| text(&v["id"]),
    "NAME" "名称" Plain |v, l| text(if l == Language::En && v["name_en"].as_str().is_some_and(|n| !n.is_empty()) { &v["name_en"] } else { &v["name"] }),
    "UNIT" "单位" Plain |v, _| text(&v["unit_id"]),
    "MLPS" "等保" Number |v, _| text(&v["mlps"]),
    "CII" "关基" Plain |v, l| if v["cii"] == true { pick(l, "yes", "是").to_owned() } else { String::new() },
    "ASSETS" "资产数" Number |v, _| text(&v["assets"]),
    "NEEDS" "依赖" Extra |v, _| text(&v["needs"]),
];
pub const ASSETS: &[Column] = columns![
    "ID" "标识" Key |v, _| text(&v["id"]),
    "NAME" "名称" Plain |v, _| text(&v["name"]),
    "UNIT" "单位" Plain |v, _| text(&v["unit_id"]),
    "OBJECT" "保护对象" Plain |v, _| text(&v["object"]),
    "IMPORTANCE" "重要程度" Number |v, _| text(&v["importance"]),
    "HOST" "主机" Plain |v, _| text(if v["hostname"].is_string() { &v["hostname"] } else { &v["agent"] }),
    "ADDRESSES" "地址" Extra |v, _| text(&v["addresses"]),
];
pub const DEPENDENCIES: &[Column] = columns![
    "OBJECT" "保护对象" Key |v, _| text(&v["object"]),
    "UNIT" "单位" Plain |v, _| text(&v["unit_id"]),
    "NEEDS" "依赖" Plain |v, _| text(&v["needs"]),
    "OF UNIT" "所属单位" Plain |v, _| text(&v["needs_unit_id"]),
];
pub const REGISTER_CHANGES: &[Column] = columns![
    "CHANGE" "变更" Mark |v, l| match v["change"].as_str() { Some("added") => pick(l, "added", "新增"), _ => pick(l, "changed", "修改") }.to_owned(),
    "KIND" "类别" Plain |v, _| text(&v["kind"]),
    "ID" "标识" Key |v, _| text(&v["id"]),
    "KEYS" "字段" Plain |v, _| text(&v["keys"]),
];
pub const DIFFERENCES: &[Column] = columns![
    "WHAT" "类别" Mark |v, l| match v["what"].as_str() { Some("unknown") => pick(l, "unknown", "未登记"), Some("silent") => pick(l, "silent", "失联"), _ => pick(l, "drifted", "变更") }.to_owned(),
    "SINCE (UTC)" "自 (UTC)" Key |v, _| time(&v["since"]),
    "ID" "标识" Key |v, _| text(&v["id"]),
    "UNIT" "单位" Plain |v, _| text(&v["unit_id"]),
    "FOUND" "情况" Plain |v, l| text(&v["text"][if l == Language::Zh { "zh" } else { "en" }]),
    "DECLARED → HEARD" "登记 → 上报" Extra |v, _| v["changes"].as_array().into_iter().flatten().map(|c| format!("{} {} → {}", text(&c["key"]), text(&c["declared"]), text(&c["heard"]))).collect::<Vec<_>>().join("; "),
    "IGNORED UNTIL" "忽略至" Extra |v, _| time(&v["ignored"]["until"]),
];
pub const ROUTED: &[Column] = columns![
    "UNIT" "单位" Key |v, _| text(&v["unit"]),
    "SECTOR" "行业" Plain |v, l| i18n::sector(lang(l), v["sector"].as_str().unwrap_or("")),
    "RULE" "规则" Plain |v, _| text(&v["why"]["rule"]),
    "STEPS" "级数" Number |v, _| text(&v["why"]["distance"]),
    "WHY" "理由" Plain |v, l| text(&v["why"]["text"][if l == Language::Zh { "zh" } else { "en" }]),
    "PATH" "路径" Extra |v, _| v["why"]["path"].as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(" → "),
];
pub const TOKENS: &[Column] = columns![
    "ID" "标识" Key |v, _| text(&v["id"]),
    "NAME" "名称" Plain |v, _| text(&v["name"]),
    "ROLE" "角色" Plain |v, _| text(&v["role"]),
    "UNITS" "单位" Plain |v, _| text(&v["units"]),
    "EXPIRES (UTC)" "到期 (UTC)" Extra |v, _| text(&v["expires"]),
];
pub const PEOPLE: &[Column] = columns![
    "NAME" "用户名" Plain |v, _| text(&v["name"]),
    "ROLE" "角色" Plain |v, _| text(&v["role"]),
    "UNITS" "单位" Plain |v, _| text(&v["units"]),
    "ACTIVE" "启用" Plain |v, l| match (v["active"] == true, l) {
        (true, Language::Zh) => "是".into(),
        (false, Language::Zh) => "否".into(),
        (true, Language::En) => "yes".into(),
        (false, Language::En) => "no".into(),
    },
];
pub const RULES: &[Column] = columns![
    "SEVERITY" "级别" Mark |v, l| i18n::say(lang(l), &format!("severity.{}", v["severity"].as_str().unwrap_or("informational"))).to_lowercase(),
    "KIND" "类型" Plain |v, _| text(&v["kind"]),
    "ALERTS" "告警" Plain |v, l| match (v["shadow"] == true, v["alerts"] == true, l) { (true, _, Language::Zh) => "试运行".into(), (true, ..) => "shadow".into(), (_, true, Language::Zh) => "是".into(), (_, true, _) => "yes".into(), (.., Language::Zh) => "仅供关联".into(), _ => "feeds".into() },
    "TITLE" "标题" Plain |v, l| if l == Language::Zh && v["title_zh"].as_str().is_some_and(|t| !t.is_empty()) { text(&v["title_zh"]) } else { text(&v["title"]) },
    "LOG SOURCE" "日志来源" Extra |v, _| text(&v["log_source"]),
    "ATT&CK" "ATT&CK" Plain |v, _| text(&v["techniques"]),
    "FILE" "文件" Extra |v, _| text(&v["path"]),
];
pub const AUDIT: &[Column] = columns![
    "#" "#" Number |v, _| text(&v["number"]),
    "TIME (UTC)" "时间 (UTC)" Key |v, _| time(&v["time"]),
    "WHO" "人员" Plain |v, _| text(&v["actor"]),
    "WHAT" "操作" Plain |v, _| text(&v["action"]),
    "OBJECT" "对象" Plain |v, _| text(&v["object"]),
    "DETAIL" "详情" Plain |v, _| text(&v["detail"]),
];
pub const JUDGED: &[Column] = columns![
    "ID" "标识" Key |v, _| text(&v["id"]),
    "CHANGED" "已更改" Plain |v, _| text(&v["changed"]),
    "STATE" "状态" Plain |v, l| i18n::say(lang(l), &format!("state.{}", v["state"].as_str().unwrap_or("new"))).to_lowercase(),
    "OWNER" "负责人" Plain |v, _| text(&v["owner"]),
    "ALERT" "告警" Plain title,
];
pub const CHANNELS: &[Column] = columns![
    "CHANNEL" "通道" Key |v, _| text(&v["name"]),
    "KIND" "类型" Plain |v, _| text(&v["kind"]),
    "PEER" "对端" Plain |v, _| text(&v["peer"]),
    "CITY" "市级" Plain |v, _| text(&v["city"]),
    "WAITING" "待投递" Number |v, _| text(&v["waiting"]),
    "SENT" "已投递" Number |v, _| text(&v["sent"]),
    "DEAD" "放弃" Number |v, _| text(&v["dead"]),
    "LAST SENT (UTC)" "最近投递 (UTC)" Plain |v, _| time(&v["last_sent"]),
    "LAST FAULT" "最近故障" Plain |v, _| text(&v["reason"]),
];
pub const TESTED: &[Column] = columns![
    "CHANNEL" "通道" Key |v, _| text(&v["channel"]),
    "OUTCOME" "结果" Plain |v, l| match v["outcome"].as_str() { Some("sent") => pick(l, "sent", "已投递").to_owned(), Some("failed") => pick(l, "failed", "失败").to_owned(), _ => pick(l, "rejected", "被拒绝").to_owned() },
    "SECONDS" "秒" Number |v, _| v["seconds"].as_f64().map(|s| format!("{s:.3}")).unwrap_or_default(),
    "REASON" "原因" Plain |v, _| text(&v["reason"]),
];
pub const DELIVERIES: &[Column] = columns![
    "QUEUED (UTC)" "排队 (UTC)" Key |v, _| time(&v["queued"]),
    "STATE" "状态" Mark |v, l| i18n::say(lang(l), &format!("deliveries.state.{}", v["state"].as_str().unwrap_or("queued"))),
    "LEVEL" "级别" Plain |v, l| v["level"].as_str().map(|w| i18n::say(lang(l), &format!("level.{w}"))).unwrap_or_default(),
    "TITLE" "标题" Plain |v, l| text(if l == Language::Zh || v["title"]["en"] == "" { &v["title"]["zh"] } else { &v["title"]["en"] }),
    "UNIT" "单位" Plain |v, _| text(&v["unit"]),
    "WHOM" "对象" Plain |v, _| text(&v["contact"]),
    "CHANNEL" "通道" Plain |v, _| text(&v["channel"]),
    "ATTEMPTS" "次数" Number |v, _| text(&v["attempts"]),
    "REASON" "原因" Plain |v, _| text(&v["reason"]),
    "ID" "标识" Extra |v, _| text(&v["id"]),
];
pub const DOCTOR: &[Column] = columns![
    "" "" Plain |v, _| if v["good"] == true { "ok".into() } else { "NOT".into() },
    "CHECK" "检查" Plain |v, _| text(&v["check"]),
    "FOUND" "结果" Plain |v, _| text(&v["found"]),
    "WAY OUT" "解决办法" Plain |v, _| text(&v["way_out"]),
];

/// What an event says, in one line.
pub fn gist(event: &Value) -> String {
    let raw = event["raw"].as_str().unwrap_or("");
    if !raw.is_empty() {
        return raw.to_owned();
    }
    let get = |name: &str| event["fields"].as_array().into_iter().flatten().find(|f| f["name"] == name).map(|f| text(&f["value"]));
    let end = |ip: &str, port: &str| get(ip).map(|ip| get(port).map_or_else(|| ip.clone(), |p| format!("{ip}:{p}"))).unwrap_or_default();
    let mut parts = Vec::new();
    parts.extend(get("message"));
    parts.extend(get("connection_info.protocol_name"));
    let (source, target) = (end("src_endpoint.ip", "src_endpoint.port"), end("dst_endpoint.ip", "dst_endpoint.port"));
    if !source.is_empty() || !target.is_empty() {
        parts.push(format!("{source} → {target}"));
    }
    for name in ["connection.state", "query.hostname", "http_request.url.url_string", "tls.sni", "file.path", "user.name"] {
        parts.extend(get(name));
    }
    parts.join("  ")
}

/// Columns a text takes on a terminal: CJK and full-width characters take two.
fn columns_of(text: &str) -> usize {
    text.chars().map(|c| if matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{20000}'..='\u{3fffd}') { 2 } else { 1 }).sum()
}

/// One alert as text.
pub fn alert(v: &Value, l: Language) -> String {
    let say = |id: &str| i18n::say(lang(l), id);
    let mut out = String::new();
    let _ = writeln!(out, "{}  {}", say(&format!("severity.{}", v["severity"].as_str().unwrap_or("informational"))), clean(&title(v, l)));
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |id: &str, value: String| {
        if !value.is_empty() {
            rows.push((say(id), clean(&value)));
        }
    };
    row(
        "alert.units",
        v["units"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|u| format!("{} ({})", text(&u["name"]), i18n::sector(lang(l), u["sector"].as_str().unwrap_or(""))))
            .collect::<Vec<_>>()
            .join(", "),
    );
    row("column.parties", parties(v));
    row("alert.hosts", text(&v["hosts"]));
    row("alert.users", text(&v["users"]));
    row("alert.first", text(&v["first_time"]));
    row("alert.last", text(&v["last_time"]));
    row("alert.events", text(&v["event_count"]));
    row(
        "alert.techniques",
        v["techniques"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|t| {
                let uid = t["uid"].as_str().unwrap_or("");
                format!("{uid} {}", i18n::technique(lang(l), uid)).trim().to_owned()
            })
            .collect::<Vec<_>>()
            .join(", "),
    );
    row("column.state", say(&format!("state.{}", v["state"].as_str().unwrap_or("new"))));
    row("alert.owner", text(&v["owner"]));
    row("alert.revision", text(&v["revision"]));
    let wide = rows.iter().map(|(label, _)| columns_of(label)).max().unwrap_or(0);
    for (label, value) in rows {
        let _ = writeln!(out, "  {label}{}  {value}", " ".repeat(wide - columns_of(&label)));
    }
    let _ = writeln!(out, "{}", say("alert.why"));
    for reason in v["reasons"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "  ▸ {}", clean(&text(&reason["text"][if l == Language::Zh { "zh" } else { "en" }])));
    }
    out
}

/// The engine's own trace of an alert: rule, window, register, and each event with the conditions that matched it.
pub fn why(v: &Value, l: Language) -> String {
    let say = |id: &str| i18n::say(lang(l), id);
    let mut out = alert(&v["alert"], l);
    if v["rule"].is_object() {
        let level = i18n::say(lang(l), &format!("severity.{}", v["rule"]["severity"].as_str().unwrap_or("informational")));
        let _ = writeln!(out, "{}  {}  {level}", say("alert.rule"), clean(&text(&v["rule"]["path"])));
    } else {
        let _ = writeln!(out, "{}  {}", say("alert.rule"), say("alert.rule.gone"));
    }
    if v["window"].is_object() {
        let w = &v["window"];
        let group: Vec<String> = w["group"].as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", text(v))).collect();
        let _ = writeln!(out, "{}  {}", say("why.window"), clean(&text(&w["says"])));
        let _ = writeln!(out, "  {}  {} – {}", clean(&group.join(" ")), text(&w["from"]), text(&w["to"]));
    }
    for unit in v["register"].as_array().into_iter().flatten() {
        let sector = i18n::sector(lang(l), unit["sector"].as_str().unwrap_or(""));
        let importance =
            unit["importance"].as_i64().filter(|n| *n > 0).map_or_else(String::new, |n| format!("  {} {n}", say("why.importance")));
        let _ = writeln!(
            out,
            "{}  {} ({sector}){importance}  {}",
            say("why.register"),
            clean(&text(&unit["name"])),
            clean(&text(&unit["asset"]))
        );
    }
    let items = v["events"].as_array().map_or(&[][..], Vec::as_slice);
    let shown = [("shown", items.len().to_string()), ("total", text(&v["total"]))];
    let shown: Vec<(&str, &str)> = shown.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let again = say(if v["reproduced"] == true { "why.again" } else { "why.not.again" });
    let _ = writeln!(out, "{}  {}  {again}", say("alert.evidence"), i18n::say_with(lang(l), "alert.evidence.of", &shown));
    for item in items {
        let event = &item["event"];
        let _ = writeln!(out, "  {}  {}  {}", time(&event["time"]), clean(&text(&event["host"])), clean(&gist(event)));
        for rule in item["rules"].as_array().into_iter().flatten() {
            let conditions: Vec<String> = rule["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|c| format!("{} [{}]", text(&c["condition"]), c["value"].as_str().unwrap_or("–")))
                .collect();
            let mark = if rule["matched"] == true { "✓" } else { "✗" };
            let _ = writeln!(out, "      {mark} {}: {}", clean(&title(rule, l)), clean(&conditions.join("; ")));
        }
    }
    if let Some(gone) = v["missing"].as_array().filter(|m| !m.is_empty()) {
        let _ = writeln!(out, "  {}", i18n::say_with(lang(l), "alert.evidence.missing", &[("count", &gone.len().to_string())]));
    }
    out
}

/// A rule with its text.
pub fn rule(v: &Value, l: Language) -> String {
    let mut out = String::new();
    let name = if l == Language::Zh && !text(&v["title_zh"]).is_empty() { &v["title_zh"] } else { &v["title"] };
    let _ = writeln!(
        out,
        "{}  {}",
        clean(&text(name)),
        i18n::say(lang(l), &format!("severity.{}", v["severity"].as_str().unwrap_or("informational")))
    );
    for (label, value) in [("id", &v["id"]), ("kind", &v["kind"]), ("ATT&CK", &v["techniques"]), ("file", &v["path"])] {
        let _ = writeln!(out, "  {label:<8} {}", clean(&text(value)));
    }
    for line in v["source"].as_str().unwrap_or_default().lines() {
        let _ = writeln!(out, "  {}", clean(line));
    }
    out
}

pub fn proof(v: &Value, _: Language) -> String {
    if v["intact"] == true {
        format!("the chain holds: {} entries, head {}\n", v["entries"], text(&v["head"]))
    } else {
        format!("the chain is broken at entry {}: {}\n", v["broken_at"], text(&v["why"]))
    }
}

/// One thing as its fields, a line each; lists of things below one another.
pub fn fields(v: &Value, _: Language) -> String {
    let mut out = String::new();
    for (key, value) in v.as_object().into_iter().flatten() {
        match value.as_array().filter(|list| list.iter().any(Value::is_object)) {
            Some(list) => {
                for item in list {
                    let words: Vec<String> = item.as_object().into_iter().flatten().map(|(k, v)| format!("{k} {}", text(v))).collect();
                    let _ = writeln!(out, "{key}: {}", clean(&words.join(", ")));
                }
            }
            None => {
                let _ = writeln!(out, "{key}: {}", clean(&text(value)));
            }
        }
    }
    out
}
