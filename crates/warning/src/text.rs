//! Reasons in words. A reason is stored as an id with arguments and becomes a sentence only when somebody reads it, in their
//! language. `REASONS` lists every id this house emits; an id that is not in it is shown as it is with its arguments.

use std::fmt::Write;

use crate::AlertReason;

/// Language of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    #[default]
    En,
    Zh,
}

/// A reason id, its arguments and its sentences; `{name}` is replaced by the argument.
pub struct ReasonText {
    pub id: &'static str,
    pub args: &'static [&'static str],
    pub en: &'static str,
    pub zh: &'static str,
}

/// Every reason there is.
pub static REASONS: &[ReasonText] = &[
    ReasonText {
        id: "matched",
        args: &["field", "value", "pattern", "conditions"],
        en: "{field} is {value} ({pattern})",
        zh: "{field} 为 {value}（{pattern}）",
    },
    ReasonText {
        id: "count_reached",
        args: &["count", "threshold", "window_s"],
        en: "{count} events within {window_s} s (threshold {threshold})",
        zh: "{window_s} 秒内 {count} 次（阈值 {threshold}）",
    },
    ReasonText {
        id: "values_reached",
        args: &["count", "threshold", "window_s", "field"],
        en: "{count} different values of {field} within {window_s} s (threshold {threshold})",
        zh: "{window_s} 秒内 {field} 出现 {count} 个不同取值（阈值 {threshold}）",
    },
    ReasonText {
        id: "rules_together",
        args: &["rules", "window_s"],
        en: "{rules} within {window_s} s",
        zh: "{window_s} 秒内同时出现：{rules}",
    },
    ReasonText {
        id: "sequence_complete",
        args: &["rules", "window_s"],
        en: "one after another within {window_s} s: {rules}",
        zh: "{window_s} 秒内依次出现：{rules}",
    },
    ReasonText {
        id: "sum_reached",
        args: &["sum", "threshold", "window_s", "field"],
        en: "{field} adds up to {sum} within {window_s} s (threshold {threshold})",
        zh: "{window_s} 秒内 {field} 合计 {sum}（阈值 {threshold}）",
    },
    ReasonText {
        id: "average_reached",
        args: &["average", "threshold", "window_s", "field"],
        en: "{field} is {average} on average within {window_s} s (threshold {threshold})",
        zh: "{window_s} 秒内 {field} 平均为 {average}（阈值 {threshold}）",
    },
    ReasonText {
        id: "percentile_reached",
        args: &["percentile", "value", "threshold", "window_s", "field"],
        en: "percentile {percentile} of {field} within {window_s} s is {value} (threshold {threshold})",
        zh: "{window_s} 秒内 {field} 的第 {percentile} 百分位数为 {value}（阈值 {threshold}）",
    },
    ReasonText {
        id: "share_reached",
        args: &["percent", "threshold", "window_s", "field"],
        en: "a value of {field} makes up {percent} % within {window_s} s (threshold {threshold} %)",
        zh: "{window_s} 秒内 {field} 的某取值占比 {percent}%（阈值 {threshold}%）",
    },
    ReasonText {
        id: "actor_reach",
        args: &["count", "threshold", "across_count", "window_s", "field", "across"],
        en: "reached {count} different {field} in {across_count} different {across} within {window_s} s (threshold {threshold})",
        zh: "{window_s} 秒内波及 {count} 个不同的 {field}，涉及 {across_count} 个不同的 {across}（阈值 {threshold}）",
    },
    ReasonText {
        id: "spread_reached",
        args: &["count", "threshold", "patient_zero", "spreaders", "recent", "window_s"],
        en: "spread to {count} hosts within {window_s} s (threshold {threshold}), first {patient_zero}; {spreaders} of them reached on, {recent} were reached in the newer half of the time",
        zh: "{window_s} 秒内扩散至 {count} 台主机（阈值 {threshold}），源头 {patient_zero}；其中 {spreaders} 台继续向外扩散，后半段新增 {recent} 台",
    },
    ReasonText {
        id: "stages_reached",
        args: &["count", "threshold", "stages", "origin", "hosts", "window_s"],
        en: "{count} attack stages from {origin} over {hosts} hosts within {window_s} s (threshold {threshold}): {stages}",
        zh: "{window_s} 秒内源自 {origin} 的攻击历经 {count} 个阶段（阈值 {threshold}），涉及 {hosts} 台主机：{stages}",
    },
    ReasonText {
        id: "stages_into_control",
        args: &["count", "threshold", "stages", "origin", "hosts", "window_s"],
        en: "{count} attack stages from {origin} over {hosts} hosts within {window_s} s (threshold {threshold}), from the office network into process control: {stages}",
        zh: "{window_s} 秒内源自 {origin} 的攻击历经 {count} 个阶段（阈值 {threshold}），涉及 {hosts} 台主机，已由办公网进入生产控制：{stages}",
    },
    ReasonText {
        id: "first_seen",
        args: &["field", "known", "window_s", "values"],
        en: "first seen here within {window_s} s: {field} {values} ({known} others are known)",
        zh: "{window_s} 秒内首次出现：{field} {values}（已知其他取值 {known} 个）",
    },
    ReasonText {
        id: "rare_value",
        args: &["percent", "threshold", "field", "all", "window_s", "values"],
        en: "rare here: {field} {values}, {percent} % of {all} within {window_s} s (threshold {threshold} %)",
        zh: "罕见取值：{field} {values}，{window_s} 秒内 {all} 次中占 {percent}%（阈值 {threshold}%）",
    },
    ReasonText {
        id: "above_baseline",
        args: &["measured", "most", "periods", "one_in", "window_s", "field"],
        en: "{field}: {measured} in one period of {window_s} s, more than in any of the last {periods} (at most {most}); by chance in at most one of {one_in}",
        zh: "{field}：单个 {window_s} 秒周期内 {measured}，高于此前 {periods} 个周期的最大值 {most}；偶然发生的概率不超过 1/{one_in}",
    },
    ReasonText {
        id: "member_silent",
        args: &["silent", "members", "field", "window_s", "values"],
        en: "{field} {values} has not been heard for {window_s} s; the rest of its {members} are heard",
        zh: "{field} {values} 已 {window_s} 秒无数据；同一站点共 {members} 个，其余正常",
    },
    ReasonText {
        id: "site_silent",
        args: &["silent", "members", "field", "window_s", "values"],
        en: "the site is silent: {silent} of {members} {field} have not been heard for {window_s} s",
        zh: "站点失联：{members} 个 {field} 中有 {silent} 个已 {window_s} 秒无数据",
    },
    ReasonText {
        id: "important_object",
        args: &["importance"],
        en: "concerns a protected object of importance {importance}",
        zh: "涉及重要程度为 {importance} 的保护对象",
    },
    ReasonText {
        id: "clock_ahead",
        args: &["seconds"],
        en: "an event's clock was {seconds} s ahead; its time was taken back",
        zh: "事件时间超前 {seconds} 秒，已回调",
    },
    ReasonText {
        id: "grade_damage",
        args: &["degree", "evidence", "row"],
        en: "possible damage {degree} of 4: {row} in {evidence}",
        zh: "可能损害程度 {degree}（共 4 级）：{evidence} 中的 {row}",
    },
    ReasonText {
        id: "grade_flaw_used",
        args: &["flaw", "object", "epss"],
        en: "{flaw}, named at {object}, is on CISA's list of exploited flaws (EPSS {epss})",
        zh: "{object} 涉及的 {flaw} 已列入 CISA 在野利用清单（EPSS {epss}）",
    },
    ReasonText {
        id: "grade_flaw_likely",
        args: &["flaw", "object", "epss"],
        en: "{flaw}, named at {object}, is likely to be exploited within 30 days (EPSS {epss})",
        zh: "{object} 涉及的 {flaw} 在 30 天内很可能被利用（EPSS {epss}）",
    },
    ReasonText {
        id: "grade_spread",
        args: &["degree", "n", "what", "from"],
        en: "damage {from} seen in {n} {what}: {degree}",
        zh: "损害程度 {from} 出现于 {n} 个{what}：升为 {degree}",
    },
    ReasonText {
        id: "grade_forecast",
        args: &["degree", "grade"],
        en: "an incident of grade {grade} is expected: damage {degree}",
        zh: "预计将达到 {grade} 级安全事件：损害程度 {degree}",
    },
    ReasonText {
        id: "grade_weak_source",
        args: &["degree", "below"],
        en: "one source alone, graded below {below}: damage {degree}",
        zh: "仅有一个来源且评级低于 {below}：损害程度降为 {degree}",
    },
    ReasonText {
        id: "grade_matrix",
        args: &["object", "importance", "degree", "level", "source"],
        en: "{object} is {importance}; with damage {degree} the matrix says {level} ({source})",
        zh: "{object} 为{importance}对象，损害程度 {degree}，按矩阵为{level}（{source}）",
    },
    ReasonText {
        id: "grade_needs_sources",
        args: &["level", "kept", "sources", "needed"],
        en: "{level} needs {needed} independent sources or a person's confirmation, {sources} there: kept at {kept}",
        zh: "{level}需要 {needed} 个独立来源或人工确认，现有 {sources} 个：暂定{kept}",
    },
    ReasonText {
        id: "grade_floor",
        args: &["grade", "level", "source"],
        en: "an incident of grade {grade} is confirmed: at least {level} ({source})",
        zh: "已确认 {grade} 级安全事件：不低于{level}（{source}）",
    },
    ReasonText {
        id: "grade_none", args: &[], en: "no damage to warn of: counted in the bulletin only", zh: "无需发布预警，仅计入通报"
    },
    ReasonText {
        id: "grade_propose_upward",
        args: &["level"],
        en: "above {level}, the highest level a city issues: propose it upward, send members an advisory",
        zh: "高于本市可发布的最高级别（{level}）：建议上报，并向成员单位发风险提示",
    },
    ReasonText {
        id: "grade_no_authority",
        args: &[],
        en: "nobody here may issue a colour: propose it upward, send members an advisory",
        zh: "本市未获预警发布授权：建议上报，并向成员单位发风险提示",
    },
    ReasonText {
        id: "judged",
        args: &["recommended", "assessed", "reason"],
        en: "recommended {recommended}, assessed {assessed}: {reason}",
        zh: "推荐{recommended}，研判为{assessed}：{reason}",
    },
    ReasonText { id: "step_reason", args: &["text"], en: "{text}", zh: "{text}" },
    ReasonText {
        id: "lift_override",
        args: &["unmet", "text"],
        en: "lifted although {unmet}: {text}",
        zh: "未满足“{unmet}”仍予解除：{text}",
    },
    ReasonText {
        id: "granted",
        args: &["level", "to", "reference"],
        en: "{to} granted {level} ({reference})",
        zh: "{to}已批准发布{level}（{reference}）",
    },
    ReasonText {
        id: "nobody_extended",
        args: &[],
        en: "nobody extended or lifted it within another period of validity",
        zh: "到期后又满一个有效期，无人延期或解除",
    },
];

/// Words that stand as arguments and have a name in each language: (word, English, Chinese).
static WORDS: &[(&str, &str, &str)] = &[
    ("blue", "blue", "蓝色"),
    ("yellow", "yellow", "黄色"),
    ("orange", "orange", "橙色"),
    ("red", "red", "红色"),
    ("advisory", "an advisory", "风险提示"),
    ("none", "nothing", "无需预警"),
    ("ordinary", "an ordinary object", "一般"),
    ("important", "an important object", "重要"),
    ("especially_important", "an especially important object", "特别重要"),
    ("units", "units", "单位"),
    ("sectors", "sectors", "行业"),
    ("cii_objects", "objects of critical infrastructure", "关键信息基础设施对象"),
];

/// A sentence for a reason. Unknown ids and missing arguments are shown, not hidden.
pub fn render(reason: &AlertReason, lang: Lang) -> String {
    let show = |value: &serde_json::Value| match value {
        serde_json::Value::String(s) => s.clone(),
        serde_json::Value::Array(list) => {
            let comma = if lang == Lang::Zh { "、" } else { ", " };
            list.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect::<Vec<_>>().join(comma)
        }
        serde_json::Value::Object(named) => {
            let name = named.get("word").and_then(serde_json::Value::as_str).unwrap_or("?");
            let known = WORDS.iter().find(|(word, ..)| *word == name);
            known.map_or(name, |(_, en, zh)| if lang == Lang::Zh { zh } else { en }).to_owned()
        }
        other => other.to_string(),
    };
    let Some(row) = REASONS.iter().find(|r| r.id == reason.id) else {
        let mut text = reason.id.clone();
        for (name, value) in &reason.args {
            let _ = write!(text, " {name}={}", show(value));
        }
        return text;
    };
    let template = if lang == Lang::Zh { row.zh } else { row.en };
    let mut text = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        text.push_str(&rest[..open]);
        let Some(close) = rest[open..].find('}') else { break };
        let name = &rest[open + 1..open + close];
        text.push_str(&reason.args.get(name).map_or_else(|| "?".to_owned(), show));
        rest = &rest[open + close + 1..];
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_names_only_its_arguments_and_both_languages_name_the_same() {
        let names = |t: &str| {
            let mut all: Vec<String> = t.split('{').skip(1).filter_map(|p| p.split('}').next()).map(str::to_owned).collect();
            all.sort();
            all
        };
        for row in REASONS {
            assert!(names(row.en).iter().all(|n| row.args.contains(&n.as_str())), "{}", row.id);
            assert_eq!(names(row.zh), names(row.en), "{}", row.id);
        }
    }

    #[test]
    fn a_reason_is_a_sentence_in_either_language_and_an_unknown_one_is_not_hidden() {
        let args = [("count", 12.into()), ("threshold", 10.into()), ("window_s", 60.into())];
        let reason = AlertReason { id: "count_reached".into(), args: args.into_iter().map(|(n, v)| (n.to_owned(), v)).collect() };
        assert_eq!(render(&reason, Lang::En), "12 events within 60 s (threshold 10)");
        assert_eq!(render(&reason, Lang::Zh), "60 秒内 12 次（阈值 10）");
        let other = AlertReason { id: "moon".into(), args: [("phase".to_owned(), "full".into())].into() };
        assert_eq!(render(&other, Lang::En), "moon phase=full");
        let bare = AlertReason { id: "important_object".into(), args: Default::default() };
        assert_eq!(render(&bare, Lang::En), "concerns a protected object of importance ?");
    }
}
